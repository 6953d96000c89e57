import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { EventPatterns } from './event-pattern.ts';
import type { Filter } from './filter.ts';
import { tellsVcpu } from './named-fields.ts';

/** Which events the user asked for: by patterns of their names and by a filter. */
export class EventSelection {
  readonly patterns: EventPatterns;
  readonly filter: Filter | undefined;
  /** By type id, whether the patterns take it, and whether the filter must see it. */
  readonly #taken: boolean[] = [];
  readonly #noted: boolean[] = [];

  constructor(patterns: EventPatterns, filter: Filter | undefined) {
    this.patterns = patterns;
    this.filter = filter;
  }

  /** Whether events of this type are to be given to `takes`. */
  wants(type: EventType): boolean {
    const taken = this.patterns.takes(type);
    if (taken) this.filter?.learn(type);
    const noted = this.filter?.needsVcpu === true && tellsVcpu(type);
    this.#taken[type.id] = taken;
    this.#noted[type.id] = noted;
    return taken || noted;
  }

  /** Whether event `i` is one of them. Each event is asked about once, in order: the filter learns from what it is not about, too. */
  takes(trace: Trace, b: EventBatch, i: number): boolean {
    const type = b.type[i] as number;
    const { filter } = this;
    if (filter === undefined) return this.#taken[type] === true;
    if (this.#noted[type] === true) filter.note(trace, b, i);
    return this.#taken[type] === true && filter.passes(trace, b, i);
  }
}

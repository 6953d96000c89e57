import type { Analysis, Window } from '../trace/analysis.ts';
import { isBefore, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from './conditions.ts';
import { namesIn } from './derived-field.ts';
import { EventPatterns } from './event-pattern.ts';
import { EventSelection } from './event-selection.ts';
import type { Filter } from './filter.ts';
import { generalNames, NamedFields, NamedReader, tellsVcpu } from './named-fields.ts';
import { Strips } from './strips.ts';
import { type ValueHistogram, ValueOctaves } from './value-octaves.ts';
import { ValueTable, ValueTree } from './value-table.ts';

export type CountOptions = {
  /** Which events: patterns of their names, with or without the system. */
  events: readonly string[];
  filter?: Filter | undefined;
  /** The fields to count by: fields of the events, `cpu`, `tid`, `pid`, `comm`, `event`, `vcpu`, `reason`, or what is computed of them. */
  by: readonly string[];
  /** A field whose numbers are to be told by their size. */
  hist?: string | undefined;
  /** Whether to tell how many there were when. */
  timeline?: boolean;
};

export type CountRow = {
  /** What each field of `by` holds; undefined where the event has nothing of the name. */
  group: (string | undefined)[];
  count: number;
  /** How many in each stretch of time; undefined where that was not asked for, or there are too many rows. */
  over: number[] | undefined;
};

export type CountResult = {
  /** The most frequent first. */
  rows: CountRow[];
  count: number;
  /** Events of values that were too many to be told apart. */
  others: number;
  /** Where the first stretch of time begins, and how long each is. */
  timeline: { from: number; step: number } | undefined;
  histogram: ValueHistogram | undefined;
  /** How long the stretch of the recording is, in the clock's unit. */
  duration: number;
};

/** What conditions can be about: all events, and each row under its values. */
export function countSubjects({ rows, count, duration }: CountResult): Subject[] {
  const of = (name: string | undefined, own: number): Subject => ({
    kind: 'event',
    name,
    measured: { count: own, rate: own / (duration / 1e9), share: own / count },
  });
  return [
    of(undefined, count),
    ...rows.map(({ group, count }) => of(group.map((value) => value ?? '').join(','), count)),
  ];
}

/** Values of a field, and rows, that are told apart. */
const maxValues = 1 << 18;
const maxRows = 1 << 19;

/** Everything that `virtap count` answers, in one pass. */
export class CountView implements Analysis {
  readonly selection: EventSelection;
  readonly #options: CountOptions;
  readonly #names = new NamedFields();
  readonly #needsVcpu: boolean;
  readonly #by: readonly { reader: NamedReader; values: ValueTable }[];
  readonly #tree = new ValueTree(maxRows);
  /** By node of the tree; the last is of those for which there was no room. */
  #counts = new Float64Array(64);
  #others = 0;
  readonly #strips: Strips | undefined;
  readonly #octaves: ValueOctaves | undefined;
  readonly #fields = new Set<string>();
  /** By type id. */
  readonly #tellsVcpu: boolean[] = [];
  #from = 0;
  #trace: Trace | undefined;
  #window: Window | undefined;

  constructor(options: CountOptions) {
    this.#options = options;
    const { events, filter, by, hist, timeline } = options;
    this.selection = new EventSelection(new EventPatterns(events), filter);
    this.#by = by.map((name) => ({ reader: new NamedReader(name, this.#names), values: new ValueTable(maxValues) }));
    this.#needsVcpu = [...by, ...(hist === undefined ? [] : [hist])].flatMap(namesIn).includes('vcpu');
    this.#strips = timeline === true ? new Strips() : undefined;
    this.#octaves = hist === undefined ? undefined : new ValueOctaves(hist, this.#names);
  }

  wants(type: EventType): boolean {
    const taken = this.selection.wants(type);
    if (this.selection.patterns.takes(type)) for (const { name } of type.fields) this.#fields.add(name);
    return taken || (this.#needsVcpu && tellsVcpu(type));
  }

  within(window: Window): void {
    this.#window = window;
    this.#from = window.from;
    this.#strips?.start(window.from);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#names.trace = trace;
    const learns = isBefore(b, this.#from);
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      if (this.#needsVcpu) {
        this.#tellsVcpu[id] ??= tellsVcpu(trace.types[id] as EventType);
        if (this.#tellsVcpu[id]) this.#names.note(trace, b, i);
      }
      if (!this.selection.takes(trace, b, i) || learns) continue;
      const type = trace.types[id] as EventType;
      this.#octaves?.add(type, b, i);
      let node = 0;
      for (const { reader, values } of this.#by) node = this.#tree.step(node, values.id(reader.of(type), b, i));
      if (node < 0) {
        this.#others++;
        continue;
      }
      if (node >= this.#counts.length) this.#grow(node);
      this.#counts[node] = (this.#counts[node] as number) + 1;
      this.#strips?.add(node, b.time[i] as number);
    }
  }

  /** The recording is read on while it may still hold what was named: each type is asked about as it comes. */
  behind(): void {}

  curious(): boolean {
    return this.selection.patterns.unused().length > 0 || this.unknownFields().unknown.length > 0;
  }

  /** Names that no event which was counted has, and those that there are. */
  unknownFields(): { unknown: string[]; fields: string[] } {
    const { by, hist } = this.#options;
    const names = [...by, ...(hist === undefined ? [] : [hist])].flatMap(namesIn);
    const fields = [...new Set([...this.#fields, ...generalNames, 'reason'])].sort();
    const isKnown = (name: string) => (name.startsWith('.') ? this.#fields.has(name.slice(1)) : fields.includes(name));
    return { unknown: names.filter((name) => !isKnown(name)), fields };
  }

  result(): CountResult {
    const rows = new Map<string, CountRow>();
    let count = this.#others;
    this.#counts.forEach((n, node) => {
      if (n === 0) return;
      count += n;
      const path = this.#tree.path(node);
      const group = this.#by.map(({ values }, k) => values.label(path[k] ?? 0));
      const over = this.#strips?.of(node);
      // The same value can come as a number and as a text.
      const key = JSON.stringify(group.map((label) => label ?? null));
      const same = rows.get(key);
      if (same === undefined) {
        rows.set(key, { group, count: n, over });
        return;
      }
      same.count += n;
      same.over = same.over?.map((m, bin) => m + (over?.[bin] ?? 0));
    });
    const { from, to } = this.#window ?? wholeOf(this.#trace);
    return {
      rows: [...rows.values()].sort((a, b) => b.count - a.count),
      count,
      others: this.#others,
      timeline: this.#strips && { from: this.#strips.from, step: this.#strips.step },
      histogram: this.#octaves?.result(),
      duration: to - from,
    };
  }

  #grow(node: number): void {
    const counts = new Float64Array(2 * Math.max(node, this.#counts.length));
    counts.set(this.#counts);
    this.#counts = counts;
  }
}

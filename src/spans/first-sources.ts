import type { EventType } from '../trace/event-type.ts';

/**
 * A recording can hold QEMU's events twice, as uprobes and as trace_marker text. Of each name, the way that was seen
 * first is taken. To be asked with each event, or with the first one of each type.
 */
export class FirstSources {
  readonly #first = new Map<string, string>();
  /** By type id. */
  readonly #taken: (boolean | undefined)[] = [];

  /** By name, which was taken. */
  part(): ReadonlyMap<string, string> {
    return this.#first;
  }

  /** Whether one that saw only what comes later took the same. */
  accepts(later: ReadonlyMap<string, string>): boolean {
    return [...later].every(([name, source]) => (this.#first.get(name) ?? source) === source);
  }

  join(later: ReadonlyMap<string, string>): void {
    for (const [name, source] of later) this.#first.set(name, source);
  }

  /** Whether events of this type count, one of which was seen just now. */
  takes(type: EventType): boolean {
    const known = this.#taken[type.id];
    if (known !== undefined) return known;
    const source = type.recordedAs.split(':', 1)[0] as string;
    const first = this.#first.get(type.name);
    if (first === undefined) this.#first.set(type.name, source);
    const taken = first === undefined || first === source;
    this.#taken[type.id] = taken;
    return taken;
  }
}

import type { EventType } from '../trace/event-type.ts';
import { nameInGuest } from '../trace/guests.ts';

/**
 * Picks event types by glob patterns (`*`, `?`), with or without the system: `kvm_*`, `sched:*`, `qemu:virtqueue_pop`. A guest's are meant where
 * the pattern says so only: `guest/sched_switch`.
 */
export class EventPatterns {
  readonly #patterns: { text: string; ofGuest: boolean; match: (name: string) => boolean; used: boolean }[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((text) => {
      const inGuest = nameInGuest(text);
      return { text, ofGuest: inGuest !== undefined, match: glob(inGuest ?? text), used: false };
    });
  }

  /** Whether any of the patterns takes the type; all do where there is no pattern. */
  takes(type: Pick<EventType, 'name' | 'recordedAs'>): boolean {
    const inGuest = nameInGuest(type.name);
    const name = inGuest ?? type.name;
    const names = [name, name.replace(/^.*?:/, ''), nameInGuest(type.recordedAs) ?? type.recordedAs];
    let taken = this.#patterns.length === 0;
    for (const pattern of this.#patterns) {
      if (pattern.ofGuest !== (inGuest !== undefined) || !names.some(pattern.match)) continue;
      pattern.used = true;
      taken = true;
    }
    return taken;
  }

  /** By pattern: whether it took a type. */
  part(): readonly boolean[] {
    return this.#patterns.map(({ used }) => used);
  }

  join(used: readonly boolean[]): void {
    for (const [n, pattern] of this.#patterns.entries()) pattern.used ||= used[n] === true;
  }

  /** Patterns that took no type so far. */
  unused(): string[] {
    return this.#patterns.filter((pattern) => !pattern.used).map((pattern) => pattern.text);
  }
}

/** A matcher that takes time in proportion to the pattern and the name, whatever they are. */
function glob(pattern: string): (name: string) => boolean {
  return (name) => {
    let p = 0;
    let n = 0;
    let star = -1;
    let from = 0;
    while (n < name.length) {
      if (pattern[p] === '*') {
        star = p++;
        from = n;
      } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
        p++;
        n++;
      } else if (star >= 0) {
        p = star + 1;
        n = ++from;
      } else return false;
    }
    while (pattern[p] === '*') p++;
    return p === pattern.length;
  };
}

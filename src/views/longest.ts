/** The longest as plain data, which can be handed to another thread. */
export type LongestPart<T> = { over: number; items: readonly T[] };

/** Keeps the longest of many things, in bounded memory: a binary heap, the shortest first. Of equally long ones, those that began first. */
export class Longest<T extends { begin: number; duration: number }> {
  /** How many were longer than the threshold. */
  over = 0;
  readonly #limit: number;
  readonly #than: number;
  readonly #heap: T[] = [];

  /** Keeps at most `limit`, of those longer than `than`. */
  constructor(limit: number, than = -1) {
    this.#limit = limit;
    this.#than = than;
  }

  /** Whether something so long is to be added; it is counted. To be asked before what is kept of it is put together. */
  admits(duration: number, begin: number): boolean {
    // Also of what has no duration.
    if (!(duration > this.#than)) return false;
    this.over++;
    const least = this.#heap[0];
    return this.#heap.length < this.#limit || (least !== undefined && isLess(least, { begin, duration }));
  }

  /** Adds what was admitted. */
  add(item: T): void {
    const heap = this.#heap;
    if (heap.length < this.#limit) {
      heap.push(item);
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1;
        if (!isLess(item, heap[parent] as T)) break;
        heap[i] = heap[parent] as T;
        heap[parent] = item;
        i = parent;
      }
      return;
    }
    heap[0] = item;
    for (let i = 0; ; ) {
      let child = 2 * i + 1;
      const right = heap[child + 1];
      if (right !== undefined && isLess(right, heap[child] as T)) child++;
      const below = heap[child];
      if (below === undefined || !isLess(below, item)) break;
      heap[i] = below;
      heap[child] = item;
      i = child;
    }
  }

  /** Takes over those of another with the same limit and threshold. */
  merge(other: Longest<T>): void {
    this.join(other.part());
  }

  /** What it keeps, as plain data. */
  part(): LongestPart<T> {
    return { over: this.over, items: this.#heap };
  }

  /** Takes over what another with the same limit and threshold keeps. */
  join({ over, items }: LongestPart<T>): void {
    const all = this.over + over;
    for (const item of items) if (this.admits(item.duration, item.begin)) this.add(item);
    this.over = all;
  }

  /** The longest first; equally long ones in order of time. */
  result(): T[] {
    return [...this.#heap].sort((a, b) => b.duration - a.duration || a.begin - b.begin);
  }
}

/** Whether one is to give way before the other. */
function isLess(a: { begin: number; duration: number }, b: { begin: number; duration: number }): boolean {
  return a.duration < b.duration || (a.duration === b.duration && a.begin > b.begin);
}

/** Keeps the longest of many things, in bounded memory: a binary heap, the shortest first. */
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
  admits(duration: number): boolean {
    // Also of what has no duration.
    if (!(duration > this.#than)) return false;
    this.over++;
    return this.#heap.length < this.#limit || duration > (this.#heap[0]?.duration ?? Infinity);
  }

  /** Adds what was admitted. */
  add(item: T): void {
    const heap = this.#heap;
    if (heap.length < this.#limit) {
      heap.push(item);
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1;
        if ((heap[parent] as T).duration <= item.duration) break;
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
      if (right !== undefined && right.duration < (heap[child] as T).duration) child++;
      const below = heap[child];
      if (below === undefined || below.duration >= item.duration) break;
      heap[i] = below;
      heap[child] = item;
      i = child;
    }
  }

  /** Takes over those of another with the same limit and threshold. */
  merge(other: Longest<T>): void {
    const over = this.over + other.over;
    for (const item of other.#heap) if (this.admits(item.duration)) this.add(item);
    this.over = over;
  }

  /** The longest first; equally long ones in order of time. */
  result(): T[] {
    return [...this.#heap].sort((a, b) => b.duration - a.duration || a.begin - b.begin);
  }
}

/** Linux gives out tids below 2^22 (PID_MAX_LIMIT); what a trace has beyond that takes no more memory than it needs. */
const maxTids = 1 << 22;

/** Threads that are followed, by tid: each has a small number of its own. */
export class TidTable {
  /** Number + 1 by tid, 0 where there is none: for loops that cannot afford a call. Tids beyond it are for `find`. Replaced as it grows. */
  numbers = new Int32Array(1 << 12);
  readonly #strange = new Map<number, number>();

  /** The number of a thread, -1 where it has none. */
  find(tid: number): number {
    if (tid >>> 0 < this.numbers.length) return (this.numbers[tid] as number) - 1;
    return this.#strange.size === 0 ? -1 : (this.#strange.get(tid) ?? -1);
  }

  set(tid: number, number: number): void {
    if (tid >>> 0 >= maxTids) {
      this.#strange.set(tid, number);
      return;
    }
    if (tid >= this.numbers.length) {
      const numbers = new Int32Array(2 ** Math.ceil(Math.log2(tid + 1)));
      numbers.set(this.numbers);
      this.numbers = numbers;
    }
    this.numbers[tid] = number + 1;
  }
}

/** The largest sign: 31 bits. */
export const largestSign = 0x7fffffff;
/** Signs that are kept. */
const most = 1 << 15;

/** Numbers made of what happened in a file, to be found again in another: those that are small, and ever smaller, so that two files keep the same ones. */
export class Signs {
  readonly #times = new Map<number, number>();
  #largest = largestSign;

  /** The share of all signs that is kept. */
  get share(): number {
    return this.#largest / largestSign;
  }

  /** `time`: when it was met. */
  add(sign: number, time: number): void {
    if (sign > this.#largest) return;
    this.#times.set(sign, this.#times.has(sign) ? Number.NaN : time);
    if (this.#times.size <= most) return;
    this.#largest = Math.floor(this.#largest / 2);
    for (const kept of this.#times.keys()) if (kept > this.#largest) this.#times.delete(kept);
  }

  has(sign: number): boolean {
    return this.#times.has(sign);
  }

  /** When it was met; NaN where that was more than once, or never. */
  timeOf(sign: number): number {
    return this.#times.get(sign) ?? Number.NaN;
  }
}

/** Stretches of time of each row: between half of them and all are in use once the recording is longer than the first step. */
const bins = 256;
/** Length of one to begin with, in ns or cycles. */
const firstStep = 2 ** 14;
/** Rows that have them. */
const maxRows = 1 << 15;

/** How many events of each row came when, without knowing how long the recording will be: stretches become twice as long, two and two merged, whenever they run out. */
export class Strips {
  #counts = new Uint32Array(16 * bins);
  #rows = 0;
  from = 0;
  step = firstStep;
  #used = 0;

  /** Where time begins; none precedes it. */
  start(time: number): void {
    this.from = time;
  }

  add(row: number, time: number): void {
    if (row >= maxRows) return;
    let bin = Math.max(0, Math.floor((time - this.from) / this.step));
    while (bin >= bins) {
      this.#coarsen();
      bin = Math.floor((time - this.from) / this.step);
    }
    if (bin >= this.#used) this.#used = bin + 1;
    if (row >= this.#rows) this.#reserve(row);
    const at = row * bins + bin;
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }

  /** The counts of a row, up to the last stretch in which any row has one; undefined for a row beyond those that are told apart. */
  of(row: number): number[] | undefined {
    if (row >= maxRows) return undefined;
    const own = [...this.#counts.subarray(row * bins, row * bins + this.#used)];
    return own.length === this.#used ? own : new Array<number>(this.#used).fill(0);
  }

  #reserve(row: number): void {
    this.#rows = row + 1;
    if (this.#rows * bins <= this.#counts.length) return;
    const counts = new Uint32Array(2 * this.#rows * bins);
    counts.set(this.#counts);
    this.#counts = counts;
  }

  #coarsen(): void {
    for (let row = 0; row < this.#rows; row++) {
      const own = this.#counts.subarray(row * bins, (row + 1) * bins);
      for (let bin = 0; bin < bins / 2; bin++) own[bin] = (own[2 * bin] as number) + (own[2 * bin + 1] as number);
      own.fill(0, bins / 2);
    }
    this.#used = Math.ceil(this.#used / 2);
    this.step *= 2;
  }
}

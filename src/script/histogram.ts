import { asText, type Printable } from './printable.ts';

/** Columns that the longest bar of a histogram may take, as SystemTap draws it (runtime/stat-common.c). */
const barWidth = 50;
/** Empty buckets drawn beside one that is not; more in a row are left out. */
const margin = 2;
/** Buckets of a linear histogram. */
const maxBuckets = 10_000;

/** How many values there were from `low` to below the next bucket's; the last may have no end. */
export type Bucket = { low: number; count: number };

/** How often values of each size came. Prints as SystemTap's @hist_log and @hist_linear do. */
export class Histogram implements Printable {
  /** Ascending, without the empty ones at either end. Below `low` of a linear histogram's first bucket it is -Infinity. */
  readonly buckets: readonly Bucket[];
  readonly #lines: readonly HistogramLine[];

  constructor(lines: readonly HistogramLine[]) {
    this.#lines = lines;
    const first = lines.findIndex(({ count }) => count > 0);
    const last = lines.findLastIndex(({ count }) => count > 0);
    this.buckets = lines.slice(Math.max(0, first), last + 1).map(({ low, count }) => ({ low, count }));
  }

  print(): string {
    const lines = this.#lines;
    if (lines.length === 0) return 'no values\n';
    const most = lines.reduce((max, { count }) => Math.max(max, count), 0);
    const perColumn = Math.max(1, Math.ceil(most / barWidth));
    const labelWidth = lines.reduce((width, { label }) => Math.max(width, label.length), 'value'.length);
    const countWidth = String(most).length;
    let text = `${'value'.padStart(labelWidth)} |${'-'.repeat(barWidth)} count\n`;
    let leftOut = false;
    lines.forEach(({ label, count }, n) => {
      const near = lines.slice(Math.max(0, n - margin), n + margin + 1);
      if (near.every((line) => line.count === 0)) {
        leftOut = true;
        return;
      }
      if (leftOut) text += `${' '.repeat(labelWidth)} ~\n`;
      leftOut = false;
      const bar = '@'.repeat(Math.floor(count / perColumn));
      text += `${label.padStart(labelWidth)} |${bar.padEnd(barWidth)} ${String(count).padStart(countWidth)}\n`;
    });
    return text;
  }

  toString(): string {
    return asText(this);
  }

  toJSON(): readonly Bucket[] {
    return this.buckets;
  }
}

type HistogramLine = Bucket & { label: string };

/**
 * A histogram by powers of two, from the counts of zeros and of those from 2^(k−1) to 2^k − 1, at index k; the same of the negatives'
 * magnitudes.
 */
export function logHistogram(octaves: readonly number[], negative: readonly number[]): Histogram {
  const lines: HistogramLine[] = [];
  const add = (low: number, label: number, count: number) => lines.push({ low, label: String(label), count });
  // A negative bucket's label is its end nearer to 0, as SystemTap's is.
  for (let k = negative.length - 1; k > 0; k--) add(-(2 ** k) + 1, -(2 ** (k - 1)), negative[k] as number);
  const zero = lines.length;
  octaves.forEach((count, k) => {
    add(k === 0 ? 0 : 2 ** (k - 1), k === 0 ? 0 : 2 ** (k - 1), count);
  });
  const first = lines.findIndex(({ count }) => count > 0);
  const last = lines.findLastIndex(({ count }) => count > 0);
  if (first < 0) return new Histogram([]);
  // Two empty buckets at either end, but no negative ones where no value is negative.
  const from = first >= zero ? Math.max(zero, first - margin) : Math.max(0, first - margin);
  return new Histogram(lines.slice(from, last + margin + 1));
}

/** The bounds of a linear histogram: buckets of `step` from `from` on, the last from `to`. */
export type LinearBounds = { from: number; to: number; step: number };

/** Counts values in buckets of equal width, with one for what is below and one for what is above. */
export class LinearCounts {
  readonly #bounds: LinearBounds;
  readonly #counts: number[];

  constructor(bounds: LinearBounds) {
    const { from, to, step } = bounds;
    const buckets = Math.floor((to - from) / step) + 3;
    if (![from, to, step].every(Number.isSafeInteger) || step < 1 || to < from || buckets > maxBuckets) {
      throw new RangeError(
        `a linear histogram is { from, to, step }, whole numbers with at most ${maxBuckets} steps, not ${JSON.stringify(bounds)}`,
      );
    }
    this.#bounds = bounds;
    this.#counts = new Array<number>(buckets).fill(0);
  }

  add(value: number): void {
    const { from, step } = this.#bounds;
    const bucket = value < from ? 0 : Math.min(this.#counts.length - 1, Math.floor((value - from) / step) + 1);
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  merge(other: LinearCounts): void {
    const [a, b] = [this.#bounds, other.#bounds];
    if (a.from !== b.from || a.to !== b.to || a.step !== b.step) {
      throw new RangeError('linear histograms with different bounds cannot be merged');
    }
    other.#counts.forEach((count, n) => {
      this.#counts[n] = (this.#counts[n] as number) + count;
    });
  }

  histogram(): Histogram {
    const counts = this.#counts;
    const { from, step } = this.#bounds;
    const end = counts.length - 1;
    const first = counts.findIndex((count) => count > 0);
    if (first < 0) return new Histogram([]);
    let low = Math.max(0, first - margin);
    let high = Math.min(end, counts.findLastIndex((count) => count > 0) + margin);
    if (low === 0 && counts[0] === 0) low++;
    if (high === end && counts[end] === 0) high--;
    const lines: HistogramLine[] = [];
    for (let n = low; n <= high; n++) {
      const start = from + (n - 1) * step;
      // The label of what is above the last bucket is that bucket's own, as in SystemTap.
      const label = n === 0 ? `<${from}` : n === end ? `>${start - step}` : String(start);
      lines.push({ low: n === 0 ? -Infinity : start, label, count: counts[n] as number });
    }
    return new Histogram(lines);
  }
}

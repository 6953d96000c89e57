import type { Terminal } from '../report/terminal.ts';
import { rankOf, type Stats, Summary, type Tally } from '../spans/summary.ts';
import { figuresTable, type Unit } from './figures-table.ts';
import { type Histogram, type LinearBounds, LinearCounts, logHistogram } from './histogram.ts';
import { asText, type Printable } from './printable.ts';

export type StatsOptions = {
  unit?: Unit;
  /** Buckets of a linear histogram, where one is wanted: it is counted as values come. */
  linear?: LinearBounds;
};

/**
 * Statistics of whole numbers, as SystemTap's `<<<` collects them: in one pass, in bounded memory, and such that merging parts gives
 * exactly what the whole gives.
 *
 * Count, sum, sum of squares, minimum and maximum are exact integers whatever the values (up to 2^53 each); the mean is the sum divided once.
 * The variance is the sample variance (Σx² − (Σx)²/n) / (n − 1), from exact integers: only the division rounds. Percentiles are by nearest
 * rank; exact up to 4096 values of a sign, beyond that within 1 part in 2048. Histograms by powers of two are exact.
 */
export class Aggregate implements Printable {
  readonly unit: Unit;
  readonly #positive = new Summary();
  /** Of magnitudes. */
  #negative: Summary | undefined;
  readonly #linear: LinearCounts | undefined;
  #known: Tally | undefined;

  constructor({ unit = '', linear }: StatsOptions = {}) {
    this.unit = unit;
    this.#linear = linear === undefined ? undefined : new LinearCounts(linear);
  }

  /** Takes a value: a whole number, or a bigint that a number holds exactly. */
  add(value: number | bigint): void {
    const number = wholeNumber(value);
    this.#linear?.add(number);
    if (number >= 0) this.#positive.add(number);
    else {
      this.#negative ??= new Summary();
      this.#negative.add(-number);
    }
  }

  /** Takes over the values of another, which stays as it was. */
  merge(other: Aggregate): void {
    if (other === this) throw new RangeError('an aggregate cannot be merged with itself');
    if (other.#linear !== undefined) {
      if (this.#linear === undefined) throw new RangeError('only one of the two has a linear histogram');
      this.#linear.merge(other.#linear);
    }
    this.#positive.merge(other.#positive);
    if (other.#negative !== undefined) {
      this.#negative ??= new Summary();
      this.#negative.merge(other.#negative);
    }
  }

  get count(): number {
    return this.#positive.count + (this.#negative?.count ?? 0);
  }

  /** Beyond 2^53 the nearest number. */
  get sum(): number {
    return Number(this.#tally().total);
  }

  /** NaN of no values, as are max, avg and percentiles. */
  get min(): number {
    return this.#tally().min;
  }

  get max(): number {
    return this.#tally().max;
  }

  get avg(): number {
    return this.sum / this.count;
  }

  /** Sample variance; NaN of fewer than two values. */
  get variance(): number {
    const { count, total, squares } = this.#tally();
    return count < 2 ? Number.NaN : Number(BigInt(count) * squares - total * total) / count / (count - 1);
  }

  get stddev(): number {
    return Math.sqrt(this.variance);
  }

  /** The value that `percent` of the values do not exceed: `percentile(99.9)`. */
  percentile(percent: number): number {
    if (!(percent >= 0 && percent <= 100)) throw new RangeError(`a percentile is 0 to 100, not ${percent}`);
    const rank = rankOf(percent / 100, this.count);
    const below = this.#negative?.count ?? 0;
    if (this.count === 0) return Number.NaN;
    // Of the negative ones the greatest magnitude is the least value.
    if (rank <= below) return -(this.#negative?.ranked([below - rank + 1])[0] as number);
    return this.#positive.ranked([rank - below])[0] as number;
  }

  /** How many values there are of each power of two. */
  log2(): Histogram {
    return logHistogram(this.#positive.octaves(), this.#negative?.octaves() ?? []);
  }

  /** How many values there are in each bucket of `StatsOptions.linear`. */
  linear(): Histogram {
    if (this.#linear === undefined)
      throw new RangeError('linear() needs bounds: stats({ linear: { from, to, step } })');
    return this.#linear.histogram();
  }

  /** All figures at once. */
  figures(): Stats {
    const { count, sum, min, max, avg, stddev } = this;
    const [p50, p90, p99, p999] = [50, 90, 99, 99.9].map((percent) => this.percentile(percent)) as [
      number,
      number,
      number,
      number,
    ];
    return { count, total: sum, min, max, mean: avg, stddev, p50, p90, p99, p999 };
  }

  print(terminal: Terminal, seconds: number): string {
    return figuresTable([], [{ names: [], stats: this.figures() }], this.unit, {}, terminal, seconds);
  }

  toString(): string {
    return asText(this);
  }

  toJSON(): Record<string, number> {
    const { count, total: sum, min, mean: avg, max, stddev, ...percentiles } = this.figures();
    return { count, sum, min, avg, max, variance: this.variance, stddev, ...percentiles };
  }

  /** Worked out anew only where values came since. */
  #tally(): Tally {
    if (this.#known?.count === this.count) return this.#known;
    const positive = this.#positive.tally();
    const negative = this.#negative?.tally();
    const count = this.count;
    this.#known = {
      count,
      total: positive.total - (negative?.total ?? 0n),
      squares: positive.squares + (negative?.squares ?? 0n),
      min: count === 0 ? Number.NaN : negative === undefined ? positive.min : -negative.max,
      max: count === 0 ? Number.NaN : positive.count > 0 ? positive.max : -(negative?.min as number),
    };
    return this.#known;
  }
}

/** A value as a number. Throws a RangeError where it is not whole, or too large to be exact. */
export function wholeNumber(value: number | bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError(`aggregates take whole numbers up to 2^53, not ${value}: scale it, or Math.round it`);
  }
  return number;
}

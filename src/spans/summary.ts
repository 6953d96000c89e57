/** What is known of a set of durations (integers). */
export type Stats = {
  count: number;
  /** Exact up to 2^53. */
  total: number;
  min: number;
  max: number;
  mean: number;
  /** Sample standard deviation (divides by count − 1); NaN below two samples. */
  stddev: number;
  /** Percentiles by nearest rank. Exact up to `exactSamples` samples, beyond that within 1 part in 2048. */
  p50: number;
  p90: number;
  p99: number;
  p999: number;
};

/** A summary as plain data, which can be handed to another thread: the samples collected so far, and what is known of the others. */
export type SummaryPart = {
  samples: Float64Array;
  collected: number;
  counted: Tally;
  buckets: Uint32Array | undefined;
};

/** Up to this many samples are kept one by one; beyond that they are counted in buckets. */
export const exactSamples = 4096;

/** How many significant digits of a percentile of so many samples are true, up to the four that lengths are written with. */
export function percentileDigits(count: number): number {
  return count > exactSamples ? 3 : 4;
}

/** Room for samples at first: V8 keeps so small an array in its heap, without a buffer beside it, and there can be very many. */
const firstRoom = 8;

/** Buckets per octave, as a power of two: the middle of one is at most 1/2048 away from what is in it. */
const bucketBits = 10;
const buckets = 1 << bucketBits;
/** Buckets for every integer that a double holds exactly. */
const bucketCount = (53 - bucketBits + 1) * buckets;

/** Bits of the lower half of a sample in the sum of squares. */
const half = 20;
const halfSize = 2 ** half;
/** Samples from here on (18 minutes of ns) have their squares computed one by one. */
const wide = 2 ** 40;

/** What is known of no samples. */
const nobody: Readonly<Tally> = { count: 0, total: 0n, squares: 0n, min: Infinity, max: -Infinity };

/**
 * Count, sum, extremes, variance and percentiles of integer samples ≥ 0, in one pass and in bounded memory. Sum and
 * sum of squares are exact integers, so the result depends neither on order nor on how a set was split and merged.
 *
 * Samples are collected as they come. When there are too many to keep, they are counted in buckets, and collecting begins anew.
 */
export class Summary {
  /** Samples collected: all there were, as long as nothing was counted. */
  #samples = new Float64Array(firstRoom);
  #collected = 0;
  /** What is known of those counted in buckets. */
  #counted: Readonly<Tally> = nobody;
  /** What is known of those collected, as far as somebody asked: of the first `count` of them. */
  #known: Readonly<Tally> = nobody;
  /** Counts per bucket, `buckets` of them for each octave: 0–1023 first, then 2^(k+9) … 2^(k+10) − 1. What is not touched takes no memory. */
  #buckets: Uint32Array | undefined;

  get count(): number {
    return this.#counted.count + this.#collected;
  }

  add(sample: number): void {
    if (this.#collected === this.#samples.length) this.#makeRoom();
    this.#samples[this.#collected++] = sample;
  }

  /** Takes over the samples of another, which stays as it was. */
  merge(from: Summary): void {
    const part = from.part();
    if (this.count + from.count <= exactSamples) this.#collect(part);
    else {
      if (this.#collected > 0) this.#countCollected();
      this.#count(part.samples, part.collected, from.#tallyCollected());
      this.#joinCounted(part);
    }
  }

  /** What it knows, as plain data. */
  part(): SummaryPart {
    return {
      samples: this.#samples,
      collected: this.#collected,
      counted: this.#counted,
      buckets: this.#buckets,
    };
  }

  /** Takes over the samples of another. */
  join(part: SummaryPart): void {
    this.#collect(part);
    this.#joinCounted(part);
  }

  #collect({ samples, collected }: SummaryPart): void {
    for (let from = 0; from < collected; ) {
      if (this.#collected === this.#samples.length) this.#makeRoom();
      const some = samples.subarray(from, Math.min(collected, from + this.#samples.length - this.#collected));
      this.#samples.set(some, this.#collected);
      this.#collected += some.length;
      from += some.length;
    }
  }

  #joinCounted({ counted, buckets }: SummaryPart): void {
    const { count, min, max } = counted;
    if (count === 0) return;
    this.#counted = sum(this.#counted, counted);
    const theirs = buckets as Uint32Array;
    this.#buckets ??= new Uint32Array(bucketCount);
    const mine = this.#buckets;
    const last = bucketOf(max);
    for (let at = bucketOf(min); at <= last; at++) mine[at] = (mine[at] as number) + (theirs[at] as number);
  }

  result(): Stats {
    const { count: n, total, squares, min, max } = this.tally();
    if (n === 0) return { ...nothing };
    const [p50, p90, p99, p999] = this.ranked([0.5, 0.9, 0.99, 0.999].map((p) => rankOf(p, n)));
    // n·Σx² − (Σx)², exactly; the division comes last.
    const spread = Number(BigInt(n) * squares - total * total);
    return {
      count: n,
      total: Number(total),
      min,
      max,
      mean: Number(total) / n,
      stddev: n < 2 ? Number.NaN : Math.sqrt(spread / n / (n - 1)),
      p50: p50 as number,
      p90: p90 as number,
      p99: p99 as number,
      p999: p999 as number,
    };
  }

  /** Sum, sum of squares and extremes, exactly. */
  tally(): Readonly<Tally> {
    if (this.#counted.count === 0) return this.#tallyCollected();
    if (this.#collected > 0) this.#countCollected();
    return this.#counted;
  }

  /** The same of those that were collected. */
  #tallyCollected(): Readonly<Tally> {
    if (this.#known.count !== this.#collected) this.#known = tally(this.#samples, this.#collected);
    return this.#known;
  }

  /** The samples of these ranks (from 1, ascending). Exact up to `exactSamples` samples, beyond that within 1 part in 2048. */
  ranked(ranks: readonly number[]): number[] {
    const { min, max } = this.tally();
    return this.#counted.count === 0 ? this.#ranked(ranks) : this.#inBuckets(ranks, min, max);
  }

  /** How many samples there are of each power of two, exactly: first the zeros, then those from 2^(k−1) to 2^k − 1. */
  octaves(): number[] {
    const counts = new Array<number>(54).fill(0);
    const add = (sample: number, n: number) => {
      const octave = sample === 0 ? 0 : sample < 2 ** 31 ? 32 - Math.clz32(sample) : 63 - Math.clz32(sample / 2 ** 31);
      counts[octave] = (counts[octave] as number) + n;
    };
    for (let i = 0; i < this.#collected; i++) add(this.#samples[i] as number, 1);
    this.#buckets?.forEach((n, at) => {
      if (n > 0) add(bucketStart(at), n);
    });
    return counts;
  }

  #makeRoom(): void {
    if (this.#samples.length < exactSamples) {
      const larger = new Float64Array(this.#samples.length * 2);
      larger.set(this.#samples);
      this.#samples = larger;
    } else this.#countCollected();
  }

  /** Moves the collected samples into the buckets. */
  #countCollected(): void {
    this.#count(this.#samples, this.#collected, this.#tallyCollected());
    this.#collected = 0;
    this.#known = nobody;
  }

  /** Counts samples in the buckets. */
  #count(samples: Float64Array, n: number, known: Readonly<Tally>): void {
    this.#counted = sum(this.#counted, known);
    this.#buckets ??= new Uint32Array(bucketCount);
    const counts = this.#buckets;
    for (let i = 0; i < n; i++) {
      const at = bucketOf(samples[i] as number);
      counts[at] = (counts[at] as number) + 1;
    }
  }

  /** The samples of these ranks (from 1), ascending. */
  #ranked(ranks: readonly number[]): number[] {
    const sorted = this.#samples.slice(0, this.#collected).sort();
    return ranks.map((rank) => sorted[rank - 1] as number);
  }

  /** The same where samples are only counted: the middle of the bucket, or the least or greatest sample where that is nearer. */
  #inBuckets(ranks: readonly number[], min: number, max: number): number[] {
    const counts = this.#buckets as Uint32Array;
    const found: number[] = [];
    let seen = 0;
    for (let at = bucketOf(min); at < bucketCount && found.length < ranks.length; at++) {
      seen += counts[at] as number;
      while (found.length < ranks.length && seen >= (ranks[found.length] as number)) {
        const width = Math.max(1, 2 ** (Math.floor(at / buckets) - 1));
        found.push(Math.min(max, Math.max(min, bucketStart(at) + Math.floor(width / 2))));
      }
    }
    return found;
  }
}

/** The rank, from 1, of a percentile given as a fraction, among `n` samples: nearest rank. */
export function rankOf(fraction: number, n: number): number {
  // What is a whole number but for the rounding of a double is one.
  return Math.max(1, Math.ceil(Number((fraction * n).toPrecision(15))));
}

/** The bucket of a sample. */
function bucketOf(sample: number): number {
  let rest = sample;
  let octave = 0;
  if (rest >= 0x80000000) {
    // Such that what is left has 11 bits at least, and 31 at most.
    octave = rest < 2 ** 51 ? 20 : 22;
    rest = Math.floor(rest / 2 ** octave);
  }
  // The sample's 11 highest bits: the first says the octave, and counts as one more octave; the others the bucket.
  const shift = Math.max(31 - bucketBits - Math.clz32(rest), 0);
  return ((octave + shift) << bucketBits) + (rest >>> shift);
}

/** The least sample of a bucket. */
function bucketStart(at: number): number {
  const octave = Math.floor(at / buckets);
  return octave === 0 ? at : (buckets + (at % buckets)) * Math.max(1, 2 ** (octave - 1));
}

/** The statistics of no samples. */
export const nothing: Stats = {
  count: 0,
  total: 0,
  min: Number.NaN,
  max: Number.NaN,
  mean: Number.NaN,
  stddev: Number.NaN,
  p50: Number.NaN,
  p90: Number.NaN,
  p99: Number.NaN,
  p999: Number.NaN,
};

/** What is known exactly of a set of samples; of none, the extremes are infinite. */
export type Tally = { count: number; total: bigint; squares: bigint; min: number; max: number };

/** Sum, sum of squares and extremes of at most `exactSamples` samples; few enough for doubles to hold the parts exactly. */
function tally(samples: Float64Array, count: number): Tally {
  let min = Infinity;
  let max = -Infinity;
  let total = 0;
  // Of a sample low + high·2^20.
  let lowLow = 0;
  let lowHigh = 0;
  let highHigh = 0;
  let wideTotal = 0n;
  let squares = 0n;
  for (let i = 0; i < count; i++) {
    const sample = samples[i] as number;
    if (sample < min) min = sample;
    if (sample > max) max = sample;
    if (sample < halfSize) {
      total += sample;
      lowLow += sample * sample;
    } else if (sample < wide) {
      const high = Math.floor(sample / halfSize);
      const low = sample - high * halfSize;
      total += sample;
      lowLow += low * low;
      lowHigh += low * high;
      highHigh += high * high;
    } else {
      wideTotal += BigInt(sample);
      squares += BigInt(sample) * BigInt(sample);
    }
  }
  squares += BigInt(lowLow) + (BigInt(lowHigh) << BigInt(half + 1)) + (BigInt(highHigh) << BigInt(2 * half));
  return { count, total: BigInt(total) + wideTotal, squares, min, max };
}

function sum(a: Tally, b: Tally): Tally {
  return {
    count: a.count + b.count,
    total: a.total + b.total,
    squares: a.squares + b.squares,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  };
}

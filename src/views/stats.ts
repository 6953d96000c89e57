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

/** Up to this many samples are kept one by one; beyond that they are counted in buckets. */
export const exactSamples = 4096;

/** Buckets per octave, as a power of two: the middle of one is at most 1/2048 away from what is in it. */
const bucketBits = 10;
const buckets = 1 << bucketBits;
/** Samples from here on share the last bucket (26 days of ns). */
const bucketLimit = 2 ** 51;

/** Bits of the lower half of a sample in the sum of squares, and how many samples its parts can take unharmed. */
const half = 20;
const halfSize = 2 ** half;
const wide = 2 ** 40;
const flushEvery = 4096;

/**
 * Count, sum, extremes, variance and percentiles of integer samples ≥ 0, in one pass and in bounded memory. Sum and
 * sum of squares are exact integers, so the result depends neither on order nor on how a set was split and merged.
 */
export class Summary {
  count = 0;
  /** Sum, least, greatest; Σ low², Σ low·high, Σ high² for sample = low + high·2^20. The sums since the last flush. */
  readonly #sums = new Float64Array([0, Infinity, -Infinity, 0, 0, 0]);
  #pending = 0;
  #total = 0n;
  #squares = 0n;
  /** The samples themselves, while they are few. */
  #samples: Float64Array | undefined = new Float64Array(16);
  /** Then counts per bucket, an octave at a time: [0] is 0–1023, [k] is 2^(k+9) … 2^(k+10) − 1. */
  #octaves: (Uint32Array | undefined)[] = [];

  add(sample: number): void {
    const sums = this.#sums;
    const n = this.count++;
    sums[0] = (sums[0] as number) + sample;
    if (sample < (sums[1] as number)) sums[1] = sample;
    if (sample > (sums[2] as number)) sums[2] = sample;
    if (sample < halfSize) {
      sums[3] = (sums[3] as number) + sample * sample;
    } else if (sample < wide) {
      const high = Math.floor(sample / halfSize);
      const low = sample - high * halfSize;
      sums[3] = (sums[3] as number) + low * low;
      sums[4] = (sums[4] as number) + low * high;
      sums[5] = (sums[5] as number) + high * high;
    } else {
      this.#squares += BigInt(sample) * BigInt(sample);
    }
    if (++this.#pending === flushEvery || sample >= wide) this.#flush();
    const samples = this.#samples;
    if (samples === undefined) this.#bucket(sample);
    else if (n < samples.length) samples[n] = sample;
    else this.#more(samples, sample);
  }

  /** Takes over the samples of another; that one is left as it was. */
  merge(from: Summary): void {
    from.#flush();
    this.#flush();
    this.#total += from.#total;
    this.#squares += from.#squares;
    this.#sums[1] = Math.min(this.#sums[1] as number, from.#sums[1] as number);
    this.#sums[2] = Math.max(this.#sums[2] as number, from.#sums[2] as number);
    const count = this.count + from.count;
    if (count <= exactSamples && this.#samples !== undefined && from.#samples !== undefined) {
      const samples = new Float64Array(Math.max(16, count));
      samples.set(this.#samples.subarray(0, this.count));
      samples.set(from.#samples.subarray(0, from.count), this.count);
      this.#samples = samples;
    } else {
      this.#toBuckets();
      if (from.#samples !== undefined) {
        for (let i = 0; i < from.count; i++) this.#bucket(from.#samples[i] as number);
      } else {
        from.#octaves.forEach((octave, k) => {
          if (octave === undefined) return;
          const mine = this.#octave(k);
          for (let j = 0; j < buckets; j++) mine[j] = (mine[j] as number) + (octave[j] as number);
        });
      }
    }
    this.count = count;
  }

  result(): Stats {
    this.#flush();
    const n = this.count;
    const total = Number(this.#total);
    // n·Σx² − (Σx)², exactly; the division comes last.
    const spread = Number(BigInt(n) * this.#squares - this.#total * this.#total);
    const [p50, p90, p99, p999] = this.#percentiles([0.5, 0.9, 0.99, 0.999]) as [number, number, number, number];
    return {
      count: n,
      total,
      min: n === 0 ? Number.NaN : (this.#sums[1] as number),
      max: n === 0 ? Number.NaN : (this.#sums[2] as number),
      mean: n === 0 ? Number.NaN : total / n,
      stddev: n < 2 ? Number.NaN : Math.sqrt(spread / n / (n - 1)),
      p50,
      p90,
      p99,
      p999,
    };
  }

  /** Carries the sums over into integers of any size, before they grow beyond what a double holds exactly. */
  #flush(): void {
    const sums = this.#sums;
    this.#pending = 0;
    this.#total += BigInt(sums[0] as number);
    this.#squares +=
      BigInt(sums[3] as number) + (BigInt(sums[4] as number) << BigInt(half + 1)) + (BigInt(sums[5] as number) << 40n);
    sums[0] = 0;
    sums.fill(0, 3);
  }

  #more(samples: Float64Array, sample: number): void {
    if (samples.length >= exactSamples) {
      this.#toBuckets();
      this.#bucket(sample);
      return;
    }
    const larger = new Float64Array(Math.min(exactSamples, samples.length * 2));
    larger.set(samples);
    larger[samples.length] = sample;
    this.#samples = larger;
  }

  #toBuckets(): void {
    const samples = this.#samples;
    if (samples === undefined) return;
    this.#samples = undefined;
    const n = Math.min(this.count, samples.length);
    for (let i = 0; i < n; i++) this.#bucket(samples[i] as number);
  }

  #bucket(sample: number): void {
    let rest = sample < bucketLimit ? sample : bucketLimit - 1;
    let shift = 0;
    if (rest >= 0x80000000) {
      shift = half;
      rest = Math.floor(rest / halfSize);
    }
    // The sample's 11 highest bits: the first says the octave, the others the bucket.
    const more = 31 - bucketBits - Math.clz32(rest);
    if (more > 0) {
      shift += more;
      rest >>>= more;
    }
    // Below 1024 nothing was shifted and rest is the bucket of the first octave, which has no leading one.
    const octave = rest < buckets ? 0 : shift + 1;
    const counts = this.#octaves[octave] ?? this.#octave(octave);
    const j = rest & (buckets - 1);
    counts[j] = (counts[j] as number) + 1;
  }

  #octave(k: number): Uint32Array {
    while (this.#octaves.length <= k) this.#octaves.push(undefined);
    const known = this.#octaves[k];
    if (known !== undefined) return known;
    const octave = new Uint32Array(buckets);
    this.#octaves[k] = octave;
    return octave;
  }

  #percentiles(fractions: readonly number[]): number[] {
    const n = this.count;
    if (n === 0) return fractions.map(() => Number.NaN);
    const ranks = fractions.map((p) => Math.max(1, Math.min(n, Math.ceil(Number((p * n).toPrecision(15))))));
    if (this.#samples !== undefined) {
      const sorted = this.#samples.slice(0, n).sort();
      return ranks.map((rank) => sorted[rank - 1] as number);
    }
    const least = this.#sums[1] as number;
    const greatest = this.#sums[2] as number;
    const found: number[] = [];
    let seen = 0;
    this.#octaves.forEach((counts, k) => {
      if (counts === undefined) return;
      const width = k < 2 ? 1 : 2 ** (k - 1);
      const start = k === 0 ? 0 : buckets * width;
      for (let j = 0; j < buckets && found.length < ranks.length; j++) {
        seen += counts[j] as number;
        while (found.length < ranks.length && seen >= (ranks[found.length] as number)) {
          const middle = start + j * width + Math.floor(width / 2);
          found.push(Math.min(greatest, Math.max(least, middle)));
        }
      }
    });
    return found;
  }
}

/** Steps per doubling: a bucket is at most 9 % wide. */
const steps = 8;

/**
 * How values (latencies, counts) are spread: exact count, sum, minimum and maximum, and a histogram with
 * logarithmic steps in which quantiles are found to within 9 %. Two kilobytes, however many values.
 */
export class Spread {
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;
  readonly #buckets = new Uint32Array(64 * steps);

  /** Adds a value of 0 or more; what is less counts as 0. */
  add(value: number): void {
    const v = Math.max(value, 0);
    this.count++;
    this.sum += v;
    if (v < this.min) this.min = v;
    if (v > this.max) this.max = v;
    const bucket = bucketOf(v);
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1;
  }

  /** Adds what another one holds. */
  merge(other: Spread): void {
    this.count += other.count;
    this.sum += other.sum;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    for (let b = 0; b < this.#buckets.length; b++) {
      this.#buckets[b] = (this.#buckets[b] as number) + (other.#buckets[b] as number);
    }
  }

  /** The value that a share of all values does not exceed, to within a step; NaN where there are none. */
  quantile(share: number): number {
    if (this.count === 0) return Number.NaN;
    let left = Math.max(1, Math.ceil(share * this.count));
    for (let b = 0; b < this.#buckets.length; b++) {
      left -= this.#buckets[b] as number;
      if (left <= 0) return Math.min(this.max, Math.max(this.min, upperEdge(b)));
    }
    return this.max;
  }

  /**
   * The largest value but for isolated ones: up to one in 500 (and at least one, where there are 20 or more) is not
   * counted when it stands eight-fold above all others. One request that waited for a
   * person does not make a second of waiting usual.
   */
  usualMax(): number {
    if (this.count < 20) return this.max;
    let spare = Math.max(1, Math.floor(this.count / 500));
    let top = this.#below(this.#buckets.length);
    while (top >= 0) {
      const n = this.#buckets[top] as number;
      const next = this.#below(top);
      if (n > spare || next < 0 || top - next < 3 * steps) break;
      spare -= n;
      top = next;
    }
    return top < 0 ? 0 : Math.min(this.max, upperEdge(top));
  }

  /** The highest bucket below `bucket` that is not empty, or -1. */
  #below(bucket: number): number {
    let b = bucket - 1;
    while (b >= 0 && this.#buckets[b] === 0) b--;
    return b;
  }
}

/** Buckets 0–7 hold the values 0–7; from 8 on, eight steps per doubling. */
function bucketOf(value: number): number {
  if (value < steps) return Math.floor(value);
  const octave = Math.floor(Math.log2(value));
  const step = Math.floor((value / 2 ** octave - 1) * steps);
  return Math.min(64 * steps - 1, (octave - 2) * steps + Math.min(steps - 1, Math.max(0, step)));
}

/** The largest whole number in a bucket. */
function upperEdge(bucket: number): number {
  if (bucket < steps) return bucket;
  const octave = Math.floor(bucket / steps) + 2;
  return Math.ceil(2 ** octave * (1 + ((bucket % steps) + 1) / steps)) - 1;
}

/** Steps per doubling: a bucket is at most 6 % wide. */
const steps = 16;
const buckets = 62 * steps;
/** So many values are kept as they are. */
const few = 32;

/**
 * How far values (latencies, counts) usually reach, for judging what is far outside: to within 6 %, which is no figure to show
 * as exact (`Summary` has those). Four kilobytes at most, however many values.
 */
export class Spread {
  count = 0;
  max = 0;
  #few: number[] = [];
  #buckets: Uint32Array | undefined;

  /** Adds a value of 0 or more; what is less counts as 0. */
  add(value: number): void {
    const v = Math.max(value, 0);
    this.count++;
    if (v > this.max) this.max = v;
    if (this.#buckets !== undefined) addTo(this.#buckets, v);
    else if (this.#few.length < few) this.#few.push(v);
    else addTo(this.#spill(), v);
  }

  /** Adds what another one holds. */
  merge(other: Spread): void {
    if (other.#buckets === undefined) {
      for (const value of other.#few) this.add(value);
      return;
    }
    const own = this.#buckets ?? this.#spill();
    this.count += other.count;
    this.max = Math.max(this.max, other.max);
    other.#buckets.forEach((n, b) => {
      own[b] = (own[b] as number) + n;
    });
  }

  /**
   * The largest value but for isolated ones: up to one in 500 (and at least one, where there are 20 or more) is not
   * counted when it stands eight-fold above all others. One request that waited for a
   * person does not make a second of waiting usual.
   */
  usualMax(): number {
    if (this.count < 20) return this.max;
    const all = this.#buckets ?? histogram(this.#few);
    const spare = Math.max(1, Math.floor(this.count / 500));
    let bucket = below(all, all.length);
    let usual = bucket;
    for (let isolated = all[bucket] as number; isolated <= spare; isolated += all[bucket] as number) {
      const next = below(all, bucket);
      if (next < 0) break;
      if (bucket - next >= 3 * steps) usual = next;
      bucket = next;
    }
    return Math.min(this.max, upperEdge(usual));
  }

  #spill(): Uint32Array {
    const all = histogram(this.#few);
    this.#few = [];
    this.#buckets = all;
    return all;
  }
}

function histogram(values: readonly number[]): Uint32Array {
  const all = new Uint32Array(buckets);
  for (const value of values) addTo(all, value);
  return all;
}

function addTo(all: Uint32Array, value: number): void {
  const bucket = bucketOf(value);
  all[bucket] = (all[bucket] as number) + 1;
}

/** The highest bucket below `bucket` that is not empty, or -1. */
function below(all: Uint32Array, bucket: number): number {
  let b = bucket - 1;
  while (b >= 0 && all[b] === 0) b--;
  return b;
}

/** Buckets 0–15 hold the values 0–15; from 16 on, sixteen steps per doubling. */
function bucketOf(value: number): number {
  if (value < steps) return Math.floor(value);
  const octave = Math.floor(Math.log2(value));
  const step = Math.floor((value / 2 ** octave - 1) * steps);
  return Math.min(buckets - 1, (octave - 3) * steps + Math.min(steps - 1, Math.max(0, step)));
}

/** The largest whole number in a bucket. */
function upperEdge(bucket: number): number {
  if (bucket < steps) return bucket;
  const octave = Math.floor(bucket / steps) + 3;
  return Math.ceil(2 ** octave * (1 + ((bucket % steps) + 1) / steps)) - 1;
}

/** Time bins in memory: between half of them and all are in use once the trace is longer than the first bin width. */
const timeBins = 1024;
/** Width of a time bin to begin with, in ns or cycles. */
const firstStep = 2 ** 14;
/** Latency buckets per octave, as a power of two. */
const bits = 3;
const perOctave = 1 << bits;
/** Latencies from 2^44 ns (4.9 h) on share the last bucket. */
export const latencyBins = (44 - bits + 1) * perOctave;

/** How many spans began in each stretch of time and lasted how long. */
export type Heat = {
  /** Where the first time bin begins, from the trace's origin, and how wide each is. */
  from: number;
  step: number;
  /** Bounds of the latency buckets, one more than there are buckets. The last is Infinity where the last bucket has no end. */
  edges: number[];
  /** Counts by time bin, then latency bucket. */
  counts: number[][];
  /** Number of spans in all. */
  total: number;
};

/** A heat map as plain data, which can be handed to another thread. */
export type HeatPart = { from: number; step: number; counts: Uint32Array; total: number };

/**
 * Counts spans by time and latency without knowing how long the trace will be: time bins become twice as wide,
 * two and two merged, whenever they run out. Latency buckets are eighths of octaves, of equal width in each octave.
 */
export class HeatMap {
  readonly #counts = new Uint32Array(timeBins * latencyBins);
  #from = Number.NaN;
  #step = firstStep;
  #perStep = 1 / firstStep;
  #total = 0;

  /** Where time begins; to be called before the first span, with a time that none precedes. */
  start(time: number): void {
    if (Number.isNaN(this.#from)) this.#from = time;
  }

  add(begin: number, duration: number): void {
    // An earlier span can only come from another trace.
    let bin = Math.max(0, Math.floor((begin - this.#from) * this.#perStep));
    while (bin >= timeBins) {
      this.#coarsen();
      bin = Math.floor((begin - this.#from) * this.#perStep);
    }
    const at = bin * latencyBins + latencyBin(duration);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#total++;
  }

  /** Takes over the spans of another with the same beginning, which stays as it was. */
  merge(other: HeatMap): void {
    this.join(other.part());
  }

  /** What it counted, as plain data. */
  part(): HeatPart {
    const last = this.#counts.findLastIndex((n) => n > 0);
    return { from: this.#from, step: this.#step, counts: this.#counts.slice(0, last + 1), total: this.#total };
  }

  /** Takes over what another with the same beginning counted. */
  join({ from, step, counts, total }: HeatPart): void {
    this.start(from);
    while (this.#step < step) this.#coarsen();
    const bins = this.#step / step;
    counts.forEach((n, at) => {
      if (n === 0) return;
      const to = Math.floor(Math.floor(at / latencyBins) / bins) * latencyBins + (at % latencyBins);
      this.#counts[to] = (this.#counts[to] as number) + n;
    });
    this.#total += total;
  }

  /** The counts, without the empty buckets at either end of latency and the empty bins at the end of time. */
  result(): Heat {
    let low = latencyBins;
    let high = -1;
    let last = -1;
    for (let t = 0; t < timeBins; t++) {
      for (let l = 0; l < latencyBins; l++) {
        if (this.#counts[t * latencyBins + l] === 0) continue;
        low = Math.min(low, l);
        high = Math.max(high, l);
        last = t;
      }
    }
    const edges: number[] = [];
    for (let l = low; l <= high + 1; l++) edges.push(l === latencyBins ? Infinity : latencyEdge(l));
    const counts: number[][] = [];
    for (let t = 0; t <= last; t++) {
      counts.push([...this.#counts.subarray(t * latencyBins + low, t * latencyBins + high + 1)]);
    }
    return { from: this.#from, step: this.#step, edges: high < 0 ? [] : edges, counts, total: this.#total };
  }

  #coarsen(): void {
    const counts = this.#counts;
    for (let t = 0; t < timeBins / 2; t++) {
      for (let l = 0; l < latencyBins; l++) {
        const from = 2 * t * latencyBins + l;
        counts[t * latencyBins + l] = (counts[from] as number) + (counts[from + latencyBins] as number);
      }
    }
    counts.fill(0, (timeBins / 2) * latencyBins);
    this.#step *= 2;
    this.#perStep /= 2;
  }
}

/** The latency bucket of a duration. */
export function latencyBin(duration: number): number {
  let rest = duration;
  let octave = 0;
  if (rest >= 0x80000000) {
    if (rest >= 2 ** 44) return latencyBins - 1;
    rest = Math.floor(rest / 2 ** 20);
    octave = 20;
  }
  if (rest < perOctave && octave === 0) return rest;
  const shift = 31 - bits - Math.clz32(rest);
  return (shift + octave + 1) * perOctave + ((rest >>> shift) & (perOctave - 1));
}

/** The least duration of a bucket. */
export function latencyEdge(bin: number): number {
  if (bin < perOctave) return bin;
  return (perOctave + (bin % perOctave)) * 2 ** (Math.floor(bin / perOctave) - 1);
}

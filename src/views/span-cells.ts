import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import { latencyBin, latencyBins } from './heatmap.ts';

/** Time bins at most: between half of them and all are in use once the trace is longer than the first bin width. */
const timeBins = 512;
const timeBits = 9;
/** Width of a time bin to begin with, in ns or cycles. */
const firstStep = 2 ** 14;
/** Cells that are kept before time bins are merged; a cell takes about 50 bytes. */
const maxCells = 1 << 18;
/** Series whose cells are looked up by place. */
const nearSeries = 64;
/** Series that callers may tell apart. */
export const maxSeries = 1 << 13;

/** Counts of spans by series, time and latency, sparse. Columns: row `i` of each belongs to cell `i`, in no order. */
export type Cells = {
  /** Where the first time bin begins, from the trace's origin, how wide each is, and how many there are. */
  from: number;
  step: number;
  bins: number;
  count: number;
  series: Uint32Array;
  time: Uint32Array;
  /** Latency bucket; `latencyEdge` gives its bounds. */
  latency: Uint32Array;
  spans: Float64Array;
  /** Sum of their durations, and the longest with its beginning. */
  total: Float64Array;
  worst: Float64Array;
  worstBegin: Float64Array;
};

/**
 * A heat map for each of many series (an exit reason on a vCPU, say) in bounded memory, without knowing how long the trace will
 * be or how many series there are: when either runs out, time bins become twice as wide, two and two merged.
 */
export class SpanCells {
  #from = Number.NaN;
  #step = firstStep;
  #bins = 0;
  #ids = new IdTable(1024);
  #spans = new Float64Array(1024);
  #total = new Float64Array(1024);
  #worst = new Float64Array(1024);
  #worstBegin = new Float64Array(1024);
  /** The id of each cell of one time bin, by series and latency, plus 1: spans come nearly in order of time. */
  #near = new Int32Array(0);
  #nearBin = -1;

  /** Where time begins; to be called before the first span, with a time that none precedes. */
  start(time: number): void {
    if (Number.isNaN(this.#from)) this.#from = time;
  }

  add(series: number, begin: number, duration: number): void {
    let bin = Math.max(0, Math.floor((begin - this.#from) / this.#step));
    while (bin >= timeBins) {
      this.coarsen();
      bin = Math.floor((begin - this.#from) / this.#step);
    }
    if (bin >= this.#bins) this.#bins = bin + 1;
    const latency = latencyBin(duration);
    if (series >= nearSeries) this.#add(series, bin, latency, 1, duration, duration, begin);
    else {
      if (bin !== this.#nearBin) {
        this.#near.fill(0);
        this.#nearBin = bin;
      }
      const place = series * latencyBins + latency;
      if (place >= this.#near.length) this.#near = grown(this.#near, 0, (series + 1) * latencyBins);
      const known = (this.#near[place] as number) - 1;
      if (known >= 0) this.#count(known, 1, duration, duration, begin);
      else this.#near[place] = this.#add(series, bin, latency, 1, duration, duration, begin) + 1;
    }
    // One bin cannot be merged any further.
    while (this.#ids.size > maxCells && this.#bins > 1) this.coarsen();
  }

  /** Makes time bins twice as wide. */
  coarsen(): void {
    const { count, series, time, latency, spans, total, worst, worstBegin } = this.result();
    this.#ids = new IdTable(count);
    this.#nearBin = -1;
    this.#step *= 2;
    this.#bins = Math.ceil(this.#bins / 2);
    this.#spans.fill(0);
    this.#total.fill(0);
    this.#worst.fill(-1);
    for (let i = 0; i < count; i++) {
      this.#add(
        series[i] as number,
        (time[i] as number) >>> 1,
        latency[i] as number,
        spans[i] as number,
        total[i] as number,
        worst[i] as number,
        worstBegin[i] as number,
      );
    }
  }

  result(): Cells {
    const count = this.#ids.size;
    const series = new Uint32Array(count);
    const time = new Uint32Array(count);
    const latency = new Uint32Array(count);
    for (let id = 0; id < count; id++) {
      const low = this.#ids.low(id);
      series[id] = this.#ids.high(id);
      time[id] = low & (timeBins - 1);
      latency[id] = low >>> timeBits;
    }
    return {
      from: this.#from,
      step: this.#step,
      bins: this.#bins,
      count,
      series,
      time,
      latency,
      spans: this.#spans.slice(0, count),
      total: this.#total.slice(0, count),
      worst: this.#worst.slice(0, count),
      worstBegin: this.#worstBegin.slice(0, count),
    };
  }

  /** Gives the cell's id. */
  #add(
    series: number,
    bin: number,
    latency: number,
    spans: number,
    total: number,
    worst: number,
    begin: number,
  ): number {
    const at = this.#ids.id(series, (latency << timeBits) | bin);
    if (at === this.#spans.length) this.#grow();
    if (this.#spans[at] === 0) this.#worst[at] = -1;
    this.#count(at, spans, total, worst, begin);
    return at;
  }

  #count(at: number, spans: number, total: number, worst: number, begin: number): void {
    this.#spans[at] = (this.#spans[at] as number) + spans;
    this.#total[at] = (this.#total[at] as number) + total;
    if (worst > (this.#worst[at] as number)) {
      this.#worst[at] = worst;
      this.#worstBegin[at] = begin;
    }
  }

  #grow(): void {
    this.#spans = grown(this.#spans);
    this.#total = grown(this.#total);
    this.#worst = grown(this.#worst);
    this.#worstBegin = grown(this.#worstBegin);
  }
}

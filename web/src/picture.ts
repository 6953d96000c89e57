import type { PictureFrame } from '../../src/report/page-data.ts';
import { latencyEdge } from '../../src/views/heatmap.ts';
import type { Cells } from '../../src/views/span-cells.ts';

/** Which spans to look at: for each dimension the value asked for, if any, and whether those that stand apart. */
export type Filter = { values: (number | undefined)[]; apart: boolean };

/** A part of the picture: times from the trace's origin, latencies; `to` and `most` are not part of it. */
export type Region = { from: number; to: number; least: number; most: number };

/** The spans of a filter as a dense grid, `bins` times `rows`, row by row of time. */
export type Grid = {
  bins: number;
  /** Latency bucket of the first row, and number of rows. */
  first: number;
  rows: number;
  counts: Float64Array;
  most: number;
  total: number;
  /** The longest span of each place, with its beginning and its series; -1 where there is none. */
  worst: Float64Array;
  worstBegin: Float64Array;
  worstSeries: Int32Array;
};

/** Figures of some spans. Percentiles are those of the cells: within an eighth of the true ones. */
export type Figures = {
  count: number;
  total: number;
  max: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
};

/** A picture of spans: cells by series, time and latency, and the questions that the page asks of them. */
export class Picture {
  readonly frame: PictureFrame;
  readonly cells: Cells;
  /** Latency buckets that are in use: the first, and one past the last. */
  readonly first: number;
  readonly last: number;
  readonly #apart: boolean[];

  constructor(frame: PictureFrame, cells: Cells) {
    this.frame = frame;
    this.cells = cells;
    let first = Number.POSITIVE_INFINITY;
    let last = 0;
    for (const latency of cells.latency) {
      first = Math.min(first, latency);
      last = Math.max(last, latency + 1);
    }
    this.first = Math.min(first, last);
    this.last = last;
    const apart = new Set(frame.apart?.values ?? []);
    this.#apart = frame.series.map((values) => apart.has(values[0] as number));
  }

  /** All of time, and the latencies that a grid has spans of. */
  around(grid: Grid): Region {
    const { from, step, bins } = this.frame;
    let low = grid.rows;
    let high = 0;
    grid.counts.forEach((n, at) => {
      if (n === 0) return;
      low = Math.min(low, at % grid.rows);
      high = Math.max(high, (at % grid.rows) + 1);
    });
    if (high === 0) [low, high] = [0, grid.rows];
    return {
      from,
      to: from + step * bins,
      least: latencyEdge(this.first + low),
      most: latencyEdge(this.first + high),
    };
  }

  /** The smallest region made of whole cells that holds another. */
  snap(region: Region): Region {
    const { from, step, bins } = this.frame;
    const bin = (time: number) => Math.min(bins, Math.max(0, time));
    return {
      from: from + step * bin(Math.floor((region.from - from) / step)),
      to: from + step * bin(Math.ceil((region.to - from) / step)),
      least: latencyEdge(this.rowAt(region.least)),
      most: latencyEdge(Math.min(this.last, this.rowAt(region.most - 1e-9) + 1)),
    };
  }

  /** The latency bucket that a latency falls into, of those in use. */
  rowAt(latency: number): number {
    let low = this.first;
    let high = this.last;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (latencyEdge(middle) <= latency) low = middle;
      else high = middle;
    }
    return low;
  }

  takes(filter: Filter): boolean[] {
    return this.frame.series.map(
      (values, series) =>
        (this.frame.apart === undefined || this.#apart[series] === filter.apart) &&
        filter.values.every((value, d) => value === undefined || values[d] === value),
    );
  }

  grid(filter: Filter): Grid {
    const takes = this.takes(filter);
    const { bins } = this.frame;
    const rows = this.last - this.first;
    const grid: Grid = {
      bins,
      first: this.first,
      rows,
      counts: new Float64Array(bins * rows),
      most: 0,
      total: 0,
      worst: new Float64Array(bins * rows).fill(-1),
      worstBegin: new Float64Array(bins * rows),
      worstSeries: new Int32Array(bins * rows).fill(-1),
    };
    const { count, series, time, latency, spans, worst, worstBegin } = this.cells;
    for (let i = 0; i < count; i++) {
      if (takes[series[i] as number] !== true) continue;
      const at = (time[i] as number) * rows + (latency[i] as number) - this.first;
      const n = (grid.counts[at] as number) + (spans[i] as number);
      grid.counts[at] = n;
      grid.total += spans[i] as number;
      if (n > grid.most) grid.most = n;
      if ((worst[i] as number) > (grid.worst[at] as number)) {
        grid.worst[at] = worst[i] as number;
        grid.worstBegin[at] = worstBegin[i] as number;
        grid.worstSeries[at] = series[i] as number;
      }
    }
    return grid;
  }

  /** Percentiles and maximum of each time bin; null where it has no spans. */
  lines(grid: Grid, shares: readonly number[]): { shares: (number | null)[][]; max: (number | null)[] } {
    const lines: (number | null)[][] = shares.map(() => []);
    const max: (number | null)[] = [];
    for (let bin = 0; bin < grid.bins; bin++) {
      const counts = grid.counts.subarray(bin * grid.rows, (bin + 1) * grid.rows);
      const worst = grid.worst.subarray(bin * grid.rows, (bin + 1) * grid.rows).reduce((a, b) => Math.max(a, b), -1);
      const ranks = ranked(counts, shares, this.first, worst);
      for (const [i, line] of lines.entries()) line.push(ranks[i] ?? null);
      max.push(worst < 0 ? null : worst);
    }
    return { shares: lines, max };
  }

  /**
   * Figures of the spans of a region (or of all) by their value in one dimension, those in use only. Spans that stand apart
   * are taken, too; the filter's own value in that dimension is not looked at.
   */
  figuresBy(dimension: number, filter: Filter, region: Region | undefined): Map<number, Figures> {
    const rows = this.last - this.first;
    const by = new Map<number, { figures: Figures; counts: Float64Array }>();
    const values = filter.values.map((value, d) => (d === dimension ? undefined : value));
    const here = region === undefined ? undefined : this.#places(region);
    const { count, series, time, latency, spans, total, worst } = this.cells;
    const takes = this.frame.series.map((own) => values.every((value, d) => value === undefined || own[d] === value));
    for (let i = 0; i < count; i++) {
      if (takes[series[i] as number] !== true) continue;
      if (here !== undefined && !here(time[i] as number, latency[i] as number)) continue;
      const value = this.frame.series[series[i] as number]?.[dimension] as number;
      let one = by.get(value);
      if (one === undefined) {
        one = {
          figures: { count: 0, total: 0, max: 0, p50: 0, p90: 0, p99: 0, p999: 0 },
          counts: new Float64Array(rows),
        };
        by.set(value, one);
      }
      one.figures.count += spans[i] as number;
      one.figures.total += total[i] as number;
      one.figures.max = Math.max(one.figures.max, worst[i] as number);
      const row = (latency[i] as number) - this.first;
      one.counts[row] = (one.counts[row] as number) + (spans[i] as number);
    }
    const result = new Map<number, Figures>();
    for (const [value, { figures, counts }] of by) {
      const [p50, p90, p99, p999] = ranked(counts, [0.5, 0.9, 0.99, 0.999], this.first, figures.max) as [
        number,
        number,
        number,
        number,
      ];
      result.set(value, { ...figures, p50, p90, p99, p999 });
    }
    return result;
  }

  /** How many spans of each value in a dimension fell into each latency bucket in use. */
  histograms(dimension: number, filter: Filter): Map<number, Float64Array> {
    const by = new Map<number, Float64Array>();
    const { count, series, latency, spans } = this.cells;
    for (let i = 0; i < count; i++) {
      const own = this.frame.series[series[i] as number] as number[];
      if (!filter.values.every((value, d) => d === dimension || value === undefined || own[d] === value)) continue;
      const value = own[dimension] as number;
      let counts = by.get(value);
      if (counts === undefined) {
        counts = new Float64Array(this.last - this.first);
        by.set(value, counts);
      }
      const row = (latency[i] as number) - this.first;
      counts[row] = (counts[row] as number) + (spans[i] as number);
    }
    return by;
  }

  /** Whether a cell lies in a region that is made of whole cells. */
  #places(region: Region): (time: number, latency: number) => boolean {
    const { from, step } = this.frame;
    const first = Math.round((region.from - from) / step);
    const last = Math.round((region.to - from) / step);
    return (time, latency) =>
      time >= first && time < last && latencyEdge(latency) >= region.least && latencyEdge(latency) < region.most;
  }
}

/** Nearest-rank percentiles of counts by latency bucket: the middle of the bucket, no more than the longest. */
function ranked(counts: Float64Array, shares: readonly number[], first: number, worst: number): number[] {
  const total = counts.reduce((a, b) => a + b, 0);
  if (total === 0) return [];
  const found: number[] = [];
  let seen = 0;
  for (let row = 0; row < counts.length && found.length < shares.length; row++) {
    seen += counts[row] as number;
    while (found.length < shares.length && seen >= Math.max(1, Math.ceil((shares[found.length] as number) * total))) {
      const low = latencyEdge(first + row);
      found.push(Math.min(worst, Math.floor((low + latencyEdge(first + row + 1)) / 2)));
    }
  }
  return found;
}

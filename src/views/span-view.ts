import { Summary, type SummaryPart } from '../spans/summary.ts';
import { type Heat, HeatMap, type HeatPart } from './heatmap.ts';
import { Longest, type LongestPart } from './longest.ts';

/** Spans of any kind that ended within a batch. */
export type SpanColumns = {
  readonly count: number;
  /** Time of the beginning from the trace's origin, and how long; in the clock's unit. */
  readonly begin: Float64Array;
  readonly duration: Float64Array;
};

export type SpanViewOptions = {
  heatmap?: boolean | undefined;
  /** How many of the longest to keep, and from which duration on. Nothing is kept where neither is given. */
  slow?: number | undefined;
  than?: number | undefined;
};

/** A view as plain data, which can be handed to another thread. */
export type SpanViewPart<Slow> = {
  summaries: readonly (SummaryPart | undefined)[];
  heat: HeatPart | undefined;
  slowest: LongestPart<Slow> | undefined;
};

/** Spans taken in one go, so that the loop's function has been called often, and is compiled well, before much has gone by. */
const slice = 256;

/** Slow spans shown where only a threshold was given. */
export const defaultSlow = 1000;

/**
 * What every kind of span is shown as: statistics by group, a heat map, and the longest of them. `Slow` is what is kept
 * of a long one. Groups are small numbers that mean something to the caller only.
 */
export class SpanView<Slow extends { begin: number; duration: number }> {
  /** By group; undefined where it has no span. */
  readonly summaries: (Summary | undefined)[] = [];
  readonly slowest: Longest<Slow> | undefined;
  readonly #heat: HeatMap | undefined;

  constructor({ heatmap, slow, than }: SpanViewOptions) {
    if (heatmap === true) this.#heat = new HeatMap();
    if (slow !== undefined || than !== undefined) this.slowest = new Longest(slow ?? defaultSlow, than ?? -1);
  }

  /** Takes spans into the statistics of their groups. */
  summarise({ count, duration }: SpanColumns, groups: Int32Array): void {
    for (let from = 0; from < count; from += slice) this.#add(duration, groups, from, Math.min(count, from + slice));
  }

  #add(duration: Float64Array, groups: Int32Array, from: number, to: number): void {
    const { summaries } = this;
    for (let k = from; k < to; k++) {
      const group = groups[k] as number;
      const summary = summaries[group] ?? this.#newSummary(group);
      summary.add(duration[k] as number);
    }
  }

  /** Takes one span into the statistics of its group and the heat map; `start` as for `draw`. */
  add(begin: number, duration: number, group: number, start: number): void {
    (this.summaries[group] ?? this.#newSummary(group)).add(duration);
    this.#heat?.start(start);
    this.#heat?.add(begin, duration);
  }

  /** Draws spans into the heat map, where there is one. `start` is a time that none precedes, `scale` what times are multiplied by. */
  draw({ count, begin, duration }: SpanColumns, start: number, scale = 1, skip?: (k: number) => boolean): void {
    const heat = this.#heat;
    if (heat === undefined || Number.isNaN(start)) return;
    heat.start(start * scale);
    for (let k = 0; k < count; k++) {
      if (skip?.(k) === true) continue;
      heat.add((begin[k] as number) * scale, duration[k] as number);
    }
  }

  /** Takes over the heat map and the slow spans of another with the same options, whose time begins with the same; not its statistics. */
  merge(other: SpanView<Slow>): void {
    if (other.#heat !== undefined) this.#heat?.merge(other.#heat);
    if (other.slowest !== undefined) this.slowest?.merge(other.slowest);
  }

  /** What it knows. */
  part(): SpanViewPart<Slow> {
    return {
      summaries: this.summaries.map((summary) => summary?.part()),
      heat: this.#heat?.part(),
      slowest: this.slowest?.part(),
    };
  }

  /** Takes over what another with the same options knows, whose time begins with the same; `groupOf` gives what its groups are here. */
  join({ summaries, heat, slowest }: SpanViewPart<Slow>, groupOf: (group: number) => number): void {
    summaries.forEach((summary, theirs) => {
      if (summary === undefined) return;
      const group = groupOf(theirs);
      (this.summaries[group] ?? this.#newSummary(group)).join(summary);
    });
    if (heat !== undefined) this.#heat?.join(heat);
    if (slowest !== undefined) this.slowest?.join(slowest);
  }

  heat(): Heat | undefined {
    return this.#heat?.result();
  }

  /** The statistics of several groups as one. */
  merged(groups: Iterable<number>): Summary {
    const all = new Summary();
    for (const group of groups) {
      const summary = this.summaries[group];
      if (summary !== undefined) all.merge(summary);
    }
    return all;
  }

  #newSummary(group: number): Summary {
    // No holes: arrays with holes are slow.
    while (this.summaries.length <= group) this.summaries.push(undefined);
    const summary = new Summary();
    this.summaries[group] = summary;
    return summary;
  }
}

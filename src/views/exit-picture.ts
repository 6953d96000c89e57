import type { ExitPairing, ExitSpans } from '../spans/exits.ts';
import type { Window } from '../trace/analysis.ts';
import { IdTable } from '../trace/id-table.ts';
import type { ExitLog, SlowExit } from './slowest.ts';
import { type Cells, maxSeries, SpanCells } from './span-cells.ts';

/** Logs kept at most, and time bins they are spread over to begin with; then these are merged. */
const maxLogs = 1500;
const logBins = 64;
const maxReasons = 1 << 16;
const firstStep = 2 ** 20;

/** Exits by reason and vCPU thread over time and latency, and the slowest of each place told in full. */
export type Picture = {
  cells: Cells;
  /** What the cells' series are: index into the pairing's threads, and into `reasons`. */
  series: { thread: number; reason: number }[];
  reasons: { name: string; halt: boolean }[];
  /** The slowest exit of each reason, octave of latency and stretch of time, in order of time. */
  logs: SlowExit[];
};

/**
 * What a page needs to draw exits by reason, vCPU or VM, and to tell what happened at any place of the picture, in bounded
 * memory. Which exits to tell cannot be known while reading: for each reason, octave and stretch of time it is the slowest.
 */
export class ExitPicture implements ExitLog {
  /** Is given every batch of spans, too. */
  readonly #also: ((spans: ExitSpans) => void) | undefined;
  readonly #cells = new SpanCells();
  #pairing: ExitPairing | undefined;
  readonly #series = new IdTable();
  #logs = new Map<number, SlowExit>();
  #from = Number.NaN;
  #step = firstStep;
  /** Where the exit belongs that was admitted last. */
  #place = 0;

  constructor(also?: (spans: ExitSpans) => void) {
    this.#also = also;
  }

  /** Which stretch of the recording it is of; a whole one where nobody tells. */
  within({ from }: Window): void {
    this.#cells.start(from);
  }

  /** Takes the exits that ended with a batch. */
  take(spans: ExitSpans, pairing: ExitPairing): void {
    if (spans.count === 0) return;
    this.#pairing = pairing;
    this.#also?.(spans);
    this.#cells.start(0);
    const { thread, reason, begin, duration } = spans;
    for (let k = 0; k < spans.count; k++) {
      let series = this.#series.find(thread[k] as number, reason[k] as number);
      if (series < 0) {
        const room = this.#series.size < maxSeries;
        series = room ? this.#series.id(thread[k] as number, reason[k] as number) : maxSeries - 1;
      }
      this.#cells.add(series, begin[k] as number, duration[k] as number);
    }
  }

  /** For `Slowest`: whether none of its place was slower so far. */
  admits(reason: number, begin: number, duration: number): boolean {
    if (Number.isNaN(this.#from)) this.#from = begin;
    // An exit that began before the first one ended belongs to the first stretch of time.
    let bin = Math.max(0, Math.floor((begin - this.#from) / this.#step));
    while (bin >= logBins) {
      this.#mergeLogs();
      bin = Math.floor((begin - this.#from) / this.#step);
    }
    const octave = Math.floor(Math.log2(duration + 1));
    this.#place = (Math.min(reason, maxReasons - 1) * 64 + octave) * logBins + bin;
    const known = this.#logs.get(this.#place);
    return known === undefined || known.duration < duration;
  }

  /** Keeps an exit that was admitted. */
  add(exit: SlowExit): void {
    this.#logs.set(this.#place, exit);
    while (this.#logs.size > maxLogs && this.#step < 2 ** 62) this.#mergeLogs();
  }

  result(): Picture {
    const series: Picture['series'] = [];
    for (let id = 0; id < this.#series.size; id++) {
      series.push({ thread: this.#series.high(id), reason: this.#series.low(id) });
    }
    const { names, halt } = this.#pairing?.reasons ?? { names: [], halt: [] };
    return {
      cells: this.#cells.result(),
      series,
      reasons: names.map((name, id) => ({ name, halt: halt[id] === true })),
      logs: [...this.#logs.values()].sort((a, b) => a.begin - b.begin),
    };
  }

  /** Makes the picture coarser in time, to take less room. */
  coarsen(): void {
    this.#cells.coarsen();
  }

  /** Makes stretches of time twice as long. */
  #mergeLogs(): void {
    const logs = this.#logs;
    this.#logs = new Map();
    this.#step *= 2;
    for (const [place, log] of logs) {
      const bin = place % logBins;
      const to = place - bin + (bin >>> 1);
      const known = this.#logs.get(to);
      if (known === undefined || known.duration < log.duration) this.#logs.set(to, log);
    }
  }
}

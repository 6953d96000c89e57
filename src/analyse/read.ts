import { setImmediate } from 'node:timers/promises';
import { elapsed } from '../own/elapsed.ts';
import { type Analysis, isStretch, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { addLoss, emptyReading, type Reading } from '../views/reading.ts';
import { lateHoles, rememberHoles } from './foresight.ts';
import { spareMemory } from './spare-memory.ts';
import { UsageError } from './usage-error.ts';

/** A point of a trace's time: counted from its first event (its origin), or absolute. */
export type Moment = {
  /** In ns. */
  value: bigint;
  absolute: boolean;
  /** The same for a clock of cycles, where it can be one of its time stamps. */
  cycles?: bigint | undefined;
};

export type ReadOptions = {
  /** Events before this moment are learnt from, and not counted. */
  from?: Moment | undefined;
  /** Events after this moment are left out, and not read. */
  to?: Moment | undefined;
  /** What is found is given out as it is found: it cannot be read again. */
  once?: true | undefined;
  /** Who looks on, and may end the reading. */
  watch?: Watch | undefined;
};

/** Who looks on while a trace is read. */
export interface Watch {
  /** The promise's result, or undefined where the reading is to end now. */
  orElse<T>(promise: Promise<T>): Promise<T | undefined>;
  /** Why it ended, and where, as a sentence. */
  stopped(): string;
  /** Called after every batch with how things stand, and waited for. */
  batch?(reading: Reading): Promise<void> | undefined;
}

/** An analysis that may end the reading, and may want to wait between batches. */
export type ReadAnalysis = Analysis & {
  /** True once it needs no more events. */
  enough?: boolean;
  /** Called after every batch: for output that must not pile up. */
  settle?(): Promise<void>;
};

/** How long nothing else gets a turn, in ms. */
const yieldInterval = 50;

/**
 * Reads a trace once and feeds every analysis. Ends where `watch` says so, at the end of the time range or where an analysis has enough. Throws the
 * trace's damage where not one event could be read before it, and a UsageError where there can be no such time range.
 */
export async function read(
  trace: Trace,
  analyses: readonly ReadAnalysis[],
  { from: first, to: until, once, watch }: ReadOptions = {},
): Promise<Reading> {
  const reading = emptyReading();
  // Each is asked, whatever the others say: they learn of the types that way.
  const wants = (type: EventType) => analyses.map((analysis) => analysis.wants(type)).includes(true);
  const batches = trace.batches(wants)[Symbol.asyncIterator]();
  let yielded = elapsed();
  let range: [from: number, to: number] | undefined;
  // Of what is read ahead nothing is known where the reading is interrupted.
  let end = () => trace.last;
  const begin = () => {
    range = rangeOf({ from: first, to: until }, trace);
    reading.window = windowOf(range, end);
    for (const analysis of analyses) analysis.within?.(reading.window);
  };
  try {
    for (;;) {
      const next = watch === undefined ? await batches.next() : await watch.orElse(batches.next());
      if (next === undefined) {
        end = () => reading.last;
        reading.partial.push(watch?.stopped() ?? '');
        break;
      }
      if (next.done === true) break;
      const batch = next.value;
      if (range === undefined && batch.count > 0) begin();
      const [from, to] = range ?? [-Infinity, Infinity];
      const last = batch.count > 0 ? (batch.time[batch.count - 1] as number) : Number.NaN;
      const known = batch.losses;
      const learnt = batch.count > 0 && (batch.time[0] as number) < from;
      if (learnt) learn(trace, batch, from, analyses);
      const { count } = batch;
      if (to < Infinity) cut(batch, to);
      const losses = known.filter((loss) => loss.to >= from && loss.from <= to);
      for (const loss of losses) addLoss(reading, loss);
      if (batch.count > 0) {
        if (reading.events === 0) reading.first = batch.time[0] as number;
        reading.last = batch.time[batch.count - 1] as number;
        reading.events += batch.count;
      }
      if (batch.count > 0 || losses.length > 0) {
        for (const analysis of analyses) {
          batch.losses = learnt && analysis.within !== undefined ? [] : losses;
          analysis.batch(trace, batch);
          if (analysis.settle !== undefined) await analysis.settle();
        }
      }
      const now = elapsed();
      if (now - yielded > yieldInterval) {
        // Bytes at hand need no waiting: without this, neither Ctrl-C nor a progress bar would get a turn.
        await setImmediate();
        spareMemory();
        yielded = elapsed();
      }
      const looking = watch?.batch?.(reading);
      if (looking !== undefined) await looking;
      if (analyses.some((analysis) => analysis.enough === true)) break;
      if (last > to) {
        const curious = analyses.filter(({ behind }) => behind !== undefined);
        if (!curious.some((analysis) => analysis.curious?.() ?? true)) break;
        keep(batch, batch.count, count);
        for (const analysis of curious) analysis.behind?.(trace, batch);
      }
    }
  } finally {
    // Not awaited: where the reading was stopped, the read under way may never end.
    void batches.return?.().catch(() => {});
  }
  if (range === undefined) {
    reading.window = wholeOf(trace);
    for (const analysis of analyses) analysis.within?.(reading.window);
  }
  if (once !== true && reading.partial.length === 0) await rememberHoles(trace);
  for (const analysis of analyses) analysis.finish?.(reading.window.to);
  // That nothing happened in a stretch is an answer; not where the recording does not reach to it.
  if (range !== undefined && reading.partial.length === 0 && (range[0] > trace.last || range[1] < 0)) {
    const [begins, ends] = [0, trace.last].map((time) => timestamp(trace.origin, time, trace.clock.unit));
    throw new TraceError(
      trace.file,
      `there is nothing in that stretch of time; the trace begins at ${begins} and ends at ${ends}`,
    );
  }
  // They came to be known in an order that depends on what else was asked for.
  reading.losses.sort((a, b) => a.from - b.from || a.to - b.to || a.cpu - b.cpu);
  reading.unmarked.places = reading.losses.flatMap((loss) => {
    if (loss.unmarked === undefined || loss.unmarked.why === 'silence') return [];
    const [from, to] = [loss.from, loss.to].map((time) => timestamp(trace.origin, time, trace.clock.unit));
    return [{ from: from as string, to: to as string, cpu: loss.cpu, ...loss.unmarked }];
  });
  if (trace.damage !== undefined) {
    if (reading.events === 0 && !isStretch(reading.window)) throw trace.damage;
    reading.partial.push(trace.damage.message);
  }
  reading.notes.push(...trace.notes);
  reading.late = lateHoles(trace);
  reading.alignments = trace.alignments;
  return reading;
}

/** The stretch that was asked for, as offsets from the trace's origin. Throws a UsageError where there can be none. */
function rangeOf({ from, to }: Pick<ReadOptions, 'from' | 'to'>, trace: Trace): [from: number, to: number] {
  const { unit } = trace.clock;
  for (const moment of [from, to]) {
    if (moment === undefined || unit === 'ns') continue;
    if (unit === 'none') throw new TraceError(trace.file, 'its events have no time stamps to choose by');
    if (moment.cycles === undefined) {
      throw new TraceError(
        trace.file,
        'its clock counts cycles; expected time stamps as it has them, such as 2874531596043',
      );
    }
  }
  const range: [number, number] = [offsetOf(from, trace) ?? -Infinity, offsetOf(to, trace) ?? Infinity];
  if (range[0] > range[1]) throw new UsageError('the stretch of time ends before it begins');
  return range;
}

/** A moment as an offset from the trace's origin. */
function offsetOf(moment: Moment | undefined, trace: Trace): number | undefined {
  if (moment === undefined) return undefined;
  const value = trace.clock.unit === 'ticks' ? moment.cycles : moment.value;
  return Number((value ?? 0n) - (moment.absolute ? trace.origin : 0n));
}

/** The part of a stretch that the recording reaches to; `end` is how far it was read. */
function windowOf([from, to]: [from: number, to: number], end: () => number): Window {
  return {
    from: Math.max(0, from),
    bounded: to < Number.POSITIVE_INFINITY,
    get to() {
      return Math.max(this.from, Math.min(to, end()));
    },
  };
}

/** Gives the events before a stretch to those who learn from them, and takes them out of the batch, which is in time order and ours until the next. */
function learn(trace: Trace, batch: EventBatch, from: number, analyses: readonly ReadAnalysis[]): void {
  const { time, count } = batch;
  let start = 0;
  while (start < count && (time[start] as number) < from) start++;
  batch.count = start;
  for (const analysis of analyses) if (analysis.within !== undefined) analysis.batch(trace, batch);
  keep(batch, start, count);
}

/** Leaves only the events `start` to `end` in the batch. */
function keep(batch: EventBatch, start: number, end: number): void {
  for (const column of [batch.time, batch.type, batch.cpu, batch.tid, batch.pid, batch.at, batch.size]) {
    column.copyWithin(0, start, end);
  }
  batch.count = end - start;
}

/** Leaves only the events up to `to` in the batch. */
function cut(batch: EventBatch, to: number): void {
  while (batch.count > 0 && (batch.time[batch.count - 1] as number) > to) batch.count--;
}

import { setImmediate } from 'node:timers/promises';
import { elapsed } from '../own/elapsed.ts';
import type { Analysis, Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { addLoss, type Reading } from '../views/reading.ts';
import type { Moment } from './moment.ts';
import { spareMemory } from './spare-memory.ts';
import { UsageError } from './usage-error.ts';

/** An analysis that may end the reading, and may want to wait between batches. */
export type ReadAnalysis = Analysis & {
  /** True once it needs no more events. */
  enough?: boolean;
  /** Called after every batch: for output that must not pile up. */
  settle?(): Promise<void>;
};

type EventOptions = {
  /** The stretch of time. */
  from?: Moment | undefined;
  to?: Moment | undefined;
  /** The promise's result, or undefined where the reading is to end now. */
  orElse?: (<T>(promise: Promise<T>) => Promise<T | undefined>) | undefined;
  /** Called with the first event at hand, when the recording's origin is known and nobody was given it. */
  begins?: (() => void) | undefined;
  /** Called after every batch, and waited for. */
  looks?: (() => Promise<void> | undefined) | undefined;
};

/** How reading ended: with the events, because it was told to, or because nobody needs more; and the stretch of time as offsets, where there were events. */
export type Ending = { how: 'end' | 'stopped' | 'enough'; range: [from: number, to: number] | undefined };

/** How long nothing else gets a turn, in ms. */
const yieldInterval = 50;

/**
 * Reads the events of a trace, or of one stretch of it, and feeds every analysis; counts them in `reading`.
 */
export async function readEvents(
  trace: Trace,
  analyses: readonly ReadAnalysis[],
  reading: Reading,
  { from: first, to: until, orElse, begins, looks }: EventOptions,
): Promise<Ending> {
  // Each is asked, whatever the others say: they learn of the types that way.
  const wants = (type: EventType) => analyses.map((analysis) => analysis.wants(type)).includes(true);
  const batches = trace.batches(wants)[Symbol.asyncIterator]();
  let yielded = elapsed();
  const ending: Ending = { how: 'end', range: undefined };
  // Of what is read ahead nothing is known where the reading is interrupted.
  const end = () => (ending.how === 'stopped' ? reading.last : trace.last);
  const begin = () => {
    ending.range = rangeOf({ from: first, to: until }, trace);
    reading.window = windowOf(ending.range, end);
    for (const analysis of analyses) analysis.within?.(reading.window);
    begins?.();
  };
  try {
    for (;;) {
      const next = orElse === undefined ? await batches.next() : await orElse(batches.next());
      if (next === undefined) {
        ending.how = 'stopped';
        break;
      }
      if (next.done === true) break;
      const batch = next.value;
      if (ending.range === undefined && batch.count > 0) begin();
      const [from, to] = ending.range ?? [-Infinity, Infinity];
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
      const looking = looks?.();
      if (looking !== undefined) await looking;
      if (analyses.some((analysis) => analysis.enough === true)) {
        ending.how = 'enough';
        break;
      }
      if (last > to) {
        const curious = analyses.filter(({ behind }) => behind !== undefined);
        if (!curious.some((analysis) => analysis.curious?.() ?? true)) {
          ending.how = 'enough';
          break;
        }
        keep(batch, batch.count, count);
        for (const analysis of curious) analysis.behind?.(trace, batch);
      }
    }
  } finally {
    // Not awaited: where the reading was stopped, the read under way may never end.
    void batches.return?.().catch(() => {});
  }
  return ending;
}

/** The stretch that was asked for, as offsets from the trace's origin. Throws a UsageError where there can be none. */
function rangeOf({ from, to }: Pick<EventOptions, 'from' | 'to'>, trace: Trace): [from: number, to: number] {
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

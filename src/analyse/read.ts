import { isStretch, wholeOf } from '../trace/analysis.ts';
import { TraceError } from '../trace/error.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { emptyReading, type Reading } from '../views/reading.ts';
import { lateHoles, mayDivide, readInOneGo, rememberHoles } from './foresight.ts';
import type { Moment } from './moment.ts';
import { type Ending, type ReadAnalysis, readEvents } from './read-events.ts';
import { Stretches } from './stretches.ts';

export type ReadOptions = {
  /** Events before this moment are learnt from, and not counted. */
  from?: Moment | undefined;
  /** Events after this moment are left out, and not read. */
  to?: Moment | undefined;
  /** How many threads read it, where it can be read by several: as many as there are processors, where that pays and nobody says. */
  threads?: number | undefined;
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

/**
 * Reads a trace once and feeds every analysis. Ends where `watch` says so, at the end of the time range or where an analysis has enough. Throws the
 * trace's damage where not one event could be read before it, and a UsageError where there can be no such time range.
 */
export async function read(
  trace: Trace,
  analyses: readonly ReadAnalysis[],
  { from, to, once, threads, watch }: ReadOptions = {},
): Promise<Reading> {
  const reading = emptyReading();
  const orElse = watch?.orElse.bind(watch);
  // What comes behind a stretch of time is to be told apart from what is in it.
  const divides = threads !== 1 && to === undefined && once !== true && mayDivide(trace);
  let others: Stretches | undefined;
  const begins = divides
    ? () => {
        others = Stretches.begin(trace, analyses, threads, from);
      }
    : undefined;
  const looks = watch?.batch === undefined ? undefined : () => watch.batch?.(reading);
  let ending: Ending;
  try {
    ending = await readEvents(trace, analyses, reading, { from, to, orElse, begins, looks });
    if (others !== undefined && ending.how === 'end') {
      const how = await others.join(reading, orElse ?? ((promise) => promise));
      if (how === 'refused') return await readInOneGo(trace);
      if (how === 'stopped') ending.how = 'stopped';
    }
    if (ending.how === 'stopped') {
      // What they read beyond this is not in the answer.
      others?.end();
      reading.partial.push(watch?.stopped() ?? '');
    }
  } finally {
    others?.end();
  }
  const { range } = ending;
  if (range === undefined) {
    reading.window = wholeOf(trace);
    for (const analysis of analyses) analysis.within?.(reading.window);
  }
  if (once !== true && reading.partial.length === 0) await rememberHoles(trace, from === undefined && to === undefined);
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

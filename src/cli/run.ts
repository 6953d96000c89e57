import { foresightOf, stateOf, withForesight } from '../analyse/foresight.ts';
import { type ReadAnalysis, type ReadOptions, read } from '../analyse/read.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { elapsed } from '../own/elapsed.ts';
import { escapeText } from '../report/escape.ts';
import { openAgain } from '../trace/again.ts';
import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { type OpenTracesOptions, openTraces } from './open.ts';
import { Progress } from './progress.ts';
import { say } from './say.ts';
import { onInterrupt } from './signals.ts';

export type RunOptions = Pick<ReadOptions, 'from' | 'to' | 'once'> & {
  /** Of a running machine: how often to give the answer so far, in ns. */
  every?: number | undefined;
  /** No progress bar: somebody else has the terminal. */
  quiet?: true;
};

const interrupted = 'interrupted';

/** Whether Ctrl-C ended the reading of a file before its end. */
export function wasInterrupted(reading: Reading): boolean {
  return reading.partial.some((why) => why.startsWith(interrupted));
}

/**
 * Reads a trace once for the analyses, as `read` does, with a progress bar, and until Ctrl-C. `answer` is called with how things
 * stand every `options.every`.
 */
export async function runAnalyses(
  trace: Trace,
  analyses: readonly ReadAnalysis[],
  { from, to, every, quiet, once }: RunOptions = {},
  answer?: (reading: Reading) => Promise<unknown>,
): Promise<Reading> {
  if (once === true) await refuseTwice(trace);
  const progress = new Progress(trace, quiet !== true);
  const interrupt = onInterrupt(trace.file === '<stdin>', trace.end?.bind(trace));
  const interval = every === undefined || answer === undefined ? Infinity : every / 1e6;
  let due = elapsed() + interval;
  try {
    return await read(trace, analyses, {
      from,
      to,
      once,
      watch: {
        orElse: interrupt.orElse,
        stopped: () => `${interrupted} after ${progress.where()}; what follows was not read.`,
        batch: (reading) => {
          if (elapsed() < due) return undefined;
          due += interval;
          progress.wipe();
          return answerSoFar({ ...reading, notes: [...trace.notes] }, answer as (reading: Reading) => Promise<unknown>);
        },
      },
    });
  } finally {
    interrupt.end();
    progress.end();
  }
}

/** Throws where several files hold the same events, before the first of them is given out. */
async function refuseTwice(trace: Trace): Promise<void> {
  const again = trace.doubtful === undefined ? undefined : await openAgain(trace);
  if (again === undefined) return;
  try {
    for await (const _ of again.batches()) if (again.doubtful !== true) break;
  } finally {
    await again.close();
  }
}

/** Reads files once for their holes alone, where what is found later is given out as it is found, and nothing can be taken back. */
export async function scout(files: readonly string[], options: OpenTracesOptions): Promise<void> {
  await withForesight(async () => {
    // What cannot be read twice is left for the one reading that there can be.
    if (stateOf(files) === undefined || foresightOf(files) !== undefined) return;
    const trace = await openTraces(files, options);
    try {
      await runAnalyses(trace, [], { quiet: true });
    } catch (error) {
      // It wanted no events, and so saw none before the damage: the reading that wants some tells of it.
      if (error !== trace.damage) throw error;
    }
    await trace.close();
  });
}

/** Reads a trace as `runAnalyses` does, closes it where it was read to its end, and gives what `answer` makes of it. */
export async function answerFrom<T>(
  trace: Trace,
  analyses: readonly ReadAnalysis[],
  options: RunOptions,
  answer: (reading: Reading) => Promise<T>,
): Promise<T> {
  const reading = await runAnalyses(trace, analyses, options, answer);
  // The files close meanwhile.
  const closed = reading.partial.length === 0 ? trace.close() : undefined;
  try {
    return await answer(reading);
  } finally {
    await closed;
  }
}

/** Gives an answer in the midst; that there is none yet is no reason to stop. */
async function answerSoFar(reading: Reading, answer: (reading: Reading) => Promise<unknown>): Promise<void> {
  try {
    await answer(reading);
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof TraceError)) throw error;
    say(`virtap: ${escapeText(error.message)}\n`);
  }
}

import { refuseTwice, scout } from '../analyse/beforehand.ts';
import type { OpenFilesOptions } from '../analyse/files.ts';
import { type ReadOptions, read } from '../analyse/read.ts';
import type { ReadAnalysis } from '../analyse/read-events.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { elapsed } from '../own/elapsed.ts';
import { escapeText } from '../report/escape.ts';
import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { openTraces } from './open.ts';
import { Progress } from './progress.ts';
import { say } from './say.ts';
import { onInterrupt } from './signals.ts';

export type RunOptions = Pick<ReadOptions, 'from' | 'to' | 'once' | 'threads'> & {
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
  { from, to, every, quiet, once, threads }: RunOptions = {},
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
      threads,
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

/** Reads files once for their holes alone, without a progress bar. */
export function scoutFiles(files: readonly string[], options: OpenFilesOptions): Promise<void> {
  return scout(
    files,
    () => openTraces(files, options),
    (trace) => runAnalyses(trace, [], { quiet: true }),
  );
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

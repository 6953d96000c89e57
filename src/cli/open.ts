import { fstatSync } from 'node:fs';
import { basename } from 'node:path';
import { foresightOf, ofFiles, stateOf } from '../analyse/foresight.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { openTrace } from '../formats/detect.ts';
import type { OpenOptions } from '../formats/format.ts';
import type { LiveEvents } from '../live/event-sets.ts';
import { alignmentNote } from '../report/alignment.ts';
import { watched } from '../spans/holes.ts';
import { Budget } from '../trace/budget.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Shift } from '../trace/timeline.ts';
import type { Trace } from '../trace/trace.ts';
import { type FileOffset, type LiveOptions, openOptions, type TraceOptions } from './options.ts';
import { statusOf } from './output-file.ts';
import { say } from './say.ts';

type OpenSourceOptions = Pick<TraceOptions, 'traceEvents' | 'formats' | 'offset' | 'align' | 'maxMemory'> & LiveOptions;

/** Opens what the user named: the files, or with --live the running machines, whose events `wanted` names. */
export async function openSource(
  files: readonly string[],
  options: OpenSourceOptions,
  wanted: LiveEvents,
): Promise<Trace> {
  if (options.live === true) {
    if (files.length > 0) throw new UsageError(`--live looks at running machines: leave out ${files[0]}`);
    // The kernel counts what its buffers lose, so that nothing goes missing there without a mark.
    return (await import('./live.ts')).openLive(options, wanted);
  }
  for (const name of ['vm', 'for', 'interval'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with --live`);
  }
  if (files.length === 0) throw new UsageError("missing required argument 'file' (or --live)");
  return openTraces(files, openOptions(options));
}

export type OpenTracesOptions = OpenOptions & {
  offsets?: readonly FileOffset[] | undefined;
  align?: boolean | undefined;
};

/** What was found of files' clocks, by what the files were then and what else was said of them; by the number of the file. */
const aligned = new Map<string, ReadonlyMap<number, Shift>>();

/**
 * Opens the files that the user named, as one trace in time order, with the holes that nothing marks. Throws a TraceError where that
 * cannot be.
 */
export async function openTraces(files: readonly string[], options: OpenTracesOptions): Promise<Trace> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('- (standard input) can be given only once');
  const offsets = new Map(options.offsets?.map(({ file, ns }) => [named(file, files), ns]));
  const seen = new Set<string>();
  const { dev, ino } = fstatSync(1);
  for (const file of files) {
    const is = identity(file);
    if (is === `${dev}:${ino}`) throw new UsageError(`${file} is where standard output goes: write to another file`);
    if (is !== undefined && seen.has(is)) throw new UsageError(`${file} is given twice`);
    if (is !== undefined) seen.add(is);
  }
  const traces: Trace[] = [];
  const budget = new Budget(options.maxMemory);
  const open = (file: string, budget?: Budget) =>
    openTrace(file, { ...options, budget, tell: (sentence) => say(`virtap: ${sentence}.\n`) });
  for (const file of files) traces.push(await open(file, budget));
  const shifts = new Map<Trace, Shift>();
  traces.forEach((trace, index) => {
    const offset = offsets.get(files[index] as string);
    if (offset !== undefined) shifts.set(trace, { offset });
  });
  try {
    if (options.align === true && traces.length > 1) {
      for (const [trace, shift] of await findShifts(files, traces, shifts, open)) shifts.set(trace, shift);
    }
    return ofFiles(watched(mergeTraces(traces, shifts), foresightOf(files)), files);
  } catch (error) {
    for (const trace of traces) await trace.close();
    throw error;
  }
}

/** Finds out how far those files are apart that nothing ties to the others, once for as long as they stay what they are. */
async function findShifts(
  files: readonly string[],
  traces: readonly Trace[],
  given: ReadonlyMap<Trace, Shift>,
  open: (file: string) => Promise<Trace>,
): Promise<[Trace, Shift][]> {
  const state = stateOf(files);
  if (state === undefined)
    throw new UsageError('--align auto reads the files twice, so none can be standard input or a pipe');
  const key = `${state}\n${traces.map((trace) => given.get(trace)?.offset ?? '').join()}`;
  let found = aligned.get(key);
  if (found === undefined) {
    const { alignTraces } = await import('../align/align.ts');
    const shifts = await alignTraces(traces, given, (trace) => open(files[traces.indexOf(trace)] as string));
    found = new Map(
      [...shifts].map(([trace, shift]) => [
        traces.indexOf(trace),
        { ...shift, notes: shift.alignment && [alignmentNote(shift.alignment)] },
      ]),
    );
    aligned.set(key, found);
  }
  return [...found].map(([index, shift]) => [
    traces[index] as Trace,
    // A guest's host is one of the traces as they are open now.
    {
      ...shift,
      guest: shift.guest && { ...shift.guest, host: traces.find((one) => one.file === shift.guest?.host?.file) },
    },
  ]);
}

/** What tells whether two paths are one file, whose events would come twice; undefined for what is no plain file. */
function identity(file: string): string | undefined {
  const status = file === '-' ? undefined : statusOf(file);
  return status?.isFile() === true ? `${status.dev}:${status.ino}` : undefined;
}

/** The one of the files that an option names: by its path as given, or by its last part. */
function named(name: string, files: readonly string[]): string {
  const found = files.includes(name) ? [name] : files.filter((file) => basename(file) === name);
  if (found.length === 1) return found[0] as string;
  throw new UsageError(
    found.length === 0
      ? `--offset names ${name}, which is not among the files: ${files.join(', ')}`
      : `--offset names ${name}, which could be ${found.join(' or ')}`,
  );
}

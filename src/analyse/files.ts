import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { openTrace } from '../formats/detect.ts';
import type { OpenOptions } from '../formats/format.ts';
import { watched } from '../spans/holes.ts';
import type { Alignment } from '../trace/alignment.ts';
import { Budget } from '../trace/budget.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Shift } from '../trace/timeline.ts';
import type { Trace } from '../trace/trace.ts';
import { foresightOf, ofFiles, stateOf } from './foresight.ts';
import { UsageError } from './usage-error.ts';

/** What to add to the times of one of the files, as the user says. */
export type FileOffset = { file: string; ns: bigint };

export type OpenFilesOptions = Omit<OpenOptions, 'budget'> & {
  offsets?: readonly FileOffset[] | undefined;
  /** Whether to find out from the events how far clocks are apart that nothing ties. */
  align?: boolean | undefined;
  /** What to say of how that was found. */
  noteOf?: ((found: Alignment) => string) | undefined;
};

/** What was found of files' clocks, by what the files were then and what else was said of them; by the number of the file. */
const aligned = new Map<string, ReadonlyMap<number, Shift>>();

/**
 * Opens the files that the user named, as one trace in time order, with the holes that nothing marks. Throws a TraceError where that
 * cannot be.
 */
export async function openFiles(files: readonly string[], options: OpenFilesOptions): Promise<Trace> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('- (standard input) can be given only once');
  const offsets = new Map(options.offsets?.map(({ file, ns }) => [named(file, files), ns]));
  const seen = new Set<string>();
  for (const file of files) {
    const is = sameFile(file);
    if (is !== undefined && seen.has(is)) throw new UsageError(`${file} is given twice`);
    if (is !== undefined) seen.add(is);
  }
  const traces: Trace[] = [];
  const budget = new Budget(options.maxMemory);
  const open = (file: string, budget?: Budget) => openTrace(file, { ...options, budget });
  for (const file of files) traces.push(await open(file, budget));
  const shifts = new Map<Trace, Shift>();
  traces.forEach((trace, index) => {
    const offset = offsets.get(files[index] as string);
    if (offset !== undefined) shifts.set(trace, { offset });
  });
  try {
    if (options.align === true && traces.length > 1) {
      for (const [trace, shift] of await findShifts(files, traces, shifts, open, options.noteOf))
        shifts.set(trace, shift);
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
  noteOf: OpenFilesOptions['noteOf'],
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
        { ...shift, notes: shift.alignment && noteOf && [noteOf(shift.alignment)] },
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
export function sameFile(file: string): string | undefined {
  const status = file === '-' ? undefined : statSync(file, { throwIfNoEntry: false });
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

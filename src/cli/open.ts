import { fstatSync } from 'node:fs';
import { type OpenFilesOptions, openFiles, sameFile } from '../analyse/files.ts';
import { UsageError } from '../analyse/usage-error.ts';
import type { LiveEvents } from '../live/event-sets.ts';
import { alignmentNote } from '../report/alignment.ts';
import type { Trace } from '../trace/trace.ts';
import { type LiveOptions, openOptions, type TraceOptions } from './options.ts';
import { say } from './say.ts';

type OpenSourceOptions = Pick<TraceOptions, 'traceEvents' | 'formats' | 'offset' | 'align' | 'maxMemory' | 'threads'> &
  LiveOptions;

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

/**
 * Opens the files that the user named, as one trace in time order, with the holes that nothing marks. Throws a TraceError where that
 * cannot be.
 */
export function openTraces(files: readonly string[], options: OpenFilesOptions): Promise<Trace> {
  const { dev, ino } = fstatSync(1);
  const written = files.find((file) => sameFile(file) === `${dev}:${ino}`);
  if (written !== undefined) throw new UsageError(`${written} is where standard output goes: write to another file`);
  return openFiles(files, { ...options, noteOf: alignmentNote, tell: (sentence) => say(`virtap: ${sentence}.\n`) });
}

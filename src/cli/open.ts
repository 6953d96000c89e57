import { basename } from 'node:path';
import { type OpenOptions, openTrace } from '../formats/detect.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Trace } from '../trace/trace.ts';
import { UsageError } from './usage-error.ts';

/** What to add to the times of one of the files, as the user says. */
export type FileOffset = { file: string; ns: bigint };

/** Opens the files that the user named, as one trace in time order. Throws a TraceError where that cannot be. */
export async function openTraces(
  files: readonly string[],
  options: OpenOptions & { offsets?: readonly FileOffset[] | undefined },
): Promise<Trace> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('- (standard input) can be given only once');
  const offsets = new Map(options.offsets?.map(({ file, ns }) => [named(file, files), ns]));
  const traces: Trace[] = [];
  for (const file of files) traces.push(await openTrace(file, options));
  const byTrace = new Map<Trace, bigint>();
  traces.forEach((trace, index) => {
    const ns = offsets.get(files[index] as string);
    if (ns !== undefined) byTrace.set(trace, ns);
  });
  try {
    return mergeTraces(traces, byTrace);
  } catch (error) {
    for (const trace of traces) await trace.close();
    throw error;
  }
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

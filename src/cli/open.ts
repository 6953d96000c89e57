import { type OpenOptions, openTrace } from '../formats/detect.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Trace } from '../trace/trace.ts';
import { UsageError } from './usage-error.ts';

/** Opens the files that the user named, as one trace in time order. Throws a TraceError where that cannot be. */
export async function openTraces(files: readonly string[], options: OpenOptions): Promise<Trace> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('- (standard input) can be given only once');
  const traces: Trace[] = [];
  for (const file of files) traces.push(await openTrace(file, options));
  return mergeTraces(traces);
}

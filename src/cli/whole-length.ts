import { openTraces } from './open.ts';
import { openOptions, type TraceOptions } from './options.ts';
import { runAnalyses } from './run.ts';

/** How long a recording is, from its first event to its last, in ns or ticks: it is read for that. */
export async function wholeLength(files: readonly string[], options: TraceOptions): Promise<number> {
  const trace = await openTraces(files, openOptions(options));
  try {
    await runAnalyses(trace, [{ wants: () => false, batch() {} }], { quiet: true });
    return trace.last;
  } finally {
    await trace.close();
  }
}

import { Worker } from 'node:worker_threads';
import { code, form, ownText } from './files.ts';

/** The threads that virtap starts, and what each runs, in src/. Each is built into one file of its own, which loads fast. */
export const threads = {
  'page-reader': 'live/page-reader.ts',
  'perf-ahead': 'formats/perf-ahead-thread.ts',
  'stretch-reader': 'analyse/stretch-thread.ts',
} as const;

/** Threads leave little garbage: V8 is not to wait for much of it, of which each would take memory of its own. */
const resourceLimits = { maxYoungGenerationSizeMb: 2 };

/** Starts one of them, with data for it. */
export function startThread(name: keyof typeof threads, workerData: unknown): Worker {
  const built = `threads/${name}.js`;
  if (form === 'executable') return new Worker(ownText(`dist/${built}`), { eval: true, workerData, resourceLimits });
  return new Worker(new URL(form === 'sources' ? threads[name] : built, code), { workerData, resourceLimits });
}

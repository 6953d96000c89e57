import type { Trace } from './trace.ts';

/*
 * A trace is read once. Holes that come to light late make wrong what was counted before: who cannot take that back reads what the trace is of
 * once more.
 */

const ways = new WeakMap<Trace, { open: () => Promise<Trace>; source: Source | undefined }>();

/** A path, and what it was opened with, as plain data. */
export type Source = { path: string; options: object };

/** Takes note of how what a trace is of is opened once more; of a pipe there is no way. `source` is what it is of, where that is one recording. */
export function opensAgain(trace: Trace, open: () => Promise<Trace>, source?: Source): Trace {
  ways.set(trace, { open, source });
  return trace;
}

/** The one recording that a trace is of. */
export function sourceOf(trace: Trace): Source | undefined {
  return ways.get(trace)?.source;
}

/** Whether what a trace is of can be read once more. */
export function isReadable(trace: Trace): boolean {
  return ways.has(trace);
}

/** Another trace of the same, to be read from its beginning; undefined where there is none. */
export function openAgain(trace: Trace): Promise<Trace> | undefined {
  return ways.get(trace)?.open();
}

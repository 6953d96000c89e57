import type { Trace } from './trace.ts';

/*
 * A trace is read once. Holes that come to light late make wrong what was counted before: who cannot take that back reads what the trace is of
 * once more.
 */

const ways = new WeakMap<Trace, () => Promise<Trace>>();

/** Takes note of how what a trace is of is opened once more; of a pipe there is no way. */
export function opensAgain(trace: Trace, open: () => Promise<Trace>): Trace {
  ways.set(trace, open);
  return trace;
}

/** Whether what a trace is of can be read once more. */
export function isReadable(trace: Trace): boolean {
  return ways.has(trace);
}

/** Another trace of the same, to be read from its beginning; undefined where there is none. */
export function openAgain(trace: Trace): Promise<Trace> | undefined {
  return ways.get(trace)?.();
}

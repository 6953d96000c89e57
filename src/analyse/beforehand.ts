import { openAgain } from '../trace/again.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { foresightOf, stateOf, withForesight } from './foresight.ts';

/*
 * Where what is found is given out as it is found, nothing can be taken back: what would change it must be known before.
 */

/** Throws where several files hold the same events, before the first of them is given out. */
export async function refuseTwice(trace: Trace): Promise<void> {
  const again = trace.doubtful === undefined ? undefined : await openAgain(trace);
  if (again === undefined) return;
  try {
    for await (const _ of again.batches()) if (again.doubtful !== true) break;
  } finally {
    await again.close();
  }
}

/** Reads files once for their holes alone; `read` reads a trace of them to its end. */
export async function scout(
  files: readonly string[],
  open: () => Promise<Trace>,
  read: (trace: Trace) => Promise<Reading>,
): Promise<void> {
  await withForesight(async () => {
    // What cannot be read twice is left for the one reading that there can be.
    if (stateOf(files) === undefined || foresightOf(files) !== undefined) return;
    const trace = await open();
    try {
      await read(trace);
    } catch (error) {
      // It wanted no events, and so saw none before the damage: the reading that wants some tells of it.
      if (error !== trace.damage) throw error;
    }
    await trace.close();
  });
}

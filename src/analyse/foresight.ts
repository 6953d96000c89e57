import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Foresight, WatchedTrace, watched } from '../spans/holes.ts';
import { openAgain } from '../trace/again.ts';
import type { Trace } from '../trace/trace.ts';

/*
 * A hole on one CPU comes to light with the next event there, long after spans on other CPUs, which it may make wrong, were counted. Files
 * in which there are such holes are therefore read twice: the first reading finds them, the second knows of each before it comes.
 */

/** Thrown after a reading that was for nothing (holes were found too late, stretches cannot be joined), once it is remembered what was found. */
class BeginAnew extends Error {}

/** What was found in files, by what they were then. */
const foreseen = new Map<string, Foresight>();
/** Traces of files that can be read again. */
const readable = new WeakMap<Trace, { files: string; trace: WatchedTrace }>();
/** Readings that may be given up: files that change all the time are answered as they are. */
const mostTries = 4;
let again = true;

/** What was found in these files by an earlier reading. */
export function foresightOf(files: readonly string[]): Foresight | undefined {
  const state = stateOf(files);
  return state === undefined ? undefined : foreseen.get(state);
}

/**
 * A trace with the holes that nothing marks, all of them known when the first batch is, for who gives out what is found as it is found: what it
 * is of is read beforehand for these alone, where it can be read twice.
 */
export async function scouted(trace: Trace): Promise<WatchedTrace> {
  let scout: WatchedTrace;
  try {
    const before = await openAgain(trace);
    if (before === undefined) return watched(trace);
    scout = watched(before);
  } catch (error) {
    await trace.close();
    throw error;
  }
  try {
    // Damage ends it as it will end the reading itself.
    for await (const _ of scout.batches(() => false));
  } finally {
    await scout.close();
  }
  return watched(trace, scout.foresight);
}

/** Takes note that a trace is of these files. */
export function ofFiles(trace: WatchedTrace, files: readonly string[]): WatchedTrace {
  const state = stateOf(files);
  if (state !== undefined) readable.set(trace, { files: state, trace });
  return trace;
}

/**
 * Remembers the holes of a trace that was read; closes it and throws where another reading should know of them, for `withForesight` to begin it. `whole` is whether the answers are
 * about all of the recording.
 */
export async function rememberHoles(trace: Trace, whole: boolean): Promise<void> {
  const known = readable.get(trace);
  if (whole && known?.trace.regrets === false) return;
  const foresight = known?.trace.foresight;
  if (!again || known === undefined || foresight === undefined || foreseen.has(known.files)) return;
  foreseen.set(known.files, foresight);
  await trace.close();
  throw new BeginAnew();
}

/** Files whose stretches could not be joined, by what they were then. */
const indivisible = new Set<string>();

/** Whether a trace may be read in stretches: where these cannot be joined, `withForesight` begins anew. */
export function mayDivide(trace: Trace): boolean {
  const known = readable.get(trace);
  return again && known !== undefined && !indivisible.has(known.files);
}

/** Begins anew, and reads in one go. */
export async function readInOneGo(trace: Trace): Promise<never> {
  const known = readable.get(trace);
  if (known !== undefined) indivisible.add(known.files);
  await trace.close();
  throw new BeginAnew();
}

/** What there is to say of a trace that was read where holes came to light too late, and it cannot be read again. */
export function lateHoles(trace: Trace): string | undefined {
  if (!(trace instanceof WatchedTrace) || readable.has(trace) || !trace.regrets) return undefined;
  return `Holes came to light after the events that they make unsure, and ${trace.file === '<stdin>' ? 'standard input' : trace.file} cannot be read twice: what ended before is counted as if nothing were missing. Of a file it is left out.`;
}

/** Calls `answer`, and again where the reading in it found holes that must be known beforehand. */
export async function withForesight<T>(answer: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    again = tries < mostTries;
    try {
      return await answer();
    } catch (error) {
      if (!(error instanceof BeginAnew)) throw error;
    }
  }
}

/** The files as they are now, and all files in folders; undefined where they cannot be read twice. */
export function stateOf(files: readonly string[]): string | undefined {
  const states: string[] = [];
  for (const file of files) {
    const status = file === '-' ? undefined : statSync(file, { throwIfNoEntry: false });
    if (status?.isDirectory() === true) {
      const inside = filesIn(file);
      if (inside === undefined) return undefined;
      states.push(...inside);
    } else if (status?.isFile() !== true) return undefined;
    else states.push(stateOfFile(file, status));
  }
  return states.join('\n');
}

/** The states of the files in a folder; undefined where it cannot be read. */
function filesIn(folder: string): string[] | undefined {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => stateOfFile(path, statSync(path)));
  } catch {
    return undefined;
  }
}

function stateOfFile(file: string, { dev, ino, size, mtimeMs }: Stats): string {
  return `${file} ${dev}:${ino} ${size} ${mtimeMs}`;
}

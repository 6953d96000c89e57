import { resolve } from 'node:path';
import { openTrace } from '../src/formats/detect.ts';
import { watched } from '../src/spans/holes.ts';
import type { Analysis, Joinable, Window } from '../src/trace/analysis.ts';
import { EventBatch } from '../src/trace/batch.ts';
import type { Loss } from '../src/trace/loss.ts';
import type { Trace } from '../src/trace/trace.ts';

/** All events of a trace, to be read any number of times, and in pieces. */
export class Recording {
  readonly trace: Trace;
  readonly #batches: readonly EventBatch[];
  readonly count: number;

  private constructor(trace: Trace, batches: readonly EventBatch[]) {
    this.trace = trace;
    this.#batches = batches;
    this.count = batches.reduce((sum, { count }) => sum + count, 0);
  }

  static async of(trace: Trace): Promise<Recording> {
    const batches: EventBatch[] = [];
    for await (const b of trace.batches()) batches.push(rows(b, 0, b.count, b.losses));
    return new Recording(trace, batches);
  }

  /** Whatever is said to be lost. */
  get losses(): Loss[] {
    return this.#batches.flatMap(({ losses }) => losses);
  }

  /** Feeds an analysis all events, as those of a trace that knows what is told beside: its holes, say. */
  feedAll(analysis: Analysis, beside: Pick<Trace, 'holes' | 'regret'>): void {
    const trace: Trace = Object.defineProperties(Object.create(this.trace), Object.getOwnPropertyDescriptors(beside));
    for (const b of this.#batches) analysis.batch(trace, rows(b, 0, b.count, b.losses));
  }

  /** Feeds an analysis the events from `start` to before `end`, as `read` does: what is before the window in batches of its own, and nothing of what is behind. */
  feed(analysis: Analysis, start: number, end: number, window: Window): void {
    let at = 0;
    for (const b of this.#batches) {
      const [from, to] = [Math.max(start - at, 0), Math.min(end - at, b.count)];
      at += b.count;
      // What comes to be known with no event is the earlier piece's.
      if (b.count === 0 ? at > start && at <= end : from < to) feed(analysis, this.trace, b, from, to, window);
    }
  }
}

/** Some events of a batch, as a batch of their own, with these losses. */
function rows(b: EventBatch, start: number, end: number, losses: readonly Loss[]): EventBatch {
  const one = new EventBatch(0);
  for (const column of ['time', 'type', 'cpu', 'tid', 'pid', 'at', 'size'] as const) {
    Object.assign(one, { [column]: b[column].slice(start, end) });
  }
  const length = one.size.reduce((sum, size) => sum + size, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  one.at.forEach((place, i) => {
    const size = one.size[i] as number;
    bytes.set(b.bytes.subarray(place, place + size), at);
    one.at[i] = at;
    at += size;
  });
  return Object.assign(one, { count: end - start, bytes, view: new DataView(bytes.buffer), losses });
}

function feed(analysis: Analysis, trace: Trace, b: EventBatch, start: number, end: number, window: Window): void {
  if (b.count === 0) analysis.batch(trace, b);
  const where = (i: number) => ((b.time[i] as number) < window.from ? -1 : (b.time[i] as number) > window.to ? 1 : 0);
  for (let from = start; from < end; ) {
    let to = from + 1;
    while (to < end && where(to) === where(from)) to++;
    if (where(from) <= 0) analysis.batch(trace, rows(b, from, to, from === 0 ? b.losses : []));
    from = to;
  }
}

/** Joins and refusals, for a test to be sure that it tried both. */
export type Tally = { joined: number; refused: number };

/**
 * What is made of a recording that is cut before these events: each piece is read by an analysis of its own, and handed over as between threads; what
 * cannot be joined is read again. `pieces` are the same events as recordings of their own, where not those of `whole` are taken.
 */
export function inPieces<Part, A extends Analysis & Joinable<Part>>(
  whole: Recording,
  cuts: readonly number[],
  start: () => A,
  {
    window = { from: 0, to: Infinity },
    tally,
    pieces = [],
  }: { window?: Window; tally?: Tally; pieces?: Recording[] } = {},
): A {
  const first = start();
  first.within?.(window);
  const edges = [0, ...[...cuts].sort((a, b) => a - b), whole.count];
  whole.feed(first, 0, edges[1] as number, window);
  for (let n = 1; n < edges.length - 1; n++) {
    const [from, to] = [edges[n] as number, edges[n + 1] as number];
    const later = start();
    later.inMiddle?.();
    later.within?.(window);
    const piece = pieces[n];
    if (piece === undefined) whole.feed(later, from, to, window);
    else piece.feed(later, 0, piece.count, window);
    const part = structuredClone(later.part());
    const accepted = first.accepts(part);
    if (accepted) first.join(whole.trace, part);
    else whole.feed(first, from, to, window);
    if (tally !== undefined) tally[accepted ? 'joined' : 'refused']++;
  }
  return first;
}

/** The same in one go. */
export function inOneGo<A extends Analysis>(
  whole: Recording,
  start: () => A,
  window: Window = { from: 0, to: Infinity },
): A {
  const analysis = start();
  analysis.within?.(window);
  whole.feed(analysis, 0, whole.count, window);
  return analysis;
}

/** A file of this repository as the commands read it, all of it. */
export async function recordingOf(file: string): Promise<Recording> {
  return Recording.of(watched(await openTrace(resolve(import.meta.dirname, '..', file))));
}

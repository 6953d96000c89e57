import type { EventBatch } from './batch.ts';
import type { EventType } from './event-type.ts';
import type { Trace } from './trace.ts';

/**
 * The stretch of a recording that an answer is about: that which was asked for, as far as the recording reaches, or all of it. In the
 * clock's unit, from the trace's origin, which is the recording's first event. `to` moves on while the recording is read.
 */
export type Window = {
  readonly from: number;
  readonly to: number;
  /** Whether the recording may go on behind it. */
  readonly bounded?: boolean;
};

/** A whole recording, as far as it was read. */
export function wholeOf(trace: Trace | undefined): Window {
  return { from: 0, to: Math.max(0, trace?.last ?? 0) };
}

/** Whether a part of the recording is asked about: what is not in it may be elsewhere in the recording. */
export function isStretch({ from, bounded }: Window): boolean {
  return from > 0 || bounded === true;
}

/**
 * What began before this time is not counted. Stamps can be a little before the recording's first event (recorders write them out of order):
 * a stretch that begins with the recording leaves out nothing.
 */
export function countedFrom({ from }: Window): number {
  return from > 0 ? from : Number.NEGATIVE_INFINITY;
}

/** Whether a batch is of events before the stretch: they are not to be counted. */
export function isBefore(b: EventBatch, from: number): boolean {
  return b.count > 0 && (b.time[0] as number) < from;
}

/** Something that learns from a trace's events in one pass. It reads and prints nothing itself. */
export interface Analysis {
  /** Whether it needs events of this type. Asked once per type; others' events may come all the same, and are to be ignored. */
  wants(type: EventType): boolean;
  /** The next events in time order, with the losses that became known with them. The batch is valid during the call only. */
  batch(trace: Trace, batch: EventBatch): void;
  /**
   * Which stretch of the recording its answer is to be about; told before the first batch. A whole recording where nobody tells. Who has this
   * is also given the events before the stretch, in batches of their own, and learns from them what is the case when it begins and what the
   * recording knows; it counts nothing of them, and no span that began before.
   */
  within?(window: Window): void;
  /** After the last batch: what is only known at the end, which is given, is settled. */
  finish?(end: number): void;
  /**
   * The events behind a stretch, for those who need to know what the recording as a whole holds and calls things. The answer is about what
   * was before.
   */
  behind?(trace: Trace, batch: EventBatch): void;
  /** Whether it still has to learn from what is behind the stretch; with `behind` it has, unless it says otherwise. */
  curious?(): boolean;
}

/**
 * What was learnt of two stretches of a recording that follow each other can be joined to what reading them in one go teaches, to the event. Each
 * stretch is read by an analysis of its own, which begins with nothing, anywhere: in another thread, say. Times of both count from the recording's
 * origin, and every event of the later stretch comes after all of the earlier one.
 *
 * An analysis that began in the middle decides what it can, keeps apart what hangs on what was before (the first event of each thread, say),
 * and notes what it took for granted.
 */
export interface Joinable<Part> {
  /** Told before the first batch: its stretch begins in the middle of the recording, and what it learns is to be joined. Who needs not be told has none. */
  inMiddle?(): void;
  /** What was learnt of its stretch so far, as plain data (columns, names, numbers), which can be handed to another thread. The analysis is not to be fed any more. */
  part(): Part;
  /** Whether it can take over what was learnt of the stretch that follows. Where that took something for granted that was not so, it cannot: then the events of that stretch are to be read here, by `batch`. */
  accepts(part: Part): boolean;
  /** Takes it over. `trace` knows the names of the threads of both. */
  join(trace: Trace, part: Part): void;
}

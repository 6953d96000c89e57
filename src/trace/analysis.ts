import type { EventBatch } from './batch.ts';
import type { EventType } from './event-type.ts';
import type { Trace } from './trace.ts';

/**
 * The stretch of a recording that an answer is about: that which was asked for, as far as the recording reaches, or all of it. In the
 * clock's unit, from the trace's origin, which is the recording's first event. `to` moves on while the recording is read.
 */
export type Window = { readonly from: number; readonly to: number };

/** A whole recording, as far as it was read. */
export function wholeOf(trace: Trace | undefined): Window {
  return { from: 0, to: Math.max(0, trace?.last ?? 0) };
}

/** Something that learns from a trace's events in one pass. It reads and prints nothing itself. */
export interface Analysis {
  /** Whether it needs events of this type. Asked once per type; others' events may come all the same, and are to be ignored. */
  wants(type: EventType): boolean;
  /** The next events in time order, with the losses that became known with them. The batch is valid during the call only. */
  batch(trace: Trace, batch: EventBatch): void;
  /** Which stretch of the recording its answer is to be about; told before the first batch. A whole recording where nobody tells. */
  within?(window: Window): void;
  /** After the last batch: what is only known at the end, which is given, is settled. */
  finish?(end: number): void;
}

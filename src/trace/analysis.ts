import type { EventBatch } from './batch.ts';
import type { EventType } from './event-type.ts';
import type { Trace } from './trace.ts';

/** Something that learns from a trace's events in one pass. It reads and prints nothing itself. */
export interface Analysis {
  /** Whether it needs events of this type. Asked once per type; others' events may come all the same, and are to be ignored. */
  wants(type: EventType): boolean;
  /** The next events in time order, with the losses that became known with them. The batch is valid during the call only. */
  batch(trace: Trace, batch: EventBatch): void;
}

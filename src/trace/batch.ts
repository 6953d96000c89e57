import type { Loss } from './loss.ts';

/**
 * A run of events in time order, as columns. Nothing is allocated per event: row `i` of each column
 * belongs to event `i`, and payloads stay where they were read. Columns and payloads are valid
 * only until the next batch is asked for.
 */
export class EventBatch {
  /** Number of events; the columns may be longer. */
  count = 0;
  /** Time since the trace's origin, in the clock's unit (ns). Exact integers. */
  time: Float64Array;
  /** Index into the trace's `types`. */
  type: Uint32Array;
  /** CPU that recorded the event, -1 where the format does not say. */
  cpu: Int32Array;
  /** Thread that caused the event, -1 where the format does not say. */
  tid: Int32Array;
  /** Process of that thread (tgid), -1 where the format does not say. */
  pid: Int32Array;
  /** Where the event's payload begins in `bytes`. */
  at: Uint32Array;
  /** Length of the payload in bytes. */
  size: Uint32Array;
  /** Holds the payloads of all events of this batch. */
  bytes: Uint8Array = new Uint8Array(0);
  /** `bytes` as a DataView. */
  view: DataView = new DataView(new ArrayBuffer(0));
  /**
   * Losses that became known with this batch. A loss on a CPU stands in a batch no later than the first
   * event of that CPU after the hole, and that event is never in the middle of a batch: it is the first of it.
   */
  losses: readonly Loss[] = [];

  constructor(capacity: number) {
    this.time = new Float64Array(capacity);
    this.type = new Uint32Array(capacity);
    this.cpu = new Int32Array(capacity);
    this.tid = new Int32Array(capacity);
    this.pid = new Int32Array(capacity);
    this.at = new Uint32Array(capacity);
    this.size = new Uint32Array(capacity);
  }

  get capacity(): number {
    return this.time.length;
  }
}

/** Some events of a batch, as a batch of their own. */
export function partOf(b: EventBatch, start: number, end: number, losses: readonly Loss[]): EventBatch {
  const one = new EventBatch(0);
  one.count = end - start;
  one.time = b.time.subarray(start, end);
  one.type = b.type.subarray(start, end);
  one.cpu = b.cpu.subarray(start, end);
  one.tid = b.tid.subarray(start, end);
  one.pid = b.pid.subarray(start, end);
  one.at = b.at.subarray(start, end);
  one.size = b.size.subarray(start, end);
  one.bytes = b.bytes;
  one.view = b.view;
  one.losses = losses;
  return one;
}

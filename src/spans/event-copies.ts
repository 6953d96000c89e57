import { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** Copies of events that outlive their batch, each in a slot of its own, so that they can be printed later. */
export class EventCopies {
  /** Event `slot` of it is the copy. */
  readonly batch = new EventBatch(0);
  readonly #slotSize: number;
  readonly #limit: number;

  /** At most `limit` slots, of `slotSize` bytes: what is larger is kept without its payload. */
  constructor(limit: number, slotSize: number) {
    this.#limit = limit;
    this.#slotSize = slotSize;
  }

  /** Copies event `i` of a batch; does nothing where there is no such slot. */
  keep(slot: number, b: EventBatch, i: number): void {
    if (slot >= this.#limit) return;
    const to = this.batch;
    if (slot >= to.capacity) this.#grow(slot);
    to.time[slot] = b.time[i] as number;
    to.type[slot] = b.type[i] as number;
    to.cpu[slot] = b.cpu[i] as number;
    to.tid[slot] = b.tid[i] as number;
    to.pid[slot] = b.pid[i] as number;
    const size = b.size[i] as number;
    to.size[slot] = size;
    if (size > this.#slotSize) return;
    const from = b.at[i] as number;
    const at = to.at[slot] as number;
    // A loop: `set` would need a view of the part, which is one more object for each event.
    for (let k = 0; k < size; k++) to.bytes[at + k] = b.bytes[from + k] as number;
  }

  /** Whether the event is there with its payload. */
  whole(slot: number): boolean {
    return slot < this.batch.capacity && (this.batch.size[slot] as number) <= this.#slotSize;
  }

  /** The event's arguments as the usual tool for the format prints them; '' where they are not kept. */
  text(trace: Trace, slot: number): string {
    const { batch } = this;
    if (!this.whole(slot)) return '';
    return (trace.types[batch.type[slot] as number] as EventType).layout.print(batch, slot);
  }

  #grow(slot: number): void {
    const { batch } = this;
    const capacity = Math.min(this.#limit, Math.max(256, 2 ** Math.ceil(Math.log2(slot + 1))));
    const larger = new EventBatch(capacity);
    for (const column of ['time', 'type', 'cpu', 'tid', 'pid', 'at', 'size'] as const) {
      larger[column].set(batch[column]);
      replaceColumn(batch, larger, column);
    }
    for (let s = 0; s < capacity; s++) batch.at[s] = s * this.#slotSize;
    const bytes = new Uint8Array(capacity * this.#slotSize);
    bytes.set(batch.bytes);
    batch.bytes = bytes;
    batch.view = new DataView(bytes.buffer);
  }
}

function replaceColumn<Name extends 'time' | 'type' | 'cpu' | 'tid' | 'pid' | 'at' | 'size'>(
  batch: EventBatch,
  by: EventBatch,
  column: Name,
): void {
  batch[column] = by[column];
}

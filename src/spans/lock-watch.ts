import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { Contended } from './lock-spans.ts';
import { Locks } from './locks.ts';

/**
 * Says event by event which threads wait for a mutex of QEMU that another thread holds. Taking a mutex that is free is no such wait,
 * however long the tracing of it takes.
 */
export class LockWatch {
  /** Index in the batch of the next event with which something changes; beyond the batch where there is none. */
  next = Number.POSITIVE_INFINITY;
  readonly #locks: Locks;
  /** Whether somebody else gives the batches to it, before this gets them. */
  readonly #shared: boolean;
  #typesSeen = 0;
  #some = false;
  #n = 0;

  constructor(locks?: Locks) {
    this.#locks = locks ?? new Locks();
    this.#shared = locks !== undefined;
  }

  wants(type: EventType): boolean {
    return this.#locks.wants(type);
  }

  /** Whether the events tell who holds a mutex: that one is let go is among them. */
  get tells(): boolean {
    return this.#locks.unlocks;
  }

  batch(trace: Trace, b: EventBatch): void {
    for (; this.#typesSeen < trace.types.length; this.#typesSeen++) {
      this.#some ||= this.#locks.wants(trace.types[this.#typesSeen] as EventType);
    }
    if (this.#some && !this.#shared) this.#locks.batch(trace, b);
    this.#n = 0;
    this.#seek();
  }

  /** Tells what changes with event `i`, where `next` is that. */
  take(i: number, changed: (tid: number, held: Contended) => void): void {
    const { contention, threads } = this.#locks;
    for (; this.#n < contention.count && (contention.at[this.#n] as number) <= i; this.#n++) {
      const thread = threads[contention.thread[this.#n] as number];
      if (thread !== undefined) changed(thread.tid, contention.held[this.#n] as Contended);
    }
    this.#seek();
  }

  #seek(): void {
    const { contention } = this.#locks;
    this.next =
      this.#some && this.#n < contention.count ? (contention.at[this.#n] as number) : Number.POSITIVE_INFINITY;
  }
}

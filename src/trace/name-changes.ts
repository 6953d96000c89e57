import type { EventBatch } from './batch.ts';
import type { EventSorter } from './sorter.ts';
import { nameAfter, StretchThreads } from './stretches.ts';
import type { ThreadTable } from './trace.ts';

/** From a time on, a thread has another name, or that of its parent. */
type Change = { time: number; tid: number; comm: string; pid: number; parent: number };

/** As many wait at the most: where there are more, they are made at once. */
const mostWaiting = 1 << 16;

/**
 * Changes of threads' names that were read ahead of the events. Each is made when the events before it were handed out, so that
 * whoever looks at an event finds the names of its time.
 */
export class NameChanges {
  readonly #threads: ThreadTable;
  readonly #sorter: EventSorter;
  /** In order of time; of equal times, as they came. */
  readonly #waiting: Change[] = [];
  /** How many of them are made. */
  #made = 0;

  constructor(threads: ThreadTable, sorter: EventSorter) {
    this.#threads = threads;
    this.#sorter = sorter;
  }

  /** A thread's name from `time` on; with '' it is known only which process it is of. */
  name(time: number, tid: number, comm: string, pid: number): void {
    this.#add({ time, tid, comm, pid, parent: -1 });
  }

  /** A thread that begins at `time`, under the name that its parent has then. */
  fork(time: number, tid: number, parent: number, pid: number): void {
    this.#add({ time, tid, comm: '', pid, parent });
  }

  /** Makes all times count from a moment that is `by` later. */
  rebase(by: number): void {
    for (const change of this.#waiting) change.time -= by;
  }

  /** Batches of the events up to `bound`, with the names as they are in each. Each batch is valid until the next is asked for. */
  *upTo(bound: number): Generator<EventBatch> {
    for (;;) {
      // What changes nothing needs no batch of its own.
      let change = this.#next(bound);
      for (; change !== undefined && !this.#changes(change); change = this.#next(bound)) this.#make(change);
      const limit = change === undefined ? bound : change.time - 1;
      for (let batch = this.#sorter.take(limit); batch !== undefined; batch = this.#sorter.take(limit)) yield batch;
      if (change === undefined) break;
      this.#make(change);
    }
    if (this.#made > 0) this.#waiting.splice(0, this.#made);
    this.#made = 0;
  }

  #next(bound: number): Change | undefined {
    const change = this.#waiting[this.#made];
    return change !== undefined && change.time <= bound ? change : undefined;
  }

  #add(change: Change): void {
    const waiting = this.#waiting;
    if (waiting.length >= mostWaiting) for (const one of waiting.splice(0)) this.#apply(one);
    let at = waiting.length;
    while (at > 0 && (waiting[at - 1] as Change).time > change.time) at--;
    waiting.splice(at, 0, change);
  }

  #changes(change: Change): boolean {
    // What it was called before a stretch is not known there.
    if (this.#threads instanceof StretchThreads) return true;
    const thread = this.#threads.get(change.tid);
    // Where a thread has no name, one of later is better than none.
    return thread !== undefined && thread.comm !== '' && nameAfter(this.#threads, change) !== thread.comm;
  }

  #make(change: Change): void {
    this.#made++;
    this.#apply(change);
  }

  #apply(change: Change): void {
    const threads = this.#threads;
    if (threads instanceof StretchThreads) threads.change(change);
    else threads.name(change.tid, nameAfter(threads, change), change.pid);
  }
}

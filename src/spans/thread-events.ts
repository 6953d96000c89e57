import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { EventCopies } from './event-copies.ts';

/** Threads followed, events remembered of each, and bytes of each. */
const maxThreads = 1024;
const perThread = 64;
const maxPayload = 256;

/** One event of a thread, as text. */
export type ThreadEvent = {
  /** Time from the trace's origin, in the clock's unit. */
  time: number;
  cpu: number;
  name: string;
  /** As the usual tool for the trace's format prints it. From the trace: untrusted. */
  text: string;
};

/** The last few events of every thread, so that what a thread did in a stretch of time can be told when that is over. */
export class ThreadEvents {
  readonly #threads = new IdTable();
  readonly #copies = new EventCopies(maxThreads * perThread, maxPayload);
  /** Events seen so far, by thread. */
  readonly #seen = new Float64Array(maxThreads);

  /** Notes event `i`. */
  note(b: EventBatch, i: number): void {
    const tid = b.tid[i] as number;
    if (tid < 0) return;
    let thread = this.#threads.find(0, tid);
    if (thread < 0) {
      if (this.#threads.size === maxThreads) return;
      thread = this.#threads.id(0, tid);
    }
    const n = this.#seen[thread] as number;
    this.#seen[thread] = n + 1;
    this.#copies.keep(thread * perThread + (n % perThread), b, i);
  }

  /** What is remembered of a thread between two times, oldest first, and whether there may have been more. */
  between(trace: Trace, tid: number, from: number, to: number): { events: ThreadEvent[]; more: boolean } {
    const thread = this.#threads.find(0, tid);
    if (thread < 0) return { events: [], more: false };
    const seen = this.#seen[thread] as number;
    const { batch } = this.#copies;
    const events: ThreadEvent[] = [];
    for (let n = Math.max(0, seen - perThread); n < seen; n++) {
      const slot = thread * perThread + (n % perThread);
      const time = batch.time[slot] as number;
      if (time < from || time > to) continue;
      events.push({
        time,
        cpu: batch.cpu[slot] as number,
        name: (trace.types[batch.type[slot] as number] as EventType).name,
        text: this.#copies.text(trace, slot),
      });
    }
    const oldest = batch.time[thread * perThread + (Math.max(0, seen - perThread) % perThread)] as number;
    return { events, more: seen > perThread && oldest > from };
  }
}

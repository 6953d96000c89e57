import { type EventBatch, partOf } from '../../trace/batch.ts';
import type { EventType, FieldReader } from '../../trace/event-type.ts';
import type { ThreadTable, TypeTable } from '../../trace/trace.ts';
import type { NamesSeen } from '../names-seen.ts';

/** CPUs beyond this keep their events without a thread. */
const maxCpus = 8192;
const unknown = -1;

type Switch = {
  previous: FieldReader;
  next: FieldReader;
  previousComm: FieldReader | undefined;
  nextComm: FieldReader | undefined;
};

/**
 * What sched_switch tells of threads, where the recording does not say it with each event. Who runs on its CPU from then on: what comes
 * before the first one, or before the first after a loss, is of the thread that it switches out. And what both threads are called.
 */
export class RunningThreads {
  readonly #types: TypeTable;
  readonly #threads: ThreadTable;
  readonly #seen: NamesSeen;
  readonly #running = new Int32Array(maxCpus).fill(unknown);
  readonly #switches: (Switch | null | undefined)[] = [];
  /** Whether threads were missing, and whether any was found. */
  #missing = false;
  #found = false;

  constructor(types: TypeTable, threads: ThreadTable, seen: NamesSeen) {
    this.#types = types;
    this.#threads = threads;
    this.#seen = seen;
  }

  /** Types that are needed whoever wants them or not. */
  needs(type: EventType): boolean {
    return type.name === 'sched:sched_switch';
  }

  /** Why events are without a thread, where they are. */
  get note(): string | undefined {
    if (!this.#missing) return undefined;
    return this.#found
      ? 'Which thread an event was on is known from sched_switch: before the first one of each CPU, and after losses, it is not always known.'
      : 'Its events do not say which thread they are of, and there is no sched_switch that would tell: record with `lttng add-context -k -t tid -t pid` (user space: `-u -t vtid -t vpid`), or sched_switch besides.';
  }

  /** Gives the threads of a batch to its events that lack one. */
  fill(batch: EventBatch): void {
    const { count, type, cpu, tid, losses } = batch;
    const running = this.#running;
    for (const loss of losses) {
      if (loss.cpu < 0) running.fill(unknown);
      else if (loss.cpu < maxCpus) running[loss.cpu] = unknown;
    }
    for (let i = 0; i < count; i++) {
      const one = this.#switch(type[i] as number);
      const c = cpu[i] as number;
      const known = c >= 0 && c < maxCpus;
      if (one !== null && known) {
        const previous = one.previous.number(batch, i);
        if (tid[i] === unknown) {
          tid[i] = previous;
          this.#missing = true;
          this.#found = true;
        }
        if (running[c] === unknown) {
          for (let j = i - 1; j >= 0; j--) if (tid[j] === unknown && cpu[j] === c) tid[j] = previous;
        }
        running[c] = one.next.number(batch, i);
      }
      if (tid[i] !== unknown) continue;
      this.#missing = true;
      if (!known || one !== null) continue;
      const thread = running[c] as number;
      if (thread === unknown) continue;
      tid[i] = thread;
      this.#found = true;
    }
  }

  /** The batch, in parts: before each, threads have the names of its time. */
  *named(batch: EventBatch): Generator<EventBatch> {
    const { count, type } = batch;
    let start = 0;
    for (let i = 0; i < count; i++) {
      const one = this.#switch(type[i] as number);
      if (one === null) continue;
      for (const [thread, comm] of [
        [one.previous, one.previousComm],
        [one.next, one.nextComm],
      ] as const) {
        const tid = thread.number(batch, i);
        if (comm === undefined || !this.#isNews(tid, comm, batch, i)) continue;
        // Where a thread has no name, one of later is better than none.
        if (i > start && this.#threads.has(tid)) {
          yield partOf(batch, start, i, start === 0 ? batch.losses : []);
          start = i;
        }
        this.#threads.name(tid, comm.text(batch, i));
      }
    }
    if (start === 0) yield batch;
    else yield partOf(batch, start, count, []);
  }

  #isNews(tid: number, comm: FieldReader, batch: EventBatch, i: number): boolean {
    const { bytes } = comm;
    if (tid <= 0) return false;
    if (bytes === undefined) return this.#threads.get(tid)?.comm !== comm.text(batch, i);
    return bytes.find(batch, i) && this.#seen.see(tid, batch.time[i] as number, batch.bytes, bytes.start, bytes.end);
  }

  #switch(id: number): Switch | null {
    const known = this.#switches[id];
    if (known !== undefined) return known;
    const type = this.#types.all[id];
    const previous = type?.name === 'sched:sched_switch' ? type.reader('prev_pid') : undefined;
    const next = type?.reader('next_pid');
    const one =
      previous === undefined || next === undefined
        ? null
        : { previous, next, previousComm: type?.reader('prev_comm'), nextComm: type?.reader('next_comm') };
    this.#switches[id] = one;
    return one;
  }
}

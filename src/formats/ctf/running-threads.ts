import type { EventBatch } from '../../trace/batch.ts';
import type { EventType, FieldReader } from '../../trace/event-type.ts';
import type { ThreadTable, TypeTable } from '../../trace/trace.ts';

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
 * Which thread an event was on, where the recording does not say with each: sched_switch says who runs on its CPU from then on. What
 * comes before the first one, or before the first after a loss, is of the thread that it switches out. Names of threads come from it, too.
 */
export class RunningThreads {
  readonly #types: TypeTable;
  readonly #threads: ThreadTable;
  readonly #running = new Int32Array(maxCpus).fill(unknown);
  readonly #switches: (Switch | null | undefined)[] = [];
  /** Whether threads were missing, and whether any was found. */
  #missing = false;
  #found = false;
  #told = 0;

  constructor(types: TypeTable, threads: ThreadTable) {
    this.#types = types;
    this.#threads = threads;
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

  fill(batch: EventBatch): void {
    const { count, type, cpu, tid, losses } = batch;
    const running = this.#running;
    for (const loss of losses) {
      if (loss.cpu < 0) running.fill(unknown);
      else if (loss.cpu < maxCpus) running[loss.cpu] = unknown;
    }
    const switches = this.#switches;
    for (let i = 0; i < count; i++) {
      const id = type[i] as number;
      let one = switches[id];
      if (one === undefined) one = this.#look(id);
      const c = cpu[i] as number;
      const known = c >= 0 && c < maxCpus;
      if (one !== null) this.#switch(one, batch, i, known ? c : -1);
      if (tid[i] !== unknown) continue;
      this.#missing = true;
      if (!known || one !== null) continue;
      const thread = running[c] as number;
      if (thread === unknown) continue;
      tid[i] = thread;
      this.#found = true;
    }
  }

  #switch(one: Switch, batch: EventBatch, i: number, cpu: number): void {
    const previous = one.previous.number(batch, i);
    const next = one.next.number(batch, i);
    this.#name(previous, one.previousComm, batch, i);
    this.#name(next, one.nextComm, batch, i);
    if (cpu < 0) return;
    const { tid, cpu: cpus } = batch;
    if (tid[i] === unknown) {
      tid[i] = previous;
      this.#missing = true;
      this.#found = true;
    }
    if (this.#running[cpu] === unknown) {
      for (let j = i - 1; j >= 0; j--) if (tid[j] === unknown && cpus[j] === cpu) tid[j] = previous;
    }
    this.#running[cpu] = next;
  }

  /** Names are asked for once a thread: the first ones tell. */
  #name(tid: number, comm: FieldReader | undefined, batch: EventBatch, i: number): void {
    if (tid <= 0 || comm === undefined || this.#threads.has(tid) || this.#told > 1 << 20) return;
    this.#told++;
    this.#threads.name(tid, comm.text(batch, i));
  }

  #look(id: number): Switch | null {
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

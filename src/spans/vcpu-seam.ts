import type { Loss } from '../trace/loss.ts';
import { type Arrays, tableOf } from './table.ts';

/** What `VcpuTime` is told of threads that were not seen to run a vCPU so far. */
export const ahead = {
  switchedOut: 0,
  switchedIn: 1,
  woken: 2,
  toUserspace: 3,
  toKvm: 4,
  wakeup: 5,
  /** That the exit is no halt after all, or, with the value 1, that it is one. */
  wfe: 6,
  /** Something that says no more than where it is. */
  seen: 7,
  loss: 8,
  firstExit: 9,
  firstEntry: 10,
} as const;

const schema = {
  what: 'u8',
  time: 'f64',
  tid: 'i32',
  cpu: 'i32',
  /** How the thread left, which thread it followed, why it went to userspace, how long it slept, which loss it is, or the thread's number. */
  value: 'f64',
} as const;

class Rows extends tableOf(schema) {}

/** Rows that are kept of a stretch. */
const maxRows = 1 << 18;

export type AheadPart = {
  rows: Arrays<typeof schema>;
  count: number;
  lost: readonly Loss[];
  /** What cannot be joined: too much came, or a thread ended and another had its number. */
  unfit: boolean;
  /** Whether any told how long a halt was. */
  wakeups: boolean;
};

/**
 * What is the case with a thread when a stretch of a recording begins, nobody knows who was given that stretch alone. Up to its first exit or entry, what
 * happens to it is noted here, for who knows what was before.
 */
export class Ahead {
  readonly #rows = new Rows();
  readonly #lost: Loss[] = [];
  readonly #dead = new Set<number>();
  #unfit = false;
  #wakeups = false;

  add(what: number, time: number, tid: number, cpu: number, value: number): void {
    // The idle threads, one for each CPU, share a number.
    if (!(tid > 0)) return;
    if (what === ahead.wakeup) this.#wakeups = true;
    this.#add(what, time, tid, cpu, value);
  }

  lose(loss: Loss, batch: number): void {
    this.#add(ahead.loss, batch, 0, 0, this.#lost.push(loss) - 1);
  }

  died(tid: number): void {
    this.#dead.add(tid);
  }

  /** A thread leaves or enters the guest for the first time. */
  first(what: number, time: number, tid: number, cpu: number, thread: number): void {
    if (this.#dead.has(tid) || tid === 0) this.#unfit = true;
    this.#add(what, time, tid, cpu, thread);
  }

  part(): AheadPart {
    return {
      rows: this.#rows.copy(),
      count: this.#rows.count,
      lost: this.#lost,
      unfit: this.#unfit,
      wakeups: this.#wakeups,
    };
  }

  #add(what: number, time: number, tid: number, cpu: number, value: number): void {
    const rows = this.#rows;
    if (rows.count === maxRows) {
      this.#unfit = true;
      return;
    }
    const k = rows.add();
    rows.what[k] = what;
    rows.time[k] = time;
    rows.tid[k] = tid;
    rows.cpu[k] = cpu;
    rows.value[k] = value;
  }
}

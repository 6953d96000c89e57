import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { Carriers } from './carriers.ts';
import { isSched, leaves, leaving, type SchedEvent, schedEvent } from './sched.ts';

/** What a thread can be at, as far as the scheduler's and the mutexes' events tell. */
export const threadStates = ['running', 'runnable', 'asleep', 'lock', 'unknown'] as const;
export type ThreadState = (typeof threadStates)[number];

const running = 0;
const runnable = 1;
const asleep = 2;
const lock = 3;
const unknown = 4;
const states = threadStates.length;

const maxThreads = 4096;
/** Stretches remembered of each thread, for moments that are asked for only later. */
const remembered = 256;

type Role = SchedEvent | { what: 'lock' | 'locked' };

/**
 * What the threads of interest did with their time: on a CPU, ready to run but without one, asleep, or waiting for a mutex of QEMU.
 * Time is summed up from when a thread is followed on, so that what it did in a stretch is the difference of two sums.
 */
export class ThreadTime {
  /** Which events there were, so that what cannot be told is known. */
  readonly evidence = { sched: false, locks: false };
  readonly #roles: (Role | undefined)[] = [];
  readonly #carriers = new Carriers();
  readonly #threads = new IdTable();
  readonly #since: number[] = [];
  /** What the scheduler says of each, and whether it waits for a mutex. */
  readonly #run: number[] = [];
  readonly #locking: boolean[] = [];
  #sums = new Float64Array(64 * states);
  /** By thread: the latest stretches, as when they began, when they ended, and the state; and how many there were. */
  readonly #stretches: Float64Array[] = [];
  readonly #count: number[] = [];
  #trace: Trace | undefined;

  wants(type: EventType): boolean {
    return isSched(type) || type.name === 'qemu:qemu_mutex_lock' || type.name === 'qemu:qemu_mutex_locked';
  }

  begin(trace: Trace): void {
    this.#trace = trace;
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      this.#roles.push(roleOf(trace.types[id] as EventType));
    }
  }

  /** From now on, this thread, which causes an event just now, is followed. */
  follow(tid: number, time: number): void {
    if (tid < 0 || this.#threads.find(0, tid) >= 0 || this.#threads.size === maxThreads) return;
    const thread = this.#threads.id(0, tid);
    this.#since.push(time);
    this.#run.push(running);
    this.#locking.push(false);
    this.#stretches.push(new Float64Array(3 * remembered));
    this.#count.push(0);
    if ((thread + 1) * states > this.#sums.length) {
      const sums = new Float64Array(this.#sums.length * 2);
      sums.set(this.#sums);
      this.#sums = sums;
    }
  }

  follows(tid: number): boolean {
    return this.#find(tid) >= 0;
  }

  /** Notes an event, whatever it is. */
  take(b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === undefined) return;
    const time = b.time[i] as number;
    if (role.what === 'switch') {
      this.evidence.sched = true;
      const out = this.#find(role.previous.number(b, i));
      if (out >= 0) {
        this.#account(out, time);
        this.#run[out] = leaving(role.state, b, i) === leaves.runnable ? runnable : asleep;
      }
      const into = this.#find(role.next.number(b, i));
      if (into >= 0) {
        this.#account(into, time);
        this.#run[into] = running;
      }
      return;
    }
    if (role.what === 'wake') {
      const woken = this.#find(role.thread.number(b, i));
      if (woken < 0 || this.#run[woken] !== asleep) return;
      this.#account(woken, time);
      this.#run[woken] = runnable;
      return;
    }
    const own = this.#find(b.tid[i] as number);
    if (own < 0 || !this.#carriers.takes(this.#trace?.types[b.type[i] as number] as EventType)) return;
    this.evidence.locks = true;
    this.#account(own, time);
    this.#locking[own] = role.what === 'lock';
  }

  /**
   * What a thread has spent in each state until `time`, from when it was followed on; false where that is not known. The moment
   * may be a little before the event at hand.
   */
  until(tid: number, time: number, out: Float64Array, at: number): boolean {
    const thread = this.#find(tid);
    if (thread < 0) return false;
    this.#account(thread, time);
    for (let s = 0; s < states; s++) out[at + s] = this.#sums[thread * states + s] as number;
    const stretches = this.#stretches[thread] as Float64Array;
    const count = this.#count[thread] as number;
    for (let n = count - 1; n >= count - remembered; n--) {
      if (n < 0) return time >= (this.#since[thread] as number);
      const place = 3 * (n % remembered);
      const end = stretches[place + 1] as number;
      if (end <= time) return true;
      const begin = stretches[place] as number;
      const state = at + (stretches[place + 2] as number);
      out[state] = (out[state] as number) - (end - Math.max(begin, time));
      if (begin <= time) return true;
    }
    return false;
  }

  #find(tid: number): number {
    return tid < 0 ? -1 : this.#threads.find(0, tid);
  }

  #account(thread: number, time: number): void {
    const length = time - (this.#since[thread] as number);
    if (length <= 0) return;
    const from = this.#since[thread] as number;
    this.#since[thread] = time;
    const run = this.evidence.sched ? (this.#run[thread] as number) : unknown;
    const state = this.#locking[thread] === true ? lock : run;
    const at = thread * states + state;
    this.#sums[at] = (this.#sums[at] as number) + length;
    const stretches = this.#stretches[thread] as Float64Array;
    const n = this.#count[thread] as number;
    this.#count[thread] = n + 1;
    const place = 3 * (n % remembered);
    stretches[place] = from;
    stretches[place + 1] = time;
    stretches[place + 2] = state;
  }
}

function roleOf(type: EventType): Role | undefined {
  if (type.name === 'qemu:qemu_mutex_lock') return { what: 'lock' };
  if (type.name === 'qemu:qemu_mutex_locked') return { what: 'locked' };
  return schedEvent(type);
}

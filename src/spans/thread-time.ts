import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import { type Contended, contended } from './lock-spans.ts';
import { LockWatch } from './lock-watch.ts';
import type { Locks } from './locks.ts';
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

type Role = SchedEvent | { what: 'lock' };

/**
 * What the threads of interest did with their time: on a CPU, ready to run but without one, asleep, or waiting for a mutex of QEMU that another thread holds.
 * Time is summed up from when a thread is followed on, so that what it did in a stretch is the difference of two sums.
 */
export class ThreadTime {
  readonly #seen = { sched: false, locks: false };
  readonly #roles: (Role | undefined)[] = [];
  readonly #sources = new FirstSources();
  readonly #threads = new IdTable();
  readonly #since: number[] = [];
  /** What the scheduler says of each, and whether it waits for a mutex that another thread holds. */
  readonly #run: number[] = [];
  readonly #heldUp: boolean[] = [];
  #sums = new Float64Array(64 * states);
  /** By thread: the latest stretches, as when they began, when they ended, and the state; and how many there were. */
  readonly #stretches: Float64Array[] = [];
  readonly #count: number[] = [];
  readonly #watch: LockWatch;
  readonly #changed = (tid: number, held: Contended) => this.#setHeldUp(tid, held);
  /** By thread: since when it waits for a mutex that another thread may hold, and what the sums were then. */
  readonly #doubts = new Map<number, { since: number; sums: Float64Array }>();
  #trace: Trace | undefined;
  #time = 0;

  /** `locks` are those of somebody who gives them each batch first; where there are none, it follows the mutexes itself. */
  constructor(locks?: Locks) {
    this.#watch = new LockWatch(locks);
  }

  /** Which events there were, so that what cannot be told is known. */
  get evidence(): { sched: boolean; locks: boolean } {
    return { ...this.#seen, locks: this.#seen.locks && this.#watch.tells };
  }

  wants(type: EventType): boolean {
    return isSched(type) || this.#watch.wants(type);
  }

  begin(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    // Who holds a mutex is not known any more.
    if (b.losses.length > 0) {
      this.#heldUp.fill(false);
      this.#doubts.clear();
    }
    this.#watch.batch(trace, b);
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
    this.#heldUp.push(false);
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
    if (this.#watch.next <= i) {
      this.#time = b.time[i] as number;
      this.#watch.take(i, this.#changed);
    }
    const role = this.#roles[b.type[i] as number];
    if (role === undefined) return;
    const time = b.time[i] as number;
    if (role.what === 'switch') {
      this.#seen.sched = true;
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
    if (own < 0 || !this.#sources.takes(this.#trace?.types[b.type[i] as number] as EventType)) return;
    this.#seen.locks = true;
  }

  #setHeldUp(tid: number, held: Contended): void {
    const own = this.#find(tid);
    if (own < 0) return;
    this.#account(own, this.#time);
    this.#heldUp[own] = held === contended.yes;
    const at = own * states;
    if (held === contended.was) this.#wasHeldUp(own);
    if (held !== contended.maybe) this.#doubts.delete(own);
    else this.#doubts.set(own, { since: this.#time, sums: this.#sums.slice(at, at + states) });
  }

  /** What a thread did since it came to wait was to wait for another. */
  #wasHeldUp(own: number): void {
    const doubt = this.#doubts.get(own);
    if (doubt === undefined) return;
    const at = own * states;
    for (let s = 0; s < states; s++) {
      if (s === lock) continue;
      const length = (this.#sums[at + s] as number) - (doubt.sums[s] as number);
      this.#sums[at + s] = doubt.sums[s] as number;
      this.#sums[at + lock] = (this.#sums[at + lock] as number) + length;
    }
    const stretches = this.#stretches[own] as Float64Array;
    const count = this.#count[own] as number;
    for (let n = count - 1; n >= 0 && n >= count - remembered; n--) {
      const place = 3 * (n % remembered);
      if ((stretches[place] as number) < doubt.since) break;
      stretches[place + 2] = lock;
    }
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
    const run = this.#seen.sched ? (this.#run[thread] as number) : unknown;
    const state = this.#heldUp[thread] === true ? lock : run;
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
  return schedEvent(type);
}

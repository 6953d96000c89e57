import { grown } from '../trace/grown.ts';
import { Stretches } from './lock-spans.ts';
import { tableOf } from './table.ts';

/** Stretches of others' holds remembered for the waits that are open. */
const maxStretches = 1 << 20;

const none = -1;

/**
 * What is known of a thread and a mutex. Of a wait: when it began (NaN where there is none), where and on which CPU, and whether another thread held the mutex in it; its
 * neighbours among the waits for that mutex, and the first and last of its stretches in `OpenStretches`. Of a hold: how many times the thread has locked the mutex (0
 * where it does not hold it), since when, where and on which CPU, how many losses there were then, and when another thread took the mutex all the same (NaN where none
 * did). And the call site of its last unlock (-1 after a locked), and whether it had an event before.
 */
export class LockStates extends tableOf({
  thread: 'i32',
  mutex: 'i32',
  waitSince: 'f64',
  waitSite: 'i32',
  waitCpu: 'i32',
  contended: 'u8',
  next: 'i32',
  previous: 'i32',
  head: 'i32',
  tail: 'i32',
  depth: 'u32',
  holdSince: 'f64',
  holdSite: 'i32',
  holdCpu: 'i32',
  epoch: 'f64',
  overtakenAt: 'f64',
  unlockSite: 'i32',
  seen: 'u8',
}) {
  begin(thread: number, mutex: number): void {
    const s = this.add();
    this.thread[s] = thread;
    this.mutex[s] = mutex;
    this.waitSince[s] = Number.NaN;
    this.overtakenAt[s] = Number.NaN;
    this.head[s] = none;
    this.tail[s] = none;
    this.unlockSite[s] = none;
  }
}

/** The stretches of the waits that are open: a list for each. */
export class OpenStretches {
  readonly #kept = new Stretches();
  #next = new Int32Array(64);
  #free = none;
  #used = 0;

  add(
    s: number,
    state: LockStates,
    begin: number,
    end: number,
    since: number,
    thread: number,
    site: number,
    inner: number,
  ): void {
    const kept = this.#kept;
    const tail = state.tail[s] as number;
    let at = this.#free;
    if (at >= 0) this.#free = this.#next[at] as number;
    else {
      if (this.#used === maxStretches) return;
      at = this.#used++;
      if (at === this.#next.length) this.#next = grown(this.#next);
    }
    kept.count = at;
    kept.append(begin, end, since, thread, site, inner);
    this.#next[at] = none;
    if (tail < 0) state.head[s] = at;
    else this.#next[tail] = at;
    state.tail[s] = at;
  }

  /** Copies those of a wait. */
  give(s: number, state: LockStates, out: Stretches): void {
    const { begin, duration, since, thread, site, inner } = this.#kept;
    for (let at = state.head[s] as number; at >= 0; at = this.#next[at] as number) {
      const from = begin[at] as number;
      out.append(
        from,
        from + (duration[at] as number),
        since[at] as number,
        thread[at] as number,
        site[at] as number,
        inner[at] as number,
      );
    }
  }

  /** Forgets those of a wait. */
  clear(s: number, state: LockStates): void {
    const tail = state.tail[s] as number;
    if (tail < 0) return;
    this.#next[tail] = this.#free;
    this.#free = state.head[s] as number;
    state.head[s] = none;
    state.tail[s] = none;
  }
}

import { tableOf } from './table.ts';

/**
 * Waits or holds that ended within a batch, in the order of their ends. `thread`, `mutex` and `site` (where it was locked) are indices in the lists of `Locks`, `cpu` that of
 * the first event (-1 where unknown), `endsAt` the index in the batch of the event that ended it. Of waits: `contended` is 1 where another thread held the
 * mutex at some moment of it, `held` how long that was, and its stretches are those from `firstStretch` to before `lastStretch`.
 */
export class LockSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  thread: 'i32',
  mutex: 'i32',
  site: 'i32',
  cpu: 'i32',
  endsAt: 'i32',
  contended: 'u8',
  held: 'f64',
  firstStretch: 'i32',
  lastStretch: 'i32',
}) {}

/**
 * Who held the mutex during the waits that ended within a batch: the parts of a wait that are another thread's. `since`: when the holder had taken it, NaN where that was
 * before the trace began; `site`: where, -1 likewise; `inner`: where it had last locked another mutex meanwhile, which tells what it was at, -1 for none.
 */
export class Stretches extends tableOf({
  begin: 'f64',
  duration: 'f64',
  since: 'f64',
  thread: 'i32',
  site: 'i32',
  inner: 'i32',
}) {
  append(begin: number, end: number, since: number, thread: number, site: number, inner: number): void {
    const n = this.add();
    this.begin[n] = begin;
    this.duration[n] = end - begin;
    this.since[n] = since;
    this.thread[n] = thread;
    this.site[n] = site;
    this.inner[n] = inner;
  }
}

/** What becomes of a thread's wait: nobody holds the mutex, another thread does; nobody knows whether one has since before the trace began, and then: one did, until now. */
export const contended = { no: 0, yes: 1, maybe: 2, was: 3 } as const;
export type Contended = (typeof contended)[keyof typeof contended];

/**
 * Within a batch, which threads came to wait for a mutex that another one held (`held`), and which ceased to, in the order of the
 * events: `at` is the event's index in the batch, `thread` an index into `Locks.threads`.
 */
export class Contention extends tableOf({ at: 'i32', thread: 'i32', held: 'u8' }) {
  append(at: number, thread: number, held: Contended): void {
    const n = this.add();
    this.at[n] = at;
    this.thread[n] = thread;
    this.held[n] = held;
  }
}

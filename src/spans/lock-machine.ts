import { grown } from '../trace/grown.ts';
import { LockKeys, type LockThread, type Mutex, type Site } from './lock-keys.ts';
import type { LockSeam } from './lock-seam.ts';
import { Contention, contended, LockSpans, Stretches } from './lock-spans.ts';
import { LockStates, OpenStretches } from './lock-state.ts';
import { LossTable } from './losses.ts';

/*
 * QEMU's mutexes, from the three events of util/qemu-thread-posix.c: `qemu_mutex_lock` right before pthread_mutex_lock,
 * `qemu_mutex_locked` right after it, `qemu_mutex_unlock` right before pthread_mutex_unlock. So a wait is lock → locked, a hold
 * is locked → unlock, and of one mutex the unlock of one thread always precedes the locked of the next.
 *
 * A try-lock that succeeds traces only `locked`. Waiting on a condition variable traces `unlock` before and `locked` after it, both
 * with the call site of the wait and without a `lock`: how much of it went into taking the mutex again cannot be told.
 * A recursive mutex (QemuRecMutex) traces all three each time; its hold ends with the last unlock.
 */

/** Waiters of one mutex that a hold is put down to. */
const maxWaiters = 4096;
/** Two stamps of different threads may be so far in the wrong order (ns): each thread stamps before it writes. */
const slack = 1000;

const none = -1;

/** What an event of a mutex says. */
export const lock = 1;
export const locked = 2;
export const unlock = 3;

/** What was seen, and what could not be paired. */
export type LockCounts = {
  /** Events by kind. */
  lock: number;
  locked: number;
  unlock: number;
  waits: number;
  holds: number;
  /** `unlock` of a mutex that was locked before the trace began, or whose `locked` is missing. */
  unlockFirst: number;
  /** `lock` of a thread that was waiting for the mutex already. */
  lockAgain: number;
  /** Waits and holds set aside because events may have been lost in between. */
  straddlingLoss: number;
  /** Holds set aside because another thread had the mutex before they ended: an event is missing. */
  overtaken: number;
  /** Events left out: more mutexes or threads than can be told apart. */
  beyond: number;
  /** Events of threads that the trace does not tell apart. */
  withoutThread: number;
};

export function noCounts(): LockCounts {
  return {
    lock: 0,
    locked: 0,
    unlock: 0,
    waits: 0,
    holds: 0,
    unlockFirst: 0,
    lockAgain: 0,
    straddlingLoss: 0,
    overtaken: 0,
    beyond: 0,
    withoutThread: 0,
  };
}

/** What becomes of mutexes with each of their events: who waits, who has them, and what ended with it. */
export class LockMachine {
  protected readonly keys = new LockKeys();
  readonly threads: readonly LockThread[] = this.keys.threads;
  readonly mutexes: readonly Mutex[] = this.keys.mutexes;
  readonly sites: readonly Site[] = this.keys.sites;
  readonly waits = new LockSpans();
  readonly holds = new LockSpans();
  /** Mutexes taken without a wait that could be timed: their thread, mutex and site. */
  readonly bare = new LockSpans();
  readonly stretches = new Stretches();
  readonly contention = new Contention();
  readonly counts = noCounts();
  /** Whether any mutex was let go, also before the stretch that is asked about. */
  unlocks = false;

  protected readonly losses = new LossTable();
  /** Grows with every loss: who held a mutex before one may not hold it any more. */
  protected epoch = 0;
  protected readonly state = new LockStates(256);
  /** By mutex: the state that holds it, and the first of those that wait for it. */
  protected holder = new Int32Array(256).fill(none);
  protected firstWaiter = new Int32Array(256).fill(none);
  /** By thread: where and when it took a mutex last. */
  protected lastSite = new Int32Array(64).fill(none);
  protected lastTime = new Float64Array(64);
  /** By mutex: whether anybody was seen to take it. */
  protected taken = new Uint8Array(256);
  protected readonly open = new OpenStretches();
  /** Whether a mutex was taken that nobody was seen to let go: where no unlock is seen at all, none is recorded. */
  protected unlocksMissing = false;
  /** Whether a span was set aside because nothing told where its thread was. */
  protected presumed = false;
  /** Of a stretch that begins in the middle of the recording. */
  protected seam: LockSeam | undefined;
  /** States that wait for a mutex which another thread is known to hold. */
  readonly #heldUp = new Set<number>();
  /** States that wait for a mutex which another thread may hold since before the trace began. */
  readonly #doubted = new Set<number>();
  /** Where what is found is counted: not in `counts`, while it is only supposed. */
  #tally = this.counts;
  readonly #supposed = noCounts();
  readonly #supposedMutex: Mutex = {
    pid: none,
    high: 0,
    low: 0,
    locked: 0,
    everLocked: 0,
    nested: 0,
    condition: 0,
    tryLock: 0,
  };

  protected take(role: number, s: number, time: number, site: number, cpu: number, i: number): void {
    if (role === lock) this.#lock(s, time, site, cpu, i);
    else if (role === locked) this.#locked(s, time, site, cpu, i);
    else this.#unlock(s, time, site, cpu, i);
  }

  protected lose(): void {
    this.epoch++;
    this.seam?.epochAt.push(this.seam.kept.count);
    for (const s of this.#heldUp) this.#setHeld(s, 0, 0);
    for (const s of this.#doubted) this.#resolve(s, contended.no, 0);
  }

  /** Begins to give spans, of so many events. */
  protected clear(events: number): void {
    for (const spans of [this.waits, this.holds, this.bare]) {
      spans.reserve(events);
      spans.count = 0;
    }
    this.stretches.count = 0;
  }

  protected begin(s: number): void {
    const [thread, mutex] = [this.keys.thread(s), this.keys.mutex(s)];
    this.state.begin(thread, mutex);
    while (thread >= this.lastSite.length) {
      this.lastSite = grown(this.lastSite, none);
      this.lastTime = grown(this.lastTime);
    }
    while (mutex >= this.holder.length) {
      this.holder = grown(this.holder, none);
      this.firstWaiter = grown(this.firstWaiter, none);
      this.taken = grown(this.taken);
    }
  }

  /** Takes an event that may mean something else to who knows what was before: what it seems to mean is not told. */
  protected suppose(role: number, s: number, time: number, site: number, cpu: number, i: number): void {
    const tables = [this.waits, this.holds, this.bare, this.stretches, this.contention];
    const counts = tables.map(({ count }) => count);
    this.#tally = this.#supposed;
    this.take(role, s, time, site, cpu, i);
    this.#tally = this.counts;
    for (const [n, table] of tables.entries()) table.count = counts[n] as number;
  }

  protected *waiters(mutex: number): Iterable<number> {
    const { next } = this.state;
    for (let w = this.firstWaiter[mutex] as number; w >= 0; w = next[w] as number) yield w;
  }

  #lock(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.state;
    if (!Number.isNaN(state.waitSince[s] as number)) {
      if (this.losses.some && this.losses.straddle(state.waitSince[s] as number, time, none, none))
        this.#tally.straddlingLoss++;
      else this.#tally.lockAgain++;
      this.#stopWaiting(s, i);
    }
    state.waitSince[s] = time;
    state.waitSite[s] = site;
    state.waitCpu[s] = cpu;
    state.contended[s] = 0;
    state.seen[s] = 1;
    const mutex = state.mutex[s] as number;
    const holder = this.holder[mutex] as number;
    if (holder >= 0 && holder !== s && state.epoch[holder] === this.epoch) this.#setHeld(s, 1, i);
    else if (this.taken[mutex] === 0) this.#doubt(s, i);
    this.awaits(s);
  }

  /** Puts a state first in the list of those that wait for its mutex. */
  protected awaits(s: number): void {
    const state = this.state;
    const mutex = state.mutex[s] as number;
    const next = this.firstWaiter[mutex] as number;
    state.next[s] = next;
    state.previous[s] = none;
    if (next >= 0) state.previous[next] = s;
    this.firstWaiter[mutex] = s;
  }

  #locked(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.state;
    const mutex = state.mutex[s] as number;
    const supposed = this.#tally !== this.counts;
    const facts = supposed ? this.#supposedMutex : (this.mutexes[mutex] as Mutex);
    facts.locked++;
    facts.everLocked++;
    const holder = this.holder[mutex] as number;
    if (holder >= 0 && holder !== s) this.#overtake(holder, time);
    const since = state.waitSince[s] as number;
    if (Number.isNaN(since)) {
      if ((state.unlockSite[s] as number) === site && site >= 0) facts.condition++;
      else facts.tryLock++;
      if (!supposed && state.seen[s] === 0) this.seam?.bare.push({ state: s, site });
      this.#emitBare(s, site, i);
    } else {
      if (this.#straddles(s, since, time, state.waitCpu[s] as number, cpu)) {
        this.#tally.straddlingLoss++;
        this.#emitBare(s, site, i);
      } else this.#emitWait(s, time, i);
      this.#stopWaiting(s, i);
    }
    if ((state.depth[s] as number) > 0 && this.#stale(s, time)) state.depth[s] = 0;
    state.unlockSite[s] = none;
    state.seen[s] = 1;
    this.taken[mutex] = 1;
    if ((state.depth[s] as number) > 0) {
      state.depth[s] = (state.depth[s] as number) + 1;
      facts.nested++;
      return;
    }
    if (site >= 0 && this.keys.siteInHeader[site] === false) {
      this.lastSite[state.thread[s] as number] = site;
      this.lastTime[state.thread[s] as number] = time;
    }
    state.depth[s] = 1;
    state.holdSince[s] = time;
    state.holdSite[s] = site;
    state.holdCpu[s] = cpu;
    state.epoch[s] = this.epoch;
    state.overtakenAt[s] = Number.NaN;
    this.holder[mutex] = s;
    this.#holdUp(mutex, 1, i);
  }

  /** Those who wait for a mutex are held up by its new holder, or not any more. */
  #holdUp(mutex: number, held: 0 | 1, i: number): void {
    const state = this.state;
    let waiters = 0;
    for (let w = this.firstWaiter[mutex] as number; w >= 0 && waiters < maxWaiters; w = state.next[w] as number) {
      this.#setHeld(w, held, i);
      waiters++;
    }
  }

  #setHeld(s: number, held: 0 | 1, i: number): void {
    // Where mutexes are not seen to be let go, who holds one cannot be known.
    if (held === 1 && this.unlocksMissing && !this.unlocks) return;
    if (held === 1) this.state.contended[s] = 1;
    const changes = held === 1 ? !this.#heldUp.has(s) : this.#heldUp.delete(s);
    if (!changes) return;
    if (held === 1) this.#heldUp.add(s);
    this.contention.append(i, this.state.thread[s] as number, held);
  }

  /** Whether another thread holds the mutex since before the trace began is told when it lets go, or another gets it. */
  #doubt(s: number, i: number): void {
    if (this.#doubted.size === maxWaiters) return;
    this.#doubted.add(s);
    this.contention.append(i, this.state.thread[s] as number, contended.maybe);
  }

  #resolve(s: number, held: typeof contended.no | typeof contended.was, i: number): void {
    if (this.#doubted.delete(s)) this.contention.append(i, this.state.thread[s] as number, held);
  }

  #unlock(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.state;
    const mutex = state.mutex[s] as number;
    const depth = state.depth[s] as number;
    state.unlockSite[s] = site;
    if (depth === 0) {
      this.#tally.unlockFirst++;
      // It has held the mutex since before the trace began.
      if (state.seen[s] === 0 && this.taken[mutex] === 0) {
        this.#blame(mutex, s, Number.NEGATIVE_INFINITY, time, none);
        this.taken[mutex] = 1;
        for (const w of this.#doubted) {
          if (state.mutex[w] === mutex && w !== s) this.#resolve(w, contended.was, i);
        }
      }
      state.seen[s] = 1;
      return;
    }
    if (depth > 1) {
      state.depth[s] = depth - 1;
      return;
    }
    state.depth[s] = 0;
    const since = state.holdSince[s] as number;
    const overtakenAt = state.overtakenAt[s] as number;
    if (this.holder[mutex] === s) {
      this.holder[mutex] = none;
      if (this.#heldUp.size > 0) this.#holdUp(mutex, 0, i);
    }
    if (overtakenAt < time - slack) {
      this.#tally.overtaken++;
      return;
    }
    if (this.#straddles(s, since, time, state.holdCpu[s] as number, cpu)) {
      this.#tally.straddlingLoss++;
      return;
    }
    const { holds } = this;
    const n = holds.count++;
    holds.begin[n] = since;
    holds.duration[n] = time - since;
    holds.thread[n] = state.thread[s] as number;
    holds.mutex[n] = mutex;
    holds.site[n] = state.holdSite[s] as number;
    holds.cpu[n] = state.holdCpu[s] as number;
    holds.endsAt[n] = i;
    if (Number.isNaN(overtakenAt) && state.epoch[s] === this.epoch) {
      this.#blame(mutex, s, since, time, state.holdSite[s] as number);
    }
  }

  /** Another thread has the mutex of a holder whose unlock was not seen. */
  #overtake(holder: number, time: number): void {
    const state = this.state;
    this.unlocksMissing = true;
    state.overtakenAt[holder] = time;
    if (state.epoch[holder] !== this.epoch || !this.unlocks) return;
    this.#blame(
      state.mutex[holder] as number,
      holder,
      state.holdSince[holder] as number,
      time,
      state.holdSite[holder] as number,
    );
  }

  /** Whether a hold cannot be what a further `locked` is nested in: its unlock went missing. */
  #stale(s: number, time: number): boolean {
    const state = this.state;
    if (!Number.isNaN(state.overtakenAt[s] as number)) {
      this.#tally.overtaken++;
      return true;
    }
    if (this.losses.some && this.losses.straddle(state.holdSince[s] as number, time, none, none)) {
      this.#tally.straddlingLoss++;
      return true;
    }
    return false;
  }

  /** Whether events may have been lost between two of one thread. */
  #straddles(s: number, from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (!this.losses.some) return false;
    const { tid } = this.threads[this.state.thread[s] as number] as LockThread;
    const lost = this.losses.straddleOf(tid, from, to, cpu1, cpu2);
    if (lost && !this.losses.switches) this.presumed = true;
    return lost;
  }

  /** Puts a hold down to all who waited for it. */
  #blame(mutex: number, holder: number, since: number, until: number, site: number): void {
    const state = this.state;
    const thread = state.thread[holder] as number;
    const inner = (this.lastTime[thread] as number) > since ? (this.lastSite[thread] as number) : none;
    let waiters = 0;
    for (let w = this.firstWaiter[mutex] as number; w >= 0 && waiters < maxWaiters; w = state.next[w] as number) {
      waiters++;
      if (w === holder) continue;
      const from = Math.max(since, state.waitSince[w] as number);
      state.contended[w] = 1;
      this.open.add(w, state, from, until, since, thread, site, inner);
    }
  }

  #stopWaiting(s: number, i: number): void {
    const state = this.state;
    this.#setHeld(s, 0, i);
    this.#resolve(s, contended.no, i);
    const next = state.next[s] as number;
    const previous = state.previous[s] as number;
    if (previous >= 0) state.next[previous] = next;
    else this.firstWaiter[state.mutex[s] as number] = next;
    if (next >= 0) state.previous[next] = previous;
    state.waitSince[s] = Number.NaN;
    this.open.clear(s, state);
  }

  #emitBare(s: number, site: number, i: number): void {
    const { bare } = this;
    const n = bare.count++;
    bare.thread[n] = this.state.thread[s] as number;
    bare.mutex[n] = this.state.mutex[s] as number;
    bare.site[n] = site;
    bare.endsAt[n] = i;
  }

  #emitWait(s: number, time: number, i: number): void {
    const { waits, stretches } = this;
    const state = this.state;
    const n = waits.count++;
    const since = state.waitSince[s] as number;
    waits.begin[n] = since;
    waits.duration[n] = time - since;
    waits.thread[n] = state.thread[s] as number;
    waits.mutex[n] = state.mutex[s] as number;
    waits.site[n] = state.waitSite[s] as number;
    waits.cpu[n] = state.waitCpu[s] as number;
    waits.endsAt[n] = i;
    waits.contended[n] = state.contended[s] as number;
    waits.firstStretch[n] = stretches.count;
    this.open.give(s, state, stretches);
    waits.lastStretch[n] = stretches.count;
    let held = 0;
    for (let x = waits.firstStretch[n] as number; x < stretches.count; x++) held += stretches.duration[x] as number;
    waits.held[n] = held;
  }
}

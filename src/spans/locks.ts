import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import { NameTable } from '../trace/name-table.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import { LossTable } from './losses.ts';
import { isSwitch } from './sched.ts';
import { tableOf } from './table.ts';

/*
 * QEMU's mutexes, from the three events of util/qemu-thread-posix.c: `qemu_mutex_lock` right before pthread_mutex_lock,
 * `qemu_mutex_locked` right after it, `qemu_mutex_unlock` right before pthread_mutex_unlock. So a wait is lock → locked, a hold
 * is locked → unlock, and of one mutex the unlock of one thread always precedes the locked of the next.
 *
 * A try-lock that succeeds traces only `locked`. Waiting on a condition variable traces `unlock` before and `locked` after it, both
 * with the call site of the wait and without a `lock`: how much of it went into taking the mutex again cannot be told.
 * A recursive mutex (QemuRecMutex) traces all three each time; its hold ends with the last unlock.
 */

/** Addresses, mutexes, threads times mutexes, and call sites told apart; what is beyond is counted in `LockCounts.beyond`. */
const maxMutexes = 1 << 16;
const maxStates = 1 << 18;
const maxFiles = 1 << 12;
const maxSites = 1 << 16;
/** Payloads that are decoded once each. */
const maxPayloads = 1 << 14;
/** Stretches of others' holds remembered for the waits that are open. */
const maxStretches = 1 << 20;
/** Waiters of one mutex that a hold is put down to. */
const maxWaiters = 4096;
/** Two stamps of different threads may be so far in the wrong order (ns): each thread stamps before it writes. */
const slack = 1000;

const none = -1;

const lock = 1;
const locked = 2;
const unlock = 3;
const roles = new Map<string, number>(
  Object.entries<number>({
    'qemu:qemu_mutex_lock': lock,
    'qemu:qemu_mutex_locked': locked,
    'qemu:qemu_mutex_unlock': unlock,
  }),
);
/** A thread is switched out. */
const change = 4;
const undecided = 255;

/** A thread that used a mutex. */
export type LockThread = {
  tid: number;
  /** Its process, -1 where the trace does not say. */
  pid: number;
  /** Time of its first event. */
  first: number;
};

/** A mutex of a process. */
export type Mutex = {
  pid: number;
  /** Its address, in halves. */
  high: number;
  low: number;
  /** Its `locked` events; and which of them were nested, after waiting on a condition variable, and of try-locks. */
  locked: number;
  nested: number;
  condition: number;
  tryLock: number;
  /** Its `locked` events, those included that were before the stretch that is asked about. */
  everLocked: number;
};

/** Where QEMU's source locks or unlocks. */
export type Site = {
  /** As compiled in (`../../util/main-loop.c`); untrusted. '' where the trace does not say. */
  file: string;
  line: number;
};

/** A site as in QEMU's tree: `util/main-loop.c:318`, without the way there from the build directory. */
export function siteName({ file, line }: Site): string {
  return `${file.replace(/^(\.\.?\/)+/, '')}:${line}`;
}

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
class Contention extends tableOf({ at: 'i32', thread: 'i32', held: 'u8' }) {
  append(at: number, thread: number, held: Contended): void {
    const n = this.add();
    this.at[n] = at;
    this.thread[n] = thread;
    this.held[n] = held;
  }
}

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

/** A wait or hold that is not over. */
export type OpenLock = {
  kind: 'wait' | 'hold';
  begin: number;
  thread: number;
  mutex: number;
  site: number;
};

function noCounts(): LockCounts {
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

/** Finds waits and holds of QEMU's mutexes, and who held a mutex while others waited for it. */
export class Locks {
  readonly threads: LockThread[] = [];
  readonly mutexes: Mutex[] = [];
  readonly sites: Site[] = [];
  readonly waits = new LockSpans();
  readonly holds = new LockSpans();
  /** Mutexes taken without a wait that could be timed: their thread, mutex and site. */
  readonly bare = new LockSpans();
  readonly stretches = new Stretches();
  readonly contention = new Contention();
  readonly counts = noCounts();
  /** Whether any mutex was let go, also before the stretch that is asked about. */
  unlocks = false;

  readonly #losses = new LossTable();
  /** Grows with every loss: who held a mutex before one may not hold it any more. */
  #epoch = 0;
  readonly #types: TypeReaders = { roles: new Uint8Array(0), mutex: [], file: [], line: [], known: 0 };
  readonly #sources = new FirstSources();
  readonly #threadOfTid = new IdTable();
  readonly #addresses = new IdTable();
  readonly #mutexIds = new IdTable();
  readonly #processes = new Map<number, number>();
  readonly #files = new NameTable(maxFiles);
  readonly #siteIds = new IdTable();
  /** By site: whether it is in a header, as that of all lock guards is (include/qemu/thread.h): it tells nothing of what is done. */
  readonly #siteInHeader: boolean[] = [];
  /** Payloads that were decoded, and what they said: most are of a few mutexes at a few call sites. */
  readonly #payloads = new NameTable(maxPayloads);
  readonly #payloadType = new Int32Array(maxPayloads);
  readonly #payloadAddress = new Int32Array(maxPayloads);
  readonly #payloadSite = new Int32Array(maxPayloads);
  readonly #stateIds = new IdTable();
  readonly #state = new States();
  /** By mutex: the state that holds it, and the first of those that wait for it. */
  #holder = new Int32Array(256).fill(none);
  #firstWaiter = new Int32Array(256).fill(none);
  /** By thread: where and when it took a mutex last. */
  #lastSite = new Int32Array(64).fill(none);
  #lastTime = new Float64Array(64);
  /** Whether anybody was seen to take it. */
  #taken = new Uint8Array(256);
  readonly #open = new OpenStretches();
  /** States that wait for a mutex which another thread is known to hold. */
  readonly #heldUp = new Set<number>();
  /** States that wait for a mutex which another thread may hold since before the trace began. */
  readonly #doubted = new Set<number>();
  /** Whether a mutex was taken that nobody was seen to let go: where no unlock is seen at all, none is recorded. */
  #unlocksMissing = false;

  wants(type: EventType): boolean {
    return roles.has(type.name);
  }

  /** Takes the next events; what ended with them stands in `waits`, `holds` and `stretches`. */
  batch(trace: Trace, b: EventBatch): void {
    this.#learnTypes(trace);
    this.contention.count = 0;
    this.#losses.take(trace, b);
    for (let n = 0; n < b.losses.length; n++) {
      this.#epoch++;
      for (const s of this.#heldUp) this.#setHeld(s, 0, 0);
      for (const s of this.#doubted) this.#resolve(s, contended.no, 0);
    }
    this.waits.reserve(b.count);
    this.holds.reserve(b.count);
    this.bare.reserve(b.count);
    this.waits.count = 0;
    this.holds.count = 0;
    this.bare.count = 0;
    this.stretches.count = 0;
    const types = this.#types;
    const { counts } = this;
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      let role = types.roles[id] as number;
      if (role === 0) continue;
      if (role === undecided) role = this.#decide(trace.types[id] as EventType);
      if (role === 0) continue;
      const time = b.time[i] as number;
      if (role === change) {
        this.#losses.left(b.tid[i] as number, time);
        continue;
      }
      if (role === lock) counts.lock++;
      else if (role === locked) counts.locked++;
      else {
        counts.unlock++;
        this.unlocks = true;
      }
      if ((b.tid[i] as number) < 0) {
        counts.withoutThread++;
        continue;
      }
      const payload = this.#payload(b, i, id);
      const known = payload >= 0 && this.#payloadType[payload] === id;
      const address = known ? (this.#payloadAddress[payload] as number) : this.#addressOf(b, i, id);
      const s = address < 0 ? none : this.#stateOf(trace, b, i, address);
      if (s < 0) {
        counts.beyond++;
        continue;
      }
      const site = known ? (this.#payloadSite[payload] as number) : this.#siteOf(b, i, id);
      if (role === lock) this.#lock(s, time, site, b.cpu[i] as number, i);
      else if (role === locked) this.#locked(s, time, site, b.cpu[i] as number, i);
      else this.#unlock(s, time, site, b.cpu[i] as number, i);
    }
    counts.waits += this.waits.count;
    counts.holds += this.holds.count;
  }

  /** Begins to count: what was counted so far was before the stretch that is asked about. What is open stays so. */
  forgetCounts(): void {
    Object.assign(this.counts, noCounts());
    for (const mutex of this.mutexes) Object.assign(mutex, { locked: 0, nested: 0, condition: 0, tryLock: 0 });
  }

  /** The thread with that tid, or -1 where it used no mutex so far. */
  find(tid: number): number {
    return this.#threadOfTid.find(0, tid);
  }

  /** Who holds a mutex now: thread, since when, and where it was locked; undefined where nobody does, or a loss makes it unsure. */
  holderOf(mutex: number): { thread: number; since: number; site: number } | undefined {
    const s = this.#holder[mutex] ?? none;
    const state = this.#state;
    if (s < 0 || state.epoch[s] !== this.#epoch) return undefined;
    return {
      thread: state.thread[s] as number,
      since: state.holdSince[s] as number,
      site: state.holdSite[s] as number,
    };
  }

  /** Waits and holds that are not over now. */
  *unfinished(): Iterable<OpenLock> {
    const state = this.#state;
    for (let s = 0; s < this.#stateIds.size; s++) {
      const thread = state.thread[s] as number;
      const mutex = state.mutex[s] as number;
      const since = state.waitSince[s] as number;
      if (!Number.isNaN(since)) yield { kind: 'wait', begin: since, thread, mutex, site: state.waitSite[s] as number };
      if ((state.depth[s] as number) > 0) {
        yield {
          kind: 'hold',
          begin: state.holdSince[s] as number,
          thread,
          mutex,
          site: state.holdSite[s] as number,
        };
      }
    }
  }

  #lock(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.#state;
    if (!Number.isNaN(state.waitSince[s] as number)) {
      if (this.#losses.some && this.#losses.straddle(state.waitSince[s] as number, time, none, none))
        this.counts.straddlingLoss++;
      else this.counts.lockAgain++;
      this.#stopWaiting(s, i);
    }
    state.waitSince[s] = time;
    state.waitSite[s] = site;
    state.waitCpu[s] = cpu;
    state.contended[s] = 0;
    state.seen[s] = 1;
    const mutex = state.mutex[s] as number;
    const holder = this.#holder[mutex] as number;
    if (holder >= 0 && holder !== s && state.epoch[holder] === this.#epoch) this.#setHeld(s, 1, i);
    else if (this.#taken[mutex] === 0) this.#doubt(s, i);
    // First in the list of those who wait.
    const next = this.#firstWaiter[mutex] as number;
    state.next[s] = next;
    state.previous[s] = none;
    if (next >= 0) state.previous[next] = s;
    this.#firstWaiter[mutex] = s;
  }

  #locked(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.#state;
    const mutex = state.mutex[s] as number;
    const facts = this.mutexes[mutex] as Mutex;
    facts.locked++;
    facts.everLocked++;
    const holder = this.#holder[mutex] as number;
    if (holder >= 0 && holder !== s) this.#overtake(holder, time);
    const since = state.waitSince[s] as number;
    if (Number.isNaN(since)) {
      if ((state.unlockSite[s] as number) === site && site >= 0) facts.condition++;
      else facts.tryLock++;
      this.#emitBare(s, site);
    } else {
      if (this.#straddles(s, since, time, state.waitCpu[s] as number, cpu)) {
        this.counts.straddlingLoss++;
        this.#emitBare(s, site);
      } else this.#emitWait(s, time, i);
      this.#stopWaiting(s, i);
    }
    if ((state.depth[s] as number) > 0 && this.#stale(s, time)) state.depth[s] = 0;
    state.unlockSite[s] = none;
    state.seen[s] = 1;
    this.#taken[mutex] = 1;
    if ((state.depth[s] as number) > 0) {
      state.depth[s] = (state.depth[s] as number) + 1;
      facts.nested++;
      return;
    }
    if (site >= 0 && this.#siteInHeader[site] === false) {
      this.#lastSite[state.thread[s] as number] = site;
      this.#lastTime[state.thread[s] as number] = time;
    }
    state.depth[s] = 1;
    state.holdSince[s] = time;
    state.holdSite[s] = site;
    state.holdCpu[s] = cpu;
    state.epoch[s] = this.#epoch;
    state.overtakenAt[s] = Number.NaN;
    this.#holder[mutex] = s;
    this.#holdUp(mutex, 1, i);
  }

  /** Those who wait for a mutex are held up by its new holder, or not any more. */
  #holdUp(mutex: number, held: 0 | 1, i: number): void {
    const state = this.#state;
    let waiters = 0;
    for (let w = this.#firstWaiter[mutex] as number; w >= 0 && waiters < maxWaiters; w = state.next[w] as number) {
      this.#setHeld(w, held, i);
      waiters++;
    }
  }

  #setHeld(s: number, held: 0 | 1, i: number): void {
    // Where mutexes are not seen to be let go, who holds one cannot be known.
    if (held === 1 && this.#unlocksMissing && !this.unlocks) return;
    if (held === 1) this.#state.contended[s] = 1;
    const changes = held === 1 ? !this.#heldUp.has(s) : this.#heldUp.delete(s);
    if (!changes) return;
    if (held === 1) this.#heldUp.add(s);
    this.contention.append(i, this.#state.thread[s] as number, held);
  }

  /** Whether another thread holds the mutex since before the trace began is told when it lets go, or another gets it. */
  #doubt(s: number, i: number): void {
    if (this.#doubted.size === maxWaiters) return;
    this.#doubted.add(s);
    this.contention.append(i, this.#state.thread[s] as number, contended.maybe);
  }

  #resolve(s: number, held: typeof contended.no | typeof contended.was, i: number): void {
    if (this.#doubted.delete(s)) this.contention.append(i, this.#state.thread[s] as number, held);
  }

  #unlock(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.#state;
    const mutex = state.mutex[s] as number;
    const depth = state.depth[s] as number;
    state.unlockSite[s] = site;
    if (depth === 0) {
      this.counts.unlockFirst++;
      // It has held the mutex since before the trace began.
      if (state.seen[s] === 0 && this.#taken[mutex] === 0) {
        this.#blame(mutex, s, Number.NEGATIVE_INFINITY, time, none);
        this.#taken[mutex] = 1;
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
    if (this.#holder[mutex] === s) {
      this.#holder[mutex] = none;
      if (this.#heldUp.size > 0) this.#holdUp(mutex, 0, i);
    }
    if (overtakenAt < time - slack) {
      this.counts.overtaken++;
      return;
    }
    if (this.#straddles(s, since, time, state.holdCpu[s] as number, cpu)) {
      this.counts.straddlingLoss++;
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
    if (Number.isNaN(overtakenAt) && state.epoch[s] === this.#epoch) {
      this.#blame(mutex, s, since, time, state.holdSite[s] as number);
    }
  }

  /** Another thread has the mutex of a holder whose unlock was not seen. */
  #overtake(holder: number, time: number): void {
    const state = this.#state;
    this.#unlocksMissing = true;
    state.overtakenAt[holder] = time;
    if (state.epoch[holder] !== this.#epoch || !this.unlocks) return;
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
    const state = this.#state;
    if (!Number.isNaN(state.overtakenAt[s] as number)) {
      this.counts.overtaken++;
      return true;
    }
    if (this.#losses.some && this.#losses.straddle(state.holdSince[s] as number, time, none, none)) {
      this.counts.straddlingLoss++;
      return true;
    }
    return false;
  }

  /** Whether events may have been lost between two of one thread. */
  #straddles(s: number, from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (!this.#losses.some) return false;
    const { tid } = this.threads[this.#state.thread[s] as number] as LockThread;
    return this.#losses.straddleOf(tid, from, to, cpu1, cpu2);
  }

  /** Puts a hold down to all who waited for it. */
  #blame(mutex: number, holder: number, since: number, until: number, site: number): void {
    const state = this.#state;
    const thread = state.thread[holder] as number;
    const inner = (this.#lastTime[thread] as number) > since ? (this.#lastSite[thread] as number) : none;
    let waiters = 0;
    for (let w = this.#firstWaiter[mutex] as number; w >= 0 && waiters < maxWaiters; w = state.next[w] as number) {
      waiters++;
      if (w === holder) continue;
      const from = Math.max(since, state.waitSince[w] as number);
      state.contended[w] = 1;
      this.#open.add(w, state, from, until, since, thread, site, inner);
    }
  }

  #stopWaiting(s: number, i: number): void {
    const state = this.#state;
    this.#setHeld(s, 0, i);
    this.#resolve(s, contended.no, i);
    const next = state.next[s] as number;
    const previous = state.previous[s] as number;
    if (previous >= 0) state.next[previous] = next;
    else this.#firstWaiter[state.mutex[s] as number] = next;
    if (next >= 0) state.previous[next] = previous;
    state.waitSince[s] = Number.NaN;
    this.#open.clear(s, state);
  }

  #emitBare(s: number, site: number): void {
    const { bare } = this;
    const n = bare.count++;
    bare.thread[n] = this.#state.thread[s] as number;
    bare.mutex[n] = this.#state.mutex[s] as number;
    bare.site[n] = site;
  }

  #emitWait(s: number, time: number, i: number): void {
    const { waits, stretches } = this;
    const state = this.#state;
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
    this.#open.give(s, state, stretches);
    waits.lastStretch[n] = stretches.count;
    let held = 0;
    for (let x = waits.firstStretch[n] as number; x < stretches.count; x++) held += stretches.duration[x] as number;
    waits.held[n] = held;
  }

  /** The id of an event's payload; what a new one says is decoded. -1 where there are too many. */
  #payload(b: EventBatch, i: number, type: number): number {
    const before = this.#payloads.size;
    const at = b.at[i] as number;
    const id = this.#payloads.id(b.bytes, at, at + (b.size[i] as number));
    if (id === before) {
      this.#payloadType[id] = type;
      this.#payloadAddress[id] = this.#addressOf(b, i, type);
      this.#payloadSite[id] = this.#siteOf(b, i, type);
    }
    return id;
  }

  #addressOf(b: EventBatch, i: number, type: number): number {
    const reader = this.#types.mutex[type] as FieldReader;
    const high = reader.high(b, i);
    const low = reader.low(b, i);
    const address = this.#addresses.find(high, low);
    return address >= 0 || this.#addresses.size === maxMutexes ? address : this.#addresses.id(high, low);
  }

  #stateOf(trace: Trace, b: EventBatch, i: number, address: number): number {
    const tid = b.tid[i] as number;
    let thread = this.#threadOfTid.find(0, tid);
    if (thread < 0) {
      if (this.threads.length === maxMutexes) return none;
      thread = this.#threadOfTid.id(0, tid);
      const own = b.pid[i] as number;
      if (thread === this.#lastSite.length) {
        this.#lastSite = grown(this.#lastSite, none);
        this.#lastTime = grown(this.#lastTime);
      }
      this.threads.push({
        tid,
        pid: own >= 0 ? own : (trace.threads.get(tid)?.pid ?? none),
        first: b.time[i] as number,
      });
    }
    const { pid } = this.threads[thread] as LockThread;
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = this.#processes.size;
      this.#processes.set(pid, process);
    }
    let mutex = this.#mutexIds.find(process, address);
    if (mutex < 0) {
      if (this.mutexes.length === maxMutexes) return none;
      mutex = this.#mutexIds.id(process, address);
      this.mutexes.push({
        pid,
        high: this.#addresses.high(address),
        low: this.#addresses.low(address),
        locked: 0,
        everLocked: 0,
        nested: 0,
        condition: 0,
        tryLock: 0,
      });
      if (mutex === this.#holder.length) {
        this.#holder = grown(this.#holder, none);
        this.#firstWaiter = grown(this.#firstWaiter, none);
        this.#taken = grown(this.#taken);
      }
    }
    let s = this.#stateIds.find(thread, mutex);
    if (s < 0) {
      if (this.#stateIds.size === maxStates) return none;
      s = this.#stateIds.id(thread, mutex);
      this.#state.add(s, thread, mutex);
    }
    return s;
  }

  /** The call site of an event, -1 where it says none, or there are too many. */
  #siteOf(b: EventBatch, i: number, type: number): number {
    const file = this.#files.read(this.#types.file[type] as FieldReader, b, i);
    const line = (this.#types.line[type] as FieldReader).low(b, i);
    // Files that got no id share one.
    const key = file < 0 ? maxFiles : file;
    let site = this.#siteIds.find(key, line);
    if (site < 0) {
      if (this.sites.length === maxSites) return none;
      site = this.#siteIds.id(key, line);
      const name = file < 0 ? '' : this.#files.text(file);
      this.sites.push({ file: name, line });
      this.#siteInHeader.push(/\.h$/.test(name));
    }
    return site;
  }

  #decide(type: EventType): number {
    const role = this.#sources.takes(type) ? (roles.get(type.name) as number) : 0;
    this.#types.roles[type.id] = role;
    return role;
  }

  #learnTypes(trace: Trace): void {
    const types = this.#types;
    if (types.roles.length < trace.types.length) {
      const larger = new Uint8Array(trace.types.length * 2);
      larger.set(types.roles);
      types.roles = larger;
    }
    for (; types.known < trace.types.length; types.known++) {
      const type = trace.types[types.known] as EventType;
      const wanted = roles.has(type.name);
      types.roles[type.id] = wanted ? undecided : isSwitch(type) ? change : 0;
      types.mutex.push(wanted ? (type.reader('mutex') ?? absent) : undefined);
      types.file.push(wanted ? (type.reader('file') ?? absent) : undefined);
      types.line.push(wanted ? (type.reader('line') ?? absent) : undefined);
    }
  }
}

/** By type id: what an event is to us, and how to read it. */
type TypeReaders = {
  roles: Uint8Array;
  mutex: (FieldReader | undefined)[];
  file: (FieldReader | undefined)[];
  line: (FieldReader | undefined)[];
  known: number;
};

/** What is known of a thread and a mutex, as columns. */
class States {
  thread = new Int32Array(256);
  mutex = new Int32Array(256);
  /** When it began to wait; NaN where it does not wait. */
  waitSince = new Float64Array(256);
  waitSite = new Int32Array(256);
  waitCpu = new Int32Array(256);
  contended = new Uint8Array(256);
  /** Neighbours among those who wait for the mutex; -1 for none. */
  next = new Int32Array(256);
  previous = new Int32Array(256);
  /** First and last of its stretches in `OpenStretches`, -1 for none. */
  head = new Int32Array(256);
  tail = new Int32Array(256);
  /** How many times it has locked the mutex; 0 where it does not hold it. */
  depth = new Uint32Array(256);
  holdSince = new Float64Array(256);
  holdSite = new Int32Array(256);
  holdCpu = new Int32Array(256);
  /** How many losses there were when it took the mutex. */
  epoch = new Float64Array(256);
  /** When another thread took the mutex although it holds it; NaN where none did. */
  overtakenAt = new Float64Array(256);
  /** Call site of its last unlock, -1 after a locked. */
  unlockSite = new Int32Array(256);
  /** Whether it had an event before. */
  seen = new Uint8Array(256);

  add(s: number, thread: number, mutex: number): void {
    if (s === this.thread.length) this.#grow();
    this.thread[s] = thread;
    this.mutex[s] = mutex;
    this.waitSince[s] = Number.NaN;
    this.overtakenAt[s] = Number.NaN;
    this.head[s] = none;
    this.tail[s] = none;
    this.unlockSite[s] = none;
  }

  #grow(): void {
    this.thread = grown(this.thread);
    this.mutex = grown(this.mutex);
    this.waitSince = grown(this.waitSince);
    this.waitSite = grown(this.waitSite);
    this.waitCpu = grown(this.waitCpu);
    this.contended = grown(this.contended);
    this.next = grown(this.next);
    this.previous = grown(this.previous);
    this.head = grown(this.head);
    this.tail = grown(this.tail);
    this.depth = grown(this.depth);
    this.holdSince = grown(this.holdSince);
    this.holdSite = grown(this.holdSite);
    this.holdCpu = grown(this.holdCpu);
    this.epoch = grown(this.epoch);
    this.overtakenAt = grown(this.overtakenAt);
    this.unlockSite = grown(this.unlockSite);
    this.seen = grown(this.seen);
  }
}

/** The stretches of the waits that are open: a list for each. */
class OpenStretches {
  readonly #kept = new Stretches();
  #next = new Int32Array(64);
  #free = none;
  #used = 0;

  add(
    s: number,
    state: States,
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
  give(s: number, state: States, out: Stretches): void {
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
  clear(s: number, state: States): void {
    const tail = state.tail[s] as number;
    if (tail < 0) return;
    this.#next[tail] = this.#free;
    this.#free = state.head[s] as number;
    state.head[s] = none;
    state.tail[s] = none;
  }
}

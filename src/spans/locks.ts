import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import { LockKeys, type LockKeysPart, type LockKeysSeam, type LockThread, type Mutex, type Site } from './lock-keys.ts';
import { enoughKept, LockSeam, type LockSeamPart } from './lock-seam.ts';
import { Contention, contended, LockSpans, Stretches } from './lock-spans.ts';
import { LockStates, OpenStretches } from './lock-state.ts';
import { type LossPart, LossTable } from './losses.ts';
import { isSwitch } from './sched.ts';

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

/** What was learnt of the mutexes in a stretch of a recording, as plain data. */
export type LocksPart = {
  keys: LockKeysPart;
  seam: LockSeamPart;
  counts: LockCounts;
  states: ReturnType<LockStates['copy']>;
  /** Of the states that wait: the stretches so far, `state` by stretch. */
  stretches: ReturnType<Stretches['copy']> & { state: readonly number[] };
  /** By mutex: the state that holds it; and those that wait, the latest first. */
  holder: Int32Array;
  waiting: readonly (readonly number[])[];
  taken: Uint8Array;
  /** By thread. */
  lastSite: Int32Array;
  lastTime: Float64Array;
  epoch: number;
  unlocksMissing: boolean;
  losses: LossPart;
  sources: ReadonlyMap<string, string>;
  first: number;
  presumed: boolean;
};

/** Finds waits and holds of QEMU's mutexes, and who held a mutex while others waited for it. */
export class Locks {
  readonly #keys = new LockKeys();
  readonly threads: readonly LockThread[] = this.#keys.threads;
  readonly mutexes: readonly Mutex[] = this.#keys.mutexes;
  readonly sites: readonly Site[] = this.#keys.sites;
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
  /** By type id: what an event is to us. */
  readonly #roles: number[] = [];
  readonly #sources = new FirstSources();
  readonly #state = new LockStates(256);
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
  /** Of a stretch that begins in the middle of the recording; how many events there were, when the first, and whether a span was set aside because nothing told where its thread was. */
  #seam: LockSeam | undefined;
  #events = 0;
  #first = Number.NaN;
  #presumed = false;
  /** Where what is found is counted: not in `counts`, while it may be otherwise. */
  #tally = this.counts;
  readonly #doubtful = noCounts();
  readonly #doubtfulMutex: Mutex = {
    pid: none,
    high: 0,
    low: 0,
    locked: 0,
    everLocked: 0,
    nested: 0,
    condition: 0,
    tryLock: 0,
  };

  wants(type: EventType): boolean {
    return roles.has(type.name);
  }

  /** Takes the next events; what ended with them stands in `waits`, `holds` and `stretches`. */
  batch(trace: Trace, b: EventBatch): void {
    this.#learnTypes(trace);
    this.contention.count = 0;
    this.#losses.take(trace, b);
    if (b.count > 0 && Number.isNaN(this.#first)) this.#first = b.time[0] as number;
    const seam = this.#seam;
    while (seam !== undefined && seam.lossAt.length < this.#losses.told) seam.lossAt.push(seam.kept.count);
    for (let n = 0; n < b.losses.length; n++) this.#lose();
    this.#clear(b.count);
    const roles = this.#roles;
    const { counts } = this;
    const keys = this.#keys;
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      let role = roles[id] as number;
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
        if (seam !== undefined) seam.unlocks = true;
      }
      if ((b.tid[i] as number) < 0) {
        counts.withoutThread++;
        continue;
      }
      if (!keys.read(trace, b, i)) {
        counts.beyond++;
        continue;
      }
      const { state, site } = keys;
      if (state === this.#state.count) this.#begin(state);
      const cpu = b.cpu[i] as number;
      if (seam === undefined || seam.isSettled(this.#state.mutex[state] as number))
        this.#take(role, state, time, site, cpu, i);
      else this.#keep(seam, role, state, time, site, cpu, i);
    }
    this.#events += b.count;
    counts.waits += this.waits.count;
    counts.holds += this.holds.count;
  }

  #take(role: number, s: number, time: number, site: number, cpu: number, i: number): void {
    if (role === lock) this.#lock(s, time, site, cpu, i);
    else if (role === locked) this.#locked(s, time, site, cpu, i);
    else this.#unlock(s, time, site, cpu, i);
  }

  #lose(): void {
    this.#epoch++;
    this.#seam?.epochAt.push(this.#seam.kept.count);
    for (const s of this.#heldUp) this.#setHeld(s, 0, 0);
    for (const s of this.#doubted) this.#resolve(s, contended.no, 0);
  }

  /** Begins to give spans, of so many events. */
  #clear(events: number): void {
    for (const spans of [this.waits, this.holds, this.bare]) {
      spans.reserve(events);
      spans.count = 0;
    }
    this.stretches.count = 0;
  }

  #begin(s: number): void {
    const [thread, mutex] = [this.#keys.thread(s), this.#keys.mutex(s)];
    this.#state.begin(thread, mutex);
    while (thread >= this.#lastSite.length) {
      this.#lastSite = grown(this.#lastSite, none);
      this.#lastTime = grown(this.#lastTime);
    }
    while (mutex >= this.#holder.length) {
      this.#holder = grown(this.#holder, none);
      this.#firstWaiter = grown(this.#firstWaiter, none);
      this.#taken = grown(this.#taken);
    }
  }

  /** What it is given begins in the middle of a recording: the first events of each mutex are kept, at least so many, until it is free. That unlocks are recorded is taken for granted. */
  inMiddle(enough = enoughKept): void {
    this.#seam = new LockSeam(enough);
    this.unlocks = true;
  }

  /** An event that may mean something else to who knows what was before: what it seems to mean is not told. */
  #keep(seam: LockSeam, role: number, s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.#state;
    const mutex = state.mutex[s] as number;
    const thread = state.thread[s] as number;
    const holder = this.#holder[mutex] as number;
    const blamed = role === unlock ? thread : role === locked ? (state.thread[holder] ?? none) : none;
    const { kept } = seam;
    const n = seam.keep();
    kept.role[n] = role;
    kept.state[n] = s;
    kept.time[n] = time;
    kept.site[n] = site;
    kept.cpu[n] = cpu;
    kept.left[n] = this.#losses.leftAt((this.threads[thread] as LockThread).tid);
    kept.event[n] = this.#events + i;
    kept.lastSite[n] = this.#lastSite[blamed] ?? none;
    kept.lastTime[n] = this.#lastTime[blamed] ?? 0;
    const had = (state.depth[s] as number) > 0 ? 1 : 0;
    const { waits, holds, bare, stretches, contention } = this;
    const tables = [waits, holds, bare, stretches, contention];
    const counts = tables.map(({ count }) => count);
    this.#tally = this.#doubtful;
    this.#take(role, s, time, site, cpu, i);
    this.#tally = this.counts;
    for (const [n, table] of tables.entries()) table.count = counts[n] as number;
    const has = (state.depth[s] as number) > 0 ? 1 : 0;
    const free =
      this.#taken[mutex] === 1 && (this.#holder[mutex] as number) < 0 && (this.#firstWaiter[mutex] as number) < 0;
    seam.took(mutex, has - had, free);
  }

  part(): LocksPart {
    const state = this.#state;
    const waiting = this.mutexes.map((_, mutex) => [...this.#waiters(mutex)]);
    const stretches = new Stretches();
    const of: number[] = [];
    for (const s of waiting.flat()) {
      this.#open.give(s, state, stretches);
      while (of.length < stretches.count) of.push(s);
    }
    return {
      keys: this.#keys.part(),
      seam: (this.#seam ?? new LockSeam(0)).part(),
      counts: this.counts,
      states: state.copy(),
      stretches: { ...stretches.copy(), state: of },
      holder: this.#holder,
      waiting,
      taken: this.#taken,
      lastSite: this.#lastSite,
      lastTime: this.#lastTime,
      epoch: this.#epoch,
      unlocksMissing: this.#unlocksMissing,
      losses: this.#losses.part(),
      sources: this.#sources.part(),
      first: this.#first,
      presumed: this.#presumed,
    };
  }

  /** Whether all that was taken for granted in the stretch that follows is so, as far as is known here. */
  accepts({ keys, seam, losses, sources, first, presumed }: LocksPart): boolean {
    return (
      !seam.tooMany &&
      (this.unlocks || keys.threads.length === 0) &&
      this.#losses.accepts(losses, first) &&
      !(presumed && this.#losses.switches) &&
      this.#sources.accepts(sources) &&
      this.#keys.accepts(keys) &&
      this.#settles(keys, seam)
    );
  }

  /** Whether the mutexes that seemed to be free and awaited by nobody after their first events were. */
  #settles(keys: LockKeysPart, { kept, settled }: LockSeamPart): boolean {
    const state = this.#state;
    /** By state of the part: its first event. */
    const first: number[] = [];
    const known = this.#keys.known(keys);
    const holders = new Map<number, number>();
    for (const [mutex, theirs] of known.mutex) if (mutex >= 0) holders.set(theirs, this.#holder[mutex] as number);
    for (let n = 0; n < kept.count; n++) {
      const theirs = kept.state[n] as number;
      const role = kept.role[n] as number;
      first[theirs] ??= role;
      // Who had a mutex before lets go of it before another gets it; else an event is missing.
      const mutex = keys.states[2 * theirs + 1] as number;
      const holder = holders.get(mutex) ?? none;
      if (holder < 0 || role === lock) continue;
      if (known.state.get(holder) === theirs) holders.delete(mutex);
      else if (role === locked) return false;
    }
    for (let s = 0; s < state.count; s++) {
      const mutex = known.mutex.get(state.mutex[s] as number);
      if (mutex === undefined) continue;
      const role = first[known.state.get(s) ?? none];
      const depth = state.depth[s] as number;
      // A hold goes on, or its end is missing: what is nested in what is not known in the stretch.
      if (depth > 0 && role !== undefined && (depth > 1 || role !== unlock)) return false;
      if (settled[mutex] !== 1) continue;
      if (depth > 0 && role === undefined) return false;
      if (!Number.isNaN(state.waitSince[s] as number) && role !== lock && role !== locked) return false;
    }
    return true;
  }

  /** Until when, of what was kept in the stretch that follows, a thread may have had a mutex that another waited for. */
  contendedUntil({ keys, seam: { kept } }: LocksPart): number {
    const state = this.#state;
    const known = this.#keys.known(keys);
    /** By mutex of the part: the states that wait, of the part or (below 0) only known here. */
    const waiting = keys.mutexes.map(() => new Set<number>());
    for (let s = 0; s < state.count; s++) {
      const mutex = known.mutex.get(state.mutex[s] as number);
      if (mutex !== undefined && !Number.isNaN(state.waitSince[s] as number))
        waiting[mutex]?.add(known.state.get(s) ?? ~s);
    }
    let until = Number.NEGATIVE_INFINITY;
    for (let n = 0; n < kept.count; n++) {
      const s = kept.state[n] as number;
      const waits = waiting[keys.states[2 * s + 1] as number] as Set<number>;
      if (kept.role[n] === lock) waits.add(s);
      else {
        if (kept.role[n] === locked) waits.delete(s);
        if (waits.size > 0) until = kept.time[n] as number;
      }
    }
    return until;
  }

  /** Takes over what was learnt of the stretch that follows. `waits`, `holds` and `bare` are those that hang on both; their `endsAt` is the number of the kept event that ended them. `early` is told when they are those that ended before what is asked about, which are given no more. */
  join(part: LocksPart, early?: (of: LockKeysSeam) => void): LockKeysSeam {
    const { keys, seam, losses } = part;
    const { kept, lossAt, epochAt } = seam;
    const of = this.#keys.join(keys);
    while (this.#state.count < this.#keys.states) this.#begin(this.#state.count);
    this.#clear(kept.count);
    this.contention.count = 0;
    this.unlocks ||= seam.unlocks;
    const epoch = this.#epoch;
    let known = 0;
    let lost = 0;
    for (let n = 0; n <= kept.count; n++) {
      for (; known < lossAt.length && (lossAt[known] as number) <= n; known++)
        this.#losses.join(losses.told[known] as Loss);
      for (; lost < epochAt.length && (epochAt[lost] as number) <= n; lost++) this.#lose();
      if (n === seam.before) {
        early?.(of);
        this.#clear(kept.count);
        this.forgetCounts();
      }
      if (n === kept.count) break;
      const s = of.state[kept.state[n] as number] as number;
      const { tid } = this.threads[this.#state.thread[s] as number] as LockThread;
      this.#losses.joinLeft(tid, kept.left[n] as number);
      const site = of.site[kept.site[n] as number] ?? none;
      const lastSite = of.site[kept.lastSite[n] as number];
      if (lastSite !== undefined) {
        const blames = kept.role[n] === unlock ? s : (this.#holder[this.#state.mutex[s] as number] as number);
        const blamed = this.#state.thread[blames] as number;
        this.#lastSite[blamed] = lastSite;
        this.#lastTime[blamed] = kept.lastTime[n] as number;
      }
      this.#take(kept.role[n] as number, s, kept.time[n] as number, site, kept.cpu[n] as number, n);
    }
    for (const [tid, left] of losses.left ?? []) this.#losses.joinLeft(tid, left);
    this.counts.waits += this.waits.count;
    this.counts.holds += this.holds.count;
    for (const name in this.counts) this.counts[name as keyof LockCounts] += part.counts[name as keyof LockCounts];
    this.#joinFacts(part, of);
    this.#goOn(part, of, epoch);
    this.#unlocksMissing ||= part.unlocksMissing;
    this.#sources.join(part.sources);
    if (Number.isNaN(this.#first)) this.#first = part.first;
    return of;
  }

  /** What was counted of each mutex. */
  #joinFacts({ keys, seam }: LocksPart, of: LockKeysSeam): void {
    for (const [m, theirs] of keys.mutexes.entries()) {
      const mutex = this.mutexes[of.mutex[m] as number] as Mutex;
      for (const name of ['locked', 'everLocked', 'nested', 'condition', 'tryLock'] as const)
        mutex[name] += theirs[name];
    }
    for (const { state, site } of seam.bare) {
      const s = of.state[state] as number;
      if (site < 0 || this.#state.unlockSite[s] !== of.site[site]) continue;
      const mutex = this.mutexes[this.#state.mutex[s] as number] as Mutex;
      mutex.condition++;
      mutex.tryLock--;
    }
  }

  /** Where the mutexes that were settled stand at the end of the stretch; `epoch` is how many losses there were before it. */
  #goOn(
    { states, seam, holder, waiting, taken, stretches, lastSite, lastTime }: LocksPart,
    of: LockKeysSeam,
    epoch: number,
  ): void {
    const state = this.#state;
    for (const [theirs, s] of of.state.entries()) {
      if (seam.settled[states.mutex[theirs] as number] !== 1) continue;
      for (const name of ['waitSince', 'waitCpu', 'contended', 'depth', 'holdSince', 'holdCpu', 'overtakenAt'] as const)
        state[name][s] = states[name][theirs] as number;
      for (const name of ['waitSite', 'holdSite', 'unlockSite'] as const)
        state[name][s] = of.site[states[name][theirs] as number] ?? none;
      state.epoch[s] = epoch + (states.epoch[theirs] as number);
      state.seen[s] = 1;
    }
    for (const [m, mutex] of of.mutex.entries()) {
      if (seam.settled[m] !== 1) continue;
      this.#holder[mutex] = of.state[holder[m] as number] ?? none;
      this.#taken[mutex] = taken[m] as number;
      for (const theirs of [...(waiting[m] as readonly number[])].reverse()) this.#awaits(of.state[theirs] as number);
    }
    for (const [x, theirs] of stretches.state.entries()) {
      if (seam.settled[states.mutex[theirs] as number] !== 1) continue;
      const begin = stretches.begin[x] as number;
      this.#open.add(
        of.state[theirs] as number,
        state,
        begin,
        begin + (stretches.duration[x] as number),
        stretches.since[x] as number,
        of.thread[stretches.thread[x] as number] as number,
        of.site[stretches.site[x] as number] ?? none,
        of.site[stretches.inner[x] as number] ?? none,
      );
    }
    for (const [t, thread] of of.thread.entries()) {
      if ((lastSite[t] as number) < 0) continue;
      this.#lastSite[thread] = of.site[lastSite[t] as number] as number;
      this.#lastTime[thread] = lastTime[t] as number;
    }
  }

  *#waiters(mutex: number): Iterable<number> {
    const { next } = this.#state;
    for (let w = this.#firstWaiter[mutex] as number; w >= 0; w = next[w] as number) yield w;
  }

  /** Begins to count: what was counted so far was before the stretch that is asked about. What is open stays so. */
  forgetCounts(): void {
    Object.assign(this.counts, noCounts());
    this.#seam?.forgetCounts();
    for (const mutex of this.mutexes) Object.assign(mutex, { locked: 0, nested: 0, condition: 0, tryLock: 0 });
  }

  /** The thread with that tid, or -1 where it used no mutex so far. */
  find(tid: number): number {
    return this.#keys.find(tid);
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
    for (let s = 0; s < state.count; s++) {
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
    const holder = this.#holder[mutex] as number;
    if (holder >= 0 && holder !== s && state.epoch[holder] === this.#epoch) this.#setHeld(s, 1, i);
    else if (this.#taken[mutex] === 0) this.#doubt(s, i);
    this.#awaits(s);
  }

  /** Puts a state first in the list of those that wait for its mutex. */
  #awaits(s: number): void {
    const state = this.#state;
    const mutex = state.mutex[s] as number;
    const next = this.#firstWaiter[mutex] as number;
    state.next[s] = next;
    state.previous[s] = none;
    if (next >= 0) state.previous[next] = s;
    this.#firstWaiter[mutex] = s;
  }

  #locked(s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.#state;
    const mutex = state.mutex[s] as number;
    const doubtful = this.#tally !== this.counts;
    const facts = doubtful ? this.#doubtfulMutex : (this.mutexes[mutex] as Mutex);
    facts.locked++;
    facts.everLocked++;
    const holder = this.#holder[mutex] as number;
    if (holder >= 0 && holder !== s) this.#overtake(holder, time);
    const since = state.waitSince[s] as number;
    if (Number.isNaN(since)) {
      if ((state.unlockSite[s] as number) === site && site >= 0) facts.condition++;
      else facts.tryLock++;
      if (!doubtful && state.seen[s] === 0) this.#seam?.bare.push({ state: s, site });
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
    this.#taken[mutex] = 1;
    if ((state.depth[s] as number) > 0) {
      state.depth[s] = (state.depth[s] as number) + 1;
      facts.nested++;
      return;
    }
    if (site >= 0 && this.#keys.siteInHeader[site] === false) {
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
      this.#tally.unlockFirst++;
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
      this.#tally.overtaken++;
      return true;
    }
    if (this.#losses.some && this.#losses.straddle(state.holdSince[s] as number, time, none, none)) {
      this.#tally.straddlingLoss++;
      return true;
    }
    return false;
  }

  /** Whether events may have been lost between two of one thread. */
  #straddles(s: number, from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (!this.#losses.some) return false;
    const { tid } = this.threads[this.#state.thread[s] as number] as LockThread;
    const lost = this.#losses.straddleOf(tid, from, to, cpu1, cpu2);
    if (lost && !this.#losses.switches) this.#presumed = true;
    return lost;
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

  #emitBare(s: number, site: number, i: number): void {
    const { bare } = this;
    const n = bare.count++;
    bare.thread[n] = this.#state.thread[s] as number;
    bare.mutex[n] = this.#state.mutex[s] as number;
    bare.site[n] = site;
    bare.endsAt[n] = i;
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

  #decide(type: EventType): number {
    const role = this.#sources.takes(type) ? (roles.get(type.name) as number) : 0;
    this.#roles[type.id] = role;
    return role;
  }

  #learnTypes(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      const wanted = roles.has(type.name);
      this.#roles.push(wanted ? undecided : isSwitch(type) ? change : 0);
      this.#keys.learn(type, wanted);
    }
  }
}

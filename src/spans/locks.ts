import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import type { LockKeysPart, LockKeysSeam, LockThread, Mutex } from './lock-keys.ts';
import { type LockCounts, LockMachine, lock, locked, noCounts, unlock } from './lock-machine.ts';
import { enoughKept, LockSeam, type LockSeamPart } from './lock-seam.ts';
import { Stretches } from './lock-spans.ts';
import type { LockStates } from './lock-state.ts';
import type { LossPart } from './losses.ts';
import { isSwitch } from './sched.ts';

const none = -1;

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

/** A wait or hold that is not over. */
export type OpenLock = {
  kind: 'wait' | 'hold';
  begin: number;
  thread: number;
  mutex: number;
  site: number;
};

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

/** Finds waits and holds of QEMU's mutexes in events, and who held a mutex while others waited for it. */
export class Locks extends LockMachine {
  /** By type id: what an event is to us. */
  readonly #roles: number[] = [];
  readonly #sources = new FirstSources();
  /** How many events there were, and when the first. */
  #events = 0;
  #first = Number.NaN;

  wants(type: EventType): boolean {
    return roles.has(type.name);
  }

  /** Takes the next events; what ended with them stands in `waits`, `holds` and `stretches`. */
  batch(trace: Trace, b: EventBatch): void {
    this.#learnTypes(trace);
    this.contention.count = 0;
    this.losses.take(trace, b);
    if (b.count > 0 && Number.isNaN(this.#first)) this.#first = b.time[0] as number;
    const seam = this.seam;
    while (seam !== undefined && seam.lossAt.length < this.losses.told) seam.lossAt.push(seam.kept.count);
    for (let n = 0; n < b.losses.length; n++) this.lose();
    this.clear(b.count);
    const roles = this.#roles;
    const { counts } = this;
    const keys = this.keys;
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      let role = roles[id] as number;
      if (role === 0) continue;
      if (role === undecided) role = this.#decide(trace.types[id] as EventType);
      if (role === 0) continue;
      const time = b.time[i] as number;
      if (role === change) {
        this.losses.left(b.tid[i] as number, time);
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
      if (state === this.state.count) this.begin(state);
      const cpu = b.cpu[i] as number;
      if (seam === undefined || seam.isSettled(this.state.mutex[state] as number))
        this.take(role, state, time, site, cpu, i);
      else this.#keep(seam, role, state, time, site, cpu, i);
    }
    this.#events += b.count;
    counts.waits += this.waits.count;
    counts.holds += this.holds.count;
  }

  /** What it is given begins in the middle of a recording: the first events of each mutex are kept, at least so many, until it is free. That unlocks are recorded is taken for granted. */
  inMiddle(enough = enoughKept): void {
    this.seam = new LockSeam(enough);
    this.unlocks = true;
  }

  /** An event that may mean something else to who knows what was before: what it seems to mean is not told. */
  #keep(seam: LockSeam, role: number, s: number, time: number, site: number, cpu: number, i: number): void {
    const state = this.state;
    const mutex = state.mutex[s] as number;
    const thread = state.thread[s] as number;
    const holder = this.holder[mutex] as number;
    const blamed = role === unlock ? thread : role === locked ? (state.thread[holder] ?? none) : none;
    const { kept } = seam;
    const n = seam.keep();
    kept.role[n] = role;
    kept.state[n] = s;
    kept.time[n] = time;
    kept.site[n] = site;
    kept.cpu[n] = cpu;
    kept.left[n] = this.losses.leftAt((this.threads[thread] as LockThread).tid);
    kept.event[n] = this.#events + i;
    kept.lastSite[n] = this.lastSite[blamed] ?? none;
    kept.lastTime[n] = this.lastTime[blamed] ?? 0;
    const had = (state.depth[s] as number) > 0 ? 1 : 0;
    this.suppose(role, s, time, site, cpu, i);
    const has = (state.depth[s] as number) > 0 ? 1 : 0;
    const free =
      this.taken[mutex] === 1 && (this.holder[mutex] as number) < 0 && (this.firstWaiter[mutex] as number) < 0;
    seam.took(mutex, has - had, free);
  }

  part(): LocksPart {
    const state = this.state;
    const waiting = this.mutexes.map((_, mutex) => [...this.waiters(mutex)]);
    const stretches = new Stretches();
    const of: number[] = [];
    for (const s of waiting.flat()) {
      this.open.give(s, state, stretches);
      while (of.length < stretches.count) of.push(s);
    }
    return {
      keys: this.keys.part(),
      seam: (this.seam ?? new LockSeam(0)).part(),
      counts: this.counts,
      states: state.copy(),
      stretches: { ...stretches.copy(), state: of },
      holder: this.holder,
      waiting,
      taken: this.taken,
      lastSite: this.lastSite,
      lastTime: this.lastTime,
      epoch: this.epoch,
      unlocksMissing: this.unlocksMissing,
      losses: this.losses.part(),
      sources: this.#sources.part(),
      first: this.#first,
      presumed: this.presumed,
    };
  }

  /** Whether all that was taken for granted in the stretch that follows is so, as far as is known here. */
  accepts({ keys, seam, losses, sources, first, presumed }: LocksPart): boolean {
    return (
      !seam.tooMany &&
      (this.unlocks || keys.threads.length === 0) &&
      this.losses.accepts(losses, first) &&
      !(presumed && this.losses.switches) &&
      this.#sources.accepts(sources) &&
      this.keys.accepts(keys) &&
      this.#settles(keys, seam)
    );
  }

  /** Whether the mutexes that seemed to be free and awaited by nobody after their first events were. */
  #settles(keys: LockKeysPart, { kept, settled }: LockSeamPart): boolean {
    const state = this.state;
    /** By state of the part: its first event. */
    const first: number[] = [];
    const known = this.keys.known(keys);
    const holders = new Map<number, number>();
    for (const [mutex, theirs] of known.mutex) if (mutex >= 0) holders.set(theirs, this.holder[mutex] as number);
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
    const state = this.state;
    const known = this.keys.known(keys);
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
    const of = this.keys.join(keys);
    while (this.state.count < this.keys.states) this.begin(this.state.count);
    this.clear(kept.count);
    this.contention.count = 0;
    this.unlocks ||= seam.unlocks;
    const epoch = this.epoch;
    let known = 0;
    let lost = 0;
    for (let n = 0; n <= kept.count; n++) {
      for (; known < lossAt.length && (lossAt[known] as number) <= n; known++)
        this.losses.join(losses.told[known] as Loss);
      for (; lost < epochAt.length && (epochAt[lost] as number) <= n; lost++) this.lose();
      if (n === seam.before) {
        early?.(of);
        this.clear(kept.count);
        this.forgetCounts();
      }
      if (n === kept.count) break;
      const s = of.state[kept.state[n] as number] as number;
      const { tid } = this.threads[this.state.thread[s] as number] as LockThread;
      this.losses.joinLeft(tid, kept.left[n] as number);
      const site = of.site[kept.site[n] as number] ?? none;
      const lastSite = of.site[kept.lastSite[n] as number];
      if (lastSite !== undefined) {
        const blames = kept.role[n] === unlock ? s : (this.holder[this.state.mutex[s] as number] as number);
        const blamed = this.state.thread[blames] as number;
        this.lastSite[blamed] = lastSite;
        this.lastTime[blamed] = kept.lastTime[n] as number;
      }
      this.take(kept.role[n] as number, s, kept.time[n] as number, site, kept.cpu[n] as number, n);
    }
    for (const [tid, left] of losses.left ?? []) this.losses.joinLeft(tid, left);
    this.counts.waits += this.waits.count;
    this.counts.holds += this.holds.count;
    for (const name in this.counts) this.counts[name as keyof LockCounts] += part.counts[name as keyof LockCounts];
    this.#joinFacts(part, of);
    this.#goOn(part, of, epoch);
    this.unlocksMissing ||= part.unlocksMissing;
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
      if (site < 0 || this.state.unlockSite[s] !== of.site[site]) continue;
      const mutex = this.mutexes[this.state.mutex[s] as number] as Mutex;
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
    const state = this.state;
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
      this.holder[mutex] = of.state[holder[m] as number] ?? none;
      this.taken[mutex] = taken[m] as number;
      for (const theirs of [...(waiting[m] as readonly number[])].reverse()) this.awaits(of.state[theirs] as number);
    }
    for (const [x, theirs] of stretches.state.entries()) {
      if (seam.settled[states.mutex[theirs] as number] !== 1) continue;
      const begin = stretches.begin[x] as number;
      this.open.add(
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
      this.lastSite[thread] = of.site[lastSite[t] as number] as number;
      this.lastTime[thread] = lastTime[t] as number;
    }
  }

  /** Begins to count: what was counted so far was before the stretch that is asked about. What is open stays so. */
  forgetCounts(): void {
    Object.assign(this.counts, noCounts());
    this.seam?.forgetCounts();
    for (const mutex of this.mutexes) Object.assign(mutex, { locked: 0, nested: 0, condition: 0, tryLock: 0 });
  }

  /** The thread with that tid, or -1 where it used no mutex so far. */
  find(tid: number): number {
    return this.keys.find(tid);
  }

  /** Who holds a mutex now: thread, since when, and where it was locked; undefined where nobody does, or a loss makes it unsure. */
  holderOf(mutex: number): { thread: number; since: number; site: number } | undefined {
    const s = this.holder[mutex] ?? none;
    const state = this.state;
    if (s < 0 || state.epoch[s] !== this.epoch) return undefined;
    return {
      thread: state.thread[s] as number,
      since: state.holdSince[s] as number,
      site: state.holdSite[s] as number,
    };
  }

  /** Waits and holds that are not over now. */
  *unfinished(): Iterable<OpenLock> {
    const state = this.state;
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
      this.keys.learn(type, wanted);
    }
  }
}

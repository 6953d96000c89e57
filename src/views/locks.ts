import { type LockKeysSeam, type LockThread, type Mutex, siteName } from '../spans/lock-keys.ts';
import { enoughKept } from '../spans/lock-seam.ts';
import { Locks, type LocksPart } from '../spans/locks.ts';
import { addRuns, RunHistory, type RunParts, type RunsPart } from '../spans/run-history.ts';
import { isBql, threadRole, VcpuNumbers } from '../spans/thread-roles.ts';
import { type Analysis, isBefore, isStretch, type Joinable, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type {
  Behind,
  LockGroup,
  LockNames,
  LockRole,
  LocksResult,
  MutexResult,
  UnfinishedLock,
} from './lock-answers.ts';
import { type KeptLock, LockLog, type LockLogOptions } from './lock-log.ts';
import { type BehindPart, BehindTable, type GroupsPart, GroupTable, otherSites } from './lock-tables.ts';
import { Longest } from './longest.ts';
import { SpanView, type SpanViewPart } from './span-view.ts';

export type LocksOptions = LockLogOptions & {
  /** Addresses of mutexes that are the BQL, as `hex64` writes them; where none is given it is recognised. */
  bql?: readonly string[];
};

type Between = (tid: number, from: number, to: number, k: number) => RunParts | undefined;

/** Of so many single times it is kept when they were, until it is known what threads did then. */
const maxPartly = 1 << 14;
/** Unfinished waits and holds listed. */
const maxUnfinished = 200;

/** What was learnt of a stretch of a recording, as plain data. */
export type LocksViewPart = {
  locks: LocksPart;
  runs: RunsPart;
  numbers: ReadonlyMap<number, number>;
  hasMutexes: boolean;
  groups: GroupsPart;
  behind: BehindPart;
  /** By entry of `behind`: the time in which its holder did what it was at before the stretch; and single times of which it is told later what it did. */
  same: ReadonlyMap<number, number>;
  partly: readonly Partly[];
  waits: SpanViewPart<never>;
  heldUp: SpanViewPart<never>;
  holds: SpanViewPart<never>;
  acquired: readonly number[];
  log: SpanViewPart<KeptLock>;
  whole: LocksViewPart | undefined;
};

/** A time that a thread, the holder of an entry, had a mutex. */
type Partly = { entry: number; tid: number; from: number; to: number };

/** Whether the answer to such a question can be joined of what several readings of parts of the recording give: not as a log, nor as the heat map of some mutexes. */
export function canJoinLocks({ slow, than, heatmap, mutexes = [] }: LocksOptions): boolean {
  return slow === undefined && than === undefined && (heatmap !== true || mutexes.length === 0);
}

/** Everything that `virtap locks` answers, in one pass. */
export class LocksView implements Analysis, Joinable<LocksViewPart> {
  readonly locks = new Locks();
  readonly options: LocksOptions;
  readonly #numbers = new VcpuNumbers();
  readonly #runs = new RunHistory();
  /** Types of the trace seen so far, and whether one is of a mutex: without, nobody needs to know who runs. */
  #typesSeen = 0;
  #hasMutexes = false;
  /** Of a stretch that begins in the middle of the recording: there may have been mutexes before; and how many events of each to keep at least. */
  #enough: number | undefined;
  readonly #log: LockLog;
  readonly #groups = new GroupTable();
  /** By group times 2, waits behind another thread 1 more. */
  readonly #waits = new SpanView<never>({});
  /** By group: how long another thread held the mutex, of the waits of which one did. */
  readonly #heldUp = new SpanView<never>({});
  readonly #holds = new SpanView<never>({});
  /** By group. */
  readonly #acquired: number[] = [];
  readonly #behind = new BehindTable();
  readonly #same = new Map<number, number>();
  readonly #partly: Partly[] = [];
  #waitGroups = new Int32Array(0);
  #holdGroups = new Int32Array(0);
  #trace: Trace | undefined;
  #window: Window | undefined;
  /**
   * Of a stretch that ends before the recording does: the same of the whole recording, which knows what mutexes and threads are. Its indices
   * are those of this view, since both see the same events from the beginning on.
   */
  #whole: LocksView | undefined;

  constructor(options: LocksOptions = {}) {
    this.options = options;
    // Where the user says which it is, nothing needs to be recognised.
    const bql = options.bql ?? [];
    const mutexes = options.mutexes?.flatMap((name) => (name === 'BQL' && bql.length > 0 ? bql : [name]));
    this.#log = new LockLog(this.locks, this.#runs, { ...options, mutexes });
  }

  wants(type: EventType): boolean {
    return this.locks.wants(type) || this.#numbers.wants(type) || this.#runs.wants(type) || this.#log.wantsAll;
  }

  within(window: Window): void {
    this.#window = window;
    this.#log.within(window);
    if (window.bounded !== true) return;
    this.#whole = new LocksView({ bql: this.options.bql ?? [] });
    if (this.#enough !== undefined) this.#whole.inMiddle(this.#enough);
  }

  inMiddle(enough = enoughKept): void {
    this.#enough = enough;
    this.locks.inMiddle(enough);
    this.#runs.inMiddle();
  }

  behind(trace: Trace, b: EventBatch): void {
    this.#whole?.batch(trace, b);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#whole?.batch(trace, b);
    this.#numbers.batch(trace, b);
    for (; this.#typesSeen < trace.types.length; this.#typesSeen++) {
      this.#hasMutexes ||= this.locks.wants(trace.types[this.#typesSeen] as EventType);
    }
    const follows = this.#hasMutexes || this.#enough !== undefined;
    if (follows) this.#runs.batch(trace, b);
    const { locks } = this;
    const from = this.#window?.from ?? 0;
    locks.batch(trace, b);
    this.#reserve();
    if (from > 0) this.#leaveOut(from);
    if (from > 0 && isBefore(b, from)) {
      locks.bare.count = 0;
      locks.forgetCounts();
    }
    this.#take((tid, begin, end) => this.#runs.between(tid, begin, end));
    // What happened before the first event of a mutex is part of no wait and no hold.
    if (follows) this.#log.batch(trace, b);
  }

  #reserve(): void {
    const { length } = this.locks.waits.begin;
    if (this.#waitGroups.length >= length) return;
    this.#waitGroups = new Int32Array(length);
    this.#holdGroups = new Int32Array(length);
  }

  /** Takes the spans that ended; `between` tells what a thread did between two times, for wait number `k`. */
  #take(between: Between): void {
    const { waits, holds, bare } = this.locks;
    this.#groups.find(waits, this.#waitGroups);
    for (let k = 0; k < waits.count; k++) {
      const group = this.#waitGroups[k] as number;
      this.#count(this.#acquired, group);
      const contended = waits.contended[k] as number;
      this.#waitGroups[k] = 2 * group + contended;
      if (contended === 0) continue;
      this.#heldUp.add(waits.begin[k] as number, waits.held[k] as number, group, 0);
      this.#addBehind(k, between);
    }
    this.#waits.summarise(waits, this.#waitGroups);
    this.#groups.find(holds, this.#holdGroups);
    this.#holds.summarise(holds, this.#holdGroups);
    // Last, since it takes the column.
    this.#groups.find(bare, this.#holdGroups);
    for (let k = 0; k < bare.count; k++) this.#count(this.#acquired, this.#holdGroups[k] as number);
  }

  /** Leaves out what began before the stretch that is asked about; what it tells of mutexes and threads holds all the same. */
  #leaveOut(from: number): void {
    const { waits, holds, bare } = this.locks;
    for (const spans of [waits, holds, bare]) this.#groups.find(spans, this.#waitGroups);
    const { counts } = this.locks;
    counts.waits -= waits.count;
    counts.holds -= holds.count;
    waits.filter((k) => (waits.begin[k] as number) >= from);
    holds.filter((k) => (holds.begin[k] as number) >= from);
    counts.waits += waits.count;
    counts.holds += holds.count;
  }

  part(): LocksViewPart {
    return {
      locks: this.locks.part(),
      runs: this.#runs.part(),
      numbers: this.#numbers.part(),
      hasMutexes: this.#hasMutexes,
      groups: this.#groups.part(),
      behind: this.#behind.part(),
      same: this.#same,
      partly: this.#partly,
      waits: this.#waits.part(),
      heldUp: this.#heldUp.part(),
      holds: this.#holds.part(),
      acquired: this.#acquired,
      log: this.#log.part(),
      whole: this.#whole?.part(),
    };
  }

  accepts(part: LocksViewPart): boolean {
    const { locks, runs, hasMutexes, groups, behind, partly, whole } = part;
    return (
      canJoinLocks(this.options) &&
      (this.#hasMutexes || !hasMutexes) &&
      this.locks.accepts(locks) &&
      this.#runs.accepts(runs, this.locks.contendedUntil(locks)) &&
      this.#groups.accepts(groups) &&
      this.#behind.accepts(behind) &&
      partly.length <= maxPartly &&
      this.#runs.accepts(runs, Math.max(...partly.map(({ to }) => to))) &&
      (whole === undefined || this.#whole === undefined || this.#whole.accepts(whole))
    );
  }

  join(trace: Trace, part: LocksViewPart): void {
    this.#trace = trace;
    if (part.whole !== undefined) this.#whole?.join(trace, part.whole);
    this.#numbers.join(part.numbers);
    const { same, partly } = part;
    const tidOf = (entry: number) => part.locks.keys.threads[part.behind[entry]?.key[2] as number]?.tid as number;
    const ran = [...same].map(([entry, length]) => [entry, this.#runs.goingOn(tidOf(entry), length)] as const);
    const runs = this.#hasMutexes ? this.#runs.join(part.runs) : undefined;
    const late = partly.map(({ entry, tid, from, to }) => [entry, runs?.between(tid, from, to, -1)] as const);
    const of = this.locks.join(part.locks, () => {
      this.#reserve();
      const { waits, holds, bare } = this.locks;
      for (const spans of [waits, holds, bare]) this.#groups.find(spans, this.#waitGroups);
    });
    this.#reserve();
    const from = this.#window?.from ?? 0;
    if (from > 0) this.#leaveOut(from);
    const { endsAt } = this.locks.waits;
    const { event } = part.locks.seam.kept;
    this.#take((tid, begin, end, k) => runs?.between(tid, begin, end, event[endsAt[k] as number] as number));
    this.#log.drawSeam();
    runs?.finish();
    const entries = this.#joinTables(part, of);
    for (const [entry, more] of [...ran, ...late]) this.#behind.addRan(entries[entry] as number, more);
  }

  /** Gives what the entries of `behind` are here. */
  #joinTables(part: LocksViewPart, of: LockKeysSeam): number[] {
    if (!this.#hasMutexes) return [];
    const groups = this.#groups.join(part.groups, of);
    const groupOf = (group: number) => groups[group] as number;
    this.#waits.join(part.waits, (group) => 2 * groupOf(group >> 1) + (group & 1));
    this.#heldUp.join(part.heldUp, groupOf);
    this.#holds.join(part.holds, groupOf);
    part.acquired.forEach((n, group) => {
      if (n > 0) this.#count(this.#acquired, groupOf(group), n);
    });
    this.#log.join(part.log);
    return this.#behind.join(part.behind, of);
  }

  result(): LocksResult {
    const { locks } = this;
    const roles = this.#roles();
    const { mutex: name, role } = this.names(roles);
    const { view, missed } = this.#log.result(this.#bqls());
    return {
      mutexes: this.#mutexes(roles, name),
      all: this.#group(Array.from(this.#groups.all())),
      roles,
      heat: view.heat(),
      slow: view.slowest?.result().map((kept) => ({
        begin: kept.begin,
        duration: kept.duration,
        cpu: kept.cpu,
        role: role(kept.thread),
        name: name(kept.mutex),
        site: this.#site(kept.site),
        behind: kept.behind.map(({ thread, site, inner, ...figures }) => ({
          role: role(thread),
          site: this.#site(site),
          inner: this.#site(inner),
          ...figures,
        })),
        omitted: kept.omitted,
        events: kept.events,
        of: kept.of < 0 ? undefined : role(kept.of),
        more: kept.more,
        ran: kept.ran,
      })),
      over: view.slowest?.over ?? 0,
      missed,
      unfinished: this.#unfinished(role, name),
      counts: locks.counts,
      bqlKnown: this.#bqls().size > 0,
      holdersTold: this.#holdersTold,
      duration: this.#end - this.#begin,
    };
  }

  /** What people call the threads, mutexes and sites of `locks`, as far as it is known now. */
  names(roles: readonly LockRole[] = this.#roles()): LockNames {
    const bql = this.#bqls();
    return {
      role: (thread) => roles[thread] as LockRole,
      mutex: (mutex) => (bql.has(mutex) ? 'BQL' : addressOf((this.#whole ?? this).locks.mutexes[mutex] as Mutex)),
      site: (site) => this.#site(site),
    };
  }

  /** The mutexes of the recording, as far as it was read. */
  known(): { mutex: string; name: string }[] {
    const { locks } = this.#whole ?? this;
    const { mutex: name } = this.names([]);
    return locks.mutexes.map((mutex, m) => ({ mutex: addressOf(mutex), name: name(m) }));
  }

  get #holdersTold(): boolean {
    return (this.#whole ?? this).locks.unlocks;
  }

  get #begin(): number {
    return (this.#window ?? wholeOf(this.#trace)).from;
  }

  get #end(): number {
    return (this.#window ?? wholeOf(this.#trace)).to;
  }

  #count(counts: number[], group: number, n = 1): void {
    while (counts.length <= group) counts.push(0);
    counts[group] = (counts[group] as number) + n;
  }

  #addBehind(k: number, between: Between): void {
    const { waits, stretches, threads } = this.locks;
    const end = waits.lastStretch[k] as number;
    for (let x = waits.firstStretch[k] as number; x < end; x++) {
      const holder = stretches.thread[x] as number;
      const begin = stretches.begin[x] as number;
      const duration = stretches.duration[x] as number;
      const { tid } = threads[holder] as LockThread;
      const ran = between(tid, begin, begin + duration, k);
      const entry = this.#behind.add(
        waits.mutex[k] as number,
        waits.thread[k] as number,
        holder,
        stretches.site[x] as number,
        stretches.inner[x] as number,
        duration,
        ran,
      );
      if (ran === undefined && this.#enough !== undefined) this.#defer(entry, tid, begin, duration);
    }
  }

  /** What a thread did may be known from before the stretch. */
  #defer(entry: number, tid: number, from: number, duration: number): void {
    const hangs = this.#runs.hangs(tid, from);
    if (hangs === 'same') this.#same.set(entry, (this.#same.get(entry) ?? 0) + duration);
    else if (hangs === 'partly' && this.#partly.length <= maxPartly)
      this.#partly.push({ entry, tid, from, to: from + duration });
  }

  #site(site: number): string | undefined {
    const known = this.locks.sites[site];
    return known === undefined ? undefined : siteName(known);
  }

  /** Files of the sites of each group, which tell what a mutex is, and what a thread is. */
  #files(group: number): string {
    return this.locks.sites[this.#groups.site(group)]?.file ?? '';
  }

  /** The mutexes that are the BQL: of each process one. */
  #bqls(): ReadonlySet<number> {
    if (this.#whole !== undefined) return this.#whole.#bqls();
    const { locks } = this;
    const named = new Set((this.options.bql ?? []).map((address) => address));
    if (named.size > 0) {
      return new Set(locks.mutexes.flatMap((mutex, m) => (named.has(addressOf(mutex)) ? [m] : [])));
    }
    const files = new Map<number, Set<string>>();
    for (const group of this.#groups.all()) {
      const mutex = this.#groups.mutex(group);
      if (mutex < 0) continue;
      const known = files.get(mutex);
      if (known === undefined) files.set(mutex, new Set([this.#files(group)]));
      else known.add(this.#files(group));
    }
    const found = new Map<number, number>();
    for (const [mutex, names] of files) {
      if (!isBql(names)) continue;
      const { pid, everLocked } = locks.mutexes[mutex] as Mutex;
      // Each process has one. It is the busiest, should there be another of the kind.
      const rival = locks.mutexes[found.get(pid) ?? -1];
      if (rival === undefined || everLocked > rival.everLocked) found.set(pid, mutex);
    }
    return new Set(found.values());
  }

  #roles(): LockRole[] {
    const { locks } = this;
    if (this.#whole !== undefined) return this.#whole.#roles().slice(0, locks.threads.length);
    const bql = this.#bqls();
    const files = locks.threads.map(() => ({ bql: new Set<string>(), any: new Set<string>() }));
    for (const group of this.#groups.all()) {
      const own = files[this.#groups.thread(group)];
      if (own === undefined) continue;
      own.any.add(this.#files(group));
      if (bql.has(this.#groups.mutex(group))) own.bql.add(this.#files(group));
    }
    return locks.threads.map(({ tid, pid }, thread) => {
      const known = this.#trace?.threads.get(tid);
      const process = pid >= 0 ? pid : (known?.pid ?? -1);
      const number = this.#numbers.of(tid);
      const sites = files[thread] as (typeof files)[number];
      const role = threadRole(tid, process, known?.comm ?? '', number, sites);
      return { ...role, tid, pid: process >= 0 ? process : undefined };
    });
  }

  #mutexes(roles: readonly LockRole[], name: (mutex: number) => string): MutexResult[] {
    const { locks } = this;
    const byMutex = new Map<number, number[]>();
    for (const group of this.#groups.all()) {
      const mutex = this.#groups.mutex(group);
      const own = byMutex.get(mutex);
      if (own === undefined) byMutex.set(mutex, [group]);
      else own.push(group);
    }
    const behind = this.#behind.byMutex();
    const results = locks.mutexes.map((facts, mutex): MutexResult => {
      const groups = byMutex.get(mutex) ?? [];
      const all = this.#group(groups);
      const entries = behind.get(mutex) ?? [];
      return {
        name: name(mutex),
        mutex: addressOf(facts),
        pid: facts.pid >= 0 ? facts.pid : undefined,
        ...all,
        acquisitions: facts.locked,
        nested: facts.nested,
        condition: facts.condition,
        tryLock: facts.tryLock,
        sites: this.#split(groups, (group) => this.#siteOf(group)).map(([site, own]) => ({
          site,
          ...this.#group(own),
        })),
        threads: this.#split(groups, (group) => String(this.#groups.thread(group))).map(([thread, own]) => ({
          role: roles[Number(thread)] as LockRole,
          ...this.#group(own),
        })),
        behind: this.#behindOf(entries, roles),
        held: this.#heldOf(entries),
        vcpus: this.#vcpus(facts.pid, groups, entries, roles),
      };
    });
    // Of a stretch, those that were used in it.
    const used = results.filter(
      ({ acquisitions, wait, hold }) =>
        !isStretch(this.#window ?? wholeOf(this.#trace)) || acquisitions + wait.count + hold.count > 0,
    );
    return used.sort(
      (a, b) => (b.held || 0) - (a.held || 0) || b.wait.total - a.wait.total || b.acquisitions - a.acquisitions,
    );
  }

  #vcpus(
    pid: number,
    groups: readonly number[],
    entries: readonly number[],
    roles: readonly LockRole[],
  ): MutexResult['vcpus'] {
    const { locks } = this;
    const isVcpu = (thread: number) => roles[thread]?.kind === 'vcpu';
    const theirs = groups.filter((group) => isVcpu(this.#groups.thread(group)));
    const time = locks.threads.reduce(
      (sum, thread: LockThread, t) =>
        sum + (isVcpu(t) && thread.pid === pid ? this.#end - Math.max(this.#begin, thread.first) : 0),
      0,
    );
    const own = entries.filter((entry) => isVcpu(this.#behind.waiter(entry)));
    return {
      wait: this.#waits.merged(allWaits(theirs)).result().total,
      time: time === 0 ? Number.NaN : time,
      held: this.#heldOf(own),
      behind: this.#behindOf(own, roles),
      uncontended: this.#waits.merged(this.#holdersTold ? freeWaits(theirs) : []).result(),
    };
  }

  /** NaN where it is not told. */
  #heldOf(entries: readonly number[]): number {
    if (!this.#holdersTold) return Number.NaN;
    return entries.reduce((sum, entry) => sum + this.#behind.total(entry), 0);
  }

  #behindOf(entries: readonly number[], roles: readonly LockRole[]): Behind[] {
    const merged = new Map<string, Behind>();
    for (const entry of entries) {
      const table = this.#behind;
      const role = roles[table.holder(entry)];
      // What is put down to nobody in particular.
      if (role === undefined) continue;
      const key = `${table.holder(entry)} ${table.site(entry)} ${table.inner(entry)}`;
      const known = merged.get(key);
      if (known === undefined) {
        merged.set(key, {
          role,
          site: this.#site(table.site(entry)),
          inner: this.#site(table.inner(entry)),
          total: table.total(entry),
          waits: table.waits(entry),
          ran: table.ran(entry),
        });
      } else {
        known.total += table.total(entry);
        known.waits += table.waits(entry);
        known.ran = addRuns(known.ran, table.ran(entry));
      }
    }
    return [...merged.values()].sort((a, b) => b.total - a.total);
  }

  #split(groups: readonly number[], key: (group: number) => string): [string, number[]][] {
    const split = new Map<string, number[]>();
    for (const group of groups) {
      const name = key(group);
      const own = split.get(name);
      if (own === undefined) split.set(name, [group]);
      else own.push(group);
    }
    const total = new Map<string, number>();
    const whole = new Map<string, number>();
    for (const [name, own] of split) {
      total.set(name, this.#heldUp.merged(own).result().total);
      whole.set(name, this.#waits.merged(allWaits(own)).result().total);
    }
    const by = (sums: ReadonlyMap<string, number>, a: string, b: string) =>
      (sums.get(b) as number) - (sums.get(a) as number);
    return [...split].sort(([a], [b]) => by(total, a, b) || by(whole, a, b));
  }

  #siteOf(group: number): string {
    const site = this.#groups.site(group);
    return site === otherSites ? 'others' : (this.#site(site) ?? 'unknown');
  }

  #group(groups: readonly number[]): LockGroup {
    const told = this.#holdersTold;
    const heldUp = this.#heldUp.merged(groups).result();
    return {
      acquisitions: groups.reduce((total, group) => total + (this.#acquired[group] ?? 0), 0),
      contended: told ? heldUp.count : Number.NaN,
      heldUp,
      uncontended: this.#waits.merged(told ? freeWaits(groups) : []).result(),
      wait: this.#waits.merged(allWaits(groups)).result(),
      hold: this.#holds.merged(groups).result(),
    };
  }

  #unfinished(role: (thread: number) => LockRole, name: (mutex: number) => string): UnfinishedLock[] {
    const { locks } = this;
    const oldest = new Longest<UnfinishedLock>(maxUnfinished);
    for (const { kind, begin, thread, mutex, site } of locks.unfinished()) {
      const duration = this.#end - begin;
      if (!oldest.admits(duration, begin)) continue;
      const holder = kind === 'wait' ? locks.holderOf(mutex) : undefined;
      oldest.add({
        kind,
        begin,
        duration,
        role: role(thread),
        name: name(mutex),
        site: this.#site(site),
        holder: holder && { role: role(holder.thread), since: holder.since, site: this.#site(holder.site) },
      });
    }
    return oldest.result();
  }
}

/** Of groups, the rows of waits of a mutex that was free; and those of all waits. */
const freeWaits = (groups: readonly number[]) => groups.map((group) => 2 * group);
const allWaits = (groups: readonly number[]) => groups.flatMap((group) => [2 * group, 2 * group + 1]);

function addressOf({ high, low }: Mutex): string {
  return hex64(high, low);
}

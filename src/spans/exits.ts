import { countedFrom, isBefore, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit, isHint, roles } from './exit-events.ts';
import { directCodes, type ReasonDecoder, Reasons } from './exit-reasons.ts';
import { type MovedPair, TraceState } from './exit-trace.ts';
import type { LossPart } from './losses.ts';
import { type Arrays, tableOf } from './table.ts';

/** A thread that ran a vCPU. */
export type VcpuThread = {
  tid: number;
  /** The QEMU process, -1 where the events do not say; the trace's thread table may know. */
  pid: number;
  /** The vCPU's number in its VM, -1 where no event told. */
  vcpu: number;
};

/**
 * Exits that ended within a batch, in the order of their kvm_entry. `thread` is the index in `ExitPairing.threads`, `reason` the id in
 * `ExitPairing.reasons`. `duration` is in the clock's unit, or in ns where `ExitPairing` was told how to convert. Filled only where that was asked for
 * them: `cpu` of the kvm_exit (-1 where unknown), rip (where the guest was when it left), `endsAt` (index in the batch of the kvm_entry).
 */
export class ExitSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  thread: 'i32',
  reason: 'i32',
  cpu: 'i32',
  ripLow: 'u32',
  ripHigh: 'u32',
  endsAt: 'i32',
}) {}

/** The first exit or entry of each thread: what it ends, or contradicts, depends on what was before. */
const headSchema = {
  entry: 'u8',
  time: 'f64',
  cpu: 'i32',
  /** When the thread had been switched out last, as `LossTable.leftAt` gives it. */
  left: 'f64',
  /** Of an exit. */
  reason: 'i32',
  ripLow: 'u32',
  ripHigh: 'u32',
  /** Whether its first pair was counted as one before the first entry. */
  early: 'u8',
  /** What hints alone told of the thread. */
  pid: 'i32',
  vcpu: 'i32',
} as const;
class Heads extends tableOf(headSchema) {}

/** What hints told of a thread that nothing else was seen of: it matters where the thread is known from before. */
type Ahead = { pid: number; vcpu: number; wfe: boolean; reason: string | undefined };

/** What pairing learnt of a stretch of a recording that it was given alone, as plain data. Arrays without a comment are by thread. */
export type ExitPart = {
  counts: ReturnType<typeof noCounts>;
  entered: boolean;
  exited: boolean;
  reasons: { name: string; halt: boolean }[];
  threads: VcpuThread[];
  /** As in the pairing, two numbers each. */
  open: Int32Array;
  openTime: Float64Array;
  openRipLow: Uint32Array;
  openRipHigh: Uint32Array;
  heads: Arrays<typeof headSchema>;
  /** By tid. */
  ahead: ReadonlyMap<number, Ahead>;
  losses: LossPart;
  /** By loss: how many threads had been seen before it came to be known. */
  lossAt: readonly number[];
  /** By CPU. */
  migrated: ReadonlyMap<number, MovedPair[]>;
  /** Threads and losses of the time before what is asked about: they are the first. */
  before: { threads: number; losses: number };
  /** Time of its first event, NaN where there was none. */
  first: number;
  /** Whether an exit was set aside because nothing told that its thread stayed where it was. */
  presumed: boolean;
};

/** What came to light where two stretches were joined: the exits that ended with the first event of their thread in the later one, and what that one's ids are here. */
export type ExitSeam = { spans: ExitSpans; threads: Int32Array; reasons: Int32Array };

/** What was seen, and what could not be paired. exits = pairs + exitThenExit + straddlingLoss + openAtEnd + exitsWithoutThread. */
export type PairingCounts = {
  exits: number;
  entries: number;
  pairs: number;
  /** Pairs that began before the first kvm_entry of their thread. They are counted; `perf kvm stat` drops them. */
  beforeFirstEntry: number;
  /** The first event of a thread is a kvm_entry: its first way into the guest, or the trace began while it was out. */
  entryFirst: number;
  /** A kvm_entry with no exit since the last one: KVM went back in without tracing the exit, or its exit was lost. */
  entryWithoutExit: number;
  /** A kvm_exit with no kvm_entry before the thread's next kvm_exit. */
  exitThenExit: number;
  /** A kvm_exit that may belong to another kvm_entry than the next one seen: events were lost in between on its CPU. */
  straddlingLoss: number;
  /**
   * Pairs (counted as such) whose thread changed its CPU, and whose first CPU turned out later to have lost events
   * before the kvm_entry: what was lost there comes to light only with the next event of that CPU.
   */
  migratedAcrossLoss: number;
  /** A kvm_exit that nothing follows. */
  openAtEnd: number;
  /** A kvm_exit of which the trace does not say which thread it is of. */
  exitsWithoutThread: number;
  /** Events of threads that were not followed, because there were too many. */
  untracked: number;
};

/** vCPU threads that are followed: more than any host runs, against traces that invent them. */
export const maxThreads = 1 << 15;

const { other, exit, entry, hint, change } = roles;
const none = -1;

/** Instead of the reason of an open exit: the thread is in the guest; nothing was seen of it so far. */
const inGuest = -1;
const unseen = -2;
/** Added to the reason of an exit of a thread that was not seen to enter before. */
const notEntered = 1 << 20;

/** Events handled in one go. */
const slice = 1024;

function noCounts(): Omit<PairingCounts, 'openAtEnd'> {
  return {
    exits: 0,
    entries: 0,
    pairs: 0,
    beforeFirstEntry: 0,
    entryFirst: 0,
    entryWithoutExit: 0,
    exitThenExit: 0,
    straddlingLoss: 0,
    migratedAcrossLoss: 0,
    exitsWithoutThread: 0,
    untracked: 0,
  };
}

/**
 * Pairs each kvm_exit with the kvm_entry that follows it on the same thread. Threads, not CPUs: vCPU threads migrate.
 * An exit is paired only where nothing can have been lost between the two on a CPU where the thread may have been: it takes heed of
 * sched_switch, where it comes.
 */
export class ExitPairing {
  readonly reasons = new Reasons();
  readonly threads: VcpuThread[] = [];
  readonly counts = noCounts();
  /** Whether a thread was seen to enter the guest; without that, no exit has a duration. */
  entered = false;
  /** Whether any exit was seen, also before the stretch that is asked about. */
  exited = false;

  readonly #scale: number;
  readonly #inner: boolean;
  readonly #counting: boolean;
  readonly #inside: boolean;
  readonly #spans = new ExitSpans();
  #from = Number.NEGATIVE_INFINITY;
  readonly #trace = new TraceState();

  /** By thread, two numbers: the reason of its open exit (or `inGuest`, `unseen`; more by `notEntered` before its first entry), and that exit's CPU. */
  #open = new Int32Array(2 * 64).fill(unseen);
  /** By thread. */
  #openTime = new Float64Array(64);
  #openRipLow = new Uint32Array(64);
  #openRipHigh = new Uint32Array(64);
  /** By thread: when it was switched out last. */
  #leftAt = new Float64Array(64);
  /** For `join`: as `ExitPart` has them. */
  readonly #heads = new Heads();
  readonly #ahead = new Map<number, Ahead>();
  readonly #lossAt: number[] = [];
  #before = { threads: 0, losses: 0 };
  #first = Number.NaN;
  #presumed = false;

  /**
   * `scale` is what durations are multiplied by (and rounded): ns per cycle of an x86-tsc clock. `inner` fills all columns.
   * `counting` is for traces in which exits cannot be timed: every one of them is given, as 0 long, when its thread's next
   * kvm_exit or kvm_entry comes; `rest` gives those that are left. `inside` gives the stretches in the guest instead, from kvm_entry to the
   * kvm_exit whose reason ended it.
   */
  constructor(options: { scale?: number; inner?: boolean; counting?: boolean; inside?: boolean } = {}) {
    this.#scale = options.scale ?? 1;
    this.#inner = options.inner === true;
    this.#counting = options.counting === true;
    this.#inside = options.inside === true;
  }

  wants(type: EventType): boolean {
    return isExit(type) || isEntry(type) || isHint(type);
  }

  /** From when on exits count; what was before tells only where each thread is. */
  within(window: Window): void {
    this.#from = countedFrom(window);
  }

  /** Takes the next events of a trace and gives the exits that ended with them. */
  batch(trace: Trace, b: EventBatch): ExitSpans {
    const state = this.#trace;
    const { counts } = this;
    state.learnTypes(trace, this.reasons);
    for (const loss of state.losses.take(trace, b)) counts.migratedAcrossLoss += state.doubt(loss);
    while (this.#lossAt.length < state.losses.told) this.#lossAt.push(this.threads.length);
    if (b.count > 0 && Number.isNaN(this.#first)) this.#first = b.time[0] as number;

    const spans = this.#spans;
    spans.reserve(b.count);
    spans.count = 0;
    if (this.#counting) {
      for (let i = 0; i < b.count; i++) this.#count(state, b, i);
      this.#leaveOut(b, spans);
      return spans;
    }
    if (this.#inside) for (let i = 0; i < b.count; i++) this.#stay(state, b, i);
    // Slice by slice, so that the loop's function has been called often, and is compiled well, before much has gone by.
    else for (let from = 0; from < b.count; from += slice) this.#pair(state, b, from, Math.min(b.count, from + slice));
    this.#leaveOut(b, spans);
    counts.pairs += spans.count;
    if (this.#scale !== 1) {
      const { duration } = spans;
      for (let k = 0; k < spans.count; k++) duration[k] = Math.round((duration[k] as number) * this.#scale);
    }
    return spans;
  }

  /** Leaves out what began before the stretch that is asked about. */
  #leaveOut(b: EventBatch, spans: ExitSpans): void {
    const from = this.#from;
    if (from === Number.NEGATIVE_INFINITY) return;
    const before = spans.count;
    spans.filter((k) => (spans.begin[k] as number) >= from);
    if (isBefore(b, from)) {
      Object.assign(this.counts, noCounts());
      this.#heads.early.fill(0);
      this.#before = { threads: this.threads.length, losses: this.#lossAt.length };
    } else this.counts.entryFirst += before - spans.count;
  }

  /** The events `start` to `stop` of a batch. */
  #pair(state: TraceState, b: EventBatch, start: number, stop: number): void {
    const { counts } = this;
    // The loop has its own names for everything: it runs millions of times a second, and must not go through `this`.
    const { type: types, time: times, tid: tids, cpu: cpus, at, size, view } = b;
    const { roles, tableType } = state;
    let threadOfTid = state.threads.numbers;
    const { codeAt, isaAt, end, little, ids } = state.table;
    const inner = this.#inner;
    let { isa } = state.table;
    let open = this.#open;
    let openTime = this.#openTime;
    const spans = this.#spans;
    const { begin, duration, thread: threadOf, reason: reasonOf } = spans;
    let n = spans.count;
    let exits = 0;
    let entries = 0;
    let leftAt = this.#leftAt;
    const { switches } = state.losses;
    let granted = Number.NEGATIVE_INFINITY;
    for (let i = start; i < stop; i++) {
      const type = types[i] as number;
      const role = roles[type] as number;
      if (role === other) continue;
      if (role === hint) {
        this.#hint(state, b, i);
        continue;
      }
      const tid = tids[i] as number;
      const time = times[i] as number;
      if (role === change) {
        state.losses.left(tid, time);
        const left = state.threads.find(tid);
        if (left >= 0) leftAt[left] = time;
        continue;
      }
      let t = tid >>> 0 < threadOfTid.length ? (threadOfTid[tid] as number) - 1 : none;
      if (t < 0) {
        if (tid < 0) {
          if (role === exit) exits++;
          else entries++;
          if (role === exit) counts.exitsWithoutThread++;
          continue;
        }
        t = this.#thread(state, tid, b, i);
        if (t < 0) {
          counts.untracked++;
          continue;
        }
        threadOfTid = state.threads.numbers;
        open = this.#open;
        openTime = this.#openTime;
        leftAt = this.#leftAt;
      }
      if (role === exit) {
        exits++;
        let reason = none;
        if (type === tableType && (size[i] as number) >= end) {
          const payload = at[i] as number;
          const code = view.getUint32(payload + codeAt, little);
          if (code < directCodes && view.getUint32(payload + isaAt, little) === isa) reason = (ids[code] as number) - 1;
        }
        if (reason < 0) {
          reason = (state.decoders[type] as ReasonDecoder).id(b, i);
          isa = state.table.isa;
        }
        if (open[2 * t] !== inGuest) reason = this.#unusualExit(state, t, reason, b, i);
        open[2 * t] = reason;
        open[2 * t + 1] = cpus[i] as number;
        openTime[t] = time;
        if (inner) this.#openRip(state, t, b, i);
        continue;
      }
      entries++;
      let reason = open[2 * t] as number;
      open[2 * t] = inGuest;
      let early = false;
      // Also true for what is negative.
      if (reason >>> 0 >= notEntered) {
        early = true;
        reason = this.#unusualEntry(state, t, reason, b, i);
        if (reason < 0) continue;
      }
      const from = openTime[t] as number;
      const cpu = open[2 * t + 1] as number;
      if (state.losses.some && this.#straddles(t, b, i)) {
        counts.straddlingLoss++;
        if (early) {
          counts.beforeFirstEntry--;
          this.#heads.early[t] = 0;
        }
        continue;
      }
      if (cpu !== cpus[i] || cpu < 0 || !switches || (leftAt[t] as number) >= from) {
        granted = time;
        if (cpu !== cpus[i] && cpu >= 0) state.migratedFrom(cpu, from, time);
      }
      begin[n] = from;
      duration[n] = time - from;
      threadOf[n] = t;
      reasonOf[n] = reason;
      if (inner) this.#closeInner(t, n, cpu, i);
      n++;
    }
    spans.count = n;
    if (granted > Number.NEGATIVE_INFINITY) state.losses.grant(granted);
    counts.exits += exits;
    counts.entries += entries;
    if (exits > 0) this.exited = true;
  }

  /** The thread of that tid, or -1 where it ran no vCPU so far. */
  find(tid: number): number {
    return this.#trace.threads.find(tid);
  }

  /** Whether event `i` of the batch taken last, a kvm_exit, is a halt. */
  isHalt(b: EventBatch, i: number): boolean {
    const decoder = this.#trace.decoders[b.type[i] as number];
    return decoder !== undefined && this.reasons.halt[decoder.id(b, i)] === true;
  }

  /** The exits that are open now: by thread, since when, on which CPU (-1 where unknown), and with which reason. */
  *open(): Iterable<{ thread: number; begin: number; cpu: number; reason: number }> {
    for (let thread = 0; thread < this.threads.length; thread++) {
      const reason = this.#open[2 * thread] as number;
      if (reason < 0) continue;
      const cpu = this.#open[2 * thread + 1] as number;
      yield { thread, begin: this.#openTime[thread] as number, cpu, reason: reason % notEntered };
    }
  }

  /** What was seen so far; exits that are open now count as open at the end. */
  result(): PairingCounts {
    let openAtEnd = 0;
    for (let t = 0; t < this.threads.length; t++) {
      if ((this.#open[2 * t] as number) >= 0 && (this.#openTime[t] as number) >= this.#from) openAtEnd++;
    }
    return { ...this.counts, openAtEnd };
  }

  /** Of `counting`, at the end: the exits that nothing followed. */
  rest(): ExitSpans {
    const spans = this.#spans;
    spans.reserve(this.threads.length);
    spans.count = 0;
    for (let t = 0; t < this.threads.length; t++) this.#counted(t, none);
    return spans;
  }

  /** What it learnt of the stretch that it was given: for the pairing of the stretch before. */
  part(): ExitPart {
    const n = this.threads.length;
    const { names, halt } = this.reasons;
    return {
      counts: this.counts,
      entered: this.entered,
      exited: this.exited,
      reasons: names.map((name, id) => ({ name, halt: halt[id] as boolean })),
      threads: this.threads,
      open: this.#open.slice(0, 2 * n),
      openTime: this.#openTime.slice(0, n),
      openRipLow: this.#openRipLow.slice(0, n),
      openRipHigh: this.#openRipHigh.slice(0, n),
      heads: this.#heads.copy(),
      ahead: this.#ahead,
      losses: this.#trace.losses.part(),
      lossAt: this.#lossAt,
      migrated: this.#trace.migrated,
      before: this.#before,
      first: this.#first,
      presumed: this.#presumed,
    };
  }

  /** Whether all that was taken for granted in the stretch that follows is so, as far as is known here. */
  accepts({ losses, first, presumed, threads, reasons, counts }: ExitPart): boolean {
    return (
      this.#trace.losses.accepts(losses, first) &&
      !(presumed && this.#trace.losses.switches) &&
      counts.untracked === 0 &&
      this.threads.length + threads.length <= maxThreads &&
      this.reasons.hasRoom(reasons.length)
    );
  }

  /** Takes over what another pairing, with the same options, learnt of the stretch that follows. */
  join(part: ExitPart): ExitSeam {
    const { counts } = this;
    const state = this.#trace;
    const reasons = Int32Array.from(part.reasons, ({ name, halt }) => this.reasons.id(name, halt));
    const threads = new Int32Array(part.threads.length);
    const spans = this.#spans;
    spans.reserve(threads.length);
    spans.count = 0;
    for (const name in part.counts) counts[name as keyof typeof counts] += part.counts[name as keyof typeof counts];
    this.entered ||= part.entered;
    this.exited ||= part.exited;
    for (const [tid, { pid, vcpu, wfe, reason }] of part.ahead) {
      const t = state.threads.find(tid);
      if (t < 0) continue;
      this.#told(t, pid, vcpu);
      if (wfe) this.#isWfe(t);
      if (reason !== undefined) this.#named(t, this.reasons.id(reason));
    }
    let known = 0;
    const lose = (until: number) => {
      for (; known < part.lossAt.length && (part.lossAt[known] as number) <= until; known++) {
        const loss = part.losses.told[known] as Loss;
        state.losses.join(loss);
        const doubtful = state.doubt(loss);
        if (known >= part.before.losses) counts.migratedAcrossLoss += doubtful;
      }
    };
    part.threads.forEach((thread, h) => {
      lose(h);
      const key = thread.tid >= 0 ? thread.tid : -2 - thread.vcpu;
      let t = state.threads.find(key);
      // Of a thread that is seen to enter for the first time, more is learnt.
      let entering = true;
      if (t < 0) t = this.#follow(key, { ...thread });
      else {
        const open = this.#open[2 * t] as number;
        entering = this.#counting || this.#inside || open >= notEntered;
        state.losses.joinLeft(key, part.heads.left[h] as number);
        this.#resolve(t, part, h, reasons);
        const { pid, vcpu } = entering
          ? thread
          : { pid: part.heads.pid[h] as number, vcpu: part.heads.vcpu[h] as number };
        this.#told(t, pid, vcpu);
        if (!entering) counts.beforeFirstEntry -= part.heads.early[h] as number;
      }
      threads[h] = t;
      const open = part.open[2 * h] as number;
      const base = open % notEntered;
      this.#open[2 * t] = open < 0 ? open : (reasons[base] as number) + (entering ? open - base : 0);
      this.#open[2 * t + 1] = part.open[2 * h + 1] as number;
      this.#openTime[t] = part.openTime[h] as number;
      this.#openRipLow[t] = part.openRipLow[h] as number;
      this.#openRipHigh[t] = part.openRipHigh[h] as number;
    });
    lose(threads.length);
    for (const [tid, left] of part.losses.left ?? []) state.losses.joinLeft(tid, left);
    for (const [cpu, pairs] of part.migrated) for (const { begin, end } of pairs) state.migratedFrom(cpu, begin, end);
    if (Number.isNaN(this.#first)) this.#first = part.first;
    this.#presumed ||= part.presumed;
    return { spans, threads, reasons };
  }

  /** What the first event of a thread in the stretch that follows ends, or contradicts. That one counted it as one that nothing is known before. */
  #resolve(t: number, { heads, before }: ExitPart, h: number, reasons: Int32Array): void {
    const open = this.#open[2 * t] as number;
    const isEntry = heads.entry[h] === 1;
    const time = heads.time[h] as number;
    const cpu = heads.cpu[h] as number;
    const { counts } = this;
    const counted = h >= before.threads;
    if (this.#counting) {
      this.#counted(t, none);
      this.#leaveOutLast(counted);
      return;
    }
    const is = (count: keyof typeof counts, was?: keyof typeof counts) => {
      if (!counted) return;
      counts[count]++;
      if (was !== undefined) counts[was]--;
    };
    const lost = () => this.#trace.losses.some && this.#lost(t, (this.threads[t] as VcpuThread).tid, time, cpu);
    const from = this.#open[2 * t + 1] as number;
    const begin = this.#openTime[t] as number;
    if (this.#inside) {
      if (open !== inGuest) return;
      if (isEntry) is('entryWithoutExit');
      else if (lost()) is('straddlingLoss', 'exitThenExit');
      else {
        is('pairs', 'exitThenExit');
        this.#openRipLow[t] = heads.ripLow[h] as number;
        this.#openRipHigh[t] = heads.ripHigh[h] as number;
        this.#joined(t, time, this.#awake(reasons[heads.reason[h] as number] as number), cpu, counted);
      }
      return;
    }
    if (open === inGuest) {
      if (isEntry) is('entryWithoutExit', 'entryFirst');
      return;
    }
    if (!isEntry) {
      is(lost() ? 'straddlingLoss' : 'exitThenExit');
      return;
    }
    if (lost()) {
      is('straddlingLoss', 'entryFirst');
      return;
    }
    is('pairs', 'entryFirst');
    if (open >= notEntered) is('beforeFirstEntry');
    if (from !== cpu && from >= 0) this.#trace.migratedFrom(from, begin, time);
    this.#joined(t, time, open % notEntered, from, counted);
  }

  /** Gives the span that is open on a thread as one that ends in the stretch that is joined. */
  #joined(t: number, end: number, reason: number, cpu: number, counted: boolean): void {
    const spans = this.#spans;
    const n = spans.count++;
    const begin = this.#openTime[t] as number;
    spans.begin[n] = begin;
    spans.duration[n] = this.#scale === 1 ? end - begin : Math.round((end - begin) * this.#scale);
    spans.thread[n] = t;
    spans.reason[n] = reason;
    this.#closeInner(t, n, cpu, none);
    if (this.#leaveOutLast(counted) && counted) this.counts.pairs--;
  }

  /** Leaves out the last span where it began before the stretch that is asked about. */
  #leaveOutLast(counted: boolean): boolean {
    const spans = this.#spans;
    if (spans.count === 0 || (spans.begin[spans.count - 1] as number) >= this.#from) return false;
    spans.count--;
    if (counted) this.counts.entryFirst++;
    return true;
  }

  /** Event `i` of a trace whose exits cannot be timed. */
  #count(state: TraceState, b: EventBatch, i: number): void {
    const type = b.type[i] as number;
    const role = state.roles[type] as number;
    if (role === other) return;
    if (role === hint) {
      this.#hint(state, b, i);
      return;
    }
    const tid = b.tid[i] as number;
    // Without a thread, an exit may still say which vCPU it is of; an entry ends nothing that can be told.
    if (tid < 0 && role === entry) return;
    const vcpu = tid < 0 ? (state.vcpus[type] as FieldReader).number(b, i) : none;
    let t = state.threads.find(tid >= 0 ? tid : vcpu >= 0 ? -2 - vcpu : none);
    if (t < 0) {
      t = this.#thread(state, tid >= 0 ? tid : vcpu >= 0 ? -2 - vcpu : none, b, i);
      if (t < 0) return;
      (this.threads[t] as VcpuThread).tid = Math.max(tid, none);
    }
    this.#learnVcpu(state, t, b, i);
    this.#counted(t, i);
    if (role !== exit) return;
    this.#open[2 * t] = (state.decoders[type] as ReasonDecoder).id(b, i);
    this.#open[2 * t + 1] = b.cpu[i] as number;
    this.#openTime[t] = b.time[i] as number;
    this.#openRip(state, t, b, i);
  }

  /** Event `i`, of which the stretches in the guest are made. */
  #stay(state: TraceState, b: EventBatch, i: number): void {
    const { counts } = this;
    const type = b.type[i] as number;
    const role = state.roles[type] as number;
    if (role === other) return;
    const tid = b.tid[i] as number;
    const time = b.time[i] as number;
    if (role === change) {
      state.losses.left(tid, time);
      return;
    }
    if (role === hint) {
      this.#hint(state, b, i);
      return;
    }
    if (role === exit) counts.exits++;
    else counts.entries++;
    const t = tid < 0 ? none : this.#thread(state, tid, b, i);
    if (t < 0) {
      if (tid >= 0) counts.untracked++;
      else if (role === exit) counts.exitsWithoutThread++;
      return;
    }
    this.#learnVcpu(state, t, b, i);
    const before = this.#open[2 * t] as number;
    if (role === entry) {
      this.entered = true;
      if (before === inGuest) counts.entryWithoutExit++;
      this.#open[2 * t] = inGuest;
      this.#open[2 * t + 1] = b.cpu[i] as number;
      this.#openTime[t] = time;
      return;
    }
    this.exited = true;
    this.#open[2 * t] = unseen;
    const reason = (state.decoders[type] as ReasonDecoder).id(b, i);
    if (before !== inGuest) {
      counts.exitThenExit++;
      return;
    }
    if (state.losses.some && this.#straddles(t, b, i)) {
      counts.straddlingLoss++;
      return;
    }
    state.losses.grant(time);
    const spans = this.#spans;
    const n = spans.count++;
    spans.begin[n] = this.#openTime[t] as number;
    spans.duration[n] = time - (this.#openTime[t] as number);
    spans.thread[n] = t;
    spans.reason[n] = this.#awake(reason);
    this.#openRip(state, t, b, i);
    this.#closeInner(t, n, b.cpu[i] as number, i);
  }

  /** The same reason, of what is no halt: the guest does not sleep before its halt, nor with WFE. */
  #awake(reason: number): number {
    const { halt, names } = this.reasons;
    return halt[reason] === true ? this.reasons.id(names[reason] as string, false) : reason;
  }

  /** Gives the exit that is open on a thread as one that ends with event `i`. */
  #counted(t: number, i: number): void {
    const spans = this.#spans;
    const reason = this.#open[2 * t] as number;
    if (reason < 0) return;
    const n = spans.count++;
    spans.begin[n] = this.#openTime[t] as number;
    spans.duration[n] = 0;
    spans.thread[n] = t;
    spans.reason[n] = reason;
    this.#closeInner(t, n, this.#open[2 * t + 1] as number, i);
    this.#open[2 * t] = inGuest;
  }

  /** The thread of event `i`, an exit or entry; a new one where that is its first. -1 where there are too many. */
  #thread(state: TraceState, tid: number, b: EventBatch, i: number): number {
    const known = state.threads.find(tid);
    if (known >= 0 || this.threads.length >= maxThreads) return known;
    const t = this.#follow(tid, { tid, pid: b.pid[i] as number, vcpu: none });
    const heads = this.#heads;
    const type = b.type[i] as number;
    const isExit = state.roles[type] === exit;
    heads.entry[t] = isExit ? 0 : 1;
    heads.time[t] = b.time[i] as number;
    heads.cpu[t] = b.cpu[i] as number;
    heads.left[t] = state.losses.leftAt(tid);
    heads.reason[t] = isExit ? (state.decoders[type] as ReasonDecoder).id(b, i) : none;
    const rip = state.rips[type] as FieldReader;
    heads.ripLow[t] = rip.low(b, i);
    heads.ripHigh[t] = rip.high(b, i);
    return t;
  }

  #follow(tid: number, thread: VcpuThread): number {
    const t = this.threads.push(thread) - 1;
    this.#trace.threads.set(tid, t);
    if (t === this.#openTime.length) this.#grow();
    this.#leftAt[t] = this.#trace.losses.leftAt(tid);
    const heads = this.#heads;
    heads.add();
    heads.early[t] = 0;
    heads.pid[t] = none;
    heads.vcpu[t] = none;
    return t;
  }

  /** An exit of a thread that is not known to be in the guest; gives the reason to remember. */
  #unusualExit(state: TraceState, t: number, reason: number, b: EventBatch, i: number): number {
    const before = this.#open[2 * t] as number;
    if (before >= 0) {
      const lost = state.losses.some && this.#straddles(t, b, i);
      if (lost) this.counts.straddlingLoss++;
      else this.counts.exitThenExit++;
      state.losses.grant(b.time[i] as number);
      if (before < notEntered) return reason;
    }
    // It has not entered the guest so far, and may never do.
    this.#learnVcpu(state, t, b, i);
    return reason + notEntered;
  }

  /** An entry of a thread that is not known to be out of the guest, or that was never in; gives the reason of the exit, or -1. */
  #unusualEntry(state: TraceState, t: number, reason: number, b: EventBatch, i: number): number {
    if (reason === inGuest) {
      this.counts.entryWithoutExit++;
      return none;
    }
    this.#learnVcpu(state, t, b, i);
    this.entered = true;
    if (reason === unseen) {
      this.counts.entryFirst++;
      return none;
    }
    this.counts.beforeFirstEntry++;
    this.#heads.early[t] = 1;
    return reason - notEntered;
  }

  /** Whether events may have been lost between the thread's open exit and event `i`, of the same thread. */
  #straddles(t: number, b: EventBatch, i: number): boolean {
    return this.#lost(t, b.tid[i] as number, b.time[i] as number, b.cpu[i] as number);
  }

  #lost(t: number, tid: number, time: number, cpu: number): boolean {
    const { losses } = this.#trace;
    const lost = losses.straddleOf(tid, this.#openTime[t] as number, time, this.#open[2 * t + 1] as number, cpu);
    if (lost && !losses.switches) this.#presumed = true;
    return lost;
  }

  #learnVcpu(state: TraceState, t: number, b: EventBatch, i: number): void {
    const thread = this.threads[t] as VcpuThread;
    if (thread.pid < 0) thread.pid = b.pid[i] as number;
    if (thread.vcpu >= 0) return;
    const vcpu = (state.vcpus[b.type[i] as number] as FieldReader).number(b, i);
    if (vcpu >= 0) thread.vcpu = vcpu;
  }

  /** An event that tells more of the exit that is open on its thread, or of the thread. */
  #hint(state: TraceState, b: EventBatch, i: number): void {
    const type = b.type[i] as number;
    const wfe = state.wfe[type];
    const naming = state.naming[type];
    const tid = b.tid[i] as number;
    const t = state.threads.find(tid);
    if (naming !== undefined) {
      const reason = naming.id(b, i);
      if (t < 0) this.#noteAhead(tid, none, none, false, this.reasons.names[reason]);
      else this.#named(t, reason);
    } else if (wfe === undefined) {
      const vcpu = (state.vcpus[type] as FieldReader).number(b, i);
      if (t < 0) this.#noteAhead(tid, b.pid[i] as number, vcpu, false);
      else this.#told(t, b.pid[i] as number, vcpu);
    } else if (wfe.number(b, i) === 1) {
      if (t < 0) this.#noteAhead(tid, none, none, true);
      else this.#isWfe(t);
    }
  }

  /** What the exit is that is open on a thread, more exactly. */
  #named(t: number, reason: number): void {
    const open = this.#open[2 * t] as number;
    if (open >= 0) this.#open[2 * t] = open - (open % notEntered) + reason;
  }

  /** What an event of a thread says of it. */
  #told(t: number, pid: number, vcpu: number): void {
    const thread = this.threads[t] as VcpuThread;
    const heads = this.#heads;
    if (thread.pid < 0) thread.pid = pid;
    if (thread.vcpu < 0 && vcpu >= 0) thread.vcpu = vcpu;
    if ((heads.pid[t] as number) < 0) heads.pid[t] = pid;
    if ((heads.vcpu[t] as number) < 0 && vcpu >= 0) heads.vcpu[t] = vcpu;
  }

  /** With WFE, a guest does not sleep. */
  #isWfe(t: number): void {
    const open = this.#open[2 * t] as number;
    if (open < 0) return;
    const reason = open % notEntered;
    this.#open[2 * t] = open - reason + this.#awake(reason);
  }

  #noteAhead(tid: number, pid: number, vcpu: number, wfe: boolean, reason?: string): void {
    if (tid < 0) return;
    const known = this.#ahead.get(tid);
    if (known === undefined) {
      if (this.#ahead.size < maxThreads) this.#ahead.set(tid, { pid, vcpu: vcpu >= 0 ? vcpu : none, wfe, reason });
      return;
    }
    if (known.pid < 0) known.pid = pid;
    if (known.vcpu < 0 && vcpu >= 0) known.vcpu = vcpu;
    known.wfe ||= wfe;
    known.reason = reason ?? known.reason;
  }

  #openRip(state: TraceState, t: number, b: EventBatch, i: number): void {
    const rip = state.rips[b.type[i] as number] as FieldReader;
    this.#openRipLow[t] = rip.low(b, i);
    this.#openRipHigh[t] = rip.high(b, i);
  }

  #closeInner(t: number, n: number, cpu: number, i: number): void {
    const spans = this.#spans;
    spans.cpu[n] = cpu;
    spans.endsAt[n] = i;
    spans.ripLow[n] = this.#openRipLow[t] as number;
    spans.ripHigh[n] = this.#openRipHigh[t] as number;
  }

  #grow(): void {
    this.#open = grown(this.#open, unseen);
    this.#openTime = grown(this.#openTime);
    this.#openRipLow = grown(this.#openRipLow);
    this.#openRipHigh = grown(this.#openRipHigh);
    this.#leftAt = grown(this.#leftAt);
  }
}

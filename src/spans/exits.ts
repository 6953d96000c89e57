import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { type ReasonDecoder, Reasons, reasonDecoder } from './exit-reasons.ts';

/** Events with which a vCPU thread leaves the guest, per architecture: x86, arm64, riscv; s390; ppc; LTTng's name; LoongArch. */
const exitEvents =
  /^(kvm:kvm_exit(_\w+)?|kvm:kvm_s390_sie_exit|kvm:kvm_x86_exit|kvm_(hv|pr|booke):kvm_(guest_)?exit|lttng:kvm_x86_exit)$/;
/** Events with which it goes back in. */
const entryEvents =
  /^(kvm:kvm_entry|kvm:kvm_s390_sie_enter|kvm:kvm_x86_entry|kvm:kvm_enter|kvm:kvm_reenter|kvm_hv:kvm_guest_enter|lttng:kvm_x86_entry)$/;

export function isExit(type: EventType): boolean {
  return exitEvents.test(type.name);
}

export function isEntry(type: EventType): boolean {
  return entryEvents.test(type.name);
}

/** A thread that ran a vCPU. */
export type VcpuThread = {
  tid: number;
  /** The QEMU process, -1 where the events do not say; the trace's thread table may know. */
  pid: number;
  /** The vCPU's number in its VM, -1 where no event told. */
  vcpu: number;
};

/** Exits that ended within a batch, as columns, in the order of their kvm_entry. Valid until the next batch. */
export class ExitSpans {
  count = 0;
  /** Time of the kvm_exit, from the trace's origin, in the clock's unit. */
  begin: Float64Array = new Float64Array(1024);
  /** How long the vCPU was out, in the clock's unit, or in ns where `ExitPairing` was told how to convert. */
  duration: Float64Array = new Float64Array(1024);
  /** Index into `ExitPairing.threads`. */
  thread: Int32Array = new Int32Array(1024);
  /** Id in `ExitPairing.reasons`. */
  reason: Int32Array = new Int32Array(1024);
  /** CPU of the kvm_exit, -1 where unknown. */
  cpu: Int32Array = new Int32Array(1024);
  /** Where the guest was when it left, in halves; 0 unless rips were asked for. */
  ripLow: Uint32Array = new Uint32Array(1024);
  ripHigh: Uint32Array = new Uint32Array(1024);
  /** Index in the batch of the kvm_entry. */
  endsAt: Int32Array = new Int32Array(1024);

  /** Makes room for as many exits as a batch can end. */
  reserve(capacity: number): void {
    if (this.begin.length >= capacity) return;
    this.begin = new Float64Array(capacity);
    this.duration = new Float64Array(capacity);
    this.thread = new Int32Array(capacity);
    this.reason = new Int32Array(capacity);
    this.cpu = new Int32Array(capacity);
    this.ripLow = new Uint32Array(capacity);
    this.ripHigh = new Uint32Array(capacity);
    this.endsAt = new Int32Array(capacity);
  }

  /** Keeps only the exits for which `keep` holds. */
  filter(keep: (k: number) => boolean): void {
    let n = 0;
    for (let k = 0; k < this.count; k++) {
      if (!keep(k)) continue;
      if (n !== k) {
        this.begin[n] = this.begin[k] as number;
        this.duration[n] = this.duration[k] as number;
        this.thread[n] = this.thread[k] as number;
        this.reason[n] = this.reason[k] as number;
        this.cpu[n] = this.cpu[k] as number;
        this.ripLow[n] = this.ripLow[k] as number;
        this.ripHigh[n] = this.ripHigh[k] as number;
        this.endsAt[n] = this.endsAt[k] as number;
      }
      n++;
    }
    this.count = n;
  }
}

/** What was seen, and what could not be paired. exits = pairs + exitThenExit + straddlingLoss + openAtEnd. */
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
};

const other = 1;
const exit = 2;
const entry = 3;
const none = -1;

/** Entries of the table that finds the thread of a tid in most cases: a power of two. */
const tidCache = 1024;

/**
 * Pairs each kvm_exit with the kvm_entry that follows it on the same thread. Threads, not CPUs: vCPU threads migrate.
 * An exit is paired only where nothing can have been lost between the two on the CPUs of either.
 */
export class ExitPairing {
  readonly reasons = new Reasons();
  readonly threads: VcpuThread[] = [];
  readonly counts: Omit<PairingCounts, 'openAtEnd'> = {
    exits: 0,
    entries: 0,
    pairs: 0,
    beforeFirstEntry: 0,
    entryFirst: 0,
    entryWithoutExit: 0,
    exitThenExit: 0,
    straddlingLoss: 0,
    migratedAcrossLoss: 0,
  };

  /** Time of the first and last kvm_exit or kvm_entry; NaN where there was none. */
  first = Number.NaN;
  last = Number.NaN;

  readonly #scale: number;
  readonly #rips: boolean;
  readonly #spans = new ExitSpans();
  readonly #trace = new TraceState();

  // By thread.
  #openReason = new Int32Array(64).fill(none);
  #openTime = new Float64Array(64);
  #openCpu = new Int32Array(64);
  #openRipLow = new Uint32Array(64);
  #openRipHigh = new Uint32Array(64);
  #entered = new Uint8Array(64);
  /** Exits by reason of threads that never entered: of a trace without kvm_entry, they are all that can be told. */
  readonly #unentered: Map<number, number>[] = [];

  /** `scale` is what durations are multiplied by (and rounded): ns per cycle of an x86-tsc clock. `rips` fills the rip columns. */
  constructor(options: { scale?: number; rips?: boolean } = {}) {
    this.#scale = options.scale ?? 1;
    this.#rips = options.rips === true;
  }

  wants(type: EventType): boolean {
    return isExit(type) || isEntry(type);
  }

  /** Takes the next events of a trace and gives the exits that ended with them. */
  batch(trace: Trace, b: EventBatch): ExitSpans {
    const state = this.#trace;
    const { counts } = this;
    state.learnTypes(trace, this.reasons);
    for (const loss of b.losses) counts.migratedAcrossLoss += state.lose(loss);

    const spans = this.#spans;
    spans.reserve(b.count);
    spans.count = 0;
    const roles = state.roles;
    const { type: types, time: times, tid: tids, cpu: cpus } = b;
    const begin = spans.begin;
    const duration = spans.duration;
    const threadOf = spans.thread;
    const reasonOf = spans.reason;
    const cpuOf = spans.cpu;
    const endsAt = spans.endsAt;
    let n = 0;
    let exits = 0;
    let entries = 0;
    let last = this.last;
    const { cachedTid, cachedThread } = state;
    const count = b.count;
    for (let i = 0; i < count; i++) {
      const type = types[i] as number;
      const role = roles[type] as number;
      if (role === other) continue;
      const tid = tids[i] as number;
      const cached = tid & (tidCache - 1);
      let t = cachedThread[cached] as number;
      if (t < 0 || cachedTid[cached] !== tid) {
        if (Number.isNaN(this.first)) this.first = times[i] as number;
        t = this.#thread(state, tid, b.pid[i] as number);
        cachedTid[cached] = tid;
        cachedThread[cached] = t;
      }
      const time = times[i] as number;
      last = time;
      if (role === exit) {
        exits++;
        if ((this.#openReason[t] as number) >= 0) this.#dropOpen(state, t, time, cpus[i] as number);
        const reason = (state.decoders[type] as ReasonDecoder).id(b, i);
        this.#openReason[t] = reason;
        this.#openTime[t] = time;
        this.#openCpu[t] = cpus[i] as number;
        if (this.#entered[t] === 0) this.#firstExit(state, t, type, reason, b, i);
        if (this.#rips) {
          const rip = state.rips[type] as FieldReader;
          this.#openRipLow[t] = rip.low(b, i);
          this.#openRipHigh[t] = rip.high(b, i);
        }
        continue;
      }
      entries++;
      const reason = this.#openReason[t] as number;
      const first = this.#entered[t] === 0;
      if (first) this.#firstEntry(state, t, type, b, i);
      if (reason < 0) {
        if (first) counts.entryFirst++;
        else counts.entryWithoutExit++;
        continue;
      }
      this.#openReason[t] = none;
      const from = this.#openTime[t] as number;
      const cpu = this.#openCpu[t] as number;
      if (state.lossy && state.straddles(from, time, cpu, cpus[i] as number)) {
        counts.straddlingLoss++;
        continue;
      }
      if (first) counts.beforeFirstEntry++;
      if (cpu !== cpus[i] && cpu >= 0) state.migrated(cpu, from, time);
      begin[n] = from;
      duration[n] = time - from;
      threadOf[n] = t;
      reasonOf[n] = reason;
      cpuOf[n] = cpu;
      endsAt[n] = i;
      if (this.#rips) {
        spans.ripLow[n] = this.#openRipLow[t] as number;
        spans.ripHigh[n] = this.#openRipHigh[t] as number;
      }
      n++;
    }
    spans.count = n;
    this.last = last;
    counts.exits += exits;
    counts.entries += entries;
    counts.pairs += n;
    if (this.#scale !== 1) {
      for (let k = 0; k < n; k++) {
        duration[k] = Math.round((duration[k] as number) * this.#scale);
      }
    }
    return spans;
  }

  /** The thread of that tid, or -1 where it ran no vCPU so far. */
  find(tid: number): number {
    const { cachedTid, cachedThread } = this.#trace;
    const cached = tid & (tidCache - 1);
    if (cachedTid[cached] === tid && (cachedThread[cached] as number) >= 0) return cachedThread[cached] as number;
    return this.#trace.threadOf.get(tid) ?? none;
  }

  /** What was seen so far; exits that are open now count as open at the end. */
  result(): PairingCounts {
    let openAtEnd = 0;
    for (let t = 0; t < this.threads.length; t++) if ((this.#openReason[t] as number) >= 0) openAtEnd++;
    return { ...this.counts, openAtEnd };
  }

  /** Exits per thread and reason, of threads that never entered the guest. */
  *unentered(): Iterable<[thread: number, reason: number, count: number]> {
    for (let t = 0; t < this.threads.length; t++) {
      if (this.#entered[t] !== 0) continue;
      for (const [reason, count] of this.#unentered[t] ?? []) yield [t, reason, count];
    }
  }

  #thread(state: TraceState, tid: number, pid: number): number {
    const known = state.threadOf.get(tid);
    if (known !== undefined) {
      const thread = this.threads[known] as VcpuThread;
      if (thread.pid < 0) thread.pid = pid;
      return known;
    }
    const t = this.threads.push({ tid, pid, vcpu: none }) - 1;
    state.threadOf.set(tid, t);
    if (t === this.#openReason.length) this.#grow();
    return t;
  }

  /** An exit of a thread that has not entered so far: its vCPU's number, and a count for the case that it never will. */
  #firstExit(state: TraceState, t: number, type: number, reason: number, b: EventBatch, i: number): void {
    this.#learnVcpu(state, t, type, b, i);
    let counts = this.#unentered[t];
    if (counts === undefined) {
      counts = new Map();
      this.#unentered[t] = counts;
    }
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }

  #firstEntry(state: TraceState, t: number, type: number, b: EventBatch, i: number): void {
    this.#entered[t] = 1;
    this.#learnVcpu(state, t, type, b, i);
    this.#unentered[t]?.clear();
  }

  #learnVcpu(state: TraceState, t: number, type: number, b: EventBatch, i: number): void {
    const thread = this.threads[t] as VcpuThread;
    if (thread.vcpu >= 0) return;
    const vcpu = (state.vcpus[type] as FieldReader).number(b, i);
    if (vcpu >= 0) thread.vcpu = vcpu;
  }

  #dropOpen(state: TraceState, t: number, time: number, cpu: number): void {
    const lost = state.lossy && state.straddles(this.#openTime[t] as number, time, this.#openCpu[t] as number, cpu);
    if (lost) this.counts.straddlingLoss++;
    else this.counts.exitThenExit++;
  }

  #grow(): void {
    const length = this.#openReason.length * 2;
    const grow = <T extends Int32Array | Uint32Array | Float64Array | Uint8Array>(from: T, to: T): T => {
      to.set(from as never);
      return to;
    };
    this.#openReason = grow(this.#openReason, new Int32Array(length).fill(none));
    this.#openTime = grow(this.#openTime, new Float64Array(length));
    this.#openCpu = grow(this.#openCpu, new Int32Array(length));
    this.#openRipLow = grow(this.#openRipLow, new Uint32Array(length));
    this.#openRipHigh = grow(this.#openRipHigh, new Uint32Array(length));
    this.#entered = grow(this.#entered, new Uint8Array(length));
  }
}

/** What pairing knows of the trace: its types, its threads, its losses. */
class TraceState {
  /** By type id: what the event is to us, and how to read it. */
  roles = new Uint8Array(64);
  readonly decoders: (ReasonDecoder | undefined)[] = [];
  readonly vcpus: FieldReader[] = [];
  readonly rips: FieldReader[] = [];
  readonly threadOf = new Map<number, number>();
  readonly cachedTid = new Int32Array(tidCache);
  readonly cachedThread = new Int32Array(tidCache).fill(none);
  lossy = false;
  /** Losses by CPU (-1: any CPU), in order of their ends. */
  readonly #losses = new Map<number, Loss[]>();
  /** The latest pairs by the CPU of their exit, where the entry was on another. */
  readonly #migrated = new Map<number, { begin: number; end: number }[]>();
  #types = 0;

  learnTypes(trace: Trace, reasons: Reasons): void {
    const { types } = trace;
    for (; this.#types < types.length; this.#types++) {
      const type = types[this.#types] as EventType;
      const id = this.#types;
      if (id === this.roles.length) {
        const roles = new Uint8Array(id * 2);
        roles.set(this.roles);
        this.roles = roles;
      }
      this.roles[id] = isExit(type) ? exit : isEntry(type) ? entry : other;
      this.decoders[id] = isExit(type) ? reasonDecoder(type, reasons) : undefined;
      this.vcpus[id] = type.reader('vcpu_id') ?? type.reader('id') ?? type.reader('vcpu') ?? absent;
      this.rips[id] =
        ['guest_rip', 'vcpu_pc', 'sepc', 'pc', 'pswaddr']
          .map((name) => type.reader(name))
          .find((r) => r !== undefined) ?? absent;
    }
  }

  /** Remembers a pair whose thread left a CPU between exit and entry. */
  migrated(cpu: number, begin: number, end: number): void {
    let pairs = this.#migrated.get(cpu);
    if (pairs === undefined) {
      pairs = [];
      this.#migrated.set(cpu, pairs);
    }
    pairs.push({ begin, end });
    // Only the latest can still turn out to straddle a loss.
    if (pairs.length > 2 * maxMigrated) pairs.splice(0, maxMigrated);
  }

  /** Takes note of a loss; gives how many migrated pairs it makes doubtful. */
  lose(loss: Loss): number {
    this.lossy = true;
    const cpu = Math.max(loss.cpu, -1);
    let losses = this.#losses.get(cpu);
    if (losses === undefined) {
      losses = [];
      this.#losses.set(cpu, losses);
    }
    let at = losses.length;
    while (at > 0 && (losses[at - 1] as Loss).to > loss.to) at--;
    losses.splice(at, 0, loss);
    const migrated = (loss.cpu < 0 ? [...this.#migrated.values()].flat() : (this.#migrated.get(cpu) ?? [])).filter(
      ({ begin, end }) => loss.to > begin && loss.from < end,
    );
    if (loss.cpu < 0) this.#migrated.clear();
    else this.#migrated.delete(cpu);
    if (losses.length <= maxLosses) return migrated.length;
    // The older half becomes one wide loss: it can set aside an exit too many, but memory stays flat.
    const old = losses.splice(0, maxLosses / 2);
    const from = old.reduce((least, l) => Math.min(least, l.from), Infinity);
    losses.unshift({ from, to: (old.at(-1) as Loss).to, cpu, count: undefined });
    return migrated.length;
  }

  /** Whether events may have been lost between `from` and `to` on one of these CPUs (-1: it may be any). */
  straddles(from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (cpu1 < 0 || cpu2 < 0) return this.#losses.values().some((losses) => within(losses, from, to));
    return (
      within(this.#losses.get(-1), from, to) ||
      within(this.#losses.get(cpu1), from, to) ||
      (cpu2 !== cpu1 && within(this.#losses.get(cpu2), from, to))
    );
  }
}

/** Losses remembered one by one per CPU. */
const maxLosses = 4096;
const maxMigrated = 64;

function within(losses: readonly Loss[] | undefined, from: number, to: number): boolean {
  if (losses === undefined) return false;
  // The latest stand last, and hardly ever does one reach back further than the one before it.
  for (let i = losses.length - 1; i >= 0; i--) {
    const loss = losses[i] as Loss;
    if (loss.to <= from) return false;
    if (loss.from < to) return true;
  }
  return false;
}

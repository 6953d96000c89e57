import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { idle, isEntry, isExit } from './exit-events.ts';
import type { ExitPairing, VcpuThread } from './exits.ts';
import { FirstSources } from './first-sources.ts';
import { type Contended, contended } from './lock-spans.ts';
import { LockWatch } from './lock-watch.ts';
import type { Locks } from './locks.ts';
import { type LossPart, LossTable } from './losses.ts';
import { isSched, leaves, leaving, type SchedEvent, schedEvent } from './sched.ts';
import { Ahead, type AheadPart, ahead } from './vcpu-seam.ts';

/**
 * How a vCPU thread's time divides. `lock` is waiting for a QEMU mutex that another thread holds, `blocked` being asleep in QEMU for another reason,
 * `preempted` being able to run and not running, wherever that was; `halted` the sleep that the guest asked for, halt polling
 * included; `unsure` the time in which events were lost.
 */
export const vcpuStates = ['guest', 'kvm', 'qemu', 'lock', 'blocked', 'preempted', 'halted', 'unsure'] as const;
export type VcpuState = (typeof vcpuStates)[number];
const states = vcpuStates.length;
const [guest, kvm, qemu, lock, blocked, preempted, halted, unsure] = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** KVM_RUN, of include/uapi/linux/kvm.h: _IO(0xAE, 0x80). */
const kvmRun = 0xae80;
/** KVM_EXIT_HLT: without KVM's own interrupt controller, QEMU sees the guest's halt and sleeps for it. */
const exitHalt = 5;

/** Time bins of a timeline in memory, and their width to begin with (ns). */
const bins = 1024;
const firstStep = 1;
/** Threads whose timeline is kept; 64 KiB each. */
const maxTimelines = 1024;
/** Stretches of KVM's time in a halt that are kept until it is known how much of them was polling. */
const maxOpen = 32;
/** Stretches of a thread that a listener is not told of yet. */
const maxUntold = 4096;
/** Threads told apart that ran while a vCPU could not. */
const maxOthers = 4096;

/** Where a thread is, as far as its own events tell. */
const nowhere = 0;
const inGuest = 1;
const inKvm = 2;
const inQemu = 3;
const lostSight = 4;
const over = 5;

/** Whether it has a CPU. */
const running = 0;
const waiting = 1;
const sleeping = 2;

type Role =
  | { what: 'exit' | 'entry' | 'lock' }
  | { what: 'userspace'; reason: FieldReader }
  | { what: 'ioctl'; command: FieldReader }
  | { what: 'fpu'; load: FieldReader }
  | { what: 'wakeup'; length: FieldReader }
  | { what: 'wfx'; wfe: FieldReader }
  | { what: 'idle' }
  | SchedEvent;
type Switch = SchedEvent & { what: 'switch' };

/** What most events are. */
const isNothing = 0;
const isExitOrEntry = 1;
const isSwitched = 2;
const isOther = 3;

/** Events taken in one go. */
const slice = 1024;

/** The longest unbroken stretch of a state. */
export type Stretch = { begin: number; duration: number };

export type StretchListener = (thread: number, state: number, begin: number, end: number) => void;

/** A vCPU thread's time, divided. All in the clock's unit; the states' sum is the wall time, exactly. */
export type DividedTime = {
  /** Index into the pairing's threads. */
  thread: number;
  /** Its first kvm_exit or kvm_entry, and the end of the stretch asked for (or of the thread), from the trace's origin. */
  begin: number;
  end: number;
  states: Record<VcpuState, number>;
  /** How much of `halted` was halt polling: KVM looking for an interrupt before it lets the thread sleep. */
  polled: number;
  /** How much of `kvm` the thread was asleep in KVM without a halt, waiting for memory, say. */
  asleepInKvm: number;
  longest: Partial<Record<VcpuState, Stretch>>;
  /** Its kvm_exits. */
  exits: number;
  /** Time in each state by stretch of time, `step` long each from the timeline's `from` on: `cells[bin * 8 + state]`. */
  cells: Float64Array | undefined;
};

/** What a trace has of the events that tell states apart. */
export type Evidence = { sched: boolean; wakes: boolean; userspace: boolean; locks: boolean; haltLength: boolean };

/** How the time of each exit that ended in a batch divides, as columns, in the order of the kvm_entries. */
export class ExitParts {
  count = 0;
  /** Index in the batch of the kvm_entry. */
  endsAt = new Int32Array(64);
  /** Time by state, eight of them each. */
  parts = new Float64Array(64 * states);
  /** How much of its time in KVM the thread was asleep, without a halt. */
  asleep = new Float64Array(64);

  add(i: number, time: Float64Array, asleep: number): void {
    if (this.count === this.endsAt.length) {
      const endsAt = new Int32Array(this.count * 2);
      endsAt.set(this.endsAt);
      this.endsAt = endsAt;
      const parts = new Float64Array(this.count * 2 * states);
      parts.set(this.parts);
      this.parts = parts;
      this.asleep = grown(this.asleep);
    }
    this.endsAt[this.count] = i;
    this.asleep[this.count] = asleep;
    this.parts.set(time, this.count++ * states);
  }
}

/** Pieces of one wait that are remembered. */
const maxPieces = 1024;

/** One vCPU thread. A handful of them exist, so an object each is cheap; nothing is allocated per event. */
class Following {
  place = nowhere;
  run = running;
  /** Whether it waits for a QEMU mutex that another thread holds, is in an exit by the guest's halt, and was told to QEMU as a halt. */
  heldUp = false;
  halting = false;
  haltInQemu = false;
  /** Whether it waits for a mutex that another thread may hold; and what it did since it does, which is decided when that is known. */
  doubted = false;
  readonly pieces: { state: number; from: number; to: number }[] = [];
  /** Whether it has slept since its kvm_exit. */
  slept = false;
  cpu = -1;
  since = 0;
  begin = 0;
  end = Number.NaN;
  exits = 0;
  readonly states = new Float64Array(states);
  readonly inExit = new Float64Array(states);
  asleepInExit = 0;
  polled = 0;
  asleepInKvm = 0;
  /**
   * KVM's time before the first sleep of a halt, as beginnings and ends: halt polling ends it, but how much is known only
   * afterwards. There are several where the thread was preempted meanwhile. And the end of that sleep.
   */
  readonly open = new Float64Array(2 * maxOpen);
  opened = 0;
  sleptTo = Number.NaN;
  /** The stretch under way, by state; and the longest, begin and length. */
  stretchState = -1;
  stretchFrom = 0;
  stretchTo = 0;
  readonly longestFrom = new Float64Array(states).fill(Number.NaN);
  readonly longest = new Float64Array(states);
  cells: Float64Array | undefined;
  /** For a listener: stretches that it was not told of yet, because one before them may still be undecided. */
  untold: { state: number; begin: number; end: number }[] = [];
  /** For `join`: the first stretch of a state, once it was over; and the first that a listener would have been told of. */
  firstStretch: { state: number; from: number; to: number } | undefined;
  firstTold: { state: number; begin: number; end: number } | undefined;
  /** Whether all but the last were told. */
  kept = false;
  /** Index in the pairing's threads. */
  readonly thread: number;

  constructor(thread: number) {
    this.thread = thread;
  }
}

/** What was learnt of how the vCPUs' time divides in a stretch of a recording, as plain data. */
export type VcpuTimePart = {
  seen: Evidence;
  others: ReadonlyMap<number, number>;
  step: number;
  /** By thread. */
  threads: readonly (Following | undefined)[];
  timelines: number;
  ahead: AheadPart;
  losses: LossPart;
  /** Time of its first event, NaN where there was none. */
  first: number;
  /** What nothing had been seen of when that mattered. */
  presumed: { noSched: boolean; noHaltLength: boolean };
  /** Whether any mutex was taken: who has it, is known only from before. */
  mutexes: boolean;
};

/**
 * Follows vCPU threads through the guest, KVM and QEMU. Where a thread is, its own events say: kvm_entry and kvm_exit;
 * kvm_userspace_exit, when KVM_RUN returns to QEMU; KVM_RUN's sys_enter_ioctl or kvm_fpu's load, when QEMU calls it again. Whether
 * it runs, sched_switch, sched_waking and sched_wakeup say, whichever of the latter comes first. A thread preempted between
 * kvm_entry and kvm_exit is not in the guest. Takes each batch right after `ExitPairing` did.
 */
export class VcpuTime {
  readonly exits = new ExitParts();
  readonly #seen: Evidence = { sched: false, wakes: false, userspace: false, locks: false, haltLength: false };
  /** Time that threads of each tid ran, or had just run, while a vCPU could have. */
  readonly others = new Map<number, number>();
  /** From when on time counts, where the timelines' first bin begins; and the width of each. */
  from = 0;
  step = firstStep;
  /** The bin that was drawn in last, where most that follows belongs, too. */
  readonly #drawn = { bin: 0, from: 0, to: Number.NEGATIVE_INFINITY };
  /** Index in the batch of the event that is taken: for the listener. */
  at = 0;

  readonly #pairing: ExitPairing;
  readonly #timeline: boolean;
  readonly #dividing: boolean;
  readonly #stretch: StretchListener | undefined;
  readonly #roles: (Role | undefined)[] = [];
  /** By type id: what most events are, and which of them are exits. */
  #kinds = new Uint8Array(64);
  #isExit = new Uint8Array(64);
  readonly #threads: (Following | undefined)[] = [];
  readonly #sources = new FirstSources();
  readonly #watch: LockWatch;
  readonly #heldUp = (tid: number, held: Contended) => this.#setHeldUp(tid, held);
  readonly #losses = new LossTable();
  #trace: Trace | undefined;
  #time = 0;
  #timelines = 0;
  /** For `join`; and by type id whether events are of mutexes. */
  #ahead: Ahead | undefined;
  readonly #ofMutexes: boolean[] = [];
  #batches = 0;
  #first = Number.NaN;
  readonly #presumed = { noSched: false, noHaltLength: false };
  #mutexes = false;

  /**
   * `stretch` is told of each unbroken stretch of a state, by index in the pairing's threads and in `vcpuStates`; those of a thread in their order.
   * `locks` are those of somebody who gives them each batch first; where there are none, it follows the mutexes itself. `dividing` fills `exits`.
   */
  constructor(
    pairing: ExitPairing,
    options: { timeline?: boolean; dividing?: boolean; stretch?: StretchListener; locks?: Locks | undefined } = {},
  ) {
    this.#pairing = pairing;
    this.#watch = new LockWatch(options.locks);
    this.#timeline = options.timeline === true;
    this.#dividing = options.dividing === true;
    this.#stretch = options.stretch;
  }

  get evidence(): Evidence {
    return { ...this.#seen, locks: this.#seen.locks && this.#watch.tells };
  }

  /** From when on time counts; what was before tells only where each thread is. */
  within({ from }: Window): void {
    this.from = from;
  }

  wants(type: EventType): boolean {
    return isExit(type) || isEntry(type) || isSched(type) || placing.test(type.name) || this.#watch.wants(type);
  }

  /** Events behind the stretch: what the recording has of them tells states apart within it, too. */
  behind(trace: Trace, b: EventBatch): void {
    this.#learnTypes(trace);
    for (let i = 0; i < b.count; i++) {
      const type = b.type[i] as number;
      const role = this.#roles[type];
      if (role === undefined) continue;
      if (role.what === 'switch') this.#seen.sched = true;
      else if (role.what === 'wake') this.#seen.wakes = true;
      else if (this.#pairing.find(b.tid[i] as number) < 0) continue;
      else if (role.what === 'userspace') this.#seen.userspace = true;
      else if (role.what === 'wakeup') this.#seen.haltLength = true;
      else if (role.what === 'lock') this.#seen.locks = true;
    }
  }

  #learnTypes(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      const role = roleOf(trace.types[id] as EventType);
      this.#roles.push(role);
      if (id === this.#kinds.length) {
        this.#kinds = grown(this.#kinds);
        this.#isExit = grown(this.#isExit);
      }
      this.#kinds[id] = kindOf(role);
      this.#isExit[id] = role?.what === 'exit' ? 1 : 0;
      this.#ofMutexes.push(this.#watch.wants(trace.types[id] as EventType));
    }
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.exits.count = 0;
    this.#learnTypes(trace);
    this.#losses.take(trace, b);
    this.#batches++;
    for (const loss of b.losses) {
      this.#lose(loss, this.#threads);
      this.#ahead?.lose(loss, this.#batches);
    }
    if (this.#ahead !== undefined) this.#lookAhead(b);
    const watch = this.#watch;
    watch.batch(trace, b);
    for (let from = 0; from < b.count; from += slice) this.#take(b, from, Math.min(b.count, from + slice));
  }

  /** The events `start` to `stop` of a batch. */
  #take(b: EventBatch, start: number, stop: number): void {
    const kinds = this.#kinds;
    const watch = this.#watch;
    const { type: types } = b;
    for (let i = start; i < stop; i++) {
      if (watch.next <= i) {
        this.#time = b.time[i] as number;
        watch.take(i, this.#heldUp);
      }
      const type = types[i] as number;
      const kind = kinds[type] as number;
      if (kind === isNothing) continue;
      this.at = i;
      if (kind === isExitOrEntry) this.#exitOrEntry(b, i, type);
      else if (kind === isSwitched) this.#switch(this.#roles[type] as Switch, b, i);
      else this.#other(this.#roles[type] as Exclude<Role, Switch>, b, i);
    }
  }

  /** What is given begins in the middle of a recording: what is before matters up to the first exit or entry of each thread. */
  inMiddle(): void {
    this.#ahead = new Ahead();
  }

  #lookAhead(b: EventBatch): void {
    if (b.count > 0 && Number.isNaN(this.#first)) this.#first = b.time[0] as number;
    for (let i = 0; i < b.count && !this.#mutexes; i++) {
      if (this.#ofMutexes[b.type[i] as number] === true) this.#mutexes = true;
    }
  }

  /** What was learnt of its stretch: for the one of the stretch before. */
  part(): VcpuTimePart {
    return {
      seen: this.#seen,
      others: this.others,
      step: this.step,
      threads: this.#threads,
      timelines: this.#timelines,
      ahead: (this.#ahead ?? new Ahead()).part(),
      losses: this.#losses.part(),
      first: this.#first,
      presumed: this.#presumed,
      mutexes: this.#mutexes,
    };
  }

  /** Whether all that was taken for granted in the stretch that follows is so, as far as is known here. `vcpus` are the pairing's threads there. */
  accepts(part: VcpuTimePart, vcpus: readonly VcpuThread[]): boolean {
    const own = this.#seen;
    const { seen, presumed, mutexes, losses, first, timelines, others } = part;
    return (
      !part.ahead.unfit &&
      !mutexes &&
      // How halts divide hangs on these.
      (own.sched ? !presumed.noSched : !seen.sched) &&
      (own.haltLength ? !presumed.noHaltLength : own.sched || !(seen.haltLength || part.ahead.wakeups)) &&
      this.#losses.accepts(losses, first) &&
      this.#timelines + timelines <= maxTimelines &&
      this.others.size + others.size <= maxOthers &&
      vcpus.every(({ tid }) => this.#find(tid)?.place !== over)
    );
  }

  /**
   * Takes over what was learnt of the stretch that follows, after pairing did; `threads` are that one's threads here. Gives how the exits divide that ended there and had begun
   * before: their `endsAt` are threads.
   */
  join(trace: Trace, part: VcpuTimePart, threads: Int32Array): ExitParts {
    this.#trace = trace;
    this.exits.count = 0;
    const { rows, count, lost } = part.ahead;
    /** Those of which nothing is known yet of what comes. */
    const pending = [...this.#threads];
    for (let k = 0; k < count; k++) {
      const what = rows.what[k] as number;
      const time = rows.time[k] as number;
      const value = rows.value[k] as number;
      if (what === ahead.loss) {
        // Those that came to be known together.
        const from = k;
        while (rows.what[k + 1] === ahead.loss && rows.time[k + 1] === time) k++;
        const fresh = lost.slice(value, value + 1 + k - from);
        for (const loss of fresh) if (part.losses.told.includes(loss)) this.#losses.join(loss);
        for (const loss of fresh) this.#lose(loss, pending);
        continue;
      }
      const cpu = rows.cpu[k] as number;
      if (what === ahead.firstExit || what === ahead.firstEntry) {
        const t = threads[value] as number;
        pending[t] = undefined;
        this.#takeOver(t, what, time, cpu, part.threads[value] as Following, part.step);
        continue;
      }
      const t = this.#pairing.find(rows.tid[k] as number);
      const one = t < 0 ? undefined : pending[t];
      if (one === undefined || one.place === over) continue;
      if (what === ahead.switchedOut) this.#leave(one, time, value);
      else if (what === ahead.switchedIn) this.#get(one, time, cpu, value);
      else if (what === ahead.woken) this.#wakeUp(one, time);
      else {
        one.cpu = cpu;
        if (one.place === lostSight || what === ahead.seen) continue;
        this.#happen(one, what, time, value);
      }
    }
    const { sched, wakes, userspace, haltLength } = part.seen;
    this.#seen.sched ||= sched;
    this.#seen.wakes ||= wakes;
    this.#seen.userspace ||= userspace;
    this.#seen.haltLength ||= haltLength;
    for (const [tid, length] of part.others) this.#blame(tid, length);
    return this.exits;
  }

  /** A thread's first exit or entry in the stretch that follows has come; from there on, that one knows all. */
  #takeOver(t: number, what: number, time: number, cpu: number, later: Following, step: number): void {
    const known = this.#threads[t];
    const one = known ?? this.#follow(t, time);
    if (known !== undefined) {
      one.cpu = cpu;
      this.#arrive(one, time, what === ahead.firstExit ? inKvm : inGuest);
      this.#settle(one, Number.NaN);
      this.#tell(one);
      if (what === ahead.firstEntry) this.exits.add(t, one.inExit, one.asleepInExit);
    }
    const first = later.firstStretch ?? {
      state: later.stretchState,
      from: later.stretchFrom,
      to: later.stretchTo,
    };
    if (first.state >= 0) {
      const goesOn = first.state === one.stretchState && first.from === one.stretchTo;
      if (goesOn) one.stretchTo = first.to;
      if (!goesOn || later.firstStretch !== undefined) {
        this.#longest(one, one.stretchState, one.stretchFrom, one.stretchTo);
        one.stretchState = later.stretchState;
        one.stretchFrom = later.stretchFrom;
        one.stretchTo = later.stretchTo;
      }
    }
    for (let s = 0; s < states; s++) {
      one.states[s] = (one.states[s] as number) + (later.states[s] as number);
      const longest = later.longest[s] as number;
      const from = later.longestFrom[s] as number;
      if (longest > 0) this.#longest(one, s, from, from + longest);
    }
    one.exits += later.exits;
    one.polled += later.polled;
    one.asleepInKvm += later.asleepInKvm;
    for (const name of ['place', 'run', 'cpu', 'since', 'end', 'asleepInExit', 'opened', 'sleptTo'] as const)
      one[name] = later[name];
    for (const name of ['halting', 'haltInQemu', 'slept'] as const) one[name] = later[name];
    one.inExit.set(later.inExit);
    one.open.set(later.open);
    if (one.cells !== undefined && later.cells !== undefined) this.#joinCells(one.cells, later.cells, step);
    if (this.#stretch === undefined) return;
    const [next, ...rest] = later.untold;
    if (later.firstTold !== undefined) {
      // Another came after it.
      one.untold.push(later.firstTold);
      this.#tell(one, true);
      one.untold.push(...later.untold);
    } else if (next !== undefined) {
      one.untold.push(next);
      if (later.kept) this.#tell(one);
      one.untold.push(...rest);
    }
  }

  #joinCells(cells: Float64Array, later: Float64Array, step: number): void {
    while (this.step < step) this.#coarsen();
    later.forEach((time, at) => {
      if (time === 0) return;
      const bin = Math.floor((Math.floor(at / states) * step) / this.step);
      const cell = bin * states + (at % states);
      cells[cell] = (cells[cell] as number) + time;
    });
  }

  /** How the time divides until a moment; what is open lasts until then. Threads in the order in which they came. */
  finish(end: number): DividedTime[] {
    const result: DividedTime[] = [];
    this.#threads.forEach((one, thread) => {
      if (one === undefined || one.end <= this.from) return;
      if (one.place !== over) this.#account(one, end);
      this.#decide(one, false);
      this.#settle(one, Number.NaN);
      this.#longest(one, one.stretchState, one.stretchFrom, one.stretchTo);
      this.#tell(one, true);
      const named = <T>(value: (state: number) => T) =>
        Object.fromEntries(vcpuStates.map((state, s) => [state, value(s)])) as Record<VcpuState, T>;
      result.push({
        thread,
        begin: Math.max(one.begin, this.from),
        end: one.place === over ? one.end : end,
        states: named((s) => one.states[s] as number),
        polled: one.polled,
        asleepInKvm: one.asleepInKvm,
        longest: Object.fromEntries(
          vcpuStates.flatMap((state, s) =>
            (one.longest[s] as number) > 0
              ? [[state, { begin: one.longestFrom[s] as number, duration: one.longest[s] as number }]]
              : [],
          ),
        ),
        exits: one.exits,
        cells: one.cells,
      });
    });
    return result;
  }

  /** An exit or entry. */
  #exitOrEntry(b: EventBatch, i: number, type: number): void {
    const tid = b.tid[i] as number;
    const t = this.#pairing.find(tid);
    if (t < 0) return;
    const time = b.time[i] as number;
    const out = this.#isExit[type] === 1;
    let one = this.#threads[t];
    if (one === undefined) {
      one = this.#follow(t, time);
      this.#ahead?.first(out ? ahead.firstExit : ahead.firstEntry, time, tid, b.cpu[i] as number, t);
    }
    if (one.place === over) return;
    one.cpu = b.cpu[i] as number;
    this.#arrive(one, time, out ? inKvm : inGuest);
    if (one.opened > 0) this.#settle(one, Number.NaN);
    this.#tell(one);
    if (out) {
      const { inExit } = one;
      for (let s = 0; s < states; s++) inExit[s] = 0;
      one.asleepInExit = 0;
      if (time >= this.from) one.exits++;
      one.halting = this.#pairing.isHalt(b, i);
      one.haltInQemu = false;
      one.slept = false;
    } else {
      if (this.#dividing) this.exits.add(i, one.inExit, one.asleepInExit);
      one.halting = false;
    }
  }

  /** Any event but an exit, an entry or a switch. */
  #other(role: Exclude<Role, Switch>, b: EventBatch, i: number): void {
    if (role.what === 'wake') {
      this.#wake(role, b, i);
      return;
    }
    const one = this.#find(b.tid[i] as number);
    const time = b.time[i] as number;
    if (one === undefined) {
      if (this.#ahead !== undefined) this.#tellAhead(this.#ahead, role, b, i);
      return;
    }
    if (one.place === over) return;
    one.cpu = b.cpu[i] as number;
    if (one.place === lostSight) return;
    switch (role.what) {
      case 'userspace':
        this.#happen(one, ahead.toUserspace, time, role.reason.number(b, i));
        return;
      case 'ioctl':
        if (role.command.number(b, i) === kvmRun) this.#happen(one, ahead.toKvm, time, 0);
        return;
      case 'fpu':
        if (role.load.number(b, i) === 1) this.#happen(one, ahead.toKvm, time, 0);
        return;
      case 'wakeup':
        this.#happen(one, ahead.wakeup, time, role.length.number(b, i));
        return;
      case 'wfx':
        if (role.wfe.number(b, i) === 1) this.#happen(one, ahead.wfe, time, 0);
        return;
      case 'idle':
        this.#happen(one, ahead.wfe, time, 1);
        return;
      case 'lock':
        if (!this.#sources.takes(this.#trace?.types[b.type[i] as number] as EventType)) return;
        this.#seen.locks = true;
        return;
    }
  }

  /** What an event besides exits and entries tells of its own thread. */
  #happen(one: Following, what: number, time: number, value: number): void {
    switch (what) {
      case ahead.toUserspace:
        this.#seen.userspace = true;
        this.#arrive(one, time, inQemu);
        one.haltInQemu = one.halting && value === exitHalt;
        return;
      case ahead.toKvm:
        if (one.place === inQemu) this.#arrive(one, time, inKvm);
        return;
      case ahead.wakeup:
        this.#seen.haltLength = true;
        this.#account(one, time);
        this.#settle(one, time - value);
        return;
      default:
        // LoongArch tells only later what the exit is.
        if (value === 1) {
          this.#account(one, time);
          one.halting = one.place === inKvm;
          return;
        }
        // With WFE a guest does not sleep: KVM lets others run, and goes on.
        if (!one.halting) return;
        this.#account(one, time);
        this.#settle(one, Number.POSITIVE_INFINITY);
        one.halting = false;
    }
  }

  /** The same, of a thread that may be known from before. */
  #tellAhead(events: Ahead, role: Exclude<Role, SchedEvent>, b: EventBatch, i: number): void {
    const add = (what: number, value: number) =>
      events.add(what, b.time[i] as number, b.tid[i] as number, b.cpu[i] as number, value);
    if (role.what === 'userspace') add(ahead.toUserspace, role.reason.number(b, i));
    else if (role.what === 'wakeup') add(ahead.wakeup, role.length.number(b, i));
    else if (role.what === 'wfx' && role.wfe.number(b, i) === 1) add(ahead.wfe, 0);
    else if (role.what === 'idle') add(ahead.wfe, 1);
    else if (role.what === 'ioctl' && role.command.number(b, i) === kvmRun) add(ahead.toKvm, 0);
    else if (role.what === 'fpu' && role.load.number(b, i) === 1) add(ahead.toKvm, 0);
    // Its CPU is told, too.
    else add(ahead.seen, 0);
  }

  /** From now on, a thread waits for a mutex that another one holds, or does so no more. */
  #setHeldUp(tid: number, held: Contended): void {
    const one = this.#find(tid);
    if (one === undefined || one.place === over) return;
    this.#losses.grant(this.#time);
    this.#account(one, this.#time);
    this.#decide(one, held === contended.was);
    one.heldUp = held === contended.yes;
    one.doubted = held === contended.maybe && one.place === inQemu;
  }

  /** What a thread did since it came to wait for a mutex was to wait for another thread, unless it had no CPU; or it was not. */
  #decide(one: Following, waited: boolean): void {
    one.doubted = false;
    if (one.pieces.length === 0) return;
    for (const { state, from, to } of one.pieces) {
      this.#add(one, waited && (state === qemu || state === blocked) ? lock : state, from, to);
    }
    one.pieces.length = 0;
  }

  #switch({ previous, next, state }: Switch, b: EventBatch, i: number): void {
    this.#seen.sched = true;
    const time = b.time[i] as number;
    const cpu = b.cpu[i] as number;
    const leaver = previous.number(b, i);
    const out = this.#find(leaver);
    if (out === undefined) {
      if (this.#ahead !== undefined) {
        const how = leaving(state, b, i);
        this.#ahead.add(ahead.switchedOut, time, leaver, cpu, how);
        if (how === leaves.dead) this.#ahead.died(leaver);
      }
    } else if (out.place !== over) {
      if (out.cpu !== cpu) this.#losses.grant(time);
      this.#leave(out, time, leaving(state, b, i));
    }
    const comer = next.number(b, i);
    const into = this.#find(comer);
    if (into === undefined) this.#ahead?.add(ahead.switchedIn, time, comer, cpu, leaver);
    else if (into.place !== over) {
      if (into.cpu !== cpu) this.#losses.grant(time);
      this.#get(into, time, cpu, leaver);
    }
  }

  /** A thread loses its CPU. */
  #leave(one: Following, time: number, how: number): void {
    this.#account(one, time);
    one.run = how === leaves.runnable ? waiting : sleeping;
    if (how === leaves.asleep) one.slept = true;
    if (how !== leaves.dead) return;
    one.place = over;
    one.end = time;
  }

  /** A thread gets a CPU, after another one. */
  #get(one: Following, time: number, cpu: number, after: number): void {
    if (one.run === waiting && one.place !== lostSight) this.#blame(after, time - Math.max(one.since, this.from));
    this.#account(one, time);
    one.run = running;
    one.cpu = cpu;
  }

  #wake({ thread }: SchedEvent & { what: 'wake' }, b: EventBatch, i: number): void {
    this.#seen.wakes = true;
    const time = b.time[i] as number;
    const woken = thread.number(b, i);
    const one = this.#find(woken);
    if (one === undefined) this.#ahead?.add(ahead.woken, time, woken, b.cpu[i] as number, 0);
    else this.#wakeUp(one, time);
  }

  #wakeUp(one: Following, time: number): void {
    if (one.run !== sleeping || one.place === over) return;
    this.#account(one, time);
    one.run = waiting;
  }

  #find(tid: number): Following | undefined {
    const t = this.#pairing.find(tid);
    return t < 0 ? undefined : this.#threads[t];
  }

  #follow(t: number, time: number): Following {
    while (this.#threads.length <= t) this.#threads.push(undefined);
    const one = new Following(t);
    one.begin = time;
    one.since = time;
    if (this.#timeline && this.#timelines < maxTimelines) {
      one.cells = new Float64Array(bins * states);
      this.#timelines++;
    }
    this.#threads[t] = one;
    return one;
  }

  /** The thread is known to be there, and running. */
  #arrive(one: Following, time: number, place: number): void {
    this.#account(one, time);
    this.#decide(one, false);
    one.place = place;
    one.run = running;
    if (place !== inQemu) one.heldUp = false;
  }

  /** Events are missing: from there on a thread that they may have been about is out of sight, until it enters or leaves the guest. */
  #lose({ from, to, cpu, unmarked }: Loss, threads: readonly (Following | undefined)[]): void {
    for (const one of threads) {
      if (one === undefined || one.place === over || one.place === lostSight) continue;
      if (one.heldUp) {
        // Who holds a mutex is not known any more.
        this.#account(one, Math.max(one.since, from));
        one.heldUp = false;
      }
      this.#decide(one, false);
      if (unmarked?.ofThread === true) {
        if (this.#tidOf(one) !== unmarked.tid) continue;
      } else if (cpu >= 0 && this.#whereOf(one) >= 0 && one.cpu !== cpu) continue;
      if (one.since >= to) continue;
      this.#account(one, Math.max(one.since, from));
      this.#settle(one, Number.NaN);
      one.place = lostSight;
    }
  }

  /**
   * The only CPU whose lost events can be about the thread; -1 where that may be any. It does not leave its CPU without an event there: a kvm_exit
   * where it is in the guest, a sched_switch elsewhere, where those are recorded.
   */
  #whereOf(one: Following): number {
    if (one.place === nowhere || one.place === lostSight) return -1;
    if (one.run === running && !this.#seen.sched && one.place !== inGuest) this.#presumed.noSched = true;
    return one.run === running && (this.#seen.sched || one.place === inGuest) ? one.cpu : -1;
  }

  #tidOf({ thread }: Following): number {
    return (this.#pairing.threads[thread] as VcpuThread).tid;
  }

  /** Puts the time since the last change down to the state that the thread was in, but what lies in a hole to `unsure`. */
  #account(one: Following, time: number): void {
    const stays = one.run === running && one.cpu >= 0 && (one.place === inGuest || this.#seen.sched);
    if (!stays && one.place !== nowhere && one.place !== lostSight) this.#losses.grant(time);
    if (this.#losses.some && one.place !== nowhere && one.place !== lostSight) {
      while (one.since < time) {
        const hole = this.#losses.within(this.#tidOf(one), one.since, time, this.#whereOf(one));
        if (hole === undefined) break;
        this.#accountTo(one, hole[0]);
        this.#settle(one, Number.NaN);
        this.#add(one, unsure, hole[0], hole[1]);
        one.since = hole[1];
      }
    }
    this.#accountTo(one, time);
  }

  #accountTo(one: Following, time: number): void {
    const from = one.since;
    const length = time - from;
    if (length <= 0) return;
    one.since = time;
    const state = this.#stateOf(one);
    if (state === kvm) {
      if (one.run === sleeping) {
        one.asleepInKvm += Math.max(0, time - Math.max(from, this.from));
        one.asleepInExit += length;
      } else if (one.halting && !one.slept) {
        // Whether this was halt polling is told by kvm_vcpu_wakeup, later.
        if (one.opened === maxOpen) this.#settle(one, Number.NaN);
        one.open[2 * one.opened] = from;
        one.open[2 * one.opened + 1] = time;
        one.opened++;
        return;
      }
    }
    if (state === halted && one.opened > 0 && from === one.open[2 * one.opened - 1]) one.sleptTo = time;
    this.#add(one, state, from, time);
  }

  #stateOf(one: Following): number {
    if (one.place === nowhere) return guest;
    if (one.place === lostSight) return unsure;
    if (one.run === waiting) return preempted;
    const asleep = one.run === sleeping;
    switch (one.place) {
      case inGuest:
        return asleep ? kvm : guest;
      case inKvm:
        return asleep && one.halting ? halted : kvm;
      default:
        if (one.heldUp) return lock;
        return asleep ? (one.haltInQemu ? halted : blocked) : qemu;
    }
  }

  /**
   * Decides on the time before the first sleep of a halt: halt polling from `pollFrom` on. Where nothing tells (NaN) it is
   * KVM's; without scheduler events, the whole halt is the guest's sleep.
   */
  #settle(one: Following, pollFrom: number): void {
    const told = !Number.isNaN(pollFrom);
    if (one.opened > 0 && !this.#seen.sched) {
      this.#presumed.noSched = true;
      if (!this.#seen.haltLength) this.#presumed.noHaltLength = true;
    }
    const whole = this.#seen.sched || this.#seen.haltLength ? kvm : halted;
    for (let n = 0; n < one.opened; n++) {
      const from = one.open[2 * n] as number;
      const to = one.open[2 * n + 1] as number;
      if (!told) {
        this.#credit(one, whole, from, to);
        this.#longest(one, whole, from, to);
        continue;
      }
      const split = Math.min(to, Math.max(from, pollFrom));
      this.#credit(one, kvm, from, split);
      this.#credit(one, halted, split, to);
      this.#longest(one, kvm, from, split);
      const last = n === one.opened - 1 && !Number.isNaN(one.sleptTo);
      this.#longest(one, halted, split, last ? one.sleptTo : to);
      if (this.#seen.sched) one.polled += Math.max(0, to - Math.max(split, this.from));
    }
    one.opened = 0;
    one.sleptTo = Number.NaN;
  }

  #add(one: Following, state: number, from: number, to: number): void {
    if (one.doubted) {
      one.pieces.push({ state, from, to });
      if (one.pieces.length === maxPieces) this.#decide(one, false);
      return;
    }
    this.#credit(one, state, from, to);
    if (state === one.stretchState && from === one.stretchTo) {
      one.stretchTo = to;
      return;
    }
    this.#longest(one, one.stretchState, one.stretchFrom, one.stretchTo);
    if (one.stretchState >= 0)
      one.firstStretch ??= { state: one.stretchState, from: one.stretchFrom, to: one.stretchTo };
    one.stretchState = state;
    one.stretchFrom = from;
    one.stretchTo = to;
  }

  #credit(one: Following, state: number, begin: number, to: number): void {
    const from = Math.max(begin, this.from);
    const length = to - from;
    if (length <= 0) return;
    one.states[state] = (one.states[state] as number) + length;
    one.inExit[state] = (one.inExit[state] as number) + length;
    if (one.cells !== undefined) this.#draw(one.cells, state, from, to);
    if (this.#stretch === undefined) return;
    one.untold.push({ state, begin: from, end: to });
    // A thread may be switched without end and never come back to the guest.
    if (one.untold.length === maxUntold) this.#tell(one);
  }

  /** Tells the listener of what is decided; all of it at the end. Otherwise the last stretch waits: it may go on. */
  #tell(one: Following, all = false): void {
    const { untold } = one;
    if (this.#stretch === undefined || untold.length === 0) return;
    untold.sort((a, b) => a.begin - b.begin);
    let open = untold[0] as (typeof untold)[number];
    for (const next of untold.slice(1)) {
      if (next.state === open.state && next.begin === open.end) open.end = next.end;
      else {
        this.#give(one, open);
        open = next;
      }
    }
    untold.length = 0;
    if (all) this.#give(one, open);
    else {
      untold.push(open);
      one.kept = true;
    }
  }

  /** Tells the listener of a stretch; but not of a thread's first one where that may have begun before what is known here. */
  #give(one: Following, stretch: (typeof one.untold)[number]): void {
    if (this.#ahead !== undefined && one.firstTold === undefined) {
      one.firstTold = stretch;
      return;
    }
    this.#stretch?.(one.thread, stretch.state, stretch.begin, stretch.end);
  }

  #draw(cells: Float64Array, state: number, from: number, to: number): void {
    const drawn = this.#drawn;
    if (from >= drawn.from && to <= drawn.to) {
      const cell = drawn.bin * states + state;
      cells[cell] = (cells[cell] as number) + (to - from);
      return;
    }
    while (to - this.from >= this.step * bins) this.#coarsen();
    let at = from;
    while (at < to) {
      const bin = Math.max(0, Math.floor((at - this.from) / this.step));
      drawn.bin = bin;
      drawn.from = this.from + bin * this.step;
      drawn.to = drawn.from + this.step;
      const until = Math.min(to, drawn.to);
      const cell = bin * states + state;
      cells[cell] = (cells[cell] as number) + (until - at);
      at = until;
    }
  }

  /** Makes all timelines' bins twice as wide. */
  #coarsen(): void {
    for (const one of this.#threads) {
      const cells = one?.cells;
      if (cells === undefined) continue;
      for (let bin = 0; bin < bins / 2; bin++) {
        for (let s = 0; s < states; s++) {
          const left = 2 * bin * states + s;
          cells[bin * states + s] = (cells[left] as number) + (cells[left + states] as number);
        }
      }
      cells.fill(0, (bins / 2) * states);
    }
    this.step *= 2;
    this.#drawn.to = Number.NEGATIVE_INFINITY;
  }

  /** Notes a stretch, where it is its state's longest so far. */
  #longest(one: Following, state: number, begin: number, to: number): void {
    const from = Math.max(begin, this.from);
    if (state < 0 || to - from <= (one.longest[state] as number)) return;
    one.longest[state] = to - from;
    one.longestFrom[state] = from;
  }

  #blame(tid: number, length: number): void {
    if (length <= 0) return;
    const known = this.others.get(tid);
    if (known === undefined && this.others.size >= maxOthers) return;
    this.others.set(tid, (known ?? 0) + length);
  }
}

/** Events besides entries, exits and the scheduler's that say where a vCPU thread is. */
const placing =
  /^(kvm:kvm_userspace_exit|kvm:kvm_fpu|kvm:kvm_vcpu_wakeup|kvm:kvm_wfx_arm64|kvm:kvm_exit_idle|syscalls:sys_enter_ioctl|qemu:qemu_mutex_lock)$/;

function kindOf(role: Role | undefined): number {
  switch (role?.what) {
    case undefined:
      return isNothing;
    case 'exit':
    case 'entry':
      return isExitOrEntry;
    case 'switch':
      return isSwitched;
    default:
      return isOther;
  }
}

function roleOf(type: EventType): Role | undefined {
  if (isExit(type)) return { what: 'exit' };
  if (isEntry(type)) return { what: 'entry' };
  switch (type.name) {
    case 'kvm:kvm_userspace_exit':
      return { what: 'userspace', reason: type.reader('reason') ?? absent };
    case 'kvm:kvm_fpu':
      return { what: 'fpu', load: type.reader('load') ?? absent };
    case 'kvm:kvm_vcpu_wakeup':
      return { what: 'wakeup', length: type.reader('ns') ?? absent };
    case 'kvm:kvm_wfx_arm64':
      return { what: 'wfx', wfe: type.reader('is_wfe') ?? absent };
    case idle:
      return { what: 'idle' };
    case 'syscalls:sys_enter_ioctl':
      return { what: 'ioctl', command: type.reader('cmd') ?? absent };
    case 'qemu:qemu_mutex_lock':
      return { what: 'lock' };
    default:
      return schedEvent(type);
  }
}

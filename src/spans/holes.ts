import { isReadable, openAgain, opensAgain } from '../trace/again.ts';
import { type EventBatch, partOf } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss, Unmarked } from '../trace/loss.ts';
import type { Thread, Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';
import { LossTable } from './losses.ts';
import { isSwitch, schedEvent } from './sched.ts';
import { TidTable } from './tid-table.ts';

/*
 * Holes that nothing marks. A recorder that lost events does not always say so (a buffer that was read too late, text that was pasted in
 * parts), but what comes after can contradict what came before: a vCPU that leaves the guest twice, a CPU that is left by a thread that it
 * did not run. Each contradiction is a Loss like those that recorders mark, so that everybody who heeds losses heeds it.
 */

/** What one reading of a recording found out of its holes, for another that then knows of each before it comes. */
export type Foresight = {
  /** That the times of `holes` count from. */
  origin: bigint;
  holes: readonly Loss[];
  /** How long the shortest of those is that nothing marks, and in which nothing at all was recorded; Infinity where there is none. */
  least: number;
  /** What a person should know of contradictions that are no holes, one sentence each. */
  notes: readonly string[];
};

/** The same trace, whose batches hold the holes that nothing marks among their losses. Its events are those of `trace`. */
export function watched(trace: Trace, foresight?: Foresight): WatchedTrace {
  const watched = new WatchedTrace(trace, foresight);
  if (isReadable(trace)) opensAgain(watched, () => openAgain(trace) as Promise<Trace>);
  return watched;
}

/** Holes remembered for another reading. */
const maxHoles = 1 << 16;
/** So many contradictions of a kind are believed whatever their share of what could have been one; more, where they are at most this share. */
const believed = 16;
const share = 0.05;

export class WatchedTrace implements Trace {
  readonly #trace: Trace;
  readonly #foresight: Foresight | undefined;
  #holes: readonly Loss[] | undefined;
  /** The losses of this reading, those without a mark among them. */
  readonly #found: Loss[] = [];
  #watch: Watch | undefined;
  /** Whether a hole was known only after events that came after its beginning. */
  #late = false;

  constructor(trace: Trace, foresight: Foresight | undefined) {
    this.#trace = trace;
    this.#foresight = foresight;
  }

  get file(): string {
    return this.#trace.file;
  }
  get format(): string {
    return this.#trace.format;
  }
  get traits(): Trace['traits'] {
    return this.#trace.traits;
  }
  get version(): string {
    return this.#trace.version;
  }
  get clock(): Trace['clock'] {
    return this.#trace.clock;
  }
  get origin(): bigint {
    return this.#trace.origin;
  }
  get types(): readonly EventType[] {
    return this.#trace.types;
  }
  get threads(): ReadonlyMap<number, Thread> {
    return this.#trace.threads;
  }
  get cpus(): number | undefined {
    return this.#trace.cpus;
  }
  get notes(): readonly string[] {
    return [...this.#trace.notes, ...(this.#foresight?.notes ?? [])];
  }
  get damage(): Trace['damage'] {
    return this.#trace.damage;
  }
  get repeated(): Trace['repeated'] {
    return this.#trace.repeated;
  }
  get alignments(): Trace['alignments'] {
    return this.#trace.alignments;
  }
  get doubtful(): boolean | undefined {
    return this.#trace.doubtful;
  }
  get companions(): Trace['companions'] {
    return this.#trace.companions;
  }
  get end(): (() => void) | undefined {
    return this.#trace.end?.bind(this.#trace);
  }
  get last(): number {
    return this.#trace.last;
  }
  get holes(): readonly Loss[] | undefined {
    return this.#holes;
  }

  progress(): { read: number; size: number | undefined } {
    return this.#trace.progress();
  }

  close(): Promise<void> {
    return this.#trace.close();
  }

  /** What a further reading should know beforehand; undefined where it would learn nothing that this one did not know in time. */
  get foresight(): Foresight | undefined {
    const watch = this.#watch;
    if (watch === undefined || !this.#late || this.#found.length >= maxHoles) return undefined;
    const marked = new LossTable();
    for (const loss of this.#found) if (loss.unmarked === undefined) marked.add(loss);
    const explained = (from: number, to: number, cpu: number) => marked.straddle(from, to, cpu, cpu);
    let least = Number.POSITIVE_INFINITY;
    const holes = this.#found.filter(({ from, to, cpu, unmarked }) => {
      if (unmarked === undefined) return true;
      // A mark that came later explains it, or it is no hole at all.
      if (
        unmarked.why === 'silence' ||
        watch.doubts(unmarked.why) ||
        explained(from, to, unmarked.ofThread ? unknown : cpu)
      )
        return false;
      if (unmarked.alone) least = Math.min(least, to - from);
      return true;
    });
    return { origin: this.origin, holes, least, notes: watch.notes };
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const foresight = this.#foresight;
    const watch = new Watch(this.#trace, foresight);
    this.#watch = watch;
    const source = this.#trace.batches((type) => {
      const asked = wants(type);
      return isWatched(type) || asked;
    });
    let last = Number.NEGATIVE_INFINITY;
    for await (const b of source) {
      if (foresight !== undefined && this.#holes === undefined && b.count > 0) {
        const shift = Number(foresight.origin - this.origin);
        this.#holes = foresight.holes.map((loss) => ({ ...loss, from: loss.from + shift, to: loss.to + shift }));
        watch.expect(this.#holes);
      }
      for (const loss of b.losses) {
        this.#note(loss, last);
        watch.lose(loss);
      }
      watch.learnTypes();
      let losses = b.losses;
      let start = 0;
      for (let i = watch.scan(b, 0); i < b.count; i = watch.scan(b, i + 1)) {
        if (i > start) {
          yield partOf(b, start, i, losses);
          last = b.time[i - 1] as number;
          losses = [];
        }
        for (const loss of watch.found) this.#note(loss, last);
        losses = [...losses, ...watch.found];
        watch.found = [];
        start = i;
      }
      if (b.count > 0) last = b.time[b.count - 1] as number;
      if (start > 0) yield partOf(b, start, b.count, losses);
      else {
        b.losses = losses;
        yield b;
      }
    }
  }

  #note(loss: Loss, last: number): void {
    if (loss.unmarked !== undefined || loss.from < last) this.#late = true;
    if (this.#found.length < maxHoles) this.#found.push(loss);
  }
}

function isWatched(type: EventType): boolean {
  return isExit(type) || isEntry(type) || isSwitch(type);
}

const other = 0;
const exit = 1;
const entry = 2;
const change = 3;

const maxThreads = 1 << 16;
const maxCpus = 1 << 13;
const unknown = -1;

/** Events looked at in one go. */
const slice = 1024;

/** KVM's number for Intel's VMX. */
const vmx = 1;
/** A guest that has run for so long (ns) was interrupted by its host's ticks: it did not leave by the fast path alone, which is not traced. */
const longFastPath = 1_000_000_000;

/** Shorter stretches (ns) in which nothing is recorded are usual. */
const shortSilence = 10_000_000;

/** Looks for what cannot follow each other. */
class Watch {
  /** Holes right before the event that `scan` gave. */
  found: Loss[] = [];

  readonly #trace: Trace;
  /** Whether holes are looked for; else they are known, and come when they are over. */
  readonly #looks: boolean;
  #due: Loss[] = [];
  #least: number;
  #lastTime = Number.NaN;
  readonly #marked = new LossTable();

  /** By type id. */
  #roles = new Uint8Array(64);
  #types = 0;
  readonly #previous: (FieldReader | undefined)[] = [];
  readonly #next: (FieldReader | undefined)[] = [];
  readonly #isa: (FieldReader | undefined)[] = [];
  /** The first type of sched_switch whose threads stand at fixed places of at least `end` bytes; the others go through their readers. */
  #switches = { type: unknown, previousAt: 0, nextAt: 0, end: 0, little: true };

  readonly #threads = new TidTable();
  /** How many threads there are, and of each: its last kvm event, as its type (-1: none, or events were lost since), where and when that
   * was, whether it was switched out since, and whether it was seen to enter. */
  #followed = 0;
  #thread = {
    lastType: new Int32Array(64).fill(unknown),
    lastCpu: new Int32Array(64),
    since: new Float64Array(64),
    left: new Uint8Array(64),
    entered: new Uint8Array(64),
  };
  /** By CPU: the thread that it runs, and its last event. */
  #running = new Int32Array(64).fill(unknown);
  #seen = new Float64Array(64);

  #threadSteps = 0;
  #threadContradictions = 0;
  #cpuSteps = 0;
  #cpuContradictions = 0;

  constructor(trace: Trace, foresight: Foresight | undefined) {
    this.#trace = trace;
    this.#looks = foresight === undefined;
    this.#least = foresight?.least ?? Number.POSITIVE_INFINITY;
  }

  /** All holes, where they are known beforehand. */
  expect(holes: readonly Loss[]): void {
    this.#due = holes.filter(({ unmarked }) => unmarked !== undefined).sort((a, b) => b.to - a.to);
  }

  learnTypes(): void {
    const { types } = this.#trace;
    for (; this.#types < types.length; this.#types++) {
      const id = this.#types;
      const type = types[id] as EventType;
      if (id === this.#roles.length) this.#roles = grown(this.#roles);
      this.#roles[id] = isExit(type) ? exit : isEntry(type) ? entry : other;
      if (isExit(type)) this.#isa[id] = type.reader('isa');
      const sched = isSwitch(type) ? schedEvent(type) : undefined;
      if (sched?.what !== 'switch') continue;
      this.#roles[id] = change;
      this.#previous[id] = sched.previous;
      this.#next[id] = sched.next;
      const [previous, next] = [sched.previous.place, sched.next.place];
      if (this.#switches.type >= 0 || previous?.size !== 4 || next?.size !== 4) continue;
      const end = Math.max(previous.offset, next.offset) + 4;
      this.#switches = { type: id, previousAt: previous.offset, nextAt: next.offset, end, little: previous.little };
    }
  }

  /** A hole that the recorder marks: what comes after it contradicts nothing. */
  lose(loss: Loss): void {
    this.#marked.add(loss);
    if (!this.#looks) return;
    if (loss.cpu < 0) this.#running.fill(unknown);
    else if (loss.cpu < this.#running.length) this.#running[loss.cpu] = unknown;
    // Any thread may have been there meanwhile.
    this.#thread.lastType.fill(unknown);
  }

  /** Whether contradictions of this kind are so many that they are no holes: only some threads' events were recorded, or some exits. */
  doubts(why: Unmarked['why']): boolean {
    return why === 'switch after switch' || why === 'not scheduled'
      ? rule(this.#cpuContradictions, this.#cpuSteps)
      : rule(this.#threadContradictions, this.#threadSteps);
  }

  get notes(): string[] {
    const notes: string[] = [];
    if (this.doubts('switch after switch')) {
      notes.push(
        'Its sched_switch events contradict each other all along: those of some threads only were recorded, it seems (a filter).',
      );
    }
    if (this.doubts('exit after exit')) {
      notes.push(
        'Its exits and entries contradict each other all along: only some of them were recorded, it seems (a filter).',
      );
    }
    return notes;
  }

  /** Looks at the events from `start` on; gives the first that a hole stands before, or the batch's count. */
  scan(b: EventBatch, start: number): number {
    // Slice by slice, so that the loop's function has been called often, and is compiled well, before much has gone by.
    for (let from = start; from < b.count; from += slice) {
      const to = Math.min(b.count, from + slice);
      const at = this.#looks ? this.#look(b, from, to) : this.#await(b, from, to);
      if (at < to) return at;
    }
    return b.count;
  }

  /** Where holes are looked for. What contradicts nothing, as nearly everything does, is seen to right in the loop, which has its own names for all. */
  #look(b: EventBatch, start: number, stop: number): number {
    const { type: types, time: times, cpu: cpus, tid: tids, at, size, view } = b;
    const roles = this.#roles;
    const { type: switchType, previousAt, nextAt, end, little } = this.#switches;
    let threadOfTid = this.#threads.numbers;
    let { lastType, lastCpu, since, left, entered } = this.#thread;
    let running = this.#running;
    let seen = this.#seen;
    let least = this.#least;
    let lastTime = this.#lastTime;
    let threadSteps = 0;
    let cpuSteps = 0;
    let i = start;
    for (; i < stop; i++) {
      const type = types[i] as number;
      const role = roles[type] as number;
      if (role === other) continue;
      const time = times[i] as number;
      const cpu = cpus[i] as number;
      const tid = tids[i] as number;
      if (time - lastTime < least && cpu >>> 0 < running.length) {
        const runs = running[cpu] as number;
        if (role === change) {
          if (type === switchType && (size[i] as number) >= end) {
            const payload = at[i] as number;
            const previous = view.getInt32(payload + previousAt, little);
            if (runs === unknown || runs === previous) {
              if (runs !== unknown) cpuSteps++;
              running[cpu] = view.getInt32(payload + nextAt, little);
              seen[cpu] = time;
              const t = previous >>> 0 < threadOfTid.length ? (threadOfTid[previous] as number) - 1 : unknown;
              if (t >= 0) left[t] = 1;
              lastTime = time;
              continue;
            }
          }
        } else if (runs === unknown || runs === tid) {
          const t = tid >>> 0 < threadOfTid.length ? (threadOfTid[tid] as number) - 1 : unknown;
          if (t >= 0 && lastCpu[t] === cpu) {
            const before = lastType[t] as number;
            if (before >= 0 && roles[before] !== role) {
              if (runs !== unknown) cpuSteps++;
              threadSteps++;
              seen[cpu] = time;
              if (role === entry) entered[t] = 1;
              lastType[t] = type;
              since[t] = time;
              left[t] = 0;
              lastTime = time;
              continue;
            }
          }
        }
      }
      this.#threadSteps += threadSteps;
      this.#cpuSteps += cpuSteps;
      threadSteps = 0;
      cpuSteps = 0;
      this.#lastTime = lastTime;
      if (role === change) this.#switch(b, i, type, cpu, time);
      else this.#own(b, i, role, type, cpu, tid, time);
      if (time - lastTime >= this.#least && this.found.length === 0) this.#silence(time, tid);
      lastTime = time;
      if (this.found.length > 0) break;
      threadOfTid = this.#threads.numbers;
      ({ lastType, lastCpu, since, left, entered } = this.#thread);
      running = this.#running;
      seen = this.#seen;
      least = this.#least;
    }
    this.#threadSteps += threadSteps;
    this.#cpuSteps += cpuSteps;
    this.#lastTime = lastTime;
    return i;
  }

  /** Where holes are known: each comes when it is over. */
  #await(b: EventBatch, start: number, stop: number): number {
    const { type: types, time: times, tid: tids } = b;
    const roles = this.#roles;
    for (let i = start; i < stop; i++) {
      const time = times[i] as number;
      if (this.#due.length > 0 && time >= (this.#due.at(-1) as Loss).to) this.#over(time);
      if (roles[types[i] as number] !== other) {
        if (time - this.#lastTime >= this.#least && this.found.length === 0) this.#silence(time, tids[i] as number);
        this.#lastTime = time;
      }
      if (this.found.length > 0) return i;
    }
    return stop;
  }

  /** Known holes that are over by now. */
  #over(time: number): void {
    while (this.#due.length > 0 && (this.#due.at(-1) as Loss).to <= time) this.found.push(this.#due.pop() as Loss);
  }

  #switch(b: EventBatch, i: number, type: number, cpu: number, time: number): void {
    if (cpu < 0 || cpu >= maxCpus) return;
    const previous = this.#previous[type]?.number(b, i) ?? Number.NaN;
    const next = this.#next[type]?.number(b, i) ?? Number.NaN;
    if (Number.isNaN(previous) || Number.isNaN(next)) return;
    if (cpu >= this.#running.length) this.#growCpus(cpu);
    const running = this.#running[cpu] as number;
    if (running !== unknown) {
      this.#cpuSteps++;
      if (running !== previous) this.#onCpu('switch after switch', cpu, previous, time);
    }
    this.#running[cpu] = next;
    this.#seen[cpu] = time;
    const t = this.#threads.find(previous);
    if (t >= 0) this.#thread.left[t] = 1;
  }

  /** An exit or entry. */
  #own(b: EventBatch, i: number, role: number, type: number, cpu: number, tid: number, time: number): void {
    if (tid < 0) return;
    let contradicts = false;
    if (cpu >= 0 && cpu < maxCpus) {
      if (cpu >= this.#running.length) this.#growCpus(cpu);
      const running = this.#running[cpu] as number;
      if (running !== unknown) {
        this.#cpuSteps++;
        if (running !== tid) {
          contradicts = true;
          this.#onCpu('not scheduled', cpu, tid, time);
          this.#running[cpu] = tid;
        }
      }
      this.#seen[cpu] = time;
    }
    let t = this.#threads.find(tid);
    if (t < 0) {
      t = this.#follow(tid);
      if (t < 0) return;
    }
    const { lastType, lastCpu, since, left, entered } = this.#thread;
    const before = lastType[t] as number;
    if (before >= 0 && !contradicts) {
      this.#threadSteps++;
      const was = this.#roles[before] as number;
      if (was === role || lastCpu[t] !== cpu) {
        const why = this.#contradiction(b, i, t, role, was, before, type, cpu, time);
        if (why !== undefined) this.#onThread(why, t, cpu, tid, time);
      }
    }
    if (role === entry) entered[t] = 1;
    lastType[t] = type;
    lastCpu[t] = cpu;
    since[t] = time;
    left[t] = 0;
  }

  /** Why two events of a thread cannot follow each other; undefined where they can. */
  #contradiction(
    b: EventBatch,
    i: number,
    t: number,
    role: number,
    was: number,
    before: number,
    type: number,
    cpu: number,
    time: number,
  ): Unmarked['why'] | undefined {
    const lastCpu = this.#thread.lastCpu[t] as number;
    const elsewhere = cpu >= 0 && lastCpu >= 0 && lastCpu !== cpu;
    if (role === exit && was === exit) {
      // Of a recording of exits alone nothing follows; and LoongArch traces some exits twice, under two names.
      const { types } = this.#trace;
      return this.#thread.entered[t] === 1 && types[before]?.name === types[type]?.name ? 'exit after exit' : undefined;
    }
    if (role === entry && was === entry) {
      // KVM's fast path goes back into the guest without a kvm_exit; but on the same CPU, and without a switch.
      if (elsewhere || this.#thread.left[t] === 1) return 'entry after entry';
      const long = this.#trace.clock.unit === 'ns' && time - (this.#thread.since[t] as number) >= longFastPath;
      return long ? 'entry after entry' : undefined;
    }
    // With AMD's SVM, a thread may be preempted, and moved, before its kvm_exit is traced.
    if (role === exit && was === entry && elsewhere && this.#isa[type]?.number(b, i) === vmx) return 'exit elsewhere';
    return undefined;
  }

  #onThread(why: Unmarked['why'], t: number, cpu: number, tid: number, time: number): void {
    const from = this.#thread.since[t] as number;
    const where = this.#thread.lastCpu[t] === cpu ? cpu : -1;
    if (this.#marked.some && this.#marked.straddle(from, time, -1, -1)) return;
    this.#threadContradictions++;
    if (!this.doubts(why)) this.#tell(why, from, time, where, tid, true);
  }

  #onCpu(why: Unmarked['why'], cpu: number, tid: number, time: number): void {
    const from = this.#seen[cpu] as number;
    if (this.#marked.some && this.#marked.straddle(from, time, cpu, cpu)) return;
    this.#cpuContradictions++;
    if (!this.doubts(why)) this.#tell(why, from, time, cpu, tid, false);
  }

  #tell(why: Unmarked['why'], from: number, to: number, cpu: number, tid: number, ofThread: boolean): void {
    const alone = from === this.#lastTime && this.#trace.clock.unit === 'ns' && to - from >= shortSilence;
    if (alone) this.#least = Math.min(this.#least, to - from);
    this.found.push({ from, to, cpu, count: undefined, unmarked: { why, tid, ofThread, alone } });
  }

  /** The recording stopped before, for no longer, and went on in contradiction: it may have done so here. */
  #silence(time: number, tid: number): void {
    const from = this.#lastTime;
    if (this.#marked.some && this.#marked.straddle(from, time, -1, -1)) return;
    const unmarked: Unmarked = { why: 'silence', tid, ofThread: false, alone: true };
    this.found.push({ from, to: time, cpu: -1, count: undefined, unmarked });
  }

  #follow(tid: number): number {
    if (this.#followed === maxThreads) return unknown;
    const t = this.#followed++;
    this.#threads.set(tid, t);
    const { lastType, lastCpu, since, left, entered } = this.#thread;
    if (t === since.length) {
      this.#thread = {
        lastType: grown(lastType, unknown),
        lastCpu: grown(lastCpu),
        since: grown(since),
        left: grown(left),
        entered: grown(entered),
      };
    }
    return t;
  }

  #growCpus(cpu: number): void {
    let length = this.#running.length;
    while (length <= cpu) length *= 2;
    this.#running = grown(this.#running, unknown, length);
    this.#seen = grown(this.#seen, 0, length);
  }
}

function rule(contradictions: number, steps: number): boolean {
  return contradictions > believed && contradictions > share * steps;
}

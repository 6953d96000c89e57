import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss, Unmarked } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';
import { HoleSeam, type SeamPart, type ThreadHead, unseen } from './hole-seam.ts';
import { type LossPart, LossTable } from './losses.ts';
import { isSwitch, schedEvent } from './sched.ts';
import { TidTable } from './tid-table.ts';

/** So many contradictions of a kind are believed whatever their share of what could have been one; more, where they are at most this share. */
const believed = 16;
const share = 0.05;

export function isWatched(type: EventType): boolean {
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

/** What a watch learnt of a stretch of a recording, as plain data. */
export type WatchPart = {
  seam: SeamPart;
  marked: LossPart;
  /** Threads that had exits or entries, or were switched out: of each the last exit or entry, '' where none counts. */
  threads: readonly {
    tid: number;
    name: string;
    cpu: number;
    since: number;
    left: boolean;
    entered: boolean;
  }[];
  running: Int32Array;
  /** The same of all further CPUs. */
  further: number;
  seen: Float64Array;
  least: number;
  last: number;
  steps: { thread: number; cpu: number };
  contradictions: { thread: number; cpu: number };
  /** When the first of the holes that are known beforehand was over. */
  over: number;
};

/** Looks for what cannot follow each other. */
export class Watch {
  /** Holes right before the event that `scan` gave. */
  found: Loss[] = [];

  readonly #trace: Trace;
  /** Whether holes are looked for; else they are known, and come when they are over. */
  readonly #looks: boolean;
  #due: Loss[] = [];
  /** When the first of those that it gave was over. */
  #firstOver = Number.POSITIVE_INFINITY;
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
    tids: new Int32Array(64),
    lastType: new Int32Array(64).fill(unknown),
    lastCpu: new Int32Array(64),
    since: new Float64Array(64),
    left: new Uint8Array(64),
    entered: new Uint8Array(64),
  };
  /** By CPU: the thread that it runs, and its last event. */
  #running = new Int32Array(64).fill(unknown);
  #seen = new Float64Array(64);
  /** What `#running` is to say of further CPUs. */
  #further = unknown;

  #threadSteps = 0;
  #threadContradictions = 0;
  #cpuSteps = 0;
  #cpuContradictions = 0;
  /** Of a stretch that begins in the middle of the recording. */
  #seam: HoleSeam | undefined;

  /** `least`: where all holes are known beforehand, how long the shortest is in which nothing at all was recorded. */
  constructor(trace: Trace, least: number | undefined) {
    this.#trace = trace;
    this.#looks = least === undefined;
    this.#least = least ?? Number.POSITIVE_INFINITY;
  }

  /** All holes, where they are known beforehand, and the time of the first event. */
  expect(holes: readonly Loss[], first: number): void {
    const to = this.#seam === undefined ? Number.NEGATIVE_INFINITY : first;
    this.#due = holes.filter((loss) => loss.unmarked !== undefined && loss.to >= to).sort((a, b) => b.to - a.to);
  }

  inMiddle(): void {
    this.#seam = new HoleSeam();
    this.#running.fill(unseen);
    this.#further = unseen;
    this.#seen.fill(Number.NaN);
  }

  part(): WatchPart {
    const { tids, lastType, lastCpu, since, left, entered } = this.#thread;
    const threads: WatchPart['threads'][number][] = [];
    for (let t = 0; t < this.#followed; t++) {
      threads.push({
        tid: tids[t] as number,
        name: this.#trace.types[lastType[t] as number]?.name ?? '',
        cpu: lastCpu[t] as number,
        since: since[t] as number,
        left: left[t] === 1,
        entered: entered[t] === 1,
      });
    }
    return {
      seam: (this.#seam ?? new HoleSeam()).part(),
      marked: this.#marked.part(),
      threads,
      running: this.#running,
      further: this.#further,
      seen: this.#seen,
      least: this.#least,
      last: this.#lastTime,
      steps: { thread: this.#threadSteps, cpu: this.#cpuSteps },
      contradictions: { thread: this.#threadContradictions, cpu: this.#cpuContradictions },
      over: this.#firstOver,
    };
  }

  /** Whether nothing in the stretch that follows contradicts what is known here, or was judged without it; `last` is the time of the last event of all. */
  accepts({ seam, marked, threads, contradictions, over }: WatchPart, last: number): boolean {
    this.learnTypes();
    const pause = Math.max(seam.longest, seam.first - this.#lastTime || 0);
    if (pause >= this.#least) return false;
    if (!this.#looks) return over > last;
    return (
      this.#marked.accepts(marked, seam.first) &&
      // How many contradictions there are decides whether they are believed.
      [
        [this.#threadContradictions, contradictions.thread],
        [this.#cpuContradictions, contradictions.cpu],
      ].every(([here, there = 0]) => there === 0 || (here as number) + there <= believed) &&
      this.#followed + threads.length <= maxThreads &&
      threads.every(({ name }) => name === '' || this.#typeOf(name) >= 0) &&
      this.#fits(seam)
    );
  }

  /** Takes over what another learnt of the stretch that follows. */
  join(part: WatchPart, last: number): void {
    const { seam, marked, steps, contradictions } = part;
    this.#least = Math.min(this.#least, part.least);
    if (!Number.isNaN(part.last)) this.#lastTime = part.last;
    // Those that are over by then.
    while (this.#due.length > 0 && (this.#due.at(-1) as Loss).to <= last) this.#due.pop();
    for (const loss of marked.told) this.#marked.join(loss);
    this.#threadSteps += steps.thread;
    this.#cpuSteps += steps.cpu;
    this.#threadContradictions += contradictions.thread;
    this.#cpuContradictions += contradictions.cpu;
    for (const { tid } of seam.threads) {
      const t = this.#threads.find(tid);
      if (t >= 0 && (this.#thread.lastType[t] as number) >= 0) this.#threadSteps++;
    }
    for (const [cpu, head] of seam.cpus) {
      if ((this.#running[cpu] ?? unknown) !== unknown) this.#cpuSteps += 1 + head.steps;
    }
    if (part.running.length > this.#running.length) this.#growCpus(part.running.length - 1);
    for (let cpu = 0; cpu < this.#running.length; cpu++) {
      const running = part.running[cpu] ?? part.further;
      if (running !== unseen) this.#running[cpu] = running;
      const seen = part.seen[cpu] ?? Number.NaN;
      if (!Number.isNaN(seen)) this.#seen[cpu] = seen;
    }
    if (seam.lost) this.#thread.lastType.fill(unknown);
    for (const thread of part.threads) this.#goOn(thread, seam.lost);
  }

  /** Takes over what became of a thread. */
  #goOn({ tid, name, cpu, since, left, entered }: WatchPart['threads'][number], lost: boolean): void {
    let t = this.#threads.find(tid);
    if (t < 0 && (name !== '' || entered)) t = this.#follow(tid);
    if (t < 0) return;
    const state = this.#thread;
    if (entered) state.entered[t] = 1;
    if (name !== '') {
      state.lastType[t] = this.#typeOf(name);
      state.lastCpu[t] = cpu;
      state.since[t] = since;
      state.left[t] = left ? 1 : 0;
    } else if (left && !lost) state.left[t] = 1;
  }

  #typeOf(name: string): number {
    return this.#trace.types.findIndex((type) => type.name === name && isWatched(type));
  }

  /** Whether nothing that a stretch begins with contradicts what went before. */
  #fits({ threads, cpus, unscheduled, unentered }: SeamPart): boolean {
    const state = this.#thread;
    const fits = (head: ThreadHead): boolean => {
      const t = this.#threads.find(head.tid);
      if (t < 0 || (state.lastType[t] as number) < 0) return true;
      return this.#contradiction(t, head) === undefined;
    };
    if (!threads.every(fits)) return false;
    for (const tid of unentered) if (state.entered[this.#threads.find(tid)] === 1) return false;
    for (const [cpu, { tid, mixed, presumed }] of cpus) {
      const running = this.#running[cpu] ?? unknown;
      if (running === unknown ? presumed : mixed || running !== tid) return false;
    }
    return !unscheduled || this.#running.every((running) => running === unknown);
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
    this.#marked.join(loss);
    if (!this.#looks) return;
    if (this.#seam !== undefined) {
      this.#seam.lost = true;
      if (loss.cpu >= this.#running.length && loss.cpu < maxCpus) this.#growCpus(loss.cpu);
    }
    if (loss.cpu < 0) this.#forgetCpus();
    else if (loss.cpu < this.#running.length) this.#running[loss.cpu] = unknown;
    // Any thread may have been there meanwhile.
    this.#thread.lastType.fill(unknown);
  }

  #forgetCpus(): void {
    this.#running.fill(unknown);
    this.#further = unknown;
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
    const seam = this.#seam;
    const followsAll = seam?.lost === false;
    let threadOfTid = this.#threads.numbers;
    let { lastType, lastCpu, since, left, entered } = this.#thread;
    let running = this.#running;
    let seen = this.#seen;
    let least = seam === undefined ? this.#least : Math.min(this.#least, shortSilence);
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
            const t =
              previous >>> 0 < threadOfTid.length
                ? (threadOfTid[previous] as number) - 1
                : this.#threads.find(previous);
            if ((runs === unknown || runs === previous) && (t >= 0 || !followsAll)) {
              if (runs !== unknown) cpuSteps++;
              running[cpu] = view.getInt32(payload + nextAt, little);
              seen[cpu] = time;
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
      seam?.passed(lastTime, time);
      lastTime = time;
      if (this.found.length > 0) break;
      threadOfTid = this.#threads.numbers;
      ({ lastType, lastCpu, since, left, entered } = this.#thread);
      running = this.#running;
      seen = this.#seen;
      least = seam === undefined ? this.#least : Math.min(this.#least, shortSilence);
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
        if (Number.isNaN(this.#lastTime)) this.#seam?.passed(time, time);
        this.#lastTime = time;
      }
      if (this.found.length > 0) return i;
    }
    return stop;
  }

  /** Known holes that are over by now. */
  #over(time: number): void {
    while (this.#due.length > 0 && (this.#due.at(-1) as Loss).to <= time) {
      const hole = this.#due.pop() as Loss;
      this.#firstOver = Math.min(this.#firstOver, hole.to);
      this.found.push(hole);
    }
  }

  #switch(b: EventBatch, i: number, type: number, cpu: number, time: number): void {
    if (cpu < 0 || cpu >= maxCpus) return;
    const previous = this.#previous[type]?.number(b, i) ?? Number.NaN;
    const next = this.#next[type]?.number(b, i) ?? Number.NaN;
    if (Number.isNaN(previous) || Number.isNaN(next)) return;
    if (cpu >= this.#running.length) this.#growCpus(cpu);
    const seam = this.#seam;
    let running = this.#running[cpu] as number;
    if (running === unseen && seam !== undefined) {
      seam.switch(cpu, previous);
      running = unknown;
    }
    if (running !== unknown) {
      this.#cpuSteps++;
      if (running !== previous) this.#onCpu('switch after switch', cpu, previous, time);
    }
    this.#running[cpu] = next;
    this.#seen[cpu] = time;
    seam?.presume(this.#running);
    let t = this.#threads.find(previous);
    if (t < 0 && seam?.lost === false) t = this.#follow(previous);
    if (t >= 0) this.#thread.left[t] = 1;
  }

  /** An exit or entry. */
  #own(b: EventBatch, i: number, role: number, type: number, cpu: number, tid: number, time: number): void {
    if (tid < 0) return;
    let contradicts = false;
    if (cpu >= 0 && cpu < maxCpus) {
      if (cpu >= this.#running.length) this.#growCpus(cpu);
      let running = this.#running[cpu] as number;
      if (running === unseen && this.#seam !== undefined) {
        this.#running[cpu] = this.#seam.own(cpu, tid);
        if (this.#seam.givesUp) this.#forgetCpus();
        running = unknown;
      }
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
        const why = this.#contradiction(t, this.#head(b, i, type, false));
        if (why !== undefined) this.#onThread(why, t, cpu, tid, time);
      }
    } else if (before < 0 && !contradicts && this.#seam?.lost === false) {
      this.#seam.threads.push(this.#head(b, i, type, left[t] === 1));
    }
    if (role === entry) entered[t] = 1;
    lastType[t] = type;
    lastCpu[t] = cpu;
    since[t] = time;
    left[t] = 0;
  }

  #head(b: EventBatch, i: number, type: number, left: boolean): ThreadHead {
    return {
      tid: b.tid[i] as number,
      exits: this.#roles[type] === exit,
      name: (this.#trace.types[type] as EventType).name,
      isa: this.#isa[type]?.number(b, i) ?? Number.NaN,
      cpu: b.cpu[i] as number,
      time: b.time[i] as number,
      left,
    };
  }

  /** Why an exit or entry of a thread cannot follow what was before; undefined where it can. */
  #contradiction(t: number, { tid, exits, name, isa, cpu, time, left }: ThreadHead): Unmarked['why'] | undefined {
    const state = this.#thread;
    const before = state.lastType[t] as number;
    const exited = this.#roles[before] === exit;
    const lastCpu = state.lastCpu[t] as number;
    const elsewhere = cpu >= 0 && lastCpu >= 0 && lastCpu !== cpu;
    if (exits && exited) {
      // Of a recording of exits alone nothing follows; and LoongArch traces some exits twice, under two names.
      if (this.#trace.types[before]?.name !== name) return undefined;
      if (state.entered[t] === 1) return 'exit after exit';
      this.#seam?.unentered.add(tid);
      return undefined;
    }
    if (!exits && !exited) {
      // KVM's fast path goes back into the guest without a kvm_exit; but on the same CPU, and without a switch.
      if (elsewhere || left || state.left[t] === 1) return 'entry after entry';
      const long = this.#trace.clock.unit === 'ns' && time - (state.since[t] as number) >= longFastPath;
      return long ? 'entry after entry' : undefined;
    }
    // With AMD's SVM, a thread may be preempted, and moved, before its kvm_exit is traced.
    return exits && elsewhere && isa === vmx ? 'exit elsewhere' : undefined;
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
    const { tids, lastType, lastCpu, since, left, entered } = this.#thread;
    if (t === since.length) {
      this.#thread = {
        tids: grown(tids),
        lastType: grown(lastType, unknown),
        lastCpu: grown(lastCpu),
        since: grown(since),
        left: grown(left),
        entered: grown(entered),
      };
    }
    this.#thread.tids[t] = tid;
    return t;
  }

  #growCpus(cpu: number): void {
    let length = this.#running.length;
    while (length <= cpu) length *= 2;
    this.#running = grown(this.#running, this.#further, length);
    this.#seen = grown(this.#seen, this.#seam === undefined ? 0 : Number.NaN, length);
  }
}

function rule(contradictions: number, steps: number): boolean {
  return contradictions > believed && contradictions > share * steps;
}

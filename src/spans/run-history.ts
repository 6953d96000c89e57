import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isSched, leaves, leaving, type SchedEvent, schedEvent } from './sched.ts';

/** Threads followed, and changes remembered of each. */
const maxThreads = 1024;
const maxChanges = 4096;

const running = 0;
const runnable = 1;
const asleep = 2;
const states = 3;

/** What a thread did in a stretch of time, in the clock's unit; the sum is the stretch. */
export type RunParts = {
  /** It had a CPU. */
  running: number;
  /** It could have gone on, but had no CPU. */
  preempted: number;
  /** It slept until woken. */
  blocked: number;
};

/** What is known of both together; undefined where nothing is. */
export function addRuns(a: RunParts | undefined, b: RunParts | undefined): RunParts | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    running: a.running + b.running,
    preempted: a.preempted + b.preempted,
    blocked: a.blocked + b.blocked,
  };
}

/** What threads did in a stretch of a recording, as plain data. */
export type RunsPart = {
  threads: readonly ChangesPart[];
  /** By loss: how many events had been before it. */
  lost: readonly number[];
  tooMany: boolean;
};

/** Losses of a stretch in the middle that are told apart. */
const maxLost = 1024;

/** Remembers when threads ran, waited for a CPU and slept, as the scheduler's events say, for some time back. */
export class RunHistory {
  readonly #threads = new IdTable();
  readonly #changes: Changes[] = [];
  /** By type id; null for types that tell nothing. */
  readonly #types: (SchedEvent | null)[] = [];
  /** Of a stretch that begins in the middle: as `RunsPart` has it; and how many events there were. */
  #lost: number[] | undefined;
  #events = 0;

  wants(type: EventType): boolean {
    return isSched(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (let id = this.#types.length; id < trace.types.length; id++) {
      this.#types.push(schedEvent(trace.types[id] as EventType) ?? null);
    }
    // What a thread did while events were lost is not known.
    if (b.losses.length > 0) {
      this.#lost?.push(this.#events);
      for (const changes of this.#changes) changes.forget();
    }
    this.#events += b.count;
    for (let i = 0; i < b.count; i++) {
      const event = this.#types[b.type[i] as number];
      if (event === null || event === undefined) continue;
      const time = b.time[i] as number;
      if (event.what === 'wake') {
        this.#of(event.thread.number(b, i))?.wake(time);
        continue;
      }
      this.#of(event.previous.number(b, i))?.add(
        time,
        leaving(event.state, b, i) === leaves.runnable ? runnable : asleep,
      );
      this.#of(event.next.number(b, i))?.add(time, running);
    }
  }

  /** What a thread did between two times up to now; undefined where that is not known, or not remembered. */
  between(tid: number, from: number, to: number): RunParts | undefined {
    const thread = this.#threads.find(0, tid);
    return thread < 0 ? undefined : this.#changes[thread]?.between(from, to);
  }

  inMiddle(): void {
    this.#lost = [];
  }

  /**
   * Of a stretch in the middle, where it is not known what a thread did from a time on: whether that hangs on what it did before the stretch. `same`: it has
   * gone on with that ever since.
   */
  hangs(tid: number, from: number): 'same' | 'partly' | undefined {
    if (this.#lost?.length !== 0 || !(tid > 0)) return undefined;
    const thread = this.#threads.find(0, tid);
    return thread < 0 ? 'same' : this.#changes[thread]?.hangs(from);
  }

  /** What a thread has done for so long that did the same all the time as it does now; undefined where that is not known. */
  goingOn(tid: number, length: number): RunParts | undefined {
    const changes = this.#changes[this.#threads.find(0, tid)];
    if (changes === undefined || changes.state < 0) return undefined;
    const spent = (state: number) => (changes.state === state ? length : 0);
    return { running: spent(running), preempted: spent(runnable), blocked: spent(asleep) };
  }

  part(): RunsPart {
    const threads = this.#changes.map((changes, thread) => changes.part(this.#threads.low(thread)));
    const lost = this.#lost ?? [];
    return { threads, lost, tooMany: threads.length === maxThreads || lost.length > maxLost };
  }

  /** Whether all that threads did until a time in the stretch that follows can be told. */
  accepts({ threads, tooMany }: RunsPart, until: number): boolean {
    const fresh = threads.filter(({ tid }) => this.#threads.find(0, tid) < 0).length;
    return (
      !tooMany &&
      this.#changes.length + fresh < maxThreads &&
      threads.every(({ count, time }) => count <= maxChanges || (time[maxChanges - 1] as number) >= until)
    );
  }

  /** Begins to take over what another learnt of the stretch that follows. */
  join(part: RunsPart): RunSeam {
    const seams = new Map(part.threads.map((one) => [one.tid, new ChangesSeam(this.#of(one.tid), one, part.lost)]));
    const others = this.#changes.flatMap((changes, thread) => {
      const tid = this.#threads.low(thread);
      return seams.has(tid) ? [] : [[tid, new ChangesSeam(changes, undefined, part.lost)] as const];
    });
    return new RunSeam(this, new Map([...seams, ...others]));
  }

  /** The thread with that tid; undefined for the idle threads, which share tid 0, and where there are too many. */
  #of(tid: number): Changes | undefined {
    if (!(tid > 0)) return undefined;
    let thread = this.#threads.find(0, tid);
    if (thread < 0) {
      if (this.#changes.length === maxThreads) return undefined;
      thread = this.#threads.id(0, tid);
      this.#changes.push(new Changes(this.#lost?.length));
    }
    return this.#changes[thread];
  }
}

/** Takes over, bit by bit, what threads did in a stretch that follows, so that it can be asked what was known at each of its events. */
export class RunSeam {
  readonly #runs: RunHistory;
  readonly #threads: ReadonlyMap<number, ChangesSeam>;

  constructor(runs: RunHistory, threads: ReadonlyMap<number, ChangesSeam>) {
    this.#runs = runs;
    this.#threads = threads;
  }

  /** What a thread did between two times, as it was known after so many events of the stretch. These must not come down from call to call. */
  between(tid: number, from: number, to: number, events: number): RunParts | undefined {
    this.#threads.get(tid)?.advance(to, events);
    return this.#runs.between(tid, from, to);
  }

  finish(): void {
    for (const seam of this.#threads.values()) seam.advance(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }
}

/** What one thread did in a stretch: `count` changes, of which the first and the last are told; `tail` is the number of the first of the latter. */
type ChangesPart = {
  tid: number;
  count: number;
  time: Float64Array;
  state: Uint8Array;
  tail: number;
  tailTime: Float64Array;
  tailState: Uint8Array;
  /** When it was woken before all this; NaN where it was not. */
  woken: number;
  /** How many losses there were before; and by further one, how many changes. */
  lostBefore: number;
  forgot: readonly number[];
};

class ChangesSeam {
  readonly #changes: Changes | undefined;
  readonly #part: ChangesPart | undefined;
  readonly #lost: readonly number[];
  #next = 0;
  #forgot = 0;
  #woken = false;

  constructor(changes: Changes | undefined, part: ChangesPart | undefined, lost: readonly number[]) {
    this.#changes = changes;
    this.#part = part;
    this.#lost = lost;
  }

  /** Takes over what came until a time, and what was lost until so many events. */
  advance(to: number, events: number): void {
    const changes = this.#changes;
    const part = this.#part;
    if (changes === undefined) return;
    this.#wake(to);
    for (; this.#forgot < this.#lost.length && (this.#lost[this.#forgot] as number) <= events; this.#forgot++) {
      this.#wake(Number.POSITIVE_INFINITY);
      // What was before is forgotten with it.
      this.#next = Math.max(this.#next, this.#changesBefore(this.#forgot));
      changes.forget();
    }
    if (part === undefined) return;
    const end = Math.min(part.count, this.#changesBefore(this.#forgot));
    for (; this.#next < end; this.#next++) {
      if (this.#next >= part.time.length && this.#next < part.tail) {
        if (to < Number.POSITIVE_INFINITY) return;
        changes.forget();
        this.#next = part.tail;
      }
      const [time, state] =
        this.#next < part.time.length
          ? [part.time[this.#next], part.state[this.#next]]
          : [part.tailTime[this.#next - part.tail], part.tailState[this.#next - part.tail]];
      if ((time as number) > to) return;
      changes.add(time as number, state as number);
    }
  }

  #wake(to: number): void {
    if (this.#woken || this.#part === undefined || !(this.#part.woken <= to)) return;
    this.#woken = true;
    this.#changes?.wake(this.#part.woken);
  }

  /** How many of the changes were before a loss. */
  #changesBefore(loss: number): number {
    if (this.#part === undefined || loss >= this.#lost.length) return Number.POSITIVE_INFINITY;
    return this.#part.forgot[loss - this.#part.lostBefore] ?? 0;
  }
}

/** The last changes of one thread, with the time spent in each state up to then. */
class Changes {
  state = -1;
  #count = 0;
  /** Of the changes, the first that is remembered. */
  #first = 0;
  #time = new Float64Array(16);
  #state = new Uint8Array(16);
  #sums = new Float64Array(16 * states);
  /** In a stretch in the middle: as `ChangesPart` has it. */
  readonly #lostBefore: number | undefined;
  readonly #forgot: number[] = [];
  #woken = Number.NaN;
  #head: { time: Float64Array; state: Uint8Array } | undefined;

  /** `lost`: how many losses there were so far in a stretch that begins in the middle. */
  constructor(lost: number | undefined) {
    this.#lostBefore = lost;
  }

  wake(time: number): void {
    if (this.state === asleep) this.add(time, runnable);
    // It may have slept before the stretch.
    else if (this.#lostBefore === 0 && this.#count === 0 && this.#forgot.length === 0 && Number.isNaN(this.#woken))
      this.#woken = time;
  }

  hangs(from: number): 'same' | 'partly' | undefined {
    if (this.#count === 0) return Number.isNaN(this.#woken) ? 'same' : 'partly';
    return from < ((this.#head?.time ?? this.#time)[0] as number) ? 'partly' : undefined;
  }

  part(tid: number): ChangesPart {
    const size = Math.min(this.#count, this.#time.length);
    const tail = this.#count - size;
    const at = (n: number) => (tail + n) % this.#time.length;
    const tailTime = Float64Array.from({ length: size }, (_, n) => this.#time[at(n)] as number);
    const tailState = Uint8Array.from({ length: size }, (_, n) => this.#state[at(n)] as number);
    const { time, state } = this.#head ?? { time: tailTime, state: tailState };
    const [woken, forgot, lostBefore] = [this.#woken, this.#forgot, this.#lostBefore ?? 0];
    return { tid, count: this.#count, time, state, tail, tailTime, tailState, woken, forgot, lostBefore };
  }

  add(time: number, state: number): void {
    if (this.#count === this.#time.length && this.#count < maxChanges) this.#grow();
    if (this.#count === maxChanges && this.#lostBefore !== undefined)
      this.#head = { time: this.#time.slice(), state: this.#state.slice() };
    const size = this.#time.length;
    const n = this.#count % size;
    const before = (this.#count + size - 1) % size;
    for (let s = 0; s < states; s++) {
      const sum = this.#count === this.#first ? 0 : (this.#sums[before * states + s] as number);
      this.#sums[n * states + s] = sum + (s === this.state ? time - (this.#time[before] as number) : 0);
    }
    this.#time[n] = time;
    this.#state[n] = state;
    this.state = state;
    this.#count++;
    this.#first = Math.max(this.#first, this.#count - size);
  }

  forget(): void {
    this.#first = this.#count;
    this.state = -1;
    if (this.#lostBefore !== undefined) this.#forgot.push(this.#count);
  }

  between(from: number, to: number): RunParts | undefined {
    const begin = this.#at(from);
    const end = this.#at(to);
    if (begin < 0) return undefined;
    const spent = (s: number) => this.#spent(end, to, s) - this.#spent(begin, from, s);
    return { running: spent(running), preempted: spent(runnable), blocked: spent(asleep) };
  }

  /** Time in a state up to `time`, of which change `n` is the last. */
  #spent(n: number, time: number, state: number): number {
    const at = n % this.#time.length;
    const sum = this.#sums[at * states + state] as number;
    return this.#state[at] === state ? sum + time - (this.#time[at] as number) : sum;
  }

  /** The last change up to a time; -1 where it is not remembered. */
  #at(time: number): number {
    let low = this.#first - 1;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#time[middle % this.#time.length] as number) <= time) low = middle;
      else high = middle - 1;
    }
    return low < this.#first ? -1 : low;
  }

  /** No change was overwritten so far: they are in their places. */
  #grow(): void {
    this.#time = grown(this.#time);
    this.#state = grown(this.#state);
    this.#sums = grown(this.#sums);
  }
}

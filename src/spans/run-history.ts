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

/** Remembers when threads ran, waited for a CPU and slept, as the scheduler's events say, for some time back. */
export class RunHistory {
  readonly #threads = new IdTable();
  readonly #changes: Changes[] = [];
  /** By type id; null for types that tell nothing. */
  readonly #types: (SchedEvent | null)[] = [];

  wants(type: EventType): boolean {
    return isSched(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (let id = this.#types.length; id < trace.types.length; id++) {
      this.#types.push(schedEvent(trace.types[id] as EventType) ?? null);
    }
    // What a thread did while events were lost is not known.
    if (b.losses.length > 0) for (const changes of this.#changes) changes.forget();
    for (let i = 0; i < b.count; i++) {
      const event = this.#types[b.type[i] as number];
      if (event === null || event === undefined) continue;
      const time = b.time[i] as number;
      if (event.what === 'wake') {
        const changes = this.#of(event.thread.number(b, i));
        if (changes?.state === asleep) changes.add(time, runnable);
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

  /** The thread with that tid; undefined for the idle threads, which share tid 0, and where there are too many. */
  #of(tid: number): Changes | undefined {
    if (!(tid > 0)) return undefined;
    let thread = this.#threads.find(0, tid);
    if (thread < 0) {
      if (this.#changes.length === maxThreads) return undefined;
      thread = this.#threads.id(0, tid);
      this.#changes.push(new Changes());
    }
    return this.#changes[thread];
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

  add(time: number, state: number): void {
    if (this.#count === this.#time.length && this.#count < maxChanges) this.#grow();
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

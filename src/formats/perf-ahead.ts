import type { Worker } from 'node:worker_threads';
import { startThread } from '../own/thread.ts';
import type { Arena } from '../trace/arena.ts';
import { Rows, rowBytes } from '../trace/rows.ts';
import type { SampleShape } from './perf-scan.ts';

/*
 * A second thread that reads a large perf.data ahead and scans it for samples, while this one puts them in order and analyses them.
 * Only what is wanted reaches this one: rows, and in the arena their payloads, close together.
 * Whatever the other thread cannot do (odd records, errors, the end of the file) it leaves to this one: it stops there.
 */

/** Pieces of the file that are under way at a time: one is consumed, others are at hand, one is read. */
export const jobs = 4;
/** Most rows of a piece. */
const pieceRows = 1 << 15;
/** Sizes of records are 16-bit numbers. */
export const longestRecord = 1 << 16;

/** The words of a job. */
export const job = { state: 0, slot: 1, segments: 2, more: 3, size: 4 } as const;
/** Of `state`: the thread has to fill the slot; it has. */
const idle = 0;
export const given = 1;
export const done = 2;
/** The word after the jobs: 1 once the thread runs. */
export const ready = jobs * job.size;

/** What both threads hold. */
export type Shared = {
  arena: { buffer: ArrayBufferLike; slotSize: number; headroom: number };
  control: Int32Array;
  /** By job: how far the file was scanned with it, as an offset. */
  stops: Float64Array;
  /** By job: the time of the latest sample that nobody wants, of all so far. */
  newest: Float64Array;
  /** By job: the rows, and pairs of (number of rows so far, position of the record that follows them or -1 where more rows do). */
  rows: ArrayBufferLike[];
  segments: Int32Array[];
};

/** What the thread has to read: the file of this descriptor, from one offset to another. */
export type Order = { file: number; from: number; to: number; shape: SampleShape };

/** A piece of the file: its rows and their `segments`, as in `Shared`, with what they refer to in a slot of the arena. */
export type Piece = { slot: number; rows: Rows; segments: Int32Array; segmentCount: number; newest: number };

export class PerfAhead {
  /** Offset of what follows the pieces given so far. */
  stop = 0;

  readonly #arena: Arena;
  readonly #file: number;
  readonly #end: number;
  readonly #shared: Shared;
  readonly #rows: Rows[];
  readonly #worker: Worker;
  /** Number of the next job to be given to the thread, and of the next that it has to have done. */
  #toGive = 0;
  #toTake = 0;
  /** The place of the piece that is out. */
  #out = -1;
  #more = true;
  #bug: Error | undefined;

  /** Starts the thread; it takes a while until it is `ready`. The arena's buffer must be a shared one; records end at `end`. */
  constructor(arena: Arena, file: number, end: number) {
    this.#arena = arena;
    this.#file = file;
    this.#end = end;
    const { slotSize, headroom } = arena;
    const words = (count: number) => new Int32Array(new SharedArrayBuffer(count * 4));
    const perJob = <T>(make: () => T): T[] => Array.from({ length: jobs }, make);
    this.#shared = {
      arena: { buffer: arena.bytes.buffer, slotSize, headroom },
      control: words(ready + 1),
      stops: new Float64Array(new SharedArrayBuffer(jobs * 8)),
      newest: new Float64Array(new SharedArrayBuffer(jobs * 8)),
      rows: perJob(() => new SharedArrayBuffer(pieceRows * rowBytes)),
      // One for each record at most; those that are no samples are copied whole.
      segments: perJob(() => words(2 * (pieceRows + (slotSize + headroom) / 8))),
    };
    this.#rows = this.#shared.rows.map((buffer) => new Rows(buffer));
    this.#worker = startThread('perf-ahead', this.#shared);
    this.#worker.unref();
    this.#worker.on('error', (error) => this.#giveUp(error));
  }

  /** Whether `start` would begin at once. */
  get ready(): boolean {
    return Atomics.load(this.#shared.control, ready) === 1;
  }

  async untilReady(): Promise<void> {
    await this.#wait(ready, 0);
  }

  /** Begins to read at this offset. What is unresolved in the shape may become known while the thread reads, nothing else may change. */
  start(from: number, shape: SampleShape): void {
    this.stop = from;
    this.#worker.postMessage({ file: this.#file, from, to: this.#end, shape } satisfies Order);
  }

  /**
   * The next piece; the one before it is given up. `'full'` where the arena has no free slot: take events from the sorter, then call
   * again. Undefined at the end of what the thread could do: go on at `stop`.
   */
  async next(): Promise<Piece | 'full' | undefined> {
    const { control, segments, stops, newest } = this.#shared;
    if (this.#out >= 0) {
      this.#arena.release(control[this.#out + job.slot] as number);
      Atomics.store(control, this.#out + job.state, idle);
      this.#out = -1;
    }
    while (this.#more && this.#toGive < this.#toTake + jobs) {
      const slot = this.#arena.acquire();
      if (slot < 0) break;
      const at = (this.#toGive++ % jobs) * job.size;
      control[at + job.slot] = slot;
      Atomics.store(control, at + job.state, given);
      Atomics.notify(control, at + job.state);
    }
    if (this.#more && this.#toGive === this.#toTake) return 'full';
    const number = this.#toTake % jobs;
    const at = number * job.size;
    if (this.#more) await this.#wait(at + job.state, given);
    if (this.#bug !== undefined) throw this.#bug;
    if (!this.#more) {
      for (; this.#toTake < this.#toGive; this.#toTake++) {
        this.#arena.release(control[(this.#toTake % jobs) * job.size + job.slot] as number);
      }
      return undefined;
    }
    this.#toTake++;
    this.#out = at;
    this.#more = control[at + job.more] === 1;
    this.stop = stops[number] as number;
    return {
      slot: control[at + job.slot] as number,
      rows: this.#rows[number] as Rows,
      segments: segments[number] as Int32Array,
      segmentCount: control[at + job.segments] as number,
      newest: newest[number] as number,
    };
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  /** The thread broke: what it did not give is left to this one. An error without a code is none of Node.js, but a bug. */
  #giveUp(error: NodeJS.ErrnoException): void {
    const { control } = this.#shared;
    if (error.code === undefined) this.#bug = error;
    this.#more = false;
    for (let at = 0; at <= ready; at += job.size) {
      Atomics.store(control, at, done);
      Atomics.notify(control, at);
    }
  }

  /** Waits as long as a word has this value. */
  async #wait(at: number, value: number): Promise<void> {
    const change = Atomics.waitAsync(this.#shared.control, at, value);
    if (!change.async) return;
    // The process must not end while this is awaited.
    this.#worker.ref();
    await change.value;
    this.#worker.unref();
  }
}

import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { EventCopies } from './event-copies.ts';
import { FirstSources } from './first-sources.ts';
import { type InnerEvent, type InnerKind, InnerKinds } from './inner-events.ts';

const maxPayload = 256;

/** Of how many threads how many events are remembered, and of which threads: of all where not said. */
export type ThreadEventOptions = { threads?: number; perThread?: number; follows?: (tid: number) => boolean };

/**
 * The last few events of every thread, and the scheduler's events about it, so that what a thread did in a stretch of time can be
 * told when that is over.
 */
export class ThreadEvents {
  readonly #threads = new IdTable();
  readonly #copies: EventCopies;
  /** Events seen so far, by thread. */
  readonly #seen: Float64Array;
  readonly #perThread: number;
  readonly #maxThreads: number;
  readonly #follows: ((tid: number) => boolean) | undefined;
  readonly #kinds = new InnerKinds();
  readonly #sources = new FirstSources();
  /** By type id. */
  readonly #skipped: boolean[] = [];
  readonly #skip: (type: EventType) => boolean;
  #trace: Trace | undefined;
  #next = 0;

  /** `skip` says which events tell nothing, and would only crowd out others. */
  constructor(
    skip: (type: EventType) => boolean = () => false,
    { threads = 1024, perThread = 64, follows }: ThreadEventOptions = {},
  ) {
    this.#skip = skip;
    this.#maxThreads = threads;
    this.#perThread = perThread;
    this.#follows = follows;
    this.#copies = new EventCopies(threads * perThread, maxPayload);
    this.#seen = new Float64Array(threads);
  }

  /** Begins a batch. */
  batch(trace: Trace): void {
    this.#trace = trace;
    this.#kinds.learn(trace);
    for (let id = this.#skipped.length; id < trace.types.length; id++) {
      this.#skipped.push(this.#skip(trace.types[id] as EventType));
    }
    this.#next = 0;
  }

  /** Notes the events of the batch up to index `end` (exclusive) that were not noted so far. */
  advance(b: EventBatch, end: number): void {
    for (; this.#next < end; this.#next++) this.#note(b, this.#next);
  }

  /**
   * What is remembered of a thread between two times, oldest first, with offsets from `from`, and whether there was more.
   */
  between(tid: number, from: number, to: number): { events: InnerEvent[]; more: boolean } {
    const thread = this.#threads.find(0, tid);
    if (thread < 0) return { events: [], more: false };
    const seen = this.#seen[thread] as number;
    const { batch } = this.#copies;
    const perThread = this.#perThread;
    const events: InnerEvent[] = [];
    const start = Math.max(0, seen - perThread);
    for (let n = start; n < seen; n++) {
      const slot = thread * perThread + (n % perThread);
      const time = batch.time[slot] as number;
      if (time < from || time > to || !this.#copies.whole(slot)) continue;
      events.push(this.#kinds.describe(this.#trace as Trace, tid, batch, slot, from));
    }
    return { events, more: start > 0 && (batch.time[thread * perThread + (start % perThread)] as number) > from };
  }

  #note(b: EventBatch, i: number): void {
    const id = b.type[i] as number;
    if (this.#skipped[id] === true) return;
    const { what, subject } = this.#kinds.all[id] as InnerKind;
    if (what === 'qemu' && !this.#sources.takes(this.#trace?.types[id] as EventType)) return;
    const tid = b.tid[i] as number;
    if (tid >= 0) this.#keep(tid, b, i);
    if (subject === undefined) return;
    const other = subject.number(b, i);
    if (other > 0 && other !== tid) this.#keep(other, b, i);
  }

  #keep(tid: number, b: EventBatch, i: number): void {
    if (this.#follows?.(tid) === false) return;
    const perThread = this.#perThread;
    let thread = this.#threads.find(0, tid);
    if (thread < 0) {
      if (this.#threads.size === this.#maxThreads) return;
      thread = this.#threads.id(0, tid);
    }
    const n = this.#seen[thread] as number;
    this.#seen[thread] = n + 1;
    this.#copies.keep(thread * perThread + (n % perThread), b, i);
  }
}

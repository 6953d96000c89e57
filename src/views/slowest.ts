import { ExitEvents, type InnerEvent } from '../spans/exit-detail.ts';
import type { ExitPairing, ExitSpans } from '../spans/exits.ts';
import type { EventBatch } from '../trace/batch.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** One slow exit, with what happened in it. */
export type SlowExit = {
  /** Time of the kvm_exit, from the trace's origin, in the clock's unit. */
  begin: number;
  duration: number;
  /** Index into the pairing's threads. */
  thread: number;
  /** CPU of the kvm_exit, -1 where unknown. */
  cpu: number;
  reason: string;
  rip: string;
  events: InnerEvent[];
  /** Events of this exit beyond those in `events`. */
  omitted: number;
};

export type SlowOptions = {
  /** How many to keep: the slowest. */
  limit: number;
  /** Only exits longer than this. */
  than: number;
  /** Whether halts are slow exits too, or only rest. */
  halts: boolean;
};

/** Keeps the slowest exits, and what happened in them. */
export class Slowest {
  /** How many exits were longer than the threshold. */
  over = 0;

  readonly #options: SlowOptions;
  readonly #pairing: ExitPairing;
  readonly #events: ExitEvents;
  /** A binary heap, the shortest first. */
  readonly #heap: SlowExit[] = [];

  constructor(pairing: ExitPairing, options: SlowOptions) {
    this.#pairing = pairing;
    this.#options = options;
    this.#events = new ExitEvents(pairing);
  }

  /** Takes the batch that pairing took just now. */
  batch(trace: Trace, b: EventBatch, spans: ExitSpans): void {
    const { than, limit, halts } = this.#options;
    const { reasons } = this.#pairing;
    this.#events.batch(trace, b, spans, (k) => {
      const duration = spans.duration[k] as number;
      const reason = spans.reason[k] as number;
      if (duration <= than || (reasons.halt[reason] === true && !halts)) return;
      this.over++;
      if (this.#heap.length === limit && duration <= (this.#heap[0] as SlowExit).duration) return;
      const begin = spans.begin[k] as number;
      const thread = spans.thread[k] as number;
      this.#insert({
        begin,
        duration,
        thread,
        cpu: spans.cpu[k] as number,
        reason: reasons.names[reason] as string,
        rip: hex64(spans.ripHigh[k] as number, spans.ripLow[k] as number),
        ...this.#events.events(thread, b, begin),
      });
    });
  }

  /** The slowest first; equally slow ones in order of time. */
  result(): SlowExit[] {
    return [...this.#heap].sort((a, b) => b.duration - a.duration || a.begin - b.begin);
  }

  #insert(exit: SlowExit): void {
    const heap = this.#heap;
    if (heap.length < this.#options.limit) {
      heap.push(exit);
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1;
        if ((heap[parent] as SlowExit).duration <= exit.duration) break;
        heap[i] = heap[parent] as SlowExit;
        heap[parent] = exit;
        i = parent;
      }
      return;
    }
    heap[0] = exit;
    for (let i = 0; ; ) {
      let child = 2 * i + 1;
      const right = heap[child + 1];
      if (right !== undefined && right.duration < (heap[child] as SlowExit).duration) child++;
      const below = heap[child];
      if (below === undefined || below.duration >= exit.duration) break;
      heap[i] = below;
      heap[child] = exit;
      i = child;
    }
  }
}

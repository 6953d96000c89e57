import { ExitEvents } from '../spans/exit-detail.ts';
import type { ExitPairing, ExitSpans } from '../spans/exits.ts';
import type { InnerEvent } from '../spans/inner-events.ts';
import type { EventBatch } from '../trace/batch.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { Longest } from './longest.ts';

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
  readonly #options: SlowOptions;
  readonly #pairing: ExitPairing;
  readonly #events: ExitEvents;
  readonly #longest: Longest<SlowExit>;

  constructor(pairing: ExitPairing, options: SlowOptions) {
    this.#pairing = pairing;
    this.#options = options;
    this.#longest = new Longest(options.limit, options.than);
    this.#events = new ExitEvents(pairing);
  }

  /** How many exits were longer than the threshold. */
  get over(): number {
    return this.#longest.over;
  }

  /** Takes the batch that pairing took just now. */
  batch(trace: Trace, b: EventBatch, spans: ExitSpans): void {
    const { halts } = this.#options;
    const { reasons } = this.#pairing;
    this.#events.batch(trace, b, spans, (k) => {
      const duration = spans.duration[k] as number;
      const reason = spans.reason[k] as number;
      if ((reasons.halt[reason] === true && !halts) || !this.#longest.admits(duration)) return;
      const begin = spans.begin[k] as number;
      const thread = spans.thread[k] as number;
      this.#longest.add({
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
    return this.#longest.result();
  }
}

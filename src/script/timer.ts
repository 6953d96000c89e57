import type { Trace } from '../trace/trace.ts';
import type { Tick } from './analyzer.ts';
import type { Stamp } from './cursor.ts';

/** Moments of a stretch without events that a timer is called for, the last ones; a broken time stamp could make years of them. */
const maxIdle = 100_000;

/** Calls a handler at regular moments of a trace's time, counted from its first event. */
export class Timer implements Tick {
  /** The next moment, as an offset from the trace's origin. */
  next = Number.NaN;
  time = 0;
  readonly #period: number;
  readonly #call: (tick: Tick) => void;
  readonly #trace: Trace;
  readonly #stamp: Stamp;

  constructor(period: number, call: (tick: Tick) => void, trace: Trace, stamp: Stamp) {
    this.#period = period;
    this.#call = call;
    this.#trace = trace;
    this.#stamp = stamp;
  }

  get ns(): bigint {
    return this.#trace.origin + BigInt(this.time);
  }

  get stamp(): string {
    return this.#stamp(this.time);
  }

  /** To be called with the time of the first event that the run sees. */
  start(time: number): void {
    this.next = (Math.floor(time / this.#period) + 1) * this.#period;
  }

  /** Leaves out moments long before a time, where there are too many. */
  skipIdle(time: number): void {
    const late = Math.floor((time - this.next) / this.#period) - maxIdle;
    if (late > 0) this.next += late * this.#period;
  }

  /** Calls the handler for the next moment. */
  tick(): void {
    this.time = this.next;
    this.next += this.#period;
    this.#call(this);
  }
}

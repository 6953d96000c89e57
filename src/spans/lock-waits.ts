import type { Locks } from './locks.ts';

/** A wait for a mutex that another thread held, and who had it for most of that time. */
export type LockWait = {
  /** From its beginning until the mutex was there: what passed after the other had let it go is in that. */
  duration: number;
  /** Index into `Locks.mutexes`. */
  mutex: number;
  /** Index into `Locks.threads`, -1 where the trace does not say who had it; and into `Locks.sites`: where that locked it. */
  holder: number;
  site: number;
};

/** The last few waits of one thread, the longest within a stretch of time of which is asked for when that is over. */
export class LastWaits {
  readonly #begin: Float64Array;
  readonly #duration: Float64Array;
  readonly #mutex: Int32Array;
  readonly #holder: Int32Array;
  readonly #site: Int32Array;
  #next = 0;

  /** Remembers so many. */
  constructor(remembered = 16) {
    this.#begin = new Float64Array(remembered).fill(Number.NEGATIVE_INFINITY);
    this.#duration = new Float64Array(remembered);
    this.#mutex = new Int32Array(remembered);
    this.#holder = new Int32Array(remembered);
    this.#site = new Int32Array(remembered);
  }

  /** Notes wait `k` of those that ended in the batch, where another thread held the mutex meanwhile. */
  add({ waits, stretches }: Pick<Locks, 'waits' | 'stretches'>, k: number): void {
    if (waits.contended[k] === 0) return;
    const n = this.#next++ % this.#begin.length;
    this.#begin[n] = waits.begin[k] as number;
    this.#duration[n] = waits.duration[k] as number;
    this.#mutex[n] = waits.mutex[k] as number;
    this.#holder[n] = -1;
    let most = 0;
    for (let x = waits.firstStretch[k] as number; x < (waits.lastStretch[k] as number); x++) {
      if ((stretches.duration[x] as number) <= most) continue;
      most = stretches.duration[x] as number;
      this.#holder[n] = stretches.thread[x] as number;
      this.#site[n] = stretches.site[x] as number;
    }
  }

  /** The longest of those that began at `since` or later, and before `until`. */
  longest(since: number, until = Number.POSITIVE_INFINITY): LockWait | undefined {
    let best = -1;
    for (let n = 0; n < this.#begin.length; n++) {
      const begin = this.#begin[n] as number;
      if (begin < since || begin >= until) continue;
      if (best < 0 || (this.#duration[n] as number) > (this.#duration[best] as number)) best = n;
    }
    if (best < 0) return undefined;
    return {
      duration: this.#duration[best] as number,
      mutex: this.#mutex[best] as number,
      holder: this.#holder[best] as number,
      site: this.#site[best] as number,
    };
  }
}

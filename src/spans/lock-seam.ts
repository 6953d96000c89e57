import { grown } from '../trace/grown.ts';
import { type Arrays, tableOf } from './table.ts';

const keptSchema = {
  role: 'u8',
  state: 'i32',
  time: 'f64',
  site: 'i32',
  cpu: 'i32',
  left: 'f64',
  lastSite: 'i32',
  lastTime: 'f64',
  event: 'f64',
} as const;
/**
 * Events of mutexes: `left` is when the thread had been switched out, as `LossTable.leftAt` gives it, `event` how many events there were before in the stretch, and
 * `lastSite` and `lastTime` where and when the thread that lets go of this one, or is overtaken, had taken a mutex last.
 */
class KeptLocks extends tableOf(keptSchema) {}

/** What hangs on what was before a stretch that begins in the middle of a recording, as plain data. */
export type LockSeamPart = {
  /** The first events of each mutex, in their order: they are to be taken again by who knows what was before. */
  kept: Arrays<typeof keptSchema> & { count: number };
  /** By mutex: whether it was free, and nobody waited for it, after these. Later events stand on their own. */
  settled: Uint8Array;
  /** Of mutexes that are settled: where a thread took one first, without a wait. It may be after waiting on a condition variable. */
  bare: readonly { state: number; site: number }[];
  /** By loss that came to be known, and by loss that a batch told of: how many events had been kept before. */
  lossAt: readonly number[];
  epochAt: readonly number[];
  /** So many of the kept events were before the stretch that is asked about; -1 where nothing was. */
  before: number;
  unlocks: boolean;
  tooMany: boolean;
};

/** Events kept of all mutexes, and of each until it may be settled. */
const maxKept = 1 << 20;
export const enoughKept = 128;

/** Keeps back the events of each mutex until what they mean hangs no more on what was before the stretch: until nobody has it, or waits for it. */
export class LockSeam {
  readonly kept = new KeptLocks();
  readonly bare: { state: number; site: number }[] = [];
  readonly lossAt: number[] = [];
  readonly epochAt: number[] = [];
  before = -1;
  unlocks = false;
  readonly #enough: number;
  /** By mutex: whether it is settled, its kept events, and how many threads have it or seem to. */
  #settled = new Uint8Array(64);
  #events = new Int32Array(64);
  #holders = new Int32Array(64);
  #tooMany = false;

  /** A mutex is settled after so many events at the earliest: a thread that waits since before should have got it by then. */
  constructor(enough: number) {
    this.#enough = enough;
  }

  part(): LockSeamPart {
    const { kept, bare, lossAt, epochAt, before, unlocks } = this;
    const rows = { ...kept.copy(), count: kept.count };
    return { kept: rows, settled: this.#settled, bare, lossAt, epochAt, before, unlocks, tooMany: this.#tooMany };
  }

  isSettled(mutex: number): boolean {
    return this.#settled[mutex] === 1;
  }

  /** The place of a further event in `kept`, which is to be filled in; the last one where there is no room. */
  keep(): number {
    const { kept } = this;
    if (kept.count < maxKept) return kept.add();
    this.#tooMany = true;
    return maxKept - 1;
  }

  /** After an event was kept: by how much the number of threads that have the mutex changed, and whether it is free and nobody seems to wait. */
  took(mutex: number, change: number, free: boolean): void {
    while (mutex >= this.#settled.length) {
      this.#settled = grown(this.#settled);
      this.#events = grown(this.#events);
      this.#holders = grown(this.#holders);
    }
    const events = (this.#events[mutex] as number) + 1;
    const holders = (this.#holders[mutex] as number) + change;
    this.#events[mutex] = events;
    this.#holders[mutex] = holders;
    if (free && holders === 0 && events >= this.#enough) this.#settled[mutex] = 1;
  }

  /** What was so far was before the stretch that is asked about. */
  forgetCounts(): void {
    this.before = this.kept.count;
    this.bare.length = 0;
  }
}

import { readSync } from 'node:fs';
import type { CpuData } from './trace-dat-options.ts';

/*
 * Stretches of a recording of ring buffers, which can be read beside each other: it is cut at times, which the pages of each CPU say at their beginning.
 */

/** How a stretch is opened. */
export type RingBufferStretch = {
  /** The time stamp that all times count from; and those that the stretch begins behind and ends with. */
  start: bigint;
  from: number;
  to: number;
  /** Where its pages are, of each CPU that has any. */
  pages: readonly { offset: number; size: number }[];
  /** Numbers of events that were seen before the recording was cut, in that order. */
  seen: readonly number[];
};

/** What the others must know of a stretch that was read. */
export type RingBufferStretchPart = {
  from: number;
  to: number;
  /** Whether something came that only who reads in one go can tell about. */
  unsure: boolean;
  seen: readonly number[];
  last: number;
  told: readonly Told[];
};

/** Lost events of a CPU that were told of with their number, and the stretch with holes whose number is unknown. */
export type Told = { cpu: number; told: number; untold: { from: number; to: number } | undefined };

/** The pages of a CPU, as they stand in a file. */
export type PlainData = { fd: number; data: CpuData; pageSize: number };

/** A page steps back by less than this behind the one before it; what steps back further is damage, which shows when it is read. */
const backlash = 100_000;

/** Cuts pages into stretches of about equal size; `read` says how many bytes of each CPU were read already. Fewer where they are few. */
export function cutPages(
  cpus: readonly PlainData[],
  little: boolean,
  start: bigint,
  n: number,
  read: readonly number[],
): Omit<RingBufferStretch, 'start' | 'seen'>[] {
  const stamps = cpus.map((cpu) => new Stamps(cpu, little, start));
  const most = stamps.reduce((a, b) => (b.count > a.count ? b : a), stamps[0] as Stamps);
  const cuts: number[] = [];
  for (let k = 1; k < n; k++) {
    const time = most.at(Math.floor((k * most.count) / n));
    // Behind what was read, and apart from each other.
    const far = time !== undefined && time > (cuts.at(-1) ?? 0) + 4 * backlash;
    if (far && stamps.every((one, i) => one.after(time) * one.pageSize >= (read[i] as number))) cuts.push(time);
  }
  const edges = [Number.NEGATIVE_INFINITY, ...cuts, Number.POSITIVE_INFINITY];
  return edges.slice(1).map((to, i) => {
    const from = edges[i] as number;
    const pages = stamps.map((one) => {
      // Of what is lost before its first event, the one before tells where that began.
      const first = from === Number.NEGATIVE_INFINITY ? 0 : Math.max(0, one.before(from) - 1);
      const end = to === Number.POSITIVE_INFINITY ? one.count : one.after(to);
      const rest = to === Number.POSITIVE_INFINITY ? one.size : Math.max(first, end) * one.pageSize;
      return { offset: one.offset + first * one.pageSize, size: rest - first * one.pageSize };
    });
    return { from, to, pages };
  });
}

/** The time stamps of a CPU's pages. */
class Stamps {
  readonly count: number;
  readonly pageSize: number;
  readonly offset: number;
  readonly size: number;
  readonly #fd: number;
  readonly #little: boolean;
  readonly #start: bigint;
  readonly #bytes = new DataView(new ArrayBuffer(8));

  constructor({ fd, data, pageSize }: PlainData, little: boolean, start: bigint) {
    this.#fd = fd;
    this.#little = little;
    this.#start = start;
    this.pageSize = pageSize;
    this.offset = data.offset;
    this.size = data.size;
    this.count = Math.ceil(data.size / pageSize);
  }

  /** Undefined where none can be read, or it is far from all others. */
  at(page: number): number | undefined {
    const got = readSync(this.#fd, this.#bytes, 0, 8, this.offset + page * this.pageSize);
    const time = got < 8 ? Number.NaN : Number(this.#bytes.getBigUint64(0, this.#little) - this.#start);
    return Number.isSafeInteger(time) ? time : undefined;
  }

  /** The last page that is surely before a time; 0 where none is. */
  before(time: number): number {
    return Math.max(0, this.#first(time - backlash) - 1);
  }

  /** The first page that is surely after a time. */
  after(time: number): number {
    return this.#first(time + backlash);
  }

  /** The first page that is later than a time, where they are in order. */
  #first(time: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.at(middle) ?? 0) > time) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

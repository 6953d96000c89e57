import { type Rows, rowAt, rowCpu, rowPid, rowSize, rowTid, rowType } from '../trace/rows.ts';

/*
 * The hot path of perf.data: samples of the usual shape to rows, on this thread or on one that reads ahead (perf-ahead.ts).
 */

/** Instead of a type: what has to be looked at by somebody who knows more, and what nobody wants. */
export const unresolved = -2;
export const unwanted = -1;

/** PERF_RECORD_MISC_GUEST_KERNEL and _USER: 4 and 5 in the three bits of the CPU's mode. */
export const guestMode = 4;

/** The types of records that the scan knows (perf_event.h), and the first that perf itself writes, not the kernel. */
const sample = 9;
export const lost = 2;
export const finishedRound = 68;
export const firstOfPerf = 64;

/** No round of perf lasts longer (ns): samples stand no further before the oldest so far. */
const farBefore = 60e9;

/** How samples are laid out, in a little-endian file. */
export type SampleShape = {
  /** By the id in a sample: its type, `unwanted`, or `unresolved`. */
  kindOfId: Int32Array;
  /** By the id: where the raw data begin, after their size. */
  restOfId: Int32Array;
  /** Offsets in words of 4 bytes that all attributes share, and the least length of a sample; undefined where they differ. */
  common: { tid: number; time: number; cpu: number; least: number } | undefined;
  /** How far before a record's end its CPU stands, of records other than samples; 0 where they have none. */
  trailerCpu: number;
  /** The time that times count from, in halves. */
  originHigh: number;
  originLow: number;
};

/** CPUs of which it is known when their last event was. */
export const maxCpus = 8192;

/** Where rows go: `count` of them so far. */
export class ScanOutput {
  rows: Rows;
  count = 0;
  /** Where payloads are copied to, for rows to refer to. */
  readonly payloads: Int32Array;
  /** Times of the earliest and the latest sample that nobody wants. */
  oldest = Number.POSITIVE_INFINITY;
  newest = Number.NEGATIVE_INFINITY;
  /** By CPU: the time of the latest sample that nobody wants. A hole does not begin before it. */
  readonly skipped: Float64Array;
  /** The next place there, and the last place at which a payload may begin; both in words. */
  at = 0;
  limit = 0;

  constructor(rows: Rows, payloads: Int32Array, skipped = new Float64Array(maxCpus).fill(Number.NEGATIVE_INFINITY)) {
    this.rows = rows;
    this.payloads = payloads;
    this.skipped = skipped;
  }

  /** Whether there may be no room for one more sample. */
  get full(): boolean {
    return this.count === this.rows.capacity || this.at > this.limit;
  }
}

/**
 * Scans `records` from byte `pos` on for samples, as long as they are of one CPU, in time order and of the usual shape. Stops before the
 * first that is not, before any other record, before one that ends after `end`, and where the output is full. Gives the position of what follows.
 */
export function scanSamples(
  shape: SampleShape,
  records: Int32Array,
  pos: number,
  end: number,
  out: ScanOutput,
): number {
  const { kindOfId, restOfId, common, originHigh, originLow } = shape;
  if (common === undefined) return pos;
  const { tid: tidAt, time: timeAt, cpu: cpuAt, least } = common;
  const { payloads, limit, skipped } = out;
  const { times, words, capacity } = out.rows;
  let { count: n, at: to, oldest, newest } = out;
  let last = Number.NEGATIVE_INFINITY;
  let cpu = -1;
  while (pos + 8 <= end && n < capacity && to <= limit) {
    const record = pos >> 2;
    const miscAndSize = records[record + 1] as number;
    const length = miscAndSize >>> 16;
    if (records[record] !== sample || length < least || pos + length > end || (miscAndSize & guestMode) !== 0) break;
    const id = records[record + 2] as number;
    // Also true for what is negative.
    const kind = id >>> 0 < kindOfId.length ? (kindOfId[id] as number) : unresolved;
    if (kind < unwanted) break;
    const t =
      (((records[record + timeAt + 1] as number) >>> 0) - originHigh) * 0x100000000 +
      (((records[record + timeAt] as number) >>> 0) - originLow);
    if (kind === unwanted) {
      // Far from the others: somebody has to look whether it can be.
      if (t > Number.MAX_SAFE_INTEGER || (oldest - t > farBefore && oldest !== Number.POSITIVE_INFINITY)) break;
      if (t < oldest) oldest = t;
      if (t > newest) newest = t;
      const on = records[record + cpuAt] as number;
      if (on >>> 0 < maxCpus) skipped[on] = t;
      pos += length;
      continue;
    }
    const c = records[record + cpuAt] as number;
    if (t < last || t > Number.MAX_SAFE_INTEGER || (c !== cpu && last !== Number.NEGATIVE_INFINITY)) break;
    const payload = pos + (restOfId[id] as number);
    // The size of the raw data, which stands before them.
    if ((records[(payload >> 2) - 1] as number) > pos + length - payload) break;
    last = t;
    cpu = c;
    pos += length;
    const row = n++ * 8;
    times[row >> 1] = t;
    words[row + rowType] = kind;
    words[row + rowCpu] = c;
    words[row + rowPid] = records[record + tidAt] as number;
    words[row + rowTid] = records[record + tidAt + 1] as number;
    words[row + rowAt] = to << 2;
    words[row + rowSize] = pos - payload;
    for (let from = payload >> 2; from < pos >> 2; from++) payloads[to++] = records[from] as number;
  }
  out.count = n;
  out.at = to;
  out.oldest = oldest;
  out.newest = newest;
  return pos;
}

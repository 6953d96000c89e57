import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { ExitSpans } from '../spans/exits.ts';

/*
 * Every exit of a trace as a row of fixed size in a file, in the order of their ends: two doubles (begin, duration) and two 32-bit
 * numbers (thread, reason), of this machine's byte order. A part of the trace is a run of rows, found by halving.
 */

const rowSize = 24;
/** Rows in a block: what is read and searched at a time. */
const blockRows = 8192;

/** What else is to be known of such a file; it is kept beside it. */
export type RowsFacts = {
  rows: number;
  /** When the last exit of each block ended. */
  ends: number[];
  /** The longest exit: how far beyond a stretch of time the ends of its exits can lie. */
  longest: number;
};

/** Writes such a file, a block at a time. */
export class ExitRowsWriter {
  readonly facts: RowsFacts = { rows: 0, ends: [], longest: 0 };
  readonly #file: number;
  readonly #block = new Block();
  #filled = 0;
  #end = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'wx');
  }

  take(spans: ExitSpans): void {
    const { facts } = this;
    for (let k = 0; k < spans.count; k++) {
      const begin = spans.begin[k] as number;
      const duration = spans.duration[k] as number;
      const { doubles, words } = this.#block;
      const row = this.#filled++;
      doubles[row * 3] = begin;
      doubles[row * 3 + 1] = duration;
      words[row * 6 + 4] = spans.thread[k] as number;
      words[row * 6 + 5] = spans.reason[k] as number;
      // Of several files the ends may go back a little.
      if (begin + duration > this.#end) this.#end = begin + duration;
      if (duration > facts.longest) facts.longest = duration;
      if (this.#filled === blockRows) this.#flush();
    }
  }

  close(): void {
    if (this.#filled > 0) this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    const { facts } = this;
    writeSync(this.#file, this.#block.bytes, 0, this.#filled * rowSize);
    facts.rows += this.#filled;
    facts.ends.push(this.#end);
    this.#filled = 0;
  }
}

/** Calls `take` for each exit that began in a stretch of time; `to` is not part of it. */
export function scanExits(
  path: string,
  { rows, ends, longest }: RowsFacts,
  { from, to }: { from: number; to: number },
  take: (begin: number, duration: number, thread: number, reason: number) => void,
): void {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] as number) < from) low = middle + 1;
    else high = middle;
  }
  const file = openSync(path, 'r');
  try {
    const block = new Block();
    const { doubles, words } = block;
    for (let b = low; b < ends.length; b++) {
      const count = Math.min(blockRows, rows - b * blockRows);
      const read = readSync(file, block.bytes, 0, count * rowSize, b * blockRows * rowSize);
      if (read < count * rowSize) throw new Error('the index is shorter than it says');
      for (let row = 0; row < count; row++) {
        const begin = doubles[row * 3] as number;
        if (begin < from || begin >= to) continue;
        take(begin, doubles[row * 3 + 1] as number, words[row * 6 + 4] as number, words[row * 6 + 5] as number);
      }
      if ((ends[b] as number) >= to + longest) break;
    }
  } finally {
    closeSync(file);
  }
}

class Block {
  readonly bytes = new Uint8Array(blockRows * rowSize);
  readonly doubles = new Float64Array(this.bytes.buffer);
  readonly words = new Uint32Array(this.bytes.buffer);
}

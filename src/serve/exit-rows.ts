import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
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
  /** Of each block: when its last exit ended, how long its longest is, and the CRC of its bytes. */
  ends: number[];
  longest: number[];
  sums: number[];
};

/** An index that is not as it was written: it must be made anew. */
class IndexError extends Error {
  override name = 'IndexError';
}

/** Writes such a file, a block at a time. */
export class ExitRowsWriter {
  readonly facts: RowsFacts = { rows: 0, ends: [], longest: [], sums: [] };
  readonly #file: number;
  readonly #block = new Block();
  #filled = 0;
  #end = 0;
  #longest = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
  }

  take(spans: ExitSpans): void {
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
      if (duration > this.#longest) this.#longest = duration;
      if (this.#filled === blockRows) this.#flush();
    }
  }

  close(): void {
    if (this.#filled > 0) this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    const { facts } = this;
    const bytes = this.#block.bytes.subarray(0, this.#filled * rowSize);
    for (let n = 0; n < bytes.length; ) n += writeSync(this.#file, bytes, n);
    facts.sums.push(crc32(bytes));
    facts.rows += this.#filled;
    facts.ends.push(this.#end);
    facts.longest.push(this.#longest);
    this.#filled = 0;
    this.#longest = 0;
  }
}

/** A file of such rows. It stays open: what it says does not change when another takes its place. */
export class ExitRows {
  readonly #facts: RowsFacts;
  readonly #file: number;
  readonly #block = new Block();
  /** The longest exit of all: how far beyond a stretch of time the ends of its exits can lie. */
  readonly #longest: number;

  constructor(path: string, facts: RowsFacts) {
    this.#facts = facts;
    this.#longest = facts.longest.reduce((a, b) => Math.max(a, b), 0);
    this.#file = openSync(path, 'r');
  }

  /** Calls `take` for each exit that began in a stretch of time, `to` no part of it, and took `least` or more. */
  scan(
    { from, to, least }: { from: number; to: number; least: number },
    take: (begin: number, duration: number, thread: number, reason: number) => void,
  ): void {
    const { ends, longest } = this.#facts;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ends[middle] as number) < from) low = middle + 1;
      else high = middle;
    }
    const { doubles, words } = this.#block;
    for (let b = low; b < ends.length; b++) {
      const count = (longest[b] as number) < least ? 0 : this.#read(b);
      for (let row = 0; row < count; row++) {
        const begin = doubles[row * 3] as number;
        const duration = doubles[row * 3 + 1] as number;
        if (begin < from || begin >= to || duration < least) continue;
        take(begin, duration, words[row * 6 + 4] as number, words[row * 6 + 5] as number);
      }
      if ((ends[b] as number) >= to + this.#longest) break;
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Reads a block, and gives how many rows it has. */
  #read(b: number): number {
    const count = Math.min(blockRows, this.#facts.rows - b * blockRows);
    const read = readSync(this.#file, this.#block.bytes, 0, count * rowSize, b * blockRows * rowSize);
    if (read < count * rowSize) throw new IndexError('the index is shorter than it says');
    if (crc32(this.#block.bytes.subarray(0, read)) !== this.#facts.sums[b])
      throw new IndexError('the index is not as it was written');
    return count;
  }
}

class Block {
  readonly bytes = new Uint8Array(blockRows * rowSize);
  readonly doubles = new Float64Array(this.bytes.buffer);
  readonly words = new Uint32Array(this.bytes.buffer);
}

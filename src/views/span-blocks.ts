import { Summary } from '../spans/summary.ts';

/** Stretches of time that a recording is cut into, at most; and their length (in the clock's unit) to begin with: they grow with the recording. */
export const maxBlocks = 64;
const firstWidth = 1;

/** Rows that have blocks of their own; of more, the rest is the last. A row takes 256 bytes for each bucket that it touches. */
export const maxRows = 128;

/** Buckets of durations: 128 an octave, so that one is 0.5 % wide. */
const perOctave = 128;
const bucketCount = 51 * perOctave;

/** The durations of a set of spans, by blocks of time. */
export class BlockRow {
  readonly summary = new Summary();
  /** By block. */
  readonly counts = new Float64Array(maxBlocks);
  readonly totals = new Float64Array(maxBlocks);
  /** By bucket: its column plus 1, 0 where nothing fell into it. */
  readonly #columns = new Uint16Array(bucketCount);
  #used = 0;
  /** By column and block. */
  #cells = new Uint32Array(16 * maxBlocks);

  add(block: number, duration: number): void {
    this.summary.add(duration);
    this.counts[block] = (this.counts[block] as number) + 1;
    this.totals[block] = (this.totals[block] as number) + duration;
    const cell = this.#column(bucketOf(duration)) * maxBlocks + block;
    this.#cells[cell] = (this.#cells[cell] as number) + 1;
  }

  /** Takes over another's spans, whose blocks are the same stretches of time. */
  merge(from: BlockRow): void {
    this.summary.merge(from.summary);
    for (let block = 0; block < maxBlocks; block++) {
      this.counts[block] = (this.counts[block] as number) + (from.counts[block] as number);
      this.totals[block] = (this.totals[block] as number) + (from.totals[block] as number);
    }
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const column = from.#columns[bucket] as number;
      if (column === 0) continue;
      const mine = this.#column(bucket) * maxBlocks;
      const theirs = (column - 1) * maxBlocks;
      for (let block = 0; block < maxBlocks; block++) {
        this.#cells[mine + block] = (this.#cells[mine + block] as number) + (from.#cells[theirs + block] as number);
      }
    }
  }

  /** Makes two neighbouring blocks one. */
  halve(): void {
    halve(this.counts, 0);
    halve(this.totals, 0);
    for (let column = 0; column < this.#used; column++) halve(this.#cells, column * maxBlocks);
  }

  /** The buckets that are not empty, ascending: durations from `low` to below `high`, and how many in each block. */
  *buckets(): Iterable<{ low: number; high: number; counts: Uint32Array }> {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const column = this.#columns[bucket] as number;
      if (column === 0) continue;
      const counts = this.#cells.subarray((column - 1) * maxBlocks, column * maxBlocks);
      yield { low: 2 ** (bucket / perOctave) - 1, high: 2 ** ((bucket + 1) / perOctave) - 1, counts };
    }
  }

  #column(bucket: number): number {
    const known = this.#columns[bucket] as number;
    if (known > 0) return known - 1;
    const column = this.#used++;
    this.#columns[bucket] = this.#used;
    if ((column + 1) * maxBlocks > this.#cells.length) {
      const cells = new Uint32Array(this.#cells.length * 2);
      cells.set(this.#cells);
      this.#cells = cells;
    }
    return column;
  }
}

/**
 * Spans by row and by blocks of time, in bounded memory however long the recording is: when it outgrows its blocks,
 * they become twice as long. So it ends with more than half of `maxBlocks`, unless it is shorter than those.
 */
export class SpanBlocks {
  /** Undefined where a row has no span. */
  readonly rows: (BlockRow | undefined)[] = [];
  /** How long a block is, in the clock's unit. */
  width = firstWidth;
  #start = Number.NaN;

  /** Where the first block begins: a time that none precedes. The first call counts. */
  start(time: number): void {
    if (Number.isNaN(this.#start)) this.#start = time;
  }

  /** A span that ended at a time. Rows from `maxRows` − 1 on are one. */
  add(row: number, end: number, duration: number): void {
    let block = Math.floor((end - this.#start) / this.width);
    while (block >= maxBlocks) {
      this.width *= 2;
      for (const one of this.rows) one?.halve();
      block = Math.floor((end - this.#start) / this.width);
    }
    const at = Math.min(row, maxRows - 1);
    (this.rows[at] ?? this.#newRow(at)).add(Math.max(0, block), duration);
  }

  /** The length of each block, up to the end of the recording; the last one is shorter. */
  lengths(end: number): number[] {
    const whole = end - this.#start;
    // What ends with the recording may lie at the very beginning of a block.
    const count = Math.min(maxBlocks, Math.floor(whole / this.width) + 1);
    return Array.from({ length: count }, (_, block) =>
      block < count - 1 ? this.width : whole - (count - 1) * this.width,
    );
  }

  #newRow(at: number): BlockRow {
    while (this.rows.length <= at) this.rows.push(undefined);
    const row = new BlockRow();
    this.rows[at] = row;
    return row;
  }
}

function bucketOf(duration: number): number {
  return Math.min(bucketCount - 1, Math.floor(Math.log2(Math.max(0, duration) + 1) * perOctave));
}

function halve(cells: Float64Array | Uint32Array, at: number): void {
  for (let block = 0; block < maxBlocks / 2; block++) {
    cells[at + block] = (cells[at + 2 * block] as number) + (cells[at + 2 * block + 1] as number);
  }
  cells.fill(0, at + maxBlocks / 2, at + maxBlocks);
}

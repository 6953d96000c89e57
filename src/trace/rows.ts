/**
 * The rows of events that wait for their turn: 32 bytes each, so that a row is written and read in one place. Row `n` has its time in
 * `times[n * 4]`, and its other columns at `words[n * 8 + …]`, by the names of `EventBatch`'s columns below.
 */
export class Rows {
  readonly capacity: number;
  readonly times: Float64Array;
  readonly words: Int32Array;

  /** `buffer` is where they lie; threads can share one. */
  constructor(buffer: ArrayBufferLike) {
    this.capacity = Math.floor(buffer.byteLength / rowBytes);
    this.times = new Float64Array(buffer);
    this.words = new Int32Array(buffer);
  }
}

/** Size of a row. */
export const rowBytes = 32;

/** The columns of a row, as words of 4 bytes from its beginning. */
export const rowType = 2;
export const rowCpu = 3;
export const rowTid = 4;
export const rowPid = 5;
export const rowAt = 6;
export const rowSize = 7;

import { readSync } from 'node:fs';
import type { KnownNames, NamesPart } from '../trace/stretches.ts';
import { recordType } from './perf-header.ts';

/*
 * Stretches of a perf.data, which can be read beside each other. perf writes the CPUs' buffers one after the other, round after round: what came in
 * a round is complete when the next has ended. So a recording is cut at a time, the latest of a round: what is later and stands in the next round
 * belongs behind the cut. The stretch before reads that round to its end, and the one behind begins with the round of which it is the latest time.
 */

/** Offsets of the ends of two rounds that follow each other: the second is the one whose latest time the cut is at. */
export type Border = { before: number; at: number };

/** How a stretch is opened. */
export type PerfStretch = {
  /** Where it begins, undefined at the beginning of the file; and where it ends, undefined at the end of the file. */
  from: Border | undefined;
  to: Border | undefined;
  /** The recording's. */
  origin: bigint;
  /** Attributes whose events were seen before the recording was cut, in that order, and those of the guest's. */
  attrs: readonly { index: number; guest: boolean }[];
  names: KnownNames;
};

/** What the others must know of a stretch that was read. */
export type PerfStretchPart = {
  /** The time that it begins behind, and the one that it ends with; NaN where it did not come to a border as it should. */
  floor: number;
  ceiling: number;
  /** Whether something came that only who reads in one go can tell about. */
  unsure: boolean;
  attrs: readonly { index: number; guest: boolean }[];
  names: NamesPart | undefined;
  last: number;
  lost: number;
  lostSamples: number;
  unknownIds: number;
  notes: readonly string[];
  /** By the name that the file has for the events. */
  repeated: readonly (readonly [recordedAs: string, count: number])[];
};

/** What the reader of a stretch has met of its borders. */
export class Borders {
  readonly #from: Border | undefined;
  readonly #to: Border | undefined;
  /** Latest times at the borders, NaN until they are met. */
  floor = Number.NaN;
  ceiling = Number.NaN;
  /** Whether its first rounds are read, which are for the most part those of the stretch before. */
  leading: boolean;
  /** Whether its last round is over. */
  ended = false;
  #metBefore = false;
  /** Rounds that ended from the border on: the one whose latest time it is at, and the next. */
  #roundsFrom = 0;
  #roundsTo = 0;

  constructor({ from, to }: Pick<PerfStretch, 'from' | 'to'>) {
    this.#from = from;
    this.#to = to;
    this.leading = from !== undefined;
  }

  /** Whether it ends before a border that it should have met: nothing is as it should be then. */
  get missed(): boolean {
    return this.#to !== undefined && Number.isNaN(this.ceiling);
  }

  /** The end of a round at `offset`, with the latest time so far. True where it is one at a border, and counts although nothing may have come in it. */
  meet(offset: number, latest: number): boolean {
    if (this.leading && offset === this.#from?.at) this.floor = latest;
    if (offset === this.#to?.before) this.#metBefore = true;
    if (offset === this.#to?.at && this.#metBefore) this.ceiling = latest;
    const behind = this.leading ? this.#from : undefined;
    return (behind !== undefined && offset > behind.before) || (this.#to !== undefined && offset >= this.#to.before);
  }

  /** After a round. `'began'` where what comes from here on is of the stretch. */
  endRound(): 'began' | undefined {
    if (this.leading) {
      if (this.#roundsFrom++ === 0 || Number.isNaN(this.floor)) return undefined;
      this.leading = false;
      return 'began';
    }
    if (!Number.isNaN(this.ceiling)) this.ended = this.#roundsTo++ > 0;
    return undefined;
  }
}

const headerSize = 8;
const windowSize = 1 << 20;
/** So many records in a row are no accident; that they are none at all comes to light when the stretch before ends elsewhere. */
const enough = 64;
/** perf's own records have types up to 90 or so. */
const mostTypes = 100;

/** Finds borders in the records of a file between two offsets, about one at each of these. Fewer where rounds are long. */
export function findBorders(file: number, little: boolean, wanted: readonly number[], end: number): Border[] {
  const borders: Border[] = [];
  const window = new Window(file, little, end);
  for (const [i, offset] of wanted.entries()) {
    // No further than to the next.
    const border = window.border(offset, wanted[i + 1] ?? end);
    const last = borders.at(-1);
    if (border !== undefined && (last === undefined || border.before > last.at)) borders.push(border);
  }
  return borders;
}

class Window {
  readonly #file: number;
  readonly #little: boolean;
  readonly #end: number;
  readonly #bytes = new Uint8Array(windowSize);
  readonly #view = new DataView(this.#bytes.buffer);
  #start = 0;
  #size = 0;

  constructor(file: number, little: boolean, end: number) {
    this.#file = file;
    this.#little = little;
    this.#end = end;
  }

  border(from: number, stop: number): Border | undefined {
    let offset = this.#record(from - (from % 8));
    if (offset === undefined) return undefined;
    let before: number | undefined;
    let samples = 0;
    while (offset < stop) {
      const header = this.#header(offset);
      if (header === undefined) return undefined;
      if (header.type === recordType.sample) samples++;
      // Rounds without events are frequent where few CPUs have much to tell.
      if (header.type === recordType.finishedRound) {
        if (before !== undefined && samples > 0) return { before, at: offset };
        before = offset;
        samples = 0;
      }
      offset += header.size;
    }
    return undefined;
  }

  /** Where a record begins, at this offset or behind it. */
  #record(from: number): number | undefined {
    for (let start = from; start < from + (1 << 16); start += 8) {
      let offset = start;
      let n = 0;
      while (n < enough) {
        const header = this.#header(offset);
        if (header === undefined) break;
        offset += header.size;
        n++;
      }
      if (n === enough) return start;
    }
    return undefined;
  }

  #header(offset: number): { type: number; size: number } | undefined {
    if (offset + headerSize > this.#end) return undefined;
    if (offset < this.#start || offset + headerSize > this.#start + this.#size) {
      this.#start = offset;
      try {
        this.#size = readSync(this.#file, this.#bytes, 0, Math.min(windowSize, this.#end - offset), offset);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).errno === undefined) throw error;
        // Who reads the records comes to the same error, and tells of it.
        this.#size = 0;
      }
      if (this.#size < headerSize) return undefined;
    }
    const at = offset - this.#start;
    const type = this.#view.getUint32(at, this.#little);
    const size = this.#view.getUint16(at + 6, this.#little);
    return type > 0 && type < mostTypes && size >= headerSize && (size & 7) === 0 ? { type, size } : undefined;
  }
}

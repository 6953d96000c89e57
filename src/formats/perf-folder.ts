import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TraceError } from '../trace/error.ts';
import { asTraceError, type Input } from './input.ts';
import { type PerfAttr, type PerfHeader, recordType } from './perf-header.ts';
import { PerfUnpacker } from './perf-unpack.ts';
import { RandomFile } from './random-file.ts';
import type { ReadInto } from './slot-reader.ts';

/*
 * The folder of `perf record --threads`: `data` has the header and what perf itself wrote, `data.0`, `data.1`, … have records and nothing
 * else, each those of the CPUs that one thread of perf read. Source: linux tools/perf/util/data.c, session.c and builtin-record.c.
 *
 * This reads them as one stream of records for the parser of perf.data. Behind each piece of a file stands a FINISHED_ROUND that perf does
 * not write: 16 bytes, with the time up to which everything was given.
 */

/** Size of such a record. */
export const boundedRound = 16;

/** Bytes of a file that are read at a time: less where there are many, as of each file one piece waits for the others. */
const largestPiece = 1 << 20;
const leastPiece = 64 << 10;
const allPieces = 16 << 20;
/** Sizes of records are 16-bit numbers. */
const longestRecord = 1 << 16;

export class PerfFolder {
  readonly #parts: Part[];
  readonly #little: boolean;
  /** The piece that is being given, and the mark behind it. */
  #piece: Uint8Array = new Uint8Array(0);
  #given = 0;
  /** Time that the parts' times count from: that of the first sample read. */
  readonly #origin: Origin;
  /** Whether the piece at hand is a file's, and not the mark behind one. */
  #isPiece = false;

  private constructor(parts: Part[], little: boolean, origin: Origin) {
    this.#parts = parts;
    this.#little = little;
    this.#origin = origin;
  }

  /** Opens the files beside `input`, whose header this is; `main` gives its records. */
  static async open(input: Input, header: PerfHeader, main: ReadInto, compressed: boolean): Promise<PerfFolder> {
    const names = await partNames(input);
    const piece = Math.max(leastPiece, Math.min(largestPiece, Math.floor(allPieces / names.length)));
    // With a file for each CPU, each has the samples of one, as the kernel ordered them.
    const ordered = header.cpus !== undefined && names.length >= header.cpus;
    const origin: Origin = { time: undefined, high: 0, low: 0 };
    const layout = timesOf(header);
    const parts: Part[] = [];
    let size = input.size ?? 0;
    const add = (name: string, read: ReadInto, start: number, file: RandomFile | undefined): void => {
      input.meter.need(piece + longestRecord, 'files of threads');
      const unpacker = compressed ? new PerfUnpacker(input, header.little, read, start, leastPiece) : undefined;
      parts.push(
        new Part(name, file, unpacker ?? read, start, { piece, ordered, origin, layout, little: header.little }),
      );
    };
    try {
      add(input.name, main, header.dataStart, undefined);
      for (const name of names) {
        const file = RandomFile.open(name);
        size += file.size;
        const read: ReadInto = async (target, offset) => {
          const { bytesRead } = await file.read(target, 0, target.length, offset);
          input.read += bytesRead;
          input.meter.read(bytesRead);
          return bytesRead;
        };
        add(name, read, 0, file);
      }
    } catch (error) {
      for (const part of parts) await part.close();
      throw asTraceError(names[parts.length - 1] ?? input.name, error);
    }
    input.size = size;
    return new PerfFolder(parts, header.little, origin);
  }

  /** A ReadInto for the records. */
  async readInto(target: Uint8Array): Promise<number> {
    while (this.#given === this.#piece.length) if (!(await this.#next())) return 0;
    const n = Math.min(target.length, this.#piece.length - this.#given);
    target.set(this.#piece.subarray(this.#given, this.#given + n));
    this.#given += n;
    return n;
  }

  /** Goes on to the mark behind a piece, or to the next piece: of the file of which least is known. False at the end. */
  async #next(): Promise<boolean> {
    this.#given = 0;
    if (this.#isPiece) {
      this.#isPiece = false;
      this.#piece = this.#mark();
      return true;
    }
    let next: Part | undefined;
    for (const part of this.#parts) if (!part.ended && (next === undefined || part.bound < next.bound)) next = part;
    if (next === undefined) return false;
    this.#piece = await next.read();
    this.#isPiece = true;
    return true;
  }

  #mark(): Uint8Array {
    let bound = Number.POSITIVE_INFINITY;
    for (const part of this.#parts) bound = Math.min(bound, part.bound);
    if (!Number.isFinite(bound)) return new Uint8Array(0);
    const bytes = new Uint8Array(boundedRound);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, recordType.finishedRound, this.#little);
    view.setUint16(6, boundedRound, this.#little);
    view.setBigUint64(8, BigInt.asUintN(64, (this.#origin.time ?? 0n) + BigInt(bound)), this.#little);
    return bytes;
  }

  async close(): Promise<void> {
    for (const part of this.#parts) await part.close();
  }
}

/** The first sample's time, as it is and in halves. */
type Origin = { time: bigint | undefined; high: number; low: number };

/** Where samples have their time and CPU; undefined where events differ in that. */
type Times = { time: number; cpu: number } | undefined;

function timesOf({ attrs }: PerfHeader): Times {
  const [first, ...others] = attrs as [PerfAttr, ...PerfAttr[]];
  const alike = others.every(({ timeAt, cpuAt }) => timeAt === first.timeAt && cpuAt === first.cpuAt);
  return alike && first.timeAt >= 0 ? { time: first.timeAt, cpu: first.cpuAt } : undefined;
}

/** One of the files. */
class Part {
  /** No sample that is still to come of this file is earlier. */
  bound = Number.NEGATIVE_INFINITY;
  ended = false;

  readonly #name: string;
  readonly #file: RandomFile | undefined;
  readonly #unpacker: PerfUnpacker | undefined;
  readonly #read: ReadInto;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #options: { ordered: boolean; origin: Origin; layout: Times; little: boolean };
  /** What is at hand of a record that the last piece cut, from `#start` on. */
  #start = 0;
  #end = 0;
  #offset: number;

  #newest = Number.NEGATIVE_INFINITY;
  #cpu = -1;
  /** perf reads the buffers of all its CPUs, one after the other, again and again: the pass that each CPU was last seen in. */
  readonly #passOf = new Map<number, number>();
  #pass = 0;
  /** The newest time when the pass at hand began, and when the one before did. */
  #before = Number.NEGATIVE_INFINITY;
  #complete = Number.NEGATIVE_INFINITY;

  constructor(
    name: string,
    file: RandomFile | undefined,
    source: ReadInto | PerfUnpacker,
    start: number,
    options: { piece: number; ordered: boolean; origin: Origin; layout: Times; little: boolean },
  ) {
    this.#name = name;
    this.#file = file;
    this.#unpacker = source instanceof PerfUnpacker ? source : undefined;
    this.#read = source instanceof PerfUnpacker ? (target) => source.readInto(target) : source;
    this.#buffer = new Uint8Array(options.piece + longestRecord);
    this.#view = new DataView(this.#buffer.buffer);
    this.#options = options;
    this.#offset = start;
  }

  /** The next whole records. They are valid until the next call. */
  async read(): Promise<Uint8Array> {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    const before = this.#newest;
    const got = await this.#read(this.#buffer.subarray(this.#end), this.#offset);
    this.#offset += got;
    this.#end += got;
    if (got === 0) {
      if (this.#end > 0)
        throw this.#error(`the file ends after ${this.#end} bytes of a record`, this.#offset, 'whole records');
      this.ended = true;
      this.bound = Number.POSITIVE_INFINITY;
      return this.#buffer.subarray(0, 0);
    }
    const { little, ordered } = this.#options;
    let pos = 0;
    while (pos + 8 <= this.#end) {
      const size = this.#view.getUint16(pos + 6, little);
      if (size < 8) throw this.#error(`a record of ${size} bytes`, this.#offset - this.#end + pos, 'at least 8');
      if (pos + size > this.#end) break;
      if (this.#view.getUint32(pos, little) === recordType.sample) this.#sample(pos, size);
      pos += size;
    }
    this.#start = pos;
    if (this.#passOf.size > 1) this.bound = this.#complete;
    else this.bound = ordered ? this.#newest : before;
    return this.#buffer.subarray(0, pos);
  }

  #sample(pos: number, size: number): void {
    const { layout, little, origin } = this.#options;
    if (layout === undefined || layout.time + 8 > size || layout.cpu + 4 > size) return;
    const view = this.#view;
    if (origin.time === undefined) {
      origin.time = view.getBigUint64(pos + layout.time, little);
      origin.high = Number(origin.time >> 32n);
      origin.low = Number(origin.time & 0xffffffffn);
    }
    const high = view.getUint32(pos + layout.time + (little ? 4 : 0), little);
    const low = view.getUint32(pos + layout.time + (little ? 0 : 4), little);
    const time = (high - origin.high) * 0x100000000 + (low - origin.low);
    const cpu = layout.cpu < 0 ? -1 : view.getInt32(pos + layout.cpu, little);
    if (cpu !== this.#cpu || this.#passOf.size === 0) {
      this.#cpu = cpu;
      if (this.#passOf.get(cpu) === this.#pass) {
        this.#pass++;
        this.#complete = this.#before;
        this.#before = this.#newest;
      }
      this.#passOf.set(cpu, this.#pass);
    }
    if (time > this.#newest) this.#newest = time;
  }

  #error(problem: string, offset: number, expected: string): TraceError {
    const where = this.#unpacker?.unpacked === true ? this.#unpacker.offset : offset;
    return new TraceError(this.#name, problem, where, expected);
  }

  async close(): Promise<void> {
    await this.#unpacker?.close();
    await this.#file?.close();
  }
}

/** The files `data.0`, `data.1`, … beside an input. Throws where there are none, or one is missing. */
async function partNames(input: Input): Promise<string[]> {
  const expected = 'the folder that perf record --threads wrote, with the files data.0, data.1, …';
  const lacks = (what: string) =>
    new TraceError(
      input.name,
      `perf record --threads wrote its events to files beside it, of which ${what}`,
      undefined,
      expected,
    );
  if (input.path === undefined) throw lacks('standard input has none');
  const folder = dirname(input.path);
  const numbers: number[] = [];
  for (const name of readdirSync(folder)) {
    const number = /^data\.(0|[1-9]\d{0,4})$/.exec(name)?.[1];
    if (number !== undefined) numbers.push(Number(number));
  }
  numbers.sort((a, b) => a - b);
  if (numbers.length === 0) throw lacks('there is none');
  const missing = numbers.findIndex((number, index) => number !== index);
  if (missing >= 0) throw lacks(`data.${missing} is missing`);
  return numbers.map((number) => join(folder, `data.${number}`));
}

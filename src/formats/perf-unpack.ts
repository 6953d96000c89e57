import { Arena } from '../trace/arena.ts';
import { TraceError } from '../trace/error.ts';
import { type Input, isOfInput } from './input.ts';
import { number64, recordType } from './perf-header.ts';
import { type ReadInto, SlotReader } from './slot-reader.ts';
import { ZstdStream } from './zstd.ts';

const nothing = new Uint8Array(0);

/** Bytes that come of one of a recording's, at most as a rule: perf's records repeat themselves. */
export const usualUnfolded = 128;

/**
 * perf record -z: records PERF_RECORD_COMPRESSED hold pieces of one zstd stream of records. This gives the
 * records as they were before compression, the others between them, so that one parser serves both.
 */
export class PerfUnpacker {
  readonly #input: Input;
  readonly #name: string;
  readonly #little: boolean;
  readonly #reader: SlotReader;
  readonly #arena: Arena;
  #zstd: ZstdStream | undefined;
  /** The piece of the zstd stream that is being unpacked, and whether more may come of it. */
  #packed: Uint8Array = nothing;
  #inflating = false;
  /** Bytes at hand that go on as they are; the rest of them is still to be read. */
  #plain = 0;
  #failed: unknown;
  #ended = false;

  /** `read` gives the file's records from `start` on, `slotSize` bytes at a time. */
  constructor(input: Input, little: boolean, read: ReadInto, start: number, slotSize = 1 << 20) {
    this.#input = input;
    this.#name = input.name;
    this.#arena = new Arena(input.slot(slotSize), 1 << 16, input.room(16 * slotSize));
    this.#little = little;
    this.#reader = new SlotReader(this.#arena, read, start);
  }

  /** A ReadInto for the unpacked records. */
  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    try {
      while (this.#failed === undefined && filled < target.length) {
        const room = target.subarray(filled);
        if (this.#inflating) filled += await this.#inflate(room);
        else if (this.#plain > 0) filled += await this.#pass(room);
        else if (this.#ended || !(await this.#nextRecord())) break;
      }
    } catch (error) {
      this.#failed = error;
    }
    // What came before the damage is given first.
    if (filled === 0 && this.#failed !== undefined) throw this.#failed;
    return filled;
  }

  /** Whether anything was compressed, so that offsets in the unpacked records are not the file's. */
  get unpacked(): boolean {
    return this.#zstd !== undefined;
  }

  /** How far the file was read. */
  get offset(): number {
    return this.#reader.offsetOf(this.#reader.pos);
  }

  async close(): Promise<void> {
    await this.#reader.close();
    this.#zstd?.close();
  }

  /** Looks at the next record: what is to be unpacked or handed on is known then. False at the end. */
  async #nextRecord(): Promise<boolean> {
    const reader = this.#reader;
    const little = this.#little;
    for (;;) {
      const { pos, end } = reader;
      const left = end - pos;
      const { view, bytes } = this.#arena;
      const size = left < 8 ? 0 : view.getUint16(pos + 6, little);
      if (left >= 8 && size < 8) {
        const problem = `a record of ${size} bytes`;
        throw new TraceError(this.#name, problem, reader.offsetOf(pos), 'a perf record of at least 8');
      }
      if (left < 8 || size > left) {
        if (await this.#more()) continue;
        // A record that the file's end cuts: handed on, so that the parser tells of it.
        this.#plain = left;
        return left > 0;
      }
      const type = view.getUint32(pos, little);
      if (type === recordType.compressed || type === recordType.compressed2) {
        // COMPRESSED2 says how much of the record is data; the rest is padding.
        const start = pos + (type === recordType.compressed2 ? 16 : 8);
        const told = type === recordType.compressed2 ? start + view.getUint32(pos + (little ? 8 : 12), little) : end;
        this.#packed = bytes.subarray(start, Math.max(start, Math.min(pos + size, told)));
        this.#inflating = true;
        reader.pos += size;
      } else this.#plain = size + bytesBehind(view, pos, type, size, little);
      return true;
    }
  }

  /** Brings more bytes to hand. */
  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    const reader = this.#reader;
    const more = await reader.next();
    if (more === 'full') throw new TraceError(this.#name, 'no memory for records', reader.offsetOf(reader.pos));
    this.#ended = !more;
    return more;
  }

  async #pass(room: Uint8Array): Promise<number> {
    const reader = this.#reader;
    if (reader.pos === reader.end && !(await this.#more())) {
      this.#plain = 0;
      return 0;
    }
    const n = Math.min(this.#plain, reader.end - reader.pos, room.length);
    room.set(this.#arena.bytes.subarray(reader.pos, reader.pos + n));
    reader.pos += n;
    this.#plain -= n;
    return n;
  }

  async #inflate(room: Uint8Array): Promise<number> {
    this.#zstd ??= new ZstdStream();
    try {
      const n = await this.#zstd.unpack(this.#packed, room);
      this.#packed = this.#packed.subarray(this.#packed.length - this.#zstd.left);
      this.#inflating = n === room.length;
      this.#input.meter.unfold(n, this.offset);
      return n;
    } catch (error) {
      if (error instanceof TraceError || !isOfInput(error)) throw error;
      const problem = `the compressed records break (${error.message})`;
      throw new TraceError(this.#name, problem, this.offset, 'a whole zstd stream');
    }
  }
}

/**
 * How many bytes follow a record that its size does not count: a pipe's event formats (u32, padded to 8) and AUX data (u64).
 */
export function bytesBehind(view: DataView, pos: number, type: number, size: number, little: boolean): number {
  if (type === recordType.tracingData && size >= 12) return Math.ceil(view.getUint32(pos + 8, little) / 8) * 8;
  if (type === recordType.auxtrace && size >= 16) return number64(view, pos + 8, little);
  return 0;
}

import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import { Arena } from '../trace/arena.ts';
import { TraceError } from '../trace/error.ts';
import { ChunkPump } from './chunk-pump.ts';
import type { Input } from './input.ts';
import { number64, recordType } from './perf-header.ts';
import { type ReadInto, SlotReader } from './slot-reader.ts';

/** How many compressed bytes are handed to zstd at a time: enough to keep its thread busy, little enough for any memory. */
const pieceSize = 256 << 10;

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
  #zstd: ZstdDecompress | undefined;
  #failed: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #pump = new ChunkPump(this.#unpack());

  /** `read` gives the file's records from `start` on, `slotSize` bytes at a time. */
  constructor(input: Input, little: boolean, read: ReadInto, start: number, slotSize = 1 << 20) {
    this.#input = input;
    this.#name = input.name;
    this.#arena = new Arena(slotSize, 1 << 16, input.room(16 * slotSize));
    this.#little = little;
    this.#reader = new SlotReader(this.#arena, read, start);
  }

  /** A ReadInto for the unpacked records. */
  async readInto(target: Uint8Array): Promise<number> {
    return await this.#pump.readInto(target);
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
    this.#zstd?.destroy();
  }

  async *#unpack(): AsyncGenerator<Uint8Array> {
    const reader = this.#reader;
    const arena = this.#arena;
    let packed: Uint8Array[] = [];
    // Bytes of data that follow a record without being part of it, still to be handed on.
    let passing = 0;
    let packedSize = 0;
    for (;;) {
      const more = await reader.next();
      if (more === 'full') throw new TraceError(this.#name, 'no memory for records', reader.offsetOf(reader.pos));
      const { view, bytes } = arena;
      // Records that are not compressed, next to each other.
      let plain = -1;
      for (;;) {
        const pos = reader.pos;
        const left = reader.end - pos;
        if (passing > 0 && left > 0) {
          const n = Math.min(passing, left);
          yield bytes.slice(pos, pos + n);
          passing -= n;
          reader.pos += n;
          continue;
        }
        const size = left < 8 ? 0 : view.getUint16(pos + 6, this.#little);
        const whole = left >= 8 && size <= left;
        const type = whole ? view.getUint32(pos, this.#little) : 0;
        if (left >= 8 && size < 8) {
          // What came before it stands.
          if (packedSize > 0) yield* this.#inflate(Buffer.concat(packed));
          if (plain >= 0) yield bytes.slice(plain, pos);
          throw new TraceError(
            this.#name,
            `a record of ${size} bytes`,
            reader.offsetOf(pos),
            'a perf record of at least 8',
          );
        }
        const compressed = type === recordType.compressed || type === recordType.compressed2;
        if (plain >= 0 && (!whole || compressed)) {
          yield bytes.slice(plain, pos);
          plain = -1;
        }
        if (!whole) break;
        if (compressed) {
          // COMPRESSED2 says how much of the record is data; the rest is padding.
          const start = pos + (type === recordType.compressed2 ? 16 : 8);
          const end =
            type === recordType.compressed2
              ? Math.min(pos + size, start + view.getUint32(pos + (this.#little ? 8 : 12), this.#little))
              : pos + size;
          packed.push(bytes.slice(start, end));
          packedSize += end - start;
        } else {
          if (packedSize > 0) {
            yield* this.#inflate(Buffer.concat(packed));
            packed = [];
            packedSize = 0;
          }
          if (plain < 0) plain = pos;
        }
        reader.pos += size;
        passing = bytesBehind(view, pos, type, size, this.#little);
        if (passing > 0) {
          yield bytes.slice(plain, pos + size);
          plain = -1;
        }
        if (packedSize >= pieceSize) {
          yield* this.#inflate(Buffer.concat(packed));
          packed = [];
          packedSize = 0;
        }
      }
      if (more === false) break;
    }
    if (packedSize > 0) yield* this.#inflate(Buffer.concat(packed));
    // A record that the file's end cuts: handed on, so that the parser tells of it.
    if (reader.pos < reader.end) yield arena.bytes.slice(reader.pos, reader.end);
  }

  /** What the next bytes of the zstd stream unpack to. */
  async *#inflate(packed: Uint8Array): AsyncGenerator<Uint8Array> {
    if (this.#zstd === undefined) {
      const zstd = createZstdDecompress({ chunkSize: 1 << 20 });
      zstd.on('error', (error) => {
        this.#failed = error;
        this.#wake?.();
      });
      zstd.on('readable', () => this.#wake?.());
      this.#zstd = zstd;
    }
    const zstd = this.#zstd;
    let taken = false;
    zstd.write(packed, () => {
      taken = true;
      this.#wake?.();
    });
    for (;;) {
      const chunk = zstd.read() as Buffer | null;
      if (chunk !== null) {
        this.#input.meter.unfold(chunk.length, this.offset);
        yield chunk;
        continue;
      }
      if (this.#failed !== undefined) {
        throw new TraceError(
          this.#name,
          `the compressed records break (${this.#failed.message})`,
          this.#reader.offsetOf(this.#reader.pos),
          'a whole zstd stream',
        );
      }
      if (taken) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
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

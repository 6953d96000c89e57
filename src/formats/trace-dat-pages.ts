import type { FileHandle } from 'node:fs/promises';
import { TraceError } from '../trace/error.ts';
import { type Codec, unpack } from './trace-dat-header.ts';
import type { CpuData } from './trace-dat-options.ts';

/** The pages of one CPU, from a trace.dat. */
export interface PageSource {
  /** Reads the next bytes into `target`: all of it but at the end. Gives 0 at the end. */
  readInto(target: Uint8Array, offset: number): Promise<number>;
  /** Offset in the file of what stands (or, compressed, of the chunk that it stands in) at an offset in the pages. */
  fileOffset(offset: number): number;
  /** Bytes of the file that were read. */
  readonly read: number;
}

/** Pages as they are. */
export class PlainPages implements PageSource {
  read = 0;
  readonly #file: FileHandle;
  readonly #fileSize: number;
  readonly #name: string;
  readonly #data: CpuData;

  constructor(file: FileHandle, fileSize: number, name: string, data: CpuData) {
    this.#file = file;
    this.#fileSize = fileSize;
    this.#name = name;
    this.#data = data;
  }

  async readInto(target: Uint8Array, offset: number): Promise<number> {
    const { cpu, size } = this.#data;
    const from = this.#data.offset + offset;
    const wanted = Math.min(target.length, size - offset, this.#fileSize - from);
    if (wanted <= 0 && offset < size) {
      const expected = `${size - offset} more bytes of CPU ${cpu}`;
      throw new TraceError(this.#name, 'the file ends', this.#fileSize, expected);
    }
    let got = 0;
    while (got < wanted) {
      const { bytesRead } = await this.#file.read(target, got, wanted - got, from + got);
      if (bytesRead === 0) break;
      got += bytesRead;
    }
    this.read += got;
    return got;
  }

  fileOffset(offset: number): number {
    return this.#data.offset + offset;
  }
}

/** Pages in compressed chunks: u32 count, then for each chunk u32 compressed size, u32 size, data. */
export class PackedPages implements PageSource {
  read = 0;
  readonly #file: FileHandle;
  readonly #name: string;
  readonly #fileSize: number;
  readonly #little: boolean;
  readonly #codec: Codec;
  /** Offset in the file of the next byte not taken from the window. */
  #next: number;
  /** Bytes of the file that were read ahead, and the offset in the file of the first. */
  readonly #window: Uint8Array;
  #windowStart = 0;
  #windowSize = 0;
  #chunksLeft = -1;
  #chunk: Uint8Array = new Uint8Array(0);
  #unpacked = 0;
  /** Where the last chunks begin, in the pages and in the file. */
  #marks: { offset: number; fileOffset: number }[] = [];
  #failed: unknown;

  constructor(
    file: FileHandle,
    fileSize: number,
    name: string,
    data: CpuData,
    { little, codec }: { little: boolean; codec: Codec },
    windowSize: number,
  ) {
    this.#file = file;
    this.#fileSize = fileSize;
    this.#name = name;
    this.#little = little;
    this.#codec = codec;
    this.#next = data.offset;
    this.#window = new Uint8Array(windowSize);
  }

  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    try {
      while (filled < target.length) {
        if (this.#chunk.length === 0 && (this.#failed !== undefined || !(await this.#nextChunk()))) break;
        const n = Math.min(this.#chunk.length, target.length - filled);
        target.set(this.#chunk.subarray(0, n), filled);
        filled += n;
        this.#chunk = this.#chunk.subarray(n);
      }
    } catch (error) {
      this.#failed = error;
    }
    // What came before the damage is given first.
    if (filled === 0 && this.#failed !== undefined) throw this.#failed;
    return filled;
  }

  fileOffset(offset: number): number {
    const mark = this.#marks.findLast((m) => m.offset <= offset);
    return mark?.fileOffset ?? this.#next;
  }

  async #nextChunk(): Promise<boolean> {
    if (this.#chunksLeft < 0) this.#chunksLeft = this.#u32(await this.#bytes(4, 'the number of compressed chunks'), 0);
    if (this.#chunksLeft === 0) return false;
    this.#chunksLeft--;
    const at = this.#next;
    const sizes = await this.#bytes(8, 'a compressed chunk of pages');
    const packed = this.#u32(sizes, 0);
    const size = this.#u32(sizes, 4);
    const bytes = await this.#bytes(packed, 'a compressed chunk of pages');
    this.#chunk = unpack(this.#codec, bytes, size, this.#name, at);
    if (this.#marks.length >= 1024) this.#marks.splice(0, 512);
    this.#marks.push({ offset: this.#unpacked, fileOffset: at });
    this.#unpacked += size;
    return true;
  }

  #u32(bytes: Uint8Array, at: number): number {
    return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, this.#little);
  }

  /** The next bytes of the file, valid until the next call. */
  async #bytes(length: number, what: string): Promise<Uint8Array> {
    if (this.#next + length > this.#fileSize) {
      throw new TraceError(
        this.#name,
        `the file ends at byte ${this.#fileSize}`,
        this.#next,
        `${what}, ${length} bytes`,
      );
    }
    let from = this.#next - this.#windowStart;
    if (from < 0 || from + length > this.#windowSize) {
      let window = this.#window;
      // Only a chunk larger than the window is read by itself.
      if (length > window.length) window = new Uint8Array(length);
      else {
        this.#windowStart = this.#next;
        this.#windowSize = 0;
      }
      const wanted = Math.min(window.length, this.#fileSize - this.#next);
      let got = 0;
      while (got < wanted) {
        const { bytesRead } = await this.#file.read(window, got, wanted - got, this.#next + got);
        if (bytesRead === 0) break;
        got += bytesRead;
      }
      this.read += got;
      if (got < length) {
        throw new TraceError(this.#name, 'the file became shorter while it was read', this.#next, what);
      }
      if (window !== this.#window) {
        this.#next += length;
        return window.subarray(0, length);
      }
      this.#windowSize = got;
      from = 0;
    }
    this.#next += length;
    return this.#window.subarray(from, from + length);
  }
}

import { TraceError } from '../trace/error.ts';
import type { Input } from './input.ts';
import type { RandomFile } from './random-file.ts';
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
  /** Where pages are missing before the one at an offset, and why; in order. Whoever reads takes them off. */
  readonly holes: { offset: number; damage: TraceError }[];
  /** What the data do not tell as they should, although all of them were read; undefined where nothing is the matter. */
  readonly note?: string | undefined;
}

/** Pages as they are. */
export class PlainPages implements PageSource {
  read = 0;
  readonly holes = [];
  readonly #file: RandomFile;
  readonly #fileSize: number;
  readonly #name: string;
  #data: CpuData;

  constructor(file: RandomFile, fileSize: number, name: string, data: CpuData) {
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

  /** Leaves what is behind so many bytes to another. */
  endAt(size: number): void {
    this.#data = { ...this.#data, size };
  }

  fileOffset(offset: number): number {
    return this.#data.offset + offset;
  }
}

/** How many chunks of a CPU may be broken before the rest is left alone. */
const mostHoles = 64;
/** Where chunks are unpacked of which nothing is kept: what is needed of one is copied at once. */
let scratch = new Uint8Array(0);

function scratchOf(size: number): Uint8Array {
  if (scratch.length < size) scratch = new Uint8Array(size);
  return scratch.subarray(0, size);
}

/** What zlib's and zstd's data begin with. */
const magics: Record<Codec, readonly number[]> = { none: [], zlib: [0x78], zstd: [0x28, 0xb5, 0x2f, 0xfd] };

/**
 * Pages in compressed chunks: u32 count, then for each chunk u32 compressed size, u32 size, data. They end where the CPU's data do,
 * whatever the count is. A chunk that does not unpack is a hole; reading goes on with the next.
 */
export class PackedPages implements PageSource {
  read = 0;
  readonly holes: { offset: number; damage: TraceError }[] = [];
  note: string | undefined;
  readonly #file: RandomFile;
  readonly #name: string;
  readonly #cpu: number;
  readonly #little: boolean;
  readonly #codec: Codec;
  readonly #pageSize: number;
  /** Where the CPU's data end, as the file tells (trace-cmd up to 3.1 does not count the count), and where they end at the latest. */
  readonly #told: number;
  readonly #end: number;
  readonly #input: Input;
  /** Offset in the file of the next byte not taken from the window. */
  #next: number;
  /** Bytes of the file that were read ahead, and the offset in the file of the first. */
  readonly #window: Uint8Array;
  #windowStart = 0;
  #windowSize = 0;
  /** Chunks that there should be, and that there were. */
  #count = -1;
  #chunks = 0;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Where the chunk stands in the file; and bytes of it that are kept: of more, it is unpacked again for the next pages. */
  #chunkAt = -1;
  readonly #keep: number;
  /** What was not taken yet of a chunk that was not kept. */
  #left = 0;
  #unpacked = 0;
  /** Where the last chunks begin, in the pages and in the file. */
  #marks: { offset: number; fileOffset: number }[] = [];
  #failed: unknown;

  constructor(
    file: RandomFile,
    fileSize: number,
    name: string,
    data: CpuData,
    { little, codec }: { little: boolean; codec: Codec },
    pageSize: number,
    windowSize: number,
    keep: number,
    input: Input,
  ) {
    this.#keep = keep;
    this.#input = input;
    this.#file = file;
    this.#name = name;
    this.#cpu = data.cpu;
    this.#little = little;
    this.#codec = codec;
    this.#pageSize = pageSize;
    this.#next = data.offset;
    this.#told = data.offset + data.size;
    this.#end = Math.min(this.#told + 4, fileSize);
    this.#window = new Uint8Array(windowSize);
  }

  async readInto(target: Uint8Array): Promise<number> {
    let filled = 0;
    try {
      while (filled < target.length) {
        if (this.#left > 0) {
          filled += await this.#unpackAgain(target.subarray(filled));
          continue;
        }
        if (this.#chunk.length === 0) {
          if (this.#failed !== undefined) break;
          const size = await this.#nextChunk(target.subarray(filled));
          if (size === 0) break;
          if (this.#chunk.length === 0) {
            filled += size;
            continue;
          }
        }
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

  /** Unpacks the next chunk into `target`, or into `#chunk` where it does not fit. Gives its size, 0 at the end. */
  async #nextChunk(target: Uint8Array): Promise<number> {
    if (this.#count < 0) this.#count = this.#u32(await this.#bytes(4, 'the number of compressed chunks'), 0);
    const { meter, seekable } = this.#input;
    for (;;) {
      if (this.#next >= Math.min(this.#told, this.#end)) {
        this.#checkEnd();
        return 0;
      }
      const at = this.#next;
      try {
        const sizes = await this.#bytes(8, 'a compressed chunk of pages');
        const packed = this.#u32(sizes, 0);
        const size = this.#u32(sizes, 4);
        meter.part(Math.max(packed, size), 'a compressed chunk of pages', at);
        const bytes = await this.#bytes(packed, 'a compressed chunk of pages');
        // Of what was unpacked to a temporary file, the bytes are counted already.
        if (seekable) meter.read(packed);
        meter.unfold(size, at);
        const fits = size <= target.length;
        const kept = size - target.length <= this.#keep;
        const room = fits ? target.subarray(0, size) : kept ? undefined : scratchOf(size);
        const chunk = unpack(this.#codec, bytes, size, this.#name, at, room);
        if (!fits && kept) this.#chunk = chunk;
        this.#chunkAt = at;
        this.#chunks++;
        if (this.#marks.length >= 1024) this.#marks.splice(0, 512);
        this.#marks.push({ offset: this.#unpacked, fileOffset: at });
        this.#unpacked += size;
        if (fits || kept) return size;
        target.set(chunk.subarray(0, target.length));
        this.#left = size - target.length;
        return target.length;
      } catch (error) {
        if (!(error instanceof TraceError) || error === meter.refused) throw error;
        const next = this.holes.length < mostHoles ? await this.#searchChunk(at + 1) : -1;
        if (next < 0) throw error;
        this.holes.push({ offset: this.#unpacked, damage: error });
        this.#next = next;
      }
    }
  }

  /** Unpacks the last chunk once more, and gives as much as fits of what was not taken yet. */
  async #unpackAgain(target: Uint8Array): Promise<number> {
    const next = this.#next;
    this.#next = this.#chunkAt;
    const sizes = await this.#bytes(8, 'a compressed chunk of pages');
    const [packed, size] = [this.#u32(sizes, 0), this.#u32(sizes, 4)];
    const bytes = await this.#bytes(packed, 'a compressed chunk of pages');
    const chunk = unpack(this.#codec, bytes, size, this.#name, this.#chunkAt, scratchOf(size));
    const from = size - this.#left;
    const taken = Math.min(this.#left, target.length);
    target.set(chunk.subarray(from, from + taken));
    this.#left -= taken;
    this.#next = next;
    return taken;
  }

  /** Throws where there are fewer chunks than the file tells, or less of them; where there are more, the data's size is believed. */
  #checkEnd(): void {
    const { length } = this.holes;
    if (this.#told > this.#end) {
      const expected = `${this.#told - this.#end} more bytes of CPU ${this.#cpu}`;
      throw new TraceError(this.#name, 'the file ends', this.#end, expected);
    }
    if (length > 0 || this.#chunks === this.#count) return;
    const chunks = `${this.#chunks} compressed ${this.#chunks === 1 ? 'chunk' : 'chunks'} of pages`;
    if (this.#chunks < this.#count) {
      throw new TraceError(
        this.#name,
        `CPU ${this.#cpu} has ${chunks}`,
        this.#end,
        `${this.#count}, as the file tells`,
      );
    }
    this.note = `CPU ${this.#cpu} has ${chunks}, not ${this.#count} as the file tells: all were read.`;
  }

  /** Where the next chunk begins from `start` on that is one by all that shows before it is unpacked; -1 where none does. */
  async #searchChunk(start: number): Promise<number> {
    const magic = magics[this.#codec];
    const least = 8 + magic.length;
    for (let from = start; from + least <= this.#end; ) {
      this.#next = from;
      const length = Math.min(this.#window.length, this.#end - from);
      const bytes = await this.#bytes(length, 'compressed chunks of pages');
      for (let at = 0; at + least <= length; at++) {
        if (!magic.every((byte, k) => bytes[at + 8 + k] === byte)) continue;
        const packed = this.#u32(bytes, at);
        const size = this.#u32(bytes, at + 4);
        const fits = packed > magic.length && packed <= Math.min(this.#end - from - at - 8, size + 1024);
        if (fits && size % this.#pageSize === 0) return from + at;
      }
      if (from + length >= this.#end) break;
      from += length - least + 1;
    }
    return -1;
  }

  #u32(bytes: Uint8Array, at: number): number {
    return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, this.#little);
  }

  /** The next bytes of the file, valid until the next call. */
  async #bytes(length: number, what: string): Promise<Uint8Array> {
    if (this.#next + length > this.#end) {
      throw new TraceError(
        this.#name,
        this.#told > this.#end
          ? `the file ends at byte ${this.#end}`
          : `the data of CPU ${this.#cpu} end at byte ${this.#end}`,
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
      const wanted = Math.min(window.length, this.#end - this.#next);
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

import { readSync } from 'node:fs';
import { Budget, Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';

const windowSize = 64 << 10;

/**
 * Reads the headers of a binary file, item after item. Whatever the bytes do not hold
 * throws a TraceError with the file, the offset and what was expected there.
 */
export class ByteCursor {
  readonly file: string;
  /** Byte order of the numbers that follow. */
  little = true;
  /** Offset of the next item, and the offset after the last byte. */
  offset: number;
  readonly end: number;
  /** What reading may take. */
  readonly meter: Meter;
  readonly #read: (offset: number, length: number) => Uint8Array;

  private constructor(
    file: string,
    meter: Meter,
    offset: number,
    end: number,
    read: (offset: number, length: number) => Uint8Array,
    little: boolean,
  ) {
    this.file = file;
    this.meter = meter;
    this.offset = offset;
    this.end = end;
    this.#read = read;
    this.little = little;
  }

  /** Over bytes at hand; `base` is the file offset of the first, for messages. */
  static overBytes(
    bytes: Uint8Array,
    file: string,
    base = 0,
    little = true,
    meter = new Meter(new Budget(), file),
  ): ByteCursor {
    const read = (offset: number, length: number) => bytes.subarray(offset - base, offset - base + length);
    return new ByteCursor(file, meter, base, base + bytes.length, read, little);
  }

  /** Over an open file, from `offset` on; only what is asked for is read, and what is skipped is not. */
  static overFile(fd: number, size: number, file: string, offset: number, meter: Meter): ByteCursor {
    let window = new Uint8Array(0);
    let start = 0;
    const read = (at: number, length: number): Uint8Array => {
      if (at < start || at + length > start + window.length) {
        // However often a file leads to the same part, that comes to an end.
        meter.unfold(length, at);
        window = new Uint8Array(Math.min(Math.max(length, windowSize), size - at));
        let got = 0;
        while (got < window.length) {
          const n = readSync(fd, window, got, window.length - got, at + got);
          if (n === 0) break;
          got += n;
        }
        window = window.subarray(0, got);
        start = at;
      }
      if (length > window.length - (at - start)) {
        throw new TraceError(file, 'the file became shorter while it was read', at, `${length} bytes`);
      }
      return window.subarray(at - start, at - start + length);
    };
    return new ByteCursor(file, meter, offset, size, read, true);
  }

  /** Bytes left. */
  get left(): number {
    return this.end - this.offset;
  }

  /** The next `length` bytes, valid for good. `what` names them in the error. */
  bytes(length: number, what: string): Uint8Array {
    if (length > this.left) {
      throw new TraceError(this.file, `${this.left} bytes are left`, this.offset, `${what}, ${length} bytes`);
    }
    this.meter.part(length, what, this.offset);
    const bytes = this.#read(this.offset, length);
    this.offset += length;
    return bytes;
  }

  skip(length: number, what: string): void {
    if (length > this.left) {
      throw new TraceError(this.file, `${this.left} bytes are left`, this.offset, `${what}, ${length} bytes`);
    }
    this.offset += length;
  }

  u8(what: string): number {
    return this.bytes(1, what)[0] as number;
  }

  u16(what: string): number {
    const b = this.bytes(2, what);
    return new DataView(b.buffer, b.byteOffset, 2).getUint16(0, this.little);
  }

  u32(what: string): number {
    const b = this.bytes(4, what);
    return new DataView(b.buffer, b.byteOffset, 4).getUint32(0, this.little);
  }

  /** A 64-bit number as a double: lengths and offsets, where beyond 2^53 all are equally impossible. */
  u64(what: string): number {
    return Number(this.bigint(what));
  }

  bigint(what: string): bigint {
    const b = this.bytes(8, what);
    return new DataView(b.buffer, b.byteOffset, 8).getBigUint64(0, this.little);
  }

  text(length: number, what: string): string {
    const b = this.bytes(length, what);
    return Buffer.from(b.buffer, b.byteOffset, b.length).toString('utf8');
  }

  /** A string that NUL ends, of at most `limit` bytes. */
  string(what: string, limit = 4096): string {
    const start = this.offset;
    const b = this.bytes(Math.min(limit, this.left), what);
    const nul = b.indexOf(0);
    if (nul < 0) throw new TraceError(this.file, 'no end of a string', start, `${what}, ended by a NUL`);
    this.offset = start + nul + 1;
    return Buffer.from(b.buffer, b.byteOffset, nul).toString('utf8');
  }
}

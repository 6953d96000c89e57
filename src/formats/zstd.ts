import { createZstdDecompress, type ZstdDecompress, zstdDecompressSync } from 'node:zlib';

/**
 * What node:zlib's own synchronous functions are made of. They make a decompressor, with all its tables, for each call, which for chunks of some
 * kilobytes takes longer than to unpack them; one decompressor takes frame after frame.
 */
type Handle = {
  writeSync(
    flush: number,
    from: Uint8Array,
    fromAt: number,
    fromLength: number,
    to: Uint8Array,
    toAt: number,
    toLength: number,
  ): void;
};
type Decompressor = ZstdDecompress & { _handle?: Handle | null; _writeState?: Uint32Array };

/** ZSTD_e_flush and ZSTD_e_end: whether more may follow. */
const flush = 1;
const end = 2;
const nothing = new Uint8Array(0);
const oneByte = new Uint8Array(1);
let decompressor: Decompressor | undefined;

/**
 * Unpacks one zstd frame into `target`. Gives how many bytes came of it: more than `target.length` where there is more in it than that. Throws
 * the decompressor's error.
 */
export function unzstdInto(packed: Uint8Array, target: Uint8Array): number {
  const used = decompressor !== undefined;
  decompressor ??= fresh();
  const { _handle: handle, _writeState: left } = decompressor;
  if (typeof handle?.writeSync !== 'function' || left === undefined) {
    // A Node.js that is made in another way.
    const bytes = zstdDecompressSync(packed, { maxOutputLength: target.length, chunkSize: target.length + 64 });
    target.set(bytes);
    return bytes.length;
  }
  left.set([target.length, packed.length]);
  handle.writeSync(flush, packed, 0, packed.length, target, 0, target.length);
  let made = target.length - (left[0] as number);
  const rest = left[1] as number;
  if (decompressor.errored === null && made === target.length) {
    // What did not fit would come now, and an error where the frame's end is missing.
    handle.writeSync(end, packed, packed.length - rest, rest, oneByte, 0, 1);
    if (decompressor.errored === null && left[0] === 0) made++;
    else if (decompressor.errored === null && rest === 0) return made;
  }
  const { errored } = decompressor;
  // It stands in the midst of a frame.
  decompressor = undefined;
  if (errored === null) return made;
  // What it took for the beginning may have been the end that is missing of the frame before.
  if (used) return unzstdInto(packed, target);
  throw errored;
}

function fresh(): Decompressor {
  const made: Decompressor = createZstdDecompress();
  // Thrown where it is met: this comes later.
  made.on('error', () => {});
  return made;
}

/** A zstd stream that comes in pieces. */
export class ZstdStream {
  /** Bytes of the piece given last that are still to be unpacked. */
  left = 0;
  readonly #decompressor = fresh();
  /** Where node:zlib is made in another way: what was unpacked and not taken yet. */
  #chunk: Uint8Array = new Uint8Array(0);
  readonly #private: boolean;

  /** `own` is false to do without what node:zlib does not document. */
  constructor(own = true) {
    const { _handle: handle, _writeState: left } = this.#decompressor;
    this.#private = own && typeof handle?.writeSync === 'function' && left !== undefined;
  }

  /**
   * Unpacks the next piece, or what is `left` of it, into `target`: as much as there is room for. Gives how many bytes came; where these are as
   * many as there was room for, there may be more, also when nothing is `left`. Throws the decompressor's error.
   */
  async unpack(piece: Uint8Array, target: Uint8Array): Promise<number> {
    if (!this.#private) return await this.#unpackByStream(piece, target);
    this.left = piece.length;
    let made = 0;
    // Each call ends with a frame.
    for (let before = -1; made < target.length && before !== made + piece.length - this.left; ) {
      before = made + piece.length - this.left;
      made += this.#write(flush, piece, piece.length - this.left, target, made);
      if (this.left === 0) break;
    }
    return made;
  }

  /** Throws the decompressor's error where the stream may not end here. */
  async end(): Promise<void> {
    // Without room, it would not look.
    if (this.#private) this.#write(end, nothing, 0, oneByte, 0);
    else {
      const stream = this.#decompressor;
      stream.resume();
      await new Promise<void>((resolve, reject) => {
        stream.once('error', reject);
        stream.end(resolve);
      });
    }
  }

  #write(operation: number, piece: Uint8Array, from: number, target: Uint8Array, to: number): number {
    const { _handle: handle, _writeState: state } = this.#decompressor as Required<Decompressor>;
    (handle as Handle).writeSync(operation, piece, from, piece.length - from, target, to, target.length - to);
    const { errored } = this.#decompressor;
    if (errored !== null) throw errored;
    this.left = state[1] as number;
    return target.length - to - (state[0] as number);
  }

  async #unpackByStream(piece: Uint8Array, target: Uint8Array): Promise<number> {
    const stream = this.#decompressor;
    if (piece.length > 0) {
      const chunks: Uint8Array[] = [this.#chunk];
      const take = () => {
        for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) chunks.push(chunk);
      };
      stream.on('readable', take);
      await new Promise<void>((resolve, reject) => {
        // Of data that break, the callback is never called.
        stream.once('error', reject);
        stream.write(piece, () => {
          stream.off('error', reject);
          resolve();
        });
      });
      stream.off('readable', take);
      take();
      this.#chunk = Buffer.concat(chunks);
    }
    this.left = 0;
    const n = Math.min(this.#chunk.length, target.length);
    target.set(this.#chunk.subarray(0, n));
    this.#chunk = this.#chunk.subarray(n);
    return n;
  }

  close(): void {
    this.#decompressor.destroy();
  }
}

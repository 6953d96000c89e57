import { constants, createReadStream, mkdtempSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Budget, Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import { ChunkPump } from './chunk-pump.ts';
import { type Dress, dressOf, undress } from './dressed-text.ts';
import { RandomFile } from './random-file.ts';
import { ZstdStream } from './zstd.ts';

/** How much of an input is looked at to recognise its format. */
const headSize = 64 << 10;
const streamChunk = 1 << 20;
/** The least that is read at a time of what may still grow. */
const smallestSlot = 16 << 10;
/** Temporary files from this size on are told of. */
const largeSpool = 256 << 20;

/**
 * Where a trace's bytes come from: a file, standard input, and either of them compressed with gzip or zstd.
 * Formats ask for the bytes in order (`chunks`) or at offsets (`random`); one of the two, once.
 */
export class Input {
  /** As the user named it, or `<stdin>`. */
  readonly name: string;
  /** Path of the file, or undefined for standard input. */
  readonly path: string | undefined;
  /** The first bytes, decompressed; the whole input where it is shorter than 64 KiB. */
  head: Uint8Array = new Uint8Array(0);
  /** What its lines, where it is text, are to be rid of before they are read, as the head was. */
  dress: Dress | undefined;
  /** `gzip`, `zstd` or '' . */
  compression = '';
  /** Bytes of the input as stored (before decompression) that were read so far, and in all where known. */
  read = 0;
  size: number | undefined;
  /** What reading it may take. */
  readonly meter: Meter;

  #file: RandomFile | undefined;
  #rest: AsyncIterator<Uint8Array> | undefined;
  /** Whether the stream ended within the head. */
  #ended = false;
  #pump: ChunkPump | undefined;
  /** What nobody else closes. */
  #stream: Readable | undefined;
  #spool: RandomFile | undefined;

  readonly #tell: ((sentence: string) => void) | undefined;

  private constructor(name: string, path: string | undefined, budget: Budget, tell?: (sentence: string) => void) {
    this.name = name;
    this.path = path;
    this.#tell = tell;
    this.meter = new Meter(budget, name);
  }

  /** Bytes of it in all, unpacked, where that is known. */
  get #whole(): number | undefined {
    if (this.#ended) return this.head.length;
    return this.compression === '' ? this.size : undefined;
  }

  /** How much is read, and unpacked, at a time. */
  get #chunk(): number {
    return Math.min(streamChunk, Math.max(smallestSlot, 8 * (this.size ?? streamChunk)));
  }

  /**
   * Room to read it into: `most`, or less where it is known to be small, since a process that opens many files pays for what it
   * reserves. Twice what may come of it (`unfolded` bytes of each, where parts of it are packed), and never little: it may still grow.
   */
  room(most: number, unfolded = 1): number {
    if (this.#whole === undefined) return most;
    const little = Math.min(8 << 20, 16 * this.slot(1 << 20, unfolded));
    return Math.min(most, Math.max(2 * unfolded * this.#whole, little));
  }

  /** How much to read at a time: `most`, or all in one where it is known to be small. */
  slot(most: number, unfolded = 1): number {
    if (this.#whole === undefined) return most;
    return Math.min(most, Math.max(smallestSlot, Math.ceil((unfolded * this.#whole + 1) / 4096) * 4096));
  }

  /** Opens a path, or standard input for `-`. Throws a TraceError for what cannot be read. */
  static async open(path: string, budget = new Budget(), tell?: (sentence: string) => void): Promise<Input> {
    if (path === '-') {
      const input = new Input('<stdin>', undefined, budget, tell);
      await input.#startStream(process.stdin);
      return input;
    }
    let input = new Input(path, path, budget, tell);
    try {
      let status = statSync(path);
      if (status.isDirectory()) {
        // perf record --kcore writes a directory with the trace in `data`.
        const inside = join(path, 'data');
        const data = statSync(inside, { throwIfNoEntry: false });
        if (!data?.isFile())
          throw new TraceError(path, 'is a directory', undefined, 'a trace file, or the folder of a CTF trace');
        input = new Input(inside, inside, budget, tell);
        status = data;
      }
      if (status.isFIFO()) {
        input.#stream = await openFifo(input.name);
        await input.#startStream(input.#stream);
        return input;
      }
      const file = RandomFile.open(input.name);
      input.#file = file;
      if (status.isFile() && status.size > 0) {
        input.size = status.size;
        const head = new Uint8Array(Math.min(headSize, status.size));
        input.head = head.subarray(0, (await file.read(head, 0, head.length, 0)).bytesRead);
        input.compression = compressionOf(input.head);
        if (input.compression !== '')
          await input.#startStream(
            createReadStream('', { fd: file.fd, autoClose: false, start: 0, highWaterMark: input.#chunk }),
          );
        else input.#undressHead();
      } else {
        // Pipes, and files such as tracefs' `trace` whose size reads as 0.
        await input.#startStream(createReadStream('', { fd: file.fd, autoClose: false, highWaterMark: streamChunk }));
      }
    } catch (error) {
      await input.close();
      throw asTraceError(input.name, error);
    }
    return input;
  }

  /**
   * An input whose bytes come from a stream, under a name for people.
   * @internal Not in the package's declarations, which must do without those of Node.js.
   */
  static async stream(name: string, stream: Readable): Promise<Input> {
    const input = new Input(name, undefined, new Budget());
    await input.#startStream(stream);
    return input;
  }

  /** The bytes of the input in order, decompressed; each piece stands until the next is asked for. A broken stream throws a TraceError after the bytes before it. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    if (this.#rest !== undefined) {
      yield this.head;
      const rest = this.#rest;
      for (;;) {
        const next = await rest.next();
        if (next.done === true) return;
        yield next.value;
      }
    }
    const file = this.#file as RandomFile;
    for (let offset = 0; ; ) {
      const buffer = new Uint8Array(this.#chunk);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      this.read = offset;
      this.meter.read(bytesRead);
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** True where `random` needs no copy of the input. */
  get seekable(): boolean {
    return this.#rest === undefined;
  }

  /**
   * The input as a file that can be read at any offset. What cannot (pipes, compressed files) is
   * first written to an unnamed file in the temporary folder. `size` is that of the decompressed bytes;
   * `broken` says why they end early, where they do.
   * @internal As `stream`.
   */
  async random(): Promise<{ file: RandomFile; size: number; broken: TraceError | undefined }> {
    if (this.#rest === undefined) return { file: this.#file as RandomFile, size: this.size ?? 0, broken: undefined };
    const folder = this.#temporaryFolder();
    let spool: RandomFile;
    try {
      spool = new RandomFile(openSync(join(folder, 'spool'), 'wx+', 0o600));
    } finally {
      // Unlinked at once, so that nothing is left behind whatever happens.
      rmSync(folder, { recursive: true, force: true });
    }
    this.#spool = spool;
    const room = statfsSync(tmpdir());
    const limit = (room.bavail * room.bsize) / 2;
    let size = 0;
    let broken: TraceError | undefined;
    try {
      for await (const chunk of this.chunks()) {
        if (size + chunk.length > limit) {
          throw new TraceError(
            this.name,
            `unpacks to more than ${Math.floor(limit)} bytes, half of what is free in ${tmpdir()}`,
            undefined,
            'less; unpack it elsewhere first, or set TMPDIR',
          );
        }
        for (let at = 0; at < chunk.length; ) at += writeSync(spool.fd, chunk, at, chunk.length - at, size + at);
        if (size < largeSpool && size + chunk.length >= largeSpool) {
          this.#tell?.(
            `${this.name} is unpacked to a temporary file in ${tmpdir()} first, as its format is not read in order: ` +
              `${largeSpool >> 20} MiB so far, at most ${Math.floor(limit / (1 << 20))} MiB, half of what is free there`,
          );
        }
        size += chunk.length;
      }
    } catch (error) {
      if (size === 0) throw error;
      broken = asTraceError(this.name, error);
    }
    return { file: spool, size, broken };
  }

  #temporaryFolder(): string {
    try {
      return mkdtempSync(join(tmpdir(), 'virtap-'));
    } catch (error) {
      const why = asTraceError(tmpdir(), error).message;
      throw new TraceError(
        this.name,
        `has to be unpacked to a temporary file first, as it is not read in order, and there is no place for one (${why})`,
        undefined,
        'a folder to write to in TMPDIR, or the file unpacked',
      );
    }
  }

  /**
   * Reads the next bytes in order into `target`, for SlotReader. Returns 0 at the end.
   * Files are read at `offset`, streams from where they are.
   */
  async readInto(target: Uint8Array, offset: number): Promise<number> {
    if (this.#rest === undefined) {
      const { bytesRead } = await (this.#file as RandomFile).read(target, 0, target.length, offset);
      this.read = offset + bytesRead;
      this.meter.read(bytesRead);
      return bytesRead;
    }
    // Live pipes: give what there is rather than wait for a full slot.
    return await (this.#pump as ChunkPump).readInto(target, this.compression === '');
  }

  async close(): Promise<void> {
    const file = this.#file;
    const spool = this.#spool;
    const rest = this.#rest;
    this.#file = undefined;
    this.#spool = undefined;
    this.#rest = undefined;
    await rest?.return?.();
    await spool?.close();
    await file?.close();
    this.#stream?.destroy();
  }

  async #startStream(stream: Readable): Promise<void> {
    if (this.path === undefined) this.#stream = stream;
    let source = this.#counted(stream);
    const first: Uint8Array[] = [];
    let have = 0;
    // Enough to see a compression's magic; pipes may give it in pieces.
    while (have < 4) {
      const next = await source.next();
      if (next.done === true) break;
      first.push(next.value);
      have += next.value.length;
    }
    const start = Buffer.concat(first);
    this.compression = compressionOf(start);
    source = prepend(start, source);
    if (this.compression !== '') source = this.#unpack(source);
    const head: Uint8Array[] = [];
    have = 0;
    // A live pipe may give little and then nothing for long: formats are recognised by what has come.
    do {
      const next = await source.next();
      if (next.done === true) {
        this.#ended = true;
        break;
      }
      // What is unpacked stands until the next is asked for.
      head.push(next.value.slice());
      have += next.value.length;
    } while (have < (this.#stream !== undefined ? 64 : headSize));
    this.head = Buffer.concat(head);
    this.#rest = source;
    this.#pump = new ChunkPump(prepend(this.head, source));
    this.#undressHead();
  }

  #undressHead(): void {
    this.dress = dressOf(this.head);
    if (this.dress === undefined) return;
    this.head = this.head.slice();
    undress(this.head, 0, this.head.length, this.dress);
  }

  async *#counted(stream: Readable): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of stream) {
        this.read += (chunk as Buffer).length;
        this.meter.read((chunk as Buffer).length);
        yield chunk as Buffer;
      }
    } catch (error) {
      throw asTraceError(this.name, error);
    }
  }

  async *#unpack(source: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of this.compression === 'gzip'
        ? gunzip(source, this.#chunk)
        : unzstd(source, this.#chunk)) {
        this.meter.unfold(chunk.length, this.read);
        yield chunk;
      }
    } catch (error) {
      if (error instanceof TraceError || !isOfInput(error)) throw error;
      throw new TraceError(
        this.name,
        `the ${this.compression} data ends or breaks near byte ${this.read} (${error.message})`,
        undefined,
        'a whole compressed stream',
      );
    }
  }
}

/**
 * A named pipe, once it has a writer, as a stream that does not block a thread: the process could not end before its writer does.
 */
async function openFifo(path: string): Promise<Readable> {
  // Loaded here, as hardly any input is one.
  const [{ open }, { Socket }] = await Promise.all([import('node:fs/promises'), import('node:net')]);
  const file = await open(path, 'r');
  const again = openSync(`/proc/self/fd/${file.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  await file.close();
  return new Socket({ fd: again, readable: true, writable: false });
}

async function* gunzip(source: AsyncGenerator<Uint8Array>, chunkSize: number): AsyncGenerator<Uint8Array> {
  const unpacker = createGunzip({ chunkSize });
  const packed = Readable.from(source, { objectMode: false, highWaterMark: chunkSize });
  packed.on('error', (error) => unpacker.destroy(error));
  packed.pipe(unpacker);
  try {
    for await (const chunk of unpacker) yield chunk as Buffer;
  } finally {
    packed.destroy();
    unpacker.destroy();
  }
}

/** The frames of a zstd file: pzstd and `cat` write several. What it gives stands until the next is asked for. */
async function* unzstd(source: AsyncGenerator<Uint8Array>, chunkSize: number): AsyncGenerator<Uint8Array> {
  const stream = new ZstdStream();
  // Such that it is still in the cache when it is read.
  const chunk = new Uint8Array(Math.min(256 << 10, chunkSize));
  try {
    for await (const packed of source) {
      let piece = packed;
      for (let n = chunk.length; n === chunk.length; piece = piece.subarray(piece.length - stream.left)) {
        n = await stream.unpack(piece, chunk);
        if (n > 0) yield chunk.subarray(0, n);
      }
    }
    await stream.end();
  } finally {
    stream.close();
  }
}

async function* prepend(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** gzip: RFC 1952, 2.3.1. zstd: RFC 8878, 3.1.1 (and a skippable frame, 3.1.2, that pzstd begins with). */
function compressionOf(head: Uint8Array): string {
  if (head.length < 4) return '';
  const [a = 0, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  if ((a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd';
  return '';
}

/** What Node.js says of a stream that ends early, or of packed data that unpack to more than they should. */
const inputCodes: ReadonlySet<string | undefined> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ERR_BUFFER_TOO_LARGE']);

/** Whether an error comes from the input: the operating system and the decompressors number theirs. All others are bugs, ours or a caller's. */
export function isOfInput(error: unknown): error is Error & { code: string } {
  if (!(error instanceof Error)) return false;
  const { errno, code } = error as NodeJS.ErrnoException;
  return error instanceof TraceError || errno !== undefined || inputCodes.has(code);
}

/** An error of an input as one sentence that names the file. Throws any other as it is. */
export function asTraceError(name: string, error: unknown): TraceError {
  if (error instanceof TraceError) return error;
  if (!isOfInput(error)) throw error;
  const { code, message } = error;
  const known: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EISDIR: 'is a directory',
    EMFILE: 'too many open files',
    ENOSPC: 'no space left in the temporary folder',
    EIO: 'input/output error',
  };
  return new TraceError(name, known[code ?? ''] ?? message);
}

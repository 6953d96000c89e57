import {
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { cannotWrite as cannotWriteWhy } from '../trace/write-error.ts';
import { codeOf, LiveError } from './live-error.ts';
import { type Trailer, traceDatTrailer } from './trace-dat-writer.ts';

/*
 * A recording under way is a file with the header, and one for each CPU's pages, beside where the result is to be. At the
 * end the pages move into the first file, from their last to their first: as each part is cut off where it was
 * copied from, there is room for it on a full disk, too, and whoever is stopped in the middle can go on.
 */

/** What a recording under way is, for whoever has to finish it. */
export type RecordingState = {
  /** Absolute path of the result. */
  file: string;
  /** Absolute path of the file with the header; the CPUs' are called so with `.cpuN`. */
  part: string;
  headerSize: number;
  pageSize: number;
  cpus: number;
  clock: string;
  version: string;
  /** Where the pages go, once that was decided. */
  moving?: { offsets: number[]; sizes: number[] };
};

/** Kept free on the disk for the end: what stands after the header, and a piece of the pages on their way. */
const reserve = 2 << 20;
const piece = 1 << 18;

/** The files of a recording under way. */
export class RecordingFile {
  readonly state: RecordingState;
  readonly #files: number[];
  /** Paths of the files that were made. */
  readonly #made: string[] = [];
  /** Bytes of whole pages in each CPU's file. */
  readonly #sizes: number[];

  /** Throws a LiveError where the files cannot be made. */
  constructor(state: RecordingState, header: Buffer) {
    this.state = state;
    checkTarget(state.file);
    this.#files = [];
    this.#sizes = [];
    try {
      const first = makePrivate(state.part);
      this.#files.push(first);
      this.#made.push(state.part);
      writeAll(first, header, 0);
      writeAll(first, Buffer.alloc(reserve), header.length);
      this.#files.pop();
      closeSync(first);
      for (let cpu = 0; cpu < state.cpus; cpu++) {
        const path = cpuPart(state, cpu);
        this.#files.push(makePrivate(path));
        this.#made.push(path);
        this.#sizes.push(0);
      }
    } catch (error) {
      this.discard();
      throw cannotWrite(state.file, error);
    }
  }

  /** Writes pages behind those of the CPU that are done with; `done` bytes of them are, then. Throws a LiveError. */
  write(cpu: number, pages: Buffer, done: number): void {
    const file = this.#files[cpu] as number;
    const at = this.#sizes[cpu] as number;
    try {
      for (let n = 0; n < pages.length; ) n += writeSync(file, pages, n, pages.length - n, at + n);
    } catch (error) {
      throw cannotWrite(this.state.file, error);
    }
    this.#sizes[cpu] = at + done;
  }

  close(): void {
    for (const file of this.#files.splice(0)) closeSync(file);
  }

  /** Removes the files: nothing was recorded. */
  discard(): void {
    this.close();
    for (const path of this.#made.splice(0)) rmSync(path, { force: true });
  }
}

/** Makes the result of what was recorded. `note` is called with the state before pages begin to move. Throws a LiveError. */
export function finishRecording(
  state: RecordingState,
  trailer: Omit<Trailer, 'clock' | 'version' | 'sizes'>,
  note: (state: RecordingState) => void,
): void {
  const target = openSync(state.part, 'r+');
  try {
    let { moving } = state;
    if (moving === undefined) {
      const sizes = Array.from({ length: state.cpus }, (_, cpu) => wholePages(state, cpu));
      const { bytes, offsets } = traceDatTrailer(state.headerSize, state.pageSize, { ...state, ...trailer, sizes });
      ftruncateSync(target, state.headerSize);
      writeAll(target, bytes, state.headerSize);
      moving = { offsets, sizes };
      note({ ...state, moving });
    }
    for (let cpu = state.cpus - 1; cpu >= 0; cpu--) move(target, cpuPart(state, cpu), moving.offsets[cpu] as number);
    const end = Math.max(...moving.offsets.map((offset, cpu) => offset + (moving.sizes[cpu] as number)));
    if (fstatSync(target).size < end) ftruncateSync(target, end);
  } catch (error) {
    throw cannotWrite(state.file, error);
  } finally {
    closeSync(target);
  }
  renameSync(state.part, state.file);
}

/** Makes a file that its owner alone can read, whatever the umask: a recording tells what a host and its guests do. */
function makePrivate(path: string): number {
  const file = openSync(path, 'wx', 0o600);
  // A umask can take from the owner, too.
  fchmodSync(file, 0o600);
  return file;
}

function cpuPart(state: RecordingState, cpu: number): string {
  return `${state.part}.cpu${cpu}`;
}

/** Cuts what a full disk or a sudden end left of a page, and gives the size. */
function wholePages(state: RecordingState, cpu: number): number {
  const path = cpuPart(state, cpu);
  const { size } = statSync(path);
  const whole = size - (size % state.pageSize);
  if (whole < size) {
    const file = openSync(path, 'r+');
    ftruncateSync(file, whole);
    closeSync(file);
  }
  return whole;
}

function move(target: number, path: string, offset: number): void {
  let source: number;
  try {
    source = openSync(path, 'r+');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(piece);
    let left = fstatSync(source).size;
    while (left > 0) {
      const from = Math.max(0, left - piece);
      const got = readSync(source, buffer, 0, left - from, from);
      if (got !== left - from) throw new Error('a part of the recording became shorter');
      writeAll(target, buffer.subarray(0, got), offset + from);
      ftruncateSync(source, from);
      left = from;
    }
  } finally {
    closeSync(source);
  }
  rmSync(path);
}

function writeAll(file: number, bytes: Buffer, at: number): void {
  for (let n = 0; n < bytes.length; ) n += writeSync(file, bytes, n, bytes.length - n, at + n);
}

/** The result takes the place of what was there: only of a file. */
function checkTarget(file: string): void {
  try {
    if (statSync(file).isFile()) return;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw cannotWrite(file, error);
  }
  throw new LiveError(`${file} is no file: a trace.dat needs one`);
}

function cannotWrite(file: string, error: unknown): LiveError {
  if (codeOf(error) === 'EEXIST')
    return new LiveError(`cannot write ${file}: a part of another recording is in its way (virtap cleanup)`);
  return new LiveError(cannotWriteWhy(file, error));
}

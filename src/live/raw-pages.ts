import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { codeOf, LiveError } from './live-error.ts';
import { explain } from './tracefs.ts';

/** Pages that are read from one CPU before the next one's, so that none waits for long. */
const pagesAtOnce = 256;

/** An instance's buffers, open for reading: per_cpu/cpuN/trace_pipe_raw. */
export type OpenBuffers = { files: [cpu: number, file: number][]; pageSize: number };

/** Opens the buffer of each CPU. While they are open, the instance cannot be removed. */
export function openBuffers(instance: Instance): OpenBuffers {
  const files: OpenBuffers['files'] = [];
  for (const cpu of instance.cpus) {
    const path = join(instance.path, `per_cpu/cpu${cpu}/trace_pipe_raw`);
    try {
      files.push([cpu, openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)]);
    } catch (error) {
      // A CPU that could be there, and is not.
      if (codeOf(error) === 'ENODEV' || codeOf(error) === 'ENXIO') continue;
      for (const [, file] of files) closeSync(file);
      throw explain(error, path, 'open');
    }
  }
  return { files, pageSize: instance.pageSize };
}

/** Closes them. Safe to call twice. */
export function closeBuffers({ files }: OpenBuffers): void {
  for (const [, file] of files.splice(0)) closeSync(file);
}

/** What takes a page, which it may use during the call only. Gives how many bytes of events are in it. */
export type TakePage = (cpu: number, page: Buffer) => number;

/** Reads the pages of an instance's CPUs. */
export class RawPages {
  readonly #buffers: OpenBuffers;
  readonly #page: Buffer;

  constructor(buffers: OpenBuffers) {
    this.#buffers = buffers;
    this.#page = Buffer.alloc(buffers.pageSize);
  }

  /**
   * Hands out what each CPU has, but for some of what comes meanwhile. Gives the bytes of events in the fullest, and whether
   * everything from before the call was read.
   */
  round(take: TakePage): { fullest: number; complete: boolean } {
    let fullest = 0;
    let complete = true;
    for (const [cpu, file] of this.#buffers.files) {
      let bytes = 0;
      let n = 0;
      for (; n < pagesAtOnce && this.#next(file); n++) {
        const size = take(cpu, this.#page);
        bytes += size;
        // The first may be the rest of one that was read before it was full. After that, one that is half empty is the one that
        // the kernel is writing.
        if (n > 0 && size < this.#page.length / 2) break;
      }
      complete &&= n < pagesAtOnce;
      fullest = Math.max(fullest, bytes);
    }
    return { fullest, complete };
  }

  /** Hands out all there is, once nothing more is recorded. */
  drain(take: TakePage): void {
    for (const [cpu, file] of this.#buffers.files) while (this.#next(file)) take(cpu, this.#page);
  }

  /** Reads one page; false where there is none. */
  #next(file: number): boolean {
    try {
      return readSync(file, this.#page, 0, this.#page.length, null) > 0;
    } catch (error) {
      if (codeOf(error) === 'EAGAIN' || codeOf(error) === 'EINTR') return false;
      throw new LiveError(`cannot read the kernel's trace buffer: ${(error as Error).message}`);
    }
  }
}

/** How long to sleep between rounds, in ms. */
const shortest = 0.25;
const longest = 100;
/** A load may begin while nobody looks, and fill the buffers so fast (bytes in a ms): half of one may be full when it is found. */
const suddenRate = 200_000;
/** Room for each CPU's events at most, in KiB. */
const largestBuffer = 256 << 10;

/** How often to look at the buffers, and how large they are to be, by how full they were found. */
export class Pace {
  #pause = shortest;
  #kib: number;
  readonly #resize: ((kib: number) => void) | undefined;

  /** `kib` is the room for each CPU; without `resize`, it stays. */
  constructor(kib: number, resize: ((kib: number) => void) | undefined) {
    this.#kib = kib;
    this.#resize = resize;
  }

  /** How long to sleep now (ms), after the fullest buffer had so many bytes in it. */
  next(fullest: number): number {
    const room = this.#kib * 1024;
    if (fullest > room / 2) this.#grow();
    // To find an eighth of the buffer used next time.
    const due = (this.#pause * room) / 8 / Math.max(fullest, 1);
    const most = Math.min(Math.max(room / 2 / suddenRate, 2), longest);
    this.#pause = Math.max(Math.min(due, this.#pause * 2, most), shortest);
    return this.#pause;
  }

  #grow(): void {
    const kib = Math.min(this.#kib * 2, largestBuffer);
    if (this.#resize === undefined || kib === this.#kib) return;
    try {
      this.#resize(kib);
      this.#kib = kib;
    } catch {
      // No memory for more: what is there has to do.
    }
  }
}

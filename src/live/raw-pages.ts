import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { codeOf } from './live-error.ts';
import { explain } from './tracefs.ts';

/** Pages that are read from one CPU before the next one's turn, so that none waits for long. */
const turn = 64;

/** The pages of an instance's CPUs, as they become full: per_cpu/cpuN/trace_pipe_raw. */
export class RawPages {
  readonly #instance: Instance;
  readonly #files = new Map<number, number>();
  readonly #page: Buffer;

  constructor(instance: Instance) {
    this.#instance = instance;
    this.#page = Buffer.alloc(instance.pageSize);
    try {
      for (const cpu of instance.cpus) {
        const path = join(instance.path, `per_cpu/cpu${cpu}/trace_pipe_raw`);
        try {
          this.#files.set(cpu, openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
        } catch (error) {
          // A CPU that could be there, and is not.
          if (codeOf(error) !== 'ENODEV' && codeOf(error) !== 'ENXIO') throw explain(error, path, 'open');
        }
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get cpus(): Iterable<number> {
    return this.#files.keys();
  }

  /**
   * Hands out pages that a CPU has, at most so many that the others' turn comes soon. `use` may read the page during the
   * call, and gives how many bytes of events are in it. Returns whether there are more, but for what is in the page that
   * the kernel is writing.
   */
  read(cpu: number, use: (page: Buffer) => number): boolean {
    const file = this.#files.get(cpu);
    if (file === undefined) return false;
    const page = this.#page;
    for (let n = 0; n < turn; n++) {
      if (!this.#next(cpu, file)) return false;
      // The first may be the rest of one that was read before it was full. After that, one that is half empty is the one that
      // the kernel is writing.
      if (use(page) < page.length / 2 && n > 0) return false;
    }
    return true;
  }

  /** Hands out all that a CPU has, once nothing more is recorded. */
  drain(cpu: number, use: (page: Buffer) => void): void {
    const file = this.#files.get(cpu);
    while (file !== undefined && this.#next(cpu, file)) use(this.#page);
  }

  /** Reads one page; false where there is none. */
  #next(cpu: number, file: number): boolean {
    try {
      return readSync(file, this.#page, 0, this.#page.length, null) > 0;
    } catch (error) {
      if (codeOf(error) === 'EAGAIN' || codeOf(error) === 'EINTR') return false;
      throw explain(error, join(this.#instance.path, `per_cpu/cpu${cpu}/trace_pipe_raw`), 'read');
    }
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }
}

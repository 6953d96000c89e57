import { close, fstatSync, openSync, read, readSync } from 'node:fs';

/** A file that is read without asking a thread for it, which takes longer; larger ones are read while what came before is looked at. */
const smallFile = 4 << 20;
/** Bytes that are read so of any file. */
const smallRead = 64 << 10;

/** A file that is read at any offset. Not node:fs/promises' FileHandle: to load that module takes longer than to read a small recording. */
export class RandomFile {
  readonly fd: number;
  /** The last of the reads under way: nobody may be given its descriptor before they end. */
  #reading: Promise<unknown> = Promise.resolve();
  #closed = false;
  readonly #atOnce: number;

  constructor(fd: number) {
    this.fd = fd;
    this.#atOnce = this.size <= smallFile ? smallFile : smallRead;
  }

  /** Opens a file to read it. Throws the operating system's error. */
  static open(path: string): RandomFile {
    return new RandomFile(openSync(path, 'r'));
  }

  get size(): number {
    return fstatSync(this.fd).size;
  }

  /** Reads `length` bytes at `position`, or as many as there are, into `target` from `at` on. Throws the operating system's error. */
  async read(target: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }> {
    if (length <= this.#atOnce) return { bytesRead: readSync(this.fd, target, at, length, position) };
    const reading = new Promise<{ bytesRead: number }>((resolve, reject) => {
      read(this.fd, target, at, length, position, (error, bytesRead) => {
        if (error === null) resolve({ bytesRead });
        else reject(error);
      });
    });
    const before = this.#reading;
    this.#reading = reading.then(
      () => before,
      () => before,
    );
    return await reading;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#reading;
    await new Promise<void>((resolve) => close(this.fd, () => resolve()));
  }
}

import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../analyse/usage-error.ts';
import type { EventSink } from '../report/event-export.ts';
import type { CtfPacket, CtfWriter } from '../report/export-ctf.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { cannotWrite } from '../trace/write-error.ts';

/** A folder that appears when it is whole. */
export class CtfFolder implements EventSink {
  readonly #path: string;
  readonly #fresh: string;
  readonly #writer: CtfWriter;
  #done = false;
  readonly #onExit = () => this.discard();

  constructor(path: string, writer: CtfWriter) {
    checkFolder(path);
    this.#path = resolve(path);
    this.#writer = writer;
    try {
      this.#fresh = mkdtempSync(join(dirname(this.#path), `.${basename(this.#path)}-`));
    } catch (error) {
      throw new UsageError(cannotWrite(path, error));
    }
    process.on('exit', this.#onExit);
  }

  event(trace: Trace, b: EventBatch, i: number): void {
    this.#writer.event(trace, b, i);
  }

  loss(trace: Trace, loss: Loss): void {
    this.#writer.loss(trace, loss);
  }

  async settle(): Promise<void> {
    this.#write(this.#writer.take());
  }

  async end(trace: Trace): Promise<void> {
    this.#write(this.#writer.end(trace));
    try {
      rmSync(this.#path, { recursive: true, force: true });
      renameSync(this.#fresh, this.#path);
    } catch (error) {
      throw new UsageError(cannotWrite(this.#path, error));
    }
    this.#done = true;
    this.discard();
  }

  discard(): void {
    process.removeListener('exit', this.#onExit);
    if (!this.#done) rmSync(this.#fresh, { recursive: true, force: true });
  }

  #write(packets: readonly CtfPacket[]): void {
    try {
      for (const { file, bytes } of packets) appendFileSync(join(this.#fresh, file), bytes);
    } catch (error) {
      throw new UsageError(cannotWrite(this.#path, error));
    }
  }
}

/** Throws where a folder cannot be written, or holds anything. */
export function checkFolder(path: string): void {
  try {
    mkdirSync(path);
    rmSync(path, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new UsageError(cannotWrite(path, error));
    let inside: string[];
    try {
      inside = readdirSync(path);
    } catch {
      throw new UsageError(`cannot write ${path}: a CTF trace is a folder, and this is none`);
    }
    if (inside.length > 0) throw new UsageError(`cannot write ${path}: the folder is not empty`);
  }
}

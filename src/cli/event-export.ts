import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ReadAnalysis } from '../analyse/read.ts';
import { UsageError } from '../analyse/usage-error.ts';
import type { CtfPacket, CtfWriter } from '../report/export-ctf.ts';
import type { EventFileWriter } from '../report/export-event-text.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { cannotWrite } from '../trace/write-error.ts';
import type { EventSelection } from '../views/event-selection.ts';

/** Writes events that were selected, in some form. */
export interface EventSink {
  event(trace: Trace, b: EventBatch, i: number): void;
  loss(trace: Trace, loss: Loss): void;
  /** Hands on what was made since the last call. */
  settle(): Promise<void>;
  end(trace: Trace): Promise<void>;
  /** It will not be whole: nothing is left of it. Safe after `end`. */
  discard(): void;
}

/** Gives events that were selected to a sink, with what was lost between them. */
export class EventExport implements ReadAnalysis {
  count = 0;
  readonly #selection: EventSelection;
  readonly #sink: EventSink;

  constructor(selection: EventSelection, sink: EventSink) {
    this.#selection = selection;
    this.#sink = sink;
  }

  wants(type: EventType): boolean {
    return this.#selection.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (const loss of b.losses) this.#sink.loss(trace, loss);
    for (let i = 0; i < b.count; i++) {
      if (!this.#selection.takes(trace, b, i)) continue;
      this.#sink.event(trace, b, i);
      this.count++;
    }
  }

  /** The recording is read on while it may still hold what was named: each type is asked about as it comes. */
  behind(): void {}

  curious(): boolean {
    return this.#selection.patterns.unused().length > 0;
  }

  settle(): Promise<void> {
    return this.#sink.settle();
  }
}

/** Text is handed on in pieces of about this size. */
const chunkSize = 1 << 16;

export class TextSink implements EventSink {
  readonly #writer: EventFileWriter;
  readonly #out: (text: string) => Promise<void>;
  #text = '';
  #pending: string[] = [];

  constructor(writer: EventFileWriter, out: (text: string) => Promise<void>) {
    this.#writer = writer;
    this.#out = out;
  }

  event(trace: Trace, b: EventBatch, i: number): void {
    this.#add(this.#writer.event(trace, b, i));
  }

  loss(trace: Trace, loss: Loss): void {
    this.#add(this.#writer.loss(trace, loss));
  }

  #add(text: string): void {
    this.#text += text;
    if (this.#text.length < chunkSize) return;
    this.#pending.push(this.#text);
    this.#text = '';
  }

  async settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const text of pending) await this.#out(text);
  }

  async end(): Promise<void> {
    await this.settle();
    if (this.#text !== '') await this.#out(this.#text);
    this.#text = '';
  }

  discard(): void {}
}

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

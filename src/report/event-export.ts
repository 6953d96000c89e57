import type { ReadAnalysis } from '../analyse/read-events.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import type { EventSelection } from '../views/event-selection.ts';
import type { EventFileWriter } from './export-event-text.ts';

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

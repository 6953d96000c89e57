import type { EventBatch } from '../trace/batch.ts';
import type { Trace } from '../trace/trace.ts';
import type { SpanKind, Spans } from './kind.ts';

/** Whether a recording holds what spans of a kind begin and end with: as far as the spans of a stretch were given it, and behind that. */
export class Held {
  readonly #kind: SpanKind;
  readonly #spans: Spans;
  #rest: Spans | undefined;

  constructor(kind: SpanKind, spans: Spans) {
    this.#kind = kind;
    this.#spans = spans;
  }

  /** The events behind the stretch, while nothing was seen. */
  behind(trace: Trace, b: EventBatch): void {
    this.#rest ??= this.#kind.start();
    this.#rest.batch(trace, b);
  }

  get seen(): boolean {
    return this.#spans.seen || this.#rest?.seen === true;
  }
}

import { Held } from '../spans/held.ts';
import type { SpanKind, Spans } from '../spans/kind.ts';
import type { Analysis, Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** What views of the spans of one kind have in common: they give events to it, and take what ended with each batch. */
export abstract class KindView<S extends Spans> implements Analysis {
  protected readonly spans: S;
  protected trace: Trace | undefined;
  protected window: Window | undefined;
  readonly #held: Held;

  constructor(kind: SpanKind, spans: S) {
    this.spans = spans;
    this.#held = new Held(kind, spans);
  }

  /** Whether the recording holds any event that a span can begin or end with. */
  protected get seen(): boolean {
    return this.#held.seen;
  }

  wants(type: EventType): boolean {
    return this.spans.wants(type);
  }

  within(window: Window): void {
    this.window = window;
    this.spans.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.spans.batch(trace, b);
    this.take();
  }

  behind(trace: Trace, b: EventBatch): void {
    this.#held.behind(trace, b);
  }

  curious(): boolean {
    return !this.seen;
  }

  /** Takes the spans that ended. */
  protected abstract take(): void;
}

import { Held } from '../spans/held.ts';
import { rowOf, type Span, type SpanKind, type Spans } from '../spans/kind.ts';
import { kinds } from '../spans/kinds.ts';
import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** The kind that a handler's name means. */
export function kindOfHandler(name: string): SpanKind | undefined {
  return kinds.find((kind) => kind.name === name);
}

/** Spans of one kind, who is called for each, and the next of those that ended with the batch. */
type Followed<Bound> = { kind: SpanKind; spans: Spans; held: Held; bound: Bound[]; next: number };

/** Makes spans of events, and hands each to its handlers when its last event's turn has come. */
export class SpanDispatch<Bound> {
  /** Index in the batch of the event that ends the next span; Infinity where none is left. */
  next = Number.POSITIVE_INFINITY;
  readonly #followed: Followed<Bound>[] = [];

  /** Adds a handler of spans; gives what knows whether the recording has any. Scripts share what makes the spans of a kind. */
  add(kind: SpanKind, bound: Bound): Held {
    const known = this.#followed.find((one) => one.kind === kind);
    if (known !== undefined) {
      known.bound.push(bound);
      return known.held;
    }
    const spans = kind.start();
    const held = new Held(kind, spans);
    this.#followed.push({ kind, spans, held, bound: [bound], next: 0 });
    return held;
  }

  wants(type: EventType): boolean {
    // All are asked: each learns of the types that way.
    return this.#followed.map(({ spans }) => spans.wants(type)).includes(true);
  }

  within(window: Window): void {
    for (const { spans } of this.#followed) spans.within(window);
  }

  behind(trace: Trace, b: EventBatch): void {
    for (const { held } of this.#followed) held.behind(trace, b);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (const one of this.#followed) {
      one.spans.batch(trace, b);
      one.next = 0;
    }
    this.#advance();
  }

  /** After the last event: calls the handlers of the spans that end with the trace. */
  finish(end: number, handle: (bound: Bound, span: Span) => void): void {
    for (const one of this.#followed) {
      if (one.spans.finish === undefined) continue;
      one.spans.finish(end);
      for (one.next = 0; one.next < one.spans.count; one.next++) this.#give(one, handle);
    }
  }

  /** Calls the handlers of the spans that end with event `next`. */
  call(handle: (bound: Bound, span: Span) => void): void {
    const at = this.next;
    for (const one of this.#followed) {
      for (; one.next < one.spans.count && one.spans.endsAt(one.next) === at; one.next++) this.#give(one, handle);
    }
    this.#advance();
  }

  #give({ kind, spans, bound, next }: Followed<Bound>, handle: (bound: Bound, span: Span) => void): void {
    const span = rowOf(kind, spans, next);
    for (const one of bound) handle(one, span);
  }

  #advance(): void {
    this.next = Number.POSITIVE_INFINITY;
    for (const { spans, next } of this.#followed) {
      if (next < spans.count) this.next = Math.min(this.next, spans.endsAt(next));
    }
  }
}

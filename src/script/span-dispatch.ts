import { type Followed, FollowedSpans } from '../spans/followed.ts';
import type { Held } from '../spans/held.ts';
import { rowOf, type Span, type SpanKind } from '../spans/kind.ts';
import { kinds } from '../spans/kinds.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Trace } from '../trace/trace.ts';

/** The kind that a handler's name means. */
export function kindOfHandler(name: string): SpanKind | undefined {
  return kinds.find((kind) => kind.name === name);
}

/** Spans of one kind, who is called for each, and the next of those that ended with the batch. */
type Called<Bound> = Followed & { bound: Bound[]; next: number };

/** Makes spans of events, and hands each to its handlers when its last event's turn has come. */
export class SpanDispatch<Bound> extends FollowedSpans {
  /** Index in the batch of the event that ends the next span; Infinity where none is left. */
  next = Number.POSITIVE_INFINITY;
  readonly #called: Called<Bound>[] = [];

  /** Adds a handler of spans; gives what knows whether the recording has any. Scripts share what makes the spans of a kind. */
  add(kind: SpanKind, bound: Bound): Held {
    const known = this.#called.find((one) => one.kind === kind);
    if (known !== undefined) {
      known.bound.push(bound);
      return known.held;
    }
    const followed = this.follow(kind);
    this.#called.push({ ...followed, bound: [bound], next: 0 });
    return followed.held;
  }

  override batch(trace: Trace, b: EventBatch): void {
    super.batch(trace, b);
    for (const one of this.#called) one.next = 0;
    this.#advance();
  }

  /** After the last event: calls the handlers of the spans that end with the trace. */
  finish(end: number, handle: (bound: Bound, span: Span) => void): void {
    for (const one of this.#called) {
      if (one.spans.finish === undefined) continue;
      one.spans.finish(end);
      for (one.next = 0; one.next < one.spans.count; one.next++) this.#give(one, handle);
    }
  }

  /** Calls the handlers of the spans that end with event `next`. */
  call(handle: (bound: Bound, span: Span) => void): void {
    const at = this.next;
    for (const one of this.#called) {
      for (; one.next < one.spans.count && one.spans.endsAt(one.next) === at; one.next++) this.#give(one, handle);
    }
    this.#advance();
  }

  #give({ kind, spans, bound, next }: Called<Bound>, handle: (bound: Bound, span: Span) => void): void {
    const span = rowOf(kind, spans, next);
    for (const one of bound) handle(one, span);
  }

  #advance(): void {
    this.next = Number.POSITIVE_INFINITY;
    for (const { spans, next } of this.#called) {
      if (next < spans.count) this.next = Math.min(this.next, spans.endsAt(next));
    }
  }
}

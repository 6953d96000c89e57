import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import {
  ExitSource,
  LockHoldSource,
  LockWaitSource,
  RequestSource,
  type Span,
  type SpanSource,
} from './span-sources.ts';

/** The sources of the spans that have handlers by name. */
const sources: Record<string, () => SpanSource> = {
  exit: () => new ExitSource(),
  request: () => new RequestSource(),
  lockWait: () => new LockWaitSource(),
  lockHold: () => new LockHoldSource(),
};

export function isSpanName(name: string): boolean {
  return Object.hasOwn(sources, name);
}

/** Spans of one kind, who is called for each, and the next of those that ended with the batch. */
type Kind<Bound> = { name: string; source: SpanSource; bound: Bound[]; next: number };

/** Makes spans of events, and hands each to its handlers when its last event's turn has come. */
export class SpanDispatch<Bound> {
  /** Index in the batch of the event that ends the next span; Infinity where none is left. */
  next = Number.POSITIVE_INFINITY;
  readonly #kinds: Kind<Bound>[] = [];

  /** Adds a handler of spans by their name. Scripts share what makes the spans. */
  addNamed(name: string, bound: Bound): SpanSource {
    const known = this.#kinds.find((kind) => kind.name === name);
    if (known === undefined) return this.add(name, (sources[name] as () => SpanSource)(), bound);
    known.bound.push(bound);
    return known.source;
  }

  add(name: string, source: SpanSource, bound: Bound): SpanSource {
    this.#kinds.push({ name, source, bound: [bound], next: 0 });
    return source;
  }

  wants(type: EventType): boolean {
    // All are asked: each learns of the types that way.
    return this.#kinds.map(({ source }) => source.wants(type)).includes(true);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (const kind of this.#kinds) {
      kind.source.batch(trace, b);
      kind.next = 0;
    }
    this.#advance();
  }

  /** Calls the handlers of the spans that end with event `next`. */
  call(handle: (bound: Bound, span: Span) => void): void {
    const at = this.next;
    for (const kind of this.#kinds) {
      const { source, bound } = kind;
      for (; kind.next < source.count && source.endsAt(kind.next) === at; kind.next++) {
        const span = source.make(kind.next);
        for (const one of bound) handle(one, span);
      }
    }
    this.#advance();
  }

  #advance(): void {
    this.next = Number.POSITIVE_INFINITY;
    for (const { source, next } of this.#kinds) {
      if (next < source.count) this.next = Math.min(this.next, source.endsAt(next));
    }
  }
}

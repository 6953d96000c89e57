import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { Held } from './held.ts';
import type { SpanKind, Spans } from './kind.ts';

/** Spans of one kind, and whether the recording holds any. */
export type Followed = { readonly kind: SpanKind; readonly spans: Spans; readonly held: Held };

/** Spans of several kinds, made of the same events. */
export class FollowedSpans {
  readonly all: Followed[] = [];

  follow(kind: SpanKind): Followed {
    const spans = kind.start();
    const followed = { kind, spans, held: new Held(kind, spans) };
    this.all.push(followed);
    return followed;
  }

  wants(type: EventType): boolean {
    // All are asked: each learns of the types that way.
    return this.all.map(({ spans }) => spans.wants(type)).includes(true);
  }

  within(window: Window): void {
    for (const { spans } of this.all) spans.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (const { spans } of this.all) spans.batch(trace, b);
  }

  behind(trace: Trace, b: EventBatch): void {
    for (const { held } of this.all) held.behind(trace, b);
  }

  /** Whether the recording holds what any of the kinds begins and ends with. */
  get seen(): boolean {
    return this.all.some(({ held }) => held.seen);
  }
}

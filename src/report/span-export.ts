import type { ReadAnalysis } from '../analyse/read-events.ts';
import { type Followed, FollowedSpans } from '../spans/followed.ts';
import { rowOf, type SpanKind } from '../spans/kind.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Trace } from '../trace/trace.ts';
import type { SpanRow, SpanWriter } from './span-rows.ts';

/** Spans of any kinds as rows, in the order of their ends, written as they come. */
export class SpanExport extends FollowedSpans implements ReadAnalysis {
  count = 0;
  readonly #writer: SpanWriter;
  readonly #out: (bytes: Uint8Array | string) => Promise<void>;
  #pending: (Uint8Array | string)[] = [];

  constructor(kinds: readonly SpanKind[], writer: SpanWriter, out: (bytes: Uint8Array | string) => Promise<void>) {
    super();
    for (const kind of kinds) this.follow(kind);
    this.#writer = writer;
    this.#out = out;
  }

  override batch(trace: Trace, b: EventBatch): void {
    super.batch(trace, b);
    this.#give(this.all);
  }

  curious(): boolean {
    return !this.seen;
  }

  finish(end: number): void {
    for (const { spans } of this.all) spans.finish?.(end);
  }

  /** Hands on what was made since the last call. */
  async settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const bytes of pending) await this.#out(bytes);
  }

  async end(): Promise<void> {
    const last = this.all.filter(({ spans }) => spans.finish !== undefined);
    this.#give(last);
    this.#write(this.#writer.end());
    await this.settle();
  }

  #give(all: readonly Followed[]): void {
    const rows: SpanRow[] = [];
    for (const { kind, spans } of all) {
      for (let k = 0; k < spans.count; k++) {
        const cells = rowOf(kind, spans, k);
        rows.push({ kind, begin: cells.begin, duration: cells.duration, cells });
      }
    }
    if (rows.length === 0) return;
    rows.sort((x, y) => x.begin + x.duration - y.begin - y.duration);
    this.count += rows.length;
    this.#write(this.#writer.rows(rows));
  }

  #write(bytes: Uint8Array | string): void {
    if (bytes.length > 0) this.#pending.push(bytes);
  }
}

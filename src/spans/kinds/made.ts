import type { Window } from '../../trace/analysis.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';

/** Spans that stand in a table, which an analysis fills batch by batch. */
export abstract class MadeSpans {
  /** Who learns the types of events, and which stretch the spans are of. */
  protected abstract readonly maker: { wants(type: EventType): boolean; within(window: Window): void };
  protected abstract readonly table: { readonly count: number; readonly endsAt: Int32Array };
  protected trace: Trace | undefined;

  get count(): number {
    return this.table.count;
  }

  wants(type: EventType): boolean {
    return this.maker.wants(type);
  }

  within(window: Window): void {
    this.maker.within(window);
  }

  endsAt(k: number): number {
    return this.table.endsAt[k] as number;
  }
}

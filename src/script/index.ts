/** `virtap/script`: what the scripts that `virtap run` runs are made of. */

export type { Span } from '../spans/kind.ts';
export type { Exit } from '../spans/kinds/exit.ts';
export type { Lock, LockWait } from '../spans/kinds/lock.ts';
export type { Request } from '../spans/kinds/request.ts';
export type { VcpuStretch } from '../spans/kinds/vcpu-state.ts';
export type { Loss } from '../trace/loss.ts';
export type { SortKey } from '../views/figures.ts';
export { Aggregate, type StatsOptions } from './aggregate.ts';
export type {
  Analyzer,
  AnyFields,
  Context,
  EventHandler,
  Handlers,
  Hex,
  Period,
  SpanHandler,
  Tick,
  Tools,
} from './analyzer.ts';
export { analyzer } from './analyzer.ts';
export * from './events.ts';
export type { TableOptions, Unit } from './figures-table.ts';
export { HeatAggregate } from './heat.ts';
export { type Bucket, Histogram, type LinearBounds } from './histogram.ts';
export { Counter, type Key, type Keyed, KeyedAggregate, KeyedCounts } from './keyed.ts';
export type { KnownEvents } from './known-events.ts';
export { counts, heatmap, stats } from './make.ts';
export type { Pair, PairOptions } from './pair-kind.ts';
export type { Printable } from './printable.ts';

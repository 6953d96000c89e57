/** The public face of the library: open a trace of any format, read its events, and run virtap's analyses on them. */
export { alignTraces } from './align/align.ts';
export { type Answers, analyse, type Questions } from './analyse/analyse.ts';
export type { Moment } from './analyse/moment.ts';
export type { ReadOptions, Watch } from './analyse/read.ts';
export { UsageError } from './analyse/usage-error.ts';
export { openTrace } from './formats/detect.ts';
export type { Format, OpenOptions } from './formats/format.ts';
export type { AnyFields, Hex } from './script/analyzer.ts';
export {
  events,
  exits,
  type IterateOptions,
  lockHolds,
  lockWaits,
  pairs,
  requests,
  spans,
  type TraceEvent,
} from './script/iterate.ts';
export type { Pair, PairOptions } from './script/pair-kind.ts';
export type { DeviceKind, Direction } from './spans/device-kinds.ts';
export { ExitPairing, ExitSpans, type PairingCounts, type VcpuThread } from './spans/exits.ts';
export type { InFlightResult } from './spans/in-flight.ts';
export type { Column, Columns, RowOf, Span, SpanKind, Spans } from './spans/kind.ts';
export type { Exit } from './spans/kinds/exit.ts';
export type { Lock, LockWait } from './spans/kinds/lock.ts';
export type { Request } from './spans/kinds/request.ts';
export type { VcpuStretch } from './spans/kinds/vcpu-state.ts';
export { kindNamed, kinds } from './spans/kinds.ts';
export type { LockThread, Mutex, Site } from './spans/lock-keys.ts';
export type { LockCounts } from './spans/lock-machine.ts';
export { LockSpans, Stretches } from './spans/lock-spans.ts';
export { Locks, type OpenLock } from './spans/locks.ts';
export {
  type OpenPair,
  type PairCounts,
  type PairEnd,
  type PairListener,
  type PairOptions as PairingOptions,
  PairSpans,
  Pairs,
} from './spans/pairs.ts';
export {
  type Delay,
  type Facet,
  type Filled,
  HopSpans,
  type Later,
  type Point,
  points,
  RequestPath,
  RequestSpans,
} from './spans/request-path.ts';
export { type RequestListener, Requests } from './spans/requests.ts';
export type { Stats } from './spans/summary.ts';
export type { ThreadState } from './spans/thread-time.ts';
export type { Vcpu } from './spans/vcpu.ts';
export type { Alignment } from './trace/alignment.ts';
export type { Analysis } from './trace/analysis.ts';
export type { EventBatch } from './trace/batch.ts';
export type { Clock, ClockTie } from './trace/clock.ts';
export { TraceError } from './trace/error.ts';
export type { EventType, Field, FieldReader, Layout, TextBytes } from './trace/event-type.ts';
export { hex64, unsigned64 } from './trace/event-type.ts';
export type { Loss } from './trace/loss.ts';
export { mergeTraces } from './trace/merge.ts';
export type { Shift } from './trace/timeline.ts';
export type { Companions, Thread, Trace } from './trace/trace.ts';
export type { Dimension, ExitOptions, ExitResult, ExitRow, Group } from './views/exits.ts';
export { Exits } from './views/exits.ts';
export type { Heat } from './views/heatmap.ts';
export type { InventoryView, Machine, ProcessCount, TypeCount } from './views/inventory.ts';
export { Inventory } from './views/inventory.ts';
export type { LeakReport, QueueReport, Unfinished, Verdict } from './views/leaks.ts';
export { judgeLeaks } from './views/leaks.ts';
export type { LockRole } from './views/lock-answers.ts';
export type { QueueName } from './views/queue-name.ts';
export type {
  DelayResult,
  Hop,
  MissingPoint,
  Rank,
  RequestQueue,
  RequestsOptions,
  RequestsResult,
  SlowRequest,
} from './views/requests.ts';
export { RequestsView } from './views/requests.ts';
export type { SlowExit } from './views/slowest.ts';

import { scouted } from '../analyse/foresight.ts';
import { watched } from '../spans/holes.ts';
import { type Columns, type RowOf, rowOf, type SpanKind } from '../spans/kind.ts';
import { type Exit, exit } from '../spans/kinds/exit.ts';
import { type Lock, type LockWait, lockHold, lockWait } from '../spans/kinds/lock.ts';
import { type Request, request } from '../spans/kinds/request.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { AnyFields, Context } from './analyzer.ts';
import { argumentsOf } from './arguments.ts';
import { Cursor } from './cursor.ts';
import { eventNames } from './event-names.ts';
import { type Pair, type PairOptions, pairKind } from './pair-kind.ts';

/** For those who want to know of more than what comes out. */
export type IterateOptions = {
  /** Told of each stretch in which the recorder lost events. Spans that straddle one are left out. */
  lost?: (loss: Loss) => void;
};

/*
 * All of these read the trace to its end, once, and close it then, or when the loop is left. What is damaged gives what came before, and then
 * throws the TraceError. Spans are given as they end, so a file is read beforehand for the holes that come to light too late.
 */

/** The exits of vCPUs, from kvm_exit to kvm_entry, in the order of their ends. */
export function exits(trace: Trace, options?: IterateOptions): AsyncGenerator<Exit, void> {
  return spans(trace, exit, options);
}

/** Virtqueue elements, from virtqueue_pop to virtqueue_fill, in the order of their fills. */
export function requests(trace: Trace, options?: IterateOptions): AsyncGenerator<Request, void> {
  return spans(trace, request, options);
}

/** Waits for QEMU's mutexes, in the order of their ends. */
export function lockWaits(trace: Trace, options?: IterateOptions): AsyncGenerator<LockWait, void> {
  return spans(trace, lockWait, options);
}

/** Holds of QEMU's mutexes, in the order of their ends. */
export function lockHolds(trace: Trace, options?: IterateOptions): AsyncGenerator<Lock, void> {
  return spans(trace, lockHold, options);
}

/** Each two events that belong together, in the order of the second ones. */
export function pairs(trace: Trace, options: PairOptions & IterateOptions): AsyncGenerator<Pair, void> {
  return spans(trace, pairKind(options), options);
}

/** An event with its arguments, decoded. */
export type TraceEvent = Pick<Context, 'time' | 'ns' | 'event' | 'cpu' | 'tid' | 'pid' | 'comm'> & { args: AnyFields };

/** The events of a name or pattern, or all, in order of time: with or without the system, as `virtap dump --event` takes them. */
export async function* events(
  trace: Trace,
  names: string | readonly string[] = '*',
  { lost }: IterateOptions = {},
): AsyncGenerator<TraceEvent, void> {
  const wanted = (typeof names === 'string' ? [names] : names).map(eventNames);
  // All are asked, whatever the others say.
  const wants = (type: EventType) => wanted.map((one) => one.takes(type)).includes(true);
  const taken: (object | null | undefined)[] = [];
  let cursor: Cursor | undefined;
  for await (const b of batches(watched(trace), wants, lost)) {
    cursor ??= new Cursor(trace, b, timestamps(trace.origin, trace.clock.unit));
    cursor.b = b;
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      let args = taken[id];
      if (args === undefined) {
        const type = trace.types[id] as EventType;
        args = wants(type) ? argumentsOf(type, cursor) : null;
        taken[id] = args;
      }
      if (args === null) continue;
      cursor.i = i;
      const { time, ns, event, cpu, tid, pid, comm } = cursor;
      yield { time, ns, event, cpu, tid, pid, comm, args: { ...args } };
    }
  }
}

/** Spans of any kind, in the order of their ends: `for await (const one of spans(trace, kind))`. */
export async function* spans<C extends Columns>(
  trace: Trace,
  kind: SpanKind<C>,
  { lost }: IterateOptions = {},
): AsyncGenerator<RowOf<C>, void> {
  const all = kind.start();
  const whole = await scouted(trace);
  for await (const b of batches(whole, (type) => all.wants(type), lost)) {
    all.batch(whole, b);
    for (let k = 0; k < all.count; k++) yield rowOf(kind, all, k);
  }
  if (all.finish === undefined) return;
  all.finish(trace.last);
  for (let k = 0; k < all.count; k++) yield rowOf(kind, all, k);
}

async function* batches(
  trace: Trace,
  wants: (type: EventType) => boolean,
  lost: IterateOptions['lost'],
): AsyncGenerator<EventBatch, void> {
  try {
    for await (const b of trace.batches(wants)) {
      if (lost !== undefined) for (const loss of b.losses) lost(loss);
      yield b;
    }
    if (trace.damage !== undefined) throw trace.damage;
  } finally {
    await trace.close();
  }
}

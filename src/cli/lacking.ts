import { UsageError } from '../analyse/usage-error.ts';
import { type Clock, tellsTime } from '../trace/clock.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import { qemuOf, recordLines } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Condition } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';

/** A refusal, followed by what the reader noted of the input, a line a note: it may say why there is no answer. */
function refusal(error: TraceError, notes: readonly string[]): UsageError {
  return new UsageError(error.message, ...notes.map((note) => `Note: ${note}`));
}

/** Throws where a trace was read to its end and held no event at all: no command has an answer then. */
export function needEvents(trace: Trace, reading: Reading): void {
  if (trace.types.length > 0 || reading.events > 0 || reading.partial.length > 0) return;
  throw refusal(new TraceError(trace.file, 'holds no event'), trace.notes);
}

/** Why a clock tells no lengths of time, after a colon. */
export function untimeable(clock: Clock): string {
  const why =
    clock.unit === 'none'
      ? 'its events have no time stamps'
      : 'its clock, counter, numbers events and measures no time';
  return `${why}, so nothing in it can be timed`;
}

/** Throws where a threshold or a condition is in ns, which says nothing of the clock's units. */
export function needLength(
  { clock, file }: Trace,
  { than, failIf }: { than?: number | undefined; failIf?: Condition[] | undefined },
): void {
  if (clock.unit !== 'ticks') return;
  const cycles = `${file}: its clock counts cycles of unknown length`;
  if (than !== undefined) throw new UsageError(`${cycles}, so there is no --than`);
  const length = failIf?.find(({ measure, change }) => measure === 'length' && !change);
  if (length !== undefined) throw new UsageError(`${cycles}, so --fail-if ${length.text} cannot be judged`);
}

/** Throws where nothing in a trace can be timed. `remedy` says what to record instead. */
export async function needTimes(trace: Trace, remedy = ''): Promise<void> {
  if (tellsTime(trace.clock)) return;
  for await (const { count } of trace.batches()) {
    if (count === 0) continue;
    throw new UsageError(`${trace.file}: ${untimeable(trace.clock)}${remedy === '' ? '' : `; ${remedy}`}`);
  }
  throw trace.damage ?? refusal(new TraceError(trace.file, 'holds no event'), trace.notes);
}

/** Refuses a recording without pops or fills of virtqueues; `cannot` says what it can therefore not tell. */
export function needPopsAndFills(trace: Trace, cannot: string): void {
  const typesOf = (name: string) => trace.types.filter((type) => type.name === `qemu:${name}`);
  const lacking = ['virtqueue_pop', 'virtqueue_fill'].filter((name) => !typesOf(name).some(tellsElement));
  if (lacking.length === 0) return;
  const unread = lacking.filter((name) => typesOf(name).length > 0);
  const untold = untellable(
    trace.types.map(({ name }) => name),
    `any ${lacking.join(' or ')} event`,
  );
  if (untold !== undefined)
    throw refusal(new TraceError(trace.file, `${untold}, so it cannot tell ${cannot}`), trace.notes);
  const held = [...new Set(trace.types.map((type) => type.name.split(':', 1)[0]))].slice(0, 8).join(', ');
  const damaged = trace.damage === undefined ? '' : ', and is damaged';
  const error =
    unread.length > 0
      ? new TraceError(
          trace.file,
          `the arguments of its ${unread.join(' and ')} events do not have the names vq and elem, so it cannot tell ${cannot}`,
          undefined,
          'the trace-events-all of the QEMU that wrote it (--trace-events)',
        )
      : new TraceError(
          trace.file,
          `has no ${lacking.join(' and no ')} event, so it cannot tell ${cannot} (it holds ${held === '' ? 'no events' : `events of ${held}`}${damaged})`,
          undefined,
          `a recording of both, such as ${recordLines('queues', qemuOf(trace))[0]}`,
        );
  throw refusal(error, trace.notes);
}

/** Whether an event says which element of which queue it is about. */
function tellsElement(type: EventType): boolean {
  return type.reader('vq')?.kind === 'int' && type.reader('elem')?.kind === 'int';
}

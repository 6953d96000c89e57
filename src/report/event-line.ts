import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { csvRow } from './csv.ts';
import { escapeText } from './escape.ts';

/** Writes event `i` of a batch as one line, with its line end. */
export type EventWriter = (trace: Trace, b: EventBatch, i: number) => string;

/** The frames of an event's call chain, the innermost first. */
function framesOf(type: EventType, b: EventBatch, i: number): string[] {
  const text = type.layout.chain?.text(b, i) ?? '';
  return text === '' ? [] : text.split('\n');
}

/** A call chain as perf script writes it below an event: a frame a line, and an empty one. */
export function chainText(type: EventType, b: EventBatch, i: number): string {
  const frames = framesOf(type, b, i).map((frame) => {
    const [address = '', ...rest] = frame.split(' ');
    return `        ${escapeText([address.padStart(16), ...rest].join(' '))}\n`;
  });
  return frames.length === 0 ? '' : `${frames.join('')}\n`;
}

/** Comms are escaped once each, so many at most. */
const maxComms = 10_000;

/** Names of threads, escaped. */
function commCache(): (comm: string) => string {
  const cache = new Map<string, string>();
  return (comm) => {
    let escaped = cache.get(comm);
    if (escaped === undefined) {
      escaped = escapeText(comm);
      if (cache.size < maxComms) cache.set(comm, escaped);
    }
    return escaped;
  };
}

/** Time stamps of a trace; a merged trace's origin is known only with its first batch. */
function stampCache(): (trace: Trace, offset: number) => string {
  let write: ((offset: number) => string) | undefined;
  return (trace, offset) => {
    write ??= timestamps(trace.origin, trace.clock.unit);
    return write(offset);
  };
}

/** Lines like those of `trace-cmd report`: `comm-tid [cpu] seconds: system:event: fields`. */
export function textLines(): EventWriter {
  const comms = commCache();
  const stamp = stampCache();
  return (trace, b, i) => {
    const type = trace.types[b.type[i] as number] as EventType;
    const tid = b.tid[i] as number;
    const pid = b.pid[i] as number;
    const cpu = b.cpu[i] as number;
    const comm = comms(trace.threads.get(tid)?.comm ?? '');
    // simpletrace knows the process only.
    const who =
      tid >= 0 ? `${comm !== '' ? comm : tid === 0 ? '<idle>' : '<...>'}-${tid}` : pid >= 0 ? `pid ${pid}` : '-';
    const where = cpu < 0 ? '' : ` [${String(cpu).padStart(3, '0')}]`;
    return `${who.padStart(22)}${where} ${stamp(trace, b.time[i] as number)}: ${escapeText(`${type.name}: ${type.layout.print(b, i)}`)}\n${chainText(type, b, i)}`;
  };
}

export const csvHeader = csvRow(['time', 'cpu', 'pid', 'tid', 'comm', 'event', 'text']);

/** One CSV row an event; what the trace does not say is empty. */
export function csvLines(): EventWriter {
  const stamp = stampCache();
  const known = (id: number) => (id < 0 ? undefined : id);
  return (trace, b, i) => {
    const type = trace.types[b.type[i] as number] as EventType;
    const thread = trace.threads.get(b.tid[i] as number);
    const pid = b.pid[i] as number;
    return csvRow([
      stamp(trace, b.time[i] as number),
      known(b.cpu[i] as number),
      known(pid >= 0 ? pid : (thread?.pid ?? -1)),
      known(b.tid[i] as number),
      thread?.comm ?? '',
      type.name,
      type.layout.print(b, i),
    ]);
  };
}

/** What a field holds, for programs: an integer as a number, or as its own text where that is no decimal of 15 digits. Undefined where the event lacks it. */
export function fieldValue(reader: FieldReader, b: EventBatch, i: number): string | number | undefined {
  // Several forms of an event share a type: this one may lack a text.
  if (reader.bytes?.find(b, i) === false) return undefined;
  const text = reader.text(b, i);
  if (reader.kind === 'text') return text;
  if (text === '') return undefined;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

/** One JSON object an event, on one line. Integers print as numbers, or as the field's own hexadecimal (always so where it has 64 bits). */
export function jsonLines(): EventWriter {
  const known = (id: number) => (id < 0 ? null : id);
  return (trace, b, i) => {
    const type = trace.types[b.type[i] as number] as EventType;
    const thread = trace.threads.get(b.tid[i] as number);
    const pid = b.pid[i] as number;
    const fields: [name: string, value: string | number][] = [];
    for (const field of type.fields) {
      const reader = type.reader(field.name);
      const value = reader === undefined ? undefined : fieldValue(reader, b, i);
      if (value !== undefined) fields.push([field.name, value]);
    }
    return `${JSON.stringify({
      [trace.clock.unit === 'ticks' ? 'time_ticks' : 'time_ns']:
        trace.clock.unit === 'none' ? null : (b.time[i] as number),
      cpu: known(b.cpu[i] as number),
      pid: known(pid >= 0 ? pid : (thread?.pid ?? -1)),
      tid: known(b.tid[i] as number),
      comm: thread?.comm ?? '',
      event: type.name,
      ...(type.recordedAs === type.name ? {} : { recorded_as: type.recordedAs }),
      // Whatever they are called: a field `__proto__` is one, too.
      fields: Object.fromEntries(fields),
      ...(type.layout.chain === undefined ? {} : { callchain: framesOf(type, b, i) }),
    })}\n`;
  };
}

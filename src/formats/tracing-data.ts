import type { Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import { ByteCursor } from './byte-cursor.ts';
import { type KernelFormat, parseKernelFormat } from './kernel-format.ts';

/*
 * What a kernel recording says of its events. trace.dat v6 begins with it, v7 has each part in a section, and perf.data
 * has it in its HEADER_TRACING_DATA feature with versions 0.5 and 0.6.
 * Sources: trace-cmd's Documentation/trace-cmd/trace-cmd.dat.v6.5.txt, v7.5.txt; linux tools/perf/util/trace-event-read.c.
 */

/** How the kernel lays out a page of its ring buffer: events/header_page. Sizes and offsets in bytes. */
export type PageLayout = {
  /** Size of the `commit` word: the kernel's long. */
  commitSize: 4 | 8;
  /** Where the events begin. */
  dataOffset: number;
  /** Room for events. */
  dataSize: number;
};

export class EventFormats extends Map<number, { system: string; format: KernelFormat }> {
  /** The first format that is not text; what can be read of the others stands. */
  damage: TraceError | undefined;
}

export type TracingData = {
  /** `6`, `0.6`, … */
  version: string;
  little: boolean;
  /** Size of the traced user space's long, in bytes. */
  longSize: number;
  /** Page size of the traced machine, in bytes. */
  pageSize: number;
  /** Undefined where header_page describes none: kernels before 2.6.31 had another ring buffer. */
  page: PageLayout | undefined;
  /** Event formats by their common_type. */
  formats: EventFormats;
  /** Thread names by tid. */
  comms: Map<number, string>;
  /** Bytes that the whole takes. */
  length: number;
  /** Why the parts after the formats (kallsyms, printk formats, thread names) could not be read to their end. */
  damage: TraceError | undefined;
};

/** Bytes that all of these begin with. */
const tracingMagic: Uint8Array = new Uint8Array([0x17, 0x08, 0x44, ...Buffer.from('tracing')]);

/** Whether bytes begin with the magic. */
export function hasTracingMagic(bytes: Uint8Array): boolean {
  return tracingMagic.every((byte, i) => bytes[i] === byte);
}

/**
 * Parses tracing data as perf embeds it and as trace.dat v6 begins with it.
 * `baseOffset` is the offset of `bytes` in the file, for messages. Throws a TraceError where the event formats cannot be read.
 */
export function parseTracingData(bytes: Uint8Array, file: string, baseOffset: number, meter?: Meter): TracingData {
  return readTracingData(ByteCursor.overBytes(bytes, file, baseOffset, true, meter));
}

/** The same from a cursor, which is left behind the last part. */
export function readTracingData(cursor: ByteCursor): TracingData {
  const start = cursor.offset;
  const first = readTracingStart(cursor);
  const page = readHeaderInfo(cursor);
  const formats = new EventFormats();
  readFtraceFormats(cursor, formats);
  readEventFormats(cursor, formats);
  let comms = new Map<number, string>();
  let damage: TraceError | undefined;
  try {
    cursor.skip(cursor.u32('the size of kallsyms'), 'kallsyms');
    cursor.skip(cursor.u32('the size of the printk formats'), 'printk formats');
    if (Number.parseFloat(first.version) >= 0.6) comms = readCommandLines(cursor);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    damage = error;
  }
  return { ...first, page, formats, comms, length: cursor.offset - start, damage };
}

/** Magic to page size; sets the cursor's byte order. */
export function readTracingStart(
  cursor: ByteCursor,
): Pick<TracingData, 'version' | 'little' | 'longSize' | 'pageSize'> {
  const start = cursor.offset;
  if (!hasTracingMagic(cursor.bytes(tracingMagic.length, 'the tracing magic'))) {
    throw new TraceError(cursor.file, 'no tracing data', start, '17 08 44 "tracing"');
  }
  const version = cursor.string('the version', 32);
  const endian = cursor.u8('the byte order');
  if (endian > 1) {
    throw new TraceError(cursor.file, `byte order ${endian}`, cursor.offset - 1, '0 (little endian) or 1 (big endian)');
  }
  cursor.little = endian === 0;
  const longSize = cursor.u8('the size of a long');
  if (longSize !== 4 && longSize !== 8) {
    throw new TraceError(cursor.file, `a long of ${longSize} bytes`, cursor.offset - 1, '4 or 8');
  }
  const pageSize = cursor.u32('the page size');
  if (pageSize < 512 || pageSize > 1 << 24 || (pageSize & (pageSize - 1)) !== 0) {
    throw new TraceError(
      cursor.file,
      `a page size of ${pageSize}`,
      cursor.offset - 4,
      'a power of two from 512 to 16 MiB',
    );
  }
  return { version, little: cursor.little, longSize, pageSize };
}

/** events/header_page and events/header_event. Undefined where they describe no page of the ring buffer as it is since 2.6.31. */
export function readHeaderInfo(cursor: ByteCursor): PageLayout | undefined {
  expect(cursor, 'header_page\0');
  const text = cursor.text(cursor.u64('the size of header_page'), 'header_page');
  expect(cursor, 'header_event\0');
  cursor.skip(cursor.u64('the size of header_event'), 'header_event');
  return pageLayoutOf(text);
}

/** The text of events/header_page. */
export function pageLayoutOf(text: string): PageLayout | undefined {
  const number = (field: string, property: string): number =>
    Number(new RegExp(`^[ \\t]*field: ?[^;\\n]*\\b${field};[^\\n]*\\b${property}:(\\d{1,9});`, 'm').exec(text)?.[1]);
  const commitSize = number('commit', 'size');
  const dataOffset = number('data', 'offset');
  const dataSize = number('data', 'size');
  const known =
    number('timestamp', 'size') === 8 &&
    number('timestamp', 'offset') === 0 &&
    number('commit', 'offset') === 8 &&
    (commitSize === 4 || commitSize === 8) &&
    dataOffset === 8 + commitSize &&
    dataSize > 0 &&
    dataSize < 1 << 26;
  return known ? { commitSize, dataOffset, dataSize } : undefined;
}

/** The formats of the system `ftrace`. */
export function readFtraceFormats(cursor: ByteCursor, formats: EventFormats): void {
  const count = cursor.u32('the number of ftrace formats');
  for (let i = 0; i < count; i++) readFormat(cursor, 'ftrace', formats);
}

/** The formats of all other systems. */
export function readEventFormats(cursor: ByteCursor, formats: EventFormats): void {
  const systems = cursor.u32('the number of event systems');
  for (let s = 0; s < systems; s++) {
    const system = cursor.string('the name of an event system');
    const count = cursor.u32(`the number of events of the system ${system}`);
    for (let i = 0; i < count; i++) readFormat(cursor, system, formats);
  }
}

function readFormat(cursor: ByteCursor, system: string, formats: EventFormats): void {
  const at = cursor.offset;
  const text = cursor.text(cursor.u64('the size of an event format'), 'an event format');
  const nul = text.indexOf('\0');
  if (nul >= 0 && nul < text.length - 1) {
    const problem = `an event format of ${system} with NUL bytes`;
    formats.damage ??= new TraceError(cursor.file, problem, at + 8, 'text, as the kernel gives it');
  }
  addFormat(formats, system, text, cursor.meter, at);
}

/** Takes the text of one event's `format`, which may be empty: that of an event that went away while it was copied. */
export function addFormat(formats: EventFormats, system: string, text: string, meter: Meter, at?: number): void {
  if (!meter.hold(emptyFormat + 2 * text.length, 'event formats', at)) return;
  const format = parseKernelFormat(text, () => meter.hold(formatField, 'fields of events', at));
  if (format !== undefined) formats.set(format.id, { system, format });
}

/** What a format and each of its fields take in memory beside their text; measured. */
const emptyFormat = 400;
const formatField = 300;

/** What a thread's name takes in memory; measured. */
const commandLine = 64;

/** The part with saved_cmdlines. */
export function readCommandLines(cursor: ByteCursor): Map<number, string> {
  const at = cursor.offset;
  return commandLines(cursor.text(cursor.u64('the size of the thread names'), 'thread names'), cursor.meter, at);
}

/** The text of saved_cmdlines: `TID COMM` a line. */
export function commandLines(text: string, meter: Meter, at?: number): Map<number, string> {
  const comms = new Map<number, string>();
  for (let start = 0, end = 0; end >= 0; start = end + 1) {
    end = text.indexOf('\n', start);
    const line = text.slice(start, end < 0 ? undefined : end);
    const space = line.indexOf(' ', 1);
    const tid = Number(line.slice(0, space));
    const comm = line.slice(space + 1);
    if (space <= 0 || !Number.isInteger(tid) || comm === '' || comm === '<...>') continue;
    if (!meter.hold(commandLine + comm.length, 'names of threads', at)) break;
    comms.set(tid, comm);
  }
  return comms;
}

function expect(cursor: ByteCursor, word: string): void {
  const at = cursor.offset;
  const found = Buffer.from(cursor.bytes(word.length, `"${word.slice(0, -1)}"`)).toString('latin1');
  if (found !== word) throw new TraceError(cursor.file, 'not what stands there', at, `"${word.slice(0, -1)}"`);
}

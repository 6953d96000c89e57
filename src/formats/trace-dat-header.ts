import { inflateSync } from 'node:zlib';
import type { Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import { ByteCursor } from './byte-cursor.ts';
import { isOfInput } from './input.ts';
import type { RandomFile } from './random-file.ts';
import {
  type BufferOption,
  chosenClock,
  cpuBytes,
  cpuCount,
  readOptions,
  sectionHeader,
  sectionId,
  sectionName,
  TraceDatOptions,
} from './trace-dat-options.ts';
import { salvageBuffer } from './trace-dat-salvage.ts';
import {
  EventFormats,
  type PageLayout,
  readCommandLines,
  readEventFormats,
  readFtraceFormats,
  readHeaderInfo,
  readTracingData,
  readTracingStart,
} from './tracing-data.ts';
import { unzstdInto } from './zstd.ts';

/*
 * The header of a trace.dat, version 6 (parts one after the other) or 7 (sections, compressed).
 * Sources: trace-cmd's Documentation/trace-cmd/trace-cmd.dat.v6.5.txt and v7.5.txt, lib/trace-cmd/trace-input.c.
 */

/** What v7 compresses sections and chunks of pages with. */
export type Codec = 'none' | 'zlib' | 'zstd';

export type TraceDatBuffer = BufferOption & {
  /** Whether its pages are compressed in chunks. */
  compressed: boolean;
  /** Where its data end, padding included; undefined where the file does not tell. */
  end: number | undefined;
};

export type TraceDatHeader = {
  version: number;
  codec: Codec;
  little: boolean;
  page: PageLayout;
  formats: EventFormats;
  comms: Map<number, string>;
  options: TraceDatOptions;
  /** With the offsets of their CPUs' data, the top buffer first. */
  buffers: TraceDatBuffer[];
  /** Whether the table of CPUs is lost, and the CPUs' numbers are a guess. */
  salvaged: boolean;
  /** What of the header could not be read; the rest stands. */
  damage: TraceError | undefined;
};

/** The kernel's limit: 128 pages of 64 KiB. */
const largestPage = 8 << 20;
const compressedFlag = 1;

export function readHeader(file: RandomFile, size: number, name: string, meter: Meter): TraceDatHeader {
  const cursor = ByteCursor.overFile(file.fd, size, name, 0, meter);
  const { version, pageSize } = readTracingStart(cursor);
  if (version === '6') {
    cursor.offset = 0;
    return readV6(cursor);
  }
  if (version === '7') return readV7(cursor, pageSize);
  throw new TraceError(name, `trace.dat version "${version}"`, 10, 'version 6 or 7');
}

/**
 * What a trace.dat says of events, though it may hold none: trace-cmd's, while it records or after it was killed, and those of `trace-cmd
 * restore -c` have no more.
 */
export function readFormats(
  file: RandomFile,
  size: number,
  name: string,
  meter: Meter,
): Pick<TraceDatHeader, 'little' | 'formats' | 'comms'> & { page: PageLayout | undefined } {
  const cursor = ByteCursor.overFile(file.fd, size, name, 0, meter);
  const { version, little } = readTracingStart(cursor);
  if (version !== '7') {
    cursor.offset = 0;
    return readTracingData(cursor);
  }
  const codec = readCodec(cursor);
  cursor.skip(8, 'the offset of the options');
  const formats = new EventFormats();
  let page: PageLayout | undefined;
  let comms = new Map<number, string>();
  let found = false;
  while (cursor.left >= sectionHeader) {
    const start = cursor.offset;
    const id = cursor.u16('a section');
    cursor.skip(6, 'the description of a section');
    const end = cursor.u64('the size of a section') + cursor.offset;
    if (id === sectionId.buffer || end > cursor.end) break;
    const part = () => openSection(cursor, start, id, codec);
    if (id === sectionId.headerInfo) page = readHeaderInfo(part());
    else if (id === sectionId.ftraceEvents) readFtraceFormats(part(), formats);
    else if (id === sectionId.commandLines) comms = readCommandLines(part());
    else if (id === sectionId.eventFormats) {
      readEventFormats(part(), formats);
      found = true;
    }
    cursor.offset = end;
  }
  if (!found) throw new TraceError(name, 'holds no formats of events', undefined, 'a trace.dat with them');
  return { little, page, formats, comms };
}

function readV6(cursor: ByteCursor): TraceDatHeader {
  const data = readTracingData(cursor);
  if (data.damage !== undefined) throw data.damage;
  const options = new TraceDatOptions();
  let cpus = cpuCount(cursor);
  let tag = cursor.text(10, '"options", "latency" or "flyrecord"');
  if (tag.startsWith('options')) {
    readOptions(cursor, options, false);
    cpus = options.cpus ?? cpus;
    tag = cursor.text(10, '"latency" or "flyrecord"');
  }
  if (tag.startsWith('latency')) throw latency(cursor.file, cursor.offset - 10);
  if (!tag.startsWith('flyrecord')) throw notFlyrecord(cursor);
  const page = pageLayout(data.page, cursor.file);
  const pageSize = page.dataOffset + page.dataSize;
  const tables: BufferOption[] = [
    { offset: cursor.offset, name: '', clock: '', pageSize, cpus: [], latency: false },
    ...distinct(options.buffers.filter((buffer) => buffer.name !== '')),
  ];
  const buffers: TraceDatBuffer[] = [];
  let damage = options.damage ?? data.formats.damage;
  for (const table of tables) {
    try {
      cursor.offset = Math.min(table.offset, cursor.end);
      if (table.name !== '' && !cursor.text(10, '"flyrecord"').startsWith('flyrecord')) throw notFlyrecord(cursor);
      const buffer: TraceDatBuffer = { ...table, pageSize, cpus: [], compressed: false, end: undefined };
      buffers.push(buffer);
      cursor.meter.need(cpus * cpuBytes, 'tables of CPUs', cursor.offset);
      for (let cpu = 0; cpu < cpus; cpu++) {
        const offset = cursor.u64("the offset of a CPU's data");
        buffer.cpus.push({ cpu, offset, size: cursor.u64("the size of a CPU's data") });
      }
      // Old versions of trace-cmd wrote no clock although they said so: it is no damage.
      if (options.hasClock && cursor.left >= 8) {
        const length = cursor.u64('the size of the clock');
        if (length < Math.min(cursor.left, 4096)) buffer.clock = chosenClock(cursor.text(length, 'the clock')) ?? '';
      }
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      damage ??= error;
    }
  }
  // Nothing follows the data of the last buffer.
  const last = buffers.at(-1);
  if (last !== undefined) last.end = cursor.end;
  return {
    version: 6,
    codec: 'none',
    little: data.little,
    page,
    formats: data.formats,
    comms: data.comms,
    options,
    buffers,
    salvaged: false,
    damage,
  };
}

function readCodec(cursor: ByteCursor): Codec {
  const at = cursor.offset;
  const codec = cursor.string('the compression', 64);
  if (codec !== 'none' && codec !== 'zlib' && codec !== 'zstd') {
    throw new TraceError(cursor.file, `compressed with "${codec}"`, at, 'none, zlib or zstd');
  }
  cursor.string("the compression's version", 256);
  return codec;
}

function readV7(cursor: ByteCursor, pageSize: number): TraceDatHeader {
  const { file, little } = cursor;
  const codec = readCodec(cursor);
  const first = cursor.u64('the offset of the options');
  const sections = cursor.offset;
  if (first === 0) throw unfinished(file, sections - 8);

  const options = new TraceDatOptions();
  let damage = readOptionSections(cursor, first, codec, options);

  const formats = new EventFormats();
  const part = (id: number, what: string): ByteCursor => {
    const offset = options.sections.get(id);
    if (offset === undefined) throw new TraceError(file, `the options name no ${what}`, first, 'a section with them');
    return openSection(cursor, offset, id, codec);
  };
  const page = pageLayout(readHeaderInfo(part(sectionId.headerInfo, 'ring-buffer layout')), file);
  readEventFormats(part(sectionId.eventFormats, 'event formats'), formats);
  let comms = new Map<number, string>();
  // Events can be read without these.
  const optional = (read: () => void) => {
    try {
      read();
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      damage ??= error;
    }
  };
  optional(() => readFtraceFormats(part(sectionId.ftraceEvents, 'ftrace formats'), formats));
  optional(() => {
    if (options.sections.has(sectionId.commandLines)) {
      comms = readCommandLines(part(sectionId.commandLines, 'thread names'));
    }
  });

  const buffers: TraceDatBuffer[] = [];
  for (const buffer of distinct(options.buffers)) {
    if (buffer.latency) continue;
    optional(() => {
      cursor.offset = Math.min(buffer.offset, cursor.end);
      const id = cursor.u16("a buffer's section");
      if (id !== sectionId.buffer) throw wrongSection(file, buffer.offset, id, sectionId.buffer);
      const compressed = (cursor.u16('the flags of a section') & compressedFlag) !== 0 && codec !== 'none';
      cursor.skip(4, 'the description of a section');
      const end = cursor.u64('the size of a section') + cursor.offset;
      buffers.push({ ...buffer, pageSize: bufferPageSize(buffer.pageSize, page, pageSize), compressed, end });
    });
  }
  let salvaged = false;
  if (options.buffers.length === 0 && damage !== undefined) {
    const found = salvageBuffer(cursor, sections, bufferPageSize(0, page, pageSize), page);
    if (found === undefined || found.cpus.length === 0) throw damage;
    buffers.push({ ...found, end: undefined });
    salvaged = true;
  }
  buffers.sort((a, b) => Number(a.name !== '') - Number(b.name !== ''));
  if (buffers.length === 0 && damage === undefined) {
    if (options.buffers.length > 0) throw latency(file, options.buffers[0]?.offset as number);
    throw unfinished(file, first);
  }
  damage ??= formats.damage;
  return { version: 7, codec, little, page, formats, comms, options, buffers, salvaged, damage };
}

/** Reads every section of options. What stops it is thrown where nothing could be read without them, given otherwise. */
function readOptionSections(
  cursor: ByteCursor,
  first: number,
  codec: Codec,
  options: TraceDatOptions,
): TraceError | undefined {
  const seen = new Set<number>();
  try {
    for (let next = first; next !== 0; ) {
      if (seen.has(next)) throw new TraceError(cursor.file, 'options that lead back to themselves', next, 'others');
      seen.add(next);
      next = readOptions(openSection(cursor, next, sectionId.options, codec), options, true);
    }
  } catch (error) {
    if (!(error instanceof TraceError) || !options.sections.has(sectionId.eventFormats)) throw error;
    return error;
  }
  return options.damage;
}

/** The data of a section, unpacked. */
function openSection(cursor: ByteCursor, offset: number, expected: number, codec: Codec): ByteCursor {
  const { file, little } = cursor;
  if (offset >= cursor.end) {
    throw new TraceError(file, 'the file ends', cursor.end, `${sectionName(expected)} at byte ${offset}`);
  }
  cursor.offset = offset;
  const id = cursor.u16('a section');
  if (id !== expected) throw wrongSection(file, offset, id, expected);
  const flags = cursor.u16('the flags of a section');
  cursor.skip(12, 'the description and size of a section');
  if ((flags & compressedFlag) === 0) return cursor;
  const packed = cursor.u32('the compressed size of a section');
  const size = cursor.u32('the size of a section');
  const at = cursor.offset;
  cursor.meter.part(size, 'a section', offset);
  cursor.meter.unfold(size, offset);
  const bytes = unpack(codec, cursor.bytes(packed, 'a compressed section'), size, file, at);
  // Messages count from where the section's data begin.
  return ByteCursor.overBytes(bytes, file, at, little, cursor.meter);
}

/** Buffers without those whose data are another's: no recorder writes such. */
function distinct(buffers: BufferOption[]): BufferOption[] {
  const seen = new Set<number>();
  return buffers.filter(({ offset, latency }) => latency || (!seen.has(offset) && seen.add(offset)));
}

/** Unpacks a section or a chunk of pages whose size is known; into `target`, where it is given. */
export function unpack(
  codec: Codec,
  packed: Uint8Array,
  size: number,
  file: string,
  offset: number,
  target: Uint8Array = new Uint8Array(size),
): Uint8Array {
  let problem = `${size} bytes when unpacked`;
  if (size > 0 && codec !== 'none') {
    try {
      const made = codec === 'zlib' ? inflateInto(packed, target) : unzstdInto(packed, target);
      if (made === size) return target;
      problem = made > size ? `unpacks to more than ${size} bytes` : `unpacks to ${made} bytes instead of ${size}`;
    } catch (error) {
      if (!isOfInput(error)) throw error;
      problem = `the compressed data break (${error.message})`;
    }
  }
  throw new TraceError(file, problem, offset, `${size} bytes packed with ${codec}`);
}

function inflateInto(packed: Uint8Array, target: Uint8Array): number {
  // A little more room than needed: zlib would begin another buffer to learn that there is no more.
  const limits = { maxOutputLength: target.length, chunkSize: Math.min(target.length, 1 << 20) + 64 };
  const bytes = inflateSync(packed, limits);
  target.set(bytes);
  return bytes.length;
}

function bufferPageSize(own: number, page: PageLayout, machines: number): number {
  const valid = own >= 512 && own <= largestPage && (own & (own - 1)) === 0;
  return valid ? own : Math.max(page.dataOffset + page.dataSize, machines);
}

function pageLayout(page: PageLayout | undefined, file: string): PageLayout {
  if (page !== undefined) return page;
  throw new TraceError(
    file,
    'its header_page does not describe a ring-buffer page',
    undefined,
    'a timestamp of 8 bytes, a commit of 4 or 8, and the data',
  );
}

function wrongSection(file: string, offset: number, id: number, expected: number): TraceError {
  return new TraceError(file, `section ${id}`, offset, `${sectionName(expected)} (section ${expected})`);
}

function notFlyrecord(cursor: ByteCursor): TraceError {
  return new TraceError(cursor.file, 'no events', cursor.offset - 10, '"flyrecord"');
}

function latency(file: string, offset: number): TraceError {
  return new TraceError(
    file,
    'holds the text of a latency tracer, not events',
    offset,
    'events ("flyrecord"); `trace-cmd report` gives the text, which can be read as ftrace text',
  );
}

function unfinished(file: string, offset: number): TraceError {
  return new TraceError(
    file,
    'trace-cmd has not finished this file: it holds no events yet',
    offset,
    'events; stop trace-cmd record with Ctrl-C and let it end',
  );
}

import type { Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import type { RandomFile } from './random-file.ts';

/*
 * perf.data's header, attributes and feature sections. Sources: linux tools/perf/util/header.[ch],
 * include/uapi/linux/perf_event.h, tools/perf/Documentation/perf.data-file-format.txt.
 */

/** Record types that virtap looks into (perf_event.h, and perf's own from 64 on). */
export const recordType = {
  mmap: 1,
  lost: 2,
  comm: 3,
  fork: 7,
  sample: 9,
  mmap2: 10,
  lostSamples: 13,
  headerAttr: 64,
  tracingData: 66,
  finishedRound: 68,
  auxtrace: 71,
  eventUpdate: 78,
  headerFeature: 80,
  compressed: 81,
  compressed2: 83,
} as const;

/** Feature bits of the header. */
const feature = {
  tracingData: 1,
  buildId: 2,
  hostname: 3,
  osrelease: 4,
  version: 5,
  nrcpus: 7,
  cmdline: 11,
  eventDesc: 12,
  directory: 24,
  compressed: 27,
  clockData: 29,
} as const;

const sampleBit = {
  ip: 0,
  tid: 1,
  time: 2,
  addr: 3,
  read: 4,
  callchain: 5,
  id: 6,
  cpu: 7,
  period: 8,
  streamId: 9,
  raw: 10,
  identifier: 16,
};

/** One event that was recorded: what its samples hold, and where. */
export type PerfAttr = {
  type: number;
  config: number;
  /** The ids that its samples carry (one a CPU), as written: low and high half of each. */
  ids: Uint32Array;
  /** perf's own name for it, '' where the file does not say. */
  name: string;
  clockId: number | undefined;
  sampleIdAll: boolean;
  /** Offsets in a sample record, -1 where it has no such field. */
  identifierAt: number;
  idAt: number;
  tidAt: number;
  timeAt: number;
  cpuAt: number;
  /** Offset of what follows the fields of fixed size: read values, call chain, raw data. */
  restAt: number;
  readFormat: number;
  hasRead: boolean;
  hasCallchain: boolean;
  hasRaw: boolean;
  /** Offsets from the end of a record that is no sample, -1 where absent (sample_id_all). */
  trailerTid: number;
  trailerTime: number;
  trailerCpu: number;
  trailerIdentifier: number;
};

/** What the header of a perf.data file says. */
export type PerfHeader = {
  little: boolean;
  attrs: PerfAttr[];
  dataStart: number;
  /** End of the records; Infinity for a pipe, and the file's end for a file that was never closed. */
  dataEnd: number;
  /** The file was not closed: perf never wrote its size and features. */
  unclosed: boolean;
  /** The file ends before its records do. */
  cut: boolean;
  /** The records are compressed (perf record -z), as far as the header says. */
  compressed: boolean;
  tracingData: { bytes: Uint8Array; offset: number } | undefined;
  cpus: number | undefined;
  /** What the wall clock showed when the clock of the samples showed `clock` (ns): perf record -k. */
  clockData: { wall: bigint; clock: bigint } | undefined;
  /** The recorded kernel's build id in hexadecimal digits, '' where the file does not say. */
  kernelBuildId: string;
  /** What is not whole of the features, which come last in the file. */
  broken?: TraceError;
  /** The records are in files of their own, one a thread of perf record --threads. */
  directory: boolean;
  /** `perf version`, kernel release and so on, in perf's words. */
  facts: { version: string; release: string; host: string; commandLine: string };
};

/** What an attribute, and each of its ids, take in memory; measured. */
const attrBytes = 500;
const idBytes = 40;

const magicLittle = 0x32454c49; // "ILE2", the second half of PERFILE2
export const pipeHeaderSize = 16;

/** True for the first bytes of a perf.data file or pipe, in either byte order. */
export function isPerfData(head: Uint8Array): boolean {
  if (head.length < 8) return false;
  const text = String.fromCharCode(...head.subarray(0, 8));
  return text === 'PERFILE2' || text === '2ELIFREP';
}

/** True where the header is a pipe's, and everything else comes as records. */
export function isPipe(head: Uint8Array): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const little = view.getUint32(4, true) === magicLittle;
  return head.length >= pipeHeaderSize && view.getUint32(little ? 8 : 12, little) === pipeHeaderSize;
}

/** Byte order of the machine that recorded, by the magic. */
function isLittle(head: Uint8Array): boolean {
  return new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(4, true) === magicLittle;
}

/** Reads header, attributes and features of a file. Throws TraceError where they are not whole. */
export async function readPerfHeader(name: string, file: RandomFile, size: number, meter: Meter): Promise<PerfHeader> {
  const read = async (offset: number, length: number, what: string): Promise<DataView> => {
    if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
      throw new TraceError(
        name,
        `${what} would be ${length} bytes here, the file has ${size}`,
        offset,
        'a whole perf.data file',
      );
    }
    meter.part(length, what, offset);
    meter.unfold(length, offset);
    const bytes = new Uint8Array(length);
    for (let have = 0; have < length; ) {
      const { bytesRead } = await file.read(bytes, have, length - have, offset + have);
      if (bytesRead === 0)
        throw new TraceError(name, `the file ends in ${what}`, offset + have, `${length - have} more bytes`);
      have += bytesRead;
    }
    return new DataView(bytes.buffer);
  };
  const head = await read(0, 104, 'the header');
  const little = head.getUint32(4, true) === magicLittle;
  const u64 = (view: DataView, at: number): number => number64(view, at, little);
  const attrSize = u64(head, 16);
  const attrsStart = u64(head, 24);
  const attrsSize = u64(head, 32);
  const dataStart = u64(head, 40);
  const dataSize = u64(head, 48);
  if (attrSize < 16 + 48 || attrSize > 4096)
    throw new TraceError(name, `attribute size ${attrSize}`, 16, 'between 64 and 4096');
  if (attrsSize % attrSize !== 0)
    throw new TraceError(name, `${attrsSize} bytes of attributes`, 32, `a multiple of ${attrSize}`);
  const table = await read(attrsStart, attrsSize, 'the attributes');
  const attrs: PerfAttr[] = [];
  for (let at = 0; at < attrsSize; at += attrSize) {
    const idsStart = u64(table, at + attrSize - 16);
    const idsSize = u64(table, at + attrSize - 8);
    if (!holdAttr(meter, idsSize, attrsStart + at)) break;
    const ids = await read(idsStart, idsSize, 'the event ids');
    attrs.push(parseAttr(table, at, attrSize - 16, little, idList(ids, 0, idsSize, little)));
  }
  if (attrs.length === 0)
    throw new TraceError(name, 'the file describes no event', attrsStart, 'at least one event attribute');
  const unclosed = dataSize === 0;
  const dataEnd = unclosed ? size : dataStart + dataSize;
  const header: PerfHeader = {
    ...blankHeader(little),
    attrs,
    dataStart,
    dataEnd: Math.min(dataEnd, size),
    unclosed,
    cut: dataEnd > size,
    compressed: false,
  };
  if (dataStart > size)
    throw new TraceError(
      name,
      `the records would begin at byte ${dataStart}, the file has ${size}`,
      40,
      'a whole perf.data file',
    );
  if (dataEnd > size) {
    const expected = `${dataEnd - size} more bytes of records, and the event formats, without which events are known by number only`;
    header.broken = new TraceError(name, 'the file ends', size, expected);
  }
  if (unclosed || dataEnd > size) return header;
  // Sections of the features whose bits are set, in the order of the bits.
  let section = dataEnd;
  for (let bit = 0; bit < 256; bit++) {
    if ((head.getUint8(72 + (little ? bit >> 3 : (bit >> 6) * 8 + 7 - ((bit >> 3) & 7))) & (1 << (bit & 7))) === 0)
      continue;
    try {
      const place = await read(section, 16, 'the table of features');
      section += 16;
      const start = u64(place, 0);
      const length = u64(place, 8);
      if (bit === feature.tracingData) {
        const body = await read(start, length, 'the event formats');
        header.tracingData = { bytes: new Uint8Array(body.buffer), offset: start };
      } else if (start + length > size) {
        throw new TraceError(name, 'the file ends', size, `a feature of ${length} bytes at byte ${start}`);
      } else if (length <= 16 << 20) {
        applyFeature(header, bit, await read(start, length, 'a feature'), little);
      }
    } catch (error) {
      // The records stand before the features: they can be read without.
      if (!(error instanceof TraceError)) throw error;
      header.broken ??= error;
    }
  }
  return header;
}

/** Who recorded, where and how, as a sentence for people: none where the file does not say. */
export function recordedNote({ host, release, version, commandLine }: PerfHeader['facts']): string[] {
  const machine = [host, release].filter((part) => part !== '').join(' ');
  const on = machine === '' ? '' : ` on Linux ${machine}`;
  const by = version === '' ? '' : ` by perf ${version}`;
  const how = commandLine === '' ? '' : `: ${commandLine}`;
  return on + by + how === '' ? [] : [`Recorded${on}${by}${how}.`];
}

/** Takes memory for an attribute with so many bytes of ids. */
export function holdAttr(meter: Meter, idsSize: number, offset: number): boolean {
  return meter.hold(attrBytes + (idsSize / 8) * idBytes, 'events and their ids', offset);
}

/** Takes what virtap uses of one feature; a feature that is not whole is passed over. */
export function applyFeature(header: PerfHeader, bit: number, body: DataView, little: boolean): void {
  try {
    if (bit === feature.compressed) header.compressed = true;
    else if (bit === feature.directory) header.directory = true;
    else if (bit === feature.buildId) header.kernelBuildId = kernelBuildId(body, little);
    else if (bit === feature.nrcpus) header.cpus = body.getUint32(0, little);
    else if (bit === feature.version) header.facts.version = perfString(body, 0, little);
    else if (bit === feature.osrelease) header.facts.release = perfString(body, 0, little);
    else if (bit === feature.hostname) header.facts.host = perfString(body, 0, little);
    else if (bit === feature.cmdline) header.facts.commandLine = commandLine(body, little);
    else if (bit === feature.clockData) header.clockData = clockData(body, little);
    else if (bit === feature.eventDesc) eventNames(header.attrs, body, little);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

/** The kernel's build id among those of all files, each a record: process, 20 bytes of it and 4 more, the file's name. */
function kernelBuildId(body: DataView, little: boolean): string {
  for (let at = 0; at + 8 <= body.byteLength; ) {
    const size = body.getUint16(at + 6, little);
    if (size < 36) break;
    const bytes = new Uint8Array(body.buffer, body.byteOffset + at, size);
    if (Buffer.from(bytes.subarray(36)).toString('latin1').startsWith('[kernel.kallsyms]'))
      return Buffer.from(bytes.subarray(12, 32)).toString('hex');
    at += size;
  }
  return '';
}

/** A perf_event_attr and its ids. `at` is where the attr begins in `view`, `length` its size as the file has it. */
export function parseAttr(view: DataView, at: number, length: number, little: boolean, ids: PerfAttr['ids']): PerfAttr {
  const sampleType = view.getUint32(at + 24, little);
  const low = little ? sampleType : view.getUint32(at + 28, false);
  const flags = little ? view.getUint32(at + 40, true) : reverseBits(view.getUint32(at + 40, false));
  const has = (bit: number): boolean => (low & (1 << bit)) !== 0;
  // Order of fields in a sample: perf_event.h, PERF_RECORD_SAMPLE.
  let offset = 8;
  const take = (bit: number): number => {
    if (!has(bit)) return -1;
    offset += 8;
    return offset - 8;
  };
  const identifierAt = take(sampleBit.identifier);
  take(sampleBit.ip);
  const tidAt = take(sampleBit.tid);
  const timeAt = take(sampleBit.time);
  take(sampleBit.addr);
  const idAt = take(sampleBit.id);
  take(sampleBit.streamId);
  const cpuAt = take(sampleBit.cpu);
  take(sampleBit.period);
  // struct sample_id, at the end of other records: tid, time, id, stream id, cpu, identifier.
  let back = 0;
  const trailer = (bit: number): number => {
    if (!has(bit)) return -1;
    back += 8;
    return back;
  };
  const trailerIdentifier = trailer(sampleBit.identifier);
  const trailerCpu = trailer(sampleBit.cpu);
  trailer(sampleBit.streamId);
  const trailerId = trailer(sampleBit.id);
  const trailerTime = trailer(sampleBit.time);
  const trailerTid = trailer(sampleBit.tid);
  const useClockId = (flags & (1 << 25)) !== 0;
  return {
    type: view.getUint32(at, little),
    config: number64(view, at + 8, little),
    ids,
    name: '',
    clockId: useClockId && length >= 96 ? view.getInt32(at + 92, little) : undefined,
    sampleIdAll: (flags & (1 << 18)) !== 0,
    identifierAt,
    idAt,
    tidAt,
    timeAt,
    cpuAt,
    restAt: offset,
    readFormat: number64(view, at + 32, little),
    hasRead: has(sampleBit.read),
    hasCallchain: has(sampleBit.callchain),
    hasRaw: has(sampleBit.raw),
    trailerTid,
    trailerTime,
    trailerCpu,
    trailerIdentifier: trailerIdentifier >= 0 ? trailerIdentifier : trailerId,
  };
}

/** The header of a pipe: all but the byte order comes as records. */
export function pipeHeader(head: Uint8Array): PerfHeader {
  return blankHeader(isLittle(head));
}

function blankHeader(little: boolean): PerfHeader {
  return {
    little,
    attrs: [],
    dataStart: pipeHeaderSize,
    dataEnd: Number.POSITIVE_INFINITY,
    unclosed: false,
    cut: false,
    compressed: true,
    tracingData: undefined,
    cpus: undefined,
    clockData: undefined,
    kernelBuildId: '',
    directory: false,
    facts: { version: '', release: '', host: '', commandLine: '' },
  };
}

/** A list of u64 ids. */
export function idList(view: DataView, start: number, end: number, little: boolean): PerfAttr['ids'] {
  const ids = new Uint32Array(2 * Math.floor(Math.max(end - start, 0) / 8));
  for (let i = 0, at = start; i < ids.length; i += 2, at += 8) {
    ids[i] = view.getUint32(little ? at : at + 4, little);
    ids[i + 1] = view.getUint32(little ? at + 4 : at, little);
  }
  return ids;
}

/** A u64 as a double: sizes and offsets, which are small in any file that can exist. */
export function number64(view: DataView, at: number, little: boolean): number {
  const low = view.getUint32(little ? at : at + 4, little);
  const high = view.getUint32(little ? at + 4 : at, little);
  return high * 0x100000000 + low;
}

/** perf's string: u32 length with padding, bytes, NUL. */
function perfString(view: DataView, at: number, little: boolean): string {
  const length = view.getUint32(at, little);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + 4, length);
  const nul = bytes.indexOf(0);
  return Buffer.from(nul < 0 ? bytes : bytes.subarray(0, nul)).toString('utf8');
}

function commandLine(view: DataView, little: boolean): string {
  const words: string[] = [];
  let at = 4;
  for (let n = Math.min(view.getUint32(0, little), 65536); n > 0; n--) {
    words.push(perfString(view, at, little));
    at += 4 + view.getUint32(at, little);
  }
  return words.join(' ');
}

/** HEADER_CLOCK_DATA: u32 version (1), u32 clock id, u64 wall-clock time, u64 time on that clock. */
function clockData(view: DataView, little: boolean): PerfHeader['clockData'] {
  if (view.getUint32(0, little) !== 1) return undefined;
  return { wall: view.getBigUint64(8, little), clock: view.getBigUint64(16, little) };
}

/** HEADER_EVENT_DESC: u32 count, u32 attr size, then {attr, u32 number of ids, name, ids}. */
function eventNames(attrs: PerfAttr[], view: DataView, little: boolean): void {
  const count = view.getUint32(0, little);
  const attrSize = view.getUint32(4, little);
  let at = 8;
  for (let n = 0; n < count && n < attrs.length; n++) {
    at += attrSize;
    const ids = view.getUint32(at, little);
    const name = perfString(view, at + 4, little);
    at += 8 + view.getUint32(at + 4, little) + ids * 8;
    (attrs[n] as PerfAttr).name = name;
  }
}

/** C bit fields of a big-endian machine fill a word from its top. */
function reverseBits(word: number): number {
  let out = 0;
  for (let bit = 0; bit < 32; bit++) if ((word & (1 << bit)) !== 0) out |= 1 << (31 - bit);
  return out >>> 0;
}

/** Whether a file that was not closed, and so has no such feature, holds compressed records. */
export async function startsCompressed(file: RandomFile, header: PerfHeader): Promise<boolean> {
  const buffer = new Uint8Array(Math.max(0, Math.min(1 << 20, header.dataEnd - header.dataStart)));
  const view = new DataView(buffer.buffer);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, header.dataStart);
  for (let at = 0; at + 8 <= bytesRead; ) {
    const type = view.getUint32(at, header.little);
    if (type === recordType.compressed || type === recordType.compressed2) return true;
    const size = view.getUint16(at + 6, header.little);
    if (size < 8) return false;
    at += size;
  }
  return false;
}

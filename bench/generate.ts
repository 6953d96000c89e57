/**
 * Writes large traces in the real formats by repeating a small real recording with later and later times:
 *
 *     node bench/generate.ts KIND EVENTS OUTPUT [SEED]
 *
 * KIND is `perf.data`, `perf.data-z`, `trace.dat` or `simpletrace`. At least EVENTS events are written, whole repetitions. Of recordings of KVM the stretch repeats that can follow itself.
 * What each kind demands of a seed is said at its function; those in seeds/ fit.
 */
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { constants, createZstdCompress, zstdDecompressSync } from 'node:zlib';
import { beginning, repeatable, type Stretch } from './stretches.ts';

export const kinds = ['perf.data', 'perf.data-z', 'trace.dat', 'simpletrace'] as const;
export type Kind = (typeof kinds)[number];

const seeds: Record<Kind, string> = {
  'perf.data': 'perf.data.zst',
  'perf.data-z': 'perf.data.zst',
  'trace.dat': 'trace.dat.zst',
  simpletrace: 'trace.bin.zst',
};

/** Time between the last event of a repetition and the first of the next. */
const gap = 20_000;

/** Writes a trace of at least `events` events; gives how many. */
export async function generate(kind: Kind, events: number, output: string, seed?: string): Promise<number> {
  const path = seed ?? join(import.meta.dirname, 'seeds', seeds[kind]);
  let bytes: Buffer = readFileSync(path);
  if (bytes.readUInt32LE(0) === 0xfd2fb528) bytes = zstdDecompressSync(bytes);
  const file = openSync(output, 'w');
  try {
    if (kind === 'simpletrace') return simpletrace(bytes, events, file);
    const stretch = await repeatable(path);
    if (kind === 'trace.dat') return traceDat(bytes, stretch, events, file);
    return await perfData(bytes, stretch, events, file, kind === 'perf.data-z');
  } finally {
    closeSync(file);
  }
}

/** Writes the first events of a perf.data that is not compressed; gives how many, which may be some more where some are of one moment. */
export async function cutPerfData(recording: string, events: number, output: string): Promise<number> {
  const file = openSync(output, 'w');
  try {
    return await perfData(readFileSync(recording), await beginning(recording, events), 1, file, false);
  } finally {
    closeSync(file);
  }
}

/** A piece of a trace that repeats: its bytes, and where times stand in it. */
class Repeated {
  readonly bytes: Buffer;
  readonly #at: number[];
  readonly #time: number[];
  readonly #period: number;
  #round = 0;

  /** `last` is the time of the last event, where that is later than the last time that stands in the bytes. */
  constructor(bytes: Buffer, at: number[], last = 0) {
    this.bytes = bytes;
    this.#at = at;
    this.#time = at.map((position) => Number(bytes.readBigUInt64LE(position)));
    const first = this.#time.reduce((a, b) => Math.min(a, b));
    this.#period = this.#time.reduce((a, b) => Math.max(a, b), last) - first + gap;
  }

  /** Moves all times to the next repetition. */
  advance(): void {
    const shift = ++this.#round * this.#period;
    const { bytes } = this;
    for (const [n, position] of this.#at.entries()) {
      const time = (this.#time[n] as number) + shift;
      bytes.writeUInt32LE(time % 0x100000000, position);
      bytes.writeUInt32LE(Math.floor(time / 0x100000000), position + 4);
    }
  }
}

const sampleIdentifier = 1n << 16n;
/** The bit of perf_event_attr's flags that has all records end with who, when and where. */
const sampleIdAll = 1 << 18;
const record = { lost: 2, sample: 9, finishedRound: 68, compressed: 81 };
/** Feature bit of HEADER_COMPRESSED, and the longest piece that a COMPRESSED record unpacks to. */
const compressedFeature = 27;
const mmapLength = 512 << 10;

/**
 * perf.data (tools/perf/util/header.c). The seed is an uncompressed little-endian file whose samples begin with IDENTIFIER.
 * What is of no time is written once, then the stretch's samples and losses, and the rounds, again and again.
 */
async function perfData(
  seed: Buffer,
  stretch: Stretch,
  events: number,
  file: number,
  compress: boolean,
): Promise<number> {
  const number = (at: number) => Number(seed.readBigUInt64LE(at));
  const attrSize = number(16);
  const [attrs, attrsLength, data, dataLength] = [number(24), number(32), number(40), number(48)];
  const timeOf = new Map<bigint, number>();
  /** How far before the end of a record that is no sample its time stands. */
  let timeBehind = 0;
  for (let attr = attrs; attr < attrs + attrsLength; attr += attrSize) {
    const sampleType = seed.readBigUInt64LE(attr + 24);
    if ((sampleType & sampleIdentifier) === 0n) throw new Error('the seed has samples without an IDENTIFIER');
    // IDENTIFIER, then IP and TID where asked for, then TIME.
    const time = 16 + 8 * Number((sampleType & 1n) + ((sampleType >> 1n) & 1n));
    // TIME, then ID, STREAM_ID, CPU and IDENTIFIER where asked for.
    const behind = [6n, 9n, 7n, 16n].reduce((sum, bit) => sum + Number((sampleType >> bit) & 1n), 1);
    if ((number(attr + 40) & sampleIdAll) !== 0) timeBehind = 8 * behind;
    const ids = number(attr + attrSize - 16);
    for (let id = ids; id < ids + number(attr + attrSize - 8); id += 8) timeOf.set(seed.readBigUInt64LE(id), time);
  }

  const once: Buffer[] = [];
  const again: Buffer[] = [];
  const times: number[] = [];
  let length = 0;
  let samples = 0;
  for (let at = data; at < data + dataLength; at += seed.readUInt16LE(at + 6)) {
    const type = seed.readUInt32LE(at);
    const bytes = seed.subarray(at, at + seed.readUInt16LE(at + 6));
    const isLost = type === record.lost && timeBehind > 0;
    if (type !== record.sample && type !== record.finishedRound && !isLost) {
      once.push(bytes);
      continue;
    }
    if (type !== record.finishedRound) {
      const place = isLost ? bytes.length - timeBehind : (timeOf.get(bytes.readBigUInt64LE(8)) as number);
      const time = bytes.readBigUInt64LE(place);
      if (time <= stretch.from || time > stretch.to) continue;
      times.push(length + place);
      if (!isLost) samples++;
    }
    again.push(bytes);
    length += bytes.length;
  }
  const repeated = new Repeated(Buffer.concat(again), times);

  const features: { bit: number; bytes: Buffer }[] = [];
  for (let bit = 0, entry = data + dataLength; bit < 256; bit++) {
    if (((seed[72 + (bit >> 3)] as number) & (1 << (bit & 7))) === 0) continue;
    features.push({ bit, bytes: seed.subarray(number(entry), number(entry) + number(entry + 8)) });
    entry += 16;
  }
  if (compress) {
    const about = Buffer.alloc(20);
    for (const [n, value] of [1, 1, 1, 10, mmapLength].entries()) about.writeUInt32LE(value, 4 * n);
    features.push({ bit: compressedFeature, bytes: about });
    features.sort((a, b) => a.bit - b.bit);
  }

  const header = Buffer.from(seed.subarray(0, data));
  for (const { bit } of features) header[72 + (bit >> 3)] = (header[72 + (bit >> 3)] as number) | (1 << (bit & 7));
  let position = writeSync(file, header);
  for (const bytes of once) position += writeSync(file, bytes);
  const packer = compress ? new PerfPacker(file) : undefined;
  let written = 0;
  for (; written < events; written += samples) {
    position += packer === undefined ? writeSync(file, repeated.bytes) : await packer.write(repeated.bytes);
    repeated.advance();
  }
  packer?.close();

  const size = position - data;
  let offset = position + 16 * features.length;
  const table = Buffer.alloc(16 * features.length);
  for (const [n, { bytes }] of features.entries()) {
    table.writeBigUInt64LE(BigInt(offset), 16 * n);
    table.writeBigUInt64LE(BigInt(bytes.length), 16 * n + 8);
    offset += bytes.length;
  }
  writeSync(file, Buffer.concat([table, ...features.map(({ bytes }) => bytes)]));
  header.writeBigUInt64LE(BigInt(size), 48);
  writeSync(file, header, 0, header.length, 0);
  return written;
}

/** Writes records as `perf record -z` does: one zstd stream that runs through COMPRESSED records, FINISHED_ROUND between them. */
class PerfPacker {
  readonly #file: number;
  readonly #stream = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  #packed: Buffer[] = [];

  constructor(file: number) {
    this.#file = file;
    this.#stream.on('data', (chunk: Buffer) => this.#packed.push(chunk));
  }

  async write(records: Buffer): Promise<number> {
    let written = 0;
    for (let at = 0; at < records.length; ) {
      let end = at;
      while (end < records.length && records.readUInt32LE(end) !== record.finishedRound) {
        const next = end + records.readUInt16LE(end + 6);
        if (next - at > mmapLength / 2) break;
        end = next;
      }
      if (end > at) written += await this.#pack(records.subarray(at, end));
      at = end;
      if (at < records.length && records.readUInt32LE(at) === record.finishedRound) {
        written += writeSync(this.#file, records, at, 8);
        at += 8;
      }
    }
    return written;
  }

  close(): void {
    this.#stream.destroy();
  }

  async #pack(bytes: Buffer): Promise<number> {
    // The stream must be done with the bytes before they change.
    if (!this.#stream.write(bytes)) await once(this.#stream, 'drain');
    await new Promise<void>((resolve) => this.#stream.flush(constants.ZSTD_e_flush, resolve));
    const packed = Buffer.concat(this.#packed);
    this.#packed = [];
    let written = 0;
    for (let at = 0; at < packed.length; at += 65527) {
      const piece = packed.subarray(at, at + 65527);
      const header = Buffer.alloc(8);
      header.writeUInt32LE(record.compressed, 0);
      header.writeUInt16LE(8 + piece.length, 6);
      written += writeSync(this.#file, Buffer.concat([header, piece]));
    }
    return written;
  }
}

const pageSize = 4096;

/**
 * trace.dat version 6 (trace-cmd.dat.v6.5 manual page). The seed is a little-endian file with 64-bit longs, pages of 4 KiB and
 * no absolute time stamps within pages, so that a page moves in time by its header alone.
 */
function traceDat(seed: Buffer, stretch: Stretch, events: number, file: number): number {
  const number = (at: number) => Number(seed.readBigUInt64LE(at));
  const mark = 'flyrecord\0';
  const table = seed.indexOf(mark) + mark.length;
  const cpus = seed.readUInt32LE(seed.lastIndexOf('options  \0', table) - 4);
  // The pages of all CPUs one after the other, and where those of each CPU begin.
  const pages: Buffer[] = [];
  const starts = [0];
  let perRound = 0;
  let last = 0;
  for (let cpu = 0; cpu < cpus; cpu++) {
    const [offset, size] = [number(table + 16 * cpu), number(table + 16 * cpu + 8)];
    for (let at = offset; at < offset + size; at += pageSize) {
      const { page, count, end } = cutPage(seed.subarray(at, at + pageSize), stretch);
      if (count === 0) continue;
      perRound += count;
      last = Math.max(last, end);
      pages.push(page);
    }
    starts.push(pages.length * pageSize);
  }
  const repeated = new Repeated(
    Buffer.concat(pages),
    pages.map((_, n) => n * pageSize),
    last,
  );
  const rounds = Math.ceil(events / perRound);
  const begin = Math.ceil((table + 16 * cpus) / pageSize) * pageSize;
  const header = Buffer.alloc(begin);
  seed.copy(header, 0, 0, table);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const [from, to] = [starts[cpu] as number, starts[cpu + 1] as number];
    header.writeBigUInt64LE(BigInt(begin + from * rounds), table + 16 * cpu);
    header.writeBigUInt64LE(BigInt((to - from) * rounds), table + 16 * cpu + 8);
  }
  writeSync(file, header);
  for (let round = 0; round < rounds; round++) {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const [from, to] = [starts[cpu] as number, starts[cpu + 1] as number];
      writeSync(file, repeated.bytes, from, to - from, begin + from * rounds + (to - from) * round);
    }
    repeated.advance();
  }
  return rounds * perRound;
}

/** What a ring-buffer page has of a stretch, as a page; the number of its events, and the time of the last. */
function cutPage(whole: Buffer, { from, to }: Stretch): { page: Buffer; count: number; end: number } {
  let time = Number(whole.readBigUInt64LE(0));
  const end = 16 + (whole.readUInt32LE(8) & 0x7ffffff);
  const flags = (whole.readUInt32LE(8) & ~0x7ffffff) >>> 0;
  // The first event of the stretch, and the time that its own counts from.
  let start = 16;
  let base = time;
  let stop = 16;
  let last = time;
  let count = 0;
  for (let at = 16; at < end; ) {
    const word = whole.readUInt32LE(at);
    const kind = word & 31;
    time += word >>> 5;
    if (kind === 31) throw new Error('the seed has absolute time stamps within pages');
    if (kind === 30) {
      time += whole.readUInt32LE(at + 4) * 2 ** 27;
      at += 8;
    } else if (kind === 29) {
      if (word >>> 5 === 0) break;
      at += 4 + whole.readUInt32LE(at + 4);
    } else at += kind === 0 ? 4 + ((whole.readUInt32LE(at + 4) + 3) & ~3) : 4 + 4 * kind;
    if (BigInt(time) > to) break;
    if (kind > 28) continue;
    if (BigInt(time) <= from) {
      start = at;
      base = time;
      continue;
    }
    count++;
    stop = at;
    last = time;
  }
  const page = Buffer.alloc(pageSize);
  page.writeBigUInt64LE(BigInt(base), 0);
  page.writeUInt32LE((flags | Math.max(0, stop - start)) >>> 0, 8);
  whole.copy(page, 16, start, Math.max(start, stop));
  return { page, count, end: last };
}

/** simpletrace version 4 (scripts/simpletrace.py of QEMU): mappings once, then the events of the seed again and again. */
function simpletrace(seed: Buffer, events: number, file: number): number {
  if (seed.readUInt32LE(16) !== 4) throw new Error('the seed is not of version 4');
  const mappings = [seed.subarray(0, 24)];
  const again: Buffer[] = [];
  const times: number[] = [];
  let length = 0;
  for (let at = 24; at < seed.length; ) {
    const isEvent = seed.readUInt32LE(at) === 1;
    const bytes = seed.subarray(at, at + (isEvent ? 8 + seed.readUInt32LE(at + 24) : 20 + seed.readUInt32LE(at + 16)));
    at += bytes.length;
    if (!isEvent) {
      mappings.push(bytes);
      continue;
    }
    times.push(length + 16);
    again.push(bytes);
    length += bytes.length;
  }
  const repeated = new Repeated(Buffer.concat(again), times);
  writeSync(file, Buffer.concat(mappings));
  let written = 0;
  for (; written < events; written += times.length) {
    writeSync(file, repeated.bytes);
    repeated.advance();
  }
  return written;
}

if (import.meta.main) {
  const [kind, events, output, seed] = process.argv.slice(2);
  if (!kinds.includes(kind as Kind) || !(Number(events) > 0) || output === undefined) {
    console.error(`usage: node bench/generate.ts ${kinds.join('|')} EVENTS OUTPUT [SEED]`);
    process.exit(2);
  }
  console.log(await generate(kind as Kind, Number(events), output, seed));
}

import { deflateSync, zstdCompressSync } from 'node:zlib';

/** Builds bytes in either byte order. */
export class Bytes {
  readonly little: boolean;
  #parts: Buffer[] = [];
  length = 0;

  constructor(little = true) {
    this.little = little;
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes));
    this.length += bytes.length;
    return this;
  }
  u8(value: number): this {
    return this.raw(new Uint8Array([value]));
  }
  u16(value: number): this {
    const b = Buffer.alloc(2);
    this.little ? b.writeUInt16LE(value) : b.writeUInt16BE(value);
    return this.raw(b);
  }
  u32(value: number): this {
    const b = Buffer.alloc(4);
    this.little ? b.writeUInt32LE(value >>> 0) : b.writeUInt32BE(value >>> 0);
    return this.raw(b);
  }
  u64(value: number | bigint): this {
    const b = Buffer.alloc(8);
    const v = BigInt.asUintN(64, BigInt(value));
    this.little ? b.writeBigUInt64LE(v) : b.writeBigUInt64BE(v);
    return this.raw(b);
  }
  text(text: string): this {
    return this.raw(Buffer.from(text));
  }
  /** Zeros up to a multiple of `size`. */
  pad(size: number): this {
    return this.raw(new Uint8Array((size - (this.length % size)) % size));
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** What a page of the ring buffer holds. */
export type Entry =
  | {
      delta: number;
      data: Uint8Array /** Write the length in a word of its own, as events above 112 bytes have it. */;
      long?: boolean;
    }
  | { extend: bigint }
  | { absolute: bigint }
  | { discard: number; delta: number };

export type PageOptions = {
  little?: boolean;
  commitSize?: 4 | 8;
  pageSize?: number;
  /** Events lost before the page: a number, or that there were some. */
  missed?: number | 'some';
  /** Written instead of the true number of bytes. */
  commit?: number;
};

/** One page of the ring buffer. */
export function page(stamp: bigint, entries: Entry[], options: PageOptions = {}): Buffer {
  const { little = true, commitSize = 8, pageSize = 4096 } = options;
  const body = new Bytes(little);
  const word = (type: number, delta: number) =>
    body.u32(little ? ((delta << 5) | type) >>> 0 : ((type << 27) | delta) >>> 0);
  for (const entry of entries) {
    if ('extend' in entry) word(30, Number(entry.extend & 0x7ffffffn)).u32(Number(entry.extend >> 27n));
    else if ('absolute' in entry) {
      word(31, Number(entry.absolute & 0x7ffffffn)).u32(Number((entry.absolute >> 27n) & 0xffffffffn));
    } else if ('discard' in entry) {
      word(29, entry.delta)
        .u32(entry.discard)
        .raw(new Uint8Array(entry.discard - 4));
    } else if (entry.long === true || entry.data.length > 112 || entry.data.length % 4 !== 0) {
      word(0, entry.delta)
        .u32(entry.data.length + 4)
        .raw(entry.data)
        .pad(4);
    } else word(entry.data.length / 4, entry.delta).raw(entry.data);
  }
  const used = body.length;
  let commit = options.commit ?? used;
  if (options.missed !== undefined) commit |= 0x80000000;
  if (typeof options.missed === 'number') {
    commit |= 0x40000000;
    commitSize === 4 ? body.u32(options.missed) : body.u64(options.missed);
  }
  const head = new Bytes(little).u64(stamp);
  commitSize === 4 ? head.u32(commit) : head.u64(commit >>> 0);
  const bytes = head.raw(body.done()).done();
  if (bytes.length > pageSize) throw new RangeError(`a page of ${bytes.length} bytes`);
  return Buffer.concat([bytes, Buffer.alloc(pageSize - bytes.length)]);
}

/** The payload of an event: the common fields, then a 64-bit `value`. */
export function record(id: number, tid: number, value: number | bigint, little = true): Buffer {
  return new Bytes(little).u16(id).u8(0).u8(0).u32(tid).u64(value).done();
}

/** Format of events made by `record`. */
export function format(name: string, id: number, more = ''): string {
  return `name: ${name}
ID: ${id}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:u64 value;\toffset:8;\tsize:8;\tsigned:0;
${more}
print fmt: "value=%llu", REC->value
`;
}

export type TraceDatSpec = {
  little?: boolean;
  longSize?: 4 | 8;
  /** Size of the kernel's long. */
  commitSize?: 4 | 8;
  pageSize?: number;
  systems?: { name: string; formats: string[] }[];
  ftrace?: string[];
  cmdlines?: string;
  options?: { id: number; data: Uint8Array }[];
  /** The top buffer first; pages of each CPU. */
  buffers: { name: string; clock?: string; cpus: Uint8Array[][] }[];
  codec?: 'none' | 'zlib' | 'zstd';
  /** Pages in a compressed chunk. */
  chunk?: number;
};

export function headerPage(commitSize: 4 | 8, pageSize: number): string {
  const data = 8 + commitSize;
  return `\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:${commitSize};\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:${data};\tsize:${pageSize - data};\tsigned:1;
`;
}

const defaultSystems = [{ name: 'sys', formats: [format('one', 7), format('two', 9)] }];

/** The parts that v6 has one after the other and v7 in sections, by the section's id. */
export function parts(spec: TraceDatSpec): Map<number, Buffer> {
  const { little = true, commitSize = 8, pageSize = 4096 } = spec;
  const bytes = () => new Bytes(little);
  const header = headerPage(commitSize, pageSize);
  const systems = spec.systems ?? defaultSystems;
  const ftrace = bytes().u32(spec.ftrace?.length ?? 0);
  for (const text of spec.ftrace ?? []) ftrace.u64(text.length).text(text);
  const events = bytes().u32(systems.length);
  for (const system of systems) {
    events.text(`${system.name}\0`).u32(system.formats.length);
    for (const text of system.formats) events.u64(text.length).text(text);
  }
  const cmdlines = spec.cmdlines ?? '1 init\n42 a thread\n';
  return new Map([
    [16, bytes().text('header_page\0').u64(header.length).text(header).text('header_event\0').u64(0).done()],
    [17, ftrace.done()],
    [18, events.done()],
    [19, bytes().u32(5).text('ffff ').done()],
    [20, bytes().u32(0).done()],
    [21, bytes().u64(cmdlines.length).text(cmdlines).done()],
  ]);
}

function start(spec: TraceDatSpec, version: string): Bytes {
  const { little = true, longSize = 8, pageSize = 4096 } = spec;
  return new Bytes(little)
    .raw(new Uint8Array([0x17, 0x08, 0x44]))
    .text(`tracing${version}\0`)
    .u8(little ? 0 : 1)
    .u8(longSize)
    .u32(pageSize);
}

/** A trace.dat, version 6. Its instances stand behind the top buffer, as trace-cmd writes them. */
export function traceDatV6(spec: TraceDatSpec): Buffer {
  const { little = true, pageSize = 4096 } = spec;
  const clock = spec.buffers[0]?.clock ?? 'local';
  const cpus = Math.max(...spec.buffers.map((buffer) => buffer.cpus.length));
  const table = (offsets: [offset: number, size: number][]) => {
    const out = new Bytes(little);
    for (let cpu = 0; cpu < cpus; cpu++) {
      const [offset, size] = offsets[cpu] ?? [0, 0];
      out.u64(offset).u64(size);
    }
    return out
      .u64(clock.length + 3)
      .text(`[${clock}]\0`)
      .done();
  };
  // Sizes do not depend on offsets: lay out once with zeros, then for good.
  const build = (
    offsets: [number, number][][],
    tables: number[],
  ): { file: Bytes; offsets: [number, number][][]; tables: number[] } => {
    const file = start(spec, '6');
    for (const part of parts(spec).values()) file.raw(part);
    file.u32(cpus).text('options  \0');
    file
      .u16(4)
      .u32(clock.length + 3)
      .text(`[${clock}]\0`);
    for (const { id, data } of spec.options ?? []) file.u16(id).u32(data.length).raw(data);
    for (const [index, buffer] of spec.buffers.entries()) {
      if (index > 0)
        file
          .u16(3)
          .u32(9 + buffer.name.length)
          .u64(tables[index] ?? 0)
          .text(`${buffer.name}\0`);
    }
    file.u16(0);
    const found: [number, number][][] = [];
    const at: number[] = [];
    for (const [index, buffer] of spec.buffers.entries()) {
      at.push(file.length);
      file.text('flyrecord\0').raw(table(offsets[index] ?? []));
      found.push(
        buffer.cpus.map((pages) => {
          file.pad(pageSize);
          const offset = file.length;
          for (const one of pages) file.raw(one);
          return [offset, file.length - offset];
        }),
      );
    }
    return { file, offsets: found, tables: at };
  };
  const first = build([], []);
  return build(first.offsets, first.tables).file.done();
}

/** A trace.dat, version 7. */
export function traceDatV7(spec: TraceDatSpec): Buffer {
  const { little = true, pageSize = 4096, codec = 'none', chunk = 3 } = spec;
  const bytes = () => new Bytes(little);
  const pack = (data: Uint8Array) => (codec === 'zlib' ? deflateSync(data) : zstdCompressSync(data));
  const file = start(spec, '7').text(`${codec}\0`).text('1\0');
  const optionsAt = file.length;
  file.u64(0);
  const options = bytes();
  for (const [id, part] of parts(spec)) {
    options.u16(id).u32(8).u64(file.length);
    if (codec === 'none') file.u16(id).u16(0).u32(0).u64(part.length).raw(part);
    else {
      const packed = pack(part);
      file
        .u16(id)
        .u16(1)
        .u32(0)
        .u64(packed.length + 8)
        .u32(packed.length)
        .u32(part.length)
        .raw(packed);
    }
  }
  const clock = spec.buffers[0]?.clock ?? 'local';
  options
    .u16(4)
    .u32(clock.length + 7)
    .text(`foo [${clock}]\0`);
  for (const { id, data } of spec.options ?? []) options.u16(id).u32(data.length).raw(data);
  const firstOptions = file.length;
  const firstSize = options.length + 14;
  let before = file.done();
  // The buffers follow the first options, and are described in the second.
  const rest = bytes();
  const base = firstOptions + 16 + firstSize;
  const second = bytes();
  for (const buffer of spec.buffers) {
    const section = base + rest.length;
    const body = bytes();
    const table = bytes();
    const dataStart = section + 16;
    const offset = () => dataStart + body.length;
    let count = 0;
    for (const [cpu, pages] of buffer.cpus.entries()) {
      body.raw(new Uint8Array((pageSize - (offset() % pageSize)) % pageSize));
      if (pages.length === 0) continue;
      const at = offset();
      if (codec === 'none') for (const one of pages) body.raw(one);
      else {
        body.u32(Math.ceil(pages.length / chunk));
        for (let i = 0; i < pages.length; i += chunk) {
          const data = Buffer.concat(pages.slice(i, i + chunk));
          const packed = pack(data);
          body.u32(packed.length).u32(data.length).raw(packed);
        }
      }
      table
        .u32(cpu)
        .u64(at)
        .u64(offset() - at);
      count++;
    }
    rest
      .u16(3)
      .u16(codec === 'none' ? 0 : 1)
      .u32(0)
      .u64(body.length)
      .raw(body.done());
    const data = bytes()
      .u64(section)
      .text(`${buffer.name}\0${buffer.clock ?? clock}\0`)
      .u32(pageSize)
      .u32(count)
      .raw(table.done())
      .done();
    second.u16(3).u32(data.length).raw(data);
  }
  options
    .u16(0)
    .u32(8)
    .u64(base + rest.length);
  second.u16(0).u32(8).u64(0);
  before = Buffer.from(before);
  before.set(bytes().u64(firstOptions).done(), optionsAt);
  return bytes()
    .raw(before)
    .u16(0)
    .u16(0)
    .u32(0)
    .u64(options.length)
    .raw(options.done())
    .raw(rest.done())
    .u16(0)
    .u16(0)
    .u32(0)
    .u64(second.length)
    .raw(second.done())
    .done();
}

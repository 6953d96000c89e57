/** A tracepoint of a hand-made perf.data file. */
export type WrittenEvent = {
  system: string;
  name: string;
  /** The tracepoint's number (common_type), and the id that perf gave its counter. */
  id: number;
  perfId: bigint;
  fields: { declaration: string; size: number; signed: boolean }[];
};

const sampleType = (1 << 16) | (1 << 1) | (1 << 2) | (1 << 7) | (1 << 10); // IDENTIFIER, TID, TIME, CPU, RAW

class Writer {
  readonly #parts: Buffer[] = [];
  readonly #little: boolean;
  length = 0;

  constructor(little: boolean) {
    this.#little = little;
  }

  bytes(bytes: Uint8Array | string): this {
    const part = Buffer.from(bytes as string);
    this.#parts.push(part);
    this.length += part.length;
    return this;
  }

  int(value: number | bigint, size: number): this {
    const part = Buffer.alloc(size);
    const big = BigInt.asUintN(size * 8, BigInt(value));
    for (let i = 0; i < size; i++) part[this.#little ? i : size - 1 - i] = Number((big >> BigInt(8 * i)) & 0xffn);
    return this.bytes(part);
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A PERF_RECORD_SAMPLE. `payload` begins with the common_type; then one value a field: bigint 8 bytes, number 4. */
export function sampleRecord(sample: {
  little: boolean;
  id: bigint;
  pid: number;
  tid: number;
  cpu: number;
  time: bigint;
  payload: (number | bigint)[];
  /** Where the file has call chains: addresses and marks. */
  chain?: bigint[];
}): Buffer {
  const raw = new Writer(sample.little);
  const [type, ...values] = sample.payload;
  raw
    .int(type as number, 2)
    .int(0, 2)
    .int(sample.tid, 4);
  for (const value of values) raw.int(value, typeof value === 'bigint' ? 8 : 4);
  while ((raw.length + 4) % 8 !== 0) raw.int(0, 1);
  const { chain } = sample;
  const body = new Writer(sample.little);
  body.int(sample.id, 8).int(sample.pid, 4).int(sample.tid, 4).int(sample.time, 8).int(sample.cpu, 4).int(0, 4);
  if (chain !== undefined) body.int(chain.length, 8);
  for (const address of chain ?? []) body.int(address, 8);
  body.int(raw.length, 4).bytes(raw.done());
  const record = new Writer(sample.little);
  return record
    .int(9, 4)
    .int(0, 2)
    .int(8 + body.length, 2)
    .bytes(body.done())
    .done();
}

/** What stands behind the records that are no samples: whose they are, and when they were written. */
function sampleId(out: Writer, { pid, tid, time }: { pid: number; tid: number; time: bigint }): Writer {
  return out.int(pid, 4).int(tid, 4).int(time, 8).int(0, 8).int(0, 8);
}

/** A PERF_RECORD_COMM: a thread has a new name. `time` 0 is perf's own, of threads that it found. */
export function commRecord(comm: { little: boolean; pid: number; tid: number; name: string; time: bigint }): Buffer {
  const { little, pid, tid, name } = comm;
  const text = Buffer.alloc((name.length + 8) & ~7);
  text.write(name);
  const out = new Writer(little)
    .int(3, 4)
    .int(0, 2)
    .int(48 + text.length, 2);
  return sampleId(out.int(pid, 4).int(tid, 4).bytes(text), comm).done();
}

/** A PERF_RECORD_MMAP2: a process, or with -1 the kernel, maps a file. */
export function mmapRecord(map: {
  little: boolean;
  pid: number;
  start: bigint;
  length: bigint;
  offset: bigint;
  name: string;
  time: bigint;
}): Buffer {
  const { little, pid, name } = map;
  const text = Buffer.alloc((name.length + 8) & ~7);
  text.write(name);
  const out = new Writer(little)
    .int(10, 4)
    .int(0, 2)
    .int(104 + text.length, 2);
  out
    .int(pid, 4)
    .int(pid, 4)
    .int(map.start, 8)
    .int(map.length, 8)
    .int(map.offset, 8)
    .bytes(Buffer.alloc(32))
    .bytes(text);
  return sampleId(out, { pid, tid: pid, time: map.time }).done();
}

/** A PERF_RECORD_FORK: a thread begins. */
export function forkRecord(fork: { little: boolean; pid: number; tid: number; parent: number; time: bigint }): Buffer {
  const { little, pid, tid, parent, time } = fork;
  const out = new Writer(little).int(7, 4).int(0, 2).int(64, 2);
  return sampleId(out.int(pid, 4).int(parent, 4).int(tid, 4).int(parent, 4).int(time, 8), fork).done();
}

/**
 * A whole perf.data file with these events and records; `threads` makes it that of a folder of perf record --threads, on a machine
 * with so many CPUs.
 */
export function perfFile(file: {
  little: boolean;
  events: WrittenEvent[];
  records: Buffer[];
  threads?: number;
  /** Whether its samples have call chains. */
  chains?: boolean;
}): Buffer {
  const { little, events, records, threads, chains = false } = file;
  const attrSize = 128;
  const attrsStart = 104 + events.length * 8;
  const dataStart = attrsStart + events.length * (attrSize + 16);
  const data = Buffer.concat(records);
  const out = new Writer(little);
  out
    .bytes(little ? 'PERFILE2' : '2ELIFREP')
    .int(104, 8)
    .int(attrSize + 16, 8);
  out.int(attrsStart, 8).int(events.length * (attrSize + 16), 8);
  out.int(dataStart, 8).int(data.length, 8).int(0, 8).int(0, 8);
  // Feature bits 1, event formats; 7, the numbers of CPUs; 24, a folder.
  out
    .int(threads === undefined ? 1 << 1 : (1 << 1) | (1 << 7) | (1 << 24), 8)
    .int(0, 8)
    .int(0, 8)
    .int(0, 8);
  for (const event of events) out.int(event.perfId, 8);
  for (const [n, event] of events.entries()) {
    const attr = new Writer(little);
    attr
      .int(2, 4)
      .int(attrSize, 4)
      .int(event.id, 8)
      .int(1, 8)
      .int(sampleType | (chains ? 1 << 5 : 0), 8)
      .int(0, 8);
    // Bit fields fill a word from its low end on little-endian machines, from its high end on others.
    const flags = (1n << 18n) | (1n << 25n);
    attr
      .int(little ? flags : ((flags >> 18n) << 45n) | (1n << 38n), 8)
      .bytes(Buffer.alloc(44))
      .int(1, 4);
    out.bytes(attr.done()).bytes(Buffer.alloc(attrSize - attr.length));
    out.int(104 + n * 8, 8).int(8, 8);
  }
  out.bytes(data);
  const features = [tracingData(little, events)];
  if (threads !== undefined) {
    features.push(new Writer(little).int(threads, 4).int(threads, 4).done(), new Writer(little).int(1, 8).done());
  }
  let at = out.length + features.length * 16;
  for (const { length } of features) {
    out.int(at, 8).int(length, 8);
    at += length;
  }
  for (const body of features) out.bytes(body);
  return out.done();
}

/** What perf puts into HEADER_TRACING_DATA: tools/perf/util/trace-event-info.c. */
function tracingData(little: boolean, events: WrittenEvent[]): Buffer {
  const out = new Writer(little);
  out
    .bytes(Buffer.from([0x17, 0x08, 0x44]))
    .bytes('tracing')
    .bytes('0.6\0')
    .int(little ? 0 : 1, 1)
    .int(8, 1)
    .int(4096, 4);
  const page =
    '\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n';
  out.bytes('header_page\0').int(page.length, 8).bytes(page);
  out.bytes('header_event\0').int(0, 8);
  out.int(0, 4);
  out.int(events.length, 4);
  for (const event of events) {
    let offset = 8;
    let text = `name: ${event.name}\nID: ${event.id}\nformat:\n`;
    text +=
      '\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n';
    for (const field of event.fields) {
      text += `\tfield:${field.declaration};\toffset:${offset};\tsize:${field.size};\tsigned:${field.signed ? 1 : 0};\n`;
      offset += field.size;
    }
    text += '\nprint fmt: "x"\n';
    out.bytes(`${event.system}\0`).int(1, 4).int(text.length, 8).bytes(text);
  }
  return out.int(0, 4).int(0, 4).done();
}

import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { processOf } from './export-event-text.ts';

/*
 * A CTF 1.8 trace (diamon.org/ctf): a stream a CPU, and one of events whose CPU is not known, in packets whose context counts discarded
 * events, as LTTng writes them; and `metadata`, which describes them and is known only at the end.
 */

/** One packet, and the file of the trace that it belongs to. */
export type CtfPacket = { file: string; bytes: Uint8Array };

/** Bytes of events that a packet is closed at. */
const packetSize = 64 << 10;
/** The same for one that is as long as a hole. */
const largestPacket = 16 << 20;
/** magic, stream id; begin, end, content size, packet size, discarded events, and in streams of CPUs the CPU. */
const headerSize = 4 + 4 + 5 * 8;
const magic = 0xc1fc1fc1;
/** The kernel's size of a thread's name. Of one length, it leaves all that stands behind it where it is in each event. */
const commSize = 16;
/** Later than any event. */
const never = 1n << 64n;

type Class = { id: number; fields: FieldOut[]; name: string };
/** A field, and how it is written: integers in so many bytes; texts of at most so many with NULs behind them, 0 for up to a NUL. */
type FieldOut = { name: string; reader: FieldReader; form: 'string' | 'hex' | 'signed' | 'unsigned'; size: number };

export class CtfWriter {
  readonly #streams = new Map<number, Stream>();
  readonly #classes = new Map<number, Class>();
  readonly #packets: CtfPacket[] = [];

  event(trace: Trace, b: EventBatch, i: number): void {
    const type = trace.types[b.type[i] as number] as EventType;
    let known = this.#classes.get(type.id);
    if (known === undefined) {
      known = classOf(type, b, i);
      this.#classes.set(type.id, known);
    }
    const tid = b.tid[i] as number;
    const thread = trace.threads.get(tid);
    const time = trace.origin + BigInt(Math.round(b.time[i] as number));
    const stream = this.#stream(b.cpu[i] as number);
    stream.begin(time);
    stream.u32(known.id);
    stream.u64(time);
    stream.u32(tid);
    stream.u32(processOf(trace, b, i));
    stream.text(thread?.comm ?? '', commSize);
    for (const { reader, form, size } of known.fields) {
      if (form === 'string') stream.text(reader.text(b, i), size);
      else stream.int(reader.low(b, i), reader.high(b, i), size);
    }
    const most = stream.hasLost ? largestPacket : packetSize;
    if (stream.length > most || time >= stream.lostUntil) this.#close(stream);
  }

  /** What was lost is counted with the packet that begins after it, and ends where the hole does. */
  loss(trace: Trace, { to, cpu, count }: Loss): void {
    const stream = this.#stream(cpu);
    this.#close(stream);
    stream.discarded += BigInt(count ?? 1);
    const end = trace.origin + BigInt(Math.round(Number.isFinite(to) ? to : Math.max(0, trace.last)));
    if (!stream.hasLost || end > stream.lostUntil) stream.lostUntil = end;
    stream.hasLost = true;
  }

  /** The packets that were closed since the last call. */
  take(): CtfPacket[] {
    return this.#packets.splice(0);
  }

  /** Closes all packets, and gives them and the metadata. */
  end(trace: Trace): CtfPacket[] {
    for (const stream of this.#streams.values()) {
      this.#close(stream);
      if (!stream.hasLost) continue;
      stream.begin(stream.lostUntil);
      this.#close(stream);
    }
    const streams = [...this.#streams.values()];
    const ids = [...new Set(streams.map((stream) => stream.id))];
    const metadata = metadataOf(trace, ids, [...this.#classes.values()]);
    return [...this.take(), { file: 'metadata', bytes: Buffer.from(metadata) }];
  }

  #stream(cpu: number): Stream {
    let stream = this.#streams.get(cpu);
    if (stream === undefined) {
      stream = new Stream(cpu);
      this.#streams.set(cpu, stream);
    }
    return stream;
  }

  #close(stream: Stream): void {
    const bytes = stream.close();
    if (bytes !== undefined) this.#packets.push({ file: stream.cpu < 0 ? 'events' : `cpu_${stream.cpu}`, bytes });
  }
}

/** The packet of a stream that is being written. */
class Stream {
  readonly cpu: number;
  /** The class of streams: 0 has a CPU in its packets' context, 1 none. */
  readonly id: number;
  discarded = 0n;
  /** Whether events were lost since the last packet, and until when. */
  hasLost = false;
  lostUntil = never;
  length = 0;
  end = 0n;
  readonly #headerSize: number;
  #begin = 0n;
  #open = false;
  #bytes = Buffer.allocUnsafe(2 * packetSize);

  constructor(cpu: number) {
    this.cpu = cpu;
    this.id = cpu < 0 ? 1 : 0;
    this.#headerSize = headerSize + (cpu < 0 ? 0 : 4);
  }

  /** The next event is at this time. */
  begin(time: bigint): void {
    if (time > this.end) this.end = time;
    if (this.#open) return;
    this.#open = true;
    this.#begin = this.end;
    this.length = this.#headerSize;
  }

  u32(value: number): void {
    this.#room(4);
    this.length = this.#bytes.writeInt32LE(value | 0, this.length);
  }

  u64(value: bigint): void {
    this.#room(8);
    this.length = this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.length);
  }

  /** The lowest bytes of an integer. */
  int(low: number, high: number, size: number): void {
    this.#room(8);
    this.#bytes.writeInt32LE(low | 0, this.length);
    this.#bytes.writeInt32LE(high | 0, this.length + 4);
    this.length += size;
  }

  /** A text up to its first NUL: in `size` bytes, or in as many as it takes with a NUL. */
  text(text: string, size = 0): void {
    const nul = text.indexOf('\0');
    const whole = nul < 0 ? text : text.slice(0, nul);
    this.#room(3 * whole.length + 1 + size);
    const written = this.#bytes.write(whole, this.length, size === 0 ? 3 * whole.length : size);
    const end = this.length + (size === 0 ? written + 1 : size);
    this.#bytes.fill(0, this.length + written, end);
    this.length = end;
  }

  /** The packet; undefined where none was begun. */
  close(): Uint8Array | undefined {
    if (!this.#open) return undefined;
    this.#open = false;
    this.hasLost = false;
    this.lostUntil = never;
    const bytes = Buffer.from(this.#bytes.subarray(0, this.length));
    let at = bytes.writeUInt32LE(magic, 0);
    at = bytes.writeUInt32LE(this.id, at);
    const bits = BigInt(bytes.length) * 8n;
    for (const value of [this.#begin, this.end, bits, bits, this.discarded])
      at = bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    if (this.cpu >= 0) bytes.writeUInt32LE(this.cpu, at);
    return bytes;
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.length + bytes));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}

function classOf(type: EventType, b: EventBatch, i: number): Class {
  const used = new Set<string>();
  const fields: FieldOut[] = [];
  for (const { name, declared } of type.fields) {
    const reader = type.reader(name);
    if (reader === undefined) continue;
    // The underscore, which readers take off, keeps fields apart from the words of the language.
    let out = `_${name.replace(/\W/g, '_')}`;
    while (used.has(out)) out += '_';
    used.add(out);
    fields.push({ name: out, reader, ...formOf(reader, declared, b, i) });
  }
  const { chain } = type.layout;
  if (chain !== undefined) fields.push({ name: '_callchain', reader: chain, form: 'string', size: 0 });
  return { id: type.id, fields, name: type.name };
}

function formOf(reader: FieldReader, declared: string, b: EventBatch, i: number): Pick<FieldOut, 'form' | 'size'> {
  // Names of threads, mostly: what stands behind a text of one length is found at once.
  if (reader.kind === 'text') return { form: 'string', size: Number(/^char\[(\d\d?)\]$/.exec(declared)?.[1] ?? 0) };
  const { size = 8, signed } = reader.place ?? {};
  if (/^-?0x/.test(reader.text(b, i))) return { form: 'hex', size };
  const unsigned = /unsigned|\bu(8|16|32|64)\b|\b__u|uint|\bsize_t|\bbool\b|\*/.test(declared);
  return { form: (signed ?? !unsigned) ? 'signed' : 'unsigned', size };
}

function typeOf({ form, size, name }: Omit<FieldOut, 'reader'>): string {
  if (form === 'string' && size === 0) return `string { encoding = UTF8; } ${name}`;
  if (form === 'string') return `integer { size = 8; align = 8; signed = true; encoding = UTF8; } ${name}[${size}]`;
  const base = form === 'hex' ? ' base = 16;' : '';
  return `integer { size = ${size * 8}; align = 8; signed = ${form === 'signed'};${base} } ${name}`;
}

function metadataOf(trace: Trace, streams: readonly number[], classes: readonly Class[]): string {
  const quoted = (text: string) => JSON.stringify(text).replace(/\\u[0-9a-f]{4}|[^\x20-\x7e]/gi, '?');
  // As LTTng and others call it.
  const clock = (trace.clock.name === 'mono' ? 'monotonic' : trace.clock.name)
    .replace(/\W/g, '_')
    .replace(/^(?=\d)/, '_');
  const integer = (size: number, more = '') => `integer { size = ${size}; align = 8; signed = false;${more} }`;
  const stamp = integer(64, ` map = clock.${clock}.value;`);
  let text = `/* CTF 1.8 */

trace {
	major = 1;
	minor = 8;
	byte_order = le;
	packet.header := struct {
		${integer(32)} magic;
		${integer(32)} stream_id;
	};
};

env {
	${trace.recordedOn === undefined ? '' : `hostname = ${quoted(trace.recordedOn.host)};\n	kernel_release = ${quoted(trace.recordedOn.release)};\n	`}tracer_name = "virtap";
${trace.traits?.looseHoles === true ? '\tholes = "loose";\n' : ''}};

clock {
	name = ${quoted(clock)};
	freq = 1000000000;
	precision = ${trace.clock.resolution};
	offset = 0;
	absolute = false;
};
`;
  for (const id of streams) {
    text += `
stream {
	id = ${id};
	packet.context := struct {
		${stamp} timestamp_begin;
		${stamp} timestamp_end;
		${integer(64)} content_size;
		${integer(64)} packet_size;
		${integer(64)} events_discarded;
${id === 0 ? `		${integer(32)} cpu_id;\n` : ''}	};
	event.header := struct {
		${integer(32)} id;
		${stamp} timestamp;
	};
	event.context := struct {
		integer { size = 32; align = 8; signed = true; } _tid;
		integer { size = 32; align = 8; signed = true; } _pid;
		${typeOf({ form: 'string', size: commSize, name: '_procname' })};
	};
};
`;
    for (const { id: event, name, fields } of classes) {
      text += `
event {
	id = ${event};
	name = ${quoted(name)};
	stream_id = ${id};
	fields := struct {
${fields.map((field) => `		${typeOf(field)};\n`).join('')}	};
};
`;
    }
  }
  return text;
}

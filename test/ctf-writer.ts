import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

/** Writes bits as CTF numbers them: from each byte's lowest in little-endian order, from its highest in big-endian order. */
export class BitWriter {
  readonly little: boolean;
  #bytes: number[] = [];
  /** Bits written. */
  length = 0;

  constructor(little: boolean) {
    this.little = little;
  }

  /** Pads with zeros to a multiple of `bits`. */
  align(bits: number): this {
    while (this.length % bits !== 0) this.#bit(0);
    return this;
  }

  /** An integer, bit by bit. */
  int(value: number | bigint, size: number, align = size % 8 === 0 ? 8 : 1, little = this.little): this {
    this.align(align);
    const bits = BigInt.asUintN(size, BigInt(value));
    for (let i = 0; i < size; i++) this.#bit(Number((bits >> BigInt(little ? i : size - 1 - i)) & 1n), little);
    return this;
  }

  /** A text up to a NUL. */
  text(text: string): this {
    return this.bytes([...Buffer.from(text), 0]);
  }

  /** A text in `length` bytes. */
  chars(text: string, length: number): this {
    return this.bytes(Buffer.concat([Buffer.from(text), Buffer.alloc(length)]).subarray(0, length));
  }

  bytes(bytes: Iterable<number>): this {
    this.align(8);
    for (const byte of bytes) {
      this.#bytes.push(byte);
      this.length += 8;
    }
    return this;
  }

  done(): Buffer {
    return Buffer.from(this.#bytes);
  }

  #bit(bit: number, little = this.little): void {
    const byte = this.length >> 3;
    const place = little ? this.length & 7 : 7 - (this.length & 7);
    if (byte === this.#bytes.length) this.#bytes.push(0);
    this.#bytes[byte] = (this.#bytes[byte] as number) | (bit << place);
    this.length++;
  }
}

const uuid = '2a6422d0-6cee-11e0-8c08-cb07d7b3a564';
/** The trace's identification, as packets have it. */
export const uuidBytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');

/** An event of a trace as LTTng writes it: `fields` writes its contexts and its own fields. */
export type WrittenEvent = { id: number; time: number; fields: (out: BitWriter) => void };

/** A packet of it. Times are the clock's. */
export type WrittenPacket = {
  cpu: number;
  begin: number;
  end: number;
  events: WrittenEvent[];
  discarded?: number;
  sequence?: number;
  /** Which of the streams, and of which class. */
  stream?: number;
  streamClass?: number;
  /** Bytes of unused space behind the events. */
  padding?: number;
};

/** A packet with LTTng's header and context, and its compact event headers: 5 bits of id, 27 of time. */
export function lttngPacket(packet: WrittenPacket, little = true): Buffer {
  const header = (content: number, size: number) => {
    const out = new BitWriter(little).int(0xc1fc1fc1, 32).bytes(uuidBytes);
    out.int(packet.streamClass ?? 0, 32).int(packet.stream ?? packet.cpu, 64);
    out.int(packet.begin, 64).int(packet.end, 64).int(content, 64).int(size, 64);
    return out
      .int(packet.sequence ?? 0, 64)
      .int(packet.discarded ?? 0, 64)
      .int(packet.cpu, 32);
  };
  const measure = header(0, 0);
  const write = (out: BitWriter) => {
    for (const { id, time, fields } of packet.events) {
      out.align(8);
      if (id < 31) out.int(id, 5, 1).int(time, 27, 1);
      else out.int(31, 5, 1).align(8).int(id, 32).int(time, 64);
      fields(out);
    }
    return out;
  };
  const content = write(measure).length;
  const size = (Math.ceil(content / 8) + (packet.padding ?? 0)) * 8;
  return Buffer.concat([write(header(content, size)).done(), Buffer.alloc(packet.padding ?? 0)]);
}

/** The metadata that go with `lttngPacket`. `events` and `more` are TSDL; `context` are fields of every event. */
export function lttngMetadata(options: {
  little?: boolean;
  events: string;
  context?: string;
  environment?: Record<string, string | number>;
  more?: string;
  clock?: string;
}): string {
  const { little = true, environment = { domain: 'kernel', tracer_name: 'lttng-modules', tracer_major: 2 } } = options;
  const env = Object.entries(environment).map(([key, value]) => `${key} = ${JSON.stringify(value)};`);
  return `/* CTF 1.8 */
typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 64; align = 8; signed = false; } := unsigned long;
typealias integer { size = 5; align = 1; signed = false; } := uint5_t;
trace {
  major = 1; minor = 8; uuid = "${uuid}"; byte_order = ${little ? 'le' : 'be'};
  packet.header := struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id; uint64_t stream_instance_id; };
};
env { ${env.join(' ')} };
clock {
  ${options.clock ?? 'name = "monotonic"; uuid = "88cba016-36e2-48c2-aff8-3e4b9aefb05c"; freq = 1000000000; offset = 1500000000000000000;'}
};
typealias integer { size = 27; align = 1; signed = false; map = clock.monotonic.value; } := uint27_clock_t;
typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := uint64_clock_t;
struct packet_context {
  uint64_clock_t timestamp_begin;
  uint64_clock_t timestamp_end;
  uint64_t content_size;
  uint64_t packet_size;
  uint64_t packet_seq_num;
  unsigned long events_discarded;
  uint32_t cpu_id;
};
struct event_header_compact {
  enum : uint5_t { compact = 0 ... 30, extended = 31 } id;
  variant <id> {
    struct { uint27_clock_t timestamp; } compact;
    struct { uint32_t id; uint64_clock_t timestamp; } extended;
  } v;
} align(8);
stream {
  id = 0;
  event.header := struct event_header_compact;
  packet.context := struct packet_context;
  ${options.context === undefined ? '' : `event.context := struct { ${options.context} };`}
};
${options.more ?? ''}
${options.events}
`;
}

/** Metadata in packets of 4096 bytes, as LTTng writes them. */
export function inPackets(metadata: string, little = true): Buffer {
  const text = Buffer.from(metadata);
  const parts: Buffer[] = [];
  for (let at = 0; at < text.length; at += 1000) {
    const piece = text.subarray(at, at + 1000);
    const head = new BitWriter(little).int(0x75d11d57, 32).bytes(uuidBytes).int(0, 32);
    head
      .int((37 + piece.length) * 8, 32)
      .int(4096 * 8, 32)
      .bytes([0, 0, 0, 1, 8]);
    parts.push(Buffer.concat([head.done(), piece, Buffer.alloc(4096 - 37 - piece.length)]));
  }
  return Buffer.concat(parts);
}

const folder = mkdtempSync(join(tmpdir(), 'virtap-ctf-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

/** Writes a folder with these files; gives its path. */
export function ctfFolder(files: Record<string, string | Uint8Array>): string {
  const path = join(folder, String(count++));
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

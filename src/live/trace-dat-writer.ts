import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { hostname, machine, release } from 'node:os';
import { join } from 'node:path';
import { hasTracefs, readTracefs } from './tracefs.ts';

/*
 * A trace.dat, version 6: what trace-cmd of every age, KernelShark and virtap read.
 * Source: trace-cmd's Documentation/trace-cmd/trace-cmd.dat.v6.5.txt.
 */

/** What stands before the thread names: known when a recording begins. `events` are `system:event`. */
export function traceDatHeader(tracefs: string, instance: string, events: readonly string[], pageSize: number): Buffer {
  const out = new Writer();
  out
    .raw(Buffer.from([0x17, 0x08, 0x44]))
    .text('tracing6\0')
    .u8(0)
    .u8(8)
    .u32(pageSize);
  for (const name of ['header_page', 'header_event']) {
    const own = join(instance, 'events', name);
    const text = readTracefs(hasTracefs(own) ? own : join(tracefs, 'events', name));
    out.text(`${name}\0`).u64(text.length).text(text);
  }
  const ftrace = formats(tracefs, 'ftrace', readdirSync(join(tracefs, 'events/ftrace')));
  out.u32(ftrace.length);
  for (const text of ftrace) out.u64(text.length).text(text);
  const systems = Map.groupBy(events, (event) => event.split(':', 1)[0] as string);
  out.u32(systems.size);
  for (const [system, names] of systems) {
    const texts = formats(
      tracefs,
      system,
      names.map((name) => name.slice(system.length + 1)),
    );
    out.text(`${system}\0`).u32(texts.length);
    for (const text of texts) out.u64(text.length).text(text);
  }
  // No kernel symbols and no printk formats: they name functions in stack traces and trace_printk, which are not recorded.
  return out.u32(0).u32(0).done();
}

function formats(tracefs: string, system: string, events: readonly string[]): string[] {
  return events
    .map((event) => join(tracefs, 'events', system, event, 'format'))
    .filter((path) => hasTracefs(path))
    .map((path) => readTracefs(path));
}

/** What is known when a recording ends. */
export type Trailer = {
  /** Thread names by tid. */
  comms: ReadonlyMap<number, string>;
  /** The kernel's text of trace_clock: `local global [mono]`. */
  clock: string;
  /** The kernel's statistics of each CPU's buffer. */
  stats: readonly { cpu: number; text: string }[];
  /** Who recorded: `virtap 0.1.0`. */
  version: string;
  /** Size of each CPU's pages, in bytes. */
  sizes: readonly number[];
};

/** What stands between the header (of `start` bytes) and the pages, and where each CPU's pages are to be. */
export function traceDatTrailer(
  start: number,
  pageSize: number,
  trailer: Trailer,
): { bytes: Buffer; offsets: number[] } {
  const names = [...trailer.comms].map(([tid, comm]) => `${tid} ${comm}\n`).join('');
  const out = new Writer();
  const lines = Buffer.from(names, 'utf8');
  out.u64(lines.length).raw(lines);
  out.u32(trailer.sizes.length).text('options  \0');
  for (const { cpu, text } of trailer.stats) out.option(2, `CPU: ${cpu}\n${text}\0`);
  out.option(4, `${trailer.clock}\0`);
  out.option(5, `Linux ${hostname()} ${release()} ${machine()}\0`);
  out.u16(8).u32(4).u32(trailer.sizes.length);
  out.option(9, `${trailer.version}\0`);
  out.u16(11).u32(8).raw(randomBytes(8));
  out.u16(0).text('flyrecord\0');
  const clock = Buffer.from(trailer.clock);
  let end = start + out.length + trailer.sizes.length * 16 + 8 + clock.length;
  const offsets: number[] = [];
  for (const size of trailer.sizes) {
    end = Math.ceil(end / pageSize) * pageSize;
    offsets.push(end);
    out.u64(end).u64(size);
    end += size;
  }
  return { bytes: out.u64(clock.length).raw(clock).done(), offsets };
}

/** Collects bytes, little-endian. */
class Writer {
  readonly #parts: Buffer[] = [];
  length = 0;

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    this.length += bytes.length;
    return this;
  }
  u8(value: number): this {
    return this.raw(Buffer.from([value]));
  }
  u16(value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return this.raw(bytes);
  }
  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return this.raw(bytes);
  }
  u64(value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    return this.raw(bytes);
  }
  /** As tracefs gives it: bytes. */
  text(text: string): this {
    return this.raw(Buffer.from(text, 'latin1'));
  }
  option(id: number, text: string): this {
    const bytes = Buffer.from(text);
    return this.u16(id).u32(bytes.length).raw(bytes);
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

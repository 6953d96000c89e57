import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import type { TypeTable } from '../trace/trace.ts';
import { ArgumentReader } from './qemu-args.ts';
import { QemuTextLayout } from './qemu-text.ts';
import type { EventArgument, Signature, Signatures } from './trace-events.ts';

/*
 * QEMU events that are in a kernel trace, as the `qemu:*` events that they are. They come there in two ways:
 *
 * Probes: QEMU's USDT probes, recorded by perf as `sdt_qemu:*` or as uprobes of any group. When a format meets a kernel event
 * type, it asks once for each type:
 *
 *     const name = qemuProbe(system, event, isProbe, signatures);          // 'qemu:virtqueue_pop' or undefined
 *     const type = name === undefined
 *       ? types.add(`${system}:${event}`, layout)
 *       : types.add(name, new QemuProbeLayout(layout, name, signatures), `${system}:${event}`);
 *
 * Markers: the text that QEMU's ftrace backend writes to trace_marker. A format asks for each ftrace:print
 * (tracing_mark_write) event; the payload stays the record that it is, with the text `textAt` bytes into it:
 *
 *     const markers = new QemuMarkers(signatures, types, 'ftrace:print', textAt);     // binary: offset of the field `buf`
 *     const type = markers.typeOf(bytes, at + textAt, at + size);                     // index in types.all, or -1: not QEMU's
 *
 * `signatures` is `new Signatures(input.path, options)`, one for each trace. It is lazy: without QEMU events nothing is read.
 */

/**
 * The name `qemu:EVENT` of a kernel event that is one of QEMU's, or undefined. `isProbe` says that it is a uprobe: its type has the
 * field `__probe_ip` (in text: its fields begin with an address in parentheses). perf and tracefs need a name
 * for each place that a probe is at, so `virtqueue_pop_1` is `virtqueue_pop` too.
 */
export function qemuProbe(
  system: string,
  event: string,
  isProbe: boolean,
  signatures: Signatures,
): `qemu:${string}` | undefined {
  const qemus = /^(sdt_)?qemu(_|$)/.test(system);
  if (!qemus && !isProbe) return undefined;
  if (signatures.of(event) !== undefined) return `qemu:${event}`;
  const site = /^(.+)_\d+$/.exec(event);
  if (site !== null && signatures.of(site[1] as string) !== undefined) return `qemu:${site[1]}`;
  return qemus ? `qemu:${event}` : undefined;
}

/** A probe's arguments under the names that QEMU gives them: perf calls them arg1, arg2, … */
export class QemuProbeLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #inner: Layout;
  /** The recorded name of each field, and QEMU's argument where known. */
  readonly #recorded = new Map<string, { name: string; argument: EventArgument | undefined }>();

  /** `name` as `qemuProbe` gave it. */
  constructor(inner: Layout, name: string, signatures: Signatures) {
    this.#inner = inner;
    const args = signatures.of(name.slice('qemu:'.length))?.args ?? [];
    const fields: Field[] = [];
    for (const field of inner.fields) {
      if (/^__probe_/.test(field.name)) continue;
      const position = /^arg([1-9]\d?)$/.exec(field.name);
      const argument = position === null ? args.find((a) => a.name === field.name) : args[Number(position[1]) - 1];
      const own = argument?.name ?? field.name;
      fields.push({ name: own, declared: argument?.declared ?? field.declared });
      this.#recorded.set(own, { name: field.name, argument });
    }
    this.fields = fields;
  }

  reader(name: string): FieldReader | undefined {
    const recorded = this.#recorded.get(name);
    if (recorded === undefined) return undefined;
    const inner = this.#inner.reader(recorded.name);
    // A string that was recorded as a number is an address in QEMU's memory, and stays one.
    if (inner?.kind !== 'int' || recorded.argument?.kind !== 'int') return inner;
    return new ProbeArgument(inner, recorded.argument);
  }

  print(b: EventBatch, i: number): string {
    return this.fields.map((field) => `${field.name}=${this.reader(field.name)?.text(b, i) ?? ''}`).join(' ');
  }
}

/** A probe records whole registers, of which the argument may be the lower part. */
class ProbeArgument extends ArgumentReader {
  readonly #inner: FieldReader;

  constructor(inner: FieldReader, argument: EventArgument) {
    super(argument);
    this.#inner = inner;
  }

  protected load(b: EventBatch, i: number): boolean {
    this.lowBits = this.#inner.low(b, i);
    this.highBits = this.#inner.high(b, i);
    return this.lowBits !== 0 || this.highBits !== 0 || !Number.isNaN(this.#inner.number(b, i));
  }
}

/** Finds QEMU's events by the first word of a text, without making a string of it. */
export class QemuNames {
  /** Every known event; `find` gives indexes into it. */
  readonly events: readonly Signature[];
  readonly #names: Uint8Array[];
  readonly #slots: Int32Array;

  static #known = new WeakMap<ReadonlyMap<string, Signature>, QemuNames>();

  /** Those of these signatures: made once for all traces that have the same. */
  static of({ all }: Signatures): QemuNames {
    const names = QemuNames.#known.get(all) ?? new QemuNames(all);
    QemuNames.#known.set(all, names);
    return names;
  }

  private constructor(all: ReadonlyMap<string, Signature>) {
    this.events = [...all.values()];
    this.#names = this.events.map((event) => Buffer.from(event.name, 'latin1'));
    let slots = 64;
    while (slots < this.events.length * 3) slots *= 2;
    this.#slots = new Int32Array(slots).fill(-1);
    for (const [index, name] of this.#names.entries()) {
      let s = hash(name, 0, name.length) & (slots - 1);
      while ((this.#slots[s] as number) >= 0) s = (s + 1) & (slots - 1);
      this.#slots[s] = index;
    }
  }

  /** Index of the event whose name is all that stands before the first space, newline, NUL or the end; -1 where it is none. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const limit = Math.min(end, start + longestName);
    let to = start;
    // Names are C identifiers: bytes above '/' suffice to tell them from what may follow.
    while (to < limit && (bytes[to] as number) > 0x2f) to++;
    if (to < end && bytes[to] !== 0x20 && bytes[to] !== 0x0a && bytes[to] !== 0) return -1;
    const mask = this.#slots.length - 1;
    for (let s = hash(bytes, start, to) & mask; ; s = (s + 1) & mask) {
      const index = this.#slots[s] as number;
      if (index < 0) return -1;
      const name = this.#names[index] as Uint8Array;
      if (name.length !== to - start) continue;
      let i = 0;
      while (i < name.length && name[i] === bytes[start + i]) i++;
      if (i === name.length) return index;
    }
  }
}

/** Longer than any event's name. */
const longestName = 128;

/** FNV-1a. The table holds only names that somebody vouches for, so that nobody can fill it with collisions. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5;
  for (let p = start; p < end; p++) h = Math.imul(h ^ (bytes[p] as number), 0x01000193);
  return h ^ (h >>> 15);
}

/** Types of the events in trace_marker texts. */
export class QemuMarkers {
  readonly #signatures: Signatures;
  readonly #types: TypeTable;
  readonly #recordedAs: string;
  readonly #textAt: number;
  #names: QemuNames | undefined;
  /** Type by index of the event's name; -1 until it is seen. */
  #typeOf = new Int32Array(0);

  /** `textAt` is where the text begins in the payloads. New types are added to `types` as they are met. */
  constructor(signatures: Signatures, types: TypeTable, recordedAs: string, textAt: number) {
    this.#signatures = signatures;
    this.#types = types;
    this.#recordedAs = recordedAs;
    this.#textAt = textAt;
  }

  /** The type of the text at `start` … `end`, an index into the types, or -1 where it is no event of QEMU's. */
  typeOf(bytes: Uint8Array, start: number, end: number): number {
    if (this.#names === undefined) {
      this.#names = QemuNames.of(this.#signatures);
      this.#typeOf = new Int32Array(this.#names.events.length).fill(-1);
    }
    const index = this.#names.find(bytes, start, end);
    if (index < 0) return -1;
    const known = this.#typeOf[index] as number;
    if (known >= 0) return known;
    const signature = this.#names.events[index] as Signature;
    const type = this.#types.add(
      `qemu:${signature.name}`,
      new QemuTextLayout(signature, this.#textAt),
      this.#recordedAs,
    );
    this.#typeOf[index] = type.id;
    return type.id;
  }
}

import type { EventBatch } from './batch.ts';

/**
 * Reads one field of one event type. Compiled once per type, called per event only when somebody asks.
 * For event `i` of batch `b`; the event must be of the type that the reader came from.
 */
export interface FieldReader {
  /** `int`: number, low and high have meaning. `text`: only text has. */
  readonly kind: 'int' | 'text';
  /** Where the integer stands in every payload of the type, for loops that cannot afford a call; undefined where that varies. */
  readonly place?: {
    readonly offset: number;
    readonly size: 1 | 2 | 4 | 8;
    readonly signed: boolean;
    readonly little: boolean;
  };
  /** The integer as a double: exact up to 2^53 either way. Never use it for addresses; NaN where the event lacks the field. */
  number(b: EventBatch, i: number): number;
  /** Of a text: where its bytes lie, for who wants no string. Undefined where the reader cannot tell. */
  readonly bytes?: TextBytes | undefined;
  /** Bits 0–31 of the integer, as an unsigned number. 0 where the event lacks the field. */
  low(b: EventBatch, i: number): number;
  /** Bits 32–63 of the integer, as an unsigned number; the sign is extended into them. */
  high(b: EventBatch, i: number): number;
  /** The value as people write it: the string itself, or the integer in the field's usual base. '' where the event lacks the field. */
  text(b: EventBatch, i: number): string;
}

/** Finds the bytes of a text field in the payload. */
export interface TextBytes {
  /** Where the text lies in the batch's bytes, after `find` gave true. */
  start: number;
  end: number;
  find(b: EventBatch, i: number): boolean;
}

/** One argument of an event. */
export type Field = {
  name: string;
  /** As the trace declares it, e.g. `unsigned int`, `char[16]`, `void *`; '' where it does not say. */
  declared: string;
};

/** How a format stores the payload of one event type. */
export interface Layout {
  readonly fields: readonly Field[];
  /** A reader of the field of that name, or undefined where the type has none. */
  reader(name: string): FieldReader | undefined;
  /** The call chain that was recorded with an event, a frame a line, the innermost first: '' where it has none. Undefined where no event of the type has. */
  readonly chain?: FieldReader | undefined;
  /** The whole payload as one line of text, as the usual tool for the format prints it. */
  print(b: EventBatch, i: number): string;
}

/** A kind of event: `kvm:kvm_exit`, `sched:sched_switch`, `qemu:virtqueue_pop`. */
export class EventType {
  /** Index in the trace's `types`, and what `EventBatch.type` holds. */
  readonly id: number;
  /** `system:event`, the same whichever file it came from. */
  readonly name: string;
  /** The file's own name for it where that differs, e.g. `qemu_uprobes:virtqueue_pop`, `ftrace:print`. */
  readonly recordedAs: string;
  readonly layout: Layout;
  readonly #readers = new Map<string, FieldReader | undefined>();

  constructor(id: number, name: string, layout: Layout, recordedAs: string) {
    this.id = id;
    this.name = name;
    this.layout = layout;
    this.recordedAs = recordedAs;
  }

  get fields(): readonly Field[] {
    return this.layout.fields;
  }

  /** The reader of a field. Fields have the kernel's or QEMU's own names (`exit_reason`, `guest_rip`, `vq`, `elem`), also in text. */
  reader(name: string): FieldReader | undefined {
    if (!this.#readers.has(name)) this.#readers.set(name, this.layout.reader(name));
    return this.#readers.get(name);
  }
}

/** A reader for a field that a type does not have. */
export const absent: FieldReader = {
  kind: 'int',
  number: () => Number.NaN,
  low: () => 0,
  high: () => 0,
  text: () => '',
};

/** The 64-bit value of an integer field, unsigned. */
export function unsigned64(reader: FieldReader, b: EventBatch, i: number): bigint {
  return (BigInt(reader.high(b, i)) << 32n) | BigInt(reader.low(b, i));
}

/** A 64-bit value given as two unsigned halves, as `0x…` without leading zeros. */
export function hex64(high: number, low: number): string {
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

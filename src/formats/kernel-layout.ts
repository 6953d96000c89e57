import type { EventBatch } from '../trace/batch.ts';
import type { FieldReader, Layout } from '../trace/event-type.ts';
import type { Printer } from './c-operators.ts';
import { IntReader } from './int-reader.ts';
import type { KernelField, KernelFormat } from './kernel-format.ts';
import { compilePrintFormat } from './print-format.ts';
import { TextReader } from './text-reader.ts';

/** The payload of a kernel event: the ring-buffer record from its common_type on, in the traced machine's byte order. */
export class KernelLayout implements Layout {
  readonly fields: readonly KernelField[];
  readonly format: KernelFormat;
  readonly #little: boolean;
  #printer: Printer | undefined;

  constructor(format: KernelFormat, little: boolean) {
    this.format = format;
    this.#little = little;
    this.fields = format.fields.filter((field) => !field.name.startsWith('common_'));
  }

  reader(name: string): FieldReader | undefined {
    const field = this.format.fields.find((f) => f.name === name);
    if (field === undefined) return undefined;
    switch (field.kind) {
      case 'int': {
        const hex = field.size === 8 || field.declared.endsWith('*') ? 'hex' : 'decimal';
        return new IntReader(field.offset, field.size as 1 | 2 | 4 | 8, field.signed, this.#little, hex);
      }
      case 'bytes':
        return new BytesReader(field, this.#little);
      default:
        return new StringReader(field, this.#little);
    }
  }

  /** Positions in the batch's bytes where the bytes of a field of event `i` begin and end; a dynamic field's reference is followed. */
  extent(field: KernelField, b: EventBatch, i: number): [start: number, end: number] {
    return extent(field, this.#little, b, i);
  }

  /** As the event's `print fmt` says, or `field=value …` where that is not understood. */
  print(b: EventBatch, i: number): string {
    this.#printer ??= compilePrintFormat(this, this.#little) ?? this.#fieldPrinter();
    return this.#printer(b, i);
  }

  #fieldPrinter(): Printer {
    const readers = this.fields.map((field) => ({ name: field.name, reader: this.reader(field.name) as FieldReader }));
    return (b, i) => readers.map(({ name, reader }) => `${name}=${reader.text(b, i)}`).join(' ');
  }
}

/** Where a field's bytes lie in the arena: a fixed array, or a __data_loc / __rel_loc reference (offset | length << 16). */
function extent(field: KernelField, little: boolean, b: EventBatch, i: number): [start: number, end: number] {
  const at = b.at[i] as number;
  const size = b.size[i] as number;
  let start = field.offset;
  let end = field.size === 0 ? size : start + field.size;
  if (field.declared.startsWith('__data_loc') || field.declared.startsWith('__rel_loc')) {
    if (end > size) return [at, at];
    const word = b.view.getUint32(at + start, little);
    start = (word & 0xffff) + (field.declared.startsWith('__rel_loc') ? end : 0);
    end = start + (word >>> 16);
  }
  end = Math.min(end, size);
  return start < end ? [at + start, at + end] : [at, at];
}

class StringReader extends TextReader {
  readonly #field: KernelField;
  readonly #little: boolean;

  constructor(field: KernelField, little: boolean) {
    super();
    this.#field = field;
    this.#little = little;
  }

  find(b: EventBatch, i: number): boolean {
    const [start, limit] = extent(this.#field, this.#little, b, i);
    let end = start;
    while (end < limit && b.bytes[end] !== 0) end++;
    this.start = start;
    this.end = end;
    return true;
  }
}

/** Arrays of anything but characters, as hexadecimal bytes. */
class BytesReader extends StringReader {
  override readonly bytes = undefined;
  readonly #field: KernelField;
  readonly #little: boolean;

  constructor(field: KernelField, little: boolean) {
    super(field, little);
    this.#field = field;
    this.#little = little;
  }

  override text(b: EventBatch, i: number): string {
    const [start, end] = extent(this.#field, this.#little, b, i);
    return Buffer.from(b.bytes.buffer, b.bytes.byteOffset + start, end - start).toString('hex');
  }
}

import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import { IntReader } from './int-reader.ts';
import { ArgumentReader } from './qemu-args.ts';
import { TextReader } from './text-reader.ts';
import type { EventArgument, Signature } from './trace-events.ts';

/**
 * The arguments of a simpletrace record: 8 bytes for each integer, sign-extended; for a string its length in 4 bytes,
 * then its bytes (scripts/tracetool/backend/simple.py). Whatever follows a string has no fixed place.
 */
export class SimpletraceLayout implements Layout {
  readonly fields: readonly EventArgument[];
  /** Bytes that the arguments take; -1 where that varies. */
  readonly fixedSize: number;
  readonly #little: boolean;
  #readers: (FieldReader | undefined)[] | undefined;

  constructor(signature: Signature, little: boolean) {
    this.fields = signature.args;
    this.fixedSize = signature.args.some((argument) => argument.kind === 'text') ? -1 : signature.args.length * 8;
    this.#little = little;
  }

  /** Whether arguments of `size` bytes at `at` can be these. */
  fits(view: DataView, at: number, size: number): boolean {
    if (this.fixedSize >= 0) return size === this.fixedSize;
    return offsetOf(this.fields, this.fields.length, this.#little, view, at, size) === size;
  }

  reader(name: string): FieldReader | undefined {
    const index = this.fields.findIndex((argument) => argument.name === name);
    const argument = this.fields[index];
    if (argument === undefined) return undefined;
    if (argument.kind === 'text') return new StringArgument(this.fields, index, this.#little);
    if (this.fields.slice(0, index).some((before) => before.kind === 'text')) {
      return new LaterArgument(this.fields, index, this.#little);
    }
    const bytes = (argument.bits / 8) as 1 | 2 | 4 | 8;
    const offset = index * 8 + (this.#little ? 0 : 8 - bytes);
    return new IntReader(offset, bytes, argument.signed, this.#little, argument.base);
  }

  print(b: EventBatch, i: number): string {
    this.#readers ??= this.fields.map((field) => this.reader(field.name));
    return this.fields.map((field, n) => `${field.name}=${this.#readers?.[n]?.text(b, i) ?? ''}`).join(' ');
  }
}

/** Arguments of an event that nobody describes: integers arg1, arg2, … as far as they go. */
export class RecordLayout implements Layout {
  readonly fields: readonly Field[];
  readonly fixedSize = -1;
  readonly #little: boolean;

  constructor(count: number, little: boolean) {
    this.fields = Array.from({ length: Math.min(count, 64) }, (_, n) => ({ name: `arg${n + 1}`, declared: '' }));
    this.#little = little;
  }

  fits(): boolean {
    return true;
  }

  reader(name: string): FieldReader | undefined {
    const index = this.fields.findIndex((field) => field.name === name);
    return index < 0 ? undefined : new IntReader(index * 8, 8, false, this.#little, 'hex');
  }

  print(b: EventBatch, i: number): string {
    return this.fields
      .slice(0, Math.floor((b.size[i] as number) / 8))
      .map((field, n) => `${field.name}=${new IntReader(n * 8, 8, false, this.#little, 'hex').text(b, i)}`)
      .join(' ');
  }
}

/** Where argument `index` begins, counted from `at`; -1 where the arguments end before. */
function offsetOf(
  fields: readonly EventArgument[],
  index: number,
  little: boolean,
  view: DataView,
  at: number,
  size: number,
): number {
  let offset = 0;
  for (let n = 0; n < index; n++) {
    if ((fields[n] as EventArgument).kind === 'text') {
      if (offset + 4 > size) return -1;
      offset += 4 + view.getUint32(at + offset, little);
    } else offset += 8;
    if (offset > size) return -1;
  }
  return offset;
}

/** An integer behind a string. */
class LaterArgument extends ArgumentReader {
  readonly #fields: readonly EventArgument[];
  readonly #index: number;
  readonly #little: boolean;

  constructor(fields: readonly EventArgument[], index: number, little: boolean) {
    super(fields[index] as EventArgument);
    this.#fields = fields;
    this.#index = index;
    this.#little = little;
  }

  protected load(b: EventBatch, i: number): boolean {
    const at = b.at[i] as number;
    const size = b.size[i] as number;
    const offset = offsetOf(this.#fields, this.#index, this.#little, b.view, at, size);
    if (offset < 0 || offset + 8 > size) return false;
    this.lowBits = b.view.getUint32(at + offset + (this.#little ? 0 : 4), this.#little);
    this.highBits = b.view.getUint32(at + offset + (this.#little ? 4 : 0), this.#little);
    return true;
  }
}

class StringArgument extends TextReader {
  readonly #fields: readonly EventArgument[];
  readonly #index: number;
  readonly #little: boolean;

  constructor(fields: readonly EventArgument[], index: number, little: boolean) {
    super();
    this.#fields = fields;
    this.#index = index;
    this.#little = little;
  }

  find(b: EventBatch, i: number): boolean {
    const at = b.at[i] as number;
    const size = b.size[i] as number;
    const offset = offsetOf(this.#fields, this.#index, this.#little, b.view, at, size);
    if (offset < 0 || offset + 4 > size) return false;
    this.start = at + offset + 4;
    this.end = this.start + Math.min(b.view.getUint32(at + offset, this.#little), size - offset - 4);
    return true;
  }
}

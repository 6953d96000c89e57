import type { EventBatch } from '../../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../../trace/event-type.ts';
import { hex64 } from '../../trace/event-type.ts';
import type { CtfLayout } from './layout.ts';

/** LTTng records the value of kvm_mmio as its bytes, `len` of them; the kernel as a number. */
export class KvmMmioLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #inner: CtfLayout;

  constructor(inner: CtfLayout) {
    this.#inner = inner;
    this.fields = inner.fields;
  }

  reader(name: string): FieldReader | undefined {
    const inner = this.#inner.reader(name);
    return name === 'val' && inner?.kind === 'text' ? new BytesAsNumber(inner) : inner;
  }

  print(b: EventBatch, i: number): string {
    return this.fields.map(({ name }) => `${name}=${this.reader(name)?.text(b, i) ?? ''}`).join(' ');
  }
}

/** A list of bytes, lowest first, as the number that they are on x86. */
class BytesAsNumber implements FieldReader {
  readonly kind = 'int';
  readonly #inner: FieldReader;

  constructor(inner: FieldReader) {
    this.#inner = inner;
  }

  #value(b: EventBatch, i: number): bigint | undefined {
    const bytes = this.#inner.text(b, i).match(/\w+/g);
    if (bytes === null) return undefined;
    return bytes.slice(0, 8).reduce((value, byte, n) => value | (BigInt(byte) << BigInt(8 * n)), 0n);
  }

  number(b: EventBatch, i: number): number {
    const value = this.#value(b, i);
    return value === undefined ? Number.NaN : Number(value);
  }
  low(b: EventBatch, i: number): number {
    return Number((this.#value(b, i) ?? 0n) & 0xffffffffn);
  }
  high(b: EventBatch, i: number): number {
    return Number((this.#value(b, i) ?? 0n) >> 32n);
  }
  text(b: EventBatch, i: number): string {
    const value = this.#value(b, i);
    return value === undefined ? '' : hex64(Number(value >> 32n), Number(value & 0xffffffffn));
  }
}

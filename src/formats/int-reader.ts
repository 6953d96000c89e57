import type { EventBatch } from '../trace/batch.ts';
import { type FieldReader, hex64 } from '../trace/event-type.ts';

/** How an integer is printed: decimal, or hexadecimal with 0x. */
export type Base = 'decimal' | 'hex';

/** Reads an integer of 1, 2, 4 or 8 bytes at a fixed offset in the payload. */
export class IntReader implements FieldReader {
  readonly kind = 'int';
  readonly place: NonNullable<FieldReader['place']>;
  readonly #offset: number;
  readonly #size: number;
  readonly #signed: boolean;
  readonly #little: boolean;
  readonly #base: Base;

  /** `offset` counts from the start of the payload; an event too short for the field lacks it. */
  constructor(offset: number, size: 1 | 2 | 4 | 8, signed: boolean, little: boolean, base: Base = 'decimal') {
    this.place = { offset, size, signed, little };
    this.#offset = offset;
    this.#size = size;
    this.#signed = signed;
    this.#little = little;
    this.#base = base;
  }

  number(b: EventBatch, i: number): number {
    if (this.#offset + this.#size > (b.size[i] as number)) return Number.NaN;
    const at = (b.at[i] as number) + this.#offset;
    const little = this.#little;
    if (this.#size === 4) return this.#signed ? b.view.getInt32(at, little) : b.view.getUint32(at, little);
    if (this.#size === 8) {
      const low = b.view.getUint32(little ? at : at + 4, little);
      const high = little ? at + 4 : at;
      return (this.#signed ? b.view.getInt32(high, little) : b.view.getUint32(high, little)) * 0x100000000 + low;
    }
    if (this.#size === 2) return this.#signed ? b.view.getInt16(at, little) : b.view.getUint16(at, little);
    return this.#signed ? b.view.getInt8(at) : b.view.getUint8(at);
  }

  low(b: EventBatch, i: number): number {
    if (this.#size !== 8) return this.number(b, i) >>> 0;
    if (this.#offset + 8 > (b.size[i] as number)) return 0;
    return b.view.getUint32((b.at[i] as number) + this.#offset + (this.#little ? 0 : 4), this.#little);
  }

  high(b: EventBatch, i: number): number {
    if (this.#size !== 8) return this.#signed && this.number(b, i) < 0 ? 0xffffffff : 0;
    if (this.#offset + 8 > (b.size[i] as number)) return 0;
    return b.view.getUint32((b.at[i] as number) + this.#offset + (this.#little ? 4 : 0), this.#little);
  }

  text(b: EventBatch, i: number): string {
    if (this.#offset + this.#size > (b.size[i] as number)) return '';
    if (this.#base === 'hex') {
      if (this.#size === 8) return hex64(this.high(b, i), this.low(b, i));
      const low = this.low(b, i);
      return `0x${(this.#size === 4 ? low : low & (2 ** (8 * this.#size) - 1)).toString(16)}`;
    }
    if (this.#size < 8) return String(this.number(b, i));
    const value = (BigInt(this.high(b, i)) << 32n) | BigInt(this.low(b, i));
    return String(this.#signed ? BigInt.asIntN(64, value) : value);
  }
}

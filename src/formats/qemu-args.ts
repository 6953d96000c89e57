import type { EventBatch } from '../trace/batch.ts';
import { type FieldReader, hex64 } from '../trace/event-type.ts';
import type { EventArgument } from './trace-events.ts';

/**
 * Reads an integer argument of a QEMU event, wherever it was recorded: a u64 of simpletrace, printed text, a
 * probe's register. Each has 64 bits, of which the argument's own C type counts: the rest may be anything.
 */
export abstract class ArgumentReader implements FieldReader {
  readonly kind = 'int';
  /** What `load` found. */
  protected lowBits = 0;
  protected highBits = 0;
  readonly #argument: EventArgument;
  /** How far to shift a value of less than 32 bits up and down to cut it to its width. */
  readonly #shift: number;

  constructor(argument: EventArgument) {
    this.#argument = argument;
    this.#shift = argument.bits < 32 ? 32 - argument.bits : 0;
  }

  /** Sets lowBits and highBits; false where the event lacks the argument. */
  protected abstract load(b: EventBatch, i: number): boolean;

  number(b: EventBatch, i: number): number {
    if (!this.load(b, i)) return Number.NaN;
    const { bits, signed } = this.#argument;
    if (bits === 64) return (signed ? this.highBits | 0 : this.highBits) * 0x100000000 + this.lowBits;
    return this.#narrow(signed);
  }

  low(b: EventBatch, i: number): number {
    if (!this.load(b, i)) return 0;
    return this.#narrow(this.#argument.signed) >>> 0;
  }

  high(b: EventBatch, i: number): number {
    if (!this.load(b, i)) return 0;
    const { bits, signed } = this.#argument;
    if (bits === 64) return this.highBits;
    return signed && this.#narrow(true) < 0 ? 0xffffffff : 0;
  }

  text(b: EventBatch, i: number): string {
    if (!this.load(b, i)) return '';
    const { bits, signed, base } = this.#argument;
    if (base === 'hex') {
      return bits === 64 ? hex64(this.highBits, this.lowBits) : `0x${this.#narrow(false).toString(16)}`;
    }
    if (bits !== 64) return String(this.#narrow(signed));
    const value = (BigInt(this.highBits) << 32n) | BigInt(this.lowBits);
    return String(signed ? BigInt.asIntN(64, value) : value);
  }

  #narrow(signed: boolean): number {
    const up = this.lowBits << this.#shift;
    return signed ? up >> this.#shift : up >>> this.#shift;
  }
}

import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { IntegerOf } from './derived-field.ts';
import type { NamedFields } from './named-fields.ts';

/** How many numbers there were from `from` to below `below`: 0, 1, 2–3, 4–7, …, and the same of negative ones. */
export type ValueBucket = { from: number; below: number; count: number };

/** The numbers of a field by their size. */
export type ValueHistogram = {
  /** Ascending, from the first that has any to the last. */
  buckets: ValueBucket[];
  count: number;
  /** Events whose field is no number, or that have none. */
  without: number;
  /** As text, exactly; undefined where there is none. */
  least: string | undefined;
  greatest: string | undefined;
  /** NaN where there is none; exact as far as a double is. */
  mean: number;
};

/** Of a number with 64 bits and its sign, at most so many octaves to either side of 0. */
const octaves = 64;

/** Counts the numbers of a field by powers of two. */
export class ValueOctaves {
  readonly #name: string;
  readonly #names: NamedFields;
  /** By type id; null where events of it have nothing of the name. */
  readonly #readers: (Reading | null | undefined)[] = [];
  /** 0 in the middle; up from it what needs so many bits, down from it the same of negative ones. */
  readonly #counts = new Float64Array(2 * octaves + 1);
  #count = 0;
  #without = 0;
  #sum = 0;
  #least: Extreme | undefined;
  #greatest: Extreme | undefined;

  constructor(name: string, names: NamedFields) {
    this.#name = name;
    this.#names = names;
  }

  add(type: EventType, b: EventBatch, i: number): void {
    let reading = this.#readers[type.id];
    if (reading === undefined) {
      const reader = this.#names.reader(this.#name, type);
      reading =
        reader === undefined
          ? null
          : { integer: new IntegerOf(reader), signed: (b, i) => reader.text(b, i).startsWith('-') };
      while (this.#readers.length <= type.id) this.#readers.push(undefined);
      this.#readers[type.id] = reading;
    }
    if (reading?.integer.read(b, i) !== true) {
      this.#without++;
      return;
    }
    let { high, low } = reading.integer;
    // The highest bit is a sign where the field is written with one.
    const negative = high >= 0x80000000 && reading.signed(b, i);
    const value = negative ? (high - 0x100000000) * 0x100000000 + low : high * 0x100000000 + low;
    this.#count++;
    this.#sum += value;
    if (this.#least === undefined || before(negative, high, low, this.#least)) this.#least = { negative, high, low };
    if (
      this.#greatest === undefined ||
      before(this.#greatest.negative, this.#greatest.high, this.#greatest.low, { negative, high, low })
    )
      this.#greatest = { negative, high, low };
    if (negative) {
      // Two's complement.
      high = low === 0 ? (~high + 1) >>> 0 : ~high >>> 0;
      low = -low >>> 0;
    }
    const bits = high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(low);
    const at = octaves + (negative ? -bits : bits);
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }

  result(): ValueHistogram {
    const first = this.#counts.findIndex((n) => n > 0);
    const last = this.#counts.findLastIndex((n) => n > 0);
    const buckets: ValueBucket[] = [];
    for (let at = first; first >= 0 && at <= last; at++) {
      const bits = at - octaves;
      const count = this.#counts[at] as number;
      if (bits === 0) buckets.push({ from: 0, below: 1, count });
      else if (bits > 0) buckets.push({ from: 2 ** (bits - 1), below: 2 ** bits, count });
      else buckets.push({ from: 1 - 2 ** -bits, below: 1 - 2 ** (-bits - 1), count });
    }
    return {
      buckets,
      count: this.#count,
      without: this.#without,
      least: textOf(this.#least),
      greatest: textOf(this.#greatest),
      mean: this.#count === 0 ? Number.NaN : this.#sum / this.#count,
    };
  }
}

type Reading = { integer: IntegerOf; signed(b: EventBatch, i: number): boolean };
type Extreme = { negative: boolean; high: number; low: number };

function before(negative: boolean, high: number, low: number, other: Extreme): boolean {
  if (negative !== other.negative) return negative;
  return high !== other.high ? high < other.high : low < other.low;
}

function textOf(extreme: Extreme | undefined): string | undefined {
  if (extreme === undefined) return undefined;
  const bits = (BigInt(extreme.high) << 32n) | BigInt(extreme.low);
  return String(extreme.negative ? BigInt.asIntN(64, bits) : bits);
}

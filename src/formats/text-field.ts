import type { EventBatch } from '../trace/batch.ts';
import { type FieldReader, hex64 } from '../trace/event-type.ts';
import { TextReader } from './text-reader.ts';

/*
 * Readers of fields that a tracer printed. A locator finds where the field's text lies in the event's payload; the
 * reader turns that text into a number or a string, without making a string for a number.
 */

/** Finds a field's text in a payload that lies at `from` … `to`. */
export interface Locator {
  /** Where the text lies, after `find` gave true. */
  start: number;
  end: number;
  find(bytes: Uint8Array, from: number, to: number): boolean;
}

/**
 * How a printed integer is meant: `decimal`; `hex`, with or without 0x; `negated`, a decimal printed without its minus sign;
 * `signed`, a 64-bit two's complement that may be printed in hex. 0x makes any of them hex.
 */
export type Notation = 'decimal' | 'hex' | 'negated' | 'signed';

/** An integer as digits. */
export class PrintedInteger implements FieldReader {
  readonly kind = 'int';
  readonly #locator: Locator;
  readonly #notation: Notation;
  #low = 0;
  #high = 0;
  #negative = false;

  constructor(locator: Locator, notation: Notation) {
    this.#locator = locator;
    this.#notation = notation;
  }

  number(b: EventBatch, i: number): number {
    if (!this.#parse(b, i)) return Number.NaN;
    const high = this.#negative ? this.#high | 0 : this.#high;
    return high * 0x100000000 + this.#low;
  }

  low(b: EventBatch, i: number): number {
    return this.#parse(b, i) ? this.#low : 0;
  }

  high(b: EventBatch, i: number): number {
    return this.#parse(b, i) ? this.#high : 0;
  }

  text(b: EventBatch, i: number): string {
    if (!this.#parse(b, i)) return '';
    if (this.#notation === 'hex') return hex64(this.#high, this.#low);
    const value = (BigInt(this.#high) << 32n) | BigInt(this.#low);
    return String(this.#negative ? BigInt.asIntN(64, value) : value);
  }

  #parse(b: EventBatch, i: number): boolean {
    const locator = this.#locator;
    const from = b.at[i] as number;
    if (!locator.find(b.bytes, from, from + (b.size[i] as number))) return false;
    const bytes = b.bytes;
    const end = locator.end;
    let p = locator.start;
    let minus = this.#notation === 'negated';
    if (p < end && bytes[p] === 0x2d) {
      minus = !minus;
      p++;
    }
    let base = this.#notation === 'hex' ? 16 : 10;
    if (p + 1 < end && bytes[p] === 0x30 && ((bytes[p + 1] as number) | 0x20) === 0x78) {
      base = 16;
      p += 2;
    }
    const first = p;
    let low = 0;
    let high = 0;
    for (; p < end; p++) {
      const digit = digitValue[bytes[p] as number] as number;
      if (digit >= base) break;
      low = low * base + digit;
      high = high * base;
      if (low > 0xffffffff) {
        const carry = Math.floor(low / 0x100000000);
        low -= carry * 0x100000000;
        high += carry;
      }
      // More than 64 bits: keep the low ones, as a register would.
      if (high > 0xffffffff) high %= 0x100000000;
    }
    if (p === first) return false;
    if (minus && (low !== 0 || high !== 0)) {
      high = (~high + (low === 0 ? 1 : 0)) >>> 0;
      low = -low >>> 0;
    } else minus = false;
    this.#low = low;
    this.#high = high;
    this.#negative = minus || (this.#notation === 'signed' && high > 0x7fffffff);
    return true;
  }
}

/** The values of ASCII digits and letters in any base up to 16; 255 for everything else. */
export const digitValue: Uint8Array = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  const character = digit.toString(16);
  digitValue[character.charCodeAt(0)] = digit;
  digitValue[character.toUpperCase().charCodeAt(0)] = digit;
}

/** An integer that is printed as a word: its value is the word's index in the list. */
export class PrintedWord implements FieldReader {
  readonly kind = 'int';
  readonly #locator: Locator;
  readonly #words: readonly Uint8Array[];

  constructor(locator: Locator, words: readonly Uint8Array[]) {
    this.#locator = locator;
    this.#words = words;
  }

  number(b: EventBatch, i: number): number {
    const word = this.#word(b, i);
    return word < 0 ? Number.NaN : word;
  }

  low(b: EventBatch, i: number): number {
    return Math.max(0, this.#word(b, i));
  }

  high(): number {
    return 0;
  }

  text(b: EventBatch, i: number): string {
    const word = this.#words[this.#word(b, i)];
    return word === undefined ? '' : Buffer.from(word).toString('latin1');
  }

  #word(b: EventBatch, i: number): number {
    const from = b.at[i] as number;
    const locator = this.#locator;
    if (!locator.find(b.bytes, from, from + (b.size[i] as number))) return -1;
    return wordAt(b.bytes, locator.start, locator.end, this.#words);
  }
}

/** Index of the first of the words that stands at `start`, -1 where none does. */
export function wordAt(bytes: Uint8Array, start: number, end: number, words: readonly Uint8Array[]): number {
  for (let w = 0; w < words.length; w++) if (startsWith(bytes, start, end, words[w] as Uint8Array)) return w;
  return -1;
}

/** Whether a text stands somewhere in the payload: 1 or 0. */
export class PrintedFlag implements FieldReader {
  readonly kind = 'int';
  /** Says whether the payload is of the form that can have the text. */
  readonly #locator: Locator;
  readonly #text: Uint8Array;

  constructor(locator: Locator, text: Uint8Array) {
    this.#locator = locator;
    this.#text = text;
  }

  number(b: EventBatch, i: number): number {
    const from = b.at[i] as number;
    const to = from + (b.size[i] as number);
    if (!this.#locator.find(b.bytes, from, to)) return Number.NaN;
    return indexOf(b.bytes, from, to, this.#text) < 0 ? 0 : 1;
  }

  low(b: EventBatch, i: number): number {
    return this.number(b, i) === 1 ? 1 : 0;
  }

  high(): number {
    return 0;
  }

  text(b: EventBatch, i: number): string {
    const value = this.number(b, i);
    return Number.isNaN(value) ? '' : String(value);
  }
}

/** A string. */
export class PrintedText extends TextReader {
  readonly #locator: Locator;

  constructor(locator: Locator) {
    super();
    this.#locator = locator;
  }

  find(b: EventBatch, i: number): boolean {
    const from = b.at[i] as number;
    const locator = this.#locator;
    if (!locator.find(b.bytes, from, from + (b.size[i] as number))) return false;
    this.start = locator.start;
    this.end = locator.end;
    return true;
  }
}

/** Whether a text stands at `at`. */
export function startsWith(bytes: Uint8Array, at: number, end: number, text: Uint8Array): boolean {
  const length = text.length;
  if (at + length > end) return false;
  for (let k = 0; k < length; k++) if (bytes[at + k] !== text[k]) return false;
  return true;
}

/** Where a text stands first in `from` … `to`, -1 where it does not. */
export function indexOf(bytes: Uint8Array, from: number, to: number, text: Uint8Array): number {
  const first = text[0];
  const last = to - text.length;
  for (let p = from; p <= last; p++) if (bytes[p] === first && startsWith(bytes, p, to, text)) return p;
  return -1;
}

/** Where a text stands last in `from` … `to`, -1 where it does not. */
export function lastIndexOf(bytes: Uint8Array, from: number, to: number, text: Uint8Array): number {
  const first = text[0];
  for (let p = to - text.length; p >= from; p--) if (bytes[p] === first && startsWith(bytes, p, to, text)) return p;
  return -1;
}

import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import { ArgumentReader } from './qemu-args.ts';
import { TextReader } from './text-reader.ts';
import { type EventArgument, type Printf, parsePrintf, type Signature } from './trace-events.ts';

/*
 * QEMU events as QEMU prints them: `virtqueue_pop vq 0x… elem 0x… in_num 1 out_num 2`, the event's name and its arguments by
 * its own printf format. The log backend writes this to a file, the ftrace backend to trace_marker
 * (scripts/tracetool/backend/log.py and ftrace.py).
 */

const space = 0x20;
const newline = 0x0a;

/** An event's arguments as text. The payload holds `NAME ARGUMENTS` from `textAt` on, up to its end, a NUL or a newline. */
export class QemuTextLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #signature: Signature;
  readonly #textAt: number;
  readonly #scanner: Scanner;

  constructor(signature: Signature, textAt = 0) {
    this.fields = signature.args;
    this.#signature = signature;
    this.#textAt = textAt;
    this.#scanner = new Scanner(signature);
  }

  reader(name: string): FieldReader | undefined {
    const index = this.#signature.args.findIndex((argument) => argument.name === name);
    if (index < 0) return undefined;
    // What `%p` prints of a `char *` is an address, and `%s` of anything is text.
    return this.#scanner.conversion(index) === 's'
      ? new TextArgument(this.#scanner, this.#textAt, index)
      : new PrintedArgument(this.#scanner, this.#textAt, index, this.#signature.args[index] as EventArgument);
  }

  /** Whether a text `NAME ARGUMENTS` is all that the event's format makes of its arguments. */
  fits(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#scanner.fits(bytes, start, end);
  }

  /** Whether a text `NAME ARGUMENTS` is what the event's format makes of some of its arguments. */
  begins(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#scanner.find(bytes, start, end, 0);
  }

  print(b: EventBatch, i: number): string {
    const start = (b.at[i] as number) + this.#textAt;
    const end = textEnd(b.bytes, start, (b.at[i] as number) + (b.size[i] as number));
    return text(b.bytes, Math.min(end, start + this.#signature.name.length + 1), end);
  }
}

/** Where a text ends that starts at `start` and may go on to `end`. */
function textEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let p = start; p < end; p++) {
    const c = bytes[p] as number;
    if (c === 0 || c === newline) return p;
  }
  return end;
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.max(0, end - start)).toString('utf8');
}

/** Finds the arguments in a text that a printf format made. */
class Scanner {
  /** Where the argument found last lies. */
  start = 0;
  end = 0;
  readonly #skip: number;
  readonly #literals: Uint8Array[];
  readonly #conversions: Printf['conversions'];

  constructor(signature: Signature) {
    this.#skip = signature.name.length + 1;
    const { texts, conversions } = parsePrintf(signature.format);
    // A newline at the end of a format ends the line, and is not part of it.
    this.#literals = texts.map((t, n) => Buffer.from(n === texts.length - 1 ? t.replace(/\n$/, '') : t));
    this.#conversions = conversions;
  }

  /** The conversion character of an argument, '' where the format has none for it. */
  conversion(index: number): string {
    return this.#conversions[index]?.character ?? '';
  }

  /** Finds argument `index` of the text `NAME ARGUMENTS` at `from` … `limit`. False where the text differs before it. */
  find(bytes: Uint8Array, from: number, limit: number, index: number): boolean {
    let p = from + this.#skip;
    for (let n = 0; n <= index; n++) {
      const literal = this.#literals[n] as Uint8Array;
      if (!startsWith(bytes, p, limit, literal)) return false;
      p += literal.length;
      const conversion = this.#conversions[n];
      if (conversion === undefined) return false;
      const end =
        conversion.character === 's'
          ? this.#stringEnd(bytes, p, limit, n)
          : numberEnd(bytes, p, limit, conversion.character);
      if (end < 0) return false;
      this.start = p;
      this.end = end;
      p = end;
    }
    return true;
  }

  /** Whether the text is the whole format. */
  fits(bytes: Uint8Array, from: number, limit: number): boolean {
    const count = this.#conversions.length;
    if (count > 0 && !this.find(bytes, from, limit, count - 1)) return false;
    const at = count > 0 ? this.end : from + this.#skip;
    const literal = this.#literals[count] as Uint8Array;
    return startsWith(bytes, at, limit, literal) && at + literal.length >= limit;
  }

  /** Where the string of conversion `n` ends: before the literal that follows, which the string itself may hold too. */
  #stringEnd(bytes: Uint8Array, p: number, limit: number, n: number): number {
    const literal = this.#literals[n + 1] as Uint8Array;
    const next = this.#conversions[n + 1];
    if (next === undefined) {
      const end = limit - literal.length;
      if (end >= p && startsWith(bytes, end, limit, literal)) return end;
    }
    if (literal.length === 0) return limit;
    for (let q = p; q + literal.length <= limit; q++) {
      if (!startsWith(bytes, q, limit, literal)) continue;
      const after = q + literal.length;
      if (next === undefined || next.character === 's' || numberEnd(bytes, after, limit, next.character) >= 0) return q;
    }
    return -1;
  }
}

function startsWith(bytes: Uint8Array, p: number, limit: number, literal: Uint8Array): boolean {
  if (p + literal.length > limit) return false;
  for (let i = 0; i < literal.length; i++) if (bytes[p + i] !== literal[i]) return false;
  return true;
}

/** Value of a hexadecimal digit, or -1. */
function digit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const letter = c | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Where a printed number, character or pointer at `p` ends; -1 where there is none. */
function numberEnd(bytes: Uint8Array, p: number, limit: number, conversion: string): number {
  if (conversion === '*') return p;
  if (conversion === 'c') return p < limit ? p + 1 : -1;
  if (conversion === 'p' && p < limit && bytes[p] === 0x28 /* ( of (nil) */) return p + 5 <= limit ? p + 5 : -1;
  let q = p;
  // Widths pad with spaces.
  while (q < limit && bytes[q] === space) q++;
  if (q < limit && (bytes[q] === 0x2d || bytes[q] === 0x2b)) q++;
  const hex = conversion === 'p' || conversion === 'x' || conversion === 'X';
  if (hex && q + 1 < limit && bytes[q] === 0x30 && ((bytes[q + 1] as number) | 0x20) === 0x78) q += 2;
  const first = q;
  const base = hex ? 16 : 10;
  for (; q < limit; q++) {
    const d = digit(bytes[q] as number);
    if (d < 0 || d >= base) break;
  }
  return q > first ? q : -1;
}

/** An integer as text. */
class PrintedArgument extends ArgumentReader {
  readonly #scanner: Scanner;
  readonly #textAt: number;
  readonly #index: number;
  readonly #conversion: string;

  constructor(scanner: Scanner, textAt: number, index: number, argument: EventArgument) {
    super(argument);
    this.#scanner = scanner;
    this.#textAt = textAt;
    this.#index = index;
    this.#conversion = scanner.conversion(index);
  }

  protected load(b: EventBatch, i: number): boolean {
    const bytes = b.bytes;
    const at = b.at[i] as number;
    const scanner = this.#scanner;
    if (!scanner.find(bytes, at + this.#textAt, at + (b.size[i] as number), this.#index)) return false;
    let p = scanner.start;
    const end = scanner.end;
    if (this.#conversion === 'c') {
      this.lowBits = bytes[p] as number;
      this.highBits = 0;
      return true;
    }
    while (bytes[p] === space) p++;
    const negative = bytes[p] === 0x2d;
    if (negative || bytes[p] === 0x2b) p++;
    let low = 0;
    let high = 0;
    if (this.#conversion === 'p' || this.#conversion === 'x' || this.#conversion === 'X') {
      for (; p < end; p++) {
        // The x of 0x, and (nil), are no digits and add nothing.
        const d = digit(bytes[p] as number);
        if (d < 0) continue;
        high = ((high << 4) | (low >>> 28)) >>> 0;
        low = ((low << 4) | d) >>> 0;
      }
    } else {
      const base = this.#conversion === 'o' ? 8 : 10;
      for (; p < end; p++) {
        const sum = low * base + ((bytes[p] as number) - 0x30);
        low = sum >>> 0;
        high = (high * base + Math.floor(sum / 0x100000000)) >>> 0;
      }
    }
    if (negative) {
      high = (~high + (low === 0 ? 1 : 0)) >>> 0;
      low = -low >>> 0;
    }
    this.lowBits = low;
    this.highBits = high;
    return true;
  }
}

/** A string as text. */
class TextArgument extends TextReader {
  readonly #scanner: Scanner;
  readonly #textAt: number;
  readonly #index: number;

  constructor(scanner: Scanner, textAt: number, index: number) {
    super();
    this.#scanner = scanner;
    this.#textAt = textAt;
    this.#index = index;
  }

  find(b: EventBatch, i: number): boolean {
    const at = b.at[i] as number;
    const start = at + this.#textAt;
    // Strings reach to the end of the text, so that end must be exact.
    const end = textEnd(b.bytes, start, at + (b.size[i] as number));
    if (!this.#scanner.find(b.bytes, start, end, this.#index)) return false;
    this.start = this.#scanner.start;
    this.end = this.#scanner.end;
    return true;
  }
}

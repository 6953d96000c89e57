import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import { groups } from '../trace/groups.ts';
import {
  digitValue,
  indexOf,
  type Locator,
  lastIndexOf,
  type Notation,
  PrintedFlag,
  PrintedInteger,
  PrintedText,
  PrintedWord,
  startsWith,
  wordAt,
} from './text-field.ts';
import { decodeText } from './text-reader.ts';

/*
 * The form in which a tracer prints an event, with the fields' names in their places:
 *
 *     pio_{rw:read|write} at {port:x} size {size:d} count {count:d} val {val:x}
 *
 * {name:d}  a decimal number, and what follows it in the template follows at once
 * {name:x}  a number in hex, with or without 0x     {name:n}  a decimal number printed without its minus sign
 * {name:i}  a signed 64-bit number                  {name:s}  text, up to what follows in the template
 * {name:a|b|c}  one of these words, for 0, 1, 2      {name?text}  1 where the text stands anywhere in the event, else 0
 * ~         what follows may be missing
 * <         at the start: match from the end backwards, as text of any kind (a command's name) stands at the start
 */

type Piece = {
  name: string;
  notation: Notation | 'text' | 'word';
  /** For words. */
  words: readonly Uint8Array[];
  /** What follows the field. */
  literal: Uint8Array;
};

type Flag = { name: string; text: Uint8Array };

const notations: Record<string, Piece['notation']> = { d: 'decimal', x: 'hex', n: 'negated', i: 'signed', s: 'text' };

/** One compiled template. */
export class Template {
  readonly pieces: readonly Piece[];
  readonly flags: readonly Flag[];
  /** Number of pieces that must be there. */
  readonly required: number;
  readonly #prefix: Uint8Array;
  readonly #backwards: boolean;
  /** Whether the end may be missing. */
  readonly #open: boolean;
  /** Where the field found last lies. */
  start = 0;
  end = 0;

  constructor(source: string) {
    this.#backwards = source.startsWith('<');
    const parts = (this.#backwards ? source.slice(1) : source).split(/(\{[^}]*\})/);
    this.#prefix = literalBytes(parts[0] as string);
    const pieces: Piece[] = [];
    const flags: Flag[] = [];
    let required: number | undefined;
    for (let p = 1; p < parts.length; p += 2) {
      const [, name, separator, what] = groups<[string, string, string, string]>(
        /^\{(\w+)([:?])(.*)\}$/.exec(parts[p] as string) as RegExpExecArray,
      );
      const literal = parts[p + 1] as string;
      if (separator === '?') {
        flags.push({ name, text: literalBytes(what) });
        continue;
      }
      const words = what.includes('|') ? what.split('|').map(literalBytes) : [];
      const notation = words.length > 0 ? 'word' : notations[what];
      if (notation === undefined) throw new RangeError(`template: ${parts[p]}`);
      pieces.push({ name, notation, words, literal: literalBytes(literal.replace('~', '')) });
      if (literal.startsWith('~')) required = pieces.length;
    }
    this.pieces = pieces;
    this.flags = flags;
    this.required = required ?? pieces.length;
    this.#open = required !== undefined;
  }

  /** Whether the payload is of this form. */
  matches(bytes: Uint8Array, from: number, to: number): boolean {
    return this.locate(bytes, from, to, this.required - 1);
  }

  /** Whether the payload may be of this form, by how it begins: cheaper than `matches`, for every event. */
  begins(bytes: Uint8Array, from: number, to: number): boolean {
    if (!startsWith(bytes, from, to, this.#prefix)) return false;
    if (this.#backwards) return true;
    const piece = this.pieces[0] as Piece;
    const start = from + this.#prefix.length;
    switch (piece.notation) {
      case 'text':
        return true;
      case 'word':
        return wordAt(bytes, start, to, piece.words) >= 0;
      case 'decimal':
      case 'negated': {
        let end = bytes[start] === 0x2d ? start + 1 : start;
        while (end < to && (digitValue[bytes[end] as number] as number) < 10) end++;
        return end > start && (this.required === 1 || startsWith(bytes, end, to, piece.literal));
      }
      default:
        return start < to && ((digitValue[bytes[start] as number] as number) < 16 || bytes[start] === 0x2d);
    }
  }

  /** How many fields of this form the payload has; 0 where it is of another. */
  fit(bytes: Uint8Array, from: number, to: number): number {
    if (!this.matches(bytes, from, to)) return 0;
    let count = this.required;
    while (count < this.pieces.length && this.locate(bytes, from, to, count)) count++;
    return count;
  }

  /** How many of them are numbers, or words, with nothing but the form's own text before what follows. */
  exact(bytes: Uint8Array, from: number, to: number): number {
    if (!this.matches(bytes, from, to)) return 0;
    let count = 0;
    for (let k = 0; k < this.pieces.length && this.locate(bytes, from, to, k); k++) {
      const { notation, literal } = this.pieces[k] as Piece;
      let { start, end } = this;
      if (notation === 'text') continue;
      if (end !== to && (literal.length === 0 || !startsWith(bytes, end, to, literal))) continue;
      if (notation === 'hex') {
        if (bytes[start] === 0x30 && bytes[start + 1] === 0x78) start += 2;
        while (end > start && (digitValue[bytes[end - 1] as number] as number) < 16) end--;
        if (end > start) continue;
      }
      count++;
    }
    return count;
  }

  /** Finds the field at that index. False where the payload is not of this form, or ends before the field. */
  locate(bytes: Uint8Array, from: number, to: number, index: number): boolean {
    return this.#backwards ? this.#locateBack(bytes, from, to, index) : this.#locateForth(bytes, from, to, index);
  }

  #locateForth(bytes: Uint8Array, from: number, to: number, index: number): boolean {
    if (!startsWith(bytes, from, to, this.#prefix)) return false;
    let start = from + this.#prefix.length;
    for (let k = 0; ; k++) {
      const piece = this.pieces[k] as Piece;
      let end = start;
      switch (piece.notation) {
        case 'decimal':
        case 'negated':
          if (bytes[end] === 0x2d) end++;
          while (end < to && (digitValue[bytes[end] as number] as number) < 10) end++;
          if (end === start) return false;
          break;
        case 'word': {
          const word = wordAt(bytes, start, to, piece.words);
          if (word < 0) return false;
          end = start + (piece.words[word] as Uint8Array).length;
          // `load=1`, printed raw, is not the word `load`.
          if (end < to && bytes[end] === 0x3d) return false;
          break;
        }
        case 'text':
          end = piece.literal.length === 0 ? to : indexOf(bytes, start, to, piece.literal);
          if (end < 0) {
            if (k + 1 < this.required || !this.#open) return false;
            end = to;
          }
          break;
        default:
          if ((digitValue[bytes[end] as number] as number) > 15 && bytes[end] !== 0x2d) return false;
          while (end < to && bytes[end] !== 0x20 && bytes[end] !== 0x2c) end++;
          if (end === start) return false;
      }
      if (k === index) {
        // The form ends with a literal: it has to be there.
        if (k + 1 === this.pieces.length && piece.literal.length > 0 && indexOf(bytes, start, to, piece.literal) < 0)
          return false;
        this.start = start;
        this.end = end;
        return true;
      }
      if (piece.notation === 'hex' || piece.notation === 'signed') end = indexOf(bytes, start, to, piece.literal);
      else if (!startsWith(bytes, end, to, piece.literal)) return false;
      if (end < 0) return false;
      start = end + piece.literal.length;
    }
  }

  #locateBack(bytes: Uint8Array, from: number, to: number, index: number): boolean {
    if (!startsWith(bytes, from, to, this.#prefix)) return false;
    const first = from + this.#prefix.length;
    const last = this.pieces.length - 1;
    let end = to;
    const tail = (this.pieces[last] as Piece).literal;
    if (tail.length > 0) end = lastIndexOf(bytes, first, to, tail);
    for (let k = last; k >= 0; k--) {
      if (end < 0) return false;
      const piece = this.pieces[k] as Piece;
      const before = (this.pieces[k - 1] as Piece | undefined)?.literal;
      const gap = before === undefined ? first : lastIndexOf(bytes, first, end, before);
      if (gap < 0) return false;
      const start = before === undefined ? gap : gap + before.length;
      if (piece.notation !== 'text') {
        const digit = bytes[start] === 0x2d ? start + 1 : start;
        if (digit >= end || (digitValue[bytes[digit] as number] as number) > 15) return false;
      }
      if (k === index) {
        this.start = start;
        this.end = end;
      }
      end = gap;
    }
    return true;
  }
}

function literalBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** Events printed by one of several templates, asked in order; the first that matches an event decides. */
export class TemplateLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #templates: readonly Template[];

  /** `sample` is an event of the type: optional fields that it lacks are not fields of the type. */
  constructor(templates: readonly Template[], sample: Uint8Array) {
    this.#templates = templates;
    const names = new Set<string>();
    for (const template of templates) {
      for (const [index, piece] of template.pieces.entries()) {
        if (index < template.required || template.locate(sample, 0, sample.length, index)) names.add(piece.name);
      }
      for (const flag of template.flags) names.add(flag.name);
    }
    this.fields = [...names].map((name) => ({ name, declared: '' }));
  }

  /** Whether an event may be of one of these forms. */
  begins(bytes: Uint8Array, from: number, to: number): boolean {
    for (const template of this.#templates) if (template.begins(bytes, from, to)) return true;
    return false;
  }

  /** Fields that the sample lacked have readers, too: another event may have them. */
  reader(name: string): FieldReader | undefined {
    const locator = new TemplateLocator(this.#templates, name);
    for (const template of this.#templates) {
      const flag = template.flags.find((f) => f.name === name);
      if (flag !== undefined) return new PrintedFlag(locator, flag.text);
      const piece = template.pieces.find((p) => p.name === name);
      if (piece === undefined) continue;
      if (piece.notation === 'text') return new PrintedText(locator);
      if (piece.notation === 'word') return new PrintedWord(locator, piece.words);
      return new PrintedInteger(locator, piece.notation);
    }
    return undefined;
  }

  print(b: EventBatch, i: number): string {
    const at = b.at[i] as number;
    return decodeText(b.bytes, at, at + (b.size[i] as number));
  }
}

class TemplateLocator implements Locator {
  start = 0;
  end = 0;
  readonly #templates: readonly Template[];
  /** The field's index in each template; -1 where it is a flag there, -2 where it has none. */
  readonly #index: readonly number[];

  constructor(templates: readonly Template[], name: string) {
    this.#templates = templates;
    this.#index = templates.map((template) => {
      const index = template.pieces.findIndex((piece) => piece.name === name);
      return index >= 0 ? index : template.flags.some((flag) => flag.name === name) ? -1 : -2;
    });
  }

  find(bytes: Uint8Array, from: number, to: number): boolean {
    for (let t = 0; t < this.#templates.length; t++) {
      const template = this.#templates[t] as Template;
      const index = this.#index[t] as number;
      if (index < 0) {
        if (template.matches(bytes, from, to)) return index === -1;
      } else if (template.locate(bytes, from, to, index)) {
        this.start = template.start;
        this.end = template.end;
        return true;
      }
    }
    return false;
  }
}

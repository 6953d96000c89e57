import type { EventBatch } from '../trace/batch.ts';
import { type FieldReader, hex64 } from '../trace/event-type.ts';

/*
 * A field that is computed of others: `icr_low & 0xff`, `gpa >> 12`, `(addr - 0xfee00000) / 16`.
 *
 *     or      = xor { "|" xor }           product = unary { ("*" | "/" | "%") unary }
 *     xor     = and { "^" and }           unary   = [ "~" | "-" ] unary | primary
 *     and     = shift { "&" shift }       primary = number | name | "(" or ")"
 *     shift   = sum { ("<<" | ">>") sum }
 *     sum     = product { ("+" | "-") product }
 *
 * Operators bind as in C, and compute in 64 bits without a sign. A result is written in hexadecimal where one of its numbers is, or one of its fields.
 */

/** Why a text is no such expression: a sentence without its full stop. */
export class DerivedFieldError extends Error {
  override name = 'DerivedFieldError';
}

type Operator = '|' | '^' | '&' | '<<' | '>>' | '+' | '-' | '*' | '/' | '%';
type Node =
  | { kind: 'number'; high: number; low: number; hex: boolean }
  | { kind: 'name'; name: string }
  | { kind: 'complement'; of: Node }
  | { kind: 'operation'; operator: Operator; left: Node; right: Node };

/** A parsed expression. */
export type DerivedField = { readonly root: Node; readonly names: readonly string[] };

const token = /\s*(?:(<<|>>|[|^&+\-*/%~()])|((?:0[xX][0-9a-fA-F]+|\d+)(?![\w.]))|(\.?[A-Za-z_][\w.]*))/y;
const levels: readonly (readonly Operator[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/', '%']];
const maxDepth = 100;

/** Reads an expression; undefined for a text that is a name alone. Throws a DerivedFieldError. */
export function parseDerivedField(text: string): DerivedField | undefined {
  if (!/[|^&<>+*/%~()\s-]/.test(text.trim())) return undefined;
  const tokens: { text: string; kind: 'operator' | 'number' | 'name' }[] = [];
  const end = text.trimEnd().length;
  for (token.lastIndex = 0; token.lastIndex < end; ) {
    const at = token.lastIndex;
    const match = token.exec(text);
    if (match === null) {
      const found = text.slice(at).trimStart();
      throw new DerivedFieldError(
        `${text.trim()} has '${found[0]}' where a field, a number or an operator is expected`,
      );
    }
    const [, operator, number, name] = match;
    tokens.push({
      text: (operator ?? number ?? name) as string,
      kind: operator !== undefined ? 'operator' : number !== undefined ? 'number' : 'name',
    });
  }
  const names = new Set<string>();
  let next = 0;
  const fail = (expected: string): never => {
    const found = tokens[next];
    const what = found === undefined ? 'ends' : `has '${found.text}'`;
    throw new DerivedFieldError(`${text.trim()} ${what} where ${expected} is expected`);
  };
  const accept = (wanted: readonly string[]): string | undefined => {
    const found = tokens[next];
    if (found?.kind !== 'operator' || !wanted.includes(found.text)) return undefined;
    next++;
    return found.text;
  };
  const level = (n: number, depth: number): Node => {
    const operators = levels[n];
    if (operators === undefined) return unary(depth);
    let left = level(n + 1, depth);
    for (;;) {
      const operator = accept(operators) as Operator | undefined;
      if (operator === undefined) return left;
      left = { kind: 'operation', operator, left, right: level(n + 1, depth) };
    }
  };
  const unary = (depth: number): Node => {
    if (depth > maxDepth)
      throw new DerivedFieldError(`${text.trim().slice(0, 20)}… is nested more than ${maxDepth} deep`);
    const sign = accept(['~', '-']);
    if (sign === '~') return { kind: 'complement', of: unary(depth + 1) };
    if (sign === '-') return { kind: 'operation', operator: '-', left: zero, right: unary(depth + 1) };
    if (accept(['(']) !== undefined) {
      const inner = level(0, depth + 1);
      if (accept([')']) === undefined) fail("')'");
      return inner;
    }
    const found = tokens[next];
    if (found === undefined || found.kind === 'operator') return fail('a field or a number');
    next++;
    if (found.kind === 'name') {
      names.add(found.text);
      return { kind: 'name', name: found.text };
    }
    const bits = BigInt(found.text);
    if (bits >= 1n << 64n) throw new DerivedFieldError(`${found.text} does not fit in 64 bits`);
    return {
      kind: 'number',
      high: Number(bits >> 32n),
      low: Number(bits & 0xffffffffn),
      hex: /^0x/i.test(found.text),
    };
  };
  const root = level(0, 0);
  if (next < tokens.length) fail('an operator');
  if (names.size === 0) throw new DerivedFieldError(`${text.trim()} names no field`);
  return { root, names: [...names] };
}

const zero: Node = { kind: 'number', high: 0, low: 0, hex: false };

/** The fields that a text names: itself, where it is a name alone. */
export function namesIn(text: string): readonly string[] {
  return parseDerivedField(text)?.names ?? [text];
}

/** Computes into `high` and `low`; false where the event lacks a field, or it is no number. */
type Compute = (b: EventBatch, i: number) => boolean;
let high = 0;
let low = 0;

/** A reader of the expression's value, or undefined where the type lacks a field of it. */
export function derivedReader(
  { root, names }: DerivedField,
  readerOf: (name: string) => FieldReader | undefined,
): FieldReader | undefined {
  const readers = new Map<string, FieldReader>();
  for (const name of names) {
    const reader = readerOf(name);
    if (reader === undefined) return undefined;
    readers.set(name, reader);
  }
  const compute = compile(root, readers);
  const hexIn = hasHex(root);
  const isHex = (b: EventBatch, i: number) =>
    hexIn || [...readers.values()].some((reader) => reader.text(b, i).startsWith('0x'));
  return {
    kind: 'int',
    number: (b, i) => (compute(b, i) ? signed() : Number.NaN),
    low: (b, i) => (compute(b, i) ? low : 0),
    high: (b, i) => (compute(b, i) ? high : 0),
    text: (b, i) => {
      if (!compute(b, i)) return '';
      const [upper, lower] = [high, low];
      if (isHex(b, i)) return hex64(upper, lower);
      return String(BigInt.asIntN(64, (BigInt(upper) << 32n) | BigInt(lower)));
    },
  };
}

/** Reads a field's 64 bits, also where a text format has it as it was printed. */
export class IntegerOf {
  high = 0;
  low = 0;
  readonly #compute: Compute;

  constructor(reader: FieldReader) {
    this.#compute = integer(reader);
  }

  /** False where the event has no number there. */
  read(b: EventBatch, i: number): boolean {
    if (!this.#compute(b, i)) return false;
    this.high = high;
    this.low = low;
    return true;
  }
}

function integer(reader: FieldReader): Compute {
  if (reader.kind === 'int') {
    return (b, i) => {
      if (Number.isNaN(reader.number(b, i))) return false;
      high = reader.high(b, i);
      low = reader.low(b, i);
      return true;
    };
  }
  return (b, i) => {
    const text = reader.text(b, i);
    if (!/^-?(0[xX][0-9a-fA-F]{1,16}|\d{1,20})$/.test(text)) return false;
    const negative = text.startsWith('-');
    const size = BigInt(negative ? text.slice(1) : text);
    set(negative ? -size : size);
    return true;
  };
}

/** The result as a double; results are written with their sign where they are decimal. */
function signed(): number {
  return high >= 0x80000000 ? (high - 0x100000000) * 0x100000000 + low : high * 0x100000000 + low;
}

function set(value: bigint): void {
  const bits = BigInt.asUintN(64, value);
  high = Number(bits >> 32n);
  low = Number(bits & 0xffffffffn);
}

function hasHex(node: Node): boolean {
  switch (node.kind) {
    case 'number':
      return node.hex;
    case 'name':
      return false;
    case 'complement':
      return hasHex(node.of);
    case 'operation':
      // By how far is shifted says nothing of the result.
      return hasHex(node.left) || (!['<<', '>>'].includes(node.operator) && hasHex(node.right));
  }
}

function compile(node: Node, readers: ReadonlyMap<string, FieldReader>): Compute {
  switch (node.kind) {
    case 'number':
      return () => {
        high = node.high;
        low = node.low;
        return true;
      };
    case 'name':
      return integer(readers.get(node.name) as FieldReader);
    case 'complement': {
      const of = compile(node.of, readers);
      return (b, i) => {
        if (!of(b, i)) return false;
        high = ~high >>> 0;
        low = ~low >>> 0;
        return true;
      };
    }
    case 'operation': {
      const left = compile(node.left, readers);
      const right = compile(node.right, readers);
      const operate = operations[node.operator];
      return (b, i) => {
        if (!left(b, i)) return false;
        const leftHigh = high;
        const leftLow = low;
        return right(b, i) && operate(leftHigh, leftLow, high, low);
      };
    }
  }
}

type Operate = (leftHigh: number, leftLow: number, rightHigh: number, rightLow: number) => boolean;

function halves(upper: number, lower: number): true {
  high = upper >>> 0;
  low = lower >>> 0;
  return true;
}

const operations: Record<Operator, Operate> = {
  '|': (ah, al, bh, bl) => halves(ah | bh, al | bl),
  '^': (ah, al, bh, bl) => halves(ah ^ bh, al ^ bl),
  '&': (ah, al, bh, bl) => halves(ah & bh, al & bl),
  '+': (ah, al, bh, bl) => halves(ah + bh + (al + bl > 0xffffffff ? 1 : 0), al + bl),
  '-': (ah, al, bh, bl) => halves(ah - bh - (al < bl ? 1 : 0), al - bl),
  '<<': (ah, al, bh, bl) => {
    if (bh > 0 || bl > 63) return halves(0, 0);
    if (bl === 0) return halves(ah, al);
    return bl < 32 ? halves((ah << bl) | (al >>> (32 - bl)), al << bl) : halves(al << (bl - 32), 0);
  },
  '>>': (ah, al, bh, bl) => {
    if (bh > 0 || bl > 63) return halves(0, 0);
    if (bl === 0) return halves(ah, al);
    return bl < 32 ? halves(ah >>> bl, (al >>> bl) | (ah << (32 - bl))) : halves(0, ah >>> (bl - 32));
  },
  '*': (ah, al, bh, bl) => {
    const product = al * bl;
    if (ah === 0 && bh === 0 && product <= Number.MAX_SAFE_INTEGER) return halves(product / 0x100000000, product);
    set(whole(ah, al) * whole(bh, bl));
    return true;
  },
  '/': (ah, al, bh, bl) => {
    if (bh === 0 && bl === 0) return false;
    if (ah === 0 && bh === 0) return halves(0, Math.floor(al / bl));
    set(whole(ah, al) / whole(bh, bl));
    return true;
  },
  '%': (ah, al, bh, bl) => {
    if (bh === 0 && bl === 0) return false;
    if (ah === 0 && bh === 0) return halves(0, al % bl);
    set(whole(ah, al) % whole(bh, bl));
    return true;
  },
};

function whole(upper: number, lower: number): bigint {
  return (BigInt(upper) << 32n) | BigInt(lower);
}

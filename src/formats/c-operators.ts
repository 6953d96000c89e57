import type { EventBatch } from '../trace/batch.ts';
import { type IntegerType, int, long, readInteger, uint, ulong } from './c-types.ts';
import { type Integer, narrow, truncate } from './printf.ts';

/** Prints the text of one event. */
export type Printer = (b: EventBatch, i: number) => string;

/** A compiled C expression over one event. */
export type Expression = {
  type: IntegerType;
  /** Its integer value, within `type`; 0 for text. */
  value(b: EventBatch, i: number): Integer;
  /** What `%s` prints. */
  text: Printer;
  /** The memory that it points to, as positions in the batch's bytes, where that lies in the event. */
  extent?: (b: EventBatch, i: number) => [start: number, end: number];
  /** Type of the elements of that memory. */
  element?: IntegerType;
  /** The value where it is the same for every event. */
  constant?: Integer;
  /** True for a name that is not known. */
  unknown?: boolean;
  /** True where `text` has meaning: string literals, character arrays, `__get_str` and the like. */
  isText?: boolean;
  /** The text where it is a string literal. */
  literal?: string;
};

/** Signals an expression that is outside of what is understood. */
export class Unsupported extends Error {}

/** Binding strength of C's binary operators. */
export const precedence: Record<string, number> = {
  '||': 1,
  '&&': 2,
  '|': 3,
  '^': 4,
  '&': 5,
  '==': 6,
  '!=': 6,
  '<': 7,
  '>': 7,
  '<=': 7,
  '>=': 7,
  '<<': 8,
  '>>': 8,
  '+': 9,
  '-': 9,
  '*': 10,
  '/': 10,
  '%': 10,
};

/** A text that is the same for every event. */
export function literalText(text: string): Expression {
  return { type: int, isText: true, literal: text, value: () => 0, text: () => text };
}

/** An expression that is only text. */
export function textual(text: Printer): Expression {
  return { type: int, isText: true, value: () => 0, text };
}

/** An integer that is the same for every event. */
export function constant(value: Integer, type: IntegerType): Expression {
  return { type, constant: value, value: () => value, text: () => value.toString() };
}

/** An integer computed for each event. */
export function integer(type: IntegerType, value: (b: EventBatch, i: number) => Integer): Expression {
  // `%s` of an integer is a pointer to a string that is not in the trace.
  return { type, value, text: (b, i) => truncate(value(b, i), 64, false).toString(16) };
}

export function number(text: string): Expression {
  const suffix = /[uUlL]*$/.exec(text)?.[0].toLowerCase() as string;
  const digits = text.slice(0, text.length - suffix.length);
  if (/^0[0-9]*[89]/.test(digits)) throw new Unsupported('a number');
  const octal = /^0[0-7]+$/.test(digits);
  const value = BigInt.asUintN(64, BigInt(octal ? `0o${digits.slice(1)}` : digits));
  const decimal = !octal && !/^0x/i.test(digits);
  const wide = suffix.includes('l');
  let type = ulong;
  if (suffix.includes('u')) type = wide || value > 0xffffffffn ? ulong : uint;
  else if (!wide && value <= 0x7fffffffn) type = int;
  else if (!wide && !decimal && value <= 0xffffffffn) type = uint;
  else if (value <= 0x7fffffffffffffffn) type = long;
  return constant(narrow(value), type);
}

/** The type that C's usual arithmetic conversions give two operands. */
export function common(a: IntegerType, b: IntegerType): IntegerType {
  if (a.bits === 64 || b.bits === 64)
    return (a.bits === 64 && !a.signed) || (b.bits === 64 && !b.signed) ? ulong : long;
  return (a.bits === 32 && !a.signed) || (b.bits === 32 && !b.signed) ? uint : int;
}

function promoted(type: IntegerType): IntegerType {
  return type.bits < 32 ? int : type;
}

export function truncated(item: Expression, type: IntegerType): (b: EventBatch, i: number) => Integer {
  const { value } = item;
  if (item.type.bits < type.bits && (!item.type.signed || type.signed)) return value;
  return (b, i) => truncate(value(b, i), type.bits, type.signed);
}

export function unary(operator: '-' | '~' | '!', operand: Expression): Expression {
  const type = operator === '!' ? int : promoted(operand.type);
  const apply = (v: Integer): Integer => {
    if (operator === '!') return v === 0 ? 1 : 0;
    if (operator === '-') return truncate(v === 0 ? 0 : -v, type.bits, type.signed);
    return truncate(typeof v === 'number' && v < Number.MAX_SAFE_INTEGER ? -1 - v : ~BigInt(v), type.bits, type.signed);
  };
  if (operand.constant !== undefined) return constant(apply(operand.constant), type);
  return integer(type, (b, i) => apply(operand.value(b, i)));
}

export function binary(operator: string, left: Expression, right: Expression): Expression {
  if (operator === '&&') return integer(int, (b, i) => (left.value(b, i) !== 0 && right.value(b, i) !== 0 ? 1 : 0));
  if (operator === '||') return integer(int, (b, i) => (left.value(b, i) !== 0 || right.value(b, i) !== 0 ? 1 : 0));
  const shift = operator === '<<' || operator === '>>';
  const operands = shift ? promoted(left.type) : common(left.type, right.type);
  const type = (precedence[operator] as number) === 6 || precedence[operator] === 7 ? int : operands;
  const operation = operations[operator] as Operation;
  const { bits, signed } = operands;
  const apply = (x: Integer, y: Integer): Integer =>
    operation(truncate(x, bits, signed), shift ? y : truncate(y, bits, signed), operands);
  if (left.constant !== undefined && right.constant !== undefined)
    return constant(apply(left.constant, right.constant), type);
  const a = truncated(left, operands);
  const c = shift ? right.value : truncated(right, operands);
  return integer(type, (b, i) => operation(a(b, i), c(b, i), operands));
}

/** Computes on operands that already have type `t`, and gives a value within it. */
type Operation = (x: Integer, y: Integer, t: IntegerType) => Integer;

const operations: Record<string, Operation> = {
  '+': arithmetic(
    (x, y) => x + y,
    (x, y) => x + y,
  ),
  '-': arithmetic(
    (x, y) => x - y,
    (x, y) => x - y,
  ),
  '*': arithmetic(
    (x, y) => x * y,
    (x, y) => x * y,
  ),
  // Division by zero gives 0: printing a hostile event must not fail.
  '/': arithmetic(
    (x, y) => (y === 0 ? 0 : (x - (x % y)) / y),
    (x, y) => (y === 0n ? 0n : x / y),
  ),
  '%': arithmetic(
    (x, y) => (y === 0 ? 0 : x % y),
    (x, y) => (y === 0n ? 0n : x % y),
  ),
  '&': (x, y, t) => {
    if (t.bits === 32) return t.signed ? Number(x) & Number(y) : (Number(x) & Number(y)) >>> 0;
    // A mask below 2^31 leaves only bits that JavaScript's own `&` has.
    if (typeof x === 'number' && typeof y === 'number' && ((x >= 0 && x <= 0x7fffffff) || (y >= 0 && y <= 0x7fffffff)))
      return x & y;
    return truncate(BigInt(x) & BigInt(y), 64, t.signed);
  },
  '|': (x, y, t) => {
    if (t.bits === 32) return t.signed ? Number(x) | Number(y) : (Number(x) | Number(y)) >>> 0;
    return truncate(BigInt(x) | BigInt(y), 64, t.signed);
  },
  '^': (x, y, t) => {
    if (t.bits === 32) return t.signed ? Number(x) ^ Number(y) : (Number(x) ^ Number(y)) >>> 0;
    return truncate(BigInt(x) ^ BigInt(y), 64, t.signed);
  },
  '<<': (x, y, t) => {
    const n = Number(y) & (t.bits - 1);
    if (t.bits === 32) return truncate(Number(x) << n, 32, t.signed);
    const product = typeof x === 'number' ? x * 2 ** n : Number.NaN;
    return Number.isSafeInteger(product) ? product : truncate(BigInt(x) << BigInt(n), 64, t.signed);
  },
  '>>': (x, y, t) => {
    const n = Number(y) & (t.bits - 1);
    if (t.bits === 32) return t.signed ? Number(x) >> n : Number(x) >>> n;
    return typeof x === 'number' ? Math.floor(x / 2 ** n) : narrow(x >> BigInt(n));
  },
  '==': (x, y) => (x === y ? 1 : 0),
  '!=': (x, y) => (x !== y ? 1 : 0),
  '<': (x, y) => (x < y ? 1 : 0),
  '>': (x, y) => (x > y ? 1 : 0),
  '<=': (x, y) => (x <= y ? 1 : 0),
  '>=': (x, y) => (x >= y ? 1 : 0),
};

function arithmetic(small: (x: number, y: number) => number, wide: (x: bigint, y: bigint) => bigint): Operation {
  return (x, y, t) => {
    if (typeof x === 'number' && typeof y === 'number') {
      const result = small(x, y);
      // `+ 0` makes -0 a 0.
      if (Number.isSafeInteger(result)) return truncate(result + 0, t.bits, t.signed);
    }
    return truncate(wide(BigInt(x), BigInt(y)), t.bits, t.signed);
  };
}

export function indexed(base: Expression, index: Expression, little: boolean): Expression {
  const { extent, element } = base;
  if (extent === undefined || element === undefined) throw new Unsupported('an index');
  const bytes = element.bits / 8;
  return integer(element, (b, i) => {
    const [start, end] = extent(b, i);
    const at = start + Number(index.value(b, i)) * bytes;
    return at >= start && at + bytes <= end ? readInteger(b.view, at, element, little) : 0;
  });
}

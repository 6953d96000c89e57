import type { EventBatch } from '../trace/batch.ts';
import { type Integer, narrow, truncate } from './printf.ts';

/** A C integer type. */
export type IntegerType = { bits: 8 | 16 | 32 | 64; signed: boolean };

/** A compiled C expression over one event. */
export type Expression = {
  type: IntegerType;
  /** Its integer value, within `type`; 0 for text. */
  value(b: EventBatch, i: number): Integer;
  /** What `%s` prints. */
  text(b: EventBatch, i: number): string;
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

/** What an expression may refer to beyond C itself. */
export type Environment = {
  /** Byte order of the event. */
  little: boolean;
  /** The field of a `REC->name`. */
  field(name: string): Expression;
  /** A call; the parser stands after the opening parenthesis, and the callee consumes the closing one. Undefined where unknown. */
  call(name: string, parser: ExpressionParser): Expression | undefined;
  /** An enumerator's value, where known. */
  enumerator(name: string): number | undefined;
};

const int: IntegerType = { bits: 32, signed: true };
const uint: IntegerType = { bits: 32, signed: false };
const long: IntegerType = { bits: 64, signed: true };
const ulong: IntegerType = { bits: 64, signed: false };

/** Nesting beyond this is not read: formats of real events have at most a dozen levels. */
const deepest = 300;
/** Operators of one format that are computed for each event: their closures call each other. */
const mostOperators = 1000;

type Token = { kind: 'name' | 'number' | 'string' | 'char' | 'operator' | 'end'; text: string };

const tokenPattern =
  /\s*(?:([A-Za-z_]\w*)|(0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.[0-7]*))'|(->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!?:,()[\]{}<>.=;]))/sy;

/** Cuts C source into tokens; the last is of kind `end`. */
function tokenise(source: string): Token[] {
  const tokens: Token[] = [];
  tokenPattern.lastIndex = 0;
  const length = source.trimEnd().length;
  while (tokenPattern.lastIndex < length) {
    const match = tokenPattern.exec(source);
    if (match === null) throw new Unsupported('a character that C does not have');
    const [, name, number, string, char, operator] = match;
    if (name !== undefined) tokens.push({ kind: 'name', text: name });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (string !== undefined) tokens.push({ kind: 'string', text: replaceEscapes(string) });
    else if (char !== undefined) tokens.push({ kind: 'char', text: replaceEscapes(char) });
    else tokens.push({ kind: 'operator', text: operator as string });
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

function replaceEscapes(text: string): string {
  return text.replace(/\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)/gs, (_, code: string) => {
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    if (/^x./.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return { n: '\n', t: '\t', r: '\r' }[code] ?? code;
  });
}

/** Binding strength of C's binary operators. */
const precedence: Record<string, number> = {
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

/**
 * Parses C expressions and compiles them to closures at once. Throws Unsupported for what it
 * does not understand; work and depth are bounded by the source's length and `deepest`.
 */
export class ExpressionParser {
  readonly #tokens: Token[];
  readonly #environment: Environment;
  #at = 0;
  #depth = 0;
  #operators = 0;

  constructor(source: string, environment: Environment) {
    this.#tokens = tokenise(source);
    this.#environment = environment;
  }

  get atEnd(): boolean {
    return this.#peek().kind === 'end';
  }

  /** Consumes an operator if it is next. */
  accept(operator: string): boolean {
    const token = this.#peek();
    if (token.kind !== 'operator' || token.text !== operator) return false;
    this.#at++;
    return true;
  }

  /** Consumes an operator, which must be next. */
  expect(operator: string): void {
    if (!this.accept(operator)) throw new Unsupported(`no ${operator}`);
  }

  /** Consumes a name. */
  name(): string {
    const token = this.#peek();
    if (token.kind !== 'name') throw new Unsupported('no name');
    this.#at++;
    return token.text;
  }

  /** Consumes adjacent string literals, as one; undefined where none is next. */
  string(): string | undefined {
    let text: string | undefined;
    for (; this.#peek().kind === 'string'; this.#at++) text = (text ?? '') + this.#peek().text;
    return text;
  }

  /** Parses one expression, up to a comma or whatever else cannot belong to it. */
  expression(): Expression {
    if (++this.#depth > deepest) throw new Unsupported('nesting');
    const condition = this.#binary(1);
    const result = this.accept('?') ? this.#choice(condition) : condition;
    this.#depth--;
    return result;
  }

  #choice(condition: Expression): Expression {
    const yes = this.expression();
    this.expect(':');
    const no = this.expression();
    const isText = yes.isText === true || no.isText === true;
    const type = isText ? int : common(yes.type, no.type);
    return {
      type,
      isText,
      value: (b, i) => truncate((condition.value(b, i) !== 0 ? yes : no).value(b, i), type.bits, type.signed),
      text: (b, i) => (condition.value(b, i) !== 0 ? yes : no).text(b, i),
    };
  }

  #binary(lowest: number): Expression {
    if (++this.#depth > deepest) throw new Unsupported('nesting');
    let left = this.#unary();
    for (;;) {
      const token = this.#peek();
      const strength = token.kind === 'operator' ? precedence[token.text] : undefined;
      if (strength === undefined || strength < lowest) break;
      this.#at++;
      if (left.constant === undefined && ++this.#operators > mostOperators) throw new Unsupported('so many operators');
      left = binary(token.text, left, this.#binary(strength + 1));
    }
    this.#depth--;
    return left;
  }

  #unary(): Expression {
    if (++this.#depth > deepest) throw new Unsupported('nesting');
    const result = this.#prefix();
    this.#depth--;
    return result;
  }

  #prefix(): Expression {
    if (this.accept('-')) return unary('-', this.#unary());
    if (this.accept('~')) return unary('~', this.#unary());
    if (this.accept('!')) return unary('!', this.#unary());
    if (this.accept('+')) return this.#unary();
    if (this.accept('&')) {
      const target = this.#unary();
      if (target.extent === undefined) throw new Unsupported('an address');
      return target;
    }
    if (this.accept('(')) {
      if (this.#isRecord()) return this.#postfix(this.#environment.field(this.name()));
      const cast = this.#cast();
      if (cast !== undefined) return cast;
      const inner = this.expression();
      this.expect(')');
      return this.#postfix(inner);
    }
    return this.#postfix(this.#primary());
  }

  /** After an opening parenthesis: the rest of a cast and what it applies to, or undefined where it is not a cast. */
  #cast(): Expression | undefined {
    const start = this.#at;
    const words: string[] = [];
    let pointers = 0;
    for (; this.#peek().kind === 'name'; this.#at++) words.push(this.#peek().text);
    while (this.accept('*')) pointers++;
    const named = words.length > 0 && (pointers > 0 || words.length > 1 || knownType(words) !== undefined);
    // `(name) operand` with an unknown name is a cast too, to a type that is taken as it is.
    if (
      words.length > 0 &&
      this.accept(')') &&
      (named || /^(name|number|string)$/.test(this.#peek().kind) || this.#isOpen())
    ) {
      const item = this.#unary();
      const type = knownType(words);
      if (pointers > 0) {
        const result: Expression = { ...item, type: ulong, value: truncated(item, ulong) };
        if (type !== undefined && pointers === 1) result.element = type;
        return result;
      }
      if (type === undefined) return item;
      const result: Expression = { type, value: truncated(item, type), text: item.text };
      if (item.constant !== undefined) result.constant = truncate(item.constant, type.bits, type.signed);
      return result;
    }
    this.#at = start;
    return undefined;
  }

  /** Consumes what is left of `(REC)->`, where it is next. */
  #isRecord(): boolean {
    const start = this.#at;
    if (this.#peek().text === 'REC' && this.name() !== '' && this.accept(')') && this.accept('->')) return true;
    this.#at = start;
    return false;
  }

  #isOpen(): boolean {
    return this.#peek().kind === 'operator' && this.#peek().text === '(';
  }

  #postfix(base: Expression): Expression {
    let result = base;
    while (this.accept('[')) {
      const index = this.expression();
      this.expect(']');
      result = indexed(result, index, this.#environment.little);
    }
    return result;
  }

  #primary(): Expression {
    const text = this.string();
    if (text !== undefined) return literalText(text);
    const token = this.#peek();
    this.#at++;
    if (token.kind === 'number') return number(token.text);
    if (token.kind === 'char') return constant(token.text.charCodeAt(0), int);
    if (token.kind !== 'name') throw new Unsupported(`what begins with ${token.text}`);
    if (token.text === 'REC') {
      this.expect('->');
      return this.#environment.field(this.name());
    }
    if (token.text === 'sizeof') return this.#sizeof();
    if (this.accept('(')) {
      const call = this.#environment.call(token.text, this);
      if (call === undefined) throw new Unsupported(`the function ${token.text}`);
      return call;
    }
    const known = token.text === 'NULL' ? 0 : this.#environment.enumerator(token.text);
    // Enumerators that the kernel left as names count as 0 in expressions, as in libtraceevent.
    const value: Expression = { ...constant(known ?? 0, int), text: () => token.text };
    if (known === undefined) value.unknown = true;
    return value;
  }

  #sizeof(): Expression {
    this.expect('(');
    const words: string[] = [];
    for (; this.#peek().kind === 'name'; this.#at++) words.push(this.#peek().text);
    let bits = knownType(words)?.bits;
    while (this.accept('*')) bits = 64;
    this.expect(')');
    if (bits === undefined) throw new Unsupported('sizeof');
    return constant(bits / 8, ulong);
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }
}

/** A text that is the same for every event. */
function literalText(text: string): Expression {
  return { type: int, isText: true, literal: text, value: () => 0, text: () => text };
}

/** An expression that is only text. */
export function textual(text: (b: EventBatch, i: number) => string): Expression {
  return { type: int, isText: true, value: () => 0, text };
}

/** An integer that is the same for every event. */
function constant(value: Integer, type: IntegerType): Expression {
  return { type, constant: value, value: () => value, text: () => value.toString() };
}

/** An integer computed for each event. */
export function integer(type: IntegerType, value: (b: EventBatch, i: number) => Integer): Expression {
  // `%s` of an integer is a pointer to a string that is not in the trace.
  return { type, value, text: (b, i) => truncate(value(b, i), 64, false).toString(16) };
}

function number(text: string): Expression {
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
function common(a: IntegerType, b: IntegerType): IntegerType {
  if (a.bits === 64 || b.bits === 64)
    return (a.bits === 64 && !a.signed) || (b.bits === 64 && !b.signed) ? ulong : long;
  return (a.bits === 32 && !a.signed) || (b.bits === 32 && !b.signed) ? uint : int;
}

function promoted(type: IntegerType): IntegerType {
  return type.bits < 32 ? int : type;
}

function truncated(item: Expression, type: IntegerType): (b: EventBatch, i: number) => Integer {
  const { value } = item;
  if (item.type.bits < type.bits && (!item.type.signed || type.signed)) return value;
  return (b, i) => truncate(value(b, i), type.bits, type.signed);
}

function unary(operator: '-' | '~' | '!', operand: Expression): Expression {
  const type = operator === '!' ? int : promoted(operand.type);
  const apply = (v: Integer): Integer => {
    if (operator === '!') return v === 0 ? 1 : 0;
    if (operator === '-') return truncate(v === 0 ? 0 : -v, type.bits, type.signed);
    return truncate(typeof v === 'number' && v < Number.MAX_SAFE_INTEGER ? -1 - v : ~BigInt(v), type.bits, type.signed);
  };
  if (operand.constant !== undefined) return constant(apply(operand.constant), type);
  return integer(type, (b, i) => apply(operand.value(b, i)));
}

function binary(operator: string, left: Expression, right: Expression): Expression {
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

function indexed(base: Expression, index: Expression, little: boolean): Expression {
  const { extent, element } = base;
  if (extent === undefined || element === undefined) throw new Unsupported('an index');
  const bytes = element.bits / 8;
  return integer(element, (b, i) => {
    const [start, end] = extent(b, i);
    const at = start + Number(index.value(b, i)) * bytes;
    return at >= start && at + bytes <= end ? readInteger(b.view, at, element, little) : 0;
  });
}

/** The integer of a type at a position. */
export function readInteger(view: DataView, at: number, type: IntegerType, little: boolean): Integer {
  if (type.bits === 64) return narrow(type.signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little));
  if (type.bits === 32) return type.signed ? view.getInt32(at, little) : view.getUint32(at, little);
  if (type.bits === 16) return type.signed ? view.getInt16(at, little) : view.getUint16(at, little);
  return type.signed ? view.getInt8(at) : view.getUint8(at);
}

const sizes: Record<string, IntegerType> = {
  bool: { bits: 8, signed: false },
  _Bool: { bits: 8, signed: false },
  u8: { bits: 8, signed: false },
  s8: { bits: 8, signed: true },
  u16: { bits: 16, signed: false },
  s16: { bits: 16, signed: true },
  u32: uint,
  s32: int,
  u64: ulong,
  s64: long,
  size_t: ulong,
  ssize_t: long,
  loff_t: long,
  off_t: long,
  pid_t: int,
  dev_t: uint,
  gfp_t: uint,
  umode_t: { bits: 16, signed: false },
  ino_t: ulong,
  sector_t: ulong,
  dma_addr_t: ulong,
  phys_addr_t: ulong,
  uintptr_t: ulong,
  gpa_t: ulong,
  gva_t: ulong,
  gfn_t: ulong,
  hpa_t: ulong,
  hva_t: ulong,
  pgoff_t: ulong,
};

/** The integer type that the words of a declaration name, undefined where they are no known integer. */
export function knownType(words: readonly string[]): IntegerType | undefined {
  let unsigned = false;
  let bits: IntegerType['bits'] | undefined;
  for (const word of words) {
    if (/^(const|volatile|signed|__force|struct|union)$/.test(word)) continue;
    if (word === 'unsigned') {
      unsigned = true;
      bits ??= 32;
    } else if (word === 'char') bits = 8;
    else if (word === 'short') bits = 16;
    else if (word === 'long') bits = 64;
    else if (word === 'int') bits = bits === 16 || bits === 64 ? bits : 32;
    else if (word === 'enum') return uint;
    else {
      // __u32, __le32 and uint32_t are u32; int32_t is s32.
      const plain = word
        .replace(/^__(?=[usbl])/, '')
        .replace(/^[bl]e(?=\d)/, 'u')
        .replace(/^(u?)int(\d+)_t$/, (_, u: string, width: string) => `${u === 'u' ? 'u' : 's'}${width}`);
      return sizes[plain];
    }
  }
  return bits === undefined ? undefined : { bits, signed: !unsigned };
}

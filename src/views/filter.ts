import { isExit } from '../spans/exit-events.ts';
import { Reasons, reasonDecoder } from '../spans/exit-reasons.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { generalNames, NamedFields } from './named-fields.ts';

/**
 * A filter of events: `vcpu==1 && reason==HLT`.
 *
 *     or      = and { "||" and }
 *     and     = not { "&&" not }
 *     not     = "!" not | "(" or ")" | test
 *     test    = name [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "=~" | "!~") value ]
 *     value   = number | "text" | 'text' | word
 *
 * A name is a field of the event, or `cpu`, `tid`, `pid`, `comm` (of the thread that caused it), `event`, `vcpu`, and `reason` (of an exit,
 * by name). A dot before it (`.pid`) means the field where an event has one of such a name. Alone it is true where the event has it and it is not 0 or empty. Numbers are decimal or hexadecimal and compare exactly in 64
 * bits; `=~` and `!~` match a regular expression. Where an event lacks the name, every test of it is false.
 */
export class Filter {
  readonly #root: Node;
  /** Names that no event type seen so far has. */
  readonly #unknown: Set<string>;
  readonly #fields = new Set<string>();
  /** Tests by type id. */
  readonly #tests: Test[] = [];
  readonly #names = new NamedFields();
  /** Whether the filter asks for the vCPU, which threads tell with their entries and exits. */
  readonly needsVcpu: boolean;

  /** Throws a FilterError where the text is not such an expression. */
  constructor(text: string) {
    const parser = new Parser(text);
    this.#root = parser.parse();
    this.#unknown = parser.names;
    this.needsVcpu = parser.names.has('vcpu');
    for (const name of generalNames) this.#unknown.delete(name);
  }

  /** Tells the filter of an event type of the trace, so that `unknownNames` knows its fields. */
  learn(type: EventType): void {
    for (const field of type.fields) {
      this.#fields.add(field.name);
      this.#unknown.delete(field.name);
      this.#unknown.delete(`.${field.name}`);
    }
    if (isExit(type)) this.#unknown.delete('reason');
  }

  /** Names in the filter that no event type has, and those that there are. */
  unknownNames(): { unknown: string[]; fields: string[] } {
    return { unknown: [...this.#unknown], fields: [...new Set([...this.#fields, ...generalNames, 'reason'])].sort() };
  }

  /** Whether event `i` passes. Events must be given in time order, since entries tell which vCPU a thread runs. */
  passes(trace: Trace, b: EventBatch, i: number): boolean {
    const id = b.type[i] as number;
    const test = this.#tests[id] ?? this.#compile(trace, id);
    this.#names.trace = trace;
    return test(b, i);
  }

  /** Notes which vCPU a thread runs, where the event says; for every entry and exit, whether it is to pass or not. */
  note(trace: Trace, b: EventBatch, i: number): void {
    this.#names.note(trace, b, i);
  }

  #compile(trace: Trace, id: number): Test {
    const test = compile(this.#root, trace.types[id] as EventType, this.#names);
    this.#tests[id] = test;
    return test;
  }
}

/** Why a text is no filter: one sentence. */
export class FilterError extends Error {
  override name = 'FilterError';
}

type Operator = '==' | '!=' | '<' | '<=' | '>' | '>=' | '=~' | '!~';
type Node =
  | { kind: 'and' | 'or'; left: Node; right: Node }
  | { kind: 'not'; of: Node }
  | { kind: 'has'; name: string }
  | { kind: 'compare'; name: string; operator: Operator; value: Value };
/** What a name is compared with: its text as written, and its bits where it is a number. */
type Value = {
  text: string;
  number: { high: number; low: number; negative: boolean } | undefined;
  pattern: RegExp | undefined;
};
type Test = (b: EventBatch, i: number) => boolean;

const token =
  /\s*(?:(&&|\|\||==|!=|<=|>=|=~|!~|[()<>!])|(-?(?:0[xX][0-9a-fA-F]+|\d+))(?![\w.:])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([\w.:/*-]+))/y;

type Token = { kind: 'operator' | 'number' | 'string' | 'word' | 'end'; text: string; at: number };

class Parser {
  readonly names = new Set<string>();
  readonly #text: string;
  #tokens: Token[] = [];
  #next = 0;

  constructor(text: string) {
    this.#text = text;
    this.#split();
  }

  parse(): Node {
    const root = this.#or(0);
    const rest = this.#peek();
    if (rest.kind !== 'end') this.#fail(rest, "'&&', '||' or the end");
    return root;
  }

  #split(): void {
    token.lastIndex = 0;
    let at = 0;
    while (at < this.#text.trimEnd().length) {
      token.lastIndex = at;
      const match = token.exec(this.#text);
      if (match === null) {
        const start = at + (/^\s*/.exec(this.#text.slice(at))?.[0].length ?? 0);
        this.#fail({ kind: 'word', text: this.#text[start] ?? '', at: start }, 'a name, a value or an operator');
      }
      const [whole, operator, number, double, single, word] = match;
      const start = token.lastIndex - whole.trimStart().length;
      const quoted = double ?? single;
      if (operator !== undefined) this.#tokens.push({ kind: 'operator', text: operator, at: start });
      else if (number !== undefined) this.#tokens.push({ kind: 'number', text: number, at: start });
      else if (quoted !== undefined) {
        this.#tokens.push({ kind: 'string', text: quoted.replace(/\\(["'\\])/g, '$1'), at: start });
      } else this.#tokens.push({ kind: 'word', text: word as string, at: start });
      at = token.lastIndex;
    }
    this.#tokens.push({ kind: 'end', text: '', at: this.#text.length });
  }

  #peek(): Token {
    return this.#tokens[this.#next] as Token;
  }

  #accept(text: string): boolean {
    const next = this.#peek();
    if (next.kind !== 'operator' || next.text !== text) return false;
    this.#next++;
    return true;
  }

  #or(depth: number): Node {
    let left = this.#and(depth);
    while (this.#accept('||')) left = { kind: 'or', left, right: this.#and(depth) };
    return left;
  }

  #and(depth: number): Node {
    let left = this.#not(depth);
    while (this.#accept('&&')) left = { kind: 'and', left, right: this.#not(depth) };
    return left;
  }

  #not(depth: number): Node {
    if (depth > 200) throw new FilterError('the filter is nested more than 200 deep');
    if (this.#accept('!')) return { kind: 'not', of: this.#not(depth + 1) };
    if (this.#accept('(')) {
      const inner = this.#or(depth + 1);
      if (!this.#accept(')')) this.#fail(this.#peek(), "')'");
      return inner;
    }
    return this.#test();
  }

  #test(): Node {
    const name = this.#peek();
    if (name.kind !== 'word') this.#fail(name, 'the name of a field');
    this.#next++;
    this.names.add(name.text);
    const operator = this.#peek();
    if (operator.kind !== 'operator' || !['==', '!=', '<', '<=', '>', '>=', '=~', '!~'].includes(operator.text)) {
      return { kind: 'has', name: name.text };
    }
    this.#next++;
    const value = this.#peek();
    if (value.kind === 'end' || value.kind === 'operator') this.#fail(value, 'a value');
    this.#next++;
    return {
      kind: 'compare',
      name: name.text,
      operator: operator.text as Operator,
      value: this.#value(value, operator.text.includes('~')),
    };
  }

  #value(value: Token, isPattern: boolean): Value {
    const { text } = value;
    if (isPattern) {
      try {
        return { text, number: undefined, pattern: new RegExp(text, 'u') };
      } catch (error) {
        throw new FilterError(`the filter's ${text} is no regular expression: ${(error as Error).message}`);
      }
    }
    if (value.kind !== 'number') return { text, number: undefined, pattern: undefined };
    const number = integer(text);
    if (number === undefined) throw new FilterError(`the filter's number ${text} does not fit in 64 bits`);
    return { text, number, pattern: undefined };
  }

  #fail(found: Token, expected: string): never {
    const what = found.kind === 'end' ? 'ends' : `has '${found.text}'`;
    throw new FilterError(`the filter ${what} at character ${found.at + 1}; expected ${expected}`);
  }
}

/** A number's 64 bits, or undefined where it has more. */
function integer(text: string): { high: number; low: number; negative: boolean } | undefined {
  const negative = text.startsWith('-');
  const size = BigInt(negative ? text.slice(1) : text);
  if (size > (negative ? 1n << 63n : (1n << 64n) - 1n)) return undefined;
  const bits = BigInt.asUintN(64, negative ? -size : size);
  return { high: Number(bits >> 32n), low: Number(bits & 0xffffffffn), negative: negative && size > 0n };
}

/** The expression for events of one type: what the type lacks is known now. */
function compile(node: Node, type: EventType, names: NamedFields): Test {
  switch (node.kind) {
    case 'and': {
      const left = compile(node.left, type, names);
      const right = compile(node.right, type, names);
      return (b, i) => left(b, i) && right(b, i);
    }
    case 'or': {
      const left = compile(node.left, type, names);
      const right = compile(node.right, type, names);
      return (b, i) => left(b, i) || right(b, i);
    }
    case 'not': {
      const of = compile(node.of, type, names);
      return (b, i) => !of(b, i);
    }
    case 'has':
      return has(node.name, type, names);
    case 'compare':
      return compare(node.name, node.operator, node.value, type, names);
  }
}

function has(name: string, type: EventType, names: NamedFields): Test {
  const reader = names.reader(name, type);
  if (reader === undefined) return () => false;
  if (reader.kind === 'int')
    return (b, i) => !Number.isNaN(reader.number(b, i)) && (reader.low(b, i) !== 0 || reader.high(b, i) !== 0);
  return (b, i) => reader.text(b, i) !== '';
}

function compare(name: string, operator: Operator, value: Value, type: EventType, names: NamedFields): Test {
  if (name === 'event') {
    // With or without its system, or as the file has it.
    const names = [type.name, type.name.replace(/^.*?:/, ''), type.recordedAs];
    const equal = value.pattern === undefined ? names.includes(value.text) : names.some((n) => value.pattern?.test(n));
    const wanted =
      operator === '==' || operator === '=~' ? equal : operator === '!=' || operator === '!~' ? !equal : false;
    return () => wanted;
  }
  if (name === 'reason' && isExit(type)) {
    const test = compareReason(operator, value, type);
    if (test !== undefined) return test;
  }
  const reader = names.reader(name, type);
  if (reader === undefined) return () => false;
  const { pattern } = value;
  if (pattern !== undefined) {
    const wanted = operator === '=~';
    return (b, i) => pattern.test(reader.text(b, i)) === wanted;
  }
  const holds = orders[operator as keyof typeof orders];
  const { number } = value;
  if (reader.kind === 'int' && number !== undefined) {
    return (b, i) => {
      const n = reader.number(b, i);
      return !Number.isNaN(n) && holds(compareBits(reader.high(b, i), reader.low(b, i), n < 0, number));
    };
  }
  return (b, i) => {
    const text = reader.text(b, i);
    // Text formats keep what was printed: 1, 0x1 and 001 are one number.
    const left = number !== undefined && /^-?(0[xX][0-9a-fA-F]+|\d+)$/.test(text) ? integer(text) : undefined;
    if (left !== undefined && number !== undefined) {
      return holds(compareBits(left.high, left.low, left.negative, number));
    }
    return holds(text === value.text ? 0 : text < value.text ? -1 : 1);
  };
}

const orders = {
  '==': (c: number) => c === 0,
  '!=': (c: number) => c !== 0,
  '<': (c: number) => c < 0,
  '<=': (c: number) => c <= 0,
  '>': (c: number) => c > 0,
  '>=': (c: number) => c >= 0,
};

/** Less than, equal to or greater than 0 as the left value is to the right one. */
function compareBits(
  high: number,
  low: number,
  negative: boolean,
  right: { high: number; low: number; negative: boolean },
): number {
  // Equal bits are equal however they are read: -1 is 0xffffffffffffffff.
  if (high === right.high && low === right.low) return 0;
  if (negative !== right.negative) return negative ? -1 : 1;
  return high !== right.high ? high - right.high : low - right.low;
}

/** Exits have their reason by name, whatever number or spelling the file has; upper and lower case are one. */
function compareReason(operator: Operator, value: Value, type: EventType): Test | undefined {
  // A number is the kernel's code.
  if (value.number !== undefined) {
    const code = type.reader('exit_reason');
    return code === undefined ? undefined : compare('exit_reason', operator, value, type, new NamedFields());
  }
  const reasons = new Reasons();
  const decoder = reasonDecoder(type, reasons);
  const holds = operator === '=~' || operator === '!~' ? undefined : orders[operator];
  const wanted = value.text.replace(/^EXIT_/, '').toLowerCase();
  const verdict = (name: string): boolean => {
    if (holds === undefined) return (value.pattern as RegExp).test(name) === (operator === '=~');
    const own = name.toLowerCase();
    return holds(own === wanted ? 0 : own < wanted ? -1 : 1);
  };
  const verdicts: (boolean | undefined)[] = [];
  return (b, i) => {
    const id = decoder.id(b, i);
    verdicts[id] ??= verdict(reasons.names[id] as string);
    return verdicts[id];
  };
}

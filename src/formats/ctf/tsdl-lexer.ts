import type { TraceError } from '../../trace/error.ts';

/** A word of TSDL. `value` is that of a number. */
export type Token = {
  kind: 'name' | 'text' | 'number' | 'mark' | 'end';
  text: string;
  value: bigint;
  /** Where it begins, in characters. */
  at: number;
};

const blank = /(?:\s+|\/\*[\s\S]*?\*\/|\/\/[^\n]*|\0+)*/y;
const word = /([A-Za-z_]\w*)|(["'])|(0[xX][\da-fA-F]+|0[bB][01]+|\d+)[uUlL]*|(\.\.\.|:=|->|[{}[\]()<>;:,.=*+-])/y;

/** Longer texts no recorder writes. */
const longestText = 1 << 16;

/** Splits TSDL into words, one ahead of the parser. */
export class Lexer {
  readonly #source: string;
  readonly #fail: (problem: string, at: number, expected: string) => TraceError;
  #pos = 0;
  /** The word that comes next. */
  next: Token;

  constructor(source: string, fail: (problem: string, at: number, expected: string) => TraceError) {
    this.#source = source;
    this.#fail = fail;
    this.next = this.#read();
  }

  /** Takes the next word. */
  take(): Token {
    const token = this.next;
    this.next = this.#read();
    return token;
  }

  /** Takes the next word if it is this. */
  accept(text: string): boolean {
    if (this.next.text !== text || (this.next.kind !== 'mark' && this.next.kind !== 'name')) return false;
    this.take();
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.unexpected(`"${text}"`);
  }

  /** What is wrong with the next word. */
  unexpected(expected: string): TraceError {
    const { kind, text, at } = this.next;
    return this.fail(kind === 'end' ? 'the metadata end' : `"${text.slice(0, 60)}" stands there`, expected, at);
  }

  fail(problem: string, expected: string, at = this.next.at): TraceError {
    return this.#fail(problem, at, expected);
  }

  #read(): Token {
    blank.lastIndex = this.#pos;
    blank.test(this.#source);
    const at = blank.lastIndex;
    if (at >= this.#source.length) return { kind: 'end', text: '', value: 0n, at };
    word.lastIndex = at;
    const match = word.exec(this.#source);
    if (match === null) {
      throw this.#fail(`${JSON.stringify(this.#source.slice(at, at + 20))} is no word of TSDL`, at, 'TSDL');
    }
    this.#pos = word.lastIndex;
    const [, name, quote, number, mark] = match;
    if (name !== undefined) return { kind: 'name', text: name, value: 0n, at };
    if (quote !== undefined) {
      const text = this.#quoted(quote, at);
      if (quote === '"') return { kind: 'text', text, value: 0n, at };
      return { kind: 'number', text, value: BigInt(text.codePointAt(0) ?? 0), at };
    }
    if (number !== undefined) {
      const octal = /^0\d/.test(number);
      if (octal && /[89]/.test(number)) throw this.#fail(`${number} is no octal number`, at, 'digits up to 7');
      if (number.length > 40) throw this.#fail('a number of more than 128 bits', at, 'at most 64 bits');
      return { kind: 'number', text: number, value: BigInt(octal ? `0o${number.slice(1)}` : number), at };
    }
    return { kind: 'mark', text: mark as string, value: 0n, at };
  }

  /** The text up to the closing quote. By hand: a regular expression would need as much stack as there are escapes. */
  #quoted(quote: string, at: number): string {
    const source = this.#source;
    const begin = this.#pos;
    let end = begin;
    while (end < source.length && source[end] !== quote) end += source[end] === '\\' ? 2 : 1;
    if (end >= source.length) throw this.#fail('a text without an end', at, `a closing ${quote}`);
    if (end - begin > longestText)
      throw this.#fail(`a text of ${end - begin} characters`, at, `at most ${longestText}`);
    this.#pos = end + 1;
    return unescaped(source.slice(begin, end));
  }
}

const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r', '0': '\0', a: '\x07', b: '\b', f: '\f', v: '\v' };

/** C's escapes. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(x[\da-fA-F]{1,2}|[0-7]{1,3}|[\s\S])/g, (_, code: string) => {
    if (code[0] === 'x' && code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]+$/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 255);
    return escapes[code] ?? code;
  });
}

import {
  binary,
  common,
  constant,
  type Expression,
  indexed,
  literalText,
  number,
  precedence,
  truncated,
  Unsupported,
  unary,
} from './c-operators.ts';
import { int, knownType, ulong } from './c-types.ts';
import { truncate } from './printf.ts';

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

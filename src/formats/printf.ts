/** An exact integer: a number where it is at most 2^53 either way, else a bigint. */
export type Integer = number | bigint;

/** One conversion of a printf format: `%-16s`, `%#llx`, `%.*s`. */
export type Conversion = {
  /** `d`, `u`, `x`, `X`, `o`, `c`, `s` or `p`; another character is not a conversion. */
  kind: string;
  /** What stands after `%p`: `S` of `%pS`, `I4` of `%pI4`. */
  pointer: string;
  left: boolean;
  plus: boolean;
  space: boolean;
  alternate: boolean;
  zero: boolean;
  /** Smallest number of characters; -1 where none is given; `*` where an argument says. */
  width: number | '*';
  /** Digits at least, or characters of a string at most; likewise. */
  precision: number | '*';
  /** Bits of the argument that count, by the length modifier: 8, 16, 32 or 64. */
  bits: 8 | 16 | 32 | 64;
};

/** No field is padded beyond this, whatever a hostile format asks for. */
const widest = 1024;

/**
 * Cuts a printf format (escapes already replaced) into literal text and conversions. `%%` is literal text.
 * The length of `long` is taken as 8 bytes: what a 4-byte machine prints with `%lx` fits.
 */
export function parsePrintf(format: string): (string | Conversion)[] {
  const parts: (string | Conversion)[] = [];
  const pattern = /%(?:(%)|([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?(hh|h|ll|l|L|q|z|Z|t|j)?([a-zA-Z]))/g;
  let text = '';
  let last = 0;
  for (let match = pattern.exec(format); match !== null; match = pattern.exec(format)) {
    text += format.slice(last, match.index);
    last = match.index + match[0].length;
    const [, percent, flags = '', width = '', precision, length = '', letter = ''] = match;
    if (percent !== undefined) {
      text += '%';
      continue;
    }
    let pointer = '';
    if (letter === 'p') {
      pointer = /^(?:[FfSs]|[Mm][RF]?|[Ii](?:4[hnbl]?|6c?|S[pfs]*c?)|U[LlBb]?|h[CDN]?)?/.exec(
        format.slice(last, last + 8),
      )?.[0] as string;
      last += pointer.length;
      pattern.lastIndex = last;
    }
    if (text !== '') parts.push(text);
    text = '';
    parts.push({
      kind: letter === 'i' ? 'd' : letter,
      pointer,
      left: flags.includes('-'),
      plus: flags.includes('+'),
      space: flags.includes(' '),
      alternate: flags.includes('#'),
      zero: flags.includes('0'),
      width: size(width),
      precision: precision === undefined ? -1 : precision === '' ? 0 : size(precision),
      bits: length === 'hh' ? 8 : length === 'h' ? 16 : length === '' ? 32 : 64,
    });
  }
  text += format.slice(last);
  if (text !== '') parts.push(text);
  return parts;
}

function size(digits: string): number | '*' {
  if (digits === '*') return '*';
  return digits === '' ? -1 : Math.min(Number(digits), widest);
}

/** Prints an integer by a conversion, as C's printf does. `width` and `precision` are the conversion's, or the arguments for `*`. */
export function printInteger(c: Conversion, value: Integer, width: number, precision: number): string {
  if (c.kind === 'c') return pad(c, String.fromCharCode(Number(truncate(value, 8, false))), width);
  const signed = c.kind === 'd';
  let v = truncate(value, c.bits, signed);
  let sign = '';
  if (signed) {
    if (v < 0) {
      sign = '-';
      v = -v;
    } else if (c.plus) sign = '+';
    else if (c.space) sign = ' ';
  }
  let digits: string;
  if (c.kind === 'x' || c.kind === 'X') {
    digits = v.toString(16);
    if (c.alternate && v !== 0) sign = '0x';
    if (c.kind === 'X') {
      digits = digits.toUpperCase();
      sign = sign.toUpperCase();
    }
  } else if (c.kind === 'o') {
    digits = v.toString(8);
    if (c.alternate && v !== 0) digits = `0${digits}`;
  } else digits = v.toString();
  if (precision >= 0) digits = digits.padStart(Math.min(precision, widest), '0');
  else if (c.zero && !c.left) digits = digits.padStart(Math.min(width, widest) - sign.length, '0');
  return width < 0 ? sign + digits : pad(c, sign + digits, width);
}

/** Prints a string by a conversion: cut to the precision, padded to the width. */
export function printString(c: Conversion, text: string, width: number, precision: number): string {
  const cut = precision >= 0 ? text.slice(0, precision) : text;
  return width < 0 ? cut : pad(c, cut, width);
}

function pad(c: Conversion, text: string, width: number): string {
  const columns = Math.min(width, widest);
  return c.left ? text.padEnd(columns) : text.padStart(columns);
}

const big53 = BigInt(Number.MAX_SAFE_INTEGER);

/** A bigint as an Integer. */
export function narrow(value: bigint): Integer {
  return value <= big53 && value >= -big53 ? Number(value) : value;
}

/** The low bits of an integer, as C's conversion to a type of that width. */
export function truncate(value: Integer, bits: 8 | 16 | 32 | 64, signed: boolean): Integer {
  if (typeof value === 'number') {
    if (bits === 32) return signed ? value | 0 : value >>> 0;
    if (bits === 64) return signed || value >= 0 ? value : narrow(BigInt.asUintN(64, BigInt(value)));
    if (bits === 16) return signed ? (value << 16) >> 16 : value & 0xffff;
    return signed ? (value << 24) >> 24 : value & 0xff;
  }
  return narrow(signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value));
}

/** An argument for `*`. */
export function small(value: Integer): number {
  return Number(truncate(value, 32, true));
}

import { mutate } from '../mutate.ts';
import { type Recording, unpacked } from './seeds.ts';

/** A new recording, of one or two of those that there are. */
export function mutant(from: Recording, other: Recording, below: (n: number) => number): Recording {
  if (from instanceof Uint8Array) return mutantFile(from, other, below);
  const parts = new Map(from);
  const names = [...parts.keys()];
  const name = names[below(names.length)] as string;
  const bytes = parts.get(name) as Uint8Array;
  const what = below(20);
  if (what === 0 && names.length > 1) parts.delete(name);
  else if (what === 1) parts.set(name, parts.get(names[below(names.length)] as string) as Uint8Array);
  else parts.set(name, mutantFile(bytes, other, below));
  return parts;
}

function mutantFile(from: Uint8Array, other: Recording, below: (n: number) => number): Uint8Array {
  const { inside, pack } = unpacked(from);
  const deep = inside !== from && below(4) !== 0;
  let bytes = deep ? inside : from;
  if (below(8) === 0 && other instanceof Uint8Array) {
    // The beginning of one and the end of another.
    const end = unpacked(other).inside;
    bytes = Buffer.concat([bytes.subarray(0, below(bytes.length + 1)), end.subarray(below(end.length + 1))]);
  }
  if (!isText(bytes)) bytes = mutate(bytes, below);
  else {
    if (below(3) !== 0) bytes = Buffer.from(mutateText(Buffer.from(bytes).toString('latin1'), below), 'latin1');
    if (below(3) === 0) bytes = mutate(bytes, below);
  }
  return deep ? pack(bytes) : bytes;
}

/** One that ends earlier, and what of it was cut. */
export function cut(whole: Recording, below: (n: number) => number): { name: string; at: number } {
  if (whole instanceof Uint8Array) return { name: '', at: below(whole.length) };
  const names = [...whole.keys()];
  const name = names[below(names.length)] as string;
  return { name, at: below((whole.get(name)?.length ?? 0) + 1) };
}

export function cutAt(whole: Recording, name: string, at: number): Recording {
  if (whole instanceof Uint8Array) return whole.subarray(0, at);
  return new Map([...whole].map(([one, bytes]) => [one, one === name ? bytes.subarray(0, at) : bytes]));
}

function isText(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.subarray(0, 256).every((byte) => byte >= 0x20 || byte === 0x0a || byte === 0x09);
}

/** What numbers and words are replaced with. */
const odd = [
  ...['0', '-1', '1', '18446744073709551615', '4294967296', '9007199254740993', '0xffffffffffffffff', '1e9', ''],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '\x1b[31m',
    '\x9b',
    '=1+1',
    '(null)',
    ' ',
    '%s',
    '"',
    "'",
    '[',
    '{',
    '\\',
  ],
];

/** Lines moved, doubled and left out, and numbers and words that are odd. */
function mutateText(text: string, below: (n: number) => number): string {
  const lines = text.split('\n');
  for (let times = 1 + below(3); times > 0; times--) {
    const at = below(lines.length);
    const line = lines[at] as string;
    switch (below(6)) {
      case 0:
        lines.splice(at, 1, line, ...Array<string>(1 + below(20)).fill(line));
        break;
      case 1:
        lines.splice(at, 1 + below(3));
        if (lines.length === 0) lines.push('');
        break;
      case 2:
        lines.splice(below(lines.length), 0, ...lines.splice(at, 1 + below(5)));
        break;
      case 3:
        lines[at] = line.slice(0, below(line.length + 1)) + (lines[below(lines.length)] as string).slice(below(40));
        break;
      default: {
        const found = [...line.matchAll(below(3) === 0 ? /\w+/g : /(0x)?[\da-f]+/g)];
        const one = found[below(Math.max(found.length, 1))];
        if (one !== undefined)
          lines[at] = line.slice(0, one.index) + odd[below(odd.length)] + line.slice(one.index + one[0].length);
      }
    }
  }
  return lines.join('\n');
}

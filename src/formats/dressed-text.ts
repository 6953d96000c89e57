/*
 * Text as it comes out of logs, web pages, terminals and editors: each line with a stamp of the log, a number or the name of a file before it, with
 * `&gt;` for `>`, with spaces that may not be broken, with colours, with a byte order mark. All that is taken away in place, before anything is read:
 * what was before a line becomes spaces, and what was written in more bytes leaves spaces at its end, so that all lines stay where they are.
 */

/** What is taken away of an input's lines. */
export type Dress = {
  /** What stands before each line. */
  prefix: RegExp | undefined;
  /** Whether something in the lines is written otherwise than it was printed; and whether as in a web page. */
  inline: boolean;
  entities: boolean;
};

/** A binary, or what no text has. */
const binary = /[\x00-\x08\x0e-\x1a\x1c-\x1f]/;
/** How much of an input is looked at. */
const looked = 1 << 16;
/** Such a part of the lines, and so many of them, have what stands before lines. */
const mostly = 0.6;

const program = String.raw`[A-Za-z][\w.\/-]*(?:\[\d+\])?: `;
/** Where the host may be left out, a program is one only where it cannot be an event. */
const surely = String.raw`(?:kernel|[A-Za-z][\w.\/-]*\[\d+\]): `;
const zone = String.raw`(?:Z|[+-]\d\d:?\d\d)`;
const prefixes = [
  // The kernel's log, with or without a level.
  /^(?:<\d+>)?\[ *\d{1,8}\.\d{6}\](?:\[ *[TC]\d+\])? /,
  new RegExp(String.raw`^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \S+ ${program}`),
  new RegExp(String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?${zone} \S+ ${program}`),
  // What QEMU 10.1 writes itself is followed by the name of an event.
  new RegExp(
    String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?${zone} (?=\s*(?:\d+@\d+\.\d{6}:|.{0,40}\[\d{3,4}\]))`,
  ),
  new RegExp(String.raw`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?${zone})? (?:\S+ ${surely})?`),
  /^(?:kernel|qemu[\w-]*(?:\[\d+\])?): /,
  // grep -n and -H, cat -n.
  /^(?:[\w/-]*\.[\w.-]*[A-Za-z][\w.-]*:)(?:\d+:)?/,
  /^\d{1,7}:(?!\d\d\D)/,
  /^ *\d{1,7}\t/,
  /^(?:\| ?)+/,
  /^ *[*\u00b7-] (?= *\S)/,
];

const mark = /^\xef\xbb\xbf/;
const colour = /\x1b\[[0-9;?]*[A-Za-z]/;
const space = /\xc2\xa0/;
const entity = /&(?:gt|lt|amp|quot|apos|nbsp|#\d{1,4}|#x[0-9a-fA-F]{1,4});/;
const named: Record<string, string> = { gt: '>', lt: '<', amp: '&', quot: '"', apos: "'", nbsp: ' ' };
const written = new RegExp([mark, colour, space, entity].map(({ source }) => source).join('|'), 'g');
const writtenPlain = new RegExp([mark, colour, space].map(({ source }) => source).join('|'), 'g');

/** What an input that begins like this has to be rid of; undefined where nothing. */
export function dressOf(head: Uint8Array): Dress | undefined {
  const text = latin1(head, 0, Math.min(head.length, looked));
  if (binary.test(text)) return undefined;
  // Where a `<` stands as it is, the text is no source of a web page.
  const entities = entity.test(text) && !text.includes('<');
  const inline = entities || [mark, colour, space].some((one) => one.test(text));
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const clean = inline ? lines.map((line) => plain(line, entities)) : lines;
  const prefix = prefixes.find((one) => clean.filter((line) => one.test(line)).length >= mostly * clean.length);
  return inline || (prefix !== undefined && clean.length > 0) ? { prefix, inline, entities } : undefined;
}

/** Rids the whole lines in a part of an input of it, in place. */
export function undress(bytes: Uint8Array, from: number, to: number, { prefix, inline, entities }: Dress): void {
  for (let start = from; start < to; ) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0 || end >= to) return;
    const line = latin1(bytes, start, end);
    let text = inline ? plain(line, entities) : line;
    if (prefix !== undefined) text = text.replace(prefix, (before) => ' '.repeat(before.length));
    if (text !== line) bytes.set(Buffer.from(text.padEnd(line.length), 'latin1'), start);
    start = end + 1;
  }
}

function plain(line: string, entities: boolean): string {
  return line.replace(entities ? written : writtenPlain, (found) => {
    if (found.startsWith('&')) {
      const name = found.slice(1, -1);
      if (!name.startsWith('#')) return named[name] ?? found;
      const code = Number(name.startsWith('#x') ? `0x${name.slice(2)}` : name.slice(1));
      return code === 0xa0 ? ' ' : code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : found;
    }
    if (found === '\xc2\xa0') return ' ';
    return '';
  });
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1');
}

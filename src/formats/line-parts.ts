import { contentOf, joinedText, longestWrapped } from './wrapped-text.ts';

export const newline = 0x0a;
/** CPU numbers end here (Linux: the largest NR_CPUS). */
export const mostCpus = 8192;

/** What a line turned out to be. */
export const line = { event: 0, known: 1, unknown: 2, frame: 3 } as const;
export type LineKind = (typeof line)[keyof typeof line];

/** Where the parts of an event's line lie, as the parser of a format finds them. Times are `seconds` and billionths. */
export class LineParts {
  commStart = 0;
  commEnd = 0;
  tid = -1;
  pid = -1;
  cpu = -1;
  /** Whole seconds; of a bare integer all but its last nine digits. */
  seconds = 0;
  /** Billionths of a second; of a bare integer its last nine digits. */
  rest = 0;
  /** Digits after the point; 0 for a bare integer. */
  decimals = 0;
  nameStart = 0;
  nameEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
}

/**
 * Reads the time at `p` … `end` into `parts`: `12.345678`, `12.345678901` or a bare integer. Gives where it ends, -1
 * where there is none.
 */
export function parseTime(bytes: Uint8Array, start: number, end: number, parts: LineParts): number {
  let p = start;
  let digits = 0;
  let seconds = 0;
  let rest = 0;
  for (; p < end; p++) {
    const digit = (bytes[p] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    digits++;
    // Only a bare integer has more than nine digits, or none that is read as seconds.
    if (digits > 20) return -1;
    seconds = seconds * 10 + digit;
  }
  if (digits === 0) return -1;
  if (bytes[p] === 0x2e && p < end) {
    const point = p++;
    for (; p < end; p++) {
      const digit = (bytes[p] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      rest = rest * 10 + digit;
    }
    const decimals = p - point - 1;
    if (digits > 11 || (decimals !== 6 && decimals !== 9)) return -1;
    parts.seconds = seconds;
    parts.rest = decimals === 6 ? rest * 1000 : rest;
    parts.decimals = decimals;
    return p;
  }
  parts.decimals = 0;
  if (digits <= 15) {
    parts.seconds = Math.floor(seconds / 1e9);
    parts.rest = seconds - parts.seconds * 1e9;
    return p;
  }
  // Beyond 2^53 the digits have to be read in two halves.
  seconds = 0;
  for (let q = start; q < p - 9; q++) seconds = seconds * 10 + (bytes[q] as number) - 0x30;
  for (let q = p - 9; q < p; q++) rest = rest * 10 + (bytes[q] as number) - 0x30;
  parts.seconds = seconds;
  parts.rest = rest;
  return p;
}

/** A decimal number below 2^31 at `start`; gives where it ends, with its value in `number.value`. */
export function parseNumber(bytes: Uint8Array, start: number, end: number, number: { value: number }): number {
  let p = start;
  let value = 0;
  for (; p < end && p < start + 11; p++) {
    const digit = (bytes[p] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  number.value = value;
  return value < 0x80000000 ? p : start;
}

/** Whether all bytes are printable ASCII other than spaces, as in the names of events. */
export function isName(bytes: Uint8Array, start: number, end: number): boolean {
  for (let p = start; p < end; p++) if (((bytes[p] as number) - 0x21) >>> 0 > 0x5d) return false;
  return end > start;
}

/** Where the line that begins at `start` ends; `end` where its newline is not at hand. */
export function lineEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && bytes[p] !== newline) p++;
  return p;
}

/** The end of a line without the spaces that some tracers print there, or a carriage return. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && (bytes[p - 1] === 0x20 || bytes[p - 1] === 0x0d)) p--;
  return p;
}

/**
 * Whether an input's first lines hold one that `parse` takes, a cut last line included, or two that a mail program made of one; `whole`
 * leaves the latter out.
 */
export function holdsLine(
  head: Uint8Array,
  parse: (bytes: Uint8Array, start: number, end: number) => boolean,
  whole = false,
): boolean {
  let before = -1;
  let beforeEnd = -1;
  for (let start = 0; start < head.length; ) {
    let end = head.indexOf(newline, start);
    if (end < 0) end = head.length;
    const last = trimEnd(head, start, end);
    if (parse(head, start, last)) return true;
    const content = contentOf(head, start, last);
    if (!whole && before >= 0 && content < last && last - before < longestWrapped) {
      for (const cut of [false, true]) {
        const text = joinedText(head, before, beforeEnd, content, last, cut);
        if (parse(text, 0, text.length)) return true;
      }
    }
    [before, beforeEnd] = [start, last];
    start = end + 1;
  }
  return false;
}

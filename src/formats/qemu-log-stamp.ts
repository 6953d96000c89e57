import { groups } from '../trace/groups.ts';
import { earliestOf } from './earliest.ts';

/* The stamps of a QEMU log: TID@SEC.USEC: before QEMU 10.1, a time of day in UTC since; both are wall-clock time. */

const largestTid = 0x7fffffff;

export const stamped = /^[\s>]*(\d{1,10})@(\d{1,10})\.(\d{6}):([A-Za-z_]\w*)(?: |$)/;
export const isoStamped = /^[\s>]*(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)(?: ([A-Za-z_]\w*)(?: |$)|\s*$)/;

/** The form of the first stamp, '' where there is none, and the earliest: the first line's may be later than the second's. */
export function firstStamps(lines: readonly string[]): { form: string; earliest: bigint | undefined } {
  const stamps: bigint[] = [];
  let form = '';
  for (const line of lines) {
    const plain = stamped.exec(line);
    const iso = plain === null ? isoStamped.exec(line) : null;
    let stamp: bigint;
    if (plain !== null) stamp = BigInt(plain[2] as string) * 1_000_000_000n + BigInt(plain[3] as string) * 1000n;
    else if (iso !== null) {
      const seconds = Date.parse(`${(iso[1] as string).slice(0, 19)}Z`) / 1000;
      if (Number.isNaN(seconds)) continue;
      stamp = BigInt(seconds) * 1_000_000_000n + BigInt((iso[1] as string).slice(20, -1).padEnd(9, '0'));
    } else continue;
    form ||= plain !== null ? 'thread and time' : 'UTC time';
    stamps.push(stamp);
  }
  return { form, earliest: earliestOf(stamps) };
}

/** The stamp that a line begins with. */
export class LogStamp {
  found = false;
  /** -1 where it does not say. */
  tid = -1;
  /** ns from the origin. */
  time = 0;
  /** Where the text begins that follows; the line's beginning where there is no stamp. */
  textStart = 0;
  readonly #originSeconds: number;
  readonly #originNanoseconds: number;
  #day = '';
  #dayStart = 0;

  constructor(origin: bigint) {
    this.#originSeconds = Number(origin / 1_000_000_000n);
    this.#originNanoseconds = Number(origin % 1_000_000_000n);
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    this.found = false;
    this.tid = -1;
    this.textStart = start;
    let p = start;
    let tid = 0;
    while (p < end && isDigit(bytes[p] as number)) tid = tid * 10 + (bytes[p++] as number) - 0x30;
    if (p === start || p - start > 10 || p === end) return;
    if (bytes[p] === 0x2d /* - */ && p - start === 4) {
      this.#readIso(bytes, start, end);
      return;
    }
    if (bytes[p] !== 0x40 /* @ */) return;
    const seconds = ++p;
    let sec = 0;
    while (p < end && isDigit(bytes[p] as number)) sec = sec * 10 + (bytes[p++] as number) - 0x30;
    if (p === seconds || p - seconds > 10 || bytes[p] !== 0x2e /* . */) return;
    const fraction = ++p;
    let usec = 0;
    while (p < end && isDigit(bytes[p] as number)) usec = usec * 10 + (bytes[p++] as number) - 0x30;
    if (p - fraction !== 6 || p >= end || bytes[p] !== 0x3a /* : */) return;
    this.found = true;
    this.tid = tid > largestTid ? -1 : tid;
    this.time = (sec - this.#originSeconds) * 1e9 + (usec * 1000 - this.#originNanoseconds);
    this.textStart = p + 1;
  }

  /** `2025-08-08T12:00:00.123456Z `; the fraction is left out when it is zero (g_date_time_format_iso8601). */
  #readIso(bytes: Uint8Array, start: number, end: number): void {
    const first = bytes.subarray(start, Math.min(end, start + 32));
    let space = first.indexOf(0x20);
    // Wrapped right behind the stamp.
    if (space < 0) space = first.length;
    const text = latin1(bytes, start, start + space);
    const match = /^(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?Z$/.exec(text);
    if (match === null) return;
    const [, day, hour, minute, second, fraction = ''] =
      groups<[string, string, string, string, string, string?]>(match);
    if (day !== this.#day) {
      const dayStart = Date.parse(`${day}T00:00:00Z`) / 1000;
      if (Number.isNaN(dayStart)) return;
      this.#day = day;
      this.#dayStart = dayStart;
    }
    const seconds = this.#dayStart + Number(hour) * 3600 + Number(minute) * 60 + Number(second);
    this.found = true;
    this.time = (seconds - this.#originSeconds) * 1e9 + (Number(fraction.padEnd(9, '0')) - this.#originNanoseconds);
    this.textStart = start + space + 1;
  }
}

/** Where a stamp `TID@SEC.USEC:` begins whose @ stands at `at`; -1 where none does. */
export function stampAround(bytes: Uint8Array, at: number, start: number, end: number): number {
  let p = at;
  while (p > start && at - p < 10 && isDigit(bytes[p - 1] as number)) p--;
  if (p === at) return -1;
  return /^\d{1,10}@\d{1,10}\.\d{6}:/.test(latin1(bytes, p, Math.min(end, p + 40))) ? p : -1;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

import type { EventBatch } from '../trace/batch.ts';
import type { Expression, Printer } from './c-operators.ts';
import { type Conversion, small, truncate } from './printf.ts';

/** `%p` and its kin (Documentation/core-api/printk-formats.rst). There are no symbols here: functions print as addresses. */
export function printPointer(c: Conversion, arg: Expression, width: number | Expression, little: boolean): Printer {
  const address: Printer = (b, i) => {
    const value = truncate(arg.value(b, i), 64, false);
    return value === 0 ? '(nil)' : `0x${value.toString(16)}`;
  };
  const { extent } = arg;
  const form = c.pointer;
  if (/^[FfSs]/.test(form)) return (b, i) => `0x${truncate(arg.value(b, i), 64, false).toString(16)}`;
  if (form === '' || extent === undefined) return address;
  const bytes = (b: EventBatch, i: number, most: number): number[] => {
    const [start, end] = extent(b, i);
    return [...b.bytes.subarray(start, Math.min(end, start + most))];
  };
  if (form[0] === 'h') {
    const separator = { C: ':', D: '-', N: '' }[form[1] ?? ''] ?? ' ';
    // The kernel prints at most 64 bytes.
    return (b, i) => {
      const length = typeof width === 'number' ? Math.max(width, 1) : small(width.value(b, i));
      return bytes(b, i, Math.min(Math.max(length, 0), 64))
        .map(hexByte)
        .join(separator);
    };
  }
  if (form[0] === 'M' || form[0] === 'm') {
    const separator = form[0] === 'm' ? '' : form[1] === 'F' ? '-' : ':';
    return (b, i) => {
      const mac = bytes(b, i, 6).map(hexByte);
      return (form[1] === 'R' ? mac.reverse() : mac).join(separator);
    };
  }
  if (/^[Ii]4/.test(form)) {
    const reverse = form[2] === 'l' || (form[2] === 'h' && little);
    return (b, i) => {
      const parts = bytes(b, i, 4).map((x) => (form[0] === 'i' ? String(x).padStart(3, '0') : String(x)));
      return (reverse ? parts.reverse() : parts).join('.');
    };
  }
  if (/^[Ii]6/.test(form)) return (b, i) => ipv6(bytes(b, i, 16), form);
  if (form[0] === 'U') return (b, i) => uuid(bytes(b, i, 16), form);
  return address;
}

export function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** RFC 5952 for `I6c`; eight groups of four digits otherwise, without colons for `i6`. */
function ipv6(bytes: number[], form: string): string {
  const groups: string[] = [];
  for (let n = 0; n + 1 < bytes.length; n += 2)
    groups.push(hexByte(bytes[n] as number) + hexByte(bytes[n + 1] as number));
  if (form[2] !== 'c') return groups.join(form[0] === 'i' ? '' : ':');
  const short = groups.map((group) => group.replace(/^0{1,3}/, ''));
  let best = 0;
  let bestLength = 1;
  for (let n = 0; n < short.length; n++) {
    let length = 0;
    while (short[n + length] === '0') length++;
    if (length > bestLength) [best, bestLength] = [n, length];
  }
  if (bestLength === 1) return short.join(':');
  return `${short.slice(0, best).join(':')}::${short.slice(best + bestLength).join(':')}`;
}

/** RFC 4122; `l` and `L` are the little-endian GUID order, capitals are for capital digits. */
function uuid(bytes: number[], form: string): string {
  const order = /l/i.test(form) ? [3, 2, 1, 0, 5, 4, 7, 6] : [0, 1, 2, 3, 4, 5, 6, 7];
  const digits = [...order, 8, 9, 10, 11, 12, 13, 14, 15].map((n) => hexByte(bytes[n] ?? 0)).join('');
  const text = digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  return /[LB]/.test(form) ? text.toUpperCase() : text;
}

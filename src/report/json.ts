/**
 * What virtap writes as JSON: no bigint, so that whoever has a 64-bit value must choose how it is written
 * (pointers as `hex64`, absolute times as decimal strings).
 */
export type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };

/** The longest row that stays on one line. */
const lineWidth = 160;

/**
 * A value as JSON, keys in the order given, undefined ones left out, numbers that JSON lacks (NaN, infinities) as null.
 * Small objects and lists stand on one line, so that a table's rows can be read and compared line by line.
 */
export function json(value: Json): string {
  return `${write(value, '')}\n`;
}

function write(value: Json, indent: string): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value !== 'object') return scalar(value);
  const flat = oneLine(value, lineWidth - indent.length);
  if (flat !== undefined) return flat;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    return `[\n${value.map((item: Json) => deeper + write(item, deeper)).join(',\n')}\n${indent}]`;
  }
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${write(item, deeper)}`);
  return `{\n${members.join(',\n')}\n${indent}}`;
}

/** The value on one line, or undefined where it is longer than `room` or holds objects within lists. Lists of numbers may be longer. */
function oneLine(value: Json, room: number): string | undefined {
  if (value === null || value === undefined) return 'null';
  if (typeof value !== 'object') return scalar(value);
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    if (list.every((item) => typeof item !== 'object' || item === null)) {
      if (list.length > 0 && list.every((item) => typeof item === 'number')) return `[${list.map(scalar).join(', ')}]`;
      if (list.length > room) return undefined;
      const text = `[${list.map((item) => oneLine(item, room)).join(', ')}]`;
      return text.length <= room ? text : undefined;
    }
    return undefined;
  }
  const parts: string[] = [];
  let length = 4;
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    if (Array.isArray(item) && item.some((i) => typeof i === 'object')) return undefined;
    const text = oneLine(item, room - length);
    if (text === undefined) return undefined;
    const part = `${JSON.stringify(key)}: ${text}`;
    length += part.length + 2;
    if (length > room) return undefined;
    parts.push(part);
  }
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
}

function scalar(value: Json): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return 'null';
  return JSON.stringify(value) ?? 'null';
}

/** A time or length in ns as an integer for JSON, null where there is none. */
export function ns(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Math.round(value);
}

/** A length or moment that is always known, as a whole number for JSON. */
export function whole(value: number): number {
  return Math.round(value);
}

/** A whole number for JSON, null where there is none. */
export function integer(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value) : null;
}

/** A number for JSON with six significant digits, null where there is none. */
export function number(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

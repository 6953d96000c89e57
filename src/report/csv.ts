import { escapeText } from './escape.ts';

/** What a spreadsheet takes for the beginning of a formula, also in its wide form. */
const formula = /^[=+\-@\uff1d\uff0b\uff0d\uff20]/;

/**
 * One value as a CSV field, quoted where RFC 4180 asks for it, and at semicolons, which separate fields where commas are decimal. Text is
 * escaped: tables are looked at in terminals, too. What a spreadsheet would take for a formula gets an apostrophe in front, unless it is a number.
 */
function field(value: string | number | undefined): string {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return '';
  if (typeof value === 'number') return String(value);
  const escaped = escapeText(value);
  const text = formula.test(escaped) && Number.isNaN(Number(escaped)) ? `'${escaped}` : escaped;
  return /[",;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One row of a CSV file, with its line end. Missing values (undefined, NaN, infinities) are empty fields. */
export function csvRow(values: readonly (string | number | undefined)[]): string {
  return `${values.map(field).join(',')}\n`;
}

/** A table as CSV (RFC 4180, with the line ends of Unix). */
export function csv(header: readonly string[], rows: Iterable<readonly (string | number | undefined)[]>): string {
  let out = csvRow(header);
  for (const row of rows) out += csvRow(row);
  return out;
}

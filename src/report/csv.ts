import { escapeText } from './escape.ts';

/** One value as a CSV field, quoted where RFC 4180 asks for it. Text is escaped: tables are looked at in terminals, too. */
function field(value: string | number | undefined): string {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return '';
  const text = typeof value === 'string' ? escapeText(value) : String(value);
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
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

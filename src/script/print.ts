import { inspect } from 'node:util';
import { escapeText } from '../report/escape.ts';

/** A line of what a script prints: its values with blanks between them. Text may come from a trace, so all is made safe. */
export function printedLine(values: readonly unknown[]): string {
  return `${values.map(printed).join(' ')}\n`;
}

function printed(value: unknown): string {
  const text =
    typeof value === 'object' && value !== null ? inspect(value, { depth: 4, breakLength: 100 }) : String(value);
  // Line ends and tabs are the script's own layout.
  return text
    .split(/([\n\t])/)
    .map((part, n) => (n % 2 === 1 ? part : escapeText(part)))
    .join('');
}

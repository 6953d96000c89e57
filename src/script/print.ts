import { inspect } from 'node:util';
import { escapeText } from '../report/escape.ts';
import type { Terminal } from '../report/terminal.ts';
import { isPrintable } from './printable.ts';

/**
 * What a script prints: its values with blanks between them as a line, aggregates as lines of their own. Text may come from a trace, so
 * all is made safe. Rates are per second of `seconds`.
 */
export function printed(values: readonly unknown[], terminal: Terminal, seconds: number): string {
  let text = '';
  let line: string[] = [];
  const end = () => {
    if (line.length > 0) text += `${line.join(' ')}\n`;
    line = [];
  };
  for (const value of values) {
    if (isPrintable(value)) {
      end();
      text += value.print(terminal, seconds);
    } else line.push(safe(value));
  }
  if (values.length === 0) text = '\n';
  end();
  return text;
}

function safe(value: unknown): string {
  const text =
    typeof value === 'object' && value !== null ? inspect(value, { depth: 4, breakLength: 100 }) : String(value);
  // Line ends and tabs are the script's own layout.
  return text
    .split(/([\n\t])/)
    .map((part, n) => (n % 2 === 1 ? part : escapeText(part)))
    .join('');
}

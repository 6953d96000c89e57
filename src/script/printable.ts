import { Terminal } from '../report/terminal.ts';

/** Something that prints as lines of its own. */
export interface Printable {
  /** Its lines, with their line ends, for a terminal. Rates are per second of `seconds`, NaN where that is not known. */
  print(terminal: Terminal, seconds: number): string;
}

export function isPrintable(value: unknown): value is Printable {
  return typeof value === 'object' && value !== null && 'print' in value && typeof value.print === 'function';
}

/** As in a file: without colours, nothing cut. */
export function asText(printable: Printable): string {
  return printable.print(new Terminal({ env: {} }), Number.NaN).trimEnd();
}

import { escapeText } from './escape.ts';
import { displayWidth, type Style, type Terminal, truncate, truncateStart, wrap } from './terminal.ts';

/** How a column of a table stands in it. */
export type Layout = {
  title: string;
  /** What it is called where it is not shown, if its title says that only beside the others. */
  name?: string;
  /** `unit` right-aligns the number and left-aligns the unit behind its last space (`38.25 µs`). Left by default. */
  align?: 'left' | 'right' | 'unit';
  /** Which columns to leave out first on a narrow terminal: those with the largest number; 0 (the default) never. */
  priority?: number;
  /** The column may be shortened to this width, with `…`, before any is left out. */
  shrink?: number;
  /** Which end of a long text stays; the start by default. */
  keep?: 'start' | 'end';
};

/** A cell: text, whatever is in it, with a style where it should stand out. */
export type Cell = string | { text: string; style: Style };

const gap = '  ';

/**
 * A table as lines of text that fit the terminal: columns are shortened, then left out by priority (a last line
 * names them), and never wrapped. In a pipe nothing is cut. Where no column has a title, there is no line of them.
 */
export function table(columns: readonly Layout[], rows: readonly (readonly Cell[])[], terminal: Terminal): string {
  const texts = rows.map((row) => columns.map((_, c) => textOf(row[c] ?? '')));
  const units = columns.map((column, c) => (column.align === 'unit' ? unitWidth(texts, c) : 0));
  const numbers = columns.map((column, c) => (column.align === 'unit' ? numberWidth(texts, c) : 0));
  const widths = columns.map((column, c) => {
    let width = displayWidth(column.title);
    if (column.align === 'unit') return Math.max(width, (numbers[c] as number) + (units[c] as number));
    for (const row of texts) width = Math.max(width, displayWidth(row[c] as string));
    return width;
  });
  const left = fit(columns, widths, terminal.tableWidth);
  const shown = columns.map((_, c) => c).filter((c) => !left.includes(c));

  const lines: string[] = [];
  const line = (cells: (c: number) => string) => {
    lines.push(shown.map(cells).join(gap).trimEnd());
  };
  if (columns.some(({ title }) => title !== '')) {
    line((c) => {
      const column = columns[c] as Layout;
      const title = truncate(column.title, widths[c] as number);
      const blanks = pad('', (widths[c] as number) - displayWidth(title), 'left');
      const styled = terminal.style('strong', title);
      return column.align === undefined || column.align === 'left' ? styled + blanks : blanks + styled;
    });
  }
  rows.forEach((row, r) => {
    line((c) => {
      const column = columns[c] as Layout;
      const width = widths[c] as number;
      let text = (texts[r] as string[])[c] as string;
      if (column.align === 'unit') {
        const [number, unit] = splitUnit(text);
        text = number + unit + ' '.repeat(Math.max(0, (units[c] as number) - displayWidth(unit)));
      }
      const cut = column.keep === 'end' ? truncateStart(text, width) : truncate(text, width);
      const padded = pad(cut, width, column.align ?? 'left');
      const cell = row[c];
      return typeof cell === 'object' ? terminal.style(cell.style, padded) : padded;
    });
  });
  if (left.length > 0) {
    const names = left.map((c) => columns[c]?.name ?? columns[c]?.title).join(', ');
    const note = wrap(`not shown for want of width: ${names}`, terminal.tableWidth, 0);
    lines.push(...note.map((line) => terminal.style('dim', line)));
  }
  return `${lines.join('\n')}\n`;
}

/** Shortens `widths` to fit, and gives the columns to leave out. */
function fit(columns: readonly Layout[], widths: number[], room: number): number[] {
  const left: number[] = [];
  const shown = () =>
    widths.reduce((sum, width, c) => (left.includes(c) ? sum : sum + width + gap.length), -gap.length);
  for (;;) {
    let over = shown() - room;
    if (over <= 0) break;
    // What shortening could give; the widest first.
    const spare = columns.reduce(
      (sum, column, c) => sum + (left.includes(c) ? 0 : spareOf(column, widths[c] as number)),
      0,
    );
    if (spare >= over) {
      while (over-- > 0) {
        let widest = -1;
        columns.forEach((column, c) => {
          if (left.includes(c) || spareOf(column, widths[c] as number) <= 0) return;
          if (widest < 0 || (widths[c] as number) > (widths[widest] as number)) widest = c;
        });
        widths[widest] = (widths[widest] as number) - 1;
      }
      break;
    }
    let last = -1;
    columns.forEach((column, c) => {
      const priority = column.priority ?? 0;
      if (priority > 0 && !left.includes(c) && (last < 0 || priority >= (columns[last]?.priority ?? 0))) last = c;
    });
    if (last < 0) {
      // Nothing may be left out any more: shorten all that can be, and then the last column.
      columns.forEach((column, c) => {
        if (column.shrink !== undefined) widths[c] = Math.min(widths[c] as number, column.shrink);
      });
      const end = columns.findLastIndex((_, c) => !left.includes(c));
      widths[end] = Math.max(1, (widths[end] as number) - Math.max(0, shown() - room));
      break;
    }
    left.push(last);
  }
  return left.sort((a, b) => a - b);
}

function spareOf(column: Layout, width: number): number {
  return column.shrink === undefined ? 0 : Math.max(0, width - column.shrink);
}

function textOf(cell: Cell): string {
  return escapeText(typeof cell === 'string' ? cell : cell.text);
}

function splitUnit(text: string): [number: string, unit: string] {
  const space = text.lastIndexOf(' ');
  return space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space)];
}

function unitWidth(texts: readonly string[][], c: number): number {
  return texts.reduce((width, row) => Math.max(width, displayWidth(splitUnit(row[c] as string)[1])), 0);
}

function numberWidth(texts: readonly string[][], c: number): number {
  return texts.reduce((width, row) => Math.max(width, displayWidth(splitUnit(row[c] as string)[0])), 0);
}

function pad(text: string, width: number, align: 'left' | 'right' | 'unit'): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'left' ? text + blanks : blanks + text;
}

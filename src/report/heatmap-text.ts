import type { Unit } from '../views/figures.ts';
import type { Heat } from '../views/heatmap.ts';
import { level, shadeOnDark } from './color.ts';
import { timeLabels, timeMarks } from './scales.ts';
import type { Rgb, Terminal } from './terminal.ts';
import { count, lengthText } from './units.ts';

/** Glyphs from few to many, where there are no colours. */
const glyphs = '.:-=+*#%@';

/** Most lines of the picture itself. */
const maxLines = 20;
/** Columns left of the picture: a label, a blank, the axis. */
const usualMargin = 9;

/**
 * A heat map as text: time across, latency up (each line the same factor), count as colour or glyph on a logarithmic
 * scale, with axes and a legend. Where there are colours and half blocks, a line of text is two of the picture.
 */
export function heatmapText(heat: Heat, terminal: Terminal, unit: Unit, maxHeight = maxLines): string {
  if (heat.total === 0) return 'Nothing to draw.\n';
  const halves = terminal.colors >= 8 && terminal.unicode;
  const painted = terminal.colors >= 8;
  const grid = resample(heat, terminal.width - usualMargin - 1, halves ? 2 * maxHeight : maxHeight);
  const { cells, columns, rows, cellWidth } = grid;
  const most = cells.reduce((max, n) => Math.max(max, n), 0);
  const at = (column: number, row: number) => (row < rows ? (cells[row * columns + column] as number) : 0);

  const draw = (lower: number, upper: number): Cell => {
    if (halves) return halfBlocks(upper, lower, most);
    if (painted) return { glyph: ' ', foreground: undefined, background: colorOf(lower, most) };
    return { glyph: glyphOf(lower, most), foreground: undefined, background: undefined };
  };

  const lines: string[] = [];
  const perLine = halves ? 2 : 1;
  const labels = latencyLabels(grid, lengthText(unit), perLine);
  for (let line = Math.ceil(rows / perLine) - 1; line >= 0; line--) {
    const name = labels.get(line);
    let text = `${(name ?? '').padStart(usualMargin - 2)} ${name === undefined ? '│' : '┤'}`;
    // Equal neighbours are painted together: every change of colour is an escape sequence.
    let run: Cell | undefined;
    let length = 0;
    for (let column = 0; column <= columns; column++) {
      const cell = column < columns ? draw(at(column, line * perLine), at(column, line * perLine + 1)) : undefined;
      if (run !== undefined && (cell === undefined || !same(cell, run))) {
        text += terminal.paint(run.glyph.repeat(length * cellWidth), run.foreground, run.background);
        length = 0;
      }
      run = cell;
      length++;
    }
    lines.push(text);
  }
  lines.push(...timeAxis(grid, unit));
  lines.push(legend(most, terminal, painted));
  return `${lines.join('\n')}\n`;
}

type Cell = { glyph: string; foreground: Rgb | undefined; background: Rgb | undefined };

function same(a: Cell, b: Cell): boolean {
  return (
    a.glyph === b.glyph &&
    String(a.foreground) === String(b.foreground) &&
    String(a.background) === String(b.background)
  );
}

type Grid = {
  /** Counts, row by row from the shortest latency up. */
  cells: number[];
  columns: number;
  rows: number;
  /** Characters per column. */
  cellWidth: number;
  /** Time at which the first column begins, and of each; and the least latency of each row and, last, the greatest. */
  from: number;
  columnTime: number;
  edges: number[];
};

/** How bins of time share a width: how many go into a column, how many columns that makes, and how many characters wide each is. */
export function timeColumns(bins: number, width: number): { perColumn: number; columns: number; cellWidth: number } {
  const perColumn = Math.ceil(bins / width);
  const columns = Math.ceil(bins / perColumn);
  return { perColumn, columns, cellWidth: Math.max(1, Math.floor(width / columns)) };
}

/** Merges equally many bins into each column, and buckets into each row, so that no stripes appear that are not there. */
function resample(heat: Heat, maxColumns: number, maxRows: number): Grid {
  const bins = heat.counts.length;
  const buckets = heat.edges.length - 1;
  const { perColumn, columns, cellWidth } = timeColumns(bins, maxColumns);
  const perRow = Math.ceil(buckets / maxRows);
  const rows = Math.ceil(buckets / perRow);
  const cells = new Array<number>(columns * rows).fill(0);
  heat.counts.forEach((latencies, bin) => {
    latencies.forEach((n, bucket) => {
      const at = Math.floor(bucket / perRow) * columns + Math.floor(bin / perColumn);
      cells[at] = (cells[at] as number) + n;
    });
  });
  const edges = Array.from({ length: rows }, (_, row) => heat.edges[row * perRow] as number);
  edges.push(heat.edges[buckets] as number);
  return { cells, columns, rows, cellWidth, from: heat.from, columnTime: perColumn * heat.step, edges };
}

/** Names for the lines in which a power of ten lies, or else for the lowest. */
function latencyLabels(grid: Grid, label: (length: number) => string, rowsPerLine: number): Map<number, string> {
  const labels = new Map<number, string>();
  const { edges, rows } = grid;
  for (let power = 1; power < 1e15; power *= 10) {
    const row = edges.findIndex((edge, r) => r < rows && edge <= power && power < (edges[r + 1] as number));
    const line = Math.floor(row / rowsPerLine);
    // On a coarse scale two powers can fall on one line: the lower stays.
    if (row >= 0 && !labels.has(line)) labels.set(line, label(power));
  }
  if (labels.size === 0) labels.set(0, label(edges[0] as number));
  return labels;
}

/** Times are counted from the beginning of the recording, whatever part of it is drawn. */
export function timeAxis(
  { columns, cellWidth, from, columnTime }: Pick<Grid, 'columns' | 'cellWidth' | 'from' | 'columnTime'>,
  unit: Unit,
  margin = usualMargin,
): string[] {
  const width = columns * cellWidth;
  // At a step at which labels keep a distance.
  const marks = timeMarks(from, from + columns * columnTime, (columnTime / cellWidth) * 12);
  const labels = timeLabels(marks, unit);
  const axis = new Array<string>(width).fill('─');
  let names = ' '.repeat(margin);
  for (const [n, time] of marks.entries()) {
    const at = Math.floor(((time - from) / columnTime) * cellWidth);
    if (at >= width) break;
    axis[at] = '┬';
    const name = labels[n] as string;
    if (margin + at + name.length > margin + width + 1) continue;
    names = `${names.padEnd(margin + at)}${name}`;
  }
  return [`${' '.repeat(margin - 1)}└${axis.join('')}`, names];
}

/** What the colours or glyphs stand for. */
export function legend(most: number, terminal: Terminal, painted: boolean, margin = usualMargin): string {
  const samples: [text: string, atLeast: number][] = [];
  if (painted) {
    for (let n = 1; n < most / 2; n *= 10) samples.push([terminal.paint('  ', undefined, colorOf(n, most)), n]);
    samples.push([terminal.paint('  ', undefined, colorOf(most, most)), most]);
  } else {
    for (let i = 0; i < glyphs.length; i++) {
      // The least count that is drawn with this glyph, if any is.
      const n = Math.ceil(most ** (i / glyphs.length) - 1e-9);
      if (glyphOf(n, most) === glyphs[i]) samples.push([glyphs[i] as string, n]);
    }
  }
  return `${' '.repeat(margin)}per cell: ${samples.map(([text, n]) => `${text} ${count(n)}`).join('  ')}`;
}

export function glyphOf(n: number, most: number): string {
  if (n === 0) return ' ';
  return glyphs[Math.min(glyphs.length - 1, Math.floor(level(n, most) * glyphs.length))] as string;
}

export function colorOf(n: number, most: number): Rgb | undefined {
  return n === 0 ? undefined : shadeOnDark(level(n, most));
}

function halfBlocks(upper: number, lower: number, most: number): Cell {
  const above = colorOf(upper, most);
  const below = colorOf(lower, most);
  if (above === undefined && below === undefined) return { glyph: ' ', foreground: undefined, background: undefined };
  if (above === undefined) return { glyph: '▄', foreground: below, background: undefined };
  return { glyph: '▀', foreground: above, background: below };
}

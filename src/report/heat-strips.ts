import type { Unit } from '../views/figures.ts';
import { colorOf, glyphOf, legend, timeAxis, timeColumns } from './heatmap-text.ts';
import { displayWidth, type Terminal, truncate } from './terminal.ts';

/** Columns that a row's name may take. */
const maxName = 24;

/** Rows of counts by time as strips under each other: time across, count as colour or glyph on one logarithmic scale for all. */
export function heatStrips(
  rows: readonly { name: string; counts: readonly number[] }[],
  { from, step }: { from: number; step: number },
  terminal: Terminal,
  unit: Unit,
): string {
  const width = Math.min(maxName, Math.max(1, ...rows.map(({ name }) => displayWidth(name))));
  const margin = width + 2;
  const bins = Math.max(1, ...rows.map(({ counts }) => counts.length));
  const { perColumn, columns, cellWidth } = timeColumns(bins, Math.max(8, terminal.width - margin - 1));
  const sums = rows.map(({ counts }) =>
    Array.from({ length: columns }, (_, column) =>
      counts.slice(column * perColumn, (column + 1) * perColumn).reduce((sum, n) => sum + n, 0),
    ),
  );
  const most = Math.max(0, ...sums.flat());
  const painted = terminal.colors >= 8;
  const lines = rows.map(({ name }, row) => {
    const shown = truncate(name, width);
    const strip = (sums[row] as number[])
      .map((n) =>
        painted
          ? terminal.paint(' '.repeat(cellWidth), undefined, colorOf(n, most))
          : glyphOf(n, most).repeat(cellWidth),
      )
      .join('');
    return `${shown}${' '.repeat(width - displayWidth(shown))} │${strip}`.trimEnd();
  });
  const axis = timeAxis({ columns, cellWidth, from, columnTime: perColumn * step }, unit, margin);
  const colours = legend(most, terminal, painted, 0);
  // Below the strips, as far as it fits there.
  const indent = Math.max(0, Math.min(margin, terminal.width - displayWidth(colours)));
  return `${[...lines, ...axis, ' '.repeat(indent) + colours].join('\n')}\n`;
}

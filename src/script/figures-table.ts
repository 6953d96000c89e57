import { escapeText } from '../report/escape.ts';
import {
  figureCells,
  figureColumns,
  type Lengths,
  lengths,
  type SortKey,
  shownRows,
  sorted,
} from '../report/stats-table.ts';
import { type Cell, type Column, table } from '../report/table.ts';
import type { Terminal } from '../report/terminal.ts';
import { bytes, count, percent, plural, rate } from '../report/units.ts';
import { nothing, type Stats } from '../spans/summary.ts';

/** What values are: lengths of time in ns, sizes in bytes, or plain numbers. Only printing depends on it. */
export type Unit = 'ns' | 'bytes' | '';

export type TableOptions = {
  /** The column to sort by, largest first; `name` sorts by the keys. */
  sort?: SortKey;
  /** How many rows to show, 50 where it is not given. */
  rows?: number;
};

type Row = { names: readonly string[]; stats: Stats };

/** Statistics as virtap's own tables show them. Rates are per second of `seconds`, left out where that is NaN. */
export function figuresTable(
  by: readonly string[],
  rows: readonly Row[],
  unit: Unit,
  options: TableOptions,
  terminal: Terminal,
  seconds: number,
): string {
  if (rows.every(({ stats }) => stats.count === 0)) return 'no values\n';
  const total = rows.reduce((sum, { stats }) => sum + stats.total, 0);
  // Of negative values there are no shares.
  const shares = rows.length > 1 && rows.every(({ stats }) => stats.min >= 0);
  const left = new Set([...(shares ? [] : ['share']), ...(Number.isNaN(seconds) ? ['rate'] : [])]);
  const kept = figureColumns.flatMap(({ title }, n) => (left.has(title) ? [] : [n]));
  const columns = [...keyColumns(by), ...kept.map((n) => figureColumns[n] as Column)];
  const shown = sorted(rows, options.sort ?? 'total').slice(0, options.rows ?? shownRows);
  const cells = shown.map(({ names, stats }) => {
    const figures = figureCells(stats, stats.total / total, seconds, units(unit));
    return [...names.map(escapeText), ...kept.map((n): Cell => figures[n] as string)];
  });
  return table(columns, cells, terminal) + more(rows.length - shown.length, options, terminal);
}

/** Numbers of events in the same manner. */
export function countsTable(
  by: readonly string[],
  rows: readonly { names: readonly string[]; count: number }[],
  options: TableOptions,
  terminal: Terminal,
  seconds: number,
): string {
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  if (total === 0) return 'nothing counted\n';
  const timed = !Number.isNaN(seconds);
  const columns: Column[] = [
    ...keyColumns(by),
    { title: 'count', align: 'right' },
    ...(timed ? [{ title: 'rate', align: 'right' } as const] : []),
    { title: 'share', align: 'unit' },
  ];
  const stats = rows.map(({ names, count }) => ({ names, stats: { ...nothing, count } }));
  const shown = sorted(stats, options.sort ?? 'count').slice(0, options.rows ?? shownRows);
  const cells = shown.map(({ names, stats: { count: n } }) => [
    ...names.map(escapeText),
    count(n),
    ...(timed ? [rate(n / seconds)] : []),
    percent(n / total),
  ]);
  return table(columns, cells, terminal) + more(rows.length - shown.length, options, terminal);
}

function keyColumns(by: readonly string[]): Column[] {
  return by.map((title) => ({ title: escapeText(title), shrink: 12 }));
}

/** Rows that nobody asked to be left out are told of. */
function more(hidden: number, { rows }: TableOptions, terminal: Terminal): string {
  return hidden <= 0 || rows !== undefined ? '' : terminal.style('dim', `${plural(hidden, 'more row')} not shown\n`);
}

function units(unit: Unit): Lengths {
  if (unit === 'ns') return lengths('ns');
  const long = unit === 'bytes' ? size : plain;
  return { long, short: (n) => long(n) };
}

function size(n: number, digits = 4): string {
  if (Number.isNaN(n)) return '-';
  const known = Number.isInteger(n) && digits === 4 ? n : Number(n.toPrecision(digits));
  return known < 0 ? `-${bytes(-known)}` : bytes(known);
}

/** A number with thousands separators, and four significant digits where it is not whole. */
function plain(n: number, digits = 4): string {
  if (!Number.isFinite(n)) return '-';
  if (digits < 4) return plain(Number(n.toPrecision(digits)));
  if (Number.isInteger(n) || Math.abs(n) >= 9999.5) return count(n);
  return n.toPrecision(4);
}

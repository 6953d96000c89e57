import { shownRows } from '../report/answer.ts';
import { sortRows } from '../report/column-names.ts';
import type { Column, Scope } from '../report/columns.ts';
import { columnsOf, figureColumns, forPeople, rowsTable, scopeOf } from '../report/columns.ts';
import { escapeText } from '../report/escape.ts';
import type { Terminal } from '../report/terminal.ts';
import { bytes, count, plural } from '../report/units.ts';
import { nothing, type Stats } from '../spans/summary.ts';
import type { SortKey } from '../views/figures.ts';

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
  const scope = scopeOf('ns', seconds * 1e9);
  const left = new Set([...(shares ? [] : ['share']), ...(Number.isNaN(seconds) ? ['rate'] : [])]);
  const long = unit === 'bytes' ? size : plain;
  const figures = figureColumns<Row>(
    ({ stats }) => stats,
    ({ stats }) => stats.total / total,
  )
    .filter(({ title = '' }) => !left.has(title))
    .map(
      (column): Column<Row> =>
        column.type === 'length' && unit !== 'ns'
          ? { ...column, text: (row, scope) => long(numberOf(column.of(row, scope)), column.digits?.(row, scope)) }
          : column,
    );
  return tableOf(by, figures, rows, options.sort ?? 'total', scope, options, terminal);
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
  const figures = columnsOf<Row>()([
    { key: 'count', type: 'number', title: 'count', meaning: 'how many', of: ({ stats }) => stats.count },
    {
      key: 'rate',
      type: 'rate',
      title: 'rate',
      meaning: 'in a second',
      of: ({ stats }, { seconds }) => stats.count / seconds,
      when: ({ seconds }) => !Number.isNaN(seconds),
    },
    { key: 'share', type: 'share', title: 'share', meaning: 'of all', of: ({ stats }) => stats.count / total },
  ]);
  const stats = rows.map(({ names, count }) => ({ names, stats: { ...nothing, count } }));
  return tableOf(by, figures, stats, options.sort ?? 'count', scopeOf('ns', seconds * 1e9), options, terminal);
}

function tableOf(
  by: readonly string[],
  figures: readonly Column<Row>[],
  rows: readonly Row[],
  sort: string,
  scope: Scope,
  options: TableOptions,
  terminal: Terminal,
): string {
  const shown = sortRows(figures, rows, sort, scope, ({ names }) => names).slice(0, options.rows ?? shownRows);
  const table = rowsTable([...keyColumns(by), ...figures], shown, scope, terminal);
  return table + more(rows.length - shown.length, options, terminal);
}

function keyColumns(by: readonly string[]): Column<Row>[] {
  return by.map((title, n) =>
    forPeople({ title: escapeText(title), type: 'text', shrink: 12, of: ({ names }) => names[n] }),
  );
}

/** Rows that nobody asked to be left out are told of. */
function more(hidden: number, { rows }: TableOptions, terminal: Terminal): string {
  return hidden <= 0 || rows !== undefined ? '' : terminal.style('dim', `${plural(hidden, 'more row')} not shown\n`);
}

const numberOf = (value: unknown) => (typeof value === 'number' ? value : Number.NaN);

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

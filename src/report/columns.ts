import type { Stats } from '../spans/summary.ts';
import { digitsOf, type FigureEntry, figures, type StatsJson, type Unit } from '../views/figures.ts';
import { csv } from './csv.ts';
import type { Json } from './json.ts';
import { type Cell, type Layout, table } from './table.ts';
import type { Style, Terminal } from './terminal.ts';
import { count, cycles, duration, percent, rate } from './units.ts';

/*
 * The columns of an answer's rows are declared once. Text tables, JSON, CSV, the page's tables, what can be sorted by and the tables of
 * docs/json.md are made of the list.
 */

/** What a column's cells are, and so how each form writes them: a `time` is a moment, from the trace's first event, a `length` how long something took. */
export type CellType = 'text' | 'number' | 'factor' | 'rate' | 'share' | 'length' | 'time' | 'flag' | 'object';

/** What readers and writers of cells need to know of the whole answer. */
export type Scope<U extends Unit = Unit> = {
  readonly unit: U;
  /** What rates are per second of; NaN where nobody knows how long the clock's units are. */
  readonly seconds: number;
};

/** The scope of an answer about a stretch of this length. */
export function scopeOf<U extends Unit>(unit: U, length: number): Scope<U> {
  return { unit, seconds: unit === 'ns' ? length / 1e9 : Number.NaN };
}

/** A column of rows. */
export type Column<Row, S = Scope> = {
  /** In JSON and CSV; times and lengths have their unit behind it there: `total_ns`. */
  readonly key: string;
  readonly type: CellType;
  /** What it means, in one line. */
  readonly meaning: string;
  /** What JSON has; null where it is not known, undefined where there is nothing of the kind. */
  of(row: Row, scope: S): Json;
  /** In tables for people. One without it is for programs. */
  readonly title?: string;
  /** How tables write it, where its type does not say it. */
  text?(row: Row, scope: S): string;
  style?(row: Row, scope: S): Style | undefined;
  /** How many significant digits of a length are true; four where not given. */
  digits?(row: Row, scope: S): number;
  /** Whether tables and CSV have it in this answer; always, where not given. */
  when?(scope: S): boolean;
  /** A number that counts nothing and measures nothing. */
  readonly isId?: true;
  readonly json?: false;
  readonly csv?: false;
  /** What CSV has, where that is not what JSON has. */
  csvOf?(row: Row, scope: S): string | number | undefined;
} & Omit<Layout, 'title'>;

type Columns = readonly Column<never, never>[];

/** A column that only tables for people have. */
export function forPeople<Row, S = Scope>(
  column: Omit<Column<Row, S>, 'key' | 'meaning' | 'json' | 'csv'> & { title: string },
): Column<Row, S> & { json: false } {
  return { ...column, key: column.title, meaning: '', json: false, csv: false };
}

/** Declares the columns of a kind of row. */
export const columnsOf =
  <Row, S = Scope>() =>
  <const C extends readonly Column<Row, S>[]>(columns: C): C =>
    columns;

// ---------------------------------------------------------------- figures of statistics

/** The same column without a title: for programs alone. */
export function forPrograms<C extends Column<never, never>>({ title: _, ...column }: C): Omit<C, 'title'> {
  return column;
}

type FigureColumn<Row, S, F> = F extends {
  name: infer N;
  json: infer K extends string;
  measure: infer T extends CellType;
}
  ? Column<Row, S> & { key: K; type: T; of(row: Row, scope: S): number | (N extends 'count' ? never : null) }
  : never;

/** The figures of statistics as columns, with the share of a whole among them for people; no share is NaN. */
export function figureColumns<Row, S extends Scope = Scope>(
  stats: (row: Row, scope: S) => Stats,
  share: (row: Row, scope: S) => number = () => Number.NaN,
): FigureColumn<Row, S, FigureEntry>[] {
  return figures.map(({ name, measure, meaning, priority, of, ...figure }): Column<Row, S> => {
    const column = { title: name, type: measure, meaning, priority };
    if (!('json' in figure))
      return {
        ...column,
        key: name,
        of: share,
        text: (row, scope) => (Number.isNaN(share(row, scope)) ? '' : percent(share(row, scope))),
        json: false,
        csv: false,
      };
    return {
      ...column,
      key: figure.json,
      of: (row, scope) => of(stats(row, scope), Number.NaN, scope.seconds),
      digits: (row, scope) => digitsOf(name, stats(row, scope).count),
    };
  }) as FigureColumn<Row, S, FigureEntry>[];
}

// ---------------------------------------------------------------- JSON and CSV

type Key<C, U extends Unit> = C extends { key: infer K extends string; type: infer T }
  ? T extends 'length' | 'time'
    ? `${K}_${U}`
    : K
  : never;
type Value<C> = C extends { of(row: never, scope: never): infer V } ? V : never;
/** JSON's columns, of these those that every row has, and the others. */
type Kept<C> = C extends { json: false } ? never : C;
type Sure<C, U extends Unit> =
  C extends Kept<C>
    ? undefined extends Value<C>
      ? never
      : C extends { type: 'length' | 'time' }
        ? [U] extends ['ns']
          ? C
          : never
        : C
    : never;

/** A row as JSON has it. Where the clock may count cycles, each length has one of two names. */
export type RowJson<C extends Columns, U extends Unit = Unit> = {
  [One in Sure<Kept<C[number]>, U> as Key<One, U>]: Value<One>;
} & { [One in Exclude<Kept<C[number]>, Sure<C[number], U>> as Key<One, U>]?: Value<One> };

/** What a column is called in JSON and CSV. */
export function fullName({ key, type }: Pick<Column<never, never>, 'key' | 'type'>, unit: Unit): string {
  return type === 'length' || type === 'time' ? `${key}_${unit}` : key;
}

/** A row for programs. */
export function rowJson<Row, U extends Unit, S extends Scope, const C extends readonly Column<Row, S>[]>(
  columns: C,
  row: Row,
  scope: S & Scope<U>,
): RowJson<C, U> {
  const members = columns.flatMap((column): [string, Json][] => {
    if (column.json === false) return [];
    const value = column.of(row, scope);
    if (value === undefined) return [];
    return [[fullName(column, scope.unit), typeof value === 'number' ? figureJson(column.type, value) : value]];
  });
  return Object.fromEntries(members) as RowJson<C, U>;
}

/** A number for programs, as precise as its type is; null where there is none. */
export function figureJson(type: CellType, value: number): number | null {
  if (!Number.isFinite(value)) return null;
  if (type === 'length' || type === 'time') return Math.round(value);
  return type === 'share' || type === 'rate' || type === 'factor' ? Number(value.toPrecision(6)) : value;
}

/** The rows for spreadsheets. */
export function rowsCsv<Row, S extends Scope>(
  columns: readonly Column<Row, S>[],
  rows: readonly Row[],
  scope: S,
): string {
  const kept = columns.filter(({ csv, type, when }) => csv !== false && type !== 'object' && when?.(scope) !== false);
  return csv(
    kept.map((column) => fullName(column, scope.unit)),
    rows.map((row) => kept.map((column) => column.csvOf?.(row, scope) ?? cellCsv(column.type, column.of(row, scope)))),
  );
}

function cellCsv(type: CellType, value: unknown): string | number | undefined {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number')
    return type === 'rate' || type === 'factor' ? value : (figureJson(type, value) ?? undefined);
  return typeof value === 'string' ? value : undefined;
}

const ofStats = figureColumns<Stats>((stats) => stats);

/** The figures of statistics for programs. */
export function statsJson<S extends Scope>(stats: Stats, scope: S): StatsJson {
  return rowJson(ofStats, stats, scope);
}

/** The figures of statistics within a row, for spreadsheets, under names that begin so. */
export function figureCsv<Row, S extends Scope = Scope>(
  prefix: string,
  stats: (row: Row, scope: S) => Stats,
): (Column<Row, S> & { json: false })[] {
  return figures.flatMap((figure) => {
    if (!('json' in figure)) return [];
    const { json, measure, meaning, of } = figure;
    const value = (row: Row, scope: S) => of(stats(row, scope), Number.NaN, scope.seconds);
    return [{ key: `${prefix}_${json}`, type: measure, meaning, of: value, json: false as const }];
  });
}

// ---------------------------------------------------------------- tables for people

/** How a cell of this type is written. */
export function cellText(type: CellType, value: unknown, unit: Unit, digits = 4): string {
  if (typeof value === 'string') return value;
  if (type === 'text' || typeof value === 'boolean') return value === true ? 'yes' : '';
  const number = typeof value === 'number' ? value : Number.NaN;
  switch (type) {
    case 'rate':
      return rate(number);
    case 'share':
      return percent(number);
    case 'length':
      return unit === 'ns' ? duration(number, digits) : cycles(number, digits);
    default:
      return count(number);
  }
}

/** How a column stands in a table. */
function layout<Row, S>({ title = '', type, name, priority, shrink, keep, align }: Column<Row, S>): Layout {
  const natural = {
    text: 'left',
    flag: 'left',
    time: 'left',
    object: 'left',
    factor: 'right',
    number: 'right',
    rate: 'right',
  } as const;
  return {
    title,
    align: align ?? (type === 'share' || type === 'length' ? 'unit' : natural[type]),
    ...(name === undefined ? {} : { name }),
    ...(priority === undefined ? {} : { priority }),
    ...(shrink === undefined ? {} : { shrink }),
    ...(keep === undefined ? {} : { keep }),
  };
}

/** Rows as a table; `style` is that of a whole row. */
export function rowsTable<Row, S extends Scope>(
  columns: readonly Column<Row, S>[],
  rows: readonly Row[],
  scope: S,
  terminal: Terminal,
  style?: (row: Row) => Style | undefined,
): string {
  const shown = columns.filter(({ title, when }) => title !== undefined && when?.(scope) !== false);
  return table(
    shown.map(layout),
    rows.map((row) =>
      shown.map((column): Cell => {
        const text =
          column.text?.(row, scope) ??
          cellText(column.type, column.of(row, scope), scope.unit, column.digits?.(row, scope));
        const styled = style?.(row) ?? column.style?.(row, scope);
        return styled === undefined ? text : { text, style: styled };
      }),
    ),
    terminal,
  );
}

import { UsageError } from '../analyse/usage-error.ts';
import type { Measured, Subject } from '../views/conditions.ts';
import { type Column, fullName, type Scope } from './columns.ts';
import type { Json } from './json.ts';

/*
 * A column is named by its title in tables (`avg-wait`), by its key (`wait`), by its name in JSON (`total_ns`); what an object of JSON holds by its
 * path (`hold.p99_ns`). So `--sort` and `--fail-if` name them.
 */

/** A column, and where in its JSON the value is. */
type Place<Row, S> = { column: Column<Row, S>; path: readonly string[] };

/** What `--sort` calls a column in its help; '' where only programs have it. */
function titleOf<Row, S>({ name, title = '' }: Column<Row, S>): string {
  return (name ?? title).replaceAll(' ', '-');
}

/** Whether its cells are more or less of something. */
function isFigure({ type, isId }: Column<never, never>): boolean {
  return isId !== true && (type === 'number' || type === 'rate' || type === 'share' || type === 'length');
}

/** A name without the unit of a clock. */
export function withoutUnit(name: string): string {
  return name.replace(/_(ns|cycles)$/, '');
}

/** The column that is called so. */
export function columnNamed<Row, S>(columns: readonly Column<Row, S>[], word: string): Place<Row, S> | undefined {
  const [first = '', ...path] = word.split('.');
  const plain = columns.filter(({ type }) => type !== 'object');
  const column =
    plain.find((one) => isFigure(one) && titleOf(one) === word) ??
    plain.find((one) => titleOf(one) === word || one.key === word) ??
    plain.find((one) => fullName(one, 'ns') === word || fullName(one, 'cycles') === word);
  if (column !== undefined) return { column, path: [] };
  const whole = path.length === 0 ? undefined : columns.find(({ key, type }) => type === 'object' && key === first);
  return whole && { column: whole, path };
}

/** What `--sort` can be given, for its help: the columns that tables have, those of numbers first. */
export function columnTitles(columns: readonly Column<never, never>[]): string[] {
  const titled = columns.filter((column) => titleOf(column) !== '' && column.type !== 'object');
  const [numbers, words] = [true, false].map((wanted) => titled.filter((column) => isFigure(column) === wanted));
  return [...new Set([...(numbers ?? []), ...(words ?? [])].map(titleOf)).add('name')];
}

/** All that columns are called, to suggest one of it. */
export function columnWords(columns: readonly Column<never, never>[]): string[] {
  return columns.flatMap((column) =>
    column.type === 'object' ? [] : [titleOf(column), column.key, fullName(column, 'ns')],
  );
}

function valueAt<Row, S>({ column, path }: Place<Row, S>, row: Row, scope: S): Json {
  return path.reduce<Json>((value, name) => memberOf(value, name), column.of(row, scope));
}

/** A member of an object of JSON, by its name with or without the unit. */
export function memberOf(value: Json, name: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const members = Object.entries<Json>(value);
  const found =
    members.find(([key]) => key === name) ?? members.find(([key]) => withoutUnit(key) === withoutUnit(name));
  return found?.[1];
}

/**
 * Rows in the order of a column: figures from the largest down, moments, ids and words up; equal ones by name, and by name alone where that is asked for. As
 * they are where nothing is asked for, or the rows have no such column. What has no value comes last.
 */
export function sortRows<Row, S extends Scope>(
  columns: readonly Column<NoInfer<Row>, S>[],
  rows: readonly Row[],
  sort: string | undefined,
  scope: S,
  names: (row: Row) => readonly string[],
): Row[] {
  const place = sort === undefined || sort === 'name' ? undefined : columnNamed(columns, sort);
  if (place === undefined && sort !== 'name') return [...rows];
  // Where nobody knows how long it was, rates are as counts.
  const within = Number.isNaN(scope.seconds) ? { ...scope, seconds: 1 } : scope;
  const valued = rows.map((row) => ({ row, names: names(row), value: place && valueAt(place, row, within) }));
  if (place !== undefined && place.path.length > 0 && valued.every(({ value }) => typeof value !== 'number'))
    throw new UsageError(`--sort ${sort}: no row has a number called so`);
  const down = place !== undefined && (place.path.length > 0 || isFigure(place.column));
  return valued.sort((a, b) => byValue(a.value, b.value, down) || byName(a.names, b.names)).map(({ row }) => row);
}

function byValue(a: Json, b: Json, down: boolean): number {
  const [x, y] = [a, b].map((value) => (typeof value === 'number' && Number.isNaN(value) ? null : (value ?? null)));
  if (x === null || y === null) return Number(x === null) - Number(y === null);
  if (typeof x === 'number' && typeof y === 'number') return down ? y - x : x - y;
  if (typeof x === 'string' && typeof y === 'string') return compared(x, y);
  return Number(y) - Number(x);
}

function byName(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((name, n) => name !== b[n]);
  return at < 0 ? 0 : compared(a[at] as string, b[at] ?? '');
}

function compared(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** What conditions can be about in rows: every number that their JSON has. `name` is what conditions call a row. */
export function rowSubjects<Row, S extends Scope>(
  kind: string,
  columns: readonly Column<NoInfer<Row>, S>[],
  rows: readonly Row[],
  scope: S,
  name: (row: Row) => string,
): Subject[] {
  return rows.map((row) => {
    const measured: Measured = {};
    for (const column of columns) {
      if (column.type === 'object') addLeaves(measured, column.key, column.of(row, scope));
      else if (isFigure(column)) measured[column.key] ??= numberIn(column.of(row, scope));
    }
    return { kind, name: name(row), measured };
  });
}

function addLeaves(measured: Measured, path: string, value: Json): void {
  if (typeof value === 'number') measured[withoutUnit(path)] = value;
  else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [key, member] of Object.entries<Json>(value)) addLeaves(measured, `${path}.${key}`, member);
  }
}

/** A number of JSON; NaN where there is none. */
export function numberIn(value: Json): number {
  return typeof value === 'number' ? value : Number.NaN;
}

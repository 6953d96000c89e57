import { nothing, type Stats } from '../spans/summary.ts';
import { digitsOf, type Figure, figures, measured, type StatsJson, type Unit } from '../views/figures.ts';
import { integer, number } from './json.ts';
import type { Column } from './table.ts';
import { count, cycles, duration, lengthText, percent, rate } from './units.ts';

/** What tables of statistics can be sorted by: a figure, largest first, or `name`. */
export type SortKey = Figure | 'name';
export const sortKeys: readonly SortKey[] = [
  'total',
  ...figures.flatMap(({ name }) => (name === 'total' ? [] : [name])),
  'name',
];

/** Rows shown of one kind; there can be thousands. */
export const shownRows = 50;

/** The figures of a set of spans, as columns behind those that name the set. */
export const figureColumns: readonly Column[] = figures.map(({ name, measure, priority }) => ({
  title: name,
  align: measure === 'number' || measure === 'rate' ? 'right' : 'unit',
  priority,
}));

/** The cells for `figureColumns`. A share that is NaN is left empty; rates are per second of `seconds`. */
export function figureCells(stats: Stats, share: number, seconds: number, { long }: Lengths = lengths('ns')): string[] {
  const write = {
    number: count,
    rate,
    time: (n: number, digits: number) => long(n, digits),
    share: () => (Number.isNaN(share) ? '' : percent(share)),
  };
  return figures.map(({ name, measure, of }) =>
    write[measure](of(stats, Number.NaN, seconds), digitsOf(name, stats.count)),
  );
}

/** Rows in the order of a figure, largest first; equal ones by name. */
export function sorted<T extends { names: readonly string[]; stats: Stats }>(rows: readonly T[], sort: SortKey): T[] {
  // In the same second, and of the same whole: rates and shares fall as what they are of.
  const value = ({ stats }: T) => (sort === 'name' ? 0 : (measured(stats, 1, 1)[sort] as number));
  const byName = (a: T, b: T) => {
    const i = a.names.findIndex((name, n) => name !== b.names[n]);
    return i < 0 ? 0 : (a.names[i] as string).localeCompare(b.names[i] as string, 'en', { numeric: true });
  };
  // A deviation of one sample is no number: such rows come last.
  const number = (row: T) => (Number.isNaN(value(row)) ? -1 : value(row));
  return [...rows].sort((a, b) => number(b) - number(a) || byName(a, b));
}

/** How many of those that were slow are shown, for the title of a slow log. */
export function howMany(shown: number, over: number): string {
  return over > shown ? `, the ${count(shown)} slowest of ${count(over)}` : `: ${count(shown)}`;
}

/** How durations are written: in ns, or in cycles where nobody knows how long those are; `long` with four digits where nobody says how many are known. */
export type Lengths = { long: (n: number, digits?: number) => string; short: (n: number) => string };

export function lengths(unit: 'ns' | 'cycles'): Lengths {
  return { long: unit === 'ns' ? duration : cycles, short: lengthText(unit) };
}

/** The figures that stand for themselves in JSON and CSV, in the order of the table. */
function* plainFigures(stats: Stats, seconds: number, unit: string): Iterable<[name: string, value: number]> {
  for (const figure of figures) {
    if (!('json' in figure)) continue;
    const { json, measure, of } = figure;
    yield [measure === 'time' ? `${json}_${unit}` : json, of(stats, Number.NaN, seconds)];
  }
}

/** The figures for programs. Rates are per second of `seconds`. */
export function statsJson(stats: Stats, seconds: number, unit: Unit = 'ns'): StatsJson {
  const values = [...plainFigures(stats, seconds, unit)].map(([name, value]) => [
    name,
    name === 'rate_per_s' ? number(value) : integer(value),
  ]);
  return Object.fromEntries(values) as StatsJson;
}

/** The names of `csvFigures`. */
export function csvFigureNames(unit = 'ns'): string[] {
  return [...plainFigures(nothing, Number.NaN, unit)].map(([name]) => name);
}

/** The figures for spreadsheets. */
export function csvFigures(stats: Stats, seconds: number): (number | undefined)[] {
  return [...plainFigures(stats, seconds, '')].map(([name, value]) =>
    name === 'rate_per_s' ? value : (integer(value) ?? undefined),
  );
}

import type { Stats } from '../spans/summary.ts';
import { type Figure, figures, measured } from '../views/conditions.ts';
import type { Json } from './json.ts';
import type { Column } from './table.ts';
import { count, cycles, duration, lengthText, percent, rate } from './units.ts';

/** What tables of statistics can be sorted by: a figure, largest first, or `name`. */
export type SortKey = Figure | 'name';
export const sortKeys: readonly SortKey[] = ['total', ...figures.filter((figure) => figure !== 'total'), 'name'];

/** Rows shown of one kind; there can be thousands. */
export const shownRows = 50;

/** The figures of a set of spans, as columns behind those that name the set. */
export const figureColumns: readonly Column[] = [
  { title: 'count', align: 'right' },
  { title: 'rate', align: 'right', priority: 8 },
  { title: 'total', align: 'unit' },
  { title: 'share', align: 'unit', priority: 2 },
  { title: 'min', align: 'unit', priority: 7 },
  { title: 'avg', align: 'unit' },
  { title: 'max', align: 'unit', priority: 1 },
  { title: 'stddev', align: 'unit', priority: 3 },
  { title: 'p50', align: 'unit', priority: 5 },
  { title: 'p90', align: 'unit', priority: 9 },
  { title: 'p99', align: 'unit', priority: 4 },
  { title: 'p99.9', align: 'unit', priority: 6 },
];

/** The cells for `figureColumns`. A share that is NaN is left empty; rates are per second of `seconds`. */
export function figureCells(stats: Stats, share: number, seconds: number, { long }: Lengths = lengths('ns')): string[] {
  return [
    count(stats.count),
    rate(stats.count / seconds),
    long(stats.total),
    Number.isNaN(share) ? '' : percent(share),
    ...[stats.min, stats.mean, stats.max, stats.stddev, stats.p50, stats.p90, stats.p99, stats.p999].map(long),
  ];
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

/** How durations are written: in ns, or in cycles where nobody knows how long those are. */
export type Lengths = { long: (n: number) => string; short: (n: number) => string };

export function lengths(unit: 'ns' | 'cycles'): Lengths {
  return { long: unit === 'ns' ? duration : cycles, short: lengthText(unit) };
}

/** The figures for programs, in the order of the table. Rates are per second of `seconds`. */
export function statsJson(stats: Stats, seconds: number, unit = 'ns'): { [key: string]: Json } {
  return {
    count: stats.count,
    rate_per_s: number(stats.count / seconds),
    ...Object.fromEntries(durations(stats).map(([name, value]) => [`${name}_${unit}`, integer(value)])),
  };
}

/** The names of `csvFigures`. */
export function csvFigureNames(unit = 'ns'): string[] {
  return ['count', 'rate_per_s', ...durations(nothing).map(([name]) => `${name}_${unit}`)];
}

/** The figures for spreadsheets. */
export function csvFigures(stats: Stats, seconds: number): (number | undefined)[] {
  return [stats.count, stats.count / seconds, ...durations(stats).map(([, value]) => integer(value) ?? undefined)];
}

/** The statistics of no spans. */
export const nothing: Stats = {
  count: 0,
  total: 0,
  min: NaN,
  max: NaN,
  mean: NaN,
  stddev: NaN,
  p50: NaN,
  p90: NaN,
  p99: NaN,
  p999: NaN,
};

function durations(s: Stats): [name: string, value: number][] {
  return [
    ['total', s.total],
    ['min', s.min],
    ['avg', s.mean],
    ['max', s.max],
    ['stddev', s.stddev],
    ['p50', s.p50],
    ['p90', s.p90],
    ['p99', s.p99],
    ['p999', s.p999],
  ];
}

/** A whole number for JSON, null where there is none. */
export function integer(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value) : null;
}

/** A number for JSON with six significant digits, null where there is none. */
export function number(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

import { percentileDigits, type Stats } from '../spans/summary.ts';

/** What a figure's value is, and so how it is written. */
export type Measure = 'number' | 'rate' | 'length' | 'share';

type FigureOf = {
  /** What users call it, in tables and conditions. */
  readonly name: string;
  /** In JSON and CSV; a time's has its unit behind it: `total_ns`. Those without one are not figures of a row for itself. */
  readonly json?: string;
  readonly measure: Measure;
  /** What it means, in one line. */
  readonly meaning: string;
  /** What gives way first where a terminal is narrow: the largest number; 0 never. */
  readonly priority: number;
  /** Whether it is a percentile, of which not all digits are known where there are many samples. */
  readonly isPercentile?: true;
  /** `whole` is the total that a share is of; rates are per second of `seconds`. */
  of(stats: Stats, whole: number, seconds: number): number;
};

/** What is said of every set of spans, in the order of the tables: who prints, sorts, judges or documents figures takes them from here. */
export const figures = [
  { name: 'count', json: 'count', measure: 'number', priority: 0, meaning: 'how many', of: ({ count }) => count },
  {
    name: 'rate',
    json: 'rate_per_s',
    measure: 'rate',
    priority: 8,
    meaning: 'how many in a second of the time that was asked for or recorded',
    of: ({ count }, _, seconds) => count / seconds,
  },
  {
    name: 'total',
    json: 'total',
    measure: 'length',
    priority: 0,
    meaning: 'their time together',
    of: ({ total }) => total,
  },
  {
    name: 'share',
    measure: 'share',
    priority: 2,
    meaning: 'of the time of all',
    of: ({ total }, whole) => (whole > 0 ? total / whole : Number.NaN),
  },
  { name: 'min', json: 'min', measure: 'length', priority: 7, meaning: 'the shortest', of: ({ min }) => min },
  {
    name: 'avg',
    json: 'avg',
    measure: 'length',
    priority: 0,
    meaning: 'total divided by count',
    of: ({ mean }) => mean,
  },
  { name: 'max', json: 'max', measure: 'length', priority: 1, meaning: 'the longest', of: ({ max }) => max },
  {
    name: 'stddev',
    json: 'stddev',
    measure: 'length',
    priority: 3,
    meaning: 'sample standard deviation (divided by count − 1)',
    of: ({ stddev }) => stddev,
  },
  {
    name: 'p50',
    isPercentile: true,
    json: 'p50',
    measure: 'length',
    priority: 5,
    meaning: 'the median, by nearest rank',
    of: ({ p50 }) => p50,
  },
  {
    name: 'p90',
    isPercentile: true,
    json: 'p90',
    measure: 'length',
    priority: 9,
    meaning: '90 % are no longer',
    of: ({ p90 }) => p90,
  },
  {
    name: 'p99',
    isPercentile: true,
    json: 'p99',
    measure: 'length',
    priority: 4,
    meaning: '99 % are no longer',
    of: ({ p99 }) => p99,
  },
  {
    name: 'p99.9',
    isPercentile: true,
    json: 'p999',
    measure: 'length',
    priority: 6,
    meaning: '99.9 % are no longer',
    of: ({ p999 }) => p999,
  },
] as const satisfies readonly FigureOf[];

export type FigureEntry = (typeof figures)[number];

export type Figure = FigureEntry['name'];

/** What tables of statistics can be sorted by: a figure, largest first, or `name`. */
export type SortKey = Figure | 'name';

/** The figures of statistics. `whole` is the total that a share is of; rates are per second of `seconds`. */
export function measured(stats: Stats, whole: number, seconds: number): { [figure: string]: number } {
  return Object.fromEntries(figures.map(({ name, of }) => [name, of(stats, whole, seconds)]));
}

/** How many significant digits of a figure of so many samples are true, up to the four that lengths are written with. */
export function digitsOf(figure: string, count: number): number {
  const { isPercentile } = figures.find(({ name }) => name === figure) as FigureOf;
  return isPercentile === true ? percentileDigits(count) : 4;
}

export type Unit = 'ns' | 'cycles';

type Lengths = Extract<FigureEntry, { measure: 'length'; json: string }>['json'];

/** The figures as programs read them: `total_ns`, or `total_cycles` where nobody knows how long a cycle is. A number that there is none of is null. */
export type StatsJson = { count: number; rate_per_s: number | null } & {
  [Name in `${Lengths}_${Unit}`]?: number | null;
};

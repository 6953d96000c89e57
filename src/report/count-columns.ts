import type { Trace } from '../trace/trace.ts';
import type { CountResult, CountRow } from '../views/count.ts';
import type { Reading } from '../views/reading.ts';
import type { ValueBucket } from '../views/value-octaves.ts';
import { unitOf } from './answer.ts';
import { sortRows } from './column-names.ts';
import { type Column, columnsOf, forPeople, type Scope, scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import { count, percent } from './units.ts';

/** What a command needs to say of the events that it counted. */
export type CountAnswer = {
  trace: Trace;
  result: CountResult;
  reading: Reading;
  /** As the user wrote them. */
  events: readonly string[];
  by: readonly string[];
  hist: string | undefined;
  sort: string;
  top: number | undefined;
};

export type CountScope = Scope & { by: readonly string[]; total: number };

export type CountLine = CountRow & { names: readonly string[]; sum?: true };

export function countScope({ trace, result, by }: CountAnswer): CountScope {
  return {
    ...scopeOf(unitOf(trace), trace.clock.unit === 'none' ? Number.NaN : result.duration),
    by,
    total: result.count,
  };
}

/** The rows, in the order that was asked for, as many as were. */
export function countLines(answer: CountAnswer): CountLine[] {
  const { result, sort, top } = answer;
  const lines = result.rows.map((row): CountLine => ({ ...row, names: row.group.map((label) => label ?? 'none') }));
  return sortRows(countFigures, lines, sort, countScope(answer), ({ names }) => names).slice(0, top);
}

/** What is said of a row behind its name. */
export const countFigures = columnsOf<CountLine, CountScope>()([
  { key: 'count', type: 'number', title: 'count', meaning: 'how many', of: (row) => row.count },
  {
    key: 'share',
    type: 'share',
    title: 'share',
    meaning: 'of all that were counted',
    of: (row, { total }) => row.count / total,
    text: (row, { total }) => (row.sum ? '' : percent(row.count / total)),
  },
  {
    key: 'rate_per_s',
    type: 'rate',
    title: 'rate',
    meaning: 'how many in a second of the time that was asked for or recorded',
    of: (row, { seconds }) => row.count / seconds,
    when: ({ seconds }) => !Number.isNaN(seconds),
  },
]);

/** The fields that events are counted by: a field may have any name, so JSON has them in an object of their own. */
export function countKeys(by: readonly string[]): Column<CountLine, CountScope>[] {
  return [
    {
      key: 'group',
      type: 'object',
      meaning: 'the fields that `--by` names: `{reason: …}`, null where the event has none',
      of: ({ group }) => Object.fromEntries(by.map((name, n) => [name, group[n] ?? null])),
    },
    ...by.map(
      (name, n): Column<CountLine, CountScope> => ({
        key: name,
        type: 'text',
        meaning: `field ${name}`,
        of: ({ group }) => group[n],
        json: false,
      }),
    ),
  ];
}

/** The same for people. */
export function countNames(by: readonly string[]): Column<CountLine, CountScope>[] {
  return by.map((title, n) =>
    forPeople({ title: escapeText(title), type: 'text', shrink: 12, of: ({ names }) => names[n] }),
  );
}

export const countOver: Column<CountLine, CountScope> = {
  key: 'over',
  type: 'object',
  meaning: 'with `--timeline`, how many in each stretch of time',
  of: ({ over }) => over,
};

/** A line of the histogram. */
export type BucketLine = ValueBucket & { share: number; bar: string };

export const bucketColumns = columnsOf<BucketLine>()([
  {
    key: 'from',
    type: 'number',
    title: 'value',
    align: 'right',
    meaning: 'the least number of the bucket',
    of: ({ from }) => from,
    text: ({ from, below }) => (below - from === 1 ? count(from) : `${count(from)} – ${count(below - 1)}`),
  },
  { key: 'below', type: 'number', meaning: 'the least number above it', of: ({ below }) => below },
  { key: 'count', type: 'number', title: 'count', meaning: 'how many', of: (bucket) => bucket.count },
  { key: 'share', type: 'share', title: 'share', meaning: 'of all numbers', of: ({ share }) => share },
  forPeople({ title: '', type: 'text', of: ({ bar }) => bar }),
]);

import type { Trace } from '../trace/trace.ts';
import type { EndEvent, PairsResult, SlowPair, UnfinishedPair } from '../views/pairs.ts';
import type { Reading } from '../views/reading.ts';
import { unitOf } from './answer.ts';
import { beginKeys, cpuKey } from './begin-keys.ts';
import { sortRows } from './column-names.ts';
import { columnsOf, forPeople, scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import type { GroupLine, GroupScope } from './groups.ts';
import { groupFigures, pairStates, statesJson } from './groups.ts';
import type { InnerEventJson } from './inner-events.ts';
import { innerJson } from './inner-events.ts';
/** What a command needs to say of the pairs in one trace. */
export type PairsAnswer = {
  trace: Trace;
  result: PairsResult;
  reading: Reading;
  sort: string;
  /** As the user wrote them. */
  from: string;
  to: string;
  by: readonly string[];
  group: readonly string[];
  than: number | undefined;
};

export type PairsScope = GroupScope & { trace: Pick<Trace, 'origin' | 'clock' | 'threads'> };

export function pairsScope({ trace, result, group }: PairsAnswer): PairsScope {
  const unit = unitOf(trace);
  return { ...scopeOf(unit, result.duration), trace, by: group, total: result.all.total, states: pairStates };
}

/** The rows, in the order that was asked for. */
export function pairLines(answer: PairsAnswer): GroupLine[] {
  const { result, group, sort } = answer;
  const lines = result.rows.map(
    (row): GroupLine => ({ ...row, names: group.length === 0 ? ['all'] : row.group.map((label) => label ?? 'none') }),
  );
  return sortRows(groupFigures, lines, sort, pairsScope(answer), ({ names }) => names);
}

/** The thread that a pair began on. */
export function pairThread({ threads }: Pick<Trace, 'threads'>, { tid, cpu }: Pick<SlowPair, 'tid' | 'cpu'>): string {
  if (tid < 0) return cpu < 0 ? '' : `CPU ${cpu}`;
  const comm = threads.get(tid)?.comm ?? '';
  return `${comm === '' ? 'thread' : escapeText(comm)} ${tid}${cpu < 0 ? '' : `  CPU ${cpu}`}`;
}

type EndJson = { event: string; text: string };
const endJson = ({ name, text }: EndEvent): EndJson => ({ event: name, text: text.trimEnd() });
type Begun = SlowPair | UnfinishedPair;

const begun = <const L extends 'duration' | 'age'>(length: L, meaning: string) =>
  columnsOf<Begun, PairsScope>()([
    ...beginKeys<Begun, PairsScope>('time stamp of its first event', 'since'),
    { key: length, type: 'length', title: length, meaning, of: ({ duration }) => duration },
    forPeople({ title: 'thread', type: 'text', shrink: 12, of: (pair, { trace }) => pairThread(trace, pair) }),
    {
      key: 'tid',
      type: 'number',
      isId: true,
      meaning: 'its thread',
      of: ({ tid }): number | null => (tid < 0 ? null : tid),
    },
    {
      key: 'comm',
      type: 'text',
      meaning: "the thread's name",
      of: ({ tid }, { trace }) => trace.threads.get(tid)?.comm ?? '',
    },
    ...cpuKey<Begun, PairsScope>('CPU on which it began'),
  ]);

export const slowPairColumns = columnsOf<SlowPair, PairsScope>()([
  ...begun('duration', 'until its last event'),
  {
    key: 'group',
    type: 'object',
    meaning: 'the fields that `--group` names: `{comm: …}`',
    of: ({ group }, { by }): { [name: string]: string | null } | undefined =>
      by.length === 0 ? undefined : Object.fromEntries(by.map((name, n) => [name, group[n] ?? null])),
  },
  { key: 'from', type: 'object', meaning: 'its first event: `{event, text}`', of: ({ from }) => endJson(from) },
  { key: 'to', type: 'object', meaning: 'its last event: `{event, text}`', of: ({ to }) => endJson(to) },
  {
    key: 'states',
    type: 'object',
    meaning: 'with `--breakdown`, what the thread did in that time',
    of: ({ states }): { [state: string]: number | null } | undefined => states && statesJson(states),
  },
  {
    key: 'events',
    type: 'object',
    meaning: 'what its thread did in between, of pairs by tid',
    of: ({ events }, scope): InnerEventJson[] | undefined =>
      events.length === 0 ? undefined : innerJson(events, scope),
  },
]);

export const openPairColumns = columnsOf<UnfinishedPair, PairsScope>()([
  ...begun('age', 'how long ago it began, at the end'),
  {
    key: 'from',
    type: 'object',
    title: 'event',
    shrink: 20,
    meaning: 'its first event: `{event, text}`',
    of: ({ from }) => endJson(from),
    text: ({ from }) => escapeText(`${from.name} ${from.text}`.trim()),
  },
]);

import type { Stats } from '../spans/summary.ts';
import type { Subject } from '../views/conditions.ts';
import type { PairStates } from '../views/pairs.ts';
import { cellText } from '../views/span-groups.ts';
import { shownRows } from './answer.ts';
import { rowSubjects } from './column-names.ts';
import { type Column, figureColumns, figureJson, forPeople, rowsTable, type Scope } from './columns.ts';
import { escapeText } from './escape.ts';
import { columnName } from './span-rows.ts';
import type { Terminal } from './terminal.ts';
import { count, percent, plural } from './units.ts';

/*
 * Spans by what some of their columns hold, or pairs by fields of their events: the rows of `virtap spans` and `virtap pairs`.
 */

export type GroupLine = {
  /** What each column of `by` holds; undefined for the rest of what were too many, and for the sum of all. */
  group: readonly unknown[] | undefined;
  /** For people. */
  names: readonly string[];
  stats: Stats;
  states?: PairStates | undefined;
  sum?: true;
};

export type GroupScope = Scope & {
  by: readonly string[];
  /** The time of all. */
  total: number;
  /** What threads did, of those that tables have. */
  states: readonly (keyof PairStates)[];
};

const share = ({ stats, sum }: GroupLine, { total, by }: GroupScope) =>
  sum === true || by.length === 0 ? Number.NaN : stats.total / total;

/** A value of a span's column for programs. */
export function cellJson(cell: unknown, signed?: true): string | number | boolean | null {
  if (typeof cell === 'number')
    return (cell === -1 && signed !== true) || !Number.isFinite(cell) ? null : Math.round(cell);
  if (typeof cell === 'boolean') return cell;
  return typeof cell === 'string' && cell !== '' ? cell : null;
}

/** What names groups: for people, and in CSV. */
function nameColumns(by: readonly string[]): Column<GroupLine, GroupScope>[] {
  const titles = by.length === 0 ? [''] : by;
  return titles.map((title, n) =>
    forPeople({ title: escapeText(title), type: 'text', shrink: 12, of: ({ names }) => names[n] }),
  );
}

/** The columns of spans' groups, which rows have each for itself. */
export function spanKeys(by: readonly string[]): Column<GroupLine, GroupScope>[] {
  return by.map((name, n) => ({
    key: columnName(name, 'text', 'ns'),
    type: 'text',
    meaning: `column ${name} of the kind`,
    of: ({ group }) => cellJson(group?.[n]),
    csvOf: ({ group, names }) => cellText((group ?? names)[n]),
  }));
}

/** The fields that pairs are grouped by: a field may have any name, so JSON has them in an object of their own. */
export function pairKeys(by: readonly string[]): Column<GroupLine, GroupScope>[] {
  return [
    {
      key: 'group',
      type: 'object',
      meaning: 'the fields that `--group` names: `{comm: …}`',
      of: ({ group }) =>
        by.length === 0 ? undefined : Object.fromEntries(by.map((name, n) => [name, cellJson(group?.[n])])),
    },
    ...by.map(
      (name, n): Column<GroupLine, GroupScope> => ({
        key: name,
        type: 'text',
        meaning: `field ${name}`,
        of: ({ group }) => cellJson(group?.[n]),
        json: false,
      }),
    ),
  ];
}

/** What is said of a group behind its name. */
export const groupFigures: readonly Column<GroupLine, GroupScope>[] = [
  {
    key: 'share',
    type: 'share',
    meaning: 'of the time of all',
    of: ({ stats }, { total }) => stats.total / total,
    csv: false,
  },
  ...figureColumns<GroupLine, GroupScope>(({ stats }) => stats, share),
];

/** What threads did in the time of pairs. */
export const pairStates = ['running', 'preempted', 'blocked', 'unknown'] as const;

export const statesColumn: Column<GroupLine, GroupScope> = {
  key: 'states',
  type: 'object',
  meaning: 'with `--breakdown`, what the thread did in that time: `{running, preempted, blocked, unknown}`',
  of: ({ states }) => states && statesJson(states),
};

export function statesJson(all: PairStates): { [state: string]: number | null } {
  return Object.fromEntries(pairStates.map((state) => [state, figureJson('length', all[state])]));
}

const timeOf = (states: PairStates | undefined) =>
  states === undefined ? Number.NaN : pairStates.reduce((sum, state) => sum + states[state], 0);

/** Of the table of where the time went. */
export const pairStateColumns: readonly Column<GroupLine, GroupScope>[] = [
  forPeople({ title: 'total', type: 'length', priority: 1, of: ({ states }) => timeOf(states) }),
  ...pairStates.map((state) =>
    forPeople<GroupLine, GroupScope>({
      title: state,
      type: 'share',
      of: ({ states }) => states && states[state] / timeOf(states),
      text: ({ states }) =>
        states === undefined || states[state] === 0 ? '-' : percent(states[state] / timeOf(states)),
      when: ({ states }) => states.includes(state),
    }),
  ),
];

/** What conditions can be about in groups, besides the figures of statistics. */
export function groupRows(kind: string, lines: readonly GroupLine[], scope: GroupScope): Subject[] {
  return rowSubjects(kind, [...groupFigures, statesColumn], lines, scope, ({ group, names }) =>
    (group?.map(cellText) ?? names).join(),
  );
}

/** A table of groups, largest first, and the sum of all, of which `all` is. */
export function groupTable(
  columns: readonly Column<GroupLine, GroupScope>[],
  lines: readonly GroupLine[],
  all: Pick<GroupLine, 'stats' | 'states'>,
  scope: GroupScope,
  terminal: Terminal,
): { table: string; hidden: string } {
  const shown = lines.slice(0, shownRows);
  const sum: GroupLine = { ...all, group: undefined, names: ['all', ...scope.by.slice(1).map(() => '')], sum: true };
  const rows = lines.length > 1 ? [...shown, sum] : shown;
  const table = rowsTable([...nameColumns(scope.by), ...columns], rows, scope, terminal, (row) =>
    row.sum ? 'strong' : undefined,
  );
  const left = lines.length - shown.length;
  const note = `${plural(left, 'more row')} not shown; --csv and --json have all.\n`;
  return { table, hidden: left === 0 ? '' : terminal.style('dim', note) };
}

/** `Not ended: 3`, or how many of them are listed. */
export function notEnded(shown: number, all: number, terminal: Terminal): string {
  const cut = all > shown ? `, the ${count(shown)} oldest of ${count(all)}` : `: ${count(all)}`;
  return `${terminal.style('strong', 'Not ended')}${cut}\n`;
}

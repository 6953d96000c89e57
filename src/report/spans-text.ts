import type { Column as KindColumn, SpanKind } from '../spans/kind.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Reading } from '../views/reading.ts';
import { cellText } from '../views/span-groups.ts';
import type { SpanCells, SpansResult } from '../views/spans.ts';
import { unitOf } from './answer.ts';
import { closingPart, heatPart, inParts, slowTitle, upper } from './answer-parts.ts';
import { beginKeys } from './begin-keys.ts';
import { sortRows } from './column-names.ts';
import { type Column, columnsOf, rowsTable, type Scope, scopeOf } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { cellJson, type GroupLine, type GroupScope, groupFigures, groupTable, notEnded } from './groups.ts';
import { remarkLines } from './remarks.ts';
import { columnName } from './span-rows.ts';
import { table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { lengths, plural } from './units.ts';

/** What `virtap spans` needs to say of one trace. */
export type SpansAnswer = {
  trace: Trace;
  reading: Reading;
  result: SpansResult;
  sort: string;
  than: number | undefined;
};

/** Open spans shown of all. */
const shownOpen = 10;

export function spansScope({ trace, reading, result }: Omit<SpansAnswer, 'sort' | 'than'>): GroupScope {
  const length = reading.window.to - reading.window.from;
  return { ...scopeOf(unitOf(trace), length), by: result.by, total: result.all.total, states: [] };
}

/** The rows, in the order that was asked for. */
export function spanLines(answer: SpansAnswer): GroupLine[] {
  const { by, rows } = answer.result;
  const lines = rows.map(({ group, stats }): GroupLine => {
    const names = group === undefined ? by.map(() => 'others') : group.map((cell) => cellText(cell) || 'unknown');
    return { group, names: by.length === 0 ? ['all'] : names, stats };
  });
  return sortRows(groupFigures, lines, answer.sort, spansScope(answer), ({ names }) => names);
}

/** The whole answer as text. */
export function spansText(answer: SpansAnswer, terminal: Terminal): string {
  const { result, reading, trace } = answer;
  const { kind, all } = result;
  const scope = spansScope(answer);
  const format = lengths(scope.unit);
  const title = terminal.style('heading', escapeText(trace.file));
  const length = reading.window.to - reading.window.from;
  const parts = [`${title}\n  ${plural(all.count, kind.word)} in ${format.long(length)}: ${kind.meaning}\n`];
  if (all.count === 0 && result.openCount === 0) parts.push(noneText(`no ${kind.word}`, answer));
  if (all.count > 0) {
    const { table, hidden } = groupTable(groupFigures, spanLines(answer), { stats: all }, scope, terminal);
    parts.push(table + hidden);
    parts.push(heatPart(kind.plural, result.heat, scope.unit, terminal));
    if (result.slow !== undefined) parts.push(slowPart(answer, result.slow, scope, terminal));
  }
  if (result.openCount > 0) {
    const shown = result.open.slice(0, shownOpen);
    parts.push(notEnded(shown.length, result.openCount, terminal) + list(answer, shown, 'age', terminal));
  }
  parts.push(closingPart([], reading, terminal, leftOut(kind)));
  return inParts(parts);
}

/** The kinds that there are, and their columns. */
export function kindsText(kinds: readonly SpanKind[], terminal: Terminal): string {
  return kinds
    .map(({ plural, meaning, needs, columns }) => {
      const rows = Object.entries(columns).map(([name, { type, meaning }]) => [`  ${name}`, type, meaning]);
      const titles = [{ title: '  column' }, { title: 'type' }, { title: 'meaning', shrink: 30 }];
      return `${terminal.style('heading', plural)}\n  ${meaning}\n  takes ${needs}\n\n${table(titles, rows, terminal)}`;
    })
    .join('\n');
}

/** Why there is nothing to say; then what was lost or not read, which may be why. */
export function noSpans({
  trace,
  result,
  reading,
}: Pick<SpansAnswer, 'trace' | 'result' | 'reading'>): [string, ...string[]] {
  const { kind, seen } = result;
  const why = seen
    ? `no ${kind.word} begins and ends in it (${kind.meaning})`
    : `${
        untellable(
          trace.types.map(({ name }) => name),
          `any ${kind.word}`,
        ) ?? `there is no ${kind.word} in it`
      }; it takes ${kind.needs}`;
  return [`${trace.file}: ${why}`, ...remarkLines(reading, leftOut(kind)).map(([, line]) => line)];
}

const leftOut = (kind: SpanKind) => `${upper(kind.plural)} that lost events may be missing from are left out.`;

function slowPart(answer: SpansAnswer, slow: readonly SpanCells[], { unit }: Scope, terminal: Terminal): string {
  const { result, than } = answer;
  const ones = { shown: slow.length, over: result.over, than, unit };
  return `${slowTitle(result.kind.plural, ones, terminal)}\n${list(answer, slow, 'duration', terminal)}`;
}

/** Spans one a line, with the columns of their kind that any of them has. */
function list(
  answer: SpansAnswer,
  spans: readonly SpanCells[],
  length: 'duration' | 'age',
  terminal: Terminal,
): string {
  const held = spans.flatMap(({ cells }) => Object.keys(cells).filter((name) => cellText(cells[name]) !== ''));
  const scope = { ...spansScope(answer), trace: answer.trace, held: new Set(held) };
  return rowsTable(spanColumns(answer.result.kind, length), spans, scope, terminal);
}

export type SpanScope = Scope & {
  trace: Pick<Trace, 'origin' | 'clock'>;
  /** The columns of the kind that any of these spans has. */
  held: ReadonlySet<string>;
};

/** The columns of single spans: those of their kind. `length` is what theirs is called. */
export function spanColumns(
  { columns }: SpanKind,
  length: 'duration' | 'age',
): readonly Column<SpanCells, SpanScope>[] {
  const others = Object.entries<KindColumn>(columns).filter(
    ([name, { type }]) => name !== 'begin' && name !== 'duration' && type !== 'detail',
  );
  return [
    ...columnsOf<SpanCells, SpanScope>()([
      ...beginKeys<SpanCells, SpanScope>('time stamp of its beginning', 'time'),
      {
        key: length,
        type: 'length',
        title: length,
        meaning: 'how long it took',
        of: ({ duration }) => duration,
        style: () => 'bad',
      },
    ]),
    ...others.map(([name, column], n) => spanColumn(name, column, 1 + n)),
  ];
}

function spanColumn(
  name: string,
  { type, signed, meaning }: KindColumn,
  priority: number,
): Column<SpanCells, SpanScope> {
  const cell = {
    number: 'number',
    flag: 'flag',
    time: 'time',
    length: 'length',
    text: 'text',
    hex: 'text',
    detail: 'object',
  } as const;
  return {
    key: columnName(name, 'text', 'ns'),
    type: cell[type],
    title: name,
    shrink: 12,
    priority,
    align: 'left',
    meaning,
    of: ({ cells }) => (name in cells ? cellJson(cells[name], signed) : undefined),
    text: ({ cells }, { trace, unit }) => {
      const value = cells[name];
      if (type === 'time')
        return typeof value === 'number' && value !== -1 ? timestamp(trace.origin, value, trace.clock.unit) : '';
      if (type === 'length') return typeof value === 'number' && value >= 0 ? lengths(unit).long(value) : '';
      return escapeText(cellText(value));
    },
    when: ({ held }) => held.has(name),
  };
}

import type { Column, SpanKind } from '../spans/kind.ts';
import { timestamp, timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Reading } from '../views/reading.ts';
import { cellText } from '../views/span-groups.ts';
import type { SpanCells, SpansResult } from '../views/spans.ts';
import { csv } from './csv.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { heatJson, heatmapText } from './heatmap-text.ts';
import { integer, type Json, number } from './json.ts';
import { remarks, remarksJson } from './remarks.ts';
import { columnName } from './span-rows.ts';
import {
  csvFigureNames,
  csvFigures,
  figureCells,
  figureColumns,
  howMany,
  lengths,
  type SortKey,
  shownRows,
  sorted,
  statsJson,
} from './stats-table.ts';
import { type Cell, type Column as TableColumn, table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { count, plural } from './units.ts';

/** What `virtap spans` needs to say of one trace. */
export type SpansAnswer = {
  trace: Trace;
  reading: Reading;
  result: SpansResult;
  sort: SortKey;
  than: number | undefined;
};

/** Open spans shown of all. */
const shownOpen = 10;

/** The whole answer as text. */
export function spansText(answer: SpansAnswer, terminal: Terminal): string {
  const { result, reading, trace } = answer;
  const { kind, all } = result;
  const format = lengths(unitOf(answer));
  const title = terminal.style('heading', escapeText(trace.file));
  const length = reading.window.to - reading.window.from;
  const parts = [`${title}\n  ${plural(all.count, kind.word)} in ${format.long(length)}: ${kind.meaning}\n`];
  if (all.count === 0 && result.openCount === 0) parts.push(noneText(`no ${kind.word}`, answer));
  if (all.count > 0) {
    parts.push(statsTable(answer, terminal));
    if (result.heat !== undefined) {
      const heading = terminal.style('strong', `${titled(kind.plural)} over time, by how long they took`);
      parts.push(`${heading}\n${heatmapText(result.heat, terminal, unitOf(answer))}`);
    }
    if (result.slow !== undefined) parts.push(slowPart(answer, result.slow, terminal));
  }
  if (result.openCount > 0) parts.push(openPart(answer, terminal));
  const closing = remarks(reading, terminal, leftOut(kind));
  if (closing !== '') parts.push(closing);
  return parts.join('\n');
}

/** The kinds that there are, and their columns. */
export function kindsText(kinds: readonly SpanKind[], terminal: Terminal): string {
  return kinds
    .map(({ plural, meaning, needs, columns }) => {
      const rows = Object.entries(columns).map(([name, { type, meaning }]) => [`  ${name}`, type, meaning]);
      const titles: TableColumn[] = [{ title: '  column' }, { title: 'type' }, { title: 'meaning', shrink: 30 }];
      return `${terminal.style('heading', plural)}\n  ${meaning}\n  takes ${needs}\n\n${table(titles, rows, terminal)}`;
    })
    .join('\n');
}

/** Why there is nothing to say; then what was lost or not read, which may be why. */
export function noSpans(
  { trace, result, reading }: Pick<SpansAnswer, 'trace' | 'result' | 'reading'>,
  terminal: Terminal,
): [string, ...string[]] {
  const { kind, seen } = result;
  const why = seen
    ? `no ${kind.word} begins and ends in it (${kind.meaning})`
    : `${
        untellable(
          trace.types.map(({ name }) => name),
          `any ${kind.word}`,
        ) ?? `there is no ${kind.word} in it`
      }; it takes ${kind.needs}`;
  const closing = remarks(reading, terminal, leftOut(kind)).trimEnd();
  return [`${trace.file}: ${why}`, ...(closing === '' ? [] : closing.split('\n'))];
}

const leftOut = (kind: SpanKind) => `${titled(kind.plural)} that lost events may be missing from are left out.`;

function unitOf({ trace }: Pick<SpansAnswer, 'trace'>): 'ns' | 'cycles' {
  return trace.clock.unit === 'ticks' ? 'cycles' : 'ns';
}

/** The time that rates are of; NaN where nobody knows how long a unit of the clock is. */
export function secondsOf({ trace, reading }: Pick<SpansAnswer, 'trace' | 'reading'>): number {
  return trace.clock.unit === 'ns' ? (reading.window.to - reading.window.from) / 1e9 : Number.NaN;
}

const titled = (word: string) => (word[0] ?? '').toUpperCase() + word.slice(1);

function named({ rows, by }: SpansResult) {
  return rows.map((row) => ({
    ...row,
    names: row.group === undefined ? by.map(() => 'others') : row.group.map((cell) => cellText(cell) || 'unknown'),
  }));
}

function statsTable(answer: SpansAnswer, terminal: Terminal): string {
  const { result, sort } = answer;
  const { by, all } = result;
  const format = lengths(unitOf(answer));
  const seconds = secondsOf(answer);
  const rows = sorted(named(result), sort);
  const titles = by.length === 0 ? [''] : by;
  const columns: TableColumn[] = [...titles.map((title): TableColumn => ({ title, shrink: 12 })), ...figureColumns];
  const cells = rows
    .slice(0, shownRows)
    .map(({ names, stats }): Cell[] => [
      ...(by.length === 0 ? ['all'] : names.map(escapeText)),
      ...figureCells(stats, by.length === 0 ? Number.NaN : stats.total / all.total, seconds, format),
    ]);
  if (rows.length > 1) {
    const line = ['all', ...by.slice(1).map(() => ''), ...figureCells(all, Number.NaN, seconds, format)];
    cells.push(line.map((text): Cell => ({ text, style: 'strong' })));
  }
  const hidden = rows.length - shownRows;
  const note = hidden > 0 ? `${plural(hidden, 'more row')} not shown; --csv and --json have all.\n` : '';
  return `${table(columns, cells, terminal)}${note === '' ? '' : terminal.style('dim', note)}`;
}

function slowPart(answer: SpansAnswer, slow: readonly SpanCells[], terminal: Terminal): string {
  const { result, than } = answer;
  const format = lengths(unitOf(answer));
  const { plural: many } = result.kind;
  const title = than === undefined ? `Slow ${many}` : `${titled(many)} longer than ${format.short(than)}`;
  return `${terminal.style('strong', title)}${howMany(slow.length, result.over)}\n${list(answer, slow, 'duration', terminal)}`;
}

function openPart(answer: SpansAnswer, terminal: Terminal): string {
  const { open, openCount } = answer.result;
  const shown = open.slice(0, shownOpen);
  const cut =
    openCount > shown.length ? `, the ${count(shown.length)} oldest of ${count(openCount)}` : `: ${count(openCount)}`;
  return `${terminal.style('strong', 'Not ended')}${cut}\n${list(answer, shown, 'age', terminal)}`;
}

/** Spans one a line, with the columns of their kind that any of them has. */
function list(answer: SpansAnswer, spans: readonly SpanCells[], length: string, terminal: Terminal): string {
  const { trace, result } = answer;
  const format = lengths(unitOf(answer));
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const others = Object.entries(result.kind.columns).filter(
    ([name, { type }]) =>
      name !== 'begin' &&
      name !== 'duration' &&
      type !== 'detail' &&
      spans.some(({ cells }) => cellText(cells[name]) !== ''),
  );
  const columns: TableColumn[] = [
    { title: 'time' },
    { title: length, align: 'unit' },
    ...others.map(([name], n): TableColumn => ({ title: name, shrink: 12, priority: 1 + n })),
  ];
  const rows = spans.map(({ begin, duration, cells }) => [
    stamp(begin),
    { text: format.long(duration), style: 'bad' as const },
    ...others.map(([name, { type }]): Cell => {
      const cell = cells[name];
      if (type === 'time') return moment(cell, stamp);
      if (type === 'length') return typeof cell === 'number' && cell >= 0 ? format.long(cell) : '';
      return escapeText(cellText(cell));
    }),
  ]);
  return table(columns, rows, terminal);
}

function moment(cell: unknown, stamp: (offset: number) => string): string {
  return typeof cell === 'number' && cell !== -1 ? stamp(cell) : '';
}

/** The whole answer for programs. */
export function spansJson(answer: SpansAnswer): Json {
  const { trace, reading, result, sort } = answer;
  const unit = unitOf(answer);
  const seconds = secondsOf(answer);
  const group = (cells: readonly unknown[] | undefined) =>
    Object.fromEntries(result.by.map((name, n) => [columnName(name, 'text', unit), cellJson(cells?.[n])]));
  const one = ({ begin, duration, cells }: SpanCells, length: string): Json => ({
    time: timestamp(trace.origin, begin, trace.clock.unit),
    [`begin_${unit}`]: integer(begin),
    [`${length}_${unit}`]: integer(duration),
    ...Object.fromEntries(
      Object.entries<Column>(result.kind.columns)
        .filter(([name, { type }]) => name !== 'begin' && name !== 'duration' && type !== 'detail' && name in cells)
        .map(([name, { type, signed }]) => [columnName(name, type, unit), cellJson(cells[name], signed)]),
    ),
  });
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit,
    origin: trace.origin.toString(),
    [`duration_${unit}`]: integer(reading.window.to - reading.window.from),
    kind: result.kind.word,
    by: [...result.by],
    totals: statsJson(result.all, seconds, unit),
    rows: sorted(named(result), sort).map((row) => ({
      ...group(row.group),
      share: number(row.stats.total / result.all.total),
      ...statsJson(row.stats, seconds, unit),
    })),
    open_count: result.openCount,
    open: result.open.map((span) => one(span, 'age')),
    ...(result.slow === undefined
      ? {}
      : { over_threshold: result.over, slow: result.slow.map((span) => one(span, 'duration')) }),
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, unit) }),
    ...remarksJson(reading),
  };
}

function cellJson(cell: unknown, signed?: true): Json {
  if (typeof cell === 'number') return cell === -1 && signed !== true ? null : integer(cell);
  if (typeof cell === 'boolean') return cell;
  return typeof cell === 'string' && cell !== '' ? cell : null;
}

/** The table for spreadsheets. */
export function spansCsv(answer: SpansAnswer): string {
  const { result, sort } = answer;
  const unit = unitOf(answer);
  return csv(
    [...result.by.map((name) => columnName(name, 'text', unit)), ...csvFigureNames(unit)],
    sorted(named(result), sort).map((row) => [
      ...(row.group ?? row.names).map(cellText),
      ...csvFigures(row.stats, secondsOf(answer)),
    ]),
  );
}

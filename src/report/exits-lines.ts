import type { Stats } from '../spans/summary.ts';
import type { VcpuState } from '../spans/vcpu-time.ts';
import type { Subject } from '../views/conditions.ts';
import { dimensions, type ExitResult, type ExitRow } from '../views/exits.ts';
import { shownRows } from './answer.ts';
import { columnNamed, rowSubjects, sortRows } from './column-names.ts';
import type { Column } from './columns.ts';
import { divisionsOf, exitStates, sumOf } from './exit-division.ts';
import { groupNames } from './exit-names.ts';
import {
  divisionColumns,
  type ExitLine,
  type ExitScope,
  exitColumns,
  exitScope,
  groupColumns,
  ofExits,
} from './exits-columns.ts';

/** All that rows can be sorted by. */
export const lineColumns: readonly Column<ExitLine, ExitScope>[] = [
  ...groupColumns(dimensions),
  ...exitColumns,
  ...divisionColumns,
];

/** Those that programs have: their share is another one. */
const programColumns = lineColumns.filter(({ json, csv }) => json !== false || csv !== false);

type Of = { result: ExitResult; sort: string };

/** The scope of the answer's lines. `also` are divisions of other things told with them. */
export function scopeOfExits(result: ExitResult): ExitScope {
  const slow = (result.slow ?? []).flatMap(({ parts }) => parts ?? []);
  return exitScope(result, exitStates([...divisionsOf(result), ...slow], result.untold ?? []));
}

function sorted({ result, sort }: Of, lines: readonly ExitLine[], columns = lineColumns): ExitLine[] {
  const key = result.untimed !== undefined && isTimedSort(sort) ? 'count' : sort;
  return sortRows(columns, lines, key, exitScope(result), ({ names }) => names);
}

/** Whether it takes exits' times to sort by this. */
export function isTimedSort(sort: string): boolean {
  const column = columnNamed(lineColumns, sort)?.column;
  return column?.type === 'length' || column?.type === 'object' || (column?.type === 'share' && column.key !== ofExits);
}

/** A line for each group, halts and all. */
export function groupLines({ result, sort }: Of): ExitLine[] {
  const byReason = result.by.includes('reason');
  const lines = result.rows.map(
    (row): ExitLine => ({
      kind: byReason && row.halts !== undefined ? 'halt' : 'row',
      names: groupNames(result, row.group),
      stats: row.all,
      share: Number.NaN,
      parts: undefined,
      row,
    }),
  );
  return sorted({ result, sort }, lines, programColumns);
}

/** What conditions can be about in the rows, besides the figures of statistics. */
export function exitRows({ result, sort }: Of): Subject[] {
  const lines = groupLines({ result, sort });
  return rowSubjects('exit', lineColumns, lines, scopeOfExits(result), ({ names }) => names.join());
}

/** A line for what is no halt of each group, or for its halts; in the order of the groups. */
function* linesOf(result: ExitResult, rows: readonly ExitRow[], kind: 'row' | 'halt'): Iterable<ExitLine> {
  const of = kind === 'row' ? 'busy' : 'halts';
  for (const row of rows) {
    const stats = row[of];
    if (stats === undefined) continue;
    const share = kind === 'row' ? stats.total / result.busy.total : Number.NaN;
    yield { kind, names: groupNames(result, row.group), stats, share, parts: row.parts?.[of], row };
  }
}

/** The lines of CSV: those of the groups without halts, and those of the halts. */
export function csvLines(of: Of): ExitLine[] {
  const rows = groupLines(of).map(({ row }) => row as ExitRow);
  return (['row', 'halt'] as const).flatMap((kind) => [...linesOf(of.result, rows, kind)]);
}

/** The lines of the tables for people, with sums, and how many were too many to be shown. */
export function tableLines(of: Of): { lines: ExitLine[]; hidden: number } {
  const { result } = of;
  const [busy, halts] = (['row', 'halt'] as const).map((kind) =>
    sorted(of, [...linesOf(result, result.rows, kind)]),
  ) as [ExitLine[], ExitLine[]];
  const lines = [...busy];
  if (halts.length > 0) {
    if (busy.length > 1) lines.push(sumLine(result, 'without halts', result.busy, busy, 1));
    const others = new Set(busy.map(({ names }) => names.join()));
    for (const line of halts) {
      const last = result.by.includes('reason') && !others.has(line.names.join()) ? '' : ' halted';
      lines.push({ ...line, names: line.names.map((name, n) => (n === 0 ? name + last : name)) });
    }
    if (halts.length > 1) lines.push(sumLine(result, 'halts', result.halts, halts));
  }
  if (lines.length !== 1) lines.push(sumLine(result, 'all', result.all, [...busy, ...halts]));
  return { lines, hidden: shorten(lines) };
}

/** The same where exits could only be counted. */
export function countLines(of: Of): { lines: ExitLine[]; hidden: number } {
  const lines = groupLines(of).map((line): ExitLine => ({ ...line, kind: 'row' }));
  const hidden = shorten(lines);
  if (lines.length + hidden > 1) lines.push(sumLine(of.result, 'all', of.result.all, []));
  return { lines, hidden };
}

function sumLine(
  result: ExitResult,
  name: string,
  stats: Stats,
  lines: readonly ExitLine[],
  share = Number.NaN,
): ExitLine {
  const parts = lines.flatMap((line) => line.parts ?? []);
  return {
    kind: 'sum',
    names: [name, ...result.by.slice(1).map(() => '')],
    stats,
    share,
    parts: parts.length === 0 ? undefined : sumOf(parts),
    row: undefined,
  };
}

/** Takes out all but the first lines of each kind; gives how many. */
function shorten(lines: ExitLine[]): number {
  const before = lines.length;
  for (const kind of ['row', 'halt'] as const) {
    const first = lines.findIndex((line) => line.kind === kind);
    const count = lines.filter((line) => line.kind === kind).length;
    if (count > shownRows) lines.splice(first + shownRows, count - shownRows);
  }
  return before - lines.length;
}

/** The states that a table of where the time went has. */
export function toldIn(result: ExitResult, lines: readonly ExitLine[]): VcpuState[] {
  return exitStates(
    lines.flatMap(({ parts }) => parts ?? []),
    result.untold ?? [],
  );
}

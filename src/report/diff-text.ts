import { confidence } from '../views/change.ts';
import type { Diff, DiffRow, Side, SideRow } from '../views/diff.ts';
import { shownRows } from './answer.ts';
import { sortRows } from './column-names.ts';
import { rowJson, rowsCsv, rowsTable, scopeOf } from './columns.ts';
import {
  type DiffAnswer,
  type DiffKind,
  type DiffSource,
  diffRowColumns,
  diffScope,
  diffSortColumns,
  type FigureRow,
  figureRowColumns,
  nameText,
  overviewColumns,
  uncertainText,
} from './diff-columns.ts';
import { escapeText } from './escape.ts';
import { integer, type Json } from './json.ts';
import { untimedWhy } from './no-exits.ts';
import { remarks, remarksJson } from './remarks.ts';
import { type Cell, type Layout, table } from './table.ts';
import { type Style, type Terminal, wrap } from './terminal.ts';
import { count, duration, percent, plural } from './units.ts';
import { untoldLine } from './vcpu-states.ts';

/** Names of rare rows that are listed. */
const shownRare = 12;

/** The whole answer as text. */
export function diffText(answer: DiffAnswer, terminal: Terminal): string {
  const { before, after } = answer;
  const parts = [
    headings(answer, terminal),
    newsPart(answer, terminal),
    overview(answer, terminal),
    [...legend(answer), ...cautions(answer)].flatMap((text) => lines(text, 'dim', terminal)).join(''),
    ...[before, after].map(({ trace, reading, untold }) => {
      const told = [
        ...(answer.kind === 'vcpus' ? untold.map((one) => terminal.style('dim', `${untoldLine(one)}\n`)) : []),
        remarks(reading, terminal, 'Its counts and rates are too low by these.'),
      ].join('');
      return told === '' ? '' : `${escapeText(trace.file)}:\n${told}`;
    }),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function lines(text: string, style: Style, terminal: Terminal): string[] {
  return wrap(text, terminal.tableWidth, 0).map((line) => `${terminal.style(style, line)}\n`);
}

function headings({ kind, before, after, diff }: DiffAnswer, terminal: Terminal): string {
  const line = (title: string, { trace }: DiffSource, side: Side) => [
    terminal.style('strong', title),
    escapeText(trace.file),
    counted(kind, side.count),
    `in ${duration(side.duration)}`,
    side.vcpus === undefined ? '' : plural(side.vcpus, 'vCPU'),
  ];
  const columns: Layout[] = [
    { title: '' },
    { title: '', shrink: 20, keep: 'end' },
    { title: '', align: 'right' },
    { title: '' },
    { title: '' },
  ];
  return table(
    columns,
    [line('before', before, diff.before), line('after', after, diff.after)].map((cells) => cells.map(plainCell)),
    terminal,
  );
}

function counted(kind: DiffKind, n: number): string {
  if (typeof kind !== 'string') return plural(n, kind.word);
  if (kind === 'locks') return plural(n, 'wait and hold', 'waits and holds');
  return plural(n, kind === 'requests' ? 'request' : 'exit');
}

function plainCell(text: string): Cell {
  return text;
}

/** Each change that is more than noise, with all that is known of it. */
function newsPart(answer: DiffAnswer, terminal: Terminal): string {
  const { diff } = answer;
  if (diff.news === 0) {
    const judged = diff.rows.every(isRare)
      ? 'Nothing can be said with confidence: in one of the recordings, everything is too rare. The figures stand below without an interval.'
      : `Nothing changed by more than noise, in ${plural(diff.judged, 'comparison')}.`;
    return `${wrap(judged, terminal.tableWidth, 0).join('\n')}\n`;
  }
  const rows = figureRows(diff).filter(({ row, figure }) => row.changes[figure]?.news === true);
  const title = `${terminal.style('strong', 'What changed')}: ${count(diff.news)} of ${plural(diff.judged, 'comparison')}`;
  const hidden = rows.length - shownNews;
  const more =
    hidden > 0 ? `${terminal.style('dim', `${count(hidden)} more not shown; --csv and --json have all.`)}\n` : '';
  return `${title}\n${rowsTable(figureRowColumns(answer.kind), rows.slice(0, shownNews), diffScope(answer), terminal)}${more}`;
}

const shownNews = 60;

/** Rows that are shown: those of which something can be said with confidence, or else all. */
function shownOf({ rows }: Diff): DiffRow[] {
  const sure = rows.filter((row) => !isRare(row));
  return sure.length > 0 ? sure : rows;
}

/** Rows of which nothing but how often they occur could be compared, and that is no news. */
function isRare({ changes }: DiffRow): boolean {
  return Object.values(changes).every(({ news, low }) => !news && Number.isNaN(low));
}

/** All rows, with what is noise dimmed. */
function overview(answer: DiffAnswer, terminal: Terminal): string {
  const rows = shownOf(answer.diff);
  if (rows.length === 0) return '';
  const shown = rows.filter((row, n) => n < shownRows || row.kind !== 'row');
  const table = rowsTable(overviewColumns(answer), shown, diffScope(answer), terminal);
  const hidden = rows.length - shown.length;
  const more =
    hidden > 0
      ? `${terminal.style('dim', `${plural(hidden, 'more row')} not shown; --csv and --json have all.`)}\n`
      : '';
  return `${table}${more}`;
}

function legend(answer: DiffAnswer): string[] {
  const { diff, kind } = answer;
  const shown = shownOf(diff);
  const rare = diff.rows.filter((row) => !shown.includes(row));
  const judged = diff.rows.some((row) => !isRare(row));
  const sentences: string[] = [];
  if (judged) {
    if (diff.figures.includes('total')) sentences.push('time/s is the time in a second of the recording.');
    sentences.push(
      `A range (dimmed) is what may be noise: the 95 % confidence interval of the change. With ${plural(diff.judged, 'comparison')} some ranges lie beside 0 by chance; changes are chosen so that 5 % of them are expected to be noise.`,
    );
  }
  const unsure = shown.flatMap((row) =>
    diff.figures.flatMap((figure) => (row.changes[figure]?.news === true ? [] : [uncertainText(row.changes[figure])])),
  );
  if (unsure.includes('few')) sentences.push('few: too few of them to say, or too short for the clock.');
  if (unsure.some((text) => text.endsWith(' ?')))
    sentences.push('?: it rests on too little to say how much of it is noise.');
  if (rare.length > 0) {
    const howMuch = (side: SideRow | undefined) =>
      kind === 'vcpus' ? percent(side?.values.share ?? 0) : count(side?.stats?.count ?? 0);
    const listed = rare
      .slice(0, shownRare)

      .map(
        (row) =>
          `${row.names
            .map((_, n) => nameText(row, n, kind))
            .join(' ')
            .trim()} (${howMuch(row.before)} → ${howMuch(row.after)})`,
      );
    if (rare.length > listed.length) listed.push('…');
    sentences.push(`Too rare to compare, or all at once: ${listed.join(', ')}.`);
  }
  return sentences;
}

/** What makes the two recordings hard to compare. */
function cautions({ kind, before, after, diff, countsOnly }: DiffAnswer): string[] {
  const sentences = countsOnly.map(
    ({ file, why }) => `${escapeText(file)}: ${untimedWhy[why]}, so that only how often exits occur can be compared.`,
  );
  const [a, b] = [diff.before.vcpus, diff.after.vcpus];
  if (a !== undefined && b !== undefined && a !== b && kind === 'exits')
    sentences.push(
      `${plural(a, 'vCPU')} before, ${plural(b, 'vCPU')} after: rates and times are of all of them together.`,
    );
  const lacking = ({ untold }: DiffSource) => untold.map(({ state }) => state).join();
  if (kind === 'vcpus' && lacking(before) !== lacking(after))
    sentences.push(
      'The two recordings do not tell the same states apart, so that the same time stands in different states.',
    );
  return sentences;
}

/** Each figure of each row. */
function figureRows({ rows, figures }: Diff): FigureRow[] {
  return rows.flatMap((row) => figures.map((figure) => ({ row, figure })));
}

/** The whole answer for programs: docs/json.md. */
export function diffJson(answer: DiffAnswer): Json {
  const { kind, before, after, diff } = answer;
  const scope = diffScope(answer);
  const source = ({ trace, reading }: DiffSource, side: Side) => ({
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    origin: trace.origin.toString(),
    duration_ns: integer(side.duration),
    count: side.count,
    vcpus: side.vcpus,
    ...remarksJson(reading),
  });
  const columns = diffRowColumns(kind);
  return {
    what: typeof kind === 'string' ? kind : kind.plural,
    confidence,
    comparisons: diff.judged,
    news: diff.news,
    before: source(before, diff.before),
    after: source(after, diff.after),
    rows: diff.rows.map((row) => rowJson(columns, row, scope)),
  };
}

/** One line for each figure of each row. */
export function diffCsv(answer: DiffAnswer): string {
  return rowsCsv(figureRowColumns(answer.kind), figureRows(answer.diff), diffScope(answer));
}

/** The rows in the order that was asked for. */
export function sortedDiff(diff: Diff, sort: string | undefined): Diff {
  const rows = sortRows(
    diffSortColumns,
    diff.rows,
    sort,
    { ...scopeOf('ns', Number.NaN), kind: 'exits', diff },
    ({ names }) => names,
  );
  return { ...diff, rows };
}

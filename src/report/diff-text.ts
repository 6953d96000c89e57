import type { SpanKind } from '../spans/kind.ts';
import type { Trace } from '../trace/trace.ts';
import { type Change, confidence } from '../views/change.ts';
import { countFigures, type Diff, type DiffFigure, type DiffRow, type Side, type SideRow } from '../views/diff.ts';
import type { Untimed } from '../views/exits.ts';
import { digitsOf } from '../views/figures.ts';
import type { Reading } from '../views/reading.ts';
import type { Untold } from '../views/vcpus.ts';
import { shownRows } from './answer.ts';
import { scopeOf, statsJson } from './columns.ts';
import { csv } from './csv.ts';
import { escapeText } from './escape.ts';
import { integer, type Json, number } from './json.ts';
import { untimedWhy } from './no-exits.ts';
import { remarks, remarksJson } from './remarks.ts';
import { type Cell, type Layout, table } from './table.ts';
import { type Style, type Terminal, wrap } from './terminal.ts';
import { count, duration, percent, plural, rate, signedPercent } from './units.ts';
import { stateLooks, untoldLine } from './vcpu-states.ts';

/** What is compared: exits, requests, locks, the division of the vCPUs' time, or spans of another kind. */
export type DiffKind = 'exits' | 'requests' | 'locks' | 'vcpus' | SpanKind;

/** One of the two recordings. */
export type DiffSource = {
  trace: Trace;
  reading: Reading;
  /** What of the vCPUs' time its events cannot tell apart. */
  untold: readonly Untold[];
};

/** What `virtap diff` has to say. */
export type DiffAnswer = {
  kind: DiffKind;
  before: DiffSource;
  after: DiffSource;
  diff: Diff;
  /** The recordings whose exits could only be counted. */
  countsOnly: readonly { file: string; why: Untimed }[];
};

/** What the words of a row's name are. */
const titles: Record<Exclude<DiffKind, SpanKind>, readonly string[]> = {
  exits: ['reason'],
  requests: ['device', 'queue', 'operation'],
  locks: ['call site', 'span'],
  vcpus: ['state'],
};

function titlesOf(kind: DiffKind): readonly string[] {
  return typeof kind === 'string' ? titles[kind] : kind.by;
}

const figureTitles: Record<DiffFigure, string> = {
  total: 'time/s',
  rate: 'rate',
  avg: 'avg',
  p50: 'p50',
  p99: 'p99',
  share: 'share',
};

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

/** What a figure's value looks like. */
function valueText(figure: DiffFigure, side: SideRow | undefined): string {
  const value = side?.values[figure];
  if (value === undefined || Number.isNaN(value)) return '-';
  if (figure === 'rate') return rate(value);
  return figure === 'share' ? percent(value) : duration(value, digitsOf(figure, side?.stats?.count ?? 0));
}

/** A quotient as a change: `+17 %`, `-3.2 %`, `×13`. */
function ratioText(ratio: number): string {
  if (Number.isNaN(ratio)) return '-';
  if (ratio === Number.POSITIVE_INFINITY) return 'new';
  if (ratio === 0) return 'gone';
  return ratio >= factorFrom ? factor(ratio) : signedPercent(ratio - 1);
}

/** Changes from here on are written as factors. */
const factorFrom = 4;

function factor(ratio: number): string {
  return `×${ratio >= 9.95 ? count(ratio) : ratio.toPrecision(2)}`;
}

/** A confidence interval: `+12…+23 %`, `×6.5…×25`; '' where there is none. */
function intervalText({ low, high }: Change): string {
  if (Number.isNaN(low)) return '';
  if (low === 0) return `up to ${ratioText(high)}`;
  if (high === Number.POSITIVE_INFINITY) return `${ratioText(low)} or more`;
  if (high >= factorFrom) return `${factor(low)}…${factor(high)}`;
  return `${signedPercent(low - 1).replace(' %', '')}…${signedPercent(high - 1)}`;
}

/** A change that may be noise: as an interval, or as it is where there is none. */
function uncertainText(change: Change | undefined): string {
  if (change === undefined || Number.isNaN(change.ratio)) return 'few';
  return Number.isNaN(change.low) ? `${ratioText(change.ratio)} ?` : intervalText(change);
}

function nameCells({ kind }: DiffAnswer, row: DiffRow): string[] {
  if (kind === 'vcpus') return row.names.map((state) => stateLooks[state as keyof typeof stateLooks].name);
  return row.names.map(escapeText);
}

function nameColumns({ kind }: DiffAnswer): Layout[] {
  return titlesOf(kind).map((title) =>
    title === 'call site' ? { title, shrink: 24, keep: 'end' } : { title, shrink: 13 },
  );
}

/** More time in exits, requests and locks is worse; of the vCPUs' time, more of one state is less of another. */
function changeStyle({ kind }: DiffAnswer, { ratio }: Change): Style {
  if (kind === 'vcpus') return 'strong';
  return ratio > 1 ? 'bad' : 'good';
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
  const columns: Layout[] = [
    ...nameColumns(answer),
    { title: 'figure' },
    { title: 'before', align: 'unit', priority: 1 },
    { title: 'after', align: 'unit', priority: 1 },
    { title: 'change', align: 'unit' },
    { title: `${confidence * 100} % interval`, align: 'right' },
  ];
  const rows = diff.rows.flatMap((row) =>
    diff.figures.flatMap((figure): Cell[][] => {
      const change = row.changes[figure];
      if (change?.news !== true) return [];
      return [
        [
          ...nameCells(answer, row),
          figureTitles[figure],
          valueText(figure, row.before),
          valueText(figure, row.after),
          { text: ratioText(change.ratio), style: changeStyle(answer, change) },
          intervalText(change),
        ],
      ];
    }),
  );
  const title = `${terminal.style('strong', 'What changed')}: ${count(diff.news)} of ${plural(diff.judged, 'comparison')}`;
  const hidden = rows.length - shownNews;
  const more =
    hidden > 0 ? `${terminal.style('dim', `${count(hidden)} more not shown; --csv and --json have all.`)}\n` : '';
  return `${title}\n${table(columns, rows.slice(0, shownNews), terminal)}${more}`;
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
  const { diff, kind } = answer;
  const rows = shownOf(diff);
  if (rows.length === 0) return '';
  // The median is left out first where there is no room.
  const order = diff.figures.toSorted((a, b) => Number(a === 'p50') - Number(b === 'p50'));
  const columns: Layout[] = [...nameColumns(answer)];
  if (kind !== 'vcpus') columns.push({ title: 'count', align: 'right', priority: 7 });
  for (const figure of diff.figures) {
    const importance = order.indexOf(figure);
    columns.push(
      { title: figureTitles[figure], align: 'right', priority: 10 + importance },
      { title: `${figureTitles[figure]} change`, align: 'right', priority: importance },
    );
  }
  const shown = rows.filter((row, n) => n < shownRows || row.kind !== 'row');
  const cells = shown.map((row): Cell[] => {
    const quiet = !Object.values(row.changes).some(({ news }) => news);
    const name: Style | undefined = quiet ? 'dim' : row.kind === 'sum' ? 'strong' : undefined;
    const own = (text: string): Cell => (name === undefined ? text : { text, style: name });
    const sides = (text: (side: SideRow | undefined) => string) => own(`${text(row.before)} → ${text(row.after)}`);
    return [
      ...nameCells(answer, row).map(own),
      ...(kind === 'vcpus' ? [] : [sides((side) => count(side?.stats?.count ?? 0))]),
      ...diff.figures.flatMap((figure): Cell[] => {
        const change = row.changes[figure];
        return [
          sides((side) => valueText(figure, side)),
          change?.news === true
            ? { text: ratioText(change.ratio), style: changeStyle(answer, change) }
            : { text: uncertainText(change), style: 'dim' },
        ];
      }),
    ];
  });
  const hidden = rows.length - shown.length;
  const more =
    hidden > 0
      ? `${terminal.style('dim', `${plural(hidden, 'more row')} not shown; --csv and --json have all.`)}\n`
      : '';
  return `${table(columns, cells, terminal)}${more}`;
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
      .map((row) => `${nameCells(answer, row).join(' ').trim()} (${howMuch(row.before)} → ${howMuch(row.after)})`);
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

// ---------------------------------------------------------------- JSON and CSV

function changeJson({ ratio, low, high, p, news }: Change): Json {
  return {
    ratio: number(ratio),
    low: number(low),
    high: number(high),
    p: number(p),
    news,
  };
}

/** The names of a row for programs. */
function keys({ kind }: DiffAnswer): string[] {
  return titlesOf(kind).map((title) => title.replace('call site', 'site'));
}

/** A figure with its unit. */
const figureNames: Record<DiffFigure, string> = {
  total: 'total_ns_per_s',
  rate: 'rate_per_s',
  avg: 'avg_ns',
  p50: 'p50_ns',
  p99: 'p99_ns',
  share: 'share',
};

/** The whole answer for programs: docs/json.md. */
export function diffJson(answer: DiffAnswer): Json {
  const { kind, before, after, diff } = answer;
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
  const figures = (row: SideRow | undefined, side: Side): Json => {
    if (row === undefined) return null;
    if (row.stats !== undefined) {
      const { count: n, rate_per_s, ...rest } = statsJson(row.stats, scopeOf('ns', side.duration));
      if (diff.figures === countFigures) return { count: n, rate_per_s };
      return { count: n, rate_per_s, total_ns_per_s: integer(row.values.total as number), ...rest };
    }
    return Object.fromEntries(
      diff.figures.map((figure) => [figureNames[figure], number(row.values[figure] as number)]),
    );
  };
  return {
    what: typeof kind === 'string' ? kind : kind.plural,
    confidence,
    comparisons: diff.judged,
    news: diff.news,
    before: source(before, diff.before),
    after: source(after, diff.after),
    rows: diff.rows.map((row) => ({
      ...Object.fromEntries(keys(answer).map((key, n) => [key, row.names[n]])),
      kind: row.kind,
      before: figures(row.before, diff.before),
      after: figures(row.after, diff.after),
      changes: Object.fromEntries(
        diff.figures.flatMap((figure) => {
          const change = row.changes[figure];
          return change === undefined ? [] : [[figure, changeJson(change)]];
        }),
      ),
    })),
  };
}

/** One line for each figure of each row. */
export function diffCsv(answer: DiffAnswer): string {
  const { diff } = answer;
  return csv(
    [...keys(answer), 'kind', 'figure', 'before', 'after', 'ratio', 'low', 'high', 'p', 'news'],
    diff.rows.flatMap((row) =>
      diff.figures.map((figure) => {
        const change = row.changes[figure];
        const values = [row.before?.values[figure], row.after?.values[figure]];
        return [
          ...row.names,
          row.kind,
          figureNames[figure],
          ...values.map((value) => (value === undefined ? undefined : (number(value) ?? undefined))),
          ...(change === undefined
            ? [undefined, undefined, undefined, undefined, undefined]
            : [change.ratio, change.low, change.high, change.p, String(change.news)]),
        ];
      }),
    ),
  );
}

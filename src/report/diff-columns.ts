import type { SpanKind } from '../spans/kind.ts';
import { kinds } from '../spans/kinds.ts';
import { nothing } from '../spans/summary.ts';
import type { Trace } from '../trace/trace.ts';
import { type Change, confidence } from '../views/change.ts';
import {
  countFigures,
  type Diff,
  type DiffFigure,
  type DiffRow,
  diffFigures,
  type Side,
  type SideRow,
} from '../views/diff.ts';
import type { Untimed } from '../views/exits.ts';
import { digitsOf } from '../views/figures.ts';
import type { Reading } from '../views/reading.ts';
import type { Untold } from '../views/vcpus.ts';
import {
  type Column,
  columnsOf,
  figureColumns,
  forPeople,
  type RowJson,
  rowJson,
  type Scope,
  scopeOf,
} from './columns.ts';
import { escapeText } from './escape.ts';
import { integer, number } from './json.ts';
import type { Style } from './terminal.ts';
import { count, duration, percent, rate, signedPercent } from './units.ts';
import { stateLooks } from './vcpu-states.ts';

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

/** A figure with its unit, in JSON and CSV. */
const figureNames: Record<DiffFigure, string> = {
  total: 'total_ns_per_s',
  rate: 'rate_per_s',
  avg: 'avg_ns',
  p50: 'p50_ns',
  p99: 'p99_ns',
  share: 'share',
};

/** What the columns need to know of the answer. */
export type DiffScope = Scope<'ns'> & Pick<DiffAnswer, 'kind' | 'diff'>;

export function diffScope({ kind, diff }: DiffAnswer): DiffScope {
  return { ...scopeOf('ns', Number.NaN), kind, diff };
}

// ---------------------------------------------------------------- words

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
export function uncertainText(change: Change | undefined): string {
  if (change === undefined || Number.isNaN(change.ratio)) return 'few';
  return Number.isNaN(change.low) ? `${ratioText(change.ratio)} ?` : intervalText(change);
}

/** More time in exits, requests and locks is worse; of the vCPUs' time, more of one state is less of another. */
function changeStyle({ ratio }: Change, kind: DiffKind): Style {
  if (kind === 'vcpus') return 'strong';
  return ratio > 1 ? 'bad' : 'good';
}

/** What a row's `n`th word is for people. */
export function nameText({ names }: DiffRow, n: number, kind: DiffKind): string {
  const name = names[n] ?? '';
  return kind === 'vcpus' ? stateLooks[name as keyof typeof stateLooks].name : escapeText(name);
}

// ---------------------------------------------------------------- columns

/** The words of a row's name. */
function nameColumns<Row>(kind: DiffKind, of: (row: Row) => DiffRow, style?: (row: Row) => Style | undefined) {
  return titlesOf(kind).map(
    (title, n): Column<Row, DiffScope> => ({
      key: title.replace('call site', 'site'),
      type: 'text',
      title,
      meaning: `${title} of what is compared`,
      of: (row) => of(row).names[n],
      text: (row) => nameText(of(row), n, kind),
      ...(title === 'call site' ? { shrink: 24, keep: 'end' } : { shrink: 13 }),
      ...(style && { style }),
    }),
  );
}

const itself = <Row>(row: Row) => row;

/** One figure of a row, in both recordings. */
export type FigureRow = { row: DiffRow; figure: DiffFigure };

const changed = ({ row, figure }: FigureRow) => row.changes[figure];

/** Rows of CSV; those that are news are the table of what changed. */
export const figureRowColumns = (kind: DiffKind): readonly Column<FigureRow, DiffScope>[] => [
  ...nameColumns<FigureRow>(kind, ({ row }) => row),
  { key: 'kind', type: 'text', meaning: 'row, idle or sum', of: ({ row }) => row.kind },
  {
    key: 'figure',
    type: 'text',
    title: 'figure',
    meaning: 'which figure',
    of: ({ figure }) => figureNames[figure],
    text: ({ figure }) => figureTitles[figure],
  },
  ...(['before', 'after'] as const).map(
    (side): Column<FigureRow, DiffScope> => ({
      key: side,
      type: 'factor',
      title: side,
      align: 'unit',
      priority: 1,
      meaning: `its value ${side}`,
      of: ({ row, figure }) => number(row[side]?.values[figure] ?? Number.NaN),
      text: ({ row, figure }) => valueText(figure, row[side]),
    }),
  ),
  forPeople({
    title: 'change',
    type: 'factor',
    align: 'unit',
    of: (one) => changed(one)?.ratio,
    text: (one) => ratioText(changed(one)?.ratio ?? Number.NaN),
    style: (one, scope) => changeStyle(changed(one) as Change, scope.kind),
  }),
  forPeople({
    title: `${confidence * 100} % interval`,
    type: 'text',
    align: 'right',
    of: (one) => intervalText(changed(one) as Change),
  }),
  ...changeColumns.map(
    ({ of, ...column }): Column<FigureRow, DiffScope> => ({
      ...column,
      of: (one) => {
        const change = changed(one);
        return change && of(change);
      },
    }),
  ),
];

/** All rows, for people: what is noise is dim. */
export function overviewColumns({
  kind,
  diff,
}: {
  kind: DiffKind;
  diff: Pick<Diff, 'figures'>;
}): Column<DiffRow, DiffScope>[] {
  // The median is left out first where there is no room.
  const order = diff.figures.toSorted((a, b) => Number(a === 'p50') - Number(b === 'p50'));
  const sides = (text: (side: SideRow | undefined) => string) => ({
    align: 'right' as const,
    text: ({ before, after }: DiffRow) => `${text(before)} → ${text(after)}`,
    style: ownStyle,
  });
  return [
    ...nameColumns<DiffRow>(kind, itself, ownStyle),
    ...(kind === 'vcpus'
      ? []
      : [
          forPeople<DiffRow, DiffScope>({
            title: 'count',
            type: 'number',
            priority: 7,
            of: ({ after }) => after?.stats?.count ?? null,
            ...sides((side) => count(side?.stats?.count ?? 0)),
          }),
        ]),
    ...diff.figures.flatMap((figure) => [
      forPeople<DiffRow, DiffScope>({
        title: figureTitles[figure],
        type: 'number',
        priority: 10 + order.indexOf(figure),
        of: ({ after }) => after?.values[figure] ?? null,
        ...sides((side) => valueText(figure, side)),
      }),
      forPeople<DiffRow, DiffScope>({
        title: `${figureTitles[figure]} change`,
        type: 'number',
        align: 'right',
        priority: order.indexOf(figure),
        of: ({ changes }) => changes[figure]?.ratio ?? null,
        text: ({ changes }) => {
          const change = changes[figure];
          return change?.news === true ? ratioText(change.ratio) : uncertainText(change);
        },
        style: ({ changes }) => {
          const change = changes[figure];
          return change?.news === true ? changeStyle(change, kind) : 'dim';
        },
      }),
    ]),
  ];
}

function ownStyle({ kind, changes }: DiffRow): Style | undefined {
  if (!Object.values(changes).some(({ news }) => news)) return 'dim';
  return kind === 'sum' ? 'strong' : undefined;
}

const changeColumns = columnsOf<Change>()([
  {
    key: 'ratio',
    type: 'factor',
    meaning: 'after divided by before; null where there was nothing before',
    of: ({ ratio }) => ratio,
  },
  {
    key: 'low',
    type: 'factor',
    meaning: 'where the 95 % confidence interval of that begins; null where there is none',
    of: ({ low }) => low,
  },
  { key: 'high', type: 'factor', meaning: 'where it ends', of: ({ high }) => high },
  { key: 'p', type: 'factor', meaning: 'how likely so great a change is by chance', of: ({ p }) => p },
  { key: 'news', type: 'flag', meaning: 'whether it is more than noise', of: ({ news }) => news },
]);

/** The figures of a row in one recording. */
type Measured = { side: SideRow; duration: number; figures: readonly DiffFigure[] };
const measuredStats = ({ side, figures }: Measured) => (figures === countFigures ? undefined : side.stats);

const sideColumns: readonly Column<Measured>[] = [
  { key: 'count', type: 'number', meaning: 'how many', of: ({ side }) => side.stats?.count },
  {
    key: 'rate_per_s',
    type: 'rate',
    meaning: 'how many in a second',
    of: ({ side }, { seconds }) => side.stats && side.stats.count / seconds,
  },
  {
    key: 'total_ns_per_s',
    type: 'number',
    meaning: 'their time in a second',
    of: (one) => measuredStats(one) && integer(one.side.values.total as number),
  },
  // Those that only counts have stand above.
  ...figureColumns<Measured>((one) => measuredStats(one) ?? nothing).flatMap(({ of, ...column }): Column<Measured>[] =>
    column.type === 'length' ? [{ ...column, of: (one, scope) => measuredStats(one) && of(one, scope) }] : [],
  ),
  {
    key: 'share',
    type: 'share',
    meaning: "of the vCPUs' time, with `--what vcpus`",
    of: ({ side }) => (side.stats === undefined ? number(side.values.share as number) : undefined),
  },
];

type MeasuredJson = RowJson<typeof sideColumns, 'ns'>;
type ChangeJson = RowJson<typeof changeColumns, 'ns'>;

function sideJson(side: SideRow | undefined, whole: Side, { diff }: DiffScope): MeasuredJson | null {
  if (side === undefined) return null;
  const measured = { side, duration: whole.duration, figures: diff.figures };
  return rowJson(sideColumns, measured, scopeOf('ns', whole.duration));
}

/** Rows of JSON, behind what names them. */
const rowColumns = columnsOf<DiffRow, DiffScope>()([
  {
    key: 'kind',
    type: 'text',
    meaning: '`row`, `idle` (time that nobody waits for: a halt) or `sum`',
    of: ({ kind }) => kind,
  },
  {
    key: 'before',
    type: 'object',
    meaning: 'its figures in the first recording; null where it does not occur there',
    of: ({ before }, scope): MeasuredJson | null => sideJson(before, scope.diff.before, scope),
  },
  {
    key: 'after',
    type: 'object',
    meaning: 'its figures in the second recording',
    of: ({ after }, scope): MeasuredJson | null => sideJson(after, scope.diff.after, scope),
  },
  {
    key: 'changes',
    type: 'object',
    meaning: 'by figure: `{ratio, low, high, p, news}`',
    of: ({ changes }, scope): { [figure: string]: ChangeJson } =>
      Object.fromEntries(
        scope.diff.figures.flatMap((figure) => {
          const change = changes[figure];
          return change === undefined ? [] : [[figure, rowJson(changeColumns, change, scope)]];
        }),
      ),
  },
]);

export const diffRowColumns = (kind: DiffKind): readonly Column<DiffRow, DiffScope>[] => [
  ...nameColumns<DiffRow>(kind, itself),
  ...rowColumns,
];

/** For the documentation. */
export const diffTables = { rows: rowColumns, sides: sideColumns, changes: changeColumns };

/** All that rows can be sorted by, whatever is compared. */
export const diffSortColumns: readonly Column<DiffRow, DiffScope>[] = [
  ...overviewColumns({ kind: 'exits', diff: { figures: diffFigures } }),
  ...[...Object.keys(titles), ...kinds].flatMap((kind) => nameColumns<DiffRow>(kind as DiffKind, itself)),
  ...rowColumns,
];

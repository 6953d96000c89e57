import { percentileDigits } from '../spans/summary.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { TopView } from '../views/top.ts';
import { sortRows } from './column-names.ts';
import { type Column, forPeople, rowsTable, type Scope, scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import { heatmapText } from './heatmap-text.ts';
import { type Terminal, truncate } from './terminal.ts';
import { count, rate, shortDuration } from './units.ts';

/** What keys sort the reasons by. */
export const topSorts = { t: 'total', c: 'count', a: 'avg', m: 'max', 9: 'p99' } as const;

/** How the screen is shown. */
export type TopOptions = { name: string; sort: string; halts: boolean; paused: boolean; rows: number };

/** Lines for the reasons, vCPUs and queues at most; the heat map gets what is left, if that is enough. */
const most = { reasons: 12, vcpus: 10, queues: 8 };
const leastHeat = 8;

/** The screen as lines, no more than `options.rows`. */
export function topText(view: TopView, options: TopOptions, terminal: Terminal): string[] {
  const { rows } = options;
  const lines = [...heading(view, options, terminal), ''];
  const add = (part: string[]) => {
    if (part.length > 0 && lines.length + part.length < rows) lines.push(...part, '');
  };
  add(view.exits > 0 ? reasonLines(view, options, terminal) : []);
  add(vcpuLines(view, terminal));
  add(queueLines(view, terminal));
  if (view.exits === 0) add(eventLines(view, terminal));
  const left = rows - lines.length - 4;
  if (view.heat.total > 0 && left >= leastHeat) {
    // A column for each interval, the newest at the right.
    const heat = { ...view.heat, counts: view.heat.counts.slice(-Math.max(1, terminal.width - 10)) };
    add(linesOf(heatmapText(heat, terminal, 'ns', left)));
  }
  while (lines.at(-1) === '') lines.pop();
  return lines.slice(0, rows);
}

function heading(view: TopView, options: TopOptions, terminal: Terminal): string[] {
  const seconds = view.interval / 1e9;
  const lost = Number.isNaN(view.lostInAll) ? 'some lost' : view.lostInAll > 0 ? `${count(view.lostInAll)} lost` : '';
  const state = options.paused
    ? terminal.style('warn', 'paused')
    : `every ${shortDuration(Math.round(seconds * 10) * 1e8)}`;
  const first = `${terminal.style('heading', escapeText(options.name))}  ${rate(view.exits / seconds)} exits, ${state}`;
  const keys = 'q quit  space pause  h halts  sort: t total  c count  a avg  m max  9 p99';
  return [
    lost === '' ? first : `${first}  ${terminal.style('bad', lost)}`,
    terminal.style('dim', truncate(keys, terminal.width)),
  ];
}

type Reason = TopView['reasons'][number];
type TopVcpu = TopView['vcpus'][number];
type TopQueue = TopView['queues'][number];

/** How long the figures are of; and of vCPUs, which states any is in. */
type TopScope = Scope<'ns'> & { states?: readonly VcpuState[] };

const figureOf = (
  title: string,
  stats: (reason: Reason) => number,
  type: 'number' | 'length',
  priority?: number,
): Column<Reason, TopScope> => ({
  ...forPeople<Reason, TopScope>({ title, type, of: stats, ...(priority === undefined ? {} : { priority }) }),
  digits: ({ stats: { count } }) => (title === 'p99' ? percentileDigits(count) : 4),
});

/** Why guests were left. */
export const reasonColumns: readonly Column<Reason, TopScope>[] = [
  forPeople({
    title: 'reason',
    type: 'text',
    shrink: 20,
    of: ({ name }) => name,
  }),
  figureOf('count', ({ stats }) => stats.count, 'number', 3),
  forPeople({ title: 'rate', type: 'rate', of: ({ stats }, { seconds }) => stats.count / seconds }),
  figureOf('total', ({ stats }) => stats.total, 'length'),
  figureOf('avg', ({ stats }) => stats.mean, 'length', 1),
  figureOf('p99', ({ stats }) => stats.p99, 'length', 2),
  figureOf('max', ({ stats }) => stats.max, 'length'),
];

const vcpuColumns: readonly Column<TopVcpu, TopScope>[] = [
  forPeople({ title: 'vCPU', type: 'text', align: 'right', of: ({ vcpu: { number } }) => String(number ?? '?') }),
  forPeople({ title: 'thread', type: 'text', align: 'right', priority: 1, of: ({ vcpu }) => String(vcpu.tid) }),
  ...vcpuStates.map((state) =>
    forPeople<TopVcpu, TopScope>({
      title: state,
      type: 'share',
      of: ({ shares }) => shares[state],
      when: ({ states }) => states?.includes(state) === true,
    }),
  ),
  forPeople({
    title: 'out since',
    type: 'text',
    of: ({ out }) => (out === undefined ? '' : `${shortDuration(out.age)} (${escapeText(out.reason)})`),
    style: ({ out }) => (out === undefined ? undefined : 'warn'),
  }),
];

const queueColumns: readonly Column<TopQueue, TopScope>[] = [
  forPeople({
    title: 'process',
    type: 'text',
    align: 'right',
    priority: 1,
    of: ({ pid }) => (pid < 0 ? '-' : String(pid)),
  }),
  forPeople({ title: 'device', type: 'text', of: ({ kind }) => (kind === undefined ? 'unknown' : `virtio-${kind}`) }),
  forPeople({ title: 'queue', type: 'text', align: 'right', of: ({ number }) => (number < 0 ? '?' : String(number)) }),
  forPeople({ title: 'requests', type: 'rate', of: ({ popped }, { seconds }) => popped / seconds }),
  forPeople({ title: 'in flight', type: 'number', of: ({ open }) => open }),
  forPeople({ title: 'oldest', type: 'length', of: ({ oldest }) => oldest }),
];

const eventColumns: readonly Column<TopView['events'][number], TopScope>[] = [
  forPeople({ title: 'event', type: 'text', of: ({ name }) => name, text: ({ name }) => escapeText(name) }),
  forPeople({ title: 'rate', type: 'rate', of: ({ count }, { seconds }) => count / seconds }),
];

/** The first rows of a table as lines, and how many there are more: `and 3 more vCPUs`. */
function tableLines<Row>(
  columns: readonly Column<Row, TopScope>[],
  rows: readonly Row[],
  scope: TopScope,
  most: number,
  terminal: Terminal,
  more?: string,
): string[] {
  const left = rows.length - most;
  return [
    ...linesOf(rowsTable(columns, rows.slice(0, most), scope, terminal)),
    ...(left > 0 && more !== undefined ? [terminal.style('dim', `and ${left} more${more}`)] : []),
  ];
}

function reasonLines({ reasons, interval }: TopView, { sort, halts }: TopOptions, terminal: Terminal): string[] {
  const shown = reasons.filter(({ halt }) => halts || !halt);
  const scope = scopeOf('ns', interval);
  const sorted = sortRows(reasonColumns, shown, sort, scope, ({ name }) => [name]);
  const columns = reasonColumns.map((column) =>
    column.title === sort ? { ...column, title: `▼ ${column.title}` } : column,
  );
  return tableLines(columns, sorted, scope, most.reasons, terminal, '');
}

function vcpuLines({ vcpus, interval }: TopView, terminal: Terminal): string[] {
  if (vcpus.length === 0) return [];
  // Those that are out stand first, the longest before the others: they are what may be wrong.
  const order = [...vcpus].sort((a, b) => (b.out?.age ?? -1) - (a.out?.age ?? -1));
  const states = vcpuStates.filter((state) => vcpus.some(({ shares }) => shares[state] > 0));
  return tableLines(vcpuColumns, order, { ...scopeOf('ns', interval), states }, most.vcpus, terminal, ' vCPUs');
}

function queueLines({ queues, interval }: TopView, terminal: Terminal): string[] {
  if (queues.length === 0) return [];
  const order = [...queues].sort((a, b) => b.popped - a.popped || b.open - a.open);
  return tableLines(queueColumns, order, scopeOf('ns', interval), most.queues, terminal);
}

/** Where no exit was seen, what was. */
function eventLines({ events, interval }: TopView, terminal: Terminal): string[] {
  if (events.length === 0) return [terminal.style('dim', 'Nothing happened.')];
  return tableLines(eventColumns, events, scopeOf('ns', interval), most.reasons, terminal);
}

function linesOf(text: string): string[] {
  return text.trimEnd().split('\n');
}

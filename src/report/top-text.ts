import { percentileDigits } from '../spans/summary.ts';
import { vcpuStates } from '../spans/vcpu-time.ts';
import type { TopView } from '../views/top.ts';
import { escapeText } from './escape.ts';
import { heatmapText } from './heatmap-text.ts';
import { type Cell, type Layout, table } from './table.ts';
import { type Terminal, truncate } from './terminal.ts';
import { count, duration, percent, rate, shortDuration } from './units.ts';

/** What the reasons can be sorted by, with the key that chooses it. */
export const topSorts = { t: 'total', c: 'count', a: 'avg', m: 'max', 9: 'p99' } as const;
export type TopSort = (typeof topSorts)[keyof typeof topSorts];

/** How the screen is shown. */
export type TopOptions = { name: string; sort: TopSort; halts: boolean; paused: boolean; rows: number };

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

function reasonLines({ reasons, interval }: TopView, { sort, halts }: TopOptions, terminal: Terminal): string[] {
  const figure = { total: 'total', count: 'count', avg: 'mean', max: 'max', p99: 'p99' } as const;
  const key = figure[sort];
  const shown = reasons.filter(({ halt }) => halts || !halt).sort((a, b) => b.stats[key] - a.stats[key]);
  const title = (name: TopSort) => (name === sort ? `▼ ${name}` : name);
  const columns: Layout[] = [
    { title: 'reason', shrink: 20 },
    { title: title('count'), align: 'right', priority: 3 },
    { title: 'rate', align: 'right' },
    { title: title('total'), align: 'unit' },
    { title: title('avg'), align: 'unit', priority: 1 },
    { title: title('p99'), align: 'unit', priority: 2 },
    { title: title('max'), align: 'unit' },
  ];
  const cells = shown
    .slice(0, most.reasons)
    .map(({ name, stats }): Cell[] => [
      escapeText(name),
      count(stats.count),
      rate(stats.count / (interval / 1e9)),
      duration(stats.total),
      duration(stats.mean),
      duration(stats.p99, percentileDigits(stats.count)),
      duration(stats.max),
    ]);
  const left = shown.length - cells.length;
  return [
    ...linesOf(table(columns, cells, terminal)),
    ...(left > 0 ? [terminal.style('dim', `and ${left} more`)] : []),
  ];
}

function vcpuLines({ vcpus }: TopView, terminal: Terminal): string[] {
  if (vcpus.length === 0) return [];
  // Those that are out stand first, the longest before the others: they are what may be wrong.
  const order = [...vcpus].sort((a, b) => (b.out?.age ?? -1) - (a.out?.age ?? -1));
  const states = vcpuStates.filter((state) => vcpus.some(({ shares }) => shares[state] > 0));
  const columns: Layout[] = [
    { title: 'vCPU', align: 'right' },
    { title: 'thread', align: 'right', priority: 1 },
    ...states.map((state): Layout => ({ title: state, align: 'unit' })),
    { title: 'out since' },
  ];
  const cells = order
    .slice(0, most.vcpus)
    .map(({ vcpu, shares, out }): Cell[] => [
      vcpu.number === undefined ? '?' : String(vcpu.number),
      String(vcpu.tid),
      ...states.map((state) => percent(shares[state])),
      out === undefined
        ? ''
        : { text: `${shortDuration(out.age)} (${escapeText(out.reason)})`, style: 'warn' as const },
    ]);
  const left = order.length - cells.length;
  return [
    ...linesOf(table(columns, cells, terminal)),
    ...(left > 0 ? [terminal.style('dim', `and ${left} more vCPUs`)] : []),
  ];
}

function queueLines({ queues, interval }: TopView, terminal: Terminal): string[] {
  if (queues.length === 0) return [];
  const order = [...queues].sort((a, b) => b.popped - a.popped || b.open - a.open);
  const columns: Layout[] = [
    { title: 'process', align: 'right', priority: 1 },
    { title: 'device' },
    { title: 'queue', align: 'right' },
    { title: 'requests', align: 'right' },
    { title: 'in flight', align: 'right' },
    { title: 'oldest', align: 'unit' },
  ];
  const cells = order
    .slice(0, most.queues)
    .map(({ pid, kind, number, popped, open, oldest }): Cell[] => [
      pid < 0 ? '-' : String(pid),
      kind === undefined ? 'unknown' : `virtio-${kind}`,
      number < 0 ? '?' : String(number),
      rate(popped / (interval / 1e9)),
      count(open),
      Number.isNaN(oldest) ? '-' : duration(oldest),
    ]);
  return linesOf(table(columns, cells, terminal));
}

/** Where no exit was seen, what was. */
function eventLines({ events, interval }: TopView, terminal: Terminal): string[] {
  if (events.length === 0) return [terminal.style('dim', 'Nothing happened.')];
  const columns: Layout[] = [{ title: 'event' }, { title: 'rate', align: 'right' }];
  const cells = events
    .slice(0, most.reasons)
    .map(({ name, count: n }) => [escapeText(name), rate(n / (interval / 1e9))]);
  return linesOf(table(columns, cells, terminal));
}

function linesOf(text: string): string[] {
  return text.trimEnd().split('\n');
}

import { numbersRepeat, type Vcpu, vcpuName } from '../spans/vcpu.ts';
import { vectorName } from '../spans/vector.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import type { HaltSums, LateWake, WakeCause, Waker, WakesResult, WokenVcpu } from '../views/wakes.ts';
import { unitOf } from './answer.ts';
import { beginKeys } from './begin-keys.ts';
import {
  type Column,
  columnsOf,
  figureColumns,
  figureCsv,
  figureJson,
  forPeople,
  forPrograms,
  type Scope,
  scopeOf,
  statsJson,
} from './columns.ts';
import { escapeText } from './escape.ts';
import { count, percent } from './units.ts';
import { vcpuKeys } from './vcpu-keys.ts';

/** What `virtap wakes` needs to say of one trace. */
export type WakesAnswer = {
  trace: Trace;
  result: WakesResult;
  reading: Reading;
  sort: string | undefined;
  than: number | undefined;
};

export type WakesScope = Scope & {
  /** The time that all halts took. */
  total: number;
  /** Whether a vCPU's number alone does not say which it is. */
  repeat: boolean;
  trace: Pick<Trace, 'origin' | 'clock'>;
};

export function wakesScope({ trace, result }: Pick<WakesAnswer, 'trace' | 'result'>): WakesScope {
  const vcpus = [...result.vcpus, ...result.open].map(({ vcpu }) => vcpu);
  return {
    ...scopeOf(unitOf(trace), result.duration),
    total: result.all.halted.total,
    repeat: numbersRepeat(vcpus),
    trace,
  };
}

/** Figures of halts that tables have, and where they give way; the others are for programs. */
const shown = new Map([
  ['count', 0],
  ['total', 0],
  ['share', 2],
  ['avg', 3],
  ['max', 7],
]);

/** What is said of several halts together. */
function haltColumns<Row extends HaltSums>(): Column<Row, WakesScope>[] {
  const stats = (row: Row) => row.halted;
  const halted = figureColumns<Row, WakesScope>(stats, (row, { total }) => row.halted.total / total).map((column) => {
    const priority = shown.get(column.title ?? '');
    if (priority === undefined) return forPrograms(column);
    return column.title === 'count' ? { ...column, title: 'halts' } : { ...column, priority };
  });
  const latency = (title: string, of: (row: Row) => number, priority: number): Column<Row, WakesScope> =>
    forPeople({ title, type: 'length', priority, of });
  return [
    ...(halted as Column<Row, WakesScope>[]),
    forPeople({
      title: 'slept',
      type: 'length',
      priority: 4,
      of: ({ slept }) => (slept.count === 0 ? undefined : slept.total),
    }),
    latency('latency', (row) => row.latency.mean, 0),
    latency('p99', (row) => row.latency.p99, 5),
    latency('latest', (row) => (row.latency.count === 0 ? Number.NaN : row.latency.max), 1),
    {
      key: 'slept',
      type: 'object',
      meaning: 'statistics of how long the threads slept, of those that did',
      of: (row, scope) => statsJson(row.slept, scope),
    },
    {
      key: 'latency',
      type: 'object',
      meaning: 'statistics of the time from the waking to the CPU',
      of: (row, scope) => statsJson(row.latency, scope),
    },
    ...figureCsv<Row, WakesScope>('slept', (row) => row.slept),
    ...figureCsv<Row, WakesScope>('latency', (row) => row.latency),
    {
      key: 'polls',
      type: 'object',
      meaning:
        'halts that polling ended before the thread slept (`useful`), those in which it was in vain (`wasted`), the time of each, and those of which nothing tells (`unsure`)',
      of: ({ useful, wasted, unsure }, { unit }) => ({
        useful: useful.count,
        [`useful_${unit}`]: figureJson('length', useful.time),
        wasted: wasted.count,
        [`wasted_${unit}`]: figureJson('length', wasted.time),
        unsure,
      }),
    },
  ];
}

export const causeColumns: readonly Column<WakeCause, WakesScope>[] = [
  { key: 'cause', type: 'text', title: 'woken by', meaning: 'why they woke', of: ({ cause }) => cause },
  ...haltColumns<WakeCause>(),
];

export const wakerColumns: readonly Column<Waker, WakesScope>[] = [
  { key: 'cause', type: 'text', title: 'cause', meaning: 'why they woke', of: ({ cause }) => cause },
  {
    key: 'waker',
    type: 'text',
    title: 'thread',
    shrink: 12,
    meaning: 'the thread that woke them; `<idle>` where an interrupt of the host did on a CPU without one',
    of: ({ waker }) => waker || null,
    text: ({ waker }) => escapeText(waker),
  },
  {
    key: 'vector',
    type: 'text',
    title: 'vector',
    meaning: 'the interrupt with which they went back into the guest',
    of: ({ vector }) => vectorName(vector) || null,
    text: ({ vector }) => vectorName(vector),
  },
  ...haltColumns<Waker>(),
];

export const wokenVcpuColumns: readonly Column<WokenVcpu, WakesScope>[] = [
  forPeople<WokenVcpu, WakesScope>({
    title: 'vCPU',
    type: 'text',
    of: ({ vcpu }, { repeat }) => vcpuName(vcpu, repeat),
  }),
  ...vcpuKeys<WokenVcpu, WakesScope>(({ vcpu }) => vcpu),
  ...haltColumns<WokenVcpu>(),
  {
    key: 'window',
    type: 'object',
    meaning:
      "KVM's polling window, of which kvm_halt_poll_ns tells: how often it `grew` and `shrank`, `last_ns`, `most_ns`",
    of: ({ window }) =>
      window && { grew: window.grown, shrank: window.shrunk, last_ns: window.last, most_ns: window.most },
  },
];

/** What halt polling was worth, by vCPU. */
export const pollColumns: readonly Column<WokenVcpu, WakesScope>[] = [
  forPeople<WokenVcpu, WakesScope>({
    title: 'vCPU',
    type: 'text',
    of: ({ vcpu }, { repeat }) => vcpuName(vcpu, repeat),
  }),
  forPeople({
    title: 'useful',
    type: 'number',
    of: ({ useful }) => useful.count,
    text: ({ useful }) => count(useful.count),
  }),
  forPeople({ title: 'time', name: 'useful time', type: 'length', of: ({ useful }) => useful.time }),
  forPeople({
    title: 'wasted',
    type: 'number',
    of: ({ wasted }) => wasted.count,
    text: ({ wasted }) => count(wasted.count),
  }),
  forPeople({ title: 'time', name: 'wasted time', type: 'length', of: ({ wasted }) => wasted.time }),
  forPeople({
    title: 'not known',
    type: 'number',
    priority: 1,
    of: ({ unsure }) => unsure,
    text: ({ unsure }) => count(unsure),
  }),
  forPeople({
    title: 'worth it',
    type: 'share',
    of: ({ useful, wasted }) => useful.count / (useful.count + wasted.count),
    text: ({ useful, wasted }) => percent(useful.count / (useful.count + wasted.count)),
  }),
  forPeople({ title: 'window', type: 'length', priority: 1, of: ({ window }) => window?.last }),
  forPeople({ title: 'most', type: 'length', priority: 2, of: ({ window }) => window?.most }),
  forPeople({
    title: 'grew',
    type: 'number',
    priority: 3,
    of: ({ window }) => window?.grown,
    text: ({ window }) => (window === undefined ? '' : count(window.grown)),
  }),
  forPeople({
    title: 'shrank',
    type: 'number',
    priority: 3,
    of: ({ window }) => window?.shrunk,
    text: ({ window }) => (window === undefined ? '' : count(window.shrunk)),
  }),
];

export const lateColumns = columnsOf<LateWake, WakesScope>()([
  ...beginKeys<LateWake, WakesScope>('time stamp of the waking', 'woken'),
  {
    key: 'latency',
    type: 'length',
    title: 'latency',
    meaning: 'until it had a CPU',
    of: ({ duration }) => duration,
    style: () => 'bad',
  },
  forPeople({ title: 'vCPU', type: 'text', of: ({ vcpu }, { repeat }) => vcpuName(vcpu, repeat) }),
  ...vcpuKeys<LateWake, WakesScope>(({ vcpu }) => vcpu),
  { key: 'cause', type: 'text', title: 'cause', meaning: 'why it woke', of: ({ cause }) => cause },
  {
    key: 'waker',
    type: 'text',
    title: 'thread',
    shrink: 12,
    meaning: 'the thread that woke it',
    of: ({ waker }): string | null => waker || null,
    text: ({ waker }) => escapeText(waker),
  },
  {
    key: 'vector',
    type: 'text',
    title: 'vector',
    meaning: 'the interrupt with which it went back into the guest',
    of: ({ vector }): string | null => vectorName(vector) || null,
    text: ({ vector }) => vectorName(vector),
  },
  { key: 'slept', type: 'length', title: 'slept', meaning: 'how long it had slept', of: ({ slept }) => slept },
]);

export type OpenHalt = { begin: number; age: number; vcpu: Vcpu };

export const openHaltColumns = columnsOf<OpenHalt, WakesScope>()([
  ...beginKeys<OpenHalt, WakesScope>('time stamp of its kvm_exit', 'since'),
  { key: 'age', type: 'length', title: 'age', meaning: 'how long ago it began, at the end', of: ({ age }) => age },
  forPeople({ title: 'vCPU', type: 'text', of: ({ vcpu }, { repeat }) => vcpuName(vcpu, repeat) }),
  ...vcpuKeys<OpenHalt, WakesScope>(({ vcpu }) => vcpu),
]);

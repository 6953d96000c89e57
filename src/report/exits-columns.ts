import type { DetailLabel } from '../spans/exit-detail.ts';
import { nothing, type Stats } from '../spans/summary.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Trace } from '../trace/trace.ts';
import type { Dimension, ExitResult, ExitRow, Group } from '../views/exits.ts';
import type { Parts } from '../views/slowest.ts';
import { beginKeys, cpuKey } from './begin-keys.ts';
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
import { type LockWaitJson, partsJson, sumOf, waitJson } from './exit-division.ts';
import { type InnerEventJson, innerJson } from './inner-events.ts';
import { percent } from './units.ts';
import { vcpuKeys } from './vcpu-keys.ts';

/** A line of the table of exits: a group, the halts of one, or the sum of several. */
export type ExitLine = {
  kind: 'row' | 'halt' | 'sum';
  /** For people, a name for each dimension. */
  names: readonly string[];
  stats: Stats;
  /** Of the time without halts; NaN where that is not asked. */
  share: number;
  /** How its time divides; undefined where nobody asked. */
  parts: Parts | undefined;
  /** What it is of; sums have none. */
  row: ExitRow | undefined;
};

export type ExitScope = Scope & {
  result: Pick<ExitResult, 'by' | 'untimed' | 'all' | 'busy'>;
  /** The states that the time can be told to be in. */
  states: readonly VcpuState[];
};

export function exitScope(result: ExitResult, states: readonly VcpuState[] = []): ExitScope {
  return { ...scopeOf(result.unit, result.duration), result, states };
}

const titles: Record<Dimension, string> = {
  reason: 'reason',
  vcpu: 'vCPU',
  vm: 'VM',
  port: 'port',
  gpa: 'MMIO address',
  msr: 'MSR',
  rip: 'guest rip',
  userspace: 'userspace exit',
};

const groupOf = ({ row }: ExitLine): Group => row?.group ?? {};
const label = (value: DetailLabel | undefined): string | null =>
  value === undefined ? 'others' : (value.value ?? null);
type Keyed<K extends string, V> = Column<ExitLine, ExitScope> & { key: K; of(line: ExitLine): V | null | undefined };
type GroupKey =
  | Keyed<'vm' | 'vcpu' | 'tid', number>
  | Keyed<'port' | 'gpa' | 'msr' | 'direction' | 'rip' | 'userspace' | 'reason', string>;

/** What a group is called by programs. */
export type GroupJson = RowJson<readonly GroupKey[]>;

/** What programs are told of each dimension. */
const keys: { readonly [D in Dimension]: readonly GroupKey[] } = {
  reason: [
    {
      key: 'reason',
      type: 'text',
      meaning: "why the guest was left: the kernel's own name",
      of: (line) => groupOf(line).reason ?? 'others',
    },
  ],
  vcpu: [
    {
      key: 'vm',
      type: 'number',
      isId: true,
      meaning: "process id of the vCPU's VM",
      of: (line) => groupOf(line).vcpu?.vm ?? null,
    },
    {
      key: 'vcpu',
      type: 'number',
      isId: true,
      meaning: 'number of the vCPU',
      of: (line) => groupOf(line).vcpu?.number ?? null,
    },
    { key: 'tid', type: 'number', isId: true, meaning: 'its thread', of: (line) => groupOf(line).vcpu?.tid ?? null },
  ],
  vm: [
    { key: 'vm', type: 'number', isId: true, meaning: 'process id of the VM', of: (line) => groupOf(line).vm ?? null },
  ],
  port: detail('port', 'I/O port'),
  gpa: detail('gpa', 'guest physical address of the MMIO'),
  msr: detail('msr', 'model-specific register'),
  rip: [{ key: 'rip', type: 'text', meaning: 'where the guest was', of: (line) => groupOf(line).rip ?? 'others' }],
  userspace: [
    {
      key: 'userspace',
      type: 'text',
      meaning: 'why QEMU was returned to',
      of: (line) => label(groupOf(line).userspace),
    },
  ],
};

function detail(key: 'port' | 'gpa' | 'msr', meaning: string): readonly GroupKey[] {
  return [
    { key, type: 'text', meaning, of: (line) => label(groupOf(line)[key]) },
    { key: 'direction', type: 'text', meaning: 'read or write', of: (line) => groupOf(line)[key]?.direction ?? null },
  ];
}

export const groupKeys = (by: readonly Dimension[]): GroupKey[] => by.flatMap((dimension) => keys[dimension]);

/** What groups are called, by programs and by people. */
export function groupColumns(by: readonly Dimension[]): Column<ExitLine, ExitScope>[] {
  return [
    ...groupKeys(by),
    ...by.map((dimension, n) =>
      forPeople<ExitLine, ExitScope>({
        type: 'text',
        title: titles[dimension],
        shrink: 12,
        of: ({ names }) => names[n],
      }),
    ),
  ];
}

const isTimed = ({ result }: ExitScope) => result.untimed === undefined;
const isByReason = ({ result }: ExitScope) => result.by.includes('reason');

/** Those of all exits, of those without halts, of the halts. */
const totalFigures = figureColumns<Stats, ExitScope>((stats) => stats);
export const totalColumns = columnsOf<Stats, ExitScope>()([
  ...totalFigures.slice(0, 2),
  {
    key: 'share',
    type: 'share',
    meaning: 'of the time of all exits',
    of: ({ total }, { result }): number | null => total / result.all.total,
  },
  ...totalFigures.slice(2),
]);

export type TotalJson = RowJson<typeof totalColumns>;

export const totalJson = (stats: Stats, scope: ExitScope): TotalJson => rowJson(totalColumns, stats, scope);

/** A share that takes no times. */
export const ofExits = 'share of exits';

/** The figures of a line. Where exits could only be counted, tables have no others than counts. */
const figures = figureColumns<ExitLine, ExitScope>(
  ({ stats }) => stats,
  ({ share }) => share,
).map((column) => (column.type === 'number' || column.type === 'rate' ? column : { ...column, when: isTimed }));

export const exitColumns = columnsOf<ExitLine, ExitScope>()([
  {
    key: 'halt',
    type: 'flag',
    meaning: 'whether they are halts, in which the guest sleeps of its own will; of rows by reason',
    of: ({ kind }, scope): boolean | undefined => (isByReason(scope) ? kind === 'halt' : undefined),
    csv: false,
  },
  {
    key: 'halt',
    type: 'flag',
    meaning: 'whether they are the halts of the group',
    of: ({ kind }) => kind === 'halt',
    json: false,
  },
  ...figures.slice(0, 2),
  {
    key: 'share',
    type: 'share',
    meaning: 'of the time of all exits',
    of: ({ stats }, { result }): number | null => stats.total / result.all.total,
    csv: false,
  },
  ...figures.slice(2),
  forPeople({
    type: 'share',
    title: ofExits,
    of: ({ stats }, { result }) => stats.count / result.all.count,
    when: (scope) => !isTimed(scope),
  }),
  {
    key: 'share_without_halts',
    type: 'share',
    meaning: 'of the time of all exits but halts; null of halts',
    of: ({ row }, { result }): number | null => (row?.busy === undefined ? null : row.busy.total / result.busy.total),
    csv: false,
  },
  {
    key: 'without_halts',
    type: 'object',
    meaning: 'the figures of those that are no halts; of rows that are not by reason',
    of: ({ row }, scope): TotalJson | undefined =>
      isByReason(scope) ? undefined : totalJson(row?.busy ?? nothing, scope),
  },
  {
    key: 'halts',
    type: 'object',
    meaning: 'the figures of the halts; of rows that are not by reason',
    of: ({ row }, scope): TotalJson | undefined =>
      isByReason(scope) ? undefined : totalJson(row?.halts ?? nothing, scope),
  },
  {
    key: 'states',
    type: 'object',
    meaning: 'with `--breakdown`, where the time went: `{kvm, qemu, …}` in ns',
    of: ({ row }, { states }): { [state: string]: number } | undefined =>
      row?.parts === undefined ? undefined : partsJson(sumOf([row.parts.busy, row.parts.halts]), states),
  },
]);

/** How a line's time divides by where the vCPU was, which is not in the guest; in CSV, and of the table of where the time went. */
export const divisionColumns: readonly Column<ExitLine, ExitScope>[] = [
  forPeople({
    type: 'length',
    title: 'total',
    priority: 1,
    of: ({ parts }, { states }) => (parts === undefined ? undefined : told(parts, states)),
  }),
  ...vcpuStates
    .filter((state) => state !== 'guest')
    .map(
      (state): Column<ExitLine, ExitScope> => ({
        key: state,
        type: 'length',
        title: state,
        meaning: `with \`--breakdown\`, time in the state ${state}`,
        of: ({ parts }) => parts?.[state],
        text: ({ parts }, { states }) => (!parts?.[state] ? '-' : percent(parts[state] / told(parts, states))),
        when: ({ states }) => states.includes(state),
        json: false,
      }),
    ),
];

function told(parts: Parts, states: readonly VcpuState[]): number {
  return states.reduce((sum, state) => sum + parts[state], 0);
}

/** An exit that is not over at the end. */
export const openExitColumns = columnsOf<ExitResult['open'][number]>()([
  ...vcpuKeys<ExitResult['open'][number]>(({ vcpu }) => vcpu),
  { key: 'reason', type: 'text', meaning: 'why the guest was left', of: ({ reason }) => reason },
  { key: 'begin', type: 'time', meaning: 'when', of: ({ begin }) => begin },
  { key: 'age', type: 'length', meaning: 'how long ago, at the end', of: ({ age }) => age },
]);

/** One of the slow exits, with what happened in it. */
export type SlowAnswer = NonNullable<ExitResult['slow']>[number];
export type SlowScope = Scope & {
  trace: Pick<Trace, 'origin' | 'clock'>;
  lockNames: ExitResult['lockNames'];
  states: readonly VcpuState[];
};

export const slowExitColumns = columnsOf<SlowAnswer, SlowScope>()([
  ...beginKeys<SlowAnswer, SlowScope>('time stamp of the kvm_exit'),
  { key: 'duration', type: 'length', meaning: 'until the kvm_entry', of: ({ duration }) => duration },
  ...vcpuKeys<SlowAnswer, SlowScope>(({ vcpu }) => vcpu),
  ...cpuKey<SlowAnswer, SlowScope>('CPU of the kvm_exit'),
  { key: 'reason', type: 'text', meaning: 'why the guest was left', of: ({ reason }) => reason },
  { key: 'rip', type: 'text', meaning: 'where the guest was', of: ({ rip }) => rip },
  {
    key: 'states',
    type: 'object',
    meaning: 'where the time went: `{kvm, qemu, …}` in ns',
    of: ({ parts }, { states }): { [state: string]: number } | undefined => parts && partsJson(parts, states),
  },
  {
    key: 'asleep_in_kvm',
    type: 'length',
    meaning: 'how much of its time in KVM the thread was asleep, without a halt; where it was',
    of: ({ asleep }): number | undefined => (asleep > 0 ? asleep : undefined),
  },
  {
    key: 'lock_wait',
    type: 'object',
    meaning:
      'its longest wait for a mutex of QEMU: `{name, wait_ns, holder: {tid, role, vcpu}, site}`; where it waited',
    of: ({ wait }, { lockNames }): LockWaitJson | undefined =>
      wait === undefined || lockNames === undefined ? undefined : waitJson(wait, lockNames),
  },
  {
    key: 'events',
    type: 'object',
    meaning: 'what happened within it',
    of: ({ events }, scope): InnerEventJson[] => innerJson(events, scope),
  },
  { key: 'omitted', type: 'number', meaning: 'events of it that are not in `events`', of: ({ omitted }) => omitted },
]);

import { numbersRepeat, vcpuName } from '../spans/vcpu.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';
import { type Untold, type VcpuRow, type VcpusResult, vcpuWord } from '../views/vcpus.ts';
import { rowSubjects, sortRows } from './column-names.ts';
import { type Column, columnsOf, forPeople, type RowJson, type Scope, scopeOf } from './columns.ts';
import { percent, rate } from './units.ts';
import { vcpuKeys } from './vcpu-keys.ts';
import { type StatesJson, toldStates } from './vcpu-states.ts';

/** What `virtap vcpus` needs to say of one trace. */
export type VcpusAnswer = { trace: Trace; result: VcpusResult; reading: Reading };

/** A vCPU, or, without one, all together. */
export type VcpuLine = Pick<VcpuRow, 'wall' | 'exits' | 'states'> & Partial<VcpuRow>;

export type VcpuScope = Scope<'ns'> & {
  /** Whether a vCPU's number alone does not say which it is. */
  repeat: boolean;
  states: readonly VcpuState[];
  untold: readonly Untold[];
};

export function vcpuScope({ rows, untold, duration }: VcpusResult): VcpuScope {
  return {
    ...scopeOf('ns', duration),
    repeat: numbersRepeat(rows.map(({ vcpu }) => vcpu)),
    states: toldStates(
      rows.map(({ states }) => states),
      untold,
    ),
    untold,
  };
}

export const lineColumns = columnsOf<VcpuLine, VcpuScope>()([
  forPeople({
    title: 'vCPU',
    type: 'text',
    of: ({ vcpu }, { repeat }) => (vcpu === undefined ? 'all' : vcpuName(vcpu, repeat)),
  }),
  forPeople({
    title: 'thread',
    type: 'number',
    isId: true,
    priority: 2,
    of: ({ vcpu }) => vcpu?.tid,
    text: ({ vcpu }) => (vcpu === undefined ? '' : String(vcpu.tid)),
  }),
  { key: 'wall', type: 'length', title: 'wall', priority: 1, meaning: 'how long it was there', of: ({ wall }) => wall },
  {
    key: 'exits',
    type: 'number',
    title: 'exits',
    priority: 3,
    meaning: 'how often its guest was left; in tables, in a second',
    of: ({ exits }) => exits,
    text: ({ exits }, { seconds }) => rate(exits / seconds),
  },
  ...vcpuStates.map((state): Column<VcpuLine, VcpuScope> & { json: false } => ({
    key: state,
    type: 'length',
    title: state,
    meaning: `time in the state ${state}; in tables, of its time`,
    of: ({ states }) => states[state],
    text: ({ states, wall }) => percent(states[state] / wall),
    when: ({ states }) => states.includes(state),
    json: false,
  })),
]);

type StretchJson = { begin_ns: number; duration_ns: number };

export const vcpuColumns = columnsOf<VcpuRow, VcpuScope>()([
  ...vcpuKeys<VcpuRow, VcpuScope>(({ vcpu }) => vcpu),
  { key: 'begin', type: 'time', meaning: 'when it was first seen', of: ({ begin }) => begin, csv: false },
  { key: 'end', type: 'time', meaning: 'until when it is told of', of: ({ end }) => end, csv: false },
  ...lineColumns,
  {
    key: 'states',
    type: 'object',
    meaning: 'its time by state, which sum up to `wall_ns`; without those that the trace cannot tell apart',
    of: ({ states: time }, { states }): StatesJson =>
      Object.fromEntries(states.map((state) => [state, Math.round(time[state])])),
  },
  {
    key: 'halt_polling',
    type: 'length',
    meaning: 'part of `halted`, in which KVM polled; null where the trace does not tell it',
    of: ({ polled }, { untold }): number | null =>
      untold.some(({ state }) => state === 'halt polling') ? null : polled,
    csv: false,
  },
  {
    key: 'asleep_in_kvm',
    type: 'length',
    meaning: 'part of `kvm`, in which the thread slept without a halt',
    of: ({ asleepInKvm }) => asleepInKvm,
    csv: false,
  },
  {
    key: 'longest',
    type: 'object',
    meaning: 'the longest unbroken stretch of each state: `{guest: {begin_ns, duration_ns}, …}`',
    of: ({ longest }, { states }): { [state: string]: StretchJson } =>
      Object.fromEntries(
        states.flatMap((state) => {
          const { begin = 0, duration } = longest[state] ?? {};
          return duration === undefined
            ? []
            : [[state, { begin_ns: Math.round(begin), duration_ns: Math.round(duration) }]];
        }),
      ),
  },
  {
    key: 'open_exit',
    type: 'object',
    meaning: 'the exit that is not over at the end: `{reason, age_ns}`',
    of: ({ open }): { reason: string; age_ns: number } | null =>
      open === undefined ? null : { reason: open.reason, age_ns: Math.round(open.age) },
  },
  {
    key: 'timeline',
    type: 'object',
    meaning: 'with `--timeline`, the state that took most of each step',
    of: ({ timeline }): (string | null)[] | undefined => timeline?.map((state) => state ?? null),
  },
]);

export type VcpuRowJson = RowJson<typeof vcpuColumns, 'ns'>;

const wordOf = ({ vcpu }: VcpuRow) => vcpuWord(vcpu);

/** The vCPUs in the order that was asked for. */
export function sortedVcpus(result: VcpusResult, sort: string | undefined): VcpusResult {
  const rows = sortRows(vcpuColumns, result.rows, sort, vcpuScope(result), (row) => [wordOf(row)]);
  return { ...result, rows };
}

/** What conditions can be about in the rows, besides states. */
export function vcpuRows({ result }: VcpusAnswer): Subject[] {
  return rowSubjects('vcpu', vcpuColumns, result.rows, vcpuScope(result), wordOf);
}

/** Who had the CPU while vCPUs were preempted. */
export const otherColumns = columnsOf<VcpusResult['others'][number]>()([
  {
    key: 'tid',
    type: 'number',
    isId: true,
    meaning: 'the thread; 0 where the CPU was idle, waking up',
    of: ({ tid }) => tid,
  },
  { key: 'comm', type: 'text', meaning: 'its name', of: ({ comm }) => comm },
  { key: 'time', type: 'length', meaning: 'for how long', of: ({ time }) => time },
]);

/** A state of all vCPUs together, or a part of one. */
export type StateLine = {
  name: string;
  total: number;
  share: number;
  kind: 'state' | 'part' | 'sum';
  longest?: { duration: number; at: string; vcpu: string } | undefined;
};

export const vcpuStateColumns: readonly Column<StateLine, VcpuScope & { several: boolean }>[] = [
  forPeople({ title: 'state', type: 'text', shrink: 16, of: ({ name }) => name, when: ({ several }) => !several }),
  forPeople({ title: 'all vCPUs', type: 'text', shrink: 16, of: ({ name }) => name, when: ({ several }) => several }),
  forPeople({ title: 'total', type: 'length', of: ({ total }) => total }),
  forPeople({ title: 'share', type: 'share', of: ({ share }) => share }),
  forPeople({
    title: 'longest',
    type: 'length',
    of: ({ kind, longest }) => (kind === 'part' ? '' : longest?.duration),
  }),
  forPeople({ title: 'of vCPU', type: 'text', of: ({ longest }) => longest?.vcpu, when: ({ several }) => several }),
  forPeople({ title: 'at', type: 'text', priority: 1, of: ({ longest }) => longest?.at }),
];

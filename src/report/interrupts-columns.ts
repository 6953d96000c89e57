import type { TimerLateness } from '../spans/kinds/interrupt.ts';
import { vectorName } from '../spans/vector.ts';
import type { Trace } from '../trace/trace.ts';
import type { InterruptRow, InterruptStages, InterruptsResult, IpiCell, SlowInterrupt } from '../views/interrupts.ts';
import type { Reading } from '../views/reading.ts';
import { unitOf } from './answer.ts';
import { beginKeys } from './begin-keys.ts';
import {
  type Column,
  columnsOf,
  figureColumns,
  forPeople,
  forPrograms,
  type Scope,
  scopeOf,
  statsJson,
} from './columns.ts';
import { count } from './units.ts';

/** What `virtap interrupts` needs to say of one trace. */
export type InterruptsAnswer = {
  trace: Trace;
  result: InterruptsResult;
  reading: Reading;
  sort: string | undefined;
  than: number | undefined;
};

export type InterruptsScope = Scope & { trace: Pick<Trace, 'origin' | 'clock'> };

export function interruptsScope({ trace, result }: Pick<InterruptsAnswer, 'trace' | 'result'>): InterruptsScope {
  return { ...scopeOf(unitOf(trace), result.duration), trace };
}

const shown = new Map([
  ['count', 0],
  ['rate', 6],
  ['avg', 0],
  ['p99', 4],
  ['max', 1],
]);

/** The way, from point to point. */
const points = [
  ['sent', 'accepted', 'told to KVM → accepted by the local APIC'],
  ['waited', 'injected', 'accepted → injected'],
  ['entering', 'entry', 'injected → kvm_entry'],
  ['handled', 'EOI', 'kvm_entry → EOI'],
] as const;

function stageColumns<Row extends InterruptStages>(): Column<Row, InterruptsScope>[] {
  const all = figureColumns<Row, InterruptsScope>(({ all }) => all).flatMap((column) => {
    const priority = shown.get(column.title ?? '');
    if (column.title === 'share') return [];
    return priority === undefined ? [forPrograms(column)] : [{ ...column, priority }];
  });
  return [
    ...(all as Column<Row, InterruptsScope>[]),
    ...points.map(([stage, title], n) =>
      forPeople<Row, InterruptsScope>({
        title: `→ ${title}`,
        type: 'length',
        priority: n === 0 || n === 3 ? 3 : 2,
        of: (row) => row[stage].mean,
      }),
    ),
    ...points.map(
      ([stage, , meaning]): Column<Row, InterruptsScope> => ({
        key: stage,
        type: 'object',
        meaning: `statistics of ${meaning}, of those of which both are known`,
        of: (row, scope) => statsJson(row[stage], scope),
      }),
    ),
  ];
}

export const interruptColumns: readonly Column<InterruptRow, InterruptsScope>[] = [
  {
    key: 'vector',
    type: 'text',
    title: 'vector',
    meaning: 'the vector',
    of: ({ vector }) => vectorName(vector) || null,
  },
  { key: 'kind', type: 'text', title: 'kind', meaning: 'timer, IPI, MSI, line or other', of: ({ kind }) => kind },
  {
    key: 'device',
    type: 'text',
    title: 'device',
    meaning: 'of an MSI or a line: disk, network, timer, or device where nothing tells',
    of: ({ device }) => device || null,
    text: ({ device }) => device,
  },
  ...stageColumns<InterruptRow>(),
];

export const ipiColumns: readonly Column<IpiCell, InterruptsScope>[] = [
  { key: 'vm', type: 'number', isId: true, meaning: 'process id of the VM', of: ({ pid }) => (pid < 0 ? null : pid) },
  { key: 'from', type: 'number', isId: true, title: 'from', meaning: 'vCPU that sent them', of: ({ from }) => from },
  { key: 'to', type: 'number', isId: true, title: 'to', meaning: 'vCPU that they are for', of: ({ to }) => to },
  ...stageColumns<IpiCell>(),
];

const known = (length: number) => (length < 0 ? null : length);

export const slowInterruptColumns = columnsOf<SlowInterrupt, InterruptsScope>()([
  ...beginKeys<SlowInterrupt, InterruptsScope>('time stamp of its beginning', 'time'),
  {
    key: 'duration',
    type: 'length',
    title: 'took',
    meaning: 'until its end',
    of: ({ duration }) => duration,
    style: () => 'bad',
  },
  { key: 'vcpu', type: 'number', isId: true, title: 'vCPU', meaning: 'vCPU that it is for', of: ({ vcpu }) => vcpu },
  { key: 'vector', type: 'text', title: 'vector', meaning: 'its vector', of: ({ vector }) => vectorName(vector) },
  {
    key: 'kind',
    type: 'text',
    title: 'kind',
    priority: 2,
    meaning: 'timer, IPI, MSI, line or other',
    of: ({ kind }) => kind,
  },
  {
    key: 'device',
    type: 'text',
    title: 'device',
    priority: 4,
    meaning: 'of an MSI or a line',
    of: ({ device }): string | null => device || null,
    text: ({ device }) => device,
  },
  {
    key: 'from',
    type: 'number',
    isId: true,
    title: 'from',
    priority: 5,
    meaning: 'vCPU that sent the IPI',
    of: ({ from }): number | null => known(from),
    text: ({ from }) => (from < 0 ? '' : String(from)),
  },
  {
    key: 'sent',
    type: 'length',
    title: '→ accepted',
    meaning: points[0][2],
    of: ({ sent }): number | null => known(sent),
  },
  {
    key: 'waited',
    type: 'length',
    title: '→ injected',
    meaning: points[1][2],
    of: ({ waited }): number | null => known(waited),
  },
  {
    key: 'entering',
    type: 'length',
    title: '→ entry',
    priority: 3,
    meaning: points[2][2],
    of: ({ entering }): number | null => known(entering),
  },
  {
    key: 'handled',
    type: 'length',
    title: '→ EOI',
    meaning: points[3][2],
    of: ({ handled }): number | null => known(handled),
  },
]);

type OpenRow = InterruptsResult['open'][number];

const stageWords = {
  accepted: 'accepted, not injected',
  injected: 'injected, not entered with',
  entered: 'the guest has it, no EOI',
} as const;

export const openInterruptColumns = columnsOf<OpenRow, InterruptsScope>()([
  ...beginKeys<OpenRow, InterruptsScope>('time stamp of its beginning', 'since'),
  { key: 'age', type: 'length', title: 'age', meaning: 'how long ago it began, at the end', of: ({ age }) => age },
  { key: 'vcpu', type: 'number', isId: true, title: 'vCPU', meaning: 'vCPU that it is for', of: ({ vcpu }) => vcpu },
  { key: 'vector', type: 'text', title: 'vector', meaning: 'its vector', of: ({ vector }) => vectorName(vector) },
  {
    key: 'kind',
    type: 'text',
    title: 'kind',
    priority: 1,
    meaning: 'timer, IPI, MSI, line or other',
    of: ({ kind }) => kind,
  },
  {
    key: 'stage',
    type: 'text',
    title: 'is',
    meaning:
      '`accepted`: not injected; `injected`: its vCPU has not entered the guest with it; `entered`: the guest has not said that it is done',
    of: ({ stage }) => stage,
    text: ({ stage }) => stageWords[stage],
  },
  {
    key: 'entries',
    type: 'number',
    title: 'entries since',
    meaning: 'how often its vCPU entered the guest since it was accepted: 0 says that the vCPU did not run',
    of: ({ entries }) => entries,
  },
  {
    key: 'unsure',
    type: 'flag',
    title: 'unsure',
    priority: 2,
    meaning: 'whether events may have been lost since',
    of: ({ unsure }) => unsure,
  },
]);

export const timerColumns = columnsOf<TimerLateness, InterruptsScope>()([
  { key: 'vcpu', type: 'number', isId: true, title: 'vCPU', meaning: 'number of the vCPU', of: ({ vcpu }) => vcpu },
  { key: 'tid', type: 'number', isId: true, meaning: 'its thread', of: ({ tid }) => tid },
  {
    key: 'late',
    type: 'number',
    title: 'late',
    meaning: 'deadlines that had passed when the guest was entered (kvm_wait_lapic_expire)',
    of: ({ late }) => late,
  },
  { key: 'early', type: 'number', title: 'early', meaning: 'deadlines that KVM waited for', of: ({ early }) => early },
  {
    key: 'mean_cycles',
    type: 'number',
    title: 'avg',
    meaning: "by how much on average, in cycles of the guest's TSC; late is positive",
    of: ({ mean }) => mean,
    text: cyclesText('mean'),
  },
  {
    key: 'least_cycles',
    type: 'number',
    title: 'least',
    meaning: 'the least late',
    of: ({ least }) => least,
    text: cyclesText('least'),
  },
  {
    key: 'most_cycles',
    type: 'number',
    title: 'most',
    meaning: 'the latest',
    of: ({ most }) => most,
    text: cyclesText('most'),
  },
  {
    key: 'hardware',
    type: 'number',
    title: 'by hardware',
    meaning: "how often the timer was the hardware's (VMX preemption timer; kvm_hv_timer_state)",
    of: ({ hardware }) => hardware,
  },
  {
    key: 'software',
    type: 'number',
    title: 'by software',
    meaning: "how often it was the host's (hrtimer)",
    of: ({ software }) => software,
  },
]);

function cyclesText(name: 'mean' | 'least' | 'most'): (row: TimerLateness) => string {
  return (row) => (Number.isNaN(row[name]) ? '-' : `${count(row[name])} cyc`);
}

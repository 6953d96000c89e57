import type { InventoryView, Machine, ProcessCount, TypeCount } from '../views/inventory.ts';
import type { Question } from '../views/questions.ts';
import type { RowJson } from './columns.ts';
import { columnsOf, forPeople, rowJson, type Scope, scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import { count } from './units.ts';

export type EventScope = Scope & {
  /** Whether any event was recorded under another name. */
  renamed: boolean;
};

export function eventScope({ clock, duration, types }: InventoryView): EventScope {
  const length = clock.unit === 'ns' && duration > 0 ? duration : Number.NaN;
  return { ...scopeOf('ns', length), renamed: types.some(({ recordedAs }) => recordedAs.length > 0) };
}

const rateOf = ({ count }: TypeCount, { seconds }: EventScope): number | null =>
  Number.isNaN(seconds) ? null : count / seconds;

export const typeColumns = columnsOf<TypeCount, EventScope>()([
  {
    key: 'name',
    type: 'text',
    title: 'event',
    shrink: 20,
    meaning: '`system:event`',
    of: ({ name }) => name,
    csv: false,
  },
  { key: 'count', type: 'number', title: 'count', meaning: 'how many', of: ({ count }) => count },
  {
    key: 'rate_per_s',
    type: 'rate',
    title: 'rate',
    priority: 2,
    meaning: 'in a second of the recording',
    of: rateOf,
    when: ({ seconds }) => !Number.isNaN(seconds),
  },
  { key: 'rate', type: 'number', meaning: 'the former name of `rate_per_s`; goes with the next version', of: rateOf },
  {
    key: 'recorded_as',
    type: 'object',
    title: 'recorded as',
    shrink: 12,
    priority: 1,
    meaning: 'the names in the file, where they are others: `[{name, count}]`',
    of: ({ recordedAs }): TypeCount['recordedAs'] | undefined => (recordedAs.length > 0 ? recordedAs : undefined),
    text: ({ recordedAs }) =>
      recordedAs
        .map((as) => (recordedAs.length === 1 ? as.name : `${as.name} ${count(as.count)}`))
        .map(escapeText)
        .join(', '),
    when: ({ renamed }) => renamed,
  },
]);

/** Rows of CSV: the types of one or several recordings. */
export type RecordedType = TypeCount & { view: InventoryView };
export const recordedTypeColumns = columnsOf<RecordedType>()([
  { key: 'file', type: 'text', meaning: 'the recording', of: ({ view }) => view.file },
  { key: 'event', type: 'text', meaning: '`system:event`', of: ({ name }) => name },
  { key: 'count', type: 'number', meaning: 'how many', of: ({ count }) => count },
  {
    key: 'rate_per_s',
    type: 'rate',
    meaning: 'in a second of the recording',
    of: (type) => rateOf(type, eventScope(type.view)),
  },
  {
    key: 'recorded_as',
    type: 'text',
    meaning: 'the names in the file, where they are others',
    of: ({ recordedAs }) => recordedAs.map(({ name }) => name).join(' '),
  },
]);

export const processColumns = columnsOf<ProcessCount>()([
  {
    key: 'pid',
    type: 'number',
    isId: true,
    meaning: 'null of threads whose process is not known',
    of: ({ pid }): number | null => (pid < 0 ? null : pid),
  },
  { key: 'comm', type: 'text', meaning: 'its name, or that of its busiest thread', of: ({ comm }) => comm },
  { key: 'threads', type: 'number', meaning: 'how many threads it has', of: ({ threads }) => threads },
  { key: 'events', type: 'number', meaning: 'how many events they caused', of: ({ events }) => events },
]);

type MachineScope = Scope & {
  /** Whether there is anything of that kind to show. */
  has: { comm: boolean; vcpus: boolean; qemuEvents: boolean };
};

export function machineScope(machines: readonly Machine[]): MachineScope {
  return {
    ...scopeOf('ns', Number.NaN),
    has: {
      comm: machines.some(({ comm }) => comm !== ''),
      vcpus: machines.some(({ vcpus }) => vcpus.length > 0),
      qemuEvents: machines.some(({ qemuEvents }) => qemuEvents > 0),
    },
  };
}

const vcpuColumns = columnsOf<Machine['vcpus'][number]>()([
  { key: 'vcpu', type: 'number', isId: true, meaning: 'its number', of: ({ vcpu }): number | null => vcpu ?? null },
  { key: 'tid', type: 'number', isId: true, meaning: 'its thread', of: ({ tid }) => tid },
  { key: 'comm', type: 'text', meaning: "the thread's name", of: ({ comm }) => comm },
  { key: 'events', type: 'number', meaning: 'how many events it caused', of: ({ events }) => events },
]);

/** vCPUs named one by one in tables. */
const shownVcpus = 16;

export const machineColumns = columnsOf<Machine, MachineScope>()([
  {
    key: 'pid',
    type: 'number',
    isId: true,
    title: 'QEMU process',
    align: 'left',
    meaning: "the VM's process",
    of: ({ pid }): number | null => (pid < 0 ? null : pid),
    text: ({ pid }) => (pid < 0 ? 'not recorded' : String(pid)),
  },
  {
    key: 'comm',
    type: 'text',
    title: 'name',
    shrink: 8,
    meaning: "the process's name",
    of: ({ comm }) => comm,
    when: ({ has }) => has.comm,
  },
  forPeople({
    title: 'vCPUs (thread)',
    type: 'text',
    shrink: 20,
    of: ({ vcpus }) => {
      if (vcpus.length === 0) return '';
      const names = vcpus.slice(0, shownVcpus).map(({ vcpu, tid }) => `${vcpu ?? '?'} (${tid})`);
      return `${vcpus.length}: ${names.join(', ')}${vcpus.length > shownVcpus ? ', …' : ''}`;
    },
    when: ({ has }) => has.vcpus,
  }),
  {
    key: 'qemu_events',
    type: 'number',
    title: 'QEMU events',
    meaning: 'events that QEMU itself traced',
    of: ({ qemuEvents }) => qemuEvents,
    text: ({ qemuEvents }) => (qemuEvents === 0 ? '' : count(qemuEvents)),
    when: ({ has }) => has.qemuEvents,
  },
  {
    key: 'vcpus',
    type: 'object',
    meaning: 'its vCPU threads: `[{vcpu, tid, comm, events}]`',
    of: ({ vcpus }, scope): RowJson<typeof vcpuColumns>[] => vcpus.map((vcpu) => rowJson(vcpuColumns, vcpu, scope)),
  },
]);

export const questionColumns = columnsOf<Question>()([
  {
    key: 'command',
    type: 'text',
    meaning: 'the question, as the command of that name asks it',
    of: ({ command }) => command,
  },
  { key: 'answer', type: 'text', meaning: '`yes`, `partly` or `no`', of: ({ answer }) => answer },
  { key: 'why', type: 'text', meaning: 'what it tells, or what is missing', of: ({ why }) => why },
  { key: 'record', type: 'object', meaning: 'command lines that record what is missing', of: ({ record }) => record },
]);

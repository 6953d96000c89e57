import { columnsOf, type RowJson, rowJson, rowsCsv, rowsTable, scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import type { Json } from './json.ts';
import type { Terminal } from './terminal.ts';
import { plural } from './units.ts';

/** A running machine. Names are whatever their owners chose: untrusted. */
export type ListedMachine = {
  pid: number;
  name: string;
  uuid: string | undefined;
  program: string;
  vcpus: readonly { vcpu: number; tid: number }[];
  tids: readonly number[];
  /** How many of its QEMU's events can be traced by probes. */
  probes: number;
};

/** One of QEMU's events that a program has probes for. */
export type ListedEvent = {
  name: string;
  /** `void *vq`, or the compiler's operand where nobody knows the argument's name; `fetched` is false where the kernel cannot read it. */
  arguments: { text: string; fetched: boolean }[];
  sites: number;
};

const vcpuColumns = columnsOf<ListedMachine['vcpus'][number]>()([
  { key: 'vcpu', type: 'number', isId: true, meaning: 'its number', of: ({ vcpu }) => vcpu },
  { key: 'tid', type: 'number', isId: true, meaning: 'its thread', of: ({ tid }) => tid },
]);

export const machineColumns = columnsOf<ListedMachine>()([
  {
    key: 'pid',
    type: 'number',
    isId: true,
    title: 'pid',
    meaning: "QEMU's process",
    of: ({ pid }) => pid,
    text: ({ pid }) => String(pid),
  },
  { key: 'name', type: 'text', title: 'name', shrink: 16, meaning: 'what `-name` says', of: ({ name }) => name },
  { key: 'uuid', type: 'text', meaning: 'its uuid, where it has one', of: ({ uuid }): string | null => uuid ?? null },
  {
    key: 'program',
    type: 'text',
    title: 'program',
    priority: 1,
    meaning: 'what runs it',
    of: ({ program }) => program,
  },
  {
    key: 'vcpus',
    type: 'object',
    title: 'vCPUs: threads',
    shrink: 20,
    meaning: 'its vCPU threads: `[{vcpu, tid}]`',
    of: ({ vcpus }, scope): RowJson<typeof vcpuColumns>[] => vcpus.map((one) => rowJson(vcpuColumns, one, scope)),
    text: ({ vcpus, tids }) =>
      vcpus.length > 0
        ? vcpus.map(({ vcpu, tid }) => `${vcpu}: ${tid}`).join(', ')
        : `not named; ${plural(tids.length, 'thread')}`,
  },
  { key: 'vcpus', type: 'number', meaning: 'how many vCPU threads', of: ({ vcpus }) => vcpus.length, json: false },
  {
    key: 'probes',
    type: 'number',
    title: 'probes',
    align: 'left',
    meaning: "how many of QEMU's events can be traced by probes",
    of: ({ probes }) => probes,
    text: ({ probes }) => (probes === 0 ? 'none' : plural(probes, 'event')),
  },
]);

export const probeColumns = columnsOf<ListedEvent>()([
  { key: 'name', type: 'text', meaning: 'of the event', of: ({ name }) => name, csv: false },
  { key: 'event', type: 'text', meaning: 'of the event', of: ({ name }) => name, json: false },
  {
    key: 'arguments',
    type: 'object',
    meaning: 'what it carries: `[{text, fetched}]`',
    of: ({ arguments: all }) => all,
  },
  {
    key: 'arguments',
    type: 'text',
    meaning: 'what it carries',
    of: ({ arguments: all }) => all.map(({ text }) => text).join(', '),
    json: false,
  },
  { key: 'sites', type: 'number', meaning: 'at how many places of the program', of: ({ sites }) => sites },
]);

export const listScope = scopeOf('ns', Number.NaN);

/** Machines as a table. */
export function machinesText(machines: readonly ListedMachine[], terminal: Terminal): string {
  if (machines.length === 0) return 'No virtual machine runs here, or none that you may see.\n';
  return rowsTable(machineColumns, machines, listScope, terminal);
}

export function machinesJson(machines: readonly ListedMachine[]): Json {
  return { machines: machines.map((machine) => rowJson(machineColumns, machine, listScope)) };
}

export function machinesCsv(machines: readonly ListedMachine[]): string {
  return rowsCsv(machineColumns, machines, listScope);
}

/** Events with their arguments, as QEMU's trace-events files write them. */
export function probesText(title: string, events: readonly ListedEvent[], terminal: Terminal): string {
  const lines = events.map(({ name, arguments: args, sites }) => {
    const list = args.map(({ text, fetched }) => (fetched ? text : `${text} (not readable)`)).join(', ');
    return `  ${terminal.style('strong', escapeText(name))}(${escapeText(list)})${sites > 1 ? `  at ${sites} places` : ''}`;
  });
  return `${terminal.style('heading', escapeText(title))}: ${plural(events.length, 'event')}\n${lines.map((line) => `${line}\n`).join('')}`;
}

export function probesJson(file: string, events: readonly ListedEvent[]): Json {
  return { file, events: events.map((event) => rowJson(probeColumns, event, listScope)) };
}

export function probesCsv(events: readonly ListedEvent[]): string {
  return rowsCsv(probeColumns, events, listScope);
}

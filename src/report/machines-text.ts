import { csv } from './csv.ts';
import { escapeText } from './escape.ts';
import type { Json } from './json.ts';
import { table } from './table.ts';
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

/** Machines as a table. */
export function machinesText(machines: readonly ListedMachine[], terminal: Terminal): string {
  if (machines.length === 0) return 'No virtual machine runs here, or none that you may see.\n';
  const rows = machines.map(({ pid, name, program, vcpus, tids, probes }) => [
    String(pid),
    escapeText(name),
    escapeText(program),
    vcpus.length > 0
      ? vcpus.map(({ vcpu, tid }) => `${vcpu}: ${tid}`).join(', ')
      : `not named; ${plural(tids.length, 'thread')}`,
    probes === 0 ? 'none' : plural(probes, 'event'),
  ]);
  const columns = [
    { title: 'pid', align: 'right' as const },
    { title: 'name', shrink: 16 },
    { title: 'program', priority: 1 },
    { title: 'vCPUs: threads', shrink: 20 },
    { title: 'probes' },
  ];
  return table(columns, rows, terminal);
}

export function machinesJson(machines: readonly ListedMachine[]): Json {
  return {
    machines: machines.map(({ pid, name, uuid, program, vcpus, probes }) => ({
      pid,
      name,
      uuid: uuid ?? null,
      program,
      vcpus: vcpus.map(({ vcpu, tid }) => ({ vcpu, tid })),
      probes,
    })),
  };
}

export function machinesCsv(machines: readonly ListedMachine[]): string {
  return csv(
    ['pid', 'name', 'uuid', 'program', 'vcpus', 'probes'],
    machines.map(({ pid, name, uuid, program, vcpus, probes }) => [pid, name, uuid, program, vcpus.length, probes]),
  );
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
  return { file, events: events.map(({ name, arguments: args, sites }) => ({ name, arguments: args, sites })) };
}

export function probesCsv(events: readonly ListedEvent[]): string {
  return csv(
    ['event', 'arguments', 'sites'],
    events.map(({ name, arguments: args, sites }) => [name, args.map(({ text }) => text).join(', '), sites]),
  );
}

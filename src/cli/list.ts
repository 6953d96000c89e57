import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { Signatures } from '../formats/trace-events.ts';
import { matchQemuEvents } from '../live/event-sets.ts';
import { findMachines } from '../live/machines.ts';
import { operandsOf } from '../live/probe-arguments.ts';
import { type Probe, type ProbeFile, probesOf } from '../live/usdt.ts';
import { sortRows } from '../report/column-names.ts';
import {
  type ListedEvent,
  listScope,
  machineColumns,
  machinesCsv,
  machinesJson,
  machinesText,
  probeColumns,
  probesCsv,
  probesJson,
  probesText,
} from '../report/machines-text.ts';
import type { ColorChoice } from '../report/terminal.ts';
import { chooseMachines } from './machines.ts';
import { colorOption, formOptions, parseWords } from './options.ts';
import { Output } from './output.ts';
import { sortOption } from './sort-option.ts';

type ListOptions = {
  json?: true;
  csv?: true;
  color: ColorChoice;
  sort?: string;
  event?: string[];
  traceEvents?: string;
};

export default function define(command: Command): void {
  command
    .argument('[machine]', 'process, name or uuid of the machine whose probes to list')
    .option('-e, --event <pattern>', "only these events: 'virtio_*'; may be repeated", parseWords)
    .option('--trace-events <file>', "QEMU's trace-events-all, which names the probes' arguments");
  sortOption(colorOption(formOptions(command)), 'the machines or events', [...machineColumns, ...probeColumns])
    .addHelpText(
      'after',
      `
Examples:
  sudo virtap list                      the virtual machines that run here
  sudo virtap list web1                 the events that can be traced by probes in its QEMU
  sudo virtap list 4711 -e 'virtio_*'   some of them, by process`,
    )
    .action(run);
}

async function run(name: string | undefined, options: ListOptions): Promise<void> {
  const out = new Output(options);
  if (name === undefined) {
    const found = findMachines().map((machine) => ({
      ...machine,
      probes: new Set(probesOf(machine.pid, 'qemu').flatMap(({ probes }) => probes.map((probe) => probe.name))).size,
    }));
    const machines = sortRows(machineColumns, found, options.sort, listScope, ({ name }) => [name]);
    await out.answer({
      json: () => machinesJson(machines),
      csv: () => machinesCsv(machines),
      text: (terminal) => machinesText(machines, terminal),
    });
    return;
  }
  const { pids } = chooseMachines(/^\d+$/.test(name) ? { pid: [Number(name)] } : { vm: [name] }, false);
  const files = pids.flatMap((pid) => probesOf(pid, 'qemu'));
  if (files.length === 0) {
    throw new UsageError(
      `${name}: its program was built without SystemTap probes (as Debian and Ubuntu do), or you may not read it (sudo)`,
    );
  }
  const signatures = new Signatures(undefined, options);
  for (const file of files) {
    const all = eventsOf(file, options.event, signatures);
    const events = sortRows(probeColumns, all, options.sort, listScope, (event) => [event.name]);
    await out.answer({
      json: () => probesJson(file.name, events),
      csv: () => probesCsv(events),
      text: (terminal) => probesText(file.name, events, terminal),
    });
  }
}

/** The events of a file, by name. */
function eventsOf(
  { probes }: ProbeFile,
  patterns: readonly string[] | undefined,
  signatures: Signatures,
): ListedEvent[] {
  const byName = Map.groupBy(probes, (probe) => probe.name);
  const names = [...byName.keys()];
  const wanted = new Set(patterns?.flatMap((pattern) => matchQemuEvents(names, pattern)) ?? names);
  if (patterns !== undefined && wanted.size === 0) throw new UsageError(`it has no event ${patterns.join(' or ')}`);
  return names
    .filter((name) => wanted.has(name))
    .sort()
    .map((name) => {
      const sites = byName.get(name) as Probe[];
      return { name, arguments: argumentsOf(sites, signatures), sites: sites.length };
    });
}

/** Arguments as declared, where QEMU's trace-events tell; an argument is readable where the kernel can read it at every site. */
function argumentsOf(sites: readonly Probe[], signatures: Signatures): ListedEvent['arguments'] {
  const operands = sites.map(({ args, machine }) => operandsOf(args, machine));
  const first = operands[0] ?? [];
  const known = signatures.candidates(sites[0]?.name ?? '').find(({ args }) => args.length === first.length)?.args;
  return first.map(({ size, signed }, n) => {
    const argument = known?.[n];
    const declared = argument?.declared ?? `${signed ? '' : 'u'}int${size * 8}_t`;
    const text = `${declared}${declared.endsWith('*') ? '' : ' '}${argument?.name ?? `arg${n + 1}`}`;
    return { text, fetched: operands.every((site) => site[n]?.fetch !== undefined) };
  });
}

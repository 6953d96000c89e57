import { UsageError } from '../analyse/usage-error.ts';
import { commOf, findMachines, type Machine, threadsOf } from '../live/machines.ts';
import { escapeText } from '../report/escape.ts';
import { plural } from '../report/units.ts';

/** Which of the processes on this host the user means. */
export type MachineOptions = { pid?: number[]; vm?: string[]; all?: true };

/** What to record: the machines meant, and the threads to watch; `tids` undefined means every thread of the host. */
export type Chosen = { machines: Machine[]; pids: number[]; tids: number[] | undefined };

/**
 * The machines that the options name; all that run where they name none. Throws a UsageError where a name fits none or
 * several, or where no machine runs; with `optional` that means the whole host.
 */
export function chooseMachines(options: MachineOptions, optional: boolean): Chosen {
  const machines = findMachines();
  const named = options.pid !== undefined || options.vm !== undefined;
  if (options.all === true || (!named && optional))
    return { machines, pids: machines.map(({ pid }) => pid), tids: undefined };
  if (!named && machines.length === 0) {
    throw new UsageError('no virtual machine runs here; --all also records those that start later');
  }
  const chosen = named ? (options.vm ?? []).map((name) => byName(name, machines)) : machines;
  const tids = new Set(chosen.flatMap((machine) => machine.tids));
  const pids = chosen.map(({ pid }) => pid);
  for (const pid of options.pid ?? []) {
    const machine = machines.find((one) => one.pid === pid);
    const threads = machine?.tids ?? threadsOf(pid);
    if (threads.length === 0) throw new UsageError(`there is no process ${pid}; ${listMachines(machines)}`);
    if (machine !== undefined) chosen.push(machine);
    pids.push(pid);
    for (const tid of threads) tids.add(tid);
  }
  return { machines: chosen, pids, tids: [...tids] };
}

/** What was chosen, for people. Names are whatever their owners chose: untrusted. */
export function subject({ machines, tids, pids }: Chosen): string {
  if (tids === undefined) return 'the whole host';
  if (machines.length === 1) return `${machines[0]?.name ?? ''} (${machines[0]?.pid})`;
  if (machines.length > 0) return plural(machines.length, 'virtual machine');
  const [pid] = pids;
  return pids.length === 1 && pid !== undefined
    ? `${commOf(pid) ?? 'process'} (${pid})`
    : plural(pids.length, 'process', 'processes');
}

function byName(name: string, machines: readonly Machine[]): Machine {
  const found = machines.filter((machine) => machine.name === name || machine.uuid === name);
  const [machine] = found;
  if (machine === undefined)
    throw new UsageError(`no running virtual machine is called ${name}; ${listMachines(machines)}`);
  if (found.length > 1) {
    throw new UsageError(
      `${found.length} virtual machines are called ${name}: name one by its process, -p ${found.map(({ pid }) => pid).join(' or ')}`,
    );
  }
  return machine;
}

function listMachines(machines: readonly Machine[]): string {
  if (machines.length === 0) return 'no virtual machine runs here';
  const shown = machines.slice(0, 8).map(({ name, pid }) => `${escapeText(name)} (${pid})`);
  return `these run: ${shown.join(', ')}${machines.length > shown.length ? ', …' : ''}`;
}

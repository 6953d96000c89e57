import { UsageError } from '../analyse/usage-error.ts';
import { Signatures } from '../formats/trace-events.ts';
import {
  eventsFor,
  type LiveEvents,
  matchEvents,
  matchQemuEvents,
  needsQemu,
  type Purpose,
  qemuEventsFor,
} from '../live/event-sets.ts';
import { LiveTrace } from '../live/live-trace.ts';
import { QemuLogTrace } from '../live/qemu-log-trace.ts';
import { findMonitor } from '../live/qmp.ts';
import { findTracefs } from '../live/tracefs.ts';
import { planUprobes, type Uprobe } from '../live/uprobes.ts';
import { probesOf } from '../live/usdt.ts';
import { ownProgram } from '../own/files.ts';
import { type Chosen, chooseMachines, subject } from './machines.ts';
import type { LiveOptions, TraceOptions } from './options.ts';

type LiveSource = LiveOptions & Pick<TraceOptions, 'traceEvents'>;

/** A command line that removes what this process leaves in the kernel, once it is gone. */
export function cleanupCommand(): string[] {
  return [...ownProgram(), 'cleanup', '--after', String(process.pid)];
}

/** The kernel's events, and the probes of the machines' QEMUs, that are wanted. Throws a UsageError for what there is not. */
export function chooseEvents(
  tracefs: string,
  chosen: Chosen,
  { purposes = [], patterns = [], optional }: LiveEvents,
  signatures: Signatures,
): { events: string[]; uprobes: Uprobe[] } {
  const files = chosen.pids.flatMap((pid) => probesOf(pid, 'qemu'));
  const probes = new Set(files.flatMap((file) => file.probes.map(({ name }) => name)));
  const events = new Set<string>(eventsFor(tracefs, purposes));
  const wanted = new Set(qemuEventsFor(probes, purposes));
  let unknown: string | undefined;
  for (const pattern of patterns) {
    const kernels = matchEvents(tracefs, pattern);
    const qemus = matchQemuEvents(probes, pattern);
    if (kernels.length === 0 && qemus.length === 0) unknown ??= pattern;
    for (const name of kernels) events.add(name);
    for (const name of qemus) wanted.add(name);
  }
  if (unknown !== undefined && (optional !== true || events.size + wanted.size === 0)) {
    const where = probes.size > 0 ? 'neither the kernel nor QEMU has an event' : 'this kernel has no event';
    throw new UsageError(`${where} ${unknown} (trace-cmd list -e and virtap list PID list them)`);
  }
  if (wanted.size === 0 && optional !== true) {
    const lacking = purposes.find(needsQemu);
    if (lacking !== undefined) throw new UsageError(`${subject(chosen)}: ${withoutProbes(lacking)}`);
  }
  return { events: [...events], uprobes: planUprobes(files, wanted, signatures) };
}

function withoutProbes(purpose: Purpose): string {
  const trace = purpose === 'locks' ? "'qemu_mutex_*'" : "'virtqueue_*' -trace 'virtio_*'";
  return (
    'this QEMU was built without SystemTap probes (as Debian and Ubuntu do), so the kernel cannot see its events; ' +
    'give it a monitor that virtap can use (-qmp unix:PATH,server=on,wait=off), or have it write them itself and give ' +
    `virtap the file: -trace ${trace} -trace file=qemu.trace -msg timestamp=on`
  );
}

/** The running machines that the options name, as a trace that Ctrl-C, a signal or `--for` ends. */
export function openLive(options: LiveSource, wanted: LiveEvents): LiveTrace | QemuLogTrace {
  const tracefs = findTracefs();
  const chosen = chooseMachines(options, false);
  const trace = openQemuLog(chosen, options, wanted) ?? openKernel(tracefs, chosen, options, wanted);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => trace.end());
  return trace;
}

/** By the log of a QEMU without probes, where its monitor can be reached, and the question is about its own events. */
function openQemuLog(chosen: Chosen, options: LiveSource, { purposes = [] }: LiveEvents): QemuLogTrace | undefined {
  const [machine] = chosen.machines;
  if (machine === undefined || chosen.pids.length !== 1 || !purposes.every(needsQemu)) return undefined;
  if (purposes.length === 0 || probesOf(machine.pid, 'qemu').length > 0) return undefined;
  const monitor = findMonitor(machine.pid, machine.name, machine.uuid);
  if (monitor === undefined) return undefined;
  return new QemuLogTrace({
    name: subject(chosen),
    pid: machine.pid,
    monitor,
    choose: (names) => qemuEventsFor(names, purposes),
    traceEvents: options.traceEvents,
    length: options.for,
    cleanup: cleanupCommand(),
  });
}

function openKernel(tracefs: string, chosen: Chosen, options: LiveSource, wanted: LiveEvents): LiveTrace {
  const signatures = new Signatures(undefined, options);
  const trace = new LiveTrace({
    ...chooseEvents(tracefs, chosen, wanted, signatures),
    name: subject(chosen),
    signatures,
    tids: chosen.tids,
    pids: chosen.pids,
    bufferKiB: undefined,
    length: options.for,
    cleanup: cleanupCommand(),
  });
  // Whatever ends the process, what was switched on is switched off.
  process.on('exit', () => trace.stop());
  return trace;
}

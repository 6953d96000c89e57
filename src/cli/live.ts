import { Signatures } from '../formats/trace-events.ts';
import {
  purposes as allPurposes,
  eventsFor,
  type LiveEvents,
  matchEvents,
  matchQemuEvents,
  needsQemu,
  type Purpose,
  qemuEventsFor,
} from '../live/event-sets.ts';
import { LiveTrace } from '../live/live-trace.ts';
import { ownModule } from '../live/own-module.ts';
import { findTracefs } from '../live/tracefs.ts';
import { planUprobes, type Uprobe } from '../live/uprobes.ts';
import { probesOf } from '../live/usdt.ts';
import { type Chosen, chooseMachines, subject } from './machines.ts';
import type { LiveOptions, TraceOptions } from './options.ts';
import { UsageError } from './usage-error.ts';

/** A command line that removes what this process leaves in the kernel, once it is gone. */
export function cleanupCommand(): string[] {
  return [process.execPath, ownModule('./main', import.meta.url), 'cleanup', '--after', String(process.pid)];
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
  for (const pattern of patterns) {
    const kernels = matchEvents(tracefs, pattern);
    const qemus = matchQemuEvents(probes, pattern);
    if (kernels.length === 0 && qemus.length === 0) {
      const where = probes.size > 0 ? 'neither the kernel nor QEMU has an event' : 'this kernel has no event';
      throw new UsageError(`${where} ${pattern} (trace-cmd list -e and virtap list PID list them)`);
    }
    for (const name of kernels) events.add(name);
    for (const name of qemus) wanted.add(name);
  }
  const lacking = allPurposes.find((purpose) => purposes.includes(purpose) && needsQemu(purpose));
  if (wanted.size === 0 && lacking !== undefined && optional !== true) {
    throw new UsageError(`${subject(chosen)}: ${withoutProbes(lacking)}`);
  }
  return { events: [...events], uprobes: planUprobes(files, wanted, signatures) };
}

function withoutProbes(purpose: Purpose): string {
  const trace = purpose === 'locks' ? "'qemu_mutex_*'" : "'virtqueue_*' -trace 'virtio_*'";
  return (
    'this QEMU was built without SystemTap probes (as Debian and Ubuntu do), so the kernel cannot see its events; ' +
    `have QEMU write them itself, and give virtap the file: -trace ${trace} -trace file=qemu.trace -msg timestamp=on`
  );
}

/** The running machines that the options name, as a trace that Ctrl-C, a signal or `--for` ends. */
export function openLive(options: LiveOptions & Pick<TraceOptions, 'traceEvents'>, wanted: LiveEvents): LiveTrace {
  const tracefs = findTracefs();
  const chosen = chooseMachines(options, false);
  const signatures = new Signatures(undefined, options);
  const trace = new LiveTrace({
    ...chooseEvents(tracefs, chosen, wanted, signatures),
    name: subject(chosen),
    signatures,
    tids: chosen.tids,
    pids: chosen.pids,
    bufferKiB: undefined,
    cleanup: cleanupCommand(),
  });
  // Whatever ends the process, what was switched on is switched off.
  process.on('exit', () => trace.stop());
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => trace.end());
  if (options.for !== undefined) setTimeout(() => trace.end(), options.for / 1e6).unref();
  return trace;
}

import { eventsFor, matchEvents, type Purpose } from '../live/event-sets.ts';
import { LiveTrace } from '../live/live-trace.ts';
import { ownModule } from '../live/own-module.ts';
import { findTracefs } from '../live/tracefs.ts';
import { chooseMachines, subject } from './machines.ts';
import type { LiveOptions } from './options.ts';
import { UsageError } from './usage-error.ts';

/** What a command looks at in a running machine: what the events are for, or which. */
export type LiveEvents = { purposes?: readonly Purpose[]; patterns?: readonly string[] };

/** A command line that removes what this process leaves in the kernel, once it is gone. */
export function cleanupCommand(): string[] {
  return [process.execPath, ownModule('./main', import.meta.url), 'cleanup', '--after', String(process.pid)];
}

/** The events that patterns name, or those for the purposes. */
export function chooseEvents(tracefs: string, { purposes = [], patterns = [] }: LiveEvents): string[] {
  const events = new Set<string>(purposes.length > 0 ? eventsFor(tracefs, purposes) : []);
  for (const pattern of patterns) {
    const found = matchEvents(tracefs, pattern);
    if (found.length === 0) throw new UsageError(`this kernel has no event ${pattern} (trace-cmd list -e lists them)`);
    for (const name of found) events.add(name);
  }
  return [...events];
}

/** The running machines that the options name, as a trace that Ctrl-C, a signal or `--for` ends. */
export function openLive(options: LiveOptions, wanted: LiveEvents): LiveTrace {
  const tracefs = findTracefs();
  const events = chooseEvents(tracefs, wanted);
  const chosen = chooseMachines(options, false);
  const trace = new LiveTrace({
    name: subject(chosen),
    events,
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

import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, LiveError } from './live-error.ts';

/*
 * tracefs, the kernel's interface to its tracer. Source: linux Documentation/trace/ftrace.rst, events.rst.
 */

/** Where it is mounted: its own place, and the older one within debugfs. */
const places = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

/** The folder of tracefs. Throws a LiveError that says how to get access where there is none. */
export function findTracefs(): string {
  if (process.platform !== 'linux') throw new LiveError('recording needs Linux; recordings can be read everywhere');
  for (const place of places) {
    try {
      if (readdirSync(place).includes('events')) return place;
    } catch (error) {
      if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM') throw noAccess(place);
    }
  }
  if (process.getuid?.() !== 0) throw noAccess(places[0] as string);
  throw new LiveError(
    existsSync(places[0] as string)
      ? 'tracefs is not mounted; mount it with: mount -t tracefs nodev /sys/kernel/tracing'
      : 'this kernel has no tracefs (/sys/kernel/tracing): it was built without CONFIG_TRACING',
  );
}

function noAccess(path: string): LiveError {
  const how =
    process.getuid?.() === 0
      ? "this container's capabilities or the kernel's lockdown forbid it; run virtap on the host itself"
      : 'only root may; run it with sudo';
  return new LiveError(`no permission for ${path}: ${how}`);
}

/** Reads a file of tracefs as text. */
export function readTracefs(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    throw explain(error, path, 'read');
  }
}

/** Whether the kernel has that file: older ones lack some. */
export function hasTracefs(path: string): boolean {
  return existsSync(path);
}

/**
 * Writes to a file of tracefs, in one system call, as it wants. `append` keeps what the file holds: opening
 * without it clears lists such as set_event.
 */
export function writeTracefs(path: string, text: string, append = false): void {
  let file: number | undefined;
  try {
    file = openSync(path, append ? 'a' : 'w');
    writeSync(file, text);
  } catch (error) {
    throw explain(error, path, `write "${text.slice(0, 80)}" to`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** A system call's error on a file of tracefs, as a sentence. */
export function explain(error: unknown, path: string, what: string): LiveError {
  const code = codeOf(error);
  if (code === 'EACCES' || code === 'EPERM') return noAccess(path);
  return new LiveError(`cannot ${what} ${path}: ${(error as Error).message.replace(/, \w+( '.*')?$/, '')}`, {
    cause: error,
  });
}

/** The event systems that the kernel has, and the events in each. */
export function eventsOf(tracefs: string, system: string): string[] {
  // Names come from the kernel's modules; no other than such a name becomes part of a path.
  if (!/^[\w-]+$/.test(system)) return [];
  try {
    return readdirSync(join(tracefs, 'events', system), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

/** Names of all event systems. */
export function systemsOf(tracefs: string): string[] {
  return readdirSync(join(tracefs, 'events'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

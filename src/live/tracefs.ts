import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, LiveError } from './live-error.ts';

/*
 * tracefs, the kernel's interface to its tracer. Source: linux Documentation/trace/ftrace.rst, events.rst.
 */

/** Where it belongs, and where kernels of old have it. */
const place = '/sys/kernel/tracing';
const oldPlace = '/sys/kernel/debug/tracing';

/** What mounts it, in the order that trace-cmd tries: with debugfs, it appears in the old place. */
const mounts = [
  { at: place, args: ['-t', 'tracefs', 'nodev', place] },
  { at: '/sys/kernel/debug', args: ['-t', 'debugfs', 'nodev', '/sys/kernel/debug'] },
];

/** The folder of tracefs, which is mounted where it was not. Throws a LiveError that says how to get access where there is none. */
export function findTracefs(): string {
  if (process.platform !== 'linux') throw new LiveError('recording needs Linux; recordings can be read everywhere');
  const found = mounted();
  if (found !== undefined) return found;
  const ways = mounts.filter(({ at }) => existsSync(at));
  const command = `mount ${(ways[0] ?? mounts[0])?.args.join(' ')}`;
  if (process.getuid?.() !== 0) {
    throw new LiveError(`tracefs is not mounted: run virtap with sudo, which mounts it, or first: sudo ${command}`);
  }
  let why: string | undefined;
  for (const { args } of ways) {
    const { error, stderr } = spawnSync('mount', args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
    const now = mounted();
    if (now !== undefined) return now;
    why ??= error === undefined ? stderr.trim().split('\n', 1)[0] : 'there is no program called mount';
  }
  if (!why) throw new LiveError(`this kernel has no tracefs (${place}): it was built without CONFIG_TRACING`);
  throw new LiveError(
    `tracefs is not mounted, and mounting it failed (${why}); as root, on the host itself: ${command}; ` +
      `a container can be given that folder: -v ${place}:${place}`,
  );
}

/** Where it is mounted. Throws a LiveError where that may not be looked at. */
function mounted(): string | undefined {
  return [place, oldPlace, ...elsewhere()].find((folder) => {
    try {
      return readdirSync(folder).includes('events');
    } catch (error) {
      const denied = codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM';
      // Others may not enter debugfs, whatever is in it.
      if (denied && (folder !== oldPlace || !existsSync(place))) throw noAccess(folder);
      return false;
    }
  });
}

/** Where somebody else chose to mount it. */
function elsewhere(): string[] {
  const table = readFileSync('/proc/self/mounts', 'utf8');
  return [...table.matchAll(/^\S+ (\S+) tracefs /gm)].map(([, place]) =>
    (place as string).replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))),
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

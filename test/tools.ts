import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { findTracefs } from '../src/live/tracefs.ts';

/** The browser that the tests of pages drive. */
export const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** What tests can need that is not on every machine, each with the reason why a test cannot have it here; undefined where it can. */
const components = {
  'trace-cmd': () => program('trace-cmd'),
  // Debian's `perf` may be a script that looks for one that fits the kernel.
  perf: () => program('perf') ?? works('perf does not run here', 'perf', '--version'),
  babeltrace2: () => program('babeltrace2'),
  QEMU: () => program('qemu-system-x86_64'),
  Chromium: () => file(chromium, constants.X_OK),
  'a C compiler': () => program('cc'),
  "SystemTap's headers": () =>
    program('cc') ?? works('sys/sdt.h is not installed', 'cc', '-E', '-include', 'sys/sdt.h', '-x', 'c', '/dev/null'),
  "libtracecmd's headers": () =>
    program('cc') ?? works('libtracecmd-dev is not installed', 'pkg-config', '--exists', 'libtracecmd'),
  readelf: () => program('readelf'),
  bash: () => program('bash'),
  script: () => program('script'),
  KVM: () => file('/dev/kvm', constants.R_OK | constants.W_OK),
  'namespaces of its own': () => works('unshare -m is not allowed here', 'unshare', '-m', 'true'),
  'permission to trace': () => {
    try {
      findTracefs();
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  },
} satisfies Record<string, () => string | undefined>;

/** Stands between several reasons of one test. */
export const between = ' + ';

type Component = keyof typeof components;

const known = new Map<Component, string | undefined>();

/** Why a test cannot have this here; undefined where it can. */
export function lacking(name: Component): string | undefined {
  if (!known.has(name)) known.set(name, components[name]());
  return known.get(name);
}

/**
 * Options for a test that needs these: it is skipped where one is missing, and says why. With VIRTAP_FULL=1, as in CI, nothing is
 * skipped: it fails at once, with the same reason.
 */
export function needs(...names: Component[]): { skip?: string; signal?: AbortSignal } {
  const missing = new Set(names.map(lacking).filter((reason) => reason !== undefined));
  if (missing.size === 0) return {};
  const why = [...missing].join(between);
  return process.env.VIRTAP_FULL === '1' ? { signal: AbortSignal.abort(new Error(why)) } : { skip: why };
}

function program(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => file(join(folder, name), constants.X_OK) === undefined)
    ? undefined
    : `${name} is not installed`;
}

function file(path: string, access: number): string | undefined {
  try {
    accessSync(path, access);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? `there is no ${path}` : `no permission for ${path}`;
  }
}

function works(otherwise: string, command: string, ...args: string[]): string | undefined {
  return spawnSync(command, args).status === 0 ? undefined : otherwise;
}

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What tests can need that is not on every machine, and how to see whether it is there. */
const components = {
  'trace-cmd': () => installed('trace-cmd'),
  perf: () => spawnSync('perf', ['--version']).status === 0,
  QEMU: () => installed('qemu-system-x86_64'),
  Chromium: () => existsSync(process.env.CHROMIUM ?? '/usr/bin/chromium'),
  'a C compiler': () => installed('cc'),
  "SystemTap's headers": () => spawnSync('cc', ['-E', '-include', 'sys/sdt.h', '-x', 'c', '/dev/null']).status === 0,
  readelf: () => installed('readelf'),
  KVM: () => existsSync('/dev/kvm'),
  'permission to trace': () => process.getuid?.() === 0 && existsSync('/sys/kernel/tracing/events/sched'),
} as const;

/**
 * Options for a test that needs these: it is skipped where one is missing. With VIRTAP_FULL=1, as in CI, nothing is
 * skipped, so that it fails.
 */
export function needs(...names: (keyof typeof components)[]): { skip: string | false } {
  if (process.env.VIRTAP_FULL === '1') return { skip: false };
  const missing = names.filter((name) => !components[name]());
  return { skip: missing.length > 0 && `needs ${missing.join(' and ')}` };
}

function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

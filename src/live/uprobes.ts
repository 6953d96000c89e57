import { join } from 'node:path';
import type { Signatures } from '../formats/trace-events.ts';
import { codeOf } from './live-error.ts';
import { operandsOf } from './probe-arguments.ts';
import { hasTracefs, readTracefs, writeTracefs } from './tracefs.ts';
import type { Probe, ProbeFile } from './usdt.ts';

/** Groups of virtap's uprobes are called so, with the process id of who made them. */
const groupPrefix = 'qemu_virtap_';
/** The kernel's limit for the name of an event. */
const longestName = 63;

/** A uprobe to be: what it is called, and what it reads. */
export type Uprobe = { name: string; path: string; probe: Probe; args: string[] };

/**
 * How the probes of these names become uprobes: each site one, with the arguments' names and types that QEMU's trace-events give
 * them. The same program in several processes is one file.
 */
export function planUprobes(files: readonly ProbeFile[], names: ReadonlySet<string>, signatures: Signatures): Uprobe[] {
  const sites = new Map<string, number>();
  const seen = new Set<string>();
  const plan: Uprobe[] = [];
  for (const { id, path, probes } of files) {
    if (seen.has(id)) continue;
    seen.add(id);
    for (const probe of probes) {
      // The name is of a file that anybody may have written.
      if (!names.has(probe.name) || !/^[A-Za-z_]\w*$/.test(probe.name)) continue;
      const site = sites.get(probe.name) ?? 0;
      sites.set(probe.name, site + 1);
      const name = site === 0 ? probe.name : `${probe.name}_${site}`;
      if (name.length <= longestName) plan.push({ name, path, probe, args: fetchArguments(probe, signatures) });
    }
  }
  return plan;
}

/** A probe's arguments as the kernel takes them: `vq=%bx:x64 file=+0(%di):string`. Those that it cannot fetch are left out. */
function fetchArguments(probe: Probe, signatures: Signatures): string[] {
  const operands = operandsOf(probe.args, probe.machine);
  const known = signatures.candidates(probe.name).find(({ args }) => args.length === operands.length)?.args;
  return operands.flatMap(({ size, signed, fetch }, n) => {
    if (fetch === undefined) return [];
    const argument = known?.[n];
    const name = argument !== undefined && /^[A-Za-z_]\w*$/.test(argument.name) ? argument.name : `arg${n + 1}`;
    if (argument?.kind === 'text' && size === 8 && !fetch.startsWith('\\')) return [`${name}=+0(${fetch}):string`];
    const letter = argument?.base === 'hex' ? 'x' : signed ? 's' : 'u';
    return [`${name}=${fetch}:${letter}${size * 8}`];
  });
}

/** Uprobes that are defined in the kernel, where every instance can switch them on. */
export class Uprobes {
  /** Their events, `group:name`. */
  readonly events: string[] = [];
  readonly #tracefs: string;

  /** Defines them. Throws a LiveError where the kernel refuses; none is left then. */
  constructor(tracefs: string, plan: readonly Uprobe[]) {
    this.#tracefs = tracefs;
    const group = `${groupPrefix}${process.pid}`;
    try {
      for (const { name, path, probe, args } of plan) {
        const counter = probe.semaphore === undefined ? '' : `(0x${probe.semaphore.toString(16)})`;
        const place = `${path}:0x${probe.offset.toString(16)}${counter}`;
        // The kernel takes one a write.
        writeTracefs(join(tracefs, 'uprobe_events'), `p:${group}/${name} ${place} ${args.join(' ')}`, true);
        this.events.push(`${group}:${name}`);
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Removes them. They must be switched off. */
  remove(): void {
    for (const event of this.events.splice(0)) removeUprobe(this.#tracefs, event.replace(':', '/'));
  }
}

/** Process ids by which uprobes of virtap are called, and their names: `group/name`. */
export function definedUprobes(tracefs: string): Map<number, string[]> {
  const path = join(tracefs, 'uprobe_events');
  const found = new Map<number, string[]>();
  if (!hasTracefs(path)) return found;
  for (const [, name, pid] of readTracefs(path).matchAll(/^[pr]:(qemu_virtap_(\d+)\/\w+) /gm)) {
    found.set(Number(pid), [...(found.get(Number(pid)) ?? []), name as string]);
  }
  return found;
}

/** Removes one uprobe: `group/name`. False where it is still switched on. */
export function removeUprobe(tracefs: string, name: string): boolean {
  try {
    writeTracefs(join(tracefs, 'uprobe_events'), `-:${name}`, true);
    return true;
  } catch (error) {
    if (codeOf((error as Error).cause) === 'ENOENT') return true;
    if (codeOf((error as Error).cause) === 'EBUSY') return false;
    throw error;
  }
}

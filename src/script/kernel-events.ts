import { readdirSync, readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { parseKernelFormat } from '../formats/kernel-format.ts';
import { KernelLayout } from '../formats/kernel-layout.ts';
import { EventType } from '../trace/event-type.ts';
import { ScriptError } from './script-error.ts';

/** The events of the running kernel, from their format files in tracefs' folder \`events\`. Throws a ScriptError where there are none. */
export function kernelEvents(folder: string): EventType[] {
  const types: EventType[] = [];
  for (const system of subfolders(folder)) {
    for (const event of subfolders(join(folder, system))) {
      const text = textOf(join(folder, system, event, 'format'));
      const format = text === undefined ? undefined : parseKernelFormat(text);
      if (format === undefined) continue;
      const name = `${system}:${event}`;
      types.push(new EventType(types.length, name, new KernelLayout(format, endianness() === 'LE'), name));
    }
  }
  if (types.length === 0) throw new ScriptError(`${folder} has no events that can be read: it needs root`);
  return types;
}

function subfolders(folder: string): string[] {
  const entries = unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

function textOf(file: string): string | undefined {
  return unlessGone(() => readFileSync(file, 'utf8'));
}

/** Undefined for what is not there, or no longer: probes of other programs, which are events, too, come and go. */
function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { type Architecture, Elf, textAt } from './elf.ts';

/*
 * SystemTap's probes (USDT) in a program: ELF notes of type 3, "stapsdt", in the section .note.stapsdt.
 * Source: systemtap's includes/sys/sdt.h; https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation
 */

/** One place in a program where a probe is. */
export type Probe = {
  provider: string;
  name: string;
  machine: Architecture;
  /** Offset in the file of the probe's instruction. */
  offset: number;
  /** Offset in the file of the counter that says whether somebody listens; undefined where it has none. */
  semaphore: number | undefined;
  /** As the compiler wrote them: `8@%rdi -4@-20(%rbp)`. */
  args: string;
};

/** The probes of one file that a process runs. */
export type ProbeFile = {
  /** A path by which the file can be opened now, whatever became of its name: in /proc. */
  path: string;
  /** Its name as the process sees it. Untrusted. */
  name: string;
  /** Device and inode: processes of one program have the same. */
  id: string;
  probes: Probe[];
};

/** More than any program has; longer than any name or list of arguments. */
const mostProbes = 1 << 16;
const longestText = 4096;

/** The probes of a provider in the program of a process and in what it has loaded. Files that cannot be read are left out. */
export function probesOf(pid: number, provider: string, proc = '/proc'): ProbeFile[] {
  const found = new Map<string, ProbeFile>();
  const add = (path: string, name: string) => {
    try {
      const { dev, ino } = statSync(path, { bigint: true });
      const id = `${dev}:${ino}`;
      if (found.has(id)) return;
      const probes = readProbes(path).filter((probe) => probe.provider === provider);
      found.set(id, { path, name, id, probes });
    } catch {}
  };
  const exe = `${proc}/${pid}/exe`;
  try {
    add(exe, readlinkSync(exe).replace(/ \(deleted\)$/, ''));
  } catch {}
  // map_files leads to what is mapped, also where its name is of another mount namespace, or was given to another file.
  for (const { range, path } of codeMaps(`${proc}/${pid}`)) add(`${proc}/${pid}/map_files/${range}`, path);
  return [...found.values()].filter(({ probes }) => probes.length > 0);
}

/** The files that a process has mapped to run code of. */
function codeMaps(folder: string): { range: string; path: string }[] {
  try {
    const present = new Set(readdirSync(`${folder}/map_files`));
    return readFileSync(`${folder}/maps`, 'latin1')
      .split('\n')
      .map((line) => /^([\da-f]+)-([\da-f]+) ..x\S* \S+ \S+ \d+ +(\/.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, from, to, path]) => ({
        range: `${from?.replace(/^0+(?=.)/, '')}-${to?.replace(/^0+(?=.)/, '')}`,
        path: path as string,
      }))
      .filter(({ range }) => present.has(range));
  } catch {
    return [];
  }
}

/** The probes of all providers in an ELF file. Throws an Error where it is none. */
export function readProbes(path: string): Probe[] {
  const file = openSync(path, 'r');
  try {
    const elf = new Elf(file);
    const section = elf.sections.find(({ name }) => name === '.note.stapsdt');
    if (section === undefined) return [];
    // Where the program was moved after it was linked, its sections have moved by as much as this one.
    const base = elf.sections.find(({ name }) => name === '.stapsdt.base')?.address;
    return [...parseNotes(elf.contents(section), elf, base)];
  } finally {
    closeSync(file);
  }
}

function* parseNotes(notes: Buffer, elf: Elf, base: number | undefined): Generator<Probe> {
  let count = 0;
  for (let at = 0; at + 12 <= notes.length && count < mostProbes; ) {
    const nameSize = notes.readUInt32LE(at);
    const size = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const data = at + 12 + pad4(nameSize);
    const end = data + size;
    if (end > notes.length) return;
    if (type === 3 && size >= 24 && notes.toString('latin1', at + 12, at + 19) === 'stapsdt') {
      const probe = probeOf(notes.subarray(data, end), elf, base);
      if (probe !== undefined) yield probe;
      count++;
    }
    at = data + pad4(size);
  }
}

function probeOf(note: Buffer, elf: Elf, base: number | undefined): Probe | undefined {
  const moved = base === undefined ? 0 : base - Number(note.readBigUInt64LE(8));
  const offset = elf.offsetOf(Number(note.readBigUInt64LE(0)) + moved);
  const semaphore = Number(note.readBigUInt64LE(16));
  const provider = textAt(note, 24);
  const name = textAt(note, 24 + provider.length + 1);
  const args = textAt(note, 24 + provider.length + name.length + 2);
  if (offset === undefined || Math.max(provider.length, name.length, args.length) > longestText) return undefined;
  return {
    provider,
    name,
    machine: elf.machine,
    offset,
    semaphore: semaphore === 0 ? undefined : elf.offsetOf(semaphore + moved),
    args,
  };
}

function pad4(size: number): number {
  return (size + 3) & ~3;
}

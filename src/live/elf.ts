import { readSync } from 'node:fs';

/*
 * As much of an ELF file as is needed to find probes in it. Source: the System V ABI, chapter 4; elf(5).
 * The file may be any that somebody runs: sizes and offsets are believed only within bounds.
 */

/** A part of the file that is loaded into memory. */
export type Segment = { offset: number; address: number; size: number };
export type Section = { name: string; offset: number; address: number; size: number };

/** Machines whose probes are understood. */
export type Architecture = 'x86-64' | 'arm64';

/** More sections than any program has, and a larger one than any that is read. */
const mostSections = 1 << 16;
const largestSection = 64 << 20;

/** An open ELF file. */
export class Elf {
  readonly machine: Architecture;
  readonly segments: Segment[] = [];
  readonly sections: Section[] = [];
  readonly #file: number;

  /** Throws an Error for anything but a little-endian 64-bit ELF file of a known machine. */
  constructor(file: number) {
    this.#file = file;
    const head = this.read(0, 64);
    if (head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) throw new Error('no 64-bit ELF file');
    const machine = { 62: 'x86-64', 183: 'arm64' }[head.readUInt16LE(18)] as Architecture | undefined;
    if (machine === undefined) throw new Error('a program for a machine whose probes are not understood');
    this.machine = machine;
    const programs = this.#table(head.readBigUInt64LE(32), head.readUInt16LE(54), head.readUInt16LE(56), 56);
    for (const entry of programs) {
      if (entry.readUInt32LE(0) !== 1) continue;
      this.segments.push({ offset: number(entry, 8), address: number(entry, 16), size: number(entry, 32) });
    }
    const headers = this.#table(head.readBigUInt64LE(40), head.readUInt16LE(58), head.readUInt16LE(60), 64);
    const all = headers.map((entry) => ({
      name: entry.readUInt32LE(0),
      address: number(entry, 16),
      offset: number(entry, 24),
      size: number(entry, 32),
    }));
    const names = all[head.readUInt16LE(62)];
    if (names === undefined || names.size > largestSection) return;
    const text = this.read(names.offset, names.size);
    for (const section of all) this.sections.push({ ...section, name: textAt(text, section.name) });
  }

  /** The bytes of a section. */
  contents(section: Section): Buffer {
    if (section.size > largestSection) throw new Error(`a section of ${section.size} bytes`);
    return this.read(section.offset, section.size);
  }

  /** Where in the file an address is; undefined where no part of the file is loaded there. */
  offsetOf(address: number): number | undefined {
    const segment = this.segments.find((one) => address >= one.address && address < one.address + one.size);
    return segment === undefined ? undefined : address - segment.address + segment.offset;
  }

  read(offset: number, size: number): Buffer {
    const bytes = Buffer.alloc(size);
    if (readSync(this.#file, bytes, 0, size, offset) !== size) throw new Error('the file is cut');
    return bytes;
  }

  #table(offset: bigint, entrySize: number, count: number, least: number): Buffer[] {
    if (entrySize < least || count > mostSections || offset > BigInt(Number.MAX_SAFE_INTEGER)) return [];
    const bytes = this.read(Number(offset), entrySize * count);
    return Array.from({ length: count }, (_, i) => bytes.subarray(i * entrySize, (i + 1) * entrySize));
  }
}

/** The text that begins at an offset and ends with a NUL. */
export function textAt(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('latin1', at, end < 0 ? bytes.length : end);
}

/** A 64-bit field as a number: addresses of user space and offsets are below 2^53. */
function number(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

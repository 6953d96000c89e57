import { readFileSync } from 'node:fs';
import type { EventBatch } from '../trace/batch.ts';
import type { Meter } from '../trace/budget.ts';

/*
 * Call chains of perf.data (PERF_SAMPLE_CALLCHAIN): addresses, with marks where the mode changes. Which file an address is in the records of
 * mappings tell; which function, for the kernel, /proc/kallsyms where it is the kernel that was recorded.
 */

/** What a mapping takes in memory; measured. */
const mappingBytes = 160;
/** Marks of modes (enum perf_callchain_context) are the last page of addresses. */
const firstMark = 0xffff_ffff_ffff_f001n;
const kernelHalf = 1n << 63n;
/** The process of what is mapped into the kernel. */
const kernel = -1;

type Mapping = { time: number; start: bigint; end: bigint; offset: bigint; name: string };
/** What a process maps, by time; from whom it has the rest; and since when it runs what it does. */
type Process = { mappings: Mapping[]; parent: number; forked: number; began: number };

export class PerfChains {
  readonly #little: boolean;
  readonly #meter: Meter;
  readonly #processes = new Map<number, Process>();
  /** The recorded kernel's build id, '' where that is not known. */
  readonly #buildId: () => string;
  #symbols: KernelSymbols | undefined;

  constructor(little: boolean, meter: Meter, buildId: () => string) {
    this.#little = little;
    this.#meter = meter;
    this.#buildId = buildId;
  }

  /** Makes all times count from a moment that is `by` later. */
  rebase(by: number): void {
    for (const process of this.#processes.values()) {
      process.forked -= by;
      process.began -= by;
      for (const mapping of process.mappings) mapping.time -= by;
    }
  }

  /** From `time` on a process maps this file; its bytes from `offset` on. */
  map(time: number, pid: number, start: bigint, length: bigint, offset: bigint, name: string): void {
    if (!this.#meter.hold(mappingBytes + name.length, 'mappings of processes')) return;
    this.#process(pid).mappings.push({ time, start, end: start + length, offset, name });
  }

  /** A process begins, with what its parent maps. */
  fork(time: number, pid: number, parent: number): void {
    if (pid === parent || !this.#meter.hold(mappingBytes, 'mappings of processes')) return;
    this.#processes.set(pid, { mappings: [], parent, forked: time, began: Number.NEGATIVE_INFINITY });
  }

  /** A process runs another program: its mappings are gone. */
  exec(time: number, pid: number): void {
    const process = this.#processes.get(pid);
    if (process !== undefined) process.began = time;
  }

  /** The chain behind a payload: so many addresses, and their number in the last 4 bytes. */
  text(b: EventBatch, i: number): string {
    const end = (b.at[i] as number) + (b.size[i] as number) - 4;
    const count = b.view.getUint32(end, this.#little);
    const frames: string[] = [];
    for (let n = 0; n < count; n++) {
      const address = b.view.getBigUint64(end - 8 * (count - n), this.#little);
      if (address >= firstMark) continue;
      frames.push(this.#frame(address, b.pid[i] as number, b.time[i] as number));
    }
    return frames.join('\n');
  }

  #frame(address: bigint, pid: number, time: number): string {
    const inKernel = address >= kernelHalf;
    const mapping = inKernel ? this.#ofKernel(address, time) : this.#find(address, pid, time);
    let shown = address;
    let where = mapping?.name ?? '[unknown]';
    // As perf script prints it: of programs, where in the file it is; what is made in memory may be described by a file that perf looks for.
    if (inKernel) where = where.replace(/^(\[kernel\.kallsyms\])_\w+$/, '$1');
    else if (/^(\/\/anon$|\/dev\/zero|\/anon_hugepage)/.test(where)) where = `/tmp/perf-${pid}.map`;
    else if (mapping !== undefined && !/^(\[stack|\[heap\]|\/SYSV)/.test(where))
      shown = address - mapping.start + mapping.offset;
    const symbol = inKernel ? this.#symbol(address) : undefined;
    return `${shown.toString(16)} ${symbol ?? '[unknown]'} (${where})`;
  }

  /** What of the kernel begins last before an address: perf knows where its parts begin. */
  #ofKernel(address: bigint, time: number): Mapping | undefined {
    let found: Mapping | undefined;
    for (const mapping of this.#processes.get(kernel)?.mappings ?? []) {
      if (mapping.time > time || mapping.start > address) continue;
      if (found === undefined || mapping.start >= found.start) found = mapping;
    }
    return found;
  }

  #find(address: bigint, pid: number, time: number): Mapping | undefined {
    let before = time;
    // Each is the parent of the one before; a file may make them a ring.
    for (let one = this.#processes.get(pid), depth = 0; one !== undefined && depth < 64; depth++) {
      const { mappings } = one;
      const began = one.began <= before ? one.began : Number.NEGATIVE_INFINITY;
      for (let n = mappings.length - 1; n >= 0; n--) {
        const mapping = mappings[n] as Mapping;
        if (mapping.time > before || mapping.time < began) continue;
        if (address >= mapping.start && address < mapping.end) return mapping;
      }
      if (one.parent < 0 || began > Number.NEGATIVE_INFINITY) return undefined;
      before = Math.min(before, one.forked);
      one = this.#processes.get(one.parent);
    }
    return undefined;
  }

  #process(pid: number): Process {
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = { mappings: [], parent: -1, forked: Number.NEGATIVE_INFINITY, began: Number.NEGATIVE_INFINITY };
      this.#processes.set(pid, process);
    }
    return process;
  }

  #symbol(address: bigint): string | undefined {
    this.#symbols ??= kernelSymbols(this.#buildId(), this.#processes.get(kernel)?.mappings[0]);
    return this.#symbols.at(address);
  }
}

/** The functions of the running kernel. */
class KernelSymbols {
  readonly #addresses: BigUint64Array;
  readonly #names: string[];
  readonly #shift: bigint;

  /** In order of addresses, which the recorded ones are `shift` behind. */
  constructor(symbols: { address: bigint; name: string }[], shift: bigint) {
    this.#addresses = BigUint64Array.from(symbols, ({ address }) => address);
    this.#names = symbols.map(({ name }) => name);
    this.#shift = shift;
  }

  at(address: bigint): string | undefined {
    const here = BigInt.asUintN(64, address - this.#shift);
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#addresses[middle] as bigint) <= here) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    return `${this.#names[low - 1]}+0x${(here - (this.#addresses[low - 1] as bigint)).toString(16)}`;
  }
}

const none = new KernelSymbols([], 0n);

/** The functions of the recorded kernel, where it is the one that runs, and may be asked. */
function kernelSymbols(buildId: string, mapping: Mapping | undefined): KernelSymbols {
  if (buildId === '' || buildId !== runningBuildId()) return none;
  let text: string;
  try {
    text = readFileSync('/proc/kallsyms', 'latin1');
  } catch {
    return none;
  }
  const symbols: { address: bigint; name: string }[] = [];
  /** The symbol that the mapping is named by is at its offset in the file. */
  const reference = /^\[kernel\.kallsyms\](_\w+)$/.exec(mapping?.name ?? '')?.[1];
  let shift = 0n;
  for (const [, digits, type, name] of text.matchAll(/^([0-9a-f]+) (\w) (\S+)/gm)) {
    const address = BigInt(`0x${digits}`);
    if (name === reference && mapping !== undefined) shift = mapping.offset - address;
    if (/[tw]/i.test(type as string)) symbols.push({ address, name: name as string });
  }
  if (symbols.every(({ address }) => address === 0n)) return none;
  return new KernelSymbols(
    symbols.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0)),
    shift,
  );
}

/** The running kernel's build id, as the notes that it shows have it: name size, size, type 3, "GNU". */
function runningBuildId(): string {
  let notes: Buffer;
  try {
    notes = readFileSync('/sys/kernel/notes');
  } catch {
    return '';
  }
  for (let at = 0; at + 12 <= notes.length; ) {
    const [nameSize, size, type] = [0, 4, 8].map((offset) => notes.readUInt32LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const body = at + 12 + ((nameSize + 3) & ~3);
    if (type === 3 && notes.toString('latin1', at + 12, at + 15) === 'GNU')
      return notes.toString('hex', body, body + size);
    at = body + ((size + 3) & ~3);
  }
  return '';
}

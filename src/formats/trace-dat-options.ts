import { TraceError } from '../trace/error.ts';
import { ByteCursor } from './byte-cursor.ts';

/*
 * The options of a trace.dat: {id u16, size u32, data}. Sources: trace-cmd's Documentation/trace-cmd/trace-cmd.dat.v7.5.txt,
 * lib/trace-cmd/trace-input.c (handle_options), trace-output.c.
 */

/** Where the data of one CPU lie. */
export type CpuData = { cpu: number; offset: number; size: number };

/** One buffer of the kernel: the top one, or an instance. */
export type BufferOption = {
  /** Offset of its section (v7) or its table of CPUs (v6). */
  offset: number;
  /** Name of the instance, '' for the top buffer. */
  name: string;
  /** v7: name of its clock; '' in v6. */
  clock: string;
  /** v7: size of a page of it, and its CPUs; 0 and none in v6. */
  pageSize: number;
  cpus: CpuData[];
  /** The text of a latency tracer instead of pages. */
  latency: boolean;
};

/** One CPU's measurements of how far the clock of the traced machine is from that of its peer, in time order. */
export type ClockSample = { time: bigint; offset: bigint; scaling: bigint; fraction: bigint };

export type TimeShift = {
  /** Id of the recording whose clock the samples lead to. */
  peer: bigint;
  /** Whether offsets between samples are interpolated. */
  interpolate: boolean;
  /** By CPU. */
  samples: ClockSample[][];
};

export type Guest = { name: string; id: bigint; vcpus: { vcpu: number; tid: number }[] };

/** What the kernel counted for one CPU of a buffer: per_cpu/cpuN/stats. */
export type CpuStat = {
  /** Name of the instance, '' for the top buffer. */
  buffer: string;
  cpu: number;
  /** Events that newer ones overwrote before they were read; pages tell of them too. */
  overrun: number;
  /** Events that were not written: because the buffer was full, or because interrupts nested too deeply. Nothing else tells of them. */
  dropped: number;
};

export class TraceDatOptions {
  buffers: BufferOption[] = [];
  /** v7: offsets of sections by their id. */
  sections = new Map<number, number>();
  /** The clock in brackets in trace_clock's text, or undefined where there is none. */
  clock: string | undefined;
  /** Whether there is a TRACECLOCK option. v6 then has the same text behind every table of CPUs. */
  hasClock = false;
  cpus: number | undefined;
  uname = '';
  version = '';
  cpuStats: CpuStat[] = [];
  /** Sum of what `--date` and `--ts-offset` of trace-cmd record add to every stamp, in ns. */
  offset = 0n;
  /** Whether stamps with that offset are wall-clock time. */
  hasDate = false;
  /** The instance that the statistics of CPUs are of: its name comes as an option before them. */
  statBuffer = '';
  tsc: { mult: number; shift: number } | undefined;
  timeShift: TimeShift | undefined;
  /** Random id of the recording, by which others refer to it. */
  traceId: bigint | undefined;
  guests: Guest[] = [];
  /** An option that makes no sense; the others stand. */
  damage: TraceError | undefined;
}

export const sectionId = {
  options: 0,
  buffer: 3,
  headerInfo: 16,
  ftraceEvents: 17,
  eventFormats: 18,
  commandLines: 21,
} as const;

/** Bytes before the data of a section. */
export const sectionHeader = 16;

/** What a section of v7 holds, for messages. */
export function sectionName(id: number): string {
  const names: Record<number, string> = {
    [sectionId.options]: 'options',
    [sectionId.buffer]: "a buffer's data",
    [sectionId.headerInfo]: 'the ring-buffer layout',
    [sectionId.ftraceEvents]: 'the ftrace formats',
    [sectionId.eventFormats]: 'the event formats',
    [sectionId.commandLines]: 'the thread names',
  };
  return names[id] ?? 'another section';
}

const optionId = {
  done: 0,
  date: 1,
  cpuStat: 2,
  buffer: 3,
  traceClock: 4,
  uname: 5,
  offset: 7,
  cpuCount: 8,
  version: 9,
  traceId: 11,
  timeShift: 12,
  guest: 13,
  tsc2nsec: 14,
  firstSection: 16,
  lastSection: 21,
  bufferText: 22,
} as const;

/** What a buffer, and the place of one CPU's data, take in memory; measured. */
const bufferBytes = 1000;
export const cpuBytes = 100;
/** What the kernel counted for a CPU, a clock sample and a vCPU take. */
const smallBytes = 100;

/** More CPUs than any machine that Linux runs on has. */
const mostCpus = 1 << 16;

/**
 * Reads options to the one that ends them. Returns the offset of the next options section, 0 where there is none
 * and always in v6 (`sections` false). Unknown options are skipped.
 */
export function readOptions(cursor: ByteCursor, options: TraceDatOptions, sections: boolean): number {
  for (;;) {
    const id = cursor.u16('an option');
    if (id === optionId.done && !sections) return 0;
    const size = cursor.u32('the size of an option');
    const at = cursor.offset;
    const data = ByteCursor.overBytes(cursor.bytes(size, `option ${id}`), cursor.file, at, cursor.little, cursor.meter);
    if (id === optionId.done) return data.u64('the offset of the next options');
    try {
      readOption(id, data, options, sections);
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      options.damage ??= error;
    }
  }
}

function readOption(id: number, data: ByteCursor, options: TraceDatOptions, sections: boolean): void {
  switch (id) {
    case optionId.date:
      // Microseconds.
      options.offset += 1000n * number(data);
      options.hasDate = true;
      break;
    case optionId.offset:
      options.offset += number(data);
      break;
    case optionId.cpuStat:
      readCpuStat(data, options);
      break;
    case optionId.buffer:
    case optionId.bufferText:
      options.buffers.push(readBuffer(data, sections, id === optionId.bufferText));
      break;
    case optionId.traceClock:
      options.hasClock = true;
      options.clock = chosenClock(text(data)) ?? options.clock;
      break;
    case optionId.uname:
      options.uname = text(data);
      break;
    case optionId.version:
      options.version = text(data);
      break;
    case optionId.cpuCount:
      options.cpus = cpuCount(data);
      break;
    case optionId.traceId:
      options.traceId = data.bigint('the id of the recording');
      break;
    case optionId.timeShift:
      options.timeShift = readTimeShift(data);
      break;
    case optionId.guest:
      options.guests.push(readGuest(data));
      break;
    case optionId.tsc2nsec: {
      const mult = data.u32('the multiplier of TSC2NSEC');
      const shift = data.u32('the shift of TSC2NSEC');
      if (shift > 50) throw new TraceError(data.file, `a shift of ${shift}`, data.offset - 4, 'at most 50');
      if (mult > 0) options.tsc = { mult, shift };
      break;
    }
    default:
      if (sections && id >= optionId.firstSection && id <= optionId.lastSection) {
        options.sections.set(id, data.u64('the offset of a section'));
      }
  }
}

function readCpuStat(data: ByteCursor, options: TraceDatOptions): void {
  const { meter, offset } = data;
  const stats = text(data);
  const buffer = /^Buffer: *(.{1,256})$/m.exec(stats)?.[1];
  if (buffer !== undefined) options.statBuffer = buffer;
  const cpu = countIn(stats, 'CPU');
  if (Number.isNaN(cpu)) return;
  meter.need(smallBytes + options.statBuffer.length, 'counts of CPUs', offset);
  options.cpuStats.push(cpuStat(stats, options.statBuffer, cpu));
}

/** The text of per_cpu/cpuN/stats. */
export function cpuStat(stats: string, buffer: string, cpu: number): CpuStat {
  const dropped = (countIn(stats, 'dropped events') || 0) + (countIn(stats, 'commit overrun') || 0);
  return { buffer, cpu, overrun: countIn(stats, 'overrun') || 0, dropped };
}

function countIn(stats: string, name: string): number {
  return Number(new RegExp(`^${name}: *(\\d{1,15})$`, 'm').exec(stats)?.[1] ?? Number.NaN);
}

/** The clock in brackets in the text of trace_clock: `[local] global mono`. */
export function chosenClock(list: string): string | undefined {
  return /\[\s*([^\]\s]{1,64})\s*\]/.exec(list)?.[1];
}

function text(data: ByteCursor): string {
  const all = data.text(data.left, 'text');
  const nul = all.indexOf('\0');
  return (nul < 0 ? all : all.slice(0, nul)).trim();
}

/** A number as strtoll reads it: decimal, or hexadecimal with 0x. */
function number(data: ByteCursor): bigint {
  const match = /^([+-]?)(0x[\da-f]{1,16}|\d{1,20})/i.exec(text(data));
  if (match === null) return 0n;
  const value = BigInt(match[2] as string);
  return match[1] === '-' ? -value : value;
}

/** A number of CPUs, within reason. */
export function cpuCount(cursor: ByteCursor): number {
  const count = cursor.u32('the number of CPUs');
  if (count > mostCpus) throw new TraceError(cursor.file, `${count} CPUs`, cursor.offset - 4, `at most ${mostCpus}`);
  return count;
}

function readBuffer(data: ByteCursor, sections: boolean, latency: boolean): BufferOption {
  const offset = data.u64('the offset of a buffer');
  const name = data.string('the name of a buffer');
  data.meter.need(bufferBytes + 2 * name.length, 'buffers', data.offset);
  const buffer: BufferOption = { offset, name, clock: '', pageSize: 0, cpus: [], latency };
  if (!sections) return buffer;
  buffer.clock = data.string('the clock of a buffer');
  if (latency) return buffer;
  buffer.pageSize = data.u32('the page size of a buffer');
  const count = cpuCount(data);
  data.meter.need(count * cpuBytes, 'tables of CPUs', data.offset);
  for (let i = 0; i < count; i++) {
    const cpu = data.u32('the number of a CPU');
    if (cpu > mostCpus) throw new TraceError(data.file, `CPU number ${cpu}`, data.offset - 4, `at most ${mostCpus}`);
    buffer.cpus.push({
      cpu,
      offset: data.u64("the offset of a CPU's data"),
      size: data.u64("the size of a CPU's data"),
    });
  }
  return buffer;
}

function readTimeShift(data: ByteCursor): TimeShift {
  const peer = data.bigint('the id of the peer');
  const interpolate = (data.u32('the flags of TIME_SHIFT') & 1) !== 0;
  const cpus = cpuCount(data);
  const samples: ClockSample[][] = [];
  const signed = (what: string) => BigInt.asIntN(64, data.bigint(what));
  for (let cpu = 0; cpu < cpus; cpu++) {
    const count = data.u32('the number of clock samples');
    if (count * 24 > data.left) {
      throw new TraceError(data.file, `${count} clock samples in ${data.left} bytes`, data.offset - 4, '24 bytes each');
    }
    data.meter.need((count + 1) * smallBytes, 'clock samples', data.offset);
    const list: ClockSample[] = [];
    for (let i = 0; i < count; i++) list.push({ time: data.bigint('a time'), offset: 0n, scaling: 1n, fraction: 0n });
    for (const sample of list) sample.offset = signed('an offset');
    for (const sample of list) sample.scaling = data.bigint('a scaling ratio');
    samples.push(list);
  }
  // Later versions add the fraction bits of the scaling ratios.
  if (data.left > 0) {
    for (const list of samples) {
      for (const sample of list) {
        sample.fraction = data.bigint('the fraction bits of a scaling ratio');
        if (sample.fraction > 63n) {
          throw new TraceError(data.file, `${sample.fraction} fraction bits`, data.offset - 8, 'at most 63');
        }
      }
    }
  }
  for (const list of samples) list.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const distinct = samples.map((list) => list.filter((sample, i) => i === 0 || sample.time !== list[i - 1]?.time));
  return { peer, interpolate, samples: distinct };
}

function readGuest(data: ByteCursor): Guest {
  const name = data.string('the name of a guest');
  const id = data.bigint('the trace id of a guest');
  const count = cpuCount(data);
  data.meter.need((count + 1) * smallBytes + name.length, 'guests', data.offset);
  const vcpus: Guest['vcpus'] = [];
  for (let i = 0; i < count; i++) vcpus.push({ vcpu: data.u32('a vCPU'), tid: data.u32("a vCPU's thread") });
  return { name, id, vcpus };
}

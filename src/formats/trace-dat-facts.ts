import { type Clock, type ClockTie, tellsTime } from '../trace/clock.ts';
import type { Companions } from '../trace/trace.ts';
import type { TraceDatBuffer, TraceDatHeader } from './trace-dat-header.ts';

/** Clocks that count nanoseconds (linux kernel/trace/trace.c: trace_clocks); the others count something of their own. */
const nanosecondClocks = /^(local|global|perf|mono|mono_raw|boot|tai)$/;

/** The clock that stamps of a ring buffer are of, by the kernel's name for it; 'unknown' is taken for one of those that count ns. */
export function kernelClock(name: string): Clock {
  const ns = nanosecondClocks.test(name) || name === 'unknown';
  return { name, unit: ns ? 'ns' : 'ticks', resolution: 1 };
}

/** The clock of a buffer's stamps, after what the options say to do to them. */
export function clockOf(header: TraceDatHeader, buffer: TraceDatBuffer | undefined): Clock {
  const { options } = header;
  // trace-cmd calls ticks that it means to convert tsc2nsec; the kernel's clock is the TSC.
  const own = buffer?.clock === 'tsc2nsec' ? 'x86-tsc' : buffer?.clock;
  const name = own || options.clock || 'unknown';
  const clock = options.tsc === undefined ? kernelClock(name) : ({ name, unit: 'ns', resolution: 1 } as const);
  // What --date adds to ticks does not make wall-clock time of them.
  if (clock.unit === 'ticks' || !options.hasDate) return clock;
  // --date adds an offset to the stamps: without it they are on the clock that stamped.
  const ties: ClockTie[] = [{ to: name, offset: -options.offset, source: 'trace-cmd --date' }];
  return { name: 'realtime', unit: 'ns', resolution: 1, ties };
}

/** The recordings made together with it. */
export function companionsOf({ options }: TraceDatHeader): Companions {
  return { id: options.traceId, host: options.timeShift?.peer, guests: options.guests };
}

/** What a person should know of a clock that does not count ns; `remedy` is how to have one that does. */
export function clockNotes(clock: Clock, remedy: string): string[] {
  if (!tellsTime(clock)) return [`Its clock, counter, numbers events and measures no time: ${remedy} for times.`];
  if (clock.unit === 'ns') return [];
  return [`Its stamps count ticks of ${clock.name}, whose rate the file does not say: ${remedy} for times.`];
}

/** What a person should know of the recording. */
export function notesOf(header: TraceDatHeader): string[] {
  const { options, buffers } = header;
  const notes: string[] = [];
  if (options.uname !== '' || options.version !== '') {
    const own = options.version.startsWith('virtap ');
    const by =
      options.version === '' ? '' : ` by ${own ? options.version : `trace-cmd ${options.version.split(' ')[0]}`}`;
    const on = options.uname === '' ? '' : ` on ${options.uname}`;
    notes.push(`Recorded${on}${by}.`);
  }
  if (options.tsc !== undefined) notes.push('Its stamps are TSC ticks, converted to ns as the file says.');
  const clock = clockOf(header, buffers[0]);
  notes.push(...clockNotes(clock, 'record with -C mono'));
  if (options.timeShift !== undefined)
    notes.push('It is of a guest: its times are converted to the clock of its host.');
  if (options.hasDate && clock.unit === 'ns')
    notes.push('Its times are wall-clock time, within microseconds, by trace-cmd --date.');
  else if (options.offset !== 0n)
    notes.push(`Its times have an offset of ${options.offset} ns, by trace-cmd --ts-offset.`);
  if (header.salvaged)
    notes.push('The numbers of its CPUs are a guess: the table of them is missing with the end of the file.');
  const instances = buffers.filter((buffer) => buffer.name !== '').map((buffer) => `"${buffer.name}"`);
  if (instances.length > 0)
    notes.push(`It holds the events of ${buffers.length} buffers, the instances ${instances.join(', ')} among them.`);
  for (const guest of options.guests) {
    const threads = guest.vcpus.map(({ vcpu, tid }) => `vCPU ${vcpu} is thread ${tid}`);
    const name = guest.name === '' ? 'A guest that the file does not name' : `The guest "${guest.name}"`;
    notes.push(`${name} was recorded with it${threads.length > 0 ? `: ${threads.join(', ')}` : ''}.`);
  }
  return notes;
}

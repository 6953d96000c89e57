import { Arena } from '../trace/arena.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { EventSorter } from '../trace/sorter.ts';
import { type Companions, ThreadTable, type Trace, TypeTable } from '../trace/trace.ts';
import { earliestOf } from './earliest.ts';
import type { Format } from './format.ts';
import { HandOut } from './hand-out.ts';
import { asTraceError, type Input } from './input.ts';
import { KernelEventTypes } from './kernel-types.ts';
import type { RandomFile } from './random-file.ts';
import { noTypesYet, RingBufferCpu, RingBufferDecoder } from './ring-buffer.ts';
import { clockOf, companionsOf, notesOf } from './trace-dat-facts.ts';
import { readHeader, type TraceDatBuffer, type TraceDatHeader } from './trace-dat-header.ts';
import type { CpuData } from './trace-dat-options.ts';
import { PackedPages, PlainPages } from './trace-dat-pages.ts';
import { CpuStream } from './trace-dat-stream.ts';
import { ShiftConversion, TscConversion } from './trace-dat-time.ts';
import { Signatures } from './trace-events.ts';
import { hasTracingMagic } from './tracing-data.ts';

/** trace-cmd's trace.dat, versions 6 and 7. */
export const traceDat: Format = {
  name: 'trace.dat',
  recognise: hasTracingMagic,
  async open(input, options) {
    const { file, size, broken } = await input.random();
    try {
      const header = readHeader(file, size, input.name, input.meter);
      return new TraceDat(input, file, size, header, broken, new Signatures(input.path, options));
    } catch (error) {
      // Where the compression around the file is broken, that is why the header is cut.
      const why = asTraceError(input.name, error);
      throw broken ?? why;
    }
  },
};

/** Memory for pages at hand, over all CPUs, and one CPU's largest share of it. Twice that is used, as pages are read ahead. */
const pageMemory = 8 << 20;
const largestShare = 256 << 10;

class TraceDat implements Trace {
  readonly file: string;
  readonly format = 'trace.dat';
  readonly version: string;
  readonly clock: Clock;
  readonly threads: ThreadTable;
  readonly cpus: number | undefined;
  readonly companions: Companions;
  readonly notes: string[];
  damage: TraceError | undefined;
  origin = 0n;

  readonly #input: Input;
  readonly #file: RandomFile;
  readonly #size: number;
  readonly #header: TraceDatHeader;
  readonly #types: TypeTable;
  readonly #signatures: Signatures;
  /** The buffers that are read: those on the same clock as the first. */
  readonly #buffers: TraceDatBuffer[];
  readonly #streams: CpuStream[] = [];
  /** Losses of which only damage tells: nobody knows where they are. */
  readonly #unplaced: Loss[] = [];

  constructor(
    input: Input,
    file: RandomFile,
    size: number,
    header: TraceDatHeader,
    broken: TraceError | undefined,
    signatures: Signatures,
  ) {
    this.#input = input;
    this.#file = file;
    this.#size = size;
    this.#header = header;
    this.#signatures = signatures;
    this.file = input.name;
    this.threads = new ThreadTable(input.meter);
    this.#types = new TypeTable(input.meter);
    this.version = header.codec === 'none' ? `v${header.version}` : `v${header.version}, ${header.codec}`;
    this.cpus = header.options.cpus ?? header.buffers[0]?.cpus.length;
    for (const [tid, comm] of header.comms) this.threads.name(tid, comm);
    this.damage = broken ?? header.damage ?? input.meter.refused;
    const clock = clockOf(header, header.buffers[0]);
    this.clock = clock;
    this.companions = companionsOf(header);
    this.notes = notesOf(header);
    this.#buffers = header.buffers.filter((buffer) => {
      const own = clockOf(header, buffer).name;
      if (own === clock.name) return true;
      this.notes.push(`The buffer "${buffer.name}" is left out: its clock is ${own}, not ${clock.name}.`);
      return false;
    });
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  get machine(): Trace['machine'] {
    const [, host = '', release = ''] = this.#header.options.uname.split(' ');
    return { host, release };
  }

  get last(): number {
    return this.#streams.reduce((last, { state }) => Math.max(last, state.last), Number.NEGATIVE_INFINITY);
  }

  progress(): { read: number; size: number | undefined } {
    let read = 0;
    for (const stream of this.#streams) read += stream.source.read;
    return { read, size: this.#size };
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) await stream.close();
    await this.#input.close();
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const sorter = this.#openStreams(wants);
    const streams = this.#streams;
    for (const [i, hasRoom] of (await Promise.all(streams.map((stream) => stream.advance()))).entries()) {
      if (!hasRoom) (streams[i] as CpuStream).giveUp();
    }
    this.#setOrigin();
    const hand = new HandOut(sorter, [...this.#droppedEvents(), ...this.#missingCpus(), ...this.#unplaced]);
    for (const stream of streams) if (!stream.ready) this.#end(stream, hand);
    for (;;) {
      // What may be handed out is bounded by the CPU that is decoded least far.
      let least: CpuStream | undefined;
      for (const stream of streams) {
        if (stream.ready && (least === undefined || stream.state.last < least.state.last)) least = stream;
      }
      yield* hand.upTo(least === undefined ? Number.POSITIVE_INFINITY : least.state.last);
      if (least === undefined) break;
      least.decode();
      this.damage ??= least.damage;
      for (const loss of least.decoder.looseLosses.splice(0)) hand.add(loss);
      if (!(await least.advance()) || sorter.full) {
        // Only stamps that jump get here: give events out of order rather than grow.
        yield* hand.upTo(Number.POSITIVE_INFINITY);
        if (!least.ready && !(await least.advance())) least.giveUp();
      }
      if (!least.ready) this.#end(least, hand);
    }
    this.#addOverruns(hand);
    yield* hand.rest();
    this.damage ??= this.#input.meter.refused;
  }

  /** Opens the pages of every CPU. */
  #openStreams(wants: (type: EventType) => boolean): EventSorter {
    const header = this.#header;
    for (const buffer of this.#buffers) this.#checkExtent(buffer);
    const parts = this.#buffers.flatMap((buffer) => buffer.cpus.map((data) => ({ buffer, data })));
    const { meter } = this.#input;
    const { payloads, waiting } = meter.budget;
    const page = this.#buffers.reduce((most, buffer) => Math.max(most, buffer.pageSize), 4096);
    const read = this.#withoutOverlap(parts.filter((part) => part.data.size > 0));
    // Each CPU has a page at hand and one that is read ahead, both with as much headroom.
    const most = Math.max(1, Math.floor(payloads / page / 4));
    if (read.length > most) {
      this.damage ??= meter.error(
        `the data of ${read.length} CPUs, in pages of ${page} bytes`,
        undefined,
        `at most ${most}`,
      );
      read.length = most;
    }
    const share = Math.min(pageMemory / Math.max(read.length, 1), largestShare);
    const slot = Math.max(1, Math.floor(share / page)) * page;
    // A small file reserves little; how far a packed one unfolds is not known.
    const packed = read.some(({ buffer }) => buffer.compressed);
    const room = packed ? payloads : Math.min(payloads, 2 * this.#size + 4 * read.length * (slot + page));
    const arena = new Arena(slot, page, room);
    const windowSize = Math.ceil(Math.max(share / 4, 4096));
    const sorter = new EventSorter(arena, waiting);
    const typeOf = noTypesYet();
    const types = new KernelEventTypes(header.formats, header.little, this.#types, this.#signatures, wants, arena);
    const decoders = new Map<TraceDatBuffer, RingBufferDecoder>();
    for (const { buffer, data } of read) {
      let decoder = decoders.get(buffer);
      if (decoder === undefined) {
        const shape = { little: header.little, commitSize: header.page.commitSize, pageSize: buffer.pageSize };
        decoder = new RingBufferDecoder(shape, arena, sorter, types, typeOf);
        decoders.set(buffer, decoder);
      }
      const source = buffer.compressed
        ? new PackedPages(this.#file, this.#size, this.file, data, header, buffer.pageSize, windowSize, this.#input)
        : new PlainPages(this.#file, this.#size, this.file, data);
      this.#streams.push(new CpuStream(this.file, buffer.name, data.cpu, arena, source, decoder));
    }
    return sorter;
  }

  /** Leaves out data that would be read twice: no recorder writes such, and they would make a small file endless. */
  #withoutOverlap<T extends { data: CpuData }>(parts: T[]): T[] {
    let end = 0;
    return parts
      .toSorted((a, b) => a.data.offset - b.data.offset)
      .filter(({ data }) => {
        if (data.offset >= end) {
          end = data.offset + data.size;
          return true;
        }
        const problem = `the data of CPU ${data.cpu} begin within those of another`;
        this.damage ??= new TraceError(this.file, problem, data.offset, `data from byte ${end} on`);
        this.#unplaced.push({ from: -Infinity, to: Infinity, cpu: data.cpu, count: undefined });
        return false;
      });
  }

  /** Each CPU's data begin on the first page boundary behind those before: what is left out between is damage. */
  #checkExtent({ cpus, pageSize, end }: TraceDatBuffer): void {
    const parts = cpus.filter(({ size }) => size > 0).toSorted((a, b) => a.offset - b.offset);
    const ends = [...parts.slice(1).map(({ offset }) => offset), end];
    for (const [i, { cpu, offset, size }] of parts.entries()) {
      const rest = (ends[i] ?? 0) - offset - size;
      if (rest < pageSize) continue;
      const problem = `${rest} bytes behind the data of CPU ${cpu} belong to no CPU`;
      this.damage ??= new TraceError(this.file, problem, offset + size, `less than a page of ${pageSize} bytes`);
      this.#unplaced.push({ from: -Infinity, to: Infinity, cpu: -1, count: undefined });
    }
  }

  /** Counts times from the earliest event. */
  #setOrigin(): void {
    const { options } = this.#header;
    const stamps = this.#streams.map((stream) => stream.firstStamp()).filter((stamp) => stamp !== undefined);
    const start = earliestOf(stamps) ?? 0n;
    const { tsc, timeShift } = options;
    const inTsc = tsc === undefined ? undefined : (from: bigint) => new TscConversion(from, tsc.mult, tsc.shift);
    const conversion = timeShift === undefined ? inTsc?.(start) : new ShiftConversion(start, timeShift, inTsc);
    for (const { decoder } of this.#streams) decoder.startAt(start, conversion);
    this.origin = (conversion?.origin ?? start) + options.offset;
  }

  #end(stream: CpuStream, hand: HandOut): void {
    const loss = stream.endLoss();
    if (loss !== undefined) hand.add(loss);
    this.damage ??= stream.damage;
    const { note } = stream.source;
    if (note !== undefined) this.notes.push(note);
  }

  /** Events that were never written to the buffer: nobody knows where they are missing. */
  #droppedEvents(): Loss[] {
    return this.#header.options.cpuStats
      .filter((stat) => stat.dropped > 0)
      .map(({ cpu, dropped }) => ({ from: -Infinity, to: Infinity, cpu, count: dropped }));
  }

  /** CPUs whose data are missing with the end of the file. */
  #missingCpus(): Loss[] {
    const losses: Loss[] = [];
    if (!this.#header.salvaged) return losses;
    for (let cpu = this.#streams.length; cpu < (this.cpus ?? 0); cpu++) {
      losses.push({ from: -Infinity, to: Infinity, cpu, count: undefined });
    }
    return losses;
  }

  /** Overwritten events that no page tells of, as old kernels' do not. */
  #addOverruns(hand: HandOut): void {
    if (this.damage !== undefined) return;
    const streams = new Map(this.#streams.map((stream) => [`${stream.state.cpu} ${stream.buffer}`, stream]));
    for (const { buffer, cpu, overrun } of this.#header.options.cpuStats) {
      const stream = streams.get(`${cpu} ${buffer}`);
      const rest = (stream?.state ?? new RingBufferCpu(cpu)).rest(overrun);
      if (rest !== undefined) hand.add(rest);
    }
  }
}

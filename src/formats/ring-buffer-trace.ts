import { Arena } from '../trace/arena.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Meter } from '../trace/budget.ts';
import type { Clock } from '../trace/clock.ts';
import type { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { EventSorter } from '../trace/sorter.ts';
import { type Companions, ThreadTable, type Trace, TypeTable } from '../trace/trace.ts';
import { CpuStream } from './cpu-stream.ts';
import { earliestOf } from './earliest.ts';
import { HandOut } from './hand-out.ts';
import { KernelEventTypes } from './kernel-types.ts';
import { noTypesYet, type PageShape, RingBufferCpu, RingBufferDecoder } from './ring-buffer.ts';
import type { TraceDatOptions } from './trace-dat-options.ts';
import type { PageSource } from './trace-dat-pages.ts';
import { ShiftConversion, TscConversion } from './trace-dat-time.ts';
import type { Signatures } from './trace-events.ts';
import type { EventFormats } from './tracing-data.ts';

/** The pages of one CPU's buffer. */
export type CpuPages = {
  /** The file that they stand in. */
  file: string;
  /** What pages of this buffer look like: one object for all of its CPUs. */
  shape: PageShape;
  /** Name of the instance, '' for the top buffer. */
  buffer: string;
  cpu: number;
  /** Whether they are compressed, so that they unfold to nobody knows how much. */
  packed: boolean;
  /** `window` is how many bytes may be at hand of what is compressed. */
  open(window: number, keep: number): PageSource;
};

/** What is known of a recording of ring buffers beside their pages. */
export type RingBufferFacts = Pick<
  Trace,
  'file' | 'format' | 'version' | 'clock' | 'cpus' | 'recordedOn' | 'companions'
> & {
  notes: string[];
  formats: EventFormats;
  /** Names and processes of threads. */
  threads: Iterable<[tid: number, comm: string, pid?: number]>;
  /** What is to be done to time stamps, and what the kernel counted as lost. */
  options: Pick<TraceDatOptions, 'tsc' | 'timeShift' | 'offset' | 'cpuStats'>;
  /** Losses of which only damage tells: nobody knows where they are. */
  unplaced: Loss[];
  damage: TraceError | undefined;
  signatures: Signatures;
  /** Bytes of the recording as stored. */
  size: number;
  meter: Meter;
  /** Closes what the pages come from. */
  close(): Promise<void>;
};

/** Memory for pages at hand, over all CPUs, and one CPU's largest share of it. Twice that is used, as pages are read ahead. */
const pageMemory = 8 << 20;
const largestShare = 256 << 10;

/** A recording of the kernel's ring buffers: the pages of its CPUs, merged by time. */
export class RingBufferTrace implements Trace {
  readonly file: string;
  readonly format: string;
  readonly version: string;
  readonly clock: Clock;
  readonly threads: ThreadTable;
  readonly cpus: number | undefined;
  readonly recordedOn: Trace['recordedOn'];
  readonly companions: Companions | undefined;
  readonly notes: string[];
  damage: TraceError | undefined;
  origin = 0n;

  readonly #facts: RingBufferFacts;
  readonly #parts: CpuPages[];
  readonly #types: TypeTable;
  readonly #streams: CpuStream[] = [];

  constructor(facts: RingBufferFacts, parts: readonly CpuPages[]) {
    this.#facts = facts;
    this.#parts = [...parts];
    this.file = facts.file;
    this.format = facts.format;
    this.version = facts.version;
    this.clock = facts.clock;
    this.cpus = facts.cpus;
    this.recordedOn = facts.recordedOn;
    this.companions = facts.companions;
    this.notes = facts.notes;
    this.threads = new ThreadTable(facts.meter);
    this.#types = new TypeTable(facts.meter);
    for (const [tid, comm, pid] of facts.threads) this.threads.name(tid, comm, pid);
    this.damage = facts.damage ?? facts.meter.refused;
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  get last(): number {
    return this.#streams.reduce((last, { state }) => Math.max(last, state.last), Number.NEGATIVE_INFINITY);
  }

  progress(): { read: number; size: number | undefined } {
    let read = 0;
    for (const stream of this.#streams) read += stream.source.read;
    return { read, size: this.#facts.size };
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) await stream.close();
    await this.#facts.close();
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const sorter = this.#openStreams(wants);
    const streams = this.#streams;
    for (const [i, hasRoom] of (await Promise.all(streams.map((stream) => stream.advance()))).entries()) {
      if (!hasRoom) (streams[i] as CpuStream).giveUp();
    }
    this.#setOrigin();
    const hand = new HandOut(sorter, [...this.#droppedEvents(), ...this.#facts.unplaced]);
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
    this.damage ??= this.#facts.meter.refused;
  }

  /** Opens the pages of every CPU. */
  #openStreams(wants: (type: EventType) => boolean): EventSorter {
    const { meter, formats, size, signatures } = this.#facts;
    const read = this.#parts;
    const { payloads, waiting } = meter.budget;
    const page = read.reduce((most, { shape }) => Math.max(most, shape.pageSize), 4096);
    // Each CPU has a page at hand and one that is read ahead.
    const most = Math.max(1, Math.floor(meter.budget.pages / page / 2));
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
    const packed = read.some((part) => part.packed);
    // The headroom is of address space only: pages end with an event.
    const least = Math.ceil((2 + 1 / 8) * read.length) * (slot + page);
    const room = Math.max(packed ? payloads : Math.min(payloads, 2 * size + 4 * read.length * (slot + page)), least);
    const arena = new Arena(slot, page, room);
    const window = Math.ceil(Math.max(share / 4, 4096));
    const keep = Math.floor(payloads / 2 / Math.max(read.length, 1));
    const sorter = new EventSorter(arena, waiting);
    const typeOf = noTypesYet();
    const little = read[0]?.shape.little ?? true;
    const types = new KernelEventTypes(formats, little, this.#types, signatures, wants, arena);
    const decoders = new Map<PageShape, RingBufferDecoder>();
    for (const part of read) {
      let decoder = decoders.get(part.shape);
      if (decoder === undefined) {
        decoder = new RingBufferDecoder(part.shape, arena, sorter, types, typeOf);
        decoders.set(part.shape, decoder);
      }
      this.#streams.push(new CpuStream(part, arena, part.open(window, keep), decoder));
    }
    return sorter;
  }

  /** Counts times from the earliest event. */
  #setOrigin(): void {
    const { options } = this.#facts;
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
    return this.#facts.options.cpuStats
      .filter((stat) => stat.dropped > 0)
      .map(({ cpu, dropped }) => ({ from: -Infinity, to: Infinity, cpu, count: dropped }));
  }

  /** Overwritten events that no page tells of, as old kernels' do not. */
  #addOverruns(hand: HandOut): void {
    if (this.damage !== undefined) return;
    const streams = new Map(this.#streams.map((stream) => [`${stream.state.cpu} ${stream.buffer}`, stream]));
    for (const { buffer, cpu, overrun } of this.#facts.options.cpuStats) {
      const stream = streams.get(`${cpu} ${buffer}`);
      const rest = (stream?.state ?? new RingBufferCpu(cpu)).rest(overrun);
      if (rest !== undefined) hand.add(rest);
    }
  }
}

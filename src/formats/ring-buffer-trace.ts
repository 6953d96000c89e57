import { Arena } from '../trace/arena.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Meter } from '../trace/budget.ts';
import type { Clock } from '../trace/clock.ts';
import type { Divisible } from '../trace/divisible.ts';
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
import {
  cutPages,
  type PlainData,
  type RingBufferStretch,
  type RingBufferStretchPart,
  type Told,
} from './ring-buffer-stretch.ts';
import type { TraceDatOptions } from './trace-dat-options.ts';
import { type PageSource, PlainPages } from './trace-dat-pages.ts';
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
  /** Where they stand, where they do as they are, and can be read anywhere. */
  plain?: PlainData | undefined;
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
  /** Where it is one stretch of the recording. */
  stretch?: RingBufferStretch | undefined;
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
export class RingBufferTrace implements Trace, Divisible {
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
  #kernelTypes: KernelEventTypes | undefined;
  #sorter: EventSorter | undefined;
  #stretch: RingBufferStretch | undefined;
  /** The time stamp that times count from. */
  #start = 0n;
  #unsure = false;
  /** Of a stretch: what was told of lost events, by CPU; and the latest time in all that follow. */
  readonly #told = new Map<number, Told>();
  #latest = Number.NEGATIVE_INFINITY;
  #beside: (() => number) | undefined;

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
    this.#stretch = facts.stretch;
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  get last(): number {
    return this.#streams.reduce((last, { state }) => Math.max(last, state.last), this.#latest);
  }

  progress(): { read: number; size: number | undefined } {
    let read = 0;
    for (const stream of this.#streams) read += stream.source.read;
    read += this.#beside?.() ?? 0;
    return { read, size: this.#facts.size };
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) await stream.close();
    await this.#facts.close();
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const sorter = this.#openStreams(wants);
    this.#sorter = sorter;
    for (const number of this.#stretch?.seen ?? []) this.#kernelTypes?.of(number);
    const streams = this.#streams;
    for (const [i, hasRoom] of (await Promise.all(streams.map((stream) => stream.advance()))).entries()) {
      if (!hasRoom) (streams[i] as CpuStream).giveUp();
    }
    this.#setOrigin();
    const hand = new HandOut(sorter, this.#stretch ? [] : [...this.#droppedEvents(), ...this.#facts.unplaced]);
    let leading = (this.#stretch?.from ?? Number.NEGATIVE_INFINITY) > Number.NEGATIVE_INFINITY;
    for (const stream of streams) if (!stream.ready) this.#endOf(stream, hand);
    for (;;) {
      // What may be handed out is bounded by the CPU that is decoded least far.
      let least: CpuStream | undefined;
      for (const stream of streams) {
        if (stream.ready && (least === undefined || stream.state.last < least.state.last)) least = stream;
      }
      // Of one time, more may come.
      const bound = least === undefined ? Number.POSITIVE_INFINITY : least.state.last - 1;
      if (leading) {
        // What is not later than its beginning is of the stretch before.
        const { from } = this.#stretch as RingBufferStretch;
        for (const _ of hand.upTo(Math.min(bound, from)));
        leading = bound < from;
        if (!leading) hand.forget();
      }
      if (!leading) yield* this.#give(hand.upTo(Math.min(bound, this.#end)));
      if (least === undefined || bound >= this.#end) break;
      least.decode();
      this.damage ??= least.damage;
      for (const loss of least.decoder.looseLosses.splice(0)) hand.add(loss);
      if (!(await least.advance()) || sorter.full) {
        // Only stamps that jump get here: give events out of order rather than grow.
        this.#unsure = true;
        yield* hand.upTo(Number.POSITIVE_INFINITY);
        if (!least.ready && !(await least.advance())) least.giveUp();
      }
      if (!least.ready) this.#endOf(least, hand);
    }
    if (this.#end < Number.POSITIVE_INFINITY) yield* this.#give(hand.settled());
    else {
      if (this.#stretch === undefined) this.#addOverruns(hand);
      yield* this.#give(hand.rest());
    }
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
    this.#kernelTypes = types;
    const decoders = new Map<PageShape, RingBufferDecoder>();
    for (const [rank, part] of read.entries()) {
      let decoder = decoders.get(part.shape);
      if (decoder === undefined) {
        decoder = new RingBufferDecoder(part.shape, arena, sorter, types, typeOf);
        decoders.set(part.shape, decoder);
      }
      this.#streams.push(new CpuStream(part, arena, part.open(window, keep), decoder, rank));
    }
    return sorter;
  }

  /** Counts times from the earliest event. */
  #setOrigin(): void {
    const { options } = this.#facts;
    const stamps = this.#streams.map((stream) => stream.firstStamp()).filter((stamp) => stamp !== undefined);
    const start = this.#stretch?.start ?? earliestOf(stamps) ?? 0n;
    this.#start = start;
    const { tsc, timeShift } = options;
    const inTsc = tsc === undefined ? undefined : (from: bigint) => new TscConversion(from, tsc.mult, tsc.shift);
    const conversion = timeShift === undefined ? inTsc?.(start) : new ShiftConversion(start, timeShift, inTsc);
    for (const { decoder } of this.#streams) decoder.startAt(start, conversion);
    this.origin = (conversion?.origin ?? start) + options.offset;
  }

  /** Time of the last event that is handed out. */
  get #end(): number {
    return this.#stretch?.to ?? Number.POSITIVE_INFINITY;
  }

  /** Takes note of what a stretch tells of losses. */
  *#give(batches: Iterable<EventBatch>): Generator<EventBatch> {
    for (const batch of batches) {
      if (this.#stretch !== undefined) for (const loss of batch.losses) this.#tellOf(loss, this.#stretch);
      yield batch;
    }
  }

  #tellOf({ from, to, cpu, count }: Loss, stretch: RingBufferStretch): void {
    if (from === Number.NEGATIVE_INFINITY && stretch.from > from) this.#unsure = true;
    const told = this.#told.get(cpu) ?? { cpu, told: 0, untold: undefined };
    if (count === undefined) told.untold = { from: told.untold?.from ?? from, to };
    else told.told += count;
    this.#told.set(cpu, told);
  }

  #endOf(stream: CpuStream, hand: HandOut): void {
    // What follows is another's to tell.
    const loss = this.#end < Number.POSITIVE_INFINITY ? undefined : stream.endLoss();
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

  get divisible(): Divisible | undefined {
    const { options, unplaced } = this.#facts;
    const plain = this.#streams.length > 0 && this.#parts.every((part) => part.plain !== undefined);
    const simple = options.tsc === undefined && options.timeShift === undefined && unplaced.length === 0;
    const overrun = options.cpuStats.some((stat) => stat.overrun > 0);
    // Of several buffers' losses it is not told which buffer's they are.
    const told = !overrun || this.#parts.every(({ buffer }) => buffer === this.#parts[0]?.buffer);
    return plain && simple && told && this.damage === undefined ? this : undefined;
  }

  divide(n: number, beside: () => number): RingBufferStretch[] {
    const cpus = this.#parts.map(({ plain }) => plain as PlainData);
    const little = this.#parts[0]?.shape.little ?? true;
    const seen = this.#kernelTypes?.seen ?? [];
    const read = this.#streams.map((stream) => stream.readSoFar);
    const cuts = cutPages(cpus, little, this.#start, n, read);
    const [own, ...others] = cuts.map((cut): RingBufferStretch => ({ ...cut, start: this.#start, seen }));
    if (own === undefined || others.length === 0) return [];
    this.#beside = beside;
    this.#stretch = own;
    for (const [i, { source }] of this.#streams.entries()) {
      if (source instanceof PlainPages) source.endAt(own.pages[i]?.size ?? 0);
    }
    return others;
  }

  part(): RingBufferStretchPart {
    const { from, to } = this.#stretch as RingBufferStretch;
    const late = this.#sorter?.late !== 0;
    return {
      from,
      to,
      unsure: this.#unsure || late || this.damage !== undefined || this.#kernelTypes?.varied === true,
      seen: this.#kernelTypes?.seen ?? [],
      last: this.last,
      told: [...this.#told.values()],
    };
  }

  accepts(part: unknown): boolean {
    const { from, unsure } = part as RingBufferStretchPart;
    const own = this.part();
    return !unsure && !own.unsure && from === own.to;
  }

  join(part: unknown): void {
    const { to, seen, last, told } = part as RingBufferStretchPart;
    this.#stretch = { ...(this.#stretch as RingBufferStretch), to };
    for (const number of seen) this.#kernelTypes?.of(number);
    this.#latest = Math.max(this.#latest, last);
    for (const { cpu, told: count, untold } of told) {
      const known = this.#told.get(cpu) ?? { cpu, told: 0, untold: undefined };
      known.told += count;
      if (untold !== undefined) known.untold = { from: known.untold?.from ?? untold.from, to: untold.to };
      this.#told.set(cpu, known);
    }
  }

  rest(): EventBatch | undefined {
    const hand = new HandOut(this.#sorter as EventSorter);
    for (const stream of this.#streams) Object.assign(stream.state, this.#told.get(stream.state.cpu));
    this.#addOverruns(hand);
    return [...hand.rest()][0];
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

import { availableParallelism } from 'node:os';
import { Arena } from '../trace/arena.ts';
import { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import type { Divisible } from '../trace/divisible.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { NameChanges } from '../trace/name-changes.ts';
import { type Rows, rowCpu } from '../trace/rows.ts';
import { EventSorter } from '../trace/sorter.ts';
import { nameAfter, StretchThreads } from '../trace/stretches.ts';
import { type Thread, ThreadTable, type Trace, type Traits, TypeTable } from '../trace/trace.ts';
import type { Format, OpenOptions } from './format.ts';
import { asTraceError, type Input } from './input.ts';
import { longestRecord, PerfAhead } from './perf-ahead.ts';
import { PerfChains } from './perf-chains.ts';
import { boundedRound, PerfFolder } from './perf-folder.ts';
import {
  isPerfData,
  isPipe,
  number64,
  type PerfHeader,
  pipeHeader,
  pipeHeaderSize,
  readPerfHeader,
  recordedNote,
  recordType,
  startsCompressed,
} from './perf-header.ts';
import { Repeated } from './perf-repeated.ts';
import { SampleParts } from './perf-sample.ts';
import { firstOfPerf, guestMode, maxCpus, ScanOutput, scanSamples, unresolved, unwanted } from './perf-scan.ts';
import { PerfSideband } from './perf-sideband.ts';
import { Borders, findBorders, type PerfStretch, type PerfStretchPart } from './perf-stretch.ts';
import { PerfTimes } from './perf-times.ts';
import { PerfTypes } from './perf-types.ts';
import { bytesBehind, PerfUnpacker, usualUnfolded } from './perf-unpack.ts';
import { type ReadInto, SlotReader } from './slot-reader.ts';
import { Signatures } from './trace-events.ts';
import { parseTracingData } from './tracing-data.ts';

/*
 * perf.data, as a file and from a pipe. Sources: include/uapi/linux/perf_event.h (records and samples),
 * tools/perf/util/header.c and session.c (the file), tools/perf/Documentation/perf.data-file-format.txt.
 */

export const perfData: Format = {
  name: 'perf.data',
  recognise: isPerfData,
  async open(input, options) {
    return isPipe(input.head) ? PerfTrace.fromPipe(input, options) : await PerfTrace.fromFile(input, options);
  },
};

/** No record has a type above this (perf's own begin at 64): what says so is no record. */
const mostTypes = 0xffff;
/** Files from this size on are read by a second thread: its start takes as much of a processor as 100 MB of them, and smaller ones are soon through. */
const largeFile = 512 << 20;
/** Samples of one CPU are in order: where its time goes back by more than this (1 s), something is damaged. */
const farBack = 1_000_000_000;

class PerfTrace implements Trace, Divisible {
  readonly file: string;
  readonly format = 'perf.data';
  readonly traits: Traits = { recorder: 'perf' };
  version: string;
  readonly clock: Clock = { name: 'perf', unit: 'ns', resolution: 1 };
  readonly threads: ThreadTable;
  readonly #notes: string[] = [];
  /** Samples that the file holds twice, by type id. */
  readonly repeated = new Map<number, number>();
  readonly #repeated = new Repeated(this.repeated);
  damage: TraceError | undefined;

  readonly #input: Input;
  readonly #read: ReadInto;
  readonly #threads: number | undefined;
  readonly #header: PerfHeader;
  readonly #little: boolean;
  readonly #table: TypeTable;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  readonly #names: NameChanges;
  #reader: SlotReader;
  /** The slot that payloads are in, which those of wanted samples are copied to, close together; and where the next goes. */
  #slot = -1;
  readonly #out: ScanOutput;
  /** The file with its records, where these stand there as they are; and whether a second thread may read it. */
  #records: { file: number; end: number } | undefined;
  #mayReadAhead = false;
  #ahead: PerfAhead | undefined;
  #unpacker: PerfUnpacker | undefined;
  /** Where this is a stretch of the recording, or ends where one begins. */
  #stretch: PerfStretch | undefined;
  #borders: Borders | undefined;
  #unsure = false;
  #beside: (() => number) | undefined;
  #start = 0;
  /** The files of perf record --threads, and the time up to which all of them were read. */
  #folder: PerfFolder | undefined;
  #bound = 0n;

  readonly #types: PerfTypes;
  readonly #times: PerfTimes;
  readonly #sideband: PerfSideband;
  readonly #parts = new SampleParts();
  readonly #chains: PerfChains;
  readonly #words: Int32Array;
  /** Whether times count from the earliest sample, as all that are handed out do, and not only from the first in the file. */
  #settled = false;
  /** Time of the earliest sample that is wanted. */
  #oldest = Number.POSITIVE_INFINITY;
  /** Newest time of what the second thread left out; that of what came to the sorter; and when the round before ended: what came before that is complete. */
  #newest = Number.NEGATIVE_INFINITY;
  #maxTime = Number.NEGATIVE_INFINITY;
  #flushed = Number.NEGATIVE_INFINITY;
  /** Time of the last row of the run. */
  #lastTime = Number.NEGATIVE_INFINITY;
  readonly #lastOnCpu = new Float64Array(maxCpus).fill(Number.NEGATIVE_INFINITY);
  #lost = 0;
  #lostSamples = 0;
  #unknownIds = 0;

  private constructor(
    input: Input,
    options: OpenOptions,
    header: PerfHeader,
    version: string,
    read: ReadInto,
    compressed: boolean,
  ) {
    this.file = input.name;
    this.#input = input;
    this.#read = read;
    this.#threads = options.threads;
    const { meter } = input;
    const { payloads, waiting } = meter.budget;
    this.#stretch = options.stretch as PerfStretch | undefined;
    this.threads = this.#stretch === undefined ? new ThreadTable(meter) : new StretchThreads(meter);
    this.#table = new TypeTable(meter);
    // The size of a folder's first file says nothing of the others.
    const unfolded = header.directory ? Number.POSITIVE_INFINITY : compressed ? usualUnfolded : 1;
    const slot = input.slot(1 << 20, unfolded);
    this.#arena = new Arena(slot, 1 << 16, input.room(payloads, unfolded), threadsFor(input.size, options) > 1);
    this.#sorter = new EventSorter(this.#arena, waiting);
    this.#names = new NameChanges(this.threads, this.#sorter);
    this.#words = new Int32Array(this.#arena.bytes.buffer);
    this.#out = new ScanOutput(this.#sorter.rows, this.#words);
    this.#header = header;
    const signatures = new Signatures(input.path, options);
    this.#types = new PerfTypes(header, this.#table, signatures, this.clock, (note) => this.#note(note));
    this.#little = header.little;
    this.#chains = new PerfChains(header.little, meter, () => header.kernelBuildId);
    this.#types.chains = this.#chains;
    this.#times = new PerfTimes(this.#arena.view, header.little, this.#types.shape);
    this.#sideband = new PerfSideband(this.#arena, header, this.#types, this.#times, this.#names, this.#chains, meter);
    this.version = version;
    if (compressed) {
      this.#unpacker = new PerfUnpacker(input, header.little, read, header.dataStart);
      const unpacker = this.#unpacker;
      this.#reader = new SlotReader(this.#arena, (target) => unpacker.readInto(target), header.dataStart);
    } else {
      this.#start = this.#stretch?.from?.before ?? header.dataStart;
      this.#reader = new SlotReader(this.#arena, read, this.#start);
    }
  }

  static async fromFile(input: Input, options: OpenOptions): Promise<PerfTrace> {
    const { file, size, broken } = await input.random();
    const header = await readPerfHeader(input.name, file, size, input.meter);
    const { dataEnd } = header;
    const read: ReadInto = async (target, offset) => {
      const room = Math.min(target.length, dataEnd - offset);
      if (room <= 0) return 0;
      const { bytesRead } = await file.read(target, 0, room, offset);
      if (input.seekable) {
        input.read = offset + bytesRead;
        input.meter.read(bytesRead);
      }
      return bytesRead;
    };
    const compressed = header.compressed || (await startsCompressed(file, header));
    const { directory } = header;
    const source: ReadInto = directory ? async (target) => (await trace.#folder?.readInto(target)) ?? 0 : read;
    const version = `${directory ? 'folder' : 'file'}${compressed ? ', zstd' : ''}`;
    const trace = new PerfTrace(input, options, header, version, source, compressed && !directory);
    if (!compressed && !directory) {
      trace.#records = { file: file.fd, end: dataEnd };
      trace.#mayReadAhead = threadsFor(input.size, options) > 1;
    }
    trace.damage = broken ?? header.broken;
    trace.#cutShort = broken !== undefined || header.cut || header.unclosed;
    if (header.unclosed) {
      trace.damage ??= new TraceError(
        input.name,
        'the file was not closed: it holds no event formats, so events are known by number only',
        48,
        'a data size; perf writes it, and the formats, when recording ends (stop perf record with Ctrl-C, not kill -9)',
      );
    }
    if (header.tracingData !== undefined) {
      const { bytes, offset } = header.tracingData;
      trace.#types.formats = parseTracingData(bytes, input.name, offset, input.meter);
      trace.damage ??= trace.#types.formats.formats.damage;
    }
    trace.#types.learn();
    if (trace.#stretch !== undefined) trace.#beginStretch(trace.#stretch);
    if (directory) trace.#folder = await PerfFolder.open(input, header, read, compressed);
    trace.damage ??= input.meter.refused;
    return trace;
  }

  static fromPipe(input: Input, options: OpenOptions): PerfTrace {
    const header = pipeHeader(input.head);
    let skip = pipeHeaderSize;
    const read: ReadInto = async (target, offset) => {
      // The header was looked at already; streams give it once more.
      for (;;) {
        const got = await input.readInto(target, offset);
        if (got === 0 || skip === 0 || input.seekable) return got;
        const cut = Math.min(skip, got);
        target.copyWithin(0, cut, got);
        skip -= cut;
        if (got > cut) return got - cut;
      }
    };
    return new PerfTrace(input, options, header, 'pipe', read, true);
  }

  get origin(): bigint {
    return this.#times.origin;
  }

  get types(): readonly EventType[] {
    return this.#table.all;
  }

  get last(): number {
    return Math.max(this.#maxTime, this.#newest, this.#out.newest);
  }

  get cpus(): number | undefined {
    return this.#header.cpus;
  }

  get notes(): readonly string[] {
    const { facts } = this.#header;
    return [...recordedNote(facts), ...this.#notes];
  }

  get recordedOn(): Trace['recordedOn'] {
    const { host, release } = this.#header.facts;
    return { host, release };
  }

  progress(): { read: number; size: number | undefined } {
    const begun = this.#stretch?.from === undefined ? 0 : this.#start;
    return { read: Math.max(0, this.#input.read - begun) + (this.#beside?.() ?? 0), size: this.#input.size };
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#ahead?.close();
    await this.#unpacker?.close();
    await this.#folder?.close();
    await this.#input.close();
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncIterable<EventBatch> {
    this.#types.wants = wants;
    this.#types.see(this.#stretch?.attrs ?? []);
    try {
      for (;;) {
        if (await this.#canReadAhead()) yield* this.#readAhead();
        const reader = this.#reader;
        let more = await reader.next();
        if (more === 'full') {
          yield* this.#takeAll();
          more = await reader.next();
        }
        if (more !== true) break;
        for (;;) {
          const end = this.#parse();
          if (end === 'round') {
            yield* this.#endRound();
            if (this.#borders?.ended === true) return;
          } else if (end === 'full') yield* this.#takeAll();
          else if (end === 'tracing data') {
            await this.#readTracingData();
          } else if (end === 'auxtrace') {
            const size = this.#arena.view.getUint16(reader.pos + 6, this.#little);
            const behind = bytesBehind(this.#arena.view, reader.pos, recordType.auxtrace, size, this.#little);
            if (!(await reader.skip(size + behind))) break;
          } else break;
        }
        if (this.#stopped) break;
      }
      this.damage ??= this.#input.meter.refused;
      if (this.#input.meter.refused !== undefined) this.#cutShort = true;
      const reader = this.#reader;
      if (reader.pos < reader.end) {
        this.#cutShort = true;
        this.damage ??= this.#error(
          `the input ends after ${reader.end - reader.pos} bytes of a record`,
          reader.pos,
          'whole records',
        );
      }
      if (this.#rounds && this.#inRound && !this.#cutShort && !this.#stopped) {
        // perf ends every round that it writes: what a pipe's reader took last may lack events of other CPUs.
        this.#cutShort = true;
        this.damage ??= this.#error('the records end in the midst of a round', reader.end, 'the end of the round');
      }
    } catch (error) {
      this.#cutShort = true;
      this.damage ??= asTraceError(this.file, error);
    }
    if (this.#stretch === undefined) this.#tell();
    // The end of the file, where another stretch should have begun, tells of itself.
    yield* this.#take(this.#until);
    this.damage ??= this.#input.meter.refused;
    if (this.#cutShort || this.#stopped) {
      // Of the round that was not ended, events of other CPUs may be missing.
      const rest = new EventBatch(0);
      rest.losses = [{ from: this.#flushed, to: Number.POSITIVE_INFINITY, cpu: -1, count: undefined }];
      yield rest;
    }
    const { lateNote } = this.#sorter;
    if (lateNote !== undefined) this.#note(lateNote);
  }

  #stopped = false;
  /** Whether records are missing at the end, or what was read last of them is not believed. */
  #cutShort = false;
  /** What is later is not handed out. */
  #until = Number.POSITIVE_INFINITY;
  /** Whether samples came since a round ended, and whether any did. */
  #inRound = false;
  #rounds = false;

  *#take(upTo: number): Generator<EventBatch> {
    if (!this.#settled && this.#times.known && upTo > Number.NEGATIVE_INFINITY) upTo -= this.#settleOrigin();
    for (const batch of this.#names.upTo(upTo)) {
      // What stands in the first rounds and is not later than the border is of the stretch before.
      if (this.#borders?.leading === true) continue;
      this.#repeated.drop(batch);
      yield batch;
    }
  }

  /**
   * CPUs' buffers stand one after the other in the file, so the first sample is seldom the earliest: before anything is handed out, times are
   * made to count from that. Gives by how much.
   */
  #settleOrigin(): number {
    this.#settled = true;
    const by = Math.min(this.#oldest, this.#out.oldest);
    if (by === 0 || !Number.isFinite(by)) return 0;
    this.#sorter.rebase(by);
    this.#names.rebase(by);
    this.#chains.rebase(by);
    for (let cpu = 0; cpu < maxCpus; cpu++) {
      this.#lastOnCpu[cpu] = (this.#lastOnCpu[cpu] as number) - by;
      this.#out.skipped[cpu] = (this.#out.skipped[cpu] as number) - by;
    }
    this.#lastTime = Number.NEGATIVE_INFINITY;
    this.#maxTime -= by;
    this.#flushed -= by;
    this.#out.newest -= by;
    this.#times.countFrom(this.origin + BigInt(by));
    return by;
  }

  /** tools/perf/util/ordered-events.c: what came before the last round's newest event is complete now. */
  *#endRound(): Generator<EventBatch> {
    if (this.#folder !== undefined) {
      yield* this.#take(Number(this.#bound - this.origin));
      this.#flushed = Number(this.#bound - this.origin);
      return;
    }
    yield* this.#take(this.#flushed);
    this.#flushed = this.#maxTime;
    this.#inRound = false;
    this.#rounds = true;
    if (this.#borders?.endRound() === 'began' && this.threads instanceof StretchThreads) this.threads.note();
  }

  /** No round ended for as long as memory lasts: order beyond this point is as in the file. */
  *#takeAll(): Generator<EventBatch> {
    yield* this.#take(Number.POSITIVE_INFINITY);
    this.#unsure = true;
    this.#note(
      'perf marked no end of a round for as long as memory lasts: events of different CPUs may be out of order',
    );
  }

  /** Whether the second thread, where there is one, may begin: it has to know how to read samples. */
  async #canReadAhead(): Promise<boolean> {
    const { common } = this.#types.shape;
    if (!this.#mayReadAhead || this.#records === undefined || common === undefined || !this.#settled) return false;
    this.#ahead ??= new PerfAhead(this.#arena, this.#records.file, this.#records.end);
    if (this.#threads !== undefined) await this.#ahead.untilReady();
    else if (!this.#ahead.ready) return false;
    return true;
  }

  /** Takes what the second thread reads and scans, from here on to where it stops. */
  async *#readAhead(): AsyncGenerator<EventBatch> {
    const ahead = this.#ahead as PerfAhead;
    const { view } = this.#arena;
    const sorter = this.#sorter;
    ahead.start(await this.#reader.leave(), this.#types.shape);
    if (this.#slot >= 0) this.#arena.release(this.#slot);
    for (;;) {
      const piece = await ahead.next();
      if (piece === undefined) break;
      if (piece === 'full') {
        yield* this.#takeAll();
        continue;
      }
      this.#input.read = ahead.stop;
      this.#slot = piece.slot;
      this.#beginRun();
      const { rows, segments, segmentCount } = piece;
      for (let k = 0, from = 0; k < segmentCount; k++) {
        const to = segments[2 * k] as number;
        if (to > from) {
          if (this.#goesBack(rows, from)) break;
          this.#beginSamples(rows, from);
          sorter.appendRows(rows, from, to);
          this.#endSamples(rows, to);
          from = to;
        }
        if (sorter.full) {
          yield* this.#takeAll();
          this.#beginRun();
        }
        const other = segments[2 * k + 1] as number;
        if (other >= 0 && this.#otherRecord(other, view.getUint16(other + 6, true)) === 'round') {
          yield* this.#endRound();
          this.#beginRun();
        }
      }
      if (this.#stopped) break;
      this.#newest = Math.max(this.#newest, piece.newest);
    }
    this.#slot = -1;
    this.#reader = new SlotReader(this.#arena, this.#read, ahead.stop);
    this.#ahead = undefined;
    this.#mayReadAhead = false;
    await ahead.close();
  }

  /**
   * Parses the records at hand into the sorter. Returns at the end of a round, at a record that needs more
   * than what is at hand, `'full'` where there is no room for payloads, and `'more'` when only part of a record is left.
   */
  #parse(): 'more' | 'round' | 'full' | 'tracing data' | 'auxtrace' {
    const reader = this.#reader;
    const sorter = this.#sorter;
    const out = this.#out;
    this.#align();
    if (this.#slot >= 0) this.#beginRun();
    while (reader.pos + 8 <= reader.end) {
      if ((this.#slot < 0 || out.at > out.limit) && !this.#nextSlot()) return 'full';
      if (sorter.full) return 'full';
      sorter.reserve(1);
      const from = sorter.count;
      out.rows = sorter.rows;
      out.count = from;
      reader.pos = scanSamples(this.#types.shape, this.#words, reader.pos, reader.end, out);
      if (out.count > from) {
        if (this.#goesBack(sorter.rows, from)) return 'more';
        this.#beginSamples(sorter.rows, from);
        sorter.count = out.count;
        this.#endSamples(sorter.rows, out.count);
        continue;
      }
      const { pos } = reader;
      if (pos + 8 > reader.end) break;
      const length = this.#arena.view.getUint16(pos + 6, this.#little);
      if (pos + length > reader.end) break;
      const stop = this.#otherRecord(pos, length);
      if (stop !== undefined) {
        if (stop === 'round') reader.pos += length;
        return stop;
      }
      reader.pos += length;
    }
    return 'more';
  }

  /** Begins another slot for payloads. False where there is none. */
  #nextSlot(): boolean {
    const slot = this.#arena.acquire();
    if (slot < 0) return false;
    if (this.#slot >= 0) this.#arena.release(this.#slot);
    this.#slot = slot;
    const { slotSize, headroom } = this.#arena;
    const end = this.#arena.start(slot) + slotSize;
    this.#out.at = (end - slotSize - headroom) >> 2;
    this.#out.limit = (end - longestRecord) >> 2;
    this.#beginRun();
    return true;
  }

  #beginRun(): void {
    this.#sorter.begin(this.#slot);
    this.#lastTime = Number.NEGATIVE_INFINITY;
  }

  /** Whether the time of rows that follow goes far back: then reading ends, as nobody knows whether they are wrong or those before. */
  #goesBack(rows: Rows, from: number): boolean {
    return this.#isBack(rows.times[from * 4] as number, rows.words[from * 8 + rowCpu] as number);
  }

  #isBack(time: number, cpu: number): boolean {
    const last = cpu >= 0 && cpu < maxCpus ? (this.#lastOnCpu[cpu] as number) : Number.NEGATIVE_INFINITY;
    const far = Math.abs(time) > Number.MAX_SAFE_INTEGER;
    if (!far && !(time < last - farBack)) return false;
    // The place in the file is not known of what the second thread read: the time says which sample it is.
    const problem = far
      ? `CPU ${cpu} has a time more than 2^53 ns from the first`
      : `the time of CPU ${cpu} goes back by ${last - time} ns, to ${this.origin + BigInt(time)}`;
    this.damage ??= new TraceError(this.file, problem, undefined, 'the samples of a CPU in order of time');
    this.#stopped = true;
    // Of what is not handed out yet, only what came before both.
    this.#until = Math.max(this.#flushed, Math.min(time, this.#maxTime));
    return true;
  }

  /** Before rows are appended, which are of one CPU and in time order. */
  #beginSamples(rows: Rows, from: number): void {
    const time = rows.times[from * 4] as number;
    if (time < this.#lastTime) this.#sorter.begin(this.#slot);
    if (time < this.#oldest) this.#oldest = time;
  }

  /** After they were. */
  #endSamples(rows: Rows, to: number): void {
    const cpu = rows.words[(to - 1) * 8 + rowCpu] as number;
    const time = rows.times[(to - 1) * 4] as number;
    if (cpu >= 0 && cpu < maxCpus) this.#lastOnCpu[cpu] = time;
    this.#lastTime = time;
    if (time > this.#maxTime) this.#maxTime = time;
    this.#inRound = true;
  }

  /** Records are multiples of 8 bytes: only a stream that gives odd pieces puts them off their places. */
  #align(): void {
    const reader = this.#reader;
    const shift = reader.pos & 7;
    if (shift === 0) return;
    this.#arena.bytes.copyWithin(reader.pos - shift, reader.pos, reader.end);
    reader.pos -= shift;
    reader.end -= shift;
  }

  /** Any record that the hot path leaves. Returns what the caller has to do where parsing has to stop at it. */
  #otherRecord(pos: number, length: number): 'round' | 'tracing data' | 'auxtrace' | 'more' | undefined {
    const record = this.#arena.view.getUint32(pos, this.#little);
    if (length < 8 || (record < firstOfPerf && (length & 7) !== 0)) {
      return this.#damaged(`a record of ${length} bytes`, pos, 'a perf record of at least 8, and a multiple of that');
    }
    switch (record) {
      case recordType.finishedRound:
        if (this.#folder !== undefined) return this.#endPiece(pos, length);
        if (this.#borders?.meet(this.#reader.offsetOf(pos), this.#maxTime) === true) return 'round';
        // Nothing came since the last one, as in files that are nothing but rounds.
        return this.#flushed === this.#maxTime && this.#sorter.pending === 0 ? undefined : 'round';
      case recordType.tracingData:
        return 'tracing data';
      case recordType.auxtrace:
        return 'auxtrace';
      case recordType.lost:
        if (length >= 24) this.#loss(number64(this.#arena.view, pos + 16, this.#little), pos, length);
        return undefined;
      case recordType.lostSamples:
        if (length >= 16) this.#lostSamples += number64(this.#arena.view, pos + 8, this.#little);
        return undefined;
      case recordType.sample:
        this.#otherSample(pos, length);
        return this.#stopped ? 'more' : undefined;
      default:
        if (record > mostTypes) {
          return this.#damaged(`a record of type ${record}`, pos, 'a type of perf, up to 90 or so');
        }
        this.#sideband.take(record, pos, length, this.#reader.offsetOf(pos));
        return undefined;
    }
  }

  /** Behind a piece of one of several files stands how far all of them were read. perf's own rounds are none there. */
  #endPiece(pos: number, length: number): 'round' | undefined {
    if (length !== boundedRound || !this.#times.known) return undefined;
    this.#bound = this.#arena.view.getBigUint64(pos + 8, this.#little);
    return 'round';
  }

  /** Ends the reading at what cannot be: records say where the next begins, so that it would be a guess. */
  #damaged(problem: string, pos: number, expected: string): 'more' {
    this.damage ??= this.#error(problem, pos, expected);
    this.#stopped = true;
    return 'more';
  }

  /** A sample whose attribute has a layout of its own. */
  #otherSample(pos: number, length: number): void {
    this.#types.learn();
    const view = this.#arena.view;
    const little = this.#little;
    const attrs = this.#header.attrs;
    let index = 0;
    if (attrs.length > 1) {
      // Without an identifier first, all attributes have the same layout: perf insists on that.
      const first = attrs[0];
      const idAt = first === undefined ? -1 : first.identifierAt >= 0 ? first.identifierAt : first.idAt;
      if (idAt >= 0 && idAt + 8 <= length) index = this.#types.attrOf(view, pos + idAt);
    }
    const attr = attrs[index];
    if (attr === undefined) {
      this.#unknown();
      return;
    }
    const parts = this.#parts;
    const needed = parts.find(attr, view, pos, length, little);
    if (needed > length) {
      const why = needed === attr.restAt ? '' : ', as its parts tell';
      this.#damaged(`a sample of ${length} bytes`, pos, `at least ${needed}${why}`);
      return;
    }
    if (attr.timeAt >= 0 && !this.#times.known) this.#times.begin(pos + attr.timeAt);
    const time = attr.timeAt >= 0 ? this.#times.at(pos + attr.timeAt) : Math.max(this.#maxTime, 0);
    const cpu = attr.cpuAt >= 0 ? view.getInt32(pos + attr.cpuAt, little) : -1;
    if (this.#isBack(time, cpu)) return;
    this.#inRound = true;
    if (time > this.#maxTime) this.#maxTime = time;
    if (time < this.#oldest) this.#oldest = time;
    if (cpu >= 0 && cpu < maxCpus) this.#lastOnCpu[cpu] = time;
    let type = this.#types.typeOf[index] as number;
    if (type === unresolved) type = this.#types.resolve(index);
    if ((view.getUint16(pos + 4, little) & guestMode) !== 0) type = this.#types.guestType(index, attr);
    if (type < 0) return;
    if (time < this.#lastTime) this.#sorter.begin(this.#slot);
    this.#lastTime = time;
    const pid = attr.tidAt >= 0 ? view.getInt32(pos + attr.tidAt, little) : -1;
    const tid = attr.tidAt >= 0 ? view.getInt32(pos + attr.tidAt + 4, little) : -1;
    if (parts.frames >= 0) parts.putChainBehind(this.#arena, little);
    // What the second thread read lies in the arena already.
    const at = this.#reader.slot < 0 ? parts.payload : this.#copy(parts.payload, parts.payloadSize);
    this.#sorter.append(time, type, cpu, tid, pid, at, parts.payloadSize);
  }

  /** Copies a payload out of the records, which do not stay. */
  #copy(from: number, size: number): number {
    const at = this.#out.at << 2;
    this.#arena.bytes.copyWithin(at, from, from + size);
    this.#out.at += (size + 3) >> 2;
    return at;
  }

  /** PERF_RECORD_LOST stands where the buffer had room again: the hole ends there, and began after the CPU's last event. */
  #loss(count: number, pos: number, length: number): void {
    const attr = this.#header.attrs[0];
    const end = pos + length;
    let cpu = -1;
    let to = this.#maxTime;
    if (attr?.sampleIdAll === true) {
      if (attr.trailerCpu > 0) cpu = this.#arena.view.getInt32(end - attr.trailerCpu, this.#little);
      if (attr.trailerTime > 0) {
        if (!this.#times.known) this.#times.begin(end - attr.trailerTime);
        to = this.#times.at(end - attr.trailerTime);
      }
    }
    const known = cpu >= 0 && cpu < maxCpus;
    const { skipped } = this.#out;
    // The thread that reads ahead says behind the record what it has passed over on its CPU.
    if (known && this.#reader.slot < 0)
      skipped[cpu] = Math.max(skipped[cpu] as number, this.#arena.view.getFloat64(end, true));
    const from = known ? Math.max(this.#lastOnCpu[cpu] as number, skipped[cpu] as number) : this.#lastTime;
    this.#lost += count;
    // Of a stretch, it may be known only to the one before when its CPU had an event.
    if (from === Number.NEGATIVE_INFINITY && this.#borders?.leading === false && this.#stretch?.from !== undefined)
      this.#unsure = true;
    const loss: Loss = { from: Math.min(from, to), to, cpu: known ? cpu : -1, count };
    this.#sorter.begin(this.#slot, loss);
    this.#lastTime = Number.NEGATIVE_INFINITY;
  }

  /** What is only known at the end. */
  #tell(): void {
    this.#types.learn();
    const loss = this.#lostBesides();
    if (loss !== undefined) this.#sorter.begin(this.#slot < 0 ? this.#arena.acquire() : this.#slot, loss);
    this.#tellUnknown();
    if (this.#header.dataEnd === 0) this.#note('the file holds no records');
  }

  /** LOST_SAMPLES, which perf writes when recording ends, counts for each event what LOST told already, and what was lost after it. */
  #lostBesides(): Loss | undefined {
    const rest = this.#lostSamples - this.#lost;
    if (rest <= 0) return undefined;
    const from = this.#lost === 0 ? Number.NEGATIVE_INFINITY : this.#maxTime;
    return { from, to: Number.POSITIVE_INFINITY, cpu: -1, count: rest };
  }

  #tellUnknown(): void {
    if (this.#unknownIds > 0) this.#note(`${this.#unknownIds} samples belong to no event that the file describes`);
  }

  get divisible(): Divisible | undefined {
    const whole = this.#records !== undefined && this.#input.seekable && this.#ahead === undefined;
    return whole && this.#settled && this.damage === undefined && !this.#cutShort ? this : undefined;
  }

  divide(n: number, beside: () => number): PerfStretch[] {
    const { file, end } = this.#records as { file: number; end: number };
    const from = this.#reader.offsetOf(this.#reader.pos);
    const wanted = Array.from({ length: n - 1 }, (_, i) => from + Math.floor(((i + 1) * (end - from)) / n));
    const borders = findBorders(file, this.#little, wanted, end);
    const names = [...this.threads].map(([tid, { comm, pid }]) => [tid, comm, pid] as const);
    const common = { origin: this.origin, attrs: this.#types.seen, names };
    const stretches = borders.map((from, i): PerfStretch => ({ ...common, from, to: borders[i + 1] }));
    if (stretches.length === 0) return [];
    this.#mayReadAhead = false;
    this.#beside = beside;
    this.#stretch = { ...common, from: undefined, to: borders[0] };
    this.#borders = new Borders(this.#stretch);
    this.#namesAtCut = new Map(names.map(([tid, comm, pid]) => [tid, { comm, pid }]));
    return stretches;
  }

  #namesAtCut: ReadonlyMap<number, Thread> = new Map();

  /** Begins a stretch: what is known of what was before. */
  #beginStretch(stretch: PerfStretch): void {
    this.#settled = true;
    this.#times.countFrom(stretch.origin);
    for (const [tid, comm, pid] of stretch.names) this.threads.name(tid, comm, pid);
    this.#borders = new Borders(stretch);
  }

  part(): PerfStretchPart {
    const { floor, ceiling, missed } = this.#borders as Borders;
    const unsure = this.#unsure || this.damage !== undefined || this.#sorter.late > 0 || missed;
    return {
      floor,
      ceiling,
      unsure,
      attrs: this.#types.seen,
      names: this.threads instanceof StretchThreads ? this.threads.part() : undefined,
      last: this.last,
      lost: this.#lost,
      lostSamples: this.#lostSamples,
      unknownIds: this.#unknownIds,
      notes: this.#notes,
      repeated: [...this.repeated].map(([type, count]) => [this.types[type]?.recordedAs ?? '', count] as const),
    };
  }

  accepts(part: unknown): boolean {
    const { floor, unsure, names } = part as PerfStretchPart;
    const alike = (tid: number) => {
      const [now, then] = [this.threads.get(tid), this.#namesAtCut.get(tid)];
      return now?.comm === then?.comm && now?.pid === then?.pid;
    };
    const sure = !unsure && !this.#unsure && this.damage === undefined && this.#sorter.late === 0;
    // NaN where this did not come to its end: that equals nothing.
    return sure && floor === this.#borders?.ceiling && names?.asked.every(alike) === true;
  }

  join(part: unknown): void {
    const { ceiling, attrs, names, last, lost, lostSamples, unknownIds, notes, repeated } = part as PerfStretchPart;
    (this.#borders as Borders).ceiling = ceiling;
    this.#types.see(attrs);
    for (const change of names?.changes ?? []) {
      this.threads.name(change.tid, nameAfter(this.threads, change), change.pid);
    }
    this.#maxTime = Math.max(this.#maxTime, last);
    this.#lost += lost;
    this.#lostSamples += lostSamples;
    this.#unknownIds += unknownIds;
    for (const note of notes) this.#note(note);
    for (const [name, count] of repeated) {
      const type = this.types.find(({ recordedAs }) => recordedAs === name);
      if (type !== undefined) this.repeated.set(type.id, (this.repeated.get(type.id) ?? 0) + count);
    }
  }

  rest(): EventBatch | undefined {
    this.#tellUnknown();
    const loss = this.#lostBesides();
    if (loss === undefined) return undefined;
    const rest = new EventBatch(0);
    rest.losses = [loss];
    return rest;
  }

  #note(note: string): void {
    if (!this.#notes.includes(note)) this.#notes.push(note);
  }

  #error(problem: string, pos: number, expected: string): TraceError {
    // The place in the file is not known of what the second thread read.
    if (this.#reader.slot < 0) return new TraceError(this.file, problem, undefined, expected);
    const offset = this.#reader.offsetOf(pos);
    if (this.#folder !== undefined)
      return new TraceError(this.file, `${problem} in one of the files beside it`, undefined, expected);
    if (this.#unpacker === undefined || !this.#unpacker.unpacked)
      return new TraceError(this.file, problem, offset, expected);
    return new TraceError(
      this.file,
      `${problem}, ${offset} bytes into the unpacked records`,
      this.#unpacker.offset,
      expected,
    );
  }

  #unknown(): number {
    this.#unknownIds++;
    return unwanted;
  }

  /** A pipe's PERF_RECORD_HEADER_TRACING_DATA: {header, u32 size}, then that many bytes, rounded up to 8. */
  async #readTracingData(): Promise<void> {
    const reader = this.#reader;
    const length = this.#arena.view.getUint16(reader.pos + 6, this.#little);
    const size = bytesBehind(this.#arena.view, reader.pos, recordType.tracingData, length, this.#little);
    const offset = reader.offsetOf(reader.pos) + length;
    this.#input.meter.part(size, 'event formats', offset);
    reader.pos += length;
    const parts: Uint8Array[] = [];
    for (let left = size; ; ) {
      const n = Math.min(left, reader.end - reader.pos);
      parts.push(this.#arena.bytes.slice(reader.pos, reader.pos + n));
      reader.pos += n;
      left -= n;
      if (left === 0) break;
      if ((await reader.next()) !== true)
        throw this.#error('the input ends in the event formats', reader.end, `${left} more bytes`);
    }
    this.#types.formats = parseTracingData(Buffer.concat(parts), this.file, offset, this.#input.meter);
    this.damage ??= this.#types.formats.formats.damage;
  }
}

/** How many threads read a file of this size, if it is known. */
function threadsFor(size: number | undefined, { threads }: OpenOptions): number {
  return threads ?? (size !== undefined && size >= largeFile ? availableParallelism() : 1);
}

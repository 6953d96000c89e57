import type { Arena } from '../../trace/arena.ts';
import type { Meter } from '../../trace/budget.ts';
import { TraceError } from '../../trace/error.ts';
import type { Loss } from '../../trace/loss.ts';
import type { NameChanges } from '../../trace/name-changes.ts';
import { rowAt, rowCpu, rowPid, rowSize, rowTid, rowType } from '../../trace/rows.ts';
import type { EventSorter } from '../../trace/sorter.ts';
import { asTraceError } from '../input.ts';
import type { NamesSeen } from '../names-seen.ts';
import { RandomFile } from '../random-file.ts';
import { SlotReader } from '../slot-reader.ts';
import type { StreamClock } from './clocks.ts';
import type { EventKind, SearchedField, StreamKind } from './kinds.ts';
import type { Node } from './nodes.ts';
import { type Packet, readPacket } from './packet.ts';
import { type ByteShape, farBack, lacking, ScanState, scanEvents, unresolved, unwanted } from './scan.ts';
import { short, Walker } from './walker.ts';

/** Positions count from a byte that is a multiple of this behind the packet's beginning, which keeps them small. */
const window = 1 << 16;
const two32 = 2 ** 32;
/** Events scanned in one go, so that the loop's function has been called often, and is compiled well, before much has gone by. */
const slice = 1024;

/** A file of a stream: its size, and where its packets end by its index, where it has one. */
export type StreamFile = { path: string; size: number; indexed: number | undefined };

/** What the streams of one trace share. */
export type StreamTrace = {
  /** Whether the events that a packet counts as discarded were lost after it; else within it. */
  afterPacket: boolean;
  /** The process that all its events are of, -1 where they are of many. */
  pid: number;
  packetHeader: Node | undefined;
  kindOf: (id: number | undefined) => StreamKind | undefined;
  clockOf: (kind: StreamKind) => StreamClock | undefined;
};

/** What the streams of all traces share: where events go, how many came without a time, and when threads got their names. */
export type Sink = {
  arena: Arena;
  sorter: EventSorter;
  names: NameChanges;
  seen: NamesSeen;
  meter: Meter;
  timeless: number;
  /** Whether threads' names were met, and threads that none say which they are. */
  named: boolean;
  threadless: boolean;
};

/** A hole in a stream whose end is not known yet. */
type Hole = { from: number; end: bigint | undefined; count: number | undefined };

/** One stream of a trace, in one file or several that follow each other: reads its packets a slot at a time, and decodes them when told. */
export class DataStream {
  /** Whether bytes are at hand that are not decoded. */
  ready = false;
  /** Time of the latest event decoded. */
  last = Number.NEGATIVE_INFINITY;
  /** The first thing in it that cannot be. What can be read is read all the same. */
  damage: TraceError | undefined;
  /** Bytes that were read. */
  read = 0;
  cpu = -1;

  readonly #trace: StreamTrace;
  readonly #sink: Sink;
  readonly #files: StreamFile[];
  readonly #walker = new Walker();
  #file: StreamFile | undefined;
  #handle: RandomFile | undefined;
  #reader: SlotReader | undefined;
  #ended = false;

  /** Bytes to pass over before the next packet, where one is due. */
  #padding = 0;
  #packet: Packet | undefined;
  /** Where the packet begins in its file, and bits of a byte that belong to the event before. */
  #start = 0;
  #bit = 0;
  /** Where its events end, in bits from its beginning; and its size in bytes. */
  #content = 0;
  #size = 0;

  /** The clock, and what times count from. */
  #clock: StreamClock | undefined;
  #origin: bigint | undefined;
  readonly #state = new ScanState();

  #holes: Hole[] = [];
  #discarded: bigint | undefined;
  /** Events that were lost between the packet and the next. */
  #lostAfter = 0;
  #sequence: bigint | undefined;
  #begin: bigint | undefined;
  /** Names of threads that were met before it was known what times count from. */
  readonly #early: { time: bigint; tid: number; comm: string; pid: number; parent: number }[] = [];

  constructor(trace: StreamTrace, files: StreamFile[], sink: Sink) {
    this.#trace = trace;
    this.#files = [...files];
    this.#sink = sink;
    this.#state.low = 0;
    this.#state.high = 0;
  }

  /** Brings more bytes to hand. False where there is no memory for them until events were handed out. */
  async advance(): Promise<boolean> {
    this.ready = false;
    while (!this.#ended) {
      try {
        if (this.#reader === undefined && !(await this.#open())) return true;
        const reader = this.#reader as SlotReader;
        if (reader.end - reader.pos > this.#sink.arena.headroom) {
          this.#damaged(
            `an event or packet header of more than ${this.#sink.arena.headroom} bytes`,
            reader.pos,
            'less',
          );
          await this.#leave();
          continue;
        }
        const more = await reader.next();
        if (more === 'full') return false;
        if (more) {
          this.ready = true;
          return true;
        }
        this.#endFile(reader);
      } catch (error) {
        this.damage ??= asTraceError(this.#file?.path ?? '', error);
        this.#hole(undefined, undefined);
      }
      await this.#leave();
    }
    return true;
  }

  /** Ends it where there is no memory for it whatever is handed out. */
  async giveUp(): Promise<void> {
    this.damage ??= new TraceError(this.#file?.path ?? '', 'no memory for the stream', undefined, 'fewer streams');
    this.#hole(undefined, undefined);
    this.#files.length = 0;
    await this.#leave();
    this.#ended = true;
    this.ready = false;
  }

  /** Reads on to the first event; gives its time, undefined where there is none. */
  async firstTime(): Promise<bigint | undefined> {
    for (;;) {
      if (!(await this.advance())) await this.giveUp();
      if (!this.ready) return undefined;
      while (this.#toEvents()) {
        const reader = this.#reader as SlotReader;
        const { header } = (this.#packet as Packet).kind;
        const rel = this.#place();
        const behind = header.read(this.#walker, rel);
        const kind = behind < 0 ? undefined : (this.#packet as Packet).kind.kind(header.id);
        if (kind?.aside !== undefined) {
          const end = this.#walker.skip(kind.root, behind);
          if (end < 0) break;
          this.#noteAside(kind, behind);
          reader.pos = this.#walker.base + (end >> 3);
          this.#bit = end & 7;
          if (this.#used()) this.#endPacket(reader);
          continue;
        }
        if (behind < 0) break;
        if (this.#clock === undefined) return 0n;
        const { low, high } = this.#state;
        this.#setTime(header.low, header.high, header.timeBits);
        const time = this.#now(this.#clock);
        Object.assign(this.#state, { low, high });
        const begin = this.#now(this.#clock);
        // Of what is no event, the packet's beginning is nearer to the truth.
        return (this.#packet as Packet).begin !== undefined && time < begin - BigInt(farBack) ? begin : time;
      }
    }
  }

  /** The absolute time on the clock. */
  #now(clock: StreamClock): bigint {
    return clock.toNs((BigInt(this.#state.high) << 32n) | BigInt(this.#state.low));
  }

  /** Makes times count from this moment. */
  startAt(origin: bigint): void {
    this.#origin = origin;
    const start = this.#clock?.startAt(origin) ?? 0n;
    this.#state.originHigh = Number(start >> 32n);
    this.#state.originLow = Number(start & 0xffffffffn);
    const { names } = this.#sink;
    for (const { time, tid, comm, pid, parent } of this.#early.splice(0)) {
      if (parent < 0) names.name(Number(time - origin), tid, comm, pid);
      else names.fork(Number(time - origin), tid, parent, pid);
    }
  }

  /** Decodes the bytes at hand into the sorter. */
  decode(): void {
    while (this.#toEvents()) if (!this.#events()) return;
  }

  /** The holes after its last event. */
  endLosses(): Loss[] {
    return this.#holes
      .splice(0)
      .map(({ from, count }) => ({ from, to: Number.POSITIVE_INFINITY, cpu: this.cpu, count }));
  }

  async close(): Promise<void> {
    this.#files.length = 0;
    await this.#leave();
    this.#ended = true;
  }

  async #open(): Promise<boolean> {
    const file = this.#files.shift();
    this.#file = file;
    if (file === undefined) {
      this.#ended = true;
      return false;
    }
    const handle = RandomFile.open(file.path);
    this.#handle = handle;
    this.#padding = 0;
    this.#packet = undefined;
    this.#reader = new SlotReader(this.#sink.arena, async (target, offset) => {
      const { bytesRead } = await handle.read(target, 0, target.length, offset);
      this.read += bytesRead;
      this.#sink.meter.read(bytesRead);
      return bytesRead;
    });
    return true;
  }

  async #leave(): Promise<void> {
    await this.#reader?.leave();
    await this.#handle?.close();
    this.#reader = undefined;
    this.#handle = undefined;
  }

  /** What is wrong with a file where its bytes end. */
  #endFile(reader: SlotReader): void {
    const { path, size, indexed } = this.#file as StreamFile;
    const left = reader.end - reader.pos;
    if (this.#packet !== undefined) {
      this.#damaged(
        `the file ends within a packet of ${this.#size} bytes`,
        reader.end,
        `the packet that begins at byte ${this.#start} whole`,
      );
    } else if (this.#padding > 0) {
      // What is missing are unused bytes.
      this.#damaged('the file ends in the padding of a packet', reader.end, `${this.#padding} bytes more`, false);
    } else if (left > 0)
      this.#damaged(`the file ends ${left} bytes into the header of a packet`, reader.pos, 'whole packets');
    else if (indexed !== undefined && indexed > size) {
      this.damage ??= new TraceError(path, `the file has ${size} bytes`, size, `${indexed} bytes, by its index`);
      this.#hole(undefined, undefined);
    }
    if (this.#lostAfter > 0) this.#hole(undefined, this.#lostAfter);
    this.#lostAfter = 0;
    this.#packet = undefined;
  }

  /** Goes on to events: passes padding over, and begins the next packet. False where more bytes are needed. */
  #toEvents(): boolean {
    const reader = this.#reader;
    if (reader === undefined) return false;
    while (this.#packet === undefined) {
      const skip = Math.min(this.#padding, reader.end - reader.pos);
      reader.pos += skip;
      this.#padding -= skip;
      if (reader.pos === reader.end || !this.#beginPacket(reader)) return false;
      if ((this.#packet as Packet | undefined) !== undefined && this.#used()) this.#endPacket(reader);
    }
    return true;
  }

  /** Whether the packet has no more events. */
  #used(): boolean {
    const reader = this.#reader as SlotReader;
    return (reader.offsetOf(reader.pos) - this.#start) * 8 + this.#bit >= this.#content;
  }

  #beginPacket(reader: SlotReader): boolean {
    const walker = this.#walker;
    const { arena } = this.#sink;
    walker.bytes = arena.bytes;
    walker.view = arena.view;
    walker.base = reader.pos;
    walker.limit = Math.min(reader.end - reader.pos, 1 << 27) * 8;
    const { packetHeader, kindOf } = this.#trace;
    const packet = readPacket(walker, packetHeader, kindOf);
    if (packet === 'short') return false;
    this.#start = reader.offsetOf(reader.pos);
    const fileSize = Math.max((this.#file as StreamFile).size, reader.offsetOf(reader.end));
    const rest = fileSize - this.#start;
    if ('problem' in packet) {
      this.#damaged(packet.problem, reader.pos + packet.at, packet.expected);
      this.#padding = rest;
      return true;
    }
    const size = packet.size ?? rest * 8;
    const content = packet.content ?? size;
    if (size % 8 !== 0 || size < packet.at || content > size || content < packet.at || size === 0) {
      this.#damaged(
        `a packet of ${size} bits, ${content} of them used`,
        reader.pos,
        `at least ${packet.at} bits, in bytes`,
      );
      this.#padding = rest;
      return true;
    }
    if (size / 8 > rest) {
      const problem = size === 2 ** 64 ? 'a packet that its writer did not end' : `a packet of ${size / 8} bytes`;
      this.#damaged(problem, reader.pos, `at most ${rest} bytes, the rest of the file`, false);
    }
    this.#size = size / 8;
    if (this.#again(packet)) {
      this.#padding = this.#size;
      return true;
    }
    this.#content = content;
    this.#packet = packet;
    this.#state.latest = Number.NEGATIVE_INFINITY;
    this.#bit = packet.at & 7;
    reader.pos += packet.at >> 3;
    if (packet.cpu >= 0) this.cpu = packet.cpu;
    this.#clock ??= this.#trace.clockOf(packet.kind);
    if (packet.begin !== undefined) {
      const { value, bits } = packet.begin;
      this.#setTime(Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn), bits);
    }
    this.#countLosses(packet);
    return true;
  }

  /** Whether the packet was there before, as in snapshots that overlap. */
  #again({ sequence, begin }: Packet): boolean {
    const again =
      sequence !== undefined &&
      this.#sequence !== undefined &&
      sequence.value <= this.#sequence &&
      begin !== undefined &&
      this.#begin !== undefined &&
      begin.value <= this.#begin;
    if (!again) this.#begin = begin?.value;
    return again;
  }

  /** Packets and events that the recorder says are missing. */
  #countLosses({ sequence, discarded, end }: Packet): void {
    if (sequence !== undefined) {
      const { value, bits } = sequence;
      if (this.#sequence !== undefined) {
        const missing = BigInt.asIntN(bits, value - this.#sequence - 1n);
        if (missing > 0n) this.#hole(undefined, undefined);
      }
      this.#sequence = value;
    }
    if (discarded === undefined) return;
    const { value, bits } = discarded;
    const count = Number(BigInt.asUintN(bits, value - (this.#discarded ?? 0n)));
    this.#discarded = value;
    if (count === 0) return;
    // LTTng's buffers fill up at a packet's end, and what is lost before the next begins is counted with the full one.
    if (this.#trace.afterPacket) this.#lostAfter = count;
    else this.#hole(end, count);
  }

  #hole(end: bigint | undefined, count: number | undefined): void {
    this.#holes.push({ from: this.last, end, count });
  }

  /** Sets the walker to the bytes at hand; gives the position of the next event. */
  #place(): number {
    const reader = this.#reader as SlotReader;
    const walker = this.#walker;
    const behind = reader.offsetOf(reader.pos) - this.#start;
    const rebase = behind - (behind % window);
    walker.bytes = this.#sink.arena.bytes;
    walker.view = this.#sink.arena.view;
    walker.base = reader.pos - (behind - rebase);
    walker.limit = Math.min((reader.end - walker.base) * 8, this.#content - rebase * 8);
    return (behind - rebase) * 8 + this.#bit;
  }

  /** Decodes the events at hand of the packet. False where more bytes are needed for them. */
  #events(): boolean {
    const reader = this.#reader as SlotReader;
    const { shape } = (this.#packet as Packet).kind;
    const clock = this.#clock;
    const state = this.#state;
    this.#sink.sorter.begin(reader.slot);
    state.last = this.last;
    if (state.latest === Number.NEGATIVE_INFINITY && this.#packet?.begin !== undefined && clock !== undefined)
      state.latest = Number(this.#now(clock) - (this.#origin ?? 0n));
    if (shape === undefined || clock?.plain !== true) return this.#walk(Number.POSITIVE_INFINITY) === true;
    for (;;) {
      if (this.#bit === 0 && this.#holes.length === 0) while (this.#scan(shape)) {}
      // What stopped the scan, and then on with it.
      const over = this.#walk(1);
      if (over !== undefined) return over;
    }
  }

  /** Decodes some events by bytes. False where that goes no further. */
  #scan(shape: ByteShape): boolean {
    const reader = this.#reader as SlotReader;
    const { arena, sorter, seen } = this.#sink;
    const { bytes, view } = arena;
    const left = Math.floor(this.#content / 8) - (reader.offsetOf(reader.pos) - this.#start);
    const end = Math.min(reader.end, reader.pos + left);
    const range = { bytes, view, pos: reader.pos, end, most: slice, rows: sorter.rows, count: sorter.count };
    scanEvents(shape, range, this.#state, seen, this.cpu, this.#trace.pid);
    reader.pos = range.pos;
    sorter.count = range.count;
    if (this.#state.last > this.last) this.last = this.#state.last;
    return range.most === 0;
  }

  /** Decodes at most so many events field by field. False where more bytes are needed, true where the packet is over, undefined where there are more events. */
  #walk(most: number): boolean | undefined {
    const reader = this.#reader as SlotReader;
    const { arena, sorter } = this.#sink;
    const packet = this.#packet as Packet;
    const walker = this.#walker;
    const stream = packet.kind;
    const { header, kinds } = stream;
    const { view } = arena;
    const clock = this.#clock;
    const state = this.#state;
    const plain = clock?.plain === true;
    const { cpu } = this;
    const { pid } = this.#trace;
    let rel = this.#place();
    const { limit, base } = walker;
    let { times, words, capacity } = sorter.rows;
    let n = sorter.count;
    let next = rel;
    let problem = '';
    for (let left = most; rel < limit && left > 0; left--) {
      const behind = header.read(walker, rel);
      if (behind < 0) {
        next = behind;
        break;
      }
      const kind = kinds[header.id] ?? stream.kind(header.id);
      if (kind === undefined) {
        problem = `an event of class ${header.id}`;
        break;
      }
      const phase = behind & (kind.phases - 1);
      let code = kind.codes[phase] as number;
      if (code === unresolved) code = stream.resolve(kind, phase, walker);
      const size = kind.sizes[phase] as number;
      next = size >= 0 ? behind + size : walker.skip(kind.root, behind);
      if (next < 0 || next > limit) {
        if (next > limit) next = short;
        break;
      }
      if (next === rel) {
        problem = 'an event without any bits';
        break;
      }
      if (kind.aside !== undefined) {
        this.#noteAside(kind, behind);
        rel = next;
        continue;
      }
      let time: number;
      if (clock === undefined) time = this.#sink.timeless++;
      else {
        if (header.timeBits === 64) {
          state.low = header.low;
          state.high = header.high;
        } else if (header.timeBits > 0) this.#setTime(header.low, header.high, header.timeBits);
        time = (state.high - state.originHigh) * two32 + (state.low - state.originLow);
        if (!plain) time = clock.relative(time);
        if (time > Number.MAX_SAFE_INTEGER || time < -Number.MAX_SAFE_INTEGER) {
          problem = 'a time more than 2^53 ns from the first';
          break;
        }
        if (time < state.latest - farBack) {
          problem = `a time ${Math.round((state.latest - time) / 1e6) / 1e3} s before those before it`;
          break;
        }
        if (time > state.latest) state.latest = time;
      }
      rel = next;
      if (time < state.last || this.#holes.length > 0) {
        sorter.count = n;
        this.#beginRun(reader.slot, time);
        ({ times, words, capacity } = sorter.rows);
        n = sorter.count;
      }
      if (time > this.last) this.last = time;
      state.last = time;
      if (code === unwanted) continue;
      if (n === capacity) {
        sorter.count = n;
        sorter.reserve(1);
        ({ times, words, capacity } = sorter.rows);
        n = sorter.count;
      }
      const at = base + (behind >> 3);
      const row = n++ * 8;
      times[row >> 1] = time;
      words[row + rowType] = code;
      const cpuAt = cpu >= 0 ? lacking : (kind.cpuAt[phase] as number);
      words[row + rowCpu] =
        cpuAt === lacking
          ? cpu
          : cpuAt >= 0
            ? view.getInt32(at + cpuAt, kind.cpuLittle)
            : this.#search(kind, kind.cpu, behind);
      const tidAt = kind.tidAt[phase] as number;
      const pidAt = kind.pidAt[phase] as number;
      words[row + rowTid] =
        tidAt >= 0
          ? view.getInt32(at + tidAt, kind.tidLittle)
          : tidAt === lacking
            ? -1
            : this.#search(kind, kind.tid, behind);
      words[row + rowPid] =
        pidAt >= 0
          ? view.getInt32(at + pidAt, kind.pidLittle)
          : pidAt === lacking
            ? pid
            : this.#search(kind, kind.pid, behind);
      words[row + rowAt] = at;
      words[row + rowSize] = ((next + 7) >> 3) - (behind >> 3);
      if (tidAt === lacking) this.#sink.threadless = true;
      else if (kind.procname !== undefined)
        this.#name(kind, behind, words[row + rowTid] as number, words[row + rowPid] as number, time);
    }
    sorter.count = n;
    reader.pos = base + (rel >> 3);
    this.#bit = rel & 7;
    if (this.#used()) {
      this.#endPacket(reader);
      return true;
    }
    if (problem === '' && next >= 0 && rel < limit) return undefined;
    const whole = limit === this.#contentFrom(base, reader);
    if (problem === '' && (rel >= limit || next === short) && !whole) return false;
    if (problem === '') problem = next === short ? 'an event that goes beyond its packet' : walker.problem;
    this.#damaged(problem, reader.pos, 'an event as declared');
    this.#endPacket(reader);
    return true;
  }

  /** Where the packet's events end, as a position of the walker. */
  #contentFrom(base: number, reader: SlotReader): number {
    return this.#content - (reader.offsetOf(base) - this.#start) * 8;
  }

  /** Begins a run of events, with the holes before it. */
  #beginRun(slot: number, time: number): void {
    const { sorter } = this.#sink;
    if (this.#holes.length === 0) sorter.begin(slot);
    for (const { from, end, count } of this.#holes.splice(0)) {
      const until =
        end === undefined || this.#clock === undefined ? time : Number(this.#clock.toNs(end) - (this.#origin ?? 0n));
      sorter.begin(slot, { from, to: Math.max(time, until), cpu: this.cpu, count });
    }
  }

  #endPacket(reader: SlotReader): void {
    if (this.#lostAfter > 0) this.#hole(undefined, this.#lostAfter);
    this.#lostAfter = 0;
    const behind = reader.offsetOf(reader.pos) - this.#start;
    this.#padding = Math.max(0, this.#size - behind);
    this.#packet = undefined;
    this.#bit = 0;
  }

  /** An integer of an event, wherever it is. */
  #search(kind: EventKind, field: SearchedField | undefined, behind: number): number {
    const walker = this.#walker;
    if (field === undefined) return -1;
    const { node } = field;
    const rel = walker.find(kind.root, behind, node, kind.pathTo(node));
    if (rel < 0) return -1;
    walker.load(node, rel);
    return walker.bits.low | 0;
  }

  /** What perf notes besides events. */
  #noteAside(kind: EventKind, behind: number): void {
    if (kind.aside === 'other') return;
    const { header } = (this.#packet as Packet).kind;
    const [tid, pid, parent] = [kind.tid, kind.pid, kind.parent].map((field) => this.#search(kind, field, behind)) as [
      number,
      number,
      number,
    ];
    const clock = this.#clock;
    this.#sink.named = true;
    if (tid < 0) return;
    if (this.#origin === undefined) {
      const comm = kind.aside === 'comm' ? this.#textOf(kind, behind)?.toString('utf8') : '';
      const value = (BigInt(header.high) << 32n) | BigInt(header.low);
      if (comm !== undefined) this.#early.push({ time: clock?.toNs(value) ?? 0n, tid, comm, pid, parent });
      return;
    }
    const { originHigh, originLow } = this.#state;
    const cycles = (header.high - originHigh) * two32 + (header.low - originLow);
    const time = clock?.plain === false ? clock.relative(cycles) : cycles;
    if (kind.aside === 'comm') this.#name(kind, behind, tid, pid, time);
    else {
      this.#sink.seen.forget(tid);
      this.#sink.names.fork(time, tid, parent, pid);
    }
  }

  /** Takes note of what a thread is called at a time. */
  #name(kind: EventKind, behind: number, tid: number, pid: number, time: number): void {
    const { seen, names } = this.#sink;
    this.#sink.named = true;
    const comm = tid < 0 ? undefined : this.#textOf(kind, behind);
    if (comm !== undefined && seen.see(tid, time, comm, 0, comm.length))
      names.name(time, tid, comm.toString('utf8'), pid);
  }

  /** A thread's name, as it stands in an event. */
  #textOf(kind: EventKind, behind: number): Buffer | undefined {
    const walker = this.#walker;
    const node = kind.procname?.node as Node;
    const rel = walker.find(kind.root, behind, node, kind.pathTo(node));
    if (rel < 0) return undefined;
    const from = walker.base + (rel >> 3);
    const length = node.kind === 'string' ? walker.textEnd(node, rel) - from : node.length;
    if (length < 0) return undefined;
    const bytes = Buffer.from(walker.bytes.buffer, walker.bytes.byteOffset + from, length);
    const end = bytes.indexOf(0);
    return end < 0 ? bytes : bytes.subarray(0, end);
  }

  /** Takes a time of fewer bits than the clock has: it is the next one that ends so. */
  #setTime(low: number, high: number, bits: number): void {
    const state = this.#state;
    if (bits >= 64) {
      state.low = low;
      state.high = high;
      return;
    }
    if (bits > 32) {
      const period = 2 ** (bits - 32);
      const own = state.high % period;
      const wraps = high < own || (high === own && low < state.low);
      state.high = (state.high - own + high + (wraps ? period : 0)) % two32;
      state.low = low;
      return;
    }
    // Bits below those of the time; whole numbers of 32 bits, as remainders of doubles take long.
    const mask = bits === 32 ? -1 : (1 << bits) - 1;
    const own = (state.low & mask) >>> 0;
    let next = state.low - own + low;
    if (low < own) next += 2 ** bits;
    if (next >= two32) {
      next -= two32;
      state.high = (state.high + 1) >>> 0;
    }
    state.low = next;
  }

  /** Takes note of what cannot be at a place in the arena; and that events may be missing. */
  #damaged(problem: string, pos: number, expected: string, lost = true): void {
    const reader = this.#reader as SlotReader;
    this.damage ??= new TraceError(this.#file?.path ?? '', problem, reader.offsetOf(pos), expected);
    if (lost) this.#hole(undefined, undefined);
  }
}

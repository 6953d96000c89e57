import { Arena } from '../trace/arena.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { rowAt, rowCpu, rowPid, rowSize, rowTid, rowType } from '../trace/rows.ts';
import { EventSorter } from '../trace/sorter.ts';
import { ThreadTable, type Trace, type Traits, TypeTable } from '../trace/trace.ts';
import { earliestOf } from './earliest.ts';
import type { Format } from './format.ts';
import { asTraceError, type Input } from './input.ts';
import { headerSize, maxEvents, recordSize, SimpletraceKinds, unresolved, unwanted } from './simpletrace-kinds.ts';
import { SlotReader } from './slot-reader.ts';
import { Signatures } from './trace-events.ts';

/*
 * QEMU's simpletrace files, versions 2, 3 and 4. Sources: trace/simple.c and scripts/simpletrace.py in QEMU's source.
 *
 * Losses. QEMU's tracer keeps records in a ring of 256 KiB. While that is full, events are dropped and counted; when its writer comes round,
 * it writes a dropped record with the count and the time, *then* what was in the ring. So the events that
 * were lost are usually later than the up to 256 KiB of records that follow the dropped record, and mostly earlier than its own time
 * stamp (but for what is dropped until the writer has made room); where the writer had already emptied the ring, the hole is right
 * before the dropped record. The Loss therefore reaches from the last event before the dropped record to its own time, or to that
 * of the first record one ring later, whichever is later, and comes with the first event after `from`. It
 * covers every hole of the recordings with an independent account of what was lost.
 */

/** Longer than any record that QEMU writes: strings are cut at 512 bytes. */
const maxRecord = 1 << 16;
/** QEMU's ring, in bytes of records. */
const ringSize = 1 << 18;
const maxName = 1024;
/** The number of a record that tells of dropped events. */
const dropped = 0xfffffffffffffffen;
/**
 * Threads stamp an event before they claim its place in the file, so stamps go back by as long as a thread can
 * be preempted in between. Events are held back that long to put them in order (ns).
 */
const holdBack = 50e6;
/** Records further than this (1 s) from those before them are looked at: the trace was idle, or something is damaged. */
const far = 1e9;
/** Dropped records with no event between them are told one by one up to here, then as one. */
const maxLossesInRow = 100;

export const simpletrace: Format = {
  name: 'simpletrace',
  recognise: (head) => isLittle(head) !== undefined,
  open: async (input, options) => new SimpleTrace(input, new Signatures(input.path, options)),
};

/** The byte order of a simpletrace header, or undefined where it is none. */
function isLittle(head: Uint8Array): boolean | undefined {
  if (head.length < 16) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (view.getBigUint64(0) !== 0xffffffffffffffffn) return undefined;
  if (view.getBigUint64(8, true) === 0xf2b177cb0aa429b4n) return true;
  return view.getBigUint64(8, false) === 0xf2b177cb0aa429b4n ? false : undefined;
}

class SimpleTrace implements Trace {
  readonly file: string;
  readonly format = 'simpletrace';
  readonly traits: Traits = { looseHoles: true };
  readonly version: string;
  readonly clock: Clock = { name: 'mono', unit: 'ns', resolution: 1 };
  origin = 0n;
  readonly threads: ThreadTable;
  readonly cpus = undefined;
  readonly notes: string[] = [];
  damage: TraceError | undefined;

  readonly #input: Input;
  readonly #little: boolean;
  readonly #number: number;
  /** Bytes in front of each record: version 4 says what kind it is. */
  readonly #prefix: number;
  readonly #table: TypeTable;
  readonly #kinds: SimpletraceKinds;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  readonly #reader: SlotReader;
  #originHigh = 0;
  #originLow = 0;
  #haveOrigin = false;
  /** Time of the record read last, and the latest of all; wanted or not. */
  #lastTime = Number.NEGATIVE_INFINITY;
  #maxTime = Number.NEGATIVE_INFINITY;
  /** Everything up to here was handed out. */
  #flushed = Number.NEGATIVE_INFINITY;
  #late = 0;
  #stopped = false;
  #lossesInRow = 0;
  #loss: Loss | undefined;
  /** Holes that may reach into records yet to be read, in order, and the offset at which each ends at the latest. */
  readonly #pending: { loss: Loss; until: number }[] = [];

  constructor(input: Input, signatures: Signatures) {
    const head = input.head;
    this.file = input.name;
    this.#input = input;
    this.#arena = new Arena(input.slot(1 << 20), maxRecord + 64, input.room(32 << 20));
    this.#sorter = new EventSorter(this.#arena);
    this.threads = new ThreadTable(input.meter);
    this.#table = new TypeTable(input.meter);
    this.#little = isLittle(head) as boolean;
    if (head.length < headerSize) {
      throw new TraceError(
        input.name,
        `the header ends after ${head.length} bytes`,
        head.length,
        `${headerSize} bytes; QEMU had not written it yet`,
      );
    }
    const view = new DataView(head.buffer, head.byteOffset, head.length);
    const version = view.getBigUint64(16, this.#little);
    if (version < 2n || version > 4n) {
      const old = version < 2n ? ', which QEMU 1.2 and older wrote' : '';
      throw new TraceError(input.name, `simpletrace version ${version}${old}`, 16, 'version 2, 3 or 4');
    }
    this.#number = Number(version);
    this.version = `v${version}${this.#little ? '' : ', big-endian'}`;
    this.#prefix = version === 4n ? 8 : 0;
    this.#reader = new SlotReader(this.#arena, (target, offset) => input.readInto(target, offset));
    const offsetOf = (position: number) => this.#reader.offsetOf(position);
    this.#kinds = new SimpletraceKinds(
      this,
      signatures,
      this.#number,
      this.#little,
      this.#table,
      input.meter,
      offsetOf,
    );
    if (this.#number < 4) this.#kinds.nameByNumber(view);
  }

  get types(): readonly EventType[] {
    return this.#table.all;
  }

  get last(): number {
    return this.#maxTime;
  }

  progress(): { read: number; size: number | undefined } {
    return { read: this.#input.read, size: this.#input.size };
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#input.close();
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncIterable<EventBatch> {
    this.#kinds.wants = wants;
    const reader = this.#reader;
    try {
      let skip = headerSize;
      for (;;) {
        let more = await reader.next();
        if (more === 'full') {
          // More is held back than a sane trace has in that time: its stamps are no good.
          yield* this.#take(Number.POSITIVE_INFINITY);
          more = await reader.next();
        }
        if (more !== true) break;
        if (skip > 0) {
          const cut = Math.min(skip, reader.end - reader.pos);
          reader.pos += cut;
          skip -= cut;
        }
        this.#parse();
        while (this.#settle()) this.#parse();
        yield* this.#take(
          Math.min(this.#maxTime - holdBack, (this.#pending[0]?.loss.from ?? Number.POSITIVE_INFINITY) - 1),
        );
        if (this.#stopped) break;
      }
      if (reader.pos < reader.end) {
        this.damage ??= this.#error(
          `the file ends ${reader.end - reader.pos} bytes into a record`,
          reader.pos,
          'whole records; QEMU was still writing, or was killed',
        );
      }
    } catch (error) {
      this.damage ??= asTraceError(this.file, error);
    }
    this.#tell();
    this.#settle(true);
    yield* this.#take(Number.POSITIVE_INFINITY);
    this.damage ??= this.#input.meter.refused;
  }

  *#take(upTo: number): Generator<EventBatch> {
    if (upTo > this.#flushed) this.#flushed = Math.min(upTo, this.#maxTime);
    for (;;) {
      const batch = this.#sorter.take(upTo);
      if (batch === undefined) return;
      yield batch;
    }
  }

  /** Parses the whole records at hand into the sorter. */
  #parse(): void {
    const reader = this.#reader;
    const sorter = this.#sorter;
    const view = this.#arena.view;
    const little = this.#little;
    const prefix = this.#prefix;
    const low = little ? 0 : 4;
    const high = 4 - low;
    const hasPid = this.#number > 2;
    sorter.begin(reader.slot);
    let { times, words, capacity } = sorter.rows;
    let n = sorter.count;
    const kinds = this.#kinds;
    let { codes, sizes } = kinds;
    let originHigh = this.#originHigh;
    let originLow = this.#originLow;
    let last = Number.NEGATIVE_INFINITY;
    let maxTime = this.#maxTime;
    const end = reader.end;
    let pos = reader.pos;
    /** The record before `pos`, for its time. */
    let before = -1;
    /** Where the beginning of a record must end to be parsed now: at a hole's end, the clock is looked at. */
    let bound = Math.min(end, this.#pendingEnd(pos) + prefix + recordSize - 1);
    while (pos + prefix + recordSize <= bound) {
      const record = pos + prefix;
      const id = view.getUint32(record + low, little);
      const length = view.getUint32(record + 16, little);
      const next = record + length;
      let code = unresolved;
      if (
        id < codes.length &&
        view.getUint32(record + high, little) === 0 &&
        length >= recordSize &&
        length <= maxRecord &&
        (prefix === 0 || (view.getUint32(pos + low, little) === 1 && view.getUint32(pos + high, little) === 0))
      ) {
        if (next > end) break;
        code = codes[id] as number;
        if (code === unwanted) {
          const t =
            (view.getUint32(record + 8 + high, little) - originHigh) * 0x100000000 +
            (view.getUint32(record + 8 + low, little) - originLow);
          if (t <= maxTime + far && t >= maxTime - far) {
            if (t > maxTime) maxTime = t;
            before = record;
            pos = next;
            continue;
          }
        }
        if (length - recordSize !== (sizes[id] as number) && code !== unresolved) {
          code = kinds.codeOf(id, view, record + recordSize, length - recordSize);
        }
      }
      if (code === unresolved) {
        if (before >= 0) this.#lastTime = this.#timeAt(before);
        sorter.count = n;
        const after = this.#otherRecord(pos, end);
        ({ times, words, capacity } = sorter.rows);
        n = sorter.count;
        ({ codes, sizes } = kinds);
        originHigh = this.#originHigh;
        originLow = this.#originLow;
        before = -1;
        if (after < 0) break;
        pos = after;
        bound = Math.min(end, this.#pendingEnd(pos) + prefix + recordSize - 1);
        continue;
      }
      const t =
        (view.getUint32(record + 8 + high, little) - originHigh) * 0x100000000 +
        (view.getUint32(record + 8 + low, little) - originLow);
      if (!(t <= maxTime + far && t >= maxTime - far)) {
        const found = this.#outOfOrder(t, maxTime, record, next, end);
        if (found === 'end') break;
        if (found === 'stray') {
          pos = next;
          sorter.count = n;
          sorter.begin(reader.slot, { from: maxTime, to: maxTime, cpu: -1, count: 1 });
          last = Number.NEGATIVE_INFINITY;
          continue;
        }
      }
      before = record;
      pos = next;
      if (t > maxTime) maxTime = t;
      if (code === unwanted) continue;
      if (n === capacity) {
        sorter.count = n;
        sorter.reserve(1);
        ({ times, words, capacity } = sorter.rows);
        n = sorter.count;
      }
      if (t < last) {
        sorter.count = n;
        sorter.begin(reader.slot);
        if (t < this.#flushed) this.#late++;
      }
      last = t;
      const row = n++ * 8;
      times[row >> 1] = t;
      words[row + rowType] = code;
      words[row + rowCpu] = -1;
      words[row + rowTid] = -1;
      words[row + rowPid] = hasPid ? view.getUint32(record + 20, little) : -1;
      words[row + rowAt] = record + recordSize;
      words[row + rowSize] = length - recordSize;
    }
    sorter.count = n;
    if (before >= 0) this.#lastTime = this.#timeAt(before);
    this.#maxTime = maxTime;
    // Names at the end of the input may be shorter than any event.
    while (prefix > 0 && pos + 20 <= end && !this.#stopped && view.getBigUint64(pos, little) === 0n) {
      const after = this.#mapping(pos, end);
      if (after < 0) break;
      pos = after;
    }
    reader.pos = pos;
  }

  /** Whether what stands here can be the beginning of an event's record. */
  #isRecord(pos: number, end: number): boolean {
    const record = pos + this.#prefix;
    if (record + recordSize > end) return false;
    const view = this.#arena.view;
    if (this.#prefix > 0 && view.getBigUint64(pos, this.#little) !== 1n) return false;
    const length = view.getUint32(record + 16, this.#little);
    const id = view.getBigUint64(record, this.#little);
    return length >= recordSize && length <= maxRecord && (id < BigInt(maxEvents) || id === dropped);
  }

  /**
   * What to make of a record whose time is far from `newest`, that of the records before it: `sound`, the trace was idle; `stray`, it alone
   * is out of order and cannot be believed; `end`, time goes back for good, and nobody knows which part is right. `next` is the record after it.
   */
  #outOfOrder(time: number, newest: number, record: number, next: number, end: number): 'sound' | 'stray' | 'end' {
    const follows = this.#isRecord(next, end) ? this.#timeAt(next + this.#prefix) : Number.NaN;
    const isFar = Math.abs(time) > Number.MAX_SAFE_INTEGER;
    const back = time < newest - far;
    if (!isFar && !back && !(follows < time - far && !(follows < newest - far))) return 'sound';
    const seconds = (ns: number) => `${Math.round(ns / 1e6) / 1e3} s`;
    const problem = isFar
      ? 'a time more than 2^53 ns from the first'
      : `a time ${back ? `${seconds(newest - time)} before` : `${seconds(time - newest)} after`} those of the records before it`;
    if (!isFar && back && follows < newest - far) {
      this.#damaged(problem, record + 8, 'records of one run of QEMU, in order of time');
      return 'end';
    }
    this.damage ??= this.#error(problem, record + 8, 'records in order of time');
    return 'stray';
  }

  /**
   * Any record that the hot loop leaves. Returns where to go on: the same position for an event whose number was
   * made known; -1 where more bytes are needed, or where the file is damaged (`damage` is set then).
   */
  #otherRecord(pos: number, end: number): number {
    const view = this.#arena.view;
    const little = this.#little;
    if (this.#prefix > 0) {
      const kind = view.getBigUint64(pos, little);
      if (kind === 0n) return this.#mapping(pos, end);
      if (kind !== 1n) {
        return this.#damaged(`a record of kind ${kind}`, pos, '0, the name of an event, or 1, an event');
      }
    }
    const record = pos + this.#prefix;
    const id = view.getBigUint64(record, little);
    const length = view.getUint32(record + 16, little);
    const expected = `the length of a record, ${recordSize} to ${maxRecord}`;
    if (length < recordSize || length > maxRecord) return this.#damaged(`a length of ${length}`, record + 16, expected);
    if (record + length > end) return -1;
    this.#findOrigin(pos, end);
    if (id === dropped) {
      if (length !== recordSize + 8) {
        return this.#damaged(`a dropped record of ${length} bytes`, record + 16, `${recordSize + 8}`);
      }
      this.#dropped(record, this.#timeAt(record), Number(view.getBigUint64(record + recordSize, little)));
      return record + length;
    }
    if (id >= BigInt(maxEvents)) return this.#damaged(`event number ${id}`, record, `one below ${maxEvents}`);
    const number = Number(id);
    if (this.#number === 4 && !this.#kinds.isNamed(number)) {
      return this.#damaged(`event number ${id}`, record, 'a number that a record before has named');
    }
    this.#kinds.codeOf(number, view, record + recordSize, length - recordSize);
    return pos;
  }

  #mapping(pos: number, end: number): number {
    const view = this.#arena.view;
    const id = view.getBigUint64(pos + 8, this.#little);
    const length = view.getUint32(pos + 16, this.#little);
    if (id >= BigInt(maxEvents)) return this.#damaged(`event number ${id}`, pos + 8, `one below ${maxEvents}`);
    if (length === 0 || length > maxName) {
      return this.#damaged(`an event's name of ${length} bytes`, pos + 16, `1 to ${maxName}`);
    }
    const start = pos + 20;
    if (start + length > end) return -1;
    const name = Buffer.from(this.#arena.bytes.subarray(start, start + length)).toString('latin1');
    if (!/^\w+$/.test(name))
      return this.#damaged(`${JSON.stringify(name)} as an event's name`, start, 'a C identifier');
    this.#kinds.name(Number(id), name, pos);
    return start + length;
  }

  #dropped(position: number, at: number, count: number): void {
    const loss = this.#loss;
    const from = this.#lastTime;
    this.#lossesInRow = loss?.from === from ? this.#lossesInRow + 1 : 0;
    if (this.#lossesInRow >= maxLossesInRow && loss !== undefined) {
      loss.to = Math.max(loss.to, at);
      loss.count = (loss.count ?? 0) + count;
      return;
    }
    this.#loss = { from, to: Math.max(from, at), cpu: -1, count };
    this.#sorter.begin(this.#reader.slot, this.#loss);
    // The numbers in front of a version 4 file's records are not in the ring.
    const share = (this.#prefix + recordSize) / recordSize;
    const next = this.#reader.offsetOf(position) + recordSize + 8;
    this.#pending.push({ loss: this.#loss, until: next + Math.ceil(ringSize * share) });
  }

  /** Where in the arena the next pending hole ends at the latest; Infinity where none is pending. */
  #pendingEnd(pos: number): number {
    const [first] = this.#pending;
    return first === undefined ? Number.POSITIVE_INFINITY : pos + Math.max(1, first.until - this.#reader.offsetOf(pos));
  }

  /** Ends the pending holes that reach no further than the record read last (all, where the input ends). True where there were some. */
  #settle(atEnd = false): boolean {
    const offset = atEnd ? Number.POSITIVE_INFINITY : this.#reader.offsetOf(this.#reader.pos);
    let n = 0;
    for (const { loss, until } of this.#pending) {
      if (until > offset) break;
      loss.to = Math.max(loss.to, this.#lastTime);
      n++;
    }
    this.#pending.splice(0, n);
    return n > 0;
  }

  /** Time counts from the earliest stamp among the first records, so that it is not negative where the first two are out of order. */
  #findOrigin(pos: number, end: number): void {
    if (this.#haveOrigin) return;
    this.#haveOrigin = true;
    const view = this.#arena.view;
    const stamps: bigint[] = [];
    let p = pos;
    for (let n = 0; n < 4096 && p + 20 <= end; n++) {
      if (this.#prefix > 0 && view.getBigUint64(p, this.#little) === 0n) {
        // The name of an event.
        p += 20 + view.getUint32(p + 16, this.#little);
        continue;
      }
      if (!this.#isRecord(p, end)) break;
      stamps.push(view.getBigUint64(p + this.#prefix + 8, this.#little));
      p += this.#prefix + view.getUint32(p + this.#prefix + 16, this.#little);
    }
    this.origin = earliestOf(stamps) ?? 0n;
    this.#originHigh = Number(this.origin >> 32n);
    this.#originLow = Number(this.origin & 0xffffffffn);
  }

  #timeAt(record: number): number {
    const view = this.#arena.view;
    const low = this.#little ? 0 : 4;
    return (
      (view.getUint32(record + 12 - low, this.#little) - this.#originHigh) * 0x100000000 +
      (view.getUint32(record + 8 + low, this.#little) - this.#originLow)
    );
  }

  /** Ends the reading: where the next record begins is not known. */
  #damaged(problem: string, position: number, expected: string): number {
    this.damage ??= this.#error(problem, position, expected);
    this.#stopped = true;
    return -1;
  }

  #error(problem: string, position: number, expected: string): TraceError {
    return new TraceError(this.file, problem, this.#reader.offsetOf(position), expected);
  }

  #tell(): void {
    this.#kinds.tell();
    if (this.#late > 0) {
      this.notes.push(
        `${this.#late} times the stamps go back by more than ${holdBack / 1e6} ms: those events stand at the time of the one before them`,
      );
    }
  }
}

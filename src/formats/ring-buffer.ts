import type { Arena } from '../trace/arena.ts';
import type { Loss } from '../trace/loss.ts';
import { rowAt, rowCpu, rowPid, rowSize, rowTid, rowType } from '../trace/rows.ts';
import type { EventSorter } from '../trace/sorter.ts';

/*
 * Pages of the kernel's ring buffer, as trace.dat holds them and per_cpu/cpuN/trace_pipe_raw gives them.
 * Sources: linux kernel/trace/ring_buffer.c, include/linux/ring_buffer.h; libtraceevent kbuffer-parse.c; events/header_page, header_event.
 */

/** What `typeOf` answers instead of a type's number: nobody wants the event. */
export const unwanted = -1;
const unseen = -2;
const dynamic = -3;

const two32 = 0x100000000;
const two27 = 0x8000000;

/** How pages are laid out. */
export type PageShape = {
  little: boolean;
  /** Size of the `commit` word. */
  commitSize: 4 | 8;
  /** Size of a page (a sub-buffer), header included. */
  pageSize: number;
};

/** What the decoder asks about events. */
export type EventTypes = {
  /** The type of events with this common_type, `unwanted`, or `by event` where `ofEvent` is to be asked each time. */
  of(commonType: number): number | 'by event';
  /** The type of an event whose common_type does not tell, or `unwanted`. `at` and `size` are its payload in the arena. */
  ofEvent(commonType: number, at: number, size: number): number;
};

/** Converts time stamps, given as ticks since the first of the trace, to the trace's units. */
export type TimeConversion = { convert(ticks: number, cpu: number): number };

/** Something in a page that cannot be: where (a position in the arena), what, and what was expected. */
export type PageProblem = { at: number; problem: string; expected: string };

/** The state of one CPU's buffer between its pages. */
export class RingBufferCpu {
  readonly cpu: number;
  /** Time of the last event seen, wanted or not; -Infinity before the first. */
  last = Number.NEGATIVE_INFINITY;
  /** Events lost since then: 0, a number, or NaN where the buffer does not say how many. */
  missed = 0;
  /** Lost events that were told of with their number so far, and the stretch with holes whose number is unknown. */
  told = 0;
  untold: { from: number; to: number } | undefined;

  constructor(cpu: number) {
    this.cpu = cpu;
  }

  /** The hole between the last event and one at `to`. */
  takeLoss(to: number): Loss {
    const count = Number.isNaN(this.missed) ? undefined : this.missed;
    if (count === undefined) this.untold = { from: this.untold?.from ?? this.last, to };
    else this.told += count;
    this.missed = 0;
    return { from: this.last, to, cpu: this.cpu, count };
  }

  /** What is left of the events that the kernel counted as lost (`overrun`) after those that were told of with their number. */
  rest(overrun: number): Loss | undefined {
    const count = overrun - this.told;
    if (!(count > 0)) return undefined;
    const { from, to } = this.untold ?? { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    return { from, to, cpu: this.cpu, count };
  }
}

/** Decodes pages into the rows of a sorter. */
export class RingBufferDecoder {
  /** Holes right before an event that nobody wants, so that no row carries them; whoever decodes hands them out. */
  readonly looseLosses: Loss[] = [];
  readonly #shape: PageShape;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  readonly #types: EventTypes;
  #conversion: TimeConversion | undefined;
  /** The time stamp that times count from, in two halves. */
  #originHigh = 0;
  #originLow = 0;
  /** By common_type: the type's number, `unwanted`, `unseen` or `dynamic`. */
  readonly #typeOf = new Int32Array(1 << 16).fill(unseen);
  /** Time of the sorter's last row; a row before that begins a new run, as does the first after Infinity. */
  #floor = Number.POSITIVE_INFINITY;

  constructor(shape: PageShape, arena: Arena, sorter: EventSorter, types: EventTypes) {
    this.#shape = shape;
    this.#arena = arena;
    this.#sorter = sorter;
    this.#types = types;
  }

  /** Says which time stamp times count from, and what makes them of the ticks since then. */
  startAt(origin: bigint, conversion: TimeConversion | undefined): void {
    this.#originHigh = Number(origin >> 32n);
    this.#originLow = Number(origin & 0xffffffffn);
    this.#conversion = conversion;
  }

  /**
   * Decodes the pages of one CPU that stand in `slot` from `start` to `end`; the last may be cut. Returns why it
   * stopped before the end, where it did: everything before that was decoded.
   */
  decode(cpu: RingBufferCpu, slot: number, start: number, end: number): PageProblem | undefined {
    const { pageSize, commitSize } = this.#shape;
    // A run of the sorter has one slot.
    this.#floor = Number.POSITIVE_INFINITY;
    for (let page = start; page < end; page += pageSize) {
      const room = Math.min(pageSize, end - page) - 8 - commitSize;
      if (room < 0) {
        return { at: page, problem: `the data end ${end - page} bytes into a page`, expected: `${pageSize} bytes` };
      }
      const problem = this.#page(cpu, slot, page, room);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** One page with `room` bytes at hand after its header. */
  #page(cpu: RingBufferCpu, slot: number, page: number, room: number): PageProblem | undefined {
    const { little, commitSize, pageSize } = this.#shape;
    const view = this.#arena.view;
    const sorter = this.#sorter;
    const types = this.#typeOf;
    const conversion = this.#conversion;
    const originHigh = this.#originHigh;
    const originLow = this.#originLow;

    const pageHigh = view.getUint32(page + (little ? 4 : 0), little);
    let time = ticks(pageHigh, view.getUint32(page + (little ? 0 : 4), little), originHigh, originLow);
    if (!Number.isSafeInteger(time)) {
      return { at: page, problem: 'a time stamp far from the others', expected: 'one within 2^53 units' };
    }
    const commit = view.getUint32(page + (little || commitSize === 4 ? 8 : 12), little);
    const used = commit & 0x7ffffff;
    if (used > pageSize - 8 - commitSize) {
      return {
        at: page + 8,
        problem: `a page that holds ${used} bytes`,
        expected: `at most ${pageSize - 8 - commitSize}`,
      };
    }
    let at = page + 8 + commitSize;
    const stop = at + Math.min(used, room);
    if (commit >>> 31 !== 0) {
      let count = Number.NaN;
      if ((commit & 0x40000000) !== 0 && used + commitSize <= room) {
        const high = commitSize === 4 ? 0 : view.getUint32(stop + (little ? 4 : 0), little);
        count = high * two32 + view.getUint32(stop + (little || commitSize === 4 ? 0 : 4), little);
      }
      cpu.missed += count === 0 ? Number.NaN : count;
    }

    // The smallest event has an empty payload: 4 bytes of header and 8 of common fields.
    sorter.reserve(Math.floor(room / 12) + 1);
    const { times, words } = sorter.rows;
    const cpuNumber = cpu.cpu;
    let n = sorter.count;
    let last = cpu.last;
    let floor = this.#floor;
    let stamp = last;
    let problem: string | undefined;

    while (at + 4 <= stop) {
      const word = view.getUint32(at, little);
      const kind = little ? word & 31 : word >>> 27;
      const delta = little ? word >>> 5 : word & 0x7ffffff;
      let data = at + 4;
      let size = kind << 2;
      let next = data + size;
      if (kind === 0 || kind > 28) {
        if (kind === 29 && delta === 0) break;
        if (data + 4 > stop) {
          problem = 'an event cut by the end of its page';
          break;
        }
        const more = view.getUint32(data, little);
        if (kind >= 30) {
          if (kind === 30) time += more * two27 + delta;
          else {
            // An absolute time of 59 bits; the five above them are those of the page.
            const low = ((more << 27) | delta) >>> 0;
            time = ticks(((more >>> 5) | (pageHigh & 0xf8000000)) >>> 0, low, originHigh, originLow);
          }
          if (!Number.isSafeInteger(time)) {
            problem = 'a time stamp more than 2^53 units from the first';
            break;
          }
          at = data + 4;
          continue;
        }
        if (kind === 29) {
          // A discarded event.
          if (more > stop - data) {
            problem = `a discarded event of ${more} bytes`;
            break;
          }
          time += delta;
          at = data + more;
          continue;
        }
        size = more - 4;
        data += 4;
        next = data + ((size + 3) & ~3);
      }
      if (size < 8 || next > stop || next < data) {
        problem = `an event of ${size} bytes`;
        break;
      }
      time += delta;
      stamp = conversion === undefined ? time : conversion.convert(time, cpuNumber);
      const commonType = view.getUint16(data, little);
      let type = types[commonType] as number;
      if (type < unwanted) {
        type = this.#see(commonType, data, size);
      }
      if (cpu.missed !== 0) {
        cpu.last = last;
        const loss = cpu.takeLoss(stamp);
        if (type === unwanted) this.looseLosses.push(loss);
        else {
          sorter.count = n;
          sorter.begin(slot, loss);
          floor = stamp;
        }
      }
      last = stamp;
      at = next;
      if (type === unwanted) continue;
      if (stamp < floor) {
        sorter.count = n;
        sorter.begin(slot);
      }
      floor = stamp;
      const row = n++ * 8;
      times[row >> 1] = stamp;
      words[row + rowType] = type;
      words[row + rowCpu] = cpuNumber;
      words[row + rowTid] = view.getInt32(data + 4, little);
      words[row + rowPid] = -1;
      words[row + rowAt] = data;
      words[row + rowSize] = size;
    }
    sorter.count = n;
    cpu.last = last;
    this.#floor = floor;
    if (used > room) {
      // Whatever was found wrong is the cut.
      return { at: page + 8 + commitSize + room, problem: 'the data end within a page', expected: `${pageSize} bytes` };
    }
    if (problem === undefined) return undefined;
    return { at, problem, expected: `an event within the ${stop - at} bytes left of its page` };
  }

  #see(commonType: number, at: number, size: number): number {
    if (this.#typeOf[commonType] === unseen) {
      const type = this.#types.of(commonType);
      this.#typeOf[commonType] = type === 'by event' ? dynamic : type;
    }
    const type = this.#typeOf[commonType] as number;
    return type === dynamic ? this.#types.ofEvent(commonType, at, size) : type;
  }
}

/** The distance of two time stamps given in halves; exact up to 2^53. */
function ticks(high: number, low: number, originHigh: number, originLow: number): number {
  return (high - originHigh) * two32 + (low - originLow);
}

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
/** The kernel gives no event the number 0: it is what zeroed memory holds. */
const invalid = -4;

const two32 = 0x100000000;
const two27 = 0x8000000;
/** The size in a page's commit word; its top bits are flags. */
export const commitMask = 0x7ffffff;
/** The time delta in an event's first word on a big-endian machine, below its 5 bits of kind. */
const deltaMask = 0x7ffffff;
/** Bits of the commit word between the size and the flags: none is ever set. */
const spareBits = 0x38000000;
/** How far a page may step back behind the last event of its CPU: clocks that are put right do so by less. More is damage. */
const backlash = 100_000;
/** No two pages of one CPU that follow each other are further apart, where one is looked for that is not in its place. */
const searchRange = 2 ** 50;

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
  /** Whether the recording describes events with this common_type. */
  has(commonType: number): boolean;
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
  /** The same in ticks, as stamps have it; that of the page where it holds no event. */
  ticks = Number.NEGATIVE_INFINITY;
  /** Whether the next page has to be looked for: what stood in its place is none. */
  searching = false;
  /** Whether pages are missing and nobody knows from where. */
  displaced = false;
  /** Events lost since then: 0, a number, or NaN where the buffer does not say how many. */
  missed = 0;
  /** Lost events that were told of with their number so far, and the stretch with holes whose number is unknown. */
  told = 0;
  untold: { from: number; to: number } | undefined;

  /** What comes of several buffers at one time comes in order of their ranks. */
  readonly rank: number;

  constructor(cpu: number, rank = 0) {
    this.cpu = cpu;
    this.rank = rank;
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

/** What a decoder knows of types before it has asked. */
export function noTypesYet(): Int32Array {
  return new Int32Array(1 << 16).fill(unseen);
}

/** Decodes pages into the rows of a sorter. */
export class RingBufferDecoder {
  /** Holes right before an event that nobody wants, so that no row carries them; whoever decodes hands them out. */
  readonly looseLosses: Loss[] = [];
  /** Where what was not decoded begins, of the bytes that `decode` was given last. */
  rest = 0;
  readonly #shape: PageShape;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  readonly #types: EventTypes;
  #conversion: TimeConversion | undefined;
  /** The time stamp that times count from, in two halves. */
  #originHigh = 0;
  #originLow = 0;
  /** By common_type: the type's number, `unwanted`, `unseen` or `dynamic`. */
  readonly #typeOf: Int32Array;
  /** The end of the page that was last seen to be filled with events. */
  #soundUpTo = -1;
  /** Events that may yet be looked at in search of pages: much that looks like pages and is none must not take for ever. */
  #stepsLeft = 1 << 24;
  /** Time of the sorter's last row; a row before that begins a new run, as does the first after Infinity. */
  #floor = Number.POSITIVE_INFINITY;

  /** `typeOf` is the memory of which type each common_type has, which decoders of one recording share: see `noTypesYet`. */
  constructor(shape: PageShape, arena: Arena, sorter: EventSorter, types: EventTypes, typeOf = noTypesYet()) {
    this.#shape = shape;
    this.#typeOf = typeOf;
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
   * Decodes the pages of one CPU that stand in `slot` from `start` to `end`. `whole` says that nothing follows them; otherwise the
   * beginning of a page at the end is left, from `rest` on. Returns the first thing that cannot be, where there is one: what is
   * whole of its page stands, and decoding went on with the next page that makes sense, the hole being a loss.
   */
  decode(cpu: RingBufferCpu, slot: number, start: number, end: number, whole = true): PageProblem | undefined {
    const { pageSize, commitSize } = this.#shape;
    const headerSize = 8 + commitSize;
    this.#sorter.rank = cpu.rank;
    // A run of the sorter has one slot.
    this.#floor = Number.POSITIVE_INFINITY;
    this.#soundUpTo = -1;
    let first: PageProblem | undefined;
    let page = start;
    while (page < end) {
      if (cpu.searching) {
        const found = this.#search(cpu, page, end);
        cpu.searching = found < 0;
        if (found < 0) {
          // A page may begin in what is left, and end in what follows.
          page = whole ? end : Math.max(page, end - pageSize + 1);
          break;
        }
        page = found;
      }
      const left = end - page;
      if (left < pageSize && !whole) break;
      let problem: PageProblem | undefined;
      if (left < headerSize) {
        problem = { at: page, problem: `the data end ${left} bytes into a page`, expected: `${pageSize} bytes` };
      } else {
        problem = this.#page(cpu, slot, page, Math.min(pageSize, left) - headerSize, end);
      }
      page += pageSize;
      if (problem === undefined) continue;
      first ??= problem;
      cpu.missed = Number.NaN;
      // Where bytes were added or lost, pages do not begin where they should.
      const back = page - pageSize;
      if (page < end && !this.#isPage(cpu, page, end)) {
        cpu.searching = true;
        page = back + 1;
      }
    }
    this.rest = Math.min(page, end);
    return first;
  }

  /** The time stamp of the first event of the first page that makes sense, or undefined where none does. */
  firstStamp(start: number, end: number): bigint | undefined {
    const cpu = new RingBufferCpu(0);
    const { pageSize } = this.#shape;
    for (let page = start; page < end; page += pageSize) {
      if (this.#isPage(cpu, page, end)) return this.#firstEvent(page);
    }
    const found = this.#search(cpu, start, end);
    return found < 0 ? undefined : this.#firstEvent(found);
  }

  /** The time stamp of a page's first event. That of the page is earlier where something was discarded before it. */
  #firstEvent(page: number): bigint {
    const { little, commitSize } = this.#shape;
    const view = this.#arena.view;
    let stamp = view.getBigUint64(page, little);
    for (let at = page + 8 + commitSize; ; ) {
      const word = view.getUint32(at, little);
      const kind = little ? word & 31 : word >>> 27;
      const delta = BigInt(little ? word >>> 5 : word & deltaMask);
      if (kind <= 28) return stamp + delta;
      const more = view.getUint32(at + 4, little);
      if (kind === 29) {
        stamp += delta;
        at += 4 + ((more + 3) & ~3);
      } else {
        const long = (BigInt(more) << 27n) | delta;
        stamp = kind === 30 ? stamp + long : (stamp & (0xf8n << 56n)) | long;
        at += 8;
      }
    }
  }

  /** Where a page begins from `start` on, at whatever byte; -1 where none does that is all at hand. */
  #search(cpu: RingBufferCpu, start: number, end: number): number {
    for (let at = start; at + this.#shape.pageSize <= end && this.#stepsLeft > 0; at++) {
      if (this.#isPage(cpu, at, end) && this.#endsInZeros(at)) return at;
    }
    return -1;
  }

  /** Whether what stands here is a page with events of which each is what it should be, and none before the CPU's last. */
  #isPage(cpu: RingBufferCpu, page: number, end: number): boolean {
    const { little, commitSize, pageSize } = this.#shape;
    const view = this.#arena.view;
    if (end - page < pageSize) return false;
    const commit = view.getUint32(page + (little || commitSize === 4 ? 8 : 12), little);
    const used = commit & commitMask;
    const room = pageSize - 8 - commitSize;
    if ((commit & spareBits) !== 0 || used === 0 || used > room || (used & 3) !== 0) return false;
    if (commitSize === 8) {
      // The flag of lost events is a negative number to some kernels.
      const high = view.getInt32(page + (little ? 12 : 8), little);
      if (high !== 0 && high !== -1) return false;
    }
    const stamp = this.#stamp(page);
    if (cpu.ticks > Number.NEGATIVE_INFINITY) {
      if (!(stamp >= cpu.ticks - backlash && stamp - cpu.ticks < searchRange)) return false;
    }
    const first = page + 8 + commitSize;
    return this.#fits(first, first + used, true);
  }

  /** Whether events, at least one, fill these bytes; `known`: of types that the recording describes. */
  #fits(start: number, stop: number, known: boolean): boolean {
    const { little } = this.#shape;
    const view = this.#arena.view;
    let events = 0;
    let at = start;
    while (at < stop) {
      this.#stepsLeft--;
      const word = view.getUint32(at, little);
      const kind = little ? word & 31 : word >>> 27;
      const delta = little ? word >>> 5 : word & deltaMask;
      at += 4;
      if (kind === 29 && delta === 0) break;
      if (kind > 0 && kind <= 28) {
        if (kind === 1 || at + 4 * kind > stop) return false;
        if (known && !this.#types.has(view.getUint16(at, little))) return false;
        at += 4 * kind;
        events++;
        continue;
      }
      if (at + 4 > stop) return false;
      const more = view.getUint32(at, little);
      if (kind >= 30) {
        at += 4;
        continue;
      }
      if (more < 4 || more > stop - at) return false;
      if (kind === 0) {
        if (more < 12 || (known && !this.#types.has(view.getUint16(at + 4, little)))) return false;
        events++;
      }
      at += (more + 3) & ~3;
    }
    return at <= stop && events > 0;
  }

  /** Whether nothing follows the events of what looks like a page, as the kernel hands them out. */
  #endsInZeros(page: number): boolean {
    const { little, commitSize, pageSize } = this.#shape;
    const view = this.#arena.view;
    const commit = view.getUint32(page + (little || commitSize === 4 ? 8 : 12), little);
    const end = page + pageSize;
    let at = page + 8 + commitSize + (commit & commitMask);
    if (commit >>> 30 === 3) at += commitSize;
    while (at + 4 <= end && view.getUint32(at) === 0) at += 4;
    return at + 4 > end;
  }

  /** The time stamp that stands at the beginning of a page, in ticks. */
  #stamp(page: number): number {
    const { little } = this.#shape;
    const view = this.#arena.view;
    const high = view.getUint32(page + (little ? 4 : 0), little);
    return ticks(high, view.getUint32(page + (little ? 0 : 4), little), this.#originHigh, this.#originLow);
  }

  /** Whether a page of this time is too late for the page at `next`, if that is one. */
  #isLate(cpu: RingBufferCpu, time: number, next: number, end: number): boolean {
    return next + 8 <= end && time > this.#stamp(next) + backlash && this.#isPage(cpu, next, end);
  }

  /** One page with `room` bytes at hand after its header; what is at hand ends at `end`. */
  #page(cpu: RingBufferCpu, slot: number, page: number, room: number, end: number): PageProblem | undefined {
    const { little, commitSize, pageSize } = this.#shape;
    const view = this.#arena.view;
    const sorter = this.#sorter;
    const types = this.#typeOf;
    const conversion = this.#conversion;
    const originHigh = this.#originHigh;
    const originLow = this.#originLow;

    const pageHigh = view.getUint32(page + (little ? 4 : 0), little);
    let time = this.#stamp(page);
    const commit = view.getUint32(page + (little || commitSize === 4 ? 8 : 12), little);
    const used = commit & commitMask;
    let at = page + 8 + commitSize;
    if (used > pageSize - 8 - commitSize || (used & 3) !== 0 || (commit & spareBits) !== 0) {
      const holds = (commit & ~0xc0000000) >>> 0;
      return {
        at: page + 8,
        problem: `a page that holds ${holds} bytes`,
        expected: `at most ${pageSize - 8 - commitSize}`,
      };
    }
    if (used === 0) {
      const zeros = view.getUint32(page, little) === 0 && pageHigh === 0;
      if (zeros || (room >= 4 && commit === 0 && view.getUint32(at, little) !== 0)) {
        return {
          at: page,
          problem: zeros ? 'a page of zeros, such as a crash leaves' : 'a page whose size was lost',
          expected: 'a time stamp and a size',
        };
      }
    }
    if (!Number.isSafeInteger(time)) {
      return { at: page, problem: 'a time stamp far from the others', expected: 'one within 2^53 units' };
    }
    if (time < cpu.ticks - backlash) {
      // Whether this page is out of its place, or those before it, is not to be known.
      cpu.displaced = true;
      return {
        at: page,
        problem: `the time goes back by ${cpu.ticks - time} units`,
        expected: 'pages of one CPU in order of time',
      };
    }
    const nextPage = page + pageSize;
    if (this.#isLate(cpu, time, nextPage, end)) {
      return { at: page, problem: 'a time stamp later than that of the next page', expected: 'pages in order of time' };
    }
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
    /** Time of the event before the last, and the row of the last, where it has one. */
    let before = last;
    let lastRow = -1;

    while (at + 4 <= stop) {
      const word = view.getUint32(at, little);
      const kind = little ? word & 31 : word >>> 27;
      const delta = little ? word >>> 5 : word & deltaMask;
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
          let moved = time + more * two27 + delta;
          if (kind === 31) {
            // An absolute time of 59 bits; the five above them are those of the page.
            const low = ((more << 27) | delta) >>> 0;
            moved = ticks(((more >>> 5) | (pageHigh & 0xf8000000)) >>> 0, low, originHigh, originLow);
          }
          if (!Number.isSafeInteger(moved)) problem = 'a time stamp more than 2^53 units from the first';
          else if (moved < time - backlash) problem = 'a time stamp before those of its page';
          else if (this.#isLate(cpu, moved, nextPage, end)) problem = 'a time stamp later than that of the next page';
          if (problem !== undefined) break;
          time = moved;
          at = data + 4;
          continue;
        }
        if (kind === 29) {
          // A discarded event.
          if (more < 4 || more > stop - data) {
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
      const commonType = view.getUint16(data, little);
      let type = types[commonType] as number;
      if (type < unwanted) {
        type = this.#see(commonType, data, size, stop);
        if (type === invalid) {
          problem = `an event of type ${commonType}`;
          break;
        }
      }
      time += delta;
      stamp = time;
      if (conversion !== undefined) {
        stamp = conversion.convert(time, cpuNumber);
        if (!(Math.abs(stamp) <= Number.MAX_SAFE_INTEGER)) {
          problem = 'a time more than 2^53 ns from the first';
          break;
        }
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
      before = last;
      last = stamp;
      at = next;
      lastRow = -1;
      if (type === unwanted) continue;
      if (stamp < floor) {
        sorter.count = n;
        sorter.begin(slot);
      }
      floor = stamp;
      lastRow = n;
      const row = n++ * 8;
      times[row >> 1] = stamp;
      words[row + rowType] = type;
      words[row + rowCpu] = cpuNumber;
      words[row + rowTid] = view.getInt32(data + 4, little);
      words[row + rowPid] = -1;
      words[row + rowAt] = data;
      words[row + rowSize] = size;
    }
    // What is wrong may have begun in the event before, unless only the end is missing.
    if (problem !== undefined && used <= room) {
      if (lastRow >= 0) n = lastRow;
      last = before;
    }
    sorter.count = n;
    cpu.last = last;
    if (problem === undefined && this.#isLate(cpu, time, nextPage, end)) {
      problem = 'events later than the next page';
      time = this.#stamp(nextPage);
    }
    cpu.ticks = time;
    this.#floor = floor;
    if (used > room) {
      // Whatever was found wrong is the cut.
      return { at: page + 8 + commitSize + room, problem: 'the data end within a page', expected: `${pageSize} bytes` };
    }
    if (problem === undefined) return undefined;
    // Times before what is wrong may be wrong, too: they must not put the next page in the wrong.
    cpu.ticks = this.#stamp(page);
    return { at, problem, expected: `an event within the ${stop - at} bytes left of its page` };
  }

  /** The type of an event that the table does not give; `invalid` where there can be no such. `stop` is the end of its page. */
  #see(commonType: number, at: number, size: number, stop: number): number {
    let type = this.#typeOf[commonType] as number;
    if (type === unseen) {
      // What the recording does not describe can be an event all the same, in a page that is sound.
      if (!this.#types.has(commonType)) {
        const next = at + ((size + 3) & ~3);
        if (commonType === 0 || (stop !== this.#soundUpTo && next < stop && !this.#fits(next, stop, false)))
          return invalid;
        this.#soundUpTo = stop;
      }
      const found = this.#types.of(commonType);
      type = found === 'by event' ? dynamic : found;
      if (this.#types.has(commonType)) this.#typeOf[commonType] = type;
    }
    return type === dynamic ? this.#types.ofEvent(commonType, at, size) : type;
  }
}

/** The distance of two time stamps given in halves; exact up to 2^53. */
function ticks(high: number, low: number, originHigh: number, originLow: number): number {
  return (high - originHigh) * two32 + (low - originLow);
}

import { Arena } from '../trace/arena.ts';
import { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType, Layout } from '../trace/event-type.ts';
import { EventSorter } from '../trace/sorter.ts';
import { ThreadTable, type Trace, type Traits, TypeTable } from '../trace/trace.ts';
import { undress } from './dressed-text.ts';
import type { Format } from './format.ts';
import { asTraceError, type Input } from './input.ts';
import { kernelTextLayout } from './kernel-text.ts';
import { BadLines, cutLine, leap, leapError } from './line-damage.ts';
import { firstStamps, isoStamped, LogStamp, stampAround, stamped } from './qemu-log-stamp.ts';
import { QemuNames } from './qemu-names.ts';
import { QemuTextLayout } from './qemu-text.ts';
import { SlotReader } from './slot-reader.ts';
import { decodeText } from './text-reader.ts';
import { namelessNote, type Signature, Signatures } from './trace-events.ts';
import {
  contentOf,
  continuation,
  joinedNote,
  joinedText,
  type LineTeller,
  shortestWrapped,
  Unwrapper,
} from './wrapped-text.ts';

/*
 * What QEMU's log backend writes (scripts/tracetool/backend/log.py, util/log.c), one line an event:
 *
 *     TID@SEC.USEC:virtqueue_pop vq 0x…            QEMU up to 10.0, -msg timestamp=on; TID is the thread
 *     virtqueue_pop vq 0x…                         without time stamps
 *     2025-08-08T12:00:00.123456Z virtqueue_pop …  QEMU 10.1, -msg timestamp=on
 *
 * with other output of QEMU, and of its guest, in between. Stamps are wall-clock time. What people paste may be indented, quoted as in a
 * mail (`> `), or wrapped.
 */

/** Lines of an event that was wrapped. */
const mostLines = 4;
/** Longer lines are no events. */
const maxLine = 1 << 16;
/** Threads stamp a line before they write it: as in simpletrace.ts (ns). */
const holdBack = 50e6;
/** Events that no signature describes: more names than that are not QEMU's. */
const maxUnknown = 4096;

export const qemuLog: Format = {
  name: 'qemu log',
  recognise(head) {
    let signatures: Signatures | undefined;
    const all = lines(head);
    for (const [i, line] of all.entries()) {
      if (stamped.test(line)) return true;
      const name = isoStamped.exec(line)?.[2];
      const bare = name ?? /^[\s>]*(\w+)(?: |$)/.exec(line)?.[1];
      // Words without an underscore are no events, and not worth a look.
      if (bare === undefined || !bare.includes('_')) continue;
      signatures ??= new Signatures(undefined, {});
      const signature = signatures.of(bare);
      if (signature === undefined) continue;
      const layouts = signatures.candidates(bare).map((one) => new QemuTextLayout(one));
      // It may have been wrapped, over a few lines, between words or in their midst.
      let wholes = [line.slice(line.indexOf(bare))];
      for (let next = i + 1; next <= i + mostLines && (wholes[0] as string).length < maxLine; next++) {
        const texts = wholes.map((whole) => Buffer.from(whole, 'latin1'));
        if (layouts.some((layout) => texts.some((text) => layout.fits(text, 0, text.length)))) return true;
        const rest = (all[next] ?? '').replace(/^[\s>]+/, '');
        wholes = wholes.flatMap((whole) => [`${whole.trimEnd()} ${rest}`, whole + rest]);
      }
    }
    return false;
  },
  open: async (input, options) => new QemuLog(input, new Signatures(input.path, options)),
};

/** How lines that a terminal cut are known. */
function tellerOf(names: QemuNames): LineTeller {
  const begins = /^[\s>]*(?:\d{1,10}@\d{1,10}\.\d|\d{4}-\d\d-\d\dT\d\d:\d\d)/;
  const told = { nameStart: 0, nameEnd: 0, payloadStart: 0 };
  const find = (bytes: Uint8Array, start: number, end: number) => {
    const text = decodeText(bytes, start, end);
    const stamp =
      /^[\s>]*(?:\d{1,10}@\d{1,10}\.\d{6}:|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z )?/.exec(text)?.[0] ?? '';
    told.nameStart = start + stamp.length;
    const index = names.find(bytes, told.nameStart, end);
    told.nameEnd = told.nameStart + (names.events[index]?.name.length ?? 0);
    told.payloadStart = Math.min(end, told.nameEnd + 1);
    return index;
  };
  return {
    event: (bytes, start, end) => (find(bytes, start, end) >= 0 ? told : undefined),
    own: () => false,
    begins: (text) => begins.test(text),
    worth(text) {
      const signature = names.events[find(text, 0, text.length)];
      if (signature === undefined) return 0;
      return new QemuTextLayout(signature).fits(text, told.nameStart, text.length) ? 2 : 1;
    },
  };
}

/** The whole lines of the first bytes of an input, one character a byte. */
function lines(head: Uint8Array): string[] {
  return Buffer.from(head.buffer, head.byteOffset, head.length)
    .toString('latin1')
    .split(/[ \r]*\n/);
}

const unresolved = -2;
const unwanted = -1;

class QemuLog implements Trace {
  readonly file: string;
  readonly format = 'qemu log';
  readonly traits: Traits = { recorder: 'qemu log' };
  readonly version: string;
  readonly clock: Clock;
  readonly origin: bigint;
  readonly threads: ThreadTable;
  readonly cpus = undefined;
  readonly notes: string[] = [];
  damage: TraceError | undefined;

  readonly #input: Input;
  readonly #signatures: Signatures;
  readonly #table: TypeTable;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  readonly #reader: SlotReader;
  #wants: ((type: EventType) => boolean) | undefined;

  /** Whether lines carry time stamps; otherwise time is the event's number. */
  readonly #timed: boolean;
  readonly #names: QemuNames;
  /** By index of the name: the type, `unwanted` or `unresolved`. */
  readonly #codes: Int32Array;
  /** Where lines were cut. */
  readonly #unwrapper: Unwrapper | undefined;
  /** The same of names that no signature describes. */
  readonly #unknown = new Map<string, number>();
  /** Those of them whose arguments have no names. */
  readonly #nameless: string[] = [];

  readonly #stamp: LogStamp;
  #lastTime = Number.NEGATIVE_INFINITY;
  #maxTime = Number.NEGATIVE_INFINITY;
  /** Where the line began whose end has not come, and which is too long to be an event; -1 outside of one. */
  #longLine = -1;
  #ordinal = 0;
  /** Whether another recording began, which is not read. */
  #over = false;
  #unstamped = 0;
  #restamped = 0;
  #broken = 0;
  #foreign = 0;
  #foreignSample = '';
  /** The event read last: where its text lies, where its last line ends, what it is. */
  #lastText = -1;
  #lastEnd = -1;
  #lastLineEnd = -1;
  #lastIndex = -1;
  #lastCode = unwanted;
  #joined = 0;
  /** Where a line that is nothing but a stamp ends, and what it says; -1 where the last line was none. */
  #stampEnd = -1;
  #stampTime = 0;
  readonly #badLines: BadLines;
  /** When a hole begins whose end is the next event; NaN where there is none. */
  #hole = Number.NaN;

  constructor(input: Input, signatures: Signatures) {
    this.file = input.name;
    this.#badLines = new BadLines(input.name);
    this.#input = input;
    this.#arena = new Arena(input.slot(1 << 19), maxLine + 64, input.room(32 << 20));
    this.#sorter = new EventSorter(this.#arena);
    this.threads = new ThreadTable(input.meter);
    this.#table = new TypeTable(input.meter);
    this.#signatures = signatures;
    this.#reader = new SlotReader(this.#arena, (target, offset) => input.readInto(target, offset));
    this.#names = QemuNames.of(signatures);
    this.#codes = new Int32Array(this.#names.events.length).fill(unresolved);
    const unwrapper = new Unwrapper(tellerOf(this.#names));
    if (unwrapper.isCut(input.head)) this.#unwrapper = unwrapper;

    const { form, earliest } = firstStamps(lines(input.head));
    this.#timed = earliest !== undefined;
    this.version = form || 'no time stamps';
    this.origin = earliest ?? 0n;
    this.#stamp = new LogStamp(this.origin);
    this.clock = this.#timed
      ? { name: 'realtime', unit: 'ns', resolution: 1000 }
      : { name: 'none', unit: 'none', resolution: 1 };
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
    this.#wants = wants;
    const reader = this.#reader;
    try {
      for (;;) {
        let more = await reader.next();
        if (more === 'full') {
          yield* this.#take(Number.POSITIVE_INFINITY);
          more = await reader.next();
        }
        if (more !== true) break;
        this.#parse();
        if (this.#over) break;
        yield* this.#take(this.#timed ? this.#maxTime - holdBack : Number.POSITIVE_INFINITY);
      }
      if (!this.#over) this.#lastLine();
    } catch (error) {
      this.damage ??= asTraceError(this.file, error);
    }
    this.#tell();
    yield* this.#take(Number.POSITIVE_INFINITY);
    if (!Number.isNaN(this.#hole)) {
      const rest = new EventBatch(0);
      rest.losses = [{ from: this.#hole, to: Infinity, cpu: -1, count: undefined }];
      yield rest;
    }
    this.damage ??= this.#input.meter.refused;
  }

  *#take(upTo: number): Generator<EventBatch> {
    for (;;) {
      const batch = this.#sorter.take(upTo);
      if (batch === undefined) return;
      yield batch;
    }
  }

  /** Parses the whole lines at hand. */
  #parse(): void {
    const reader = this.#reader;
    const bytes = this.#arena.bytes;
    const end = reader.end;
    if (this.#input.dress !== undefined) undress(bytes, reader.pos, end, this.#input.dress);
    if (this.#unwrapper !== undefined) this.#joined += this.#unwrapper.uncut(bytes, reader.pos, end);
    this.#sorter.begin(reader.slot);
    this.#lastTime = Number.NEGATIVE_INFINITY;
    this.#lastText = -1;
    let start = reader.pos;
    let at = -1;
    let nuls = 0;
    for (let p = start; p < end; p++) {
      const c = bytes[p];
      if (c === 0x40 /* @ */) at = p;
      if (c === 0) nuls++;
      if (c !== 0x0a) continue;
      if (this.#longLine >= 0) this.#longLine = -1;
      else if (nuls > 0 && this.#isTorn(start, p, nuls)) this.#badLine(start, 'nul');
      else this.#line(start, p, at);
      if (this.#over) return;
      start = p + 1;
      at = -1;
      nuls = 0;
    }
    if (end - start > maxLine) {
      // Whatever this is, its beginning cannot be kept until its end comes.
      if (this.#longLine < 0) {
        this.#isForeign(start, end);
        this.#longLine = reader.offsetOf(start);
      }
      start = end;
      const { meter } = this.#input;
      if (reader.offsetOf(end) - this.#longLine > meter.budget.line)
        throw meter.error(`a line of more than ${meter.budget.line} bytes`, this.#longLine, 'lines of text');
    }
    reader.pos = start;
  }

  /** The end of an input that does not end with a line: what stands there is left out, as it may be cut, even where it looks whole. */
  #lastLine(): void {
    const { pos, end } = this.#reader;
    if (pos >= end || this.#longLine >= 0) return;
    const bytes = this.#arena.bytes;
    this.#stamp.read(bytes, contentOf(bytes, pos, end), end);
    const signature = this.#names.events[this.#names.find(bytes, this.#stamp.textStart, end)];
    if (signature === undefined || new QemuTextLayout(signature).fits(bytes, this.#stamp.textStart, end)) {
      this.notes.push(cutLine(this.#reader.offsetOf(pos)));
      return;
    }
    this.damage ??= new TraceError(
      this.file,
      `the file ends within a line of event ${signature.name}`,
      this.#reader.offsetOf(end),
      'the rest of the line; QEMU was still writing, or was killed',
    );
  }

  /** Whether a line with NUL bytes was an event, or is what a crash left of several; a guest's console may print a NUL, too. */
  #isTorn(start: number, end: number, nuls: number): boolean {
    if (nuls >= 8) return true;
    this.#stamp.read(this.#arena.bytes, start, end);
    return this.#stamp.found || this.#names.find(this.#arena.bytes, start, end) >= 0;
  }

  /** Leaves out a line that was one event or more: a hole, and damage. */
  #badLine(start: number, what: 'nul' | 'stamp'): void {
    const error = this.#badLines.add(this.#reader.offsetOf(start), what);
    this.damage ??= error;
    if (Number.isNaN(this.#hole)) this.#hole = this.#timed ? this.#maxTime : this.#ordinal - 1;
  }

  /** One line; `at` is where its last @ stands, or -1. */
  #line(begin: number, newline: number, at: number): void {
    const bytes = this.#arena.bytes;
    let end = newline;
    while (end > begin && (bytes[end - 1] === 0x0d || bytes[end - 1] === 0x20)) end--;
    const start = contentOf(bytes, begin, end);
    if (end === start) return;
    this.#stamp.read(this.#arena.bytes, start, end);
    const text = this.#stamp.textStart;
    const stampedBefore = this.#stampEnd;
    this.#stampEnd = -1;
    if (this.#stamp.found && text >= end) {
      this.#stampEnd = end;
      this.#stampTime = this.#stamp.time;
      return;
    }
    if (stampedBefore >= 0 && !this.#stamp.found && this.#follows(stampedBefore, start)) {
      this.#stamp.found = true;
      this.#stamp.time = this.#stampTime;
      this.#joined++;
    }
    if (at > text) {
      const second = stampAround(bytes, at, start, end);
      if (second >= 0) {
        this.#runTogether(start, second, end);
        return;
      }
    }
    this.#event(start, text, end);
  }

  #event(start: number, text: number, end: number): void {
    const bytes = this.#arena.bytes;
    const index = this.#names.find(bytes, text, end);
    let code: number;
    if (index >= 0) {
      code = this.#codes[index] as number;
      if (code === unresolved) {
        code = this.#resolve(this.#names.events[index] as Signature);
        this.#codes[index] = code;
      }
    } else code = this.#stamp.found ? this.#unknownEvent(text, end) : unresolved;
    if (code === unresolved) {
      if (!this.#continues(start, end)) this.#isForeign(start, end);
      return;
    }
    this.#lastText = text;
    this.#lastEnd = end;
    this.#lastLineEnd = end;
    this.#lastIndex = index;
    this.#lastCode = code;
    let time = this.#stamp.time;
    if (!this.#timed) {
      if (this.#stamp.found) this.#restamped++;
      time = this.#ordinal++;
    } else if (!this.#stamp.found) {
      this.#unstamped++;
      time = this.#lastTime === Number.NEGATIVE_INFINITY ? Math.max(0, this.#maxTime) : this.#lastTime;
    }
    if (!Number.isSafeInteger(time)) {
      this.#badLine(start, 'stamp');
      return;
    }
    const leapt = this.#timed && this.#maxTime > Number.NEGATIVE_INFINITY ? leap(time, this.#maxTime, 'ns') : 0;
    if (leapt !== 0) {
      this.damage ??= leapError(this.file, leapt, 'ns', this.#reader.offsetOf(start));
      this.#over = true;
      return;
    }
    if (!Number.isNaN(this.#hole)) {
      const from = Math.min(this.#hole, time);
      this.#sorter.begin(this.#reader.slot, { from, to: time, cpu: -1, count: undefined });
      this.#hole = Number.NaN;
      this.#lastTime = time;
    }
    if (time < this.#lastTime) this.#sorter.begin(this.#reader.slot);
    this.#lastTime = time;
    if (time > this.#maxTime) this.#maxTime = time;
    if (code === unwanted) return;
    this.#sorter.append(time, code, -1, this.#stamp.tid, -1, text, end - text);
  }

  /** Whether nothing but the line's end, and quote marks, lies between the end of a line and the text of another. */
  #follows(end: number, start: number): boolean {
    if (start <= end || start - end > longestGap) return false;
    const { bytes } = this.#arena;
    return contentOf(bytes, skipLineEnd(bytes, end, start), start) === start;
  }

  /** Whether a line that is no event is the rest of the one right before, which a mail program wrapped: then it is put there. */
  #continues(start: number, end: number): boolean {
    const bytes = this.#arena.bytes;
    const [text, last, code] = [this.#lastText, this.#lastEnd, this.#lastCode];
    if (text < 0 || this.#stamp.found || !this.#follows(this.#lastLineEnd, start)) return false;
    const joined = joinedText(bytes, text, last, start, end);
    const signature = this.#names.events[this.#lastIndex];
    if (signature === undefined) {
      if (last - text < shortestWrapped || !continuation.test(this.#string(start, end))) return false;
    } else {
      const layout = new QemuTextLayout(signature);
      if (layout.fits(bytes, text, last)) return false;
      // It may go on for more than one line.
      if (!layout.fits(joined, 0, joined.length) && !layout.begins(joined, 0, joined.length)) return false;
    }
    bytes[last] = 0x20;
    bytes.copyWithin(last + 1, start, end);
    this.#lastEnd = last + 1 + end - start;
    this.#lastLineEnd = end;
    this.#joined++;
    if (code !== unwanted) this.#sorter.amend(code, this.#lastEnd - text);
    return true;
  }

  /** Two threads wrote at once: the line holds the beginning of one event, or other output, and then another event. */
  #runTogether(start: number, second: number, end: number): void {
    const first = this.#stamp.textStart;
    if (this.#stamp.found && this.#names.find(this.#arena.bytes, first, second) >= 0) {
      // Its arguments run into the other's thread id: they cannot be told, so it counts as lost.
      this.#broken++;
      const time = this.#timed ? this.#stamp.time : this.#ordinal;
      this.#sorter.begin(this.#reader.slot, { from: time, to: time, cpu: -1, count: 1 });
      this.#lastTime = Number.NEGATIVE_INFINITY;
      this.#stamp.read(this.#arena.bytes, second, end);
      this.#stamp.tid = -1;
    } else {
      this.#isForeign(start, second);
      this.#stamp.read(this.#arena.bytes, second, end);
    }
    this.#event(second, this.#stamp.textStart, end);
  }

  /** `sample` is what follows the name of an event that no signature describes: it may name its arguments itself. */
  #resolve(signature: Signature, sample?: Uint8Array): number {
    const plain = new QemuTextLayout(signature);
    const named = sample !== undefined && namesArguments(sample) ? kernelTextLayout('', sample) : undefined;
    const layout: Layout =
      named === undefined || named.fields.length === 0
        ? plain
        : { fields: named.fields, reader: named.reader.bind(named), print: plain.print.bind(plain) };
    if (sample !== undefined && layout === plain) this.#nameless.push(signature.name);
    const type = this.#table.add(`qemu:${signature.name}`, layout);
    return this.#wants === undefined || this.#wants(type) ? type.id : unwanted;
  }

  /** An event that no signature describes: its stamp shows that it is one. */
  #unknownEvent(text: number, end: number): number {
    const name = /^[A-Za-z_]\w*(?= |$)/.exec(this.#string(text, Math.min(end, text + 128)))?.[0];
    if (name === undefined) return unresolved;
    let code = this.#unknown.get(name);
    if (code === undefined) {
      if (this.#unknown.size === maxUnknown) return unresolved;
      code = this.#resolve({ name, args: [], format: '' }, this.#arena.bytes.slice(text + name.length, end));
      this.#unknown.set(name, code);
    }
    return code;
  }

  #isForeign(start: number, end: number): void {
    if (this.#foreign++ === 0) this.#foreignSample = this.#string(start, Math.min(end, start + 80));
  }

  #string(start: number, end: number): string {
    return Buffer.from(this.#arena.bytes.buffer, start, end - start).toString('latin1');
  }

  #tell(): void {
    this.damage = this.#badLines.conclude(this.damage);
    this.notes.push(...this.#signatures.notes);
    if (this.#foreign > 0) {
      this.notes.push(`${this.#foreign} lines are no trace events, such as ${JSON.stringify(this.#foreignSample)}`);
    }
    if (this.#broken > 0) {
      this.notes.push(`${this.#broken} events could not be read, because another thread wrote into their lines`);
    }
    if (this.#joined > 0) this.notes.push(joinedNote(this.#joined));
    if (this.#nameless.length > 0) this.notes.push(namelessNote(this.#nameless, 'log'));
    if (!this.#timed) {
      this.notes.push(
        'the log has no time stamps: events have an order, but no times; start QEMU with -msg timestamp=on to have them',
      );
    }
    if (this.#unstamped > 0) {
      this.notes.push(`${this.#unstamped} events have no time stamp and stand at the time of the line before`);
    }
    if (this.#restamped > 0) {
      this.notes.push(`${this.#restamped} time stamps were not used, because the log begins without`);
    }
    const { lateNote } = this.#sorter;
    if (lateNote !== undefined) this.notes.push(lateNote);
  }
}

/** Whether a text has arguments after their names: a word before a plain number may be anything. */
function namesArguments(sample: Uint8Array): boolean {
  return /\w=\S|\w 0x[0-9a-f]/.test(decodeText(sample, 0, sample.length));
}

/** Bytes between the end of a line and the text of the next: a line's end, spaces and quote marks. */
const longestGap = 40;

function skipLineEnd(bytes: Uint8Array, from: number, to: number): number {
  let p = from;
  while (p < to && (bytes[p] === 0x0d || bytes[p] === 0x0a)) p++;
  return p;
}

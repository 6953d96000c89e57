import { Arena } from '../trace/arena.ts';
import { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import type { TraceError } from '../trace/error.ts';
import type { EventType, Layout } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { NameChanges } from '../trace/name-changes.ts';
import { NameTable } from '../trace/name-table.ts';
import { EventSorter } from '../trace/sorter.ts';
import { longestComm, ThreadTable, type Trace, type Traits, TypeTable } from '../trace/trace.ts';
import { ChainedText } from './call-chain.ts';
import { undress } from './dressed-text.ts';
import type { OpenOptions } from './format.ts';
import { asTraceError, type Input } from './input.ts';
import { kernelTextFit, kernelTextLayout, type TextLayout } from './kernel-text.ts';
import { BadLines, cutLine, leap, leapError } from './line-damage.ts';
import { type LineKind, LineParts, line, lineEnd, mostCpus, newline, trimEnd } from './line-parts.ts';
import { QemuMarkers, QemuProbeLayout, qemuProbe } from './qemu-names.ts';
import { QemuTextLayout } from './qemu-text.ts';
import { SlotReader } from './slot-reader.ts';
import { startsWith } from './text-field.ts';
import { decodeText } from './text-reader.ts';
import { Signatures } from './trace-events.ts';
import {
  contentOf,
  continuation,
  joinedNote,
  joinedText,
  type LineTeller,
  longestWrapped,
  shortestWrapped,
  Unwrapper,
} from './wrapped-text.ts';

const slotSize = 1 << 20;
/** The longest line that is read. The kernel's own limit for one is 8 KiB. */
const longestLine = 64 << 10;
/** How far lines may be out of order: by so much time (100 ms), and by so many slots of text. */
const holdBack = 100_000_000;
const heldSlots = 8;
/** Different event names that are told apart: the kernel has some 2,500. */
const mostNames = 8192;
/** Thread ids end here (Linux: PID_MAX_LIMIT). */
const mostTids = 1 << 22;
/** What an event's name stands for, in place of a type: text that a program wrote to trace_marker. */
const marker = -1;

/**
 * A kernel trace as text, an event a line. Subclasses know the lines' form (`parse`); this class reads them as they
 * stream by, names types and threads, keeps time and losses, and puts lines in order that are slightly out of it.
 */
export abstract class LineTrace implements Trace {
  readonly file: string;
  abstract readonly format: string;
  readonly traits: Traits | undefined;
  version = '';
  clock: Clock = { name: 'unknown', unit: 'none', resolution: 1 };
  origin = 0n;
  readonly threads: ThreadTable;
  cpus: number | undefined;
  readonly notes: string[] = [];
  damage: TraceError | undefined;

  /** The bytes that lines lie in. */
  protected bytes: Uint8Array;
  protected readonly parts = new LineParts();
  readonly #input: Input;
  readonly #types: TypeTable;
  readonly #signatures: Signatures;
  readonly #markers: QemuMarkers;

  /** By id of an event's name: its type, or `marker`. */
  readonly #names = new NameTable(mostNames);
  readonly #typeOf: number[] = [];
  #printType = -1;
  /** By type: 1 wanted, 0 not. */
  readonly #wanted: number[] = [];
  #wants: ((type: EventType) => boolean) | undefined;

  /** By thread: a hash of its name and process as last seen. */
  #known = new Int32Array(4096);

  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  /** Where the text may have been wrapped. */
  #unwrapper: Unwrapper | undefined;
  /** Names of threads, each from its first line on. */
  readonly #changes: NameChanges;
  #slot = -1;
  /** Whether there are no more bytes than those at hand. */
  #over = false;
  /** Whether a run of the sorter is open, and the time of its last event. */
  #running = false;
  #last = 0;
  #newest = -Infinity;
  /** By how much the time went back or forward where another recording begins, which ends the reading. */
  #leapt = 0;
  /** Events, and those of them that stand behind a later one. */
  #events = 0;
  #steppedBack = 0;
  #previous = -Infinity;

  #started = false;
  #originSeconds = 0;
  #originRest = 0;
  #bare = false;

  /** Losses met whose other end is not (by CPU), those not yet handed out, and companions of one that the sorter carries. */
  readonly #open = new Map<number, Loss>();
  #pending: Loss[] = [];
  readonly #companions = new Map<Loss, Loss[]>();
  /** Time of the last event by CPU. */
  readonly #lastOnCpu = new Float64Array(mostCpus).fill(-Infinity);

  readonly #badLines: BadLines;
  /** Whether the time of the line at hand is out of reach. */
  #far = false;

  /** Types of an event's name beyond the first: the text has it in several forms. */
  readonly #otherForms = new Map<number, number[]>();
  /** By type: its layout, where that knows which payloads it is not for. */
  readonly #layouts: (TextLayout | undefined)[] = [];
  /** The event read last: its name, type, and where its payload lies. */
  #lastName = -1;
  #lastType = -1;
  #lastAt = 0;
  #lastEnd = 0;
  /** The line before: where it begins and ends, and what it was. */
  #lineBefore = -1;
  #lineBeforeEnd = -1;
  #kindBefore: LineKind = line.known;
  /** Lines that were joined with the one before. */
  #joined = 0;
  #frames = 0;

  #unread = 0;
  #firstUnread = 0;
  #firstUnreadLine = '';
  #long = 0;

  /** `tell` knows the format's lines, for texts that were wrapped. */
  constructor(input: Input, options: OpenOptions, tell?: LineTeller) {
    this.file = input.name;
    this.#badLines = new BadLines(input.name);
    this.#input = input;
    this.#arena = new Arena(input.slot(slotSize), longestLine, input.room(64 << 20));
    this.#sorter = new EventSorter(this.#arena);
    this.bytes = input.head;
    this.threads = new ThreadTable(input.meter);
    this.#changes = new NameChanges(this.threads, this.#sorter);
    this.#types = new TypeTable(input.meter);
    this.#signatures = new Signatures(input.path, options);
    this.#markers = new QemuMarkers(this.#signatures, this.#types, 'ftrace:print', 0);
    const unwrapper = tell === undefined ? undefined : new Unwrapper(tell);
    if (unwrapper?.mayBeWrapped(input.head) === true) this.#unwrapper = unwrapper;
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  get last(): number {
    return this.#newest;
  }

  progress(): { read: number; size: number | undefined } {
    return { read: this.#input.read, size: this.#input.size };
  }

  close(): Promise<void> {
    return this.#input.close();
  }

  /** Whether a line is one of the call chain that follows an event; undefined where the text has none. */
  protected inChain: ((bytes: Uint8Array, start: number, end: number) => boolean) | undefined;

  /** Reads a line: `event` with `parts` set, `known` for a header, a comment or a part of an event, else `unknown`. */
  protected abstract parse(start: number, end: number): LineKind;

  /** `system:event` of a name as it stands in the line. `sample` is the first such event's payload. */
  protected abstract nameOf(name: string, sample: Uint8Array): string;

  /** What the clock is, from the first event's `parts` and the header. */
  protected abstract clockOf(): Clock;

  /** Reads the input's head as far as the first event, so that what the header says is known before reading. */
  protected describe(): void {
    let start = 0;
    let before = -1;
    let beforeEnd = -1;
    for (;;) {
      const end = this.bytes.indexOf(newline, start);
      if (end < 0) break;
      const last = trimEnd(this.bytes, start, end);
      if (this.parse(start, last) === line.event || this.#parseJoined(before, beforeEnd, start, last)) {
        this.clock = this.clockOf();
        break;
      }
      [before, beforeEnd] = [start, last];
      start = end + 1;
    }
    // The head is read again with the rest.
    this.#open.clear();
  }

  /** Adds a fact about the recording, once. */
  protected note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /**
   * Notes that the recorder lost events. `cpu` is -1 where it may have been any. They were lost before the next event, and after
   * the last one of that CPU, or `fromStart`: before anything else that it recorded.
   */
  protected lost(cpu: number, count: number | undefined, fromStart = false): void {
    const from = fromStart ? -Infinity : (this.#lastOnCpu[cpu] ?? -Infinity);
    const open = this.#open.get(cpu);
    if (open === undefined) this.#open.set(cpu, { from, to: Infinity, cpu, count });
    else open.count = open.count === undefined || count === undefined ? undefined : open.count + count;
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncGenerator<EventBatch> {
    this.#wants = wants;
    const reader = new SlotReader(this.#arena, (target, offset) => this.#input.readInto(target, offset));
    const newestOf: number[] = [];
    let skipping = false;
    let skippedFrom = 0;
    try {
      for (;;) {
        if (reader.end - reader.pos > longestLine) {
          if (!skipping) {
            this.#long++;
            skippedFrom = reader.offsetOf(reader.pos);
          }
          skipping = true;
          reader.pos = reader.end;
          const { meter } = this.#input;
          if (reader.offsetOf(reader.pos) - skippedFrom > meter.budget.line)
            throw meter.error(`a line of more than ${meter.budget.line} bytes`, skippedFrom, 'lines of text');
        }
        const more = await reader.next();
        if (more === 'full') {
          yield* this.#take(Infinity);
          continue;
        }
        if (!more) break;
        this.bytes = this.#arena.bytes;
        this.#slot = reader.slot;
        this.#running = false;
        if (skipping) {
          const end = lineEnd(this.bytes, reader.pos, reader.end);
          reader.pos = Math.min(end + 1, reader.end);
          if (end !== reader.end) skipping = false;
          else continue;
        }
        if (this.#input.dress !== undefined) undress(this.bytes, reader.pos, reader.end, this.#input.dress);
        if (this.#unwrapper !== undefined) this.#joined += this.#unwrapper.unwrap(this.bytes, reader.pos, reader.end);
        reader.pos = this.#lines(reader);
        if (this.#leapt !== 0) break;
        newestOf.push(this.#newest);
        const held = newestOf.length > heldSlots ? (newestOf.shift() as number) : -Infinity;
        yield* this.#take(Math.max(this.#newest - holdBack, held));
      }
      this.#over = true;
      if (this.inChain !== undefined && this.#leapt === 0 && !skipping) reader.pos = this.#lines(reader);
      const tail = trimEnd(this.bytes, reader.pos, reader.end);
      if (tail > reader.pos && !skipping && this.#leapt === 0) this.notes.push(cutLine(reader.offsetOf(reader.pos)));
    } catch (error) {
      this.damage ??= asTraceError(this.file, error);
    } finally {
      await reader.close();
    }
    yield* this.#take(Infinity);
    this.#pending.push(...this.#open.values());
    this.#open.clear();
    if (this.#pending.length > 0) {
      const rest = new EventBatch(0);
      rest.losses = this.#pending;
      yield rest;
    }
    this.#conclude();
    this.damage ??= this.#input.meter.refused;
  }

  /** Reads the whole lines at hand; gives where the rest begins. */
  #lines(reader: SlotReader): number {
    const bytes = this.bytes;
    const end = reader.end;
    let start = reader.pos;
    for (;;) {
      let to = start;
      let nul = false;
      for (; to < end; to++) {
        const c = bytes[to] as number;
        if (c === newline) break;
        if (c === 0) nul = true;
      }
      if (to === end) return start;
      if (nul) {
        this.#badLine(reader.offsetOf(start), 'nul');
        start = to + 1;
        continue;
      }
      const last = trimEnd(bytes, start, to);
      let kind = this.parse(start, last);
      // An event is taken with all of its call chain.
      if (kind === line.event && !this.#over && end - start < longestLine && !this.#hasChain(to + 1, end)) return start;
      if (kind === line.frame) this.#frame(start, last);
      let lastEnd = last;
      if (kind === line.unknown && this.#continues(start, last)) {
        kind = this.#kindBefore;
        lastEnd = this.#lastEnd;
      } else if (kind === line.unknown || (kind === line.event && !this.#event())) {
        if (this.#leapt !== 0) {
          this.damage ??= leapError(this.file, this.#leapt, this.clock.unit, reader.offsetOf(start));
          return start;
        }
        kind = line.unknown;
        if (this.#far) {
          this.#far = false;
          this.#badLine(reader.offsetOf(start), 'stamp');
        } else this.#countUnread(reader.offsetOf(start), start, to);
      }
      this.#lineBefore = start;
      this.#lineBeforeEnd = lastEnd;
      this.#kindBefore = kind;
      start = to + 1;
    }
  }

  /** Whether all lines of the call chain that may follow from `start` on are at hand. */
  #hasChain(start: number, end: number): boolean {
    const { bytes, inChain } = this;
    if (inChain === undefined) return true;
    for (;;) {
      const to = lineEnd(bytes, start, end);
      if (to === end) return false;
      if (!inChain(bytes, start, trimEnd(bytes, start, to))) return true;
      start = to + 1;
    }
  }

  /** Leaves out a line that was one event or more: a hole, and damage. */
  #badLine(offset: number, what: 'nul' | 'stamp'): void {
    const error = this.#badLines.add(offset, what);
    this.damage ??= error;
    if (!this.#open.has(-1)) this.#open.set(-1, { from: this.#newest, to: Infinity, cpu: -1, count: undefined });
  }

  #countUnread(offset: number, start: number, end: number): void {
    if (this.#unread++ > 0) return;
    this.#firstUnread = offset;
    this.#firstUnreadLine = decodeText(this.bytes, start, Math.min(end, start + 60)).replace(/[^\x20-\x7e]/g, '?');
  }

  /** Whether a line that is no event by itself goes on with the line before, which a mail program wrapped: then the two are taken as one. */
  #continues(start: number, end: number): boolean {
    const content = contentOf(this.bytes, start, end);
    if (content === end || end - content > longestWrapped) return false;
    if (this.#kindBefore === line.event) return this.#extend(content, end);
    if (this.#kindBefore !== line.unknown || !this.#parseJoined(this.#lineBefore, this.#lineBeforeEnd, start, end))
      return false;
    // The line before moves to where it meets this one.
    const length = this.#lineBeforeEnd - this.#lineBefore;
    const first = content - 1 - length;
    this.bytes.copyWithin(first, this.#lineBefore, this.#lineBeforeEnd);
    this.bytes[content - 1] = space;
    if (this.parse(first, end) !== line.event || !this.#event()) return false;
    this.#unread--;
    this.#joined++;
    this.#kindBefore = line.event;
    return true;
  }

  /** Whether two lines, one after the other, are one event: the first has what stands before its name. Leaves it in `parts`. */
  #parseJoined(before: number, beforeEnd: number, start: number, end: number): boolean {
    const content = contentOf(this.bytes, start, end);
    const length = beforeEnd - before;
    if (before < 0 || length <= 0 || length > longestWrapped || content === end) return false;
    const { bytes } = this;
    this.bytes = joinedText(bytes, before, beforeEnd, content, end);
    const isEvent = this.parse(0, this.bytes.length) === line.event && this.parts.nameStart > length;
    this.bytes = bytes;
    return isEvent;
  }

  /** Adds a line to the payload of the event before it, where the two together have more of the event's fields. */
  #extend(content: number, end: number): boolean {
    const { bytes } = this;
    const [at, last] = [this.#lastAt, this.#lastEnd];
    if (last !== this.#lineBeforeEnd || this.#lastType < 0 || last - at > longestWrapped) return false;
    if (this.#lastName < 0) {
      // QEMU's own text: its format says whether there is more of it.
      const layout = this.#types.all[this.#lastType]?.layout;
      if (!(layout instanceof QemuTextLayout) || layout.fits(bytes, at, last)) return false;
      const text = joinedText(bytes, at, last, content, end);
      if (!layout.fits(text, 0, text.length) && !layout.begins(text, 0, text.length)) return false;
      this.#lengthen(content, end);
      this.#joined++;
      return true;
    }
    const name = this.#types.all[this.#lastType]?.name.split(':')[1] ?? '';
    const text = joinedText(bytes, at, last, content, end);
    const before = kernelTextFit(name, text, 0, last - at);
    const goesOn =
      before === undefined
        ? last - at >= shortestWrapped && continuation.test(decodeText(bytes, content, end))
        : (kernelTextFit(name, text, 0, text.length) ?? 0) > before;
    if (!goesOn) return false;
    this.#lengthen(content, end);
    this.#joined++;
    return true;
  }

  /** A stack trace's line: it belongs to the event that announced the trace, or that the call chain is of. */
  #frame(start: number, end: number): void {
    if (this.inChain !== undefined) {
      if (this.#wanted[this.#lastType] !== 1 || this.#frames++ >= mostFrames) return;
      this.#putBehind(contentOf(this.bytes, start, end, false), end, newline);
      this.#sorter.amend(this.#lastType, this.#lastEnd - this.#lastAt);
      return;
    }
    if (this.#lastType < 0 || !/_stack$/.test(this.#types.all[this.#lastType]?.name ?? '')) return;
    if (this.#frames++ < mostFrames) this.#lengthen(contentOf(this.bytes, start, end, false), end);
  }

  #putBehind(content: number, end: number, separator: number): void {
    const { bytes } = this;
    let last = this.#lastEnd;
    if (last > this.#lastAt || separator === newline) bytes[last++] = separator;
    bytes.copyWithin(last, content, end);
    this.#lastEnd = last + end - content;
    this.#lineBeforeEnd = this.#lastEnd;
  }

  /** Puts text that stands further on at the end of the last event's payload. */
  #lengthen(content: number, end: number): void {
    this.#putBehind(content, end, space);
    const wanted = this.#wanted[this.#lastType] !== 0;
    if (this.#lastName >= 0) this.#lastType = this.#formOf(this.#lastName, this.#lastType, this.#lastAt, this.#lastEnd);
    if (wanted) this.#sorter.amend(this.#lastType, this.#lastEnd - this.#lastAt);
  }

  /** The type of an event by its form: that of the first one, or another where the text has several. */
  #formOf(name: number, type: number, at: number, end: number): number {
    const { bytes } = this;
    const first = this.#typeOf[name] as number;
    const layoutOfFirst = this.#layouts[first];
    if (layoutOfFirst === undefined) return type;
    if (layoutOfFirst.begins(bytes, at, end)) return first;
    const others = this.#otherForms.get(name) ?? [];
    const known = others.find((other) => this.#layouts[other]?.begins(bytes, at, end));
    if (known !== undefined) return known;
    if (others.length >= mostForms) return type;
    const { name: full, recordedAs } = this.#types.all[first] as EventType;
    const layout = kernelTextLayout(full.split(':')[1] ?? full, bytes.slice(at, end));
    const added = this.#types.add(full, this.#chained(layout), recordedAs).id;
    this.#layouts[added] = layout;
    this.#otherForms.set(name, [...others, added]);
    this.#ask(added);
    return added;
  }

  /** Takes in the event in `parts`. False where it cannot be one. */
  #event(): boolean {
    const parts = this.parts;
    const bytes = this.bytes;
    if (!this.#started) {
      this.clock = this.clockOf();
      this.#started = true;
      this.#bare = parts.decimals === 0;
      this.#originSeconds = parts.seconds;
      this.#originRest = parts.rest;
      this.origin = BigInt(parts.seconds) * 1_000_000_000n + BigInt(parts.rest);
    }
    if ((parts.decimals === 0) !== this.#bare) return false;
    const time = (parts.seconds - this.#originSeconds) * 1e9 + (parts.rest - this.#originRest);
    if (!Number.isSafeInteger(time)) {
      this.#far = true;
      return false;
    }
    this.#leapt = this.#events > 0 ? leap(time, this.#newest, this.clock.unit) : 0;
    if (this.#leapt !== 0) return false;
    const first = bytes[parts.payloadStart];
    if (first === 0x3c || first === 0x43)
      parts.payloadStart = afterComplaints(bytes, parts.payloadStart, parts.payloadEnd);
    const id = this.#names.id(bytes, parts.nameStart, parts.nameEnd);
    if (id < 0) return false;
    let type = id === this.#typeOf.length ? this.#define() : (this.#typeOf[id] as number);
    let at = parts.payloadStart;
    if (type < 0) {
      at = this.#markerText(at, parts.payloadEnd);
      type = this.#markers.typeOf(bytes, at, parts.payloadEnd);
      if (type < 0) {
        at = parts.payloadStart;
        type = this.#printType;
      }
      if (this.#wanted[type] === undefined) this.#ask(type);
      this.#lastName = -1;
    } else {
      const layout = this.#layouts[type];
      if (layout !== undefined && !layout.begins(bytes, at, parts.payloadEnd))
        type = this.#formOf(id, type, at, parts.payloadEnd);
      this.#lastName = id;
    }
    this.#lastType = type;
    this.#lastAt = at;
    this.#lastEnd = parts.payloadEnd;
    this.#frames = 0;
    this.#thread(time);
    const cpu = parts.cpu;
    if (this.#open.size > 0) {
      for (const loss of this.#open.values()) {
        loss.to = time;
        this.#pending.push(loss);
      }
      this.#open.clear();
    }
    if (cpu >= 0) this.#lastOnCpu[cpu] = time;
    this.#events++;
    if (time < this.#previous) this.#steppedBack++;
    this.#previous = time;
    if (time > this.#newest) this.#newest = time;
    if (this.#wanted[type] === 0) return true;
    const sorter = this.#sorter;
    if (!this.#running || time < this.#last || this.#pending.length > 0) {
      sorter.begin(this.#slot, this.#nextLoss());
      this.#running = true;
    }
    this.#last = time;
    sorter.append(time, type, cpu, parts.tid, parts.pid, at, parts.payloadEnd - at);
    return true;
  }

  /** The pending losses as one that the sorter can carry; the others go with it. */
  #nextLoss(): Loss | undefined {
    const [first, ...others] = this.#pending;
    if (first === undefined) return undefined;
    if (others.length > 0) this.#companions.set(first, others);
    this.#pending = [];
    return first;
  }

  /** The type of a name met for the first time. */
  #define(): number {
    const parts = this.parts;
    const name = decodeText(this.bytes, parts.nameStart, parts.nameEnd);
    const sample = this.bytes.slice(parts.payloadStart, parts.payloadEnd);
    const full = this.nameOf(name, sample);
    let type: number;
    if (full === 'ftrace:print') {
      if (this.#printType < 0) this.#printType = this.#types.add(full, kernelTextLayout('print', sample)).id;
      type = marker;
    } else {
      // perf may add modifiers to a name: kvm:kvm_exit:G.
      const [system, event, modifiers] = full.split(':') as [string, string | undefined, string | undefined];
      const layout = kernelTextLayout(event ?? system, sample);
      const probe = qemuProbe(system, event ?? '', sample[0] === 0x28, this.#signatures);
      if (probe === undefined) {
        type = this.#types.add(modifiers === undefined ? full : `${system}:${event}`, this.#chained(layout), full).id;
        this.#layouts[type] = layout;
      } else
        type = this.#types.add(probe, this.#chained(new QemuProbeLayout(layout, probe, this.#signatures)), full).id;
      this.#ask(type);
    }
    this.#typeOf.push(type);
    return type;
  }

  /** A layout, with the call chains that may follow. */
  #chained(layout: Layout): Layout {
    return this.inChain === undefined ? layout : new ChainedText(layout);
  }

  #ask(type: number): void {
    const wants = this.#wants;
    this.#wanted[type] = wants === undefined || wants(this.#types.all[type] as EventType) ? 1 : 0;
  }

  /** Where the text that was written to trace_marker begins: trace-cmd prints its writer's name before it. */
  #markerText(start: number, end: number): number {
    if (!startsWith(this.bytes, start, end, tracingMarkWrite)) return start;
    let p = start + tracingMarkWrite.length;
    while (p < end && this.bytes[p] === 0x20) p++;
    return p;
  }

  /** Notes the thread's name where it is a new one. */
  #thread(time: number): void {
    const { bytes, parts } = this;
    const { commStart, commEnd, tid, pid } = parts;
    if (tid < 0 || tid >= mostTids) return;
    let h = pid;
    for (let p = commStart; p < commEnd; p++) h = Math.imul(h ^ (bytes[p] as number), 0x01000193);
    h |= 1;
    if (tid >= this.#known.length) {
      const known = new Int32Array(Math.min(mostTids, 2 ** Math.ceil(Math.log2(tid + 1))));
      known.set(this.#known);
      this.#known = known;
    }
    if (this.#known[tid] === h) return;
    this.#known[tid] = h;
    const comm = decodeText(bytes, commStart, Math.min(commEnd, commStart + longestComm));
    // What the tracers print for a thread whose name they do not know.
    const unknown = comm === '<...>' || comm === '' || comm === `:${tid}`;
    this.#changes.name(time, tid, unknown ? '' : comm, pid);
  }

  /** What a thread is called from the next event on. */
  protected called(tid: number, comm: string): void {
    if (this.#started) this.#changes.name(this.#newest + 1, tid, comm, -1);
    else this.threads.name(tid, comm);
  }

  *#take(upTo: number): Generator<EventBatch> {
    for (const batch of this.#changes.upTo(upTo)) {
      if (this.#companions.size > 0 && batch.losses.length > 0)
        batch.losses = batch.losses.flatMap((loss) => {
          const others = this.#companions.get(loss) ?? [];
          this.#companions.delete(loss);
          return [loss, ...others];
        });
      yield batch;
    }
    this.#running = false;
  }

  /** What is known only at the end. */
  #conclude(): void {
    this.damage = this.#badLines.conclude(this.damage);
    if (this.#unread > 0) {
      const lines = this.#unread === 1 ? '1 line is' : `${this.#unread} lines are`;
      this.notes.push(
        `${lines} no event that virtap can read, the first at byte ${this.#firstUnread} (${JSON.stringify(this.#firstUnreadLine)}): left out.`,
      );
    }
    if (this.#joined > 0) this.notes.push(joinedNote(this.#joined));
    if (this.#long > 0) this.notes.push(`${this.#long} lines of more than ${longestLine} bytes were left out.`);
    if (this.clock.name === 'relative' && this.#steppedBack > this.#events / 4)
      this.notes.push(
        'Times go back again and again: they look like the times between events (perf script --deltatime), from which no duration can be had.',
      );
    const { lateNote } = this.#sorter;
    if (lateNote !== undefined) this.notes.push(lateNote);
    this.notes.push(...this.#signatures.notes);
  }
}

/** What libtraceevent's KVM plugin writes before an event of an architecture whose fields are not x86's (plugin_kvm.c). */
const complaints = [/^<CANT FIND FIELD \w+>/, /^CAN'T FIND FIELD "\w+"/];
const longestComplaint = 80;

/** Where the event's own text begins, after complaints. */
function afterComplaints(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  for (;;) {
    const text = decodeText(bytes, p, Math.min(end, p + longestComplaint));
    const found = complaints.map((complaint) => complaint.exec(text)?.[0]).find((one) => one !== undefined);
    if (found === undefined) return p;
    p += found.length;
    while (p < end && bytes[p] === space) p++;
  }
}

/** Forms of one event that are told apart, and frames of a stack that are kept. */
const mostForms = 8;
const mostFrames = 128;
const space = 0x20;

const tracingMarkWrite = Buffer.from('tracing_mark_write:', 'latin1');

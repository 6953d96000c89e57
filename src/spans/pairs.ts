import { isBefore, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import { LossTable } from './losses.ts';
import { OpenTable } from './open-table.ts';
import { isSwitch } from './sched.ts';
import { tableOf } from './table.ts';

/** Spans that are open at once; of more, the oldest are forgotten, and counted. */
const maxOpen = 1 << 20;

/** What a pair begins or ends with. */
export type PairEnd = {
  /** Whether events of this type are meant. Asked once per type. */
  takes(type: EventType): boolean;
  /** Whether event `i`, of such a type, is meant; all are where it is not given. */
  passes?: ((trace: Trace, b: EventBatch, i: number) => boolean) | undefined;
  /** Readers of the fields that make the key, in order; undefined for one that the type does not have. */
  keys(type: EventType): (FieldReader | undefined)[];
};

export type PairOptions = {
  /** Number of fields in the key. */
  keys: number;
  /** What both ends of a pair share: then only what was lost on that CPU, or where that thread was, can lie in between. */
  of?: 'cpu' | 'thread' | undefined;
  /** Gives a number to remember of the event that a pair begins with. */
  note?: ((trace: Trace, b: EventBatch, i: number) => number) | undefined;
  /** Told of each beginning and end, as they come. Entries are used again after their end. */
  listener?: PairListener | undefined;
};

/** What both ends of a pair share that is matched by these fields, of the first event and of the last. */
export function sharedOf(keys: readonly (readonly [string, string])[]): PairOptions['of'] {
  const both = (name: string) => keys.some(([first, last]) => first === name && last === name);
  return both('cpu') ? 'cpu' : both('tid') ? 'thread' : undefined;
}

export type PairListener = {
  began(entry: number, trace: Trace, b: EventBatch, i: number): void;
  /** `span` is its place in the spans of this batch. */
  ended(entry: number, span: number, trace: Trace, b: EventBatch, i: number): void;
};

/**
 * Pairs that ended within a batch, in the order of their ends. `cpu` and `tid` are those of the first event, -1 where unknown; `note` is what
 * `PairOptions.note` gave, `endsAt` the index in the batch of the event that ended it.
 */
export class PairSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  cpu: 'i32',
  tid: 'i32',
  note: 'i32',
  endsAt: 'i32',
}) {}

function noCounts(): Omit<PairCounts, 'forgotten' | 'openAtEnd'> {
  return { begins: 0, ends: 0, pairs: 0, beganAgain: 0, endsFirst: 0, straddlingLoss: 0, withoutKey: 0 };
}

/** What was seen, and what could not be paired. begins = pairs + beganAgain + straddlingLoss + forgotten + openAtEnd. */
export type PairCounts = {
  begins: number;
  ends: number;
  pairs: number;
  /** A beginning whose key begins again before it ended: the later one counts. */
  beganAgain: number;
  /** An end whose key has not begun. */
  endsFirst: number;
  straddlingLoss: number;
  /** Beginnings forgotten because too many were open. */
  forgotten: number;
  openAtEnd: number;
  /** Beginnings and ends that lack a field of the key. */
  withoutKey: number;
};

/** A pair that has not ended. */
export type OpenPair = { begin: number; cpu: number; tid: number; note: number; entry: number };

const isBegin = 1;
const isEnd = 2;
/** Whether events of this type are taken is known with the first of them. */
const isUndecided = 4;
/** A thread is switched out. */
const isChange = 8;

/** Pairs each event of one kind with the next of another that has the same key. */
export class Pairs {
  readonly spans = new PairSpans();

  #since = 0;
  readonly #from: PairEnd;
  readonly #to: PairEnd;
  readonly #options: PairOptions;
  readonly #open: OpenTable;
  readonly #losses = new LossTable();
  readonly #sources = new FirstSources();
  readonly #counts = noCounts();
  /** By type id. */
  readonly #roles: number[] = [];
  readonly #fromKeys: (readonly (FieldReader | undefined)[])[] = [];
  readonly #toKeys: (readonly (FieldReader | undefined)[])[] = [];
  readonly #seed = (Math.random() * 0x100000000) | 0;

  constructor(from: PairEnd, to: PairEnd, options: PairOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.#open = new OpenTable(2 * options.keys, maxOpen);
  }

  /** From when on pairs count; of what was before only what is open is known. */
  within({ from }: Window): void {
    this.#since = from;
  }

  wants(type: EventType): boolean {
    return this.#from.takes(type) || this.#to.takes(type);
  }

  /** Takes the next events of a trace and gives the pairs that ended with them. */
  batch(trace: Trace, b: EventBatch): PairSpans {
    this.#learnTypes(trace);
    this.#losses.take(trace, b);
    const { spans } = this;
    const counts = this.#counts;
    const roles = this.#roles;
    spans.reserve(b.count);
    spans.count = 0;
    for (let i = 0; i < b.count; i++) {
      const type = b.type[i] as number;
      let role = roles[type] as number;
      if (role === 0) continue;
      if ((role & isUndecided) !== 0) {
        role = this.#sources.takes(trace.types[type] as EventType) ? role & ~isUndecided : 0;
        roles[type] = role;
        if (role === 0) continue;
      }
      const ends = (role & isEnd) !== 0 && this.#to.passes?.(trace, b, i) !== false;
      const begins = (role & isBegin) !== 0 && this.#from.passes?.(trace, b, i) !== false;
      if (!ends && !begins) {
        if ((role & isChange) !== 0) this.#losses.left(b.tid[i] as number, b.time[i] as number);
        continue;
      }
      // What ends one span may begin the next.
      if (ends) {
        counts.ends++;
        if (this.#key(this.#toKeys[type] as FieldReader[], b, i)) this.#end(trace, b, i);
      }
      if (begins) {
        counts.begins++;
        if (this.#key(this.#fromKeys[type] as FieldReader[], b, i)) this.#begin(trace, b, i);
      }
      if ((role & isChange) !== 0) this.#losses.left(b.tid[i] as number, b.time[i] as number);
    }
    counts.pairs += spans.count;
    if (isBefore(b, this.#since)) Object.assign(counts, noCounts());
    return spans;
  }

  result(): PairCounts {
    return { ...this.#counts, forgotten: this.#open.forgotten, openAtEnd: this.#open.size };
  }

  /** Pairs that have not ended, the oldest first. */
  *unfinished(): Iterable<OpenPair> {
    const open = this.#open;
    for (let entry = open.oldest; entry >= 0; entry = open.younger[entry] as number) {
      yield {
        begin: open.begin[entry] as number,
        cpu: open.cpu[entry] as number,
        tid: open.tid[entry] as number,
        note: open.note[entry] as number,
        entry,
      };
    }
  }

  #begin(trace: Trace, b: EventBatch, i: number): void {
    const open = this.#open;
    const before = open.find();
    if (before >= 0) {
      if (this.#straddles(before, b, i)) this.#counts.straddlingLoss++;
      else this.#counts.beganAgain++;
      open.remove(before);
    }
    const entry = open.add();
    open.begin[entry] = b.time[i] as number;
    open.cpu[entry] = b.cpu[i] as number;
    open.tid[entry] = b.tid[i] as number;
    open.note[entry] = this.#options.note?.(trace, b, i) ?? 0;
    this.#options.listener?.began(entry, trace, b, i);
  }

  #end(trace: Trace, b: EventBatch, i: number): void {
    const open = this.#open;
    const entry = open.find();
    if (entry < 0) {
      this.#counts.endsFirst++;
      return;
    }
    if ((open.begin[entry] as number) < this.#since) this.#counts.endsFirst++;
    else if (this.#straddles(entry, b, i)) this.#counts.straddlingLoss++;
    else {
      const { spans } = this;
      const n = spans.count++;
      const begin = open.begin[entry] as number;
      spans.begin[n] = begin;
      spans.duration[n] = (b.time[i] as number) - begin;
      spans.cpu[n] = open.cpu[entry] as number;
      spans.tid[n] = open.tid[entry] as number;
      spans.note[n] = open.note[entry] as number;
      spans.endsAt[n] = i;
      this.#options.listener?.ended(entry, n, trace, b, i);
    }
    open.remove(entry);
  }

  #straddles(entry: number, b: EventBatch, i: number): boolean {
    if (!this.#losses.some) return false;
    const begin = this.#open.begin[entry] as number;
    const end = b.time[i] as number;
    const cpu = this.#open.cpu[entry] as number;
    switch (this.#options.of) {
      case 'cpu':
        return this.#losses.straddle(begin, end, cpu, b.cpu[i] as number);
      case 'thread':
        return this.#losses.straddleOf(b.tid[i] as number, begin, end, cpu, b.cpu[i] as number);
      default:
        return this.#losses.straddle(begin, end, -1, -1);
    }
  }

  /** Puts the key of event `i` where the table looks for it; false, and counted, where the event lacks a part of it. */
  #key(readers: readonly (FieldReader | undefined)[], b: EventBatch, i: number): boolean {
    const { key } = this.#open;
    for (let n = 0; n < readers.length; n++) {
      const reader = readers[n];
      if (reader === undefined) return this.#lacking();
      if (reader.kind === 'int') {
        if (Number.isNaN(reader.number(b, i))) return this.#lacking();
        key[2 * n] = reader.low(b, i);
        key[2 * n + 1] = reader.high(b, i);
      } else if (!this.#textKey(reader, n, b, i)) return this.#lacking();
    }
    return true;
  }

  #lacking(): false {
    this.#counts.withoutKey++;
    return false;
  }

  /** A text's key is 64 bits that are made of it: of a million texts that are open at once, two would have the same in 1 of 30 million recordings. */
  #textKey(reader: FieldReader, n: number, b: EventBatch, i: number): boolean {
    const { bytes } = reader;
    if (bytes !== undefined) {
      return bytes.find(b, i) && bytes.end > bytes.start && this.#digest(b.bytes, bytes.start, bytes.end, n);
    }
    const text = Buffer.from(reader.text(b, i));
    return text.length > 0 && this.#digest(text, 0, text.length, n);
  }

  #digest(bytes: Uint8Array, start: number, end: number, n: number): true {
    let low = this.#seed;
    let high = ~this.#seed;
    for (let p = start; p < end; p++) {
      const c = bytes[p] as number;
      low = Math.imul(low ^ c, 0x85ebca6b);
      low ^= low >>> 15;
      high = Math.imul(high ^ c, 0xc2b2ae35);
      high ^= high >>> 13;
    }
    this.#open.key[2 * n] = low;
    this.#open.key[2 * n + 1] = high;
    return true;
  }

  #learnTypes(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      const begins = this.#from.takes(type);
      const ends = this.#to.takes(type);
      const role = (begins ? isBegin : 0) | (ends ? isEnd : 0) | (isSwitch(type) ? isChange : 0);
      this.#roles.push(role !== 0 && type.name.startsWith('qemu:') ? role | isUndecided : role);
      this.#fromKeys.push(begins ? this.#from.keys(type) : []);
      this.#toKeys.push(ends ? this.#to.keys(type) : []);
    }
  }
}

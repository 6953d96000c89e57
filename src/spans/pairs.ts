import { isBefore, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { FirstSources } from './first-sources.ts';
import { type LossPart, LossTable } from './losses.ts';
import { OpenTable } from './open-table.ts';
import { isSwitch } from './sched.ts';
import { type Arrays, tableOf } from './table.ts';

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
  /** The event is `PairsPart.heads`' number `head`, and an end: what it may end began before the stretch. */
  headed?(head: number, trace: Trace, b: EventBatch, i: number): void;
  /** Of a joined part: its open pair number `k` is this entry; head number `head` ended one. */
  opened?(entry: number, k: number): void;
  endedBy?(entry: number, span: number, head: number): void;
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

/** Events by key, as columns: what they are a row of, the keys, stand beside. */
const keyedSchema = { time: 'f64', cpu: 'i32', tid: 'i32', note: 'i32' } as const;
class Keyed extends tableOf(keyedSchema) {}
type KeyedPart = Arrays<typeof keyedSchema> & { count: number; keys: Uint32Array };

/** What pairing learnt of a stretch of a recording that it was given alone, as plain data. */
export type PairsPart = {
  counts: ReturnType<typeof noCounts>;
  /** The first event of each key: an end (`note` 1) or a beginning; and when its thread had been switched out, as `LossTable.leftAt` gives it. */
  heads: KeyedPart & { left: readonly number[] };
  open: KeyedPart;
  /** More came than is remembered; and how many were open at once, at most. */
  tooMany: boolean;
  most: number;
  losses: LossPart;
  /** By loss: how many keys had been seen before it came to be known. */
  lossAt: readonly number[];
  /** Keys and losses of the time before what is asked about: they are the first. */
  before: { heads: number; losses: number };
  /** Time of its first event, NaN where there was none. */
  first: number;
  /** Whether a pair was set aside because nothing told that its thread stayed where it was. */
  presumed: boolean;
  sources: ReadonlyMap<string, string>;
};

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

/** What texts' keys are made from: the same in every part of a recording. */
const textSeed = 0x9e3779b9 | 0;

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
  readonly #losses = new LossTable(true);
  readonly #sources = new FirstSources();
  readonly #counts = noCounts();
  /** By type id. */
  readonly #roles: number[] = [];
  readonly #fromKeys: (readonly (FieldReader | undefined)[])[] = [];
  readonly #toKeys: (readonly (FieldReader | undefined)[])[] = [];
  /** For `join`, where the stretch begins in the middle: as `PairsPart` has them. */
  #heads: OpenTable | undefined;
  readonly #headLeft: number[] = [];
  readonly #lossAt: number[] = [];
  #before = { heads: 0, losses: 0 };
  #tooMany = false;
  #first = Number.NaN;
  #presumed = false;

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
    while (this.#lossAt.length < this.#losses.told) this.#lossAt.push(this.#headLeft.length);
    if (b.count > 0 && Number.isNaN(this.#first)) this.#first = b.time[0] as number;
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
    if (isBefore(b, this.#since)) {
      Object.assign(counts, noCounts());
      this.#before = { heads: this.#headLeft.length, losses: this.#lossAt.length };
    }
    return spans;
  }

  /** What it is given begins in the middle of a recording: what is before matters to the first event of each key. */
  inMiddle(): void {
    this.#heads = new OpenTable(2 * this.#options.keys, maxOpen);
  }

  /** What it learnt of its stretch: for the pairing of the stretch before. */
  part(): PairsPart {
    const heads = this.#heads ?? new OpenTable(2 * this.#options.keys, 1);
    return {
      counts: this.#counts,
      heads: { ...keyed(heads, 2 * this.#options.keys), left: this.#headLeft },
      open: keyed(this.#open, 2 * this.#options.keys),
      tooMany: this.#tooMany || this.#open.forgotten > 0,
      most: this.#open.most,
      losses: this.#losses.part(),
      lossAt: this.#lossAt,
      before: this.#before,
      first: this.#first,
      presumed: this.#presumed,
      sources: this.#sources.part(),
    };
  }

  /** Whether all that was taken for granted in the stretch that follows is so, as far as is known here. */
  accepts({ losses, first, presumed, tooMany, open, sources }: PairsPart): boolean {
    return (
      !tooMany &&
      this.#open.size + open.count <= maxOpen &&
      this.#losses.accepts(losses, first) &&
      !(presumed && this.#losses.switches) &&
      this.#sources.accepts(sources)
    );
  }

  /** Takes over what another pairing, with the same options, learnt of the stretch that follows. Gives the pairs that ended in that; their `endsAt` is which of its heads ended them. */
  join(part: PairsPart): PairSpans {
    const counts = this.#counts;
    const { spans } = this;
    const { heads, open: opened, losses, before } = part;
    spans.reserve(heads.count);
    spans.count = 0;
    for (const name in counts) counts[name as keyof typeof counts] += part.counts[name as keyof typeof counts];
    this.#sources.join(part.sources);
    const open = this.#open;
    const words = 2 * this.#options.keys;
    let known = 0;
    for (let h = 0; h < heads.count; h++) {
      for (; (part.lossAt[known] ?? Number.POSITIVE_INFINITY) <= h; known++)
        this.#losses.join(losses.told[known] as Loss);
      this.#losses.joinLeft(heads.tid[h] as number, heads.left[h] as number);
      open.key.set(heads.keys.subarray(words * h, words * (h + 1)));
      const entry = open.find();
      if (entry < 0) continue;
      const time = heads.time[h] as number;
      const lost = this.#lost(entry, time, heads.tid[h] as number, heads.cpu[h] as number);
      const n = h < before.heads ? 0 : 1;
      if (heads.note[h] !== 1) counts[lost ? 'straddlingLoss' : 'beganAgain'] += n;
      else if ((open.begin[entry] as number) >= this.#since) {
        counts[lost ? 'straddlingLoss' : 'pairs'] += n;
        counts.endsFirst -= n;
        if (!lost) {
          const span = this.#give(entry, time, h);
          this.#options.listener?.endedBy?.(entry, span, h);
        }
      }
      open.remove(entry);
    }
    for (const loss of losses.told.slice(known)) this.#losses.join(loss);
    for (const [tid, left] of losses.left ?? []) this.#losses.joinLeft(tid, left);
    for (let k = 0; k < opened.count; k++) {
      open.key.set(opened.keys.subarray(words * k, words * (k + 1)));
      const entry = open.add();
      open.begin[entry] = opened.time[k] as number;
      open.cpu[entry] = opened.cpu[k] as number;
      open.tid[entry] = opened.tid[k] as number;
      open.note[entry] = opened.note[k] as number;
      this.#options.listener?.opened?.(entry, k);
    }
    if (Number.isNaN(this.#first)) this.#first = part.first;
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

  /** How many could be open at once, after another one's were added. */
  mostWith({ most }: PairsPart): number {
    return Math.max(this.#open.most, this.#open.size + most);
  }

  #begin(trace: Trace, b: EventBatch, i: number): void {
    const open = this.#open;
    const before = open.find();
    if (before < 0) this.#noteHead(trace, b, i, 0);
    else {
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
      this.#noteHead(trace, b, i, 1);
      this.#counts.endsFirst++;
      return;
    }
    if ((open.begin[entry] as number) < this.#since) this.#counts.endsFirst++;
    else if (this.#straddles(entry, b, i)) this.#counts.straddlingLoss++;
    else {
      const n = this.#give(entry, b.time[i] as number, i);
      this.#options.listener?.ended(entry, n, trace, b, i);
    }
    open.remove(entry);
  }

  /** Gives the pair that ends at a time. */
  #give(entry: number, end: number, at: number): number {
    const { spans } = this;
    const open = this.#open;
    const n = spans.count++;
    const begin = open.begin[entry] as number;
    spans.begin[n] = begin;
    spans.duration[n] = end - begin;
    spans.cpu[n] = open.cpu[entry] as number;
    spans.tid[n] = open.tid[entry] as number;
    spans.note[n] = open.note[entry] as number;
    spans.endsAt[n] = at;
    return n;
  }

  /** Event `i` is of a key that is not open: it may be the first of that. */
  #noteHead(trace: Trace, b: EventBatch, i: number, isEnd: 0 | 1): void {
    const heads = this.#heads;
    if (heads === undefined) return;
    heads.key.set(this.#open.key);
    if (heads.find() >= 0) return;
    if (heads.size === maxOpen) {
      this.#tooMany = true;
      return;
    }
    const head = heads.add();
    const tid = b.tid[i] as number;
    heads.begin[head] = b.time[i] as number;
    heads.cpu[head] = b.cpu[i] as number;
    heads.tid[head] = tid;
    heads.note[head] = isEnd;
    this.#headLeft.push(this.#losses.leftAt(tid));
    if (isEnd === 1) this.#options.listener?.headed?.(head, trace, b, i);
  }

  #straddles(entry: number, b: EventBatch, i: number): boolean {
    return this.#lost(entry, b.time[i] as number, b.tid[i] as number, b.cpu[i] as number);
  }

  /** Whether events may have been lost until a later one. */
  #lost(entry: number, end: number, tid: number, cpu: number): boolean {
    const begin = this.#open.begin[entry] as number;
    const first = this.#open.cpu[entry] as number;
    const { of } = this.#options;
    const stays = cpu === first && cpu >= 0 && (of === 'cpu' || (of === 'thread' && this.#losses.leftAt(tid) < begin));
    if (!stays) this.#losses.grant(end);
    if (!this.#losses.some) return false;
    switch (of) {
      case 'cpu':
        return this.#losses.straddle(begin, end, first, cpu);
      case 'thread': {
        const lost = this.#losses.straddleOf(tid, begin, end, first, cpu);
        if (lost && !this.#losses.switches) this.#presumed = true;
        return lost;
      }
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
    let low = textSeed;
    let high = ~textSeed;
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

/** What stands in a table, the oldest first. */
function keyed(table: OpenTable, words: number): KeyedPart {
  const rows = new Keyed(Math.max(1, table.size));
  const keys = new Uint32Array(words * table.size);
  for (let entry = table.oldest; entry >= 0; entry = table.younger[entry] as number) {
    const k = rows.add();
    for (let n = 0; n < words; n++) keys[words * k + n] = table.word(entry, n);
    rows.time[k] = table.begin[entry] as number;
    rows.cpu[k] = table.cpu[entry] as number;
    rows.tid[k] = table.tid[entry] as number;
    rows.note[k] = table.note[entry] as number;
  }
  return { ...rows.copy(), count: rows.count, keys };
}

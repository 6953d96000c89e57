import { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Trace } from '../trace/trace.ts';
import type { ExitPairing, ExitSpans, VcpuThread } from './exits.ts';
import { FirstSources } from './first-sources.ts';
import { type InnerEvent, InnerKinds, innerCodes } from './inner-events.ts';

/** Events kept of one exit; it may have had more. */
const maxEvents = 100;
/** Bytes of payload kept of one exit that lasts beyond a batch, and events kept of all such exits. */
const maxPayload = 1 << 16;
const maxKept = 1 << 17;

/** Events of an exit, as people read them, and how many more there were. */
type Told = { events: InnerEvent[]; omitted: number };

/** What `ExitEvents` kept of a stretch of a recording, as plain data. */
export type EventsPart = {
  /** By tid: what came before the thread's first exit or entry; offsets count from the recording's origin. */
  ahead: ReadonlyMap<number, Told>;
  /** By thread: of the exits that are open. */
  open: readonly (Told | undefined)[];
  /** There was more than is kept. */
  full: boolean;
  sources: ReadonlyMap<string, string>;
};

/** What a thread went through since its kvm_exit. */
class OpenExit {
  /** Events of stretches that were joined: they are the first. */
  told: InnerEvent[] = [];
  /** Events of the current batch, by index, and of earlier ones, copied. */
  at = new Int32Array(8);
  count = 0;
  kept: EventBatch | undefined;
  keptBytes = 0;
  omitted = 0;
  /** Whether it is among those that had events in the current batch. */
  touched = false;

  get keptCount(): number {
    return this.told.length + (this.kept?.count ?? 0);
  }

  /** Forgets everything, to be used anew. */
  reset(): void {
    this.count = 0;
    this.keptBytes = 0;
    this.omitted = 0;
    this.told = [];
    if (this.kept !== undefined) this.kept.count = 0;
  }

  add(i: number): void {
    if (this.keptCount + this.count >= maxEvents) {
      this.omitted++;
      return;
    }
    if (this.count === this.at.length) {
      this.at = grown(this.at);
    }
    this.at[this.count++] = i;
  }

  /** Copies what it has of a batch that is about to go, at most `room` events. */
  keep(b: EventBatch, room: number): void {
    const { at } = this;
    const count = Math.min(this.count, room);
    const kept = this.#reserve(count);
    for (let n = 0; n < this.count; n++) {
      const i = at[n] as number;
      const size = b.size[i] as number;
      if (n >= count || this.keptBytes + size > maxPayload) {
        this.omitted++;
        continue;
      }
      if (kept.bytes.length < this.keptBytes + size) {
        const bytes = new Uint8Array(Math.max(128, 2 * (this.keptBytes + size)));
        bytes.set(kept.bytes.subarray(0, this.keptBytes));
        kept.bytes = bytes;
        kept.view = new DataView(bytes.buffer);
      }
      const start = b.at[i] as number;
      kept.bytes.set(b.bytes.subarray(start, start + size), this.keptBytes);
      const k = kept.count++;
      kept.time[k] = b.time[i] as number;
      kept.type[k] = b.type[i] as number;
      kept.cpu[k] = b.cpu[i] as number;
      kept.tid[k] = b.tid[i] as number;
      kept.pid[k] = b.pid[i] as number;
      kept.at[k] = this.keptBytes;
      kept.size[k] = size;
      this.keptBytes += size;
    }
    this.count = 0;
  }

  /** A batch of its own, with room for so many more events. */
  #reserve(more: number): EventBatch {
    const old = this.kept;
    if (old !== undefined && old.count + more <= old.capacity) return old;
    const batch = new EventBatch(Math.min(maxEvents, Math.max(8, 2 * ((old?.count ?? 0) + more))));
    if (old !== undefined) {
      for (const column of ['time', 'type', 'cpu', 'tid', 'pid', 'at', 'size'] as const) batch[column].set(old[column]);
      batch.count = old.count;
      batch.bytes = old.bytes;
      batch.view = old.view;
    }
    this.kept = batch;
    return batch;
  }
}

/**
 * Remembers what happened within the exits that are open, so that a slow one can be told in full when it ends: the
 * thread's own events, and the scheduler's events about it on any CPU. Nothing is copied unless an exit outlasts its batch.
 */
export class ExitEvents {
  readonly #pairing: ExitPairing;
  readonly #kinds = new InnerKinds();
  /** By thread; undefined while it is in the guest. */
  readonly #open: (OpenExit | undefined)[] = [];
  /** Those that have events in the current batch. */
  readonly #touched: OpenExit[] = [];
  readonly #free: OpenExit[] = [];
  /** Events that are kept now, of all threads. */
  #kept = 0;
  readonly #sources = new FirstSources();
  #trace: Trace | undefined;
  /** For `join`, by tid: what came before the thread's first exit or entry; and by thread: whether that came. */
  #ahead: Map<number, OpenExit> | undefined;
  readonly #came: boolean[] = [];

  constructor(pairing: ExitPairing) {
    this.#pairing = pairing;
  }

  /** What is given begins in the middle of a recording: what happens to a thread may be within an exit from before. */
  inMiddle(): void {
    this.#ahead = new Map();
  }

  part(): EventsPart {
    const ahead = new Map<number, Told>();
    for (const [tid, open] of this.#ahead ?? []) ahead.set(tid, this.#tell(open, tid, 0));
    const open: (Told | undefined)[] = [];
    for (const { thread, begin } of this.#pairing.open()) {
      const one = this.#open[thread];
      while (open.length <= thread) open.push(undefined);
      if (one !== undefined) open[thread] = this.#tell(one, this.#tidOf(thread), begin);
    }
    return { ahead, open, full: this.#kept >= maxKept, sources: this.#sources.part() };
  }

  accepts({ full, sources }: EventsPart): boolean {
    return !full && this.#kept < maxKept && this.#sources.accepts(sources);
  }

  /** What happened to threads in the stretch that follows, before their first exit or entry there: it is of the exits that are open here. To be called before pairing is joined. */
  joinAhead({ ahead, sources }: EventsPart): void {
    this.#sources.join(sources);
    const begins = new Map([...this.#pairing.open()].map(({ thread, begin }) => [thread, begin]));
    for (const [tid, { events, omitted }] of ahead) {
      const thread = this.#pairing.find(tid);
      const begin = begins.get(thread);
      const open = this.#open[thread];
      if (open === undefined || begin === undefined) continue;
      const told = this.#tell(open, tid, begin);
      told.events.push(...events.map((event) => ({ ...event, offset: event.offset - begin })));
      this.#set(open, told.events, told.omitted + omitted);
    }
  }

  /** After pairing was joined, and all was asked of what ended: \`threads\` are the stretch's threads here. */
  join({ open }: EventsPart, threads: Int32Array): void {
    threads.forEach((thread, theirs) => {
      this.#end(thread);
      const told = open[theirs];
      if (told === undefined) return;
      this.#begin(thread);
      this.#set(this.#open[thread] as OpenExit, told.events, told.omitted);
    });
  }

  #set(open: OpenExit, events: readonly InnerEvent[], omitted: number): void {
    this.#kept -= open.keptCount;
    open.reset();
    open.told = events.slice(0, maxEvents);
    open.omitted = omitted + events.length - open.told.length;
    this.#kept += open.keptCount;
  }

  #tidOf(thread: number): number {
    return (this.#pairing.threads[thread] as VcpuThread).tid;
  }

  /**
   * Takes the batch that pairing took just now. `ended` is called for each exit that ended, in order, and may ask for its
   * events with `events`.
   */
  batch(trace: Trace, b: EventBatch, spans: ExitSpans, ended: (span: number) => void): void {
    this.#trace = trace;
    this.#kinds.learn(trace);
    let span = 0;
    const { codes } = this.#kinds;
    const { type: types, tid: tids } = b;
    for (let i = 0; i < b.count; i++) {
      const type = types[i] as number;
      const tid = tids[i] as number;
      const thread = this.#pairing.find(tid);
      const code = codes[type];
      if (code === innerCodes.exit) {
        this.#begin(thread);
        this.#came[thread] = true;
      } else if (code === innerCodes.entry) {
        if (spans.endsAt[span] === i && span < spans.count) ended(span++);
        this.#end(thread);
        this.#came[thread] = true;
      } else if (code !== innerCodes.qemu || this.#sources.takes(trace.types[type] as EventType)) {
        this.#add(tid, thread, i);
        if (code !== innerCodes.ofOthers) continue;
        const subject = this.#kinds.all[type]?.subject?.number(b, i) ?? tid;
        if (subject !== tid) this.#add(subject, this.#pairing.find(subject), i);
      }
    }
    for (const open of this.#touched) {
      open.touched = false;
      const before = open.keptCount;
      open.keep(b, maxKept - this.#kept);
      this.#kept += open.keptCount - before;
    }
    this.#touched.length = 0;
  }

  /** The events of an exit that is ending, oldest first, and how many more there were. For use in `ended`. */
  events(thread: number, b: EventBatch, begin: number): { events: InnerEvent[]; omitted: number } {
    const open = this.#open[thread];
    if (open === undefined) return { events: [], omitted: 0 };
    const tid = this.#tidOf(thread);
    const { events, omitted } = this.#tell(open, tid, begin);
    for (let n = 0; n < open.count; n++) {
      events.push(this.#kinds.describe(this.#trace as Trace, tid, b, open.at[n] as number, begin));
    }
    return { events, omitted };
  }

  /** The same of an exit that is open when a stretch ends, or between two batches. */
  earlier(thread: number, begin: number): Told {
    const open = this.#open[thread];
    return open === undefined ? { events: [], omitted: 0 } : this.#tell(open, this.#tidOf(thread), begin);
  }

  /** What is kept of earlier batches. */
  #tell({ told, kept, omitted }: OpenExit, tid: number, begin: number): Told {
    const events = [...told];
    for (let k = 0; kept !== undefined && k < kept.count; k++) {
      events.push(this.#kinds.describe(this.#trace as Trace, tid, kept, k, begin));
    }
    return { events, omitted };
  }

  /** What is open on a thread; or what a thread did that may have an exit open from before. */
  #openOf(tid: number, thread: number): OpenExit | undefined {
    const ahead = this.#ahead;
    if (ahead === undefined || this.#came[thread] === true) return this.#open[thread];
    if (!(tid > 0)) return undefined;
    let open = ahead.get(tid);
    if (open === undefined) {
      open = new OpenExit();
      ahead.set(tid, open);
    }
    return open;
  }

  #add(tid: number, thread: number, i: number): void {
    const open = this.#openOf(tid, thread);
    if (open === undefined) return;
    open.add(i);
    if (open.touched) return;
    open.touched = true;
    this.#touched.push(open);
  }

  #begin(thread: number): void {
    this.#end(thread);
    while (this.#open.length <= thread) this.#open.push(undefined);
    this.#open[thread] = this.#free.pop() ?? new OpenExit();
  }

  #end(thread: number): void {
    const open = this.#open[thread];
    if (open === undefined) return;
    this.#open[thread] = undefined;
    this.#kept -= open.keptCount;
    open.reset();
    this.#free.push(open);
  }
}

import { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader, hex64 } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';
import type { ExitPairing, ExitSeam, ExitSpans, VcpuThread } from './exits.ts';
import { FirstSources } from './first-sources.ts';
import { type InnerEvent, InnerKinds, innerCodes } from './inner-events.ts';

/** What an exit can be grouped by besides its reason and vCPU: something that was seen within it. */
export type DetailName = 'port' | 'gpa' | 'msr' | 'userspace';

/** A group of exits, as people and programs read it. */
export type DetailLabel = {
  /** `0x3f8`, `KVM_EXIT_IO`, `others`, or undefined where the exits had nothing of the kind. */
  value: string | undefined;
  direction: 'read' | 'write' | undefined;
};

/** Distinct values told apart; further ones share the group `others`. */
const maxValues = 1 << 16;

const nothing = 0;
const others = 1;
const firstValue = 2;

/** Where a thread is; of one that was not seen so far, nothing is known. */
const unseen = 0;
const within = 1;
const out = 2;

/** What `ExitDetail` learnt of a stretch of a recording, as plain data. */
export type DetailPart = {
  labels: readonly (DetailLabel | undefined)[];
  /** By address, two numbers each: upper half, lower half. */
  addresses: Uint32Array;
  /** Whether there may have been more values than are told apart. */
  full: boolean;
  /** By thread. */
  outside: Uint8Array;
  seen: Int32Array;
  vague: Uint8Array;
  /** By tid: what was seen before the thread's first exit or entry. */
  ahead: ReadonlyMap<number, Seen>;
};

/** What was seen within an exit, and whether that tells no more than a page. */
type Seen = { group: number; vague: number };

type Source = {
  event: string;
  value: string;
  direction?: [field: string, write: number];
  /** Of what the value tells no more than the page: a later source within the exit is more exact. */
  page?: true;
};

/** Events that tell a detail, the field that holds the value, and which value of another field means that it was written to. */
const sources: Record<DetailName, Source[]> = {
  port: [{ event: 'kvm:kvm_pio', value: 'port', direction: ['rw', 1] }],
  gpa: [
    // 0 is a read that userspace must answer, 1 a read, 2 a write.
    { event: 'kvm:kvm_mmio', value: 'gpa', direction: ['type', 2] },
    // A doorbell (ioeventfd): written to.
    { event: 'kvm:kvm_fast_mmio', value: 'gpa' },
    // arm64: where the guest's access faulted. hsr has bit 6 (WnR) for writes of data.
    { event: 'kvm:kvm_guest_fault', value: 'ipa', direction: ['hsr', 1], page: true },
  ],
  msr: [{ event: 'kvm:kvm_msr', value: 'ecx', direction: ['write', 1] }],
  userspace: [{ event: 'kvm:kvm_userspace_exit', value: 'reason' }],
};

/**
 * Finds, for each exit, the first event within it that tells the detail: the I/O port, the MMIO address, the MSR, or
 * why it went to userspace. Within means between kvm_exit and kvm_entry, in whichever order things really
 * happened: kvm_pio for an IN, for example, is traced after the read (arch/x86/kvm/x86.c).
 */
export class ExitDetail {
  /** Group of each exit that ended in the last batch, by its position among the spans. */
  group: Int32Array = new Int32Array(1024);

  readonly #name: DetailName;
  readonly #pairing: ExitPairing;
  readonly #readers: (DetailReader | undefined)[] = [];
  readonly #ids = new IdTable();
  readonly #texts = new Map<string, number>();
  readonly #labels: (DetailLabel | undefined)[] = [
    { value: undefined, direction: undefined },
    { value: 'others', direction: undefined },
  ];
  /** By thread: whether it is in the guest or out of it, and what was seen since. */
  #outside = new Uint8Array(64);
  #seen = new Int32Array(64);
  /** Whether what was seen tells no more than a page. */
  #vague = new Uint8Array(64);
  /** By tid: of threads that have not been seen to leave or enter the guest. It is for `join`. */
  readonly #ahead = new Map<number, Seen>();

  constructor(name: DetailName, pairing: ExitPairing) {
    this.#name = name;
    this.#pairing = pairing;
  }

  wants(type: EventType): boolean {
    return sources[this.#name].some((source) => source.event === type.name);
  }

  /** Takes the batch that pairing took just now. */
  batch(trace: Trace, b: EventBatch, spans: ExitSpans): void {
    this.#learnTypes(trace);
    if (this.group.length < spans.count) this.group = new Int32Array(Math.max(b.capacity, spans.count));
    let span = 0;
    for (let i = 0; i < b.count; i++) {
      const reader = this.#readers[b.type[i] as number];
      if (reader === undefined) continue;
      const thread = this.#pairing.find(b.tid[i] as number);
      if (thread >= this.#seen.length) this.#grow(thread);
      if (typeof reader === 'object' && reader.what === 'source' && (thread < 0 || this.#outside[thread] === unseen)) {
        this.#noteAhead(reader, b, i);
        continue;
      }
      if (thread < 0) continue;
      if (reader === 'exit') {
        // Where exits are only counted, the next ends the last.
        if (spans.endsAt[span] === i && span < spans.count) this.group[span++] = this.#seen[thread] as number;
        this.#outside[thread] = out;
        this.#seen[thread] = nothing;
        this.#vague[thread] = 0;
      } else if (reader === 'entry') {
        this.#outside[thread] = within;
        if (spans.endsAt[span] === i && span < spans.count) this.group[span++] = this.#seen[thread] as number;
      } else if (reader.what === 'fault') {
        if (spans.endsAt[span] === i && span < spans.count) this.group[span++] = this.#seen[thread] as number;
        this.#outside[thread] = out;
        this.#seen[thread] = this.#faultGroup(reader, b, i);
      } else if (this.#outside[thread] === out && (this.#seen[thread] === nothing || this.#vague[thread] === 1)) {
        this.#seen[thread] = this.#group(reader, b, i);
        this.#vague[thread] = reader.page ? 1 : 0;
      }
    }
  }

  /** Takes what pairing has left at the end, where exits are only counted. */
  rest(spans: ExitSpans): void {
    if (this.group.length < spans.count) this.group = new Int32Array(spans.count);
    for (let k = 0; k < spans.count; k++) this.group[k] = this.#seen[spans.thread[k] as number] ?? nothing;
  }

  part(): DetailPart {
    return {
      labels: this.#labels,
      addresses: this.#ids.values(),
      full: this.#ids.size >= maxValues || this.#texts.size >= maxValues || this.#ahead.size >= maxValues,
      outside: this.#outside,
      seen: this.#seen,
      vague: this.#vague,
      ahead: this.#ahead,
    };
  }

  /**
   * Takes over what another learnt of the stretch that follows, after pairing did, and tells the groups of what ended at the seam. Gives what that one's groups
   * are here.
   */
  join({ labels, addresses, outside, seen, vague, ahead }: DetailPart, { spans, threads }: ExitSeam): Int32Array {
    const groups = Int32Array.from(labels, (label, group) => {
      if (group < firstValue || label === undefined) return group;
      if (this.#name === 'userspace') return this.#named(label.value as string);
      const id = (group - firstValue) >> 1;
      return this.#numbered(addresses[2 * id] as number, addresses[2 * id + 1] as number, label.direction === 'write');
    });
    for (const [tid, early] of ahead) {
      const t = this.#pairing.find(tid);
      if (t < 0 || this.#outside[t] !== out || (this.#seen[t] !== nothing && this.#vague[t] === 0)) continue;
      this.#seen[t] = groups[early.group] as number;
      this.#vague[t] = early.vague;
    }
    this.rest(spans);
    threads.forEach((t, theirs) => {
      if (t >= this.#seen.length) this.#grow(t);
      this.#outside[t] = outside[theirs] as number;
      this.#seen[t] = groups[seen[theirs] as number] as number;
      this.#vague[t] = vague[theirs] as number;
    });
    return groups;
  }

  /** An event of a thread that may have been out of the guest before all that was read. */
  #noteAhead(reader: SourceReader, b: EventBatch, i: number): void {
    const tid = b.tid[i] as number;
    const known = this.#ahead.get(tid);
    if (known !== undefined && known.group !== nothing && known.vague === 0) return;
    if (known === undefined && this.#ahead.size >= maxValues) return;
    this.#ahead.set(tid, { group: this.#group(reader, b, i), vague: reader.page ? 1 : 0 });
  }

  label(group: number): DetailLabel {
    return this.#labels[group] as DetailLabel;
  }

  #group(reader: SourceReader, b: EventBatch, i: number): number {
    if (this.#name === 'userspace') return this.#named(userspaceReason(reader.value, reader.errno, b, i));
    return this.#numbered(reader.value.high(b, i), reader.value.low(b, i), reader.writes(b, i));
  }

  /** riscv: the exit itself has the address of a guest page fault, its lowest two bits apart. */
  #faultGroup({ scause, stval, htval }: FaultReader, b: EventBatch, i: number): number {
    const cause = scause.low(b, i);
    if (scause.high(b, i) !== 0 || !guestFaults.has(cause)) return nothing;
    const low = htval.low(b, i);
    const high = ((htval.high(b, i) << 2) | (low >>> 30)) >>> 0;
    return this.#numbered(high, ((low << 2) | (stval.low(b, i) & 3)) >>> 0, cause === storeFault);
  }

  #numbered(high: number, low: number, write: boolean): number {
    // Two ids for each address: read, and written to.
    let id = this.#ids.find(high, low);
    if (id < 0) {
      if (this.#ids.size >= maxValues) return others;
      id = this.#ids.id(high, low);
    }
    const group = firstValue + id * 2 + (write ? 1 : 0);
    this.#labels[group] ??= { value: hex64(high, low), direction: write ? 'write' : 'read' };
    return group;
  }

  #named(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= maxValues) return others;
    const group = this.#labels.push({ value: text, direction: undefined }) - 1;
    this.#texts.set(text, group);
    return group;
  }

  #learnTypes(trace: Trace): void {
    for (let id = this.#readers.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      const source = sources[this.#name].find((s) => s.event === type.name);
      const scause = this.#name === 'gpa' && isExit(type) ? type.reader('scause') : undefined;
      if (scause !== undefined) {
        const [stval, htval] = ['stval', 'htval'].map((name) => type.reader(name) ?? absent) as [
          FieldReader,
          FieldReader,
        ];
        this.#readers.push({ what: 'fault', scause, stval, htval });
      } else if (isExit(type)) this.#readers.push('exit');
      else if (isEntry(type)) this.#readers.push('entry');
      else if (source === undefined) this.#readers.push(undefined);
      else {
        this.#readers.push({
          what: 'source',
          value: type.reader(source.value) ?? absent,
          writes: writesOf(type, source),
          page: source.page === true,
          errno: type.reader('errno') ?? absent,
        });
      }
    }
  }

  #grow(thread: number): void {
    const length = 2 ** Math.ceil(Math.log2(thread + 1) + 1);
    this.#outside = grown(this.#outside, 0, length);
    this.#vague = grown(this.#vague, 0, length);
    this.#seen = grown(this.#seen, 0, length);
  }
}

type SourceReader = {
  what: 'source';
  value: FieldReader;
  /** Whether the event is about a write. */
  writes: (b: EventBatch, i: number) => boolean;
  page: boolean;
  errno: FieldReader;
};
type FaultReader = { what: 'fault'; scause: FieldReader; stval: FieldReader; htval: FieldReader };
type DetailReader = 'exit' | 'entry' | SourceReader | FaultReader;

/** scause of a guest page fault: of an instruction, a load, a store. */
const storeFault = 23;
const guestFaults = new Set([20, 21, storeFault]);

function writesOf(type: EventType, { direction, page }: Source): SourceReader['writes'] {
  if (direction === undefined) return () => true;
  const reader = type.reader(direction[0]) ?? absent;
  if (page !== true) return (b, i) => reader.number(b, i) === direction[1];
  // An exception class of data aborts (0x24, 0x25), and WnR.
  return (b, i) => reader.low(b, i) >>> 27 === 0x12 && ((reader.low(b, i) >>> 6) & 1) === direction[1];
}

/** include/uapi/linux/kvm.h, KVM_EXIT_* from 0 on. */
const userspaceExits = (
  'UNKNOWN EXCEPTION IO HYPERCALL DEBUG HLT MMIO IRQ_WINDOW_OPEN SHUTDOWN FAIL_ENTRY INTR SET_TPR TPR_ACCESS ' +
  'S390_SIEIC S390_RESET DCR NMI INTERNAL_ERROR OSI PAPR_HCALL S390_UCONTROL WATCHDOG S390_TSCH EPR SYSTEM_EVENT ' +
  'S390_STSI IOAPIC_EOI HYPERV ARM_NISV X86_RDMSR X86_WRMSR DIRTY_RING_FULL AP_RESET_HOLD X86_BUS_LOCK XEN ' +
  'RISCV_SBI RISCV_CSR NOTIFY LOONGARCH_IOCSR MEMORY_FAULT TDX'
).split(' ');
const interrupted = -4;

/** As the kernel prints it: KVM_RUN returned an error, EINTR being `restart`, or its reason. */
function userspaceReason(reason: FieldReader, errno: FieldReader, b: EventBatch, i: number): string {
  const error = errno.number(b, i);
  if (error === interrupted) return 'restart';
  if (error < 0) return `error ${-error}`;
  const code = reason.number(b, i);
  const name = userspaceExits[code];
  return name === undefined ? (Number.isNaN(code) ? 'unknown' : String(code)) : `KVM_EXIT_${name}`;
}

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

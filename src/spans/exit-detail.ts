import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader, hex64 } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';
import type { ExitPairing, ExitSeam, ExitSpans } from './exits.ts';

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

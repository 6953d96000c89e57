import { roleOf } from '../spans/devices.ts';
import { EventCopies } from '../spans/event-copies.ts';
import { ExitPairing, ExitSpans, type VcpuThread } from '../spans/exits.ts';
import { type LockSpans, Locks, type Mutex } from '../spans/locks.ts';
import { type PairEnd, Pairs } from '../spans/pairs.ts';
import {
  backends,
  type Facet,
  type Filled,
  operations,
  type Point,
  point,
  points,
  RequestPath,
} from '../spans/request-path.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, type FieldReader, hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { siteName } from '../views/locks.ts';
import { NamedFields } from '../views/named-fields.ts';
import { vcpuOf } from '../views/vcpu.ts';
import type { AnyFields, Hex } from './analyzer.ts';
import { argumentsOf } from './arguments.ts';
import { type EventNames, eventNames } from './event-names.ts';
import { ScriptError } from './script-error.ts';

/** When something began, from the trace's first event, and how long it took: in ns, or in ticks where nobody knows how long these are. */
export type Span = { begin: number; duration: number };

/** A vCPU out of the guest, from kvm_exit to the next kvm_entry of its thread. */
export type Exit = Span & {
  /** The kernel's name for it, as `virtap exits` has it: `hlt`, `EPT_VIOLATION`. */
  reason: string;
  /** Whether it is a halt: the guest slept of its own will. */
  halt: boolean;
  /** The vCPU's number and its VM's process; -1 where the trace does not say. */
  vcpu: number;
  vm: number;
  tid: number;
  /** CPU of the kvm_exit, -1 where the trace does not say. */
  cpu: number;
  /** Where the guest was. */
  rip: Hex;
};

/** A virtqueue element in QEMU's hands, from virtqueue_pop to virtqueue_fill, as `virtap requests` follows it. */
export type Request = Span & {
  /** `virtio-blk`; '' where nothing tells. And its address, the queue's number in it, what the queue is for: `transmit`. */
  device: string;
  vdev: Hex | '';
  queue: number;
  role: string;
  vq: Hex;
  elem: Hex;
  /** Numbers of buffers that the device writes, and reads. */
  inNum: number;
  outNum: number;
  /** What it asks, of virtio-blk and virtio-scsi: `read`, `write`, `other`; '' where that is not known. */
  operation: string;
  /** Of virtio-blk: the first sector, of 512 bytes, and how many; -1 where it is not known. And what the device returned: negative for an error. */
  sector: number;
  sectors: number;
  result: number;
  /** How many requests it was merged with to one, 1 where with none. */
  merged: number;
  /** Who carried it out: `thread pool`, `io_uring`, or ''. */
  backend: string;
  /** QEMU's process, the thread that popped it, and the vCPU's that kicked; -1 where the trace does not say. */
  pid: number;
  tid: number;
  kicker: number;
  /** When it passed which point of its path, as far as the trace tells; in the units of `begin`. */
  points: { [name in Point]?: number };
};

/** A wait for one of QEMU's mutexes, from qemu_mutex_lock to qemu_mutex_locked, or a hold, from that to qemu_mutex_unlock. */
export type Lock = Span & {
  mutex: Hex;
  /** Where it was locked: `util/main-loop.c:305`; '' where the trace does not say. */
  site: string;
  tid: number;
  pid: number;
};

/** A wait, and who had the mutex meanwhile. */
export type LockWait = Lock & {
  /** Whether another thread had it at some moment. */
  contended: boolean;
  /** The threads that had it, where they locked it, and for how much of the wait. */
  behind: { tid: number; site: string; duration: number }[];
};

/** Two events that belong together. */
export type Pair<From = AnyFields, To = AnyFields> = Span & {
  /** The arguments of both, copied. */
  from: From;
  to: To;
  /** Thread and CPU of the first. */
  tid: number;
  cpu: number;
};

/** Events of a running machine: by patterns, and for what virtap's commands learn from. */
export type Wanted = { patterns?: readonly string[]; purposes?: readonly ('exits' | 'leaks' | 'requests' | 'locks')[] };

/** Makes objects of the spans that end within a batch. */
export interface SpanSource<T extends Span = Span> {
  /** The events that it needs, for a sentence. */
  readonly needs: string;
  /** What a running machine is to be asked for. */
  readonly wanted: Wanted;
  /** Whether any event came that a span can begin or end with. */
  readonly seen: boolean;
  /** Spans that ended with the batch taken last. */
  readonly count: number;
  wants(type: EventType): boolean;
  batch(trace: Trace, b: EventBatch): void;
  /** Index in the batch of the event that span `k` ended with; they ascend. */
  endsAt(k: number): number;
  make(k: number): T;
}

export class ExitSource implements SpanSource<Exit> {
  readonly needs = 'kvm:kvm_exit and kvm:kvm_entry';
  readonly wanted: Wanted = { patterns: ['kvm:kvm_exit', 'kvm:kvm_entry'] };
  readonly #pairing = new ExitPairing({ inner: true });
  #spans = new ExitSpans();
  #trace: Trace | undefined;

  get seen(): boolean {
    return this.#pairing.counts.exits > 0 && this.#pairing.counts.entries > 0;
  }

  get count(): number {
    return this.#spans.count;
  }

  wants(type: EventType): boolean {
    return this.#pairing.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#spans = this.#pairing.batch(trace, b);
  }

  endsAt(k: number): number {
    return this.#spans.endsAt[k] as number;
  }

  make(k: number): Exit {
    const { begin, duration, thread, reason, cpu, ripHigh, ripLow } = this.#spans;
    const { threads, reasons } = this.#pairing;
    const { tid, vm, number } = vcpuOf(threads[thread[k] as number] as VcpuThread, this.#trace);
    const id = reason[k] as number;
    return {
      begin: begin[k] as number,
      duration: duration[k] as number,
      reason: reasons.names[id] as string,
      halt: reasons.halt[id] as boolean,
      vcpu: number ?? -1,
      vm: vm ?? -1,
      tid,
      cpu: cpu[k] as number,
      rip: hex64(ripHigh[k] as number, ripLow[k] as number) as Hex,
    };
  }
}

export class RequestSource implements SpanSource<Request> {
  readonly needs = 'qemu:virtqueue_pop and qemu:virtqueue_fill';
  readonly wanted: Wanted = { purposes: ['requests'] };
  readonly #path = new RequestPath((filled, _, i) => {
    this.#filled.push({ request: this.#told(filled), endsAt: i });
    return undefined;
  });
  #filled: { request: Request; endsAt: number }[] = [];

  get seen(): boolean {
    return this.#path.requests.queues.some(({ popped }) => popped > 0);
  }

  get count(): number {
    return this.#filled.length;
  }

  wants(type: EventType): boolean {
    return this.#path.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#filled = [];
    this.#path.batch(trace, b);
  }

  endsAt(k: number): number {
    return this.#filled[k]?.endsAt as number;
  }

  make(k: number): Request {
    return this.#filled[k]?.request as Request;
  }

  #told({ request, facet, times, kicker, merged, backend }: Filled): Request {
    const { queue, pop } = request;
    const { device } = queue;
    const { operation, tid } = this.#path.facets[facet] as Facet;
    const known = (n: number) => (Number.isNaN(n) ? -1 : n);
    const passed: Request['points'] = {};
    points.forEach((name, n) => {
      if (!Number.isNaN(times[n])) passed[name] = times[n] as number;
    });
    return {
      begin: pop,
      duration: (times[point.fill] as number) - pop,
      device: device?.kind === undefined ? '' : `virtio-${device.kind}`,
      vdev: device === undefined ? '' : (hex64(device.high, device.low) as Hex),
      queue: queue.number,
      role: roleOf(queue),
      vq: hex64(queue.high, queue.low) as Hex,
      elem: hex64(request.high, request.low) as Hex,
      inNum: request.in,
      outNum: request.out,
      operation: operations[operation] as string,
      sector: known(request.sector),
      sectors: known(request.sectors),
      result: request.result,
      merged,
      backend: backends[backend] as string,
      pid: queue.machine.pid,
      tid,
      kicker,
      points: passed,
    };
  }
}

/** Waits and holds come from the same events. */
class LockSource {
  readonly needs = 'qemu:qemu_mutex_lock, qemu_mutex_locked and qemu_mutex_unlock, with threads';
  readonly wanted: Wanted = { purposes: ['locks'] };
  protected readonly locks = new Locks();

  get seen(): boolean {
    return this.locks.counts.locked > 0 && this.locks.threads.length > 0;
  }

  wants(type: EventType): boolean {
    return this.locks.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.locks.batch(trace, b);
  }

  protected lock(spans: LockSpans, k: number): Lock {
    const mutex = this.locks.mutexes[spans.mutex[k] as number] as Mutex;
    return {
      begin: spans.begin[k] as number,
      duration: spans.duration[k] as number,
      mutex: hex64(mutex.high, mutex.low) as Hex,
      site: this.site(spans.site[k] as number),
      tid: this.locks.threads[spans.thread[k] as number]?.tid ?? -1,
      pid: mutex.pid,
    };
  }

  protected site(site: number): string {
    const known = this.locks.sites[site];
    return known === undefined ? '' : siteName(known);
  }
}

export class LockWaitSource extends LockSource implements SpanSource<LockWait> {
  get count(): number {
    return this.locks.waits.count;
  }

  endsAt(k: number): number {
    return this.locks.waits.endsAt[k] as number;
  }

  make(k: number): LockWait {
    const { waits, stretches, threads } = this.locks;
    const behind: LockWait['behind'] = [];
    for (let x = waits.firstStretch[k] as number; x < (waits.lastStretch[k] as number); x++) {
      behind.push({
        tid: threads[stretches.thread[x] as number]?.tid ?? -1,
        site: this.site(stretches.site[x] as number),
        duration: stretches.duration[x] as number,
      });
    }
    return { ...this.lock(waits, k), contended: waits.contended[k] === 1, behind };
  }
}

export class LockHoldSource extends LockSource implements SpanSource<Lock> {
  get count(): number {
    return this.locks.holds.count;
  }

  endsAt(k: number): number {
    return this.locks.holds.endsAt[k] as number;
  }

  make(k: number): Lock {
    return this.lock(this.locks.holds, k);
  }
}

/** What a pair begins and ends with, and the fields that both must have in common: as in `virtap pairs`. */
export type PairOptions<From extends string = string, To extends string = string> = {
  /** An event's name, with or without its system, or a pattern. */
  from: From;
  to: To;
  /** Names of fields, or tid, pid, cpu, comm, vcpu; `FROM=TO` where the two events name it differently: `'.pid=next_pid'`. */
  by: string | readonly string[];
};

/** Pairs that are open of which the first event is kept, and bytes of each. */
const maxCopies = 1 << 18;
const maxPayload = 256;

export class PairSource implements SpanSource<Pair> {
  readonly needs: string;
  readonly wanted: Wanted;
  readonly #pairs: Pairs;
  readonly #from: EventNames;
  readonly #to: EventNames;
  readonly #names = new NamedFields();
  readonly #copies = new EventCopies(maxCopies, maxPayload);
  /** Arguments of copies and of events in the batch, by type id. */
  readonly #copied: (object | undefined)[] = [];
  readonly #current: (object | undefined)[] = [];
  readonly #copyCursor: { b: EventBatch; i: number };
  readonly #cursor: { b: EventBatch; i: number };
  /** First events of the pairs that ended with the batch. */
  #firsts: AnyFields[] = [];
  #trace: Trace | undefined;

  constructor({ from, to, by }: PairOptions) {
    this.needs = `${from} and ${to}`;
    this.wanted = { patterns: [from, to] };
    this.#from = eventNames(from);
    this.#to = eventNames(to);
    this.#copyCursor = { b: this.#copies.batch, i: 0 };
    this.#cursor = { b: this.#copies.batch, i: 0 };
    const keys = (typeof by === 'string' ? by.split(',') : by).map((text) => {
      const [first = '', last = first] = text.trim().split('=');
      if (first === '' || last === '') throw new ScriptError(`by: '${text}' names no field`);
      return [first, last] as const;
    });
    const end = (names: EventNames, n: 0 | 1): PairEnd => ({
      takes: (type) => names.takes(type),
      keys: (type) => keys.map((key) => this.#key(key[n], key[n === 0 ? 1 : 0], type)),
    });
    this.#pairs = new Pairs(end(this.#from, 0), end(this.#to, 1), {
      keys: keys.length,
      local: keys.some(([first, last]) => first === last && (first === 'tid' || first === 'cpu')),
      listener: {
        began: (entry, _, b, i) => this.#copies.keep(entry, b, i),
        ended: (entry, span) => {
          this.#firsts[span] = this.#first(entry);
        },
      },
    });
  }

  get seen(): boolean {
    const { begins, ends } = this.#pairs.result();
    return begins > 0 && ends > 0;
  }

  get count(): number {
    return this.#pairs.spans.count;
  }

  wants(type: EventType): boolean {
    return this.#pairs.wants(type);
  }

  endsAt(k: number): number {
    return this.#pairs.spans.endsAt[k] as number;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#names.trace = trace;
    this.#cursor.b = b;
    this.#firsts = [];
    this.#pairs.batch(trace, b);
  }

  make(k: number): Pair {
    const { begin, duration, tid, cpu } = this.#pairs.spans;
    this.#cursor.i = this.endsAt(k);
    return {
      begin: begin[k] as number,
      duration: duration[k] as number,
      from: this.#firsts[k] as AnyFields,
      to: this.#fields(this.#current, this.#cursor),
      tid: tid[k] as number,
      cpu: cpu[k] as number,
    };
  }

  #first(entry: number): AnyFields {
    // What had no room is without arguments.
    if (!this.#copies.whole(entry)) return {};
    this.#copyCursor.i = entry;
    return this.#fields(this.#copied, this.#copyCursor);
  }

  #fields(made: (object | undefined)[], cursor: { b: EventBatch; i: number }): AnyFields {
    const id = cursor.b.type[cursor.i] as number;
    while (made.length <= id) made.push(undefined);
    made[id] ??= argumentsOf(this.#trace?.types[id] as EventType, cursor);
    return { ...made[id] };
  }

  #key(name: string, other: string, type: EventType): FieldReader {
    const reader = this.#names.key(name, other, type);
    if (reader !== undefined) return reader;
    const fields = type.fields.map((field) => field.name);
    throw new ScriptError(
      `${type.name} has no field ${name} to pair by; it has ${fields.join(', ')}, and tid, pid, cpu, comm, vcpu`,
    );
  }
}

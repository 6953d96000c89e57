import { isEntry } from '../spans/exit-events.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { Context } from './analyzer.ts';

/** Writes an offset from a trace's origin as `virtap dump` does. */
export type Stamp = (offset: number) => string;

/** The event that handlers are called for, and what they may ask about it. Nothing is worked out before it is asked. */
export class Cursor implements Context {
  b: EventBatch;
  i = 0;
  readonly #trace: Trace;
  readonly #stamp: Stamp;
  readonly #vcpuOfTid = new Map<number, number>();
  /** Readers of the vCPU's number by type id; null in types that lack it. */
  readonly #vcpuReaders: (FieldReader | null | undefined)[] = [];

  constructor(trace: Trace, empty: EventBatch, stamp: Stamp) {
    this.#trace = trace;
    this.b = empty;
    this.#stamp = stamp;
  }

  get time(): number {
    return this.b.time[this.i] as number;
  }

  get ns(): bigint {
    return this.#trace.origin + BigInt(this.b.time[this.i] as number);
  }

  get stamp(): string {
    return this.#stamp(this.b.time[this.i] as number);
  }

  get event(): string {
    return this.type.name;
  }

  get cpu(): number {
    return this.b.cpu[this.i] as number;
  }

  get tid(): number {
    return this.b.tid[this.i] as number;
  }

  get pid(): number {
    const own = this.b.pid[this.i] as number;
    return own >= 0 ? own : (this.#trace.threads.get(this.tid)?.pid ?? -1);
  }

  get comm(): string {
    return this.#trace.threads.get(this.tid)?.comm ?? '';
  }

  get vcpu(): number {
    const own = this.#vcpuReader(this.type)?.number(this.b, this.i) ?? Number.NaN;
    if (own >= 0) return own;
    const known = this.#vcpuOfTid.get(this.tid);
    if (known !== undefined) return known;
    // QEMU names its threads where it was started with `-name …,debug-threads=on`; libvirt does.
    const named = /^CPU (\d+)\//.exec(this.comm)?.[1];
    return named === undefined ? -1 : Number(named);
  }

  get vm(): number {
    return this.event.startsWith('qemu:') || this.vcpu >= 0 ? this.pid : -1;
  }

  get text(): string {
    return this.type.layout.print(this.b, this.i);
  }

  get type(): EventType {
    return this.#trace.types[this.b.type[this.i] as number] as EventType;
  }

  /** Learns from event `i`, an entry into the guest, which vCPU its thread runs. It stays the same, so that one entry of each thread is decoded. */
  note(b: EventBatch, i: number): void {
    const tid = b.tid[i] as number;
    if (this.#vcpuOfTid.has(tid)) return;
    const type = this.#trace.types[b.type[i] as number] as EventType;
    const vcpu = this.#vcpuReader(type)?.number(b, i) ?? Number.NaN;
    if (vcpu >= 0) this.#vcpuOfTid.set(tid, vcpu);
  }

  #vcpuReader(type: EventType): FieldReader | null {
    let reader = this.#vcpuReaders[type.id];
    if (reader === undefined) {
      const entry = isEntry(type) ? type.reader('id') : undefined;
      reader = type.name.startsWith('kvm') ? (type.reader('vcpu_id') ?? type.reader('vcpu') ?? entry ?? null) : null;
      this.#vcpuReaders[type.id] = reader;
    }
    return reader;
  }
}

import { isEntry, isExit } from '../spans/exit-events.ts';
import { Reasons, reasonDecoder } from '../spans/exit-reasons.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { derivedReader, parseDerivedField } from './derived-field.ts';

/** Names that every event has. */
export const generalNames = ['cpu', 'tid', 'pid', 'comm', 'event', 'vcpu'];

/** Whether an event of this type may say which vCPU its thread runs. */
export function tellsVcpu(type: EventType): boolean {
  return isEntry(type) || isExit(type);
}

/**
 * What a user may call a field: a field of the event, or `cpu`, `tid`, `pid`, `comm` (of the thread that caused it), `event`,
 * `vcpu`. A dot before it (`.pid`) means the field where an event has one of such a name. It may also be computed of such: `icr_low & 0xff`.
 */
export class NamedFields {
  /** The trace of the event that is read; to be set before. */
  trace: Trace | undefined;
  readonly #vcpus = new Map<number, number>();
  /** Readers of the vCPU's number in entries and exits by type id; null in other types. */
  readonly #vcpuReaders: (FieldReader | null | undefined)[] = [];

  /** What a name stands for in events of a type, or undefined where they lack it. */
  reader(name: string, type: EventType): FieldReader | undefined {
    switch (name) {
      case 'cpu':
        return derived((b, i) => b.cpu[i] as number);
      case 'tid':
        return derived((b, i) => b.tid[i] as number);
      case 'pid':
        return derived((b, i) => this.#pid(b, i));
      case 'comm':
        return text((b, i) => this.trace?.threads.get(b.tid[i] as number)?.comm ?? '');
      case 'event':
        return text(() => type.name);
      case 'vcpu':
        return type.reader('vcpu_id') ?? type.reader('vcpu') ?? derived((b, i) => this.#vcpu(b, i));
      default:
        return type.reader(name.replace(/^\./, '')) ?? this.#derived(name, type);
    }
  }

  #derived(name: string, type: EventType): FieldReader | undefined {
    const derived = parseDerivedField(name);
    return derived && derivedReader(derived, (one) => this.reader(one, type));
  }

  /**
   * What a name stands for as the key of one end of a pair. Where the other end's is another (`pid=next_pid`), the events' own fields are
   * meant, before what is known of the thread.
   */
  key(name: string, other: string, type: EventType): FieldReader | undefined {
    return (name === other ? undefined : type.reader(name.replace(/^\./, ''))) ?? this.reader(name, type);
  }

  /** The same as `reader`, and `reason` is the name of an exit's reason, whatever number the file has. */
  reasonOrReader(name: string, type: EventType): FieldReader | undefined {
    if (name !== 'reason' || !isExit(type)) return this.reader(name, type);
    const reasons = new Reasons();
    const decoder = reasonDecoder(type, reasons);
    return text((b, i) => reasons.names[decoder.id(b, i)] as string);
  }

  /** Notes which vCPU a thread runs, where the event says; for every entry and exit. */
  note(trace: Trace, b: EventBatch, i: number): void {
    const id = b.type[i] as number;
    let reader = this.#vcpuReaders[id];
    if (reader === undefined) {
      const type = trace.types[id] as EventType;
      reader = tellsVcpu(type) ? (type.reader('vcpu_id') ?? null) : null;
      this.#vcpuReaders[id] = reader;
    }
    if (reader === null) return;
    const vcpu = reader.number(b, i);
    if (vcpu >= 0) this.#vcpus.set(b.tid[i] as number, vcpu);
  }

  #pid(b: EventBatch, i: number): number {
    const own = b.pid[i] as number;
    return own >= 0 ? own : (this.trace?.threads.get(b.tid[i] as number)?.pid ?? -1);
  }

  /** The vCPU that the event's thread runs: as its entries say, else as QEMU names the thread (`CPU 0/KVM`). */
  #vcpu(b: EventBatch, i: number): number {
    const tid = b.tid[i] as number;
    const known = this.#vcpus.get(tid);
    if (known !== undefined) return known;
    const comm = this.trace?.threads.get(tid)?.comm ?? '';
    const named = /^CPU (\d+)\//.exec(comm)?.[1];
    return named === undefined ? -1 : Number(named);
  }
}

/** What a name of the user's stands for, in events of any type. */
export class NamedReader {
  readonly name: string;
  readonly #names: NamedFields;
  /** By type id; null where events of it have nothing of the name. */
  readonly #readers: (FieldReader | null | undefined)[] = [];

  constructor(name: string, names: NamedFields) {
    this.name = name;
    this.#names = names;
  }

  of(type: EventType): FieldReader | undefined {
    let reader = this.#readers[type.id];
    if (reader === undefined) {
      reader = this.#names.reasonOrReader(this.name, type) ?? null;
      while (this.#readers.length <= type.id) this.#readers.push(undefined);
      this.#readers[type.id] = reader;
    }
    return reader ?? undefined;
  }
}

/** A small number from elsewhere than the payload; negative where it is not known. */
function derived(value: (b: EventBatch, i: number) => number): FieldReader {
  const known = (b: EventBatch, i: number) => {
    const n = value(b, i);
    return n < 0 ? Number.NaN : n;
  };
  return {
    kind: 'int',
    number: known,
    low: (b, i) => Math.max(0, value(b, i)),
    high: () => 0,
    text: (b, i) => {
      const n = value(b, i);
      return n < 0 ? '' : String(n);
    },
  };
}

function text(value: (b: EventBatch, i: number) => string): FieldReader {
  return { kind: 'text', number: () => Number.NaN, low: () => 0, high: () => 0, text: value };
}

import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import type { ExitPairing } from './exits.ts';

/** What the guest wanted. */
export const accesses = ['', 'read', 'write', 'execute'] as const;
/** What a fault was: emulated I/O; memory that is mapped for the first time in the recording, or again; a page that may not be written to; nothing tells. */
export const faultKinds = ['unknown', 'mmio', 'first touch', 'again', 'write protection'] as const;

const [isUnknown, isMmio, isFirst, isAgain, isProtected] = [0, 1, 2, 3, 4] as const;
const [, read, write, execute] = [0, 1, 2, 3] as const;

/** Pages told apart; further ones count as touched for the first time. */
const maxPages = 1 << 20;
/** arm64's exception classes of a stage 2 fault: of an instruction's fetch, of data; and the kinds of fault of its status. */
const instructionAbort = 0x20;
const permissionFault = 0x0c;

type Role =
  | { what: 'fault'; address: FieldReader; error: FieldReader }
  | { what: 'stage 2'; address: FieldReader; syndrome: FieldReader }
  | { what: 'mmio'; address: FieldReader };

/** The memory fault for which a vCPU thread left the guest last. A handful of threads exist. */
class Fault {
  /** Whether there is one since the latest kvm_exit. */
  known = false;
  high = 0;
  low = 0;
  access = 0;
  kind: number = isUnknown;
  error = Number.NaN;
  stage2 = false;
  /** Whether access and kind are told by now. */
  settled = false;
  /** Whether KVM or QEMU did what the instruction was to do: then the guest goes on behind it. */
  emulated = false;
}

/** Which memory faults vCPU threads left the guest for: of x86 by kvm_page_fault, of arm64 by kvm_guest_fault, and what followed in the same exit. */
export class MemoryFaults {
  readonly #roles: (Role | null)[] = [];
  /** By thread of the pairing. */
  readonly #faults: Fault[] = [];
  readonly #pages = new IdTable(1024);
  readonly #pairing: ExitPairing;

  constructor(pairing: ExitPairing) {
    this.#pairing = pairing;
  }

  wants(type: EventType): boolean {
    return roleOf(type) !== null;
  }

  begin(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++)
      this.#roles.push(roleOf(trace.types[id] as EventType));
    while (this.#faults.length < this.#pairing.threads.length) this.#faults.push(new Fault());
  }

  /** The fault of a thread's exit that just ended; `vmx` is whether its error code is the qualification of an EPT violation. */
  of(thread: number, vmx: boolean): Readonly<Fault> {
    const fault = this.#faults[thread] as Fault;
    if (fault.known && !fault.settled) {
      fault.settled = true;
      if (fault.stage2) this.#stage2(fault, fault.error);
      else if (!Number.isNaN(fault.error)) this.#nested(fault, fault.error, vmx);
      if (fault.emulated) fault.kind = isMmio;
    }
    return fault;
  }

  /** A thread left the guest, or came back. */
  clear(thread: number): void {
    const fault = this.#faults[thread] as Fault;
    fault.known = false;
    fault.settled = false;
    fault.emulated = false;
  }

  take(b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === null || role === undefined) return;
    const thread = this.#pairing.find(b.tid[i] as number);
    if (thread < 0) return;
    const fault = this.#faults[thread] as Fault;
    if (role.what === 'mmio') fault.emulated = true;
    // What is emulated of one that is known already is at its address.
    if (fault.known && role.what === 'mmio') return;
    fault.known = true;
    fault.settled = false;
    fault.high = role.address.high(b, i);
    fault.low = role.address.low(b, i);
    fault.access = 0;
    fault.kind = isUnknown;
    fault.stage2 = role.what === 'stage 2';
    fault.error =
      role.what === 'stage 2' ? role.syndrome.low(b, i) : role.what === 'fault' ? role.error.low(b, i) : Number.NaN;
  }

  /** The error code of an NPF, or the qualification of an EPT violation. */
  #nested(fault: Fault, error: number, vmx: boolean): void {
    const bit = (n: number) => (error & (1 << n)) !== 0;
    fault.access = vmx ? (bit(1) ? write : bit(2) ? execute : read) : bit(1) ? write : bit(4) ? execute : read;
    // A reserved bit is how KVM marks what it emulates; VMX has an exit of its own for that.
    if (!vmx && bit(3)) fault.kind = isMmio;
    else if (vmx ? (error & 0x38) !== 0 : bit(0)) fault.kind = fault.access === write ? isProtected : isUnknown;
    else fault.kind = this.#touched(fault);
  }

  #stage2(fault: Fault, syndrome: number): void {
    const isFetch = syndrome >>> 26 === instructionAbort;
    fault.access = isFetch ? execute : (syndrome & 0x40) !== 0 ? write : read;
    if ((syndrome & 0x3c) === permissionFault) fault.kind = fault.access === write ? isProtected : isUnknown;
    else fault.kind = this.#touched(fault);
  }

  #touched({ high, low }: Fault): number {
    const page = low - (low % 4096);
    if (this.#pages.find(high, page) >= 0) return isAgain;
    if (this.#pages.size < maxPages) this.#pages.id(high, page);
    return isFirst;
  }
}

function roleOf(type: EventType): Role | null {
  const reader = (name: string) => type.reader(name) ?? absent;
  switch (type.name) {
    case 'kvm:kvm_page_fault':
      return { what: 'fault', address: reader('fault_address'), error: reader('error_code') };
    case 'kvm:kvm_guest_fault':
      return { what: 'stage 2', address: reader('ipa'), syndrome: reader('hsr') };
    case 'kvm:kvm_mmio':
    case 'kvm:kvm_fast_mmio':
      return { what: 'mmio', address: reader('gpa') };
    default:
      return null;
  }
}

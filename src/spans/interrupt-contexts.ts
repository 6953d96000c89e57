import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';
import { isSwitch, schedEvent } from './sched.ts';
import { threadRole } from './thread-roles.ts';

/** How KVM was told of an interrupt. */
export const sources = { none: 0, ipi: 1, message: 2, line: 3, accepted: 4 } as const;
export type Source = (typeof sources)[keyof typeof sources];

/** What device an interrupt is of, as far as the thread tells that told KVM of it. */
export type InterruptDevice = 'timer' | 'disk' | 'network' | 'device';

/** CPUs whose context is followed, messages and lines that are told apart, and threads whose waker is remembered. */
const maxCpus = 1 << 16;
const maxOrigins = 1 << 14;
const maxWoken = 1 << 16;

/** Pins of a PC's interrupt controllers that have one use: the timer's (PIT, HPET), the clock's, IDE's. Others are told by who drives them. */
const pins = new Map<number, InterruptDevice>([
  [0, 'timer'],
  [2, 'timer'],
  [8, 'timer'],
  [14, 'disk'],
  [15, 'disk'],
]);
/** Interrupts of arm64 below this are sent by vCPUs to each other, and below the next of a vCPU's own (its timers). */
const firstPrivate = 16;
const firstShared = 32;

type Role =
  | { what: 'leave' }
  | { what: 'switch' }
  | { what: 'wake'; thread: FieldReader; first: boolean }
  | { what: 'ipi'; vector: FieldReader }
  | { what: 'message'; address: FieldReader; data: FieldReader }
  | { what: 'pin'; vector: FieldReader }
  | { what: 'line'; gsi: FieldReader; level: FieldReader }
  | { what: 'accept'; target: FieldReader; vector: FieldReader }
  | { what: 'vgic'; target: FieldReader; irq: FieldReader; level: FieldReader };

/**
 * What each CPU was doing last for an interrupt: whoever sends one (a vCPU's IPI, a device's message or line) tells KVM of it, which accepts it for a vCPU and
 * wakes that in the same stretch of the same thread on the same CPU, without leaving it. A timer's, in contrast, is accepted by the vCPU itself.
 */
export class InterruptContexts {
  /** Whether any event came that tells of interrupts as they are accepted. */
  accepts = false;
  readonly #roles: (Role | null)[] = [];
  /** By CPU. */
  #source = new Uint8Array(16);
  #vector = new Int32Array(16).fill(-1);
  #target = new Int32Array(16).fill(-1);
  #origin = new Int32Array(16).fill(-1);
  #since = new Float64Array(16);
  /** Messages by address and data, and lines. */
  readonly #addresses = new IdTable();
  readonly #origins = new IdTable();
  /** By origin: the pin where it has one use, else how often it was told of by threads of each kind. */
  readonly #votes: { pin: InterruptDevice | undefined; disk: number; network: number; others: number }[] = [];
  /** Who woke a thread last. */
  readonly #woken = new Map<number, number>();
  #wakings = false;

  wants(type: EventType): boolean {
    return roleOf(type) !== null;
  }

  begin(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++)
      this.#roles.push(roleOf(trace.types[id] as EventType));
  }

  take(trace: Trace, b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === null || role === undefined) return;
    if (role.what === 'wake') {
      // The wake-up that follows may be traced on another CPU, of whatever is there.
      if (role.first) this.#wakings = true;
      else if (this.#wakings) return;
      const thread = role.thread.number(b, i);
      if (this.#woken.size < maxWoken || this.#woken.has(thread)) this.#woken.set(thread, b.tid[i] as number);
      return;
    }
    const cpu = b.cpu[i] as number;
    if (cpu < 0 || cpu >= maxCpus) return;
    while (cpu >= this.#source.length) this.#grow();
    if (role.what !== 'accept' && role.what !== 'pin') this.#since[cpu] = b.time[i] as number;
    switch (role.what) {
      case 'leave':
      case 'switch':
        this.#source[cpu] = sources.none;
        return;
      case 'ipi':
        this.#set(cpu, sources.ipi, role.vector.low(b, i) & 0xff, -1, -1);
        return;
      case 'message': {
        const data = role.data.low(b, i);
        const address = this.#addresses.id(0, role.address.low(b, i));
        this.#set(cpu, sources.message, data & 0xff, -1, this.#originOf(trace, b.tid[i] as number, address, data));
        return;
      }
      case 'line': {
        if (role.level.number(b, i) !== 1) return;
        const gsi = role.gsi.number(b, i);
        this.#set(cpu, sources.line, -1, -1, this.#originOf(trace, b.tid[i] as number, 0xffffffff, gsi));
        return;
      }
      // The vector that the I/O APIC has for the line.
      case 'pin':
        if (this.#source[cpu] === sources.line) this.#vector[cpu] = role.vector.low(b, i) & 0xff;
        return;
      case 'accept':
        this.accepts = true;
        if (this.#source[cpu] === sources.none) this.#set(cpu, sources.accepted, -1, -1, -1);
        this.#vector[cpu] = role.vector.number(b, i);
        this.#target[cpu] = role.target.number(b, i);
        return;
      case 'vgic': {
        if (role.level.number(b, i) !== 1) return;
        const irq = role.irq.number(b, i);
        const target = role.target.number(b, i);
        if (irq < firstPrivate) this.#set(cpu, sources.ipi, irq, target, -1);
        else if (irq < firstShared) this.#set(cpu, sources.accepted, irq, target, -1);
        else this.#set(cpu, sources.line, irq, target, this.#originOf(trace, b.tid[i] as number, 0xfffffffe, irq));
      }
    }
  }

  /** How KVM was told of the interrupt under way on a CPU, which may be for this vCPU (-1: whichever). */
  source(cpu: number, vcpu: number): Source {
    if (cpu < 0 || cpu >= this.#source.length) return sources.none;
    const target = this.#target[cpu] as number;
    if (target >= 0 && vcpu >= 0 && target !== vcpu) return sources.none;
    return this.#source[cpu] as Source;
  }

  /** Its vector, -1 where that is not known. */
  vector(cpu: number): number {
    return this.#vector[cpu] ?? -1;
  }

  /** When KVM was told. */
  since(cpu: number): number {
    return this.#since[cpu] ?? Number.NaN;
  }

  /** Which message or line it is, -1 where it is none. */
  origin(cpu: number): number {
    return this.#origin[cpu] ?? -1;
  }

  /** What device a message or line is of, by all that is known by now. */
  device(origin: number): InterruptDevice {
    const votes = this.#votes[origin];
    if (votes === undefined) return 'device';
    if (votes.pin !== undefined) return votes.pin;
    // Somebody who looks on can wake the main loop, too: one of four that a disk's thread woke is enough, as nothing else of a device's is woken by these.
    const { disk, network, others } = votes;
    if (network > disk) return 'network';
    return disk * 4 >= disk + others && disk > 0 ? 'disk' : 'device';
  }

  /** The number of a message or line, and what its device is told by: the thread that tells KVM, or the one that woke that. */
  #originOf(trace: Trace, tid: number, high: number, low: number): number {
    if (this.#origins.find(high, low) < 0 && this.#origins.size === maxOrigins) return -1;
    const origin = this.#origins.id(high, low);
    let votes = this.#votes[origin];
    if (votes === undefined) {
      votes = { pin: high === 0xffffffff ? pins.get(low) : undefined, disk: 0, network: 0, others: 0 };
      this.#votes[origin] = votes;
    }
    const comm = trace.threads.get(tid)?.comm ?? '';
    if (comm.startsWith('vhost-')) votes.network++;
    else if (isDisk(comm) || isDisk(trace.threads.get(this.#woken.get(tid) ?? -1)?.comm ?? '')) votes.disk++;
    else votes.others++;
    return origin;
  }

  #set(cpu: number, source: Source, vector: number, target: number, origin: number): void {
    this.#source[cpu] = source;
    this.#vector[cpu] = vector;
    this.#target[cpu] = target;
    this.#origin[cpu] = origin;
  }

  #grow(): void {
    this.#source = grown(this.#source);
    this.#vector = grown(this.#vector);
    this.#target = grown(this.#target);
    this.#origin = grown(this.#origin);
    this.#since = grown(this.#since);
  }
}

/** Whether a thread of QEMU's is there for disks: IOThreads, and the pool's workers. */
function isDisk(comm: string): boolean {
  const { kind } = threadRole(-1, -2, comm, undefined);
  return kind === 'iothread' || kind === 'worker';
}

function roleOf(type: EventType): Role | null {
  if (isEntry(type) || isExit(type)) return { what: 'leave' };
  if (isSwitch(type)) return { what: 'switch' };
  const reader = (...names: string[]) =>
    names.map((name) => type.reader(name)).find((one) => one !== undefined) ?? absent;
  switch (type.name) {
    case 'sched:sched_waking':
    case 'sched:sched_wakeup': {
      const event = schedEvent(type);
      const first = type.name === 'sched:sched_waking';
      return event?.what === 'wake' ? { what: 'wake', thread: event.thread, first } : null;
    }
    case 'kvm:kvm_apic_ipi':
      return { what: 'ipi', vector: reader('icr_low', 'vec') };
    case 'kvm:kvm_msi_set_irq':
      return { what: 'message', address: reader('address', 'dst'), data: reader('data', 'vec') };
    case 'kvm:kvm_set_irq':
      return { what: 'line', gsi: reader('gsi'), level: reader('level') };
    case 'kvm:kvm_ioapic_set_irq':
      return { what: 'pin', vector: reader('e', 'vec') };
    case 'kvm:kvm_apic_accept_irq':
    case 'kvm:kvm_apicv_accept_irq':
      return { what: 'accept', target: reader('apicid'), vector: reader('vec') };
    case 'kvm:vgic_update_irq_pending':
      return { what: 'vgic', target: reader('vcpu_id'), irq: reader('irq'), level: reader('level') };
    default:
      return null;
  }
}

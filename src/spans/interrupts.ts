import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry } from './exit-events.ts';

/** Interrupts followed at once: told to KVM, and injected. */
const maxPending = 1024;
/** Interrupt vectors of a CPU (x86). */
const vectors = 256;
const none = -1;

const interruptEvents = /^kvm:kvm_(msi_set_irq|set_irq|apic_accept_irq|inj_virq)$/;

type Role =
  | { what: 'raise' | 'accept' | 'inject'; vector: FieldReader }
  | { what: 'line'; level: FieldReader }
  | { what: 'entry' };

/** What follows when QEMU tells the guest that a request is done; `id` is the caller's. */
export type InterruptListener = {
  /** By which thread. */
  raised(id: number, time: number, tid: number): void;
  /** A vCPU enters the guest with it. It is over. */
  entered(id: number, time: number, tid: number): void;
  /** It is not followed any further. */
  lost(id: number): void;
};

/** `tid` is of the thread that notifies, and after the injection of the vCPU; `pid` is -1 where the trace does not say. */
type Pending = { id: number; tid: number; pid: number; vector: number };

/**
 * The way of an interrupt from QEMU's notification to the guest: KVM is told of it by the thread that notified (kvm_msi_set_irq: an irqfd, or an
 * ioctl; kvm_set_irq for a pin, whose vector the local APIC tells when it accepts it), injects it into a vCPU (kvm_inj_virq, by its vector), and the vCPU enters the guest with it. Hardware that delivers interrupts without
 * an exit (APICv, AVIC) leaves no trace of the latter two.
 */
export class Interrupts {
  /** Whether there was any event of each kind. */
  readonly seen = { raise: false, inject: false };
  readonly #listener: InterruptListener;
  readonly #processOf: (tid: number) => number;
  readonly #roles: (Role | undefined)[] = [];
  /** Those notified and not raised; raised and not injected; injected and not entered: oldest first. */
  #notified: Pending[] = [];
  readonly #raised: Pending[] = [];
  readonly #injected: Pending[] = [];

  /** `processOf` knows the process of some threads for which the trace does not say it, -1 for others. */
  constructor(listener: InterruptListener, processOf: (tid: number) => number = () => -1) {
    this.#listener = listener;
    this.#processOf = processOf;
  }

  wants(type: EventType): boolean {
    return isEntry(type) || interruptEvents.test(type.name);
  }

  begin(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      this.#roles.push(roleOf(trace.types[id] as EventType));
    }
  }

  /** QEMU notifies the guest; what follows is told under this id. */
  notified(id: number, tid: number, pid: number): void {
    // Of one thread, the next interrupt is the latest notification's.
    const before = this.#notified.findIndex((one) => one.tid === tid && one.pid === pid);
    if (before >= 0) this.#listener.lost((this.#notified.splice(before, 1)[0] as Pending).id);
    this.#push(this.#notified, { id, tid, pid, vector: none });
  }

  take(b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === undefined) return;
    const tid = b.tid[i] as number;
    const time = b.time[i] as number;
    const pid = (b.pid[i] as number) >= 0 ? (b.pid[i] as number) : this.#processOf(tid);
    if (role.what === 'entry') {
      const injected = this.#injected;
      let left = 0;
      for (let n = 0; n < injected.length; n++) {
        const one = injected[n] as Pending;
        if (one.tid === tid) this.#listener.entered(one.id, time, tid);
        else injected[left++] = one;
      }
      if (left < injected.length) injected.length = left;
      return;
    }
    if (role.what === 'line') {
      if (role.level.number(b, i) === 1) this.#raise(tid, pid, time, none);
      return;
    }
    const vector = role.vector.low(b, i) & (vectors - 1);
    if (role.what === 'raise' || role.what === 'accept') {
      for (const one of this.#raised) if (one.vector === none && one.tid === tid) one.vector = vector;
      if (role.what === 'raise') this.#raise(tid, pid, time, vector);
      return;
    }
    this.seen.inject = true;
    const raised = this.#raised;
    let left = 0;
    for (let n = 0; n < raised.length; n++) {
      const one = raised[n] as Pending;
      if (one.vector === vector && ofOne(one.pid, pid)) this.#push(this.#injected, { ...one, tid });
      else raised[left++] = one;
    }
    if (left < raised.length) raised.length = left;
  }

  /** KVM is told of an interrupt by a thread; `vector` is none where it is not known yet. */
  #raise(tid: number, pid: number, time: number, vector: number): void {
    this.seen.raise = true;
    // Where the notification's thread is not known, the next message is taken for its own; pins are used by too many others.
    const message = vector !== none;
    const at = this.#notified.findIndex((one) => one.tid === tid || (message && one.tid < 0 && ofOne(one.pid, pid)));
    if (at < 0) return;
    const [one] = this.#notified.splice(at, 1) as [Pending];
    this.#listener.raised(one.id, time, tid);
    this.#push(this.#raised, { ...one, tid, vector });
  }

  #push(list: Pending[], one: Pending): void {
    if (list.length >= maxPending) this.#listener.lost((list.shift() as Pending).id);
    list.push(one);
  }
}

/** Whether two events can be of one process. */
function ofOne(a: number, b: number): boolean {
  return a < 0 || b < 0 || a === b;
}

function roleOf(type: EventType): Role | undefined {
  if (isEntry(type)) return { what: 'entry' };
  if (type.name === 'kvm:kvm_msi_set_irq') {
    // Text has the vector, the event itself the message's data, whose low eight bits it is.
    return { what: 'raise', vector: type.reader('data') ?? type.reader('vec') ?? absent };
  }
  if (type.name === 'kvm:kvm_set_irq') return { what: 'line', level: type.reader('level') ?? absent };
  if (type.name === 'kvm:kvm_apic_accept_irq') return { what: 'accept', vector: type.reader('vec') ?? absent };
  if (type.name === 'kvm:kvm_inj_virq') {
    return { what: 'inject', vector: type.reader('vector') ?? type.reader('irq') ?? absent };
  }
  return undefined;
}

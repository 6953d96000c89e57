import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../../trace/event-type.ts';
import { NameTable } from '../../trace/name-table.ts';
import type { Trace } from '../../trace/trace.ts';
import { isEntry, isExit } from '../exit-events.ts';
import { ExitPairing, type VcpuThread } from '../exits.ts';
import { InterruptContexts, type Source, sources } from '../interrupt-contexts.ts';
import { length, number, type Readers, type RowOf, type SpanKind, type Spans, text, time } from '../kind.ts';
import { leaves, leaving, type SchedEvent, schedEvent } from '../sched.ts';
import { tableOf } from '../table.ts';
import { type Vcpu, vcpuOf } from '../vcpu.ts';
import { vcpuColumns, vcpuReaders } from './vcpu-columns.ts';

const columns = {
  begin: time('kvm_exit by which the guest asks to sleep: HLT, WFI, H_CEDE'),
  duration: length('until kvm_entry'),
  cpu: number('CPU of the kvm_exit'),
  ...vcpuColumns,
  cause: text(
    'why it woke: timer, disk, network, device (one that nothing tells), IPI (of a sibling), signal, thread (of the host, for another reason), host interrupt, polled (it never slept), unknown',
  ),
  waker: text('the thread that woke it, <idle> where an interrupt of the host did on a CPU without one'),
  vector: number('the interrupt with which it went back into the guest'),
  woken: time('the waking that ended its last sleep; -1 where it did not sleep, or nothing tells'),
  slept: length('switched out asleep → waking; -1 where nothing tells'),
  latency: length('the last waking → on a CPU; -1 where it did not sleep, or nothing tells'),
  polled: length('KVM looked for an interrupt before it let the thread sleep; -1 where nothing tells'),
};

/** A vCPU that sleeps of the guest's own will, from its halt to the next kvm_entry. */
export type Halt = RowOf<typeof columns>;

class HaltSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  cpu: 'i32',
  thread: 'i32',
  cause: 'i32',
  waker: 'i32',
  vector: 'i32',
  woken: 'f64',
  slept: 'f64',
  latency: 'f64',
  polled: 'f64',
  endsAt: 'i32',
}) {}

const causes = ['unknown', 'timer', 'device', 'disk', 'network', 'IPI', 'thread', 'signal', 'polled', 'host interrupt'];
const [unknown, timer, device, , , ipi, thread, signal, polled, hostInterrupt] = causes.map((_, id) => id) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];
/** Added to the origin of an interrupt, of whose device more may come to be known. */
const firstOrigin = 16;

/** KVM_EXIT_INTR, and -EINTR, with which KVM_RUN returns for a signal. */
const exitInterrupted = 10;
const interrupted = 4;

type Role =
  | SchedEvent
  | { what: 'exit' | 'entry' }
  | { what: 'accept'; vector: FieldReader; level: FieldReader | undefined }
  | { what: 'inject'; vector: FieldReader }
  | { what: 'wakeup'; length: FieldReader; waited: FieldReader }
  | { what: 'window'; vcpu: FieldReader; window: FieldReader; before: FieldReader }
  | { what: 'userspace'; reason: FieldReader; error: FieldReader };

/** How KVM's polling window of a vCPU developed. */
export type PollWindow = { grown: number; shrunk: number; last: number; most: number };

/** Who woke a thread, and what for, as far as KVM was told there and then. */
class Waking {
  waker = -1;
  cpu = -1;
  source: Source = sources.none;
  origin = -1;
  vector = -1;
}

/** What happened to a vCPU thread since its kvm_exit. A handful of them exist. */
class Outside {
  /** Whether it ran a vCPU so far. */
  seen = false;
  exited = false;
  /** When it was switched out asleep, and woken; NaN where it was not since. */
  off = Number.NaN;
  offCpu = -1;
  woken = Number.NaN;
  /** Whether it slept at all, for how long, and how long its last waking took. */
  sleeps = 0;
  firstOff = Number.NaN;
  slept = 0;
  latency = -1;
  wokenAt = -1;
  /** Of the last waking; and of the one that ended its last sleep. */
  readonly waking = new Waking();
  readonly woke = new Waking();
  /** What it accepted itself since, and what was injected. */
  own = -1;
  injected = -1;
  interrupted = false;
  /** As kvm_vcpu_wakeup has it. */
  halted = Number.NaN;
  haltEnd = 0;
  waited = false;
  /** KVM's polling window, NaN as long as nothing tells. */
  window = Number.NaN;
  readonly windows: PollWindow = { grown: 0, shrunk: 0, last: Number.NaN, most: 0 };

  leave(): void {
    this.exited = true;
    this.off = Number.NaN;
    this.woken = Number.NaN;
    this.sleeps = 0;
    this.firstOff = Number.NaN;
    this.slept = 0;
    this.latency = -1;
    this.wokenAt = -1;
    this.woke.waker = -1;
    this.woke.source = sources.none;
    this.own = -1;
    this.injected = -1;
    this.interrupted = false;
    this.halted = Number.NaN;
  }
}

/** Names of wakers told apart. */
const maxWakers = 4096;
const idle = '<idle>';

export class Halts implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  /** What of the events that tell more was seen. */
  readonly told = { sched: false, wakeup: false, interrupts: false };
  readonly #pairing = new ExitPairing({ inner: true });
  readonly #contexts = new InterruptContexts();
  /** Those that ended with the batch taken last. */
  readonly spans = new HaltSpans();
  /** By thread. */
  readonly #outside: Outside[] = [];
  readonly #wakers = new NameTable(maxWakers);
  readonly #roles: (Role | null)[] = [];
  /** Whether sched_waking is recorded: sched_wakeup follows it, perhaps on another CPU. */
  #wakings = false;
  #trace: Trace | undefined;

  constructor() {
    const s = this.spans;
    const of = (k: number) => s.thread[k] as number;
    this.read = {
      begin: (k) => s.begin[k] as number,
      duration: (k) => s.duration[k] as number,
      cpu: (k) => s.cpu[k] as number,
      ...vcpuReaders(of, (thread) => this.vcpu(thread)),
      cause: { id: (k) => s.cause[k] as number, name: (id) => this.#causeName(id) },
      waker: { id: (k) => s.waker[k] as number, name: (id) => this.#wakers.text(id) },
      vector: (k) => s.vector[k] as number,
      woken: (k) => s.woken[k] as number,
      slept: (k) => s.slept[k] as number,
      latency: (k) => s.latency[k] as number,
      polled: (k) => s.polled[k] as number,
    };
  }

  get seen(): boolean {
    return this.#pairing.exited && this.#pairing.entered;
  }

  get count(): number {
    return this.spans.count;
  }

  /** The vCPU of a thread, by its number here. */
  vcpu(thread: number): Vcpu {
    return vcpuOf(this.#pairing.threads[thread] as VcpuThread, this.#trace);
  }

  /** How the polling window of each vCPU thread developed, of those of which anything tells. */
  *windows(): Iterable<PollWindow & { thread: number }> {
    for (const [thread, { windows }] of this.#outside.entries())
      if (!Number.isNaN(windows.last)) yield { thread, ...windows };
  }

  wants(type: EventType): boolean {
    return [this.#pairing.wants(type), this.#contexts.wants(type), roleOf(type) !== null].includes(true);
  }

  within(window: Window): void {
    this.#pairing.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    for (let id = this.#roles.length; id < trace.types.length; id++)
      this.#roles.push(roleOf(trace.types[id] as EventType));
    this.#contexts.begin(trace);
    const exits = this.#pairing.batch(trace, b);
    while (this.#outside.length < this.#pairing.threads.length) this.#outside.push(new Outside());
    const { reasons } = this.#pairing;
    this.spans.count = 0;
    let next = 0;
    for (let i = 0; i < b.count; i++) {
      if (next < exits.count && exits.endsAt[next] === i) {
        if (reasons.halt[exits.reason[next] as number] === true) {
          const begin = exits.begin[next] as number;
          this.#ended(
            exits.thread[next] as number,
            begin,
            exits.duration[next] as number,
            exits.cpu[next] as number,
            i,
          );
        }
        (this.#outside[exits.thread[next] as number] as Outside).exited = false;
        next++;
      }
      this.#take(b, i);
      this.#contexts.take(trace, b, i);
    }
  }

  endsAt(k: number): number {
    return this.spans.endsAt[k] as number;
  }

  *open(): Iterable<Partial<Halt> & { begin: number }> {
    const { reasons } = this.#pairing;
    for (const { thread, begin, reason } of [...this.#pairing.open()].sort((a, b) => a.begin - b.begin)) {
      if (reasons.halt[reason] !== true) continue;
      const { tid, vm = -1, number: vcpu = -1 } = this.vcpu(thread);
      yield { begin, tid, pid: vm, vcpu };
    }
  }

  #take(b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === null || role === undefined) return;
    if (role.what === 'accept') this.told.interrupts = true;
    const time = b.time[i] as number;
    switch (role.what) {
      case 'switch': {
        this.told.sched = true;
        const leaver = this.#of(role.previous.number(b, i));
        if (leaver?.exited === true && leaving(role.state, b, i) !== leaves.runnable) {
          leaver.off = time;
          leaver.offCpu = b.cpu[i] as number;
          leaver.sleeps++;
          if (Number.isNaN(leaver.firstOff)) leaver.firstOff = time;
        }
        const comer = this.#of(role.next.number(b, i));
        if (comer?.exited === true) comeBack(comer, time);
        return;
      }
      case 'wake':
        this.#woken(role.thread.number(b, i), b, i);
        return;
      case 'exit':
      case 'entry': {
        const own = this.#of(b.tid[i] as number);
        if (own === undefined) return;
        own.seen = true;
        if (role.what === 'exit') own.leave();
        return;
      }
      case 'window': {
        this.#noteWindow(role, b, i);
        return;
      }
      default: {
        const own = this.#of(b.tid[i] as number);
        if (own?.exited === true) this.#happened(own, role, b, i);
      }
    }
  }

  #happened(own: Outside, role: Role, b: EventBatch, i: number): void {
    switch (role.what) {
      case 'accept':
        if (role.level !== undefined && role.level.number(b, i) !== 1) return;
        if (own.own < 0) own.own = role.vector.number(b, i);
        return;
      case 'inject':
        if (own.injected < 0) own.injected = role.vector.number(b, i);
        return;
      case 'wakeup':
        this.told.wakeup = true;
        own.halted = role.length.number(b, i);
        own.haltEnd = b.time[i] as number;
        own.waited = role.waited.kind === 'text' ? role.waited.text(b, i) === 'wait' : role.waited.number(b, i) === 1;
        return;
      case 'userspace':
        if (Math.abs(role.error.number(b, i)) === interrupted || role.reason.number(b, i) === exitInterrupted)
          own.interrupted = true;
    }
  }

  #woken(tid: number, b: EventBatch, i: number): void {
    const isWaking = this.#trace?.types[b.type[i] as number]?.name === 'sched:sched_waking';
    if (isWaking) this.#wakings = true;
    else if (this.#wakings) return;
    const own = this.#of(tid);
    // A thread may be woken while it is on its way out, a moment before that is traced.
    if (own?.exited !== true || own.woken >= own.off) return;
    const cpu = b.cpu[i] as number;
    own.woken = b.time[i] as number;
    const { waking } = own;
    waking.waker = b.tid[i] as number;
    waking.cpu = cpu;
    waking.source = this.#contexts.source(cpu, this.#pairing.threads[this.#pairing.find(tid)]?.vcpu ?? -1);
    waking.origin = this.#contexts.origin(cpu);
    waking.vector = waking.source === sources.none ? -1 : this.#contexts.vector(cpu);
  }

  #ended(of: number, begin: number, duration: number, cpu: number, i: number): void {
    const own = this.#outside[of] as Outside;
    const s = this.spans;
    const k = s.add();
    s.begin[k] = begin;
    s.duration[k] = duration;
    s.cpu[k] = cpu;
    s.thread[k] = of;
    const { woke } = own;
    const slept = own.sleeps > 0;
    const cause = this.#causeOf(own, this.vcpu(of));
    s.cause[k] = cause;
    s.waker[k] = slept && woke.waker >= 0 ? this.#wakerId(woke.waker) : -1;
    s.vector[k] =
      own.injected >= 0 ? own.injected : cause === ipi || own.own < 0 ? (slept ? woke.vector : -1) : own.own;
    s.woken[k] = own.wokenAt;
    s.slept[k] = slept || this.told.sched ? own.slept : -1;
    s.latency[k] = own.latency;
    s.polled[k] = polledOf(own);
    s.endsAt[k] = i;
  }

  #causeOf(own: Outside, vcpu: Vcpu): number {
    if (own.sleeps === 0) {
      if (this.told.sched || (!Number.isNaN(own.halted) && !own.waited)) return polled;
      return own.own >= 0 ? timer : unknown;
    }
    const { waker, source, origin } = own.woke;
    if (source === sources.ipi) return ipi;
    if (source === sources.message || source === sources.line) return origin < 0 ? device : firstOrigin + origin;
    const sibling = this.#pairing.find(waker);
    const isSibling = this.#outside[sibling]?.seen === true && this.vcpu(sibling).vm === vcpu.vm;
    // Accepted for it by who woke it, who was not seen to be told of it.
    if (source === sources.accepted) return isSibling ? ipi : device;
    if (waker < 0) return own.own >= 0 ? timer : own.interrupted ? signal : unknown;
    if (this.#contexts.accepts && own.own >= 0) return timer;
    if (own.interrupted) return signal;
    if (waker === 0) return own.own >= 0 ? timer : hostInterrupt;
    if (this.#contexts.accepts) return thread;
    // Where KVM does not trace what is sent: its timer fires on the CPU that it left, and a sibling elsewhere has sent it something.
    if (own.own >= 0 && (own.woke.cpu === own.offCpu || !isSibling)) return timer;
    if (isSibling) return ipi;
    return thread;
  }

  #causeName(id: number): string {
    if (id < firstOrigin) return causes[id] as string;
    return this.#contexts.device(id - firstOrigin);
  }

  #wakerId(tid: number): number {
    const known = this.#trace?.threads.get(tid)?.comm ?? '';
    const bytes = Buffer.from(tid === 0 ? idle : known !== '' ? known : `thread ${tid}`);
    return this.#wakers.id(bytes, 0, bytes.length);
  }

  #noteWindow({ vcpu, window, before }: Role & { what: 'window' }, b: EventBatch, i: number): void {
    const at = this.#pairing.find(b.tid[i] as number);
    const own = this.#outside[at];
    if (own === undefined || vcpu.number(b, i) < 0) return;
    const now = window.number(b, i);
    const { windows } = own;
    const was = before.number(b, i);
    if (now > was) windows.grown++;
    else if (now < was) windows.shrunk++;
    windows.last = now;
    windows.most = Math.max(windows.most, now, was);
    own.window = now;
  }

  #of(tid: number): Outside | undefined {
    const thread = this.#pairing.find(tid);
    return thread < 0 ? undefined : this.#outside[thread];
  }
}

/** A thread has a CPU again. */
function comeBack(own: Outside, time: number): void {
  if (!Number.isNaN(own.off) && !Number.isNaN(own.woken)) {
    own.slept += Math.max(0, own.woken - own.off);
    own.latency = time - own.woken;
    own.wokenAt = own.woken;
    Object.assign(own.woke, own.waking);
    // A timer's interrupt is accepted by the thread itself, once it runs.
    own.own = -1;
    own.injected = -1;
  }
  own.off = Number.NaN;
  own.woken = Number.NaN;
}

/** How long KVM polled: until it found something, or up to the sleep, as far as its window reaches. */
function polledOf({ halted, haltEnd, waited, firstOff, window }: Outside): number {
  if (Number.isNaN(halted)) return -1;
  if (!waited) return halted;
  if (Number.isNaN(firstOff) || Number.isNaN(window)) return -1;
  return Math.min(Math.max(0, firstOff - (haltEnd - halted)), window);
}

function roleOf(type: EventType): Role | null {
  if (isExit(type)) return { what: 'exit' };
  if (isEntry(type)) return { what: 'entry' };
  const sched = schedEvent(type);
  if (sched !== undefined) return sched;
  const reader = (...names: string[]) =>
    names.map((name) => type.reader(name)).find((one) => one !== undefined) ?? absent;
  switch (type.name) {
    case 'kvm:kvm_apic_accept_irq':
    case 'kvm:kvm_apicv_accept_irq':
      return { what: 'accept', vector: reader('vec'), level: undefined };
    case 'kvm:kvm_timer_update_irq':
      return { what: 'accept', vector: reader('irq'), level: reader('level') };
    case 'kvm:kvm_inj_virq':
      return { what: 'inject', vector: reader('vector', 'irq') };
    case 'kvm:kvm_vcpu_wakeup':
      return { what: 'wakeup', length: reader('ns'), waited: reader('waited') };
    case 'kvm:kvm_halt_poll_ns':
      return { what: 'window', vcpu: reader('vcpu_id'), window: reader('new'), before: reader('old') };
    case 'kvm:kvm_userspace_exit':
      return { what: 'userspace', reason: reader('reason'), error: reader('errno') };
    default:
      return null;
  }
}

export const halt = {
  name: 'halt',
  word: 'halt',
  plural: 'halts',
  meaning: 'a vCPU sleeps of the guest’s own will: kvm_exit by HLT, WFI or H_CEDE → kvm_entry',
  needs:
    'kvm:kvm_exit and kvm:kvm_entry; sched:sched_switch and sched:sched_waking tell of the sleep and of who ended it, kvm:kvm_apic_accept_irq and the like why',
  wanted: { purposes: ['wakes'] },
  columns,
  by: ['cause'],
  frequent: true,
  start: (): Halts => new Halts(),
} as const satisfies SpanKind<typeof columns>;

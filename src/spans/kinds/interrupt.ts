import { isBefore, type Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { isEntry } from '../exit-events.ts';
import { InterruptContexts, type Source, sources } from '../interrupt-contexts.ts';
import { length, number, type Readers, type RowOf, type SpanKind, type Spans, text, time } from '../kind.ts';
import { LossTable } from '../losses.ts';
import { tableOf } from '../table.ts';
import { TidTable } from '../tid-table.ts';

const columns = {
  begin: time(
    'KVM was told (kvm_apic_ipi, kvm_msi_set_irq, kvm_set_irq); else the local APIC accepted it, or it was injected',
  ),
  duration: length('until kvm_eoi, with which the guest is done; until kvm_entry where no kvm_eoi is recorded'),
  tid: number('thread of the vCPU that it is for'),
  pid: number("the VM's process"),
  vcpu: number("that vCPU's number"),
  vector: number('its vector'),
  kind: text('timer (of the vCPU itself), IPI, MSI, line, other (nothing tells who sent it)'),
  device: text('of an MSI or a line: disk, network, timer, or device where nothing tells'),
  from: number('vCPU that sent the IPI'),
  sent: length('told → kvm_apic_accept_irq'),
  waited: length('accepted → kvm_inj_virq'),
  entering: length('injected → kvm_entry'),
  handled: length('kvm_entry → kvm_eoi'),
};

/** An interrupt, from whoever sends it to the guest's being done with it. */
export type Interrupt = RowOf<typeof columns>;

class InterruptSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  vcpu: 'i32',
  vector: 'i32',
  kind: 'i32',
  origin: 'i32',
  from: 'i32',
  sent: 'f64',
  waited: 'f64',
  entering: 'f64',
  handled: 'f64',
  endsAt: 'i32',
}) {}

const kinds = ['other', 'IPI', 'MSI', 'line', 'timer'];
const [other, , , , timer] = kinds.map((_, id) => id) as [number, number, number, number, number];

const vectors = 256;
/** Vectors below are exceptions: what is delivered otherwise (NMI, INIT, SIPI) has such a number, or none. */
const firstVector = 16;
/** vCPUs that are followed. */
const maxVcpus = 1 << 12;

/** How far an interrupt is. */
const isFree = 0;
const isAccepted = 1;
const isInjected = 2;
const isEntered = 3;

type Role =
  | { what: 'entry'; vcpu: FieldReader }
  | { what: 'accept'; target: FieldReader; vector: FieldReader; mode: FieldReader; posted: boolean }
  | { what: 'inject'; vector: FieldReader; soft: FieldReader }
  | { what: 'eoi'; vector: FieldReader }
  | { what: 'late'; vcpu: FieldReader; delta: FieldReader }
  | { what: 'timer'; inUse: FieldReader }
  | { what: 'ipi'; vector: FieldReader; target: FieldReader; command: FieldReader };

/** What is known of an interrupt when it is accepted, by vector; `entriesThen` is how often its vCPU had entered the guest. */
class Told {
  readonly begin = new Float64Array(vectors);
  readonly accepted = new Float64Array(vectors);
  readonly kind = new Uint8Array(vectors);
  readonly origin = new Int32Array(vectors);
  readonly from = new Int32Array(vectors);
  readonly entriesThen = new Float64Array(vectors);
}
const stored = ['begin', 'accepted', 'kind', 'origin', 'from', 'entriesThen'] as const;

/** A vCPU's vectors. */
class Vectors {
  readonly tid: number;
  readonly pid: number;
  readonly number: number;
  readonly stage = new Uint8Array(vectors);
  /** Of each vector the interrupt under way, and the one that waits behind it. */
  readonly current = new Told();
  readonly next = new Told();
  readonly queued = new Uint8Array(vectors);
  readonly injected = new Float64Array(vectors);
  readonly entered = new Float64Array(vectors);
  readonly posted = new Uint8Array(vectors);
  /** Injected, and not entered with. */
  pending = -1;
  /** Accepted by the hardware's doing, and not entered with. */
  postedCount = 0;
  /** How often it entered the guest. */
  entries = 0;
  /** Accepted again before it was injected: the guest sees one. */
  merged = 0;
  /** How late its timer was, in cycles of the guest's TSC. */
  readonly late = { count: 0, early: 0, sum: 0, least: Number.POSITIVE_INFINITY, most: Number.NEGATIVE_INFINITY };
  /** How often its timer was handed to the hardware's, and to the host's software. */
  readonly timers = { hardware: 0, software: 0 };

  constructor(tid: number, pid: number, number: number) {
    this.tid = tid;
    this.pid = pid;
    this.number = number;
  }
}

/** An interrupt whose end did not come. */
export type OpenInterrupt = {
  begin: number;
  tid: number;
  pid: number;
  vcpu: number;
  vector: number;
  kind: string;
  from: number;
  /** `accepted`: not injected; `injected`: the vCPU has not entered with it; `entered`: the guest has not said that it is done. */
  stage: 'accepted' | 'injected' | 'entered';
  /** How often its vCPU entered the guest since. */
  entries: number;
  /** Whether events may have been lost since. */
  unsure: boolean;
};

/** IPIs that no local APIC accepted, by who sent what. */
export type Unaccepted = { from: number; vector: number; target: number; count: number; last: number };

export type TimerLateness = {
  vcpu: number;
  tid: number;
  late: number;
  early: number;
  mean: number;
  least: number;
  most: number;
  hardware: number;
  software: number;
};

/** IPIs that were not accepted are told apart up to so many. */
const maxUnaccepted = 1024;

export class Interrupts implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  /** What of the events was seen. */
  readonly told = { accept: false, inject: false, eoi: false, ipi: false, sent: false, late: false };
  /** Accepted again before they were injected; set aside for holes. */
  merged = 0;
  straddling = 0;
  /** Sent by IPIs that were accepted at once, and not. */
  readonly spans = new InterruptSpans();
  readonly #contexts = new InterruptContexts();
  readonly #losses = new LossTable();
  readonly #roles: (Role | null)[] = [];
  readonly #threads = new TidTable();
  readonly #vcpus: Vectors[] = [];
  /** By CPU: the IPI that was sent there last and not accepted so far. */
  readonly #sent = new Map<number, { from: number; vector: number; target: number; time: number }>();
  readonly #unaccepted = new Map<string, Unaccepted>();
  /** Whether the recording has events that tell when the guest is done, and when a local APIC accepts. */
  #eois = false;
  #accepted = false;
  #from = 0;
  #trace: Trace | undefined;

  constructor() {
    const s = this.spans;
    const of = (k: number) => s.vcpu[k] as number;
    this.read = {
      begin: (k) => s.begin[k] as number,
      duration: (k) => s.duration[k] as number,
      tid: { of, value: (v) => this.vcpu(v).tid },
      pid: { of, value: (v) => this.vcpu(v).pid },
      vcpu: { of, value: (v) => this.vcpu(v).number },
      vector: (k) => s.vector[k] as number,
      kind: { id: (k) => s.kind[k] as number, name: (id) => kinds[id] as string },
      device: { id: (k) => s.origin[k] as number, name: (id) => this.#contexts.device(id) },
      from: (k) => s.from[k] as number,
      sent: (k) => s.sent[k] as number,
      waited: (k) => s.waited[k] as number,
      entering: (k) => s.entering[k] as number,
      handled: (k) => s.handled[k] as number,
    };
  }

  get seen(): boolean {
    return this.told.accept || this.told.inject;
  }

  get count(): number {
    return this.spans.count;
  }

  vcpu(v: number): { tid: number; pid: number; number: number } {
    const { tid, pid, number } = this.#vcpus[v] as Vectors;
    const known = pid >= 0 ? pid : (this.#trace?.threads.get(tid)?.pid ?? -1);
    return { tid, pid: known, number };
  }

  wants(type: EventType): boolean {
    return [this.#contexts.wants(type), roleOf(type) !== null].includes(true);
  }

  within(window: Window): void {
    this.#from = window.from;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    for (let id = this.#roles.length; id < trace.types.length; id++)
      this.#roles.push(roleOf(trace.types[id] as EventType));
    this.#eois ||= this.#roles.some((role) => role?.what === 'eoi');
    this.#accepted ||= this.#roles.some((role) => role?.what === 'accept');
    this.#contexts.begin(trace);
    this.#losses.take(trace, b);
    this.spans.count = 0;
    const learns = isBefore(b, this.#from);
    for (let i = 0; i < b.count; i++) {
      const role = this.#roles[b.type[i] as number];
      if (role !== null && role !== undefined) this.#take(role, b, i, learns);
      this.#contexts.take(trace, b, i);
    }
  }

  endsAt(k: number): number {
    return this.spans.endsAt[k] as number;
  }

  *open(): Iterable<Partial<Interrupt> & { begin: number }> {
    for (const { begin, tid, pid, vcpu, vector, kind } of this.unfinished())
      yield { begin, tid, pid, vcpu, vector, kind };
  }

  /** Those that have not ended, the oldest first. */
  unfinished(): OpenInterrupt[] {
    const open: OpenInterrupt[] = [];
    const stages = ['accepted', 'accepted', 'injected', 'entered'] as const;
    this.#vcpus.forEach((one, v) => {
      const { pid } = this.vcpu(v);
      for (let vector = 0; vector < vectors; vector++) {
        const stage = one.stage[vector] as number;
        // Without kvm_eoi nobody knows when the guest is done: that it has it, is the end.
        if (stage === isFree || (stage === isEntered && !this.#eois)) continue;
        const begin = one.current.begin[vector] as number;
        if (begin < this.#from) continue;
        open.push({
          begin,
          tid: one.tid,
          pid,
          vcpu: one.number,
          vector,
          kind: kinds[one.current.kind[vector] as number] as string,
          from: one.current.from[vector] as number,
          stage: stages[stage] as OpenInterrupt['stage'],
          entries: one.entries - (one.current.entriesThen[vector] as number),
          unsure: this.#losses.some && this.#losses.straddle(begin, this.#trace?.last ?? begin, -1, -1),
        });
      }
    });
    return open.sort((a, b) => a.begin - b.begin);
  }

  unaccepted(): Unaccepted[] {
    return [...this.#unaccepted.values()].sort((a, b) => b.count - a.count);
  }

  /** Of each vCPU of which anything tells. */
  lateness(): TimerLateness[] {
    return this.#vcpus.flatMap(({ number: vcpu, tid, late, timers }) => {
      const n = late.count + late.early;
      if (n === 0 && timers.hardware + timers.software === 0) return [];
      return [
        {
          vcpu,
          tid,
          late: late.count,
          early: late.early,
          mean: n === 0 ? Number.NaN : late.sum / n,
          least: n === 0 ? Number.NaN : late.least,
          most: n === 0 ? Number.NaN : late.most,
          ...timers,
        },
      ];
    });
  }

  #take(role: Role, b: EventBatch, i: number, learns: boolean): void {
    const time = b.time[i] as number;
    const tid = b.tid[i] as number;
    switch (role.what) {
      case 'entry':
        this.#notAccepted(b.cpu[i] as number, time, learns);
        this.#enters(this.#own(tid, b.pid[i] as number, role.vcpu.number(b, i)), time, i);
        return;
      case 'accept':
        this.told.accept = true;
        this.#accepts(role, b, i, learns);
        return;
      case 'inject': {
        // INT n of the guest's own, injected again.
        if (role.soft.kind === 'int' ? role.soft.number(b, i) === 1 : role.soft.text(b, i).startsWith('Soft')) return;
        this.told.inject = true;
        const own = this.#find(tid);
        if (own !== undefined) this.#injects(own, role.vector.low(b, i) & 0xff, time);
        return;
      }
      case 'eoi': {
        this.told.eoi = true;
        const own = this.#find(tid);
        if (own === undefined) return;
        const vector = role.vector.low(b, i) & 0xff;
        // The hardware's doing is not seen before.
        if (own.posted[vector] === 1 && own.stage[vector] === isAccepted) {
          own.stage[vector] = isEntered;
          own.entered[vector] = time;
        }
        const stage = own.stage[vector];
        const isIn = stage === isInjected && !Number.isNaN(own.entered[vector]);
        if (stage === isEntered || isIn) this.#ends(own, vector, time, i);
        // One that was accepted before, whose injection is not seen yet, is another.
        if (stage !== isAccepted) this.#isDone(own, vector);
        return;
      }
      case 'late': {
        this.told.late = true;
        const own = this.#find(tid);
        const delta = role.delta.number(b, i);
        if (own === undefined || learns || Number.isNaN(delta)) return;
        if (delta < 0) own.late.early++;
        else own.late.count++;
        own.late.sum += delta;
        own.late.least = Math.min(own.late.least, delta);
        own.late.most = Math.max(own.late.most, delta);
        return;
      }
      case 'timer': {
        const own = this.#find(tid);
        if (own !== undefined && !learns) own.timers[role.inUse.number(b, i) === 1 ? 'hardware' : 'software']++;
        return;
      }
      case 'ipi': {
        this.told.ipi = true;
        const cpu = b.cpu[i] as number;
        this.#notAccepted(cpu, time, learns);
        const vector = role.vector.low(b, i) & 0xff;
        // Of delivery mode fixed or lowest priority; others have no vector.
        const command = role.command.number(b, i);
        if (vector < firstVector || (command >= 0 && ((command >> 8) & 7) > 1)) return;
        const target = role.target.number(b, i);
        this.#sent.set(cpu, { from: this.#find(tid)?.number ?? -1, vector, target, time });
      }
    }
  }

  /** An IPI is accepted at once, before its sender does anything else. */
  #notAccepted(cpu: number, time: number, learns: boolean): void {
    const sent = this.#sent.get(cpu);
    if (sent === undefined) return;
    this.#sent.delete(cpu);
    if (learns || sent.time < this.#from || !this.#accepted) return;
    if (this.#losses.some && this.#losses.straddle(sent.time, time, cpu, cpu)) return;
    const key = `${sent.from} ${sent.vector} ${sent.target}`;
    const known = this.#unaccepted.get(key);
    if (known !== undefined) {
      known.count++;
      known.last = sent.time;
    } else if (this.#unaccepted.size < maxUnaccepted) {
      const { from, vector, target } = sent;
      this.#unaccepted.set(key, { from, vector, target, count: 1, last: sent.time });
    }
  }

  #accepts(role: Role & { what: 'accept' }, b: EventBatch, i: number, learns: boolean): void {
    const cpu = b.cpu[i] as number;
    const tid = b.tid[i] as number;
    this.#sent.delete(cpu);
    const vector = role.vector.low(b, i) & 0xff;
    // APIC_DM_FIXED and APIC_DM_LOWEST.
    const mode = role.mode.number(b, i);
    if (vector < firstVector || mode > 0x100) return;
    const one = this.#target(tid, b.pid[i] as number, role.target.number(b, i));
    if (one === undefined) return;
    if (one.stage[vector] === isAccepted || one.queued[vector] === 1) {
      if (!learns) {
        one.merged++;
        this.merged++;
      }
      return;
    }
    const time = b.time[i] as number;
    const own = one.tid === tid;
    const { source, begin, origin } = this.#sourceOf(cpu, vector, time);
    // While the guest still handles the one before, it waits in the local APIC.
    const waits = one.stage[vector] !== isFree;
    if (waits) one.queued[vector] = 1;
    const at = waits ? one.next : one.current;
    at.begin[vector] = begin;
    at.accepted[vector] = time;
    at.kind[vector] = source === sources.none ? (own ? timer : other) : source;
    at.origin[vector] = origin;
    at.from[vector] = source === sources.ipi ? (this.#find(tid)?.number ?? -1) : -1;
    at.entriesThen[vector] = one.entries;
    if (waits) return;
    one.stage[vector] = isAccepted;
    one.injected[vector] = Number.NaN;
    one.entered[vector] = Number.NaN;
    one.posted[vector] = role.posted ? 1 : 0;
    if (role.posted) one.postedCount++;
  }

  /** Who sent what is accepted now, and when. */
  #sourceOf(cpu: number, vector: number, time: number): { source: Source; begin: number; origin: number } {
    const source = this.#contexts.source(cpu, -1);
    if (source === sources.ipi || source === sources.message || source === sources.line) this.told.sent = true;
    // Of a line the vector is known where the I/O APIC's event is recorded, or once one was accepted.
    const sent = this.#contexts.vector(cpu);
    const told = source !== sources.accepted && (sent === vector || (source === sources.line && sent < 0));
    if (source === sources.none || !told) return { source: sources.none, begin: time, origin: -1 };
    return { source, begin: this.#contexts.since(cpu), origin: this.#contexts.origin(cpu) };
  }

  #injects(own: Vectors, vector: number, time: number): void {
    const stage = own.stage[vector] as number;
    own.pending = vector;
    if (stage === isInjected) return;
    // What the guest could not take is injected again.
    if (stage === isFree) {
      // The PIC's, which no local APIC accepts; or accepted before the recording began.
      const { current } = own;
      current.begin[vector] = time;
      current.accepted[vector] = Number.NaN;
      current.kind[vector] = other;
      current.origin[vector] = -1;
      current.from[vector] = -1;
      current.entriesThen[vector] = own.entries;
      own.posted[vector] = 0;
      own.entered[vector] = Number.NaN;
    }
    own.stage[vector] = isInjected;
    if (stage !== isEntered) own.injected[vector] = time;
  }

  #enters(own: Vectors | undefined, time: number, i: number): void {
    if (own === undefined) return;
    own.entries++;
    if (own.postedCount > 0) {
      for (let vector = 0; vector < vectors; vector++)
        if (own.posted[vector] === 1 && own.stage[vector] === isAccepted) this.#isIn(own, vector, time, i);
      own.postedCount = 0;
    }
    if (own.pending < 0) return;
    const vector = own.pending;
    own.pending = -1;
    if (own.stage[vector] === isInjected) this.#isIn(own, vector, time, i);
  }

  #isIn(own: Vectors, vector: number, time: number, i: number): void {
    own.stage[vector] = isEntered;
    if (Number.isNaN(own.entered[vector])) own.entered[vector] = time;
    // The PIC's have no EOI of the local APIC's, and of one that was accepted before the recording nobody knows.
    if (!this.#eois || Number.isNaN(own.current.accepted[vector])) {
      this.#ends(own, vector, time, i);
      this.#isDone(own, vector);
    }
  }

  /** The next of the same vector can follow, which may have come meanwhile. */
  #isDone(own: Vectors, vector: number): void {
    own.stage[vector] = isFree;
    if (own.queued[vector] !== 1) return;
    own.queued[vector] = 0;
    own.stage[vector] = isAccepted;
    own.injected[vector] = Number.NaN;
    own.entered[vector] = Number.NaN;
    for (const name of stored) own.current[name][vector] = own.next[name][vector] as number;
  }

  #ends(own: Vectors, vector: number, end: number, i: number): void {
    const begin = own.current.begin[vector] as number;
    if (begin < this.#from) return;
    if (this.#losses.some && this.#losses.straddle(begin, end, -1, -1)) {
      this.straddling++;
      return;
    }
    const s = this.spans;
    const k = s.add();
    const between = (from: number, to: number) => (Number.isNaN(from) || Number.isNaN(to) ? -1 : to - from);
    const [accepted, injected, entered] = [own.current.accepted[vector], own.injected[vector], own.entered[vector]] as [
      number,
      number,
      number,
    ];
    s.begin[k] = begin;
    s.duration[k] = end - begin;
    s.vcpu[k] = this.#threads.find(own.tid);
    s.vector[k] = vector;
    s.kind[k] = own.current.kind[vector] as number;
    s.origin[k] = own.current.origin[vector] as number;
    s.from[k] = own.current.from[vector] as number;
    s.sent[k] = begin < accepted || own.current.kind[vector] !== timer ? between(begin, accepted) : -1;
    s.waited[k] = between(accepted, injected);
    s.entering[k] = between(injected, entered);
    s.handled[k] = end === entered ? -1 : between(entered, end);
    s.endsAt[k] = i;
  }

  /** The vCPU of a thread that enters the guest. */
  #own(tid: number, pid: number, number: number): Vectors | undefined {
    if (tid < 0) return undefined;
    const known = this.#find(tid);
    if (known !== undefined || Number.isNaN(number) || this.#vcpus.length === maxVcpus) return known;
    this.#threads.set(tid, this.#vcpus.length);
    const one = new Vectors(tid, pid, number);
    this.#vcpus.push(one);
    return one;
  }

  #find(tid: number): Vectors | undefined {
    const at = this.#threads.find(tid);
    return at < 0 ? undefined : this.#vcpus[at];
  }

  /** The vCPU that an interrupt is accepted for: the thread's own, else the one of its VM with that number, where there is one only. */
  #target(tid: number, pid: number, apic: number): Vectors | undefined {
    const own = this.#find(tid);
    if (own?.number === apic) return own;
    const process = pid >= 0 ? pid : (this.#trace?.threads.get(tid)?.pid ?? -1);
    let found: Vectors | undefined;
    for (const one of this.#vcpus) {
      if (one.number !== apic) continue;
      const its = one.pid >= 0 ? one.pid : (this.#trace?.threads.get(one.tid)?.pid ?? -1);
      if (
        process >= 0 &&
        its >= 0 &&
        its !== process &&
        this.#trace?.threads.get(tid)?.comm.startsWith('vhost-') !== true
      )
        continue;
      if (found !== undefined) return undefined;
      found = one;
    }
    return found;
  }
}

function roleOf(type: EventType): Role | null {
  const reader = (...names: string[]) =>
    names.map((name) => type.reader(name)).find((one) => one !== undefined) ?? absent;
  if (isEntry(type)) return { what: 'entry', vcpu: reader('vcpu_id', 'vcpu') };
  switch (type.name) {
    case 'kvm:kvm_apic_accept_irq':
    case 'kvm:kvm_apicv_accept_irq': {
      const posted = type.name.includes('apicv');
      return { what: 'accept', target: reader('apicid'), vector: reader('vec'), mode: reader('dm'), posted };
    }
    case 'kvm:kvm_inj_virq':
      return { what: 'inject', vector: reader('vector', 'irq'), soft: reader('soft') };
    case 'kvm:kvm_eoi':
      return { what: 'eoi', vector: reader('vector') };
    case 'kvm:kvm_wait_lapic_expire':
      return { what: 'late', vcpu: reader('vcpu_id'), delta: reader('delta') };
    case 'kvm:kvm_hv_timer_state':
      return { what: 'timer', inUse: reader('hv_timer_in_use') };
    case 'kvm:kvm_apic_ipi':
      return {
        what: 'ipi',
        vector: reader('icr_low', 'vec'),
        target: reader('dest_id', 'dst'),
        command: type.reader('icr_low') ?? absent,
      };
    default:
      return null;
  }
}

export const interrupt = {
  name: 'interrupt',
  word: 'interrupt',
  plural: 'interrupts',
  meaning: 'an interrupt for a vCPU: told to KVM → accepted → injected → kvm_entry → EOI (x86)',
  needs:
    'kvm:kvm_apic_accept_irq, kvm:kvm_inj_virq and kvm:kvm_entry; kvm:kvm_apic_ipi, kvm:kvm_msi_set_irq and kvm:kvm_set_irq tell who sent it, kvm:kvm_eoi when the guest is done',
  wanted: { purposes: ['interrupts'] },
  columns,
  by: ['vector', 'kind', 'device'],
  frequent: true,
  start: (): Interrupts => new Interrupts(),
} as const satisfies SpanKind<typeof columns>;

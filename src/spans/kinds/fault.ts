import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { ExitPairing, type VcpuThread } from '../exits.ts';
import { hex, length, number, type Readers, type SpanKind, type Spans, text, time } from '../kind.ts';
import { accesses, faultKinds, MemoryFaults } from '../memory-faults.ts';
import { tableOf } from '../table.ts';
import { type Vcpu, vcpuOf } from '../vcpu.ts';
import { vcpuColumns, vcpuReaders } from './vcpu-columns.ts';

const columns = {
  begin: time('kvm_exit'),
  duration: length('until kvm_entry'),
  cpu: number('CPU of the kvm_exit'),
  ...vcpuColumns,
  what: text(
    'mmio (emulated), first touch (of a page, in this recording), again (it had been touched: swapped or ballooned out, moved), write protection (dirty logging, page tables of a nested guest, copies on write), unknown',
  ),
  access: text('read, write or execute'),
  address: hex("the guest's physical address"),
  region: hex('the 2 MiB in which it lies'),
  rip: hex('where the guest was'),
  reason: text("the exit's name"),
};

class FaultSpans extends tableOf({
  begin: 'f64',
  duration: 'f64',
  cpu: 'i32',
  thread: 'i32',
  what: 'i32',
  access: 'i32',
  high: 'u32',
  low: 'u32',
  ripHigh: 'u32',
  ripLow: 'u32',
  reason: 'i32',
  endsAt: 'i32',
}) {}

const regionSize = 1 << 21;

/** An exit that repeats at one rip, for one reason and address, without another between. */
export type Stall = {
  begin: number;
  duration: number;
  vcpu: Vcpu;
  count: number;
  reason: string;
  ripHigh: number;
  ripLow: number;
  /** The guest's physical address; undefined where the exits are for none. */
  address: { high: number; low: number } | undefined;
};

/** How often an exit repeats until that is told: a fault that nothing was emulated for should be gone after one; others can be a guest that polls. */
const fewFaults = 3;
const manyExits = 1000;
/** Stalls that are kept, the longest. */
const maxStalls = 100;

/** The exits of a thread that repeat. */
class Run {
  count = 0;
  /** All exits of the thread. */
  exits = 0;
  begin = 0;
  end = 0;
  reason = -1;
  ripHigh = 0;
  ripLow = 0;
  isFault = false;
  high = 0;
  low = 0;
  emulated = false;
}

export class Faults implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  readonly #pairing = new ExitPairing({ inner: true });
  readonly #faults = new MemoryFaults(this.#pairing);
  readonly #spans = new FaultSpans();
  /** By thread. */
  readonly #runs: Run[] = [];
  readonly #stalls: { thread: number; run: Run }[] = [];
  /** By reason: whether it is VMX's. */
  readonly #vmx: boolean[] = [];
  #trace: Trace | undefined;

  constructor() {
    const s = this.#spans;
    const { names } = this.#pairing.reasons;
    const of = (k: number) => s.thread[k] as number;
    const vcpu = (thread: number) => this.#vcpu(thread);
    this.read = {
      begin: (k) => s.begin[k] as number,
      duration: (k) => s.duration[k] as number,
      cpu: (k) => s.cpu[k] as number,
      ...vcpuReaders(of, vcpu),
      what: { id: (k) => s.what[k] as number, name: (id) => faultKinds[id] as string },
      access: { id: (k) => (s.access[k] as number) - 1, name: (id) => accesses[id + 1] as string },
      address: { high: (k) => s.high[k] as number, low: (k) => s.low[k] as number },
      region: {
        high: (k) => s.high[k] as number,
        low: (k) => (s.low[k] as number) - ((s.low[k] as number) % regionSize),
      },
      rip: { high: (k) => s.ripHigh[k] as number, low: (k) => s.ripLow[k] as number },
      reason: { id: (k) => s.reason[k] as number, name: (id) => names[id] as string },
    };
  }

  get seen(): boolean {
    return this.#pairing.exited && this.#pairing.entered;
  }

  get count(): number {
    return this.#spans.count;
  }

  wants(type: EventType): boolean {
    return [this.#pairing.wants(type), this.#faults.wants(type)].includes(true);
  }

  within(window: Window): void {
    this.#pairing.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    const exits = this.#pairing.batch(trace, b);
    this.#faults.begin(trace);
    while (this.#runs.length < this.#pairing.threads.length) this.#runs.push(new Run());
    const { names } = this.#pairing.reasons;
    const s = this.#spans;
    s.count = 0;
    let next = 0;
    for (let i = 0; i < b.count; i++) {
      if (next === exits.count || exits.endsAt[next] !== i) {
        this.#faults.take(b, i);
        continue;
      }
      const thread = exits.thread[next] as number;
      const reason = exits.reason[next] as number;
      this.#vmx[reason] ??= (names[reason] as string).startsWith('EPT');
      const fault = this.#faults.of(thread, this.#vmx[reason] as boolean);
      const begin = exits.begin[next] as number;
      const duration = exits.duration[next] as number;
      const ripHigh = exits.ripHigh[next] as number;
      const ripLow = exits.ripLow[next] as number;
      this.#repeats(thread, { begin, end: begin + duration, reason, ripHigh, ripLow }, fault);
      if (fault.known) {
        const k = s.add();
        s.begin[k] = begin;
        s.duration[k] = duration;
        s.cpu[k] = exits.cpu[next] as number;
        s.thread[k] = thread;
        s.what[k] = fault.kind;
        s.access[k] = fault.access;
        s.high[k] = fault.high;
        s.low[k] = fault.low;
        s.ripHigh[k] = ripHigh;
        s.ripLow[k] = ripLow;
        s.reason[k] = reason;
        s.endsAt[k] = i;
      }
      this.#faults.clear(thread);
      next++;
    }
  }

  endsAt(k: number): number {
    return this.#spans.endsAt[k] as number;
  }

  *open(): Iterable<never> {}

  /** Exits that repeated without getting further, the most frequent first. */
  stalls(): Stall[] {
    const all = [
      ...this.#stalls,
      ...this.#runs.map((run, thread) => ({ run, thread })).filter(({ run }) => isStall(run) || isAll(run)),
    ];
    return all
      .map(({ thread, run }) => ({
        begin: run.begin,
        duration: run.end - run.begin,
        vcpu: this.#vcpu(thread),
        count: run.count,
        reason: this.#pairing.reasons.names[run.reason] as string,
        ripHigh: run.ripHigh,
        ripLow: run.ripLow,
        address: run.isFault ? { high: run.high, low: run.low } : undefined,
      }))
      .sort((a, b) => b.count - a.count)
      .slice(0, maxStalls);
  }

  #repeats(
    thread: number,
    exit: { begin: number; end: number; reason: number; ripHigh: number; ripLow: number },
    fault: { known: boolean; high: number; low: number; emulated: boolean; kind: number },
  ): void {
    const run = this.#runs[thread] as Run;
    // A guest that sleeps does so at one place.
    const isHalt = this.#pairing.reasons.halt[exit.reason] === true;
    const same =
      !isHalt &&
      run.count > 0 &&
      run.reason === exit.reason &&
      run.ripLow === exit.ripLow &&
      run.ripHigh === exit.ripHigh &&
      run.isFault === fault.known &&
      (!fault.known || (run.high === fault.high && run.low === fault.low));
    if (!same) {
      if (isStall(run)) this.#keep(thread, run);
      run.count = 0;
      run.begin = exit.begin;
      run.emulated = false;
    }
    run.end = exit.end;
    run.exits++;
    if (isHalt) return;
    run.count++;
    run.reason = exit.reason;
    run.ripHigh = exit.ripHigh;
    run.ripLow = exit.ripLow;
    run.isFault = fault.known;
    run.high = fault.high;
    run.low = fault.low;
    run.emulated ||= fault.emulated || fault.kind === 1;
  }

  #keep(thread: number, run: Run): void {
    if (this.#stalls.length >= 2 * maxStalls) {
      this.#stalls.sort((a, b) => b.run.count - a.run.count);
      this.#stalls.length = maxStalls;
    }
    this.#stalls.push({ thread, run: Object.assign(new Run(), run) });
  }

  #vcpu(thread: number): Vcpu {
    return vcpuOf(this.#pairing.threads[thread] as VcpuThread, this.#trace);
  }
}

/** At the end of a recording that shows nothing else of the vCPU, as a piece that somebody pasted: twice is enough. */
function isAll({ count, exits, isFault, emulated, ripHigh, ripLow }: Run): boolean {
  return isFault && !emulated && count > 1 && count === exits && (ripHigh !== 0 || ripLow !== 0);
}

function isStall({ count, isFault, emulated, ripHigh, ripLow }: Run): boolean {
  if (ripHigh === 0 && ripLow === 0) return false;
  return count >= (isFault && !emulated ? fewFaults : manyExits);
}

export const fault = {
  name: 'fault',
  word: 'fault',
  plural: 'faults',
  meaning:
    "a vCPU out of the guest for a fault of the guest's memory: kvm_exit, kvm_page_fault (kvm_guest_fault, kvm_mmio) → kvm_entry",
  needs:
    'kvm:kvm_exit, kvm:kvm_entry, and kvm:kvm_page_fault (arm64: kvm:kvm_guest_fault); kvm:kvm_mmio and kvm:kvm_fast_mmio tell what is emulated',
  wanted: { purposes: ['exits'] },
  columns,
  by: ['what', 'access'],
  frequent: true,
  start: (): Faults => new Faults(),
} as const satisfies SpanKind<typeof columns>;

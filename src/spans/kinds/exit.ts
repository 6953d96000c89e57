import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { ExitPairing, type ExitPart, ExitSpans, type VcpuThread } from '../exits.ts';
import {
  flag,
  hex,
  type Joining,
  length,
  number,
  type Readers,
  type RowOf,
  renamed,
  type SpanKind,
  type Spans,
  text,
  time,
} from '../kind.ts';
import { type Vcpu, vcpuOf } from '../vcpu.ts';
import { vcpuColumns, vcpuReaders } from './vcpu-columns.ts';

const columns = {
  begin: time('kvm_exit'),
  duration: length('until kvm_entry'),
  cpu: number('CPU of the kvm_exit'),
  ...vcpuColumns,
  pid: renamed(vcpuColumns.pid, 'vm'),
  reason: text("the kernel's name for it: hlt, EPT_VIOLATION"),
  halt: flag('the guest slept of its own will'),
  rip: hex('where the guest was'),
};

/** A vCPU out of the guest, from kvm_exit to the next kvm_entry of its thread. */
export type Exit = RowOf<typeof columns>;

class Exits implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  readonly #pairing = new ExitPairing({ inner: true });
  #spans = new ExitSpans();
  readonly joining: Joining = {
    part: () => this.#pairing.part(),
    accepts: (part) => this.#pairing.accepts(part as ExitPart),
    join: (trace, part) => {
      this.#trace = trace;
      const { spans, threads, reasons } = this.#pairing.join(part as ExitPart);
      this.#spans = spans;
      return (column, id) => (column === 'reason' ? reasons : threads)[id] as number;
    },
  };
  #trace: Trace | undefined;

  constructor() {
    const { reasons } = this.#pairing;
    const { names } = reasons;
    const of = (k: number) => this.#spans.thread[k] as number;
    this.read = {
      begin: (k) => this.#spans.begin[k] as number,
      duration: (k) => this.#spans.duration[k] as number,
      cpu: (k) => this.#spans.cpu[k] as number,
      ...vcpuReaders(of, (thread) => this.#vcpu(thread)),
      reason: { id: (k) => this.#spans.reason[k] as number, name: (id) => names[id] as string },
      halt: (k) => reasons.halt[this.#spans.reason[k] as number] as boolean,
      rip: { low: (k) => this.#spans.ripLow[k] as number, high: (k) => this.#spans.ripHigh[k] as number },
    };
  }

  get seen(): boolean {
    return this.#pairing.exited && this.#pairing.entered;
  }

  get count(): number {
    return this.#spans.count;
  }

  wants(type: EventType): boolean {
    return this.#pairing.wants(type);
  }

  within(window: Window): void {
    this.#pairing.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#spans = this.#pairing.batch(trace, b);
  }

  endsAt(k: number): number {
    return this.#spans.endsAt[k] as number;
  }

  *open(): Iterable<Partial<Exit> & { begin: number }> {
    const { reasons } = this.#pairing;
    for (const { thread, begin, reason } of [...this.#pairing.open()].sort((a, b) => a.begin - b.begin)) {
      const { tid, vm = -1, number: vcpu = -1 } = this.#vcpu(thread);
      yield {
        begin,
        tid,
        pid: vm,
        vcpu,
        reason: reasons.names[reason] as string,
        halt: reasons.halt[reason] as boolean,
      };
    }
  }

  #vcpu(thread: number): Vcpu {
    return vcpuOf(this.#pairing.threads[thread] as VcpuThread, this.#trace);
  }
}

export const exit = {
  name: 'exit',
  word: 'exit',
  plural: 'exits',
  meaning: 'a vCPU out of the guest: kvm_exit → kvm_entry',
  needs: 'kvm:kvm_exit and kvm:kvm_entry',
  wanted: { patterns: ['kvm:kvm_exit', 'kvm:kvm_entry'] },
  columns,
  by: ['reason'],
  apart: 'halt',
  start: (): Spans<typeof columns> => new Exits(),
} as const satisfies SpanKind<typeof columns>;

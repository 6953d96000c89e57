import type { EventBatch } from '../../trace/batch.ts';
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
import { MadeSpans } from './made.ts';
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

class Exits extends MadeSpans implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  protected readonly maker = new ExitPairing({ inner: true });
  protected table = new ExitSpans();
  readonly joining: Joining = {
    part: () => this.maker.part(),
    accepts: (part) => this.maker.accepts(part as ExitPart),
    join: (trace, part) => {
      this.trace = trace;
      const { spans, threads, reasons } = this.maker.join(part as ExitPart);
      this.table = spans;
      return (column, id) => (column === 'reason' ? reasons : threads)[id] as number;
    },
  };

  constructor() {
    super();
    const { reasons } = this.maker;
    const { names } = reasons;
    this.read = {
      begin: (k) => this.table.begin[k] as number,
      duration: (k) => this.table.duration[k] as number,
      cpu: (k) => this.table.cpu[k] as number,
      ...vcpuReaders(
        (k) => this.table.thread[k] as number,
        (thread) => this.#vcpu(thread),
      ),
      reason: { id: (k) => this.table.reason[k] as number, name: (id) => names[id] as string },
      halt: (k) => reasons.halt[this.table.reason[k] as number] as boolean,
      rip: { low: (k) => this.table.ripLow[k] as number, high: (k) => this.table.ripHigh[k] as number },
    };
  }

  get seen(): boolean {
    return this.maker.exited && this.maker.entered;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.table = this.maker.batch(trace, b);
  }

  *open(): Iterable<Partial<Exit> & { begin: number }> {
    const { reasons } = this.maker;
    for (const { thread, begin, reason } of [...this.maker.open()].sort((a, b) => a.begin - b.begin)) {
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
    return vcpuOf(this.maker.threads[thread] as VcpuThread, this.trace);
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

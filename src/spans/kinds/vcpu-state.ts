import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { ExitPairing, type ExitPart, type VcpuThread } from '../exits.ts';
import { type Joining, length, type Readers, type RowOf, type SpanKind, type Spans, text, time } from '../kind.ts';
import { tableOf } from '../table.ts';
import { vcpuOf } from '../vcpu.ts';
import { VcpuTime, type VcpuTimePart, vcpuStates } from '../vcpu-time.ts';
import { MadeSpans } from './made.ts';
import { vcpuColumns, vcpuReaders } from './vcpu-columns.ts';

const columns = {
  begin: time('when it began'),
  duration: length('until the vCPU did something else'),
  ...vcpuColumns,
  state: text('guest, kvm, qemu, lock, blocked, preempted, halted or unsure, as virtap vcpus tells them apart'),
};

/** A vCPU in one state, without a break. */
export type VcpuStretch = RowOf<typeof columns>;

class StateSpans extends tableOf({ begin: 'f64', duration: 'f64', thread: 'i32', state: 'i32', endsAt: 'i32' }) {}

type Part = { pairing: ExitPart; time: VcpuTimePart; untold: boolean };

class VcpuStates extends MadeSpans implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  readonly #pairing = new ExitPairing();
  protected readonly table = new StateSpans();
  readonly #time = new VcpuTime(this.#pairing, {
    stretch: (thread, state, begin, end) => {
      // Without exits, nobody knows when it was in the guest.
      if (!this.seen) {
        this.#untold = true;
        return;
      }
      const s = this.table;
      const k = s.add();
      s.begin[k] = begin;
      s.duration[k] = end - begin;
      s.thread[k] = thread;
      s.state[k] = state;
      s.endsAt[k] = this.#time.at;
    },
  });
  protected readonly maker = {
    wants: (type: EventType) => this.#time.wants(type),
    /** A state that lasts already when the stretch begins, begins with it. */
    within: (window: Window) => {
      this.#pairing.within(window);
      this.#time.within(window);
    },
  };
  /** Whether there were any that nobody was told of. */
  #untold = false;
  readonly joining: Joining = {
    inMiddle: () => this.#time.inMiddle(),
    part: (): Part => ({ pairing: this.#pairing.part(), time: this.#time.part(), untold: this.#untold }),
    accepts: (part) => {
      const { pairing, time, untold } = part as Part;
      return this.seen && !untold && this.#pairing.accepts(pairing) && this.#time.accepts(time, pairing.threads);
    },
    join: (trace, part) => {
      const { pairing, time } = part as Part;
      this.trace = trace;
      this.table.count = 0;
      const { threads } = this.#pairing.join(pairing);
      this.#time.join(trace, time, threads);
      return (column, id) => (column === 'state' ? id : (threads[id] as number));
    },
  };

  constructor() {
    super();
    const s = this.table;
    this.read = {
      begin: (k) => s.begin[k] as number,
      duration: (k) => s.duration[k] as number,
      ...vcpuReaders(
        (k) => s.thread[k] as number,
        (thread) => vcpuOf(this.#pairing.threads[thread] as VcpuThread, this.trace),
      ),
      state: { id: (k) => s.state[k] as number, name: (id) => vcpuStates[id] as string },
    };
  }

  get seen(): boolean {
    return this.#pairing.exited && this.#pairing.entered;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.table.count = 0;
    this.#pairing.batch(trace, b);
    this.#time.batch(trace, b);
  }

  finish(end: number): void {
    this.table.count = 0;
    this.#time.finish(end);
  }

  /** A state that lasts until the end of the trace ends with it. */
  *open(): Iterable<never> {}
}

export const vcpuState = {
  name: 'vcpuState',
  word: 'state',
  plural: 'states',
  meaning: 'a vCPU in one state without a break: in the guest, in KVM, in QEMU, preempted, halted, …',
  needs: 'kvm:kvm_exit and kvm:kvm_entry',
  wanted: { purposes: ['exits'] },
  columns,
  by: ['state'],
  frequent: true,
  start: (): Spans<typeof columns> => new VcpuStates(),
} as const satisfies SpanKind<typeof columns>;

import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { ExitPairing, type VcpuThread } from '../exits.ts';
import { length, number, type Readers, type RowOf, type SpanKind, type Spans, text, time } from '../kind.ts';
import { type PairEnd, Pairs } from '../pairs.ts';
import { leaves, leaving, schedEvent } from '../sched.ts';
import { tableOf } from '../table.ts';
import { vcpuOf } from '../vcpu.ts';

const columns = {
  begin: time('sched_switch from the vCPU thread'),
  duration: length('until sched_switch to it on another CPU'),
  cpu: number('CPU that it left'),
  to: number('CPU that it came to'),
  tid: number("the vCPU's thread"),
  pid: number("the VM's process"),
  vcpu: number("the vCPU's number in its VM"),
  left: text('how it left: preempted (able to run) or asleep'),
};

/** A vCPU thread between two CPUs. */
export type Migration = RowOf<typeof columns>;

class Moves extends tableOf({
  begin: 'f64',
  duration: 'f64',
  cpu: 'i32',
  to: 'i32',
  thread: 'i32',
  left: 'u8',
  endsAt: 'i32',
}) {}

/** By `leaves`. */
const ways = ['preempted', 'asleep', 'gone'];

class Migrations implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  readonly #vcpus = new ExitPairing();
  readonly #moves = new Moves();
  readonly #switches = new Pairs(onSwitch('previous'), onSwitch('next'), {
    keys: 1,
    note: (trace, b, i) => {
      const event = schedEvent(trace.types[b.type[i] as number] as EventType);
      return event?.what === 'switch' ? leaving(event.state, b, i) : leaves.asleep;
    },
  });
  /** By thread: when it was seen to be a vCPU's. */
  readonly #since: number[] = [];
  #trace: Trace | undefined;

  constructor() {
    const moves = this.#moves;
    const vcpu = (k: number) => vcpuOf(this.#vcpus.threads[moves.thread[k] as number] as VcpuThread, this.#trace);
    this.read = {
      begin: (k) => moves.begin[k] as number,
      duration: (k) => moves.duration[k] as number,
      cpu: (k) => moves.cpu[k] as number,
      to: (k) => moves.to[k] as number,
      tid: (k) => vcpu(k).tid,
      pid: (k) => vcpu(k).vm ?? -1,
      vcpu: (k) => vcpu(k).number ?? -1,
      left: { id: (k) => moves.left[k] as number, name: (id) => ways[id] as string },
    };
  }

  get seen(): boolean {
    return this.#vcpus.threads.length > 0 && this.#switches.result().ends > 0;
  }

  get count(): number {
    return this.#moves.count;
  }

  wants(type: EventType): boolean {
    return [this.#vcpus.wants(type), this.#switches.wants(type)].includes(true);
  }

  within(window: Window): void {
    this.#vcpus.within(window);
    this.#switches.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#learnThreads(trace, b);
    const { count, begin, duration, cpu, note, endsAt } = this.#switches.batch(trace, b);
    const moves = this.#moves;
    moves.count = 0;
    for (let k = 0; k < count; k++) {
      const at = endsAt[k] as number;
      const to = b.cpu[at] as number;
      if (to === cpu[k] || to < 0) continue;
      const next = this.#next(trace, b, at);
      const thread = next < 0 ? -1 : this.#vcpus.find(next);
      if (thread < 0 || (begin[k] as number) + (duration[k] as number) < (this.#since[thread] as number)) continue;
      const n = moves.add();
      moves.begin[n] = begin[k] as number;
      moves.duration[n] = duration[k] as number;
      moves.cpu[n] = cpu[k] as number;
      moves.to[n] = to;
      moves.thread[n] = thread;
      moves.left[n] = note[k] as number;
      moves.endsAt[n] = at;
    }
  }

  endsAt(k: number): number {
    return this.#moves.endsAt[k] as number;
  }

  /** A thread that has not come back may come back where it was: that is no migration yet. */
  *open(): Iterable<never> {}

  /** A thread is a vCPU's from its first kvm_exit or kvm_entry on, wherever batches end. */
  #learnThreads(trace: Trace, b: EventBatch): void {
    const { threads } = this.#vcpus;
    this.#vcpus.batch(trace, b);
    for (let i = 0; this.#since.length < threads.length && i < b.count; i++) {
      const { tid } = threads[this.#since.length] as VcpuThread;
      if (b.tid[i] === tid && this.#vcpus.wants(trace.types[b.type[i] as number] as EventType)) {
        this.#since.push(b.time[i] as number);
      }
    }
  }

  #next(trace: Trace, b: EventBatch, i: number): number {
    const event = schedEvent(trace.types[b.type[i] as number] as EventType);
    return event?.what === 'switch' ? event.next.number(b, i) : -1;
  }
}

function onSwitch(end: 'previous' | 'next'): PairEnd {
  return {
    takes: (type) => type.name === 'sched:sched_switch',
    keys: (type) => {
      const event = schedEvent(type);
      return [event?.what === 'switch' ? event[end] : undefined];
    },
  };
}

export const migration = {
  name: 'migration',
  word: 'migration',
  plural: 'migrations',
  meaning: 'a vCPU thread goes to another CPU: sched_switch from it → sched_switch to it elsewhere',
  needs: 'sched:sched_switch, and kvm:kvm_entry, which tells the threads of vCPUs',
  wanted: { patterns: ['sched:sched_switch', 'kvm:kvm_exit', 'kvm:kvm_entry'] },
  columns,
  by: ['vcpu', 'left'],
  start: (): Spans<typeof columns> => new Migrations(),
} as const satisfies SpanKind<typeof columns>;

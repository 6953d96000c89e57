import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import { isEntry, isExit } from '../exit-events.ts';
import { ExitPairing, type ExitPart, type VcpuThread } from '../exits.ts';
import {
  type Joining,
  length,
  number,
  type Readers,
  type RowOf,
  type SpanKind,
  type Spans,
  text,
  time,
} from '../kind.ts';
import { type PairEnd, type PairSpans, Pairs, type PairsPart } from '../pairs.ts';
import { leaves, leaving, schedEvent } from '../sched.ts';
import { tableOf } from '../table.ts';
import { vcpuOf } from '../vcpu.ts';
import { MadeSpans } from './made.ts';
import { vcpuColumns, vcpuReaders } from './vcpu-columns.ts';

const columns = {
  begin: time('sched_switch from the vCPU thread'),
  duration: length('until sched_switch to it on another CPU'),
  cpu: number('CPU that it left'),
  to: number('CPU that it came to'),
  ...vcpuColumns,
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

/** Migrations that are kept of threads that may be vCPUs'. */
const maxUnknown = 1 << 16;

type Part = {
  vcpus: ExitPart;
  switches: PairsPart;
  since: readonly number[];
  unknown: ReturnType<Moves['copy']> & { count: number };
};

/** By `leaves`. */
const ways = ['preempted', 'asleep', 'gone'];

class Migrations extends MadeSpans implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  protected readonly maker = {
    wants: (type: EventType) => [this.#vcpus.wants(type), this.#switches.wants(type)].includes(true),
    within: (window: Window) => {
      this.#vcpus.within(window);
      this.#switches.within(window);
    },
  };
  readonly #vcpus = new ExitPairing();
  protected readonly table = new Moves();
  readonly #switches = new Pairs(onSwitch('previous'), onSwitch('next'), {
    keys: 1,
    note: (trace, b, i) => {
      const event = schedEvent(trace.types[b.type[i] as number] as EventType);
      return event?.what === 'switch' ? leaving(event.state, b, i) : leaves.asleep;
    },
  });
  /** By thread: when it was seen to be a vCPU's. */
  readonly #since: number[] = [];
  /** Of a stretch in the middle: those of threads that were not seen to be vCPUs' so far; `thread` is the tid. */
  #unknown: Moves | undefined;
  readonly joining: Joining = {
    inMiddle: () => {
      this.#switches.inMiddle();
      this.#unknown = new Moves();
    },
    part: () => this.#part(),
    accepts: (part) => this.#accepts(part as Part),
    join: (trace, part) => this.#join(trace, part as Part),
  };

  constructor() {
    super();
    const moves = this.table;
    this.read = {
      begin: (k) => moves.begin[k] as number,
      duration: (k) => moves.duration[k] as number,
      cpu: (k) => moves.cpu[k] as number,
      to: (k) => moves.to[k] as number,
      ...vcpuReaders(
        (k) => moves.thread[k] as number,
        (thread) => vcpuOf(this.#vcpus.threads[thread] as VcpuThread, this.trace),
      ),
      left: { id: (k) => moves.left[k] as number, name: (id) => ways[id] as string },
    };
  }

  get seen(): boolean {
    return this.#vcpus.threads.length > 0 && this.#switches.result().ends > 0;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.#learnThreads(trace, b);
    const spans = this.#switches.batch(trace, b);
    this.table.count = 0;
    for (let k = 0; k < spans.count; k++) {
      const at = spans.endsAt[k] as number;
      this.#switched(spans, k, this.#next(trace, b, at), b.cpu[at] as number);
    }
  }

  /** A thread got a CPU again, to which it had been switched out of `spans`' one. */
  #switched(spans: PairSpans, k: number, tid: number, to: number): void {
    const cpu = spans.cpu[k] as number;
    if (tid < 0 || to === cpu || to < 0) return;
    const [begin, duration] = [spans.begin[k] as number, spans.duration[k] as number];
    let thread = this.#vcpus.find(tid);
    let moves: Moves | undefined = this.table;
    if (thread < 0 || begin + duration < (this.#since[thread] as number)) {
      moves = this.#unknown;
      thread = tid;
      if (moves === undefined || moves.count > maxUnknown) return;
    }
    const n = moves.add();
    moves.begin[n] = begin;
    moves.duration[n] = duration;
    moves.cpu[n] = cpu;
    moves.to[n] = to;
    moves.thread[n] = thread;
    moves.left[n] = spans.note[k] as number;
    moves.endsAt[n] = spans.endsAt[k] as number;
  }

  #part(): Part {
    return {
      vcpus: this.#vcpus.part(),
      switches: this.#switches.part(),
      since: this.#since,
      unknown: { ...(this.#unknown ?? new Moves()).copy(), count: this.#unknown?.count ?? 0 },
    };
  }

  #accepts({ vcpus, switches, unknown }: Part): boolean {
    return this.#vcpus.accepts(vcpus) && this.#switches.accepts(switches) && unknown.count <= maxUnknown;
  }

  #join(trace: Trace, { vcpus, switches, since, unknown }: Part): ReturnType<Joining['join']> {
    this.trace = trace;
    const moves = this.table;
    moves.count = 0;
    // Those of a thread that was known here already are migrations of a vCPU.
    for (let k = 0; k < unknown.count; k++) {
      const thread = this.#vcpus.find(unknown.thread[k] as number);
      if (thread < 0) continue;
      const n = moves.add();
      for (const column of ['begin', 'duration', 'cpu', 'to', 'left'] as const)
        moves[column][n] = unknown[column][k] as number;
      moves.thread[n] = thread;
    }
    const { threads } = this.#vcpus.join(vcpus);
    threads.forEach((thread, n) => {
      this.#since[thread] ??= since[n] as number;
    });
    const spans = this.#switches.join(switches);
    const { keys, cpu } = switches.heads;
    for (let k = 0; k < spans.count; k++) {
      const head = spans.endsAt[k] as number;
      this.#switched(spans, k, keys[2 * head] as number, cpu[head] as number);
    }
    return (column, id) => (column === 'left' ? id : (threads[id] as number));
  }

  /** A thread that has not come back may come back where it was: that is no migration yet. */
  *open(): Iterable<never> {}

  /** A thread is a vCPU's from its first kvm_exit or kvm_entry on, wherever batches end. */
  #learnThreads(trace: Trace, b: EventBatch): void {
    const { threads } = this.#vcpus;
    this.#vcpus.batch(trace, b);
    for (let i = 0; this.#since.length < threads.length && i < b.count; i++) {
      const { tid } = threads[this.#since.length] as VcpuThread;
      const type = trace.types[b.type[i] as number] as EventType;
      if (b.tid[i] === tid && (isExit(type) || isEntry(type))) {
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

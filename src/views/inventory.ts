import { isEntry, isExit, isNumbering } from '../spans/exit-events.ts';
import { type Analysis, isBefore, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { qemuOf } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from './conditions.ts';
import type { Reading } from './reading.ts';

/** What a trace holds: its event types, processes, machines and CPUs. */
export type InventoryView = {
  file: string;
  format: string;
  version: string;
  /** Whether it is of running machines. */
  live: boolean;
  clock: Trace['clock'];
  origin: bigint;
  /** Time of the first and last event, from the origin, in the clock's unit; NaN where there are no events. */
  first: number;
  last: number;
  /** How long the stretch is that was asked for, as far as the recording reaches, or all of it: what rates are over. NaN where there are no events. */
  duration: number;
  events: number;
  /** CPUs of the machine where the trace says, and those that events came from. */
  cpus: number | undefined;
  cpusSeen: number[];
  /** By falling count. */
  types: TypeCount[];
  /** Processes that events came from, by falling count. */
  processes: ProcessCount[];
  /** QEMU processes, found by their KVM or QEMU events. */
  machines: Machine[];
  /** The names of the events that the recording holds, whatever stretch of it was asked for. */
  holds: ReadonlySet<string>;
  /** Whether it holds events with which a vCPU leaves the guest, and such with which it goes back in; and whether these say which thread they are of. */
  hasExits: boolean;
  hasEntries: boolean;
  hasVcpuThreads: boolean;
  /** What QEMU's binary is called for the machine's architecture. */
  qemu: string;
  /** Events that the file holds twice, to the nanosecond, and that count once. */
  repeated: number;
  /** Whether QEMU's events in the recording say which thread they are of. */
  hasQemuThreads: boolean;
};

export type TypeCount = {
  name: string;
  count: number;
  /** Counts by the file's own names, where they differ from `name`. */
  recordedAs: { name: string; count: number }[];
};

export type ProcessCount = {
  /** -1 where the trace does not say which process the threads belong to. */
  pid: number;
  /** Name of the process, or of its busiest thread where that is not known; '' where neither is. */
  comm: string;
  threads: number;
  events: number;
};

export type Machine = {
  /** -1 where the trace does not say which process the vCPU threads belong to. */
  pid: number;
  comm: string;
  vcpus: { vcpu: number | undefined; tid: number; comm: string; events: number }[];
  /** Events that QEMU itself traced. */
  qemuEvents: number;
};

/** Larger thread ids do not exist on Linux (PID_MAX_LIMIT); a corrupt file may still hold some. */
const maxId = 1 << 22;
const unknown = -1;

/** Counts events by type, thread and CPU. Costs a few array accesses per event. */
export class Inventory implements Analysis {
  /** Events by type id. */
  #byType = new Float64Array(256);
  /** What to look at in events of a type besides counting, by type id. */
  readonly #looks: (FieldReader | null | undefined)[] = [];
  /** By tid, ids above `maxId` apart: events, process, vCPU number (and -1 for none yet, -2 for a vCPU without a number). */
  readonly #threads = new ThreadCounts();
  /** Events and QEMU events by process, of threads that are not known. */
  readonly #processes = new Map<number, { events: number; qemu: number }>();
  readonly #qemuByTid = new Map<number, number>();
  readonly #qemuTypes: boolean[] = [];
  /** By type id: whether it numbers a thread that is known to be a vCPU. */
  readonly #numbering: boolean[] = [];
  #cpus = new Float64Array(64);
  #first = Number.NaN;
  #last = Number.NaN;
  #events = 0;
  #window: Window | undefined;
  /** By type id: whether an event of it stands in the recording with its thread. */
  readonly #threaded: boolean[] = [];

  wants(): boolean {
    return true;
  }

  within(window: Window): void {
    this.#window = window;
  }

  batch(trace: Trace, b: EventBatch): void {
    const { count, type, tid, pid, cpu } = b;
    if (count === 0) return;
    if (isBefore(b, this.#window?.from ?? 0)) {
      this.behind(trace, b);
      return;
    }
    if (this.#events === 0) this.#first = b.time[0] as number;
    this.#last = b.time[count - 1] as number;
    this.#events += count;
    if (trace.types.length > this.#byType.length) {
      this.#byType = grown(this.#byType, 0, trace.types.length * 2);
    }
    const byType = this.#byType;
    const looks = this.#looks;
    const qemuTypes = this.#qemuTypes;
    const threads = this.#threads;
    for (let i = 0; i < count; i++) {
      const id = type[i] as number;
      byType[id] = (byType[id] as number) + 1;
      let look = looks[id];
      if (look === undefined) look = this.#prepare(trace.types[id] as EventType);
      const thread = tid[i] as number;
      if (thread < 0) {
        this.#countProcess(pid[i] as number, qemuTypes[id] as boolean);
      } else {
        const t = threads.index(thread);
        threads.events[t] = (threads.events[t] as number) + 1;
        this.#threaded[id] = true;
        if ((pid[i] as number) >= 0) threads.pid[t] = pid[i] as number;
        if (look !== null && (threads.vcpu[t] as number) < (this.#numbering[id] === true ? -1 : 0)) {
          const vcpu = look.kind === 'int' ? look.number(b, i) : Number.NaN;
          threads.vcpu[t] = vcpu >= 0 ? vcpu : -2;
        }
        if (qemuTypes[id] === true) this.#qemuByTid.set(thread, (this.#qemuByTid.get(thread) ?? 0) + 1);
      }
      const c = cpu[i] as number;
      if (c >= 0 && c < 65536) {
        if (c >= this.#cpus.length) this.#growCpus(c);
        this.#cpus[c] = 1;
      }
    }
  }

  /** Of what is not in the stretch only that it is in the recording counts. */
  behind(_: Trace, { count, type, tid }: EventBatch): void {
    const threaded = this.#threaded;
    for (let i = 0; i < count; i++) if ((tid[i] as number) >= 0) threaded[type[i] as number] = true;
  }

  get #duration(): number {
    const { from, to } = this.#window ?? { from: this.#first, to: this.#last };
    return to - from;
  }

  view(trace: Trace): InventoryView {
    const { types } = trace;
    const isVcpus = (type: EventType) => isExit(type) || isEntry(type);
    const isThreaded = (is: (type: EventType) => boolean) =>
      types.some((type) => this.#threaded[type.id] === true && is(type));
    return {
      file: trace.file,
      format: trace.format,
      live: trace.traits?.live === true,
      version: trace.version,
      clock: trace.clock,
      origin: trace.origin,
      first: this.#first,
      last: this.#last,
      duration: this.#events === 0 ? Number.NaN : this.#duration,
      events: this.#events,
      cpus: trace.cpus,
      cpusSeen: [...this.#cpus.keys()].filter((cpu) => this.#cpus[cpu] === 1),
      types: this.#typeCounts(trace),
      processes: this.#processCounts(trace),
      machines: this.#machines(trace),
      holds: new Set(types.map(({ name }) => name)),
      hasExits: types.some(isExit),
      hasEntries: types.some(isEntry),
      hasVcpuThreads: isThreaded(isVcpus),
      qemu: qemuOf(trace),
      repeated: [...(trace.repeated?.values() ?? [])].reduce((sum, count) => sum + count, 0),
      hasQemuThreads: isThreaded(({ name }) => name.startsWith('qemu:')),
    };
  }

  /** Entries and exits tell which threads are vCPUs, and most kernels also the vCPU's number. */
  #prepare(type: EventType): FieldReader | null {
    const numbers = isNumbering(type);
    const look = isEntry(type) || isExit(type) || numbers ? (type.reader('vcpu_id') ?? noNumber) : null;
    this.#numbering[type.id] = numbers;
    this.#looks[type.id] = look;
    this.#qemuTypes[type.id] = type.name.startsWith('qemu:');
    return look;
  }

  #countProcess(pid: number, qemu: boolean): void {
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = { events: 0, qemu: 0 };
      this.#processes.set(pid, process);
    }
    process.events++;
    if (qemu) process.qemu++;
  }

  #growCpus(cpu: number): void {
    this.#cpus = grown(this.#cpus, 0, cpu * 2);
  }

  #typeCounts(trace: Trace): TypeCount[] {
    const byName = new Map<string, TypeCount>();
    for (const type of trace.types) {
      const count = this.#byType[type.id] ?? 0;
      if (count === 0) continue;
      // perf's samples from guest mode stand apart, as perf script leaves them out of its own counts.
      const name = type.recordedAs === `${type.name}:G` ? type.recordedAs : type.name;
      let row = byName.get(name);
      if (row === undefined) {
        row = { name, count: 0, recordedAs: [] };
        byName.set(name, row);
      }
      row.count += count;
      const same = row.recordedAs.find((other) => other.name === type.recordedAs);
      if (same !== undefined) same.count += count;
      else row.recordedAs.push({ name: type.recordedAs, count });
    }
    const rows = [...byName.values()];
    for (const row of rows) {
      if (row.recordedAs.length === 1 && row.recordedAs[0]?.name === row.name) row.recordedAs = [];
    }
    return rows.sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  }

  #pidOf(trace: Trace, tid: number): number {
    const known = this.#threads.pid[this.#threads.index(tid)] as number;
    return known >= 0 ? known : (trace.threads.get(tid)?.pid ?? unknown);
  }

  #processCounts(trace: Trace): ProcessCount[] {
    const byPid = new Map<number, ProcessCount & { most: number }>();
    const processOf = (pid: number) => {
      let process = byPid.get(pid);
      if (process === undefined) {
        process = { pid, comm: trace.threads.get(pid)?.comm ?? '', threads: 0, events: 0, most: 0 };
        byPid.set(pid, process);
      }
      return process;
    };
    for (const [pid, { events }] of this.#processes) if (pid >= 0) processOf(pid).events += events;
    for (const [tid, events] of this.#threads) {
      // Thread 0 is the idle task of each CPU.
      if (tid === 0) continue;
      const process = processOf(this.#pidOf(trace, tid));
      process.events += events;
      process.threads++;
      const comm = trace.threads.get(tid)?.comm ?? '';
      if (comm !== '' && events > process.most && trace.threads.get(process.pid) === undefined && process.pid >= 0) {
        process.most = events;
        process.comm = comm;
      }
    }
    return [...byPid.values()]
      .map(({ most: _, ...process }) => process)
      .sort((a, b) => b.events - a.events || a.pid - b.pid);
  }

  #machines(trace: Trace): Machine[] {
    const byPid = new Map<number, Machine>();
    const machineOf = (pid: number) => {
      let machine = byPid.get(pid);
      if (machine === undefined) {
        machine = { pid, comm: trace.threads.get(pid)?.comm ?? '', vcpus: [], qemuEvents: 0 };
        byPid.set(pid, machine);
      }
      return machine;
    };
    for (const [tid, events] of this.#threads) {
      const vcpu = this.#threads.vcpu[this.#threads.index(tid)] as number;
      if (vcpu === -1) continue;
      const comm = trace.threads.get(tid)?.comm ?? '';
      // QEMU names its vCPU threads when it runs with -name …,debug-threads=on.
      const named = /^CPU (\d+)\//.exec(comm)?.[1];
      const number = vcpu >= 0 ? vcpu : named === undefined ? undefined : Number(named);
      machineOf(this.#pidOf(trace, tid)).vcpus.push({ vcpu: number, tid, comm, events });
    }
    for (const [pid, { qemu }] of this.#processes) if (qemu > 0) machineOf(pid).qemuEvents += qemu;
    for (const [tid, events] of this.#qemuByTid) machineOf(this.#pidOf(trace, tid)).qemuEvents += events;
    const machines = [...byPid.values()].sort((a, b) => a.pid - b.pid);
    for (const machine of machines) machine.vcpus.sort((a, b) => (a.vcpu ?? 0) - (b.vcpu ?? 0) || a.tid - b.tid);
    return machines;
  }
}

/** For a vCPU event that does not carry the vCPU's number. */
const noNumber: FieldReader = { kind: 'text', number: () => Number.NaN, low: () => 0, high: () => 0, text: () => '' };

/** Counters by thread id: arrays indexed by it, which grow to the largest one. */
class ThreadCounts {
  events = new Float64Array(4096);
  pid = new Int32Array(4096).fill(-1);
  vcpu = new Int32Array(4096).fill(-1);

  /** Where a thread's counters are. Ids that Linux cannot give share the last place. */
  index(tid: number): number {
    const index = Math.min(tid, maxId);
    if (index >= this.events.length) this.#grow(index);
    return index;
  }

  *[Symbol.iterator](): Generator<[tid: number, events: number]> {
    for (let tid = 0; tid < this.events.length; tid++) {
      const events = this.events[tid] as number;
      if (events > 0) yield [tid, events];
    }
  }

  #grow(index: number): void {
    let size = this.events.length;
    while (size <= index) size *= 2;
    this.events = grown(this.events, 0, size);
    this.pid = grown(this.pid, -1, size);
    this.vcpu = grown(this.vcpu, -1, size);
  }
}

/** What conditions can be about: all events, those of each name, and those that were lost. */
export function eventSubjects(view: InventoryView, reading: Pick<Reading, 'lost' | 'losses'>): Subject[] {
  const seconds = view.clock.unit === 'ns' ? view.duration / 1e9 : Number.NaN;
  // A hole of which nobody knows how many events fell into it has at least one.
  const lost = reading.lost + reading.losses.filter(({ count }) => count === undefined).length;
  return [
    { kind: 'event', name: undefined, measured: { count: view.events, rate: view.events / seconds } },
    ...view.types.map(({ name, count }) => ({ kind: 'event', name, measured: { count, rate: count / seconds } })),
    { kind: 'lost', name: undefined, measured: { count: lost } },
  ];
}

import type { Alignment } from './alignment.ts';
import type { EventBatch } from './batch.ts';
import type { Meter } from './budget.ts';
import type { Clock } from './clock.ts';
import type { Divisible } from './divisible.ts';
import type { TraceError } from './error.ts';
import { EventType, type Layout } from './event-type.ts';
import type { Loss } from './loss.ts';

/** What the trace calls a thread. */
export type Thread = {
  /** The latest name seen (`CPU 0/KVM`), '' where none was. It is whatever a process called itself: untrusted. */
  comm: string;
  /** Its process (tgid), -1 where the trace does not say. */
  pid: number;
};

/** Which recordings were made together with this one, of a host and its guests (trace-cmd record -A). */
export type Companions = {
  /** This recording's id, undefined where it has none. */
  id: bigint | undefined;
  /** The id of its host's recording, where it is a guest's whose times were put on that one's clock. */
  host: bigint | undefined;
  /** The guests recorded with it: their recordings' ids, and the host's threads that are their vCPUs. */
  guests: readonly { name: string; id: bigint; vcpus: readonly { vcpu: number; tid: number }[] }[];
};

/** What is particular to traces of one kind, so that nobody has to ask which format it is. */
export type Traits = {
  /** It is of running machines, and grows as it is read. */
  live?: true;
  /** Who recorded it, where the recorder's own command line says how to do better. */
  recorder?: 'perf' | 'qemu log';
  /** Where it says that events were lost is only near where they are missing: the writer notes it when it gets to write again. */
  looseHoles?: true;
  /** It is text that leaves out what perf takes for a guest's: on arm64 hosts all exits and entries. */
  hidesGuestSamples?: true;
};

/** An open trace: what its header says, and its events. */
export interface Trace {
  /** The path as the user gave it, or `<stdin>`. */
  readonly file: string;
  /** `perf.data`, `trace.dat`, `simpletrace`, `qemu log`, `raw ring buffer`, `ftrace text`, `function graph`, `perf script`, `kernel text`, `Perfetto`. */
  readonly format: string;
  /** The format's version or variant, e.g. `v7, zstd`, `pipe`; '' where there is none. */
  readonly version: string;
  readonly clock: Clock;
  /**
   * Absolute time, in the clock's unit, that event times count from: that of the first event, whatever its type and whether it is wanted
   * or not. It is the one zero of time of the recording, for options, tables and pictures. Known when the first batch is.
   */
  readonly origin: bigint;
  /** Time of the latest event read so far, from the origin, whatever its type and whether it is wanted or not; -Infinity before the first. */
  readonly last: number;
  /** Types seen so far; grows while reading. `EventBatch.type` indexes it. */
  readonly types: readonly EventType[];
  /** Threads by tid; grows while reading. */
  readonly threads: ReadonlyMap<number, Thread>;
  /** What sets it apart from traces of other kinds. */
  readonly traits?: Traits | undefined;
  /** What the trace says of the machine that recorded it: its name and its kernel's release. */
  readonly recordedOn?: { host: string; release: string } | undefined;
  /** Number of CPUs of the machine, where the trace says. */
  readonly cpus: number | undefined;
  /** Facts about the recording that a person should know, one sentence each; grows while reading. */
  readonly notes: readonly string[];
  /** Why reading ended before the end of the input, where it did: what came before was good. */
  readonly damage: TraceError | undefined;
  /** Events that the file holds twice, identical to the ns: `batches` gives them once. How many, by type id. */
  readonly repeated?: ReadonlyMap<number, number> | undefined;
  /** All holes of the recording, where an earlier reading found them; known when the first batch is. `batches` gives each again in its place. */
  readonly holes?: readonly Loss[] | undefined;
  /** Called by who counted something that a loss makes wrong which came to light only after it: another reading, that knows of it, is needed. */
  regret?(): void;
  /** Of several files: how far those are apart whose clocks had to be found out. */
  readonly alignments?: readonly Alignment[] | undefined;
  /** Of several files: whether their events may still show, and end the reading, that they hold the same ones. */
  readonly doubtful?: boolean | undefined;
  /** What the file says of recordings made together with it. */
  readonly companions?: Companions | undefined;
  /** How many bytes of the input were read so far, and its size where known: for a progress bar. */
  progress(): { read: number; size: number | undefined };
  /**
   * The events in time order, once. `wants` names the types that are needed: others may be left out (they still
   * count as seen where losses are concerned). It is asked once per type. Never throws for a damaged
   * input once the trace is open: it ends, and `damage` says why.
   */
  batches(wants?: (type: EventType) => boolean): AsyncIterable<EventBatch>;
  /** Where stretches of it can be read beside each other. */
  readonly divisible?: Divisible | undefined;
  /** Of a running machine: ends the recording. `batches` gives what there is, then it is over. */
  end?: (() => void) | undefined;
  /** Releases the file. Safe to call twice. */
  close(): Promise<void>;
}

/** The table behind `Trace.types`, for formats to fill. */
export class TypeTable {
  readonly all: EventType[] = [];
  readonly #meter: Meter | undefined;
  /** Stands for all types that there was no memory for. */
  #others: EventType | undefined;

  /** `meter` bounds how many there are, where a file says what they are. */
  constructor(meter?: Meter) {
    this.#meter = meter;
  }

  /** Adds a type. `recordedAs` is the file's own name where it differs. */
  add(name: string, layout: Layout, recordedAs = name): EventType {
    if (this.#meter?.hold(typeBytes + 2 * (name.length + recordedAs.length), 'event types') === false) {
      this.#others ??= this.#add('unknown:others', noFields, 'unknown:others');
      return this.#others;
    }
    return this.#add(name, layout, recordedAs);
  }

  #add(name: string, layout: Layout, recordedAs: string): EventType {
    const type = new EventType(this.all.length, name, layout, recordedAs);
    this.all.push(type);
    return type;
  }
}

/** What a type takes here and in the analyses that count by type, and what a thread takes; measured. */
const typeBytes = 4096;
const threadBytes = 240;
/** The kernel's names of threads have 15 bytes, those of its workers some more. */
export const longestComm = 128;

const noFields: Layout = { fields: [], reader: () => undefined, print: () => '' };

/** The table behind `Trace.threads`, for formats to fill. */
export class ThreadTable extends Map<number, Thread> {
  readonly #meter: Meter | undefined;

  /** `meter` bounds how many there are, where a file says what they are called. */
  constructor(meter?: Meter) {
    super();
    this.#meter = meter;
  }

  /** Notes the name of a thread, and its process where known. */
  name(tid: number, comm: string, pid = -1): void {
    const thread = this.get(tid);
    // A piece of a long text would keep the whole in memory.
    const short = comm.length > longestComm ? Buffer.from(comm.slice(0, longestComm)).toString() : comm;
    if (thread === undefined) {
      if (this.#meter?.hold(threadBytes + short.length, 'names of threads') !== false)
        this.set(tid, { comm: short, pid });
    } else {
      thread.comm = short;
      if (pid >= 0) thread.pid = pid;
    }
  }
}

import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import { NameTable } from '../trace/name-table.ts';
import type { Trace } from '../trace/trace.ts';

/** Addresses, mutexes, threads times mutexes, files and call sites told apart. */
const maxMutexes = 1 << 16;
const maxStates = 1 << 18;
const maxFiles = 1 << 12;
const maxSites = 1 << 16;
/** Payloads that are decoded once each. */
const maxPayloads = 1 << 14;

const none = -1;

/** A thread that used a mutex. */
export type LockThread = {
  tid: number;
  /** Its process, -1 where the trace does not say. */
  pid: number;
  /** Time of its first event. */
  first: number;
};

/** A mutex of a process. */
export type Mutex = {
  pid: number;
  /** Its address, in halves. */
  high: number;
  low: number;
  /** Its `locked` events; and which of them were nested, after waiting on a condition variable, and of try-locks. */
  locked: number;
  nested: number;
  condition: number;
  tryLock: number;
  /** Its `locked` events, those included that were before the stretch that is asked about. */
  everLocked: number;
};

/** Where QEMU's source locks or unlocks. */
export type Site = {
  /** As compiled in (`../../util/main-loop.c`); untrusted. '' where the trace does not say. */
  file: string;
  line: number;
};

/** A site as in QEMU's tree: `util/main-loop.c:318`, without the way there from the build directory. */
export function siteName({ file, line }: Site): string {
  return `${file.replace(/^(\.\.?\/)+/, '')}:${line}`;
}

/** Who used which mutexes where in a stretch of a recording, as plain data. Sites have their file's number. */
export type LockKeysPart = {
  threads: readonly LockThread[];
  mutexes: readonly Mutex[];
  files: readonly Uint8Array[];
  sites: readonly { file: number; line: number }[];
  /** By state: the thread and the mutex, two numbers each. */
  states: Uint32Array;
};

/** What the numbers of a part are here. */
export type LockKeysSeam = { thread: number[]; mutex: number[]; site: number[]; state: number[] };

/** What events of mutexes are about: threads, mutexes, call sites, and states, which are what a thread has to do with a mutex. Each has a small number. */
export class LockKeys {
  readonly threads: LockThread[] = [];
  readonly mutexes: Mutex[] = [];
  readonly sites: Site[] = [];
  /** By site: whether it is in a header, as that of all lock guards is (include/qemu/thread.h): it tells nothing of what is done. */
  readonly siteInHeader: boolean[] = [];
  /** Of the event that was read last. */
  state = none;
  site = none;

  readonly #threadOfTid = new IdTable();
  readonly #addresses = new IdTable();
  readonly #mutexIds = new IdTable();
  readonly #processes = new Map<number, number>();
  readonly #files = new NameTable(maxFiles);
  readonly #siteIds = new IdTable();
  readonly #stateIds = new IdTable();
  /** By type id. */
  readonly #mutex: (FieldReader | undefined)[] = [];
  readonly #file: (FieldReader | undefined)[] = [];
  readonly #line: (FieldReader | undefined)[] = [];
  /** Payloads that were decoded, and what they said: most are of a few mutexes at a few call sites. */
  readonly #payloads = new NameTable(maxPayloads);
  readonly #payloadType = new Int32Array(maxPayloads);
  readonly #payloadAddress = new Int32Array(maxPayloads);
  readonly #payloadSite = new Int32Array(maxPayloads);

  /** Learns a type, in the order of their ids; `wanted` where it is of mutexes. */
  learn(type: EventType, wanted: boolean): void {
    const reader = (name: string) => (wanted ? (type.reader(name) ?? absent) : undefined);
    this.#mutex.push(reader('mutex'));
    this.#file.push(reader('file'));
    this.#line.push(reader('line'));
  }

  /** Number of states. */
  get states(): number {
    return this.#stateIds.size;
  }

  thread(state: number): number {
    return this.#stateIds.high(state);
  }

  mutex(state: number): number {
    return this.#stateIds.low(state);
  }

  /** The thread with that tid, or -1 where it used no mutex so far. */
  find(tid: number): number {
    return this.#threadOfTid.find(0, tid);
  }

  /** Reads event `i`; false where there are too many to tell apart. */
  read(trace: Trace, b: EventBatch, i: number): boolean {
    const type = b.type[i] as number;
    const payload = this.#payload(b, i, type);
    const known = payload >= 0 && this.#payloadType[payload] === type;
    const address = known ? (this.#payloadAddress[payload] as number) : this.#addressOf(b, i, type);
    this.state = address < 0 ? none : this.#stateOf(trace, b, i, address);
    if (this.state < 0) return false;
    this.site = known ? (this.#payloadSite[payload] as number) : this.#siteOf(b, i, type);
    return true;
  }

  part(): LockKeysPart {
    const { threads, mutexes } = this;
    return {
      threads,
      mutexes,
      files: Array.from({ length: this.#files.size }, (_, id) => this.#files.bytes(id)),
      sites: this.sites.map(({ line }, site) => ({ file: this.#siteIds.high(site), line })),
      states: this.#stateIds.values(),
    };
  }

  /** Whether all of both find room, and threads are of the same processes. */
  accepts({ threads, mutexes, files, sites, states }: LockKeysPart): boolean {
    return (
      this.threads.length + threads.length < maxMutexes &&
      this.mutexes.length + mutexes.length < maxMutexes &&
      this.#addresses.size + mutexes.length < maxMutexes &&
      this.#files.size + files.length < maxFiles &&
      this.sites.length + sites.length < maxSites &&
      this.states + states.length / 2 < maxStates &&
      threads.every(({ tid, pid }) => (this.threads[this.find(tid)]?.pid ?? pid) === pid)
    );
  }

  /** Gives numbers to all of a part. What was counted of its mutexes is not taken over. */
  join({ threads, mutexes, files, sites, states }: LockKeysPart): LockKeysSeam {
    const thread = threads.map(({ tid, pid, first }) => this.#thread(tid, pid, first));
    const mutex = mutexes.map(({ pid, high, low }) => this.#mutexOf(pid, this.#addresses.id(high, low)));
    const file = files.map((bytes) => this.#files.id(bytes, 0, bytes.length));
    const site = sites.map((one) => this.#site(file[one.file] ?? none, one.line));
    const state: number[] = [];
    for (let s = 0; 2 * s < states.length; s++) {
      state.push(
        this.#stateIds.id(thread[states[2 * s] as number] as number, mutex[states[2 * s + 1] as number] as number),
      );
    }
    return { thread, mutex, site, state };
  }

  /** What mutexes and states are in a part, by what they are here. */
  known({ threads, mutexes, states }: LockKeysPart): { mutex: Map<number, number>; state: Map<number, number> } {
    const mutex = mutexes.map(({ pid, high, low }) => {
      const process = this.#processes.get(pid);
      const address = this.#addresses.find(high, low);
      return process === undefined || address < 0 ? none : this.#mutexIds.find(process, address);
    });
    const state = new Map<number, number>();
    for (let s = 0; 2 * s < states.length; s++) {
      const thread = this.find((threads[states[2 * s] as number] as LockThread).tid);
      const own = mutex[states[2 * s + 1] as number] as number;
      const known = thread < 0 || own < 0 ? none : this.#stateIds.find(thread, own);
      if (known >= 0) state.set(known, s);
    }
    return { mutex: new Map(mutex.map((own, theirs) => [own, theirs])), state };
  }

  /** The id of an event's payload; what a new one says is decoded. -1 where there are too many. */
  #payload(b: EventBatch, i: number, type: number): number {
    const before = this.#payloads.size;
    const at = b.at[i] as number;
    const id = this.#payloads.id(b.bytes, at, at + (b.size[i] as number));
    if (id === before) {
      this.#payloadType[id] = type;
      this.#payloadAddress[id] = this.#addressOf(b, i, type);
      this.#payloadSite[id] = this.#siteOf(b, i, type);
    }
    return id;
  }

  #addressOf(b: EventBatch, i: number, type: number): number {
    const reader = this.#mutex[type] as FieldReader;
    const high = reader.high(b, i);
    const low = reader.low(b, i);
    const address = this.#addresses.find(high, low);
    return address >= 0 || this.#addresses.size === maxMutexes ? address : this.#addresses.id(high, low);
  }

  #stateOf(trace: Trace, b: EventBatch, i: number, address: number): number {
    const tid = b.tid[i] as number;
    let thread = this.#threadOfTid.find(0, tid);
    if (thread < 0) {
      if (this.threads.length === maxMutexes) return none;
      const own = b.pid[i] as number;
      thread = this.#thread(tid, own >= 0 ? own : (trace.threads.get(tid)?.pid ?? none), b.time[i] as number);
    }
    const { pid } = this.threads[thread] as LockThread;
    const mutex = this.#mutexOf(pid, address);
    if (mutex < 0) return none;
    const s = this.#stateIds.find(thread, mutex);
    return s >= 0 || this.#stateIds.size === maxStates ? s : this.#stateIds.id(thread, mutex);
  }

  #thread(tid: number, pid: number, first: number): number {
    const thread = this.#threadOfTid.id(0, tid);
    if (thread === this.threads.length) this.threads.push({ tid, pid, first });
    return thread;
  }

  #mutexOf(pid: number, address: number): number {
    let process = this.#processes.get(pid);
    if (process === undefined) {
      process = this.#processes.size;
      this.#processes.set(pid, process);
    }
    const known = this.#mutexIds.find(process, address);
    return known >= 0 || this.mutexes.length === maxMutexes ? known : this.#newMutex(pid, process, address);
  }

  #newMutex(pid: number, process: number, address: number): number {
    const [high, low] = [this.#addresses.high(address), this.#addresses.low(address)];
    this.mutexes.push({ pid, high, low, locked: 0, everLocked: 0, nested: 0, condition: 0, tryLock: 0 });
    return this.#mutexIds.id(process, address);
  }

  /** The call site of an event, -1 where there are too many. */
  #siteOf(b: EventBatch, i: number, type: number): number {
    const file = this.#files.read(this.#file[type] as FieldReader, b, i);
    return this.#site(file, (this.#line[type] as FieldReader).low(b, i));
  }

  #site(file: number, line: number): number {
    // Files that got no id share one.
    const key = file < 0 ? maxFiles : file;
    const known = this.#siteIds.find(key, line);
    if (known >= 0 || this.sites.length === maxSites) return known;
    const name = file < 0 ? '' : this.#files.text(file);
    this.sites.push({ file: name, line });
    this.siteInHeader.push(/\.h$/.test(name));
    return this.#siteIds.id(key, line);
  }
}

import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { HandOut } from '../formats/hand-out.ts';
import { KernelEventTypes } from '../formats/kernel-types.ts';
import { RingBufferCpu, RingBufferDecoder, unwanted } from '../formats/ring-buffer.ts';
import type { Signatures } from '../formats/trace-events.ts';
import { parseTracingData } from '../formats/tracing-data.ts';
import { startThread } from '../own/thread.ts';
import { Arena } from '../trace/arena.ts';
import { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import type { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import { EventSorter } from '../trace/sorter.ts';
import { ThreadTable, type Trace, type Traits, TypeTable } from '../trace/trace.ts';
import { LiveError } from './live-error.ts';
import { processOf, threadsOf } from './machines.ts';
import { chunkSize, type ReaderData, type ReaderMessage, stopAt, waitingAt } from './page-reader.ts';
import { closeBuffers, type OpenBuffers, openBuffers } from './raw-pages.ts';
import { Session, type SessionOptions } from './session.ts';
import { threadNames } from './thread-names.ts';
import { after } from './timer.ts';
import { traceDatHeader } from './trace-dat-writer.ts';

/** What to look at. */
export type LiveOptions = SessionOptions & {
  /** What it is called, for people. */
  name: string;
  /** Events that may be of use, `system:event` each: those that nobody wants are not switched on. */
  events: readonly string[];
  /** How long to look, in ns; undefined until `end`. */
  length: number | undefined;
  /** What QEMU's events hold. */
  signatures: Signatures;
  /** Processes whose threads are to have names. */
  pids: readonly number[];
};

/** Room for pages whose events wait for their turn. */
const arenaSize = 256 << 20;
/** How much later than its time stamp an event may be found in the buffer: its writer can be interrupted between (ns). */
const margin = 2e6;
/** How often the names of threads are looked up, in ms. */
const namesEvery = 1000;

/** A running machine's events, as a trace that has no end but the one that `end` makes. */
export class LiveTrace implements Trace {
  readonly file: string;
  readonly format = 'live';
  readonly traits: Traits = { live: true };
  readonly version = '';
  readonly clock: Clock = { name: 'mono', unit: 'ns', resolution: 1 };
  readonly threads = new ThreadTable();
  readonly notes: string[] = [];
  cpus: number | undefined;
  damage: TraceError | undefined;
  origin = 0n;
  readonly #options: LiveOptions;
  readonly #types = new TypeTable();
  readonly #control = new Int32Array(new SharedArrayBuffer(8));
  #session: Session | undefined;
  #buffers: OpenBuffers | undefined;
  #worker: Worker | undefined;
  /** The process of each thread seen, -1 where it was gone before it was looked up. */
  readonly #processes = new Map<number, number>();
  #read = 0;
  #last = Number.NEGATIVE_INFINITY;
  #named = Number.NEGATIVE_INFINITY;
  /** Calls off the end that comes of itself. */
  #callOff: (() => void) | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.file = options.name;
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  /** Until when all was handed out: a machine in which nothing happens is looked at all the same. */
  get last(): number {
    return this.#last;
  }

  progress(): { read: number; size: undefined } {
    return { read: this.#read, size: undefined };
  }

  /** Ends the recording: `batches` gives what there is, and is over. */
  end(): void {
    if (this.#session !== undefined && this.#buffers !== undefined) this.#session.instance.recording = false;
    Atomics.store(this.#control, stopAt, 1);
    Atomics.notify(this.#control, stopAt);
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const session = new Session(this.#options);
    this.#session = session;
    try {
      const { instance } = session;
      this.cpus = instance.cpus.length;
      const events = [...this.#options.events, ...session.probeEvents];
      const header = traceDatHeader(session.tracefs, instance.path, events, instance.pageSize);
      const { formats } = parseTracingData(header, this.file, 0);
      const slot = Math.max(chunkSize, instance.pageSize);
      const arena = new Arena(slot, 0, arenaSize);
      const sorter = new EventSorter(arena);
      const types = new KernelEventTypes(formats, true, this.#types, this.#options.signatures, wants, arena);
      const wanted = [...formats]
        .filter(([id, { system }]) => system !== 'ftrace' && types.of(id) !== unwanted)
        .map(([, { system, format }]) => `${system}:${format.name}`);
      const shape = { little: true, commitSize: 8, pageSize: instance.pageSize } as const;
      const decoder = new RingBufferDecoder(shape, arena, sorter, types);
      const cpus = new Map(instance.cpus.map((cpu) => [cpu, new RingBufferCpu(cpu)]));
      const hand = new HandOut(sorter);
      this.origin = process.hrtime.bigint();
      decoder.startAt(this.origin, undefined);
      this.#buffers = openBuffers(instance);
      const messages = this.#start(session);
      // A machine may be gone before its first events are looked at.
      this.#learnNames(session.tracefs);
      session.begin(wanted);
      const { length } = this.#options;
      if (length !== undefined) this.#callOff = after(length / 1e6, () => this.end());
      for await (const message of messages) {
        this.#learnNames(session.tracefs);
        if (message.kind === 'error') throw new LiveError(message.message);
        if (message.kind === 'end') break;
        if (message.kind === 'round') {
          if (message.until !== undefined) this.#last = Number(message.until - this.origin) - margin;
          if (message.until !== undefined)
            yield* this.#withProcesses(hand.upTo(Number(message.until - this.origin) - margin));
          // So that whoever waits for a moment, rather than for an event, gets to it.
          yield new EventBatch(0);
          continue;
        }
        const { cpu, pages } = message;
        this.#read += pages.length;
        let at = arena.acquire();
        if (at < 0) {
          yield* this.#withProcesses(hand.upTo(Number.POSITIVE_INFINITY));
          at = arena.acquire();
        }
        const start = arena.start(at);
        arena.bytes.set(pages, start);
        Atomics.sub(this.#control, waitingAt, pages.length);
        const problem = decoder.decode(cpus.get(cpu) as RingBufferCpu, at, start, start + pages.length);
        arena.release(at);
        if (problem !== undefined)
          throw new LiveError(`the kernel's trace buffer of CPU ${cpu} holds ${problem.problem}`);
        for (const loss of decoder.looseLosses.splice(0)) hand.add(loss);
      }
      for (const { last } of cpus.values()) this.#last = Math.max(this.#last, last);
      yield* this.#withProcesses(hand.upTo(Number.POSITIVE_INFINITY));
      for (const cpu of cpus.values()) if (cpu.missed !== 0) hand.add(cpu.takeLoss(Number.POSITIVE_INFINITY));
      for (const cpu of instance.cpus) {
        const { dropped, overrun } = instance.counts(cpu);
        const rest = cpus.get(cpu)?.rest(overrun);
        if (rest !== undefined) hand.add(rest);
        if (dropped > 0) hand.add({ from: -Infinity, to: Infinity, cpu, count: dropped });
      }
      yield* this.#withProcesses(hand.rest());
    } finally {
      this.stop();
    }
  }

  async close(): Promise<void> {
    this.stop();
  }

  /** Switches everything off at once. Safe to call twice, and while the process ends. */
  stop(): void {
    Atomics.store(this.#control, stopAt, 1);
    Atomics.notify(this.#control, stopAt);
    this.#callOff?.();
    if (this.#buffers !== undefined) closeBuffers(this.#buffers);
    void this.#worker?.terminate();
    this.#session?.close();
  }

  /** Starts the thread that reads, and gives what it sends. */
  async *#start(session: Session): AsyncGenerator<ReaderMessage> {
    const { instance } = session;
    const data: ReaderData = {
      buffers: this.#buffers as OpenBuffers,
      bufferKiB: instance.bufferKiB,
      sizeFile: this.#options.bufferKiB === undefined ? `${instance.path}/buffer_size_kb` : undefined,
      control: this.#control,
    };
    const worker = startThread('page-reader', data);
    this.#worker = worker;
    const queue: ReaderMessage[] = [];
    let wake: (() => void) | undefined;
    worker.on('message', (message: ReaderMessage) => {
      queue.push(message);
      wake?.();
    });
    worker.on('error', (error) => {
      queue.push({ kind: 'error', message: error.message });
      wake?.();
    });
    await once(worker, 'online');
    for (;;) {
      const message = queue.shift();
      if (message !== undefined) yield message;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }

  /** Says which process each event is of. */
  *#withProcesses(batches: Iterable<EventBatch>): Generator<EventBatch> {
    const known = this.#processes;
    for (const batch of batches) {
      for (let i = 0; i < batch.count; i++) {
        const tid = batch.tid[i] as number;
        let pid = known.get(tid);
        if (pid === undefined) {
          pid = processOf(tid) ?? -1;
          known.set(tid, pid);
        }
        batch.pid[i] = pid;
      }
      yield batch;
    }
  }

  #learnNames(tracefs: string): void {
    const now = performance.now();
    if (now - this.#named < namesEvery) return;
    this.#named = now;
    const { pids, tids } = this.#options;
    // Nothing more will come.
    if (tids !== undefined && pids.every((pid) => threadsOf(pid).length === 0)) this.end();
    for (const [tid, comm] of threadNames(tracefs, pids)) this.threads.name(tid, comm);
    for (const pid of pids) {
      for (const tid of threadsOf(pid)) {
        this.threads.name(tid, this.threads.get(tid)?.comm ?? '', pid);
        this.#processes.set(tid, pid);
      }
    }
  }
}

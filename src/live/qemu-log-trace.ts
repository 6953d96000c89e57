import { Readable } from 'node:stream';
import { Input } from '../formats/input.ts';
import { qemuLog } from '../formats/qemu-log.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Clock } from '../trace/clock.ts';
import type { TraceError } from '../trace/error.ts';
import type { EventType } from '../trace/event-type.ts';
import { ThreadTable, type Trace, type Traits } from '../trace/trace.ts';
import { startGuard } from './guard.ts';
import { cleanUpQemu, removeJournal, writeJournal } from './leftovers.ts';
import { commOf, startOf, threadsOf } from './machines.ts';
import { QemuLogSource, stampsItsLog } from './qemu-log-source.ts';
import type { MonitorAddress } from './qmp.ts';
import { after } from './timer.ts';

/** What to look at. */
export type QemuLogOptions = {
  /** What it is called, for people. */
  name: string;
  pid: number;
  monitor: MonitorAddress;
  /** Picks the events to switch on, from all that this QEMU has. */
  choose(names: string[]): string[];
  /** How long to look, in ns; undefined until `end`. */
  length: number | undefined;
  /** QEMU's trace-events-all, where the user named it. */
  traceEvents: string | undefined;
  /** A command line that runs `virtap cleanup` once this process is gone. */
  cleanup: readonly string[];
};

/** The events of a running QEMU that writes them to its log, until `end`. */
export class QemuLogTrace implements Trace {
  readonly file: string;
  readonly format = 'live';
  readonly traits: Traits = { live: true };
  readonly version = "QEMU's log";
  readonly clock: Clock;
  readonly threads = new ThreadTable();
  readonly cpus = undefined;
  readonly #options: QemuLogOptions;
  readonly #notes: string[] = [];
  #inner: Trace | undefined;
  #source: QemuLogSource | undefined;
  #ended = false;

  constructor(options: QemuLogOptions) {
    this.#options = options;
    this.file = options.name;
    const timed = stampsItsLog(options.pid);
    this.clock = timed
      ? { name: 'realtime', unit: 'ns', resolution: 1000 }
      : { name: 'none', unit: 'none', resolution: 1 };
    if (!timed) this.#notes.push('Its log has no time stamps: start this QEMU with -msg timestamp=on to have them.');
  }

  get types(): readonly EventType[] {
    return this.#inner?.types ?? [];
  }

  get origin(): bigint {
    return this.#inner?.origin ?? 0n;
  }

  get last(): number {
    return this.#inner?.last ?? Number.NEGATIVE_INFINITY;
  }

  get notes(): readonly string[] {
    return [...this.#notes, ...(this.#inner?.notes ?? [])];
  }

  get damage(): TraceError | undefined {
    return this.#inner?.damage;
  }

  progress(): { read: number; size: undefined } {
    return { read: this.#inner?.progress().read ?? 0, size: undefined };
  }

  end(): void {
    this.#ended = true;
    // That it cannot be told to stop is said when it is put back.
    void this.#source?.end().catch(() => {});
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncGenerator<EventBatch> {
    const { pid, monitor, choose, length, traceEvents, cleanup } = this.#options;
    await cleanUpQemu();
    const journal = { pid: process.pid, started: startOf(process.pid) ?? '' };
    const guard = startGuard(cleanup);
    try {
      const source = await QemuLogSource.open(pid, monitor, choose, (qemu) => writeJournal({ ...journal, qemu }));
      this.#source = source;
      let callOff: (() => void) | undefined;
      try {
        if (this.#ended) this.end();
        if (length !== undefined) callOff = after(length / 1e6, () => this.end());
        for (const tid of threadsOf(pid)) this.threads.name(tid, commOf(tid) ?? '', pid);
        const input = await Input.stream(this.file, Readable.from(source.chunks(), { objectMode: false }));
        this.#inner = await qemuLog.open(input, { traceEvents });
        for await (const batch of this.#inner.batches(wants)) {
          batch.pid.fill(pid, 0, batch.count);
          yield batch;
        }
        this.#noteInUse(await source.inUse());
      } finally {
        callOff?.();
        await source.close();
      }
      removeJournal(process.pid);
      guard.done();
    } finally {
      // Where something could not be put back, the guard tries once more.
      if (this.#source === undefined) {
        removeJournal(process.pid);
        guard.done();
      }
    }
  }

  async close(): Promise<void> {
    this.end();
  }

  /** What QEMU itself says, to check the answer against. */
  #noteInUse(queues: { device: string; queue: number; count: number }[] | undefined): void {
    if (queues === undefined || queues.length === 0) return;
    const used = queues.filter(({ count }) => count > 0);
    const list = used.map(({ device, queue, count }) => `${count} of ${device} queue ${queue}`).join(', ');
    this.#notes.push(
      used.length === 0
        ? `QEMU itself counts no element in use, on any of its ${queues.length} virtqueues.`
        : `QEMU itself counts as in use: ${list}.`,
    );
  }
}

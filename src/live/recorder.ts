import { spawn } from 'node:child_process';
import { availableParallelism, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { Instance } from './instance.ts';
import { LiveError } from './live-error.ts';
import { PagePacker } from './page-packer.ts';
import { RawPages } from './raw-pages.ts';
import { finishRecording, RecordingFile } from './recording-file.ts';
import { cleanUp, type Journal, removeJournal, startOf, writeJournal } from './remains.ts';
import { threadNames } from './thread-names.ts';
import { traceDatHeader } from './trace-dat-writer.ts';
import { findTracefs, readTracefs } from './tracefs.ts';

/** What to record. */
export type RecorderOptions = {
  /** Path of the trace.dat to be. */
  file: string;
  /** `system:event`, each with the kernel's filter on it where it has one. */
  events: readonly { name: string; filter?: string }[];
  /** Only these threads and what they start; undefined means all. */
  tids: readonly number[] | undefined;
  /** Processes whose threads' names are to be in the file. */
  pids: readonly number[];
  /** Room in the kernel for each CPU's events, in KiB; undefined lets it follow the rate. */
  bufferKiB: number | undefined;
  /** Who records: `virtap 0.1.0`. */
  version: string;
  /** A command line that runs `virtap cleanup`. */
  cleanup: readonly string[];
};

/** How a recording stands. */
export type RecordingStatus = {
  /** Events recorded, and lost, so far. */
  events: number;
  lost: number;
  /** Bytes of the file. */
  bytes: number;
};

/** Room for each CPU's events to begin with, and at most, in KiB; all CPUs' together begin with no more than a 64th of the memory. */
const firstBuffer = 16 << 10;
const leastBuffer = 1 << 10;
const largestBuffer = 256 << 10;
/** Pages of a CPU that are collected before they are written. */
const pagesAtATime = 16;
/** How long events may wait in memory, in ms: what a sudden end of virtap loses. */
const patience = 500;
/** How long to sleep between looks at the buffers, in ms. */
const shortest = 5;
const longest = 100;

/**
 * Records into a trace.dat. Whatever it switches on in the kernel is off again after `stop`, which
 * runs to its end without waiting for anything, so that it can be called while the process ends.
 */
export class Recorder {
  readonly tracefs: string;
  /** Why it ended of itself: a full disk, say. */
  failure: LiveError | undefined;
  readonly #options: RecorderOptions;
  readonly #instance: Instance;
  readonly #pages: RawPages;
  readonly #file: RecordingFile;
  readonly #packers = new Map<number, PagePacker>();
  readonly #names: Map<number, string>;
  readonly #guard: { done(): void };
  readonly #journal: Journal;
  #bytes = 0;
  #written = performance.now();
  #summary: RecordingStatus | undefined;
  #sleeper: { timer: NodeJS.Timeout; wake: () => void } | undefined;
  #ended = false;

  /** Begins to record. Throws a LiveError where that cannot be; nothing is left switched on then. */
  constructor(options: RecorderOptions) {
    this.#options = options;
    this.tracefs = findTracefs();
    cleanUp(this.tracefs);
    const { pid } = process;
    const file = resolve(options.file);
    this.#journal = { pid, started: startOf(pid) ?? '' };
    writeJournal(this.#journal);
    const undo: (() => void)[] = [() => removeJournal(pid)];
    try {
      const guard = startGuard(options.cleanup);
      this.#guard = guard;
      undo.push(() => guard.done());
      this.#instance = new Instance(this.tracefs, options.bufferKiB ?? usualBuffer());
      const instance = this.#instance;
      undo.push(() => instance.remove());
      instance.recording = false;
      const names = options.events.map((event) => event.name);
      const header = traceDatHeader(this.tracefs, instance.path, names, instance.pageSize);
      this.#file = new RecordingFile(
        {
          file,
          part: `${file}.virtap-${pid}`,
          headerSize: header.length,
          pageSize: instance.pageSize,
          cpus: Math.max(...instance.cpus) + 1,
          clock: readTracefs(`${instance.path}/trace_clock`).trim(),
          version: options.version,
        },
        header,
      );
      const recording = this.#file;
      undo.push(() => recording.discard());
      this.#journal.recording = recording.state;
      writeJournal(this.#journal);
      this.#pages = new RawPages(instance);
      const pages = this.#pages;
      undo.push(() => pages.close());
      for (const cpu of pages.cpus) this.#packers.set(cpu, new PagePacker(instance.pageSize, pagesAtATime));
      if (options.tids !== undefined) instance.onlyThreads(options.tids);
      for (const event of options.events) instance.enable(event.name, event.filter);
      this.#names = threadNames(this.tracefs, options.pids);
      instance.recording = true;
    } catch (error) {
      for (const action of undo.reverse()) action();
      throw error;
    }
  }

  /** Empties the buffers until `end` is called, or something fails. */
  async run(): Promise<void> {
    let pause = shortest;
    while (!this.#ended) {
      let fullest: number;
      try {
        fullest = this.#empty();
      } catch (error) {
        if (!(error instanceof LiveError)) throw error;
        this.failure = error;
        return;
      }
      const room = this.#instance.bufferKiB * 1024;
      // To find an eighth of the buffer used next time; a load may begin at any moment, so no sudden long sleep.
      pause = Math.max(Math.min((pause * room) / 8 / Math.max(fullest, 1), pause * 2, longest), shortest);
      if (fullest > room / 2) this.#grow();
      await new Promise<void>((wake) => {
        this.#sleeper = { timer: setTimeout(wake, pause), wake };
      });
    }
  }

  /** Makes `run` return soon. */
  end(): void {
    this.#ended = true;
    if (this.#sleeper === undefined) return;
    clearTimeout(this.#sleeper.timer);
    this.#sleeper.wake();
  }

  status(): RecordingStatus {
    if (this.#summary !== undefined) return this.#summary;
    const counts = this.#instance.cpus.map((cpu) => this.#instance.counts(cpu));
    return {
      events: counts.reduce((sum, { entries, read }) => sum + entries + read, 0),
      lost: counts.reduce((sum, { overrun, dropped }) => sum + overrun + dropped, 0),
      bytes: this.#bytes,
    };
  }

  /** Stops recording, switches everything off, and completes the file. Safe to call twice. */
  stop(): RecordingStatus {
    if (this.#summary !== undefined) return this.#summary;
    const instance = this.#instance;
    let stats: { cpu: number; text: string }[] = [];
    try {
      instance.recording = false;
      for (const cpu of this.#pages.cpus) {
        if (this.failure !== undefined) break;
        this.#pages.drain(cpu, (page) => this.#add(cpu, page));
        this.#write(cpu);
      }
      stats = instance.cpus.map((cpu) => instance.counts(cpu));
    } catch (error) {
      if (!(error instanceof LiveError)) throw error;
      this.failure ??= error;
    } finally {
      this.#summary = { ...this.status(), bytes: this.#bytes };
      this.#pages.close();
      instance.remove();
      this.#file.close();
      const names = new Map([...this.#names, ...threadNames(this.tracefs, this.#options.pids)]);
      finishRecording(this.#file.state, { comms: names, stats }, (recording) =>
        writeJournal({ ...this.#journal, recording }),
      );
      removeJournal(process.pid);
      this.#guard.done();
    }
    return this.#summary;
  }

  /** Takes what the buffers hold; gives the bytes that were in the fullest. */
  #empty(): number {
    let fullest = 0;
    for (const cpu of this.#pages.cpus) {
      const before = this.#bytes;
      for (let turns = 0; this.#pages.read(cpu, (page) => this.#add(cpu, page)) && turns < 4; turns++);
      fullest = Math.max(fullest, this.#bytes - before);
    }
    const now = performance.now();
    if (now - this.#written > patience) {
      for (const cpu of this.#pages.cpus) this.#write(cpu);
      this.#written = now;
    }
    return fullest;
  }

  #add(cpu: number, page: Buffer): number {
    const packer = this.#packers.get(cpu) as PagePacker;
    const size = packer.add(page);
    this.#bytes += size;
    if (packer.isFull) this.#write(cpu);
    return size;
  }

  #write(cpu: number): void {
    const packer = this.#packers.get(cpu) as PagePacker;
    const pages = packer.pages();
    if (pages.length === 0) return;
    this.#file.write(cpu, pages, packer.fullSize);
    packer.dropFull();
  }

  #grow(): void {
    if (this.#options.bufferKiB !== undefined) return;
    const kib = Math.min(this.#instance.bufferKiB * 2, largestBuffer);
    if (kib === this.#instance.bufferKiB) return;
    try {
      this.#instance.resize(kib);
    } catch {
      // No memory for more: what is there has to do.
    }
  }
}

/** Room for each CPU's events to begin with, in KiB. */
function usualBuffer(): number {
  const share = totalmem() / 1024 / 64 / availableParallelism();
  return Math.floor(Math.min(Math.max(share, leastBuffer), firstBuffer));
}

/**
 * A shell that waits for this process's end, however sudden, and runs `virtap cleanup` then. Its commands are
 * fixed; what differs comes as arguments.
 */
function startGuard(cleanup: readonly string[]): { done(): void } {
  const child = spawn('sh', ['-c', 'read -r end || exec "$@"', 'virtap', ...cleanup], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  });
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return { done: () => child.stdin.end('done\n') };
}

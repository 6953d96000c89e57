import { resolve } from 'node:path';
import { takeHighPriority } from './high-priority.ts';
import { LiveError } from './live-error.ts';
import { PagePacker } from './page-packer.ts';
import { closeBuffers, type OpenBuffers, openBuffers, Pace, RawPages } from './raw-pages.ts';
import { finishRecording, RecordingFile } from './recording-file.ts';
import { Session, type SessionOptions } from './session.ts';
import { threadNames } from './thread-names.ts';
import { traceDatHeader } from './trace-dat-writer.ts';
import { readTracefs } from './tracefs.ts';

/** What to record. */
export type RecorderOptions = SessionOptions & {
  /** Path of the trace.dat to be. */
  file: string;
  /** `system:event` each. */
  events: readonly string[];
  /** Processes whose threads' names are to be in the file. */
  pids: readonly number[];
  /** Who records: `virtap 0.1.0`. */
  version: string;
};

/** How a recording stands. */
export type RecordingStatus = {
  /** Events recorded, and lost, so far. */
  events: number;
  lost: number;
  /** Bytes of events. */
  bytes: number;
};

/** Pages of a CPU that are collected before they are written. */
const pagesAtATime = 16;
/** How long events may wait in memory, in ms: what a sudden end of virtap loses. */
const writtenInterval = 500;

/**
 * Records into a trace.dat. Whatever it switches on in the kernel is off again after `stop`, which
 * runs to its end without waiting for anything, so that it can be called while the process ends.
 */
export class Recorder {
  /** Why it ended of itself: a full disk, say. */
  failure: LiveError | undefined;
  readonly #options: RecorderOptions;
  readonly #session: Session;
  readonly #buffers: OpenBuffers;
  readonly #pages: RawPages;
  readonly #file: RecordingFile;
  readonly #packers = new Map<number, PagePacker>();
  readonly #names: Map<number, string>;
  #bytes = 0;
  #written = performance.now();
  #summary: RecordingStatus | undefined;
  #sleeper: { timer: NodeJS.Timeout; wake: () => void } | undefined;
  #ended = false;

  /** Begins to record. Throws a LiveError where that cannot be; nothing is left switched on then. */
  constructor(options: RecorderOptions) {
    this.#options = options;
    const file = resolve(options.file);
    const session = new Session(options);
    const undo: (() => void)[] = [() => session.close()];
    this.#session = session;
    try {
      const { instance, tracefs } = session;
      const events = [...options.events, ...session.probeEvents];
      const header = traceDatHeader(tracefs, instance.path, events, instance.pageSize);
      const recording = new RecordingFile(
        {
          file,
          part: `${file}.virtap-${process.pid}`,
          headerSize: header.length,
          pageSize: instance.pageSize,
          cpus: Math.max(...instance.cpus) + 1,
          clock: readTracefs(`${instance.path}/trace_clock`).trim(),
          version: options.version,
        },
        header,
      );
      undo.push(() => recording.discard());
      this.#file = recording;
      session.note(recording.state);
      const buffers = openBuffers(instance);
      undo.push(() => closeBuffers(buffers));
      this.#buffers = buffers;
      this.#pages = new RawPages(buffers);
      for (const [cpu] of buffers.files) this.#packers.set(cpu, new PagePacker(instance.pageSize, pagesAtATime));
      this.#names = threadNames(tracefs, options.pids);
      session.begin(events);
    } catch (error) {
      for (const action of undo.reverse()) action();
      throw error;
    }
  }

  /** Empties the buffers until `end` is called, or something fails. */
  async run(): Promise<void> {
    takeHighPriority();
    const { instance } = this.#session;
    const pace = new Pace(
      instance.bufferKiB,
      this.#options.bufferKiB === undefined ? (kib) => instance.resize(kib) : undefined,
    );
    while (!this.#ended) {
      let pause: number;
      try {
        pause = pace.next(this.#pages.round(this.#add).fullest);
        const now = performance.now();
        if (now - this.#written > writtenInterval) {
          for (const cpu of this.#packers.keys()) this.#write(cpu);
          this.#written = now;
        }
      } catch (error) {
        if (!(error instanceof LiveError)) throw error;
        this.failure = error;
        return;
      }
      await new Promise<void>((wake) => {
        // A timer takes a millisecond at least.
        if (pause < 1) setImmediate(wake);
        else this.#sleeper = { timer: setTimeout(wake, pause), wake };
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
    const { instance } = this.#session;
    const counts = instance.cpus.map((cpu) => instance.counts(cpu));
    return {
      events: counts.reduce((sum, { entries, read }) => sum + entries + read, 0),
      lost: counts.reduce((sum, { overrun, dropped }) => sum + overrun + dropped, 0),
      bytes: this.#bytes,
    };
  }

  /** Stops recording, switches everything off, and completes the file. Safe to call twice. */
  stop(): RecordingStatus {
    if (this.#summary !== undefined) return this.#summary;
    const { instance, tracefs } = this.#session;
    let stats: { cpu: number; text: string }[] = [];
    try {
      instance.recording = false;
      if (this.failure === undefined) {
        this.#pages.drain(this.#add);
        for (const cpu of this.#packers.keys()) this.#write(cpu);
      }
      stats = instance.cpus.map((cpu) => instance.counts(cpu));
    } catch (error) {
      if (!(error instanceof LiveError)) throw error;
      this.failure ??= error;
    } finally {
      this.#summary = this.status();
      closeBuffers(this.#buffers);
      this.#file.close();
      const comms = new Map([...this.#names, ...threadNames(tracefs, this.#options.pids)]);
      try {
        finishRecording(this.#file.state, { comms, stats }, (state) => this.#session.note(state));
      } finally {
        this.#session.close();
      }
    }
    return this.#summary;
  }

  readonly #add = (cpu: number, page: Buffer): number => {
    const packer = this.#packers.get(cpu) as PagePacker;
    const size = packer.add(page);
    this.#bytes += size;
    if (packer.isFull) this.#write(cpu);
    return size;
  };

  #write(cpu: number): void {
    const packer = this.#packers.get(cpu) as PagePacker;
    const pages = packer.pages();
    if (pages.length === 0) return;
    this.#file.write(cpu, pages, packer.fullSize);
    packer.dropFull();
  }
}

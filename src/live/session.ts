import { availableParallelism, totalmem } from 'node:os';
import { startGuard } from './guard.ts';
import { Instance } from './instance.ts';
import { cleanUp, removeJournal, writeJournal } from './leftovers.ts';
import { startOf } from './machines.ts';
import type { RecordingState } from './recording-file.ts';
import { findTracefs } from './tracefs.ts';
import { type Uprobe, Uprobes } from './uprobes.ts';

/** What to trace. */
export type SessionOptions = {
  /** Only these threads and what they start; undefined means all. */
  tids: readonly number[] | undefined;
  /** Room in the kernel for each CPU's events, in KiB; undefined lets it follow the rate. */
  bufferKiB: number | undefined;
  /** Probes of QEMU, to be switched on with the events. */
  uprobes: readonly Uprobe[];
  /** A command line that runs `virtap cleanup` once this process is gone. */
  cleanup: readonly string[];
};

/** Room for each CPU's events to begin with, in KiB; all CPUs' together begin with no more than a 64th of the memory. */
const firstBuffer = 16 << 10;
const leastBuffer = 1 << 10;

/** A tracing instance in use, that is sure to be removed: by `close`, or by a guard after this process's sudden end. */
export class Session {
  readonly tracefs: string;
  readonly instance: Instance;
  readonly #uprobes: Uprobes;
  readonly #options: SessionOptions;
  readonly #journal: { pid: number; started: string };
  readonly #guard: { done(): void };
  #closed = false;

  /** Makes the instance, with nothing switched on. Throws a LiveError where that cannot be. */
  constructor(options: SessionOptions) {
    this.#options = options;
    this.tracefs = findTracefs();
    cleanUp(this.tracefs);
    const { pid } = process;
    this.#journal = { pid, started: startOf(pid) ?? '' };
    writeJournal(this.#journal);
    this.#guard = startGuard(options.cleanup);
    const undo = [() => removeJournal(pid), () => this.#guard.done()];
    try {
      const uprobes = new Uprobes(this.tracefs, options.uprobes);
      this.#uprobes = uprobes;
      undo.push(() => uprobes.remove());
      this.instance = new Instance(this.tracefs, options.bufferKiB ?? usualBuffer());
      this.instance.recording = false;
    } catch (error) {
      for (const action of undo.reverse()) action();
      throw error;
    }
  }

  /** The events of the probes, `system:event`. */
  get probeEvents(): readonly string[] {
    return this.#uprobes.events;
  }

  /** Writes down that there is a recording to be finished. */
  note(recording: RecordingState): void {
    writeJournal({ ...this.#journal, recording });
  }

  /** Switches on the events, `system:event` each. */
  begin(events: readonly string[]): void {
    if (this.#options.tids !== undefined) this.instance.onlyThreads(this.#options.tids);
    for (const event of events) this.instance.enable(event);
    this.instance.recording = true;
  }

  /** Removes all of it. Its pages must be closed. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Where somebody still uses it, the guard tries again after this process.
    if (!this.instance.remove()) return;
    this.#uprobes.remove();
    removeJournal(process.pid);
    this.#guard.done();
  }
}

/** Room for each CPU's events to begin with, in KiB. */
function usualBuffer(): number {
  const share = totalmem() / 1024 / 64 / availableParallelism();
  return Math.floor(Math.min(Math.max(share, leastBuffer), firstBuffer));
}

import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, LiveError } from './live-error.ts';
import { explain, hasTracefs, readTracefs, writeTracefs } from './tracefs.ts';

/** Instances of virtap are called so, with the process id of who made them. */
const instancePrefix = 'virtap-';

/** What the kernel counted for one CPU of an instance: per_cpu/cpuN/stats. */
export type CpuCounts = {
  cpu: number;
  /** Events that are in the buffer, and those that were read from it. */
  entries: number;
  read: number;
  /** Events that newer ones overwrote before they were read, and those that could not be written. */
  overrun: number;
  dropped: number;
  /** Size of what is in the buffer. */
  bytes: number;
  /** The kernel's text. */
  text: string;
};

/**
 * An instance of the kernel's tracer: ring buffers, events and filters of its own, which no other
 * tracer sees. It is gone when it is removed, or when somebody finds it after its maker died (`stale.ts`).
 */
export class Instance {
  readonly name: string;
  readonly path: string;
  /** Bytes that one read of trace_pipe_raw gives: the kernel's sub-buffer. */
  readonly pageSize: number;
  readonly cpus: number[];
  /** Room for each CPU's events, in KiB. */
  bufferKiB: number;
  #removed = false;

  /** Makes the instance, with nothing switched on. `bufferKiB` is the room for each CPU. */
  constructor(tracefs: string, bufferKiB: number, clock = 'mono') {
    this.name = `${instancePrefix}${process.pid}`;
    this.path = join(tracefs, 'instances', this.name);
    try {
      mkdirSync(this.path);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') {
        throw new LiveError(
          `the tracing instance ${this.name} is there already: \`virtap cleanup\` removes what is left over`,
        );
      }
      throw explain(error, join(tracefs, 'instances'), 'make an instance in');
    }
    try {
      writeTracefs(join(this.path, 'trace_clock'), clock);
      this.#largePages();
      this.pageSize = pageSizeOf(readTracefs(this.#headerPage(tracefs)));
      this.bufferKiB = bufferKiB;
      this.resize(bufferKiB);
      this.cpus = readdirSync(join(this.path, 'per_cpu'))
        .map((name) => Number(/^cpu(\d+)$/.exec(name)?.[1]))
        .filter((cpu) => !Number.isNaN(cpu))
        .sort((a, b) => a - b);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Linux 6.8 and later hand out larger pages than memory has: fewer system calls for as many events. */
  #largePages(): void {
    const file = join(this.path, 'buffer_subbuf_size_kb');
    if (!hasTracefs(file)) return;
    try {
      writeTracefs(file, String(subBufferKiB));
    } catch {
      // No contiguous memory for them: small ones do as well.
    }
  }

  #headerPage(tracefs: string): string {
    const own = join(this.path, 'events/header_page');
    return hasTracefs(own) ? own : join(tracefs, 'events/header_page');
  }

  /** Room for each CPU's events, in KiB; what was recorded stays. */
  resize(kib: number): void {
    writeTracefs(join(this.path, 'buffer_size_kb'), String(kib));
    this.bufferKiB = kib;
  }

  /** Switches an event on: `system:event`. */
  enable(event: string): void {
    writeTracefs(join(this.path, 'set_event'), event, true);
  }

  /** Only events of these threads, and of what they start; the scheduler's also where they are the other side. */
  onlyThreads(tids: readonly number[]): void {
    writeTracefs(join(this.path, 'options/event-fork'), '1');
    // The kernel takes any number, in writes of at most a page.
    for (let i = 0; i < tids.length; i += 256) {
      writeTracefs(join(this.path, 'set_event_pid'), tids.slice(i, i + 256).join(' '), true);
    }
  }

  /** Whether events go into the buffers. */
  set recording(on: boolean) {
    writeTracefs(join(this.path, 'tracing_on'), on ? '1' : '0');
  }

  /** The kernel's text on a CPU's buffer, and the numbers in it. */
  counts(cpu: number): CpuCounts {
    const text = readTracefs(join(this.path, `per_cpu/cpu${cpu}/stats`));
    const number = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
    return {
      cpu,
      entries: number('entries'),
      read: number('read events'),
      overrun: number('overrun'),
      dropped: number('dropped events') + number('commit overrun'),
      bytes: number('bytes'),
      text,
    };
  }

  /** Removes it and all that it switched on. False where files of it are open. Safe to call twice. */
  remove(): boolean {
    this.#removed ||= removeInstance(this.path);
    return this.#removed;
  }
}

/** Size of the kernel's sub-buffers that is asked for, in KiB. */
const subBufferKiB = 64;

/** Removes an instance; its events are switched off with it. False where somebody uses it. */
export function removeInstance(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    if (codeOf(error) === 'EBUSY') return false;
    throw explain(error, path, 'remove');
  }
}

function pageSizeOf(headerPage: string): number {
  const data = /field: char data;\s*offset:(\d+);\s*size:(\d+);/.exec(headerPage);
  if (data === null) throw new LiveError('the kernel describes its ring buffer (events/header_page) in an unknown way');
  return Number(data[1]) + Number(data[2]);
}

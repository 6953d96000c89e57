import {
  chownSync,
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveError } from './live-error.ts';
import { goneCheck } from './machines.ts';
import { type Monitor, type MonitorAddress, openMonitor } from './qmp.ts';

/*
 * QEMU's own trace backend, driven through its monitor: events are switched on, and what its log backend writes is read as it comes.
 */

/** What was changed in a QEMU, for whoever has to put it back. */
export type QemuChanges = {
  pid: number;
  address: MonitorAddress;
  /** Events that were switched on, and were not before. */
  events: string[];
  /** The folder of the log that was made for us; undefined where QEMU's own is read. */
  folder: string | undefined;
};

/** How often to look whether the log has grown, in ms. */
const pause = 50;
const chunkSize = 1 << 18;

/** The log of a QEMU, with events switched on in it. */
export class QemuLogSource {
  readonly changes: QemuChanges;
  readonly #monitor: Monitor;
  readonly #file: number;
  readonly #isGone: () => boolean;
  #at: number;
  #ended = false;
  #ending: Promise<void> | undefined;

  private constructor(monitor: Monitor, changes: QemuChanges, file: number, at: number) {
    this.#monitor = monitor;
    this.changes = changes;
    this.#file = file;
    this.#at = at;
    this.#isGone = goneCheck([changes.pid]);
  }

  /**
   * Switches on those of QEMU's events that `choose` picks from all. `note` is told of each change before it is
   * made. Throws a LiveError where it cannot be; everything is as before then.
   */
  static async open(
    pid: number,
    address: MonitorAddress,
    choose: (names: string[]) => string[],
    note: (changes: QemuChanges) => void,
  ): Promise<QemuLogSource> {
    const monitor = await openMonitor(address);
    const changes: QemuChanges = { pid, address, events: [], folder: undefined };
    let file: number | undefined;
    try {
      const states = (await monitor.execute('trace-event-get-state', { name: '*' })) as {
        name: string;
        state: string;
      }[];
      const off = states.filter(({ state }) => state === 'disabled').map(({ name }) => name);
      const known = states.filter(({ state }) => state !== 'unavailable').map(({ name }) => name);
      const chosen = new Set(choose(known));
      changes.events = off.filter((name) => chosen.has(name)).sort((a, b) => place(a) - place(b));
      const own = logOf(pid);
      let at = 0;
      if (own !== undefined) {
        // The process says where; a pipe there would keep us waiting.
        file = openSync(own, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
        const status = fstatSync(file);
        if (!status.isFile()) throw new LiveError(`the log of this QEMU, ${own}, is no file`);
        at = status.size;
      } else {
        const { path, folder, file: made } = makeLog(pid);
        file = made;
        changes.folder = folder;
        note(changes);
        await humanCommand(monitor, `logfile ${path}`);
      }
      note(changes);
      for (const name of changes.events) await monitor.execute('trace-event-set-state', { name, enable: true });
      return new QemuLogSource(monitor, changes, file, at);
    } catch (error) {
      await restore(monitor, changes).catch(() => {});
      monitor.close();
      if (file !== undefined) closeSync(file);
      throw error;
    }
  }

  /** What is written, as it comes, until `end`. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      // What was written before it ended is still read.
      const last = this.#ended;
      const chunk = Buffer.alloc(chunkSize);
      const got = readSync(this.#file, chunk, 0, chunk.length, this.#at);
      this.#at += got;
      if (got > 0) yield chunk.subarray(0, got);
      else if (last) return;
      else if (this.#isGone()) this.#ended = true;
      else await sleep(pause);
    }
  }

  /** Switches the events off again; `chunks` ends when it has given what there is. */
  end(): Promise<void> {
    this.#ending ??= switchOff(this.#monitor, this.changes).finally(() => {
      this.#ended = true;
    });
    return this.#ending;
  }

  /** How many elements QEMU itself counts as in use, by device and queue; undefined where that QEMU does not say. */
  async inUse(): Promise<{ device: string; queue: number; count: number }[] | undefined> {
    const found: { device: string; queue: number; count: number }[] = [];
    try {
      const devices = (await this.#monitor.execute('x-query-virtio')) as { name: string; path: string }[];
      for (const { name, path } of devices.slice(0, mostDevices)) {
        const status = (await this.#monitor.execute('x-query-virtio-status', { path })) as { 'num-vqs': number };
        for (let queue = 0; queue < Math.min(status['num-vqs'], mostQueues); queue++) {
          const { inuse } = (await this.#monitor.execute('x-query-virtio-queue-status', { path, queue })) as {
            inuse: number;
          };
          found.push({ device: name, queue, count: inuse });
        }
      }
    } catch {
      return undefined;
    }
    return found;
  }

  /** Puts everything back. Safe to call twice. */
  async close(): Promise<void> {
    try {
      await this.#ending?.catch(() => {});
      if (!this.#isGone()) await restore(this.#monitor, this.changes);
      else forget(this.changes);
    } finally {
      this.#monitor.close();
      try {
        closeSync(this.#file);
      } catch {}
    }
  }
}

/**
 * Events are switched on in this order, and off in the reverse: one that begins something comes last, so that nothing is seen to
 * begin whose end could not be seen.
 */
function place(name: string): number {
  return ['qemu_mutex_locked', 'qemu_mutex_lock', 'virtqueue_pop'].indexOf(name);
}

/** Devices and queues that are asked after. */
const mostDevices = 64;
const mostQueues = 64;

/** Puts back what a process changed that is gone. */
export async function restoreQemu(changes: QemuChanges): Promise<void> {
  const monitor = await openMonitor(changes.address);
  try {
    await restore(monitor, changes);
  } finally {
    monitor.close();
  }
}

async function restore(monitor: Monitor, changes: QemuChanges): Promise<void> {
  await switchOff(monitor, changes);
  const { folder } = changes;
  if (folder === undefined) return;
  // Without -D, QEMU logs to its standard error. Where that cannot be opened again, nothing is left that would be logged.
  await humanCommand(monitor, 'logfile /dev/stderr').catch(() => {});
  forget(changes);
}

/** Removes the log that was made for us. */
function forget(changes: QemuChanges): void {
  if (changes.folder !== undefined) rmSync(changes.folder, { recursive: true, force: true });
  changes.folder = undefined;
}

async function switchOff(monitor: Monitor, changes: QemuChanges): Promise<void> {
  while (changes.events.length > 0) {
    await monitor.execute('trace-event-set-state', { name: changes.events.at(-1), enable: false });
    changes.events.pop();
  }
}

/** A command of the monitor for people. It answers with text, which is empty where all is well. */
async function humanCommand(monitor: Monitor, line: string): Promise<void> {
  const text = await monitor.execute('human-monitor-command', { 'command-line': line });
  if (typeof text === 'string' && text.trim() !== '') throw new LiveError(`QEMU refuses "${line}": ${text.trim()}`);
}

/** The log that a QEMU was started with (-D), as an absolute path; undefined where it logs to its standard error. */
function logOf(pid: number): string | undefined {
  const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const at = args.indexOf('-D');
  const path = at < 0 ? undefined : args[at + 1];
  if (path === undefined || path === '' || path.includes('%')) return undefined;
  return path.startsWith('/') ? path : join(readlinkSync(`/proc/${pid}/cwd`), path);
}

/** Whether a QEMU stamps what it logs with the time and thread (-msg timestamp=on). */
export function stampsItsLog(pid: number): boolean {
  try {
    return /(^|\0)-msg\0[^\0]*\btimestamp(=on)?(,|\0)/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  } catch {
    return false;
  }
}

/** Makes a file for a QEMU to log into: in a folder that only it and we can enter. */
function makeLog(pid: number): { path: string; folder: string; file: number } {
  if (readlinkSync(`/proc/${pid}/ns/mnt`) !== readlinkSync('/proc/self/ns/mnt')) {
    throw new LiveError(
      'this QEMU runs in a container with files of its own: start it with -D FILE, and virtap reads that file',
    );
  }
  const folder = mkdtempSync(join(tmpdir(), 'virtap-log-'));
  const path = join(folder, 'qemu.log');
  // Opened before the folder is anybody else's: what is read is this file, whatever its name comes to stand for.
  const file = openSync(path, 'wx+', 0o600);
  const { uid, gid } = statSync(`/proc/${pid}`);
  if (uid !== process.getuid?.()) {
    chownSync(path, uid, gid);
    chownSync(folder, uid, gid);
  }
  return { path, folder, file };
}

import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  fchmodSync,
  fchownSync,
  constants as fsConstants,
  fstatSync,
  fsyncSync,
  lstatSync,
  open,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  write,
} from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { isRecording } from '../formats/detect.ts';
import { cannotWrite } from '../trace/write-error.ts';

/*
 * What commands write with -o and its kin. It goes into a file beside the target, which takes the target's place only when it is whole: nobody
 * finds half of a file there, and what was there stays until then.
 */

/** Which files a command must leave alone: `inputs`, whatever their names, and recordings unless the user says `force`. */
export type Spared = { inputs: readonly (string | undefined)[]; force?: true | undefined };

/** Gives a command that writes files the option to replace a recording. */
export function forceOption(command: Command): Command {
  return command.option('--force', 'write over a recording, too, where one is there');
}

/** Throws a UsageError where writing to `path` would destroy an input, or a recording. To be asked before anything takes long. */
export async function checkOutput(path: string, { inputs, force }: Spared): Promise<void> {
  const there = path === standardOutput ? fstatSync(1) : statusOf(path);
  if (there === undefined) {
    try {
      accessSync(dirname(targetOf(path)), fsConstants.W_OK);
    } catch (error) {
      throw new UsageError(cannotWrite(path, error));
    }
    return;
  }
  if (there.isDirectory()) throw new UsageError(`cannot write ${path}: it is a directory`);
  // Anybody may read from a terminal and write to it.
  if (there.isCharacterDevice()) return;
  for (const input of inputs) {
    if (input === undefined) continue;
    const status = input === '-' ? fstatSync(0) : statusOf(input);
    const folder = status?.isDirectory() === true ? input : basename(input) === 'data' ? dirname(input) : undefined;
    if (isSame(there, status) || (folder !== undefined && isPartOf(path, there, folder))) {
      const same = input === path ? '' : `, which is ${input === '-' ? 'standard input' : input}`;
      throw new UsageError(`${path} is read by this very command${same}: write to another file`);
    }
  }
  if (force !== true && there.isFile() && there.size > 0 && path !== standardOutput && (await isRecording(path)))
    throw new UsageError(`${path} is a recording: --force writes over it`);
}

/** Writes a file as a whole. Throws a UsageError where that cannot be, and leaves what was there. */
export async function writeOutput(path: string, content: Uint8Array | string, spared: Spared): Promise<void> {
  const file = await OutputFile.create(path, spared);
  await file.write(content);
  await file.finish();
}

/** Where standard output stands in for a file: it is checked, too, and its reader waited for. */
export async function writeStandardOutput(content: Uint8Array | string): Promise<void> {
  if (!process.stdout.write(content)) await once(process.stdout, 'drain');
}

/** A file that is being written. */
export class OutputFile {
  readonly #path: string;
  /** What takes the target's place in the end; undefined where the target itself is written. */
  readonly #fresh: { path: string; target: string } | undefined;
  readonly #file: number;
  #open = true;
  readonly #onExit = () => this.discard();
  readonly #onSignal = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => {
    // Ctrl-C may be somebody's who ends the reading.
    if (signal === 'SIGINT' && process.listenerCount(signal) > 1) return;
    process.exit(128 + constants.signals[signal]);
  };

  private constructor(path: string, file: number, fresh: { path: string; target: string } | undefined) {
    this.#path = path;
    this.#file = file;
    this.#fresh = fresh;
    process.on('exit', this.#onExit);
    for (const signal of signals) process.on(signal, this.#onSignal);
  }

  static async create(path: string, spared: Spared): Promise<OutputFile> {
    await checkOutput(path, spared);
    try {
      if (path === standardOutput) return new OutputFile(path, 1, undefined);
      const target = targetOf(path);
      const there = statusOf(target);
      // Devices and pipes are written as they are. Opened without blocking us: a pipe may wait long for its reader.
      if ((there !== undefined && !there.isFile()) || /^\/(dev|proc)\//.test(target)) {
        return new OutputFile(path, await openWaiting(target, 'w'), undefined);
      }
      const fresh = join(dirname(target), `.virtap-${process.pid}-${Math.random().toString(36).slice(2, 10)}.part`);
      const file = openSync(fresh, 'wx', 0o666);
      if (there !== undefined) inherit(file, there);
      return new OutputFile(path, file, { path: fresh, target });
    } catch (error) {
      throw new UsageError(cannotWrite(path, error));
    }
  }

  async write(content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    if (this.#path === standardOutput) {
      await writeStandardOutput(bytes);
      return;
    }
    try {
      for (let n = 0; n < bytes.length; ) {
        n += (await writeBytes(this.#file, bytes, n, bytes.length - n, null)).bytesWritten;
      }
    } catch (error) {
      this.discard();
      throw new UsageError(cannotWrite(this.#path, error));
    }
  }

  /** It is whole. Some file systems tell only now that they had no room. */
  async finish(): Promise<void> {
    if (this.#path === standardOutput) {
      this.#release();
      return;
    }
    try {
      if (this.#fresh !== undefined) fsyncSync(this.#file);
      this.#close();
      if (this.#fresh !== undefined) renameSync(this.#fresh.path, this.#fresh.target);
      this.#release();
    } catch (error) {
      this.discard();
      throw new UsageError(cannotWrite(this.#path, error));
    }
  }

  /** It will not be whole: nothing is left of it. Safe to call twice, and after `finish`. */
  discard(): void {
    if (this.#path !== standardOutput) {
      try {
        this.#close();
      } catch {}
      // Renamed, it is there no more.
      if (this.#fresh !== undefined) rmSync(this.#fresh.path, { force: true });
    }
    this.#release();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#file);
  }

  #release(): void {
    process.removeListener('exit', this.#onExit);
    for (const signal of signals) process.removeListener(signal, this.#onSignal);
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Open already, and no path where it is a socket. */
const standardOutput = '/dev/stdout';
const openWaiting = promisify(open) as (path: string, flags: string) => Promise<number>;
const writeBytes = promisify(write) as (
  file: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: null,
) => Promise<{ bytesWritten: number }>;

/** What is at a path, undefined where nobody can tell. */
function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Whether a file is a part of the recording that a folder is: those of perf are `data`, `data.0`, …, those of CTF may have any name. */
function isPartOf(path: string, status: Stats, folder: string): boolean {
  if (isSame(status, statusOf(join(folder, 'data')))) return true;
  const real = realpathSync(path);
  if (!real.startsWith(`${realpathSync(folder)}/`)) return false;
  return /^data\.\d+$/.test(basename(real)) || statusOf(join(dirname(real), 'metadata')) !== undefined;
}

function isSame(a: Stats, b: Stats | undefined): boolean {
  return a.dev === b?.dev && a.ino === b.ino;
}

/** Where a path leads, through links, also to what is not there yet. */
function targetOf(path: string): string {
  let at = path;
  for (let links = 0; links < 40; links++) {
    if (statusOf(at) !== undefined) return realpathSync(at);
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return at;
    at = resolve(dirname(at), readlinkSync(at));
  }
  throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
}

/** What takes a file's place is as readable as it was, and its owner's, where that can be. */
function inherit(file: number, { mode, uid, gid }: Stats): void {
  fchmodSync(file, mode & 0o777);
  if (uid === process.getuid?.() && gid === process.getgid?.()) return;
  try {
    fchownSync(file, uid, gid);
  } catch {}
}

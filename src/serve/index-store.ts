import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { asTraceError } from '../formats/input.ts';
import { TraceError } from '../trace/error.ts';

/** Grows with every change of what an index holds: an older one is made anew. */
const version = 4;
/** Bytes at either end of a file that go into its identity. */
const probe = 1 << 16;
/** An index that nobody has used for so long is removed, in ms. */
const kept = 30 * 24 * 3600 * 1000;

/** A folder in the user's cache for what was learnt from some files; undefined where nothing can be kept safely. */
export function indexFolder(files: readonly string[]): string | undefined {
  const names = files.map((file) => realpathSync(file)).join('\0');
  const all = cacheFolder();
  return all && join(all, createHash('sha256').update(names).digest('hex').slice(0, 24));
}

/** Where indexes are kept; undefined where that cannot be made or written, or others can write there. */
function cacheFolder(): string | undefined {
  try {
    const all = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'virtap', 'serve');
    let above = all;
    const missing: string[] = [];
    for (; !existsSync(above); above = dirname(above)) missing.unshift(above);
    // What root makes in the home of somebody else would be in that user's way.
    if (![0, process.getuid?.()].includes(statSync(above).uid)) return undefined;
    // Not all at once: where a file system makes no folders, as /proc, Node.js goes on for ever.
    for (const folder of missing) mkdirSync(folder, { mode: 0o700 });
    if (!isOurs(all)) return undefined;
    accessSync(all, constants.W_OK | constants.X_OK);
    return all;
  } catch {
    return undefined;
  }
}

/** Whether a folder is the user's, and nobody else can change what is in it. */
function isOurs(folder: string): boolean {
  const status = lstatSync(folder, { throwIfNoEntry: false });
  return status?.isDirectory() === true && status.uid === process.getuid?.() && (status.mode & 0o022) === 0;
}

/**
 * What tells one state of some files from another: size, time of change, and both their ends; `how` says how they are read. Throws a
 * TraceError for what is no file: it could not be read again, and a pipe would be waited for.
 */
export function identity(files: readonly string[], how: string): string {
  const hash = createHash('sha256').update(`${version} ${how}\n`);
  for (const path of files) {
    let file: number | undefined;
    try {
      file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      let status = fstatSync(file);
      if (status.isDirectory()) {
        // As perf record --kcore writes.
        const data = join(path, 'data');
        if (!existsSync(data)) throw new TraceError(path, 'is a directory', undefined, 'a trace file');
        closeSync(file);
        file = undefined;
        file = openSync(data, constants.O_RDONLY | constants.O_NONBLOCK);
        status = fstatSync(file);
      }
      if (!status.isFile()) throw new TraceError(path, 'is no file', undefined, 'one that can be read again and again');
      const { size, mtimeMs } = status;
      hash.update(`${size} ${mtimeMs} `);
      const bytes = Buffer.alloc(probe);
      hash.update(bytes.subarray(0, readSync(file, bytes, 0, probe, 0)));
      hash.update(bytes.subarray(0, readSync(file, bytes, 0, probe, Math.max(0, size - probe))));
    } catch (error) {
      throw asTraceError(path, error);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }
  return hash.digest('hex');
}

/** The index of these files as `T`, where one was kept, is of this very state of them, and is as it was written. */
export function readIndex<T>(folder: string, id: string): T | undefined {
  try {
    if (!isOurs(folder)) return undefined;
    const text = readFileSync(join(folder, 'index.json'), 'utf8');
    const end = text.indexOf('\n');
    const kept = text.slice(end + 1);
    if (text.slice(0, end) !== sumOf(kept)) return undefined;
    const found = JSON.parse(kept) as { id: string; index: T };
    if (found.id !== id) return undefined;
    const now = new Date();
    utimesSync(folder, now, now);
    return found.index;
  } catch {
    return undefined;
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Makes an index in a folder of its own, and lets `use` open what it needs there. The folder takes the place of `folder` only when it is
 * complete; where there is no room or no right to keep it, it is of use all the same, and is gone afterwards.
 */
export async function writeIndex<T>(
  folder: string | undefined,
  id: string,
  make: (folder: string) => Promise<T>,
  use: (index: T, folder: string) => void = () => {},
): Promise<T> {
  if (folder !== undefined) {
    try {
      removeUnused(dirname(folder));
      return await writeIn(`${folder}.`, make, (index, fresh) => {
        use(index, fresh);
        keep(folder, fresh, JSON.stringify({ id, index }));
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    }
  }
  return await writeIn(join(tmpdir(), 'virtap-serve-'), make, use);
}

async function writeIn<T>(
  prefix: string,
  make: (folder: string) => Promise<T>,
  use: (index: T, folder: string) => void,
): Promise<T> {
  const fresh = mkdtempSync(prefix);
  try {
    const index = await make(fresh);
    use(index, fresh);
    return index;
  } finally {
    // Moved away, it is there no more.
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Puts an index where it is found again, if that can be. */
function keep(folder: string, fresh: string, text: string): void {
  try {
    writeFileSync(join(fresh, 'index.json'), `${sumOf(text)}\n${text}`, { mode: 0o600 });
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
  } catch {}
}

/** Removes indexes that were not used for long, and what killed programs left of theirs. */
function removeUnused(all: string): void {
  for (const name of readdirSync(all)) {
    const folder = join(all, name);
    const unused = Date.now() - (lstatSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (unused > kept) rmSync(folder, { recursive: true, force: true });
  }
}

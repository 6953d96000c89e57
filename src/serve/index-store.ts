import { createHash } from 'node:crypto';
import {
  closeSync,
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
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Grows with every change of what an index holds: an older one is made anew. */
const version = 3;
/** Bytes at either end of a file that go into its identity. */
const probe = 1 << 16;
/** An index that nobody has used for so long is removed, in ms. */
const kept = 30 * 24 * 3600 * 1000;

/** A folder in the user's cache for what was learnt from some files. */
export function indexFolder(files: readonly string[]): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const names = files.map((file) => realpathSync(file)).join('\0');
  return join(cache, 'virtap', 'serve', createHash('sha256').update(names).digest('hex').slice(0, 24));
}

/** What tells one state of some files from another: size, time of change, and both their ends; `how` says how they are read. */
export function identity(files: readonly string[], how: string): string {
  const hash = createHash('sha256').update(`${version} ${how}\n`);
  for (const path of files) {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${size} ${mtimeMs} `);
    const file = openSync(path, 'r');
    const bytes = Buffer.alloc(probe);
    hash.update(bytes.subarray(0, readSync(file, bytes, 0, probe, 0)));
    hash.update(bytes.subarray(0, readSync(file, bytes, 0, probe, Math.max(0, size - probe))));
    closeSync(file);
  }
  return hash.digest('hex');
}

/** The index of these files as `T`, where one was kept and is of this very state of them. */
export function readIndex<T>(folder: string, id: string): T | undefined {
  try {
    const found = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { id: string; index: T };
    if (found.id !== id) return undefined;
    const now = new Date();
    utimesSync(folder, now, now);
    return found.index;
  } catch {
    return undefined;
  }
}

/** Makes an index in a folder of its own, which takes the place of the old one only when it is complete. */
export async function writeIndex<T>(folder: string, id: string, make: (folder: string) => Promise<T>): Promise<T> {
  const all = dirname(folder);
  mkdirSync(all, { recursive: true, mode: 0o700 });
  removeUnused(all);
  const fresh = mkdtempSync(`${folder}.`);
  try {
    const index = await make(fresh);
    writeFileSync(join(fresh, 'index.json'), JSON.stringify({ id, index }), { mode: 0o600 });
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    return index;
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    throw error;
  }
}

/** Removes indexes that were not used for long, and what killed programs left of theirs. */
function removeUnused(all: string): void {
  for (const name of readdirSync(all)) {
    const folder = join(all, name);
    const unused = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (unused > kept) rmSync(folder, { recursive: true, force: true });
  }
}

import { closeSync, type Dirent, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Meter } from '../../trace/budget.ts';
import { asTraceError } from '../input.ts';
import type { StreamFile } from './stream.ts';

/** How deep a session's traces may be in its folder: LTTng's are in archives/CHUNK/ust/uid/1000/64-bit. */
const deepest = 12;
const fileBytes = 400;
/** Magic number of a packet index (lttng-tools, src/common/index). */
const indexMagic = 0xc1f1dcc1;
const longestIndexHeader = 16;

/** One trace in a folder: its metadata and the files of its streams. */
export type TraceFolder = { path: string; metadata: Uint8Array; metadataFile: string; files: StreamFile[] };

/** The folders with a CTF trace at or below a path. */
export function tracesBelow(path: string, meter: Meter): string[] {
  const found: string[] = [];
  const look = (folder: string, depth: number) => {
    meter.need(fileBytes, 'folders');
    const entries = entriesOf(folder, depth);
    if (entries.some((entry) => entry.name === 'metadata' && !entry.isDirectory())) found.push(folder);
    if (depth === deepest) return;
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
      if (entry.isDirectory() && entry.name !== 'index' && !entry.name.startsWith('.'))
        look(join(folder, entry.name), depth + 1);
  };
  look(path, 0);
  return found;
}

/** What is in a folder; nothing where one below the first cannot be read. */
function entriesOf(folder: string, depth: number): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (depth > 0) return [];
    throw asTraceError(folder, error);
  }
}

/** Reads what is in a trace's folder. */
export function readFolder(path: string, meter: Meter): TraceFolder {
  const metadataFile = join(path, 'metadata');
  try {
    const { size } = statSync(metadataFile);
    meter.part(size, 'metadata', 0);
    const metadata = readFileSync(metadataFile);
    meter.read(metadata.length);
    const files: StreamFile[] = [];
    for (const name of readdirSync(path).toSorted()) {
      if (name.startsWith('.') || name === 'metadata' || name.endsWith('.idx')) continue;
      const file = join(path, name);
      const status = statSync(file, { throwIfNoEntry: false });
      if (status?.isFile() !== true || status.size === 0) continue;
      meter.need(fileBytes, 'files');
      files.push({ path: file, size: status.size, indexed: indexedSize(file) });
    }
    return { path, metadata, metadataFile, files };
  } catch (error) {
    throw asTraceError(metadataFile, error);
  }
}

/** Where the packets of a stream's file end by its index; undefined where it has none, or one that cannot be. */
function indexedSize(file: string): number | undefined {
  const path = join(dirname(file), 'index', `${basename(file)}.idx`);
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isFile() !== true || status.size <= longestIndexHeader) return undefined;
  const head = Buffer.alloc(longestIndexHeader);
  const handle = openSync(path, 'r');
  try {
    if (readSync(handle, head, 0, head.length, 0) < head.length || head.readUInt32BE(0) !== indexMagic)
      return undefined;
    const entry = head.readUInt32BE(12);
    const count = Math.floor((status.size - longestIndexHeader) / entry);
    if (entry < 16 || entry > 4096 || count < 1) return undefined;
    const last = Buffer.alloc(16);
    readSync(handle, last, 0, 16, longestIndexHeader + (count - 1) * entry);
    const end = Number(last.readBigUInt64BE(0)) + Number(last.readBigUInt64BE(8)) / 8;
    return Number.isSafeInteger(end) ? end : undefined;
  } finally {
    closeSync(handle);
  }
}

/** The first bytes of a file. */
export function headOf({ path, size }: StreamFile, most: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(size, most));
  try {
    const handle = openSync(path, 'r');
    try {
      return bytes.subarray(0, readSync(handle, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    throw asTraceError(path, error);
  }
}

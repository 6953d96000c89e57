import { statSync } from 'node:fs';
import { opensAgain } from '../trace/again.ts';
import { Budget } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import type { Format, OpenOptions } from './format.ts';
import { Input } from './input.ts';

/** Every format, asked in this order: those with a magic number first, then text, the least particular last. Loaded when asked. */
const formats: readonly (() => Promise<Format>)[] = [
  async () => (await import('./trace-dat.ts')).traceDat,
  async () => (await import('./perf-data.ts')).perfData,
  async () => (await import('./simpletrace.ts')).simpletrace,
  async () => (await import('./raw-pages.ts')).rawPages,
  async () => (await import('./perfetto/perfetto.ts')).perfetto,
  async () => (await import('./function-graph.ts')).functionGraph,
  async () => (await import('./ftrace-text.ts')).ftraceText,
  async () => (await import('./perf-script.ts')).perfScript,
  async () => (await import('./qemu-log.ts')).qemuLog,
  async () => (await import('./bare-text.ts')).bareText,
];

/** What the formats above are called, for messages. */
const known =
  'perf.data, trace.dat, trace_pipe_raw, Perfetto, QEMU simpletrace, a QEMU log, ftrace text, perf script text or the folder of a CTF trace';

/** What was loaded: asking Node.js again takes long for a program that opens many traces. */
const modules = new Map<() => Promise<Format>, Format>();

async function loaded(load: () => Promise<Format>): Promise<Format> {
  const format = modules.get(load) ?? (await load());
  modules.set(load, format);
  return format;
}

/**
 * Opens a trace of any known format, compressed or not; `-` is standard input. The format is recognised by its content.
 * Throws a TraceError with one sentence for what cannot be read or is no trace.
 */
export async function openTrace(path: string, options: OpenOptions = {}): Promise<Trace> {
  const trace = await openOnce(path, options);
  const kind = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (kind?.isFile() !== true && kind?.isDirectory() !== true) return trace;
  const { traceEvents, formats, maxMemory } = options;
  const source = { path, options: { traceEvents, formats, maxMemory } };
  return opensAgain(trace, () => openTrace(path, { ...options, budget: undefined }), source);
}

async function openOnce(path: string, options: OpenOptions): Promise<Trace> {
  const budget = options.budget ?? new Budget(options.maxMemory);
  const folder = path === '-' ? undefined : await openFolder(path, options, budget);
  if (folder !== undefined) return folder;
  const input = await Input.open(path, budget, options.tell);
  try {
    for (const load of formats) {
      const format = await loaded(load);
      if (format.recognise(input.head)) return await format.open(input, options);
    }
    throw new TraceError(input.name, looksLike(input.head, input.compression), 0, known);
  } catch (error) {
    await input.close();
    // What a limit left out may be why the rest could not be read.
    throw input.meter.refused ?? error;
  }
}

/** Formats that are folders, asked before a folder is taken for a file that it holds. */
const folders: readonly (() => Promise<OpenFolder>)[] = [
  async () => (await import('./ctf/ctf.ts')).openCtf,
  async () => (await import('./raw-pages.ts')).openRawFolder,
];

/** Opens a folder; undefined where it is not of this format. */
type OpenFolder = (
  path: string,
  options: OpenOptions,
  budget: Budget,
) => Trace | undefined | Promise<Trace | undefined>;

async function openFolder(path: string, options: OpenOptions, budget: Budget): Promise<Trace | undefined> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined;
  for (const load of folders) {
    const trace = await (await load())(path, options, budget);
    if (trace !== undefined) return trace;
  }
  return undefined;
}

/** Whether a file holds a recording in any known format, as far as its beginning tells. What cannot be read may hold one. */
export async function isRecording(path: string): Promise<boolean> {
  let input: Input;
  try {
    input = await Input.open(path);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return true;
  }
  try {
    for (const load of formats) if ((await loaded(load)).recognise(input.head)) return true;
    return false;
  } finally {
    await input.close();
  }
}

/** Magic numbers of files that people take for traces, or that hold one. */
const otherFiles: readonly [magic: string, what: string][] = [
  ['\x7fELF', 'is an ELF binary'],
  ['SQLite format 3\0', 'is an SQLite database'],
  ['PK\x03\x04', 'is a zip archive'],
  ['\xfd7zXZ\0', 'is compressed with xz, which virtap does not unpack'],
  ['BZh', 'is compressed with bzip2, which virtap does not unpack'],
  ['\x04\x22\x4d\x18', 'is compressed with lz4, which virtap does not unpack'],
  ['\x1f\x8b', 'is compressed with gzip once more'],
  ['\x28\xb5\x2f\xfd', 'is compressed with zstd once more'],
  ['QFI\xfb', 'is a qcow2 disk image'],
  ['\xd4\xc3\xb2\xa1', 'is a packet capture'],
  ['\x0a\x0d\x0d\x0a', 'is a packet capture'],
  ['\xc1\x1f\xfc\xc1', 'is a stream of a CTF trace, which is read by its folder'],
  ['\xc1\xfc\x1f\xc1', 'is a stream of a CTF trace, which is read by its folder'],
  ['/* CTF', 'is the metadata of a CTF trace, which is read by its folder'],
  ['\x57\x1d\xd1\x75', 'is the metadata of a CTF trace, which is read by its folder'],
  ['\x75\xd1\x1d\x57', 'is the metadata of a CTF trace, which is read by its folder'],
  ['\x89PNG', 'is a picture'],
  ['%PDF', 'is a PDF document'],
];

/** `comm tid [cpu] time: fields`, on the first line that is no comment. */
const perfLineWithoutName = /^(?:#.*\n)*.{0,40}?[ \d](?:\[\d{1,4}\])? +\d{1,11}\.\d{6}(?:\d{3})?: +\w+[= ]\S/;

/** What an input that no format recognised looks like, as the middle of a sentence. */
function looksLike(head: Uint8Array, compression: string): string {
  const packed = compression === '' ? '' : ` (unpacked from ${compression})`;
  if (head.length === 0) return `is empty${packed}`;
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 4096)).toString('latin1');
  const other = otherFiles.find(([magic]) => start.startsWith(magic));
  if (other !== undefined) return other[1] + packed;
  if (start.slice(257, 262) === 'ustar') return `is a tar archive${packed}`;
  if (/^(\xff\xfe|\xfe\xff)/.test(start))
    return `is UTF-16 text, which iconv -f UTF-16 -t UTF-8 makes readable${packed}`;
  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f]/.test(start)) return `is a binary of an unknown kind${packed}`;
  if (/^\s*[[{]/.test(start)) return `is JSON text${packed}`;
  if (perfLineWithoutName.test(start))
    return `is perf script text without the names of events, which perf script -F +event prints${packed}`;
  return `is text without a line that virtap knows as an event${packed}`;
}

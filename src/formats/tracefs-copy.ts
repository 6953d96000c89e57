import { type Dirent, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import { asTraceError, Input } from './input.ts';
import { readFormats } from './trace-dat-header.ts';
import { addFormat, EventFormats, hasTracingMagic, type PageLayout, pageLayoutOf } from './tracing-data.ts';

/*
 * What describes the events of raw pages: files of tracefs as somebody copied them, a trace.dat of the same kernel, or the running kernel.
 */

/** What describes events, and where that was found. */
export type Description = {
  from: string;
  page: PageLayout | undefined;
  formats: EventFormats;
  /** Names of threads, where they come with it. */
  comms: ReadonlyMap<number, string>;
};

/** Where the running kernel has its tracefs. */
const running = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

/** No file of tracefs that is read here is larger. */
const largestFile = 16 << 20;

/** What a person named: a copy of tracefs or of its folder events, or a trace.dat. Throws a TraceError where that describes nothing. */
export async function describedBy(path: string, meter: Meter): Promise<Description> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new TraceError(path, 'no such file or folder', undefined, formatsExpected);
  const found = status.isDirectory() ? inFolder(path, meter) : await inTraceDat(path, meter);
  if (found === undefined) throw new TraceError(path, 'describes no events', undefined, formatsExpected);
  return found;
}

const formatsExpected = "a copy of tracefs' folder events, or a trace.dat of the same kernel";

/** What lies beside files with pages that describes their events: in their folder, or in those that it is in in tracefs. */
export async function describedBeside(files: readonly string[], meter: Meter): Promise<Description | undefined> {
  for (const folder of foldersAbove(files[0] as string)) {
    const found = existsSync(join(folder, 'events')) ? inFolder(folder, meter) : undefined;
    if (found !== undefined) return found;
  }
  const folder = dirname(files[0] as string);
  // trace-cmd leaves NAME.cpu0, … beside NAME where it was killed.
  const own = basename(files[0] as string).replace(/\.cpu\d+(\.\w+)?$/, '');
  const names = entriesOf(folder)
    .filter((entry) => entry.isFile() && !files.includes(join(folder, entry.name)))
    .map(({ name }) => name)
    .sort((a, b) => Number(b === own) - Number(a === own));
  for (const name of names) {
    const path = join(folder, name);
    if (await isTraceDat(path)) return await inTraceDat(path, meter);
  }
  return undefined;
}

/** The running kernel's own description, where it lets us look. */
export function describedByKernel(meter: Meter): Description | undefined {
  for (const folder of running) {
    try {
      const found = inFolder(folder, meter);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
    }
  }
  return undefined;
}

/** A file of tracefs beside one with pages, or above it in the copy. */
export function besideText(file: string, name: string): string | undefined {
  for (const folder of foldersAbove(file)) {
    const text = textOf(join(folder, name));
    if (text !== undefined && text !== '') return text;
  }
  return undefined;
}

/** A file's text; undefined where there is none. */
export function textOf(path: string): string | undefined {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isFile() !== true || status.size > largestFile) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw asTraceError(path, error);
  }
}

/** The folders of a copy of tracefs that a file with pages is in: its own, and around per_cpu/cpuN and instances/NAME; one more than is sure. */
function* foldersAbove(file: string): Generator<string> {
  let folder = dirname(resolve(file));
  for (let sure = true; sure; folder = dirname(folder)) {
    yield folder;
    sure = /^cpu\d+$|^per_cpu$|^instances$/.test(basename(folder)) || basename(dirname(folder)) === 'instances';
  }
  yield folder;
}

/** What a copy of tracefs, of events, or of one system's events describes. */
function inFolder(path: string, meter: Meter): Description | undefined {
  const events = existsSync(join(path, 'events')) ? join(path, 'events') : path;
  const formats = new EventFormats();
  let empty = 0;
  const take = (system: string, folder: string) => {
    const text = textOf(join(folder, 'format'));
    if (text === '') empty++;
    else if (text !== undefined) addFormat(formats, system, text, meter);
  };
  for (const system of entriesOf(events)) {
    if (!system.isDirectory()) continue;
    // In a system's own folder, these are its events.
    if (existsSync(join(events, system.name, 'format'))) take(basename(events), join(events, system.name));
    else
      for (const event of entriesOf(join(events, system.name))) {
        if (event.isDirectory()) take(system.name, join(events, system.name, event.name));
      }
  }
  if (formats.size === 0 && empty > 0)
    throw new TraceError(
      events,
      'the formats of events are empty files, as tar and rsync copy those of tracefs',
      undefined,
      '`cp -r /sys/kernel/tracing/events .`',
    );
  if (formats.size === 0) return undefined;
  const layout = textOf(join(events, 'header_page'));
  return { from: events, page: layout === undefined ? undefined : pageLayoutOf(layout), formats, comms: new Map() };
}

async function inTraceDat(path: string, meter: Meter): Promise<Description> {
  const input = await Input.open(path, meter.budget);
  try {
    const { file, size } = await input.random();
    return { from: path, ...readFormats(file, size, path, meter) };
  } catch (error) {
    throw asTraceError(path, error);
  } finally {
    await input.close();
  }
}

async function isTraceDat(path: string): Promise<boolean> {
  try {
    const input = await Input.open(path);
    await input.close();
    return hasTracingMagic(input.head);
  } catch (error) {
    if (error instanceof TraceError) return false;
    throw error;
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw asTraceError(folder, error);
  }
}

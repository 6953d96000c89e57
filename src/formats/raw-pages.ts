import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type Budget, Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import type { Format, OpenOptions } from './format.ts';
import { asTraceError, Input } from './input.ts';
import type { KernelFormat } from './kernel-format.ts';
import { eventsOfPages, shapeOfPages } from './raw-page-shape.ts';
import type { PageShape } from './ring-buffer.ts';
import { RingBufferTrace } from './ring-buffer-trace.ts';
import { clockNotes, kernelClock } from './trace-dat-facts.ts';
import { chosenClock, cpuStat } from './trace-dat-options.ts';
import type { PageSource } from './trace-dat-pages.ts';
import { Signatures } from './trace-events.ts';
import {
  besideText,
  type Description,
  describedBeside,
  describedBy,
  describedByKernel,
  textOf,
} from './tracefs-copy.ts';
import { commandLines, type EventFormats } from './tracing-data.ts';

/*
 * Pages of the kernel's ring buffer as `cat per_cpu/cpuN/trace_pipe_raw` gives them, a file for each CPU. They tell nothing of themselves:
 * what their events look like, which clock stamped them and what threads are called stands in other files of tracefs, which people copy
 * with them or not. Source: linux Documentation/trace/ftrace.rst.
 */

const format = 'raw ring buffer';
const pipe = 'trace_pipe_raw';

/** One CPU's pages. */
export const rawPages: Format = {
  name: format,
  recognise: (head) => shapeOfPages(head) !== undefined,
  async open(input, options) {
    const { path, meter } = input;
    const cpu = path === undefined ? undefined : cpuOf(path);
    const notes: string[] = [];
    if (cpu === undefined)
      notes.push(
        'Which CPU its pages are of does not stand in its name, as in per_cpu/cpu0/trace_pipe_raw or cpu0.raw.',
      );
    return openPages([{ input, cpu: cpu ?? -1 }], undefined, { file: input.name, path, notes, meter }, options);
  },
};

/** A folder with the pages of several CPUs: a copy of tracefs, or of what was read of it. Undefined where it holds none. */
export async function openRawFolder(path: string, options: OpenOptions, budget: Budget): Promise<Trace | undefined> {
  const { files, cpus } = filesIn(path);
  if (files.length === 0) return undefined;
  const meter = new Meter(budget, path);
  const pages: CpuFile[] = [];
  const others: string[] = [];
  try {
    for (const { file, cpu } of files) {
      const input = await Input.open(file, budget, options.tell);
      if (rawPages.recognise(input.head)) pages.push({ input, cpu: cpu ?? -1 });
      else {
        await input.close();
        others.push(file);
      }
    }
    const [first] = pages;
    if (first === undefined) {
      if (cpus === undefined) return undefined;
      throw new TraceError(
        path,
        `of its files per_cpu/cpuN/${pipe}, none holds pages of a ring buffer`,
        undefined,
        `what \`cat per_cpu/cpu0/${pipe}\` gave on the machine that recorded, for each CPU; a second reading gives nothing`,
      );
    }
    for (const { input, cpu } of pages) {
      const same = pages.find((other) => other.cpu === cpu && other.input !== input);
      if (same === undefined) continue;
      const problem =
        cpu < 0
          ? `holds pages of a ring buffer in several files whose names do not say of which CPU they are: ${basename(input.name)}, ${basename(same.input.name)}`
          : `holds pages of CPU ${cpu} in two files: ${basename(input.name)}, ${basename(same.input.name)}`;
      throw new TraceError(path, problem, undefined, 'one file for each CPU: cpu0.raw, cpu1.raw, …');
    }
    const notes: string[] = [];
    if (cpus !== undefined && others.length > 0)
      notes.push(`Not read, as no pages of a ring buffer: ${others.join(', ')}.`);
    const facts = { file: path, path: first.input.name, notes, meter };
    return await openPages(pages, cpus, facts, options);
  } catch (error) {
    for (const { input } of pages) await input.close();
    throw asTraceError(path, error);
  }
}

type CpuFile = { input: Input; cpu: number };

/** The files in a folder that may hold pages, and in the layout of tracefs how many CPUs there are. Empty ones are of CPUs that did nothing. */
function filesIn(path: string): { files: { file: string; cpu: number | undefined }[]; cpus: number | undefined } {
  let names: string[];
  let inside: string;
  try {
    inside = existsSync(join(path, 'per_cpu')) ? join(path, 'per_cpu') : path;
    names = readdirSync(inside);
  } catch (error) {
    throw asTraceError(path, error);
  }
  const folders = names.filter((name) => /^cpu\d{1,5}$/.test(name) && isFolder(join(inside, name)));
  const inCpus = folders.flatMap((name) => {
    const folder = join(inside, name);
    const own = readdirSync(folder).filter((file) => file.startsWith(pipe));
    return own.map((file) => ({ file: join(folder, file), cpu: cpuOf(join(folder, pipe)) }));
  });
  if (inCpus.length > 0) return { files: inCpus.filter(({ file }) => isFilled(file)), cpus: folders.length };
  const files = names.map((name) => join(path, name)).filter((file) => isFilled(file));
  return { files: files.map((file) => ({ file, cpu: cpuOf(file) })), cpus: undefined };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Not those of a running machine, whose sizes read as 0. */
function isFilled(path: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  return status?.isFile() === true && status.size > 0;
}

/** Which CPU a file is of: by its name (cpu3.raw, trace.dat.cpu3, trace_pipe_raw.3), or by that of its folder. */
function cpuOf(path: string): number | undefined {
  const name = basename(path).replace(/\.(gz|zst)$/, '');
  const found =
    /cpu[-_.]?(\d{1,5})(?!\d)(?!.*cpu)/i.exec(name) ??
    /^cpu(\d{1,5})$/.exec(basename(dirname(resolve(path)))) ??
    /^(?:trace_pipe_raw|trace|raw|pages)?[-_.]?(\d{1,4})(?:\.\w+)?$/.exec(name);
  return found === null ? undefined : Number(found[1]);
}

async function openPages(
  pages: readonly CpuFile[],
  cpus: number | undefined,
  facts: { file: string; path: string | undefined; notes: string[]; meter: Meter },
  options: OpenOptions,
): Promise<Trace> {
  const { file, path, notes, meter } = facts;
  const { description, shape } = await describe(pages, file, meter, options);
  const { formats, comms, from } = description;
  const text = (name: string) => (path === undefined ? undefined : besideText(path, name));
  const clock = kernelClock(chosenClock(text('trace_clock') ?? '') ?? 'unknown');
  if (clock.name === 'unknown')
    notes.push(
      'Which clock stamped its events is not known, as no copy of trace_clock stands beside it: they are taken for ns.',
    );
  notes.push(...clockNotes(clock, 'choose mono in trace_clock'));
  if (from.startsWith('/sys/'))
    notes.push(
      'What its events look like was taken from the kernel that runs here, which fits: right where it was recorded since this boot. Otherwise name a copy of its own events with --formats.',
    );
  else if (options.formats === undefined && basename(from) !== 'events')
    notes.push(`What its events look like was taken from ${from}.`);
  const threads = new Map<number, [tid: number, comm: string, pid?: number]>();
  const names = text('saved_cmdlines');
  for (const [tid, comm] of names === undefined ? comms : commandLines(names, meter)) threads.set(tid, [tid, comm]);
  for (const [tid, pid] of commandLines(text('saved_tgids') ?? '', meter))
    if (Number(pid) > 0) threads.set(tid, [tid, threads.get(tid)?.[1] ?? '', Number(pid)]);
  const stats = pages.flatMap(({ input, cpu }) => {
    const own = input.path === undefined ? undefined : textOf(join(dirname(input.path), 'stats'));
    return own === undefined || own === '' ? [] : [cpuStat(own, '', cpu)];
  });
  return new RingBufferTrace(
    {
      file,
      format,
      version: `pages of ${shape.pageSize >> 10} KiB`,
      clock,
      cpus,
      notes,
      formats,
      threads: threads.values(),
      options: { tsc: undefined, timeShift: undefined, offset: 0n, cpuStats: stats },
      unplaced: [],
      damage: formats.damage,
      signatures: new Signatures(path, options),
      size: pages.reduce((sum, { input }) => sum + (input.size ?? 0), 0),
      meter,
      close: async () => {
        for (const { input } of pages) await input.close();
      },
    },
    pages.map(({ input, cpu }) => ({
      file: input.name,
      shape,
      buffer: '',
      cpu,
      packed: input.size === undefined || input.compression !== '',
      open: () => new FilePages(input),
    })),
  );
}

/** Pages that are a file. */
class FilePages implements PageSource {
  readonly holes = [];
  readonly #input: Input;

  constructor(input: Input) {
    this.#input = input;
  }

  get read(): number {
    return this.#input.read;
  }

  readInto(target: Uint8Array, offset: number): Promise<number> {
    return this.#input.readInto(target, offset);
  }

  fileOffset(offset: number): number {
    return offset;
  }
}

/** What describes the events of these pages, and their shape. Throws a TraceError, with the recipe, where nothing does. */
async function describe(
  pages: readonly CpuFile[],
  file: string,
  meter: Meter,
  options: OpenOptions,
): Promise<{ description: Description; shape: PageShape }> {
  const paths = pages.flatMap(({ input }) => (input.path === undefined ? [] : [input.path]));
  const named = options.formats === undefined ? undefined : await describedBy(options.formats, meter);
  const description = named ?? (paths.length > 0 ? await describedBeside(paths, meter) : undefined);
  if (description !== undefined) {
    const shape = shapeOf(pages, description, file);
    const { odd, all } = oddEvents(pages, shape, description.formats);
    if (odd * 10 <= all) return { description, shape };
    throw new TraceError(
      file,
      `${odd} of the first ${all} events are not of the types and sizes that ${description.from} tells: those are the formats of another kernel, or of another boot`,
      undefined,
      recipe,
    );
  }
  const own = describedByKernel(meter);
  if (own !== undefined) {
    const shape = shapeOf(pages, own, file);
    if (oddEvents(pages, shape, own.formats).odd === 0) return { description: own, shape };
  }
  throw new TraceError(
    file,
    `holds pages of a CPU's ring buffer (per_cpu/cpuN/${pipe}), and nothing beside it tells the formats of their events`,
    undefined,
    recipe,
  );
}

const recipe =
  'beside it a copy of the folder events, made with `cp -r /sys/kernel/tracing/events .` on the machine that recorded and before it boots again ' +
  '(trace_clock, saved_cmdlines and per_cpu are of use, too), or --formats with such a folder or a trace.dat of that machine';

function shapeOf(pages: readonly CpuFile[], { page }: Description, file: string): PageShape {
  // The fullest tells best how large pages are.
  const [first] = pages.toSorted((a, b) => b.input.head.length - a.input.head.length);
  const { head, compression, size } = (first as CpuFile).input;
  const bytes = compression === '' ? size : undefined;
  const shape = shapeOfPages(head, bytes, page) ?? shapeOfPages(head, bytes);
  if (shape !== undefined) return shape;
  throw new TraceError(file, 'does not begin with a page of a ring buffer', 0, 'pages as trace_pipe_raw gives them');
}

/** How many of the first events cannot be what the formats say they are. */
function oddEvents(pages: readonly CpuFile[], shape: PageShape, formats: EventFormats): { odd: number; all: number } {
  let odd = 0;
  let all = 0;
  for (const { input } of pages) {
    eventsOfPages(input.head, shape, (type, size) => {
      all++;
      const known = formats.get(type);
      if (known === undefined || !(known.system === 'ftrace' || hasSize(known.format, size))) odd++;
    });
  }
  return { odd, all };
}

/** Whether an event has as many bytes as its fields take: more only where one has no fixed length, and where the compiler rounded up. */
function hasSize({ fields }: KernelFormat, size: number): boolean {
  let end = 0;
  let open = false;
  for (const field of fields) {
    end = Math.max(end, field.offset + field.size);
    open ||= field.size === 0 || /^__(data|rel)_loc\b/.test(field.declared);
  }
  return open ? size >= end : size >= end && size <= ((end + 7) & ~7);
}

import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { SlowExitJson, VcpuJson } from '../report/answers.ts';
import { slowExitJson } from '../report/exits-text.ts';
import { pageFiles } from '../report/page.ts';
import type { PageData } from '../report/page-data.ts';
import { ExitRowsWriter } from '../serve/exit-rows.ts';
import { identity, indexFolder, readIndex, writeIndex } from '../serve/index-store.ts';
import { askRows, type ExitsIndex, logKey, logsByExit, type RegionQuery } from '../serve/region.ts';
import { serve } from '../serve/server.ts';
import { Exits } from '../views/exits.ts';
import { askEverything, nothingToShow, pageOf } from './everything.ts';
import { openTraces } from './open.ts';
import { openOptions, type TraceOptions, traceCommand } from './options.ts';
import { runAnalyses } from './run.ts';
import { UsageError } from './usage-error.ts';

type ServeOptions = TraceOptions & { port: number };

/** How often the files are looked at for whether they grew, in ms. */
const interval = 2000;

/** What is kept of a trace. Cells are in base64. */
type Index = { data: PageData; cells: Record<string, string>; exits: ExitsIndex | undefined };

export default function define(command: Command): void {
  traceCommand(
    command,
    [
      ['virtap serve trace.dat', 'explore a trace in the browser, whatever its size'],
      ['virtap serve --port 8080 trace.dat', 'at a port of your choice'],
    ],
    { forms: [] },
  )
    .option('--port <number>', 'listen there (a free port, where not given)', parsePort, 0)
    .action(run);
}

async function run(files: string[], options: ServeOptions): Promise<void> {
  if (files.includes('-')) throw new UsageError('serve reads its files again and again: it cannot take standard input');
  if (options.from !== undefined || options.to !== undefined) {
    throw new UsageError('serve takes whole files: select a part of the time in the page');
  }
  const page = pageFiles();
  // Files that cannot be read are named now, not when somebody looks.
  await (await openTraces(files, openOptions(options))).close();
  const explorer = new Explorer(files, options);
  await explorer.refresh();
  const { server, address } = await serve(
    { files: page, ask: (path, query) => explorer.ask(path, query) },
    options.port,
  );
  process.stdout.write(`virtap: explore ${files.join(', ')} at ${address}\n`);
  process.stderr.write('virtap: Ctrl-C ends it\n');
  const timer = setInterval(() => void explorer.refresh().catch(() => {}), interval);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  clearInterval(timer);
  server.closeAllConnections();
  server.close();
}

/** One trace that is explored: its index, and the questions that the page asks. */
class Explorer {
  readonly #files: readonly string[];
  readonly #options: ServeOptions;
  readonly #folder: string;
  #id = '';
  #index: Index | undefined;
  #logs: ReadonlyMap<string, SlowExitJson> = new Map();
  #busy = false;
  /** The options that make a difference to what is read. */
  readonly #how: string;

  constructor(files: readonly string[], options: ServeOptions) {
    this.#files = files;
    this.#options = options;
    this.#folder = indexFolder(files);
    const { traceEvents = '', offset = [] } = options;
    this.#how = JSON.stringify([traceEvents, ...offset.map(({ file, ns }) => [file, String(ns)])]);
  }

  /** Takes the index from the cache, or makes it, where the files are not as they were. */
  async refresh(): Promise<void> {
    if (this.#busy) return;
    const id = identity(this.#files, this.#how);
    if (id === this.#id) return;
    this.#busy = true;
    try {
      const index =
        readIndex<Index>(this.#folder, id) ?? (await writeIndex(this.#folder, id, (folder) => this.#make(folder)));
      const section = index.data.sections.find((one) => one.kind === 'exits');
      this.#logs = section === undefined ? new Map() : logsByExit(section.logs, section.answer);
      this.#index = index;
      this.#id = id;
    } finally {
      this.#busy = false;
    }
  }

  async ask(path: string, query: URLSearchParams): Promise<unknown> {
    const index = this.#index as Index;
    if (path === '/api/generation') return this.#id;
    if (path === '/api/page') return { ...index.data, live: true };
    const cells = /^\/api\/cells\/(\w+)$/.exec(path)?.[1];
    if (cells !== undefined && Object.hasOwn(index.cells, cells))
      return Buffer.from(index.cells[cells] as string, 'base64');
    if (index.exits === undefined) return undefined;
    if (path === '/api/exits') return askRows(join(this.#folder, 'exits'), index.exits, regionQuery(query), this.#logs);
    if (path === '/api/exit') return this.#exit(query, index.exits);
    return undefined;
  }

  async #make(folder: string): Promise<Index> {
    const writer = new ExitRowsWriter(join(folder, 'exits'));
    const everything = await askEverything(this.#files, openOptions(this.#options), {}, (spans) => writer.take(spans));
    writer.close();
    if (everything.reading.partial.some((why) => why.startsWith('interrupted'))) throw new UsageError('interrupted');
    const nothing = nothingToShow(everything);
    if (nothing !== undefined) throw new UsageError(nothing);
    const { data, cells } = pageOf(everything, this.#files.map((file) => file.replace(/.*\//, '')).join(', '));
    const { exits } = everything;
    return {
      data,
      cells: Object.fromEntries([...cells].map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')])),
      exits: exits && {
        rows: writer.facts,
        unit: exits.answer.result.unit,
        origin: everything.trace.origin.toString(),
        vcpus: exits.answer.result.vcpus.map(
          ({ vm, number, tid }): VcpuJson => ({ vm: vm ?? null, vcpu: number ?? null, tid }),
        ),
        reasons: exits.picture.result().reasons,
      },
    };
  }

  /** One exit in full: kept already, or read from the trace, of which nothing after the exit is read. */
  async #exit(query: URLSearchParams, { origin }: ExitsIndex): Promise<unknown> {
    const [begin, duration, tid] = ['begin', 'duration', 'tid'].map((name) => Number(query.get(name) ?? Number.NaN));
    if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(duration) || !Number.isSafeInteger(tid)) return undefined;
    const known = this.#logs.get(logKey(begin as number, tid as number));
    if (known !== undefined) return known;
    const from = BigInt(origin) + BigInt(begin as number);
    const trace = await openTraces(this.#files, openOptions(this.#options));
    const exits = new Exits({ by: ['reason'], slow: 1, halts: true, pids: [tid as number] });
    await runAnalyses(trace, [exits], {
      from: { value: from, absolute: true },
      to: { value: from + BigInt(duration as number), absolute: true },
    });
    await trace.close();
    const result = exits.result();
    const [exit] = result.slow ?? [];
    return exit && slowExitJson(exit, { trace, result });
  }
}

function regionQuery(query: URLSearchParams): RegionQuery {
  const number = (name: string, otherwise: number) => {
    const value = Number(query.get(name) ?? otherwise);
    return Number.isNaN(value) ? otherwise : value;
  };
  return {
    from: number('from', Number.NEGATIVE_INFINITY),
    to: number('to', Number.POSITIVE_INFINITY),
    least: number('least', 0),
    most: number('most', Number.POSITIVE_INFINITY),
    reason: query.get('reason') ?? undefined,
    vcpu: query.get('vCPU') ?? undefined,
    vm: query.get('VM') ?? undefined,
    halts: query.get('halts') === '1',
  };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

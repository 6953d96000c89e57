import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import type { SlowExitJson, VcpuJson } from '../report/answers.ts';
import { slowExitJson } from '../report/exits-text.ts';
import type { PageData } from '../report/page-data.ts';
import { ExitRows, ExitRowsWriter } from '../serve/exit-rows.ts';
import { identity, indexFolder, readIndex, writeIndex } from '../serve/index-store.ts';
import { askPicture, askRows, type ExitsIndex, logKey, logsByExit, type RegionQuery } from '../serve/region.ts';
import { Exits } from '../views/exits.ts';
import { askEverything, nothingToShow, pageOf, version } from './everything.ts';
import { withForesight } from './foresight.ts';
import { openTraces } from './open.ts';
import { openOptions, type TraceOptions } from './options.ts';
import { runAnalyses, wasInterrupted } from './run.ts';
import { UsageError } from './usage-error.ts';

/** What is kept of a trace. Cells are in base64. */
type Index = { data: PageData; cells: Record<string, string>; exits: ExitsIndex | undefined };

/** An index in use. */
type Known = { id: string; index: Index; rows: ExitRows | undefined; logs: ReadonlyMap<string, SlowExitJson> };

/** How long before an exit its trace is read for what happened in it: who held a lock may have taken it before. In ns. */
const before = 1_000_000_000n;
/** Exits of the same thread and at least as long, within that time, of which one is meant. */
const atLeastAsLong = 1000;

/** One trace that is explored: its index, and what the page asks of it. */
export class Explorer {
  readonly #files: readonly string[];
  readonly #options: TraceOptions;
  readonly #folder: string;
  readonly #how: string;
  #known: Known | undefined;

  constructor(files: readonly string[], options: TraceOptions) {
    this.#files = files;
    this.#options = options;
    this.#folder = indexFolder(files);
    this.#how = `${version()} ${JSON.stringify(openOptions(options), (_, value) => (typeof value === 'bigint' ? String(value) : value))}`;
  }

  /** Takes the index from the cache, or makes it, where the files are not as they were. */
  async refresh(): Promise<void> {
    const id = identity(this.#files, this.#how);
    if (id === this.#known?.id) return;
    const index =
      readIndex<Index>(this.#folder, id) ??
      (await withForesight(() => writeIndex(this.#folder, id, (folder) => this.#make(folder))));
    const section = index.data.sections.find((one) => one.kind === 'exits');
    const rows = index.exits && new ExitRows(join(this.#folder, 'exits'), index.exits.rows);
    this.#known?.rows?.close();
    this.#known = {
      id,
      index,
      rows,
      logs: section === undefined ? new Map() : logsByExit(section.logs, section.answer),
    };
  }

  async ask(path: string, query: URLSearchParams): Promise<unknown> {
    const { id, index, rows, logs } = this.#known as Known;
    if (path === '/api/generation') return id;
    if (path === '/api/page') {
      const data: PageData = { ...index.data, live: { generation: id, cells: index.cells } };
      return data;
    }
    if (index.exits === undefined || rows === undefined) return undefined;
    if (path === '/api/exits') return askRows(rows, index.exits, regionQuery(query), logs);
    if (path === '/api/exit') return this.#exit(query, index.exits, logs);
    if (path === '/api/picture') {
      const { from, to } = regionQuery(query);
      if (!Number.isFinite(from) || !Number.isFinite(to)) return undefined;
      const { cells: packed, ...frame } = askPicture(rows, index.exits, { from, to });
      return { ...frame, cells: deflateRawSync(packed, { level: 1 }).toString('base64') };
    }
    return undefined;
  }

  async #make(folder: string): Promise<Index> {
    const writer = new ExitRowsWriter(join(folder, 'exits'));
    const everything = await askEverything(this.#files, openOptions(this.#options), {}, (spans) => writer.take(spans));
    writer.close();
    if (wasInterrupted(everything.reading)) throw new UsageError('interrupted');
    const nothing = nothingToShow(everything);
    if (nothing !== undefined) throw new UsageError(nothing);
    const { data, cells } = pageOf(everything, this.#files.map((file) => file.replace(/.*\//, '')).join(', '));
    const { exits, trace } = everything;
    const picture = exits?.picture.result();
    return {
      data,
      cells: Object.fromEntries([...cells].map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')])),
      exits: exits &&
        picture && {
          rows: writer.facts,
          unit: exits.answer.result.unit,
          origin: trace.origin.toString(),
          vcpus: exits.answer.result.vcpus.map(
            ({ vm, number, tid }): VcpuJson => ({ vm: vm ?? null, vcpu: number ?? null, tid }),
          ),
          reasons: picture.reasons,
          series: picture.series,
        },
    };
  }

  /** One exit in full: kept already, or read from the trace; from the rest of that come only the names of what it waited for, and what can be told apart. */
  async #exit(
    query: URLSearchParams,
    { origin }: ExitsIndex,
    logs: ReadonlyMap<string, SlowExitJson>,
  ): Promise<unknown> {
    const [begin, duration, tid] = ['begin', 'duration', 'tid'].map((name) =>
      Number(query.get(name) ?? Number.NaN),
    ) as [number, number, number];
    if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(duration) || !Number.isSafeInteger(tid)) return undefined;
    const known = logs.get(logKey(begin, tid));
    if (known !== undefined) return known;
    const at = BigInt(origin) + BigInt(begin);
    const trace = await openTraces(this.#files, openOptions(this.#options));
    const exits = new Exits({ by: ['reason'], slow: atLeastAsLong, than: duration - 1, halts: true, pids: [tid] });
    await runAnalyses(trace, [exits], {
      from: { value: at - before, absolute: true },
      to: { value: at + BigInt(duration), absolute: true },
      once: true,
    });
    await trace.close();
    const result = exits.result();
    const exit = result.slow?.find((one) => one.begin === begin && one.vcpu.tid === tid);
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

import { basename, join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { withForesight } from '../analyse/foresight.ts';
import type { ReadOptions } from '../analyse/read.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { version } from '../own/files.ts';
import type { SlowExitJson, VcpuJson } from '../report/answers.ts';
import { escapeJson } from '../report/escape.ts';
import { askEverything, newPictures, nothingToShow, pageOf } from '../report/everything.ts';
import { slowExitJson } from '../report/exits-json.ts';
import type { PageData } from '../report/page-data.ts';
import type { Analysis } from '../trace/analysis.ts';
import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import { cannotWrite } from '../trace/write-error.ts';
import { Exits } from '../views/exits.ts';
import type { Reading } from '../views/reading.ts';
import { ExitRows, ExitRowsWriter } from './exit-rows.ts';
import { identity, indexFolder, readIndex, writeIndex } from './index-store.ts';
import { askPicture, askRows, type ExitsIndex, logKey, logsByExit, type RegionQuery } from './region.ts';
import { NoAnswer } from './server.ts';

/** What is kept of a trace. Cells are in base64. */
type Index = { data: PageData; cells: Record<string, string>; exits: ExitsIndex | undefined };

/** An index in use. */
type Known = {
  id: string;
  index: Index;
  rows: ExitRows | undefined;
  logs: ReadonlyMap<string, SlowExitJson>;
  /** What the page is made of, as it is sent, once somebody asked for it. */
  page: Buffer | undefined;
};

/** How long before an exit its trace is read for what happened in it: who held a lock may have taken it before. In ns. */
const before = 1_000_000_000n;
/** Exits of the same thread and at least as long, within that time, of which one is meant. */
const atLeastAsLong = 1000;

/** Files that are explored, and how they are read. */
export type Source = {
  files: readonly string[];
  /** The words that name them to a command, with the options that say how they are read together. */
  words: string[];
  /** What their answers depend on besides them. */
  how: string;
  open(): Promise<Trace>;
  /** Reads a trace once for the analyses. Throws a UsageError where that was interrupted. */
  read(trace: Trace, analyses: readonly Analysis[], options?: ReadOptions): Promise<Reading>;
};

/** One trace that is explored: its index, and what the page asks of it. */
export class Explorer {
  readonly #source: Source;
  #known: Known | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(source: Source) {
    this.#source = source;
  }

  /** Takes the index from the cache, or makes it, where the files are not as they were. */
  async refresh(): Promise<void> {
    await this.#inTurn(async () => {
      const id = this.#identity();
      if (id !== this.#known?.id) await this.#learn(id);
    });
  }

  async ask(path: string, query: URLSearchParams): Promise<unknown> {
    const known = this.#known as Known;
    if (path === '/api/generation') return known.id;
    if (path === '/api/page') {
      const { id, index } = known;
      const data: PageData = { ...index.data, live: { generation: id, cells: index.cells } };
      // However many read it, it is there once.
      known.page ??= Buffer.from(escapeJson(JSON.stringify(data)));
      return known.page;
    }
    if (path === '/api/exit') return await this.#exit(query, known);
    try {
      return askIndex(path, query, known);
    } catch {
      // Whatever is wrong with the index, another one is made, once for all who ask meanwhile.
      await this.#inTurn(async () => {
        if (this.#known === known) await this.#learn(this.#identity(), true);
      });
      return askIndex(path, query, this.#known as Known);
    }
  }

  /** Which state of the files an index is of. */
  #identity(): string {
    return identity(this.#source.files, `${version()} ${this.#source.how}`);
  }

  /** One reading of the files after the other. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    await done;
  }

  /** Takes an index of this state of the files into use; with `anew`, not the one that was kept. */
  async #learn(id: string, anew = false): Promise<void> {
    const folder = indexFolder(this.#source.files);
    const kept = folder === undefined || anew ? undefined : readIndex<Index>(folder, id);
    if (kept !== undefined) {
      try {
        this.#use(id, kept, folder as string);
        return;
      } catch {
        // It is made again.
      }
    }
    try {
      await withForesight(() =>
        writeIndex(
          folder,
          id,
          (fresh) => this.#make(fresh),
          (index, fresh) => this.#use(id, index, fresh),
        ),
      );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw new UsageError(cannotWrite('the index of the exits', error));
    }
  }

  #use(id: string, index: Index, folder: string): void {
    const section = index.data.sections.find((one) => one.kind === 'exits');
    const logs = section === undefined ? new Map<string, SlowExitJson>() : logsByExit(section.logs, section.answer);
    const rows = index.exits && new ExitRows(join(folder, 'exits'), index.exits.rows);
    this.#known?.rows?.close();
    this.#known = { id, index, rows, logs, page: undefined };
  }

  async #make(folder: string): Promise<Index> {
    const writer = new ExitRowsWriter(join(folder, 'exits'));
    const { files, words } = this.#source;
    const trace = await this.#source.open();
    const pictures = newPictures((spans) => writer.take(spans));
    const everything = await askEverything(trace, (analyses) => this.#source.read(trace, analyses), pictures);
    writer.close();
    const nothing = nothingToShow(everything);
    if (nothing !== undefined) throw new UsageError(nothing);
    const { data, cells } = pageOf(everything, pictures, {
      title: files.map((file) => basename(file)).join(', '),
      words,
    });
    const { exits } = everything;
    const picture = exits && pictures.exits.result();
    return {
      data,
      cells: Object.fromEntries([...cells].map(([kind, bytes]) => [kind, Buffer.from(bytes).toString('base64')])),
      exits: exits &&
        picture && {
          rows: writer.facts,
          unit: exits.result.unit,
          origin: trace.origin.toString(),
          vcpus: exits.result.vcpus.map(
            ({ vm, number, tid }): VcpuJson => ({ vm: vm ?? null, vcpu: number ?? null, tid }),
          ),
          reasons: picture.reasons,
          series: picture.series,
        },
    };
  }

  /** One exit in full: kept already, or read from the trace; from the rest of that come only the names of what it waited for, and what can be told apart. */
  async #exit(query: URLSearchParams, { index, logs }: Known): Promise<unknown> {
    if (index.exits === undefined) return undefined;
    const [begin, duration, tid] = ['begin', 'duration', 'tid'].map((name) =>
      Number(query.get(name) ?? Number.NaN),
    ) as [number, number, number];
    if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(duration) || !Number.isSafeInteger(tid)) return undefined;
    const known = logs.get(logKey(begin, tid));
    if (known !== undefined) return known;
    try {
      return await this.#read(begin, duration, tid, BigInt(index.exits.origin) + BigInt(begin));
    } catch (error) {
      // It is not there, or the file is not what it was: a sentence for who asks.
      if (error instanceof TraceError || error instanceof UsageError) throw new NoAnswer(error.message);
      throw error;
    }
  }

  async #read(begin: number, duration: number, tid: number, at: bigint): Promise<unknown> {
    // Looked at before it is opened: a pipe in the place of the file would be waited for.
    this.#identity();
    const trace = await this.#source.open();
    try {
      const exits = new Exits({ by: ['reason'], slow: atLeastAsLong, than: duration - 1, halts: true, pids: [tid] });
      await this.#source.read(trace, [exits], {
        from: { value: at - before, absolute: true },
        to: { value: at + BigInt(duration), absolute: true },
        once: true,
      });
      const result = exits.result();
      const exit = result.slow?.find((one) => one.begin === begin && one.vcpu.tid === tid);
      return exit && slowExitJson(exit, { trace, result });
    } finally {
      await trace.close();
    }
  }
}

/** What the index tells by itself. */
function askIndex(path: string, query: URLSearchParams, { index, rows, logs }: Known): unknown {
  if (index.exits === undefined || rows === undefined) return undefined;
  if (path === '/api/exits') return askRows(rows, index.exits, regionQuery(query), logs);
  if (path !== '/api/picture') return undefined;
  const { from, to } = regionQuery(query);
  if (!Number.isFinite(from) || !Number.isFinite(to)) return undefined;
  const { cells: packed, ...frame } = askPicture(rows, index.exits, { from, to });
  return { ...frame, cells: deflateRawSync(packed, { level: 1 }).toString('base64') };
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

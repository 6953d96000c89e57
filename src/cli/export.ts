import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { type Command, Option } from 'commander';
import type { ExportSource, SpanRow, SpanWriter } from '../report/span-rows.ts';
import { ExitPairing, type VcpuThread } from '../spans/exits.ts';
import { type PairEnd, Pairs } from '../spans/pairs.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { openTraces } from './open.ts';
import { openOptions, type TraceOptions, traceCommand } from './options.ts';
import { type RunAnalysis, runAnalyses } from './run.ts';
import { UsageError } from './usage-error.ts';

const forms = ['perfetto', 'csv', 'jsonl', 'parquet', 'hdr'] as const;
type Form = (typeof forms)[number];

/** Each loaded only when it is asked for. */
const writers: Record<Form, () => Promise<(source: ExportSource) => SpanWriter>> = {
  perfetto: async () => (await import('../report/export-perfetto.ts')).perfettoSpans,
  csv: async () => (await import('../report/export-text.ts')).csvSpans,
  jsonl: async () => (await import('../report/export-text.ts')).jsonLinesSpans,
  parquet: async () => (await import('../report/export-parquet.ts')).parquetSpans,
  hdr: async () => (await import('../report/export-hdr.ts')).hdrSpans,
};
const binary: ReadonlySet<Form> = new Set(['perfetto', 'parquet']);

type ExportOptions = Omit<TraceOptions, 'from' | 'to'> & {
  to: Form;
  output?: string;
  since?: TraceOptions['from'];
  until?: TraceOptions['to'];
};

export default function define(command: Command): void {
  traceCommand(
    command,
    [
      ['virtap export --to perfetto -o exits.pftrace trace.dat', 'for ui.perfetto.dev and its trace_processor'],
      ['virtap export --to parquet -o exits.parquet trace.dat', 'a row a span, for DuckDB, pandas and their kin'],
      ['virtap export --to csv trace.dat | head', 'the same as text'],
    ],
    { range: { from: '--since', to: '--until' }, forms: [] },
  )
    .addOption(new Option('--to <form>', 'what to write').choices([...forms]).makeOptionMandatory())
    .option('-o, --output <file>', 'where to (standard output, where not given)')
    .action(run);
}

async function run(files: string[], options: ExportOptions): Promise<void> {
  if (options.output === undefined && binary.has(options.to) && process.stdout.isTTY === true) {
    throw new UsageError(`${options.to} is not for a terminal: name a file with -o`);
  }
  const make = await writers[options.to]();
  const trace = await openTraces(files, openOptions(options));
  if (trace.clock.unit === 'none')
    throw new UsageError(`${trace.file}: its events have no time stamps, so it has no spans`);
  if (options.to === 'hdr' && trace.clock.unit !== 'ns') {
    throw new UsageError(`${trace.file}: its clock counts cycles, and an HdrHistogram log has times in ns`);
  }
  const out = options.output === undefined ? process.stdout : createWriteStream(options.output);
  const failed = new Promise<never>((_, reject) => {
    if (options.output !== undefined) {
      out.once('error', (error) => reject(new UsageError(`cannot write ${options.output}: ${error.message}`)));
    }
  });
  failed.catch(() => {});
  const spans = new SpanExport(make(trace), out);
  const reading = await Promise.race([runAnalyses(trace, [spans], { from: options.since, to: options.until }), failed]);
  await Promise.race([spans.end(), failed]);
  await trace.close();
  for (const why of reading.partial) process.stderr.write(`virtap: partial: ${why}\n`);
  if (reading.holes > 0)
    process.stderr.write('virtap: events were lost; spans that they may be missing from are left out\n');
  if (spans.count === 0) {
    throw new UsageError(
      `${trace.file} has no exits (kvm_exit, kvm_entry) and no requests (virtqueue_pop, virtqueue_fill) to export`,
    );
  }
}

/** Exits and requests as rows, in the order of their ends, written as they come. */
class SpanExport implements RunAnalysis {
  count = 0;
  readonly #writer: SpanWriter;
  readonly #out: Writable;
  readonly #exits = new ExitPairing({ inner: true });
  readonly #requests = new Pairs(elementEvent('qemu:virtqueue_pop'), elementEvent('qemu:virtqueue_fill'), {
    keys: 2,
    local: false,
  });
  #full = false;

  constructor(writer: SpanWriter, out: Writable) {
    this.#writer = writer;
    this.#out = out;
  }

  wants(type: EventType): boolean {
    return [this.#exits.wants(type), this.#requests.wants(type)].includes(true);
  }

  batch(trace: Trace, b: EventBatch): void {
    const rows = [...this.#exitRows(trace, b), ...this.#requestRows(trace, b)];
    if (rows.length === 0) return;
    rows.sort((x, y) => x.begin + x.duration - y.begin - y.duration);
    this.count += rows.length;
    this.#write(this.#writer.rows(rows));
  }

  /** Waits where the reader of the output is slower than we are. */
  async settle(): Promise<void> {
    if (this.#full) await once(this.#out, 'drain');
    this.#full = false;
  }

  async end(): Promise<void> {
    this.#write(this.#writer.end());
    if (this.#out === process.stdout) await this.settle();
    else await new Promise<void>((resolve) => this.#out.end(resolve));
  }

  #write(bytes: Uint8Array | string): void {
    if (bytes.length > 0 && !this.#out.write(bytes)) this.#full = true;
  }

  *#exitRows(trace: Trace, b: EventBatch): Generator<SpanRow> {
    const spans = this.#exits.batch(trace, b);
    for (let k = 0; k < spans.count; k++) {
      const thread = this.#exits.threads[spans.thread[k] as number] as VcpuThread;
      const known = trace.threads.get(thread.tid)?.pid ?? -1;
      yield {
        kind: 'exit',
        begin: spans.begin[k] as number,
        duration: spans.duration[k] as number,
        tid: thread.tid,
        pid: thread.pid >= 0 ? thread.pid : known,
        cpu: spans.cpu[k] as number,
        vcpu: thread.vcpu,
        reason: this.#exits.reasons.names[spans.reason[k] as number] as string,
        vq: '',
        elem: '',
      };
    }
  }

  *#requestRows(trace: Trace, b: EventBatch): Generator<SpanRow> {
    const spans = this.#requests.batch(trace, b);
    for (let k = 0; k < spans.count; k++) {
      const i = spans.endsAt[k] as number;
      const pid = b.pid[i] as number;
      yield {
        kind: 'request',
        begin: spans.begin[k] as number,
        duration: spans.duration[k] as number,
        tid: spans.tid[k] as number,
        pid: pid >= 0 ? pid : (trace.threads.get(spans.tid[k] as number)?.pid ?? -1),
        cpu: spans.cpu[k] as number,
        vcpu: -1,
        reason: '',
        vq: address(trace, b, i, 'vq'),
        elem: address(trace, b, i, 'elem'),
      };
    }
  }
}

/** The events of that name, by the element that they are about. */
function elementEvent(name: string): PairEnd {
  return {
    takes: (type) => type.name === name,
    keys: (type) => [type.reader('vq'), type.reader('elem')],
  };
}

/** An address that event `i` has in a field. */
function address(trace: Trace, b: EventBatch, i: number, field: string): string {
  const reader = trace.types[b.type[i] as number]?.reader(field);
  return reader === undefined ? '' : hex64(reader.high(b, i), reader.low(b, i));
}

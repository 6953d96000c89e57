import type { Command } from 'commander';
import { type LiveEvents, usualEvents } from '../live/event-sets.ts';
import { alignmentNotes } from '../report/alignment.ts';
import { ChosenFields } from '../report/chosen-fields.ts';
import { noneThere } from '../report/empty-stretch.ts';
import { csvHeader, csvLines, type EventWriter, jsonLines, textLines } from '../report/event-line.ts';
import { json } from '../report/json.ts';
import { remarks, remarksJson } from '../report/remarks.ts';
import { type Analysis, isStretch } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { EventSelection } from '../views/event-selection.ts';
import { needEvents } from './lacking.ts';
import { openSource } from './open.ts';
import {
  type LiveOptions,
  liveCommand,
  parseCount,
  parseWords,
  runOptions,
  type TraceOptions,
  traceCommand,
} from './options.ts';
import { Output } from './output.ts';
import { runAnalyses } from './run.ts';
import { say } from './say.ts';
import { explainNone, type SelectionOptions, selectionOf, selectionOptions } from './selection-options.ts';
import { didYouMean } from './suggest.ts';

type DumpOptions = TraceOptions & LiveOptions & SelectionOptions & { fields?: string[]; head?: number; tail?: number };

export default function define(command: Command): void {
  const dump = liveCommand(
    traceCommand(command, [
      ['virtap dump trace.dat', 'every event'],
      ["virtap dump --event 'kvm_*' --head 100 perf.data", 'the first hundred KVM events'],
      ["virtap dump --filter 'vcpu==1 && reason==HLT' trace.dat", 'the halts of vCPU 1'],
      ["virtap dump --filter 'elem==0x7f52c4001a80' trace.bin", 'the life of one virtqueue element'],
      ['virtap dump trace.dat qemu.trace', 'the kernel and QEMU on one time line'],
      ['virtap dump --live -e kvm_msr', 'of the machines that run here, as it happens'],
    ]),
  );
  selectionOptions(dump)
    .option(
      '-F, --fields <names>',
      'only these: time, cpu, pid, tid, comm, event, text, or fields of the events',
      parseWords,
    )
    .option('-n, --head <number>', 'only the first of them', parseCount)
    .option('--tail <number>', 'only the last of them', parseCount)
    .action(run);
}

async function run(files: string[], options: DumpOptions): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, liveEvents(options.event));
  const selection = selectionOf(options);
  const { fields, head = Number.POSITIVE_INFINITY, tail = Number.POSITIVE_INFINITY } = options;
  const chosen = fields === undefined ? undefined : new ChosenFields(fields, out.form);
  const writer = chosen?.writer ?? { text: textLines, json: jsonLines, csv: csvLines }[out.form]();
  const dump = new Dump(selection, { head, tail }, writer, out);
  if (out.form === 'csv') await out.write(chosen?.header ?? csvHeader);
  const reading = await runAnalyses(trace, [dump], { ...runOptions(options), once: true });
  if (reading.partial.length === 0) await trace.close();
  needEvents(trace, reading);
  await dump.end(trace);
  if (dump.written === 0) explainNone(trace, selection, files);
  const { unknown = [], known = [] } = dump.written === 0 ? {} : (chosen?.unknownNames() ?? {});
  for (const name of unknown) say(`virtap: no event here has a field ${name}${didYouMean(name, known)}\n`);
  for (const pattern of selection.patterns.unused()) say(`virtap: no event is called ${pattern}\n`);
  if (out.form === 'json') await out.write(await dump.jsonEnd(trace, json(remarksJson(reading))));
  else if (out.form === 'text') {
    // On standard error: what comes out is events only.
    if (dump.written === 0) {
      const none = 'no event that was selected';
      say(
        `virtap: ${trace.file}: ${isStretch(reading.window) ? noneThere(none, { trace, reading }) : `there is ${none}`}\n`,
      );
    }
    say(remarks({ ...reading, notes: alignmentNotes(reading), late: undefined }, out.terminal, ''));
  }
}

/** What to switch on in a running machine. */
function liveEvents(patterns: readonly string[] | undefined): LiveEvents {
  return patterns === undefined ? usualEvents : { patterns };
}

/** Text handed to standard output at a time. */
const chunkSize = 1 << 16;

/** Prints events as they come. */
class Dump implements Analysis {
  /** Events printed so far. */
  written = 0;
  /** True when as many were printed as the user wants. */
  enough = false;
  readonly #selection: EventSelection;
  readonly #head: number;
  readonly #tail: number;
  /** The last events, where only these are wanted. */
  readonly #last: string[] = [];
  readonly #writer: EventWriter;
  readonly #out: Output;
  #taken = 0;
  #text = '';
  #pending: string[] = [];

  constructor(
    selection: EventSelection,
    { head, tail }: { head: number; tail: number },
    writer: EventWriter,
    out: Output,
  ) {
    this.#selection = selection;
    this.#head = head;
    this.#tail = tail;
    this.#writer = writer;
    this.#out = out;
  }

  wants(type: EventType): boolean {
    return this.#selection.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (let i = 0; i < b.count && !this.enough; i++) {
      if (!this.#selection.takes(trace, b, i)) continue;
      const line = this.#writer(trace, b, i);
      this.#taken++;
      if (this.#taken >= this.#head) this.enough = true;
      if (this.#tail === Number.POSITIVE_INFINITY) this.#put(trace, line);
      else this.#last[(this.#taken - 1) % this.#tail] = line;
    }
  }

  #put(trace: Trace, line: string): void {
    this.#text += this.#out.form === 'json' ? this.#jsonStart(trace) + line.trimEnd() : line;
    this.written++;
    if (this.#text.length >= chunkSize) {
      this.#pending.push(this.#text);
      this.#text = '';
    }
  }

  /** Prints the last events, where only these are wanted. */
  async end(trace: Trace): Promise<void> {
    const from = this.#taken % this.#tail;
    const inOrder = this.#taken < this.#tail ? this.#last : [...this.#last.slice(from), ...this.#last.slice(0, from)];
    for (const line of inOrder) {
      this.#put(trace, line);
      await this.settle();
    }
  }

  /** The recording is read on while it may still hold what was named: each type is asked about as it comes. */
  behind(): void {}

  curious(): boolean {
    return this.#selection.patterns.unused().length > 0;
  }

  /** Hands on what was printed since the last call. */
  async settle(): Promise<void> {
    const pending = this.#pending;
    if (this.#text !== '') pending.push(this.#text);
    this.#text = '';
    this.#pending = [];
    for (const text of pending) await this.#out.write(text);
  }

  /** What stands before an event in the JSON document: the document's beginning, or a comma. */
  #jsonStart(trace: Trace): string {
    return this.written > 0 ? ',\n' : this.#jsonHead(trace);
  }

  #jsonHead(trace: Trace): string {
    const { file, format, version, clock, origin } = trace;
    const head = { file, format, version, clock: clock.name, clock_unit: clock.unit, origin: origin.toString() };
    return `${JSON.stringify(head).slice(0, -1)},\n"events": [\n`;
  }

  /** The end of the JSON document, with the closing remarks. */
  async jsonEnd(trace: Trace, remarksText: string): Promise<string> {
    return `${this.written === 0 ? this.#jsonHead(trace) : '\n'}],\n${remarksText.slice(1).trimStart()}`;
  }
}

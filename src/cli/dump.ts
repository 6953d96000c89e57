import type { Command } from 'commander';
import { type LiveEvents, usualEvents } from '../live/event-sets.ts';
import { alignmentNotes } from '../report/alignment.ts';
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
import { type LiveOptions, liveCommand, parseCount, runOptions, type TraceOptions, traceCommand } from './options.ts';
import { Output } from './output.ts';
import { runAnalyses } from './run.ts';
import { say } from './say.ts';
import { explainNone, type SelectionOptions, selectionOf, selectionOptions } from './selection-options.ts';

type DumpOptions = TraceOptions & LiveOptions & SelectionOptions & { head?: number };

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
  selectionOptions(dump).option('-n, --head <number>', 'only the first of them', parseCount).action(run);
}

async function run(files: string[], options: DumpOptions): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, liveEvents(options.event));
  const selection = selectionOf(options);
  const writer = { text: textLines, json: jsonLines, csv: csvLines }[out.form]();
  const dump = new Dump(selection, options.head ?? Number.POSITIVE_INFINITY, writer, out);
  if (out.form === 'csv') await out.write(csvHeader);
  const reading = await runAnalyses(trace, [dump], { ...runOptions(options), once: true });
  if (reading.partial.length === 0) await trace.close();
  needEvents(trace, reading);
  if (dump.written === 0) explainNone(trace, selection, files);
  for (const pattern of selection.patterns.unused()) say(`virtap: no event is called ${pattern}\n`);
  if (out.form === 'json') await out.write(await dump.jsonEnd(trace, json(remarksJson(reading))));
  else if (out.form === 'text') {
    // On standard error: what comes out is events only.
    if (dump.written === 0 && isStretch(reading.window)) {
      say(`virtap: ${trace.file}: ${noneThere('no event that was selected', { trace, reading })}\n`);
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
  readonly #writer: EventWriter;
  readonly #out: Output;
  #text = '';
  #pending: string[] = [];

  constructor(selection: EventSelection, head: number, writer: EventWriter, out: Output) {
    this.#selection = selection;
    this.#head = head;
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
      this.#text += this.#out.form === 'json' ? this.#jsonStart(trace) + line.trimEnd() : line;
      this.written++;
      if (this.written >= this.#head) this.enough = true;
      if (this.#text.length >= chunkSize) {
        this.#pending.push(this.#text);
        this.#text = '';
      }
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

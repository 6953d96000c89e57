import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { type LiveEvents, usualEvents } from '../live/event-sets.ts';
import { alignmentNotes } from '../report/alignment.ts';
import { csvHeader, csvLines, type EventWriter, jsonLines, textLines } from '../report/event-line.ts';
import { json } from '../report/json.ts';
import { remarks, remarksJson } from '../report/remarks.ts';
import type { Analysis } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { EventPatterns } from '../views/event-pattern.ts';
import { Filter, FilterError } from '../views/filter.ts';
import { tellsVcpu } from '../views/named-fields.ts';
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
import { didYouMean } from './suggest.ts';

type DumpOptions = TraceOptions & LiveOptions & { event?: string[]; filter?: Filter; head?: number };

export default function define(command: Command): void {
  liveCommand(
    traceCommand(command, [
      ['virtap dump trace.dat', 'every event'],
      ["virtap dump --event 'kvm_*' --head 100 perf.data", 'the first hundred KVM events'],
      ["virtap dump --filter 'vcpu==1 && reason==HLT' trace.dat", 'the halts of vCPU 1'],
      ["virtap dump --filter 'elem==0x7f52c4001a80' trace.bin", 'the life of one virtqueue element'],
      ['virtap dump trace.dat qemu.trace', 'the kernel and QEMU on one time line'],
      ['virtap dump --live -e kvm_msr', 'of the machines that run here, as it happens'],
    ])
      .option('-e, --event <pattern>', "only these events: 'kvm_*', sched:sched_switch; may be repeated", parseWords)
      .option('-f, --filter <expression>', "only events where it holds, e.g. 'tid==12 && port>=0x3f8'", parseFilter)
      .option('-n, --head <number>', 'only the first of them', parseCount)
      .addHelpText('after', filterHelp),
  ).action(run);
}

const filterHelp = `
Filters compare a name with a value: == != < <= > >=, and =~ !~ for a regular expression; join
them with && || ! and parentheses. A name is a field of the event, or one of
  cpu, tid, pid, comm   of the thread that caused the event (.pid is the event's own field)
  event                 the event's name, with or without its system
  vcpu                  the vCPU, also for events that do not carry it
  reason                why the guest was left, by name: HLT, npf, EPT_VIOLATION
Values are numbers (10, 0xfee00000, all 64 bits), words, or "text".`;

async function run(files: string[], options: DumpOptions): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, liveEvents(options.event));
  const patterns = new EventPatterns(options.event ?? []);
  const writer = { text: textLines, json: jsonLines, csv: csvLines }[out.form]();
  const dump = new Dump(patterns, options.filter, options.head ?? Number.POSITIVE_INFINITY, writer, out);
  if (out.form === 'csv') await out.write(csvHeader);
  const reading = await runAnalyses(trace, [dump], { ...runOptions(options), once: true });
  if (reading.partial.length === 0) await trace.close();
  needEvents(trace, reading);
  if (dump.written === 0) explain(trace, patterns, options.filter, files);
  for (const pattern of patterns.unused()) say(`virtap: no event is called ${pattern}\n`);
  if (out.form === 'json') await out.write(await dump.jsonEnd(trace, json(remarksJson(reading))));
  else if (out.form === 'text') {
    // On standard error: what comes out is events only.
    say(remarks({ ...reading, notes: alignmentNotes(reading) }, out.terminal, ''));
  }
}

/** What to switch on in a running machine. */
function liveEvents(patterns: readonly string[] | undefined): LiveEvents {
  return patterns === undefined ? usualEvents : { patterns };
}

function parseFilter(text: string): Filter {
  try {
    return new Filter(text);
  } catch (error) {
    if (error instanceof FilterError) throw new UsageError(error.message);
    throw error;
  }
}

/** Nothing was printed: names that the trace does not have are the user's mistake, and said. */
function explain(trace: Trace, patterns: EventPatterns, filter: Filter | undefined, files: readonly string[]): void {
  const [pattern] = patterns.unused();
  if (pattern !== undefined) {
    const names = trace.types.map((type) => type.name);
    const more = didYouMean(pattern, names) || ` (virtap events ${files[0]} lists what there is)`;
    throw new UsageError(`no event in ${trace.file} is called ${pattern}${more}`);
  }
  if (filter === undefined) return;
  const { unknown, fields } = filter.unknownNames();
  const [name] = unknown;
  if (name === undefined) return;
  const shown = fields.slice(0, 60).join(', ') + (fields.length > 60 ? ', …' : '');
  throw new UsageError(
    `no event here has a field ${name}${didYouMean(name, fields).replace(/\?$/, '')}; there are ${shown}`,
  );
}

/** Text handed to standard output at a time. */
const chunkSize = 1 << 16;

/** Prints events as they come. */
class Dump implements Analysis {
  /** Events printed so far. */
  written = 0;
  /** True when as many were printed as the user wants. */
  enough = false;
  readonly #patterns: EventPatterns;
  readonly #filter: Filter | undefined;
  readonly #head: number;
  readonly #writer: EventWriter;
  readonly #out: Output;
  /** By type id, whether the patterns take it, and whether the filter must see it. */
  readonly #taken: boolean[] = [];
  readonly #noted: boolean[] = [];
  #text = '';
  #pending: string[] = [];

  constructor(patterns: EventPatterns, filter: Filter | undefined, head: number, writer: EventWriter, out: Output) {
    this.#patterns = patterns;
    this.#filter = filter;
    this.#head = head;
    this.#writer = writer;
    this.#out = out;
  }

  wants(type: EventType): boolean {
    const taken = this.#patterns.takes(type);
    if (taken) this.#filter?.learn(type);
    const noted = this.#filter?.needsVcpu === true && tellsVcpu(type);
    this.#taken[type.id] = taken;
    this.#noted[type.id] = noted;
    return taken || noted;
  }

  batch(trace: Trace, b: EventBatch): void {
    const filter = this.#filter;
    for (let i = 0; i < b.count && !this.enough; i++) {
      const type = b.type[i] as number;
      if (filter !== undefined) {
        if (this.#noted[type] === true) filter.note(trace, b, i);
        if (this.#taken[type] !== true || !filter.passes(trace, b, i)) continue;
      } else if (this.#taken[type] !== true) continue;
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

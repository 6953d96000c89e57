import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { alignmentNotes } from '../report/alignment.ts';
import { noneThere } from '../report/empty-stretch.ts';
import { escapeText } from '../report/escape.ts';
import { EventExport, type EventSink, TextSink } from '../report/event-export.ts';
import { SpanExport } from '../report/span-export.ts';
import type { ExportSource, SpanWriter } from '../report/span-rows.ts';
import type { SpanKind } from '../spans/kind.ts';
import { kindNamed, kinds } from '../spans/kinds.ts';
import { isStretch } from '../trace/analysis.ts';
import { tellsTime } from '../trace/clock.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { CtfFolder, checkFolder } from './ctf-folder.ts';
import { needEvents, untimeable } from './lacking.ts';
import { takeOldWords } from './old-words.ts';
import { openTraces } from './open.ts';
import { openOptions, parseWords, type TraceOptions, traceCommand } from './options.ts';
import { checkOutput, forceOption, OutputFile, writeStandardOutput } from './output-file.ts';
import { runAnalyses, scoutFiles, wasInterrupted } from './run.ts';
import { say } from './say.ts';
import { explainNone, type SelectionOptions, selectionOf, selectionOptions } from './selection-options.ts';

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
/** Forms of events, not of spans: those that dump selects. */
const eventForms = ['ftrace', 'perf-script', 'ctf'] as const;
type EventForm = (typeof eventForms)[number];

const binary: ReadonlySet<Form> = new Set(['perfetto', 'parquet']);

type ExportOptions = TraceOptions &
  SelectionOptions & {
    format?: Form | EventForm;
    spans?: SpanKind[];
    output?: string;
    force?: true;
  };

export default function define(command: Command): void {
  traceCommand(
    command,
    [
      ['virtap export --format perfetto -o exits.pftrace trace.dat', 'for ui.perfetto.dev and its trace_processor'],
      ['virtap export -o exits.parquet trace.dat', 'a row a span, for DuckDB, pandas and their kin'],
      ['virtap export --format csv trace.dat | head', 'the same as text'],
      [
        "virtap export --format ctf -e 'kvm_*' -o exits.ctf trace.dat",
        "dump's events, for babeltrace2 and Trace Compass",
      ],
    ],
    { forms: [] },
  )
    .addOption(
      new Option(
        '--format <form>',
        `what to write: of spans ${forms.join(', ')}, of events ${eventForms.join(', ')}; by the name of the file, where not given`,
      ).choices([...forms, ...eventForms]),
    )
    .option(
      '--spans <kinds>',
      `only these: ${kinds.map(({ plural }) => plural).join(', ')}; all, where not given, but states and holds only for perfetto`,
      parseKinds,
    )
    .option('-o, --output <file>', 'where to (standard output, where not given)');
  takeOldWords(command, { to: 'format' }, (text) => [...forms, ...eventForms].some((form) => form === text));
  selectionOptions(forceOption(command)).action(run);
}

async function run(files: string[], options: ExportOptions): Promise<void> {
  const to = options.format ?? formOf(options.output);
  if (isEventForm(to)) return runEvents(files, options, to);
  for (const name of ['event', 'filter'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with --format ${eventForms.join(', ')}`);
  }
  return runSpans(files, options, to);
}

/** By the ends of files' names. */
const formsByName: Record<string, Form | EventForm> = {
  pftrace: 'perfetto',
  'perfetto-trace': 'perfetto',
  csv: 'csv',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  parquet: 'parquet',
  hdr: 'hdr',
  hlog: 'hdr',
  ctf: 'ctf',
};

/** What a file is to be of which nobody says that, by its name. */
function formOf(output: string | undefined): Form | EventForm {
  const form = formsByName[/\.([\w-]+)$/.exec(output ?? '')?.[1]?.toLowerCase() ?? ''];
  if (form !== undefined) return form;
  throw new UsageError(
    `what is to be written? Say --format ${[...forms, ...eventForms].join(', ')}, or name a file that tells: -o exits.parquet`,
  );
}

function isEventForm(form: Form | EventForm): form is EventForm {
  return (eventForms as readonly string[]).includes(form);
}

/** Writes the events that dump would print. */
async function runEvents(files: string[], options: ExportOptions, to: EventForm): Promise<void> {
  const { output, force } = options;
  if (options.spans !== undefined) throw new UsageError(`--spans goes with --format ${forms.join(', ')}`);
  if (to === 'ctf' && output === undefined) throw new UsageError('a CTF trace is a folder: name it with -o');
  const spared = { inputs: [...files, options.traceEvents, options.formats], force };
  if (to === 'ctf') checkFolder(output as string);
  else if (output !== undefined) await checkOutput(output, spared);
  const trace = await openTraces(files, openOptions(options));
  let file: OutputFile | undefined;
  let sink: EventSink | undefined;
  try {
    if (trace.clock.unit === 'none') throw new UsageError(`${trace.file}: ${untimeable(trace.clock)}`);
    if (trace.clock.unit !== 'ns' && to !== 'ftrace') {
      const has = to === 'ctf' ? 'a CTF trace has times in ns' : "perf script's text has times in seconds";
      throw new UsageError(
        `${trace.file}: its clock counts cycles of unknown length, and ${has}: use --to ftrace, which has either`,
      );
    }
    if (to === 'ctf') {
      sink = new CtfFolder(output as string, new (await import('../report/export-ctf.ts')).CtfWriter());
    } else {
      if (output !== undefined) file = await OutputFile.create(output, spared);
      const { ftraceEvents, perfScriptEvents } = await import('../report/export-event-text.ts');
      const write = (text: string) => (file === undefined ? writeStandardOutput(text) : file.write(text));
      sink = new TextSink(to === 'ftrace' ? ftraceEvents() : perfScriptEvents(), write);
    }
    const selection = selectionOf(options);
    const events = new EventExport(selection, sink);
    const reading = await runAnalyses(trace, [events], { from: options.from, to: options.to, once: true });
    if (output !== undefined && !files.includes('-') && wasInterrupted(reading)) {
      say(`virtap: interrupted: ${output} was not written\n`);
      process.exitCode = 130;
      return;
    }
    needEvents(trace, reading);
    if (events.count === 0) {
      explainNone(trace, selection, files);
      if (!isStretch(reading.window)) throw new UsageError(`no event of ${trace.file} was selected`);
      say(`virtap: ${trace.file}: ${noneThere('no event that was selected', { trace, reading })}\n`);
    }
    for (const pattern of selection.patterns.unused()) say(`virtap: no event is called ${pattern}\n`);
    await sink.end(trace);
    for (const why of reading.partial) say(`virtap: partial: ${why}\n`);
    if (reading.losses.length > 0) say('virtap: events were lost; where, is written among the events\n');
    await file?.finish();
  } finally {
    sink?.discard();
    file?.discard();
    // Not awaited: after Ctrl-C the read under way may never end.
    void trace.close().catch(() => {});
  }
}

async function runSpans(files: string[], options: ExportOptions, to: Form): Promise<void> {
  if (options.output === undefined && binary.has(to) && process.stdout.isTTY === true) {
    throw new UsageError(`${to} is not for a terminal: name a file with -o`);
  }
  const spared = { inputs: [...files, options.traceEvents, options.formats], force: options.force };
  if (options.output !== undefined) await checkOutput(options.output, spared);
  const make = await writers[to]();
  await scoutFiles(files, openOptions(options));
  const trace = await openTraces(files, openOptions(options));
  let file: OutputFile | undefined;
  try {
    if (!tellsTime(trace.clock)) throw new UsageError(`${trace.file}: ${untimeable(trace.clock)}, and it has no spans`);
    if (to === 'hdr' && trace.clock.unit !== 'ns') {
      throw new UsageError(`${trace.file}: its clock counts cycles, and an HdrHistogram log has times in ns`);
    }
    if (options.output !== undefined) file = await OutputFile.create(options.output, spared);
    const chosen = options.spans ?? usual(to);
    const { clock, threads } = trace;
    const source: ExportSource = {
      kinds: chosen,
      clock,
      threads,
      get origin() {
        return trace.origin;
      },
    };
    const write = (bytes: Uint8Array | string) => (file === undefined ? writeStandardOutput(bytes) : file.write(bytes));
    const spans = new SpanExport(chosen, make(source), write);
    const reading = await runAnalyses(trace, [spans], { from: options.from, to: options.to, once: true });
    if (file !== undefined && !files.includes('-') && wasInterrupted(reading)) {
      say(`virtap: interrupted: ${options.output} was not written\n`);
      process.exitCode = 130;
      return;
    }
    await spans.end();
    tell(reading, spans, trace, chosen, options.spans !== undefined);
    await file?.finish();
  } finally {
    file?.discard();
    // Not awaited: after Ctrl-C the read under way may never end.
    void trace.close().catch(() => {});
  }
}

/** What else is to be known of what was written. Throws a UsageError where there is nothing; `asked`: the user said what to write. */
function tell(reading: Reading, spans: SpanExport, trace: Trace, chosen: readonly SpanKind[], asked: boolean): void {
  for (const why of reading.partial) say(`virtap: partial: ${why}\n`);
  for (const note of alignmentNotes(reading)) say(`virtap: ${escapeText(note)}\n`);
  if (reading.late !== undefined) say(`virtap: ${escapeText(reading.late)}\n`);
  if (reading.losses.length > 0) say('virtap: events were lost; spans that they may be missing from are left out\n');
  if (spans.count > 0) return;
  if (isStretch(reading.window) && spans.seen) {
    const none = `no ${chosen.map(({ plural }) => plural).join(' and no ')}`;
    say(`virtap: ${trace.file}: ${noneThere(none, { trace, reading })}\n`);
  } else {
    throw new UsageError(
      asked
        ? `${trace.file} has no ${chosen.map(({ plural }) => plural).join(' and no ')} to export`
        : `${trace.file} has nothing to export: ${chosen.map(({ plural, needs }) => `no ${plural} (${needs})`).join(', ')}`,
    );
  }
}

function parseKinds(text: string): SpanKind[] {
  return parseWords(text).map((word) => {
    const kind = kindNamed(word);
    if (kind === undefined) {
      throw new InvalidArgumentError(`Expected some of ${kinds.map(({ plural }) => plural).join(', ')}.`);
    }
    return kind;
  });
}

/** What is written where nobody says: of what there is several times as much of as of the rest, only what has tracks of its own. */
function usual(form: Form): readonly SpanKind[] {
  return kinds.filter(({ frequent }: SpanKind) => frequent !== true || form === 'perfetto');
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { asTraceError } from '../formats/input.ts';
import { parseTraceEvents, type Signature } from '../formats/trace-events.ts';
import { findTracefs } from '../live/tracefs.ts';
import { eventsFile, fieldsOfSignatures, fieldsOfTypes, unknownOf } from '../script/declare.ts';
import type { KnownEvents } from '../script/field-kind.ts';
import { kernelEvents } from '../script/kernel-events.ts';
import { ScriptError } from '../script/script-error.ts';
import type { EventType } from '../trace/event-type.ts';
import { EventPatterns } from '../views/event-pattern.ts';
import { openTraces } from './open.ts';
import { exampleLines, parseWords } from './options.ts';
import { runAnalyses } from './run.ts';
import { print, say } from './say.ts';

type TypesOptions = { traceEvents?: string; kernel?: true; event?: string[] };

export default function define(command: Command): void {
  command
    .usage('FILE… | --trace-events FILE | --kernel [options]')
    .argument('[file...]', 'trace files of any format, whose events are declared; - is standard input')
    .option('--trace-events <file>', "QEMU's trace-events-all, whose events are declared")
    .option('--kernel', 'declare the events of the running kernel')
    .option('-e, --event <pattern>', "only these events: 'block:*'; may be repeated", parseWords)
    .addHelpText(
      'after',
      exampleLines([
        ['virtap types trace.dat > events.d.ts', 'the events of a trace'],
        ['virtap types --trace-events /usr/share/qemu/trace-events-all > events.d.ts', 'all events of QEMU'],
        ["sudo virtap types --kernel --event 'block:*' > events.d.ts", 'the block events of this kernel'],
      ]),
    )
    .addHelpText(
      'after',
      `
The declarations make an editor know the events that virtap/script does not know of itself: put the file
beside your scripts. Of a trace, only events that occur are declared.`,
    )
    .action(run);
}

async function run(files: string[], options: TypesOptions): Promise<void> {
  const all = new Map<string, KnownEvents extends ReadonlyMap<string, infer Fields> ? Fields : never>();
  const sources: string[] = [];
  const add = (events: KnownEvents, source: string) => {
    for (const [name, fields] of events) all.set(name, fields);
    sources.push(source);
  };
  if (options.kernel === true) add(ofKernel(), 'the running kernel');
  if (options.traceEvents !== undefined) {
    add(fieldsOfSignatures(signatures(options.traceEvents)), options.traceEvents);
  }
  if (files.length > 0) add(await ofTraces(files, options.traceEvents), files.join(', '));
  if (sources.length === 0) throw new UsageError('nothing given; expected a trace, --trace-events FILE or --kernel');
  const patterns = new EventPatterns(options.event ?? []);
  const taken = new Map([...all].filter(([name]) => patterns.takes({ name, recordedAs: name })));
  const [unused] = patterns.unused();
  if (unused !== undefined) throw new UsageError(`no event of ${sources.join(' and ')} is called ${unused}`);
  print(eventsFile(unknownOf(taken), sources.join(' and ')));
}

function ofKernel(): KnownEvents {
  try {
    return fieldsOfTypes(kernelEvents(join(findTracefs(), 'events')));
  } catch (error) {
    if (error instanceof ScriptError) throw new UsageError(error.message);
    throw error;
  }
}

function signatures(file: string): Signature[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw asTraceError(file, error);
  }
  return parseTraceEvents(bytes, file);
}

/** The events that occur: a trace tells of its types as it is read. Each file is read by itself, so that their clocks do not matter. */
async function ofTraces(files: readonly string[], traceEvents: string | undefined): Promise<KnownEvents> {
  const types: EventType[] = [];
  for (const file of files) {
    const trace = await openTraces([file], { traceEvents });
    const reading = await runAnalyses(trace, [{ wants: () => false, batch() {} }]);
    for (const why of reading.partial) say(`virtap: partial: ${why}\n`);
    if (reading.partial.length === 0) await trace.close();
    types.push(...trace.types);
  }
  return fieldsOfTypes(types);
}

import type { Command } from 'commander';
import type { ReadAnalysis } from '../analyse/read-events.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { alignmentNotes } from '../report/alignment.ts';
import { remarks } from '../report/remarks.ts';
import { isScript, loadScripts } from '../script/load.ts';
import { printed } from '../script/print.ts';
import { ScriptError } from '../script/script-error.ts';
import { ScriptRun } from '../script/script-run.ts';
import { Setup } from '../script/setup.ts';
import type { Trace } from '../trace/trace.ts';
import { openSource } from './open.ts';
import {
  exampleLines,
  type LiveOptions,
  liveCommand,
  offsetOption,
  openOptions,
  readingOptions,
  runOptions,
  type TraceOptions,
} from './options.ts';
import { Output } from './output.ts';
import { runAnalyses, scoutFiles } from './run.ts';
import { say } from './say.ts';
import { didYouMean } from './suggest.ts';

type ScriptOptions = Pick<TraceOptions, 'color' | 'from' | 'to' | 'traceEvents' | 'formats' | 'offset'> & LiveOptions;

export default function define(command: Command): void {
  command
    .usage('SCRIPT… FILE… [options] [-- ARGUMENT…]')
    .argument('<file...>', 'scripts (.ts, .js), and trace files of any format; - is standard input');
  liveCommand(offsetOption(readingOptions(command)), false)
    .addHelpText(
      'after',
      exampleLines([
        ['virtap run count.ts trace.dat', 'run the script over the events of the trace'],
        ['virtap run leaks.ts slow.ts trace.bin', 'two scripts in one pass'],
        ['virtap run slow.ts trace.dat -- 5ms', 'with an argument for the script'],
        ['virtap run slow.ts --live --vm web1', 'on a running machine, until Ctrl-C'],
      ]),
    )
    .addHelpText('after', help)
    .action(run);
}

const help = `
A script is your own code, and runs with all your rights: run none that you would not run otherwise.

  import { analyzer } from 'virtap/script'

  export default analyzer(({ print }) => ({
    virtqueue_pop({ vq, elem }, { time }) { print(time, vq, elem) },
  }))`;

async function run(names: string[], options: ScriptOptions, command: Command): Promise<void> {
  const { given, args } = split(names, command);
  const files = given.filter((name) => !isScript(name));
  const paths = given.filter(isScript);
  if (paths.length === 0) throw new UsageError('no script given; expected a .ts or .js file before the trace files');
  if (files.length === 0 && options.live !== true)
    throw new UsageError(`no trace given for ${paths.join(', ')} to run on`);
  const out = new Output(options, { tabs: true });
  try {
    const printer = new Printer(out);
    try {
      const setup = new Setup(await loadScripts(paths), { print: printer.print, args });
      if (options.live !== true && setup.running.some(({ spans }) => spans.length > 0)) {
        await scoutFiles(files, openOptions(options));
      }
      const trace = await openSource(files, options, setup.wanted());
      const analysis = new ScriptRun(trace, setup);
      await analysis.begin();
      const reading = await runAnalyses(trace, [printer.settling(analysis)], {
        ...runOptions(options),
        once: true,
      });
      await analysis.end(reading);
      await printer.settle();
      const unsure = analysis.hasSpans ? 'Spans across them are left out.' : '';
      say(remarks({ ...reading, notes: alignmentNotes(reading) }, out.terminal, unsure));
      if (reading.partial.length === 0) await trace.close();
      if (!analysis.enough) explain(trace, analysis);
    } finally {
      await printer.settle();
    }
  } catch (error) {
    if (error instanceof ScriptError) throw new UsageError(error.message);
    throw error;
  }
}

/** What stands behind `--` is the scripts'. */
function split(names: readonly string[], command: Command): { given: readonly string[]; args: readonly string[] } {
  const raw = (command.parent as Command & { rawArgs: string[] }).rawArgs;
  const dashes = raw.indexOf('--');
  const behind = dashes < 0 ? 0 : raw.length - dashes - 1;
  return { given: names.slice(0, names.length - behind), args: names.slice(names.length - behind) };
}

/**
 * Handlers that could not be called. A script may be for traces of several kinds, so of each only what looks like a mistake is told; but a
 * script none of whose handlers could be called has no answer, and all of it is.
 */
function explain(trace: Trace, analysis: ScriptRun): void {
  const names = trace.types.map((type) => type.name);
  for (const { file, events, spans, all } of analysis.unused()) {
    const sentences: string[] = [];
    for (const name of events) {
      const near = didYouMean(name, names);
      if (near === '' && !all) continue;
      sentences.push(
        `no event in ${trace.file} is called ${name}${near || ` (virtap events ${trace.file} lists what there is)`}`,
      );
    }
    if (all) {
      for (const { name, needs } of spans) sentences.push(`${trace.file} has nothing for ${name}; it needs ${needs}`);
    }
    const last = all ? sentences.pop() : undefined;
    for (const sentence of sentences) say(`virtap: ${file}: ${sentence}\n`);
    if (last !== undefined) throw new UsageError(`${file}: ${last}`);
  }
}

/** Text handed to standard output at a time. */
const chunkSize = 1 << 16;

/** What scripts print, in larger pieces. */
class Printer {
  readonly #out: Output;
  #text = '';

  constructor(out: Output) {
    this.#out = out;
  }

  readonly print = (values: readonly unknown[], seconds: number): void => {
    this.#text += printed(values, this.#out.terminal, seconds);
    if (this.#text.length < chunkSize) return;
    // Nobody can wait in the middle of a handler; on Linux, files and pipes are written to at once.
    this.#out.put(this.#text);
    this.#text = '';
  };

  async settle(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (text !== '') await this.#out.write(text);
  }

  /** An analysis after each batch of which what was printed goes out. */
  settling(analysis: ScriptRun): ReadAnalysis {
    return {
      wants: (type) => analysis.wants(type),
      within: (window) => analysis.within(window),
      batch: (trace, batch) => analysis.batch(trace, batch),
      behind: (trace, batch) => analysis.behind(trace, batch),
      curious: () => analysis.curious(),
      settle: () => this.settle(),
      get enough() {
        return analysis.enough;
      },
    };
  }
}

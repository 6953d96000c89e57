import type { Command } from 'commander';
import type { ReadAnalysis } from '../analyse/read-events.ts';
import type { LiveEvents } from '../live/event-sets.ts';
import type { Column } from '../report/columns.ts';
import type { Json } from '../report/json.ts';
import type { Terminal } from '../report/terminal.ts';
import type { Trace } from '../trace/trace.ts';
import type { Condition, Subject } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';
import { badStatus, failIf, failIfOption } from './fail-if.ts';
import { needEvents } from './lacking.ts';
import { openSource } from './open.ts';
import {
  type LiveOptions,
  liveCommand,
  parseCount,
  parseDuration,
  runOptions,
  type TraceOptions,
  traceCommand,
} from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';
import { sortOption } from './sort-option.ts';

/*
 * A command that answers one question about a trace declares the question, its own options, and how the answer is said. What they have in
 * common is here: opening the files or the running machines, reading them, the answer in the form that was asked for, conditions.
 */

/** The options of all such commands; which of `sort` to `than` one has, it declares. */
export type ViewOptions = TraceOptions &
  LiveOptions & {
    sort?: string;
    heatmap?: true;
    slow?: number;
    than?: number;
    failIf?: Condition[];
  };

/** An answer; of its result, what was slow is put in order. */
type Found = { result: object };

/** What is asked of a trace that was opened. */
type Asked<Answer extends Found> = {
  analyses: readonly ReadAnalysis[];
  /** The answer as far as the trace was read. Throws a UsageError where it has none. */
  answer(reading: Reading): Answer;
};

export type View<Options extends ViewOptions, Answer extends Found> = {
  examples: readonly [line: string, what: string][];
  /** What conditions can be about, for the help. */
  conditions: string;
  /** The columns of the answer's rows, what `--sort` sorts by them, and by which where nobody says: as they come, where not given. */
  table: { what: string; columns: readonly Column<never, never>[]; usual?: string };
  /** What `--heatmap`, `--slow` and `--than` do. */
  heatmap?: string;
  slow?: string;
  than?: string;
  /** Adds its own options. */
  options?(command: Command): Command;
  /** Which events of a running machine are needed. Throws a UsageError where the options do not go together. */
  wanted(options: Options): LiveEvents;
  /** Throws a UsageError where nothing of the kind can be asked of this trace. */
  ask(trace: Trace, options: Options, command: Command): Asked<Answer> | Promise<Asked<Answer>>;
  json(answer: Answer): Json;
  csv(answer: Answer): string;
  text(answer: Answer, terminal: Terminal): string;
  /** Whether it is bad in itself: the exit status says so. */
  isBad?(answer: Answer): boolean;
  /** What conditions can be about; and the answer's rows, of which they can be about all that JSON says in numbers. */
  subjects?(answer: Answer): readonly Subject[];
  rows?(answer: Answer): readonly Subject[];
  /** Whether a name in a condition means a subject's. */
  same?(asked: string, name: string): boolean;
};

/** A command, as `commands.ts` loads it. */
export function viewCommand<Options extends ViewOptions, Answer extends Found>(
  view: View<Options, Answer>,
): (command: Command) => void {
  return (command) => {
    viewOptions(command, view).action((files: string[], options: Options) => answerView(view, files, options, command));
  };
}

/** Gives a command its files, its options and its help. */
export function viewOptions<Options extends ViewOptions, Answer extends Found>(
  command: Command,
  view: View<Options, Answer>,
): Command {
  const { table } = view;
  traceCommand(command, view.examples);
  failIfOption(command, view.conditions, table.columns);
  view.options?.(command);
  sortOption(command, table.what, table.columns, table.usual);
  if (view.heatmap !== undefined) command.option('--heatmap', view.heatmap);
  if (view.slow !== undefined) command.option('--slow <number>', view.slow, parseCount);
  if (view.than !== undefined) command.option('--than <time>', `${view.than}: 1ms, 250us`, parseDuration);
  return liveCommand(command);
}

/** Answers one question about files, or about the machines that run here. */
export async function answerView<Options extends ViewOptions, Answer extends Found>(
  view: View<Options, Answer>,
  files: readonly string[],
  options: Options,
  command: Command,
): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, view.wanted(options));
  const { analyses, answer } = await askOpen(trace, view.ask(trace, options, command));
  const found = await answerFrom(trace, analyses, runOptions(options), async (reading) => {
    needEvents(trace, reading);
    const found = answer(reading);
    // A threshold asks for a log, a number for a ranking.
    if (options.slow === undefined) inOrderOfTime(found.result);
    await out.answer({
      json: () => view.json(found),
      csv: () => view.csv(found),
      text: (terminal) => view.text(found, terminal),
    });
    return found;
  });
  if (view.isBad?.(found) === true) process.exitCode = badStatus;
  failIf(options.failIf, () => ({
    subjects: view.subjects?.(found) ?? [],
    rows: view.rows?.(found) ?? [],
    json: view.json(found),
    same: view.same,
  }));
}

/** Closes a trace of which something was asked that it cannot tell. */
async function askOpen<T>(trace: Trace, asking: T | Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (error) {
    await trace.close();
    throw error;
  }
}

function inOrderOfTime(result: { slow?: unknown }): void {
  if (Array.isArray(result.slow)) result.slow.sort((a: { begin: number }, b: { begin: number }) => a.begin - b.begin);
}

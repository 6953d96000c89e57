import type { Command } from 'commander';
import { usualEvents } from '../live/event-sets.ts';
import { rowSubjects, sortRows } from '../report/column-names.ts';
import { eventScope, typeColumns } from '../report/events-columns.ts';
import { eventsCsv, eventsJson } from '../report/events-json.ts';
import { eventsText } from '../report/events-text.ts';
import { json } from '../report/json.ts';
import { TraceError } from '../trace/error.ts';
import type { Condition } from '../views/conditions.ts';
import { eventSubjects, Inventory, type InventoryView } from '../views/inventory.ts';
import { type Question, questions } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { openSource } from './open.ts';
import { type LiveOptions, liveCommand, runOptions, type TraceOptions, traceCommand } from './options.ts';
import { Output } from './output.ts';
import { runAnalyses } from './run.ts';
import { complain } from './say.ts';
import { sortOption } from './sort-option.ts';

type EventsOptions = TraceOptions & LiveOptions & { sort?: string; failIf?: Condition[] };
type Answer = { view: InventoryView; asked: Question[]; reading: Reading };

export default function define(command: Command): void {
  const declared = failIfOption(
    traceCommand(command, [
      ['virtap events trace.dat', 'what is in it, and what virtap can tell from it'],
      ['virtap events --json trace.dat | jq .types', 'event counts for a script'],
      ['perf record -a -e kvm:* -o - | virtap events -', 'a recording as it is made; Ctrl-C ends it'],
      ["virtap events --fail-if 'count(lost)>0' trace.dat", 'in a script: the exit status is 3 where events were lost'],
    ]),
    'count and rate of event, or event:NAME, and the count of lost events',
    typeColumns,
  );
  liveCommand(sortOption(declared, 'the events', typeColumns)).action(run);
}

async function run(files: string[], options: EventsOptions): Promise<void> {
  const out = new Output(options);
  const answers: Answer[] = [];
  const errors: TraceError[] = [];
  // Each file is told of by itself.
  const sources = files.length < 2 ? [files] : files.map((file) => [file]);
  for (const source of sources) {
    try {
      const answer = await inventory(source, options, (soFar) => print(soFar, out));
      if (out.form === 'text') {
        if (answers.length > 0) await out.write('\n');
        await print(answer, out);
      }
      answers.push(answer);
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      errors.push(error);
    }
  }
  // A file that cannot be read does not keep the others' answers back.
  const [first] = errors;
  if (first !== undefined && answers.length === 0 && sources.length === 1) throw first;
  for (const error of errors) complain(error);
  if (answers.length === 0) process.exitCode = 2;
  else if (out.form === 'csv') await out.write(eventsCsv(answers.map(({ view }) => view)));
  else if (out.form === 'json') {
    const objects = answers.map(({ view, asked, reading }) => eventsJson(view, asked, reading));
    await out.write(json(sources.length === 1 ? objects[0] : objects));
  }
  for (const { view, asked, reading } of answers)
    failIf(options.failIf, () => ({
      subjects: eventSubjects(view, reading),
      rows: rowSubjects('event', typeColumns, view.types, eventScope(view), ({ name }) => name),
      json: eventsJson(view, asked, reading),
    }));
}

function sorted(view: InventoryView, sort: string | undefined): InventoryView {
  return { ...view, types: sortRows(typeColumns, view.types, sort, eventScope(view), ({ name }) => [name]) };
}

async function print({ view, asked, reading }: Answer, out: Output): Promise<void> {
  await out.answer({
    json: () => eventsJson(view, asked, reading),
    csv: () => eventsCsv([view]),
    text: (terminal) => eventsText(view, asked, reading, terminal),
  });
}

/** `each` is given the answer so far, of a running machine. */
async function inventory(
  files: string[],
  options: EventsOptions,
  each: (answer: Answer) => Promise<void>,
): Promise<Answer> {
  const trace = await openSource(files, options, usualEvents);
  const analysis = new Inventory();
  const answer = (reading: Reading): Answer => {
    const view = sorted(analysis.view(trace), options.sort);
    return { view, asked: questions(view), reading };
  };
  const reading = await runAnalyses(trace, [analysis], runOptions(options), (soFar) => each(answer(soFar)));
  if (reading.partial.length === 0) await trace.close();
  return answer(reading);
}

import { readFileSync } from 'node:fs';
import type { OpenOptions } from '../formats/detect.ts';
import type { EventsJson, LeaksJson } from '../report/answers.ts';
import { eventsJson } from '../report/events-text.ts';
import { exitsSection } from '../report/exits-page.ts';
import type { ExitAnswer } from '../report/exits-text.ts';
import { leaksJson } from '../report/leaks-text.ts';
import type { PageData, Section } from '../report/page-data.ts';
import { verdicts } from '../report/verdicts.ts';
import type { ExitSpans } from '../spans/exits.ts';
import { Requests } from '../spans/requests.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPicture } from '../views/exit-picture.ts';
import { Exits } from '../views/exits.ts';
import { Inventory, type InventoryView } from '../views/inventory.ts';
import { judgeLeaks, type LeakReport } from '../views/leaks.ts';
import { type Question, questions } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import { openTraces } from './open.ts';
import { type RunOptions, runAnalyses } from './run.ts';

/** Slow exits told one by one. */
const slow = 20;
/** Bytes that the packed cells of all pictures may take in a page, deflated. */
const cellRoom = 740_000;

/** Every analysis's answer, as far as the trace has one. */
export type Everything = {
  trace: Trace;
  reading: Reading;
  inventory: InventoryView;
  asked: Question[];
  exits: { answer: ExitAnswer; picture: ExitPicture } | undefined;
  leaks: LeakReport | undefined;
};

/** Asks a trace everything, in one reading. `also` is given the exits that ended with each batch. */
export async function askEverything(
  files: readonly string[],
  open: OpenOptions,
  options: RunOptions,
  also?: (spans: ExitSpans) => void,
): Promise<Everything> {
  const trace = await openTraces(files, open);
  const inventory = new Inventory();
  const picture = new ExitPicture(also);
  const exits = new Exits({ by: ['reason'], slow, heatmap: true, picture });
  const requests = new Requests();
  const reading = await runAnalyses(trace, [inventory, exits, requests], options);
  if (reading.partial.length === 0) await trace.close();
  const view = inventory.view(trace);
  const asked = questions(view);
  const can = (command: string) => asked.some((question) => question.command === command && question.answer !== 'no');
  const answer: ExitAnswer = {
    trace,
    reading,
    result: exits.result(),
    sort: 'total',
    halts: false,
    than: undefined,
  };
  return {
    trace,
    reading,
    inventory: view,
    asked,
    exits: can('exits') && answer.result.counts.pairs > 0 ? { answer, picture } : undefined,
    leaks: can('leaks') ? judgeLeaks(requests, trace.clock) : undefined,
  };
}

/** The same as a page shows it, with the packed cells of its pictures by the kind of their section. */
export function pageOf(everything: Everything, title: string): { data: PageData; cells: Map<string, Uint8Array> } {
  const { trace, reading, inventory, asked, exits, leaks } = everything;
  const recording = eventsJson(inventory, asked, reading) as unknown as EventsJson;
  const sections: Section[] = [];
  const cells = new Map<string, Uint8Array>();
  if (leaks !== undefined) {
    sections.push({ kind: 'leaks', answer: leaksJson(leaks, reading, trace, false) as unknown as LeaksJson });
  }
  if (exits !== undefined) {
    const drawn = exitsSection(exits.answer, exits.picture, cellRoom);
    cells.set('exits', drawn.cells);
    sections.push(drawn.section);
  }
  return {
    data: { title, madeBy: `virtap ${version()}`, recording, verdicts: verdicts(recording, sections), sections },
    cells,
  };
}

/** Why there is nothing to show, where no command can answer from the trace; undefined where one can. */
export function nothingToShow({ trace, asked, exits, leaks }: Everything): string | undefined {
  if (exits !== undefined || leaks !== undefined) return undefined;
  const why = asked.filter(({ answer }) => answer === 'no').map(({ command, why }) => `for ${command}: ${why}`);
  return `${trace.file} has nothing that a report could show (${why.join(' ')}) virtap events says what to record`;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

import { readFileSync } from 'node:fs';
import type { OpenOptions } from '../formats/detect.ts';
import type { EventsJson, LeaksJson, LocksJson, VcpusJson } from '../report/answers.ts';
import { eventsJson } from '../report/events-text.ts';
import { exitsSection } from '../report/exits-page.ts';
import type { ExitAnswer } from '../report/exits-text.ts';
import { leaksJson } from '../report/leaks-text.ts';
import { type LocksAnswer, locksJson, summary } from '../report/locks-text.ts';
import type { PageData, Section } from '../report/page-data.ts';
import { requestsSection } from '../report/requests-page.ts';
import type { RequestsAnswer } from '../report/requests-text.ts';
import { type VcpusAnswer, vcpusJson } from '../report/vcpus-text.ts';
import { verdicts } from '../report/verdicts.ts';
import type { ExitSpans } from '../spans/exits.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPicture } from '../views/exit-picture.ts';
import { Exits } from '../views/exits.ts';
import { Inventory, type InventoryView } from '../views/inventory.ts';
import { judgeLeaks, type LeakReport } from '../views/leaks.ts';
import { LocksView } from '../views/locks.ts';
import { type Question, questions } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import { RequestPicture } from '../views/request-picture.ts';
import { RequestsView } from '../views/requests.ts';
import { Vcpus } from '../views/vcpus.ts';
import { openTraces } from './open.ts';
import { type RunOptions, runAnalyses } from './run.ts';

/** Slow exits told one by one. */
const slow = 20;
/** Slow waits for a mutex, and slow requests, told one by one. */
const slowWaits = 10;
const slowRequests = 20;
/** Bytes that the packed cells of all pictures may take in a page, deflated. */
const cellRoom = 700_000;
const requestCellRoom = 150_000;

/** Every analysis's answer, as far as the trace has one. */
export type Everything = {
  trace: Trace;
  reading: Reading;
  inventory: InventoryView;
  asked: Question[];
  exits: { answer: ExitAnswer; picture: ExitPicture } | undefined;
  vcpus: VcpusAnswer | undefined;
  leaks: LeakReport | undefined;
  requests: { answer: RequestsAnswer; picture: RequestPicture } | undefined;
  locks: LocksAnswer | undefined;
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
  const vcpus = new Vcpus({ timeline: true });
  const requestPicture = new RequestPicture();
  const requests = new RequestsView({ slow: slowRequests, picture: requestPicture });
  const locks = new LocksView({ slow: slowWaits });
  const reading = await runAnalyses(trace, [inventory, exits, vcpus, requests, locks], options);
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
    exits:
      can('exits') && answer.result.untimed === undefined && answer.result.counts.pairs > 0
        ? { answer, picture }
        : undefined,
    vcpus: can('vcpus') ? { trace, reading, result: vcpus.result() } : undefined,
    leaks: can('leaks') ? judgeLeaks(requests.path.requests, trace.clock) : undefined,
    requests: can('requests')
      ? {
          answer: { trace, reading, result: requests.result(), sort: 'total', than: undefined, rank: 'request' },
          picture: requestPicture,
        }
      : undefined,
    locks: can('locks')
      ? { trace, reading, result: locks.result(), holds: false, than: undefined, chosen: [] }
      : undefined,
  };
}

/** The same as a page shows it, with the packed cells of its pictures by the kind of their section. */
export function pageOf(everything: Everything, title: string): { data: PageData; cells: Map<string, Uint8Array> } {
  const { trace, reading, inventory, asked, exits, vcpus, leaks, requests, locks } = everything;
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
  if (vcpus !== undefined) sections.push({ kind: 'vcpus', answer: vcpusJson(vcpus) as unknown as VcpusJson });
  if (requests !== undefined) {
    const drawn = requestsSection(requests.answer, requests.picture, requestCellRoom);
    cells.set('requests', drawn.cells);
    sections.push(drawn.section);
  }
  if (locks !== undefined) {
    const several = new Set(locks.result.mutexes.map(({ pid }) => pid)).size > 1;
    const bql = locks.result.mutexes.filter(({ name }) => name === 'BQL');
    sections.push({
      kind: 'locks',
      answer: locksJson(locks) as unknown as LocksJson,
      summary: bql.map((mutex) => summary(mutex, several)).join('\n'),
    });
  }
  return {
    data: { title, madeBy: `virtap ${version()}`, recording, verdicts: verdicts(recording, sections), sections },
    cells,
  };
}

/** Why there is nothing to show, where no command can answer from the trace; undefined where one can. */
export function nothingToShow({ trace, asked, exits, leaks, locks }: Everything): string | undefined {
  if (exits !== undefined || leaks !== undefined || locks !== undefined) return undefined;
  const why = asked.filter(({ answer }) => answer === 'no').map(({ command, why }) => `for ${command}: ${why}`);
  return `${trace.file} has nothing that a report could show (${why.join(' ')}) virtap events says what to record`;
}

/** This virtap's version. */
export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

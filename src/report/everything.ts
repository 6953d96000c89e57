import { Asked } from '../analyse/analyse.ts';
import { version } from '../own/files.ts';
import type { ExitSpans } from '../spans/exits.ts';
import { type Analysis, isStretch } from '../trace/analysis.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPicture } from '../views/exit-picture.ts';
import type { InventoryView } from '../views/inventory.ts';
import { type Question, questions } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import { RequestPicture } from '../views/request-picture.ts';
import { eventsJson } from './events-json.ts';
import { exitsSection } from './exits-page.ts';
import type { ExitAnswer } from './exits-text.ts';
import type { LeaksAnswer } from './leaks-columns.ts';
import { leaksJson } from './leaks-json.ts';
import type { LocksAnswer } from './locks-columns.ts';
import { locksJson } from './locks-json.ts';
import { summary } from './locks-summary.ts';
import type { PageData, Section } from './page-data.ts';
import { lossSentence, unmarkedSentence } from './remarks.ts';
import type { RequestsAnswer } from './requests-columns.ts';
import { requestsSection } from './requests-page.ts';
import type { VcpusAnswer } from './vcpus-columns.ts';
import { vcpusJson } from './vcpus-json.ts';
import { verdicts } from './verdicts.ts';

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
  leaks: LeaksAnswer | undefined;
  requests: { answer: RequestsAnswer; picture: RequestPicture } | undefined;
  locks: LocksAnswer | undefined;
};

/** Asks a trace everything, in one reading, which is the caller's to do. `also` is given the exits that ended with each batch. */
export async function askEverything(
  trace: Trace,
  reads: (analyses: readonly Analysis[]) => Promise<Reading>,
  also?: (spans: ExitSpans) => void,
): Promise<Everything> {
  const picture = new ExitPicture(also);
  const requestPicture = new RequestPicture();
  const everything = new Asked(trace, {
    events: true,
    exits: { by: ['reason'], slow, heatmap: true, picture },
    vcpus: { timeline: true },
    requests: { slow: slowRequests, picture: requestPicture },
    leaks: true,
    locks: { slow: slowWaits },
  });
  const reading = await reads(everything.analyses);
  if (reading.partial.length === 0) await trace.close();
  const { results } = everything;
  const view = results.events();
  const asked = questions(view);
  const can = (command: string) => asked.some((question) => question.command === command && question.answer !== 'no');
  const answer: ExitAnswer = {
    trace,
    reading,
    result: results.exits(),
    sort: 'total',
    halts: false,
    than: undefined,
  };
  return {
    trace,
    reading,
    inventory: view,
    asked,
    exits: can('exits') && isTimed(answer) ? { answer, picture } : undefined,
    vcpus: can('vcpus') ? { trace, reading, result: results.vcpus() } : undefined,
    leaks: can('leaks') ? { trace, reading, result: results.leaks(), all: false } : undefined,
    requests: can('requests')
      ? {
          answer: { trace, reading, result: results.requests(), sort: 'total', than: undefined, rank: 'request' },
          picture: requestPicture,
        }
      : undefined,
    locks: can('locks')
      ? { trace, reading, result: results.locks(), holds: false, than: undefined, chosen: [] }
      : undefined,
  };
}

/** Whether exits were timed; where a stretch was asked for, there need be none in it. */
function isTimed({ result: { untimed, counts }, reading }: ExitAnswer): boolean {
  return untimed === undefined && (counts.pairs > 0 || (counts.exits === 0 && isStretch(reading.window)));
}

/** The same as a page shows it, with the packed cells of its pictures by the kind of their section. `words` name the files to a command. */
export function pageOf(
  everything: Everything,
  title: string,
  words: string[],
): { data: PageData; cells: Map<string, Uint8Array> } {
  const { reading, inventory, asked, exits, vcpus, leaks, requests, locks } = everything;
  const recording = eventsJson(inventory, asked, reading);
  const sections: Section[] = [];
  const cells = new Map<string, Uint8Array>();
  if (leaks !== undefined) {
    sections.push({ kind: 'leaks', answer: leaksJson(leaks) });
  }
  if (exits !== undefined) {
    const drawn = exitsSection(exits.answer, exits.picture, cellRoom);
    cells.set('exits', drawn.cells);
    sections.push(drawn.section);
  }
  if (vcpus !== undefined) sections.push({ kind: 'vcpus', answer: vcpusJson(vcpus) });
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
      answer: locksJson(locks),
      summary: bql.map((mutex) => summary(mutex, several)).join('\n'),
    });
  }
  return {
    data: { title, words, madeBy: `virtap ${version()}`, recording, verdicts: verdicts(recording, sections), sections },
    cells,
  };
}

/** Why there is nothing to show, where no command can answer from the trace; undefined where one can. */
export function nothingToShow({ trace, reading, asked, exits, leaks, locks }: Everything): string | undefined {
  if (exits !== undefined || leaks !== undefined || locks !== undefined) return undefined;
  const why = asked.flatMap(({ command, answer, why }) => {
    if (command === 'exits' && answer !== 'no')
      return ['for exits: none of them can be timed, but virtap exits counts them.'];
    return answer === 'no' ? [`for ${command}: ${why}`] : [];
  });
  if (reading.holes > 0) why.push(lossSentence(reading));
  if (reading.unmarked.contradictions > 0) why.push(unmarkedSentence(reading));
  why.push(...reading.partial.map((sentence) => `Partial: ${sentence}.`));
  return `${trace.file} has nothing that a report could show (${why.join(' ')}) virtap events says what to record`;
}

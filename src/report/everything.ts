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
import type { EventsJson } from './answers.ts';
import { eventsJson } from './events-json.ts';
import { exitsJson } from './exits-json.ts';
import { exitsDrawn } from './exits-page.ts';
import type { ExitAnswer } from './exits-text.ts';
import type { LeaksAnswer } from './leaks-columns.ts';
import { leaksJson } from './leaks-json.ts';
import { type LocksAnswer, lockScope } from './locks-columns.ts';
import { locksJson } from './locks-json.ts';
import { summary } from './locks-summary.ts';
import type { Answered, PageData, Section, Verdict } from './page-data.ts';
import { lossSentence, unmarkedSentence } from './remarks.ts';
import type { RequestsAnswer } from './requests-columns.ts';
import { requestsJson } from './requests-json.ts';
import { requestsDrawn } from './requests-page.ts';
import type { VcpusAnswer } from './vcpus-columns.ts';
import { vcpusJson } from './vcpus-json.ts';
import { verdicts } from './verdicts.ts';

/** How many of those that were slow are told one by one. */
const slow = { exits: 20, waits: 10, requests: 20 };
/** Bytes that the packed cells of pictures may take in a page, deflated. */
const room = { exits: 700_000, requests: 150_000 };

/** Every analysis's answer, as far as the trace has one. */
export type Everything = {
  trace: Trace;
  reading: Reading;
  inventory: InventoryView;
  asked: Question[];
  exits: ExitAnswer | undefined;
  vcpus: VcpusAnswer | undefined;
  leaks: LeaksAnswer | undefined;
  requests: RequestsAnswer | undefined;
  locks: LocksAnswer | undefined;
  /** Where they were asked for. */
  pictures: Pictures | undefined;
};

/** What pages draw. */
export type Pictures = { exits: ExitPicture; requests: RequestPicture };

/** New pictures; `also` is given the exits that ended with each batch. */
export function newPictures(also?: (spans: ExitSpans) => void): Pictures {
  return { exits: new ExitPicture(also), requests: new RequestPicture() };
}

/** Asks a trace everything, in one reading, which is the caller's to do. `pictures` are drawn where they are given. */
export async function askEverything(
  trace: Trace,
  reads: (analyses: readonly Analysis[]) => Promise<Reading>,
  pictures?: Pictures,
): Promise<Everything> {
  const everything = new Asked(trace, {
    events: true,
    exits: { by: ['reason'], slow: slow.exits, heatmap: true, picture: pictures?.exits },
    vcpus: { timeline: true },
    requests: { slow: slow.requests, picture: pictures?.requests },
    leaks: true,
    locks: { slow: slow.waits },
  });
  const reading = await reads(everything.analyses);
  if (reading.partial.length === 0) await trace.close();
  const { results } = everything;
  const inventory = results.events();
  const asked = questions(inventory);
  const can = (command: string) => asked.some((question) => question.command === command && question.answer !== 'no');
  const read = { trace, reading, than: undefined };
  const exits: ExitAnswer = { ...read, result: results.exits(), sort: 'total', halts: false };
  return {
    trace,
    reading,
    inventory,
    asked,
    exits: can('exits') && isTimed(exits) ? exits : undefined,
    vcpus: can('vcpus') ? { trace, reading, result: results.vcpus() } : undefined,
    leaks: can('leaks') ? { trace, reading, result: results.leaks(), all: false } : undefined,
    requests: can('requests') ? { ...read, result: results.requests(), sort: 'total', rank: 'request' } : undefined,
    locks: can('locks') ? { ...read, result: results.locks(), holds: false, chosen: [] } : undefined,
    pictures,
  };
}

/** Whether exits were timed; where a stretch was asked for, there need be none in it. */
function isTimed({ result: { untimed, counts }, reading }: ExitAnswer): boolean {
  return untimed === undefined && (counts.pairs > 0 || (counts.exits === 0 && isStretch(reading.window)));
}

/** All the answers for programs, and what they show, in sentences. */
export function answersOf(everything: Everything): {
  recording: EventsJson;
  verdicts: Verdict[];
  sections: Answered[];
} {
  const { reading, inventory, asked, exits, vcpus, leaks, requests, locks } = everything;
  const recording = eventsJson(inventory, asked, reading);
  const sections: Answered[] = [];
  if (leaks !== undefined) sections.push({ kind: 'leaks', answer: leaksJson(leaks) });
  if (exits !== undefined) sections.push({ kind: 'exits', answer: exitsJson(exits) });
  if (vcpus !== undefined) sections.push({ kind: 'vcpus', answer: vcpusJson(vcpus) });
  if (requests !== undefined) sections.push({ kind: 'requests', answer: requestsJson(requests) });
  if (locks !== undefined) {
    const { several } = lockScope(locks);
    const bql = locks.result.mutexes.filter(({ name }) => name === 'BQL');
    sections.push({
      kind: 'locks',
      answer: locksJson(locks),
      summary: bql.map((mutex) => summary(mutex, several)).join('\n'),
    });
  }
  return { recording, verdicts: verdicts(recording, sections), sections };
}

/** The same as a page shows it, with the packed cells of its pictures by the kind of their section. */
export function pageOf(
  everything: Everything,
  { exits: exitPicture, requests: requestPicture }: Pictures,
  { title, words }: Pick<PageData, 'title' | 'words'>,
): { data: PageData; cells: Map<string, Uint8Array> } {
  const { exits, requests } = everything;
  const { sections, ...answers } = answersOf(everything);
  const cells = new Map<string, Uint8Array>();
  const drawn = <Shown>(kind: string, { shown, cells: packed }: { shown: Shown; cells: Uint8Array }): Shown => {
    cells.set(kind, packed);
    return shown;
  };
  const shown = sections.map((section): Section => {
    if (section.kind === 'exits')
      return { ...section, ...drawn('exits', exitsDrawn(exits as ExitAnswer, exitPicture, room.exits)) };
    if (section.kind === 'requests')
      return {
        ...section,
        ...drawn('requests', requestsDrawn(requests as RequestsAnswer, requestPicture, room.requests)),
      };
    return section;
  });
  return { data: { title, words, madeBy: `virtap ${version()}`, ...answers, sections: shown }, cells };
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

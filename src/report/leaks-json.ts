import { hex64 } from '../trace/event-type.ts';
import type { Subject } from '../views/conditions.ts';
import { bad, type LeakReport, type QueueReport, type Unfinished } from '../views/leaks.ts';
import { queueWord } from '../views/queue-name.ts';
import type { LeaksJson } from './answers.ts';
import { rowSubjects, sortRows } from './column-names.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { elementColumns, elementScope } from './leak-elements.ts';
import { type LeaksAnswer, leakQueueColumns, leakScope, nameOf, pidText, type Source } from './leaks-columns.ts';
import { verdictsJson } from './queue-keys.ts';
import { remarksJson } from './remarks.ts';
/** The answer for programs: docs/json.md. */
export function leaksJson(answer: LeaksAnswer): LeaksJson {
  const { trace, reading, result: report } = answer;
  const { file, format, clock, origin } = trace;
  const scope = leakScope(report, trace);
  const elements = listed(answer);
  const within = elementScope(elements, trace);
  return {
    file,
    format,
    clock: clock.name,
    unit: clock.unit === 'ticks' ? 'cycles' : clock.unit,
    origin: origin.toString(),
    totals: verdictsJson(report.totals),
    queues: report.queues.map((queue) => rowJson(leakQueueColumns, queue, scope)),
    elements: elements.map((one) => rowJson(elementColumns, one, within)),
    ...remarksJson(reading),
  };
}

/** The queues and the elements in the order that was asked for; each as far as it has the column. */
export function sortedLeaks(report: LeakReport, trace: Source, sort: string | undefined): LeakReport {
  const named = (one: QueueReport) => [queueWord(nameOf(one))];
  const { queues, elements } = report;
  return {
    ...report,
    queues: sortRows(leakQueueColumns, queues, sort, leakScope(report, trace), named),
    elements: sortRows(elementColumns, elements, sort, elementScope(elements, trace), (one) => named(one.report)),
  };
}

/** What conditions can be about in the rows: queues, and elements that `--all` has, too. */
export function leakRows({ trace, result }: LeaksAnswer): Subject[] {
  const { queues, elements } = result;
  const scope = elementScope(elements, trace);
  return [
    ...rowSubjects('queue', leakQueueColumns, queues, leakScope(result, trace), (one) => queueWord(nameOf(one))),
    ...rowSubjects('element', elementColumns, elements, scope, ({ request }) => hex64(request.high, request.low)),
  ];
}

function listed({ result, all }: LeaksAnswer): Unfinished[] {
  return result.elements.filter(({ verdict }) => all || bad.has(verdict));
}

/** The elements as CSV, one a row. */
export function leaksCsv(answer: LeaksAnswer): string {
  // Its columns are the same in every trace.
  return rowsCsv(elementColumns, listed(answer), { ...elementScope([], answer.trace), timed: true });
}

/** `pid elem` lines of what leaked or was lost, for scripts; the pid is `-` where the trace does not say. */
export function leaksPlain({ result }: LeaksAnswer): string {
  return result.elements
    .filter(({ verdict }) => verdict === 'leaked' || verdict === 'lost')
    .map(({ report, request }) => `${pidText(nameOf(report))} ${hex64(request.high, request.low)}\n`)
    .join('');
}

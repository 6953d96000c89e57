import { hex64 } from '../trace/event-type.ts';
import type { LeakReport, Unfinished } from '../views/leaks.ts';
import { bad } from '../views/leaks.ts';
import type { Reading } from '../views/reading.ts';
import type { LeaksJson } from './answers.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { elementColumns, elementScope } from './leak-elements.ts';
import type { Source } from './leaks-columns.ts';
import { leakQueueColumns, leakScope, nameOf, pidText } from './leaks-columns.ts';
import { verdictsJson } from './queue-keys.ts';
import { remarksJson } from './remarks.ts';
/** The answer for programs: docs/json.md; `all` has the elements that nothing is wrong with, too. */
export function leaksJson(report: LeakReport, reading: Reading, trace: Source, all: boolean): LeaksJson {
  const { file, format, clock, origin } = trace;
  const scope = leakScope(report, trace);
  const elements = listed(report, all);
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

function listed({ elements }: LeakReport, all: boolean): Unfinished[] {
  return elements.filter(({ verdict }) => all || bad.has(verdict));
}

/** The elements as CSV, one a row. */
export function leaksCsv(report: LeakReport, trace: Source, all: boolean): string {
  // Its columns are the same in every trace.
  return rowsCsv(elementColumns, listed(report, all), { ...elementScope([], trace), timed: true });
}

/** `pid elem` lines of what leaked or was lost, for scripts; the pid is `-` where the trace does not say. */
export function leaksPlain(report: LeakReport): string {
  return report.elements
    .filter(({ verdict }) => verdict === 'leaked' || verdict === 'lost')
    .map(({ report, request }) => `${pidText(nameOf(report))} ${hex64(request.high, request.low)}\n`)
    .join('');
}

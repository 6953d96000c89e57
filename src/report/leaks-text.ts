import { hex64 } from '../trace/event-type.ts';
import { timestamp } from '../trace/time-stamp.ts';
import { bad, type LeakReport, type Unfinished, type Verdict, verdicts } from '../views/leaks.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { elementColumns, elementScope } from './leak-elements.ts';
import { ageText, type LeaksAnswer, leakQueueColumns, leakScope, nameOf, type Source } from './leaks-columns.ts';
import { askedText, whySentence } from './leaks-why.ts';
import { deviceName, queueName } from './names.ts';
import { remarks } from './remarks.ts';
import { type Terminal, wrap } from './terminal.ts';
import { count, plural } from './units.ts';

/** Elements of one verdict listed in text; JSON and --plain have all. */
const shown = 100;
/** Of those, how many are told in full: why, and the events around their pop. The others are a line each. */
const shownWhole = 3;

/** Everything that `virtap leaks` says of a trace, as text. */
export function leaksText({ trace, reading, result: report, all }: LeaksAnswer, terminal: Terminal): string {
  const scope = leakScope(report, trace);
  const parts = [
    report.queues.length === 0
      ? noneText('no element was popped', { trace, reading })
      : rowsTable(leakQueueColumns, report.queues, scope, terminal),
  ];
  for (const verdict of verdicts) {
    const elements = report.elements.filter((one) => one.verdict === verdict);
    if (elements.length === 0 || !(all || bad.has(verdict))) continue;
    const lines = [terminal.style('heading', `${verdict}: ${plural(elements.length, 'element')}`)];
    for (const one of elements.slice(0, shownWhole))
      lines.push(...elementLines(one, trace, bad.has(verdict), terminal));
    const others = elements.slice(shownWhole, shown);
    if (others.length > 0)
      lines.push('', rowsTable(elementColumns, others, elementScope(others, trace), terminal).trimEnd());
    if (elements.length > shown) {
      lines.push(terminal.style('dim', `… and ${count(elements.length - shown)} more (--json and --plain list all)`));
    }
    parts.push(`${lines.join('\n')}\n`);
  }
  parts.push(closing(report, terminal) + remarks(reading, terminal, unsureSentence(report)));
  return parts.filter((part) => part !== '').join('\n');
}

function elementLines(one: Unfinished, trace: Source, nearby: boolean, terminal: Terminal): string[] {
  const { request } = one;
  const name = nameOf(one.report);
  const { qemu } = request.queue;
  const asked = askedText(one);
  const process = qemu.pid < 0 ? '' : `, process ${qemu.pid}`;
  const when =
    trace.clock.unit === 'none' ? '' : `, popped at ${timestamp(trace.origin, request.pop, trace.clock.unit)}`;
  const lines = [
    `${terminal.style('strong', `elem ${hex64(request.high, request.low)}`)}  ${deviceName(name)} queue ${queueName(name)}${process}${when}${asked === '' ? '' : `: ${asked}`}`,
    wrap(whySentence(one, trace), terminal.tableWidth, 4).join('\n'),
  ];
  if (nearby && request.nearby !== undefined) {
    const age = ageText(trace);
    for (const event of request.nearby) {
      const offset = event.time - request.pop;
      const at = trace.clock.unit === 'none' ? '' : `${offset < 0 ? '-' : '+'}${age(Math.abs(offset))}`.padStart(12);
      const line = `    ${at}  ${event.text}`;
      lines.push(event.own ? line : terminal.style('dim', line));
    }
  }
  return lines;
}

function closing(report: LeakReport, terminal: Terminal): string {
  const { totals } = report;
  const popped = report.queues.reduce((sum, { queue }) => sum + queue.popped, 0);
  const found = verdictsText(totals, [...bad]);
  const rest = verdictsText(
    totals,
    verdicts.filter((verdict) => !bad.has(verdict)),
  );
  const others = rest === '' ? '' : ` Of the others without a fill: ${rest}.`;
  const nameless =
    report.nameless === 0
      ? ''
      : ` ${plural(report.nameless, 'virtqueue event')} ${report.nameless === 1 ? 'lacks' : 'lack'} the address of the queue or the element: left out, and what was open then is unsure.`;
  const forgotten =
    report.forgotten === 0
      ? ''
      : ` ${plural(report.forgotten, 'more element')} could not be followed: there were too many.`;
  if (found === '') {
    const clean = `No element was leaked, lost or stuck, of ${count(popped)} that were popped.`;
    return `${terminal.style('good', clean)}${others}${forgotten}${nameless}\n`;
  }
  return `${terminal.style('bad', `${found}, of ${count(popped)} elements that were popped.`)}${others}${forgotten}${nameless}\n`;
}

function unsureSentence(report: LeakReport): string {
  const straddling = report.queues.reduce((sum, { queue }) => sum + queue.straddling, 0);
  return (
    `Nothing that a lost fill could explain is called leaked: ${plural(report.totals.unsure, 'element')} unsure, ` +
    `and ${plural(straddling, 'latency', 'latencies')} across the holes left out.`
  );
}

/** How many elements have each verdict, for people: `42 leaked, 1 parked`, of those that there are. */
export function verdictsText(counts: Record<Verdict, number>, of: readonly Verdict[] = verdicts): string {
  return of.flatMap((verdict) => (counts[verdict] > 0 ? [`${count(counts[verdict])} ${verdict}`] : [])).join(', ');
}

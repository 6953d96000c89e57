import { threadStates } from '../spans/thread-time.ts';
import type { RequestQueue, RequestsResult } from '../views/requests.ts';
import { unitOf } from './answer.ts';
import { closingPart, inParts } from './answer-parts.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { heatmapText } from './heatmap-text.ts';
import { verdictsText } from './leaks-text.ts';
import { deviceName, queueName, threadName } from './names.ts';
import type { QueueRow, RequestScope, RequestsAnswer } from './requests-columns.ts';
import {
  delayColumns,
  hopColumns,
  ordered,
  requestQueueColumns,
  requestScope,
  sectorSize,
  withoutFill,
} from './requests-columns.ts';
import { slowPart } from './requests-slow.ts';
import { timeLabels } from './scales.ts';
import { type Terminal, wrap } from './terminal.ts';
import { bytes, count, lengths, percent, plural } from './units.ts';

/** Queues whose path and heat map are shown; JSON has all. */
const shownQueues = 6;

/** The whole answer as text. */
export function requestsText(answer: RequestsAnswer, terminal: Terminal): string {
  const { trace, result, reading } = answer;
  const queues = ordered(answer);
  const scope = requestScope(answer);
  const parts = [`${terminal.style('heading', escapeText(trace.file))}\n  ${summary(answer)}\n`];
  parts.push(queues.length === 0 ? noneText('no request was popped', answer) : queueTable(queues, scope, terminal));
  const paths = queues.filter(({ hops }) => hops.length > 1);
  for (const queue of paths.slice(0, shownQueues)) parts.push(pathPart(queue, scope, terminal));
  if (paths.length > shownQueues) {
    const more = plural(paths.length - shownQueues, 'more queue');
    parts.push(terminal.style('dim', `${more} not shown; --device and --queue choose, --json has all.\n`));
  }
  parts.push(delayPart(answer, queues, scope, terminal));
  for (const queue of queues.filter(({ heat }) => heat !== undefined).slice(0, shownQueues)) {
    parts.push(heatPart(answer, queue, scope, terminal));
  }
  if (result.slow !== undefined) parts.push(slowPart(answer, result.slow, terminal));
  const closing = [...unpaired(queues), ...missingLines(result).map((line) => terminal.style('dim', line))];
  const aside = queues.reduce((sum, { setAside }) => sum + setAside, 0);
  const unsure = aside === 0 ? '' : `${plural(aside, 'request')} left out that events may be missing from.`;
  parts.push(closingPart(closing, reading, terminal, unsure));
  return inParts(parts);
}

function summary({ trace, result }: RequestsAnswer): string {
  const { queues } = result;
  const known = queues.filter(({ name }) => name.vdev !== undefined);
  const devices = new Set(known.map(({ name }) => `${name.pid} ${name.vdev}`)).size;
  const of = devices === 0 ? '' : ` of ${plural(devices, 'device')}`;
  const requests = queues.reduce((sum, { stats }) => sum + stats.count, 0);
  return `${plural(requests, 'request')} on ${plural(queues.length, 'queue')}${of} in ${lengths(unitOf(trace)).long(result.duration)}`;
}

/** Queues, the operations of each below it. */
function queueTable(queues: readonly RequestQueue[], scope: RequestScope, terminal: Terminal): string {
  const rows = queues.flatMap((queue): QueueRow[] => [
    { queue },
    ...(queue.operations.length < 2 ? [] : queue.operations.map((operation) => ({ queue, operation }))),
  ]);
  const style = ({ operation }: QueueRow) => (operation === undefined ? undefined : 'dim');
  return rowsTable(requestQueueColumns, rows, scope, terminal, style);
}

/** Where the requests of a queue spent their time: a row a hop. */
function pathPart(queue: RequestQueue, scope: RequestScope, terminal: Terminal): string {
  const title = terminal.style('strong', `${deviceName(queue.name, scope.several)} queue ${queueName(queue.name)}`);
  const facts = [
    ...queue.threads.map((role) => threadName(role)),
    ...Object.entries(queue.backends).map(([name, n]) => `${name} ${count(n)}`),
    ...(queue.merged > 0 ? [`${count(queue.merged)} merged`] : []),
    ...(queue.sectors.read > 0 ? [`${bytes(queue.sectors.read * sectorSize)} read`] : []),
    ...(queue.sectors.written > 0 ? [`${bytes(queue.sectors.written * sectorSize)} written`] : []),
  ];
  return `${title}${facts.length === 0 ? '' : `: ${facts.join(', ')}`}\n${rowsTable(hopColumns, queue.hops, scope, terminal)}`;
}

/** How long requests waited until a thread of QEMU got to them. */
function delayPart(
  answer: RequestsAnswer,
  queues: readonly RequestQueue[],
  scope: RequestScope,
  terminal: Terminal,
): string {
  const delays = queues.flatMap((queue) => queue.delays.map((delay) => ({ ...delay, queue })));
  const title = terminal.style('strong', "Until QEMU's thread got to them");
  if (delays.length === 0) {
    const why =
      "How long requests waited for QEMU's thread cannot be told: the guest's kicks are not in the recording. From where the thread begins with the queue, it is notify → pop.";
    return queues.some(({ hops }) => hops.some(({ from }) => from === 'notify'))
      ? `${title}\n${wrap(why, terminal.tableWidth, 0).join('\n')}\n`
      : '';
  }
  const states = threadStates.filter((state) => delays.some(({ meanwhile }) => meanwhile[state] > 0));
  const table = rowsTable(delayColumns, delays, { ...scope, states }, terminal);
  return `${title}\n${delaySentence(answer.result, terminal)}${table}`;
}

/** The answer in one sentence: of all requests whose kick is known. */
function delaySentence({ delay }: RequestsResult, terminal: Terminal): string {
  const text = `Of the time from the guest's kick to the fill, ${percent(delay.share)} passed before a thread of QEMU popped the request (${plural(delay.stats.count, 'request')} whose kick is known).`;
  return `${wrap(text, terminal.tableWidth, 0).join('\n')}\n`;
}

function heatPart(answer: RequestsAnswer, queue: RequestQueue, scope: RequestScope, terminal: Terminal): string {
  const name = `${deviceName(queue.name, scope.several)} queue ${queueName(queue.name)}`;
  const title = terminal.style('strong', `${name} over time, by how long requests took from pop to fill`);
  const heat = queue.heat as NonNullable<RequestQueue['heat']>;
  return `${title}\n${heatmapText(heat, terminal, scope.unit)}${inFlightLine(answer, queue, terminal)}`;
}

/** The most that were in flight, over time, as bars of eight heights. */
function inFlightLine({ trace, result }: RequestsAnswer, { inFlight }: RequestQueue, terminal: Terminal): string {
  const { maxima, max } = inFlight;
  if (maxima.length === 0 || max === 0) return '';
  const label = `in flight, up to ${count(max)} `;
  const room = Math.max(8, terminal.width - label.length - 1);
  const per = Math.ceil(maxima.length / room);
  let bars = '';
  for (let at = 0; at < maxima.length; at += per) {
    const most = Math.max(...maxima.slice(at, at + per));
    bars += most === 0 ? ' ' : '▁▂▃▄▅▆▇█'[Math.min(7, Math.floor((most / max) * 7.999))];
  }
  return `${terminal.style('dim', label)}${bars}\n${terminal.style('dim', `${' '.repeat(label.length)}from ${timeLabels([result.inFlight.from], unitOf(trace))[0]} on, a bar is ${lengths(unitOf(trace)).short(per * result.inFlight.step)}`)}\n`;
}

function unpaired(queues: readonly RequestQueue[]): string[] {
  const unfilled = verdictsText(withoutFill(queues));
  const unseen = queues.reduce((sum, queue) => sum + queue.unseenPops, 0);
  const lines: string[] = [];
  if (unfilled !== '') lines.push(`Popped and not filled: ${unfilled}. virtap leaks says which, and why.`);
  if (unseen > 0)
    lines.push(`${plural(unseen, 'fill')} without a pop: in flight when the recording began, or the pop is missing.`);
  return lines;
}

function missingLines({ missing, evidence }: RequestsResult): string[] {
  const lines = missing.map(({ point, events }) => `Not in the recording: ${point} (${events}).`);
  if (evidence.threads === 'unknown') lines.push("QEMU's events do not say their threads (simpletrace never does).");
  else if (evidence.threads === 'by interrupts') {
    lines.push("QEMU's events do not say their threads: those named told KVM of the queues' interrupts.");
  }
  if (!evidence.sched && missing.every(({ point }) => point !== 'kick'))
    lines.push('What threads did meanwhile is not told: there is no sched:sched_switch and sched:sched_waking.');
  return lines;
}

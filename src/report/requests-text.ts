import { percentileDigits } from '../spans/summary.ts';
import type { ThreadState } from '../spans/thread-time.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { type Verdict, verdicts } from '../views/leaks.ts';
import type { LockRole } from '../views/locks.ts';
import type { QueueName } from '../views/queue-name.ts';
import type { Reading } from '../views/reading.ts';
import type { Rank, RequestQueue, RequestsResult, SlowRequest } from '../views/requests.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { heatmapText } from './heatmap-text.ts';
import { verdictsText } from './leaks-text.ts';
import { roleName } from './locks-text.ts';
import { remarks } from './remarks.ts';
import { timeLabels } from './scales.ts';
import { figureCells, figureColumns, howMany, lengths, type SortKey, sorted } from './stats-table.ts';
import { type Cell, type Column, table } from './table.ts';
import { displayWidth, type Terminal, wrap } from './terminal.ts';
import { bytes, count, percent, plural, shortDuration } from './units.ts';

/** What `virtap requests` needs to say of one trace. */
export type RequestsAnswer = {
  trace: Trace;
  result: RequestsResult;
  reading: Reading;
  sort: SortKey;
  than: number | undefined;
  rank: Rank;
};

/** Queues whose path and heat map are shown; JSON has all. */
const shownQueues = 6;
/** Events shown of what a thread did before it got to a slow request. */
const shownEvents = 12;
export const sectorSize = 512;

/** The whole answer as text. */
export function requestsText(answer: RequestsAnswer, terminal: Terminal): string {
  const { trace, result, reading } = answer;
  const queues = ordered(answer);
  const parts = [`${terminal.style('heading', escapeText(trace.file))}\n  ${summary(answer)}\n`];
  parts.push(queues.length === 0 ? noneText('no request was popped', answer) : queueTable(answer, queues, terminal));
  const paths = queues.filter(({ hops }) => hops.length > 1);
  for (const queue of paths.slice(0, shownQueues)) parts.push(pathPart(answer, queue, terminal));
  if (paths.length > shownQueues) {
    const more = plural(paths.length - shownQueues, 'more queue');
    parts.push(terminal.style('dim', `${more} not shown; --device and --queue choose, --json has all.\n`));
  }
  parts.push(delayPart(answer, queues, terminal));
  for (const queue of queues.filter(({ heat }) => heat !== undefined).slice(0, shownQueues)) {
    parts.push(heatPart(answer, queue, terminal));
  }
  if (result.slow !== undefined) parts.push(slowPart(answer, result.slow, terminal));
  const closing = [...unpaired(queues), ...missingLines(result).map((line) => terminal.style('dim', line))].map(
    (line) => `${line}\n`,
  );
  const aside = queues.reduce((sum, { setAside }) => sum + setAside, 0);
  const unsure = aside === 0 ? '' : `${plural(aside, 'request')} left out that events may be missing from.`;
  parts.push(closing.join('') + remarks(reading, terminal, unsure));
  return parts.filter((part) => part !== '').join('\n');
}

function unitOf(trace: Trace) {
  return lengths(trace.clock.unit === 'ticks' ? 'cycles' : 'ns');
}

export function secondsOf({ trace, result }: RequestsAnswer): number {
  return trace.clock.unit === 'ns' ? result.duration / 1e9 : Number.NaN;
}

export function ordered({ result, sort }: RequestsAnswer): RequestQueue[] {
  return sorted(
    result.queues.map((queue) => ({
      names: [deviceName(queue.name), queueName(queue.name)],
      stats: queue.stats,
      queue,
    })),
    sort,
  ).map(({ queue }) => queue);
}

function summary({ trace, result }: RequestsAnswer): string {
  const { queues } = result;
  const known = queues.filter(({ name }) => name.vdev !== undefined);
  const devices = new Set(known.map(({ name }) => `${name.pid} ${name.vdev}`)).size;
  const of = devices === 0 ? '' : ` of ${plural(devices, 'device')}`;
  const requests = queues.reduce((sum, { stats }) => sum + stats.count, 0);
  return `${plural(requests, 'request')} on ${plural(queues.length, 'queue')}${of} in ${unitOf(trace).long(result.duration)}`;
}

/** `virtio-blk 0x…`; with its process where there are several. */
export function deviceName({ kind, vdev, pid }: QueueName, several = false): string {
  const name = [kind === undefined ? 'unknown device' : `virtio-${kind}`, vdev].filter((part) => part !== undefined);
  return `${several && pid !== undefined ? `${pid} ` : ''}${name.join(' ')}`;
}

/** `0 request`. */
export function queueName({ number: n, role, vq }: QueueName): string {
  return [n === undefined ? `at ${vq}` : String(n), role].filter((part) => part !== '').join(' ');
}

function isSeveral({ result }: RequestsAnswer): boolean {
  return new Set(result.queues.map(({ name }) => name.pid)).size > 1;
}

function queueTable(answer: RequestsAnswer, queues: readonly RequestQueue[], terminal: Terminal): string {
  const unit = unitOf(answer.trace);
  const seconds = secondsOf(answer);
  const whole = queues.reduce((sum, { stats }) => sum + stats.total, 0);
  const several = isSeveral(answer);
  const columns: Column[] = [
    { title: 'device' },
    { title: 'queue' },
    { title: 'in flight', align: 'right', priority: 4 },
    { title: 'most', align: 'right', priority: 3 },
    ...figureColumns,
  ];
  const rows = queues.flatMap((queue): Cell[][] => {
    const { mean, max } = queue.inFlight;
    const own: Cell[] = [
      deviceName(queue.name, several),
      queueName(queue.name),
      inFlightText(mean),
      count(max),
      ...figureCells(queue.stats, queue.stats.total / whole, seconds, unit),
    ];
    if (queue.operations.length < 2) return [own];
    const parts = queue.operations.map(({ operation, stats }): Cell[] => [
      '',
      `  ${operation}`,
      '',
      '',
      ...figureCells(stats, stats.total / whole, seconds, unit),
    ]);
    return [own, ...parts.map((part) => part.map((cell): Cell => ({ text: cell as string, style: 'dim' })))];
  });
  return table(columns, rows, terminal);
}

function inFlightText(mean: number): string {
  return mean >= 99.95 ? count(mean) : mean === 0 ? '0' : String(Number(mean.toPrecision(2)));
}

/** Where the requests of a queue spent their time: a row a hop. */
function pathPart(answer: RequestsAnswer, queue: RequestQueue, terminal: Terminal): string {
  const unit = unitOf(answer.trace);
  const columns: Column[] = [{ title: 'from → to' }, ...figureColumns.filter(({ title }) => title !== 'rate')];
  const rows = queue.hops.map(({ from, to, stats, share }): Cell[] => {
    const cells = figureCells(stats, share, Number.NaN, unit);
    return [`${from} → ${to}`, ...cells.filter((_, n) => figureColumns[n]?.title !== 'rate')];
  });
  const title = terminal.style('strong', `${deviceName(queue.name, isSeveral(answer))} queue ${queueName(queue.name)}`);
  const facts = [
    ...queue.threads.map((role) => who(role)),
    ...Object.entries(queue.backends).map(([name, n]) => `${name} ${count(n)}`),
    ...(queue.merged > 0 ? [`${count(queue.merged)} merged`] : []),
    ...(queue.sectors.read > 0 ? [`${bytes(queue.sectors.read * sectorSize)} read`] : []),
    ...(queue.sectors.written > 0 ? [`${bytes(queue.sectors.written * sectorSize)} written`] : []),
  ];
  return `${title}${facts.length === 0 ? '' : `: ${facts.join(', ')}`}\n${table(columns, rows, terminal)}`;
}

/** `main loop (thread 1102)`: a role with its thread, where the name does not say that. */
function who(role: LockRole): string {
  if (role.tid < 0) return 'not known';
  const name = roleName(role);
  return name.endsWith(String(role.tid)) ? name : `${name} (thread ${role.tid})`;
}

/** What a thread was at, as a column is called and as a sentence says it. */
const stateNames: Record<ThreadState, [column: string, words: string]> = {
  running: ['running', 'running'],
  runnable: ['no CPU', 'ready to run, without a CPU'],
  asleep: ['asleep', 'asleep, not woken yet'],
  lock: ['lock', 'waiting for a lock'],
  unknown: ['not known', 'at what is not known'],
};

/** How long requests waited until a thread of QEMU got to them. */
function delayPart(answer: RequestsAnswer, queues: readonly RequestQueue[], terminal: Terminal): string {
  const unit = unitOf(answer.trace);
  const several = isSeveral(answer);
  const delays = queues.flatMap((queue) => queue.delays.map((delay) => ({ queue, delay })));
  const title = terminal.style('strong', "Until QEMU's thread got to them");
  if (delays.length === 0) {
    const why =
      "How long requests waited for QEMU's thread cannot be told: the guest's kicks are not in the recording. From where the thread begins with the queue, it is notify → pop.";
    return queues.some(({ hops }) => hops.some(({ from }) => from === 'notify'))
      ? `${title}\n${wrap(why, terminal.tableWidth, 0).join('\n')}\n`
      : '';
  }
  const states = (Object.keys(stateNames) as ThreadState[]).filter((state) =>
    delays.some(({ delay }) => delay.meanwhile[state] > 0),
  );
  const columns: Column[] = [
    { title: 'thread' },
    { title: 'device', priority: 5 },
    { title: 'queue' },
    { title: 'requests', align: 'right', priority: 7 },
    { title: 'avg', align: 'unit' },
    { title: 'p99', align: 'unit', priority: 6 },
    { title: 'max', align: 'unit', priority: 4 },
    { title: 'share', align: 'unit' },
    ...states.map((state): Column => ({ title: stateNames[state][0], align: 'unit', priority: 1 })),
  ];
  const rows = delays.map(({ queue, delay }): Cell[] => {
    const told = Object.values(delay.meanwhile).reduce((sum, one) => sum + one, 0);
    return [
      who(delay.thread),
      deviceName(queue.name, several),
      queueName(queue.name),
      count(delay.stats.count),
      unit.long(delay.stats.mean),
      unit.long(delay.stats.p99, percentileDigits(delay.stats.count)),
      unit.long(delay.stats.max),
      { text: percent(delay.share), style: 'strong' },
      ...states.map((state) => (told === 0 ? '-' : percent(delay.meanwhile[state] / told))),
    ];
  });
  return `${title}\n${delaySentence(answer.result, terminal)}${table(columns, rows, terminal)}`;
}

/** The answer in one sentence: of all requests whose kick is known. */
function delaySentence({ delay }: RequestsResult, terminal: Terminal): string {
  const text = `Of the time from the guest's kick to the fill, ${percent(delay.share)} passed before a thread of QEMU popped the request (${plural(delay.stats.count, 'request')} whose kick is known).`;
  return `${wrap(text, terminal.tableWidth, 0).join('\n')}\n`;
}

function heatPart(answer: RequestsAnswer, queue: RequestQueue, terminal: Terminal): string {
  const name = `${deviceName(queue.name, isSeveral(answer))} queue ${queueName(queue.name)}`;
  const title = terminal.style('strong', `${name} over time, by how long requests took from pop to fill`);
  const heat = queue.heat as NonNullable<RequestQueue['heat']>;
  return `${title}\n${heatmapText(heat, terminal, answer.trace.clock.unit === 'ns' ? 'ns' : 'cycles')}${inFlightLine(answer, queue, terminal)}`;
}

/** The most that were in flight, over time, as bars of eight heights. */
function inFlightLine({ trace, result }: RequestsAnswer, { inFlight }: RequestQueue, terminal: Terminal): string {
  const { maxima, max } = inFlight;
  const unit = trace.clock.unit === 'ns' ? 'ns' : 'cycles';
  if (maxima.length === 0 || max === 0) return '';
  const label = `in flight, up to ${count(max)} `;
  const room = Math.max(8, terminal.width - label.length - 1);
  const per = Math.ceil(maxima.length / room);
  let bars = '';
  for (let at = 0; at < maxima.length; at += per) {
    const most = Math.max(...maxima.slice(at, at + per));
    bars += most === 0 ? ' ' : '▁▂▃▄▅▆▇█'[Math.min(7, Math.floor((most / max) * 7.999))];
  }
  return `${terminal.style('dim', label)}${bars}\n${terminal.style('dim', `${' '.repeat(label.length)}from ${timeLabels([result.inFlight.from], unit)[0]} on, a bar is ${unitOf(trace).short(per * result.inFlight.step)}`)}\n`;
}

function slowPart(answer: RequestsAnswer, slow: readonly SlowRequest[], terminal: Terminal): string {
  const { result, than, rank } = answer;
  const by = {
    request: '',
    delay: ' by their time from the kick to the pop',
    path: ' by their whole path up to the fill',
  }[rank];
  const title = than === undefined ? `Slow requests${by}` : `Requests longer than ${shortDuration(than)}${by}`;
  const cut = howMany(slow.length, result.over);
  return [`${terminal.style('strong', title)}${cut}\n`, ...slow.map((one) => waterfall(answer, one, terminal))].join(
    '\n',
  );
}

/** One request: what it asked, and its hops under each other, each where it lies in time. */
function waterfall(answer: RequestsAnswer, one: SlowRequest, terminal: Terminal): string {
  const { trace } = answer;
  const unit = unitOf(trace);
  const head = [
    timestamps(trace.origin, trace.clock.unit)(one.begin),
    `${deviceName(one.queue, isSeveral(answer))} queue ${queueName(one.queue)}`,
    asked(one),
    terminal.style('bad', unit.long(one.duration)),
    ...(answer.rank === 'request' ? [] : [terminal.style('bad', `${answer.rank} ${unit.long(one.ranked)}`)]),
    ...(one.thread.tid < 0 ? [] : [who(one.thread)]),
    `elem ${one.elem}`,
    ...(one.merged > 1 ? [`one of ${one.merged} merged`] : []),
    ...(one.backend === '' ? [] : [one.backend]),
    ...(one.result < 0 ? [terminal.style('bad', `error ${one.result}`)] : []),
  ].filter((part) => part !== '');
  const { points } = one;
  const first = points[0]?.time ?? one.begin;
  const last = points.at(-1)?.time ?? one.begin;
  const rows = points.slice(1).map(({ point, time }, n) => {
    const before = points[n] as (typeof points)[number];
    const by = point === 'entry' && one.interrupted !== undefined ? ` of ${roleName(one.interrupted)}` : '';
    const from = before.point === 'kick' && one.kicker !== undefined ? `kick by ${roleName(one.kicker)}` : before.point;
    return {
      at: `+${unit.long(before.time - first)}`,
      name: `${from} → ${point}${by}`,
      took: unit.long(time - before.time),
      from: before.time - first,
      to: time - first,
    };
  });
  const columns: Column[] = [{ title: '', align: 'unit' }, { title: '' }, { title: '', align: 'unit' }, { title: '' }];
  const room = Math.max(
    10,
    Math.min(60, terminal.tableWidth - 34 - Math.max(...rows.map(({ name }) => displayWidth(name)))),
  );
  const cells = rows.map(({ at, name, took, from, to }): Cell[] => {
    const start = Math.min(room - 1, Math.floor((from / (last - first)) * room));
    const end = Math.max(start + 1, Math.round((to / (last - first)) * room));
    return [at, name, took, ' '.repeat(start) + '█'.repeat(end - start)];
  });
  const lines = table(columns, cells, terminal).split('\n').slice(1).join('\n');
  return `${head.join('  ')}\n${indented(lines)}${meanwhileText(answer, one, terminal)}`;
}

function asked({ operation, sector, sectors }: SlowRequest): string {
  if (sector === undefined || sectors === undefined) return operation;
  return `${operation} of ${plural(sectors, 'sector')} from ${sector}`;
}

/** What the thread did before it got to the request. */
function meanwhileText({ trace }: RequestsAnswer, one: SlowRequest, terminal: Terminal): string {
  const unit = unitOf(trace);
  const { meanwhile, wait, events } = one;
  const lines: string[] = [];
  const since = one.points[0]?.point === 'kick' ? 'kick' : 'notify';
  if (meanwhile !== undefined) {
    const parts = (Object.keys(stateNames) as ThreadState[])
      .filter((state) => meanwhile[state] > 0)
      .map((state) => `${unit.short(meanwhile[state])} ${stateNames[state][1]}`);
    if (parts.length > 0) lines.push(`until the pop, ${roleName(one.thread)} was ${parts.join(', ')}`);
  }
  if (wait !== undefined) {
    const by = wait.holder === undefined ? '' : ` held by ${roleName(wait.holder)}`;
    const site = wait.site === undefined ? '' : ` (${escapeText(wait.site)})`;
    lines.push(`its longest wait for a lock: ${unit.short(wait.duration)} for the ${wait.name}${by}${site}`);
  }
  let text = lines.flatMap((line) => wrap(line, terminal.tableWidth, 2)).join('\n');
  if (text !== '') text += '\n';
  if (events.length === 0) return text;
  const shown = events.slice(-shownEvents);
  const omitted = one.more || events.length > shown.length ? ', the last of them' : '';
  const rows = shown.map(({ offset, name, text: said, brief }) => [
    `+${unit.long(offset)}`,
    escapeText(name),
    escapeText(brief ?? said.trimEnd()),
  ]);
  const columns: Column[] = [
    { title: '', align: 'unit' },
    { title: '', shrink: 16 },
    { title: '', shrink: 20 },
  ];
  const inner = table(columns, rows, terminal).split('\n').slice(1).join('\n');
  return `${text}  ${terminal.style('dim', `its events from the ${since} to the pop${omitted}`)}\n${indented(indented(inner))}`;
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

/** The verdicts on what was popped and not filled, of all these queues. */
export function withoutFill(queues: readonly RequestQueue[]): Record<Verdict, number> {
  const sum = (verdict: Verdict) => queues.reduce((total, queue) => total + queue.withoutFill[verdict], 0);
  return Object.fromEntries(verdicts.map((verdict) => [verdict, sum(verdict)])) as Record<Verdict, number>;
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

import { threadStates } from '../spans/thread-time.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { SlowRequest } from '../views/requests.ts';
import { unitOf } from './answer.ts';
import { slowTitle } from './answer-parts.ts';
import { scopeOf } from './columns.ts';
import { escapeText } from './escape.ts';
import { indented, innerTable } from './inner-events.ts';
import { deviceName, queueName, roleName, threadName } from './names.ts';
import type { RequestsAnswer } from './requests-columns.ts';
import { requestScope, stateNames } from './requests-columns.ts';
import type { Cell, Layout } from './table.ts';
import { table } from './table.ts';
import { displayWidth, type Terminal, wrap } from './terminal.ts';
import { lengths, plural } from './units.ts';

/** Events shown of what a thread did before it got to a slow request. */
const shownEvents = 12;

export function slowPart(answer: RequestsAnswer, slow: readonly SlowRequest[], terminal: Terminal): string {
  const { result, than, rank } = answer;
  const by = {
    request: '',
    delay: ' by their time from the kick to the pop',
    path: ' by their whole path up to the fill',
  }[rank];
  const ones = { shown: slow.length, over: result.over, than, unit: unitOf(answer.trace) };
  const title = slowTitle('requests', ones, terminal, by);
  return [`${title}\n`, ...slow.map((one) => waterfall(answer, one, terminal))].join('\n');
}

/** One request: what it asked, and its hops under each other, each where it lies in time. */
function waterfall(answer: RequestsAnswer, one: SlowRequest, terminal: Terminal): string {
  const { trace } = answer;
  const scope = requestScope(answer);
  const unit = lengths(scope.unit);
  const head = [
    timestamps(trace.origin, trace.clock.unit)(one.begin),
    `${deviceName(one.queue, scope.several)} queue ${queueName(one.queue)}`,
    asked(one),
    terminal.style('bad', unit.long(one.duration)),
    ...(answer.rank === 'request' ? [] : [terminal.style('bad', `${answer.rank} ${unit.long(one.ranked)}`)]),
    ...(one.thread.tid < 0 ? [] : [threadName(one.thread)]),
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
  const columns: Layout[] = [{ title: '', align: 'unit' }, { title: '' }, { title: '', align: 'unit' }, { title: '' }];
  const room = Math.max(
    10,
    Math.min(60, terminal.tableWidth - 34 - Math.max(...rows.map(({ name }) => displayWidth(name)))),
  );
  const cells = rows.map(({ at, name, took, from, to }): Cell[] => {
    const start = Math.min(room - 1, Math.floor((from / (last - first)) * room));
    const end = Math.max(start + 1, Math.round((to / (last - first)) * room));
    return [at, name, took, ' '.repeat(start) + '█'.repeat(end - start)];
  });
  const lines = table(columns, cells, terminal);
  return `${head.join('  ')}\n${indented(lines)}${meanwhileText(answer, one, terminal)}`;
}

function asked({ operation, sector, sectors }: SlowRequest): string {
  if (sector === undefined || sectors === undefined) return operation;
  return `${operation} of ${plural(sectors, 'sector')} from ${sector}`;
}

/** What the thread did before it got to the request. */
function meanwhileText({ trace }: RequestsAnswer, one: SlowRequest, terminal: Terminal): string {
  const unit = lengths(unitOf(trace));
  const { meanwhile, wait, events } = one;
  const lines: string[] = [];
  const since = one.points[0]?.point === 'kick' ? 'kick' : 'notify';
  if (meanwhile !== undefined) {
    const parts = threadStates
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
  return `${text}  ${terminal.style('dim', `its events from the ${since} to the pop${omitted}`)}\n${innerTable(shown, scopeOf(unitOf(trace), Number.NaN), terminal, 4)}`;
}

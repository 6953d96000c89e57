import { timestamps } from '../trace/time-stamp.ts';
import type { LocksResult, MutexResult } from '../views/lock-answers.ts';
import { closingPart, heatPart, inParts } from './answer-parts.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import type { BehindRow, LockScope, LocksAnswer, MutexRow } from './locks-columns.ts';
import {
  behindColumns,
  lockColumns,
  lockScope,
  lockThreadColumns,
  mutexName,
  mutexTitle,
  siteColumns,
} from './locks-columns.ts';
import { slowPart, whatIsSlow, wholeWaits } from './locks-slow.ts';
import { besidesText, summary } from './locks-summary.ts';
import { roleName } from './names.ts';
import { type Terminal, wrap } from './terminal.ts';
import { count, duration, plural } from './units.ts';

/** Rows shown of each table. */
const shownMutexes = 12;
const shownSites = 15;
const shownBehind = 8;
const shownUnfinished = 8;

/** The whole answer as text. */
export function locksText(answer: LocksAnswer, terminal: Terminal): string {
  const { result, reading } = answer;
  const scope = lockScope(answer);
  const { several } = scope;
  const parts = [heading(answer, terminal)];
  for (const mutex of result.mutexes) {
    if (mutex.name === 'BQL') parts.push(sentences(summary(mutex, several), terminal));
  }
  if (result.mutexes.length === 0) parts.push(noneText('no mutex was taken', answer));
  else parts.push(mutexTable(answer, terminal));
  const told = detailed(answer);
  if (told.length === 0 && !result.bqlKnown) parts.push(sentences(noBql, terminal));
  for (const mutex of told) {
    parts.push(siteTable(mutex, scope, terminal), threadTable(mutex, scope, terminal));
    if (mutex.held > 0) parts.push(behindTable(mutex, scope, terminal));
  }
  const whole = answer.holds ? '' : terminal.style('dim', wholeWaits);
  parts.push(heatPart(whatIsSlow(answer), result.heat, 'ns', terminal, `\n${whole}`));
  if (result.slow !== undefined) parts.push(slowPart(answer, terminal));
  if (result.missed > 0) {
    const what = answer.holds ? plural(result.missed, 'hold') : plural(result.missed, 'wait');
    parts.push(`${what} of the BQL left out here: it was not told from other mutexes yet. --bql names it.\n`);
  }
  parts.push(unfinishedPart(answer, several, terminal));
  parts.push(closingPart(leftOut(answer), reading, terminal, unsure(result)));
  return inParts(parts);
}

const noBql =
  'No mutex is recognised as the BQL, by call sites in both the main loop and the vCPUs. --bql ADDRESS names it; --mutex ADDRESS tells of another in detail.';

function heading({ trace, result }: LocksAnswer, terminal: Terminal): string {
  const title = terminal.style('heading', escapeText(trace.file));
  const used = plural(result.mutexes.length, 'mutex', 'mutexes');
  return `${title}\n  ${plural(result.counts.locked, 'acquisition')} of ${used} by ${plural(result.roles.length, 'thread')} in ${duration(result.duration)}\n`;
}

/** The lines, each broken to fit; the first one stands out. */
function sentences(text: string, terminal: Terminal): string {
  const [first = '', ...rest] = text.split('\n').flatMap((line) => wrap(line, terminal.tableWidth, 0));
  return `${[terminal.style('strong', first), ...rest].join('\n')}\n`;
}

function mutexTable(answer: LocksAnswer, terminal: Terminal): string {
  const { mutexes, all } = answer.result;
  const shown = mutexes.slice(0, shownMutexes);
  const sum = { name: 'all', ...all };
  const rows: MutexRow[] = mutexes.length > 1 ? [...shown, sum] : shown;
  const columns = [mutexTitle, ...lockColumns];
  const table = rowsTable(columns, rows, lockScope(answer), terminal, (row) => (row === sum ? 'strong' : undefined));
  return `${table}${notShown(plural(mutexes.length - shown.length, 'more mutex', 'more mutexes'), terminal)}`;
}

/** `hidden` is how many of what (`3 more threads`): none where it begins with 0. */
function notShown(hidden: string, terminal: Terminal, where = '--csv and --json have all'): string {
  return /^0 /.test(hidden) ? '' : terminal.style('dim', `${hidden} not shown; ${where}.\n`);
}

/** The mutexes that are told of in detail. */
function detailed({ result, chosen }: LocksAnswer): MutexResult[] {
  const wanted = chosen.length === 0 ? ['BQL'] : chosen;
  return result.mutexes.filter(({ name, mutex }) => wanted.some((w) => w === mutex || w === name));
}

function siteTable(mutex: MutexResult, scope: LockScope, terminal: Terminal): string {
  const title = terminal.style('strong', `${mutexName(mutex, scope.several)} by call site`);
  const shown = mutex.sites.slice(0, shownSites);
  const note = notShown(plural(mutex.sites.length - shown.length, 'more call site'), terminal);
  return `${title}\n${rowsTable(siteColumns, shown, scope, terminal)}${note}`;
}

function threadTable(mutex: MutexResult, scope: LockScope, terminal: Terminal): string {
  const title = terminal.style('strong', `${mutexName(mutex, scope.several)} by thread`);
  const shown = mutex.threads.slice(0, shownSites);
  const note = notShown(plural(mutex.threads.length - shown.length, 'more thread'), terminal, '--json has all');
  return `${title}\n${rowsTable(lockThreadColumns, shown, scope, terminal)}${note}`;
}

function behindTable(mutex: MutexResult, scope: LockScope, terminal: Terminal): string {
  const title = terminal.style(
    'strong',
    `Who held ${mutex.name === 'BQL' ? 'the ' : ''}${mutexName(mutex, scope.several)} while others waited`,
  );
  const shown: BehindRow[] = mutex.behind.slice(0, shownBehind);
  const rest = mutex.held - shown.reduce((sum, { total }) => sum + total, 0);
  const rows = rest > 0 ? [...shown, { total: rest }] : shown;
  const ran = mutex.behind.some((one) => one.ran !== undefined);
  const besides = besidesText(mutex.wait.total, mutex.held, mutex.uncontended);
  const note = besides === '' ? '' : `${wrap(besides, terminal.tableWidth, 0).join('\n')}\n`;
  return `${title}\n${rowsTable(behindColumns, rows, { ...scope, held: mutex.held, ran }, terminal)}${note}`;
}

function unfinishedPart({ result, trace }: LocksAnswer, several: boolean, terminal: Terminal): string {
  const waits = result.unfinished.filter(({ kind }) => kind === 'wait');
  const holds = result.unfinished.filter(({ kind }) => kind === 'hold');
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const parts: string[] = [];
  if (waits.length > 0) {
    const lines = waits.slice(0, shownUnfinished).map((one) => {
      const { holder } = one;
      const by =
        holder === undefined
          ? ''
          : `, held by ${roleName(holder.role, several)}${holder.site === undefined ? '' : ` (${escapeText(holder.site)})`} since ${stamp(holder.since)}`;
      return `${stamp(one.begin)}  ${roleName(one.role, several)} has waited ${duration(one.duration)} for ${one.name} at ${escapeText(one.site ?? '?')}${by}`;
    });
    parts.push(
      `${terminal.style('strong', 'Still waiting')}: ${count(waits.length)}\n${lines.map((line) => `  ${line}\n`).join('')}`,
    );
  }
  if (holds.length > 0) {
    const lines = holds
      .slice(0, shownUnfinished)
      .map(
        (one) =>
          `${stamp(one.begin)}  ${roleName(one.role, several)} has held ${one.name} for ${duration(one.duration)}, locked at ${escapeText(one.site ?? '?')}`,
      );
    parts.push(
      `${terminal.style('strong', 'Still held')}: ${count(holds.length)}\n${lines.map((line) => `  ${line}\n`).join('')}`,
    );
  }
  return parts.join('\n');
}

function leftOut({ result }: LocksAnswer): string[] {
  const { counts } = result;
  const lines: string[] = [];
  const bare = result.mutexes.reduce((sum, { condition, tryLock }) => sum + condition + tryLock, 0);
  if (bare > 0) {
    lines.push(
      `${plural(bare, 'acquisition')} without a wait that could be timed: after waiting on a condition variable, or by try-lock.`,
    );
  }
  if (counts.unlockFirst > 0)
    lines.push(`${plural(counts.unlockFirst, 'hold')} left out: locked before the trace began.`);
  if (counts.lockAgain > 0) {
    lines.push(`${plural(counts.lockAgain, 'wait')} left out: the thread waits again without having got the mutex.`);
  }
  if (counts.overtaken > 0) {
    lines.push(`${plural(counts.overtaken, 'hold')} left out: another thread had the mutex before they ended.`);
  }
  if (counts.withoutThread > 0) lines.push(`${plural(counts.withoutThread, 'event')} left out that name no thread.`);
  if (counts.beyond > 0) {
    lines.push(`${plural(counts.beyond, 'event')} left out: more mutexes and threads than can be told apart.`);
  }
  return lines;
}

function unsure({ counts }: LocksResult): string {
  return counts.straddlingLoss === 0
    ? ''
    : `${plural(counts.straddlingLoss, 'wait or hold', 'waits and holds')} left out that events may be missing from.`;
}

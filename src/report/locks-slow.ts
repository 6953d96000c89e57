import type { RunParts } from '../spans/run-history.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { SlowLock } from '../views/lock-answers.ts';
import { slowTitle } from './answer-parts.ts';
import { escapeText } from './escape.ts';
import { indented, innerTable } from './inner-events.ts';
import type { LockScope, LocksAnswer } from './locks-columns.ts';
import { lockScope } from './locks-columns.ts';
import { roleName, threadName } from './names.ts';
import type { Layout } from './table.ts';
import { table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { count, duration, plural, shortDuration } from './units.ts';

/** Holders shown of a slow wait. */
const shownHolders = 5;
/** Events shown of what a holder did; --json has all that is remembered. */
const shownEvents = 16;

/** What else the lengths of the heat map and the slow log are than those of the tables, which count what others held. */
export const wholeWaits =
  'Each from lock to locked, the taking of a free mutex included: not all of it others held the mutex.\n';

/** What the heat map and the slow log are of: `waits for the BQL`. */
export function whatIsSlow({ holds, chosen }: LocksAnswer): string {
  const what = holds ? 'holds' : 'waits';
  if (chosen.length === 0) return what;
  const names = chosen.map((name) => (name === 'BQL' ? 'the BQL' : name)).join(', ');
  return `${what} ${holds ? 'of' : 'for'} ${names}`;
}

export function slowPart(answer: LocksAnswer, terminal: Terminal): string {
  const { result, trace, than, holds } = answer;
  const slow = result.slow as SlowLock[];
  const scope = lockScope(answer);
  const { several } = scope;
  const ones = { shown: slow.length, over: result.over, than, unit: 'ns' } as const;
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const entries = slow.map((one) => {
    const head = [
      stamp(one.begin),
      threadName(one.role, several),
      one.cpu < 0 ? '' : `CPU ${one.cpu}`,
      terminal.style('strong', one.name),
      terminal.style('bad', duration(one.duration)),
      `at ${escapeText(one.site ?? 'an unknown place')}`,
    ];
    const own = offCpu(one.ran);
    const itself = own.length === 0 ? '' : `  ${roleName(one.role, several)} itself: ${own.join(', ')}\n`;
    const held = holds ? itself : `${heldBy(one, several, terminal)}${itself}`;
    const did = eventLines(one, scope, terminal);
    return `${head.filter((part) => part !== '').join('  ')}\n${held}${did}`;
  });
  const whole = holds ? '' : terminal.style('dim', wholeWaits);
  return [`${slowTitle(whatIsSlow(answer), ones, terminal)}\n${whole}`, ...entries].join('\n');
}

/** Who held the mutex during a wait: a line for each thread and place where it had locked it. */
function heldBy(one: SlowLock, several: boolean, terminal: Terminal): string {
  if (one.behind.length === 0) return '  nobody was seen to hold it meanwhile\n';
  const shown = one.behind.slice(0, shownHolders);
  const rows = shown.map(({ role, site, inner, total, times, first, since, ran }) => {
    const already = one.begin - since;
    const notes = [
      inner === undefined ? '' : `was at ${escapeText(inner)}`,
      ...offCpu(ran),
      times > 1 ? `${count(times)} times` : '',
      first > one.begin || already <= 0
        ? ''
        : Number.isFinite(already)
          ? `had it for ${shortDuration(already)} before`
          : 'had it when the trace began',
    ];
    return [
      `held ${duration(total)}`,
      roleName(role, several),
      site === undefined ? '' : escapeText(site),
      notes.filter((note) => note !== '').join(', '),
    ];
  });
  const layout: Layout[] = [
    { title: '', align: 'unit' },
    { title: '' },
    { title: '', shrink: 16, keep: 'end' },
    { title: '', shrink: 24 },
  ];
  const lines = table(layout, rows, terminal);
  const hidden = one.behind.length - shown.length + one.omitted;
  const more = hidden > 0 ? `  … and ${plural(hidden, 'holder')} more\n` : '';
  return `${indented(lines)}${more}`;
}

/** How long a thread did not run, and why; nothing of what was not so, or is not known. */
function offCpu(ran: RunParts | undefined): string[] {
  if (ran === undefined) return [];
  return (['preempted', 'blocked'] as const).flatMap((what) =>
    ran[what] > 0 ? [`${shortDuration(ran[what])} ${what}`] : [],
  );
}

function eventLines(one: SlowLock, scope: LockScope, terminal: Terminal): string {
  if (one.of === undefined) return '';
  const shown = one.events.slice(-shownEvents);
  const who = `${roleName(one.of)} meanwhile`;
  if (shown.length === 0) return `  ${who}: no other events\n`;
  const earlier = one.more || shown.length < one.events.length ? ', the last that it did' : '';
  return `  ${who}${earlier}:\n${innerTable(shown, scope, terminal, 4)}`;
}

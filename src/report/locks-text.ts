import type { RunParts } from '../spans/run-history.ts';
import { percentileDigits, type Stats } from '../spans/summary.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { LockGroup, LockRole, LocksResult, MutexResult, SlowLock } from '../views/locks.ts';
import type { Reading } from '../views/reading.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { heatmapText } from './heatmap-text.ts';
import { remarks } from './remarks.ts';
import { howMany } from './stats-table.ts';
import { type Cell, type Column, table } from './table.ts';
import { type Terminal, wrap } from './terminal.ts';
import { count, duration, percent, plural, shortDuration } from './units.ts';

/** What a command needs to say of the locks in one trace. */
export type LocksAnswer = {
  trace: Trace;
  result: LocksResult;
  reading: Reading;
  /** Whether the heat map and the slow log are of holds. */
  holds: boolean;
  than: number | undefined;
  /** Names or addresses of the mutexes to tell of in detail; the BQL where it is empty. */
  chosen: readonly string[];
};

/** Rows shown of each table. */
const shownMutexes = 12;
const shownSites = 15;
const shownBehind = 8;
const shownUnfinished = 8;
const shownHolders = 5;
/** Events shown of what a holder did; --json has all that is remembered. */
const shownEvents = 16;

/** The whole answer as text. */
export function locksText(answer: LocksAnswer, terminal: Terminal): string {
  const { result, reading } = answer;
  const several = new Set(result.mutexes.map(({ pid }) => pid)).size > 1;
  const parts = [heading(answer, terminal)];
  for (const mutex of result.mutexes) {
    if (mutex.name === 'BQL') parts.push(sentences(summary(mutex, several), terminal));
  }
  if (result.mutexes.length === 0) parts.push(noneText('no mutex was taken', answer));
  else parts.push(mutexTable(answer, several, terminal));
  const told = detailed(answer);
  if (told.length === 0 && !result.bqlKnown) parts.push(sentences(noBql, terminal));
  for (const mutex of told) {
    parts.push(siteTable(mutex, several, terminal), threadTable(mutex, several, terminal));
    if (mutex.held > 0) parts.push(behindTable(mutex, several, terminal));
  }
  if (result.heat !== undefined) {
    const what = `${answer.holds ? 'Holds' : 'Waits'}${ofChosen(answer)}`;
    const title = terminal.style('strong', `${what} over time, by how long they took`);
    const whole = answer.holds ? '' : terminal.style('dim', wholeWaits);
    parts.push(`${title}\n${whole}${heatmapText(result.heat, terminal, 'ns')}`);
  }
  if (result.slow !== undefined) parts.push(slowPart(answer, several, terminal));
  if (result.missed > 0) {
    const what = answer.holds ? plural(result.missed, 'hold') : plural(result.missed, 'wait');
    parts.push(`${what} of the BQL left out here: it was not told from other mutexes yet. --bql names it.\n`);
  }
  const unfinished = unfinishedPart(answer, several, terminal);
  if (unfinished !== '') parts.push(unfinished);
  const closing = [...leftOut(answer).map((line) => `${line}\n`), remarks(reading, terminal, unsure(result))].join('');
  if (closing !== '') parts.push(closing);
  return parts.join('\n');
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

/**
 * How much of the vCPUs' time was waiting for the BQL while another thread held it, and who did; and, told apart from that, what
 * taking it while it was free took: a few sentences.
 */
export function summary({ pid, vcpus }: MutexResult, several = false): string {
  if (Number.isNaN(vcpus.time)) {
    return 'No thread is known to be a vCPU, so it cannot be told what waiting for the BQL cost the guest.';
  }
  if (Number.isNaN(vcpus.held)) {
    return 'No qemu_mutex_unlock is in the recording, so it cannot be told how long vCPUs waited for the BQL while another thread held it.';
  }
  const of = several && pid !== undefined ? ` of process ${pid}` : '';
  const besides = besidesText(vcpus.wait, vcpus.held, vcpus.uncontended, vcpus.time);
  if (vcpus.held === 0) {
    return [`At no time did vCPUs${of} wait for the BQL while another thread held it.`, besides].join('\n').trimEnd();
  }
  // Other vCPUs are one, as are workers: what matters is what kind of work was in the way.
  const kinds = new Map<string, { total: number; sites: Map<string, number> }>();
  for (const one of vcpus.behind) {
    const kind = kindName(one.role);
    const known = kinds.get(kind) ?? { total: 0, sites: new Map<string, number>() };
    known.total += one.total;
    const where = one.inner ?? one.site ?? 'before the trace began';
    known.sites.set(where, (known.sites.get(where) ?? 0) + one.total);
    kinds.set(kind, known);
  }
  const blamed = [...kinds]
    .sort((a, b) => b[1].total - a[1].total)
    .slice(0, 3)
    .map(([kind, { total, sites }]) => {
      const [site, most] = [...sites].sort((a, b) => b[1] - a[1])[0] as [string, number];
      const mostly = most === total ? 'at' : 'mostly at';
      return `${percent(total / vcpus.held)} behind ${kind} (${mostly} ${escapeText(site)})`;
    });
  const share = percent(vcpus.held / vcpus.time);
  return [
    `vCPUs${of} spent ${share} of their time waiting for the BQL while another thread held it.`,
    `Of that ${blamed.join(', ')}.`,
    besides,
  ]
    .join('\n')
    .trimEnd();
}

/**
 * What of waits is no waiting for others, in words: taking the mutex while it was free, which costs that in this recording, and getting
 * it after it had been let go. '' where there is nothing of that. `time` is what the shares are of; where none is given, lengths are told.
 */
function besidesText(wait: number, held: number, free: Stats, time?: number): string {
  const told = (length: number) => (time === undefined ? duration(length) : percent(length / time));
  const rest = wait - held - free.total;
  const handed = rest > 0 ? `${told(rest)} passed between its being let go and its being there` : '';
  if (free.count === 0) return handed === '' ? '' : `Besides, ${handed}.`;
  const median = shortDuration(free.p50, percentileDigits(free.count));
  const each = free.min === free.p50 ? median : `${shortDuration(free.min)} at least, ${median} in the median`;
  const taken = `${told(free.total)} went into taking it ${plural(free.count, 'time')} while it was free, ${each}: what that costs in this recording, its tracing included`;
  return `Besides, ${taken}${handed === '' ? '' : `; ${handed}`}.`;
}

function kindName(role: LockRole): string {
  switch (role.kind) {
    case 'vcpu':
      return 'other vCPUs';
    case 'main loop':
      return 'the main loop';
    case 'iothread':
      return 'IOThreads';
    case 'worker':
      return 'workers';
    case 'rcu':
      return 'the RCU thread';
    default:
      return 'other threads';
  }
}

/** A thread as people know it: `vCPU 0`, `main loop`, `thread 1104`. */
export function roleName(role: LockRole, several = false): string {
  const process = several && role.pid !== undefined ? `${role.pid} ` : '';
  switch (role.kind) {
    case 'vcpu':
      return `${process}vCPU ${role.vcpu ?? `thread ${role.tid}`}`;
    case 'iothread':
      return `${process}IOThread ${role.name === undefined ? role.tid : escapeText(role.name)}`;
    case 'main loop':
      return `${process}main loop`;
    case 'rcu':
      return `${process}RCU thread`;
    case 'worker':
      return `${process}worker ${role.tid}`;
    default:
      return `thread ${role.tid}`;
  }
}

/** The same with its thread, where the name does not say that. */
function whoWaits(role: LockRole, several: boolean): string {
  const name = roleName(role, several);
  return name.endsWith(String(role.tid)) ? name : `${name} (thread ${role.tid})`;
}

function mutexName({ name, pid }: { name: string; pid: number | undefined }, several: boolean): string {
  return several && pid !== undefined ? `${pid} ${name}` : name;
}

/**
 * What a set of acquisitions is shown by, behind the columns that name it. `waited` is while another thread held the mutex; `when free`
 * the median of the others.
 */
const columns: readonly Column[] = [
  { title: 'acquired', align: 'right' },
  { title: 'contended', align: 'right' },
  { title: 'share', align: 'unit', priority: 4 },
  { title: 'waited', align: 'unit' },
  { title: 'avg', name: 'avg wait', align: 'unit', priority: 7 },
  { title: 'p99', name: 'p99 wait', align: 'unit', priority: 3 },
  { title: 'max', name: 'max wait', align: 'unit', priority: 1 },
  { title: 'when free', align: 'unit', priority: 6 },
  { title: 'held', align: 'unit' },
  { title: 'avg', name: 'avg hold', align: 'unit', priority: 8 },
  { title: 'p99', name: 'p99 hold', align: 'unit', priority: 5 },
  { title: 'max', name: 'max hold', align: 'unit', priority: 2 },
];

function cells({ acquisitions, contended, heldUp, uncontended, hold }: LockGroup): string[] {
  const figures = (s: Stats) => [
    s.count === 0 ? '-' : duration(s.total),
    duration(s.mean),
    duration(s.p99, percentileDigits(s.count)),
    duration(s.max),
  ];
  return [
    count(acquisitions),
    count(contended),
    percent(contended / acquisitions),
    ...figures(heldUp),
    duration(uncontended.p50, percentileDigits(uncontended.count)),
    ...figures(hold),
  ];
}

function mutexTable({ result }: LocksAnswer, several: boolean, terminal: Terminal): string {
  const shown = result.mutexes.slice(0, shownMutexes);
  const rows: Cell[][] = shown.map((mutex) => [mutexName(mutex, several), ...cells(mutex)]);
  if (result.mutexes.length > 1) {
    rows.push(['all', ...cells(result.all)].map((text): Cell => ({ text, style: 'strong' })));
  }
  const note = notShown(plural(result.mutexes.length - shown.length, 'more mutex', 'more mutexes'), terminal);
  return `${table([{ title: 'mutex', shrink: 14 }, ...columns], rows, terminal)}${note}`;
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

function siteTable(mutex: MutexResult, several: boolean, terminal: Terminal): string {
  const title = terminal.style('strong', `${mutexName(mutex, several)} by call site`);
  const shown = mutex.sites.slice(0, shownSites);
  const rows = shown.map((group) => [escapeText(group.site), ...cells(group)]);
  const note = notShown(plural(mutex.sites.length - shown.length, 'more call site'), terminal);
  return `${title}\n${table([{ title: 'call site', shrink: 22, keep: 'end' }, ...columns], rows, terminal)}${note}`;
}

function threadTable(mutex: MutexResult, several: boolean, terminal: Terminal): string {
  const title = terminal.style('strong', `${mutexName(mutex, several)} by thread`);
  const shown = mutex.threads.slice(0, shownSites);
  const rows = shown.map((group) => [roleName(group.role), ...cells(group)]);
  const note = notShown(plural(mutex.threads.length - shown.length, 'more thread'), terminal, '--json has all');
  return `${title}\n${table([{ title: 'thread', shrink: 17 }, ...columns], rows, terminal)}${note}`;
}

function behindTable(mutex: MutexResult, several: boolean, terminal: Terminal): string {
  const title = terminal.style(
    'strong',
    `Who held ${mutex.name === 'BQL' ? 'the ' : ''}${mutexName(mutex, several)} while others waited`,
  );
  const share = (total: number) => percent(total / mutex.held);
  const ran = mutex.behind.some((one) => one.ran !== undefined);
  const rows: Cell[][] = mutex.behind
    .slice(0, shownBehind)
    .map((one) => [
      roleName(one.role),
      escapeText(one.site ?? 'before the trace began'),
      escapeText(one.inner ?? ''),
      count(one.waits),
      duration(one.total),
      share(one.total),
      ...(ran ? [duration(one.ran?.preempted ?? Number.NaN), duration(one.ran?.blocked ?? Number.NaN)] : []),
    ]);
  const shownTotal = mutex.behind.slice(0, shownBehind).reduce((sum, one) => sum + one.total, 0);
  if (shownTotal < mutex.held) {
    rows.push(['others', '', '', '', duration(mutex.held - shownTotal), share(mutex.held - shownTotal)]);
  }
  const behind: Column[] = [
    { title: 'thread', shrink: 17 },
    { title: 'locked at', shrink: 18, keep: 'end' },
    { title: 'was at', shrink: 16, keep: 'end', priority: 2 },
    { title: 'waits', align: 'right', priority: 1 },
    { title: 'waited for', align: 'unit' },
    { title: 'share', align: 'unit' },
  ];
  if (ran)
    behind.push({ title: 'preempted', align: 'unit', priority: 3 }, { title: 'blocked', align: 'unit', priority: 4 });
  const besides = besidesText(mutex.wait.total, mutex.held, mutex.uncontended);
  const note = besides === '' ? '' : `${wrap(besides, terminal.tableWidth, 0).join('\n')}\n`;
  return `${title}\n${table(behind, rows, terminal)}${note}`;
}

function slowPart(answer: LocksAnswer, several: boolean, terminal: Terminal): string {
  const { result, trace, than, holds } = answer;
  const slow = result.slow as SlowLock[];
  const what = `${holds ? 'holds' : 'waits'}${ofChosen(answer)}`;
  const title = than === undefined ? `Slow ${what}` : `${upper(what)} longer than ${shortDuration(than)}`;
  const cut = howMany(slow.length, result.over);
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const entries = slow.map((one) => {
    const head = [
      stamp(one.begin),
      whoWaits(one.role, several),
      one.cpu < 0 ? '' : `CPU ${one.cpu}`,
      terminal.style('strong', one.name),
      terminal.style('bad', duration(one.duration)),
      `at ${escapeText(one.site ?? 'an unknown place')}`,
    ];
    const own = offCpu(one.ran);
    const itself = own.length === 0 ? '' : `  ${roleName(one.role, several)} itself: ${own.join(', ')}\n`;
    const held = holds ? itself : `${heldBy(one, several, terminal)}${itself}`;
    const did = eventLines(one, terminal);
    return `${head.filter((part) => part !== '').join('  ')}\n${held}${did}`;
  });
  const whole = holds ? '' : terminal.style('dim', wholeWaits);
  return [`${terminal.style('strong', title)}${cut}\n${whole}`, ...entries].join('\n');
}

/** What else the lengths of the heat map and the slow log are than those of the tables, which count what others held. */
const wholeWaits =
  'Each from lock to locked, the taking of a free mutex included: not all of it others held the mutex.\n';

/** Which mutexes the heat map and the slow log are of, where not of all. */
function ofChosen({ holds, chosen }: LocksAnswer): string {
  if (chosen.length === 0) return '';
  const names = chosen.map((name) => (name === 'BQL' ? 'the BQL' : name)).join(', ');
  return `${holds ? ' of' : ' for'} ${names}`;
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
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
  const layout: Column[] = [
    { title: '', align: 'unit' },
    { title: '' },
    { title: '', shrink: 16, keep: 'end' },
    { title: '', shrink: 24 },
  ];
  const lines = table(layout, rows, terminal).split('\n').slice(1).join('\n');
  const hidden = one.behind.length - shown.length + one.omitted;
  const more = hidden > 0 ? `  … and ${plural(hidden, 'holder')} more\n` : '';
  return `${lines.replace(/^(?=.)/gm, '  ')}${more}`;
}

/** How long a thread did not run, and why; nothing of what was not so, or is not known. */
function offCpu(ran: RunParts | undefined): string[] {
  if (ran === undefined) return [];
  return (['preempted', 'blocked'] as const).flatMap((what) =>
    ran[what] > 0 ? [`${shortDuration(ran[what])} ${what}`] : [],
  );
}

function eventLines(one: SlowLock, terminal: Terminal): string {
  if (one.of === undefined) return '';
  const shown = one.events.slice(-shownEvents);
  const rows = shown.map(({ offset, name, text, brief }) => [
    `+${duration(offset)}`,
    escapeText(name),
    escapeText(brief ?? text.trimEnd()),
  ]);
  const who = `${roleName(one.of)} meanwhile`;
  if (rows.length === 0) return `  ${who}: no other events\n`;
  const layout: Column[] = [
    { title: '', align: 'unit' },
    { title: '', shrink: 16 },
    { title: '', shrink: 20 },
  ];
  const lines = table(layout, rows, terminal).split('\n').slice(1).join('\n');
  const earlier = one.more || shown.length < one.events.length ? ', the last that it did' : '';
  return `  ${who}${earlier}:\n${lines.replace(/^(?=.)/gm, '    ')}`;
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

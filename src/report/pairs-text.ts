import { timestamps } from '../trace/time-stamp.ts';
import type { PairStates, PairsResult, SlowPair } from '../views/pairs.ts';
import { unitOf } from './answer.ts';
import { closingPart, heatPart, inParts, slowTitle } from './answer-parts.ts';
import { rowsTable } from './columns.ts';
import { escapeText } from './escape.ts';
import type { GroupLine, GroupScope } from './groups.ts';
import { groupFigures, groupTable, notEnded, pairStateColumns, pairStates } from './groups.ts';
import { innerTable } from './inner-events.ts';
import type { PairsAnswer, PairsScope } from './pairs-columns.ts';
import { openPairColumns, pairLines, pairsScope, pairThread } from './pairs-columns.ts';
import type { Terminal } from './terminal.ts';
import { count, lengths, plural } from './units.ts';

/** Unfinished pairs shown of all. */
const shownUnfinished = 10;

/** The whole answer as text. */
export function pairsText(answer: PairsAnswer, terminal: Terminal): string {
  const { result, reading } = answer;
  const scope = pairsScope(answer);
  const parts = [heading(answer, terminal)];
  if (result.all.count === 0) parts.push(`${whyNone(answer)}\n`);
  else {
    const lines = pairLines(answer);
    const { table, hidden } = groupTable(groupFigures, lines, { stats: result.all }, scope, terminal);
    parts.push(table + hidden);
    if (result.states !== undefined) parts.push(statesTable(lines, result, scope, terminal));
    parts.push(heatPart('pairs', result.heat, scope.unit, terminal));
    if (result.slow !== undefined) parts.push(slowPart(answer, scope, terminal));
  }
  if (result.unfinished.length > 0) parts.push(unfinishedPart(answer, scope, terminal));
  parts.push(closingPart(unpairedLines(answer), reading, terminal, unsure(result)));
  return inParts(parts);
}

function heading({ trace, result, from, to, by }: PairsAnswer, terminal: Terminal): string {
  const title = terminal.style('heading', escapeText(trace.file));
  const pairs = plural(result.counts.pairs, 'pair');
  return `${title}\n  ${pairs} from ${escapeText(from)} to ${escapeText(to)} by ${escapeText(by.join(', '))} in ${lengths(unitOf(trace)).long(result.duration)}\n`;
}

function whyNone({ result, by }: PairsAnswer): string {
  const { begins, ends, withoutKey } = result.counts;
  const seen = `There are ${count(begins)} events to begin with and ${count(ends)} to end with`;
  if (begins === 0 || ends === 0) return `${seen}: nothing to pair.`;
  if (withoutKey > 0) return `${seen}, but ${count(withoutKey)} of them do not say ${escapeText(by.join(' and '))}.`;
  return `${seen}, but no two that follow each other are equal in ${escapeText(by.join(' and '))}.`;
}

/** What the threads did in the time of each group. */
function statesTable(
  lines: readonly GroupLine[],
  { all, states }: PairsResult,
  scope: GroupScope,
  terminal: Terminal,
): string {
  const title = terminal.style('strong', 'Where the time went');
  const unknown = states?.unknown ?? 0;
  if (states === undefined || unknown === pairStates.reduce((sum, state) => sum + states[state], 0)) {
    return `${title}\nThat cannot be told: there is no sched:sched_switch of these threads before the pairs.\n`;
  }
  const within = { ...scope, states: pairStates.filter((state) => state !== 'unknown' || unknown > 0) };
  const divided = lines.filter((line) => line.states !== undefined);
  return `${title}\n${groupTable(pairStateColumns, divided, { stats: all, states }, within, terminal).table}`;
}

function slowPart(answer: PairsAnswer, scope: PairsScope, terminal: Terminal): string {
  const { result, trace, than } = answer;
  const slow = result.slow as SlowPair[];
  const unit = lengths(scope.unit);
  const ones = { shown: slow.length, over: result.over, than, unit: scope.unit };
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const pairs = slow.map((pair) => {
    const head = [
      stamp(pair.begin),
      pairThread(trace, pair),
      terminal.style('strong', escapeText(pair.group.map((label) => label ?? 'none').join(' '))),
      terminal.style('bad', unit.long(pair.duration)),
    ];
    // The thread's own events begin and end with the pair's.
    const ends = [
      { ...noEvent, ...pair.from, offset: 0 },
      { ...noEvent, ...pair.to, offset: pair.duration },
    ];
    const inner = innerTable(pair.events.length > 0 ? pair.events : ends, scope, terminal);
    const where = pair.states === undefined ? '' : statesLine(pair.states, unit.long);
    const more = pair.more ? '  … and earlier ones, which were not kept\n' : '';
    return `${head.filter((part) => part !== '').join('  ')}\n${where}${more}${inner}`;
  });
  return [`${slowTitle('pairs', ones, terminal)}\n`, ...pairs].join('\n');
}

const noEvent = { cpu: -1, effect: undefined, brief: undefined };

/** Pairs that have not ended. */
function unfinishedPart({ result }: PairsAnswer, scope: PairsScope, terminal: Terminal): string {
  const shown = result.unfinished.slice(0, shownUnfinished);
  return notEnded(shown.length, result.counts.openAtEnd, terminal) + rowsTable(openPairColumns, shown, scope, terminal);
}

function statesLine(one: PairStates, long: (length: number) => string): string {
  if (one.unknown > 0) return '';
  const told = pairStates.filter((state) => one[state] > 0).map((state) => `${long(one[state])} ${state}`);
  return told.length === 0 ? '' : `  ${told.join(', ')}\n`;
}

function unpairedLines({ result, from, to, by }: PairsAnswer): string[] {
  const { counts } = result;
  const lines: string[] = [];
  const key = by.join(', ');
  if (counts.beganAgain > 0) {
    lines.push(`${count(counts.beganAgain)} times ${from} came again before ${to} did: the later one counts.`);
  }
  if (counts.endsFirst > 0) lines.push(`${count(counts.endsFirst)} times ${to} came without ${from} before it.`);
  if (counts.withoutKey > 0) lines.push(`${plural(counts.withoutKey, 'event')} left out that lack ${key}.`);
  if (counts.forgotten > 0) {
    lines.push(`${count(counts.forgotten)} of the oldest were forgotten: more were open at once than can be followed.`);
  }
  return lines.map(escapeText);
}

function unsure({ counts }: PairsResult): string {
  return counts.straddlingLoss === 0
    ? ''
    : `${plural(counts.straddlingLoss, 'pair')} left out that events may be missing from.`;
}

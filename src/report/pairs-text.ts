import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { PairStates, PairsResult, SlowPair, UnfinishedPair } from '../views/pairs.ts';
import type { Reading } from '../views/reading.ts';
import { csv } from './csv.ts';
import { escapeText } from './escape.ts';
import { heatJson, heatmapText } from './heatmap-text.ts';
import { integer, type Json, number } from './json.ts';
import { remarks, remarksJson } from './remarks.ts';
import {
  csvFigureNames,
  csvFigures,
  figureCells,
  figureColumns,
  howMany,
  lengths,
  type SortKey,
  shownRows,
  sorted,
  statsJson,
} from './stats-table.ts';
import { type Cell, type Column, table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { count, percent, plural, shortDuration } from './units.ts';

/** What a command needs to say of the pairs in one trace. */
export type PairsAnswer = {
  trace: Trace;
  result: PairsResult;
  reading: Reading;
  sort: SortKey;
  /** As the user wrote them. */
  from: string;
  to: string;
  by: readonly string[];
  group: readonly string[];
  than: number | undefined;
};

/** Unfinished pairs shown of all. */
const shownUnfinished = 10;

/** The whole answer as text. */
export function pairsText(answer: PairsAnswer, terminal: Terminal): string {
  const { result, reading, trace } = answer;
  const parts = [heading(answer, terminal)];
  if (result.all.count === 0) parts.push(`${whyNone(answer)}\n`);
  else {
    parts.push(statsTable(answer, terminal));
    if (result.states !== undefined) parts.push(statesTable(answer, result.states, terminal));
    if (result.heat !== undefined) {
      const title = terminal.style('strong', 'Pairs over time, by how long they took');
      parts.push(`${title}\n${heatmapText(result.heat, terminal, trace.clock.unit === 'ns' ? 'ns' : 'cycles')}`);
    }
    if (result.slow !== undefined) parts.push(slowPart(answer, terminal));
  }
  if (result.unfinished.length > 0) parts.push(unfinishedPart(answer, terminal));
  const closing = [
    ...unpairedLines(answer).map((line) => `${line}\n`),
    remarks(reading, terminal, unsure(result)),
  ].join('');
  if (closing !== '') parts.push(closing);
  return parts.join('\n');
}

function unitOf(trace: Trace) {
  return lengths(trace.clock.unit === 'ticks' ? 'cycles' : 'ns');
}

function secondsOf({ trace, result }: PairsAnswer): number {
  return trace.clock.unit === 'ns' ? result.duration / 1e9 : Number.NaN;
}

function heading({ trace, result, from, to, by }: PairsAnswer, terminal: Terminal): string {
  const title = terminal.style('heading', escapeText(trace.file));
  const pairs = plural(result.counts.pairs, 'pair');
  return `${title}\n  ${pairs} from ${escapeText(from)} to ${escapeText(to)} by ${escapeText(by.join(', '))} in ${unitOf(trace).long(result.duration)}\n`;
}

function whyNone({ result, by }: PairsAnswer): string {
  const { begins, ends, withoutKey } = result.counts;
  const seen = `There are ${count(begins)} events to begin with and ${count(ends)} to end with`;
  if (begins === 0 || ends === 0) return `${seen}: nothing to pair.`;
  if (withoutKey > 0) return `${seen}, but ${count(withoutKey)} of them do not say ${escapeText(by.join(' and '))}.`;
  return `${seen}, but no two that follow each other are equal in ${escapeText(by.join(' and '))}.`;
}

function statsTable(answer: PairsAnswer, terminal: Terminal): string {
  const { result, group, sort } = answer;
  const rows = sorted(named(result), sort);
  const seconds = secondsOf(answer);
  const unit = unitOf(answer.trace);
  const columns: Column[] = [
    ...(group.length === 0 ? [''] : group).map((title): Column => ({ title: escapeText(title), shrink: 12 })),
    ...figureColumns,
  ];
  const cells = rows
    .slice(0, shownRows)
    .map(({ names, stats }): Cell[] => [
      ...(group.length === 0 ? ['all'] : names.map(escapeText)),
      ...figureCells(stats, group.length === 0 ? Number.NaN : stats.total / result.all.total, seconds, unit),
    ]);
  if (rows.length > 1) {
    const blanks = group.slice(1).map(() => '');
    const all = ['all', ...blanks, ...figureCells(result.all, Number.NaN, seconds, unit)];
    cells.push(all.map((text): Cell => ({ text, style: 'strong' })));
  }
  const hidden = Math.max(0, rows.length - shownRows);
  const note = hidden === 0 ? '' : `${plural(hidden, 'more row')} not shown; --csv and --json have all.\n`;
  return `${table(columns, cells, terminal)}${note === '' ? '' : terminal.style('dim', note)}`;
}

const states = ['running', 'preempted', 'blocked', 'unknown'] as const;

/** What the threads did in the time of each group. */
function statesTable(answer: PairsAnswer, all: PairStates, terminal: Terminal): string {
  const { result, group, sort } = answer;
  const title = terminal.style('strong', 'Where the time went');
  const total = (one: PairStates) => states.reduce((sum, state) => sum + one[state], 0);
  if (all.unknown === total(all)) {
    return `${title}\nThat cannot be told: there is no sched:sched_switch of these threads before the pairs.\n`;
  }
  const shown = states.filter((state) => state !== 'unknown' || all.unknown > 0);
  const columns: Column[] = [
    ...(group.length === 0 ? [''] : group).map((name): Column => ({ title: escapeText(name), shrink: 12 })),
    { title: 'total', align: 'unit', priority: 1 },
    ...shown.map((state): Column => ({ title: state, align: 'unit' })),
  ];
  const cells = (one: PairStates) => [
    unitOf(answer.trace).long(total(one)),
    ...shown.map((state) => (one[state] === 0 ? '-' : percent(one[state] / total(one)))),
  ];
  const rows: Cell[][] = sorted(named(result), sort)
    .slice(0, shownRows)
    .flatMap((row) =>
      row.states === undefined
        ? []
        : [[...(group.length === 0 ? ['all'] : row.names.map(escapeText)), ...cells(row.states)]],
    );
  if (result.rows.length > 1) {
    const line = ['all', ...group.slice(1).map(() => ''), ...cells(all)];
    rows.push(line.map((text): Cell => ({ text, style: 'strong' })));
  }
  return `${title}\n${table(columns, rows, terminal)}`;
}

function named(result: PairsResult) {
  return result.rows.map((row) => ({ ...row, names: row.group.map((label) => label ?? 'none') }));
}

function slowPart(answer: PairsAnswer, terminal: Terminal): string {
  const { result, trace, than } = answer;
  const slow = result.slow as SlowPair[];
  const unit = unitOf(trace);
  const title = than === undefined ? 'Slow pairs' : `Pairs longer than ${shortDuration(than)}`;
  const cut = howMany(slow.length, result.over);
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const pairs = slow.map((pair) => {
    const head = [
      stamp(pair.begin),
      who(trace, pair.tid, pair.cpu),
      terminal.style('strong', escapeText(pair.group.map((label) => label ?? 'none').join(' '))),
      terminal.style('bad', unit.long(pair.duration)),
    ];
    const at = (offset: number) => `+${unit.long(offset)}`;
    // The thread's own events begin and end with the pair's.
    const own = pair.events.map(({ offset, name, text, brief }) => [
      at(offset),
      escapeText(name),
      escapeText(brief ?? text.trimEnd()),
    ]);
    const ends = [
      [at(0), escapeText(pair.from.name), escapeText(pair.from.text.trimEnd())],
      [at(pair.duration), escapeText(pair.to.name), escapeText(pair.to.text.trimEnd())],
    ];
    const columns: Column[] = [
      { title: '', align: 'unit' },
      { title: '', shrink: 16 },
      { title: '', shrink: 20 },
    ];
    const inner = table(columns, own.length > 0 ? own : ends, terminal)
      .split('\n')
      .slice(1)
      .join('\n');
    const where = pair.states === undefined ? '' : statesLine(pair.states, unit.long);
    const more = pair.more ? '  … and earlier ones, which were not kept\n' : '';
    return `${head.filter((part) => part !== '').join('  ')}\n${where}${more}${inner.replace(/^(?=.)/gm, '  ')}`;
  });
  return [`${terminal.style('strong', title)}${cut}\n`, ...pairs].join('\n');
}

function statesLine(one: PairStates, long: (length: number) => string): string {
  if (one.unknown > 0) return '';
  const told = states.filter((state) => one[state] > 0).map((state) => `${long(one[state])} ${state}`);
  return told.length === 0 ? '' : `  ${told.join(', ')}\n`;
}

function who(trace: Trace, tid: number, cpu: number): string {
  if (tid < 0) return cpu < 0 ? '' : `CPU ${cpu}`;
  const comm = trace.threads.get(tid)?.comm ?? '';
  return `${comm === '' ? 'thread' : escapeText(comm)} ${tid}${cpu < 0 ? '' : `  CPU ${cpu}`}`;
}

function unfinishedPart({ result, trace }: PairsAnswer, terminal: Terminal): string {
  const all = result.counts.openAtEnd;
  const unit = unitOf(trace);
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const shown = result.unfinished.slice(0, shownUnfinished);
  const title = terminal.style('strong', 'Not ended');
  const cut = all > shown.length ? `, the ${count(shown.length)} oldest of ${count(all)}` : `: ${count(all)}`;
  const rows = shown.map((pair) => [
    stamp(pair.begin),
    unit.long(pair.duration),
    who(trace, pair.tid, pair.cpu),
    escapeText(`${pair.from.name} ${pair.from.text}`.trim()),
  ]);
  const columns: Column[] = [
    { title: 'since' },
    { title: 'age', align: 'unit' },
    { title: 'thread', shrink: 12 },
    { title: 'event', shrink: 20 },
  ];
  return `${title}${cut}\n${table(columns, rows, terminal)}`;
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

// ---------------------------------------------------------------- JSON and CSV

/** The whole answer for programs: docs/json.md. */
export function pairsJson(answer: PairsAnswer): Json {
  const { trace, result, reading, from, to, by, group } = answer;
  const unit = trace.clock.unit === 'ticks' ? 'cycles' : 'ns';
  const seconds = secondsOf(answer);
  const { counts } = result;
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const place = ({ begin, duration: length, tid, cpu }: SlowPair | UnfinishedPair, name: string) => ({
    time: stamp(begin),
    [`begin_${unit}`]: integer(begin),
    [`${name}_${unit}`]: integer(length),
    tid: tid < 0 ? null : tid,
    comm: trace.threads.get(tid)?.comm ?? '',
    cpu: cpu < 0 ? null : cpu,
  });
  const event = ({ name, text }: { name: string; text: string }) => ({ event: name, text: text.trimEnd() });
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit,
    origin: trace.origin.toString(),
    [`duration_${unit}`]: integer(result.duration),
    from,
    to,
    by: [...by],
    group: [...group],
    totals: { ...statsJson(result.all, seconds, unit), ...statesJson(result.states) },
    rows: sorted(named(result), answer.sort).map((row) => ({
      ...groupJson(row.group, group),
      share: number(row.stats.total / result.all.total),
      ...statsJson(row.stats, seconds, unit),
      ...statesJson(row.states),
    })),
    unpaired: {
      begins: counts.begins,
      ends: counts.ends,
      pairs: counts.pairs,
      began_again: counts.beganAgain,
      ends_first: counts.endsFirst,
      straddling_loss: counts.straddlingLoss,
      without_key: counts.withoutKey,
      forgotten: counts.forgotten,
      open_at_end: counts.openAtEnd,
    },
    ...(result.slow === undefined
      ? {}
      : {
          over_threshold: result.over,
          slow: result.slow.map((pair) => ({
            ...place(pair, 'duration'),
            ...groupJson(pair.group, group),
            from: event(pair.from),
            to: event(pair.to),
            ...statesJson(pair.states),
            ...(pair.events.length === 0
              ? {}
              : {
                  events: pair.events.map((inner) => ({
                    [`offset_${unit}`]: integer(inner.offset),
                    ...event(inner),
                  })),
                }),
          })),
        }),
    unfinished: result.unfinished.map((pair) => ({ ...place(pair, 'age'), from: event(pair.from) })),
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, unit) }),
    ...remarksJson(reading),
  };
}

/** Time by what the threads did, where it was asked for. */
function statesJson(all: PairStates | undefined): { [key: string]: Json } {
  if (all === undefined) return {};
  return { states: Object.fromEntries(states.map((state) => [state, integer(all[state])])) };
}

/** The groups as an object of their own: a field may have any name. */
function groupJson(values: readonly (string | undefined)[], names: readonly string[]): { [key: string]: Json } {
  if (names.length === 0) return {};
  return { group: Object.fromEntries(names.map((name, n) => [name, values[n] ?? null])) };
}

/** The table for spreadsheets. */
export function pairsCsv(answer: PairsAnswer): string {
  const { result, group, sort, trace } = answer;
  const seconds = secondsOf(answer);
  return csv(
    [...group, ...csvFigureNames(trace.clock.unit === 'ticks' ? 'cycles' : 'ns')],
    sorted(named(result), sort).map((row) => [
      ...row.group.map((label) => label ?? ''),
      ...csvFigures(row.stats, seconds),
    ]),
  );
}

import { tellsTime } from '../trace/clock.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { InventoryView } from '../views/inventory.ts';
import type { Question } from '../views/questions.ts';
import type { Reading } from '../views/reading.ts';
import { rowsTable } from './columns.ts';
import { escapeText } from './escape.ts';
import { eventScope, machineColumns, machineScope, typeColumns } from './events-columns.ts';
import { lossSentence, remarks } from './remarks.ts';
import { type Terminal, truncate, wrap } from './terminal.ts';
import { count, duration, plural } from './units.ts';

/** Processes shown in text; JSON has all. */
const shownProcesses = 5;

/** Everything that `virtap events` says of one trace, as text. */
export function eventsText(
  view: InventoryView,
  asked: readonly Question[],
  reading: Reading,
  terminal: Terminal,
): string {
  return [
    facts(view, reading, terminal),
    view.machines.length === 0 ? '' : rowsTable(machineColumns, view.machines, machineScope(view.machines), terminal),
    view.types.length === 0 ? '' : rowsTable(typeColumns, view.types, eventScope(view), terminal),
    answers(view, asked, terminal),
    remarks({ ...reading, holes: 0 }, terminal, ''),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function facts(view: InventoryView, reading: Reading, terminal: Terminal): string {
  const { clock } = view;
  const format = `${view.format}${view.version === '' ? '' : ` ${view.version}`}`;
  const cpus = view.cpusSeen.length === 0 ? 'not recorded' : count(view.cpusSeen.length);
  const machineCpus =
    view.cpus === undefined || view.cpus === view.cpusSeen.length ? '' : ` with events, of ${view.cpus}`;
  const rows: [string, string][] = [
    ['format', format],
    ['clock', clockText(view)],
  ];
  if (view.events > 0 && clock.unit !== 'none') {
    rows.push(['begins', timestamp(view.origin, view.first, clock.unit)], ['duration', spanText(view)]);
  }
  rows.push(
    ['events', `${count(view.events)} of ${plural(view.types.length, 'type')}${twice(view)}`],
    ['lost', lostOf(reading)],
    ['CPUs', cpus + (view.cpusSeen.length === 0 ? '' : machineCpus)],
    ['processes', processText(view)],
  );
  const title = terminal.style('heading', escapeText(view.file));
  const lines = rows.map(([name, value]) => {
    const line = truncate(value, terminal.tableWidth - 13);
    return `  ${name.padEnd(10)} ${name === 'lost' && reading.losses.length > 0 ? terminal.style('warn', line) : line}`;
  });
  return `${title}\n${lines.join('\n')}\n`;
}

/** What perf wrote once more, identical to the nanosecond. */
function twice({ repeated }: InventoryView): string {
  return repeated === 0
    ? ''
    : `; ${plural(repeated, 'event')} more ${repeated === 1 ? 'stands' : 'stand'} there twice, and ${repeated === 1 ? 'is' : 'are'} left out`;
}

function lostOf(reading: Reading): string {
  const { contradictions } = reading.unmarked;
  const unmarked =
    contradictions === 0 ? [] : [`events in ${plural(contradictions, 'hole')} that nothing marks (below)`];
  const marked = reading.holes === 0 ? [] : [lossSentence(reading).replace(/^Lost: |[.]$/g, '')];
  return [...marked, ...unmarked].join('; and ') || 'nothing that the trace tells of';
}

function clockText({ clock, events }: InventoryView): string {
  if (clock.unit === 'none' || (clock.name === 'none' && events > 0)) return 'none: the events have no time stamps';
  const name = clock.name === 'unknown' ? 'not named in the file' : clock.name;
  if (!tellsTime(clock)) return `${name}, which numbers events and measures no time`;
  if (clock.unit === 'ticks') return `${name}, in ticks of unknown length`;
  const step = clock.resolution > 1 ? `in steps of ${duration(clock.resolution)}` : 'in nanoseconds';
  const ties = (clock.ties ?? []).map(({ to, source }) => `, tied to ${to} by ${source}`);
  return `${name}, ${step}${ties.join('')}`;
}

function spanText({ clock, duration: length }: InventoryView): string {
  return clock.unit === 'ns' ? duration(length) : `${count(length)} ticks`;
}

function processText({ processes }: InventoryView): string {
  const known = processes.filter((process) => process.pid >= 0);
  const unknown = processes.find((process) => process.pid < 0);
  const parts: string[] = [];
  if (known.length > 0) {
    const names = known.slice(0, shownProcesses).map((p) => `${p.comm === '' ? 'pid' : escapeText(p.comm)} ${p.pid}`);
    if (known.length > shownProcesses) names.push('…');
    parts.push(`${count(known.length)}: ${names.join(', ')}`);
  }
  if (unknown !== undefined) {
    const threads = plural(unknown.threads, 'thread');
    parts.push(
      parts.length === 0 ? `not recorded; ${threads}` : `${threads} of processes that the trace does not name`,
    );
  }
  return parts.length === 0 ? 'not recorded' : parts.join('; ');
}

function answers(view: InventoryView, asked: readonly Question[], terminal: Terminal): string {
  const lines: string[] = [];
  const say = (text: string, indent: number) => {
    lines.push(...wrap(text, terminal.tableWidth, indent));
  };
  const able = asked.filter((question) => question.answer !== 'no');
  if (able.length > 0) lines.push(terminal.style('strong', 'What it can answer'));
  for (const { command, why } of able) {
    // Not wrapped: a command line must stay whole to be copied.
    lines.push(`  ${terminal.style('good', `virtap ${command} ${fileArgument(view)}`)}`);
    say(why, 6);
  }
  const missing = asked.filter((question) => question.answer === 'no' || question.record.length > 0);
  if (missing.length > 0) lines.push(terminal.style('strong', 'What to record next time'));
  for (const { command, answer, why, record } of missing) {
    say(`  for ${answer === 'no' ? '' : 'more from '}${command}${answer === 'no' ? `: ${why}` : ''}`, 2);
    lines.push(...record.flatMap((line) => commandLines(line, terminal.tableWidth, 6)));
  }
  return `${lines.join('\n')}\n`;
}

/** The input as one word of a shell's command line. */
function fileArgument({ file, live }: InventoryView): string {
  if (live) return '--live';
  if (file === '<stdin>') return '-';
  return /^[\w./:@%+,=-]+$/.test(file) ? file : `'${escapeText(file).replaceAll("'", "'\\''")}'`;
}

/** A command line, continued with backslashes where it is too long, so that it can be copied. */
function commandLines(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ (?=-)/)) {
    const deeper = lines.length > 0 ? indent + 2 : indent;
    if (line !== '' && deeper + line.length + 1 + word.length + 2 > width) {
      lines.push(`${' '.repeat(deeper)}${line} \\`);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, ' '.repeat(lines.length > 0 ? indent + 2 : indent) + line];
}

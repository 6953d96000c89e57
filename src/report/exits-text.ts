import { inOrder, numbersRepeat, type Vcpu } from '../spans/vcpu.ts';
import { recordLines } from '../trace/recorders.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { ExitResult } from '../views/exits.ts';
import type { Reading } from '../views/reading.ts';
import { closingPart, heatPart, inParts, slowTitle } from './answer-parts.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { divisionsOf, heldLine } from './exit-division.ts';
import { divisionColumns, type ExitLine, exitColumns, exitScope, groupColumns } from './exits-columns.ts';
import { countLines, tableLines, toldIn } from './exits-lines.ts';
import { innerTable } from './inner-events.ts';
import { untimedWhy } from './no-exits.ts';
import type { Style, Terminal } from './terminal.ts';
import { count, lengths, plural } from './units.ts';
import { untoldLine } from './vcpu-states.ts';

/** Exits that are not over at the end, shown one by one. */
const shownOpen = 8;

/** What a command needs to say of one trace. */
export type ExitAnswer = {
  trace: Trace;
  result: ExitResult;
  reading: Reading;
  sort: string;
  /** Whether halts are in the heat map and among the slow exits. */
  halts: boolean;
  /** The threshold for slow exits, undefined where the user gave none. */
  than: number | undefined;
};

/** The whole answer as text. */
export function exitsText(answer: ExitAnswer, terminal: Terminal): string {
  const { result, reading } = answer;
  const parts = [heading(answer, terminal)];
  if (result.all.count === 0) parts.push(nothingLeft(answer));
  else if (result.untimed !== undefined) parts.push(countTable(answer, terminal));
  else {
    parts.push(statsTable(answer, terminal));
    if (divisionsOf(result).length > 0) parts.push(divisionTable(answer, terminal));
    parts.push(heatmapPart(answer, terminal));
    if (result.slow !== undefined) parts.push(slowPart(answer, terminal));
  }
  parts.push(closingPart(unpairedLines(result), reading, terminal, unsure(result)));
  return inParts(parts);
}

/** Exits there are, but none that can be counted, or none of those asked for. */
function nothingLeft(answer: ExitAnswer): string {
  const { counts, vcpus, untimed, allExcluded } = answer.result;
  if (counts.exits === 0) return noneText('no exit', answer);
  if (allExcluded) return 'All reasons are excluded.\n';
  if (counts.pairs === 0 && untimed === undefined) return 'None of them can be timed.\n';
  return `None of them is of the kind asked for. There are exits of ${vcpuSummary(vcpus)}.\n`;
}

function heading({ trace, result }: ExitAnswer, terminal: Terminal): string {
  const { counts, vcpus, duration: length } = result;
  const format = lengths(result.unit);
  const title = terminal.style('heading', escapeText(trace.file));
  const time = Number.isNaN(length) ? '' : ` in ${format.long(length)}`;
  const of = vcpus.length === 0 ? '' : `, ${vcpuSummary(vcpus)}`;
  const chosen = chosenText(result.choice);
  const some = chosen === '' ? '' : `${count(result.all.count)} of `;
  return `${title}\n  ${some}${plural(counts.exits, 'exit')}${time}${of}${chosen}\n`;
}

/** Which exits were asked for; '' where all. */
function chosenText({ reasons = [], exclude = [], cpus, vcpus, pids }: ExitResult['choice']): string {
  const parts = [
    ...(reasons.length > 0 ? [`reason ${reasons.join(', ')}`] : []),
    ...(exclude.length > 0 ? [`no ${exclude.join(', ')}`] : []),
    ...(vcpus === undefined ? [] : [`vCPU ${vcpus.join(', ')}`]),
    ...(pids === undefined ? [] : [`process or thread ${pids.join(', ')}`]),
    ...(cpus === undefined ? [] : [`CPU ${cpus.join(', ')}`]),
  ];
  return parts.length === 0 ? '' : `; chosen: ${escapeText(parts.join('; '))}`;
}

const itself = (vcpu: Vcpu) => vcpu;

function vcpuSummary(vcpus: readonly Vcpu[]): string {
  const vms = new Map<number | undefined, Vcpu[]>();
  for (const vcpu of inOrder(vcpus, itself)) {
    const all = vms.get(vcpu.vm);
    if (all === undefined) vms.set(vcpu.vm, [vcpu]);
    else all.push(vcpu);
  }
  const parts = [...vms].slice(0, 4).map(([vm, all]) => {
    const repeat = vm === undefined && numbersRepeat(all);
    const numbers = all
      .slice(0, 8)
      .map(({ number, tid }) =>
        number !== undefined
          ? `${number}${repeat ? ` (thread ${tid})` : ''}`
          : tid < 0
            ? 'threads unknown'
            : `thread ${tid}`,
      );
    if (all.length > numbers.length) numbers.push('…');
    const word = all.every(({ number }) => number !== undefined) ? 'vCPU ' : '';
    return `${vm === undefined ? '' : `process ${vm}: `}${word}${numbers.join(', ')}`;
  });
  if (vms.size > parts.length) parts.push(`… ${vms.size} processes in all`);
  return parts.join('; ');
}

// ---------------------------------------------------------------- statistics

const styles: Record<ExitLine['kind'], Style | undefined> = { row: undefined, halt: 'dim', sum: 'strong' };
const styleOf = ({ kind }: ExitLine) => styles[kind];

function statsTable(answer: ExitAnswer, terminal: Terminal): string {
  const { result } = answer;
  const { lines, hidden } = tableLines(answer);
  const notes: string[] = [];
  if (result.inGuest)
    notes.push('Times are those in the guest, from kvm_entry to the kvm_exit of that reason (--in-guest).');
  if (hidden > 0) notes.push(`${plural(hidden, 'more row')} not shown; --csv and --json have all.`);
  if (lines.some(({ kind }) => kind === 'halt'))
    notes.push('share is of the time without halts: in a halt the guest sleeps of its own will.');
  if (result.unit === 'cycles')
    notes.push(
      answer.trace.clock.name === 'unknown'
        ? 'Durations are in ticks (cyc) of a clock that the file does not name; where it is x86-tsc, --tsc-mhz converts them.'
        : `Durations are in cycles (cyc) of the clock ${answer.trace.clock.name}; --tsc-mhz converts them.`,
    );
  const columns = [...groupColumns(result.by), ...exitColumns];
  const table = rowsTable(columns, lines, exitScope(result), terminal, styleOf);
  return `${table}${notes.map((note) => `${terminal.style('dim', note)}\n`).join('')}`;
}

/** How the time of each row divides: shares of it, and what the trace cannot tell. */
function divisionTable(answer: ExitAnswer, terminal: Terminal): string {
  const { result } = answer;
  const { lines } = tableLines(answer);
  const columns = [...groupColumns(result.by), ...divisionColumns];
  const divided = lines.filter(({ parts }) => parts !== undefined);
  const table = rowsTable(columns, divided, exitScope(result, toldIn(result, lines)), terminal, styleOf);
  const notes = (result.untold ?? []).map((one) => `${terminal.style('dim', untoldLine(one))}\n`).join('');
  return `${terminal.style('strong', 'Where the time went')}\n${table}${notes}`;
}

/** What exits are counted by: how often, but not how long. */
function countTable(answer: ExitAnswer, terminal: Terminal): string {
  const { result } = answer;
  const { lines, hidden } = countLines(answer);
  const table = rowsTable([...groupColumns(result.by), ...exitColumns], lines, exitScope(result), terminal, styleOf);
  const more = hidden === 0 ? '' : `${plural(hidden, 'more row')} not shown; --csv and --json have all.\n`;
  const why = untimedWhy[result.untimed ?? 'entries'];
  const remedy = `${why[0]?.toUpperCase()}${why.slice(1)}, so the exits can be counted, but not timed. To record ${result.untimed === 'entries' ? 'both' : 'them with times'}:`;
  return `${table}${terminal.style('dim', more)}\n${terminal.style('warn', remedy)}\n${recordLines('exits')
    .map((line) => `  ${line}\n`)
    .join('')}`;
}

// ---------------------------------------------------------------- heat map and slow exits

function heatmapPart(answer: ExitAnswer, terminal: Terminal): string {
  const { result, halts } = answer;
  const left =
    halts || result.halts.count === 0 ? '' : `, ${plural(result.halts.count, 'halt')} left out (--halts draws them)`;
  return heatPart('exits', result.heat, result.unit, terminal, `${left}\n`);
}

function slowPart(answer: ExitAnswer, terminal: Terminal): string {
  const { result, trace, halts, than } = answer;
  const slow = result.slow as NonNullable<typeof result.slow>;
  const format = lengths(result.unit);
  const left = halts || result.halts.count === 0 ? '' : '; halts left out (--halts takes them in)';
  const ones = { shown: slow.length, over: result.over, than, unit: result.unit };
  const heading = `${slowTitle('exits', ones, terminal)}${left}\n`;
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const severalVms = new Set(result.vcpus.map(({ vm }) => vm)).size > 1;
  const exits = slow.map((exit) => {
    const { vcpu } = exit;
    const who = vcpu.number === undefined ? `thread ${vcpu.tid}` : `vCPU ${vcpu.number} (thread ${vcpu.tid})`;
    const vm = severalVms && vcpu.vm !== undefined ? `VM ${vcpu.vm} ` : '';
    const head = [
      stamp(exit.begin),
      `${vm}${who}`,
      exit.cpu < 0 ? '' : `CPU ${exit.cpu}`,
      terminal.style('strong', escapeText(exit.reason)),
      terminal.style('bad', format.long(exit.duration)),
      exit.rip === '0x0' ? '' : `rip ${exit.rip}`,
    ];
    const scope = { ...exitScope(result), cpu: exit.cpu };
    const inner =
      exit.events.length === 0 ? '  nothing recorded within it\n' : innerTable(exit.events, scope, terminal);
    const held = heldLine(exit, result, severalVms);
    const more = exit.omitted === 0 ? '' : `  … and ${plural(exit.omitted, 'event')} more\n`;
    return `${head.filter((part) => part !== '').join('  ')}\n${held === '' ? '' : `  ${held}\n`}${inner}${more}`;
  });
  return [heading, ...exits].join('\n');
}

// ---------------------------------------------------------------- what the answer does not cover

function unpairedLines(result: ExitResult): string[] {
  const { counts, unknownReasons, vms, untimed } = result;
  const several = numbersRepeat(result.vcpus);
  const lines: string[] = [];
  if (counts.exitThenExit > 0 && untimed === undefined) {
    const why = result.inGuest ? 'no kvm_entry of the thread before' : "the thread's next event is an exit again";
    lines.push(`${plural(counts.exitThenExit, 'exit')} left out: ${why}.`);
  }
  for (const { vcpu, reason, age } of result.open.slice(0, shownOpen)) {
    const who = vcpu.number === undefined ? `Thread ${vcpu.tid}` : `vCPU ${vcpu.number}`;
    const of =
      !several || vcpu.number === undefined
        ? ''
        : vcpu.vm === undefined
          ? ` (thread ${vcpu.tid})`
          : ` of VM ${vcpu.vm}`;
    // The trace may go on after the last event that was of interest.
    const long = age > 0 ? `for ${lengths(result.unit).short(age)} or more` : 'it left last';
    lines.push(`${who}${of} is out of the guest at the end: ${escapeText(reason)}, ${long}; not counted.`);
  }
  if (result.open.length > shownOpen) {
    lines.push(`${plural(result.open.length - shownOpen, 'more exit')} left out: not over at the end.`);
  }
  if (counts.exitsWithoutThread > 0 && untimed === undefined) {
    lines.push(
      `${plural(counts.exitsWithoutThread, 'exit')} left out: the trace does not say which thread they are of.`,
    );
  }
  if (counts.entryWithoutExit > 0 && untimed === undefined) {
    lines.push(`${plural(counts.entryWithoutExit, 'kvm_entry', 'times kvm_entry')} without a kvm_exit before it.`);
  }
  if (counts.beforeFirstEntry > 0 && untimed === undefined) {
    lines.push(
      `${plural(counts.beforeFirstEntry, 'exit')} before the first kvm_entry of the thread; perf kvm stat does not count such.`,
    );
  }
  if (result.by.includes('vm') && !vms.known) {
    lines.push(
      vms.assumedOne
        ? 'The trace does not say which process a thread belongs to. No vCPU number occurs twice, so it is taken for one VM.'
        : 'The trace does not say which process a thread belongs to, and vCPU numbers occur more than once: there are several VMs, which cannot be told apart (perf record, or trace-cmd record with -c and --proc-map, say it).',
    );
  }
  if (counts.untracked > 0) {
    lines.push(
      `${plural(counts.untracked, 'event')} left out: they are of threads beyond the first ${count(result.vcpus.length)} that ran vCPUs.`,
    );
  }
  for (const name of unknownReasons) lines.push(`No exit had the reason ${escapeText(name)}.`);
  return lines;
}

function unsure({ counts }: ExitResult): string {
  const lines: string[] = [];
  if (counts.straddlingLoss > 0) {
    lines.push(`${plural(counts.straddlingLoss, 'exit')} left out that events may be missing from.`);
  }
  if (counts.migratedAcrossLoss > 0) {
    lines.push(
      `${plural(counts.migratedAcrossLoss, 'exit')} counted that began on a CPU which lost events before the exit was over on another.`,
    );
  }
  return lines.join(' ');
}

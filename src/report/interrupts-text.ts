import { vectorName } from '../spans/vector.ts';
import { recordLines } from '../trace/recorders.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { InterruptRow, InterruptsResult } from '../views/interrupts.ts';
import { shownRows } from './answer.ts';
import { closingPart, heatPart, inParts, slowTitle } from './answer-parts.ts';
import { sortRows } from './column-names.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { notEnded } from './groups.ts';
import {
  type InterruptsAnswer,
  interruptColumns,
  interruptsScope,
  ipiColumns,
  openInterruptColumns,
  slowInterruptColumns,
  timerColumns,
} from './interrupts-columns.ts';
import type { Terminal } from './terminal.ts';
import { count, lengths, plural } from './units.ts';

/** Open ones shown of all. */
const shownOpen = 10;

/** The rows, in the order that was asked for. */
export function interruptLines(answer: InterruptsAnswer): InterruptRow[] {
  return sortRows(
    interruptColumns,
    answer.result.rows,
    answer.sort,
    interruptsScope(answer),
    ({ vector, kind, device }) => [vectorName(vector), kind, device],
  );
}

/** The whole answer as text. */
export function interruptsText(answer: InterruptsAnswer, terminal: Terminal): string {
  const { trace, result, reading, than } = answer;
  const scope = interruptsScope(answer);
  const { long } = lengths(scope.unit);
  const strong = (text: string) => terminal.style('strong', text);
  const title = terminal.style('heading', escapeText(trace.file));
  const parts = [`${title}\n  ${plural(result.all.all.count, 'interrupt')} in ${long(result.duration)}\n`];
  if (result.all.all.count === 0) parts.push(noneText('no interrupt that the guest was done with', answer));
  else {
    const sum: InterruptRow = { vector: -1, kind: 'all', device: '', ...result.all };
    const lines = interruptLines(answer).slice(0, shownRows);
    const rows = lines.length > 1 ? [...lines, sum] : lines;
    const ends = result.told.eoi ? 'the EOI' : 'the entry, as kvm_eoi is not recorded';
    const note = terminal.style(
      'dim',
      `avg, p99, max: from when KVM was told until ${ends}; → accepted and so on: on average, from the point before.\n`,
    );
    parts.push(
      rowsTable(interruptColumns, rows, scope, terminal, (row) => (row === sum ? 'strong' : undefined)) + note,
    );
    if (result.ipis.length > 0)
      parts.push(
        `${strong('IPIs from vCPU to vCPU')}\n${rowsTable(ipiColumns, result.ipis.slice(0, shownRows), scope, terminal)}`,
      );
    parts.push(heatPart('interrupts', result.heat, scope.unit, terminal));
    if (result.slow !== undefined) {
      const ones = { shown: result.slow.length, over: result.over, than, unit: scope.unit };
      parts.push(
        `${slowTitle('interrupts', ones, terminal)}\n${rowsTable(slowInterruptColumns, result.slow, scope, terminal)}`,
      );
    }
  }
  if (result.timers.length > 0)
    parts.push(
      `${strong('Timers of the local APICs')}\n${rowsTable(timerColumns, result.timers, scope, terminal)}${timerNote(result)}`,
    );
  if (result.open.length > 0) {
    const open = result.open.slice(0, shownOpen);
    const silent = result.open.filter(({ stage, entries, unsure }) => stage !== 'entered' && entries > 0 && !unsure);
    const told =
      silent.length === 0
        ? ''
        : `${plural(silent.length, 'interrupt')} did not get into the guest although its vCPU ran on: the guest has interrupts masked, or does not answer.\n`;
    parts.push(
      notEnded(open.length, result.open.length, terminal) +
        rowsTable(openInterruptColumns, open, scope, terminal) +
        told,
    );
  }
  if (result.unaccepted.length > 0) parts.push(neverArrived(answer, terminal));
  const dim = untold(result).map((line) => terminal.style('dim', line));
  parts.push(closingPart(dim, reading, terminal, 'Interrupts that lost events may be missing from are left out.'));
  return inParts(parts);
}

function timerNote({ timers }: InterruptsResult): string {
  const [late, early] = [timers.reduce((n, one) => n + one.late, 0), timers.reduce((n, one) => n + one.early, 0)];
  if (late + early === 0) return '';
  const share = early === 0 ? 'all' : count(late);
  return `Of ${plural(late + early, 'deadline')} that KVM looked at before an entry, ${share} had passed.\n`;
}

/** IPIs that no local APIC took: that is no slow guest, they got lost. */
function neverArrived({ result, trace }: InterruptsAnswer, terminal: Terminal): string {
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const lines = result.unaccepted.slice(0, shownOpen).map(({ from, vector, target, count: n, last }) => {
    const sender = from < 0 ? '' : ` from vCPU ${from}`;
    return `  ${count(n)} of vector ${vectorName(vector)}${sender} to destination ${target}, the last at ${stamp(last)}\n`;
  });
  const all = result.unaccepted.reduce((sum, { count }) => sum + count, 0);
  return `${terminal.style('strong', 'IPIs that never arrived')}: ${count(all)}, which no local APIC accepted\n${lines.join('')}`;
}

function untold({ told, merged, straddling }: InterruptsResult): string[] {
  const lines: string[] = [];
  if (merged > 0) lines.push(`${plural(merged, 'interrupt')} came again before the guest saw the first: it sees one.`);
  if (straddling > 0) lines.push(`${plural(straddling, 'interrupt')} left out, between whose events others were lost.`);
  const lacking = [
    ...(told.accept ? [] : ['kvm:kvm_apic_accept_irq (when they are accepted)']),
    ...(told.inject ? [] : ['kvm:kvm_inj_virq (when they are injected)']),
    ...(told.eoi ? [] : ['kvm:kvm_eoi (when the guest is done)']),
    ...(told.ipi ? [] : ['kvm:kvm_apic_ipi (who sends IPIs)']),
  ];
  for (const one of lacking) lines.push(`Not in the recording: ${one}.`);
  if (lacking.length > 0) lines.push(`To record all: ${recordLines('interrupts')[0]}`);
  return lines;
}

import { recordLines } from '../trace/recorders.ts';
import type { WakeCause, WakesResult } from '../views/wakes.ts';
import { shownRows } from './answer.ts';
import { closingPart, howMany, inParts } from './answer-parts.ts';
import { sortRows } from './column-names.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { notEnded } from './groups.ts';
import { heatmapText } from './heatmap-text.ts';
import type { Terminal } from './terminal.ts';
import { lengths, percent, plural } from './units.ts';
import {
  causeColumns,
  lateColumns,
  openHaltColumns,
  pollColumns,
  type WakesAnswer,
  wakerColumns,
  wakesScope,
  wokenVcpuColumns,
} from './wakes-columns.ts';

/** Wakers shown of all. */
const shownWakers = 12;

/** The rows, in the order that was asked for. */
export function causeLines(answer: WakesAnswer): WakeCause[] {
  return sortRows(causeColumns, answer.result.causes, answer.sort, wakesScope(answer), ({ cause }) => [cause]);
}

/** The whole answer as text. */
export function wakesText(answer: WakesAnswer, terminal: Terminal): string {
  const { trace, result, reading, than } = answer;
  const scope = wakesScope(answer);
  const { long, short } = lengths(scope.unit);
  const strong = (text: string) => terminal.style('strong', text);
  const { all, vcpus } = result;
  const of = vcpus.length === 0 ? '' : ` of ${plural(vcpus.length, 'vCPU')}`;
  const part = percent(all.halted.total / (result.duration * vcpus.length));
  const time = all.halted.count === 0 ? '' : `: ${long(all.halted.total)}, ${part} of their time`;
  const parts = [
    `${terminal.style('heading', escapeText(trace.file))}\n  ${plural(all.halted.count, 'halt')}${of} in ${long(result.duration)}${time}\n`,
  ];
  if (all.halted.count === 0) parts.push(noneText('no halt that ended', answer));
  else {
    const sum: WakeCause = { cause: 'all', ...all };
    const lines = causeLines(answer);
    const rows = lines.length > 1 ? [...lines, sum] : lines;
    parts.push(
      rowsTable(causeColumns, rows, scope, terminal, (row) => (row === sum ? 'strong' : undefined)) +
        note(result, terminal),
    );
    const wakers = result.wakers.filter(({ cause }) => cause !== 'polled');
    if (wakers.length > 0) {
      const title = strong('Who woke them');
      const cut = wakers.length > shownWakers ? `, the first ${shownWakers} of ${wakers.length}` : '';
      parts.push(`${title}${cut}\n${rowsTable(wakerColumns, wakers.slice(0, shownWakers), scope, terminal)}`);
    }
    if (vcpus.length > 1)
      parts.push(`${strong('By vCPU')}\n${rowsTable(wokenVcpuColumns, vcpus.slice(0, shownRows), scope, terminal)}`);
    if (all.useful.count + all.wasted.count > 0) {
      const title = strong('What halt polling was worth');
      parts.push(`${title}\n${rowsTable(pollColumns, vcpus.slice(0, shownRows), scope, terminal)}`);
    }
    if (result.heat !== undefined)
      parts.push(
        `${strong('Wake-ups over time, by how late they ran')}\n${heatmapText(result.heat, terminal, scope.unit)}`,
      );
    if (result.slow !== undefined) {
      const title = strong(than === undefined ? 'The latest wake-ups' : `Wake-ups later than ${short(than)}`);
      parts.push(
        `${title}${howMany(result.slow.length, result.over)}\n${rowsTable(lateColumns, result.slow, scope, terminal)}`,
      );
    }
  }
  if (result.open.length > 0) {
    const open = result.open.slice(0, shownRows);
    parts.push(notEnded(open.length, result.open.length, terminal) + rowsTable(openHaltColumns, open, scope, terminal));
  }
  const dim = untold(result).map((line) => terminal.style('dim', line));
  parts.push(closingPart(dim, reading, terminal, 'Halts that lost events may be missing from are left out.'));
  return inParts(parts);
}

function note({ all }: WakesResult, terminal: Terminal): string {
  const lines = ['latency: from the waking until the thread had a CPU; slept: until the waking.'];
  if (all.latency.count === 0) lines.length = 0;
  return lines.map((line) => `${terminal.style('dim', line)}\n`).join('');
}

/** What the recording does not tell, and how to record it. */
function untold({ told, all }: WakesResult): string[] {
  const lacking = [
    ...(told.sched
      ? []
      : ['sched:sched_switch and sched:sched_waking (who woke them, how long they slept, how late they ran)']),
    ...(told.interrupts ? [] : ['kvm:kvm_apic_accept_irq (what they were woken for)']),
    ...(told.wakeup ? [] : ['kvm:kvm_vcpu_wakeup (halt polling)']),
  ];
  if (lacking.length === 0 || all.halted.count === 0) return [];
  return [...lacking.map((one) => `Not in the recording: ${one}.`), `To record all: ${recordLines('wakes')[0]}`];
}

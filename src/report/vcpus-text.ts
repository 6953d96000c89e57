import { vcpuName } from '../spans/vcpu.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import { timestamps } from '../trace/time-stamp.ts';
import { heldOutside, type VcpuRow, type VcpusResult } from '../views/vcpus.ts';
import { rowsTable } from './columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { timeColumns } from './heatmap-text.ts';
import { remarks } from './remarks.ts';
import { displayWidth, type Terminal } from './terminal.ts';
import { duration, plural, shortDuration } from './units.ts';
import { stateLooks, untoldLine } from './vcpu-states.ts';
import type { StateLine, VcpuLine, VcpuScope, VcpusAnswer } from './vcpus-columns.ts';
import { lineColumns, vcpuScope, vcpuStateColumns } from './vcpus-columns.ts';

/** The whole answer as text. */
export function vcpusText(answer: VcpusAnswer, terminal: Terminal): string {
  const { trace, result, reading } = answer;
  const scope = vcpuScope(result);
  const parts = [`${terminal.style('heading', escapeText(trace.file))}\n  ${summary(result)}\n`];
  // In a stretch before anything told of them.
  if (result.rows.length === 0)
    return `${parts[0]}\n${noneText('no event tells of a vCPU', answer)}${remarks(reading, terminal, '')}`;
  parts.push(sharesTable(result, scope, terminal));
  if (result.timeline !== undefined) parts.push(timelineText(result, scope, terminal));
  parts.push(statesTable(answer, scope, terminal));
  const others = othersText(result, scope);
  if (others !== '') parts.push(others);
  const closing = [
    ...result.rows.flatMap((row) => (row.open === undefined ? [] : [openLine(row, scope)])),
    ...result.untold.map((one) => terminal.style('dim', untoldLine(one))),
  ].map((line) => `${line}\n`);
  parts.push(
    closing.join('') + remarks(reading, terminal, 'The time in which a vCPU was out of sight is called unsure.'),
  );
  return parts.filter((part) => part !== '').join('\n');
}

function summary({ rows, duration: length }: VcpusResult): string {
  const vms = new Set(rows.map(({ vcpu }) => vcpu.vm));
  const of = vms.size > 1 ? ` of ${plural(vms.size, 'VM')}` : '';
  return `${plural(rows.length, 'vCPU')}${of} in ${duration(length)}`;
}

function sharesTable({ rows }: VcpusResult, scope: VcpuScope, terminal: Terminal): string {
  const all: VcpuLine | undefined = rows.length > 1 ? sum(rows) : undefined;
  const lines: VcpuLine[] = all === undefined ? rows : [...rows, all];
  return rowsTable(lineColumns, lines, scope, terminal, (line) => (line === all ? 'strong' : undefined));
}

function sum(rows: readonly VcpuRow[]): Pick<VcpuRow, 'wall' | 'exits' | 'states' | 'polled' | 'asleepInKvm'> {
  const states = Object.fromEntries(
    vcpuStates.map((state) => [state, rows.reduce((total, row) => total + row.states[state], 0)]),
  ) as Record<VcpuState, number>;
  const of = (key: 'wall' | 'exits' | 'polled' | 'asleepInKvm') => rows.reduce((total, row) => total + row[key], 0);
  return { wall: of('wall'), exits: of('exits'), polled: of('polled'), asleepInKvm: of('asleepInKvm'), states };
}

/** The states of all vCPUs together, and the longest stretch of each. */
function statesTable({ trace, result: { rows } }: VcpusAnswer, scope: VcpuScope, terminal: Terminal): string {
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const all = sum(rows);
  const lines: StateLine[] = [];
  for (const state of scope.states) {
    const first = rows.reduce((best, row) =>
      (row.longest[state]?.duration ?? 0) > (best.longest[state]?.duration ?? 0) ? row : best,
    );
    const longest = first.longest[state];
    lines.push({
      kind: 'state',
      name: stateLooks[state].name,
      total: all.states[state],
      share: all.states[state] / all.wall,
      longest: longest && {
        duration: longest.duration,
        at: stamp(longest.begin),
        vcpu: vcpuName(first.vcpu, scope.repeat),
      },
    });
    const part = state === 'halted' ? all.polled : state === 'kvm' ? all.asleepInKvm : 0;
    const name = state === 'halted' ? '  of it halt polling' : '  of it asleep, without a halt';
    if (part > 0) lines.push({ kind: 'part', name, total: part, share: part / all.wall });
  }
  lines.push({ kind: 'sum', name: 'held outside the guest', ...heldOutside(rows) });
  const styles = { state: undefined, part: 'dim', sum: 'strong' } as const;
  const within = { ...scope, several: rows.length > 1 };
  const table = rowsTable(vcpuStateColumns, lines, within, terminal, ({ kind }) => styles[kind]);
  return `${table}${terminal.style('dim', heldNote)}\n`;
}

/** What is held up, and what is the guest's own sleep. */
const heldNote = 'held outside the guest: neither in it nor halted; of an exit by a halt, the sleep is halted.';

function timelineText({ rows, timeline }: VcpusResult, { repeat }: VcpuScope, terminal: Terminal): string {
  const shown = rows.filter((row) => row.timeline !== undefined);
  const names = shown.map((row) => vcpuName(row.vcpu, repeat));
  const margin = Math.max(4, ...names.map((name) => name.length)) + 1;
  const bins = Math.max(1, ...shown.map((row) => (row.timeline as unknown[]).length));
  const { perColumn, columns, cellWidth } = timeColumns(bins, Math.max(8, terminal.width - margin - 1));
  const painted = terminal.colors >= 8;
  const used = new Set<VcpuState>();
  const lines = shown.map((row, n) => {
    const { timeline: states } = row as { timeline: (VcpuState | undefined)[] };
    let text = '';
    for (let column = 0; column < columns; column++) {
      const state = most(states.slice(column * perColumn, (column + 1) * perColumn));
      if (state !== undefined) used.add(state);
      const { letter, color } = state === undefined ? { letter: ' ', color: undefined } : stateLooks[state];
      text += painted ? terminal.paint(' '.repeat(cellWidth), undefined, color) : letter.repeat(cellWidth);
    }
    return `${(names[n] as string).padStart(margin - 1)} ${text}`;
  });
  const { from, step } = timeline as NonNullable<typeof timeline>;
  const [left, right] = [from, from + columns * perColumn * step].map((time) =>
    time === 0 ? '0 s' : shortDuration(time),
  ) as [string, string];
  const axis = `${' '.repeat(margin)}${left}${right.padStart(Math.max(0, columns * cellWidth - left.length))}`;
  const legend = vcpuStates
    .filter((state) => used.has(state))
    .map((state) => {
      const { name, letter, color } = stateLooks[state];
      return `${painted ? terminal.paint('  ', undefined, color) : letter} ${name}`;
    });
  const title = `${terminal.style('strong', 'What each vCPU did most, over time')}\n`;
  return `${title}${lines.join('\n')}\n${axis}\n${fold(legend, margin, terminal.width)}`;
}

function most(states: readonly (VcpuState | undefined)[]): VcpuState | undefined {
  const counts = new Map<VcpuState, number>();
  for (const state of states) if (state !== undefined) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** Items side by side on as few lines as fit. */
function fold(items: readonly string[], indent: number, width: number): string {
  const lines: string[] = [];
  let length = Number.POSITIVE_INFINITY;
  for (const item of items) {
    // Colours take no room; what stands for them is two blanks.
    const shown = displayWidth(item) + 3;
    if (length + shown > width) {
      lines.push(' '.repeat(indent) + item);
      length = indent + shown;
    } else {
      lines[lines.length - 1] += `   ${item}`;
      length += shown;
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

function othersText({ others, rows }: VcpusResult, { repeat }: VcpuScope): string {
  const own = new Map(rows.map((row) => [row.vcpu.tid, vcpuName(row.vcpu, repeat)]));
  const total = others.reduce((all, { time }) => all + time, 0);
  if (total === 0) return '';
  const list = others.map(({ tid, comm, time }) => {
    const vcpu = own.get(tid);
    const name =
      tid === 0 ? 'waking an idle CPU' : vcpu !== undefined ? `vCPU ${vcpu}` : `${escapeText(comm)} (${tid})`;
    return `${name} ${duration(time)}`;
  });
  return `Preempted or waiting to run behind: ${list.join(', ')}.\n`;
}

function openLine(row: VcpuRow, { repeat }: VcpuScope): string {
  const { reason, age } = row.open as { reason: string; age: number };
  return `vCPU ${vcpuName(row.vcpu, repeat)} is out of the guest at the end: exit ${escapeText(reason)}, ${shortDuration(age)} ago.`;
}

import { numbersRepeat, vcpuName } from '../spans/vcpu.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { heldOutside, type VcpuRow, type VcpusResult } from '../views/vcpus.ts';
import type { VcpusJson } from './answers.ts';
import { csv } from './csv.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { number, whole } from './json.ts';
import { remarks, remarksJson } from './remarks.ts';
import { type Cell, type Column, table } from './table.ts';
import { displayWidth, type Terminal } from './terminal.ts';
import { duration, percent, plural, rate, shortDuration } from './units.ts';
import { stateLooks, toldStates, untoldJson, untoldLine } from './vcpu-states.ts';

/** What `virtap vcpus` needs to say of one trace. */
export type VcpusAnswer = { trace: Trace; result: VcpusResult; reading: Reading };

/** The whole answer as text. */
export function vcpusText(answer: VcpusAnswer, terminal: Terminal): string {
  const { trace, result, reading } = answer;
  const parts = [`${terminal.style('heading', escapeText(trace.file))}\n  ${summary(result)}\n`];
  // In a stretch before anything told of them.
  if (result.rows.length === 0)
    return `${parts[0]}\n${noneText('no event tells of a vCPU', answer)}${remarks(reading, terminal, '')}`;
  parts.push(sharesTable(answer, terminal));
  if (result.timeline !== undefined) parts.push(timelineText(result, terminal));
  parts.push(statesTable(answer, terminal));
  const others = othersText(result);
  if (others !== '') parts.push(others);
  const closing = [
    ...result.rows.flatMap((row) => (row.open === undefined ? [] : [openLine(row, result)])),
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

/** By list of rows, whether they are of more than one VM: asked for every row. */
const ofSeveralVms = new WeakMap<object, boolean>();

function nameOf({ vcpu }: Pick<VcpuRow, 'vcpu'>, rows: readonly Pick<VcpuRow, 'vcpu'>[]): string {
  let several = ofSeveralVms.get(rows);
  if (several === undefined) {
    several = numbersRepeat(rows.map((row) => row.vcpu));
    ofSeveralVms.set(rows, several);
  }
  return vcpuName(vcpu, several);
}

function sharesTable({ result }: VcpusAnswer, terminal: Terminal): string {
  const { rows, untold } = result;
  const states = toldStates(
    rows.map((row) => row.states),
    untold,
  );
  const columns: Column[] = [
    { title: 'vCPU' },
    { title: 'thread', align: 'right', priority: 2 },
    { title: 'wall', align: 'unit', priority: 1 },
    { title: 'exits', align: 'right', priority: 3 },
    ...states.map((state): Column => ({ title: state, align: 'unit' })),
  ];
  const cells = (wall: number, exits: number, of: Record<VcpuState, number>) => [
    duration(wall),
    rate((exits * 1e9) / result.duration),
    ...states.map((state) => percent(of[state] / wall)),
  ];
  const lines: Cell[][] = rows.map((row) => [
    nameOf(row, rows),
    String(row.vcpu.tid),
    ...cells(row.wall, row.exits, row.states),
  ]);
  if (rows.length > 1) {
    const all = sum(rows);
    lines.push(['all', '', ...cells(all.wall, all.exits, all.states)].map((text): Cell => ({ text, style: 'strong' })));
  }
  return table(columns, lines, terminal);
}

function sum(rows: readonly VcpuRow[]): Pick<VcpuRow, 'wall' | 'exits' | 'states' | 'polled' | 'asleepInKvm'> {
  const states = Object.fromEntries(
    vcpuStates.map((state) => [state, rows.reduce((total, row) => total + row.states[state], 0)]),
  ) as Record<VcpuState, number>;
  const of = (key: 'wall' | 'exits' | 'polled' | 'asleepInKvm') => rows.reduce((total, row) => total + row[key], 0);
  return { wall: of('wall'), exits: of('exits'), polled: of('polled'), asleepInKvm: of('asleepInKvm'), states };
}

/** The states of all vCPUs together, and the longest stretch of each. */
function statesTable({ trace, result }: VcpusAnswer, terminal: Terminal): string {
  const { rows, untold } = result;
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const all = sum(rows);
  const columns: Column[] = [
    { title: rows.length > 1 ? 'all vCPUs' : 'state', shrink: 16 },
    { title: 'total', align: 'unit' },
    { title: 'share', align: 'unit' },
    { title: 'longest', align: 'unit' },
    ...(rows.length > 1 ? [{ title: 'of vCPU' }] : []),
    { title: 'at', priority: 1 },
  ];
  const lines: Cell[][] = [];
  for (const state of toldStates(
    rows.map((row) => row.states),
    untold,
  )) {
    const first = rows.reduce((best, row) =>
      (row.longest[state]?.duration ?? 0) > (best.longest[state]?.duration ?? 0) ? row : best,
    );
    const longest = first.longest[state];
    lines.push([
      stateLooks[state].name,
      duration(all.states[state]),
      percent(all.states[state] / all.wall),
      longest === undefined ? '-' : duration(longest.duration),
      ...(rows.length > 1 ? [longest === undefined ? '' : nameOf(first, rows)] : []),
      longest === undefined ? '' : stamp(longest.begin),
    ]);
    const part = state === 'halted' ? all.polled : state === 'kvm' ? all.asleepInKvm : 0;
    if (part > 0)
      lines.push([
        { text: state === 'halted' ? '  of it halt polling' : '  of it asleep, without a halt', style: 'dim' },
        { text: duration(part), style: 'dim' },
        { text: percent(part / all.wall), style: 'dim' },
      ]);
  }
  const held = heldOutside(rows);
  lines.push(
    [
      'held outside the guest',
      duration(held.total),
      percent(held.share),
      '-',
      ...(rows.length > 1 ? [''] : []),
      '',
    ].map((text): Cell => ({ text, style: 'strong' })),
  );
  return `${table(columns, lines, terminal)}${terminal.style('dim', heldNote)}\n`;
}

/** What is held up, and what is the guest's own sleep. */
const heldNote = 'held outside the guest: neither in it nor halted; of an exit by a halt, the sleep is halted.';

function timelineText({ rows, timeline }: VcpusResult, terminal: Terminal): string {
  const shown = rows.filter((row) => row.timeline !== undefined);
  const names = shown.map((row) => nameOf(row, rows));
  const margin = Math.max(4, ...names.map((name) => name.length)) + 1;
  const bins = Math.max(1, ...shown.map((row) => (row.timeline as unknown[]).length));
  const perColumn = Math.ceil(bins / Math.max(8, terminal.width - margin - 1));
  const columns = Math.ceil(bins / perColumn);
  const stretch = Math.max(1, Math.floor((terminal.width - margin - 1) / columns));
  const painted = terminal.colors >= 8;
  const used = new Set<VcpuState>();
  const lines = shown.map((row, n) => {
    const { timeline: states } = row as { timeline: (VcpuState | undefined)[] };
    let text = '';
    for (let column = 0; column < columns; column++) {
      const state = most(states.slice(column * perColumn, (column + 1) * perColumn));
      if (state !== undefined) used.add(state);
      const { letter, color } = state === undefined ? { letter: ' ', color: undefined } : stateLooks[state];
      text += painted ? terminal.paint(' '.repeat(stretch), undefined, color) : letter.repeat(stretch);
    }
    return `${(names[n] as string).padStart(margin - 1)} ${text}`;
  });
  const { from, step } = timeline as NonNullable<typeof timeline>;
  const [left, right] = [from, from + columns * perColumn * step].map((time) =>
    time === 0 ? '0 s' : shortDuration(time),
  ) as [string, string];
  const axis = `${' '.repeat(margin)}${left}${right.padStart(Math.max(0, columns * stretch - left.length))}`;
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

function othersText({ others, rows }: VcpusResult): string {
  const own = new Map(rows.map((row) => [row.vcpu.tid, nameOf(row, rows)]));
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

function openLine(row: VcpuRow, { rows }: VcpusResult): string {
  const { reason, age } = row.open as { reason: string; age: number };
  return `vCPU ${nameOf(row, rows)} is out of the guest at the end: exit ${escapeText(reason)}, ${shortDuration(age)} ago.`;
}

/** The whole answer for programs: docs/json.md. */
export function vcpusJson({ trace, result, reading }: VcpusAnswer): VcpusJson {
  const { rows, untold, timeline } = result;
  const states = toldStates(
    rows.map((row) => row.states),
    untold,
  );
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    origin: trace.origin.toString(),
    vcpus: rows.map((row) => ({
      vm: row.vcpu.vm ?? null,
      vcpu: row.vcpu.number ?? null,
      tid: row.vcpu.tid,
      begin_ns: whole(row.begin),
      end_ns: whole(row.end),
      wall_ns: whole(row.wall),
      exits: row.exits,
      states: Object.fromEntries(states.map((state) => [state, whole(row.states[state])])),
      halt_polling_ns: untold.some(({ state }) => state === 'halt polling') ? null : whole(row.polled),
      asleep_in_kvm_ns: whole(row.asleepInKvm),
      longest: Object.fromEntries(
        states.flatMap((state) => {
          const stretch = row.longest[state];
          return stretch === undefined
            ? []
            : [[state, { begin_ns: whole(stretch.begin), duration_ns: whole(stretch.duration) }]];
        }),
      ),
      open_exit: row.open === undefined ? null : { reason: row.open.reason, age_ns: whole(row.open.age) },
      timeline: row.timeline?.map((state) => state ?? null),
    })),
    timeline:
      timeline === undefined ? undefined : { from_ns: whole(timeline.from), time_step_ns: whole(timeline.step) },
    held_outside_guest: heldJson(rows),
    not_told_apart: untoldJson(untold),
    ran_instead: result.others.map(({ tid, comm, time }) => ({ tid, comm, time_ns: whole(time) })),
    ...remarksJson(reading),
  };
}

function heldJson(rows: readonly VcpuRow[]): VcpusJson['held_outside_guest'] {
  const { total, share } = heldOutside(rows);
  return { total_ns: whole(total), share: number(share) };
}

/** One row a vCPU. */
export function vcpusCsv({ result }: VcpusAnswer): string {
  const states = toldStates(
    result.rows.map((row) => row.states),
    result.untold,
  );
  return csv(
    ['vm', 'vcpu', 'tid', 'wall_ns', 'exits', ...states.map((state) => `${state}_ns`)],
    result.rows.map((row) => [
      row.vcpu.vm,
      row.vcpu.number,
      row.vcpu.tid,
      row.wall,
      row.exits,
      ...states.map((state) => row.states[state]),
    ]),
  );
}

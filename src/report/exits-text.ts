import type { DetailLabel } from '../spans/exit-detail.ts';
import type { Stats } from '../spans/summary.ts';
import { inOrder, numbersRepeat, type Vcpu, vcpuName } from '../spans/vcpu.ts';
import { isArm64, recordLines } from '../trace/recorders.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Dimension, ExitResult, ExitRow, Group, Untimed } from '../views/exits.ts';
import type { Reading } from '../views/reading.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { type DividedLine, divisionsOf, divisionTable, heldLine, sumOf } from './exit-division.ts';
import { heatmapText } from './heatmap-text.ts';
import { remarks } from './remarks.ts';
import { figureCells, figureColumns, howMany, lengths, type SortKey, shownRows, sorted } from './stats-table.ts';
import { type Cell, type Column, table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { count, percent, plural, rate } from './units.ts';

const recordInner = "add -e 'kvm:*' -e sched:sched_switch -e sched:sched_waking to see what happened within them";

/** Exits that are not over at the end, shown one by one. */
const shownOpen = 8;
export type SlowAnswer = NonNullable<ExitResult['slow']>[number];

/** What a command needs to say of one trace. */
export type ExitAnswer = {
  trace: Trace;
  result: ExitResult;
  reading: Reading;
  sort: SortKey;
  /** Whether halts are in the heat map and among the slow exits. */
  halts: boolean;
  /** The threshold for slow exits, undefined where the user gave none. */
  than: number | undefined;
};

/** Why nothing can be said of exits in a recording without them, and what to record: a sentence, and lines that follow it. */
export function noExits({
  trace,
  reading,
}: Pick<ExitAnswer, 'trace' | 'reading'>): [sentence: string, ...lines: string[]] {
  const names = trace.types.slice(0, 6).map((type) => type.name);
  if (trace.types.length > names.length) names.push('…');
  const holds = names.length === 0 ? '' : ` It holds ${names.join(', ')}.`;
  if (trace.traits?.live) return [`${trace.file}: none of its vCPUs left its guest in this time`];
  if (trace.traits?.hidesGuestSamples && isArm64(trace))
    return [
      `${trace.file}: there is no kvm_exit in it.${holds} perf script leaves out the samples that perf takes for a guest's, and on an arm64 host these are all kvm_exit and kvm_entry; perf script --guest-code prints them, and virtap reads perf.data itself.`,
    ];
  const unread = untellable(
    trace.types.map(({ name }) => name),
    'any kvm_exit',
  );
  if (unread !== undefined) return [`${trace.file}: ${unread}`, ...reading.notes.map((note) => `Note: ${note}`)];
  const partial = reading.partial.length === 0 ? '' : ` What was read is not all: ${reading.partial.join(' ')}`;
  return [
    `${trace.file}: there is no kvm_exit in it.${holds}${partial} To record exits:`,
    ...recordLines('exits').map((line) => `  ${line}`),
    `  (${recordInner})`,
    ...reading.notes.map((note) => `Note: ${note}`),
  ];
}

/** The whole answer as text. */
export function exitsText(answer: ExitAnswer, terminal: Terminal): string {
  const { result, reading } = answer;
  const parts = [heading(answer, terminal)];
  if (result.all.count === 0) parts.push(nothingLeft(answer));
  else if (result.untimed !== undefined) parts.push(countTable(answer, terminal));
  else {
    parts.push(statsTable(answer, terminal));
    if (result.untold !== undefined && divisionsOf(result).length > 0) {
      const names = result.by.map((dimension) => titles[dimension]);
      parts.push(divisionTable(linesOf(answer).lines, names, result.untold, terminal));
    }
    if (result.heat !== undefined) parts.push(heatmapPart(answer, terminal));
    if (result.slow !== undefined) parts.push(slowPart(answer, terminal));
  }
  const closing = [
    ...unpairedLines(result).map((line) => `${line}\n`),
    remarks(reading, terminal, unsure(result)),
  ].join('');
  if (closing !== '') parts.push(closing);
  return parts.join('\n');
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
  const what = `${plural(counts.exits, 'exit')}${time}${of}`;
  return `${title}\n  ${what}\n`;
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

type Line = DividedLine & { stats: Stats; share: number };

const titles: Record<Dimension, string> = {
  reason: 'reason',
  vcpu: 'vCPU',
  vm: 'VM',
  port: 'port',
  gpa: 'MMIO address',
  msr: 'MSR',
  rip: 'guest rip',
  userspace: 'userspace exit',
};

/** The lines of the tables, and how many were too many to be shown. */
function linesOf({ result, sort }: ExitAnswer): { lines: Line[]; hidden: number } {
  const of = (kind: 'busy' | 'halts') =>
    result.rows.flatMap((row) => {
      const stats = row[kind];
      if (stats === undefined) return [];
      return [{ names: groupNames(result, row.group), stats, parts: row.parts?.[kind] }];
    });
  const busy = of('busy');
  const halts = of('halts');
  const sum = (name: string, stats: Stats, rows: readonly Pick<Line, 'parts'>[], share = Number.NaN): Line => {
    const parts = rows.flatMap((row) => row.parts ?? []);
    const blank = result.by.slice(1).map(() => '');
    return { names: [name, ...blank], stats, share, kind: 'sum', parts: parts.length === 0 ? undefined : sumOf(parts) };
  };
  const lines = sorted(busy, sort).map(
    (row): Line => ({ ...row, share: row.stats.total / result.busy.total, kind: 'row' }),
  );
  if (halts.length > 0) {
    if (busy.length > 1) lines.push(sum('without halts', result.busy, busy, 1));
    const others = new Set(busy.map(({ names }) => names.join()));
    for (const row of sorted(halts, sort)) {
      const last = result.by.includes('reason') && !others.has(row.names.join()) ? '' : ' halted';
      lines.push({ ...row, names: row.names.map((n, i) => (i === 0 ? n + last : n)), share: Number.NaN, kind: 'halt' });
    }
    if (halts.length > 1) lines.push(sum('halts', result.halts, halts));
  }
  if (lines.length !== 1) lines.push(sum('all', result.all, [...busy, ...halts]));
  return { lines, hidden: shorten(lines) };
}

function statsTable(answer: ExitAnswer, terminal: Terminal): string {
  const { result } = answer;
  const format = lengths(result.unit);
  const { lines, hidden } = linesOf(answer);
  const columns: Column[] = [
    ...result.by.map((dimension): Column => ({ title: titles[dimension], shrink: 12 })),
    ...figureColumns,
  ];
  const seconds = result.unit === 'ns' ? result.duration / 1e9 : Number.NaN;
  const cells = lines.map(({ names, stats, share, kind }): Cell[] => {
    const texts = [...names.map(escapeText), ...figureCells(stats, share, seconds, format)];
    if (kind === 'row') return texts;
    return texts.map((text) => ({ text, style: kind === 'sum' ? 'strong' : 'dim' }));
  });
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
  return `${table(columns, cells, terminal)}${notes.map((note) => `${terminal.style('dim', note)}\n`).join('')}`;
}

/** Takes out all but the first rows of each kind; gives how many. */
function shorten(lines: Line[]): number {
  const before = lines.length;
  for (const kind of ['row', 'halt'] as const) {
    const first = lines.findIndex((line) => line.kind === kind);
    const count = lines.filter((line) => line.kind === kind).length;
    if (count > shownRows) lines.splice(first + shownRows, count - shownRows);
  }
  return before - lines.length;
}

/** What a group is called, a word for each dimension. */
export function groupNames({ by, vcpus }: ExitResult, group: Group): string[] {
  const several = numbersRepeat(vcpus);
  return by.map((dimension) => nameOf(group, dimension, several));
}

function nameOf(group: Group, dimension: Dimension, severalVms: boolean): string {
  switch (dimension) {
    case 'reason':
    case 'rip':
      return group[dimension] ?? 'others';
    case 'vcpu':
      return group.vcpu === undefined ? 'others' : vcpuName(group.vcpu, severalVms);
    case 'vm':
      return group.vm === undefined ? 'unknown' : String(group.vm);
    default: {
      const label = group[dimension] as DetailLabel | undefined;
      if (label === undefined) return 'others';
      const name = dimension === 'msr' ? msrName(label.value) : '';
      return label.value === undefined ? 'none' : [label.value, label.direction, name].filter((part) => part).join(' ');
    }
  }
}

/** MSRs that guests make exits with most (arch/x86/include/asm/msr-index.h, uapi/asm/kvm_para.h, asm/hyperv-tlfs.h). */
const msrs: Record<string, string> = {
  '0x10': 'TSC',
  '0x1b': 'APIC_BASE',
  '0x3b': 'TSC_ADJUST',
  '0x48': 'SPEC_CTRL',
  '0x49': 'PRED_CMD',
  '0x1a0': 'MISC_ENABLE',
  '0x277': 'PAT',
  '0x6e0': 'TSC_DEADLINE',
  '0x808': 'x2APIC TPR',
  '0x80b': 'x2APIC EOI',
  '0x830': 'x2APIC ICR',
  '0x832': 'x2APIC LVTT',
  '0x838': 'x2APIC TMICT',
  '0x83f': 'x2APIC SELF_IPI',
  '0xc0000080': 'EFER',
  '0x40000020': 'HV TIME_REF_COUNT',
  '0x40000070': 'HV EOI',
  '0x40000071': 'HV ICR',
  '0x400000b1': 'HV STIMER0_COUNT',
  '0x4b564d00': 'KVM_WALL_CLOCK_NEW',
  '0x4b564d01': 'KVM_SYSTEM_TIME_NEW',
  '0x4b564d02': 'KVM_ASYNC_PF_EN',
  '0x4b564d04': 'KVM_PV_EOI_EN',
};

function msrName(value: string | undefined): string {
  const name = msrs[value ?? ''];
  return name === undefined ? '' : `(${name})`;
}

/** Why exits can be counted, but not timed, as the end of a sentence. */
export const untimedWhy: Record<Untimed, string> = {
  times: 'its events have no time stamps that tell how long anything took',
  threads: 'it does not say which threads the events are of',
  entries: 'there is no kvm_entry in it',
};

/** What exits are counted by: how often, but not how long. */
function countTable(answer: ExitAnswer, terminal: Terminal): string {
  const { result } = answer;
  const seconds = result.unit === 'ns' ? result.duration / 1e9 : Number.NaN;
  const all = sortRows(answer);
  const shown = all.slice(0, shownRows);
  const cells = (names: readonly string[], n: number) => [
    ...names,
    count(n),
    rate(n / seconds),
    percent(n / result.all.count),
  ];
  const rows: Cell[][] = shown.map(({ group, all: { count: n } }) =>
    cells(groupNames(result, group).map(escapeText), n),
  );
  if (all.length > 1) {
    const sum = cells(['all', ...result.by.slice(1).map(() => '')], result.all.count);
    rows.push(sum.map((text) => ({ text, style: 'strong' })));
  }
  const text = table(
    [
      ...result.by.map((dimension): Column => ({ title: titles[dimension], shrink: 12 })),
      { title: 'count', align: 'right' },
      { title: 'rate', align: 'right' },
      { title: 'share of exits', align: 'unit' },
    ],
    rows,
    terminal,
  );
  const hidden = all.length - shown.length;
  const more = hidden === 0 ? '' : `${plural(hidden, 'more row')} not shown; --csv and --json have all.\n`;
  const why = untimedWhy[result.untimed ?? 'entries'];
  const remedy = `${why[0]?.toUpperCase()}${why.slice(1)}, so the exits can be counted, but not timed. To record ${result.untimed === 'entries' ? 'both' : 'them with times'}:`;
  return `${text}${terminal.style('dim', more)}\n${terminal.style('warn', remedy)}\n${recordLines('exits')
    .map((line) => `  ${line}\n`)
    .join('')}`;
}

// ---------------------------------------------------------------- heat map and slow exits

function heatmapPart(answer: ExitAnswer, terminal: Terminal): string {
  const { result, halts } = answer;
  const left =
    halts || result.halts.count === 0 ? '' : `, ${plural(result.halts.count, 'halt')} left out (--halts draws them)`;
  const title = terminal.style('strong', 'Exits over time, by how long they took');
  return `${title}${left}\n${heatmapText(result.heat as NonNullable<typeof result.heat>, terminal, result.unit)}`;
}

function slowPart(answer: ExitAnswer, terminal: Terminal): string {
  const { result, trace, halts, than } = answer;
  const slow = result.slow as NonNullable<typeof result.slow>;
  const format = lengths(result.unit);
  const left = halts || result.halts.count === 0 ? '' : '; halts left out (--halts takes them in)';
  const title = than === undefined ? 'Slow exits' : `Exits longer than ${format.short(than)}`;
  const cut = howMany(slow.length, result.over);
  const heading = `${terminal.style('strong', title)}${cut}${left}\n`;
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
    const rows = exit.events.map(({ offset, cpu, name, text, brief }) => [
      `+${format.long(offset)}`,
      cpu === exit.cpu || cpu < 0 ? '' : `CPU ${cpu}`,
      escapeText(name),
      escapeText(brief ?? text.trimEnd()),
    ]);
    const columns: Column[] = [
      { title: '', align: 'unit' },
      { title: '' },
      { title: '', shrink: 16 },
      { title: '', shrink: 20 },
    ];
    // Its first line is that of the titles, which are empty.
    const inner =
      rows.length === 0
        ? 'nothing recorded within it\n'
        : table(columns, rows, terminal).split('\n').slice(1).join('\n');
    const held = heldLine(exit, result, severalVms);
    const more = exit.omitted === 0 ? '' : `  … and ${plural(exit.omitted, 'event')} more\n`;
    return `${head.filter((part) => part !== '').join('  ')}\n${held === '' ? '' : `  ${held}\n`}${inner.replace(/^(?=.)/gm, '  ')}${more}`;
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
  for (const name of unknownReasons) lines.push(`Nothing to exclude: no exit had the reason ${escapeText(name)}.`);
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

export function sortRows({ result, sort }: ExitAnswer): ExitRow[] {
  const key = result.untimed !== undefined && sort !== 'name' ? 'count' : sort;
  const rows = result.rows.map((row) => ({
    row,
    names: groupNames(result, row.group),
    stats: row.all,
  }));
  return sorted(rows, key).map(({ row }) => row);
}

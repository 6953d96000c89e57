import { nothing, type Stats } from '../spans/summary.ts';
import { inOrder, type Vcpu } from '../spans/vcpu.ts';
import type { VcpuState } from '../spans/vcpu-time.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Dimension, ExitResult, ExitRow, Group } from '../views/exits.ts';
import type { ExitRowJson, ExitsJson, SlowExitJson } from './answers.ts';
import { csv } from './csv.ts';
import { divisionsOf, exitStates, partsJson, sumOf, waitJson } from './exit-division.ts';
import { type ExitAnswer, type SlowAnswer, sortRows, untimedWhy } from './exits-text.ts';
import { heatJson } from './heatmap-text.ts';
import { number } from './json.ts';
import { remarksJson } from './remarks.ts';
import { csvFigureNames, csvFigures, statsJson } from './stats-table.ts';
import { timed } from './timed.ts';
import { untoldJson } from './vcpu-states.ts';

/** The whole answer for programs: docs/json.md. Times in `…_ns`, or `…_cycles` where the clock counts cycles. */
export function exitsJson(answer: ExitAnswer): ExitsJson {
  const { trace, result, reading, halts } = answer;
  const { unit, counts } = result;
  const seconds = unit === 'ns' ? result.duration / 1e9 : Number.NaN;
  const stats = (s: Stats) => {
    const { count, rate_per_s, ...figures } = statsJson(s, seconds, unit);
    return { count, rate_per_s, share: number(s.total / result.all.total), ...figures };
  };
  const byReason = result.by.includes('reason');
  const states = statesOf(result);
  const rows: ExitRowJson[] = sortRows(answer).map(({ group, all, busy, halts: halted, parts }) => ({
    ...groupJson(group, result.by),
    ...(byReason ? { halt: halted !== undefined } : {}),
    ...stats(all),
    share_without_halts: busy === undefined ? null : number(busy.total / result.busy.total),
    ...(byReason ? {} : { without_halts: stats(busy ?? nothing), halts: stats(halted ?? nothing) }),
    ...(parts === undefined ? {} : { states: partsJson(sumOf([parts.busy, parts.halts]), states) }),
  }));
  const { heat, untold } = result;
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit,
    origin: trace.origin.toString(),
    ...timed(unit, { duration: result.duration }),
    vcpus: inOrder(result.vcpus, (vcpu: Vcpu) => vcpu).map(vcpuJson),
    by: [...result.by],
    ...(result.inGuest ? { in_guest: true } : {}),
    ...(result.untimed === undefined ? {} : { not_timed: untimedWhy[result.untimed] }),
    totals: { all: stats(result.all), without_halts: stats(result.busy), halts: stats(result.halts) },
    rows,
    unpaired: {
      exits: counts.exits,
      entries: counts.entries,
      pairs: counts.pairs,
      exit_then_exit: counts.exitThenExit,
      open_at_end: counts.openAtEnd,
      straddling_loss: counts.straddlingLoss,
      migrated_across_loss: counts.migratedAcrossLoss,
      entry_first: counts.entryFirst,
      entry_without_exit: counts.entryWithoutExit,
      before_first_entry: counts.beforeFirstEntry,
      ...(counts.exitsWithoutThread > 0 ? { without_thread: counts.exitsWithoutThread } : {}),
      ...(counts.untracked > 0 ? { untracked: counts.untracked } : {}),
    },
    open: result.open.map(({ vcpu, reason, begin, age }) => ({
      ...vcpuJson(vcpu),
      reason,
      ...timed(unit, { begin, age }),
    })),
    ...(untold === undefined ? {} : { not_told_apart: untoldJson(untold) }),
    ...(result.slow === undefined
      ? {}
      : {
          over_threshold: result.over,
          slow: result.slow.map((exit) => slowExitJson(exit, answer)),
        }),
    ...(heat === undefined ? {} : { heatmap: { halts, ...heatJson(heat, unit) } }),
    ...remarksJson(reading),
  };
}

/** The states that the exits' time can be told to be in. */
function statesOf(result: ExitResult): VcpuState[] {
  const slow = (result.slow ?? []).flatMap(({ parts }) => parts ?? []);
  return exitStates([...divisionsOf(result), ...slow], result.untold ?? []);
}

/** One slow exit, with what happened in it. */
export function slowExitJson(exit: SlowAnswer, { trace, result }: Pick<ExitAnswer, 'trace' | 'result'>): SlowExitJson {
  const { unit } = result;
  return {
    time: timestamp(trace.origin, exit.begin, trace.clock.unit),
    ...timed(unit, { begin: exit.begin, duration: exit.duration }),
    ...vcpuJson(exit.vcpu),
    cpu: exit.cpu < 0 ? null : exit.cpu,
    reason: exit.reason,
    rip: exit.rip,
    ...(exit.parts === undefined ? {} : { states: partsJson(exit.parts, statesOf(result)) }),
    ...(exit.asleep > 0 ? { asleep_in_kvm_ns: exit.asleep } : {}),
    ...(exit.wait === undefined || result.lockNames === undefined
      ? {}
      : { lock_wait: waitJson(exit.wait, result.lockNames) }),
    events: exit.events.map((event) => ({
      ...timed(unit, { offset: event.offset }),
      event: event.name,
      cpu: event.cpu < 0 ? null : event.cpu,
      ...(event.effect === undefined ? {} : { effect: event.effect }),
      ...(event.brief === undefined ? {} : { brief: event.brief }),
      text: event.text.trimEnd(),
    })),
    omitted: exit.omitted,
  };
}

/** The table for spreadsheets: a line for each group, and another for its halts. */
export function exitsCsv(answer: ExitAnswer): string {
  const { result } = answer;
  const { unit } = result;
  const divisions = divisionsOf(result);
  const states = divisions.length === 0 ? [] : exitStates(divisions, result.untold ?? []);
  const figures = result.untimed === undefined ? csvFigureNames(unit) : ['count', 'rate_per_s'];
  const header = [...result.by.flatMap(csvColumns), 'halt', ...figures, ...states.map((state) => `${state}_ns`)];
  const seconds = unit === 'ns' ? result.duration / 1e9 : Number.NaN;
  const line = (row: ExitRow, halt: boolean) => {
    const s = halt ? row.halts : row.busy;
    if (s === undefined) return [];
    const names = result.by.flatMap((dimension) => csvNames(row.group, dimension));
    const parts = halt ? row.parts?.halts : row.parts?.busy;
    return [
      [
        ...names,
        String(halt),
        ...csvFigures(s, seconds).slice(0, figures.length),
        ...states.map((state) => parts?.[state]),
      ],
    ];
  };
  const rows = sortRows(answer);
  return csv(header, [...rows.flatMap((row) => line(row, false)), ...rows.flatMap((row) => line(row, true))]);
}

function groupJson(group: Group, by: readonly Dimension[]): { [key: string]: string | number | null } {
  const out: { [key: string]: string | number | null } = {};
  for (const dimension of by) {
    const names = csvColumns(dimension);
    csvNames(group, dimension).forEach((value, i) => {
      out[names[i] as string] = value ?? null;
    });
  }
  return out;
}

/** The columns that a dimension takes. */
function csvColumns(dimension: Dimension): string[] {
  switch (dimension) {
    case 'vcpu':
      return ['vm', 'vcpu', 'tid'];
    case 'port':
    case 'gpa':
    case 'msr':
      return [dimension, 'direction'];
    default:
      return [dimension];
  }
}

function csvNames(group: Group, dimension: Dimension): (string | number | undefined)[] {
  switch (dimension) {
    case 'vcpu':
      return [group.vcpu?.vm, group.vcpu?.number, group.vcpu?.tid];
    case 'vm':
      return [group.vm];
    case 'reason':
    case 'rip':
      return [group[dimension] ?? 'others'];
    case 'userspace':
      return [group.userspace === undefined ? 'others' : group.userspace.value];
    default: {
      const label = group[dimension];
      return label === undefined ? ['others', undefined] : [label.value, label.direction];
    }
  }
}

function vcpuJson({ vm, number, tid }: Vcpu): { vm: number | null; vcpu: number | null; tid: number } {
  return { vm: vm ?? null, vcpu: number ?? null, tid };
}

import { inOrder, type Vcpu } from '../spans/vcpu.ts';
import { headJson } from './answer.ts';
import type { ExitsJson, SlowExitJson } from './answers.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { divisionsOf, exitStates } from './exit-division.ts';
import {
  divisionColumns,
  exitColumns,
  exitScope,
  groupColumns,
  groupKeys,
  openExitColumns,
  type SlowAnswer,
  slowExitColumns,
  totalJson,
} from './exits-columns.ts';
import { csvLines, groupLines, scopeOfExits } from './exits-lines.ts';
import type { ExitAnswer } from './exits-text.ts';
import { heatJson } from './heat-json.ts';
import { untimedWhy } from './no-exits.ts';
import { remarksJson } from './remarks.ts';
import { vcpuJson } from './vcpu-keys.ts';
import { untoldJson } from './vcpu-states.ts';

/** The whole answer for programs: docs/json.md. Times in `…_ns`, or `…_cycles` where the clock counts cycles. */
export function exitsJson(answer: ExitAnswer): ExitsJson {
  const { trace, result, reading, halts } = answer;
  const { unit, counts, heat, untold } = result;
  const scope = scopeOfExits(result);
  const names = groupKeys(result.by);
  return {
    ...headJson(trace, scope, result.duration),
    vcpus: inOrder(result.vcpus, (vcpu: Vcpu) => vcpu).map(vcpuJson),
    by: [...result.by],
    ...(result.inGuest ? { in_guest: true } : {}),
    ...(result.untimed === undefined ? {} : { not_timed: untimedWhy[result.untimed] }),
    totals: {
      all: totalJson(result.all, scope),
      without_halts: totalJson(result.busy, scope),
      halts: totalJson(result.halts, scope),
    },
    rows: groupLines(answer).map((line) => ({ ...rowJson(names, line, scope), ...rowJson(exitColumns, line, scope) })),
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
    open: result.open.map((exit) => rowJson(openExitColumns, exit, scope)),
    ...(untold === undefined ? {} : { not_told_apart: untoldJson(untold) }),
    ...(result.slow === undefined
      ? {}
      : { over_threshold: result.over, slow: result.slow.map((exit) => slowExitJson(exit, answer)) }),
    ...(heat === undefined ? {} : { heatmap: { halts, ...heatJson(heat, unit) } }),
    ...remarksJson(reading),
  };
}

/** One slow exit, with what happened in it. */
export function slowExitJson(exit: SlowAnswer, { trace, result }: Pick<ExitAnswer, 'trace' | 'result'>): SlowExitJson {
  return rowJson(slowExitColumns, exit, { ...scopeOfExits(result), trace, lockNames: result.lockNames });
}

/** The table for spreadsheets: a line for each group, and another for its halts. */
export function exitsCsv(answer: ExitAnswer): string {
  const { result } = answer;
  const divisions = divisionsOf(result);
  const states = divisions.length === 0 ? [] : exitStates(divisions, result.untold ?? []);
  const columns = [...groupColumns(result.by), ...exitColumns, ...divisionColumns];
  return rowsCsv(columns, csvLines(answer), exitScope(result, states));
}

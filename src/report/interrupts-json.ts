import { vectorName } from '../spans/vector.ts';
import { headJson } from './answer.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { heatJson } from './heat-json.ts';
import {
  type InterruptsAnswer,
  interruptColumns,
  interruptsScope,
  ipiColumns,
  openInterruptColumns,
  slowInterruptColumns,
  timerColumns,
} from './interrupts-columns.ts';
import { interruptLines } from './interrupts-text.ts';
import type { Json } from './json.ts';
import { remarksJson } from './remarks.ts';
import { timed } from './timed.ts';

/** The whole answer for programs: docs/json.md. */
export function interruptsJson(answer: InterruptsAnswer): Json {
  const { trace, result, reading } = answer;
  const scope = interruptsScope(answer);
  const {
    vector: _,
    kind: __,
    device: ___,
    ...totals
  } = rowJson(interruptColumns, { vector: -1, kind: '', device: '', ...result.all }, scope);
  return {
    ...headJson(trace, scope, result.duration),
    totals,
    rows: interruptLines(answer).map((row) => rowJson(interruptColumns, row, scope)),
    ipis: result.ipis.map((row) => rowJson(ipiColumns, row, scope)),
    timers: result.timers.map((row) => rowJson(timerColumns, row, scope)),
    merged: result.merged,
    straddling_loss: result.straddling,
    open: result.open.map((row) => rowJson(openInterruptColumns, row, scope)),
    never_accepted: result.unaccepted.map(({ from, vector, target, count, last }) => ({
      from: from < 0 ? null : from,
      to: target < 0 ? null : target,
      vector: vectorName(vector),
      count,
      ...timed(scope.unit, { last }),
    })),
    recorded: { ...result.told },
    ...(result.slow === undefined
      ? {}
      : { over_threshold: result.over, slow: result.slow.map((row) => rowJson(slowInterruptColumns, row, scope)) }),
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, scope.unit) }),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets. */
export function interruptsCsv(answer: InterruptsAnswer): string {
  return rowsCsv(interruptColumns, interruptLines(answer), interruptsScope(answer));
}

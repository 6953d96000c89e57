import { headJson } from './answer.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { heatJson } from './heat-json.ts';
import type { Json } from './json.ts';
import { remarksJson } from './remarks.ts';
import {
  causeColumns,
  lateColumns,
  openHaltColumns,
  type WakesAnswer,
  wakerColumns,
  wakesScope,
  wokenVcpuColumns,
} from './wakes-columns.ts';
import { causeLines } from './wakes-text.ts';

/** The whole answer for programs: docs/json.md. */
export function wakesJson(answer: WakesAnswer): Json {
  const { trace, result, reading } = answer;
  const scope = wakesScope(answer);
  const { cause: _, ...totals } = rowJson(causeColumns, { cause: '', ...result.all }, scope);
  return {
    ...headJson(trace, scope, result.duration),
    totals,
    rows: causeLines(answer).map((row) => rowJson(causeColumns, row, scope)),
    wakers: result.wakers.map((row) => rowJson(wakerColumns, row, scope)),
    vcpus: result.vcpus.map((row) => rowJson(wokenVcpuColumns, row, scope)),
    ...(result.slow === undefined
      ? {}
      : { over_threshold: result.over, slow: result.slow.map((row) => rowJson(lateColumns, row, scope)) }),
    open: result.open.map((row) => rowJson(openHaltColumns, row, scope)),
    recorded: { ...result.told },
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, scope.unit) }),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets. */
export function wakesCsv(answer: WakesAnswer): string {
  return rowsCsv(causeColumns, causeLines(answer), wakesScope(answer));
}

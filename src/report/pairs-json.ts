import { headJson } from './answer.ts';
import { rowJson, rowsCsv, statsJson } from './columns.ts';
import { groupFigures, pairKeys, statesColumn, statesJson } from './groups.ts';
import { heatJson } from './heat-json.ts';
import type { Json } from './json.ts';
import type { PairsAnswer } from './pairs-columns.ts';
import { openPairColumns, pairLines, pairsScope, slowPairColumns } from './pairs-columns.ts';
import { remarksJson } from './remarks.ts';
/** The whole answer for programs: docs/json.md. */
export function pairsJson(answer: PairsAnswer): Json {
  const { trace, result, reading, from, to, by, group } = answer;
  const scope = pairsScope(answer);
  const columns = [...pairKeys(group), ...groupFigures, statesColumn];
  const { counts } = result;
  return {
    ...headJson(trace, scope, result.duration),
    from,
    to,
    by: [...by],
    group: [...group],
    totals: {
      ...statsJson(result.all, scope),
      ...(result.states === undefined ? {} : { states: statesJson(result.states) }),
    },
    rows: pairLines(answer).map((line) => rowJson(columns, line, scope)),
    unpaired: {
      begins: counts.begins,
      ends: counts.ends,
      pairs: counts.pairs,
      began_again: counts.beganAgain,
      ends_first: counts.endsFirst,
      straddling_loss: counts.straddlingLoss,
      without_key: counts.withoutKey,
      forgotten: counts.forgotten,
      open_at_end: counts.openAtEnd,
    },
    ...(result.slow === undefined
      ? {}
      : { over_threshold: result.over, slow: result.slow.map((pair) => rowJson(slowPairColumns, pair, scope)) }),
    unfinished: result.unfinished.map((pair) => rowJson(openPairColumns, pair, scope)),
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, scope.unit) }),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets. */
export function pairsCsv(answer: PairsAnswer): string {
  return rowsCsv([...pairKeys(answer.group), ...groupFigures], pairLines(answer), pairsScope(answer));
}

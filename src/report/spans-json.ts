import { headJson } from './answer.ts';
import { rowJson, rowsCsv, statsJson } from './columns.ts';
import { groupFigures, spanKeys } from './groups.ts';
import { heatJson } from './heat-json.ts';
import type { Json } from './json.ts';
import { remarksJson } from './remarks.ts';
import { type SpansAnswer, spanColumns, spanLines, spansScope } from './spans-text.ts';

/** The whole answer for programs: docs/json.md. */
export function spansJson(answer: SpansAnswer): Json {
  const { trace, reading, result } = answer;
  const scope = { ...spansScope(answer), trace, held: new Set<string>() };
  const columns = [...spanKeys(result.by), ...groupFigures];
  return {
    ...headJson(trace, scope, reading.window.to - reading.window.from),
    kind: result.kind.word,
    by: [...result.by],
    totals: statsJson(result.all, scope),
    rows: spanLines(answer).map((line) => rowJson(columns, line, scope)),
    open_count: result.openCount,
    open: result.open.map((span) => rowJson(spanColumns(result.kind, 'age'), span, scope)),
    ...(result.slow === undefined
      ? {}
      : {
          over_threshold: result.over,
          slow: result.slow.map((span) => rowJson(spanColumns(result.kind, 'duration'), span, scope)),
        }),
    ...(result.heat === undefined ? {} : { heatmap: heatJson(result.heat, scope.unit) }),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets. */
export function spansCsv(answer: SpansAnswer): string {
  return rowsCsv([...spanKeys(answer.result.by), ...groupFigures], spanLines(answer), spansScope(answer));
}

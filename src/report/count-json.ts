import { headJson } from './answer.ts';
import { figureJson, rowJson, rowsCsv } from './columns.ts';
import {
  bucketColumns,
  type CountAnswer,
  countFigures,
  countKeys,
  countLines,
  countOver,
  countScope,
} from './count-columns.ts';
import { bucketLines } from './count-text.ts';
import type { Json } from './json.ts';
import { remarksJson } from './remarks.ts';
import { timed } from './timed.ts';

/** The whole answer for programs: docs/json.md. */
export function countJson(answer: CountAnswer): Json {
  const { trace, result, reading, events, by } = answer;
  const { histogram, timeline } = result;
  const scope = countScope(answer);
  return {
    ...headJson(trace, scope, result.duration),
    events: [...events],
    by: [...by],
    count: result.count,
    rate_per_s: figureJson('rate', result.count / scope.seconds),
    not_told_apart: result.others,
    ...(by.length === 0
      ? {}
      : {
          values: result.rows.length,
          rows: countLines(answer).map((line) => rowJson([...countKeys(by), ...countFigures, countOver], line, scope)),
        }),
    ...(timeline === undefined ? {} : { timeline: timed(scope.unit, { from: timeline.from, step: timeline.step }) }),
    ...(histogram === undefined
      ? {}
      : {
          histogram: {
            field: answer.hist ?? null,
            count: histogram.count,
            without: histogram.without,
            least: histogram.least ?? null,
            greatest: histogram.greatest ?? null,
            mean: figureJson('rate', histogram.mean),
            buckets: bucketLines(histogram).map((line) => rowJson(bucketColumns, line, scope)),
          },
        }),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets; where only a histogram was asked for, that. */
export function countCsv(answer: CountAnswer): string {
  const { by, result } = answer;
  const scope = countScope(answer);
  if (by.length === 0 && result.histogram !== undefined)
    return rowsCsv(bucketColumns, bucketLines(result.histogram), scope);
  return rowsCsv([...countKeys(by), ...countFigures], countLines(answer), scope);
}

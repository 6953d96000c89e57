import { headJson } from './answer.ts';
import type { RequestsJson } from './answers.ts';
import { rowJson, rowsCsv, statsJson } from './columns.ts';
import { verdictsJson } from './queue-keys.ts';
import { remarksJson } from './remarks.ts';
import {
  delayTotal,
  missingColumns,
  ordered,
  queueHopColumns,
  type RequestsAnswer,
  requestQueueColumns,
  requestScope,
  slowRequestColumns,
  withoutFill,
} from './requests-columns.ts';

/** The whole answer for programs: docs/json.md. */
export function requestsJson(answer: RequestsAnswer): RequestsJson {
  const { trace, result, reading } = answer;
  const scope = requestScope(answer);
  return {
    ...headJson(trace, scope, result.duration),
    totals: { ...statsJson(result.all, scope), without_fill: verdictsJson(withoutFill(result.queues)) },
    delay: rowJson(delayTotal, result.delay, scope),
    queues: ordered(answer).map((queue) => rowJson(requestQueueColumns, { queue }, scope)),
    ...(result.slow === undefined
      ? {}
      : {
          over_threshold: result.over,
          // What it was called before; for this version only.
          over: result.over,
          slow: result.slow.map((one) => rowJson(slowRequestColumns, one, scope)),
        }),
    missing: result.missing.map((one) => rowJson(missingColumns, one, scope)),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets: a row a queue and hop, the whole as `pop` to `fill` first. */
export function requestsCsv(answer: RequestsAnswer): string {
  const rows = ordered(answer).flatMap((queue) => [undefined, ...queue.hops].map((hop) => ({ queue, hop })));
  return rowsCsv(queueHopColumns, rows, requestScope(answer));
}

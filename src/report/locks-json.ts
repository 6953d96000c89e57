import { headJson } from './answer.ts';
import type { LocksJson } from './answers.ts';
import { rowJson, rowsCsv } from './columns.ts';
import { heatJson } from './heat-json.ts';
import type { LocksAnswer } from './locks-columns.ts';
import {
  lockColumns,
  lockScope,
  mutexColumns,
  mutexSiteColumns,
  openLockColumns,
  slowLockColumns,
} from './locks-columns.ts';
import { remarksJson } from './remarks.ts';
import { roleJson } from './roles.ts';

/** The whole answer for programs: docs/json.md. */
export function locksJson(answer: LocksAnswer): LocksJson {
  const { trace, result, reading, holds } = answer;
  const scope = lockScope(answer);
  const { counts } = result;
  return {
    ...headJson(trace, scope, result.duration),
    threads: result.roles.map(roleJson),
    totals: rowJson(lockColumns, result.all, scope),
    mutexes: result.mutexes.map((mutex) => rowJson(mutexColumns, mutex, scope)),
    unpaired: {
      lock: counts.lock,
      locked: counts.locked,
      unlock: counts.unlock,
      waits: counts.waits,
      holds: counts.holds,
      unlock_first: counts.unlockFirst,
      lock_again: counts.lockAgain,
      straddling_loss: counts.straddlingLoss,
      overtaken: counts.overtaken,
      without_thread: counts.withoutThread,
      beyond: counts.beyond,
    },
    ...(result.slow === undefined
      ? {}
      : {
          slow_of: holds ? ('hold' as const) : ('wait' as const),
          over_threshold: result.over,
          missed: result.missed,
          slow: result.slow.map((one) => rowJson(slowLockColumns, one, scope)),
        }),
    unfinished: result.unfinished.map((one) => rowJson(openLockColumns, one, scope)),
    ...(result.heat === undefined ? {} : { heatmap: { of: holds ? 'hold' : 'wait', ...heatJson(result.heat) } }),
    ...remarksJson(reading),
  };
}

/** A line for each mutex and call site: waits and holds. */
export function locksCsv(answer: LocksAnswer): string {
  const rows = answer.result.mutexes.flatMap(({ name, mutex, pid, sites }) =>
    sites.map((site) => ({ ...site, name, mutex, pid })),
  );
  return rowsCsv(mutexSiteColumns, rows, lockScope(answer));
}

import type { RunParts } from '../spans/run-history.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Behind, LockGroup, LockRole } from '../views/locks.ts';
import type { LocksJson, RanJson, RoleJson } from './answers.ts';
import { csv } from './csv.ts';
import { heatJson } from './heatmap-text.ts';
import { integer, number, whole } from './json.ts';
import type { LocksAnswer } from './locks-text.ts';
import { remarksJson } from './remarks.ts';
import { csvFigureNames, csvFigures, statsJson } from './stats-table.ts';

/** The whole answer for programs: docs/json.md. */
export function locksJson(answer: LocksAnswer): LocksJson {
  const { trace, result, reading, holds } = answer;
  const seconds = result.duration / 1e9;
  const stamp = timestamps(trace.origin, trace.clock.unit);
  const group = (one: LockGroup) => ({
    acquisitions: one.acquisitions,
    contended: integer(one.contended),
    contended_share: number(one.contended / one.acquisitions),
    held_by_others: statsJson(one.heldUp, seconds),
    uncontended: statsJson(one.uncontended, seconds),
    wait: statsJson(one.wait, seconds),
    hold: statsJson(one.hold, seconds),
  });
  const behind = (one: Behind) => ({
    ...roleJson(one.role),
    site: one.site ?? null,
    inner_site: one.inner ?? null,
    waits: one.waits,
    total_ns: whole(one.total),
    ...ranJson(one.ran),
  });
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit: 'ns',
    origin: trace.origin.toString(),
    duration_ns: whole(result.duration),
    threads: result.roles.map(roleJson),
    totals: group(result.all),
    mutexes: result.mutexes.map((mutex) => ({
      name: mutex.name,
      mutex: mutex.mutex,
      pid: mutex.pid ?? null,
      ...group(mutex),
      nested: mutex.nested,
      after_condition: mutex.condition,
      try_lock: mutex.tryLock,
      held_by_others_ns: integer(mutex.held),
      vcpus: {
        wait_ns: whole(mutex.vcpus.wait),
        time_ns: integer(mutex.vcpus.time),
        held_by_others_ns: integer(mutex.vcpus.held),
        share: number(mutex.vcpus.wait / mutex.vcpus.time),
        held_by_others_share: number(mutex.vcpus.held / mutex.vcpus.time),
        uncontended: statsJson(mutex.vcpus.uncontended, seconds),
        behind: mutex.vcpus.behind.map(behind),
      },
      sites: mutex.sites.map((one) => ({ site: one.site, ...group(one) })),
      threads: mutex.threads.map((one) => ({ ...roleJson(one.role), ...group(one) })),
      behind: mutex.behind.map(behind),
    })),
    unpaired: {
      lock: result.counts.lock,
      locked: result.counts.locked,
      unlock: result.counts.unlock,
      waits: result.counts.waits,
      holds: result.counts.holds,
      unlock_first: result.counts.unlockFirst,
      lock_again: result.counts.lockAgain,
      straddling_loss: result.counts.straddlingLoss,
      overtaken: result.counts.overtaken,
      without_thread: result.counts.withoutThread,
      beyond: result.counts.beyond,
    },
    ...(result.slow === undefined
      ? {}
      : {
          slow_of: holds ? 'hold' : 'wait',
          over_threshold: result.over,
          missed: result.missed,
          slow: result.slow.map((one) => ({
            time: stamp(one.begin),
            begin_ns: whole(one.begin),
            duration_ns: whole(one.duration),
            ...roleJson(one.role),
            cpu: one.cpu < 0 ? null : one.cpu,
            mutex: one.name,
            site: one.site ?? null,
            ...ranJson(one.ran),
            holders: one.behind.map((holder) => ({
              ...roleJson(holder.role),
              site: holder.site ?? null,
              inner_site: holder.inner ?? null,
              times: holder.times,
              total_ns: whole(holder.total),
              offset_ns: whole(holder.first - one.begin),
              since_ns: integer(holder.since),
              ...ranJson(holder.ran),
            })),
            omitted_holders: one.omitted,
            events_of: one.of?.tid ?? null,
            events: one.events.map(({ offset, name, text, effect }) => ({
              offset_ns: whole(offset),
              event: name,
              ...(effect === undefined ? {} : { effect }),
              text: text.trimEnd(),
            })),
          })),
        }),
    unfinished: result.unfinished.map((one) => ({
      kind: one.kind,
      time: stamp(one.begin),
      begin_ns: whole(one.begin),
      age_ns: whole(one.duration),
      ...roleJson(one.role),
      mutex: one.name,
      site: one.site ?? null,
      ...(one.holder === undefined
        ? {}
        : {
            holder: {
              ...roleJson(one.holder.role),
              since_ns: integer(one.holder.since),
              site: one.holder.site ?? null,
            },
          }),
    })),
    ...(result.heat === undefined ? {} : { heatmap: { of: holds ? 'hold' : 'wait', ...heatJson(result.heat) } }),
    ...remarksJson(reading),
  };
}

/** What a thread did meanwhile, where that is known. */
function ranJson(ran: RunParts | undefined): RanJson {
  if (ran === undefined) return {};
  return {
    running_ns: integer(ran.running),
    preempted_ns: integer(ran.preempted),
    blocked_ns: integer(ran.blocked),
  };
}

function roleJson(role: LockRole): RoleJson {
  return {
    role: role.kind,
    ...(role.kind === 'vcpu' ? { vcpu: role.vcpu ?? null } : {}),
    ...(role.name === undefined ? {} : { name: role.name }),
    tid: role.tid,
    pid: role.pid ?? null,
  };
}

/** A line for each mutex and call site: waits and holds. */
export function locksCsv({ result }: LocksAnswer): string {
  const seconds = result.duration / 1e9;
  const named = (of: string) => csvFigureNames().map((name) => `${of}_${name}`);
  return csv(
    [
      ...['mutex', 'name', 'pid', 'site', 'acquisitions', 'contended'],
      ...['wait', 'hold', 'held_by_others', 'uncontended'].flatMap(named),
    ],
    result.mutexes.flatMap((mutex) =>
      mutex.sites.map((one) => [
        mutex.mutex,
        mutex.name,
        mutex.pid,
        one.site,
        one.acquisitions,
        integer(one.contended) ?? undefined,
        ...[one.wait, one.hold, one.heldUp, one.uncontended].flatMap((stats) => csvFigures(stats, seconds)),
      ]),
    ),
  );
}

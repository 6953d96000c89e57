import type { ThreadState } from '../spans/thread-time.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { LockRole } from '../views/locks.ts';
import type { QueueName } from '../views/queue-name.ts';
import type { QueueNameJson, RequestsJson, ThreadJson, ThreadStatesJson, Unit } from './answers.ts';
import { csv } from './csv.ts';
import { heatJson } from './heatmap-text.ts';
import { number } from './json.ts';
import { verdictsJson } from './leaks-text.ts';
import { remarksJson } from './remarks.ts';
import { ordered, type RequestsAnswer, secondsOf, sectorSize, withoutFill } from './requests-text.ts';
import { csvFigureNames, csvFigures, statsJson } from './stats-table.ts';
import { timed } from './timed.ts';

function nameJson({ pid, kind, vdev, number: n, role, vq }: QueueName): QueueNameJson {
  return {
    pid: pid ?? null,
    device: kind === undefined ? null : `virtio-${kind}`,
    vdev: vdev ?? null,
    queue: n ?? null,
    role: role === '' ? null : role,
    vq,
  };
}

function threadJson(role: LockRole): ThreadJson {
  return { tid: role.tid < 0 ? null : role.tid, role: role.kind, vcpu: role.vcpu, name: role.name };
}

function statesJson(states: Record<ThreadState, number>, unit: Unit): ThreadStatesJson {
  return timed(unit, states);
}

/** The whole answer for programs: docs/json.md. */
export function requestsJson(answer: RequestsAnswer): RequestsJson {
  const { trace, result, reading } = answer;
  const unit = trace.clock.unit === 'ticks' ? 'cycles' : 'ns';
  const seconds = secondsOf(answer);
  const stamp = timestamps(trace.origin, trace.clock.unit);
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit,
    origin: trace.origin.toString(),
    ...timed(unit, { duration: result.duration }),
    totals: { ...statsJson(result.all, seconds, unit), without_fill: verdictsJson(withoutFill(result.queues)) },
    delay: { share: number(result.delay.share), ...statsJson(result.delay.stats, seconds, unit) },
    queues: ordered(answer).map((queue) => ({
      ...nameJson(queue.name),
      popped: queue.popped,
      ...statsJson(queue.stats, seconds, unit),
      in_flight: {
        mean: number(queue.inFlight.mean),
        max: queue.inFlight.max,
        ...timed(unit, { from: result.inFlight.from, time_step: result.inFlight.step }),
        means: queue.inFlight.means.map((mean) => number(mean)),
        maxima: queue.inFlight.maxima,
      },
      open: queue.open,
      without_fill: verdictsJson(queue.withoutFill),
      fills_without_pop: queue.unseenPops,
      set_aside: queue.setAside,
      operations: queue.operations.map(({ operation, stats }) => ({
        operation: operation === '' ? null : operation,
        ...statsJson(stats, seconds, unit),
      })),
      threads: queue.threads.map(threadJson),
      backends: queue.backends,
      merged: queue.merged,
      bytes: { read: queue.sectors.read * sectorSize, written: queue.sectors.written * sectorSize },
      hops: queue.hops.map(({ from, to, stats, share }) => ({
        from,
        to,
        share: number(share),
        ...statsJson(stats, seconds, unit),
      })),
      delays: queue.delays.map(({ thread, stats, share, told, meanwhile }) => ({
        thread: threadJson(thread),
        share: number(share),
        ...statsJson(stats, seconds, unit),
        told,
        meanwhile: statesJson(meanwhile, unit),
      })),
      ...(queue.heat === undefined ? {} : { heatmap: heatJson(queue.heat, unit) }),
    })),
    ...(result.slow === undefined
      ? {}
      : {
          over_threshold: result.over,
          // What it was called before; for this version only.
          over: result.over,
          slow: result.slow.map((one) => ({
            time: stamp(one.begin),
            ...timed(unit, { begin: one.begin, duration: one.duration }),
            ...(answer.rank === 'delay' ? timed(unit, { delay: one.ranked }) : {}),
            ...(answer.rank === 'path' ? timed(unit, { path: one.ranked }) : {}),
            ...nameJson(one.queue),
            elem: one.elem,
            operation: one.operation === '' ? null : one.operation,
            sector: one.sector ?? null,
            sectors: one.sectors ?? null,
            result: one.result,
            merged: one.merged,
            backend: one.backend === '' ? null : one.backend,
            thread: threadJson(one.thread),
            kicked_by: one.kicker === undefined ? null : threadJson(one.kicker),
            interrupts: one.interrupted === undefined ? null : threadJson(one.interrupted),
            path: one.points.map(({ point, time }) => ({ point, ...timed(unit, { time }) })),
            ...(one.meanwhile === undefined ? {} : { meanwhile: statesJson(one.meanwhile, unit) }),
            ...(one.wait === undefined
              ? {}
              : {
                  lock_wait: {
                    name: one.wait.name,
                    ...timed(unit, { wait: one.wait.duration }),
                    holder: one.wait.holder === undefined ? null : threadJson(one.wait.holder),
                    site: one.wait.site ?? null,
                  },
                }),
            events: one.events.map(({ offset, name, text, effect }) => ({
              ...timed(unit, { offset }),
              event: name,
              text: text.trimEnd(),
              effect,
            })),
          })),
        }),
    missing: result.missing.map(({ point, events }) => ({ point, events })),
    ...remarksJson(reading),
  };
}

/** The table for spreadsheets: a row a queue and hop, the whole as `pop` to `fill` first. */
export function requestsCsv(answer: RequestsAnswer): string {
  const seconds = secondsOf(answer);
  const unit = answer.trace.clock.unit === 'ticks' ? 'cycles' : 'ns';
  return csv(
    ['pid', 'device', 'vdev', 'queue', 'role', 'vq', 'hop', 'share', ...csvFigureNames(unit)],
    ordered(answer).flatMap(({ name, stats, hops }) => {
      const own = [name.pid, name.kind && `virtio-${name.kind}`, name.vdev, name.number, name.role, name.vq];
      return [
        [...own, '', undefined, ...csvFigures(stats, seconds)],
        ...hops.map((hop) => [
          ...own,
          `${hop.from} → ${hop.to}`,
          number(hop.share) ?? undefined,
          ...csvFigures(hop.stats, seconds),
        ]),
      ];
    }),
  );
}

import { openTrace } from '../src/formats/detect.ts';
import { isEntry, isExit } from '../src/spans/exit-events.ts';
import { schedEvent } from '../src/spans/sched.ts';

/** A stretch of a recording, in its own time stamps: the events after `from`, up to `to`. */
export type Stretch = { from: bigint; to: bigint };

/**
 * The longest stretch of a recording of KVM that can follow itself: each CPU runs the same thread at its end as at its beginning, and each vCPU is in the guest, or out of it, on
 * the same CPU. Where a recording is repeated from any other place, its events contradict each other at every seam, as in a recording with holes.
 */
export async function repeatable(file: string): Promise<Stretch> {
  const trace = await openTrace(file);
  const running: number[] = [];
  const vcpus = new Map<number, string>();
  /** By how things stand: when they stood so first. */
  const first = new Map<string, number>();
  let state = '';
  let before = Number.NaN;
  let best = { from: 0, to: 0 };
  try {
    for await (const b of trace.batches()) {
      for (let i = 0; i < b.count; i++) {
        const time = b.time[i] as number;
        // Events of one moment are not torn apart.
        if (state !== '' && time > before) {
          const since = first.get(state);
          if (since === undefined) first.set(state, before);
          else if (before - since > best.to - best.from) best = { from: since, to: before };
        }
        before = time;
        const type = trace.types[b.type[i] as number];
        const [cpu, tid] = [b.cpu[i] as number, b.tid[i] as number];
        const sched = type === undefined ? undefined : schedEvent(type);
        if (sched?.what === 'switch') {
          const left = sched.previous.number(b, i);
          const vcpu = vcpus.get(left);
          if (vcpu?.endsWith('left') === false) vcpus.set(left, `${vcpu} left`);
          running[cpu] = sched.next.number(b, i);
        } else if (type !== undefined && (isExit(type) || isEntry(type))) {
          vcpus.set(tid, `${type.name} on ${cpu}`);
        } else continue;
        state = JSON.stringify([running, [...vcpus].sort(([a], [b]) => a - b)]);
      }
    }
  } finally {
    await trace.close();
  }
  if (best.to === best.from) throw new Error(`${file}: no stretch of it can follow itself`);
  return { from: trace.origin + BigInt(best.from), to: trace.origin + BigInt(best.to) };
}

/** The stretch of a recording's first events. */
export async function beginning(file: string, events: number): Promise<Stretch> {
  const trace = await openTrace(file);
  let left = events;
  try {
    for await (const b of trace.batches()) {
      if (b.count >= left) return { from: -1n, to: trace.origin + BigInt(b.time[left - 1] as number) };
      left -= b.count;
    }
  } finally {
    await trace.close();
  }
  throw new Error(`${file}: it has fewer than ${events} events`);
}

import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';

/** What a thread that was switched out is: able to run (preempted, or it yielded), asleep until woken, or gone. */
export const leaves = { runnable: 0, asleep: 1, dead: 2 } as const;
export type Leaving = (typeof leaves)[keyof typeof leaves];

/** How to read a scheduler's event. */
export type SchedEvent =
  | { what: 'switch'; previous: FieldReader; next: FieldReader; state: FieldReader }
  /** `waking` is traced when the thread becomes runnable, `wakeup` a little later, on a CPU that it goes to. */
  | { what: 'wake'; thread: FieldReader };

/** What an event of this type says of threads, or undefined for what is no scheduler's event that tells. */
export function schedEvent(type: EventType): SchedEvent | undefined {
  if (isSwitch(type)) {
    const previous = type.reader('prev_pid');
    const next = type.reader('next_pid');
    if (previous === undefined || next === undefined) return undefined;
    return { what: 'switch', previous, next, state: type.reader('prev_state') ?? absent };
  }
  if (!isWake(type.name)) return undefined;
  const thread = type.reader('pid');
  return thread === undefined ? undefined : { what: 'wake', thread };
}

/** Whether it is the event with which one thread of a CPU gives way to another; the thread that caused it is the one that leaves. */
export function isSwitch(type: EventType): boolean {
  return type.name === 'sched:sched_switch';
}

/** Whether `schedEvent` may have something to say of the type. */
export function isSched(type: EventType): boolean {
  return isSwitch(type) || isWake(type.name);
}

function isWake(name: string): boolean {
  return name === 'sched:sched_waking' || name === 'sched:sched_wakeup' || name === 'sched:sched_wakeup_new';
}

/**
 * How the previous thread of a sched_switch leaves its CPU. The number is include/linux/sched.h's task_state, whose low eight bits are
 * 0 for a thread that could go on (a bit above says `+`: preempted); text has the letter.
 */
export function leaving(state: FieldReader, b: EventBatch, i: number): Leaving {
  if (state.kind === 'text') {
    const text = state.text(b, i);
    if (text.startsWith('R')) return leaves.runnable;
    return /^[XZx]/.test(text) ? leaves.dead : leaves.asleep;
  }
  const bits = state.low(b, i) & 0xff;
  if (bits === 0) return leaves.runnable;
  return (bits & 0x30) !== 0 ? leaves.dead : leaves.asleep;
}

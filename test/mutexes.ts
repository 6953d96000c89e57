import type { SyntheticEvent } from './synthetic.ts';

/** A wait, with the holds of others that it overlaps. */
export type Wait = {
  tid: number;
  mutex: number;
  begin: number;
  end: number;
  line: number;
  contended: boolean;
  behind: { tid: number; line: number; begin: number; end: number }[];
};
export type Hold = { tid: number; mutex: number; begin: number; end: number; line: number };

/** The address of a mutex that tests know by a small number. */
export const mutexAddress = (mutex: number) => 0x7f00_0000_0000n + BigInt(mutex) * 0x1_0000_0040n;
/** One of QEMU's events of a mutex. */
export const mutexEvent = (
  what: 'lock' | 'locked' | 'unlock',
  time: number,
  tid: number,
  mutex: number,
  line: number,
  cpu = -1,
): SyntheticEvent => ({
  name: `qemu:qemu_mutex_${what}`,
  time,
  tid,
  cpu,
  fields: { mutex: mutexAddress(mutex), file: `../../file${line % 3}.c`, line },
});

/** What a machine with real mutexes does: six threads, 1000 and on, that take, try, wait on a condition, nest, and let go, in a random order. */
export function simulateMutexes(
  steps: { who: number; mutex: number; what: number; gap: number }[],
  recursive: number,
  /** So many call sites take turns. */
  sites = Number.POSITIVE_INFINITY,
) {
  type Thread = {
    state: 'running' | 'waiting' | 'sleeping';
    mutex: number;
    since: number;
    line: number;
    stack: number[];
  };
  const threads: Thread[] = Array.from({ length: 6 }, () => ({
    state: 'running',
    mutex: -1,
    since: 0,
    line: 0,
    stack: [],
  }));
  const owner = new Map<number, { who: number; depth: number; since: number; line: number }>();
  const events: SyntheticEvent[] = [];
  const waits: Wait[] = [];
  const holds: Hold[] = [];
  let time = 100;
  let line = 1;
  const tid = (who: number) => 1000 + who;
  const emit = (what: 'lock' | 'locked' | 'unlock', who: number, mutex: number, at: number) =>
    events.push(mutexEvent(what, time, tid(who), mutex, at));
  const take = (who: number, mutex: number, at: number) => {
    const held = owner.get(mutex);
    if (held === undefined) owner.set(mutex, { who, depth: 1, since: time, line: at });
    else held.depth++;
    (threads[who] as Thread).stack.push(mutex);
  };
  const free = (mutex: number, who: number) => {
    const held = owner.get(mutex);
    return held === undefined || (held.who === who && mutex < recursive);
  };
  const release = (who: number, mutex: number) => {
    const held = owner.get(mutex) as { who: number; depth: number; since: number; line: number };
    const { stack } = threads[who] as Thread;
    stack.splice(stack.lastIndexOf(mutex), 1);
    if (--held.depth > 0) return;
    owner.delete(mutex);
    holds.push({ tid: tid(who), mutex, begin: held.since, end: time, line: held.line });
  };
  for (const { who, mutex, what, gap } of steps) {
    time += gap;
    line = (line % sites) + 1;
    const thread = threads[who] as Thread;
    if (thread.state === 'waiting' || thread.state === 'sleeping') {
      if (!free(thread.mutex, who)) continue;
      if (thread.state === 'waiting') {
        waits.push({
          tid: tid(who),
          mutex: thread.mutex,
          begin: thread.since,
          end: time,
          line: thread.line,
          contended: false,
          behind: [],
        });
      }
      emit('locked', who, thread.mutex, thread.line);
      take(who, thread.mutex, thread.line);
      thread.state = 'running';
      continue;
    }
    const held = owner.get(mutex);
    if (what < 4) {
      if (held?.who === who && mutex >= recursive) continue;
      Object.assign(thread, { state: 'waiting', mutex, since: time, line });
      emit('lock', who, mutex, line);
    } else if (what === 4) {
      if (!free(mutex, who)) continue;
      emit('locked', who, mutex, line);
      take(who, mutex, line);
    } else if (what === 5) {
      // Waiting on a condition lets go of the mutex, and takes it again.
      if (held?.who !== who || held.depth > 1) continue;
      emit('unlock', who, mutex, line);
      release(who, mutex);
      Object.assign(thread, { state: 'sleeping', mutex, since: time, line });
    } else {
      const last = thread.stack.at(-1);
      if (last === undefined) continue;
      emit('unlock', who, last, line);
      release(who, last);
    }
  }
  // Which holds of others a wait overlaps, by the order of events: those of one moment may be in any order.
  const open = [...owner].map(([mutex, h]) => ({
    tid: tid(h.who),
    mutex,
    begin: h.since,
    end: Infinity,
    line: h.line,
  }));
  for (const wait of waits) {
    const others = [...holds, ...open].filter(
      (h) => h.mutex === wait.mutex && h.tid !== wait.tid && h.begin <= wait.end && h.end >= wait.begin,
    );
    wait.behind = others
      .map((h) => ({ tid: h.tid, line: h.line, begin: Math.max(h.begin, wait.begin), end: Math.min(h.end, wait.end) }))
      .sort((a, b) => a.begin - b.begin);
    wait.contended = others.length > 0;
  }
  return { events, waits, holds, threads };
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { ThreadTime, threadStates } from './thread-time.ts';

const own = 7;
const rival = 98;
const mutex = (time: number, name: string, tid: number): SyntheticEvent => ({
  name: `qemu:qemu_mutex_${name}`,
  time,
  tid,
  cpu: 0,
  fields: { mutex: 0x10 },
});
const change = (time: number, from: number, to: number, state: number): SyntheticEvent => ({
  name: 'sched:sched_switch',
  time,
  tid: from,
  cpu: 0,
  fields: { prev_pid: from, prev_state: state, next_pid: to },
});

/** What the thread did from 0 to the last event. */
async function spent(events: SyntheticEvent[]): Promise<Record<string, number>> {
  const times = new ThreadTime();
  const trace = synthetic(events);
  for await (const b of trace.batches((type) => times.wants(type))) {
    times.begin(trace, b);
    times.follow(own, 0);
    for (let i = 0; i < b.count; i++) times.take(b, i);
  }
  const sums = new Float64Array(threadStates.length);
  assert.ok(times.until(own, events.at(-1)?.time ?? 0, sums, 0));
  return Object.fromEntries(threadStates.flatMap((state, s) => (sums[s] === 0 ? [] : [[state, sums[s] as number]])));
}

test('waiting for a mutex that another thread has held since before the recording is waiting for it, once its unlock tells', async () => {
  const story = (...inner: SyntheticEvent[]) => [
    change(0, 5, own, 1),
    mutex(10, 'lock', own),
    change(20, own, 5, 1),
    ...inner,
    change(70, 5, own, 0),
    mutex(80, 'locked', own),
    mutex(90, 'unlock', own),
  ];
  // Of the 60 until it got the CPU, it waited for the mutex until the other let it go.
  assert.deepEqual(await spent(story(mutex(60, 'unlock', rival))), { running: 30, asleep: 10, lock: 50 });
  assert.deepEqual(await spent(story()), { running: 40, asleep: 50 });
});

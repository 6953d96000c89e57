import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../../test/synthetic.ts';
import { spans } from '../../script/iterate.ts';
import type { Trace } from '../../trace/trace.ts';
import { type Migration, migration } from './migration.ts';

function change(time: number, cpu: number, from: number, state: number, to: number): SyntheticEvent {
  const fields = { prev_pid: from, prev_state: state, next_pid: to };
  return { name: 'sched:sched_switch', time, cpu, tid: from, fields };
}
const entry = (time: number, cpu: number, tid: number): SyntheticEvent => ({
  name: 'kvm:kvm_entry',
  time,
  cpu,
  tid,
  fields: { vcpu_id: tid - 10 },
});

async function migrations(trace: Trace): Promise<Migration[]> {
  const found: Migration[] = [];
  for await (const one of spans(trace, migration)) found.push(one);
  return found;
}

test('a vCPU thread that comes back on another CPU has migrated; elsewhere, or another thread, not', async () => {
  const story = [
    entry(0, 0, 11),
    change(10, 0, 11, 0, 99),
    change(12, 1, 0, 0, 11),
    change(20, 1, 11, 1, 0),
    change(30, 1, 0, 0, 11),
    change(40, 0, 99, 1, 0),
    change(50, 1, 11, 1, 99),
    change(60, 0, 0, 0, 11),
  ];
  assert.deepEqual(await migrations(synthetic(story)), [
    { begin: 10, duration: 2, cpu: 0, to: 1, tid: 11, pid: -1, vcpu: 1, left: 'preempted' },
    { begin: 50, duration: 10, cpu: 1, to: 0, tid: 11, pid: -1, vcpu: 1, left: 'asleep' },
  ]);
});

test('what events were lost in between is no migration', async () => {
  const loss = { from: 10, to: 12, cpu: 1, count: 1 };
  const story = [entry(0, 0, 11), change(10, 0, 11, 0, 0), { ...change(12, 1, 0, 0, 11), loss }];
  assert.deepEqual(await migrations(synthetic(story)), []);
});

test('migrations are those of a plain reading, wherever batches end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ cpu: fc.nat(2), to: fc.nat(3), state: fc.nat(1), enters: fc.boolean() }), { maxLength: 80 }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, batchSize) => {
        const on = [0, 0, 0];
        const seen = new Set<number>();
        const left = new Map<number, { cpu: number; time: number; state: number }>();
        const events: SyntheticEvent[] = [];
        const expected: [number, number, number, number, string][] = [];
        steps.forEach(({ cpu, to, state, enters }, n) => {
          const time = 10 * n;
          const from = on[cpu] as number;
          if (enters && from > 0) {
            events.push(entry(time, cpu, from));
            seen.add(from);
            return;
          }
          const next = to === 0 || on.includes(10 + to) ? 0 : 10 + to;
          events.push(change(time, cpu, from, state, next));
          const was = left.get(next);
          if (was !== undefined && was.cpu !== cpu && seen.has(next)) {
            expected.push([was.time, time - was.time, next, cpu, was.state === 0 ? 'preempted' : 'asleep']);
          }
          left.delete(next);
          left.set(from, { cpu, time, state });
          on[cpu] = next;
        });
        const found = await migrations(synthetic(events, { batchSize }));
        assert.deepEqual(
          found.map(({ begin, duration, tid, to, left }) => [begin, duration, tid, to, left]),
          expected.filter(([, , tid]) => tid > 0),
        );
      },
    ),
  );
});

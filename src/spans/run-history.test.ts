import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { into, out, type SyntheticEvent, synthetic, waking } from '../../test/synthetic.ts';
import { RunHistory } from './run-history.ts';

async function history(events: SyntheticEvent[], batchSize = 5): Promise<RunHistory> {
  const runs = new RunHistory();
  const trace = synthetic(events, { batchSize });
  for await (const batch of trace.batches((type) => runs.wants(type))) runs.batch(trace, batch);
  return runs;
}

test('a stretch of time divides by what the thread did', async () => {
  const runs = await history([into(10, 1), out(20, 1, 1), waking(50, 1), into(60, 1), out(100, 1, 0), into(130, 1)]);
  assert.deepEqual(runs.between(1, 10, 130), { running: 50, preempted: 40, blocked: 30 });
  assert.deepEqual(runs.between(1, 15, 55), { running: 5, preempted: 5, blocked: 30 });
  assert.deepEqual(runs.between(1, 130, 200), { running: 70, preempted: 0, blocked: 0 });
  // Before its first event nothing is known, nor of threads that had none.
  assert.equal(runs.between(1, 9, 20), undefined);
  assert.equal(runs.between(2, 15, 20), undefined);
});

test('what a thread did while events were lost is not known', async () => {
  const lost = { loss: { from: 25, to: 40, cpu: 0, count: 3 } };
  const runs = await history([into(10, 1), out(20, 1, 1), { ...waking(50, 1), ...lost }, into(60, 1), out(70, 1, 1)]);
  assert.equal(runs.between(1, 15, 65), undefined);
  assert.deepEqual(runs.between(1, 60, 80), { running: 10, preempted: 0, blocked: 10 });
});

test('the division is the sum of what lies between the changes, as far back as they are remembered', async () => {
  const step = fc.record({ gap: fc.nat(9), what: fc.nat(3), tid: fc.constantFrom(1, 2) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 200 }),
      fc.nat(900),
      fc.nat(300),
      fc.integer({ min: 1, max: 9 }),
      async (steps, from, length, batchSize) => {
        let time = 0;
        const states = new Map<number, string>();
        const changes: [tid: number, time: number, state: string][] = [];
        const events: SyntheticEvent[] = [];
        for (const { gap, what, tid } of steps) {
          time += gap;
          const change = (state: string) => {
            states.set(tid, state);
            changes.push([tid, time, state]);
          };
          if (what === 0) {
            events.push(waking(time, tid));
            if (states.get(tid) === 'blocked') change('preempted');
          } else if (what === 1) {
            events.push(into(time, tid));
            change('running');
          } else {
            events.push(out(time, tid, what - 2));
            change(what === 2 ? 'preempted' : 'blocked');
          }
        }
        const runs = await history(events, batchSize);
        for (const tid of [1, 2]) {
          const own = changes.filter(([of]) => of === tid);
          const expected: Record<string, number> = { running: 0, preempted: 0, blocked: 0 };
          own.forEach(([, begin, state], n) => {
            const end = own[n + 1]?.[1] ?? Number.POSITIVE_INFINITY;
            const part = Math.min(end, from + length) - Math.max(begin, from);
            if (part > 0) expected[state] = (expected[state] as number) + part;
          });
          const known = own[0] !== undefined && own[0][1] <= from;
          assert.deepEqual(runs.between(tid, from, from + length), known ? expected : undefined);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('of very many changes the last are remembered', async () => {
  const events = Array.from({ length: 10_000 }, (_, n) => (n % 2 === 0 ? into(10 * n, 1) : out(10 * n, 1, 1)));
  const runs = await history(events, 1000);
  assert.deepEqual(runs.between(1, 80_000, 99_990), { running: 10_000, preempted: 0, blocked: 9990 });
  assert.equal(runs.between(1, 1000, 99_990), undefined);
});

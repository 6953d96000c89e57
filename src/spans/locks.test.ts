import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Hold, mutexAddress, mutexEvent, simulateMutexes, type Wait } from '../../test/mutexes.ts';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { Locks } from './locks.ts';

async function find(events: SyntheticEvent[], batchSize = 5) {
  const locks = new Locks();
  const waits: Wait[] = [];
  const holds: Hold[] = [];
  const trace = synthetic(events, { batchSize });
  const mutexOf = (m: number) => {
    const { high, low } = locks.mutexes[m] as { high: number; low: number };
    return Number(((BigInt(high) << 32n) | BigInt(low)) - mutexAddress(0)) / 0x1_0000_0040;
  };
  const tid = (thread: number) => locks.threads[thread]?.tid as number;
  const line = (site: number) => locks.sites[site]?.line ?? -1;
  for await (const b of trace.batches()) {
    locks.batch(trace, b);
    for (let k = 0; k < locks.waits.count; k++) {
      const { begin, duration, thread, mutex, site, contended, firstStretch, lastStretch, endsAt } = locks.waits;
      const end = (begin[k] as number) + (duration[k] as number);
      assert.equal(b.time[endsAt[k] as number], end);
      const behind: Wait['behind'] = [];
      for (let x = firstStretch[k] as number; x < (lastStretch[k] as number); x++) {
        const from = locks.stretches.begin[x] as number;
        behind.push({
          tid: tid(locks.stretches.thread[x] as number),
          line: line(locks.stretches.site[x] as number),
          begin: from,
          end: from + (locks.stretches.duration[x] as number),
        });
      }
      waits.push({
        tid: tid(thread[k] as number),
        mutex: mutexOf(mutex[k] as number),
        begin: begin[k] as number,
        end,
        line: line(site[k] as number),
        contended: contended[k] === 1,
        behind,
      });
    }
    for (let k = 0; k < locks.holds.count; k++) {
      const { begin, duration, thread, mutex, site } = locks.holds;
      holds.push({
        tid: tid(thread[k] as number),
        mutex: mutexOf(mutex[k] as number),
        begin: begin[k] as number,
        end: (begin[k] as number) + (duration[k] as number),
        line: line(site[k] as number),
      });
    }
  }
  return { locks, waits, holds, mutexOf };
}

test('waits, holds and who held the mutex meanwhile are those of a machine with real mutexes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          who: fc.nat(5),
          mutex: fc.nat(2),
          what: fc.nat(9),
          gap: fc.integer({ min: 1, max: 50 }),
        }),
        { maxLength: 200 },
      ),
      fc.nat(2),
      fc.integer({ min: 1, max: 9 }),
      async (steps, recursive, batchSize) => {
        const truth = simulateMutexes(steps, recursive);
        const { locks, waits, holds } = await find(truth.events, batchSize);
        assert.deepEqual(waits, truth.waits);
        assert.deepEqual(holds, truth.holds);
        const { counts } = locks;
        assert.equal(counts.locked, truth.events.filter(({ name }) => name.endsWith('locked')).length);
        const sum = (what: 'locked' | 'nested' | 'condition' | 'tryLock') =>
          locks.mutexes.reduce((total, mutex) => total + mutex[what], 0);
        assert.equal(counts.locked, sum('locked'));
        assert.equal(counts.locked, counts.waits + sum('tryLock') + sum('condition'));
        assert.equal(
          counts.locked - sum('nested'),
          counts.holds + [...locks.unfinished()].filter(({ kind }) => kind === 'hold').length,
        );
        assert.equal(counts.overtaken + counts.lockAgain + counts.unlockFirst + counts.straddlingLoss, 0);
        const waiting = truth.threads.flatMap((t, who) => (t.state === 'waiting' ? [1000 + who] : []));
        const open = [...locks.unfinished()].filter(({ kind }) => kind === 'wait');
        assert.deepEqual(open.map(({ thread }) => locks.threads[thread]?.tid).sort(), waiting.sort());
      },
    ),
    { numRuns: 300 },
  );
});

test('three threads wait for one mutex at once: each is put down to all who had it before', async () => {
  const { waits } = await find([
    mutexEvent('lock', 10, 1, 0, 11),
    mutexEvent('locked', 11, 1, 0, 11),
    mutexEvent('lock', 20, 2, 0, 22),
    mutexEvent('lock', 30, 3, 0, 33),
    mutexEvent('unlock', 50, 1, 0, 12),
    mutexEvent('locked', 55, 3, 0, 33),
    mutexEvent('unlock', 75, 3, 0, 34),
    mutexEvent('locked', 80, 2, 0, 22),
    mutexEvent('unlock', 90, 2, 0, 23),
  ]);
  assert.deepEqual(waits.slice(1), [
    {
      tid: 3,
      mutex: 0,
      begin: 30,
      end: 55,
      line: 33,
      contended: true,
      behind: [{ tid: 1, line: 11, begin: 30, end: 50 }],
    },
    {
      tid: 2,
      mutex: 0,
      begin: 20,
      end: 80,
      line: 22,
      contended: true,
      behind: [
        { tid: 1, line: 11, begin: 20, end: 50 },
        { tid: 3, line: 33, begin: 55, end: 75 },
      ],
    },
  ]);
  assert.equal(waits[0]?.contended, false);
});

test('a mutex that was held when the trace began is known to have been held by the thread that lets it go', async () => {
  const { waits, holds, locks } = await find([
    mutexEvent('lock', 20, 2, 0, 22),
    mutexEvent('unlock', 50, 1, 0, 12),
    mutexEvent('locked', 52, 2, 0, 22),
    mutexEvent('unlock', 60, 2, 0, 23),
  ]);
  assert.deepEqual(waits[0]?.behind, [{ tid: 1, line: -1, begin: 20, end: 50 }]);
  assert.equal(waits[0]?.contended, true);
  assert.equal(holds.length, 1);
  assert.equal(locks.counts.unlockFirst, 1);
});

test('records of one moment in the wrong order change nothing', async () => {
  // The log has microseconds: the next thread's locked may stand before the unlock of the one before.
  const { waits, holds, locks } = await find([
    mutexEvent('unlock', 500, 3, 1, 33),
    mutexEvent('lock', 1000, 1, 0, 11),
    mutexEvent('locked', 2000, 1, 0, 11),
    mutexEvent('lock', 3000, 2, 0, 22),
    mutexEvent('locked', 9000, 2, 0, 22),
    mutexEvent('unlock', 9000, 1, 0, 12),
    mutexEvent('unlock', 12000, 2, 0, 23),
  ]);
  assert.deepEqual(waits[1]?.behind, [{ tid: 1, line: 11, begin: 3000, end: 9000 }]);
  assert.deepEqual(
    holds.map(({ tid, begin, end }) => [tid, begin, end]),
    [
      [1, 2000, 9000],
      [2, 9000, 12000],
    ],
  );
  assert.equal(locks.counts.overtaken, 0);
});

test('where an unlock went missing, no hold is made up', async () => {
  const { holds, locks } = await find([
    mutexEvent('lock', 1000, 1, 0, 11),
    mutexEvent('locked', 2000, 1, 0, 11),
    // Its unlock is missing.
    mutexEvent('lock', 30_000, 2, 0, 22),
    mutexEvent('locked', 31_000, 2, 0, 22),
    mutexEvent('unlock', 40_000, 2, 0, 23),
    mutexEvent('lock', 50_000, 1, 0, 11),
    mutexEvent('locked', 51_000, 1, 0, 11),
    mutexEvent('unlock', 60_000, 1, 0, 12),
  ]);
  assert.deepEqual(
    holds.map(({ tid, begin, end }) => [tid, begin, end]),
    [
      [2, 31_000, 40_000],
      [1, 51_000, 60_000],
    ],
  );
  assert.equal(locks.counts.overtaken, 1);
});

test('what straddles lost events is set aside, and nobody is named as holder across them', async () => {
  const { waits, holds, locks } = await find([
    mutexEvent('lock', 10, 1, 0, 11, 0),
    mutexEvent('locked', 20, 1, 0, 11, 0),
    { ...mutexEvent('lock', 300, 2, 0, 22, 1), loss: { from: 30, to: 200, cpu: 0, count: 9 } },
    mutexEvent('locked', 310, 2, 0, 22, 1),
    mutexEvent('unlock', 320, 2, 0, 23, 1),
    mutexEvent('lock', 400, 1, 0, 11, 0),
    mutexEvent('locked', 410, 1, 0, 11, 0),
    mutexEvent('unlock', 420, 1, 0, 12, 0),
  ]);
  assert.deepEqual(
    waits.map(({ tid, begin, contended, behind }) => [tid, begin, contended, behind.length]),
    [
      [1, 10, false, 0],
      [2, 300, false, 0],
      [1, 400, false, 0],
    ],
  );
  assert.deepEqual(
    holds.map(({ tid, begin }) => [tid, begin]),
    [
      [2, 310],
      [1, 410],
    ],
  );
  assert.equal(locks.counts.straddlingLoss + locks.counts.overtaken, 1);
});

test('equal addresses in two processes are two mutexes', async () => {
  const events = [
    mutexEvent('lock', 1, 1, 0, 1),
    mutexEvent('locked', 2, 1, 0, 1),
    mutexEvent('lock', 3, 2, 0, 2),
    mutexEvent('locked', 4, 2, 0, 2),
  ];
  const { waits, locks } = await find(events.map((event) => ({ ...event, pid: (event.tid as number) * 100 })));
  assert.equal(locks.mutexes.length, 2);
  assert.deepEqual(
    waits.map(({ contended }) => contended),
    [false, false],
  );
});

test('without thread ids nothing is paired', async () => {
  const { waits, locks } = await find([mutexEvent('lock', 1, -1, 0, 1), mutexEvent('locked', 2, -1, 0, 1)]);
  assert.equal(waits.length, 0);
  assert.equal(locks.counts.withoutThread, 2);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { mutexAddress, mutexEvent, simulateMutexes, type Wait } from '../../test/mutexes.ts';
import { into, out, type SyntheticEvent, synthetic, waking } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import type { Stats } from '../spans/summary.ts';
import type { Trace } from '../trace/trace.ts';
import type { LockGroup, LocksResult } from './lock-answers.ts';
import { type LocksOptions, LocksView } from './locks.ts';

const root = join(import.meta.dirname, '..', '..');

async function look(trace: Trace, options: LocksOptions = {}): Promise<LocksResult> {
  const view = new LocksView(options);
  for await (const batch of trace.batches((type) => view.wants(type))) view.batch(trace, batch);
  await trace.close();
  return view.result();
}

type TrueStats = Record<'count' | 'total' | 'min' | 'max' | 'p50' | 'p99', number | null>;
type TrueGroup = { acquisitions: number; contended: number; wait: TrueStats; hold: TrueStats };
type Truth = {
  duration: number;
  vcpus: Record<string, number>;
  vcpu_time: number;
  mutexes: (TrueGroup & {
    mutex: string;
    sites: Record<string, TrueGroup>;
    threads: Record<string, TrueGroup>;
    behind: [tid: number, site: string | null, total: number, waits: number][];
    vcpu_wait: number;
  })[];
};

const figures = ({ count, total, min, max, p50, p99 }: Stats): TrueStats => {
  const known = (value: number) => (Number.isNaN(value) ? null : value);
  return { count, total, min: known(min), max: known(max), p50: known(p50), p99: known(p99) };
};
const group = ({ acquisitions, contended, wait, hold }: LockGroup): TrueGroup => ({
  acquisitions,
  contended,
  wait: figures(wait),
  hold: figures(hold),
});

test('a log gives what an independent reading of its text does: by mutex, call site, thread, and who held meanwhile', async () => {
  const truth = JSON.parse(readFileSync(join(root, 'test/data/locks/kvm-and-qemu.truth.json'), 'utf8')) as Truth;
  const result = await look(await openTrace(join(root, 'samples/kvm-and-qemu.log.zst')));
  assert.equal(result.duration, truth.duration);
  const vcpus = result.roles.filter(({ kind }) => kind === 'vcpu').map(({ tid, vcpu }) => [String(tid), vcpu]);
  assert.deepEqual(Object.fromEntries(vcpus), truth.vcpus);
  const found = result.mutexes.map((mutex) => {
    // The independent reading does not look at what else a holder locked.
    const behind = new Map<string, [number, string | null, number, number]>();
    for (const { role, site, total, waits } of mutex.behind) {
      const known = behind.get(`${role.tid} ${site}`);
      behind.set(`${role.tid} ${site}`, [role.tid, site ?? null, total + (known?.[2] ?? 0), waits + (known?.[3] ?? 0)]);
    }
    return {
      mutex: mutex.mutex,
      ...group(mutex),
      sites: Object.fromEntries(mutex.sites.map((one) => [one.site, group(one)])),
      threads: Object.fromEntries(mutex.threads.map((one) => [String(one.role.tid), group(one)])),
      behind: [...behind.values()],
      vcpu_wait: mutex.vcpus.wait,
    };
  });
  const order = (a: { mutex: string }, b: { mutex: string }) => (a.mutex < b.mutex ? -1 : 1);
  const sorted = (mutexes: Truth['mutexes']) =>
    mutexes.sort(order).map((one) => ({ ...one, behind: [...one.behind].sort() }));
  assert.deepEqual(sorted(found), sorted(truth.mutexes));
  const bql = result.mutexes.filter(({ name }) => name === 'BQL');
  assert.equal(bql.length, 1);
  assert.equal(bql[0]?.vcpus.time, truth.vcpu_time);
  assert.ok(
    Object.keys(
      (truth.mutexes.find(({ mutex }) => mutex === bql[0]?.mutex) as (typeof truth.mutexes)[0]).sites,
    ).includes('util/main-loop.c:318'),
  );
});

const hex = (mutex: number) => `0x${mutexAddress(mutex).toString(16)}`;
const siteOf = (line: number) => `file${line % 3}.c:${line}`;
const sum = (lengths: number[]) => lengths.reduce((total, length) => total + length, 0);
const length = ({ begin, end }: { begin: number; end: number }) => end - begin;

/** Who held a mutex during waits: `tid site` → total and number. */
function holders(behind: Wait['behind']): Map<string, [total: number, times: number]> {
  const all = new Map<string, [number, number]>();
  for (const hold of behind) {
    const key = `${hold.tid} ${siteOf(hold.line)}`;
    const [total, times] = all.get(key) ?? [0, 0];
    all.set(key, [total + length(hold), times + 1]);
  }
  return all;
}

test('figures, holders and the slow log are sums over what a machine with real mutexes did, for all mutexes and for one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ who: fc.nat(5), mutex: fc.nat(2), what: fc.nat(9), gap: fc.integer({ min: 1, max: 50 }) }), {
        maxLength: 250,
      }),
      fc.nat(2),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom<readonly number[]>([], [1], [0, 2]),
      fc.integer({ min: 1, max: 5 }),
      async (steps, recursive, batchSize, chosen, slow) => {
        const { events, waits, holds } = simulateMutexes(steps, recursive, 5);
        const told = events.some(({ name }) => name.endsWith('unlock'));
        const result = await look(synthetic(events, { batchSize }), { slow, heatmap: true, mutexes: chosen.map(hex) });
        for (const mutex of result.mutexes) {
          const check = (
            found: LockGroup,
            select: (one: { mutex: number; tid: number; line: number }) => boolean,
          ): void => {
            const own = <T extends { mutex: number; tid: number; line: number }>(all: readonly T[]) =>
              all.filter((one) => hex(one.mutex) === mutex.mutex && select(one));
            const taken = events
              .filter(({ name }) => name.endsWith('locked'))
              .map(({ tid, fields }) => ({
                mutex: [0, 1, 2].find((m) => mutexAddress(m) === fields?.mutex) as number,
                tid: tid as number,
                line: fields?.line as number,
              }));
            assert.deepEqual(
              [
                found.acquisitions,
                found.contended,
                found.wait.count,
                found.wait.total,
                found.hold.count,
                found.hold.total,
              ],
              [
                own(taken).length,
                told ? own(waits).filter(({ contended }) => contended).length : Number.NaN,
                own(waits).length,
                sum(own(waits).map(length)),
                own(holds).length,
                sum(own(holds).map(length)),
              ],
            );
            // What of the waits is behind others, and what taking a free mutex took.
            const free = own(waits).filter(({ contended }) => !contended);
            const behind = own(waits).flatMap((wait) => wait.behind.map(length));
            assert.deepEqual(
              [found.heldUp.total, found.uncontended.count, found.uncontended.total],
              told ? [sum(behind), free.length, sum(free.map(length))] : [0, 0, 0],
            );
          };
          check(mutex, () => true);
          for (const site of mutex.sites) check(site, ({ line }) => siteOf(line) === site.site);
          for (const thread of mutex.threads) check(thread, ({ tid }) => tid === thread.role.tid);
          const behind = holders(
            waits.filter((wait) => hex(wait.mutex) === mutex.mutex).flatMap((wait) => wait.behind),
          );
          const found = new Map<string, [number, number]>();
          for (const { role, site, total, waits } of mutex.behind) {
            const [before, times] = found.get(`${role.tid} ${site}`) ?? [0, 0];
            found.set(`${role.tid} ${site}`, [before + total, times + waits]);
          }
          assert.deepEqual(found.size, behind.size);
          for (const [key, figures] of behind) assert.deepEqual(found.get(key), figures, key);
        }
        const shown = waits
          .filter(({ mutex }) => chosen.length === 0 || chosen.includes(mutex))
          .sort((a, b) => length(b) - length(a));
        assert.equal(result.over, shown.length);
        assert.equal(result.heat?.total, shown.length);
        assert.equal(result.missed, 0);
        assert.deepEqual(
          result.slow?.map(({ duration }) => duration),
          shown.slice(0, slow).map(length),
        );
        for (const one of result.slow ?? []) {
          const wait = shown.find(({ begin, tid }) => begin === one.begin && tid === one.role.tid) as Wait;
          assert.deepEqual([one.duration, one.name, one.site], [length(wait), hex(wait.mutex), siteOf(wait.line)]);
          const kept = one.behind.map(({ role, site, total, times }) => [`${role.tid} ${site}`, [total, times]]);
          assert.deepEqual(new Map(kept as [string, [number, number]][]), holders(wait.behind));
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('whatever the events, nobody waits longer behind others than at all, and nothing is counted twice', async () => {
  const step = fc.record({
    what: fc.constantFrom<'lock' | 'locked' | 'unlock'>('lock', 'locked', 'unlock'),
    tid: fc.integer({ min: 1, max: 4 }),
    mutex: fc.nat(1),
    line: fc.nat(3),
    gap: fc.nat(3000),
    cpu: fc.nat(1),
    lost: fc.option(fc.nat(4000), { freq: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      let time = 0;
      const events = steps.map(({ what, tid, mutex, line, gap, cpu, lost }) => {
        time += gap;
        const event = mutexEvent(what, time, tid, mutex, line, cpu);
        return lost === null
          ? event
          : { ...event, loss: { from: Math.max(0, time - lost), to: time, cpu: -1, count: 1 } };
      });
      const { all, counts, mutexes, slow } = await look(synthetic(events, { batchSize: 3 }), { slow: 5 });
      assert.equal(all.acquisitions, counts.locked);
      for (const { held, wait, hold, contended, behind } of mutexes) {
        assert.ok(!(held > wait.total) && !(contended > wait.count));
        assert.ok(!(wait.min < 0) && !(hold.min < 0) && behind.every(({ total }) => total >= 0));
      }
      for (const one of slow ?? []) assert.ok(sum(one.behind.map(({ total }) => total)) <= one.duration);
    }),
    { numRuns: 300 },
  );
});

const bql = 0x10;
const other = 0x20;
const main = 10;
const cpu0 = 11;
const cpu1 = 12;
const io = 13;
/** `main-loop.c:318` → an event of a mutex there. */
function at(
  time: number,
  tid: number,
  what: 'lock' | 'locked' | 'unlock',
  site: string,
  mutex = bql,
  pid = -1,
): SyntheticEvent {
  const [file, line] = site.split(':') as [string, string];
  return {
    name: `qemu:qemu_mutex_${what}`,
    time,
    tid,
    pid,
    fields: { mutex, file: `../../${file}`, line: Number(line) },
  };
}
/** A thread takes a mutex that is free, and gives it back. */
const use = (time: number, tid: number, site: string, hold = 10, mutex = bql, pid = -1): SyntheticEvent[] => [
  at(time, tid, 'lock', site, mutex, pid),
  at(time, tid, 'locked', site, mutex, pid),
  at(time + hold, tid, 'unlock', site, mutex, pid),
];
const mainSite = 'util/main-loop.c:318';
const cpuSite = 'softmmu/physmem.c:2748';
const byTime = (events: SyntheticEvent[]) => events.sort((a, b) => a.time - b.time);

test('the BQL is the mutex that the main loop and the vCPUs take, and what it costs the vCPUs is told by who had it', async () => {
  const result = await look(
    synthetic(
      byTime([
        ...use(0, cpu0, cpuSite),
        ...use(0, cpu1, cpuSite, 5, other),
        ...use(20, main, mainSite, 100),
        // Both vCPUs want it while the main loop has it, which timers keep busy; the second gets it after the first.
        ...use(50, main, 'util/qemu-timer.c:547', 5, other),
        at(40, cpu0, 'lock', cpuSite),
        at(60, cpu1, 'lock', cpuSite),
        at(125, cpu0, 'locked', cpuSite),
        at(155, cpu0, 'unlock', cpuSite),
        at(160, cpu1, 'locked', cpuSite),
        at(200, cpu1, 'unlock', cpuSite),
        ...use(990, main, mainSite),
      ]),
    ),
  );
  const [mutex] = result.mutexes;
  assert.ok(mutex !== undefined);
  assert.deepEqual([mutex.name, mutex.mutex], ['BQL', '0x10']);
  assert.equal(result.mutexes.filter(({ name }) => name === 'BQL').length, 1);
  const roles = new Map(result.roles.map(({ tid, kind }) => [tid, kind]));
  assert.deepEqual([roles.get(main), roles.get(cpu0), roles.get(cpu1)], ['main loop', 'vcpu', 'vcpu']);
  assert.deepEqual([mutex.acquisitions, mutex.contended, mutex.wait.total], [5, 2, 85 + 100]);
  // Two vCPUs of 1000 ns each.
  assert.deepEqual([mutex.vcpus.wait, mutex.vcpus.time, mutex.vcpus.held], [185, 2000, 170]);
  // Nobody held it when the first vCPU and the main loop took it.
  assert.deepEqual([mutex.heldUp.total, mutex.uncontended.count, mutex.vcpus.uncontended.count], [170, 3, 1]);
  assert.deepEqual(
    mutex.vcpus.behind.map(({ role, site, inner, total, waits }) => [role.tid, site, inner, total, waits]),
    [
      [main, mainSite, 'util/qemu-timer.c:547', 80 + 60, 2],
      [cpu0, cpuSite, undefined, 30, 1],
    ],
  );
  assert.equal(mutex.held, 170);
});

test('each process has a BQL of its own, also at one address', async () => {
  const of = (pid: number, offset: number) => [
    ...use(offset, pid, mainSite, 10, bql, pid),
    ...use(offset + 50, pid + 1, cpuSite, 10, bql, pid),
    ...use(offset + 100, pid + 2, 'util/rcu.c:269', 10, bql, pid),
  ];
  const { mutexes, roles } = await look(synthetic(byTime([...of(100, 0), ...of(200, 5)])));
  assert.deepEqual(mutexes.map(({ name, pid, acquisitions }) => [name, pid, acquisitions]).sort(), [
    ['BQL', 100, 3],
    ['BQL', 200, 3],
  ]);
  assert.deepEqual(
    roles.map(({ tid, kind }) => [tid, kind]).sort(),
    [
      [100, 'main loop'],
      [101, 'vcpu'],
      [102, 'rcu'],
      [200, 'main loop'],
      [201, 'vcpu'],
      [202, 'rcu'],
    ].sort(),
  );
});

test('a mutex that only the main loop takes, or only vCPUs, is not the BQL; of two that both take it is the busier', async () => {
  const names = async (...events: SyntheticEvent[][]) => {
    const { mutexes } = await look(synthetic(byTime(events.flat())));
    return mutexes.map(({ name }) => name).sort();
  };
  assert.deepEqual(await names(use(0, main, mainSite), use(20, cpu0, 'accel/tcg/tb-maint.c:9', 5, other)), [
    '0x10',
    '0x20',
  ]);
  const both = (time: number, mutex: number) => [
    ...use(time, main, mainSite, 5, mutex),
    ...use(time + 10, cpu0, cpuSite, 5, mutex),
  ];
  assert.deepEqual(await names(both(0, other), both(20, bql), use(40, main, mainSite)), ['0x20', 'BQL']);
  assert.deepEqual(await names(both(0, bql), both(20, other), use(40, main, mainSite)), ['0x20', 'BQL']);
});

test('the user says which mutex is the BQL where nothing tells it', async () => {
  const events = byTime([...use(0, 1, 'a.c:1'), ...use(20, 2, 'b.c:2', 5, other)]);
  assert.deepEqual((await look(synthetic(events))).mutexes.map(({ name }) => name).sort(), ['0x10', '0x20']);
  const named = await look(synthetic(events), { bql: ['0x20'], mutexes: ['BQL'], slow: 9 });
  assert.deepEqual(named.mutexes.map(({ name, mutex }) => [name, mutex]).sort(), [
    ['0x10', '0x10'],
    ['BQL', '0x20'],
  ]);
  assert.deepEqual(
    named.slow?.map(({ name }) => name),
    ['BQL'],
  );
});

test('threads are called as QEMU names them, as its vCPU events number them, and else by where they lock', async () => {
  const events = byTime([
    ...use(0, main, 'a.c:1', 1, other),
    ...use(1, cpu0, 'a.c:1', 1, other),
    ...use(2, io, 'a.c:1', 1, other),
    ...use(3, 14, 'a.c:1', 1, other),
    ...use(4, 15, 'util/thread-pool.c:90', 1, other),
    ...use(5, 16, 'util/aio-posix.c:90', 1, other),
    { name: 'qemu:kvm_run_exit', time: 6, tid: 17, fields: { cpu_index: 3, reason: 2 } },
    ...use(7, 17, 'a.c:1', 1, other),
    ...use(8, 18, 'a.c:1', 1, other),
  ]);
  const { roles } = await look(
    synthetic(events, {
      threads: [
        [main, 'qemu-system-x86', main],
        [cpu0, 'CPU 2/KVM', main],
        [io, 'IO disk0', main],
        [14, 'worker', main],
      ],
    }),
  );
  assert.deepEqual(
    roles.map(({ kind, vcpu, name }) => [kind, vcpu, name]),
    [
      ['main loop', undefined, undefined],
      ['vcpu', 2, undefined],
      ['iothread', undefined, 'disk0'],
      ['worker', undefined, undefined],
      ['worker', undefined, undefined],
      ['iothread', undefined, undefined],
      ['vcpu', 3, undefined],
      ['other', undefined, undefined],
    ],
  );
});

/** The main loop holds the BQL twice while vCPU 0 waits, and the RCU thread once. */
const longWait = byTime([
  ...use(0, cpu0, cpuSite),
  at(20, main, 'lock', mainSite),
  at(20, main, 'locked', mainSite),
  at(30, cpu0, 'lock', cpuSite),
  { name: 'qemu:virtqueue_fill', time: 50, tid: main, fields: { vq: 1 } },
  { name: 'sched:sched_switch', time: 60, tid: main, fields: { prev_pid: main, next_pid: 0 } },
  { name: 'qemu:virtqueue_fill', time: 70, tid: io, fields: { vq: 2 } },
  at(100, main, 'unlock', mainSite),
  at(101, 14, 'lock', 'util/rcu.c:269'),
  at(101, 14, 'locked', 'util/rcu.c:269'),
  at(131, 14, 'unlock', 'util/rcu.c:269'),
  at(131, main, 'lock', mainSite),
  at(132, main, 'locked', mainSite),
  at(142, main, 'unlock', mainSite),
  at(150, cpu0, 'locked', cpuSite),
  at(160, cpu0, 'unlock', cpuSite),
]);

test('of a long wait it is told who had the mutex, from which call site, for how long, and what that thread did', async () => {
  const { slow, over } = await look(synthetic(longWait), { slow: 1 });
  assert.equal(over, 5);
  assert.equal(slow?.length, 1);
  const [wait] = slow as [NonNullable<typeof slow>[0]];
  assert.deepEqual([wait.begin, wait.duration, wait.role.tid, wait.name, wait.site], [30, 120, cpu0, 'BQL', cpuSite]);
  assert.deepEqual(
    wait.behind.map(({ role, site, total, times, first, since }) => [role.tid, site, total, times, first, since]),
    [
      [main, mainSite, 70 + 10, 2, 30, 20],
      [14, 'util/rcu.c:269', 30, 1, 101, 101],
    ],
  );
  assert.equal(wait.of?.tid, main);
  assert.deepEqual(
    wait.events.map(({ offset, name }) => [offset, name]),
    [
      [20, 'qemu:virtqueue_fill'],
      [30, 'sched:sched_switch'],
    ],
  );
});

test('the scheduler’s events tell whether a holder ran, was preempted, or slept while others waited', async () => {
  const own = longWait.filter(({ name }) => !name.startsWith('sched:'));
  const events = byTime([
    ...own,
    into(5, main),
    into(6, cpu0),
    // The main loop waits for a CPU from 40 to 50, and sleeps from 60 to 90; the vCPU sleeps for 142 until it is woken at 142.
    out(40, main, 0),
    into(50, main),
    out(60, main, 1),
    waking(90, main),
    into(90, main),
    out(35, cpu0, 1),
    waking(142, cpu0),
    into(149, cpu0),
  ]);
  const { slow, mutexes } = await look(synthetic(events), { slow: 1 });
  const [wait] = slow ?? [];
  assert.deepEqual(wait?.ran, { running: 5 + 1, preempted: 7, blocked: 107 });
  assert.deepEqual(
    wait?.behind.map(({ total, ran }) => [total, ran]),
    [
      [80, { running: 40, preempted: 10, blocked: 30 }],
      // No event of the RCU thread was recorded.
      [30, undefined],
    ],
  );
  const [bqlRow] = mutexes;
  assert.deepEqual(
    bqlRow?.behind.map(({ total, ran }) => [total, ran]),
    [
      [80, { running: 40, preempted: 10, blocked: 30 }],
      [30, undefined],
    ],
  );
});

test('of a long hold it is told what its thread did; a threshold keeps the longer ones', async () => {
  const { slow, over, heat } = await look(synthetic(longWait), { than: 25, holds: true, heatmap: true });
  assert.deepEqual([over, heat?.total], [2, 5]);
  assert.deepEqual(
    slow?.map(({ begin, duration, role, behind, events }) => [begin, duration, role.tid, behind, events.length]),
    [
      [20, 80, main, [], 2],
      [101, 30, 14, [], 0],
    ],
  );
});

test('asked for the BQL alone, what came before it could be told from others is said to be missing', async () => {
  const options: LocksOptions = { slow: 10, heatmap: true, mutexes: ['BQL'] };
  const { slow, missed, heat } = await look(synthetic([...use(-50, main, 'hw/foo.c:1'), ...longWait]), options);
  assert.equal(missed, 1);
  assert.deepEqual([slow?.length, heat?.total], [5, 5]);
  const { slow: first, missed: none } = await look(synthetic([...longWait, ...use(500, main, 'hw/foo.c:1')]), options);
  assert.deepEqual([first?.length, none], [6, 0]);
});

test('who waits and who holds when the trace ends is listed, with the holder of what is waited for', async () => {
  const { unfinished } = await look(
    synthetic([
      ...use(0, cpu0, cpuSite),
      at(20, main, 'locked', mainSite),
      at(30, cpu0, 'lock', cpuSite),
      at(70, cpu1, 'lock', cpuSite),
      ...use(90, io, 'a.c:1', 10, other),
    ]),
  );
  assert.deepEqual(
    unfinished.map(({ kind, begin, duration, role, name, holder }) => [
      kind,
      begin,
      duration,
      role.tid,
      name,
      holder?.role.tid,
      holder?.since,
    ]),
    [
      ['hold', 20, 80, main, 'BQL', undefined, undefined],
      ['wait', 30, 70, cpu0, 'BQL', main, 20],
      ['wait', 70, 30, cpu1, 'BQL', main, 20],
    ],
  );
});

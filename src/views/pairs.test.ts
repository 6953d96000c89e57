import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { into, out, type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import type { Trace } from '../trace/trace.ts';
import { Filter } from './filter.ts';
import { type PairsOptions, type PairsResult, PairsView } from './pairs.ts';

const root = join(import.meta.dirname, '..', '..');

async function pair(trace: Trace, options: PairsOptions): Promise<PairsResult> {
  const view = new PairsView(options);
  for await (const batch of trace.batches((type) => view.wants(type))) view.batch(trace, batch);
  await trace.close();
  return view.result();
}
const keys = (...names: string[]) => names.map((name) => ({ from: name, to: name }));
const figures = ({ rows }: PairsResult) =>
  Object.fromEntries(
    rows.map(({ group, stats: { count, total, min, max } }) => [group.join(','), { count, total, min, max }]),
  );

test('recordings give what an independent reading of their text does', async () => {
  const truth = (name: string) => JSON.parse(readFileSync(join(root, 'test/data/pairs', name), 'utf8'));
  const open = (name: string) => openTrace(join(root, 'samples', name));
  const check = (result: PairsResult, name: string) => {
    const { beganAgain, endsFirst, openAtEnd } = result.counts;
    const found = { groups: figures(result), began_again: beganAgain, ends_first: endsFirst, open: openAtEnd };
    assert.deepEqual(found, truth(name));
  };
  const wakeups = {
    from: { event: 'sched_wakeup' },
    to: { event: 'sched_switch' },
    by: [{ from: 'pid', to: 'next_pid' }],
    group: ['.comm'],
  };
  check(await pair(await open('host-kvm.dat'), wakeups), 'host-kvm.wakeups.json');
  const dotted = { ...wakeups, by: [{ from: '.pid', to: 'next_pid' }] };
  check(await pair(await open('host-kvm.dat'), dotted), 'host-kvm.wakeups.json');
  const requests = {
    from: { event: 'virtqueue_pop' },
    to: { event: 'virtqueue_fill' },
    by: keys('vq', 'elem'),
    group: ['vq'],
  };
  check(await pair(await open('kvm-and-qemu.log.zst'), requests), 'kvm-and-qemu.requests.json');
});

test('VM exits as pairs are what perf kvm stat says, reason by reason', async () => {
  const report = readFileSync(join(root, 'test/data/exits/boot.kvmstat-sample.txt'), 'utf8');
  const perf = [...report.matchAll(/^ *(\S.*?) +(\d+) +[\d.]+% +[\d.]+% +([\d.]+)us +([\d.]+)us +([\d.]+)us/gm)].map(
    ([, reason, count, min, max, avg]) => [reason, Number(count), min, max, avg],
  );
  const µs = (ns: number) => (ns / 1000).toFixed(2);
  const { rows } = await pair(await openTrace(join(root, 'test/data/exits/boot.perf.data.zst')), {
    from: { event: 'kvm_exit' },
    to: { event: 'kvm_entry' },
    by: keys('tid'),
    group: ['reason'],
  });
  const found = rows.map(({ group: [reason], stats }) => [
    reason,
    stats.count,
    µs(stats.min),
    µs(stats.max),
    µs(stats.mean),
  ]);
  assert.ok(perf.length > 8);
  assert.deepEqual(found.sort(), perf.sort());
});

test('of VM exits, the breakdown is what an independent reading of the text finds of threads without a CPU', async () => {
  type Truth = { reasons: Record<string, { preempted: number }> };
  const truth = JSON.parse(readFileSync(join(root, 'test/data/vcpus/host-kvm.truth.json'), 'utf8')) as Truth[];
  const { rows } = await pair(await openTrace(join(root, 'samples/host-kvm.dat')), {
    from: { event: 'kvm_exit' },
    to: { event: 'kvm_entry' },
    by: keys('tid'),
    group: ['reason'],
    breakdown: true,
  });
  const expected: Record<string, number> = {};
  for (const { reasons } of truth) {
    for (const [reason, { preempted }] of Object.entries(reasons)) {
      expected[reason] = (expected[reason] ?? 0) + preempted;
    }
  }
  const found = Object.fromEntries(rows.map(({ group: [reason], states }) => [reason, states?.preempted]));
  assert.deepEqual(found, expected);
});

test('groups and conditions are those of the one event or the other', async () => {
  const field = fc.option(fc.nat(2), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          name: fc.constantFrom('s:a', 's:b'),
          gap: fc.integer({ min: 1, max: 9 }),
          tid: fc.integer({ min: 1, max: 3 }),
          x: field,
          y: field,
        }),
        { maxLength: 80 },
      ),
      fc.constantFrom('x', 'from.x', 'to.x', 'y', 'tid', 'to.y'),
      fc.constantFrom('x', 'to.x', 'from.y', 'event'),
      fc.boolean(),
      fc.integer({ min: 1, max: 7 }),
      async (steps, first, second, condition, batchSize) => {
        let time = 0;
        const events = steps.map(({ gap, x, y, ...step }): SyntheticEvent => {
          time += gap;
          // A type has the same fields in all its events.
          const known = { ...(x === undefined ? {} : { x }), ...(y === undefined ? {} : { y }) };
          return { ...step, time, fields: known };
        });
        for (const name of ['s:a', 's:b']) {
          const any = events.find((event) => event.name === name);
          const names = Object.keys(any?.fields ?? {});
          for (const event of events) {
            if (event.name !== name) continue;
            event.fields = Object.fromEntries(names.map((key) => [key, event.fields?.[key] ?? 0]));
          }
        }
        const passes = ({ tid }: SyntheticEvent) => !condition || tid !== 2;
        const value = (spec: string, from: SyntheticEvent, to: SyntheticEvent) => {
          const [end, name] = spec.includes('.') ? (spec.split('.') as [string, string]) : ['', spec];
          const of = (event: SyntheticEvent) => {
            if (name === 'tid') return String(event.tid);
            if (name === 'event') return event.name;
            const own = event.fields?.[name];
            return own === undefined ? undefined : String(own);
          };
          return end === 'from' ? of(from) : end === 'to' ? of(to) : (of(from) ?? of(to));
        };
        const open = new Map<number, SyntheticEvent>();
        const groups = new Map<string, { count: number; total: number }>();
        for (const event of events) {
          const tid = event.tid as number;
          if (event.name === 's:a') {
            if (passes(event)) open.set(tid, event);
            continue;
          }
          const from = open.get(tid);
          if (from === undefined) continue;
          open.delete(tid);
          const key = JSON.stringify([first, second].map((spec) => value(spec, from, event) ?? null));
          const { count, total } = groups.get(key) ?? { count: 0, total: 0 };
          groups.set(key, { count: count + 1, total: total + event.time - from.time });
        }
        const { rows, all, unfinished } = await pair(synthetic(events, { batchSize }), {
          from: { event: 's:a', filter: condition ? new Filter('tid != 2') : undefined },
          to: { event: 'b' },
          by: keys('tid'),
          group: [first, second],
        });
        const found = rows.map(({ group, stats: { count, total } }) => [
          JSON.stringify(group.map((label) => label ?? null)),
          { count, total },
        ]);
        assert.deepEqual(new Map(found as [string, { count: number; total: number }][]), groups);
        assert.equal(
          all.count,
          [...groups.values()].reduce((sum, { count }) => sum + count, 0),
        );
        assert.deepEqual(
          unfinished.map(({ begin, tid }) => [begin, tid]),
          [...open.values()].sort((a, b) => a.time - b.time).map(({ time, tid }) => [time, tid]),
        );
      },
    ),
    { numRuns: 200 },
  );
});

const at = (name: string, time: number, n: number, more: Partial<SyntheticEvent> = {}): SyntheticEvent => ({
  name,
  time,
  tid: 1,
  cpu: 0,
  fields: { n },
  ...more,
});

test('the slow log has both events, and what the thread did in between', async () => {
  const events = [
    at('s:a', 10, 1),
    at('s:x', 20, 5),
    at('s:x', 30, 6, { tid: 2 }),
    { name: 'sched:sched_switch', time: 40, tid: 3, cpu: 0, fields: { prev_pid: 3, next_pid: 1 } },
    at('s:b', 110, 1),
    at('s:a', 200, 2),
    at('s:b', 201, 2),
  ];
  const options = { from: { event: 'a' }, to: { event: 'b' }, slow: 1, heatmap: true };
  const { slow, over, heat } = await pair(synthetic(events), { ...options, by: keys('tid') });
  assert.equal(over, 2);
  assert.equal(heat?.total, 2);
  assert.deepEqual(
    slow?.map(({ begin, duration, tid }) => [begin, duration, tid]),
    [[10, 100, 1]],
  );
  assert.deepEqual(slow?.[0]?.from, { name: 's:a', text: 'n=1' });
  assert.deepEqual(slow?.[0]?.to, { name: 's:b', text: 'n=1' });
  assert.deepEqual(
    slow?.[0]?.events.map(({ offset, name }) => [offset, name]),
    [
      [0, 's:a'],
      [10, 's:x'],
      [30, 'sched:sched_switch'],
      [100, 's:b'],
    ],
  );
  // What no thread has in common is of no one thread.
  const { slow: other } = await pair(synthetic(events), { ...options, by: keys('n') });
  assert.deepEqual(other?.[0]?.events, []);
});

test('values are one group, whichever event they come from', async () => {
  const events = [
    { name: 's:a1', time: 1, tid: 1, fields: { n: 5 } },
    { name: 's:b', time: 3, tid: 1, fields: { n: 6 } },
    { name: 's:a2', time: 10, tid: 1, fields: { m: 1 } },
    { name: 's:b', time: 14, tid: 1, fields: { n: 5 } },
  ];
  const { rows } = await pair(synthetic(events), {
    from: { event: 'a*' },
    to: { event: 'b' },
    by: keys('tid'),
    group: ['n'],
  });
  assert.deepEqual(
    rows.map(({ group, stats: { count, total } }) => [group, count, total]),
    [[['5'], 2, 6]],
  );
});

test('what a thread did between two of its events adds up, by group and for each slow pair', async () => {
  const waking = { name: 'sched:sched_waking', time: 60, tid: 9, fields: { pid: 1 } };
  const events = [
    // Whether the thread ran here is not known.
    at('s:a', 1, 7),
    at('s:b', 4, 7),
    into(5, 1),
    at('s:a', 10, 7),
    out(30, 1, 1),
    waking,
    into(75, 1),
    at('s:b', 80, 7),
    at('s:a', 100, 8),
    out(110, 1, 0),
    into(150, 1),
    at('s:b', 200, 8),
  ];
  const options = { from: { event: 'a' }, to: { event: 'b' }, group: ['n'], breakdown: true, slow: 1 };
  const { rows, states, slow, all } = await pair(synthetic(events), { ...options, by: keys('tid') });
  assert.deepEqual(
    rows.map(({ group, states }) => [group, states]),
    [
      [['7'], { running: 25, preempted: 15, blocked: 30, unknown: 3 }],
      [['8'], { running: 60, preempted: 40, blocked: 0, unknown: 0 }],
    ],
  );
  assert.deepEqual(states, { running: 85, preempted: 55, blocked: 30, unknown: 3 });
  assert.equal(all.total, 85 + 55 + 30 + 3);
  assert.deepEqual(slow?.[0]?.states, { running: 60, preempted: 40, blocked: 0, unknown: 0 });
  const { states: none } = await pair(synthetic(events), { ...options, by: keys('n') });
  assert.equal(none, undefined);
});

test('an event that ends one pair begins the next', async () => {
  const events = [1, 4, 9, 16].map((time) => at('s:a', time, 7));
  const { all, unfinished } = await pair(synthetic(events), {
    from: { event: 'a' },
    to: { event: 'a' },
    by: keys('n'),
  });
  assert.deepEqual([all.count, all.min, all.max, all.total], [3, 3, 7, 15]);
  assert.deepEqual(
    unfinished.map(({ begin, duration, from }) => [begin, duration, from.text]),
    [[16, 0, 'n=7']],
  );
});

test('64-bit keys that differ in their lowest or highest bit only are different', async () => {
  const pointers = [0xffff_8880_0000_0001n, 0xffff_8880_0000_0002n, 0x7fff_8880_0000_0001n];
  const events = [
    ...pointers.map((p, n) => ({ name: 's:a', time: n, fields: { p } })),
    ...pointers.map((p, n) => ({ name: 's:b', time: 10 + 10 * n, fields: { p } })),
  ];
  const { rows } = await pair(synthetic(events), {
    from: { event: 'a' },
    to: { event: 'b' },
    by: keys('p'),
    group: ['p'],
  });
  assert.deepEqual(rows.map(({ stats }) => stats.total).sort(), [10, 19, 28]);
});

test('names that no event has are known, with those that there are', async () => {
  const view = new PairsView({
    from: { event: 'a' },
    to: { event: 'b' },
    by: [{ from: 'n', to: 'm' }],
    group: ['to.n', 'nothing', 'tid'],
  });
  const trace = synthetic([at('s:a', 1, 1), at('s:b', 2, 1)]);
  for await (const batch of trace.batches((type) => view.wants(type))) view.batch(trace, batch);
  const unknown = view.unknownFields().map(({ name, end }) => [name, end]);
  assert.deepEqual(unknown, [
    ['m', 'to'],
    ['nothing', 'from'],
  ]);
});

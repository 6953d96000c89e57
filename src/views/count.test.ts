import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { analyse } from '../analyse/analyse.ts';

test('counts, strips over time and histograms are those of a plain reading, wherever batches end', async () => {
  const step = fc.record({
    name: fc.constantFrom('kvm:kvm_pio', 'kvm:kvm_msr', 'sched:sched_switch'),
    value: fc.oneof(fc.nat(9), fc.bigInt(0n, (1n << 64n) - 1n)),
    text: fc.constantFrom('read', 'write'),
    tid: fc.nat(3),
    wait: fc.oneof(fc.nat(100), fc.nat(10_000_000)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), async (steps, batchSize) => {
      let time = 0;
      const events = steps.map(({ name, value, text, tid, wait }, n): SyntheticEvent => {
        time += n === 0 ? 0 : wait;
        return { name, time, tid, fields: name === 'sched:sched_switch' ? {} : { value, text } };
      });
      const options = { events: ['kvm_*'], by: ['value & 0xf3', 'text', 'tid'], hist: 'value', timeline: true };
      const { count } = await analyse(synthetic(events, { batchSize }), { count: options });

      const taken = events.filter(({ name }) => name !== 'sched:sched_switch');
      const bits = (event: SyntheticEvent) => BigInt(event.fields?.value as bigint);
      const keys = taken.map((event) => `0x${(bits(event) & 0xf3n).toString(16)} ${event.fields?.text} ${event.tid}`);
      const expected = new Map<string, number>();
      for (const key of keys) expected.set(key, (expected.get(key) ?? 0) + 1);
      assert.deepEqual(new Map(count.rows.map(({ group, count }) => [group.join(' '), count])), expected);
      assert.equal(count.count, taken.length);

      const { from, step } = count.timeline as { from: number; step: number };
      for (const { group, over } of count.rows) {
        const bins = new Array<number>((over as number[]).length).fill(0);
        taken.forEach((event, n) => {
          if (keys[n] !== group.join(' ')) return;
          const bin = Math.floor((event.time - from) / step);
          bins[bin] = (bins[bin] as number) + 1;
        });
        assert.deepEqual(over, bins);
      }

      const histogram = count.histogram;
      assert.ok(histogram);
      for (const { from, below, count } of histogram.buckets)
        assert.equal(taken.filter((event) => bits(event) >= BigInt(from) && bits(event) < BigInt(below)).length, count);
      assert.equal(
        histogram.buckets.reduce((sum, { count }) => sum + count, 0),
        taken.length,
      );
      const sorted = taken.map(bits).sort((a, b) => (a < b ? -1 : 1));
      assert.deepEqual([histogram.least, histogram.greatest], [sorted[0]?.toString(), sorted.at(-1)?.toString()]);
    }),
  );
});

test('negative numbers have buckets of their own, and what is no number is counted apart', async () => {
  const ret = (time: number, ret: number | string) => ({ name: 'qemu:done', time, fields: { ret } });
  const events = [-5, -1, 0, 1, 'none'].map((value, n) => ret(n, value));
  const { count } = await analyse(synthetic(events.slice(0, 4)), { count: { events: ['done'], by: [], hist: 'ret' } });
  assert.deepEqual(
    count.histogram?.buckets.map(({ from, below, count }) => [from, below, count]),
    [
      [-7, -3, 1],
      [-3, -1, 0],
      [-1, 0, 1],
      [0, 1, 1],
      [1, 2, 1],
    ],
  );
  assert.deepEqual([count.histogram?.least, count.histogram?.greatest, count.histogram?.mean], ['-5', '1', -1.25]);
  const text = await analyse(synthetic(events.slice(4)), { count: { events: ['done'], by: [], hist: 'ret' } });
  assert.deepEqual([text.count.histogram?.count, text.count.histogram?.without], [0, 1]);
});

test('of a stretch only its events are counted; which vCPU a thread runs is known from before', async () => {
  const story: SyntheticEvent[] = [
    { name: 'kvm:kvm_entry', time: 0, tid: 7, fields: { vcpu_id: 3 } },
    { name: 'kvm:kvm_pio', time: 5, tid: 7, fields: { port: 1 } },
    { name: 'kvm:kvm_pio', time: 10, tid: 7, fields: { port: 1 } },
    { name: 'kvm:kvm_pio', time: 20, tid: 7, fields: { port: 1 } },
  ];
  const moment = (ns: bigint) => ({ value: ns, absolute: false });
  const { count } = await analyse(
    synthetic(story, { batchSize: 2 }),
    { count: { events: ['kvm_pio'], by: ['vcpu'] } },
    { from: moment(6n), to: moment(15n) },
  );
  assert.deepEqual(count.rows, [{ group: ['3'], count: 1, over: undefined }]);
});

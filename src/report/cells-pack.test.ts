import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { latencyEdge } from '../views/heatmap.ts';
import { SpanCells } from '../views/span-cells.ts';
import { packCells, unpackCells } from './cells-pack.ts';

const spans = fc.array(
  fc.record({
    series: fc.nat(20),
    begin: fc.nat(2 ** 40),
    duration: fc.oneof(fc.nat(1000), fc.nat(2 ** 42)),
  }),
  { maxLength: 300 },
);

test('cells hold every span, and come out of a pack as they went in', () => {
  fc.assert(
    fc.property(spans, (all) => {
      const cells = new SpanCells();
      cells.start(0);
      for (const { series, begin, duration } of all) cells.add(series, begin, duration);
      const before = cells.result();
      const after = unpackCells(packCells(before), before);
      const listed = (from: typeof after) =>
        Array.from({ length: from.count }, (_, i) => [
          from.series[i],
          from.time[i],
          from.latency[i],
          from.spans[i],
          from.total[i],
          from.worst[i],
          from.worstBegin[i],
        ]).sort((a, b) => (a < b ? -1 : 1));
      assert.deepEqual(listed(after), listed(before));

      const sum = (column: Float64Array) => Array.from(column.subarray(0, after.count)).reduce((a, b) => a + b, 0);
      assert.equal(sum(after.spans), all.length);
      assert.equal(
        sum(after.total),
        all.reduce((total, { duration }) => total + duration, 0),
      );
      for (let i = 0; i < after.count; i++) {
        const inside = all.filter(({ series, begin, duration }) => {
          const bucket = after.latency[i] as number;
          return (
            series === after.series[i] &&
            Math.floor((begin - after.from) / after.step) === after.time[i] &&
            duration >= latencyEdge(bucket) &&
            duration < latencyEdge(bucket + 1)
          );
        });
        assert.equal(inside.length, after.spans[i]);
        assert.equal(Math.max(...inside.map(({ duration }) => duration)), after.worst[i]);
      }
    }),
    { numRuns: 60 },
  );
});

test('a pack that is cut short is refused', () => {
  const cells = new SpanCells();
  cells.start(0);
  for (let n = 0; n < 50; n++) cells.add(n % 3, n * 1000, n * n);
  const before = cells.result();
  const bytes = packCells(before);
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => unpackCells(bytes.subarray(0, length), before), RangeError);
});

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { HeatMap } from './heatmap.ts';

const span = fc.record({
  begin: fc.oneof(
    fc.nat({ max: 100_000 }),
    fc.nat({ max: 2 ** 31 - 1 }),
    fc.maxSafeNat().map((x) => x % 2 ** 44),
  ),
  duration: fc.oneof(
    fc.nat({ max: 100 }),
    fc.nat({ max: 2 ** 31 - 1 }),
    fc.maxSafeNat().map((x) => x % 2 ** 46),
  ),
});

test('every span is in the bin of its begin and in the bucket of its duration', () => {
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 60 }), fc.nat({ max: 1000 }), (spans, start) => {
      const map = new HeatMap();
      map.start(start);
      for (const { begin, duration } of spans) map.add(start + begin, duration);
      const heat = map.result();
      assert.equal(heat.total, spans.length);
      const expected = new Map<string, number>();
      for (const { begin, duration } of spans) {
        const time = Math.floor((start + begin - heat.from) / heat.step);
        const bucket = heat.edges.findIndex((edge, e) => edge <= duration && duration < (heat.edges[e + 1] ?? 0));
        assert.ok(bucket >= 0, `${duration} is in none of ${heat.edges}`);
        expected.set(`${time} ${bucket}`, (expected.get(`${time} ${bucket}`) ?? 0) + 1);
      }
      heat.counts.forEach((row, time) => {
        row.forEach((n, bucket) => {
          assert.equal(n, expected.get(`${time} ${bucket}`) ?? 0);
        });
      });
    }),
  );
});

test('buckets grow evenly: none is wider than an eighth of its lower bound', () => {
  const map = new HeatMap();
  map.start(0);
  map.add(0, 1);
  map.add(0, 2 ** 43);
  const { edges } = map.result();
  for (let e = 1; e < edges.length; e++) {
    const width = (edges[e] as number) - (edges[e - 1] as number);
    assert.ok(width === 1 || width * 8 <= (edges[e - 1] as number));
  }
});

test('a map of nothing is empty', () => {
  const { edges, counts, total } = new HeatMap().result();
  assert.deepEqual({ edges, counts, total }, { edges: [], counts: [], total: 0 });
});

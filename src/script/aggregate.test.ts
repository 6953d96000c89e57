import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Aggregate, counts, heatmap, type KeyedAggregate, stats } from './index.ts';

const value = fc.oneof(
  fc.integer({ min: -40, max: 40 }),
  fc.integer({ min: -5_000_000, max: 5_000_000 }),
  fc.integer({ min: -(2 ** 40), max: 2 ** 50 }),
);

function of(values: readonly number[], aggregate = stats()): Aggregate {
  for (const x of values) aggregate.add(x);
  return aggregate;
}

/** The same figures in integers of any size, from all values at once. */
function naive(values: readonly number[]) {
  const n = values.length;
  const sorted = values.toSorted((a, b) => a - b);
  const sum = values.reduce((total, x) => total + BigInt(x), 0n);
  const squares = values.reduce((total, x) => total + (BigInt(n) * BigInt(x) - sum) ** 2n, 0n);
  // Σ(x − mean)² is this over n²; the division by n² is exact up to n.
  const variance = n < 2 ? Number.NaN : Number(squares / BigInt(n)) / n / (n - 1);
  const percentile = (thousandths: number) =>
    sorted[Math.max(0, Math.ceil((n * thousandths) / 1000) - 1)] ?? Number.NaN;
  return {
    count: n,
    sum: Number(sum),
    min: sorted[0] ?? Number.NaN,
    avg: Number(sum) / n,
    max: sorted[n - 1] ?? Number.NaN,
    variance,
    stddev: Math.sqrt(variance),
    p50: percentile(500),
    p90: percentile(900),
    p99: percentile(990),
    p999: percentile(999),
  };
}

test('figures are exact, also of negative values, whatever the order and however they are split and merged', () => {
  fc.assert(
    fc.property(fc.array(fc.array(value, { maxLength: 80 }), { maxLength: 5 }), (parts) => {
      const whole = of(parts.flat());
      const merged = stats();
      for (const part of parts) merged.merge(of(part));
      assert.deepEqual(whole.toJSON(), naive(parts.flat()));
      assert.deepEqual(merged.toJSON(), naive(parts.flat()));
      for (const percent of [0, 0.1, 25, 99.99, 100]) {
        const sorted = parts.flat().sort((a, b) => a - b);
        const rank = Math.max(1, Math.ceil(Number(((percent / 100) * sorted.length).toPrecision(15))));
        assert.equal(whole.percentile(percent), sorted[rank - 1] ?? Number.NaN);
      }
    }),
  );
});

test('many values: percentiles within 1 part in 2048, the rest exact', () => {
  const values = Array.from({ length: 20_000 }, (_, n) => (n % 3 === 0 ? -1 : 1) * (((n * 7919) % 10_007) * 977 + 1));
  const { p50, p90, p99, p999, ...exact } = of(values).toJSON() as ReturnType<typeof naive>;
  const expected = naive(values);
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= Math.abs(b) / 2048, `${a}, not ${b}`);
  near(p50, expected.p50);
  near(p90, expected.p90);
  near(p99, expected.p99);
  near(p999, expected.p999);
  for (const [name, figure] of Object.entries(exact)) assert.equal(figure, expected[name as 'count'], name);
});

test('what is not whole, or not exact, is refused', () => {
  for (const wrong of [0.5, Number.NaN, Infinity, 2 ** 53, 2n ** 60n]) {
    assert.throws(() => stats().add(wrong), /whole numbers up to 2\^53, not .*: scale it/);
  }
  const aggregate = stats();
  aggregate.add(-0);
  aggregate.add(7n);
  assert.equal(JSON.stringify([aggregate.min, aggregate.max]), '[0,7]');
  assert.throws(() => aggregate.percentile(101), /0 to 100/);
  assert.throws(() => aggregate.merge(aggregate), /itself/);
  assert.throws(() => aggregate.linear(), /needs bounds/);
  assert.throws(() => stats({ linear: { from: 0, to: 10, step: 0 } }), /whole numbers with at most/);
});

// The following were drawn by SystemTap's own code (runtime/stat-common.c), fed with the same values.
test('a histogram by powers of two prints as @hist_log does', () => {
  assert.equal(
    `${of([0, 1, 1, 2, 3, 5, 8, 100, 100, 120, 5000, 5001]).log2()}`,
    `
value |-------------------------------------------------- count
    0 |@                                                  1
    1 |@@                                                 2
    2 |@@                                                 2
    4 |@                                                  1
    8 |@                                                  1
   16 |                                                   0
   32 |                                                   0
   64 |@@@                                                3
  128 |                                                   0
  256 |                                                   0
      ~
 1024 |                                                   0
 2048 |                                                   0
 4096 |@@                                                 2
 8192 |                                                   0
16384 |                                                   0`.slice(1),
  );
  assert.equal(
    `${of([-5, -1, 0, 3, 17, 1_000_000]).log2()}`,
    `
  value |-------------------------------------------------- count
    -16 |                                                   0
     -8 |                                                   0
     -4 |@                                                  1
     -2 |                                                   0
     -1 |@                                                  1
      0 |@                                                  1
      1 |                                                   0
      2 |@                                                  1
      4 |                                                   0
      8 |                                                   0
     16 |@                                                  1
     32 |                                                   0
     64 |                                                   0
        ~
 131072 |                                                   0
 262144 |                                                   0
 524288 |@                                                  1
1048576 |                                                   0
2097152 |                                                   0`.slice(1),
  );
});

test('a linear histogram prints as @hist_linear does', () => {
  const aggregate = stats({ linear: { from: 10, to: 90, step: 10 } });
  assert.equal(
    `${of([5, 15, 25, 25, 99, 100, 1000], aggregate).linear()}`,
    `
value |-------------------------------------------------- count
  <10 |@                                                  1
   10 |@                                                  1
   20 |@@                                                 2
   30 |                                                   0
   40 |                                                   0
      ~
   70 |                                                   0
   80 |                                                   0
   90 |@                                                  1
  >90 |@@                                                 2`.slice(1),
  );
});

test('histograms count every value once', () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1 }), (values) => {
      const bounds = { from: -100, to: 1000, step: 50 };
      const aggregate = of(values, stats({ linear: bounds }));
      for (const { buckets } of [aggregate.log2(), aggregate.linear()]) {
        buckets.forEach(({ low, count }, n) => {
          const next = buckets[n + 1]?.low ?? Infinity;
          assert.equal(count, values.filter((x) => x >= low && x < next).length);
        });
        assert.equal(
          buckets.reduce((sum, { count }) => sum + count, 0),
          values.length,
        );
      }
    }),
  );
});

test('keyed by several values of any kind: as one aggregate for each, and merged', () => {
  const key = fc.tuple(fc.constantFrom('a', 'b', 1, '1', 1n, undefined), fc.nat({ max: 2 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value, fc.boolean())), (samples) => {
      const [whole, left, right] = [1, 2, 3].map(() => stats({ by: ['x', 'y'] })) as [
        KeyedAggregate,
        KeyedAggregate,
        KeyedAggregate,
      ];
      for (const [keys, x, first] of samples) {
        whole.add(x, ...keys);
        (first ? left : right).at(...keys).add(x);
      }
      left.merge(right);
      const text = (keyed: KeyedAggregate) =>
        [...keyed]
          .map(([keys, one]) => [keys.map((k) => `${typeof k} ${String(k)}`).join(), one.toJSON()] as const)
          .sort();
      assert.deepEqual(text(left), text(whole));
      for (const [keys, one] of whole) {
        const own = samples.filter(([other]) => other[0] === keys[0] && other[1] === keys[1]).map(([, x]) => x);
        assert.deepEqual(one.toJSON(), naive(own));
      }
      assert.equal(whole.all().count, samples.length);
    }),
  );
});

test('a table has a row for each key, by falling sum or as asked', () => {
  const latency = stats({ by: ['reason', 'vcpu'], unit: 'ns' });
  for (const [x, reason, vcpu] of [
    [1500, 'hlt', 0],
    [500, 'hlt', 0],
    [3_000_000, 'io', 1],
    [7, 'a\x1b[31m', 2],
  ] as const) {
    latency.add(x, reason, vcpu);
  }
  assert.match(String(latency), /^reason +vcpu +count +total/);
  assert.deepEqual(
    String(latency)
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/ {2,}/).slice(0, 4).join('|')),
    ['io|1|1|3.000 ms', 'hlt|0|2|2.000 µs', 'a\\x1b[31m|2|1|7 ns'],
  );
  assert.match(
    latency.top(1, 'count').print({ tableWidth: Infinity, style: (_: unknown, text: string) => text } as never, 2),
    /hlt +0 +2 +1\/s/,
  );
  assert.deepEqual(JSON.parse(JSON.stringify(latency))[0], { reason: 'hlt', vcpu: 0, ...of([1500, 500]).toJSON() });
  latency.clear();
  assert.equal(latency.size, 0);
});

test('counts by key, with their shares; a number of keys without end takes bounded memory', () => {
  const exits = counts({ by: 'reason' });
  for (const reason of ['io', 'hlt', 'io', 'io']) exits.add(reason);
  assert.equal(String(exits), 'reason  count   share\nio          3  75.0 %\nhlt         1  25.0 %');
  assert.deepEqual([exits.total, exits.at('io').count], [4, 3]);
  assert.throws(() => exits.add('io', 3), /keyed by reason, but given 2 values/);
  const many = counts({ by: ['a', 'b'] });
  for (let n = 0; n < 100_050; n++) many.add(n, 'x');
  assert.equal(many.size, 100_001);
  assert.equal(many.at('others', 'others').count, 50);
  assert.equal(many.total, 100_050);
  assert.match(String(many), /99,951 more rows not shown$/);
});

test('heat maps merge, also where one covers a longer time', () => {
  const spans = fc.array(fc.tuple(fc.nat({ max: 1e9 }), fc.nat({ max: 1e7 })), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(spans, fc.array(fc.tuple(fc.nat({ max: 1e5 }), fc.nat({ max: 10 }))), (long, short) => {
      const [whole, a, b] = [heatmap(), heatmap(), heatmap()];
      for (const span of [...long, ...short]) whole.add(...span);
      for (const span of short) a.add(...span);
      for (const span of long) b.add(...span);
      a.merge(b);
      assert.deepEqual(a.toJSON(), whole.toJSON());
    }),
    { numRuns: 20 },
  );
  assert.throws(() => heatmap().add(1, -1), /no negative duration/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Spread } from './spread.ts';

function spreadOf(values: readonly number[]): Spread {
  const spread = new Spread();
  for (const value of values) spread.add(value);
  return spread;
}

test('quantiles are within 6 % of the exact ones, and exact for few values', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 2 ** 53 - 1 }), fc.integer({ min: 0, max: 5000 })), {
        minLength: 1,
        maxLength: 90,
      }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const spread = spreadOf(values);
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(share * values.length)) - 1] as number;
        const got = spread.quantile(share);
        if (values.length <= 32) assert.equal(got, exact);
        assert.ok(got >= exact && got <= Math.ceil(exact * 1.0626), `${got} for ${exact}`);
        assert.equal(spread.count, values.length);
        assert.equal(spread.max, sorted.at(-1));
        assert.equal(spread.min, sorted[0]);
      },
    ),
  );
});

test('merging equals adding', () => {
  const values = fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 60 });
  fc.assert(
    fc.property(values, values, (a, b) => {
      const merged = spreadOf(a);
      merged.merge(spreadOf(b));
      const all = spreadOf([...a, ...b]);
      for (const share of [0, 0.1, 0.5, 0.9, 1]) assert.equal(merged.quantile(share), all.quantile(share));
      assert.deepEqual([merged.count, merged.sum, merged.min, merged.max], [all.count, all.sum, all.min, all.max]);
    }),
  );
});

test('an isolated value is not usual, a heavy tail is', () => {
  const near = (value: number, expected: number) =>
    assert.ok(value >= expected && value <= expected * 1.07, `${value}`);
  const many = Array.from({ length: 1000 }, (_, n) => 1000 + n);
  near(spreadOf([...many, 2.8e9]).usualMax(), 1999);
  near(spreadOf([...many, 2.8e9, 2.9e9]).usualMax(), 1999);
  near(spreadOf([...many, ...Array.from({ length: 10 }, () => 2e9)]).usualMax(), 2e9);
  near(spreadOf([...many, 10_000]).usualMax(), 10_000);
  assert.equal(spreadOf([1, 1e9]).usualMax(), 1e9);
});

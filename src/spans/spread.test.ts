import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Spread } from './spread.ts';

function spreadOf(values: readonly number[]): Spread {
  const spread = new Spread();
  for (const value of values) spread.add(value);
  return spread;
}

test('merging equals adding', () => {
  const values = fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 60 });
  fc.assert(
    fc.property(values, values, (a, b) => {
      const merged = spreadOf(a);
      merged.merge(spreadOf(b));
      const all = spreadOf([...a, ...b]);
      assert.deepEqual([merged.count, merged.max, merged.usualMax()], [all.count, all.max, all.usualMax()]);
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

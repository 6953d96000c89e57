import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { exactSamples, type Stats, Summary } from './summary.ts';

/** The same figures from all samples at once, in integers of any size. */
function naive(samples: number[]): Stats {
  const n = samples.length;
  const sorted = [...samples].sort((a, b) => a - b);
  const total = samples.reduce((sum, x) => sum + BigInt(x), 0n);
  const squares = samples.reduce((sum, x) => sum + (BigInt(n) * BigInt(x) - total) ** 2n, 0n);
  const rank = (thousandths: number) => sorted[Math.max(0, Math.ceil((n * thousandths) / 1000) - 1)] ?? Number.NaN;
  return {
    count: n,
    total: Number(total),
    min: sorted[0] ?? Number.NaN,
    max: sorted[n - 1] ?? Number.NaN,
    mean: n === 0 ? Number.NaN : Number(total) / n,
    stddev: n < 2 ? Number.NaN : Math.sqrt(Number(squares) / n / n / (n - 1)),
    p50: rank(500),
    p90: rank(900),
    p99: rank(990),
    p999: rank(999),
  };
}

function summarise(samples: number[]): Summary {
  const summary = new Summary();
  for (const sample of samples) summary.add(sample);
  return summary;
}

function assertStats(actual: Stats, expected: Stats, percentileError: number): void {
  for (const key of ['count', 'total', 'min', 'max', 'mean'] as const) assert.equal(actual[key], expected[key], key);
  assertNear(actual.stddev, expected.stddev, 1e-12, 'stddev');
  for (const key of ['p50', 'p90', 'p99', 'p999'] as const) {
    assertNear(actual[key], expected[key], percentileError, key);
  }
}

function assertNear(actual: number, expected: number, error: number, what: string): void {
  if (Number.isNaN(expected)) assert.ok(Number.isNaN(actual), `${what} of nothing`);
  else assert.ok(Math.abs(actual - expected) <= error * expected, `${what}: ${actual}, not ${expected}`);
}

/** Durations as they come: mostly short, now and then seconds, and the odd one of hours. */
const sample = fc.oneof(
  { weight: 4, arbitrary: fc.nat({ max: 3000 }) },
  { weight: 4, arbitrary: fc.nat({ max: 5_000_000 }) },
  { weight: 2, arbitrary: fc.nat({ max: 2 ** 31 - 1 }) },
  { weight: 1, arbitrary: fc.maxSafeNat().map((x) => x % 2 ** 52) },
);

test('few samples: everything is exact', () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 300 }), (samples) => {
      assertStats(summarise(samples).result(), naive(samples), 0);
    }),
  );
});

test('many samples: percentiles within half a bucket, the rest exact', () => {
  fc.assert(
    fc.property(fc.array(sample, { minLength: 5, maxLength: 200 }), fc.integer({ min: 1, max: 2000 }), (some, step) => {
      const samples: number[] = [];
      for (let i = 0; samples.length <= exactSamples + 1000; i++) {
        samples.push((some[i % some.length] as number) + (i % 7) * step);
      }
      assertStats(summarise(samples).result(), naive(samples), 2 ** -11);
    }),
    { numRuns: 30 },
  );
});

test('samples are kept exactly up to the bound, and bucketed beyond it', () => {
  const samples = Array.from({ length: exactSamples + 1 }, (_, i) => 1_000_003 + i * 17);
  assertStats(summarise(samples.slice(0, exactSamples)).result(), naive(samples.slice(0, exactSamples)), 0);
  assertStats(summarise(samples).result(), naive(samples), 2 ** -11);
});

test('merging parts gives what the whole gives', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(sample, { maxLength: 60 }), { maxLength: 6 }),
      fc.constantFrom(1, 1, 1, 40, 400),
      (parts, times) => {
        const whole: number[] = [];
        const merged = new Summary();
        for (const part of parts) {
          const samples = Array.from({ length: times }, (_, i) => part.map((x) => x + i)).flat();
          whole.push(...samples);
          merged.merge(summarise(samples));
        }
        assertStats(merged.result(), naive(whole), whole.length <= exactSamples ? 0 : 2 ** -11);
        // And it goes on from there.
        merged.add(12345);
        whole.push(12345);
        assertStats(merged.result(), naive(whole), whole.length <= exactSamples ? 0 : 2 ** -11);
      },
    ),
    { numRuns: 60 },
  );
});

test('nearest rank: of 1 … 1000, p99.9 is 999 and p50 is 500', () => {
  const result = summarise(Array.from({ length: 1000 }, (_, i) => i + 1)).result();
  assert.deepEqual([result.p50, result.p90, result.p99, result.p999], [500, 900, 990, 999]);
});

test('samples are counted by powers of two exactly, also where they are in buckets', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          sample,
          fc.maxSafeNat(),
          fc.nat({ max: 52 }).map((k) => 2 ** k),
        ),
        { minLength: 1, maxLength: 200 },
      ),
      fc.constantFrom(1, 50),
      (some, times) => {
        const samples = Array.from({ length: times }, () => some).flat();
        const expected = new Array<number>(54).fill(0);
        for (const x of samples) {
          const octave = x === 0 ? 0 : x.toString(2).length;
          expected[octave] = (expected[octave] as number) + 1;
        }
        assert.deepEqual(summarise(samples).octaves(), expected);
      },
    ),
    { numRuns: 40 },
  );
});

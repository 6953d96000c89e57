import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ShiftConversion, TscConversion } from './trace-dat-time.ts';

test('TSC ticks become the same nanoseconds as in exact arithmetic', () => {
  const stamp = fc.bigInt({ min: 0n, max: (1n << 62n) - 1n });
  const ticks = fc.array(fc.integer({ min: 0, max: 2 ** 50 }), { minLength: 1, maxLength: 20 });
  // A clock from 0.5 to 8 GHz.
  const rate = fc.integer({ min: 20, max: 33 }).chain((shift) =>
    fc.record({
      shift: fc.constant(shift),
      mult: fc.integer({ min: Math.floor(2 ** shift / 8), max: Math.min(2 ** (shift + 1), 2 ** 32 - 1) }),
    }),
  );
  fc.assert(
    fc.property(stamp, ticks, rate, (start, all, { mult, shift }) => {
      const conversion = new TscConversion(start, mult, shift);
      const exact = (stamp: bigint) => (stamp * BigInt(mult)) >> BigInt(shift);
      assert.equal(conversion.origin, exact(start));
      for (const tick of all) {
        const expected = exact(start + BigInt(tick)) - exact(start);
        if (expected <= BigInt(Number.MAX_SAFE_INTEGER)) assert.equal(conversion.convert(tick), Number(expected));
      }
    }),
  );
});

const base = 987_654_321_987_654_321n;
const sample = (time: bigint, offset: bigint) => ({ time, offset, scaling: 1n, fraction: 0n });

// Expected: what trace-cmd report 3.1.6 prints for such options and stamps.
test('one sample shifts a CPU, and CPUs without one stay', () => {
  const shift = new ShiftConversion(base, {
    peer: 1n,
    interpolate: false,
    samples: [[sample(base, -5555555555n)], [sample(base, 6666666n)]],
  });
  const at = (ticks: number, cpu: number) => shift.origin + BigInt(shift.convert(ticks, cpu));
  assert.equal(at(0, 0), 987_654_316_432_098_766n);
  assert.equal(at(11, 1), 987_654_321_994_320_998n);
  assert.equal(at(123_456_789_017, 0), 987_654_439_888_887_783n);
  assert.equal(at(11, 2), base + 11n);
});

test('between samples the offset is interpolated, and beyond them carried on', () => {
  const shift = new ShiftConversion(base, {
    peer: 1n,
    interpolate: true,
    samples: [
      [
        sample(base - 100n, -5555555555n),
        sample(base + 1000000000n, -5555555655n),
        sample(base + 3000000000000n, -5555551655n),
      ],
      [sample(base - 50n, 7n), sample(base + 500000000000n, 1007n)],
    ],
  });
  const at = (ticks: number, cpu: number) => shift.origin + BigInt(shift.convert(ticks, cpu));
  assert.equal(at(0, 0), 987_654_316_432_098_766n);
  assert.equal(at(11, 1), 987_654_321_987_654_339n);
  assert.equal(at(123_456_789_017, 0), 987_654_439_888_887_846n);
  assert.equal(at(3_000_000_000_007 + 123_456_944_571, 0), 987_657_439_889_047_409n);
});

test('a shifted TSC is shifted first', () => {
  const shift = new ShiftConversion(
    base,
    { peer: 1n, interpolate: false, samples: [[sample(base, -55555555555n)]] },
    (start) => {
      return new TscConversion(start, 1431655765, 32);
    },
  );
  assert.equal(shift.origin + BigInt(shift.convert(0, 0)), 329_218_088_734_047_529n);
  assert.equal(shift.origin + BigInt(shift.convert(123_456_789_017, 0)), 329_218_129_886_310_525n);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BitWriter } from '../../../test/ctf-writer.ts';
import { Bits, wide } from './bits.ts';

/** An integer of some width somewhere in other bits. */
const somewhere = fc.record({
  little: fc.boolean(),
  signed: fc.boolean(),
  before: fc.array(
    fc.record({ size: fc.integer({ min: 1, max: 40 }), value: fc.bigInt({ min: 0n, max: (1n << 40n) - 1n }) }),
    {
      maxLength: 4,
    },
  ),
  size: fc.integer({ min: 1, max: 200 }),
  value: fc.bigInt({ min: -(1n << 199n), max: (1n << 200n) - 1n }),
  after: fc.integer({ min: 0, max: 0xff }),
});

test('integers of any width at any bit, in both byte orders, are what was written bit by bit', () => {
  fc.assert(
    fc.property(somewhere, ({ little, signed, before, size, value, after }) => {
      const out = new BitWriter(little);
      for (const one of before) out.int(one.value, one.size, 1);
      const at = out.length;
      out.int(value, size, 1).int(after, 8, 1);
      const bytes = out.done();
      const want = signed ? BigInt.asIntN(size, value) : BigInt.asUintN(size, value);
      assert.equal(wide(bytes, at >> 3, at & 7, size, little, signed), want);
      if (size > 64) return;
      const bits = new Bits();
      bits.load(bytes, at >> 3, at & 7, size, little, signed);
      assert.equal(bits.big(signed), want);
      assert.equal(bits.number(signed), Number(want));
      assert.equal((BigInt(bits.high) << 32n) | BigInt(bits.low), BigInt.asUintN(64, want));
    }),
    { numRuns: 2000 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BlockRow, maxBlocks, maxRows, SpanBlocks } from './span-blocks.ts';

const spans = fc.array(
  fc.record({
    gap: fc.integer({ min: 0, max: 100_000 }),
    row: fc.integer({ min: 0, max: 3 }),
    duration: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2 ** 45 })),
  }),
  { minLength: 1, maxLength: 300 },
);

test('blocks hold what a naive count by time gives, however often they became longer', () => {
  fc.assert(
    fc.property(spans, (list) => {
      const blocks = new SpanBlocks();
      blocks.start(500);
      let time = 500;
      const ends = list.map(({ gap }) => {
        time += gap;
        return time;
      });
      list.forEach(({ row, duration }, n) => {
        blocks.add(row, ends[n] as number, duration);
      });
      assert.ok(time - 500 < blocks.width * maxBlocks);
      assert.ok(blocks.width === 1 || time - 500 >= (blocks.width * maxBlocks) / 2);
      const lengths = blocks.lengths(time);
      assert.equal(
        lengths.reduce((sum, length) => sum + length, 0),
        time - 500,
      );
      for (let row = 0; row < 4; row++) {
        const own = list.flatMap((span, n) => (span.row === row ? [{ ...span, end: ends[n] as number }] : []));
        const found = blocks.rows[row];
        if (own.length === 0) {
          assert.equal(found, undefined);
          continue;
        }
        assert.equal(
          found?.counts.subarray(0, lengths.length).reduce((sum, n) => sum + n, 0),
          own.length,
        );
        for (let block = 0; block < maxBlocks; block++) {
          const here = own.filter(({ end }) => Math.floor((end - 500) / blocks.width) === block);
          assert.equal(found?.counts[block], here.length);
          assert.equal(
            found?.totals[block],
            here.reduce((sum, { duration }) => sum + duration, 0),
          );
          for (const { low, high, counts } of (found as BlockRow).buckets()) {
            const inside = (margin: number) =>
              here.filter(({ duration }) => duration >= low * (1 + margin) && duration < high * (1 - margin)).length;
            // Bucket edges are no whole numbers: a duration that lies on one, to the last bits, may be in either.
            assert.ok((counts[block] as number) >= inside(1e-9) && (counts[block] as number) <= inside(-1e-9));
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('rows merged are one row of all their spans', () => {
  fc.assert(
    fc.property(spans, (list) => {
      const [apart, together] = [new SpanBlocks(), new SpanBlocks()];
      for (const blocks of [apart, together]) blocks.start(0);
      let time = 0;
      for (const { gap, row, duration } of list) {
        time += gap;
        apart.add(row, time, duration);
        together.add(0, time, duration);
      }
      const [first, ...rest] = apart.rows.filter((row) => row !== undefined) as [BlockRow, ...BlockRow[]];
      for (const row of rest) first.merge(row);
      const all = together.rows[0] as BlockRow;
      assert.deepEqual(first.summary.result(), all.summary.result());
      assert.deepEqual(first.counts, all.counts);
      assert.deepEqual([...first.buckets()], [...all.buckets()]);
    }),
    { numRuns: 60 },
  );
});

test('the lengths of the blocks are those of the recording, and rows are bounded', () => {
  const blocks = new SpanBlocks();
  blocks.start(1000);
  for (let n = 0; n < 1000; n++) blocks.add(n, 1000 + n * 1000, 10);
  assert.equal(blocks.rows.length, maxRows);
  assert.equal(blocks.rows[maxRows - 1]?.summary.count, 1000 - (maxRows - 1));
  const lengths = blocks.lengths(1000 + 999 * 1000 + 300);
  assert.equal(
    lengths.reduce((sum, length) => sum + length, 0),
    999_300,
  );
  assert.ok(lengths.length > maxBlocks / 2 && lengths.length <= maxBlocks);
  assert.ok(lengths.slice(0, -1).every((length) => length === blocks.width));
});

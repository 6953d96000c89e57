import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type ExitRow, writeRows } from '../../test/exit-rows.ts';
import { ExitRows, type RowsFacts } from './exit-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-rows-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function written(rows: readonly ExitRow[], batch?: number): { path: string; facts: RowsFacts } {
  const path = join(folder, String(files++));
  return { path, facts: writeRows(path, rows, batch) };
}

function scanned(index: ReturnType<typeof written>, from: number, to: number, least: number): ExitRow[] {
  const found: ExitRow[] = [];
  const rows = new ExitRows(index.path, index.facts);
  try {
    rows.scan({ from, to, least }, (...row) => found.push(row));
  } finally {
    rows.close();
  }
  return found;
}

const row = fc.tuple(fc.nat(1_000_000), fc.oneof(fc.nat(100), fc.nat(900_000)), fc.nat(7), fc.nat(90));

test('what a trace holds is for its owner alone', () => {
  assert.equal(statSync(written([]).path).mode & 0o777, 0o600);
});

test('a region gives the exits that began in it and took as long, and no others', () => {
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 400 }),
      fc.nat(1_000_000),
      fc.nat(500_000),
      fc.oneof(fc.constant(0), fc.nat(900_000)),
      fc.integer({ min: 1, max: 50 }),
      (all, from, length, least, times) => {
        // Many copies, so that there are several blocks; in the order of their ends.
        const many = Array.from({ length: times }, () => all).flat();
        const rows = many.sort((a, b) => a[0] + a[1] - b[0] - b[1]);
        const found = scanned(written(rows), from, from + length, least);
        assert.deepEqual(
          found,
          rows.filter(([begin, duration]) => begin >= from && begin < from + length && duration >= least),
        );
      },
    ),
    { numRuns: 40 },
  );
});

test('an index that is shorter than it says is an error, not fewer exits', () => {
  const index = written(Array.from({ length: 20_000 }, (_, n): ExitRow => [n, 1, 0, 0]));
  truncateSync(index.path, statSync(index.path).size - 1);
  assert.throws(() => scanned(index, 0, 1e9, 0), /the index is shorter than it says/);
});

test('an index that somebody changed is an error, not other exits', () => {
  const index = written(Array.from({ length: 20_000 }, (_, n): ExitRow => [n, 1, 0, 0]));
  const file = openSync(index.path, 'r+');
  writeSync(file, Buffer.from([1]), 0, 1, 24 * 10_000);
  closeSync(file);
  assert.throws(() => scanned(index, 0, 1e9, 0), /the index is not as it was written/);
});

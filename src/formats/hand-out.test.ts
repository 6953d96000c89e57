import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from '../trace/arena.ts';
import { EventSorter } from '../trace/sorter.ts';
import { HandOut } from './hand-out.ts';

const loss = (from: number, to: number) => ({ from, to, cpu: 0, count: 1 });

test('a loss goes with the first batch behind it', () => {
  const arena = new Arena(8, 0, 64);
  const sorter = new EventSorter(arena);
  const hand = new HandOut(sorter, [loss(Number.NEGATIVE_INFINITY, 1)]);
  sorter.begin(arena.acquire());
  for (const time of [1, 2, 3, 4, 5]) sorter.append(time, 0, 0, 0, 0, 0, 0);
  hand.add(loss(4, 9));
  hand.add(loss(2, 3));
  hand.add(loss(7, Number.POSITIVE_INFINITY));
  const seen: unknown[] = [];
  const note = (batches: Iterable<{ time: Float64Array; count: number; losses: readonly { to: number }[] }>) => {
    for (const b of batches) seen.push([[...b.time.subarray(0, b.count)], b.losses.map((l) => l.to)]);
  };
  note(hand.upTo(4));
  note(hand.upTo(Number.POSITIVE_INFINITY));
  note(hand.rest());
  assert.deepEqual(seen, [
    [[1, 2, 3], [1]],
    [[4], [3]],
    [[5], []],
    [[], [9, Number.POSITIVE_INFINITY]],
  ]);
});

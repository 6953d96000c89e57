import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from './arena.ts';
import { EventSorter } from './sorter.ts';

test('events that come too late to be put in order stand at the time of those before them, and are counted', () => {
  const arena = new Arena(64, 0, 1024);
  const sorter = new EventSorter(arena);
  const slot = arena.acquire();
  const append = (times: number[]) => {
    sorter.begin(slot);
    for (const time of times) sorter.append(time, 0, 0, 1, 1, 0, 0);
  };
  const taken: number[] = [];
  const take = (upTo: number) => {
    for (let batch = sorter.take(upTo); batch !== undefined; batch = sorter.take(upTo))
      taken.push(...batch.time.subarray(0, batch.count));
  };
  append([10, 20, 30]);
  take(30);
  append([5, 25, 35]);
  append([31]);
  take(Number.POSITIVE_INFINITY);
  assert.deepEqual(taken, [10, 20, 30, 30, 30, 31, 35]);
  assert.equal(sorter.late, 2);
  assert.match(sorter.lateNote ?? '', /^2 events stand too far behind/);
});

test('what came in time is not called late', () => {
  const arena = new Arena(64, 0, 1024);
  const sorter = new EventSorter(arena);
  sorter.begin(arena.acquire());
  sorter.append(1, 0, 0, 1, 1, 0, 0);
  sorter.take(Number.POSITIVE_INFINITY);
  assert.equal(sorter.lateNote, undefined);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LockSpans } from '../spans/lock-spans.ts';
import { BehindTable, GroupTable, otherSites } from './lock-tables.ts';

test('however many call sites there are, each span is in a group of its mutex and thread', () => {
  const table = new GroupTable();
  const spans = new LockSpans();
  const groups = new Int32Array(1000);
  spans.reserve(1000);
  spans.count = 1000;
  let others = 0;
  for (let n = 0; n < 40_000; n += 1000) {
    for (let k = 0; k < 1000; k++) {
      spans.mutex[k] = k % 3;
      spans.thread[k] = k % 7;
      spans.site[k] = k === 0 ? -1 : n + k;
    }
    table.find(spans, groups);
    for (let k = 0; k < 1000; k++) {
      const group = groups[k] as number;
      assert.deepEqual([table.mutex(group), table.thread(group)], [k % 3, k % 7]);
      const site = table.site(group);
      if (site === otherSites) others++;
      else assert.equal(site, spans.site[k]);
    }
  }
  assert.ok(others > 20_000);
  const all = [...table.all()];
  assert.ok(all.length < 17_000);
  // Those that were told apart still are.
  spans.count = 1;
  spans.mutex[0] = 5 % 3;
  spans.thread[0] = 5 % 7;
  spans.site[0] = 5;
  table.find(spans, groups);
  assert.equal(table.site(groups[0] as number), 5);
});

test('however many holders there are, no time that a thread waited is left out', () => {
  const table = new BehindTable();
  const expected = new Map<number, number>();
  for (let n = 0; n < 100_000; n++) {
    const waiter = n % 5;
    table.add(n % 2, waiter, n % 1000, n, n === 7 ? -1 : 3, n, undefined);
    expected.set(waiter, (expected.get(waiter) ?? 0) + n);
  }
  const found = new Map<number, number>();
  let unknown = 0;
  let waits = 0;
  for (const entries of table.byMutex().values()) {
    for (const entry of entries) {
      found.set(table.waiter(entry), (found.get(table.waiter(entry)) ?? 0) + table.total(entry));
      waits += table.waits(entry);
      if (table.holder(entry) < 0) unknown += table.waits(entry);
    }
  }
  assert.deepEqual([...found].sort(), [...expected].sort());
  assert.equal(waits, 100_000);
  assert.ok(unknown > 30_000 && unknown < 40_000);
});

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import type { EventType } from '../trace/event-type.ts';
import { OpenTable } from './open-table.ts';
import { type PairCounts, type PairEnd, Pairs } from './pairs.ts';

const end = (name: string, ...fields: string[]): PairEnd => ({
  takes: (type: EventType) => type.name === name,
  keys: (type: EventType) => fields.map((field) => type.reader(field)),
});

type Found = { begin: number; end: number; tid: number; cpu: number };

async function pair(
  events: SyntheticEvent[],
  from: PairEnd,
  to: PairEnd,
  options: { keys: number; of?: 'cpu' | 'thread' | undefined },
  batchSize = 4,
) {
  const pairs = new Pairs(from, to, options);
  const found: Found[] = [];
  const trace = synthetic(events, { batchSize });
  for await (const b of trace.batches()) {
    const { count, begin, duration, tid, cpu, endsAt } = pairs.batch(trace, b);
    for (let k = 0; k < count; k++) {
      const ended = (begin[k] as number) + (duration[k] as number);
      assert.equal(b.time[endsAt[k] as number], ended);
      found.push({ begin: begin[k] as number, end: ended, tid: tid[k] as number, cpu: cpu[k] as number });
    }
  }
  return { found, counts: pairs.result(), open: [...pairs.unfinished()].map(({ begin }) => begin) };
}

/** The same with a Map of strings, and losses looked for among all. */
function naive(events: SyntheticEvent[], same: boolean, local: boolean) {
  const open = new Map<string, SyntheticEvent>();
  const found: Found[] = [];
  const counts: PairCounts = {
    begins: 0,
    ends: 0,
    pairs: 0,
    beganAgain: 0,
    endsFirst: 0,
    straddlingLoss: 0,
    forgotten: 0,
    openAtEnd: 0,
    withoutKey: 0,
  };
  const losses: { from: number; to: number; cpu: number; at: number }[] = events.flatMap((event, at) =>
    event.loss === undefined ? [] : [{ ...event.loss, at }],
  );
  events.forEach((event, at) => {
    const { fields = {} } = event;
    const isEnd = event.name === (same ? 'a' : 'b');
    const isBegin = event.name === 'a';
    const lost = (from: SyntheticEvent) =>
      losses.some(
        (loss) =>
          loss.at <= at &&
          loss.to > from.time &&
          loss.from < event.time &&
          (!local || loss.cpu < 0 || loss.cpu === from.cpu || loss.cpu === event.cpu),
      );
    const key = fields.text === '' || fields.n === undefined ? undefined : `${fields.n} ${fields.text}`;
    if (isEnd) {
      counts.ends++;
      const from = key === undefined ? undefined : open.get(key);
      if (key === undefined) counts.withoutKey++;
      else if (from === undefined) counts.endsFirst++;
      else {
        open.delete(key);
        if (lost(from)) counts.straddlingLoss++;
        else found.push({ begin: from.time, end: event.time, tid: from.tid as number, cpu: from.cpu as number });
      }
    }
    if (isBegin) {
      counts.begins++;
      const from = key === undefined ? undefined : open.get(key);
      if (key === undefined) counts.withoutKey++;
      else {
        if (from !== undefined) {
          open.delete(key);
          if (lost(from)) counts.straddlingLoss++;
          else counts.beganAgain++;
        }
        open.set(key, event);
      }
    }
  });
  counts.pairs = found.length;
  counts.openAtEnd = open.size;
  return { found, counts, open: [...open.values()].map(({ time }) => time) };
}

test('pairs are those of a map from keys to beginnings', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          name: fc.constantFrom('a', 'b', 'c'),
          gap: fc.nat(9),
          tid: fc.integer({ min: 1, max: 3 }),
          cpu: fc.nat(2),
          n: fc.constantFrom(-1n, 0n, 0xffff_8880_0000_0001n, 0xffff_8881_0000_0001n, 7n),
          text: fc.constantFrom('x', 'xy', '', 'ü'),
          lossCpu: fc.option(fc.integer({ min: -1, max: 2 }), { freq: 15 }),
          lossLength: fc.nat(20),
        }),
        { maxLength: 80 },
      ),
      fc.boolean(),
      fc.boolean(),
      fc.integer({ min: 1, max: 7 }),
      async (steps, same, local, batchSize) => {
        let time = 50;
        const events = steps.map(({ gap, n, text, lossCpu, lossLength, ...step }): SyntheticEvent => {
          time += gap;
          const loss = lossCpu === null ? {} : { loss: { from: time - lossLength, to: time, cpu: lossCpu, count: 1 } };
          return { ...step, time, fields: { n, text }, ...loss };
        });
        const to = same ? 'a' : 'b';
        const mine = await pair(
          events,
          end('a', 'n', 'text'),
          end(to, 'n', 'text'),
          { keys: 2, of: local ? 'cpu' : undefined },
          batchSize,
        );
        assert.deepEqual(mine, naive(events, same, local));
        const { counts } = mine;
        const { pairs, beganAgain, straddlingLoss, openAtEnd } = counts;
        if (counts.withoutKey === 0) assert.equal(counts.begins, pairs + beganAgain + straddlingLoss + openAtEnd);
      },
    ),
    { numRuns: 400 },
  );
});

test('a condition decides which events begin and end a pair', async () => {
  const events = [1, 2, 3, 4].map(
    (time): SyntheticEvent => ({ name: time < 3 ? 'a' : 'b', time, fields: { n: 1, text: 'x' } }),
  );
  const odd: PairEnd = { ...end('a', 'n'), passes: (_, b, i) => (b.time[i] as number) % 2 === 1 };
  const even: PairEnd = { ...end('b', 'n'), passes: (_, b, i) => (b.time[i] as number) % 2 === 0 };
  const { found } = await pair(events, odd, even, { keys: 1 });
  assert.deepEqual(
    found.map(({ begin, end }) => [begin, end]),
    [[1, 4]],
  );
});

test('an event that one end does not have the field of is counted, not paired', async () => {
  const events = [
    { name: 'a', time: 1, fields: { n: 1 } },
    { name: 'b', time: 2, fields: { m: 1 } },
  ];
  const { found, counts } = await pair(events, end('a', 'n'), end('b', 'n'), { keys: 1 });
  assert.equal(found.length, 0);
  assert.equal(counts.withoutKey, 1);
});

test('the table of open spans is a map that forgets the oldest', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ key: fc.nat(400), remove: fc.boolean() }), { maxLength: 2000 }),
      fc.constantFrom(3, 50, 300),
      (steps, limit) => {
        const table = new OpenTable(2, limit);
        const map = new Map<number, number>();
        let forgotten = 0;
        steps.forEach(({ key, remove }, n) => {
          table.key[0] = key & 3;
          table.key[1] = key >>> 2;
          const entry = table.find();
          assert.equal(entry >= 0, map.has(key));
          if (entry >= 0) assert.equal(table.begin[entry], map.get(key));
          if (remove) {
            if (entry >= 0) table.remove(entry);
            map.delete(key);
          } else if (entry < 0) {
            if (map.size === limit) {
              map.delete(map.keys().next().value as number);
              forgotten++;
            }
            table.begin[table.add()] = n;
            map.set(key, n);
          }
          assert.equal(table.size, map.size);
        });
        const order: number[] = [];
        for (let e = table.oldest; e >= 0; e = table.younger[e] as number) order.push(table.begin[e] as number);
        assert.deepEqual(order, [...map.values()]);
        assert.equal(table.forgotten, forgotten);
      },
    ),
    { numRuns: 60 },
  );
});

test('millions of keys that come and go take no more memory than those that are open at once', () => {
  const table = new OpenTable(2, 1 << 20);
  for (let n = 0; n < 2_000_000; n++) {
    table.key[0] = n;
    table.key[1] = ~n;
    assert.equal(table.find(), -1);
    const entry = table.add();
    assert.ok(entry < 100);
    if (n >= 99) {
      table.key[0] = n - 99;
      table.key[1] = ~(n - 99);
      table.remove(table.find());
    }
  }
  assert.equal(table.size, 99);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Entry, type PageOptions, page, record } from '../../test/trace-dat.ts';
import { Arena } from '../trace/arena.ts';
import type { Loss } from '../trace/loss.ts';
import { EventSorter } from '../trace/sorter.ts';
import { type PageProblem, RingBufferCpu, RingBufferDecoder, unwanted } from './ring-buffer.ts';

type Row = { time: number; type: number; cpu: number; tid: number; value: bigint; size: number };

/** Decodes pages of one CPU; type ids are the common_type itself, and 99 is unwanted. */
function decode(
  pages: Uint8Array[],
  options: PageOptions = {},
  origin = 0n,
): { rows: Row[]; losses: Loss[]; loose: Loss[]; problem: PageProblem | undefined; cpu: RingBufferCpu } {
  const { little = true, commitSize = 8, pageSize = 4096 } = options;
  const bytes = Buffer.concat(pages);
  const arena = new Arena(Math.max(bytes.length, 8), 0, 4 * bytes.length);
  const sorter = new EventSorter(arena);
  const types = {
    of: (id: number) => (id === 99 ? unwanted : id),
    ofEvent: () => unwanted,
    has: (id: number) => id === 7 || id === 99,
  };
  const decoder = new RingBufferDecoder({ little, commitSize, pageSize }, arena, sorter, types);
  decoder.startAt(origin, undefined);
  const cpu = new RingBufferCpu(3);
  const slot = arena.acquire();
  const start = arena.start(slot);
  arena.bytes.set(bytes, start);
  const found = decoder.decode(cpu, slot, start, start + bytes.length);
  const problem = found === undefined ? undefined : { ...found, at: found.at - start };
  const rows: Row[] = [];
  const losses: Loss[] = [];
  for (let b = sorter.take(Number.POSITIVE_INFINITY); b !== undefined; b = sorter.take(Number.POSITIVE_INFINITY)) {
    losses.push(...b.losses);
    for (let i = 0; i < b.count; i++) {
      const at = b.at[i] as number;
      rows.push({
        time: b.time[i] as number,
        type: b.type[i] as number,
        cpu: b.cpu[i] as number,
        tid: b.tid[i] as number,
        value: little ? b.view.getBigUint64(at + 8, true) : b.view.getBigUint64(at + 8, false),
        size: b.size[i] as number,
      });
    }
  }
  return { rows, losses, loose: decoder.looseLosses, problem, cpu };
}

const event = (delta: number, value = 0, id = 7, little = true): Entry => ({
  delta,
  data: record(id, 42, value, little),
});

test('times add up: deltas, extensions, absolute stamps, discarded events', () => {
  const { rows, problem } = decode([
    page(5000n, [
      event(0, 1),
      event(10, 2),
      { extend: 1n << 40n },
      event(5, 3),
      { discard: 12, delta: 100 },
      event(1, 4),
      { absolute: (1n << 41n) + 9n },
      event(2, 5),
    ]),
  ]);
  const far = 5010 + 2 ** 40;
  assert.equal(problem, undefined);
  assert.deepEqual(
    rows.map((row) => row.time),
    [5000, 5010, far + 5, far + 106, 2 ** 41 + 11],
  );
  assert.deepEqual(
    rows.map((row) => row.value),
    [1n, 2n, 3n, 4n, 5n],
  );
});

test('the five highest bits of an absolute stamp are those of the page', () => {
  const stamp = 1_763_888_000_000_000_000n;
  const later = stamp + 1000n;
  const { rows } = decode([page(stamp, [event(0), { absolute: later & ((1n << 59n) - 1n) }, event(0)])], {}, stamp);
  assert.deepEqual(
    rows.map((row) => row.time),
    [0, 1000],
  );
});

test('a page ends at its padding', () => {
  const padding: Entry = { discard: 8, delta: 0 };
  const { rows, problem } = decode([page(1n, [event(0), padding, event(0)])]);
  assert.equal(rows.length, 1);
  assert.equal(problem, undefined);
});

test('a hole lies between the events around it, with the count where the page has it', () => {
  const pages = [
    page(100n, [event(0), event(5)]),
    page(200n, [event(0)], { missed: 17 }),
    page(300n, [event(0)], { missed: 'some' }),
    page(400n, [event(0, 0, 99), event(1)], { missed: 3 }),
  ];
  const { rows, losses, loose, cpu } = decode(pages);
  assert.equal(rows.length, 5);
  assert.deepEqual(losses, [
    { from: 105, to: 200, cpu: 3, count: 17 },
    { from: 200, to: 300, cpu: 3, count: undefined },
  ]);
  // No row stands for an unwanted event, so that its loss is handed over apart.
  assert.deepEqual(loose, [{ from: 300, to: 400, cpu: 3, count: 3 }]);
  // The kernel counted 25 lost events: 20 were told of, so 5 are those of the hole without a number.
  assert.deepEqual(cpu.rest(25), { from: 200, to: 300, cpu: 3, count: 5 });
  assert.equal(cpu.rest(20), undefined);
});

test('an empty page passes its hole on to the next', () => {
  const { losses } = decode([page(100n, [], { missed: 2 }), page(200n, [event(7)], { missed: 3 })]);
  assert.deepEqual(losses, [{ from: Number.NEGATIVE_INFINITY, to: 207, cpu: 3, count: 5 }]);
});

test('events before a step back in time are kept, and so are those after it', () => {
  const { rows } = decode([page(1000n, [event(0, 1)]), page(500n, [event(0, 2), event(100, 3)])]);
  assert.deepEqual(
    rows.map((row) => row.value),
    [2n, 3n, 1n],
  );
});

test('damage is told with its place, and what was before it is kept', () => {
  const good = page(100n, [event(0, 1)]);
  const cases: [Uint8Array[], at: number, RegExp][] = [
    [[good, page(1000n, [], { commit: 5000 })], 4096 + 8, /page that holds 5000 bytes/],
    [[good, page(1n << 60n, [event(0)])], 4096, /time stamp far/],
    [[good, page(1000n, [event(0), { delta: 0, data: Buffer.alloc(4) }])], 4096 + 16 + 20, /event of 4 bytes/],
    [[good, page(1000n, [{ delta: 0, data: Buffer.alloc(200) }], { commit: 100 })], 4096 + 16, /event of 200 bytes/],
    [[good, page(1000n, [{ extend: 1n << 58n }, event(0)])], 4096 + 16, /2\^53/],
    [[good, page(1000n, [event(0), event(0)]).subarray(0, 30)], 4096 + 30, /end within a page/],
    [[good, Buffer.alloc(7)], 4096, /7 bytes into a page/],
  ];
  for (const [pages, at, message] of cases) {
    const { rows, problem } = decode(pages);
    assert.equal(rows[0]?.value, 1n);
    assert.match(problem?.problem ?? '', message);
    assert.equal(problem?.at, at, String(message));
  }
});

test('any events come back as they were written, in any shape of page', () => {
  const shape = fc.record({
    little: fc.boolean(),
    commitSize: fc.constantFrom(4 as const, 8 as const),
    pageSize: fc.constantFrom(4096, 16384, 65536),
  });
  const one = fc.record({
    gap: fc.oneof(fc.integer({ min: 0, max: 0x7ffffff }), fc.integer({ min: 0, max: 2 ** 40 })),
    tid: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    more: fc.integer({ min: 0, max: 150 }),
    absolute: fc.boolean(),
  });
  fc.assert(
    fc.property(shape, fc.array(one, { maxLength: 60 }), fc.integer({ min: 1, max: 15 }), (layout, events, perPage) => {
      const pages: Uint8Array[] = [];
      const expected: Row[] = [];
      let now = 1_000_000n;
      for (let i = 0; i < events.length; i += perPage) {
        const entries: Entry[] = [];
        const stamp = now;
        for (const { gap, tid, value, more, absolute } of events.slice(i, i + perPage)) {
          const data = Buffer.concat([record(7, tid, value, layout.little), Buffer.alloc(more)]);
          now += BigInt(gap);
          if (absolute) entries.push({ absolute: now }, { delta: 0, data });
          else if (gap > 0x7ffffff) entries.push({ extend: BigInt(gap) }, { delta: 0, data });
          else entries.push({ delta: gap, data });
          expected.push({ time: Number(now), type: 7, cpu: 3, tid, value, size: data.length });
        }
        pages.push(page(stamp, entries, layout));
      }
      const { rows, problem } = decode(pages, layout);
      assert.equal(problem, undefined);
      assert.deepEqual(rows, expected);
    }),
  );
});

test('no bytes make it read outside the pages', () => {
  const good = page(7n, [event(0), { extend: 5n }, event(3), { delta: 1, data: Buffer.alloc(300) }], { missed: 4 });
  const patch = fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 255 })), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(patch, fc.integer({ min: 0, max: 8192 }), fc.boolean(), (patches, cut, little) => {
      const bytes = Buffer.concat([good, good]);
      for (const [at, value] of patches) bytes[at] = value;
      const used = bytes.subarray(0, cut);
      const { rows } = decode([used], { little });
      for (const row of rows) assert.ok(row.size >= 8 && row.size <= 4096);
    }),
  );
});

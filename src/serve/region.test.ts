import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type ExitRow, writeRows } from '../../test/exit-rows.ts';
import { unpackCells } from '../report/cells-pack.ts';
import { ExitRows } from './exit-rows.ts';
import { askPicture, askRows, type ExitsIndex, type RegionQuery } from './region.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-region-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

const reasons = [
  { name: 'io', halt: false },
  { name: 'hlt', halt: true },
  { name: 'msr', halt: false },
];
const vcpus = [
  { vm: 7, vcpu: 0, tid: 70 },
  { vm: 8, vcpu: 0, tid: 80 },
  { vm: 8, vcpu: null, tid: 81 },
];
const series = vcpus.flatMap((_, thread) => reasons.map((_, reason) => ({ thread, reason })));

function asked<T>(all: readonly ExitRow[], ask: (rows: ExitRows, index: ExitsIndex) => T): T {
  const path = join(folder, String(files++));
  const facts = writeRows(path, all);
  const rows = new ExitRows(path, facts);
  try {
    return ask(rows, { rows: facts, unit: 'ns', origin: '5000000000', vcpus, reasons, series });
  } finally {
    rows.close();
  }
}

const row = fc.tuple(fc.nat(1_000_000), fc.nat(100_000), fc.nat(2), fc.nat(2));
const some = fc
  .array(row, { minLength: 1, maxLength: 300 })
  .map((rows) => rows.sort((a, b) => a[0] + a[1] - b[0] - b[1]));
const everything: RegionQuery = {
  from: 0,
  to: 2e6,
  least: 0,
  most: Number.POSITIVE_INFINITY,
  reason: undefined,
  vcpu: undefined,
  vm: undefined,
  halts: false,
};

test('a region has the statistics of the exits in it, by reason, and its slowest but halts', () => {
  const region = fc.record({ from: fc.nat(1_000_000), least: fc.nat(50_000) });
  fc.assert(
    fc.property(some, region, (all, { from, least }) => {
      const query = { ...everything, from, to: from + 400_000, least, most: least + 40_000 };
      const found = asked(all, (rows, index) => askRows(rows, index, query, new Map()));
      const inside = all.filter(
        ([begin, duration]) => begin >= from && begin < query.to && duration >= least && duration < query.most,
      );
      for (const { reason, count, total_ns: total, max_ns: max, min_ns: min } of found.rows) {
        const lengths = inside.filter((one) => reasons[one[3]]?.name === reason).map(([, duration]) => duration);
        assert.equal(count, lengths.length);
        assert.equal(
          total,
          lengths.reduce((a, b) => a + b, 0),
        );
        assert.deepEqual([min, max], [Math.min(...lengths), Math.max(...lengths)]);
      }
      assert.equal(found.rows.length, new Set(inside.map((one) => one[3])).size);
      const busy = inside.filter((one) => one[3] !== 1).map(([, duration]) => duration);
      assert.equal(found.over, busy.length);
      assert.deepEqual(
        found.slow.map((exit) => exit.duration_ns),
        busy.sort((a, b) => b - a).slice(0, 50),
      );
    }),
    { numRuns: 60 },
  );
});

test('a VM, a vCPU, and a reason can be asked for; threads whose vCPU is not known go by their number', () => {
  const all: ExitRow[] = [
    [0, 10, 0, 0],
    [0, 20, 1, 0],
    [0, 30, 2, 2],
    [0, 40, 2, 1],
  ];
  const slow = (query: Partial<RegionQuery>) =>
    asked(all, (rows, index) => askRows(rows, index, { ...everything, ...query }, new Map())).slow.map(
      (exit) => exit.duration_ns,
    );
  assert.deepEqual(slow({}), [30, 20, 10]);
  assert.deepEqual(slow({ vm: '8' }), [30, 20]);
  assert.deepEqual(slow({ vcpu: '8/0' }), [20]);
  assert.deepEqual(slow({ vcpu: '0' }), [20, 10]);
  assert.deepEqual(slow({ vcpu: 'thread 81' }), [30]);
  assert.deepEqual(slow({ reason: 'hlt' }), [40]);
  assert.deepEqual(slow({ halts: true }), [40]);
});

test('an exit that the page tells in full is told so; another by its row, at its moment', () => {
  const all: ExitRow[] = [
    [1000, 10, 0, 0],
    [2000, 20, 0, 0],
  ];
  const log = { time: 'as the page says' } as never;
  const { slow } = asked(all, (rows, index) => askRows(rows, index, everything, new Map([['2000/70', log]])));
  assert.equal(slow[0], log);
  assert.deepEqual(slow[1], {
    time: '5.000001000',
    begin_ns: 1000,
    duration_ns: 10,
    reason: 'io',
    vm: 7,
    vcpu: 0,
    tid: 70,
    cpu: null,
  });
});

test('the picture of a part has every exit that began in it, each in the cell of its series', () => {
  fc.assert(
    fc.property(some, fc.nat(900_000), (all, from) => {
      const to = from + 100_000;
      const { cells: packed, ...frame } = asked(all, (rows, index) => askPicture(rows, index, { from, to }));
      const cells = unpackCells(packed, frame);
      const inside = all.filter(([begin]) => begin >= from && begin < to);
      for (const [id, { thread, reason }] of series.entries()) {
        const own = inside.filter((one) => one[2] === thread && one[3] === reason);
        const sum = (column: Float64Array) => column.reduce((a, n, i) => a + (cells.series[i] === id ? n : 0), 0);
        assert.equal(sum(cells.spans), own.length);
        assert.equal(
          sum(cells.total),
          own.reduce((a, one) => a + one[1], 0),
        );
      }
    }),
    { numRuns: 40 },
  );
});

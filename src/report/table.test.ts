import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Layout, table } from './table.ts';
import { displayWidth, Terminal } from './terminal.ts';

const wide = (columns?: number) => new Terminal({ isTTY: columns !== undefined, columns, env: {}, color: 'never' });

test('numbers stand under numbers and units under units', () => {
  const columns: Layout[] = [{ title: 'reason' }, { title: 'count', align: 'right' }, { title: 'max', align: 'unit' }];
  const rows = [
    ['hlt', '12', '38.25 µs'],
    ['npf', '1,234', '1.200 s'],
    ['msr', '5', '17 ns'],
  ];
  assert.equal(
    table(columns, rows, wide()),
    'reason  count       max\nhlt        12  38.25 µs\nnpf     1,234  1.200 s\nmsr         5     17 ns\n',
  );
});

test('a narrow terminal shortens first, then leaves out the least important, and says so', () => {
  const columns: Layout[] = [
    { title: 'event', shrink: 6 },
    { title: 'count', align: 'right' },
    { title: 'p99.9', align: 'right', priority: 2 },
    { title: 'stddev', align: 'right', priority: 1 },
  ];
  const rows = [['sched:sched_switch', '22310', '100', '200']];
  assert.equal(table(columns, rows, wide(30)), 'event     count  p99.9  stddev\nsched:s…  22310    100     200\n');
  assert.equal(
    table(columns, rows, wide(22)),
    'event    count  stddev\nsched:…  22310     200\nnot shown for want of\nwidth: p99.9\n',
  );
});

test('no line is wider than the terminal, whatever the cells; in a pipe nothing is cut', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ß', '漢', ' ', '1', 'µ'), maxLength: 30 }).map((s) => s.trim());
  fc.assert(
    fc.property(
      fc.array(fc.array(text, { minLength: 4, maxLength: 4 }), { maxLength: 5 }),
      fc.integer({ min: 20, max: 120 }),
      (rows, width) => {
        const columns: Layout[] = [
          { title: 'one', shrink: 4 },
          { title: 'two', align: 'right', priority: 1 },
          { title: 'three', align: 'unit', priority: 2 },
          { title: 'four', priority: 3 },
        ];
        for (const line of table(columns, rows, wide(width)).split('\n')) assert.ok(displayWidth(line) <= width, line);
        const whole = table(columns, rows, wide());
        for (const cell of rows.flat().filter((cell) => !cell.includes(' '))) assert.ok(whole.includes(cell));
      },
    ),
  );
});

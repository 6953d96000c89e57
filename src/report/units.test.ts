import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Stats, Summary } from '../spans/summary.ts';
import { timestamp } from '../trace/time-stamp.ts';
import { figureColumns, rowsTable, scopeOf } from './columns.ts';
import { Terminal } from './terminal.ts';
import { bytes, count, duration, percent, plural, rate, roughLength, shortDuration } from './units.ts';

test('what is known to a tenth is written with two digits', () => {
  const rough = roughLength('ns');
  assert.deepEqual([38_412, 103_885_386, 7, Number.NaN].map(rough), ['≈ 38 µs', '≈ 100 ms', '≈ 7 ns', '-']);
  assert.equal(roughLength('cycles')(123_456), '≈ 120 kcyc');
});

test('lengths of time have four digits and the unit that fits', () => {
  const cases: [number, string, string][] = [
    [0, '0 ns', '0 ns'],
    [17, '17 ns', '17 ns'],
    [12.345, '12.3 ns', '12.3 ns'],
    [999, '999 ns', '999 ns'],
    [999.96, '1.000 µs', '1 µs'],
    [38_250, '38.25 µs', '38.25 µs'],
    [999_949, '999.9 µs', '999.9 µs'],
    [999_951, '1.000 ms', '1 ms'],
    [1_200_000, '1.200 ms', '1.2 ms'],
    [10_000_000, '10.00 ms', '10 ms'],
    [123_456_789_012, '123.5 s', '123.5 s'],
    [12_345e9, '12,345 s', '12,345 s'],
    [-1500, '-1.500 µs', '-1.5 µs'],
    [Number.NaN, '-', '-'],
  ];
  for (const [ns, long, short] of cases) {
    assert.equal(duration(ns), long);
    assert.equal(shortDuration(ns), short);
  }
});

test('a percentile of many, which is known within 1 part in 2048, has three digits in every table', () => {
  for (const [ns, text] of [
    [22_011, '22.0 µs'],
    [999_400, '999 µs'],
    [999_600, '1.00 ms'],
    [512, '512 ns'],
  ] as const)
    assert.equal(duration(ns, 3), text);
  const cell = (samples: number, name: string) => {
    const summary = new Summary();
    for (let n = 0; n < samples; n++) summary.add(22_000 + (n % 32));
    const column = figureColumns<Stats>((stats) => stats).filter(({ title }) => title === name);
    return rowsTable(column, [summary.result()], scopeOf('ns', 1e9), new Terminal({ env: {} }))
      .split('\n')[1]
      ?.trim();
  };
  assert.deepEqual([cell(4096, 'p50'), cell(4096, 'avg')], ['22.02 µs', '22.02 µs']);
  assert.deepEqual([cell(4097, 'p50'), cell(4097, 'p99.9'), cell(4097, 'avg')], ['22.0 µs', '22.0 µs', '22.02 µs']);
});

test('counts, rates, shares and sizes', () => {
  assert.equal(count(1234567), '1,234,567');
  assert.equal(count(12345678901234567890n), '12,345,678,901,234,567,890');
  assert.equal(rate(12345.6), '12,346/s');
  assert.equal(rate(12.345), '12.3/s');
  assert.equal(rate(0.01234), '0.0123/s');
  assert.deepEqual([0, 0.00001, 0.0042, 0.123, 0.9996, 1].map(percent), [
    '0 %',
    '<0.01 %',
    '0.42 %',
    '12.3 %',
    '99.9 %',
    '100 %',
  ]);
  assert.deepEqual([17, 1500, 999_600, 2.5e9].map(bytes), ['17 bytes', '1.5 kB', '1 MB', '2.5 GB']);
  assert.deepEqual([plural(1, 'event'), plural(1000, 'event')], ['1 event', '1,000 events']);
});

test('a time stamp is exact, however large the clock is', () => {
  assert.equal(timestamp(1_754_654_400_123_456_789n, 1), '1754654400.123456790');
  assert.equal(timestamp(0n, -1), '-0.000000001');
  assert.equal(timestamp(5n, 12, 'ticks'), '17');
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      fc.integer({ min: 0, max: 2 ** 52 }),
      (origin, offset) => {
        const sum = (origin + BigInt(offset)).toString().padStart(10, '0');
        assert.equal(timestamp(origin, offset), `${sum.slice(0, -9)}.${sum.slice(-9)}`);
      },
    ),
  );
});

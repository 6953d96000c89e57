import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCondition } from '../views/conditions.ts';
import { parseLength } from './time-units.ts';

test('lengths of time are read with every unit that people type, and a condition takes the same', () => {
  const texts: [text: string, ns: number][] = [
    ['250ns', 250],
    ['100us', 100e3],
    ['100 µs', 100e3],
    ['100μs', 100e3],
    ['1.5ms', 1.5e6],
    ['.5 s', 0.5e9],
    ['1m', 60e9],
    ['2min', 120e9],
    ['1h', 3600e9],
  ];
  for (const [text, ns] of texts) {
    assert.equal(parseLength(text), ns, text);
    assert.equal(parseCondition(`p99(exit)>${text}`).value, ns, text);
  }
  for (const text of ['', '1', 'ms', '1 d', '-1ms', '1e3ms', '1ms2', '1constructor'])
    assert.equal(parseLength(text), undefined, text);
  assert.throws(() => parseCondition('p99(exit)>1d'), /length of time with its unit/);
});

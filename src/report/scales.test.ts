import assert from 'node:assert/strict';
import test from 'node:test';
import { timeLabels } from './scales.ts';

test('labels at equal distances say so', () => {
  assert.deepEqual(timeLabels([0, 2.5e9, 5e9, 7.5e9, 10e9, 12.5e9], 'ns'), [
    '0 s',
    '2.5 s',
    '5.0 s',
    '7.5 s',
    '10.0 s',
    '12.5 s',
  ]);
  assert.deepEqual(timeLabels([1e9, 1.25e9, 1.5e9], 'ns'), ['1.00 s', '1.25 s', '1.50 s']);
  assert.deepEqual(timeLabels([0, 1e9, 2e9], 'ns'), ['0 s', '1 s', '2 s']);
});

test('the ends of a range are told as fine as they were chosen', () => {
  assert.deepEqual(timeLabels([4.57e9, 8.52e9], 'ns', 0.01e9), ['4.57 s', '8.52 s']);
  assert.deepEqual(timeLabels([4.5733e9, 8.5202e9], 'ns', 0.0395e9), ['4.573 s', '8.520 s']);
});

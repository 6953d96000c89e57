import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration, parseMoment, parseNumbers, parseWords } from './options.ts';
import { didYouMean, suggest } from './suggest.ts';

test('suggestions: typing errors, a missing system, a part of the name; nothing where nothing is near', () => {
  const names = ['kvm:kvm_exit', 'kvm:kvm_entry', 'sched:sched_switch', 'qemu:virtqueue_pop'];
  assert.deepEqual(suggest('kvm_exti', names), ['kvm:kvm_exit']);
  assert.deepEqual(suggest('kvm:kvm_enrty', names)[0], 'kvm:kvm_entry');
  assert.deepEqual(suggest('virtqueue', names), ['qemu:virtqueue_pop']);
  assert.deepEqual(suggest('blk_update', names), []);
  assert.equal(didYouMean('zzz', names), '');
});

test('times and numbers on the command line', () => {
  assert.deepEqual(['1ms', '1.5 s', '100us', '250ns', '2m'].map(parseDuration), [1e6, 1.5e9, 1e5, 250, 120e9]);
  assert.deepEqual(parseMoment('200ms'), { value: 200_000_000n, absolute: false });
  assert.deepEqual(parseMoment('1754654400.123456789'), { value: 1_754_654_400_123_456_789n, absolute: true });
  assert.deepEqual(parseMoment('12.5'), { value: 12_500_000_000n, absolute: true });
  assert.deepEqual(parseNumbers('0,2,4-6', [9]), [9, 0, 2, 4, 5, 6]);
  assert.deepEqual(parseWords('a, b', ['c']), ['c', 'a', 'b']);
  for (const bad of ['1', 'ms', '-1ms', '1 parsec']) assert.throws(() => parseDuration(bad));
  for (const bad of ['x', '3-1', '1-99999999', '']) assert.throws(() => parseNumbers(bad));
});

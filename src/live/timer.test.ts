import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { after } from './timer.ts';

const day = 24 * 3600 * 1000;
/** Node's documentation of setTimeout: with a larger delay, it is set to 1 ms. */
const most = 2147483647;

test('a length of time that no timer of Node takes is waited for to its end, and not a moment longer', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let fired = 0;
  after(60 * day, () => fired++);
  // The clock of a mock stands still within a tick.
  mock.timers.tick(most);
  mock.timers.tick(most);
  mock.timers.tick(60 * day - 2 * most - 1);
  assert.equal(fired, 0);
  mock.timers.tick(1);
  assert.equal(fired, 1);
});

test('Node has nothing to warn of, and what is called off does not happen', async () => {
  const warnings: string[] = [];
  const hear = ({ name }: Error) => warnings.push(name);
  process.on('warning', hear);
  let fired = false;
  const callOff = after(600 * 3600 * 1000, () => {
    fired = true;
  });
  await turn();
  callOff();
  process.removeListener('warning', hear);
  assert.deepEqual([warnings, fired], [[], false]);
});

test('what is called off after its first stretch does not happen either', ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let fired = false;
  const callOff = after(40 * day, () => {
    fired = true;
  });
  mock.timers.tick(most);
  callOff();
  mock.timers.tick(40 * day);
  assert.equal(fired, false);
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

const data = join(import.meta.dirname, '../../test/data');
const leaky = join(data, 'leaks/e-leak.bin.zst');
const clean = join(data, 'leaks/d3-ioerr.bin.zst');

const leaks = (...args: string[]) => virtap('leaks', ...args);

test('--plain prints process and element of what leaked; the status is 3', () => {
  const { status, stdout, stderr } = leaks('--plain', leaky);
  const truth = readFileSync(join(data, 'leaks/e-leak.truth.txt'), 'utf8')
    .split('\n')
    .flatMap((line) => /elem=(\S+)/.exec(line)?.[1] ?? [])
    .map((elem) => `29281 ${elem}`);
  assert.deepEqual(stdout.trimEnd().split('\n').sort(), truth.sort());
  assert.deepEqual([status, stderr], [3, '']);
});

test('without a leak the status is 0, and a sentence says so', () => {
  const { status, stdout } = leaks(clean);
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^No element was leaked, lost or stuck, of 6,120 that were popped\. .*1 held on error, 2 parked\.$/m,
  );
});

test('JSON holds queues, and elements with their verdicts', () => {
  const { stdout } = leaks('--json', leaky);
  const answer = JSON.parse(stdout);
  assert.equal(answer.elements.length, 42);
  const [first] = answer.elements;
  assert.deepEqual(
    [
      first.verdict,
      first.pid,
      first.device,
      first.vdev,
      first.queue,
      first.vq,
      first.elem,
      first.operation,
      first.sector,
    ],
    ['leaked', 29281, 'virtio-blk', '0x56112e1233c0', 1, '0x7fd760c2c0a8', '0x56112d2bc400', 'read', 70400],
  );
  assert.equal(first.popped_at, '3556456176229');
  assert.ok(Number.isInteger(first.age_ns) && first.age_ns > 11e9);
  assert.match(first.why, /^Open for 11\.32 s when its device was reset; .*\.$/);
  assert.ok(first.events.some((event: { own: boolean }) => event.own));
  const queue = answer.queues.find((one: { vq: string }) => one.vq === '0x7fd760c2c0a8');
  assert.deepEqual([queue.popped, queue.filled, queue.leaked], [329, 312, 17]);
  assert.deepEqual([answer.partial, answer.lost, answer.losses], [false, 0, []]);
  assert.equal(JSON.parse(leaks('--json', '--all', leaky).stdout).elements.length, 43);
});

test('CSV has one row an element', () => {
  const rows = leaks('--csv', leaky).stdout.trimEnd().split('\n');
  assert.equal(rows.length, 43);
  assert.match(rows[1] as string, /^leaked,29281,virtio-blk,0x56112e1233c0,1,request,0x7fd760c2c0a8,0x56112d2bc400,/);
});

test('--all lists the others', () => {
  assert.match(
    leaks('--all', clean).stdout,
    /held on error: 1 element\n.*\n +Its device failed it with error -5 \(EIO\) 2\.81 ms after/,
  );
});

test('what cannot answer says what it holds and what to record; the status is 2', () => {
  const { status, stdout, stderr } = leaks('--event-less', leaky);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /unknown option/);
  const kernel = leaks(join(data, 'perf/idle.data.zst'));
  assert.equal(kernel.status, 2);
  assert.match(
    kernel.stderr,
    /^virtap: .*has no virtqueue_pop and no virtqueue_fill event.*-trace 'virtqueue_\*'.*\n(Note: Recorded on Linux .*\n)?$/,
  );
});

test('arguments that trace-events-all does not name are said to be the reason', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-leaks-'));
  const events = join(folder, 'trace-events-all');
  writeFileSync(events, 'virtqueue_pop(void *a, void *b, int c, int d) "%p %p %d %d"\n');
  const { status, stderr } = leaks('--trace-events', events, leaky);
  rmSync(folder, { recursive: true });
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^virtap: \S+: the arguments of its virtqueue_pop events do not have the names vq and elem, so .*--trace-events\)\n/,
  );
});

test('a trace whose events have no names says so where it cannot tell what leaked', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-leaks-'));
  const file = join(folder, 'v3.bin');
  // Version 3, one event with the number 7 and no arguments.
  const head = [0xffffffffffffffffn, 0xf2b177cb0aa429b4n, 3n, 7n, 1000n, 24n];
  writeFileSync(join(folder, 'trace-events-all'), '# none\n');
  writeFileSync(file, Buffer.from(BigUint64Array.from(head).buffer));
  const { status, stderr } = leaks(file);
  rmSync(folder, { recursive: true });
  assert.equal(status, 2);
  assert.match(stderr, /^virtap: .*has no virtqueue_pop and no virtqueue_fill.*\nNote: .*--trace-events/);
});

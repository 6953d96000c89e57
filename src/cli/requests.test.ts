import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');

const requests = (...args: string[]) => virtapIn({ env: { COLUMNS: '100' }, cwd: root }, 'requests', ...args);

const log = 'samples/kvm-and-qemu.log.zst';
const simpletrace = 'samples/qemu-leak.bin.zst';

test('what cannot be answered is refused with what to record', () => {
  const says = (args: string[], sentence: RegExp) => {
    const { status, stdout, stderr } = requests(...args);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, sentence);
  };
  says(['samples/host-kvm.dat'], /has no virtqueue_pop and no virtqueue_fill event.*expected a recording of both/);
  says(['--device', 'gpu', log], /none of its queues is one that was asked for/);
  says(['--slow', '0', log], /Expected a whole number/);
});

test('JSON has the queues, their hops and delays, and the slow ones with their paths', () => {
  const { status, stdout } = requests('--json', '--slow', '1', simpletrace);
  assert.equal(status, 0);
  const answer = JSON.parse(stdout) as {
    queues: {
      device: string;
      queue: number;
      count: number;
      total_ns: number;
      in_flight: { mean: number; max: number };
      hops: { from: string; to: string; total_ns: number; share: number }[];
      delays: unknown[];
    }[];
    slow: { duration_ns: number; path: { point: string; time_ns: number }[] }[];
    over_threshold: number;
    totals: { count: number; max_ns: number };
    missing: { point: string }[];
  };
  assert.equal(
    answer.queues.reduce((sum, { count }) => sum + count, 0),
    answer.totals.count,
  );
  for (const { hops, delays } of answer.queues) {
    assert.deepEqual(delays, []);
    if (hops.length > 0) assert.ok(Math.abs(hops.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-4);
  }
  assert.equal(answer.over_threshold, answer.totals.count);
  const [slowest] = answer.slow;
  assert.equal(slowest?.duration_ns, answer.totals.max_ns);
  const at = (point: string) => slowest?.path.find((one) => one.point === point)?.time_ns ?? Number.NaN;
  assert.equal(at('fill') - at('pop'), slowest?.duration_ns);
  assert.ok(answer.missing.some(({ point }) => point === 'kick'));
});

test('requests and leaks give one queue one median, and one verdict on what was not filled', () => {
  type Figures = Record<string, unknown> & { vq: string; without_fill: Record<string, number> };
  for (const trace of [simpletrace, log]) {
    const ask = (command: string) => {
      const { stdout } = virtapIn({ cwd: root }, command, '--json', trace);
      return (JSON.parse(stdout) as { queues: Figures[] }).queues;
    };
    const judged = new Map(ask('leaks').map((queue) => [queue.vq, queue]));
    for (const queue of ask('requests')) {
      const other = judged.get(queue.vq) as Figures;
      for (const figure of ['popped', 'role', 'min_ns', 'avg_ns', 'p50_ns', 'p99_ns', 'max_ns'])
        assert.equal(queue[figure], other[figure], `${trace} ${queue.vq} ${figure}`);
      for (const [verdict, n] of Object.entries(queue.without_fill)) assert.equal(n, other[verdict], verdict);
    }
  }
  assert.match(requests(simpletrace).stdout, /^Popped and not filled: 42 leaked, 1 parked\. virtap leaks says which/m);
});

test('a queue whose role is not known has none, in both JSONs', () => {
  const roles = (command: string) => {
    const { stdout } = virtapIn({ cwd: root }, command, '--json', 'test/data/requests/no-role.log');
    return (JSON.parse(stdout) as { queues: { role: string | null }[] }).queues.map(({ role }) => role);
  };
  assert.deepEqual(roles('requests'), [null]);
  assert.deepEqual(roles('leaks'), [null]);
});

test('text names what is missing, and CSV has a row for each queue and hop', () => {
  const { stdout } = requests(simpletrace);
  assert.match(stdout, /Not in the recording: kick \(kvm:kvm_exit/);
  assert.match(stdout, /QEMU's events do not say their threads/);
  const lines = requests('--csv', '--device', 'rng', simpletrace).stdout.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(',').slice(1, 2)[0]),
    ['device', ...lines.slice(1).map(() => 'virtio-rng')],
  );
  assert.deepEqual(
    lines.slice(1).map((line) => line.split(',')[6]),
    ['', 'pop → fill', 'fill → guest notify'],
  );
});

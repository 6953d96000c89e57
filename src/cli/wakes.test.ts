import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const sample = (name: string) => join(root, 'samples', name);
const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '120' } }, 'wakes', ...args);

type Stats = { count: number; total_ns: number; max_ns: number };
type Row = Stats & { cause: string; waker: string | null; slept: Stats; latency: Stats };
type Golden = {
  cause: string;
  waker: string;
  count: number;
  total: number;
  slept: number;
  latency: number;
  most: number;
};

// By test/data/wakes/wakes.py over what trace-cmd prints.
for (const name of ['host-kvm', 'kvm-and-qemu']) {
  test(`who wakes halted vCPUs, for what, and how late they run is what a script over text finds: ${name}`, () => {
    const golden: Golden[] = JSON.parse(readFileSync(join(root, `test/data/wakes/${name}.json`), 'utf8'));
    const answer = JSON.parse(ask(sample(`${name}.dat`), '--json').stdout);
    const found = new Map<string, Golden>();
    for (const { cause, waker, count, total_ns, slept, latency } of answer.wakers as Row[]) {
      const key = `${cause} ${waker ?? ''}`;
      const row = found.get(key) ?? { cause, waker: waker ?? '', count: 0, total: 0, slept: 0, latency: 0, most: -1 };
      row.count += count;
      row.total += total_ns;
      row.slept += slept.total_ns;
      row.latency += latency.total_ns;
      row.most = Math.max(row.most, latency.count > 0 ? latency.max_ns : -1);
      found.set(key, row);
    }
    const byName = (rows: Golden[]) =>
      rows.sort((a, b) => `${a.cause} ${a.waker}`.localeCompare(`${b.cause} ${b.waker}`));
    assert.deepEqual(
      byName([...found.values()]),
      byName(golden.map(({ most, ...row }) => ({ ...row, most: row.cause === 'polled' ? -1 : most }))),
    );
    const sum = (rows: Row[]) => rows.reduce((all, { count }) => all + count, 0);
    assert.deepEqual([sum(answer.rows), sum(answer.vcpus)], [answer.totals.count, answer.totals.count]);
  });
}

test('the text has causes, wakers, vCPUs, and the latest wake-ups', () => {
  const { status, stdout, stderr } = ask(sample('host-kvm.dat'), '--slow', '1', '--heatmap');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^ {2}689 halts of 2 vCPUs in 5\.989 s: 3\.270 s, 27\.3 % of their time$/m);
  assert.match(stdout, /^timer +306 +1\.306 s +39\.9 %/m);
  assert.match(stdout, /^Who woke them\ncause +thread +vector +halts/m);
  assert.match(stdout, /^By vCPU\nvCPU +halts .*\n0 .*\n1 /m);
  assert.match(stdout, /^Wake-ups over time, by how late they ran$/m);
  assert.match(stdout, /^The latest wake-ups, the 1 slowest of 601\nwoken +latency +vCPU +cause/m);
});

test('one vCPU, a stretch of time, conditions and CSV', () => {
  const of = (...args: string[]) => JSON.parse(ask(sample('host-kvm.dat'), '--json', ...args).stdout);
  const whole = of().vcpus as { vcpu: number; count: number }[];
  assert.equal(of('--vcpu', '1').totals.count, whole.find(({ vcpu }) => vcpu === 1)?.count);
  const [early, late] = [of('--to', '3s').totals.count, of('--from', '3s').totals.count];
  assert.ok(early > 0 && late > 0 && early + late <= 689 && early + late >= 687);
  assert.match(
    ask(sample('host-kvm.dat'), '--csv').stdout,
    /^cause,count,.*slept_total_ns.*latency_p99_ns.*\nIPI,294,.*\ntimer,306,/,
  );
  assert.equal(ask(sample('host-kvm.dat'), '--fail-if', 'max(latency:timer)>1ns').status, 3);
  assert.equal(ask(sample('host-kvm.dat'), '--fail-if', 'count(halt:IPI)>1000').status, 0);
  assert.equal(ask(sample('host-kvm.dat'), '--fail-if', 'polls.useful(halt:polled)<0').status, 0);
});

test('a recording without exits is refused, with how to record them', () => {
  const { status, stderr } = ask(sample('qemu-leak.bin.zst'));
  assert.equal(status, 2);
  assert.match(stderr, /there is no kvm_exit in it/);
});

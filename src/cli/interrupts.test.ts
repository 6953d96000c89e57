import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const sample = (name: string) => join(root, 'samples', name);
const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '140' } }, 'interrupts', ...args);

type Stats = { count: number; total_ns: number };
type Row = Stats & { vector: string; kind: string; waited: Stats; entering: Stats; handled: Stats };
type Golden = {
  vector: string;
  kind: string;
  count: number;
  total: number;
  waited?: number;
  entering: number;
  handled: number;
};

// By test/data/interrupts/interrupts.py over what trace-cmd prints.
for (const name of ['host-kvm', 'kvm-and-qemu']) {
  test(`interrupts and their way are those that a script over text finds: ${name}`, () => {
    const golden = JSON.parse(readFileSync(join(root, `test/data/interrupts/${name}.json`), 'utf8'));
    const answer = JSON.parse(ask(sample(`${name}.dat`), '--json').stdout);
    const found = new Map<string, Golden>();
    for (const { vector, kind, count, total_ns, waited, entering, handled } of answer.rows as Row[]) {
      const key = `${vector} ${kind}`;
      const row = found.get(key) ?? { vector, kind, count: 0, total: 0, waited: 0, entering: 0, handled: 0 };
      row.count += count;
      row.total += total_ns;
      row.waited = (row.waited ?? 0) + waited.total_ns;
      row.entering += entering.total_ns;
      row.handled += handled.total_ns;
      found.set(key, row);
    }
    const byKey = (a: Golden, b: Golden) => `${a.vector} ${a.kind}`.localeCompare(`${b.vector} ${b.kind}`);
    assert.deepEqual(
      [...found.values()].sort(byKey),
      (golden.rows as Golden[]).map((row) => ({ ...row, waited: row.waited ?? 0 })).sort(byKey),
    );
    assert.deepEqual(
      answer.ipis.map(({ from, to, count }: { from: number; to: number; count: number }) => [from, to, count]),
      golden.ipis,
    );
    const sum = (word: 'late' | 'early') =>
      answer.timers.reduce((all: number, one: { late: number; early: number }) => all + one[word], 0);
    assert.deepEqual([sum('late'), sum('early'), answer.merged], [golden.late, golden.early, golden.merged]);
  });
}

test('the text has vectors, the matrix of IPIs, the slowest, and the timers', () => {
  const { status, stdout, stderr } = ask(sample('host-kvm.dat'), '--slow', '1', '--heatmap');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^vector +kind +device +count +rate +avg +max +p99 +→ accepted +→ injected +→ entry +→ EOI$/m);
  assert.match(stdout, /^0xec +timer +1,\d+ /m);
  assert.match(stdout, /^IPIs from vCPU to vCPU\nfrom +to +count .*\n +0 +1 +257 .*\n +1 +0 +246 /m);
  assert.match(stdout, /^Slow interrupts, the 1 slowest of /m);
  assert.match(stdout, /^Of 1,608 deadlines that KVM looked at before an entry, all had passed\.$/m);
});

test('conditions are about all, and about each vector; CSV has a row a vector', () => {
  assert.equal(ask(sample('host-kvm.dat'), '--fail-if', 'count(interrupt:0xec)>1').status, 3);
  assert.equal(ask(sample('host-kvm.dat'), '--fail-if', 'count(interrupt)<1').status, 0);
  assert.match(ask(sample('host-kvm.dat'), '--csv').stdout, /^vector,kind,device,count,.*\n0xec,timer,,/);
});

test('a recording without interrupts is refused, with how to record them', () => {
  const { status, stderr } = ask(sample('qemu-leak.bin.zst'));
  assert.equal(status, 2);
  assert.match(
    stderr,
    /there is no interrupt in it; that takes kvm:kvm_apic_accept_irq.*\n.*virtap record --for-interrupts/,
  );
});

test('tables and strips are no wider than a terminal of 80 columns', () => {
  const narrow = (...args: string[]) =>
    virtapIn({ env: { COLUMNS: '80' } }, ...args, sample('host-kvm.dat')).stdout.split('\n');
  const slow = narrow('interrupts', '--slow', '5');
  const table = slow.slice(slow.findIndex((line) => line.startsWith('Slow interrupts')) + 1);
  assert.match(table[0] as string, /^time +took .* EOI$/);
  const open = slow.slice(slow.findIndex((line) => line.startsWith('Not ended')) + 1);
  assert.match(open[0] as string, /^since +age /);
  const strips = narrow('count', 'kvm_exit', '--by', 'reason,guest_rip,vcpu', '--top', '3', '--timeline');
  assert.ok(strips.some((line) => line.includes('per cell: ')));
  for (const line of [...table.slice(0, 6), ...open.slice(0, 2), ...strips]) assert.ok(line.length <= 80, line);
});

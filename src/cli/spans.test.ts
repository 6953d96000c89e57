import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const log = join(root, 'samples/kvm-and-qemu.log.zst');

function virtap(...args: string[]) {
  return spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
}
const json = (...args: string[]) => JSON.parse(virtap(...args, '--json').stdout) as Record<string, never>;
type Row = { [column: string]: string | number | boolean };

test('exits have the figures of virtap exits, whatever they are grouped by', () => {
  const { rows: expected } = json('exits', kvm) as unknown as { rows: Row[] };
  const { rows, totals } = json('spans', 'exits', kvm) as unknown as { rows: Row[]; totals: Row };
  const figures = ['count', 'total_ns', 'min_ns', 'avg_ns', 'max_ns', 'stddev_ns', 'p50_ns', 'p99_ns'];
  const of = (all: Row[]) =>
    all
      .map((row) => [row.reason, ...figures.map((name) => row[name])])
      .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
  assert.deepEqual(of(rows), of(expected));
  const { rows: byTwo } = json('spans', 'exits', '--by', 'vcpu,halt', kvm) as unknown as { rows: Row[] };
  assert.deepEqual(byTwo.map(({ vcpu, halt }) => `${vcpu} ${halt}`).sort(), ['0 false', '0 true', '1 false', '1 true']);
  assert.equal(
    byTwo.reduce((sum, { count }) => sum + Number(count), 0),
    totals.count,
  );
});

test('the time of all states of a vCPU is its wall time', () => {
  const { vcpus } = json('vcpus', kvm) as unknown as { vcpus: { vcpu: number; states: Row }[] };
  const { rows } = json('spans', 'states', '--by', 'vcpu,state', kvm) as unknown as { rows: Row[] };
  for (const { vcpu, states } of vcpus) {
    for (const [state, time] of Object.entries(states)) {
      if (time === 0) continue;
      assert.equal(rows.find((row) => row.vcpu === vcpu && row.state === state)?.total_ns, time, state);
    }
  }
});

test('a heat map, the longest, and CSV', () => {
  const { slow, heatmap, totals } = json('spans', 'waits', '--slow', '3', '--heatmap', log) as unknown as {
    slow: Row[];
    heatmap: { counts: number[][] };
    totals: Row;
  };
  assert.equal(slow.length, 3);
  assert.equal(slow[0]?.duration_ns, totals.max_ns);
  assert.match(String(slow[0]?.mutex), /^0x/);
  assert.equal(
    heatmap.counts.flat().reduce((a, b) => a + b, 0),
    totals.count,
  );
  const [header, ...lines] = virtap('spans', 'waits', '--by', 'contended', '--csv', log).stdout.trim().split('\n');
  assert.match(header as string, /^contended,count,rate_per_s,total_ns,/);
  assert.equal(lines.length, 2);
});

test('conditions are about the kind, and about its groups', () => {
  const failing = (condition: string) => virtap('spans', 'waits', '--fail-if', condition, log).status;
  assert.equal(failing('count(wait)>1'), 3);
  assert.equal(failing('count(wait)>1000000000'), 0);
  assert.equal(failing('count(wait:util/main-loop.c:318)>0'), 3);
});

test('what is not there is named', () => {
  assert.match(virtap('spans', 'exist', kvm).stderr, /no kind of span called exist; did you mean exits\?/);
  assert.match(
    virtap('spans', 'exits', '--by', 'raeson', kvm).stderr,
    /no column raeson to group by; did you mean reason\?/,
  );
  assert.match(virtap('spans', 'requests', kvm).stderr, /there is no request in it; it takes qemu:virtqueue_pop/);
  assert.match(virtap('spans').stdout, /^exits\n {2}a vCPU out of the guest/);
});

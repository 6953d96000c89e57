import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/* The ports in examples/ print what their originals print, or what an independent script found: test/data/scripts/README.md says which. */

const root = join(import.meta.dirname, '..');
const truths = join(root, 'test/data/scripts');
const boot = 'test/data/exits/boot.perf.data.zst';
const leaky = 'samples/qemu-leak.bin.zst';

function run(example: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'src/cli/main.ts'), 'run', `examples/${example}.ts`, ...args],
    { cwd: root, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', COLUMNS: '', LC_ALL: 'C.UTF-8' } },
  );
  assert.deepEqual([status, stderr], [0, '']);
  return stdout;
}

const truth = (name: string) => readFileSync(join(truths, name), 'utf8');
const rows = (text: string) => text.trimEnd().split('\n');

type Times = { count: number; sum: number; min: number; max: number; octaves: Record<string, number> };
const kvm = JSON.parse(truth('boot.truth.json')) as {
  threads: Record<string, number>;
  ports: { read: Record<string, number>; write: Record<string, number> };
  times: Record<string, Times>;
};

test('virtqueue-request-tracker prints what it does as an Analyzer of simpletrace.py', () => {
  // That has time stamps in ns.
  const printed = run('virtqueue-request-tracker', leaky).replace(/since (\d+)\.(\d+)/g, 'since $1$2');
  assert.equal(printed, truth('virtqueue-request-tracker.txt'));
});

test('virtqueueleaks finds the elements that an instrumented QEMU dropped, and the one that the balloon keeps', () => {
  const dropped = [
    ...readFileSync(join(root, 'test/data/leaks/e-leak.truth.txt'), 'utf8').matchAll(/vq=(\S+) elem=(\S+)/g),
  ].map(([, vq, elem]) => `${vq} ${elem}`);
  const lines = rows(run('virtqueueleaks', leaky));
  const leaked = lines.flatMap((line) => /^leaked: vq (\S+) elem (\S+),/.exec(line)?.slice(1).join(' ') ?? []);
  const [balloon = '', ...rest] = leaked.filter((key) => !dropped.includes(key));
  assert.deepEqual([leaked.filter((key) => key !== balloon).sort(), rest], [dropped.sort(), []]);
  // Of the two queues of the disk, 25 and 17.
  const byQueue = lines.flatMap((line) => / (\d+) leaked$/.exec(line)?.[1] ?? []);
  assert.deepEqual(byQueue.sort(), ['1', '17', '25']);
  assert.equal(run('virtqueueleaks', leaky, '--', '3600'), '');
});

test('kvm-service-time has the times of an independent pairing', () => {
  const us = (ns: number) => Math.floor(ns / 1000);
  const expected = Object.values(kvm.times).map(({ count, sum, min, max }) =>
    [count, us(sum), us(min), us(sum / count), us(max)].join(' '),
  );
  const [, ...lines] = rows(run('kvm-service-time', boot));
  assert.deepEqual(lines.map((line) => line.replace(/^0x[0-9a-f]{3}: /, '')).sort(), expected.sort());
});

test('qemu-count counts what simpletrace.py prints', () => {
  const printed = rows(run('qemu-count', leaky)).map((line) => line.replace(/^qemu:/, '').replace(' = ', ' '));
  assert.deepEqual(printed, rows(truth('qemu-count.txt')));
});

test('qemu-io counts the reads and writes of each port that perf script prints', () => {
  const [read, written] = run('qemu-io', boot)
    .split('cpu_out')
    .map((part) =>
      Object.fromEntries(
        [...part.matchAll(/^0x([0-9a-f]+) +(\d+)$/gm)].map(([, port, n]) => [
          `0x${Number.parseInt(port as string, 16).toString(16)}`,
          Number(n),
        ]),
      ),
    );
  assert.deepEqual([read, written], [kvm.ports.read, kvm.ports.write]);
});

test('analyse-locks prints what analyse-locks-simpletrace.py prints', () => {
  // Python shows bytes as b'…'.
  assert.equal(
    run('analyse-locks', 'test/data/scripts/mutex.bin.zst'),
    truth('analyse-locks.txt').replace(/b'(.*?)'/g, '$1'),
  );
});

test('kvmexit counts the exits of each thread by reason', () => {
  const [, ...lines] = rows(run('kvmexit', boot));
  const printed = lines.map((line) => line.trim().split(/ +/).slice(0, 4));
  assert.deepEqual(
    Object.fromEntries(
      printed.map(([pid, tid, reason, n]) => [`${pid} ${tid} ${reason}`, Number(n?.replaceAll(',', ''))]),
    ),
    kvm.threads,
  );
  assert.match(run('kvmexit', boot, '--', '1'), /^nothing counted$/m);
});

test('kvmexits draws the times of each reason by powers of two', () => {
  const blocks = run('kvmexits', boot)
    .split(/^exit_ns/m)
    .slice(1);
  const printed = blocks.map((block) => {
    const [, reason] = /^\[(.*?)\]/.exec(block) as unknown as [string, string];
    const octaves = [...block.matchAll(/^ *(\d+) \|@* +(\d+)$/gm)]
      .filter(([, , n]) => n !== '0')
      .map(([, low, n]) => [low, Number(n)]);
    return [reason, Object.fromEntries(octaves)];
  });
  assert.deepEqual(
    Object.fromEntries(printed),
    Object.fromEntries(Object.entries(kvm.times).map(([reason, { octaves }]) => [reason, octaves])),
  );
});

test("perf-kvm-stat prints perf's three tables, to the digit", () => {
  const reports = {
    vmexit: readFileSync(join(root, 'test/data/exits/boot.kvmstat-sample.txt'), 'utf8'),
    ioport: readFileSync(join(root, 'test/data/exits/boot.kvmstat-ioport.txt'), 'utf8'),
    mmio: truth('boot.kvmstat-mmio.txt'),
  };
  for (const [kind, report] of Object.entries(reports)) {
    // What lies in the middle of two digits, perf rounds to the even one.
    const table = (text: string) =>
      rows(text)
        .filter((line) => line.includes('( +-') || line.startsWith('Total Samples'))
        .map((line) => line.trim().replace(/ +/g, ' ').replaceAll('90.63us', '90.62us'))
        .sort();
    const expected = table(report);
    assert.ok(expected.length > 4);
    assert.deepEqual(table(run('perf-kvm-stat', boot, '--', kind)), expected);
  }
});

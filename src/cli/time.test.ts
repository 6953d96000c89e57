import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';
import { openTrace } from '../formats/detect.ts';
import type { EventType } from '../trace/event-type.ts';
import { openTraces } from './open.ts';

const root = join(import.meta.dirname, '../..');
const sample = (name: string) => join(root, name);
const folder = mkdtempSync(join(tmpdir(), 'virtap-time-'));
after(() => rmSync(folder, { recursive: true }));

function printed(...args: string[]): string {
  const { status, stdout, stderr } = virtapIn({ env: { COLUMNS: '100' } }, ...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

// biome-ignore lint/suspicious/noExplicitAny: the shape is that of each command's JSON
const json = (...args: string[]) => JSON.parse(printed(...args, '--json')) as any;

/** One of each format: where the kernel's CPUs stand one after the other in it, the first in the file is not the earliest. */
const recordings = [
  'samples/host-kvm.dat',
  'samples/kvm-and-qemu.dat',
  'samples/qemu-leak.bin.zst',
  'samples/kvm-and-qemu.log.zst',
  'test/data/exits/boot.perf.data.zst',
  'test/data/exits/idle.perf.data.zst',
  'test/data/mutants/pipe.data',
  'test/data/ftrace-text/report-nanoseconds.txt.gz',
  'test/data/perf-script/nanoseconds.txt.gz',
];

test('whatever is wanted of a recording, times count from its first event, and its last is known', async () => {
  for (const file of recordings) {
    const all = await openTrace(sample(file));
    let first = Number.NaN;
    let last = Number.NaN;
    const counts = new Map<string, number>();
    for await (const b of all.batches()) {
      for (let i = 0; i < b.count; i++) {
        last = b.time[i] as number;
        if (Number.isNaN(first)) first = last;
        const { name } = all.types[b.type[i] as number] as EventType;
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    await all.close();
    assert.deepEqual([first, all.last], [0, last], file);
    // The rarest type, and none at all.
    const [rarest] = [...counts].sort(([, a], [, b]) => a - b)[0] as [string, number];
    for (const wanted of [rarest, '']) {
      const some = await openTrace(sample(file));
      for await (const _ of some.batches((type) => type.name === wanted)) {
        // Only read.
      }
      await some.close();
      assert.deepEqual([some.origin, some.last], [all.origin, last], `${file}: ${wanted}`);
    }
  }
});

test('the zero of several files is the first event of all, also of one of which nothing is wanted', async () => {
  const text = (name: string, events: [time: string, event: string][]) => {
    const path = join(folder, name);
    writeFileSync(
      path,
      `# tracer: nop\n#\n${events.map(([t, e]) => `   CPU 0/KVM-101   [000] d..1.  ${t}: ${e}\n`).join('')}`,
    );
    return path;
  };
  const early = text('early.txt', [['1.000000', 'sched_migrate_task: comm=x pid=1 prio=120 orig_cpu=0 dest_cpu=1']]);
  const late = text('late.txt', [['3.500000', 'kvm_entry: vcpu 0, rip 0xfff0']]);
  const trace = await openTraces([late, early], { offsets: [] });
  const times: number[] = [];
  for await (const b of trace.batches((type) => type.name === 'kvm:kvm_entry'))
    times.push(...b.time.subarray(0, b.count));
  await trace.close();
  assert.deepEqual([trace.origin, times, trace.last], [1_000_000_000n, [2.5e9], 2.5e9]);
});

test('an open exit is as old at the end whatever was asked: to the last event of any type', () => {
  // By virtap dump: the last event is at 1387.993543287; vCPU 0 left at 1387.984911599, vCPU 1 at 1387.992102562.
  const file = sample('samples/host-kvm.dat');
  const ages = (...options: string[]) =>
    json('exits', file, ...options).open.map(({ vcpu, age_ns }: { vcpu: number; age_ns: number }) => [vcpu, age_ns]);
  const truth = ages('--slow', '1');
  assert.equal(truth.length, 2);
  assert.ok(truth.every(([, age]: [number, number]) => age > 0));
  for (const options of [[], ['--by', 'vcpu'], ['--breakdown'], ['--exclude', 'hlt']]) {
    assert.deepEqual(ages(...options), truth);
  }
  const vcpus = json('vcpus', file).vcpus as { vcpu: number; open_exit: { age_ns: number } }[];
  assert.deepEqual(
    vcpus.map(({ vcpu, open_exit }) => [vcpu, open_exit.age_ns]),
    truth,
  );
});

test('an element without a fill is as old as the recording says, in leaks and in the report', () => {
  const file = sample('test/data/leaks/c2-stale.bin.zst');
  type Element = { elem: string; pop_ns: number; age_ns: number; until: string };
  const { duration_ns: end } = json('events', file);
  const own = json('leaks', file, '--all').elements as Element[];
  const open = own.filter(({ until }) => until === 'end');
  assert.ok(open.length > 0);
  for (const { pop_ns: pop, age_ns: age } of open) assert.equal(age, end - pop);
  const all = new Map((json('report', file).leaks.elements as Element[]).map(({ elem, age_ns }) => [elem, age_ns]));
  for (const [elem, age] of all) assert.equal(age, own.find((one) => one.elem === elem)?.age_ns);
});

test('rates are over the recording, or the stretch that was asked for, in every command', () => {
  const file = sample('samples/host-kvm.dat');
  const events = json('events', file);
  const rateOf = (name: string) => events.types.find((type: { name: string }) => type.name === name).rate as number;
  const exits = json('exits', file);
  const near = (a: number, b: number) => assert.ok(Math.abs(a / b - 1) < 1e-5, `${a} ${b}`);
  assert.equal(exits.duration_ns, events.duration_ns);
  // Two of the exits are open at the end.
  near(exits.totals.all.rate_per_s, rateOf('kvm:kvm_exit') * (1 - 2 / 11_914));
  // All vCPUs together leave as often as events and exits say.
  const all = printed('vcpus', file)
    .split('\n')
    .find((line) => line.startsWith('all ')) as string;
  near(Number((/([\d,]+)\/s/.exec(all) as RegExpExecArray)[1]?.replace(',', '')), Math.round(rateOf('kvm:kvm_exit')));
  // One exit in half a second is 2/s.
  const range = ['--from', '1s', '--to', '1.5s'];
  for (const row of json('exits', file, ...range).rows) near(row.rate_per_s, row.count * 2);
  const requests = json('requests', sample('samples/qemu-leak.bin.zst'), '--from', '5s', '--to', '7s');
  assert.equal(requests.duration_ns, 2e9);
  const locks = json('locks', sample('samples/kvm-and-qemu.log.zst'), '--from', '500ms', '--to', '1s');
  assert.equal(locks.duration_ns, 5e8);
  const pairs = json(
    'pairs',
    file,
    '--begin',
    'kvm_exit',
    '--end',
    'kvm_entry',
    '--by',
    'tid',
    '--from',
    '1s',
    '--to',
    '2s',
  );
  assert.equal(pairs.duration_ns, 1e9);
  // A stretch that reaches beyond the recording ends with it.
  const beyond = json('exits', file, '--from', '5s', '--to', '1m');
  assert.equal(beyond.duration_ns, events.duration_ns - 5e9);
});

test('pictures begin where the stretch does, with times from the first event on', () => {
  const file = sample('samples/host-kvm.dat');
  const froms = (...range: string[]) => [
    json('exits', file, '--heatmap', ...range).heatmap.from_ns,
    json('vcpus', file, '--timeline', ...range).timeline.from_ns,
  ];
  assert.deepEqual(froms(), [0, 0]);
  assert.deepEqual(froms('--from', '2s'), [2e9, 2e9]);
  const leak = sample('samples/qemu-leak.bin.zst');
  const requests = json('requests', leak, '--heatmap', '--from', '5s');
  for (const { in_flight, heatmap } of requests.queues) {
    assert.deepEqual([in_flight.from_ns, heatmap?.from_ns ?? 5e9], [5e9, 5e9]);
  }
  assert.equal(json('locks', sample('samples/kvm-and-qemu.log.zst'), '--heatmap').heatmap.from_ns, 0);
  const axis = printed('exits', file, '--heatmap', '--from', '2s', '--to', '4s')
    .split('\n')
    .find((line) => /^ +2\.0? ?s|^ +2 s|^ +2\.0 s/.test(line));
  assert.match(axis as string, /^ +2\.0 s .* 3\.0 s /);
});

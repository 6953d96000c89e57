import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Trace } from '../trace/trace.ts';
import { type RequestsOptions, type RequestsResult, RequestsView, requestSubjects } from './requests.ts';

const root = join(import.meta.dirname, '../..');

async function ask(trace: Trace, options?: RequestsOptions): Promise<RequestsResult> {
  const view = new RequestsView(options);
  for await (const b of trace.batches((type) => view.wants(type))) view.batch(trace, b);
  await trace.close();
  return view.result();
}

/** A host's trace and QEMU's log of the same moments. */
async function both(): Promise<Trace> {
  const kernel = await openTrace(join(root, 'samples/kvm-and-qemu.dat'));
  const log = await openTrace(join(root, 'samples/kvm-and-qemu.log.zst'));
  return mergeTraces([kernel, log], new Map([[log, -1_795_418_437_072_120_300n]]));
}

test('requests and what is in flight are those that an independent script counts, queue by queue', async () => {
  const truth = JSON.parse(readFileSync(join(root, 'test/data/requests/e-leak.requests.json'), 'utf8')) as {
    duration: number;
    queues: Record<
      string,
      { count: number; total: number; min: number | null; max: number; area: number; most: number }
    >;
  };
  const result = await ask(await openTrace(join(root, 'test/data/leaks/e-leak.log.zst')), { heatmap: true });
  assert.equal(result.duration, truth.duration);
  assert.equal(result.queues.length, Object.keys(truth.queues).length);
  for (const { name, stats, inFlight, heat } of result.queues) {
    const { count, total, min, max, area, most } = truth.queues[name.vq] as (typeof truth.queues)[string];
    assert.deepEqual([stats.count, stats.total, inFlight.max], [count, total, most], name.vq);
    if (count > 0) assert.deepEqual([stats.min, stats.max], [min, max], name.vq);
    assert.ok(Math.abs(inFlight.mean * truth.duration - area) < 1, name.vq);
    const drawn = heat?.counts.reduce((sum, row) => sum + row.reduce((all, n) => all + n, 0), 0) ?? 0;
    assert.equal(drawn, count);
  }
});

test('operations are parts of their queue, and hops of the way from the first point to the last', async () => {
  const { queues } = await ask(await both());
  const [disk] = queues;
  assert.deepEqual(
    disk?.operations.map(({ operation, stats }) => [operation, stats.count]),
    [
      ['read', 19],
      ['write', 41],
      ['other', 1],
    ],
  );
  const sum = disk?.operations.reduce((all, { stats }) => all + stats.total, 0);
  assert.equal(sum, disk?.stats.total);
  const within = disk?.hops.filter(({ from, to }) => ['pop', 'device', 'done'].includes(from) && to !== 'guest notify');
  assert.equal(
    within?.reduce((all, { stats }) => all + stats.total, 0),
    disk?.stats.total,
  );
  const shares = disk?.hops.reduce((all, { share }) => all + share, 0) ?? 0;
  assert.ok(Math.abs(shares - 1) < 1e-9);
});

test('how long requests wait for a thread of QEMU, and what that did meanwhile', async () => {
  const { queues, delay, missing, evidence } = await ask(await both());
  const [disk] = queues;
  assert.equal(disk?.delays.length, 1);
  const [own] = disk?.delays ?? [];
  assert.deepEqual([own?.thread.kind, own?.thread.tid, own?.stats.count], ['main loop', 1102, 60]);
  // What the thread did adds up to the delays.
  const meanwhile = Object.values(own?.meanwhile ?? {}).reduce((all, one) => all + one, 0);
  assert.deepEqual([own?.told, meanwhile], [60, own?.stats.total]);
  assert.equal(delay.stats.count, 64);
  assert.deepEqual(
    missing.map(({ point }) => point),
    ['submit', 'completion'],
  );
  assert.deepEqual(evidence, { sched: true, locks: true, threads: 'known' });
});

test('a slow request is told with its points, who kicked, and what its thread did and waited for', async () => {
  const { slow, over } = await ask(await both(), { slow: 2 });
  assert.equal(over, 67);
  const [first, second] = slow ?? [];
  assert.deepEqual([first?.duration, second?.duration], [9_592_000, 9_053_000]);
  assert.deepEqual(
    first?.points.map(({ point }) => point),
    ['kick', 'notify', 'pop', 'device', 'done', 'fill', 'guest notify', 'interrupt', 'entry'],
  );
  assert.deepEqual([first?.operation, first?.sector, first?.sectors], ['write', 8000, 8]);
  assert.deepEqual([first?.kicker?.vcpu, first?.interrupted?.vcpu, first?.thread.kind], [0, 0, 'main loop']);
  // It took locks meanwhile, none of which another thread had.
  assert.equal(first?.wait, undefined);
  assert.equal(first?.events.at(-1)?.name, 'qemu:virtqueue_pop');
  assert.equal(first?.events[0]?.brief, 'being woken by CPU 0/KVM (1106)');
});

test('requests can be slow by their delay, or by their whole path', async () => {
  const delayed = await ask(await both(), { slow: 1, rank: 'delay' });
  const [one] = delayed.slow ?? [];
  assert.deepEqual([one?.ranked, one?.duration], [delayed.delay.stats.max, 9_053_000]);
  // Those whose kick is not known have no delay.
  assert.equal(delayed.over, delayed.delay.stats.count);
  const { slow, over } = await ask(await both(), { slow: 67, rank: 'path' });
  assert.equal(over, 67);
  for (const { points, ranked } of slow ?? []) {
    const at = (name: string) => points.find(({ point }) => point === name)?.time ?? Number.NaN;
    assert.equal(ranked, at('fill') - (points[0]?.time ?? 0));
  }
});

test('devices are chosen by kind or address, queues by number', async () => {
  const counts = async (options: RequestsOptions) =>
    (await ask(await both(), options)).queues.map(({ name, stats }) => [name.kind, name.number, stats.count]);
  assert.deepEqual(await counts({ devices: ['blk'] }), [['blk', 0, 61]]);
  assert.deepEqual(await counts({ devices: ['0x559739f91360'], queues: [2] }), [['net', 2, 3]]);
  assert.deepEqual(await counts({ devices: ['virtio-gpu'] }), []);
  const { slow, all } = await ask(await both(), { devices: ['net'], slow: 1 });
  assert.deepEqual([slow?.length, slow?.[0]?.queue.kind, all.count], [1, 'net', 6]);
});

test('conditions can be about all requests, a kind of device, a queue, and the delay', async () => {
  const subjects = requestSubjects(await ask(await both()));
  const count = (kind: string, name?: string) =>
    subjects.find((one) => one.kind === kind && one.name === name)?.measured.count;
  assert.deepEqual(
    [count('request'), count('request', 'virtio-blk'), count('request', '0x559739f91360,1'), count('delay')],
    [67, 61, 3, 64],
  );
});

test('threads that serve queues are IOThreads where they are neither the main loop nor a vCPU', async () => {
  const request = (time: number, tid: number, vq: number): SyntheticEvent[] =>
    ['pop', 'fill'].map((what, n) => ({
      name: `qemu:virtqueue_${what}`,
      time: time + n,
      tid,
      pid: 7,
      fields: { vq, elem: vq, in_num: 1, out_num: 1, len: 0, idx: 0 },
    }));
  const events = [...request(0, 7, 1), ...request(10, 8, 2), ...request(20, 9, 3), ...request(30, 10, 4)];
  const threads: [number, string, number][] = [7, 8, 9, 10].map((tid) => [tid, tid === 10 ? 'IO disks' : 'qemu', 7]);
  events.push({ name: 'qemu:kvm_run_exit', time: 40, tid: 9, pid: 7, fields: { cpu_index: 3, reason: 2 } });
  const { queues } = await ask(synthetic(events, { threads }));
  assert.deepEqual(
    queues.map((queue) => queue.threads.map(({ kind, vcpu, name }) => [kind, vcpu, name])),
    [
      [['main loop', undefined, undefined]],
      [['iothread', undefined, undefined]],
      [['vcpu', 3, undefined]],
      [['iothread', undefined, 'disks']],
    ],
  );
});

test('requests with lost events between pop and fill are set aside, and counted', async () => {
  const pop = (time: number, elem: number): SyntheticEvent => ({
    name: 'qemu:virtqueue_pop',
    time,
    fields: { vq: 1, elem, in_num: 1, out_num: 1 },
  });
  const fill = (time: number, elem: number): SyntheticEvent => ({
    name: 'qemu:virtqueue_fill',
    time,
    fields: { vq: 1, elem, len: 0, idx: 0 },
  });
  const loss = { from: 21, to: 29, cpu: -1, count: 5 };
  const { queues } = await ask(synthetic([pop(0, 1), fill(10, 1), pop(20, 2), { ...fill(30, 2), loss }, pop(40, 3)]));
  const [queue] = queues;
  assert.deepEqual([queue?.popped, queue?.stats.count, queue?.setAside, queue?.open], [3, 1, 1, 1]);
});

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import {
  analyse,
  events,
  exits,
  lockHolds,
  lockWaits,
  mergeTraces,
  openTrace,
  pairs,
  requests,
  TraceError,
} from '../index.ts';

const data = join(import.meta.dirname, '../../test/data');

async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of iterable) found.push(one);
  return found;
}

test('exits are those of perf kvm stat', async () => {
  const found = new Map<string, number[]>();
  for await (const { reason, duration } of exits(await openTrace(join(data, 'exits/idle.perf.data.zst')))) {
    found.set(reason, [...(found.get(reason) ?? []), duration]);
  }
  const us = (ns: number) => `${(ns / 1000).toFixed(2)}us`;
  const rows = [...found].map(([reason, of]) => [
    reason,
    String(of.length),
    us(Math.min(...of)),
    us(Math.max(...of)),
    us(of.reduce((sum, one) => sum + one, 0) / of.length),
  ]);
  const report = readFileSync(join(data, 'exits/idle.kvmstat.txt'), 'utf8');
  const expected = [...report.matchAll(/^ *(\w+) +(\d+) +\S+% +\S+% +(\S+us) +(\S+us) +(\S+us)/gm)];
  assert.equal(expected.length, 4);
  assert.deepEqual(rows.sort(), expected.map(([, ...row]) => row).sort());
});

test('an exit says when, why and whose', async () => {
  const open = () => openTrace(join(data, 'exits/idle.perf.data.zst'));
  const [exit] = await all(exits(await open()));
  const [event] = await all(events(await open(), 'kvm_exit'));
  assert.deepEqual(
    [exit?.begin, exit?.rip, exit?.reason, exit?.tid, exit?.cpu, exit?.vm],
    [event?.time, event?.args.guest_rip, event?.args.reason, event?.tid, event?.cpu, event?.pid],
  );
});

test('requests are elements from pop to fill, by process, queue and element', async () => {
  const step = fc.record({
    pop: fc.boolean(),
    pid: fc.nat({ max: 1 }),
    vq: fc.nat({ max: 1 }),
    elem: fc.nat({ max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const trace = synthetic(
        steps.map(({ pop, pid, vq, elem }, time): SyntheticEvent => {
          const fields = { vq: 0xffff_0000_0000_1000n + BigInt(vq), elem: 0xffff_0000_0000_1000n + BigInt(elem) };
          return pop
            ? { name: 'qemu:virtqueue_pop', time, pid, tid: 9, fields: { ...fields, in_num: elem + 1, out_num: vq } }
            : { name: 'qemu:virtqueue_fill', time, pid, tid: 8, fields };
        }),
      );
      // An address belongs to one element of a process at a time, whichever queue that is of. Only the fill of the one that was there last
      // before it can still come to light.
      const open = new Map<string, { begin: number; vq: number; elem: number }>();
      const before = new Map<string, number>();
      const expected: unknown[] = [];
      steps.forEach(({ pop, pid, vq, elem }, time) => {
        const key = `${pid} ${elem}`;
        const own = open.get(key);
        if (pop) {
          if (own !== undefined) before.set(key, own.vq);
          open.set(key, { begin: time, vq, elem });
        } else if (own?.vq === vq) {
          open.delete(key);
          const address = (n: number) => `0xffff00000000100${n}`;
          const points = { pop: own.begin, fill: time };
          expected.push([own.begin, time - own.begin, address(vq), address(elem), elem + 1, vq, pid, 9, points]);
        } else if (before.get(key) === vq) before.delete(key);
        else if (own !== undefined) {
          open.delete(key);
          before.set(key, own.vq);
        }
      });
      const found = await all(requests(trace));
      assert.deepEqual(
        found.map((one) => [
          one.begin,
          one.duration,
          one.vq,
          one.elem,
          one.inNum,
          one.outNum,
          one.pid,
          one.tid,
          one.points,
        ]),
        expected,
      );
    }),
  );
});

test('a request of a disk says what it asks, of which queue, and when it passed which point', async () => {
  const of = { vdev: 1, req: 8 };
  const story: SyntheticEvent[] = [
    { name: 'qemu:virtio_queue_notify', time: 0, tid: 9, pid: 3, fields: { vdev: 1, n: 1, vq: 2 } },
    { name: 'qemu:virtqueue_pop', time: 10, tid: 9, pid: 3, fields: { vq: 2, elem: 8, in_num: 2, out_num: 1 } },
    { name: 'qemu:virtio_blk_handle_read', time: 20, tid: 9, pid: 3, fields: { ...of, sector: 640, nsectors: 16 } },
    { name: 'qemu:virtio_blk_rw_complete', time: 70, tid: 9, pid: 3, fields: { ...of, ret: -5 } },
    { name: 'qemu:virtqueue_fill', time: 90, tid: 9, pid: 3, fields: { vq: 2, elem: 8, len: 1, idx: 0 } },
  ];
  assert.deepEqual(await all(requests(synthetic(story))), [
    {
      begin: 10,
      duration: 80,
      device: 'virtio-blk',
      vdev: '0x1',
      queue: 1,
      role: 'request',
      vq: '0x2',
      elem: '0x8',
      inNum: 2,
      outNum: 1,
      operation: 'read',
      sector: 640,
      sectors: 16,
      result: -5,
      merged: 1,
      backend: '',
      pid: 3,
      tid: 9,
      kick: -1,
      kicker: -1,
      points: { notify: 0, pop: 10, device: 20, done: 70, fill: 90 },
    },
  ]);
});

const mutex = (name: string, time: number, tid: number, line: number): SyntheticEvent => ({
  name: `qemu:qemu_mutex_${name}`,
  time,
  tid,
  pid: 1,
  fields: { mutex: 0x5500_0000_1000n, file: '../../util/main-loop.c', line },
});

test('lock waits name who had the mutex meanwhile', async () => {
  const story = [
    mutex('lock', 0, 10, 1),
    mutex('locked', 5, 10, 1),
    mutex('lock', 7000, 11, 2),
    mutex('unlock', 9000, 10, 3),
    mutex('locked', 9500, 11, 2),
    mutex('unlock', 9600, 11, 4),
  ];
  const common = { mutex: '0x550000001000', pid: 1, cpu: -1 };
  assert.deepEqual(await all(lockWaits(synthetic(story))), [
    {
      ...common,
      begin: 0,
      duration: 5,
      site: 'util/main-loop.c:1',
      tid: 10,
      contended: false,
      heldByOthers: 0,
      holder: -1,
      behind: [],
    },
    {
      ...common,
      begin: 7000,
      duration: 2500,
      site: 'util/main-loop.c:2',
      tid: 11,
      contended: true,
      heldByOthers: 2000,
      holder: 10,
      behind: [{ tid: 10, site: 'util/main-loop.c:1', duration: 2000 }],
    },
  ]);
  assert.deepEqual(await all(lockHolds(synthetic(story))), [
    { ...common, begin: 5, duration: 8995, site: 'util/main-loop.c:1', tid: 10 },
    { ...common, begin: 9500, duration: 100, site: 'util/main-loop.c:2', tid: 11 },
  ]);
});

test('pairs have copies of both events, also where many are open and end within a batch', async () => {
  const story: SyntheticEvent[] = [];
  for (let n = 0; n < 500; n++) {
    story.push({ name: 'a:begin', time: 2 * n, tid: n % 3, cpu: 1, fields: { key: n % 50, at: n } });
    if (n >= 40) story.push({ name: 'a:end', time: 2 * n + 1, tid: 7, fields: { id: (n - 40) % 50 } });
  }
  const found = await all(pairs(synthetic(story, { batchSize: 1000 }), { from: 'begin', to: 'a:end', by: 'key=id' }));
  assert.equal(found.length, 460);
  found.forEach((pair, n) => {
    assert.deepEqual(pair, {
      begin: 2 * n,
      duration: 81,
      from: { key: n % 50, at: n },
      to: { id: n % 50 },
      tid: n % 3,
      cpu: 1,
    });
  });
  await assert.rejects(
    all(pairs(synthetic(story), { from: 'begin', to: 'end', by: 'key' })),
    /a:end has no field key to pair by; it has id, and tid/,
  );
});

test('spans across lost events are left out, and the loss is told', async () => {
  const loss = { from: 1, to: 3, cpu: -1, count: 2 };
  const story: SyntheticEvent[] = [
    { name: 'kvm:kvm_entry', time: 0, tid: 1, cpu: 0, fields: { vcpu_id: 0 } },
    { name: 'kvm:kvm_exit', time: 1, tid: 1, cpu: 0, fields: { exit_reason: 120, isa: 2, guest_rip: 1n } },
    { name: 'kvm:kvm_entry', time: 3, tid: 1, cpu: 0, fields: { vcpu_id: 0 }, loss },
    { name: 'kvm:kvm_exit', time: 4, tid: 1, cpu: 0, fields: { exit_reason: 120, isa: 2, guest_rip: 1n } },
    { name: 'kvm:kvm_entry', time: 6, tid: 1, cpu: 0, fields: { vcpu_id: 0 } },
  ];
  const losses: unknown[] = [];
  const found = await all(exits(synthetic(story), { lost: (one) => losses.push(one) }));
  assert.deepEqual(
    [found.map(({ begin, duration, halt }) => [begin, duration, halt]), losses],
    [[[4, 2, true]], [loss]],
  );
});

test('a hole that comes to light late sets aside the same, whoever asks', async () => {
  // Both exits of the vCPU span a hole on another CPU, where it may have been: the lines behind them tell of that.
  const open = () => openTrace(join(data, 'mutants/late-loss.txt'));
  assert.deepEqual(await all(exits(await open())), []);
  const { exits: answer } = await analyse(await open(), { exits: { by: ['reason'] } });
  assert.deepEqual([answer.all.count, answer.counts.exits, answer.counts.straddlingLoss], [0, 2, 2]);
  const trace = await open();
  assert.deepEqual(await all(exits(mergeTraces([trace], new Map([[trace, 0n]])))), []);
});

test('a cut file gives what came before, and then its damage; a loop that is left closes it', async () => {
  const whole = zstdDecompressSync(readFileSync(join(data, 'leaks/d-reset.bin.zst')));
  const file = join(tmpdir(), `virtap-cut-${process.pid}.bin`);
  writeFileSync(file, whole.subarray(0, Math.floor(whole.length * 0.7)));
  after(() => rmSync(file));
  let before = 0;
  await assert.rejects(async () => {
    for await (const _ of requests(await openTrace(file))) before++;
  }, TraceError);
  assert.ok(before > 0);
  const trace = await openTrace(file);
  let closed = 0;
  const { close } = trace;
  trace.close = async () => {
    closed++;
    await close.call(trace);
  };
  for await (const _ of requests(trace)) break;
  assert.equal(closed, 1);
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { Requests } from '../spans/requests.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { bad, judgeLeaks, type LeakReport, type Unfinished } from './leaks.ts';

const data = join(import.meta.dirname, '../../test/data/leaks');

async function judge(trace: Trace): Promise<LeakReport> {
  const requests = new Requests();
  for await (const batch of trace.batches((type) => requests.wants(type))) requests.batch(trace, batch);
  await trace.close();
  return judgeLeaks(requests, trace.clock);
}

const recording = async (name: string) => await judge(await openTrace(join(data, name)));

function keyOf({ request }: Unfinished): string {
  return `${hex64(request.queue.high, request.queue.low)} ${hex64(request.high, request.low)}`;
}

/** `queue element` of every element that the instrumented QEMU dropped. */
const dropped = readFileSync(join(data, 'e-leak.truth.txt'), 'utf8')
  .split('\n')
  .flatMap((line) => /vq=(\S+) elem=(\S+)/.exec(line)?.slice(1).join(' ') ?? [])
  .sort();

function named(report: LeakReport): string[] {
  return report.elements
    .filter(({ verdict }) => bad.has(verdict))
    .map(keyOf)
    .sort();
}

/** How many elements without a fill each kind of device has, by verdict. */
function tally(report: LeakReport): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { verdict, report: queue } of report.elements) {
    const name = `${queue.kind} ${verdict}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

test('finds exactly what an instrumented QEMU dropped, though a reset hides it', async () => {
  assert.equal(dropped.length, 42);
  const report = await recording('e-leak.bin.zst');
  assert.deepEqual(named(report), dropped);
  assert.deepEqual(tally(report), { 'blk leaked': 42, 'balloon parked': 1 });
});

test('finds the same in a log, with and without time stamps', async () => {
  assert.deepEqual(named(await recording('e-leak.log.zst')), dropped);
  const log = zstdDecompressSync(readFileSync(join(data, 'e-leak.log.zst'))).toString();
  const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
  try {
    const path = join(folder, 'bare.log');
    writeFileSync(path, log.replaceAll(/^\d+@[\d.]+:/gm, ''));
    assert.deepEqual(named(await judge(await openTrace(path))), dropped);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('resets, errors and tracing from the middle are no leaks', async () => {
  assert.deepEqual(tally(await recording('d-reset.bin.zst')), { 'balloon parked': 4, 'serial parked': 1 });
  assert.deepEqual(tally(await recording('d3-ioerr.bin.zst')), { 'blk held on error': 1, 'balloon parked': 2 });
  const stale = await recording('c2-stale.bin.zst');
  assert.deepEqual(tally(stale), { 'blk in flight': 15 });
  assert.deepEqual(
    stale.queues.map(({ queue }) => queue.unseenPops),
    [17],
  );
});

test('what drops explain is unsure at most', async () => {
  const report = await recording('f-dropped.bin.zst');
  assert.deepEqual(named(report), []);
  assert.ok(report.totals.unsure > 0);
});

test('devices and queues are told from the events', async () => {
  const report = await recording('d-reset.bin.zst');
  assert.deepEqual(
    report.queues.map(({ kind, role, queue }) => `${kind} ${queue.number} ${role}: ${queue.popped} ${queue.filled}`),
    [
      'blk 0 request: 5137 5137',
      'blk 0 request: 2 2',
      'blk 1 request: 1 1',
      'scsi 2 request: 550 550',
      'scsi 3 request: 1 1',
      'net 0 receive: 3491 3491',
      'net 1 transmit: 3515 3515',
      'net 2 control: 36 36',
      'serial 2 control receive: 12 12',
      'serial 3 control transmit: 14 14',
      'serial 5 transmit: 45 44',
      'balloon 2 statistics: 4 0',
      'rng 0 request: 8 8',
    ],
  );
});

// Hand-made events. A machine has one disk with two queues, unless a test says otherwise.

const ms = 1e6;
const disk = 0x5600_0000_1000n;
const vq = [0x7f00_0000_0010n, 0x7f00_0000_00a8n] as const;

type Shape = { in_num: number; out_num: number };
const readShape: Shape = { in_num: 2, out_num: 1 };

function pop(time: number, elem: bigint, queue: bigint = vq[0], shape = readShape): SyntheticEvent {
  return { name: 'qemu:virtqueue_pop', time, fields: { vq: queue, elem, ...shape } };
}

function fill(time: number, elem: bigint, queue: bigint = vq[0]): SyntheticEvent {
  return { name: 'qemu:virtqueue_fill', time, fields: { vq: queue, elem, len: 1, idx: 0 } };
}

function kick(time: number, n: number, queue: bigint, vdev: bigint = disk): SyntheticEvent {
  return { name: 'qemu:virtio_queue_notify', time, fields: { vdev, n, vq: queue } };
}

function status(time: number, val: number, vdev: bigint = disk): SyntheticEvent {
  return { name: 'qemu:virtio_set_status', time, fields: { vdev, val } };
}

function blk(name: string, time: number, req: bigint, fields: Record<string, number>): SyntheticEvent {
  return { name: `qemu:virtio_blk_${name}`, time, fields: { vdev: disk, req, ...fields } };
}

/** `count` requests, one after the other every millisecond, each filled after half of one. */
function traffic(from: number, count: number, queue: bigint = vq[0], shape = readShape): SyntheticEvent[] {
  return Array.from({ length: count }, (_, n) => {
    const elem = 0x9000n + BigInt(n % 4) * 0x100n;
    return [pop(from + n * ms, elem, queue, shape), fill(from + (n + 0.5) * ms, elem, queue)];
  }).flat();
}

const kicks = [kick(0, 0, vq[0]), kick(0, 1, vq[1])];

async function verdictsOf(events: SyntheticEvent[], options: Parameters<typeof synthetic>[1] = {}): Promise<string[]> {
  const sorted = events.toSorted((a, b) => a.time - b.time);
  const report = await judge(synthetic(sorted, options));
  return report.elements.map(({ verdict, request }) => `${hex64(request.high, request.low)} ${verdict}`);
}

const e = 0x7000n;

test('old, and later ones were filled: leaked', async () => {
  assert.deepEqual(await verdictsOf([...kicks, ...traffic(0, 300), pop(100 * ms, e)]), ['0x7000 leaked']);
});

test('later ones on another queue of its device count', async () => {
  const events = [...kicks, ...traffic(0, 50), pop(100 * ms, e), ...traffic(101 * ms, 300, vq[1])];
  assert.deepEqual(await verdictsOf(events), ['0x7000 leaked']);
});

test('young at the end: in flight', async () => {
  assert.deepEqual(await verdictsOf([...kicks, ...traffic(0, 300), pop(298 * ms, e)]), ['0x7000 in flight']);
});

test('a reset takes back what is young, and shows what leaked before', async () => {
  const events = [...kicks, ...traffic(0, 300), pop(100 * ms, e), pop(298.7 * ms, 0x7100n), status(299.9 * ms, 0)];
  assert.deepEqual(await verdictsOf(events), ['0x7000 leaked', '0x7100 taken back']);
});

test('what is filled after status 0 is filled', async () => {
  const events = [...kicks, ...traffic(0, 300), pop(298 * ms, e), status(299 * ms, 0), fill(299.1 * ms, e)];
  assert.deepEqual(await verdictsOf(events), []);
});

test('a status that is not 0, or of another device, is no reset', async () => {
  const events = [
    ...kicks,
    pop(10 * ms, e),
    status(11 * ms, 15),
    status(12 * ms, 0, 0x123000n),
    ...traffic(20 * ms, 300),
  ];
  assert.deepEqual(await verdictsOf(events), ['0x7000 leaked']);
});

test('popped again without a fill: lost, also on another queue', async () => {
  const again = (queue: bigint) => [
    ...kicks,
    ...traffic(0, 300),
    pop(100 * ms, e),
    pop(150.2 * ms, e, queue),
    fill(150.4 * ms, e, queue),
  ];
  assert.deepEqual(await verdictsOf(again(vq[0])), ['0x7000 lost']);
  assert.deepEqual(await verdictsOf(again(vq[1])), ['0x7000 lost']);
});

test('a fill that stands after the next pop of its address by little is no loss', async () => {
  const events = [...kicks, pop(1 * ms, e), pop(2 * ms, e), fill(2 * ms, e), fill(3 * ms, e), ...traffic(4 * ms, 100)];
  const report = await judge(synthetic(events));
  assert.deepEqual(report.elements, []);
  assert.equal(report.queues[0]?.queue.filled, 102);
});

test('nothing later on its device: stuck when it is very old', async () => {
  const other = 0x7f00_0009_0010n;
  const rest = traffic(50 * ms, 3000, other);
  const events = [...kicks, kick(0, 0, other, 0x5600_0009_0000n), ...traffic(0, 50), pop(60 * ms, e), ...rest];
  assert.deepEqual(await verdictsOf(events), ['0x7000 stuck']);
  assert.deepEqual(await verdictsOf(events.filter(({ time }) => time < 500 * ms)), ['0x7000 in flight']);
});

test('what the device finished and never filled leaked, whatever came later', async () => {
  const other = 0x7f00_0009_0010n;
  const events = [
    ...kicks,
    kick(0, 0, other, 0x5600_0009_0000n),
    ...traffic(0, 50),
    pop(60 * ms, e),
    blk('handle_read', 60 * ms, e, { sector: 8, nsectors: 8 }),
    blk('rw_complete', 60.4 * ms, e, { ret: 0 }),
    ...traffic(61 * ms, 300, other),
  ];
  assert.deepEqual(await verdictsOf(events), ['0x7000 leaked']);
});

test('failed and kept: held on error, until it is tried again', async () => {
  const held = [
    ...kicks,
    ...traffic(0, 300),
    pop(100 * ms, e),
    blk('handle_read', 100 * ms, e, { sector: 8, nsectors: 8 }),
    blk('rw_complete', 101 * ms, e, { ret: -5 }),
  ];
  assert.deepEqual(await verdictsOf(held), ['0x7000 held on error']);
  const again = blk('handle_read', 150 * ms, e, { sector: 8, nsectors: 8 });
  assert.deepEqual(await verdictsOf([...held, again]), ['0x7000 leaked']);
});

test('receive and statistics buffers are parked; a used address means that they were returned', async () => {
  const net = 0x5600_0002_0000n;
  const [rx, tx, control] = [0x7f00_0002_0010n, 0x7f00_0002_00a8n, 0x7f00_0002_0140n];
  const inOnly = { in_num: 1, out_num: 0 };
  const outOnly = { in_num: 0, out_num: 1 };
  const names = [kick(0, 0, rx, net), kick(0, 1, tx, net), kick(0, 2, control, net)];
  const busy = [...names, ...traffic(0, 300, tx, outOnly), ...traffic(400 * ms, 1, control, { in_num: 1, out_num: 2 })];
  assert.deepEqual(await verdictsOf([...busy, pop(9 * ms, e, rx, inOnly)]), ['0x7000 parked']);
  const reused = [pop(9 * ms, e, rx, inOnly), pop(20 * ms, e, rx, inOnly), fill(21 * ms, e, rx)];
  assert.deepEqual(await verdictsOf([...busy, ...reused]), ['0x7000 returned unseen']);
  assert.deepEqual(await verdictsOf([...busy, pop(9.6 * ms, e, tx, outOnly)]), ['0x7000 leaked']);
  const balloon = [kick(0, 2, vq[1]), ...traffic(0, 300), pop(9 * ms, e, vq[1], outOnly)];
  assert.deepEqual(await verdictsOf(balloon), ['0x7000 parked']);
});

test('an old element of a device that nothing names may be parked: unsure', async () => {
  const outOnly = { in_num: 0, out_num: 1 };
  assert.deepEqual(await verdictsOf([...traffic(0, 300, vq[0], outOnly), pop(9.6 * ms, e, vq[0], outOnly)]), [
    '0x7000 unsure',
  ]);
});

test('a fill that may be lost makes unsure; what was old before does not', async () => {
  const loss = (time: number): Loss => ({ from: time - ms, to: time, cpu: -1, count: 7 });
  const events = [...kicks, ...traffic(0, 300), pop(20 * ms, e), pop(149.7 * ms, 0x7100n), pop(152.2 * ms, 0x7200n)];
  const sorted = events
    .toSorted((a, b) => a.time - b.time)
    .map((one) => (one.time === 150 * ms ? { ...one, loss: loss(one.time) } : one));
  assert.deepEqual(await verdictsOf(sorted), ['0x7000 leaked', '0x7200 leaked', '0x7100 unsure']);
});

test('without time stamps, the number of later fills decides', async () => {
  const clock = { name: 'none', unit: 'none', resolution: 1 } as const;
  const events = (after: number) => [...kicks, ...traffic(0, 200), pop(200 * ms, e), ...traffic(201 * ms, after)];
  assert.deepEqual(await verdictsOf(events(100), { clock }), ['0x7000 leaked']);
  assert.deepEqual(await verdictsOf(events(10), { clock }), ['0x7000 in flight']);
});

test('two processes have elements of their own; events without a process belong where their queue is', async () => {
  const of = (pid: number, events: SyntheticEvent[]) => events.map((event) => ({ ...event, pid }));
  const events = [
    ...of(1, [...kicks, ...traffic(0, 300), pop(100 * ms, e)]),
    ...of(2, [kick(0, 0, 0x8000n), pop(99 * ms, e, 0x8000n), fill(101 * ms, e, 0x8000n)]),
  ];
  const report = await judge(synthetic(events.toSorted((a, b) => a.time - b.time)));
  assert.deepEqual(
    report.elements.map(({ verdict, request }) => [verdict, request.queue.qemu.pid]),
    [['leaked', 1]],
  );
  const partly = events
    .toSorted((a, b) => a.time - b.time)
    .map((event) => (event.name.endsWith('fill') ? { ...event, pid: -1 } : event));
  assert.deepEqual((await judge(synthetic(partly))).totals, report.totals);
});

test('pops and fills are paired as a naive pairing does', async () => {
  const queues = [0x7f00_0000_0010n, 0x7f00_0000_00a8n, 0xffff_ffff_ffff_0010n];
  const elems = [0x7000n, 0x7100n, 0x1_0000_7000n, 0x8000_0000_0000_7000n];
  const event = fc.record({
    what: fc.constantFrom('pop', 'pop', 'fill', 'fill', 'fill', 'reset', 'notify'),
    queue: fc.nat(2),
    elem: fc.nat(3),
    pid: fc.constantFrom(1, 2),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), async (steps, batchSize) => {
      // Naive: strings as keys, everything kept.
      const open = new Map<string, { id: string; queue: string; pop: number; reset: number }>();
      const ended: string[] = [];
      const lost: { key: string; queue: string; index: number }[] = [];
      const devices = new Map<string, string>();
      let filled = 0;
      let unseen = 0;
      const events: SyntheticEvent[] = steps.map(({ what, queue, elem, pid }, index) => {
        const time = index + 1;
        const key = `${pid} ${elem}`;
        const at = `${pid} ${queue}`;
        const q = queues[queue] as bigint;
        const device = 0x5000n + BigInt(queue % 2);
        const now = open.get(key);
        const reuse = () => {
          if (now === undefined) return;
          if (now.reset === 0) lost.push({ key, queue: now.queue, index: ended.length });
          ended.push(`${now.id} ${now.reset > 0 ? `reset ${now.reset}` : `reused ${time}`}`);
          open.delete(key);
        };
        if (what === 'pop') {
          reuse();
          open.set(key, { id: `${key} popped ${time}`, queue: at, pop: time, reset: 0 });
          return { ...pop(time, elems[elem] as bigint, q), pid };
        }
        if (what === 'fill') {
          if (now !== undefined && now.queue === at) {
            open.delete(key);
            filled++;
          } else {
            const late = lost.findLast((one) => one.key === key);
            if (late !== undefined && late.queue === at) {
              lost.splice(lost.indexOf(late), 1);
              // Only the latest loss of an element is remembered.
              for (const one of lost.filter((other) => other.key === key)) lost.splice(lost.indexOf(one), 1);
              ended[late.index] = '';
              filled++;
            } else {
              unseen++;
              reuse();
            }
          }
          return { ...fill(time, elems[elem] as bigint, q), pid };
        }
        if (what === 'notify') {
          devices.set(at, `${pid} ${device}`);
          return { ...kick(time, queue, q, device), pid };
        }
        for (const one of open.values()) {
          if (one.reset === 0 && devices.get(one.queue) === `${pid} ${device}`) one.reset = time;
        }
        return { ...status(time, 0, device), pid };
      });
      const naive = [
        ...ended.filter((text) => text !== ''),
        ...[...open.values()].map(({ id, reset }) => `${id} ${reset > 0 ? `reset ${reset}` : 'open'}`),
      ];
      const trace = synthetic(events, { batchSize });
      const requests = new Requests();
      for await (const batch of trace.batches()) requests.batch(trace, batch);
      const rest = [...requests.ended.filter((one) => !one.filledAfterAll), ...requests.open()];
      const got = rest.map((one) => {
        const elem = elems.indexOf((BigInt(one.high) << 32n) | BigInt(one.low));
        const end =
          one.reset !== undefined
            ? `reset ${one.reset.time}`
            : one.reused !== undefined
              ? `reused ${one.reused.time}`
              : 'open';
        return `${one.queue.qemu.pid} ${elem} popped ${one.pop} ${end}`;
      });
      assert.deepEqual(got.sort(), naive.sort());
      assert.equal(
        requests.queues.reduce((sum, queue) => sum + queue.filled, 0),
        filled,
      );
      assert.equal(
        requests.queues.reduce((sum, queue) => sum + queue.unseenPops, 0),
        unseen,
      );
    }),
    { numRuns: 300 },
  );
});

/** Requests of a disk as they come: popped one after the other, filled after up to `slowest`, addresses given out again. */
const workload = fc
  .array(
    fc.record({ gap: fc.integer({ min: 1, max: 300 }), takes: fc.integer({ min: 10, max: 3000 }), queue: fc.nat(1) }),
    {
      minLength: 200,
      maxLength: 300,
    },
  )
  .map((steps) => {
    let time = 0;
    const busy: number[] = [];
    return steps.map(({ gap, takes, queue }) => {
      time += gap * 1000;
      const end = time + takes * 1000;
      // The first address that is free, as malloc would.
      let slot = busy.findIndex((until) => until < time);
      if (slot < 0) slot = busy.length;
      busy[slot] = end;
      return { elem: 0x7000n + BigInt(slot) * 0x100n, queue: vq[queue] as bigint, pop: time, fill: end };
    });
  });

test('what a hole swallows is never called leaked', async () => {
  await fc.assert(
    fc.asyncProperty(workload, fc.nat(40_000), fc.integer({ min: 100, max: 8000 }), async (requests, at, length) => {
      const from = at * 1000;
      const to = from + length * 1000;
      const events = [
        ...kicks,
        ...requests.flatMap((one) => [pop(one.pop, one.elem, one.queue), fill(one.fill, one.elem, one.queue)]),
      ]
        .toSorted((a, b) => a.time - b.time)
        .filter(({ time }) => time <= from || time >= to);
      const next = events.find(({ time }) => time >= to);
      if (next !== undefined) next.loss = { from, to, cpu: -1, count: undefined };
      const report = await judge(synthetic(events));
      assert.deepEqual(named(report), []);
    }),
    { numRuns: 60 },
  );
});

test('every fill that is left out, and nothing else, is called leaked or lost', async () => {
  await fc.assert(
    fc.asyncProperty(workload, fc.array(fc.nat(120), { minLength: 1, maxLength: 8 }), async (requests, which) => {
      // Those at the end are not told from what is in flight; their time goes on with others.
      const last = requests.at(-1)?.fill ?? 0;
      const gone = new Set(which.map((n) => requests[n]));
      const events = [
        ...kicks,
        ...requests.flatMap((one) => [
          pop(one.pop, one.elem, one.queue),
          ...(gone.has(one) ? [] : [fill(one.fill, one.elem, one.queue)]),
        ]),
        ...traffic(last + ms, 300),
        ...traffic(last + ms, 300, vq[1]).map((event) => ({
          ...event,
          fields: { ...event.fields, elem: (event.fields?.elem as bigint) + 0x50n },
        })),
      ].toSorted((a, b) => a.time - b.time);
      const report = await judge(synthetic(events));
      const found = report.elements.map(({ verdict, request }) => {
        assert.ok(verdict === 'leaked' || verdict === 'lost', verdict);
        return request.pop;
      });
      assert.deepEqual(
        found.sort((a, b) => a - b),
        [...gone].map((one) => one?.pop ?? 0).sort((a, b) => a - b),
      );
    }),
    { numRuns: 60 },
  );
});

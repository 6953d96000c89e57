import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { hex64 } from '../trace/event-type.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Trace } from '../trace/trace.ts';
import { type Later, operations, type Point, points, RequestPath } from './request-path.ts';
import { threadStates } from './thread-time.ts';

const root = join(import.meta.dirname, '../..');

/** A request with the times of its points from the trace's origin, and all that the path tells of it. */
type Told = {
  elem: string;
  vq: string;
  times: Partial<Record<Point, number>>;
  operation: string;
  tid: number;
  kicker: number;
  merged: number;
  backend: number;
  meanwhile: Record<string, number> | undefined;
  interrupted: number;
};

/** Follows all requests of a trace: each of them, in the order of the fills, and the hops by `from → to`. */
async function follow(trace: Trace): Promise<{ told: Told[]; hops: Map<string, number[]>; path: RequestPath }> {
  const kept: (Omit<Told, 'times' | 'interrupted'> & { later: Later })[] = [];
  const hops = new Map<string, number[]>();
  const path = new RequestPath(({ request, facet, times, kicker, merged, backend, meanwhile }) => {
    const later = { times: times.slice(), interrupted: -1 };
    const { operation, tid } = path.facets[facet] as (typeof path.facets)[number];
    kept.push({
      elem: hex64(request.high, request.low),
      vq: hex64(request.queue.high, request.queue.low),
      operation: operations[operation] as string,
      tid,
      kicker,
      merged,
      backend,
      meanwhile: Number.isNaN(meanwhile[0])
        ? undefined
        : Object.fromEntries(threadStates.map((state, s) => [state, meanwhile[s] as number])),
      later,
    });
    return later;
  });
  for await (const b of trace.batches((type) => path.wants(type))) {
    path.batch(trace, b);
    for (let k = 0; k < path.hops.count; k++) {
      const hop = path.hops.hop[k] as number;
      const name = `${points[Math.floor(hop / points.length)]} → ${points[hop % points.length]}`;
      hops.set(name, [...(hops.get(name) ?? []), path.hops.duration[k] as number]);
    }
  }
  await trace.close();
  const told = kept.map(({ later, ...one }) => ({
    ...one,
    times: Object.fromEntries(
      points.flatMap((name, n) => (Number.isNaN(later.times[n]) ? [] : [[name, later.times[n]]])),
    ),
    interrupted: later.interrupted,
  }));
  return { told, hops, path };
}

test('paths from the kick to the interrupt are those that an independent script finds', async () => {
  const truth = JSON.parse(readFileSync(join(root, 'test/data/requests/kvm-and-qemu.truth.json'), 'utf8')) as (Partial<
    Record<Point, number>
  > & { vq: string; operation?: string; meanwhile?: Record<string, number> })[];
  const kernel = await openTrace(join(root, 'samples/kvm-and-qemu.dat'));
  const log = await openTrace(join(root, 'samples/kvm-and-qemu.log.zst'));
  const merged = mergeTraces([kernel, log], new Map([[log, -1_795_418_437_072_120_300n]]));
  const { told } = await follow(merged);
  assert.equal(told.length, truth.length);
  const begun = new Set<string>();
  told.forEach((one, n) => {
    const expected = truth[n] as (typeof truth)[number];
    const times = Object.fromEntries(
      Object.entries(one.times).map(([name, time]) => [name, Number(merged.origin + BigInt(time))]),
    );
    const wanted = Object.fromEntries(points.flatMap((name) => (name in expected ? [[name, expected[name]]] : [])));
    // Which address notifies a queue is learnt from the first notification.
    const first = !begun.has(one.vq);
    begun.add(one.vq);
    if (first) delete wanted.kick;
    assert.deepEqual(times, wanted, `request ${n}`);
    assert.equal(one.vq, expected.vq);
    if (expected.operation !== undefined) assert.equal(one.operation, expected.operation);
    assert.deepEqual([one.tid, one.interrupted], [1102, 'entry' in expected ? 1106 : -1]);
    // What the thread did is known from when it was first seen to serve a queue.
    if (!first && n > 1) assert.deepEqual(one.meanwhile, { ...expected.meanwhile, unknown: 0 });
  });
});

const main = 10;
const vcpu = 20;
const pool = 0xa0;

/** Events of a machine with one disk, at consecutive multiples of 10 ns. */
class Machine {
  readonly events: SyntheticEvent[] = [];
  #time = 0;

  add(
    name: string,
    fields: NonNullable<SyntheticEvent['fields']>,
    tid = main,
    more: Partial<SyntheticEvent> = {},
  ): this {
    this.#time += 10;
    this.events.push({ name, time: this.#time, tid, fields, ...more });
    return this;
  }

  notify(tid = main, n = 0): this {
    return this.add('qemu:virtio_queue_notify', { vdev: 1, n, vq: 100 + n }, tid);
  }

  pop(elem: number, tid = main, n = 0): this {
    return this.add('qemu:virtqueue_pop', { vq: 100 + n, elem, in_num: 2, out_num: 1 }, tid);
  }

  read(req: number, sector: number, tid = main): this {
    return this.add('qemu:virtio_blk_handle_read', { vdev: 1, req, sector, nsectors: 8 }, tid);
  }

  done(req: number, tid = main): this {
    return this.add('qemu:virtio_blk_rw_complete', { vdev: 1, req, ret: 0 }, tid);
  }

  fill(elem: number, tid = main, n = 0): this {
    return this.add('qemu:virtqueue_fill', { vq: 100 + n, elem, len: 1, idx: 0 }, tid);
  }

  tell(tid = main): this {
    return this.add('qemu:virtio_notify', { vdev: 1, vq: 100 }, tid);
  }

  submit(req: number, tid = main): this {
    return this.add('qemu:thread_pool_submit', { pool, req, opaque: 0 }, tid);
  }

  complete(req: number, tid = main): this {
    return this.add('qemu:thread_pool_complete', { pool, req, opaque: 0, ret: 0 }, tid);
  }

  /** A write of the guest to the first queue's address. */
  kick(val = 0, gpa = 0xfe000000): this {
    return this.add('kvm:kvm_exit', { exit_reason: 1, vcpu_id: 0 }, vcpu)
      .add('kvm:kvm_mmio', { type: 2, len: 2, gpa, val }, vcpu)
      .add('kvm:kvm_entry', { vcpu_id: 0 }, vcpu);
  }

  async told(): Promise<Told[]> {
    return (await follow(synthetic(this.events))).told;
  }
}

test('requests that are popped in one run of the handler have its kick and notification, later ones have none', async () => {
  const machine = new Machine();
  for (let n = 0; n < 2; n++) machine.kick().notify().pop(1).fill(1);
  machine.kick().notify().pop(2).pop(3).fill(2).pop(4).fill(3).fill(4);
  const told = await machine.told();
  const [, , a, b, c] = told;
  assert.deepEqual([a?.times.kick, a?.times.notify, a?.times.pop], [130, 160, 170]);
  assert.deepEqual([b?.times.kick, b?.times.notify, b?.times.pop], [130, 160, 180]);
  // The guest may have queued it long after the kick.
  assert.deepEqual([c?.times.kick, c?.times.notify, c?.times.pop], [undefined, undefined, 200]);
  assert.equal(a?.kicker, vcpu);
});

test("a write to another address, of another number or of another size is not the queue's kick", async () => {
  const machine = new Machine();
  for (let n = 0; n < 3; n++) {
    machine
      .kick()
      .kick(0, 0xfee00000 + n)
      .kick(7)
      .notify()
      .pop(1)
      .fill(1);
    machine.add('kvm:kvm_mmio', { type: 2, len: 1, gpa: 0x3f8, val: 0 }, vcpu);
  }
  const told = await machine.told();
  // No address comes right before all three notifications with this number.
  assert.deepEqual(
    told.map(({ times }) => times.kick),
    [undefined, undefined, undefined],
  );
});

test('a kick whose value is not told is learnt when it comes right before the notification twice', async () => {
  const machine = new Machine();
  for (let n = 0; n < 3; n++) {
    machine.add('kvm:kvm_exit', { exit_reason: 49, vcpu_id: 0 }, vcpu);
    machine.add('kvm:kvm_fast_mmio', { gpa: 0xfe003000 }, vcpu).add('kvm:kvm_entry', { vcpu_id: 0 }, vcpu);
    machine.notify().pop(1).fill(1);
  }
  assert.deepEqual(
    (await machine.told()).map(({ times }) => times.kick),
    [undefined, 70, 130],
  );
});

test("another machine's writes are no kicks", async () => {
  const machine = new Machine();
  for (let n = 0; n < 4; n++) machine.kick().notify().pop(1).fill(1);
  const events = machine.events.map((event) => ({ ...event, pid: event.tid === vcpu ? 8 : 7 }));
  const { told } = await follow(synthetic(events));
  assert.ok(told.every(({ times }) => times.kick === undefined));
});

test('of two machines whose queues have the same address, each has the kicks of its own vCPUs', async () => {
  const machine = new Machine();
  const kick = (tid: number) => machine.add('kvm:kvm_mmio', { type: 2, len: 2, gpa: 0xfe000000, val: 0 }, tid);
  const serve = (tid: number, vq: number) =>
    machine
      .add('qemu:virtio_queue_notify', { vdev: vq + 1, n: 0, vq }, tid)
      .add('qemu:virtqueue_pop', { vq, elem: vq, in_num: 1, out_num: 1 }, tid)
      .add('qemu:virtqueue_fill', { vq, elem: vq, len: 0, idx: 0 }, tid);
  for (let n = 0; n < 3; n++) {
    kick(21);
    serve(11, 0x100);
    kick(22);
    serve(12, 0x200);
  }
  // Both at once, now that it is known which is whose.
  kick(21);
  kick(22);
  serve(11, 0x100);
  serve(12, 0x200);
  assert.deepEqual(
    (await machine.told()).slice(-2).map(({ kicker, times }) => [kicker, times.kick]),
    [
      [21, 250],
      [22, 260],
    ],
  );
});

test("where QEMU's events do not say their thread, the one that tells KVM of the queue's interrupts serves it", async () => {
  const machine = new Machine();
  for (let n = 0; n < 4; n++) {
    machine.kick();
    machine.add('sched:sched_switch', { prev_pid: 5, prev_state: 0, next_pid: main }, 5);
    machine.notify(-1).pop(1, -1).fill(1, -1).tell(-1);
    machine.add('kvm:kvm_msi_set_irq', { address: 0, data: 0x30 }, main);
    machine.add('sched:sched_switch', { prev_pid: main, prev_state: 1, next_pid: 5 }, main);
  }
  const { told, path } = await follow(synthetic(machine.events));
  assert.deepEqual(
    told.map(({ tid }) => tid),
    [-1, -1, main, main],
  );
  // From the kick on it was asleep for 30 ns, and then ran for 20 ns.
  assert.deepEqual(told[3]?.meanwhile, { running: 20, runnable: 0, asleep: 30, lock: 0, unknown: 0 });
  assert.equal(path.inferred, true);
});

test('a vCPU thread that passes a notification on has kicked', async () => {
  const [one] = await new Machine().notify(vcpu).notify(main).pop(1).fill(1).told();
  assert.deepEqual([one?.times.kick, one?.times.notify, one?.kicker], [10, 20, vcpu]);
  const [other] = await new Machine().notify(vcpu).pop(1, vcpu).fill(1, vcpu).told();
  assert.deepEqual([other?.times.kick, other?.times.notify], [undefined, 10]);
});

test('buffers for input have no notification, but for those that are popped right after it', async () => {
  const machine = new Machine().notify();
  const buffer = (elem: number) => machine.add('qemu:virtqueue_pop', { vq: 100, elem, in_num: 1, out_num: 0 });
  buffer(1);
  machine.fill(1);
  machine.notify().notify(main, 1);
  buffer(2);
  machine.fill(2);
  assert.deepEqual(
    (await machine.told()).map(({ times }) => times.notify),
    [10, undefined],
  );
});

test('the completion of a backend belongs to the request that the same thread is done with next', async () => {
  const machine = new Machine().notify().pop(1).read(1, 0).submit(0xb1).pop(2, 11, 1).read(2, 8, 11).submit(0xb2, 11);
  machine.complete(0xb2, 11).complete(0xb1).done(1).done(2, 11).fill(1).fill(2, 11, 1);
  const told = await machine.told();
  assert.deepEqual(
    told.map(({ times, backend }) => [times.device, times.submit, times.completion, times.done, backend]),
    [
      [30, 40, 90, 100, 1],
      [60, 70, 80, 110, 1],
    ],
  );
});

test('without thread ids a completion that is not right before is not believed', async () => {
  const events = new Machine().pop(1).read(1, 0).submit(0xb1).pop(2).read(2, 8).complete(0xb1).done(2).done(1);
  events.fill(1).fill(2);
  const { told } = await follow(synthetic(events.events.map((event) => ({ ...event, tid: -1, pid: 5 }))));
  assert.deepEqual(
    told.map(({ times }) => times.completion),
    [undefined, undefined],
  );
});

test('requests that were merged are submitted as one', async () => {
  const machine = new Machine().pop(1).read(1, 16).pop(2).read(2, 24).pop(3).read(3, 100);
  const fields = { vdev: 1, mrb: 0, start: 0, num_reqs: 2, offset: 16 * 512, size: 16 * 512, is_write: 0 };
  machine.add('qemu:virtio_blk_submit_multireq', fields);
  machine.add('qemu:blk_co_preadv', { blk: 1, bs: 2, offset: 100 * 512, bytes: 4096, flags: 0 });
  machine.done(1).done(2).done(3).fill(1).fill(2).fill(3);
  const told = await machine.told();
  assert.deepEqual(
    told.map(({ times, merged }) => [times.submit, merged]),
    [
      [70, 2],
      [70, 2],
      [80, 1],
    ],
  );
});

test('an interrupt is followed by its vector to the entry of the vCPU that takes it', async () => {
  const machine = new Machine().pop(1).fill(1).tell();
  machine.add('kvm:kvm_msi_set_irq', { address: 0, data: 0x4026 }, 99);
  machine.add('kvm:kvm_msi_set_irq', { address: 0, data: 0x4031 });
  machine.add('kvm:kvm_inj_virq', { vector: 0x26 }, 20).add('kvm:kvm_entry', { vcpu_id: 0 }, 20);
  machine.add('kvm:kvm_inj_virq', { vector: 0x31 }, 21).add('kvm:kvm_entry', { vcpu_id: 0 }, 20);
  machine.add('kvm:kvm_entry', { vcpu_id: 1 }, 21);
  const [one] = await machine.told();
  assert.deepEqual(one?.times, { pop: 10, fill: 20, 'guest notify': 30, interrupt: 50, entry: 100 });
  assert.equal(one?.interrupted, 21);
});

test('a notification that was put off is followed from when it is sent', async () => {
  const machine = new Machine().pop(1).fill(1).pop(2, main, 1).fill(2, main, 1);
  const irqfd = (name: string, vq: number) => machine.add(`qemu:virtio_notify_irqfd${name}`, { vdev: 1, vq });
  irqfd('', 100);
  irqfd('', 101);
  irqfd('_deferred_fn', 100).add('kvm:kvm_msi_set_irq', { address: 0, data: 0x26 });
  irqfd('_deferred_fn', 101).add('kvm:kvm_msi_set_irq', { address: 0, data: 0x27 });
  assert.deepEqual(
    (await machine.told()).map(({ times }) => [times['guest notify'], times.interrupt]),
    [
      [50, 80],
      [60, 100],
    ],
  );
});

test('an interrupt by a pin is followed by the vector that the local APIC accepts', async () => {
  const machine = new Machine().pop(1).fill(1).tell();
  machine.add('kvm:kvm_set_irq', { gsi: 11, level: 0, irq_source_id: 0 });
  machine.add('kvm:kvm_set_irq', { gsi: 11, level: 1, irq_source_id: 0 });
  machine.add('kvm:kvm_apic_accept_irq', { apicid: 0, vec: 0xec }, vcpu);
  machine.add('kvm:kvm_apic_accept_irq', { apicid: 0, vec: 0x26 });
  machine.add('kvm:kvm_inj_virq', { vector: 0xec }, vcpu).add('kvm:kvm_entry', { vcpu_id: 0 }, vcpu);
  machine.add('kvm:kvm_inj_virq', { vector: 0x26 }, vcpu).add('kvm:kvm_entry', { vcpu_id: 0 }, vcpu);
  const [one] = await machine.told();
  assert.deepEqual(one?.times, { pop: 10, fill: 20, 'guest notify': 30, interrupt: 50, entry: 110 });
});

test('of two machines, each has the interrupts of its own vCPUs, whose vectors may be the same', async () => {
  const machine = new Machine();
  const own = (vcpu: number, pid: number, vq: number) => {
    machine.add('kvm:kvm_mmio', { type: 2, len: 2, gpa: 0xfe000000, val: 0 }, vcpu);
    machine.add('qemu:virtio_queue_notify', { vdev: vq + 1, n: 0, vq }, -1, { pid });
    machine.add('qemu:virtqueue_pop', { vq, elem: vq, in_num: 1, out_num: 1 }, -1, { pid });
    machine.add('qemu:virtqueue_fill', { vq, elem: vq, len: 0, idx: 0 }, -1, { pid });
    machine.add('qemu:virtio_notify', { vdev: vq + 1, vq }, -1, { pid });
    machine.add('kvm:kvm_msi_set_irq', { address: 0, data: 0x30 }, pid);
  };
  for (let n = 0; n < 3; n++) {
    own(21, 7, 0x100);
    own(22, 8, 0x200);
  }
  for (const tid of [22, 21]) machine.add('kvm:kvm_inj_virq', { vector: 0x30 }, tid).add('kvm:kvm_entry', {}, tid);
  const told = await machine.told();
  assert.deepEqual(
    told.slice(-2).map(({ interrupted, times }) => [interrupted, times.entry]),
    [
      [21, 400],
      [22, 380],
    ],
  );
});

test('a notification is about the latest fills, not about those that the guest saw by itself', async () => {
  const machine = new Machine().pop(1).pop(2).pop(3).fill(1);
  for (let n = 0; n < 20; n++) machine.notify(main, 5);
  machine.fill(2).fill(3).tell();
  assert.deepEqual(
    (await machine.told()).map(({ times }) => times['guest notify']),
    [undefined, 270, 270],
  );
});

test('what a loss lies in between is put together no more', async () => {
  const machine = new Machine();
  for (let n = 0; n < 2; n++) machine.kick().notify().pop(1).fill(1);
  machine.pop(2).kick().notify();
  const loss = { from: machine.events.length * 10 + 1, to: machine.events.length * 10 + 9, cpu: -1, count: 3 };
  machine.add('qemu:virtqueue_pop', { vq: 100, elem: 3, in_num: 2, out_num: 1 }, main, { loss });
  machine.fill(2).fill(3);
  const { told, path } = await follow(synthetic(machine.events));
  // The fill of element 2 may be that of a request whose pop was lost.
  assert.deepEqual(
    told.slice(2).map(({ elem, times }) => [elem, times.kick, times.notify]),
    [['0x3', undefined, undefined]],
  );
  assert.equal(path.inFlight.result(0, { from: 0, to: loss.to }).max, 2);
});

type Step = { kind: 'pop' | 'fill' | 'notify'; queue: number; elem: number; wait: number };

test('random requests: pairs, hops and what is in flight are those of a naive reading', async () => {
  const step = fc.record({
    kind: fc.constantFrom('pop' as const, 'fill' as const, 'notify' as const),
    queue: fc.integer({ min: 0, max: 2 }),
    elem: fc.integer({ min: 1, max: 6 }),
    wait: fc.integer({ min: 0, max: 3 << 20 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200 }), async (steps: Step[]) => {
      let time = 0;
      const events = steps.map(({ kind, queue, elem, wait }): SyntheticEvent => {
        time += wait;
        const own = queue * 16 + elem;
        if (kind === 'notify') {
          return { name: 'qemu:virtio_queue_notify', time, tid: 1, fields: { vdev: 9, n: queue, vq: queue } };
        }
        const fields = kind === 'pop' ? { in_num: 1, out_num: 1 } : { len: 0, idx: 0 };
        return { name: `qemu:virtqueue_${kind}`, time, tid: 1, fields: { vq: queue, elem: own, ...fields } };
      });
      const { told, hops, path } = await follow(synthetic(events));
      // Naively: each fill looks back for the pop of its element, and that for the notification of its queue.
      const expected: number[][] = [];
      const notified: number[] = [];
      events.forEach((event, at) => {
        const is = (one: SyntheticEvent, name: string) => one.name === name && one.fields?.vq === event.fields?.vq;
        if (event.name !== 'qemu:virtqueue_fill') return;
        const same = (one: SyntheticEvent) => one.fields?.elem === event.fields?.elem && 'vq' in (one.fields ?? {});
        const before = events.slice(0, at);
        const last = before.findLastIndex((one) => same(one) && one.name !== 'qemu:virtio_queue_notify');
        if (last < 0 || !is(before[last] as SyntheticEvent, 'qemu:virtqueue_pop')) return;
        const pop = before[last] as SyntheticEvent;
        expected.push([pop.time, event.time]);
        const run = before.slice(0, last).findLastIndex((one) => is(one, 'qemu:virtio_queue_notify'));
        const open = new Set<unknown>();
        const ended = before.slice(0, last).some((one, n) => {
          if (is(one, 'qemu:virtqueue_pop')) open.add(one.fields?.elem);
          const own = is(one, 'qemu:virtqueue_fill') && open.delete(one.fields?.elem);
          return own && n > run;
        });
        if (run >= 0 && !ended) notified.push(pop.time - (events[run] as SyntheticEvent).time);
      });
      const pairs = told.map(({ times }) => [times.pop as number, times.fill as number]);
      assert.deepEqual(pairs, expected);
      assert.deepEqual(
        (hops.get('notify → pop') ?? []).sort((a, b) => a - b),
        notified.sort((a, b) => a - b),
      );
      // Time that requests were open, in all and by stretches, is what their pops and fills say.
      for (const queue of path.requests.queues) {
        const { mean, max, means, maxima } = path.inFlight.result(queue.index, { from: 0, to: time });
        const opened = new Map<unknown, number>();
        let area = 0;
        let most = 0;
        for (const one of events) {
          if (one.fields?.vq !== queue.low || one.name === 'qemu:virtio_queue_notify') continue;
          const { elem } = one.fields;
          const since = opened.get(elem);
          if (since !== undefined) area += one.time - since;
          opened.delete(elem);
          if (one.name === 'qemu:virtqueue_pop') opened.set(elem, one.time);
          most = Math.max(most, opened.size);
        }
        for (const since of opened.values()) area += time - since;
        assert.equal(max, most);
        const length = time;
        if (length > 0) assert.ok(Math.abs(mean * length - area) <= area * 1e-9, `${mean * length} ${area}`);
        const { from, step: width } = path.inFlight;
        const sum = means.reduce(
          (all, one, n) => all + one * (Math.min(time, from + (n + 1) * width) - (from + n * width)),
          0,
        );
        assert.ok(Math.abs(sum - area) <= area * 1e-9, `${sum} ${area}`);
        if (maxima.length > 0) assert.equal(Math.max(...maxima), most);
      }
    }),
    { numRuns: 150 },
  );
});

test('a request whose stamp is a little before the recording’s first event counts, where no stretch was asked for', async () => {
  const of = { vq: 2, elem: 8 };
  const trace = synthetic([
    { name: 'qemu:virtqueue_pop', time: -5, tid: 9, pid: 3, fields: { ...of, in_num: 1, out_num: 1 } },
    { name: 'qemu:virtqueue_fill', time: 20, tid: 9, pid: 3, fields: { ...of, len: 1, idx: 0 } },
  ]);
  for (const [from, count] of [
    [0, 1],
    [5, 0],
  ] as const) {
    const path = new RequestPath();
    path.within({ from, to: 100 });
    let ended = 0;
    for await (const batch of trace.batches((type) => path.wants(type))) {
      path.batch(trace, batch);
      ended += path.spans.count;
    }
    assert.equal(ended, count);
  }
});

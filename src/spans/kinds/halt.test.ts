import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../../test/synthetic.ts';
import type { Trace } from '../../trace/trace.ts';
import { rowOf } from '../kind.ts';
import { type Halt, halt } from './halt.ts';

const hlt = 0x78;
const io = 0x7b;
/** vCPU 0 is thread 10, vCPU 1 thread 11; 20 is QEMU's, 30 a stranger. */
const vcpus = [10, 11];

const on = (
  tid: number,
  cpu: number,
  time: number,
  name: string,
  fields: SyntheticEvent['fields'],
): SyntheticEvent => ({
  name,
  time,
  cpu,
  tid,
  fields: fields ?? {},
});
const exit = (tid: number, cpu: number, time: number, reason: number) =>
  on(tid, cpu, time, 'kvm:kvm_exit', { exit_reason: reason, isa: 2, guest_rip: 1 });
const entry = (tid: number, cpu: number, time: number) =>
  on(tid, cpu, time, 'kvm:kvm_entry', { vcpu_id: vcpus.indexOf(tid) });
const change = (from: number, state: number, to: number, cpu: number, time: number) =>
  on(from, cpu, time, 'sched:sched_switch', { prev_pid: from, prev_state: state, next_pid: to });
const waking = (by: number, whom: number, cpu: number, time: number) =>
  on(by, cpu, time, 'sched:sched_waking', { pid: whom });
const accept = (by: number, vcpu: number, vec: number, cpu: number, time: number) =>
  on(by, cpu, time, 'kvm:kvm_apic_accept_irq', { apicid: vcpu, vec });

async function halts(trace: Trace): Promise<Halt[]> {
  const found: Halt[] = [];
  const spans = halt.start();
  // What contradicts itself, as random events do, would be taken for a hole elsewhere.
  for await (const b of trace.batches((type) => spans.wants(type))) {
    spans.batch(trace, b);
    for (let k = 0; k < spans.count; k++) found.push(rowOf(halt, spans, k));
  }
  return found;
}

test('a halt is told with who ended it, for what, and how long the thread waited for a CPU', async () => {
  const story = [
    entry(10, 0, 0),
    entry(11, 1, 0),
    exit(10, 0, 10, hlt),
    change(10, 1, 0, 0, 20),
    // The sibling sends it an interrupt.
    exit(11, 1, 100, io),
    on(11, 1, 101, 'kvm:kvm_apic_ipi', { icr_low: 0xfd }),
    accept(11, 0, 0xfd, 1, 102),
    waking(11, 10, 1, 103),
    entry(11, 1, 110),
    change(0, 0, 10, 0, 150),
    on(10, 0, 160, 'kvm:kvm_inj_virq', { vector: 0xfd }),
    entry(10, 0, 170),
    // A timer: the vCPU accepts it itself.
    exit(10, 0, 200, hlt),
    change(10, 1, 0, 0, 210),
    waking(0, 10, 0, 300),
    change(0, 0, 10, 0, 305),
    accept(10, 0, 0xec, 0, 306),
    entry(10, 0, 310),
    // It had an interrupt already.
    exit(10, 0, 400, hlt),
    entry(10, 0, 405),
    exit(10, 0, 500, io),
    entry(10, 0, 505),
    exit(10, 0, 600, hlt),
  ];
  const row = { cpu: 0, tid: 10, pid: -1, vcpu: 0, polled: -1 };
  assert.deepEqual(await halts(synthetic(story)), [
    {
      ...row,
      begin: 10,
      duration: 160,
      cause: 'IPI',
      waker: 'thread 11',
      vector: 0xfd,
      woken: 103,
      slept: 83,
      latency: 47,
    },
    {
      ...row,
      begin: 200,
      duration: 110,
      cause: 'timer',
      waker: '<idle>',
      vector: 0xec,
      woken: 300,
      slept: 90,
      latency: 5,
    },
    { ...row, begin: 400, duration: 5, cause: 'polled', waker: '', vector: -1, woken: -1, slept: 0, latency: -1 },
  ]);
});

test('whose interrupt it is tells the thread that sent it, or the one that had woken that', async () => {
  const story = (by: number, woke: number, pin?: number): SyntheticEvent[] => [
    entry(10, 0, 0),
    exit(10, 0, 10, hlt),
    change(10, 1, 0, 0, 20),
    waking(woke, by, 1, 30),
    change(0, 0, by, 1, 40),
    pin === undefined
      ? on(by, 1, 50, 'kvm:kvm_msi_set_irq', { address: 0xfee00000, data: 0x23 })
      : on(by, 1, 50, 'kvm:kvm_set_irq', { gsi: pin, level: 1 }),
    accept(by, 0, 0x23, 1, 51),
    waking(by, 10, 1, 52),
    change(0, 0, 10, 0, 60),
    entry(10, 0, 70),
  ];
  const names: [number, string, number][] = [
    [20, 'qemu-system-x86', 20],
    [21, 'worker', 20],
    [22, 'IO io0', 20],
    [23, 'vhost-20', 23],
    [30, 'bash', 30],
  ];
  for (const [by, woke, pin, cause] of [
    [20, 21, undefined, 'disk'],
    [22, 30, undefined, 'disk'],
    [23, 30, undefined, 'network'],
    [20, 30, undefined, 'device'],
    [20, 30, 0, 'timer'],
    [20, 30, 14, 'disk'],
    [20, 30, 11, 'device'],
  ] as const) {
    const [found] = await halts(synthetic(story(by, woke, pin), { threads: names }));
    assert.deepEqual([found?.cause, found?.vector], [cause, 0x23], `${by} ${woke} ${pin}`);
  }
});

test('halt polling is what KVM says it was, up to its window', async () => {
  const wakeup = (time: number, ns: number, waited: number) =>
    on(10, 0, time, 'kvm:kvm_vcpu_wakeup', { ns, waited, valid: 1 });
  const sleep = (begin: number): SyntheticEvent[] => [
    exit(10, 0, begin, hlt),
    change(10, 1, 0, 0, begin + 50),
    waking(0, 10, 0, begin + 80),
    change(0, 0, 10, 0, begin + 90),
    wakeup(begin + 95, 85, 1),
    entry(10, 0, begin + 99),
  ];
  const story = [
    entry(10, 0, 0),
    exit(10, 0, 10, hlt),
    wakeup(40, 25, 0),
    entry(10, 0, 50),
    ...sleep(100),
    on(10, 0, 200, 'kvm:kvm_halt_poll_ns', { vcpu_id: 0, new: 15, old: 10, grow: 1 }),
    ...sleep(300),
  ];
  assert.deepEqual(
    (await halts(synthetic(story))).map(({ cause, polled }) => [cause, polled]),
    [
      ['polled', 25],
      ['host interrupt', -1],
      ['host interrupt', 15],
    ],
  );
});

/** The same by going back and forth over all events for each halt. */
function naive(events: readonly SyntheticEvent[]) {
  const field = (event: SyntheticEvent, name: string) => Number(event.fields?.[name]);
  const rows: unknown[] = [];
  const sched = events.findIndex(({ name }) => name === 'sched:sched_switch');
  const accepts = (before: number) => events.some(({ name }, n) => name === 'kvm:kvm_apic_accept_irq' && n < before);
  events.forEach((left, e) => {
    if (left.name !== 'kvm:kvm_exit' || field(left, 'exit_reason') !== hlt) return;
    const tid = left.tid as number;
    const n = events.findIndex(({ name, tid: of }, k) => k > e && of === tid && /kvm_e(xit|ntry)/.test(name));
    if (n < 0 || events[n]?.name === 'kvm:kvm_exit') return;
    const inside = events.slice(e + 1, n);
    const isOut = (event: SyntheticEvent) =>
      event.name === 'sched:sched_switch' && field(event, 'prev_pid') === tid && field(event, 'prev_state') !== 0;
    const isIn = (event: SyntheticEvent) => event.name === 'sched:sched_switch' && field(event, 'next_pid') === tid;
    const isWaking = (event: SyntheticEvent) => event.name === 'sched:sched_waking' && field(event, 'pid') === tid;
    let [slept, latency, woken, waker, comeback] = [0, -1, -1, -1, 0];
    let source = '';
    let onSameCpu = false;
    inside.forEach((event, k) => {
      if (!isIn(event)) return;
      const since = inside.slice(inside.slice(0, k).findLastIndex(isIn) + 1, k);
      const off = since.findLastIndex(isOut);
      if (off < 0) return;
      const after = since.findIndex((one, m) => m > off && isWaking(one));
      const wake = after >= 0 ? after : since.slice(0, off).findLastIndex(isWaking);
      if (wake < 0) return;
      const waked = since[wake] as SyntheticEvent;
      slept += Math.max(0, waked.time - (since[off] as SyntheticEvent).time);
      [latency, woken, waker] = [event.time - waked.time, waked.time, waked.tid as number];
      comeback = k;
      // What its CPU was told since it last left something.
      const before = events.slice(0, events.indexOf(waked)).filter(({ cpu }) => cpu === waked.cpu);
      const here = before.slice(before.findLastIndex(({ name }) => /kvm_e(xit|ntry)|sched_switch/.test(name)) + 1);
      const told = here.findLastIndex(({ name }) => name === 'kvm:kvm_apic_ipi');
      const target = here.slice(told + 1).findLast(({ name }) => name === 'kvm:kvm_apic_accept_irq');
      const numbered = events.some(
        ({ name, tid: of }, m) => name === 'kvm:kvm_entry' && of === tid && m < events.indexOf(waked),
      );
      const other = target !== undefined && numbered && field(target, 'apicid') !== vcpus.indexOf(tid);
      source = other ? '' : told >= 0 ? 'IPI' : target !== undefined ? 'accepted' : '';
      onSameCpu = waked.cpu === (since[off] as SyntheticEvent).cpu;
    });
    const own = inside.some(
      ({ name, tid: of }, k) => name === 'kvm:kvm_apic_accept_irq' && of === tid && k >= comeback,
    );
    const outs = inside.filter(isOut).length;
    let cause: string;
    const isVcpu = events.slice(0, n).some(({ name, tid: of }) => of === waker && /kvm_e/.test(name));
    const toldSched = sched >= 0 && sched < n;
    if (outs === 0) cause = toldSched ? 'polled' : own ? 'timer' : 'unknown';
    else if (source === 'IPI') cause = 'IPI';
    else if (source === 'accepted') cause = isVcpu ? 'IPI' : 'device';
    else if (waker < 0) cause = own ? 'timer' : 'unknown';
    else if (accepts(n) && own) cause = 'timer';
    else if (waker === 0) cause = own ? 'timer' : 'host interrupt';
    else if (accepts(n)) cause = 'thread';
    else if (own && (onSameCpu || !isVcpu)) cause = 'timer';
    else cause = isVcpu ? 'IPI' : 'thread';
    rows.push([left.time, (events[n] as SyntheticEvent).time - left.time, cause, slept, latency, woken]);
  });
  return rows.sort((a, b) => {
    const [x, y] = [a as number[], b as number[]];
    return (x[0] as number) + (x[1] as number) - (y[0] as number) - (y[1] as number);
  });
}

test('halts are those of a plain reading, wherever batches end', async () => {
  const step = fc.record({
    what: fc.nat(9),
    tid: fc.constantFrom(10, 10, 11),
    by: fc.constantFrom(0, 11, 20, 30),
    cpu: fc.nat(1),
    bit: fc.nat(1),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, batchSize) => {
        const inGuest = new Set<number>();
        const events = steps.flatMap(({ what, tid, by, cpu, bit }, n): SyntheticEvent[] => {
          const time = 10 * n;
          if (what < 4) {
            // Mostly in turn, as in life.
            if (inGuest.delete(tid)) return [exit(tid, cpu, time, what < 3 ? hlt : io)];
            inGuest.add(tid);
            return [entry(tid, cpu, time)];
          }
          if (what === 4) return [change(tid, bit, 0, cpu, time)];
          if (what === 5) return [change(0, 0, tid, cpu, time)];
          if (what === 6) return [waking(by, tid, cpu, time)];
          if (what === 7) return [on(by, cpu, time, 'kvm:kvm_apic_ipi', { icr_low: 0xfd })];
          if (what === 8) return [accept(by, bit, 0xfd, cpu, time)];
          return [accept(tid, vcpus.indexOf(tid), 0xec, cpu, time)];
        });
        const found = await halts(synthetic(events, { batchSize }));
        assert.deepEqual(
          found.map(({ begin, duration, cause, slept, latency, woken }) => [
            begin,
            duration,
            cause,
            slept,
            latency,
            woken,
          ]),
          naive(events).map((row) => {
            const [begin, duration, cause, slept, ...rest] = row as [number, number, string, number, number, number];
            const told = events.some(({ name, time }) => name === 'sched:sched_switch' && time < begin + duration);
            return [begin, duration, cause, told ? slept : -1, ...rest];
          }),
        );
      },
    ),
    { numRuns: 500 },
  );
});

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { ExitPairing } from '../spans/exits.ts';
import { type SlowExit, Slowest, type SlowOptions } from './slowest.ts';

async function slowest(
  events: SyntheticEvent[],
  options: Partial<SlowOptions> = {},
  batchSize = 3,
): Promise<{ found: SlowExit[]; over: number; tids: number[] }> {
  const pairing = new ExitPairing({ inner: true });
  const view = new Slowest(pairing, { limit: 10, than: -1, halts: false, ...options });
  const trace = synthetic(events, { batchSize, threads: [[99, 'other', 90]] });
  for await (const b of trace.batches()) view.batch(trace, b, pairing.batch(trace, b));
  return { found: view.result(), over: view.over, tids: pairing.threads.map(({ tid }) => tid) };
}

const exit = (time: number, tid: number, reason = 10): SyntheticEvent => ({
  name: 'kvm:kvm_exit',
  time,
  tid,
  cpu: tid % 4,
  fields: { exit_reason: reason, isa: 1, guest_rip: 0xffffffff81000000n + BigInt(tid) },
});
const entry = (time: number, tid: number): SyntheticEvent => ({
  name: 'kvm:kvm_entry',
  time,
  tid,
  cpu: tid % 4,
  fields: { vcpu_id: tid },
});
const inner = (time: number, tid: number, name = 'kvm:kvm_pio'): SyntheticEvent => ({
  name,
  time,
  tid,
  cpu: tid % 4,
  fields: { port: 0x3f8, time },
});
const switching = (time: number, from: number, to: number): SyntheticEvent => ({
  name: 'sched:sched_switch',
  time,
  tid: from,
  cpu: 3,
  fields: { prev_comm: 'a', prev_pid: from, next_comm: 'b', next_pid: to },
});
const waking = (time: number, by: number, who: number, name = 'sched:sched_waking'): SyntheticEvent => ({
  name,
  time,
  tid: by,
  cpu: 2,
  fields: { comm: 'x', pid: who },
});

test('the slowest are kept, the slowest first, with the events within them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          tid: fc.constantFrom(5, 6, 7),
          what: fc.constantFrom('exit', 'entry', 'entry', 'pio', 'pio', 'switch', 'waking'),
          wait: fc.integer({ min: 1, max: 40 }),
          reason: fc.constantFrom(10, 30, 12),
        }),
        { maxLength: 80 },
      ),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(-1, 20, 60),
      fc.boolean(),
      fc.integer({ min: 1, max: 9 }),
      async (steps, limit, than, halts, batchSize) => {
        let time = 0;
        const events = steps.map(({ tid, what, wait, reason }): SyntheticEvent => {
          time += wait;
          switch (what) {
            case 'exit':
              return exit(time, tid, reason);
            case 'entry':
              return entry(time, tid);
            case 'pio':
              return inner(time, tid);
            case 'switch':
              return switching(time, tid, tid === 7 ? 5 : tid + 1);
            default:
              return waking(time, 99, tid);
          }
        });
        type Expected = { begin: number; duration: number; reason: number; events: [number, string][] };
        const expected: Expected[] = [];
        for (const thread of [5, 6, 7]) {
          let open: SyntheticEvent | undefined;
          for (const event of events) {
            if (event.name === 'kvm:kvm_exit' && event.tid === thread) open = event;
            if (event.name !== 'kvm:kvm_entry' || event.tid !== thread) continue;
            if (open !== undefined) {
              const begin = open.time;
              const within = events.filter(
                (e) =>
                  e.time > begin &&
                  e.time < event.time &&
                  !/kvm_(exit|entry)/.test(e.name) &&
                  [e.tid, e.fields?.next_pid, e.name === 'sched:sched_waking' ? e.fields?.pid : -1].includes(thread),
              );
              expected.push({
                begin,
                duration: event.time - begin,
                reason: open.fields?.exit_reason as number,
                events: within.map((e) => [e.time - begin, e.name]),
              });
            }
            open = undefined;
          }
        }
        const slow = expected
          .filter(({ duration, reason }) => duration > than && (halts || reason !== 12))
          .sort((a, b) => b.duration - a.duration || a.begin - b.begin);
        const { found, over } = await slowest(events, { limit, than, halts }, batchSize);
        assert.equal(over, slow.length);
        assert.deepEqual(
          found.map(({ duration }) => duration),
          slow.slice(0, limit).map(({ duration }) => duration),
        );
        for (const one of found) {
          const same = slow.find(({ begin, duration }) => begin === one.begin && duration === one.duration);
          assert.deepEqual(
            one.events.map(({ offset, name }) => [offset, name]),
            same?.events,
          );
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('payloads survive the batches in which they came', async () => {
  const events = [exit(10, 5), inner(11, 5), ...[12, 13, 14, 15, 16].map((time) => inner(time, 6)), entry(20, 5)];
  const { found } = await slowest(events, {}, 1);
  assert.equal(found[0]?.events[0]?.text, 'port=1016 time=11');
});

test('what the scheduler did to the vCPU is told apart', async () => {
  const events = [
    exit(10, 5),
    switching(11, 5, 99),
    waking(12, 99, 5),
    waking(13, 0, 5, 'sched:sched_wakeup'),
    switching(14, 99, 5),
    waking(15, 5, 99),
    entry(20, 5),
  ];
  const { found } = await slowest(events);
  assert.deepEqual(
    found[0]?.events.map(({ effect, brief }) => [effect, brief]),
    [
      ['switched out', 'out (state unknown), next is b (99)'],
      ['being woken', 'being woken by other (99)'],
      ['woken', 'woken by an idle CPU'],
      ['switched in', 'in, after a (99)'],
      [undefined, undefined],
    ],
  );
});

test('an exit with very many events keeps the first and counts the others', async () => {
  const events = [exit(10, 5), ...Array.from({ length: 250 }, (_, i) => inner(11 + i, 5)), entry(300, 5)];
  for (const batchSize of [7, 1000]) {
    const { found } = await slowest(events, {}, batchSize);
    assert.equal(found[0]?.events.length, 100);
    assert.equal(found[0]?.events[99]?.offset, 100);
    assert.equal(found[0]?.omitted, 150);
  }
});

test("QEMU's events are taken the way they came first where a recording has them twice", async () => {
  const pairing = new ExitPairing({ inner: true });
  const view = new Slowest(pairing, { limit: 1, than: -1, halts: false });
  const events = [
    exit(10, 5),
    { ...inner(11, 5), name: 'qemu:a' },
    { ...inner(12, 5), name: 'qemu:b' },
    { ...inner(13, 5), name: 'qemu:c' },
    entry(20, 5),
  ];
  const trace = synthetic(events);
  for await (const b of trace.batches()) {
    // One event, by two ways and from two sites of one of them.
    trace.types.forEach((type) => {
      const way = { 'qemu:a': 'uprobes:e', 'qemu:b': 'ftrace:print', 'qemu:c': 'uprobes:e_1' }[type.name];
      if (way !== undefined) Object.assign(type, { name: 'qemu:e', recordedAs: way });
    });
    view.batch(trace, b, pairing.batch(trace, b));
  }
  assert.deepEqual(
    view.result()[0]?.events.map(({ offset }) => offset),
    [1, 3],
  );
});

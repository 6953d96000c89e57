import assert from 'node:assert/strict';
import test from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPairing } from './exits.ts';
import { watched } from './holes.ts';
import { Locks } from './locks.ts';

const ms = 1_000_000;

const exit = (time: number, tid: number, cpu: number, isa = 1): SyntheticEvent => ({
  name: 'kvm:kvm_exit',
  time,
  tid,
  cpu,
  fields: { exit_reason: 10, isa, guest_rip: 1 },
});
const entry = (time: number, tid: number, cpu: number): SyntheticEvent => ({
  name: 'kvm:kvm_entry',
  time,
  tid,
  cpu,
  fields: { vcpu_id: 0 },
});
const change = (time: number, cpu: number, previous: number, next: number): SyntheticEvent => ({
  name: 'sched:sched_switch',
  time,
  tid: previous,
  cpu,
  fields: { prev_pid: previous, next_pid: next, prev_state: 0 },
});
const other = (time: number, cpu: number, loss?: Loss): SyntheticEvent => ({
  name: 'sched:sched_waking',
  time,
  tid: 0,
  cpu,
  fields: { pid: 5 },
  ...(loss === undefined ? {} : { loss }),
});

/** Times of the exits that were paired, and the holes that nothing marks, of a reading without foresight. */
async function read(trace: Trace) {
  const pairing = new ExitPairing();
  const pairs: [number, number][] = [];
  const holes: (Pick<Loss, 'from' | 'to' | 'cpu'> & { why: string | undefined })[] = [];
  for await (const b of trace.batches((type) => pairing.wants(type))) {
    const spans = pairing.batch(trace, b);
    for (let k = 0; k < spans.count; k++) {
      const begin = spans.begin[k] as number;
      pairs.push([begin, begin + (spans.duration[k] as number)]);
    }
    for (const { from, to, cpu, unmarked } of b.losses) {
      if (unmarked !== undefined) holes.push({ from, to, cpu, why: unmarked.why });
      // The first event after a hole is the first of its batch.
      if (unmarked !== undefined) assert.equal(b.time[0], to);
    }
  }
  return { pairs, holes, counts: pairing.result() };
}

/** The same, read twice as files are. */
async function readTwice(events: SyntheticEvent[], batchSize = 7) {
  const first = watched(synthetic(events, { batchSize }));
  await read(first);
  return read(watched(synthetic(events, { batchSize }), first.foresight));
}

for (const batchSize of [1, 2, 100]) {
  test(`a vCPU that leaves the guest twice, or enters it twice on two CPUs, has a hole between (batches of ${batchSize})`, async () => {
    const events = [
      entry(1 * ms, 100, 7),
      entry(500 * ms, 100, 8),
      exit(501 * ms, 100, 8),
      entry(502 * ms, 100, 8),
      exit(503 * ms, 100, 8),
      exit(930 * ms, 100, 9),
      entry(931 * ms, 100, 9),
    ];
    const expected = [
      { from: 1 * ms, to: 500 * ms, cpu: -1, why: 'entry after entry' },
      { from: 503 * ms, to: 930 * ms, cpu: -1, why: 'exit after exit' },
    ];
    for (const found of [await read(watched(synthetic(events, { batchSize }))), await readTwice(events, batchSize)]) {
      assert.deepEqual(found.holes, expected);
      assert.deepEqual(found.pairs, [
        [501 * ms, 502 * ms],
        [930 * ms, 931 * ms],
      ]);
      assert.equal(found.counts.straddlingLoss, 1);
    }
  });
}

test('a silence as long as one that a contradiction ends may be a hole, too', async () => {
  const events = [
    entry(0, 100, 7),
    exit(1 * ms, 100, 7),
    entry(2000 * ms, 100, 7),
    exit(2001 * ms, 100, 7),
    exit(2400 * ms, 100, 7),
    entry(2401 * ms, 100, 7),
    exit(2402 * ms, 100, 7),
    entry(2700 * ms, 100, 7),
  ];
  const { pairs, holes } = await readTwice(events);
  assert.deepEqual(
    holes.map(({ why }) => why),
    ['silence', 'exit after exit'],
  );
  assert.deepEqual(pairs, [
    [2400 * ms, 2401 * ms],
    [2402 * ms, 2700 * ms],
  ]);
});

test('a CPU that is left by a thread that it did not run, or runs a vCPU that it did not switch to, has a hole', async () => {
  const cut = [entry(0, 100, 3), exit(9, 100, 3), change(10, 3, 100, 7), change(800, 3, 0, 100), entry(802, 100, 3)];
  const one = await readTwice(cut);
  assert.deepEqual(one.holes, [{ from: 10, to: 800, cpu: 3, why: 'switch after switch' }]);
  assert.deepEqual(one.pairs, []);
  const unseen = [entry(0, 100, 3), exit(9, 100, 3), change(10, 3, 100, 7), entry(802, 100, 3)];
  const two = await readTwice(unseen);
  assert.deepEqual(two.holes, [{ from: 10, to: 802, cpu: 3, why: 'not scheduled' }]);
  assert.deepEqual(two.pairs, []);
});

test('with VMX a vCPU leaves the guest on the CPU where it entered it; with SVM it may be moved before that is traced', async () => {
  const events = (isa: number) => [entry(0, 100, 3), exit(9, 100, 4, isa), entry(20, 100, 4)];
  assert.deepEqual((await readTwice(events(1))).holes, [{ from: 0, to: 9, cpu: -1, why: 'exit elsewhere' }]);
  assert.deepEqual((await readTwice(events(2))).holes, []);
});

test('what may follow is no hole: fast paths, exits alone, entries alone, migrations, two exits of LoongArch, marked losses', async () => {
  const marked: Loss = { from: 5, to: 30, cpu: 1, count: 3 };
  const clean: SyntheticEvent[][] = [
    [entry(0, 1, 0), entry(10, 1, 0), entry(20, 1, 0), exit(30, 1, 0)],
    [exit(0, 1, 0), exit(10, 1, 0), exit(20, 1, 1)],
    [entry(0, 1, 0), entry(10, 1, 0)],
    [entry(0, 1, 0), exit(5, 1, 0), change(6, 0, 1, 0), change(9, 1, 0, 1), entry(10, 1, 1), exit(12, 1, 1)],
    [entry(0, 1, 0), exit(5, 1, 0), { ...exit(6, 1, 0), name: 'kvm:kvm_exit_gspr' }, entry(10, 1, 0)],
    [entry(0, 1, 0), exit(5, 1, 0), other(30, 1, marked), exit(40, 1, 0)],
    // Told only after the contradiction.
    [entry(0, 1, 0), exit(5, 1, 0), exit(20, 1, 0), other(30, 1, marked), entry(40, 1, 0)],
  ];
  for (const events of clean) assert.deepEqual((await readTwice(events)).holes, []);
});

test('a recording of some threads only contradicts itself all along: that is no hole, and said', async () => {
  const events: SyntheticEvent[] = [];
  for (let n = 0; n < 100; n++) {
    const at = n * 100;
    events.push(change(at, 0, 5, 100), entry(at + 10, 100, 0), exit(at + 20, 100, 0), change(at + 30, 0, 100, 6));
  }
  const first = watched(synthetic(events));
  await read(first);
  const second = watched(synthetic(events), first.foresight);
  assert.deepEqual((await read(second)).holes, []);
  assert.match(second.notes.join(), /some threads only/);
});

test('a hole on another CPU, told long after, sets aside an exit whose thread may have been there', async () => {
  const marked: Loss = { from: 100, to: 500_000, cpu: 1, count: 4 };
  const events = [entry(0, 1, 0), other(100, 1), exit(200, 1, 0), entry(20_000, 1, 0), other(500_000, 1, marked)];
  assert.deepEqual((await readTwice(events)).pairs, []);
  // It was switched out, so it may have been there.
  const away = [...events.slice(0, 3), change(300, 0, 1, 0), change(19_000, 0, 0, 1), ...events.slice(3)];
  assert.deepEqual((await readTwice(away)).pairs, []);
  // The scheduler's events tell that it stayed.
  const stays = [change(-10, 0, 0, 1), ...events];
  assert.deepEqual((await readTwice(stays)).pairs, [[200, 20_000]]);
});

test('the same holds for waits for locks', async () => {
  const marked: Loss = { from: 100, to: 500_000, cpu: 1, count: 4 };
  const mutex = (name: string, time: number): SyntheticEvent => ({
    name: `qemu:qemu_mutex_${name}`,
    time,
    tid: 1,
    cpu: 0,
    fields: { mutex: 1, file: 'a.c', line: 1 },
  });
  const events = [other(100, 1), mutex('lock', 200), mutex('locked', 20_000), other(500_000, 1, marked)];
  const waits = async (all: SyntheticEvent[]) => {
    const first = watched(synthetic(all));
    for await (const _ of first.batches());
    const trace = watched(synthetic(all), first.foresight);
    const locks = new Locks();
    for await (const b of trace.batches()) locks.batch(trace, b);
    return locks.counts.waits;
  };
  assert.equal(await waits(events), 0);
  assert.equal(await waits([change(-10, 0, 0, 1), ...events]), 1);
});

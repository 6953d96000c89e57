import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Trace } from '../trace/trace.ts';
import { compare, type Diff, type DiffRow, diffSubjects, type Side, spanFigures } from './diff.ts';
import { ExitSide, LockSide, RequestSide, type SideView, VcpuSide } from './diff-sides.ts';
import { Exits } from './exits.ts';
import { Vcpus } from './vcpus.ts';

const path = (name: string) => new URL(`../../${name}`, import.meta.url).pathname;
const boot = path('test/data/exits/boot.perf.data.zst');
const idle = path('test/data/exits/idle.perf.data.zst');

/** A recording as one side; `change` may alter its events, `stretch` says which part of the time they are of then. */
async function side(
  trace: Trace,
  view: SideView,
  change?: (b: EventBatch) => void,
  [from, to]: [from: number, to: (last: number) => number] = [0, (last) => last],
): Promise<Side> {
  view.within?.({
    from,
    get to() {
      return to(trace.last);
    },
  });
  for await (const b of trace.batches((type) => view.wants(type))) {
    change?.(b);
    view.batch(trace, b);
  }
  await trace.close();
  return view.side(trace);
}

const row = (diff: Diff, ...names: string[]) => diff.rows.find((one) => one.names.join() === names.join()) as DiffRow;

/** Takes only events of a part of the recording, from and to fractions of `length`. */
function part(from: number, to: number): (b: EventBatch) => void {
  return (b) => {
    let n = 0;
    for (let i = 0; i < b.count; i++) {
      const time = b.time[i] as number;
      if (time < from || time >= to) continue;
      for (const column of [b.time, b.type, b.cpu, b.tid, b.pid, b.at, b.size]) column[n] = column[i] as number;
      n++;
    }
    b.count = n;
  };
}

test('two halves of one recording of an idle guest do not differ', async () => {
  const halves = [];
  for (const [from, to] of [
    [0, 7.8e9],
    [7.8e9, Number.POSITIVE_INFINITY],
  ] as const)
    halves.push(
      await side(await openTrace(idle), new ExitSide(), part(from, to), [from, (last) => Math.min(last, to)]),
    );
  const diff = compare(halves[0] as Side, halves[1] as Side, spanFigures);
  assert.ok(diff.judged >= 10);
  assert.equal(diff.news, 0);
});

test('a recording does not differ from itself', async () => {
  const diff = compare(
    await side(await openTrace(boot), new ExitSide()),
    await side(await openTrace(boot), new ExitSide()),
    spanFigures,
  );
  assert.ok(diff.judged > 30);
  assert.equal(diff.news, 0);
  for (const { changes } of diff.rows) {
    // NaN: it rests on too little to say.
    for (const { ratio, p } of Object.values(changes)) assert.deepEqual([ratio, Math.round(p) || 1], [1, 1]);
  }
});

test('figures are those of virtap exits; a copy slower by half is news, and the intervals hold the factor', async () => {
  const before = await side(await openTrace(boot), new ExitSide());
  const after = await side(
    await openTrace(boot),
    new ExitSide(),
    (b) => {
      for (let i = 0; i < b.count; i++) b.time[i] = Math.round((b.time[i] as number) * 1.5);
    },
    [0, (last) => last * 1.5],
  );
  const exits = new Exits({ by: ['reason'] });
  const trace = await openTrace(boot);
  for await (const b of trace.batches((type) => exits.wants(type))) exits.batch(trace, b);
  await trace.close();
  const truth = exits.result();
  assert.equal(before.duration, truth.duration);
  for (const { group, all } of truth.rows) {
    const { stats, values } = before.rows.find(({ names }) => names[0] === group.reason) ?? {};
    assert.deepEqual(stats, all);
    assert.equal(values?.rate, all.count / (truth.duration / 1e9));
    assert.equal(values?.avg, all.mean);
  }
  const diff = compare(before, after, spanFigures);
  for (const { changes } of diff.rows) {
    for (const [figure, { ratio, low, high }] of Object.entries(changes)) {
      const factor = figure === 'total' ? 1 : figure === 'rate' ? 1 / 1.5 : 1.5;
      assert.ok(Math.abs(ratio / factor - 1) < 0.002, `${figure} ${ratio}`);
      if (!Number.isNaN(low)) assert.ok(low <= factor && factor <= high);
    }
  }
  for (const reason of ['cpuid', 'vintr']) assert.equal(row(diff, reason).changes.avg?.news, true, reason);
  assert.equal(row(diff, 'cpuid').changes.total?.news, false);
});

/** Ten seconds of one vCPU's exits: of each reason so many a second, at random times, so long. */
function exits(seed: number, reasons: Record<number, { rate: number; ns: number; from?: number }>): Trace {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const spans: [begin: number, reason: number, ns: number][] = [];
  for (const [reason, { rate, ns, from = 0 }] of Object.entries(reasons)) {
    for (let time = from; time < 10e9; time += (-Math.log(next()) / rate) * 1e9)
      spans.push([time, Number(reason), ns * (0.5 - Math.log(next()))]);
  }
  spans.sort(([a], [b]) => a - b);
  const events: SyntheticEvent[] = [{ name: 'kvm:kvm_entry', time: 0, tid: 1, fields: { vcpu_id: 0 } }];
  let free = 0;
  for (const [begin, reason, ns] of spans) {
    const time = Math.max(free, Math.round(begin)) + 1000;
    free = time + Math.round(ns);
    const fields = { exit_reason: reason, isa: 2 };
    events.push({ name: 'kvm:kvm_exit', time, tid: 1, fields });
    events.push({ name: 'kvm:kvm_entry', time: free, tid: 1, fields: { vcpu_id: 0 } });
  }
  return synthetic(events, { batchSize: 4096 });
}

const svm = { hlt: 0x78, msr: 0x7c, npf: 0x400, io: 0x7b, cpuid: 0x72 };
const usual = { [svm.msr]: { rate: 60, ns: 20_000 }, [svm.npf]: { rate: 20, ns: 90_000 } };

test('where nothing changed, news is as rare as promised', async () => {
  let withNews = 0;
  for (let run = 0; run < 60; run++) {
    const [a, b] = [exits(2 * run, usual), exits(2 * run + 1, usual)];
    const diff = compare(await side(a, new ExitSide()), await side(b, new ExitSide()), spanFigures);
    assert.ok(diff.judged >= 14);
    if (diff.news > 0) withNews++;
  }
  // 5 % of 60 are 3; more than 8 come in less than one of 200 such series.
  assert.ok(withNews <= 8, `${withNews}`);
});

test('reasons that only one recording has: news where they are many, too rare to tell where they are few', async () => {
  const before = exits(1, { ...usual, [svm.io]: { rate: 8, ns: 50_000 } });
  const after = exits(2, {
    ...usual,
    [svm.cpuid]: { rate: 8, ns: 50_000 },
    [svm.hlt]: { rate: 1, ns: 1e6, from: 8.9e9 },
  });
  const diff = compare(await side(before, new ExitSide()), await side(after, new ExitSide()), spanFigures);
  const [io, cpuid, hlt] = [row(diff, 'io'), row(diff, 'cpuid'), row(diff, 'hlt')];
  assert.deepEqual([io.after, cpuid.before, hlt.before], [undefined, undefined, undefined]);
  assert.deepEqual([io.changes.rate?.ratio, io.changes.rate?.news], [0, true]);
  assert.deepEqual([cpuid.changes.rate?.ratio, cpuid.changes.rate?.news], [Number.POSITIVE_INFINITY, true]);
  assert.deepEqual([hlt.changes.rate?.news, hlt.kind], [false, 'idle']);
  assert.deepEqual(Object.keys(cpuid.changes), ['rate']);
  // Rows first, by how much time they take more or less; halts last.
  assert.deepEqual(diff.rows.map(({ kind }) => kind).join(' '), 'row row row row sum idle');
});

test('recordings of different length are compared by the second, what is rare in blocks of the same length', async () => {
  const long = exits(5, { ...usual, [svm.io]: { rate: 300, ns: 5_000, from: 9.9e9 } });
  const short = exits(6, { ...usual, [svm.io]: { rate: 300, ns: 5_000, from: 9.9e9 } });
  const diff = compare(
    await side(long, new ExitSide()),
    await side(short, new ExitSide(), part(9e9, 10e9), [9e9, () => 10e9]),
    spanFigures,
  );
  assert.deepEqual(
    diff.rows.flatMap(({ changes }) => Object.values(changes).filter(({ news }) => news)),
    [],
  );
  // Ten times as often a second, but one burst in each.
  assert.ok((row(diff, 'io').changes.rate?.ratio as number) > 8);
});

test("the states of vCPUs are shares of their time, as virtap vcpus has them; a hog's preemption is news", async () => {
  const before = await side(await openTrace(path('samples/kvm-and-qemu.dat')), new VcpuSide());
  const after = await side(await openTrace(path('samples/host-kvm.dat')), new VcpuSide());
  const vcpus = new Vcpus();
  const trace = await openTrace(path('samples/host-kvm.dat'));
  for await (const b of trace.batches((type) => vcpus.wants(type))) vcpus.batch(trace, b);
  await trace.close();
  const { rows } = vcpus.result();
  const wall = rows.reduce((sum, one) => sum + one.wall, 0);
  for (const { names, values } of after.rows) {
    const state = names[0] as keyof (typeof rows)[0]['states'];
    assert.equal(values.share, rows.reduce((sum, { states }) => sum + states[state], 0) / wall);
  }
  const sum = after.rows.reduce((all, { values }) => all + (values.share as number), 0);
  assert.ok(Math.abs(sum - 1) < 1e-12);
  const { changes } = row(compare(before, after, ['share']), 'preempted');
  assert.ok(changes.share?.news === true && changes.share.ratio > 4);
});

test('waits and holds are rows by call site, and the BQL has rows of its own', async () => {
  const log = async () => side(await openTrace(path('samples/kvm-and-qemu.log.zst')), new LockSide());
  const diff = compare(await log(), await log(), spanFigures);
  // What virtap locks counts: 1126 acquisitions of the BQL, three of them after a condition variable or by try-lock, three behind others.
  assert.equal(row(diff, 'BQL', 'wait').before?.stats?.count, 3);
  assert.equal(row(diff, 'BQL', 'wait').before?.stats?.max, 4_211_000);
  assert.equal(row(diff, 'BQL', 'uncontended').before?.stats?.count, 1120);
  assert.equal(row(diff, 'util/main-loop.c:318', 'uncontended').before?.stats?.max, 23_621_000);
  assert.equal(row(diff, 'softmmu/physmem.c:2748', 'hold').before?.stats?.count, 958);
  assert.equal(diff.news, 0);
});

/** Cycles of 5 µs of a vCPU, in each of which another thread has its CPU for about so long (ns). */
function preempted(cycles: number, ns: number): Trace {
  const sched = (time: number, from: number, to: number): SyntheticEvent => ({
    name: 'sched:sched_switch',
    time,
    tid: from,
    cpu: 0,
    fields: { prev_pid: from, prev_state: 0, next_pid: to },
  });
  const events: SyntheticEvent[] = [];
  for (let n = 0; n < cycles; n++) {
    const time = 5000 * n;
    const length = ns + 10 * (n % 7);
    events.push(
      { name: 'kvm:kvm_entry', time, tid: 1, cpu: 0, fields: { vcpu_id: 0 } },
      { name: 'kvm:kvm_exit', time: time + 1000, tid: 1, cpu: 0, fields: { exit_reason: svm.npf, isa: 2 } },
      sched(time + 1500, 1, 2),
      sched(time + 1500 + length, 2, 1),
    );
  }
  events.push({ name: 'kvm:kvm_entry', time: 5000 * cycles, tid: 1, cpu: 0, fields: { vcpu_id: 0 } });
  return synthetic(events);
}

test('blocks of time are as short as the recording asks for: a tenth of a millisecond tells of a change', async () => {
  const of = async (cycles: number, ns: number) => side(preempted(cycles, ns), new VcpuSide());
  const diff = compare(await of(20, 335), await of(20, 1635), ['share']);
  const { before, after, changes } = row(diff, 'preempted');
  assert.deepEqual(
    [before?.values.share, after?.values.share].map((share) => share?.toFixed(3)),
    ['0.073', '0.333'],
  );
  assert.equal(changes.share?.news, true);
  assert.ok((changes.share?.low as number) > 2 && (changes.share?.high as number) < 12);
});

test('where nothing can be said with confidence, the change is told without an interval, and no condition passes on it', async () => {
  const of = async (ns: number) => side(preempted(3, ns), new VcpuSide());
  const diff = compare(await of(335), await of(1635), ['share']);
  assert.equal(diff.news, 0);
  const { ratio, low, p, news } = row(diff, 'preempted').changes.share ?? {};
  assert.deepEqual([ratio?.toFixed(1), low, p, news], ['4.8', Number.NaN, Number.NaN, false]);
  const [subject] = diffSubjects(diff, ({ names }) => ({ kind: names[0] as string, name: undefined })).filter(
    ({ kind }) => kind === 'preempted',
  );
  assert.deepEqual(subject?.measured, { share: Number.NaN });
});

test('requests are rows by device, queue and operation, under names that another run has, too', async () => {
  const leak = async (factor: number) =>
    side(
      await openTrace(path('samples/qemu-leak.bin.zst')),
      new RequestSide(),
      (b) => {
        for (let i = 0; i < b.count; i++) b.time[i] = (b.time[i] as number) * factor;
      },
      [0, (last) => last * factor],
    );
  const before = await leak(1);
  // What virtap leaks counts as filled, of three disks; the third is the one that leaks.
  const counts = Object.fromEntries(before.rows.map(({ names, stats }) => [names.join('/'), stats?.count]));
  assert.deepEqual(
    [
      'virtio-blk 0/all/',
      'virtio-blk 1/all/',
      'virtio-blk 2/all/',
      'virtio-net 0/0 receive/',
      'virtio-scsi 0/all/',
    ].map((name) => counts[name]),
    [403, 58 + 39, 506 + 312, 7929, 462 + 121],
  );
  assert.equal(counts['virtio-blk 2/0 request/read'], 506);
  const slower = compare(before, await leak(2), spanFigures);
  assert.equal(row(slower, 'virtio-net 0', '0 receive', '').changes.avg?.ratio, 2);
  assert.equal(row(slower, 'virtio-net 0', '0 receive', '').changes.avg?.news, true);
  // Another run of another guest, with other addresses.
  const other = await side(await openTrace(path('test/data/leaks/d-reset.bin.zst')), new RequestSide());
  const names = (of: Side) => new Set(of.rows.map((one) => one.names.slice(0, 2).join()));
  const shared = [...names(other)].filter((name) => names(before).has(name));
  for (const name of ['virtio-blk 0,0 request', 'virtio-net 0,1 transmit', 'virtio-rng 0,0 request'])
    assert.ok(shared.includes(name), name);
});

test('conditions are on changes; noise is no change', async () => {
  const slow = { ...usual, [svm.msr]: { rate: 60, ns: 60_000 } };
  const diff = compare(
    await side(exits(7, usual), new ExitSide()),
    await side(exits(8, slow), new ExitSide()),
    spanFigures,
  );
  const subjects = diffSubjects(diff, ({ names, kind }) => ({
    kind: 'exit',
    name: kind === 'sum' ? undefined : names[0],
  }));
  const of = (name: string | undefined) => subjects.find((one) => one.name === name);
  assert.ok((of('msr')?.measured.avg as number) > 1);
  assert.equal(of('msr')?.measured.rate, 0);
  assert.equal(of('npf')?.measured.avg, 0);
  assert.ok((of(undefined)?.measured.avg as number) > 0.2);
  assert.ok(subjects.every(({ change }) => change === true));
});

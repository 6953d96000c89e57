import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Trace } from '../trace/trace.ts';
import { type ExitOptions, type ExitResult, Exits } from '../views/exits.ts';
import { heldLine } from './exit-division.ts';

const root = new URL('../../', import.meta.url);

async function read(trace: Trace, options: Partial<ExitOptions>): Promise<ExitResult> {
  const exits = new Exits({ by: ['reason'], ...options });
  for await (const b of trace.batches((type) => exits.wants(type))) exits.batch(trace, b);
  await trace.close();
  return exits.result();
}

test("each reason's time divides as an independent reading of the text does, to the nanosecond", async () => {
  const truth = JSON.parse(readFileSync(new URL('test/data/vcpus/host-kvm.truth.json', root), 'utf8')) as {
    reasons: Record<string, Record<string, number>>;
  }[];
  const expected = new Map<string, Record<string, number>>();
  for (const { reasons } of truth) {
    for (const [reason, states] of Object.entries(reasons)) {
      const sum = expected.get(reason) ?? Object.fromEntries(vcpuStates.map((state) => [state, 0]));
      for (const [state, time] of Object.entries(states)) sum[state] = (sum[state] as number) + time;
      expected.set(reason, sum);
    }
  }
  const trace = await openTrace(new URL('samples/host-kvm.dat', root).pathname);
  const { rows } = await read(trace, { breakdown: true });
  const found = rows.map(({ group, parts, halts }) => [group.reason, halts === undefined ? parts?.busy : parts?.halts]);
  assert.deepEqual(new Map(found as [string, Record<string, number>][]), expected);
  for (const { all, parts } of rows) {
    const sum = vcpuStates.reduce((total, s) => total + (parts?.busy[s] ?? 0) + (parts?.halts[s] ?? 0), 0);
    assert.equal(sum, all.total);
  }
});

const vcpu = 7;
const main = 5;
const at = (time: number, name: string, fields: SyntheticEvent['fields'] = {}, tid = vcpu): SyntheticEvent => ({
  name,
  time,
  tid,
  cpu: tid % 4,
  fields,
});
const exit = (time: number, tid = vcpu) => at(time, 'kvm:kvm_exit', { exit_reason: 0x7b, isa: 2, vcpu_id: 0 }, tid);
const entry = (time: number, tid = vcpu) => at(time, 'kvm:kvm_entry', { vcpu_id: 0 }, tid);
const mutex = (time: number, name: string, tid: number, file = 'accel/kvm/kvm-all.c', line = 3027) =>
  at(time, `qemu:qemu_mutex_${name}`, { mutex: 0x10, file, line }, tid);
const loop = 'util/main-loop.c';

const waiting = [
  entry(0),
  mutex(100, 'lock', main, loop, 318),
  mutex(110, 'locked', main, loop, 318),
  exit(1000),
  at(1020, 'kvm:kvm_userspace_exit', { reason: 2, errno: 0 }),
  mutex(1050, 'lock', vcpu),
  at(1060, 'sched:sched_switch', { prev_pid: vcpu, prev_state: 1, next_pid: 0 }),
  mutex(4800, 'unlock', main, loop, 330),
  at(4810, 'sched:sched_waking', { pid: vcpu }, main),
  at(4830, 'sched:sched_switch', { prev_pid: 0, prev_state: 0, next_pid: vcpu }, 0),
  mutex(4850, 'locked', vcpu),
  mutex(4880, 'unlock', vcpu),
  at(4890, 'kvm:kvm_fpu', { load: 1 }),
  entry(4900),
];

test('a slow exit says where its time went, for which lock it waited, and who held that', async () => {
  for (const batchSize of [1, 3, 100]) {
    const threads = [
      [vcpu, 'CPU 0/KVM', main],
      [main, 'qemu-system-x86', main],
    ] as [number, string, number][];
    const result = await read(synthetic(waiting, { batchSize, threads }), { slow: 1 });
    const [slow] = result.slow ?? [];
    assert.ok(slow !== undefined);
    assert.equal(
      heldLine(slow, result, false),
      // The main loop holds it from 1050 to 4800; then the vCPU is woken, and has it at 4850.
      'held 3.900 µs: 30 ns in KVM, 90 ns in QEMU, 3.750 µs waiting for the BQL held by the main loop (util/main-loop.c:318), 10 ns blocked otherwise in QEMU, 20 ns preempted',
    );
  }
});

test('a wait of another exit of the thread is not told', async () => {
  const events = [...waiting, exit(5000), entry(9999)];
  const { slow } = await read(synthetic(events), { slow: 2 });
  assert.deepEqual(
    slow?.map(({ duration, wait }) => [duration, wait?.duration]),
    [
      [4999, undefined],
      [3900, 3800],
    ],
  );
});

test('what a trace cannot tell of an exit is not said', async () => {
  const bare = await read(synthetic([entry(0), exit(10), entry(50)]), { slow: 1 });
  assert.equal(heldLine(bare.slow?.[0] as never, bare, false), '');
  const switched = [entry(0), exit(10), at(20, 'sched:sched_switch', { prev_pid: vcpu, prev_state: 0, next_pid: 3 })];
  const some = await read(synthetic([...switched, entry(50)]), { slow: 1 });
  assert.equal(heldLine(some.slow?.[0] as never, some, false), 'held 40 ns: 10 ns in KVM or QEMU, 30 ns preempted');
});

test('where a thread slept within an exit, its line says so, whatever the reason', async () => {
  const events = [
    entry(0),
    exit(100),
    at(110, 'sched:sched_switch', { prev_pid: vcpu, prev_state: 2, next_pid: 0 }),
    at(900, 'sched:sched_waking', { pid: vcpu }, 3),
    at(930, 'sched:sched_switch', { prev_pid: 0, prev_state: 0, next_pid: vcpu }, 0),
    entry(1000),
    exit(1100),
    at(1120, 'kvm:kvm_userspace_exit', { reason: 2, errno: 0 }),
    entry(1200),
  ];
  for (const batchSize of [1, 3, 100]) {
    const result = await read(synthetic(events, { batchSize }), { slow: 2 });
    assert.deepEqual(
      result.slow?.map((slow) => heldLine(slow, result, false)),
      ['held 900 ns: 80 ns in KVM, 790 ns asleep in KVM, 30 ns preempted', 'held 100 ns: 20 ns in KVM, 80 ns in QEMU'],
    );
  }
});

test('exits that are not over at the end are listed with their age, filtered like the others', async () => {
  const events = [entry(0), entry(0, 8), exit(10), exit(30, 8), at(75, 'sched:sched_waking', { pid: 99 }, 3)];
  const ages = async (options: Partial<ExitOptions>) =>
    (await read(synthetic(events), { slow: 1, ...options })).open.map(({ vcpu: { tid }, reason, age }) => [
      tid,
      reason,
      age,
    ]);
  assert.deepEqual(await ages({}), [
    [7, 'io', 65],
    [8, 'io', 45],
  ]);
  assert.deepEqual(await ages({ pids: [8] }), [[8, 'io', 45]]);
  assert.deepEqual(await ages({ exclude: ['io'] }), []);
});

test('filters and two dimensions keep rows and their divisions together', async () => {
  const one = (state: VcpuState) => (row: ExitResult['rows'][number]) => row.parts?.busy[state] ?? 0;
  const events = waiting.flatMap((event) => (event.tid === vcpu ? [event, { ...event, tid: 17 }] : [event]));
  const kept = events.filter(({ name, tid }) => /kvm:kvm_(exit|entry|user)/.test(name) || tid === vcpu);
  const both = await read(synthetic(kept, { batchSize: 2 }), { by: ['vcpu', 'reason'], breakdown: true });
  const alone = await read(synthetic(kept, { batchSize: 2 }), { breakdown: true, pids: [vcpu] });
  assert.equal(both.rows.length, 2);
  assert.deepEqual(
    both.rows.filter(({ group }) => group.vcpu?.tid === vcpu).map(one('lock')),
    alone.rows.map(one('lock')),
  );
});

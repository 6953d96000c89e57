import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Trace } from '../trace/trace.ts';
import { type VcpuOptions, Vcpus, type VcpusResult } from './vcpus.ts';

const root = join(import.meta.dirname, '..', '..');

async function divide(trace: Trace, options: VcpuOptions = {}): Promise<VcpusResult> {
  const vcpus = new Vcpus(options);
  for await (const batch of trace.batches((type) => vcpus.wants(type))) vcpus.batch(trace, batch);
  await trace.close();
  return vcpus.result();
}

const tid = 7;
const at = (time: number, name: string, fields: SyntheticEvent['fields'] = {}, more: Partial<SyntheticEvent> = {}) => ({
  name,
  time,
  tid,
  cpu: 0,
  fields,
  ...more,
});
const exit = (time: number, reason = 0x72) => at(time, 'kvm:kvm_exit', { exit_reason: reason, isa: 2, vcpu_id: 0 });
const halt = (time: number) => exit(time, 0x78);
const entry = (time: number) => at(time, 'kvm:kvm_entry', { vcpu_id: 0 });
const userspace = (time: number, reason = 2) => at(time, 'kvm:kvm_userspace_exit', { reason, errno: 0 });
const fpu = (time: number, load: number) => at(time, 'kvm:kvm_fpu', { load });
const wakeup = (time: number, ns: number) => at(time, 'kvm:kvm_vcpu_wakeup', { ns, waited: 1, valid: 1 });
const out = (time: number, state: number, next = 0) =>
  at(time, 'sched:sched_switch', { prev_pid: tid, prev_state: state, next_pid: next });
const into = (time: number, previous = 0) =>
  at(time, 'sched:sched_switch', { prev_pid: previous, prev_state: 0, next_pid: tid }, { tid: previous });
const waking = (time: number) => at(time, 'sched:sched_waking', { pid: tid }, { tid: 99 });
const mutex = (time: number, name: 'lock' | 'locked' | 'unlock', thread = tid) =>
  at(time, `qemu:qemu_mutex_${name}`, { mutex: 0x10 }, { tid: thread });
/** Another thread that takes the mutex. */
const rival = 98;

function only(states: Partial<Record<VcpuState, number>>): Record<VcpuState, number> {
  return { ...(Object.fromEntries(vcpuStates.map((state) => [state, 0])) as Record<VcpuState, number>), ...states };
}

async function rowOf(events: SyntheticEvent[]) {
  const result = await divide(synthetic(events));
  const [row] = result.rows;
  assert.ok(row !== undefined);
  return { ...row, result };
}

test('a recording divides as an independent reading of its text does, to the nanosecond', async () => {
  const truth = JSON.parse(readFileSync(join(root, 'test/data/vcpus/host-kvm.truth.json'), 'utf8')) as {
    tid: number;
    wall_ns: number;
    polled_ns: number;
    states: Partial<Record<VcpuState, number>>;
  }[];
  const { rows } = await divide(await openTrace(join(root, 'samples/host-kvm.dat')));
  const found = rows.map(({ vcpu, wall, polled, states }) => ({ tid: vcpu.tid, wall, polled, states }));
  const expected = truth.map((one) => ({
    tid: one.tid,
    wall: one.wall_ns,
    polled: one.polled_ns,
    states: only(one.states),
  }));
  const byTid = (a: { tid: number }, b: { tid: number }) => a.tid - b.tid;
  assert.deepEqual(found.sort(byTid), expected.sort(byTid));
});

// Pieces of recordings of emulated hosts, in each of which a vCPU is woken while it goes to sleep: sched_waking stands before the
// sched_switch. The truth is that of divide-arch.py beside them.
for (const arch of ['arm64', 'ppc64el', 'riscv64']) {
  test(`${arch}: a recording divides as an independent reading of its text does, to the nanosecond`, async () => {
    const data = join(root, 'test/data/vcpus');
    const truth = JSON.parse(readFileSync(join(data, `${arch}.truth.json`), 'utf8')) as Record<string, object>;
    const { rows } = await divide(await openTrace(join(data, `${arch}.txt.zst`)));
    for (const { vcpu, states, polled = 0, asleepInKvm } of rows) {
      const expected: Record<string, number> = {
        'guest on': 0,
        'kvm on': 0,
        'kvm asleep': 0,
        'kvm waiting': 0,
        'qemu on': 0,
        'qemu asleep': 0,
        'qemu waiting': 0,
        ...truth[vcpu.tid],
      };
      const sleep = states.halted - polled + asleepInKvm;
      assert.deepEqual(
        [states.guest, states.kvm + polled - asleepInKvm, sleep, states.qemu, states.blocked, states.preempted],
        [
          expected['guest on'],
          expected['kvm on'],
          expected['kvm asleep'],
          expected['qemu on'],
          expected['qemu asleep'],
          (expected['kvm waiting'] as number) + (expected['qemu waiting'] as number),
        ],
        `thread ${vcpu.tid}`,
      );
    }
    assert.equal(rows.length, 2);
  });
}

test('guest, KVM and QEMU follow from the events of the thread', async () => {
  const { states, wall } = await rowOf([entry(0), exit(100), userspace(110), fpu(150, 1), entry(155), exit(200)]);
  assert.deepEqual(states, only({ guest: 145, kvm: 15, qemu: 40 }));
  assert.equal(wall, 200);
});

test("KVM_RUN's system call ends QEMU's time, other calls do not", async () => {
  const ioctl = (time: number, cmd: number) => at(time, 'syscalls:sys_enter_ioctl', { fd: 1, cmd, arg: 0 });
  const { states } = await rowOf([entry(0), exit(10), userspace(20), ioctl(30, 0xae01), ioctl(50, 0xae80), entry(60)]);
  assert.deepEqual(states, only({ guest: 10, kvm: 20, qemu: 30 }));
});

test('a thread preempted in the guest is not in the guest, and who ran instead is named', async () => {
  const { states, result } = await rowOf([entry(0), out(40, 0, 55), into(70, 55), exit(100), entry(110)]);
  assert.deepEqual(states, only({ guest: 70, preempted: 30, kvm: 10 }));
  assert.deepEqual(result.others, [{ tid: 55, comm: '', time: 30 }]);
});

test('a halt: polling, sleep, and the wait for a CPU after waking', async () => {
  // KVM begins to halt at 120: it polls until 150, sleeps until 400, waits for a CPU until 430.
  const { states, polled, longest } = await rowOf([
    entry(0),
    halt(100),
    out(150, 1),
    waking(400),
    into(430),
    wakeup(440, 320),
    entry(450),
  ]);
  assert.deepEqual(states, only({ guest: 100, kvm: 20 + 20, halted: 30 + 250, preempted: 30 }));
  assert.equal(polled, 30);
  assert.deepEqual(longest.halted, { begin: 120, duration: 280 });
});

test('without the scheduler’s events a halt is sleep as a whole, and what cannot be told is said', async () => {
  const { states, result } = await rowOf([entry(0), halt(100), entry(400), exit(500)]);
  assert.deepEqual(states, only({ guest: 200, halted: 300 }));
  assert.deepEqual(
    result.untold.map(({ state, within }) => [state, within]),
    [
      ['qemu', 'kvm'],
      ['lock', 'kvm'],
      ['blocked', 'kvm'],
      ['preempted', 'the state in which it happened'],
      ['halt polling', 'halted'],
    ],
  );
});

test('waiting for a QEMU lock that another thread holds is told apart from other waiting in QEMU', async () => {
  const { states, result } = await rowOf([
    entry(0),
    mutex(5, 'locked', rival),
    exit(10),
    userspace(20),
    mutex(25, 'lock'),
    out(30, 1),
    mutex(80, 'unlock', rival),
    waking(80),
    into(90),
    mutex(95, 'locked'),
    out(100, 1),
    waking(140),
    into(140),
    fpu(150, 1),
    entry(160),
  ]);
  // Behind the other thread it is running 25–30, and asleep 30–80; from 90 to 95 the mutex is free.
  assert.deepEqual(states, only({ guest: 10, kvm: 20, qemu: 5 + 5 + 5 + 10, lock: 55, preempted: 10, blocked: 40 }));
  assert.deepEqual(
    result.untold.map(({ state }) => state),
    ['halt polling'],
  );
});

test('a lock that another thread has held since before the recording is one, too: its unlock tells', async () => {
  const story = (...end: SyntheticEvent[]) => [
    entry(0),
    exit(10),
    userspace(20),
    mutex(25, 'lock'),
    out(30, 1),
    ...end,
    into(90),
    mutex(95, 'locked'),
    mutex(97, 'unlock'),
    fpu(100, 1),
    entry(110),
  ];
  const waited = await rowOf(story(mutex(80, 'unlock', rival), waking(80)));
  assert.deepEqual(waited.states, only({ guest: 10, kvm: 20, qemu: 5 + 5 + 5, lock: 55, preempted: 10 }));
  assert.equal(waited.longest.lock?.duration, 55);
  // Nobody lets it go: it was free.
  const free = await rowOf(story(waking(80)));
  assert.deepEqual(free.states, only({ guest: 10, kvm: 20, qemu: 5 + 5 + 10, blocked: 50, preempted: 10 }));
});

test('taking a lock that is free is no waiting, however long it takes', async () => {
  const { states, result } = await rowOf([
    entry(0),
    exit(10),
    userspace(20),
    mutex(25, 'lock'),
    mutex(65, 'locked'),
    mutex(70, 'unlock'),
    fpu(75, 1),
    entry(80),
  ]);
  assert.deepEqual(states, only({ guest: 10, kvm: 10 + 5, qemu: 55 }));
  assert.equal(
    result.untold.some(({ state }) => state === 'lock'),
    false,
  );
});

test('where no lock is seen to be let go, nobody knows who waits for one that is held', async () => {
  const { states, result } = await rowOf([
    entry(0),
    // Both take it, and neither lets it go.
    mutex(3, 'locked', rival),
    mutex(4, 'locked'),
    mutex(5, 'locked', rival),
    exit(10),
    userspace(20),
    mutex(25, 'lock'),
    mutex(65, 'locked'),
    fpu(75, 1),
    entry(80),
  ]);
  assert.deepEqual(states, only({ guest: 10, kvm: 10 + 5, qemu: 55 }));
  assert.ok(result.untold.some(({ state, lacking }) => state === 'lock' && /qemu_mutex_unlock/.test(lacking)));
});

test('a halt that QEMU sees is a halt', async () => {
  const { states } = await rowOf([
    entry(0),
    halt(10),
    userspace(20, 5),
    out(30, 1),
    waking(90),
    into(90),
    fpu(95, 1),
    entry(99),
  ]);
  assert.deepEqual(states, only({ guest: 10, kvm: 14, qemu: 15, halted: 60 }));
});

test('where events were lost nothing is guessed until the thread is seen to enter or leave the guest', async () => {
  const loss = { from: 40, to: 60, cpu: 0, count: 3 };
  const { states } = await rowOf([entry(0), { ...userspace(60), loss }, exit(80), entry(90)]);
  assert.deepEqual(states, only({ guest: 40, unsure: 40, kvm: 10 }));
});

test('a hole on another CPU does not touch a thread that runs', async () => {
  const loss = { from: 40, to: 60, cpu: 3, count: 3 };
  const { states } = await rowOf([entry(0), { ...exit(80), loss }, entry(90)]);
  assert.deepEqual(states, only({ guest: 80, kvm: 10 }));
});

test('a thread that ends has no more time; an exit that is not over has an age', async () => {
  const dead = await rowOf([entry(0), exit(10), out(20, 0x10), waking(500)]);
  assert.equal(dead.wall, 20);
  const open = await rowOf([entry(0), exit(10), waking(500)]);
  assert.deepEqual(open.open, { reason: 'cpuid', age: 490 });
  assert.equal(open.wall, 500);
});

test('the timeline has the state that took most of each stretch', async () => {
  const ms = 1e6;
  const events = [entry(0), exit(3 * ms), userspace(3 * ms + 1), fpu(6 * ms, 1), entry(6 * ms + 1), exit(9 * ms)];
  const { rows, timeline } = await divide(synthetic(events), { timeline: true });
  const states = rows[0]?.timeline ?? [];
  assert.equal(timeline?.step, 2 ** 14);
  assert.equal(states.length, Math.ceil((9 * ms) / 2 ** 14));
  assert.deepEqual([...new Set(states)], ['guest', 'qemu']);
  assert.equal(states[Math.floor((4 * ms) / 2 ** 14)], 'qemu');
});

/** One thing that happens to a vCPU thread, whether or not that makes sense after the last. */
const anything = fc.constantFrom(
  exit,
  halt,
  entry,
  (time: number) => userspace(time),
  (time: number) => fpu(time, 1),
  (time: number) => wakeup(time, 30),
  (time: number) => out(time, 0, 5),
  (time: number) => out(time, 1),
  (time: number) => into(time, 5),
  waking,
  (time: number) => mutex(time, 'lock'),
  (time: number) => mutex(time, 'locked'),
  (time: number) => mutex(time, 'unlock'),
  (time: number) => mutex(time, 'locked', rival),
  (time: number) => mutex(time, 'unlock', rival),
);

function schedule(
  steps: readonly (readonly [event: (time: number) => SyntheticEvent, gap: number])[],
): SyntheticEvent[] {
  const events: SyntheticEvent[] = [entry(0)];
  for (const [event, gap] of steps) events.push(event((events.at(-1) as SyntheticEvent).time + gap));
  // Only one thread has a mutex at a time, and it is one that waited for it, or the rival.
  let holder = -1;
  let waits = false;
  return events.filter(({ name, tid: thread }) => {
    if (name === 'qemu:qemu_mutex_lock') {
      if (holder === tid) return false;
      waits = true;
    } else if (name === 'qemu:qemu_mutex_locked') {
      if (holder >= 0 || (thread === tid && !waits)) return false;
      holder = thread as number;
      if (thread === tid) waits = false;
    } else if (name === 'qemu:qemu_mutex_unlock') {
      if (holder !== thread) return false;
      holder = -1;
    }
    return true;
  });
}

test('whatever happens, the states of a vCPU sum up to its wall time, and those of an exit to its duration', async () => {
  const schedules = fc.array(fc.tuple(anything, fc.integer({ min: 0, max: 50 })), { minLength: 2, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(schedules, fc.integer({ min: 1, max: 9 }), async (steps, batchSize) => {
      const events = schedule(steps);
      const { rows } = await divide(synthetic(events, { batchSize }));
      for (const row of rows) {
        const sum = vcpuStates.reduce((total, state) => total + row.states[state], 0);
        assert.equal(sum, row.wall);
        assert.ok(row.polled <= row.states.halted && row.asleepInKvm <= row.states.kvm);
        for (const state of vcpuStates) assert.ok((row.longest[state]?.duration ?? 0) <= row.states[state]);
      }
    }),
    { numRuns: 300 },
  );
});

test('random schedules divide as looking at every nanosecond does', async () => {
  const schedules = fc.array(fc.tuple(anything, fc.integer({ min: 1, max: 9 })), { minLength: 2, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(schedules, async (steps) => {
      // Halt polling is decided on afterwards, which this naive walk cannot: it is in a test of its own.
      const events = schedule(steps).filter(({ name }) => name !== 'kvm:kvm_vcpu_wakeup');
      const { rows } = await divide(synthetic(events));
      const naive = walk(events);
      assert.deepEqual(rows[0]?.states, naive);
    }),
    { numRuns: 300 },
  );
});

/** The state in each nanosecond, from all events up to it. */
function walk(events: SyntheticEvent[]): Record<VcpuState, number> {
  const total = only({});
  const sched = (until: number) => events.slice(0, until).some(({ name }) => name === 'sched:sched_switch');
  const end = events.at(-1)?.time ?? 0;
  for (let now = 0; now < end; now++) {
    let place = 'guest';
    let run = 'running';
    let halting = false;
    let slept = false;
    let waits = false;
    let holder = -1;
    let behind = false;
    let locking = false;
    let exitAt = 0;
    for (const [n, { name, time, fields, tid: thread }] of events.entries()) {
      if (time > now) break;
      if (name === 'kvm:kvm_exit') {
        [place, run, halting, slept, locking, exitAt] = [
          'kvm',
          'running',
          fields?.exit_reason === 0x78,
          false,
          false,
          n,
        ];
      } else if (name === 'kvm:kvm_entry') [place, run, halting, locking] = ['guest', 'running', false, false];
      else if (name === 'kvm:kvm_userspace_exit') [place, run] = ['qemu', 'running'];
      else if (name === 'kvm:kvm_fpu' && place === 'qemu') [place, run, locking] = ['kvm', 'running', false];
      else if (name.startsWith('qemu:')) {
        if (name === 'qemu:qemu_mutex_lock') [waits, behind] = [true, false];
        else if (name === 'qemu:qemu_mutex_unlock') holder = -1;
        else holder = thread as number;
        if (holder === tid) waits = false;
        // Once it is known to be on its way into the guest, only a new holder can hold it up.
        const held = waits && holder === rival;
        if (held !== behind) [locking, behind] = [held, held];
      } else if (name === 'sched:sched_switch' && fields?.prev_pid === tid) {
        run = fields.prev_state === 0 ? 'runnable' : 'asleep';
        slept ||= run === 'asleep';
      } else if (name === 'sched:sched_switch') run = 'running';
      else if (name === 'sched:sched_waking' && run === 'asleep') run = 'runnable';
    }
    // Without scheduler events up to the end of a halt, it is sleep as a whole.
    const over = events.findIndex(({ name, time }, n) => n > exitAt && time > now && /kvm_(exit|entry)$/.test(name));
    const blind = halting && !slept && !sched(over < 0 ? events.length : over);
    if (run === 'runnable') total.preempted++;
    else if (place === 'guest') total[run === 'asleep' ? 'kvm' : 'guest']++;
    else if (place === 'kvm') total[halting && (run === 'asleep' || blind) ? 'halted' : 'kvm']++;
    else if (locking) total.lock++;
    else total[run === 'asleep' ? 'blocked' : 'qemu']++;
  }
  return total;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import type { Clock } from '../trace/clock.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Shift } from '../trace/timeline.ts';
import type { Trace } from '../trace/trace.ts';
import { alignTraces } from './align.ts';

/** Numbers from 0 to 1 that are the same for a seed. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const main = 100;
const vcpus = [101, 102];

type Run = { kernel: SyntheticEvent[]; qemu: SyntheticEvent[]; guest: SyntheticEvent[] };

/** A virtual machine's threads, as the kernel, QEMU and the guest would trace them, on one clock (ns). */
function run(seed: number, length: number): Run {
  const random = dice(seed);
  // Lengths of time as real ones are: mostly short, now and then long.
  const time = (usual: number) => Math.max(1, Math.round(-Math.log(1 - random()) * usual));
  const out: Run = { kernel: [], qemu: [], guest: [] };
  const kernel = (name: string, at: number, tid: number, fields?: Record<string, number>) =>
    out.kernel.push({ name, time: at, tid, cpu: tid % 4, fields: fields ?? {} });
  const qemu = (name: string, at: number, tid: number) => out.qemu.push({ name: `qemu:${name}`, time: at, tid });
  const asleep = (at: number, tid: number, usual: number): number => {
    const until = at + 2000 + time(usual);
    kernel('sched:sched_switch', at, tid, { prev_pid: tid, next_pid: 0 });
    kernel('sched:sched_switch', until, 0, { prev_pid: 0, next_pid: tid });
    return until;
  };
  vcpus.forEach((tid, vcpu) => {
    for (let at = time(50_000); at < length; ) {
      for (let turns = 1 + Math.floor(random() * 5); turns > 0; turns--) {
        kernel('kvm:kvm_entry', at, tid, { vcpu_id: vcpu });
        const left = at + 3000 + time(60_000);
        for (let g = at + time(20_000); g < left; g += time(40_000))
          out.guest.push({ name: 'irq:softirq_entry', time: g, tid: 7, cpu: vcpu, fields: {} });
        kernel('kvm:kvm_exit', left, tid, { exit_reason: 30 });
        at = left + 1000 + time(3000);
        if (random() < 0.1) at = asleep(at, tid, 400_000) + 1500;
      }
      kernel('kvm:kvm_userspace_exit', at, tid, { reason: 2 });
      at += 4000 + time(6000);
      qemu('kvm_run_exit', at, tid);
      at += time(9000);
      if (random() < 0.3) {
        qemu('qemu_mutex_lock', at, tid);
        if (random() < 0.5) at = asleep(at + 2500, tid, 90_000) + 2500;
        at += time(1500);
        qemu('qemu_mutex_locked', at, tid);
      }
      at += 5000 + time(5000);
    }
  });
  for (let at = time(100_000); at < length; ) {
    at = asleep(at, main, 900_000) + 3000;
    for (let n = Math.floor(random() * 5); n > 0; n--) {
      at += time(20_000);
      qemu('virtio_queue_notify', at, main);
    }
    at += 3000 + time(10_000);
  }
  for (const events of [out.kernel, out.qemu, out.guest]) events.sort((a, b) => a.time - b.time);
  return out;
}

const wall = 1_795_418_437_072_120_201n;
const mono: Clock = { name: 'mono', unit: 'ns', resolution: 1 };
const realtime: Clock = { name: 'realtime', unit: 'ns', resolution: 1000 };

/** What a recorder would have made of it: a clock that goes `drift` quicker and counts from another moment, steps of `resolution`, and events that are not there. */
function recorded(
  file: string,
  events: SyntheticEvent[],
  clock: Clock,
  { origin = 0n, drift = 0, lost = 0, seed = 1 } = {},
): () => Trace {
  const random = dice(seed);
  const kept = events.filter(() => random() >= lost);
  const first = kept[0]?.time ?? 0;
  const own = (time: number) => {
    const at = Math.round((time - first) * (1 + drift));
    return at - (at % clock.resolution);
  };
  const zero = origin + BigInt(first);
  return () =>
    Object.assign(
      synthetic(
        kept.map((event) => ({ ...event, time: own(event.time) })),
        { clock, origin: zero - (zero % BigInt(clock.resolution)) },
      ),
      { file },
    );
}

async function align(...files: (() => Trace)[]): Promise<{ traces: Trace[]; found: (Shift | undefined)[] }> {
  const traces = files.map((open) => open());
  const shifts = await alignTraces(traces, new Map(), async (trace) => (files[traces.indexOf(trace)] as () => Trace)());
  return { traces, found: traces.map((trace) => shifts.get(trace)) };
}

/** How far a time of the file is put from where it belongs. */
function astray(shift: Shift, own: bigint, truth: bigint): number {
  const { offset, rate = 0, since = 0n } = shift;
  return Number(own + offset + BigInt(Math.round(Number(own - since) * rate)) - truth);
}

test('the log of QEMU finds its place in the recording of the kernel, with drift and lost events, as exactly as it says', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = dice(seed * 77);
    const drift = seed % 2 === 0 ? 0 : (random() - 0.5) * 600e-6;
    const lost = seed < 4 ? 0 : random() * 0.04;

    const length = 2.5e9;
    const { kernel, qemu } = run(seed, length);
    // The log begins before the kernel's recording, or ends after it.
    const part = kernel.filter(({ time }) => (seed % 3 === 0 ? time > 0.8e9 : time < 2e9));
    const log = recorded('qemu.log', qemu, realtime, { origin: wall, drift, lost, seed });
    const dat = recorded('trace.dat', part, mono, { lost, seed: seed + 50 });
    const { found } = await align(dat, log);
    const shift = found[1] as Shift;
    const { alignment } = shift;
    assert.ok(alignment !== undefined);
    const first = log().origin;
    for (const time of [0.8e9, 1.4e9, 2e9]) {
      const begin = Number(first - wall);
      const own = first + BigInt(Math.round((time - begin) * (1 + drift)));
      const error = astray(shift, own, BigInt(time));
      // The first event's stamp was cut to whole microseconds before the drift.
      assert.ok(Math.abs(error) <= alignment.within + 1000, `seed ${seed}: ${error} of ±${alignment.within}`);
    }
    assert.ok(alignment.within < 30_000, `seed ${seed}: ±${alignment.within}`);
    assert.ok(alignment.agree >= alignment.judged * (1 - 4 * lost), `${alignment.agree} of ${alignment.judged}`);
    assert.ok((alignment.other ?? 0) < 0.9);
    assert.equal(drift === 0 && lost === 0, shift.rate === 0 && drift === 0 && lost === 0);
  }
});

test('either file may be the first, and the events stand in the order in which they happened', async () => {
  const { kernel, qemu } = run(3, 1e9);
  const dat = recorded('trace.dat', kernel, mono);
  const log = recorded('qemu.log', qemu, realtime, { origin: wall });
  const { traces, found } = await align(log, dat);
  assert.equal(found[0], undefined);
  const merged = mergeTraces(traces, new Map([[traces[1] as Trace, found[1] as Shift]]));
  assert.equal(merged.clock.name, 'realtime');
  const inQemu = new Map<number, boolean>();
  let outOfOrder = 0;
  for await (const b of merged.batches()) {
    for (let i = 0; i < b.count; i++) {
      const name = merged.types[b.type[i] as number]?.name;
      const tid = b.tid[i] as number;
      if (name === 'kvm:kvm_userspace_exit') inQemu.set(tid, true);
      if (name === 'kvm:kvm_entry') inQemu.set(tid, false);
      if (name === 'qemu:kvm_run_exit' && inQemu.get(tid) !== true) outOfOrder++;
    }
  }
  assert.equal(outOfOrder, 0);
});

test('the recording of another run is refused, though its threads have the same numbers', async () => {
  for (const seed of [1, 2, 3]) {
    const dat = recorded('trace.dat', run(seed, 2e9).kernel, mono);
    const log = recorded('qemu.log', run(seed + 10, 2e9).qemu, realtime, { origin: wall });
    await assert.rejects(
      align(dat, log),
      /qemu\.log: --align auto cannot tell how its clock and that of trace\.dat are apart/,
    );
  }
});

test("without threads in QEMU's recording, what it says of vCPUs is that of the threads that run them", async () => {
  const { kernel, qemu } = run(21, 2e9);
  const nameless = qemu
    .filter(({ name, tid }) => name === 'qemu:kvm_run_exit' && vcpus.includes(tid as number))
    .map(({ tid, ...event }) => ({
      ...event,
      tid: -1,
      fields: { cpu_index: vcpus.indexOf(tid as number), reason: 2 },
    }));
  const dat = recorded('trace.dat', kernel, mono);
  const log = recorded('qemu.log', nameless, realtime, { origin: wall });
  for (const [files, which, sign] of [
    [[dat, log], 1, 1],
    [[log, dat], 1, -1],
  ] as const) {
    const { found } = await align(...files);
    const { offset, alignment } = found[which] as Shift;
    assert.ok(Math.abs(Number(offset + BigInt(sign) * wall)) <= (alignment?.within ?? 0) + 1000);
  }
});

test('what has too little in common is refused', async () => {
  const { kernel, qemu } = run(5, 1e9);
  const dat = recorded('trace.dat', kernel, mono);
  const others = qemu.map((event) => ({ ...event, tid: (event.tid ?? 0) + 1000 }));
  await assert.rejects(
    align(dat, recorded('qemu.log', others, realtime, { origin: wall })),
    /qemu\.log: .*: nothing in the one must stand in one order/,
  );
  const few = qemu.slice(1000, 1020);
  await assert.rejects(align(dat, recorded('qemu.log', few, realtime, { origin: wall })), /cannot tell/);
});

test('two recordings of the kernel find each other: a thread traces nothing while another runs on its CPU', async () => {
  const { kernel } = run(7, 2.5e9);
  const local: Clock = { name: 'local', unit: 'ns', resolution: 1 };
  const sched = recorded(
    'sched.dat',
    kernel.filter(({ name }) => name.startsWith('sched:')),
    mono,
  );
  const kvm = recorded(
    'kvm.dat',
    kernel.filter(({ name }) => name.startsWith('kvm:')),
    local,
    { origin: 777_000_000_000n, drift: 30e-6 },
  );
  const { found } = await align(sched, kvm);
  const shift = found[1] as Shift;
  const first = kvm().origin;
  for (const time of [0.5e9, 1.5e9]) {
    const begin = Number(first - 777_000_000_000n);
    const own = first + BigInt(Math.round((time - begin) * (1 + 30e-6)));
    assert.ok(Math.abs(astray(shift, own, BigInt(time))) <= (shift.alignment?.within ?? 0));
  }
});

test('the recording of a guest finds its place between the entries and exits of its vCPUs', async () => {
  const { kernel, guest } = run(9, 2.5e9);
  const host = recorded('host.dat', kernel, mono);
  const inside = () =>
    Object.assign(recorded('guest.dat', guest, mono, { origin: -5_000_000_000n, drift: -12e-6 })(), {
      recordedOn: { host: 'vm1', release: '6.1.0' },
    });
  const named = () => Object.assign(host(), { recordedOn: { host: 'h', release: '6.12.0' } });
  const { traces, found } = await align(named, inside);
  const shift = found[1] as Shift;
  assert.deepEqual(shift.guest?.tids, vcpus);
  const first = inside().origin;
  for (const time of [0.5e9, 2e9]) {
    const begin = Number(first + 5_000_000_000n);
    const own = first + BigInt(Math.round((time - begin) * (1 - 12e-6)));
    assert.ok(Math.abs(astray(shift, own, BigInt(time))) <= (shift.alignment?.within ?? 0));
  }
  const merged = mergeTraces(traces, new Map([[traces[1] as Trace, shift]]));
  for await (const _ of merged.batches());
  assert.ok(merged.types.some(({ name }) => name === 'guest/irq:softirq_entry'));
});

test('a stranger that is no guest of the host stays refused as of another machine', async () => {
  const named = (open: () => Trace, host: string) => () =>
    Object.assign(open(), { recordedOn: { host, release: '6.1.0' } });
  const host = named(recorded('host.dat', run(1, 2e9).kernel, mono), 'h');
  const stranger = named(recorded('guest.dat', run(2, 2e9).guest, mono), 'vm2');
  await assert.rejects(align(host, stranger), /guest\.dat: was recorded on vm2, and host\.dat on h/);
});

/** A host and its guest on their own counts of the TSC: 2.5 ticks a ns, the guest's from when it was made; and what the host's kernel tells of it. */
function counted(seed: number, scale = 1): { host: () => Trace; guest: () => Trace; offset: bigint } {
  const { kernel, guest } = run(seed, 1e9);
  const tsc: Clock = { name: 'x86-tsc', unit: 'ticks', resolution: 1 };
  const ticks = (events: SyntheticEvent[], scale = 1) =>
    events.map((event) => ({ ...event, time: Math.round(event.time * 2.5 * scale) }));
  const offset = -81_346_391_954n;
  const told = vcpus.map((tid, vcpu) => ({
    name: 'kvm:kvm_write_tsc_offset',
    time: vcpu,
    tid,
    cpu: 0,
    fields: { vcpu_id: vcpu, previous_tsc_offset: 0n, next_tsc_offset: BigInt.asUintN(64, offset) },
  }));
  const named = (open: () => Trace, host: string) => () =>
    Object.assign(open(), { recordedOn: { host, release: '6.1.0' } });
  return {
    host: named(recorded('host.dat', [...told, ...ticks(kernel)], tsc, { origin: 91_000_000_000n }), 'h'),
    guest: named(recorded('guest.dat', ticks(guest, scale), tsc, { origin: 91_000_000_000n + offset }), 'vm1'),
    offset,
  };
}

test("a guest's TSC is as far from its host's as KVM wrote, to the tick; whichever file is named first", async () => {
  const { host, guest, offset } = counted(31);
  for (const files of [
    [host, guest],
    [guest, host],
  ]) {
    const { found } = await align(...files);
    const shift = found[files.indexOf(guest)] as Shift;
    assert.equal(found[files.indexOf(host)], undefined);
    assert.equal(shift.offset, -offset);
    assert.deepEqual([shift.rate, shift.guest?.tids], [0, vcpus]);
    const { by, unit, agree, judged, stretches } = shift.alignment as NonNullable<Shift['alignment']>;
    assert.deepEqual([by, unit, agree], ['kvm:kvm_write_tsc_offset', 'ticks', judged]);
    assert.ok(stretches > 500);
  }
});

test("what KVM wrote of another guest's TSC, or of one that it lets run at another rate, is not believed", async () => {
  const { host } = counted(31);
  const said =
    /kvm_write_tsc_offset in host\.dat tells an offset of the TSC with which \d+\.\d % of the events are where/;
  await assert.rejects(align(host, counted(32).guest), said);
  await assert.rejects(align(host, counted(31, 1.1).guest), said);
});

test("the length of a guest's tick, which KVM writes for it, ties its TSC to the ns of its host", async () => {
  const { guest } = counted(33);
  const { kernel } = run(33, 1e9);
  // 0.4 ns: 2^32 × 0.8, shifted by -1.
  const told = {
    name: 'kvm:kvm_pvclock_update',
    time: 0,
    tid: vcpus[0] as number,
    cpu: 0,
    fields: { vcpu_id: 0, tsc_to_system_mul: Math.round(0.8 * 2 ** 32), tsc_shift: -1 },
  };
  const host = () =>
    Object.assign(recorded('host.dat', [told, ...kernel], mono, { origin: 5_000_000_000n, drift: 40e-6 })(), {
      recordedOn: { host: 'h', release: '6.1.0' },
    });
  const { traces, found } = await align(host, guest);
  const shift = found[1] as Shift;
  assert.equal(shift.alignment?.tick.toFixed(6), '0.400000');
  const { within } = shift.alignment as NonNullable<Shift['alignment']>;
  assert.ok(within < 30_000, `${within}`);
  for (const time of [0.3e9, 0.9e9]) {
    const own = 91_000_000_000n - 81_346_391_954n + BigInt(time * 2.5);
    const truth = 5_000_000_000n + BigInt(Math.round(time * (1 + 40e-6)));
    const error = astray(shift, own, truth);
    assert.ok(Math.abs(error) <= within, `${error} of ±${within}`);
  }
  const merged = mergeTraces(traces, new Map([[traces[1] as Trace, shift]]));
  let [inside, outside] = [0, 0];
  const inGuest = new Set<number>();
  for await (const b of merged.batches())
    for (let i = 0; i < b.count; i++) {
      const name = merged.types[b.type[i] as number]?.name as string;
      const tid = b.tid[i] as number;
      if (name === 'kvm:kvm_entry') inGuest.add(tid);
      else if (name === 'kvm:kvm_exit') inGuest.delete(tid);
      else if (name.startsWith('guest/')) {
        if (inGuest.has(tid)) inside++;
        else outside++;
      }
    }
  // The offset is the middle of what is possible, not the truth: a few next to an entry or exit may be on the other side.
  assert.ok(inside > 1000 && outside <= inside * 0.001, `${inside} inside, ${outside} outside`);
  // Without it nothing says how long a tick is.
  const silent = () => Object.assign(recorded('host.dat', kernel, mono)(), { recordedOn: { host: 'h' } });
  await assert.rejects(align(silent, guest), /guest\.dat: was recorded on vm1/);
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { Bytes, format, page, record, traceDatV7 } from '../../test/trace-dat.ts';
import { openTrace } from '../formats/detect.ts';
import { EventPatterns } from '../views/event-pattern.ts';
import { Exits } from '../views/exits.ts';
import type { Clock, ClockTie } from './clock.ts';
import { TraceError } from './error.ts';
import { mergeTraces } from './merge.ts';
import type { Trace, Traits } from './trace.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'virtap-timeline-'));
});
after(() => rm(folder, { recursive: true }));

const event = (time: number, n = time): SyntheticEvent => ({ name: 'a:x', time, fields: { n } });

function trace(file: string, clock: string, origin: bigint, events: SyntheticEvent[], ties?: ClockTie[]): Trace {
  const own: Clock = { name: clock, unit: 'ns', resolution: 1, ties };
  return Object.assign(synthetic(events, { clock: own, origin }), { file });
}

async function times(merged: Trace): Promise<bigint[]> {
  const out: bigint[] = [];
  for await (const b of merged.batches()) {
    for (let i = 0; i < b.count; i++) out.push(merged.origin + BigInt(b.time[i] as number));
  }
  return out;
}

const wall = 1_795_418_437_072_120_201n;
const clockData = (offset: bigint): ClockTie[] => [{ to: 'realtime', offset, source: "perf's clock data" }];

test('a file that ties its clock to the wall clock is merged with one on the wall clock, on the clock of the first', async () => {
  const perf = () => trace('perf.data', 'mono', 1000n, [event(0), event(20)], clockData(wall));
  const log = () => trace('qemu.log', 'realtime', wall + 1010n, [event(0)]);
  const merged = mergeTraces([perf(), log()]);
  assert.equal(merged.clock.name, 'mono');
  assert.deepEqual(await times(merged), [1000n, 1010n, 1020n]);
  const turned = mergeTraces([log(), perf()]);
  assert.equal(turned.clock.name, 'realtime');
  assert.deepEqual(await times(turned), [wall + 1000n, wall + 1010n, wall + 1020n]);
  assert.match(
    turned.notes.join(),
    /perf\.data: its times \(mono\) are put on the clock realtime by perf's clock data/,
  );
});

test('a tie in one file serves the others on its clocks', async () => {
  const simple = trace('trace.bin', 'mono', 0n, [event(5)]);
  const log = trace('qemu.log', 'realtime', wall, [event(7)]);
  const perf = trace('perf.data', 'mono', 0n, [event(6)], clockData(wall));
  assert.deepEqual(await times(mergeTraces([simple, log, perf])), [5n, 6n, 7n]);
});

test('two ties that disagree tell of a step of the wall clock', () => {
  const one = trace('a.data', 'mono', 0n, [], clockData(wall));
  const two = trace('b.data', 'mono', 0n, [], clockData(wall + 30_000_000_000n));
  const log = trace('qemu.log', 'realtime', wall, []);
  assert.match(
    mergeTraces([one, two, log]).notes.join(),
    /in b\.data says otherwise, by 30 s: the wall clock was stepped/,
  );
});

test('an offset of the user puts a file where it belongs, and the others keep their clock', async () => {
  const log = trace('qemu.log', 'realtime', wall, [event(7)]);
  const dat = trace('trace.dat', 'mono', 0n, [event(3), event(9)]);
  const merged = mergeTraces([log, dat], new Map([[log, -wall]]));
  assert.equal(merged.clock.name, 'mono');
  assert.deepEqual(await times(merged), [3n, 7n, 9n]);
  const alone = trace('trace.dat', 'mono', 5n, [event(1)]);
  assert.deepEqual(await times(mergeTraces([alone], new Map([[alone, 100n]]))), [106n]);
});

test('what cannot be compared is refused, with the command to record or the offset to give', () => {
  const refusal = (a: Trace, b: Trace): string => {
    try {
      mergeTraces([a, b]);
    } catch (error) {
      assert.ok(error instanceof TraceError);
      return error.message;
    }
    assert.fail('merged');
  };
  const as = (format: string, one: Trace, traits?: Traits) => Object.assign(one, { format, traits });
  const dat = () => as('trace.dat', trace('k.dat', 'mono', 0n, []));
  assert.match(
    refusal(dat(), as('qemu log', trace('q.log', 'realtime', 0n, []), { recorder: 'qemu log' })),
    /QEMU's simpletrace.*`--align auto` finds out how far they are apart, `--offset` says it$/,
  );
  const perf = as('perf.data', trace('p.data', 'perf', 0n, []), { recorder: 'perf' });
  assert.match(refusal(dat(), perf), /perf record -k CLOCK_MONOTONIC/);
  assert.match(refusal(dat(), as('trace.dat', trace('l.dat', 'local', 0n, []))), /trace-cmd record -C mono/);
  const ticks = as('trace.dat', trace('t.dat', 'x86-tsc', 0n, []));
  Object.assign(ticks.clock, { unit: 'ticks' });
  // The length of a tick is not known: no offset helps.
  const message = refusal(dat(), ticks);
  assert.match(message, /in ticks of unknown length.*trace-cmd record -C mono/);
  assert.doesNotMatch(message, /--offset|--align/);
  assert.throws(() => mergeTraces([dat(), ticks], new Map([[ticks, 5n]])), TraceError);
});

const base = 1_000_000_000n;
const kvm = (name: string, id: number) => format(name, id).replace('field:u64 value', 'field:unsigned int exit_reason');

/** A host's recording and its guest's, as trace-cmd record -A writes them; both hold kvm and sched events of threads 100 and 101. */
async function hostAndGuest({ synchronised = true } = {}): Promise<[host: Trace, guest: Trace]> {
  const systems = [
    { name: 'kvm', formats: [kvm('kvm_exit', 7), kvm('kvm_entry', 8)] },
    { name: 'sched', formats: [format('sched_switch', 9)] },
  ];
  const at = (delta: number, id: number, tid: number) => ({ delta, data: record(id, tid, 0) });
  const host = traceDatV7({
    systems,
    cmdlines: '100 CPU 0/KVM\n101 CPU 1/KVM\n',
    options: [
      { id: 11, data: new Bytes().u64(0xabcdn).done() },
      { id: 13, data: new Bytes().text('vm1\0').u64(0x1234n).u32(2).u32(0).u32(100).u32(1).u32(101).done() },
    ],
    buffers: [
      {
        name: '',
        clock: 'mono',
        cpus: [[page(base + 1000n, [at(0, 7, 100), at(10, 8, 100), at(50, 7, 100), at(10, 8, 100)])]],
      },
    ],
  });
  // The guest's clock is 5000 ns behind.
  const shift = new Bytes().u64(0xabcdn).u32(0).u32(2);
  for (let cpu = 0; cpu < 2; cpu++) shift.u32(1).u64(0).u64(5000).u64(1);
  const guest = traceDatV7({
    systems,
    cmdlines: '100 bash\n',
    options: [
      { id: 11, data: new Bytes().u64(0x1234n).done() },
      ...(synchronised ? [{ id: 12, data: shift.done() }] : []),
    ],
    buffers: [
      {
        name: '',
        clock: 'mono',
        cpus: [
          [page(base + 1020n - 5000n, [at(0, 9, 100), at(10, 7, 100)])],
          [page(base + 1005n - 5000n, [at(0, 8, 101)], { missed: 3 })],
        ],
      },
    ],
  });
  await writeFile(join(folder, 'host.dat'), host);
  await writeFile(join(folder, 'guest.dat'), guest);
  return [await openTrace(join(folder, 'host.dat')), await openTrace(join(folder, 'guest.dat'))];
}

test("a guest's events stand on the threads that are its vCPUs, at its host's times, under names of their own", async () => {
  const merged = mergeTraces(await hostAndGuest());
  const seen: string[] = [];
  for await (const b of merged.batches()) {
    assert.deepEqual(b.losses, []);
    for (let i = 0; i < b.count; i++) {
      const type = merged.types[b.type[i] as number];
      const comm = merged.threads.get(b.tid[i] as number)?.comm;
      seen.push(`${merged.origin - base + BigInt(b.time[i] as number)} ${comm} ${b.cpu[i]} ${type?.name}`);
      if (type?.name === 'guest/sched:sched_switch') {
        assert.equal(type.layout.print(b, i), 'vm1: bash-100: value=0');
        assert.equal(type.reader('guest_tid')?.number(b, i), 100);
      }
    }
  }
  assert.deepEqual(seen, [
    '1000 CPU 0/KVM 0 kvm:kvm_exit',
    '1005 CPU 1/KVM -1 guest/kvm:kvm_entry',
    '1010 CPU 0/KVM 0 kvm:kvm_entry',
    '1020 CPU 0/KVM -1 guest/sched:sched_switch',
    '1030 CPU 0/KVM -1 guest/kvm:kvm_exit',
    '1060 CPU 0/KVM 0 kvm:kvm_exit',
    '1070 CPU 0/KVM 0 kvm:kvm_entry',
  ]);
  assert.match(merged.notes.join(), /guest\.dat: the guest's recorder lost events in 1 place\./);
  await merged.close();
});

test("patterns of events mean the guest's where they say so", async () => {
  const merged = mergeTraces(await hostAndGuest());
  for await (const _ of merged.batches());
  const takes = (pattern: string) =>
    merged.types
      .filter((type) => new EventPatterns([pattern]).takes(type))
      .map((type) => type.name)
      .sort();
  assert.deepEqual(takes('kvm_*'), ['kvm:kvm_entry', 'kvm:kvm_exit']);
  assert.deepEqual(takes('guest/kvm_exit'), ['guest/kvm:kvm_exit']);
  assert.deepEqual(takes('guest/sched:*'), ['guest/sched:sched_switch']);
  await merged.close();
});

test("a guest's exits are not the host's", async () => {
  const merged = mergeTraces(await hostAndGuest());
  const exits = new Exits({
    by: ['reason'],
    exclude: [],
    vcpus: undefined,
    pids: undefined,
    heatmap: false,
    slow: undefined,
    than: undefined,
    halts: false,
    scale: undefined,
  });
  for await (const b of merged.batches((type) => exits.wants(type))) exits.batch(merged, b);
  const { counts, rows } = exits.result();
  assert.equal(counts.exits, 2);
  assert.deepEqual(
    rows.map((row) => row.all.total),
    [20],
  );
  await merged.close();
});

test('a guest whose times were not put on the clock of its host needs an offset, and stays a guest', async () => {
  const [host, guest] = await hostAndGuest({ synchronised: false });
  assert.throws(
    () => mergeTraces([host, guest]),
    (error) => error instanceof TraceError && /is of the guest vm1.*--offset/.test(error.message),
  );
  const merged = mergeTraces([host, guest], new Map([[guest, 5000n]]));
  for await (const _ of merged.batches());
  assert.deepEqual(merged.types.map((type) => type.name).sort(), [
    'guest/kvm:kvm_entry',
    'guest/kvm:kvm_exit',
    'guest/sched:sched_switch',
    'kvm:kvm_entry',
    'kvm:kvm_exit',
  ]);
  await merged.close();
});

test("a guest's events stay the guest's where the recording of its host is another", async () => {
  const [host, guest] = await hostAndGuest();
  await host.close();
  const perf = trace('host.data', 'mono', base + 1000n, [event(25)]);
  const merged = mergeTraces([perf, guest]);
  const names: string[] = [];
  for await (const b of merged.batches()) {
    for (let i = 0; i < b.count; i++) names.push(merged.types[b.type[i] as number]?.name as string);
  }
  assert.deepEqual(names, ['guest/kvm:kvm_entry', 'guest/sched:sched_switch', 'a:x', 'guest/kvm:kvm_exit']);
  assert.match(merged.notes.join(), /it is of a guest, and the recording of its host.*is not among the files/);
  await merged.close();
});

test('a guest on the clock of a host that is not there is refused', async () => {
  const [host, guest] = await hostAndGuest();
  const other = Object.assign(trace('other.dat', 'x86-tsc', 0n, []), { format: 'trace.dat' });
  assert.throws(
    () => mergeTraces([other, guest]),
    (error) => error instanceof TraceError && /its clock \(mono\) is not that of other\.dat/.test(error.message),
  );
  await Promise.all([host.close(), guest.close()]);
});

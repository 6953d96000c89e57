import assert from 'node:assert/strict';
import test from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { TraceError } from './error.ts';
import { mergeTraces } from './merge.ts';
import type { Trace } from './trace.ts';

const ms = 1_000_000;

/** Exits and entries of one thread from a time on, `shift` later than another tracer stamps them. */
function run(from: number, count: number, shift = 0, tid = 7, rip = 0): SyntheticEvent[] {
  return Array.from({ length: count }, (_, n) => ({
    name: n % 2 === 0 ? 'kvm:kvm_exit' : 'kvm:kvm_entry',
    time: from + n * 50_000 + shift,
    tid,
    cpu: 1,
    fields: n % 2 === 0 ? { exit_reason: 10, guest_rip: rip + n } : { vcpu_id: 0 },
  }));
}

function recording(file: string, events: SyntheticEvent[], more: Partial<Trace> = {}, origin = 0n): Trace {
  const trace = synthetic(events, { origin });
  return Object.defineProperties(trace, Object.getOwnPropertyDescriptors({ file, ...more }));
}

async function read(traces: Trace[], offsets?: ReadonlyMap<Trace, bigint>): Promise<number> {
  let events = 0;
  for await (const b of mergeTraces(traces, offsets).batches()) events += b.count;
  return events;
}

const refused = (words: RegExp) => (error: unknown) => error instanceof TraceError && words.test(error.message);

test('one run recorded by two tracers is refused, whichever stamps first, and so is a copy, however short', async () => {
  for (const shift of [0, 3000, -3000]) {
    for (const count of [2, 500]) {
      const traces = [recording('a', run(ms, count)), recording('b', run(ms, count, shift))];
      await assert.rejects(read(traces), refused(/^b: holds the same events as a/));
    }
  }
  // One of them began later.
  await assert.rejects(
    read([recording('a', run(ms, 500)), recording('b', run(ms, 500, 2000).slice(300))]),
    refused(/same events/),
  );
});

test('two recorders of different threads, of different events, and parts of one recording are one timeline', async () => {
  const a = run(ms, 200);
  assert.equal(await read([recording('a', a), recording('b', run(ms, 200, 2000, 8))]), 400);
  assert.equal(
    await read([
      recording('a', a),
      recording(
        'b',
        run(ms, 200, 2000, 7, 9999).filter((_, n) => n % 2 === 0),
      ),
    ]),
    300,
  );
  assert.equal(await read([recording('a', a), recording('b', run(20 * ms, 200))]), 400);
});

test('recordings that are not of one time, machine, kernel or boot are refused; an offset says how they belong together', async () => {
  const late = () => [recording('a', run(ms, 10)), recording('b', run(0, 10), {}, 3_600_000_000_000n)];
  await assert.rejects(read(late()), refused(/^b: begins 3600 s after a ends/));
  const pair = (one: Partial<Trace>, other: Partial<Trace>): [Trace, Trace] => [
    recording('a', run(ms, 10), one),
    recording('b', run(20 * ms, 10), other),
  ];
  const machine = (host: string, release: string) => ({ recordedOn: { host, release } });
  const clock = (offset: bigint) => ({
    clock: { name: 'mono', unit: 'ns' as const, resolution: 1, ties: [{ to: 'realtime', offset, source: 'x' }] },
  });
  const cases: [RegExp, [Partial<Trace>, Partial<Trace>]][] = [
    [/^b: was recorded on two, and a on one/, [machine('one', '6.1'), machine('two', '6.1')]],
    [/^b: was recorded on Linux 6.2/, [machine('one', '6.1'), machine('one', '6.2')]],
    [/^b: was recorded on a machine with 4 CPUs/, [{ cpus: 2 }, { cpus: 4 }]],
    [/^b: was recorded since another boot/, [clock(0n), clock(86_400_000_000_000n)]],
  ];
  for (const [words, [one, other]] of cases) {
    await assert.rejects(async () => read(pair(one, other)), refused(words));
    const [a, b] = pair(one, other);
    assert.equal(await read([a, b], new Map([[b, 0n]])), 20);
  }
  assert.equal(await read(pair(machine('one', '6.1'), machine('', ''))), 20);
  assert.equal(await read(pair(clock(0n), clock(50_000_000n))), 20);
});

test('a copy is refused though an offset shifts its events; other recordings are not, whatever the offset', async () => {
  const uneven = (from: number, count: number, seed: number): SyntheticEvent[] =>
    run(from, count, 0, 7, seed * 0x1000).map((event, n) => ({
      ...event,
      time: event.time + ((n * n * seed) % 40_000),
    }));
  for (const offset of [5_000_000_000n, 70_001n, -3_000_000_000n]) {
    for (const skipped of [0, 100]) {
      const [a, b] = [recording('a', uneven(ms, 500, 7)), recording('b', uneven(ms, 500, 7).slice(skipped))];
      await assert.rejects(read([a, b], new Map([[b, offset]])), refused(/^b: holds the same events as a/));
    }
    if (offset === 70_001n) continue;
    const [a, b] = [recording('a', uneven(ms, 500, 7)), recording('b', uneven(ms, 500, 11))];
    assert.equal(await read([a, b], new Map([[b, offset]])), 1000);
  }
});

test('one run recorded by two tracers is refused where an offset puts them apart; two times of one machine are not', async () => {
  // Each tracer stamps for itself, and one of them did not record the entries.
  const stamped = (seed: number): SyntheticEvent[] =>
    run(ms, 800)
      .filter((_, n) => seed === 7 || n % 2 === 0)
      .map((event, n) => ({ ...event, time: event.time + ((n * n * seed) % 30_000) }));
  for (const offset of [1_000_000_000n, -5_000_000_000n, 300_000n, 10_000_000_000n])
    for (const skipped of [0, 100]) {
      const [a, b] = [recording('a', stamped(7)), recording('b', stamped(11).slice(skipped))];
      await assert.rejects(read([a, b], new Map([[b, offset]])), refused(/^b: holds the same events as a/));
      const [c, d] = [recording('c', stamped(11).slice(skipped)), recording('d', stamped(7))];
      await assert.rejects(read([c, d], new Map([[d, offset]])), refused(/^d: holds the same events as c/));
    }
  // A guest that does the same again, in other lengths of time.
  const again = run(ms, 800).map((event, n) => ({ ...event, time: event.time * 1.5 + n * 1000 }));
  const [a, b] = [recording('a', stamped(7)), recording('b', again)];
  assert.equal(await read([a, b], new Map([[b, 1_000_000_000n]])), 1600);
});

test('recordings with a silence between them that neither knows are not of one time; nor such with other threads on one CPU', async () => {
  const two = (gap: number): [Trace, Trace] => [
    recording('a', run(0, 200)),
    recording('b', run(0, 200, 0, 7, 9999), {}, BigInt(200 * 50_000 + gap)),
  ];
  await assert.rejects(
    read(two(5e9)),
    refused(/^b: begins 5\.0 s after a ends, and no silence in it is longer than 1 ms/),
  );
  assert.equal(await read(two(0.9e9)), 400);
  const [a, b] = two(5e9);
  assert.equal(await read([a, b], new Map([[b, 0n]])), 400);
  // A guest that sleeps long.
  const slow = run(0, 200).map((event, n) => ({ ...event, time: event.time + (n > 100 ? 4e9 : 0) }));
  assert.equal(await read([recording('a', slow), recording('b', run(0, 200), {}, 9_000_000_000n)]), 400);

  /** Three threads that take turns on a CPU. */
  const turns = (first: number, step: number, cpu = 0): SyntheticEvent[] =>
    Array.from({ length: 600 }, (_, n) => ({
      name: 'sched:sched_switch',
      time: n * step,
      tid: first + (n % 3),
      cpu,
      fields: { prev_pid: first + (n % 3), next_pid: first + ((n + 1) % 3) },
    }));
  const boots = (): [Trace, Trace] => [recording('a', turns(100, 50_000)), recording('b', turns(200, 61_000))];
  await assert.rejects(read(boots()), refused(/^b: tells of other threads on the same CPUs than a at the same time/));
  const [one, other] = boots();
  assert.equal(await read([one, other], new Map([[other, 0n]])), 1200);
  assert.equal(await read([recording('a', turns(100, 50_000)), recording('b', turns(200, 61_000, 1))]), 1200);
  // QEMU's own events of the threads that run.
  const own = turns(100, 50_000).map(({ time, tid }) => ({
    name: 'qemu:x',
    time: time - 20_000,
    tid: tid as number,
    cpu: 0,
  }));
  assert.equal(await read([recording('a', turns(100, 50_000)), recording('b', own)]), 1200);
});

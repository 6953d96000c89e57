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
  const machine = (host: string, release: string) => ({ machine: { host, release } });
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

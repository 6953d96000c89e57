import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPairing, type ExitSpans, maxThreads, type PairingCounts } from './exits.ts';

type Pair = { tid: number; begin: number; end: number; reason: string; cpu: number };

async function pair(trace: Trace): Promise<{ pairs: Pair[]; counts: PairingCounts; pairing: ExitPairing }> {
  const pairing = new ExitPairing({ inner: true });
  const pairs: Pair[] = [];
  for await (const b of trace.batches()) {
    const spans = pairing.batch(trace, b);
    for (let k = 0; k < spans.count; k++) {
      const begin = spans.begin[k] as number;
      pairs.push({
        tid: pairing.threads[spans.thread[k] as number]?.tid as number,
        begin,
        end: begin + (spans.duration[k] as number),
        reason: pairing.reasons.names[spans.reason[k] as number] as string,
        cpu: spans.cpu[k] as number,
      });
      assert.equal(b.time[spans.endsAt[k] as number], pairs.at(-1)?.end);
    }
  }
  return { pairs, counts: pairing.result(), pairing };
}

const exit = (time: number, tid: number, cpu: number, reason = 0x72): SyntheticEvent => ({
  name: 'kvm:kvm_exit',
  time,
  tid,
  cpu,
  fields: { exit_reason: reason, isa: 2, guest_rip: 0xffffffff81000000n },
});
const entry = (time: number, tid: number, cpu: number, vcpu = tid): SyntheticEvent => ({
  name: 'kvm:kvm_entry',
  time,
  tid,
  cpu,
  fields: { vcpu_id: vcpu },
});

/** The same from all events at once: each thread's events in a list of their own. */
function naive(events: SyntheticEvent[]): { pairs: Pair[]; counts: PairingCounts } {
  const losses = events.flatMap((event, at) => (event.loss === undefined ? [] : [{ ...event.loss, at }]));
  // A thread that was switched out may have been on any CPU, and so may each where nothing tells of switches.
  const stayed = (from: SyntheticEvent, to: SyntheticEvent) => {
    const switches = events.slice(0, events.indexOf(to)).filter(({ name }) => name === 'sched:sched_switch');
    return switches.length > 0 && !switches.some(({ tid, time }) => tid === to.tid && time >= from.time);
  };
  // What a CPU lost is known with its next event: after the thread left it, that can be too late.
  const lostBetween = (from: SyntheticEvent, to: SyntheticEvent, known: boolean) =>
    losses.some(
      (loss) =>
        loss.to > from.time &&
        loss.from < to.time &&
        loss.at <= events.indexOf(to) === known &&
        ((known && !stayed(from, to)) ||
          loss.cpu === -1 ||
          from.cpu === -1 ||
          to.cpu === -1 ||
          [from.cpu, to.cpu].includes(loss.cpu)),
    );
  const counts = {
    exits: 0,
    entries: 0,
    pairs: 0,
    beforeFirstEntry: 0,
    entryFirst: 0,
    entryWithoutExit: 0,
    exitThenExit: 0,
    straddlingLoss: 0,
    migratedAcrossLoss: 0,
    exitsWithoutThread: 0,
    openAtEnd: 0,
    untracked: 0,
  };
  const pairs: Pair[] = [];
  for (const thread of new Set(events.map((event) => event.tid))) {
    const own = events.filter((event) => event.tid === thread && event.name.startsWith('kvm:'));
    own.forEach((event, i) => {
      const next = own[i + 1];
      if (event.name === 'kvm:kvm_entry') {
        counts.entries++;
        if (i === 0) counts.entryFirst++;
        else if (own[i - 1]?.name === 'kvm:kvm_entry') counts.entryWithoutExit++;
        return;
      }
      counts.exits++;
      if (next === undefined) counts.openAtEnd++;
      else if (lostBetween(event, next, true)) counts.straddlingLoss++;
      else if (next.name === 'kvm:kvm_exit') counts.exitThenExit++;
      else {
        counts.pairs++;
        if (event.cpu !== next.cpu && lostBetween(event, next, false)) counts.migratedAcrossLoss++;
        if (!own.slice(0, i).some((e) => e.name === 'kvm:kvm_entry')) counts.beforeFirstEntry++;
        pairs.push({
          tid: thread as number,
          begin: event.time,
          end: next.time,
          reason: ({ 114: 'cpuid', 120: 'hlt', 1024: 'npf', 4000: '0xfa0' } as Record<string, string>)[
            String(event.fields?.exit_reason)
          ] as string,
          cpu: event.cpu as number,
        });
      }
    });
  }
  pairs.sort((a, b) => a.end - b.end);
  return { pairs, counts };
}

const step = fc.record({
  what: fc.constantFrom('exit', 'exit', 'exit', 'entry', 'entry', 'entry', 'other'),
  // Mostly in turn, as in life; sometimes a half is missing.
  tid: fc.constantFrom(10, 11, 1034),
  cpu: fc.constantFrom(0, 0, 0, 1, 1, 2),
  reason: fc.constantFrom(0x72, 0x78, 0x400, 4000),
  wait: fc.integer({ min: 1, max: 50 }),
  loss: fc.constantFrom('', '', '', '', '', '', '', '', 'cpu', 'any'),
});

test('pairs what a naive pairing pairs, and counts the rest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      async (steps, batchSize, cpus) => {
        let time = 1000;
        const lastOn = new Map<number, number>();
        const events = steps.map(({ what, tid, cpu: known, reason, wait, loss }): SyntheticEvent => {
          // Some formats do not say which CPU an event is from, nor then which lost some.
          const cpu = cpus ? known : -1;
          time += wait;
          const event =
            what === 'exit'
              ? exit(time, tid, cpu, reason)
              : what === 'entry'
                ? entry(time, tid, cpu)
                : { name: 'sched:sched_switch', time, tid, cpu };
          if (loss === 'any') {
            event.loss = { from: Math.max(-Infinity, ...lastOn.values()), to: time, cpu: -1, count: undefined };
          } else if (loss === 'cpu') {
            event.loss = { from: lastOn.get(cpu) ?? -Infinity, to: time, cpu, count: undefined };
          }
          lastOn.set(cpu, time);
          return event;
        });
        const expected = naive(events);
        const found = await pair(synthetic(events, { batchSize }));
        assert.deepEqual(found.pairs, expected.pairs);
        assert.deepEqual(found.counts, expected.counts);
        const { exits, pairs, exitThenExit, straddlingLoss, openAtEnd } = found.counts;
        assert.equal(exits, pairs + exitThenExit + straddlingLoss + openAtEnd);
      },
    ),
    { numRuns: 500 },
  );
});

test('a thread may migrate between exit and entry', async () => {
  const { pairs } = await pair(synthetic([entry(1, 7, 0), exit(5, 7, 0), entry(9, 7, 3)]));
  assert.deepEqual(pairs, [{ tid: 7, begin: 5, end: 9, reason: 'cpuid', cpu: 0 }]);
});

test('a loss that is over when the exit comes, or begins when the entry has come, does no harm', async () => {
  const before: Loss = { from: 2, to: 5, cpu: 0, count: 3 };
  const after: Loss = { from: 9, to: 12, cpu: 0, count: 3 };
  const events = [
    entry(1, 7, 0),
    { ...exit(5, 7, 0), loss: before },
    entry(9, 7, 0),
    { ...exit(12, 7, 0), loss: after },
  ];
  const { counts } = await pair(synthetic(events));
  assert.equal(counts.pairs, 1);
  assert.equal(counts.straddlingLoss, 0);
});

test('a loss known before it happened does not spoil what ended before it', async () => {
  const later: Loss = { from: 20, to: 30, cpu: 0, count: 1 };
  const events = [{ ...exit(5, 7, 0), loss: later }, entry(9, 7, 0), exit(20, 7, 0), entry(31, 7, 0)];
  const { pairs, counts } = await pair(synthetic(events));
  assert.deepEqual(
    pairs.map(({ begin, end }) => [begin, end]),
    [[5, 9]],
  );
  assert.equal(counts.straddlingLoss, 1);
});

test('many losses on one CPU: memory is bounded, and pairs between them stay', async () => {
  const events: SyntheticEvent[] = [];
  for (let i = 0; i < 6000; i++) {
    const t = i * 10;
    events.push({ ...exit(t + 5, 7, 0), loss: { from: t, to: t + 5, cpu: 0, count: 1 } }, entry(t + 8, 7, 0));
  }
  const { counts } = await pair(synthetic(events, { batchSize: 100 }));
  assert.equal(counts.pairs, 6000);
});

test('vCPU numbers come from kvm_exit where it has one, else from kvm_entry', async () => {
  const own: SyntheticEvent = { ...exit(1, 7, 0), fields: { exit_reason: 10, isa: 1, vcpu_id: 5 } };
  const { pairing } = await pair(synthetic([own]));
  assert.equal(pairing.threads[0]?.vcpu, 5);
  const other = await pair(synthetic([exit(1, 8, 0), entry(2, 8, 0, 3)]));
  assert.equal(other.pairing.threads[0]?.vcpu, 3);
});

test('where exits are counted only, each is given once: with what its thread did next, or at the end', async () => {
  const trace = synthetic([exit(1, 7, 0), exit(2, 7, 0, 0x78), exit(3, 8, 0), exit(4, 7, 0), entry(5, 7, 0)], {
    batchSize: 2,
  });
  const pairing = new ExitPairing({ counting: true });
  const given: (string | number | undefined)[][] = [];
  const take = ({ count, thread, reason, begin }: ExitSpans) => {
    for (let k = 0; k < count; k++)
      given.push([pairing.threads[thread[k] as number]?.tid, pairing.reasons.names[reason[k] as number], begin[k]]);
  };
  for await (const b of trace.batches()) take(pairing.batch(trace, b));
  take(pairing.rest());
  assert.deepEqual(given, [
    [7, 'cpuid', 1],
    [7, 'hlt', 2],
    [7, 'cpuid', 4],
    [8, 'cpuid', 3],
  ]);
});

test('exits of no known thread are counted, and pair with nothing', async () => {
  const { counts, pairs } = await pair(synthetic([exit(1, -1, 0), entry(2, -1, 0), exit(3, 7, 0), entry(4, 7, 0)]));
  assert.deepEqual([counts.exits, counts.exitsWithoutThread, counts.pairs], [2, 1, 1]);
  assert.deepEqual(
    pairs.map(({ tid }) => tid),
    [7],
  );
});

test('a trace without entries has exits that pair with nothing', async () => {
  const { pairing, counts } = await pair(synthetic([exit(1, 7, 0), exit(2, 7, 0, 0x78), exit(3, 8, 0), exit(4, 7, 0)]));
  assert.deepEqual([counts.exits, counts.pairs, pairing.entered], [4, 0, false]);
});

test('threads beyond all measure are counted, not followed', async () => {
  const events = Array.from({ length: maxThreads + 10 }, (_, n) => [
    { name: 'kvm:kvm_entry', time: 3 * n, tid: n + 1, cpu: 0 },
    { name: 'kvm:kvm_exit', time: 3 * n + 1, tid: n + 1, cpu: 0, fields: { exit_reason: 120, isa: 2 } },
    { name: 'kvm:kvm_entry', time: 3 * n + 2, tid: n + 1, cpu: 0 },
  ]).flat();
  const { counts, pairing } = await pair(synthetic(events));
  assert.deepEqual([counts.pairs, counts.untracked, pairing.threads.length], [maxThreads, 30, maxThreads]);
});

test('arm64: WFE is no halt, and other events of the thread tell the number of its vCPU', async () => {
  const wfx = (time: number): SyntheticEvent => ({
    name: 'kvm:kvm_exit',
    time,
    tid: 7,
    fields: { ret: 2, esr_ec: 1, vcpu_pc: 1 },
  });
  const into = (time: number): SyntheticEvent => ({ name: 'kvm:kvm_entry', time, tid: 7, fields: { vcpu_pc: 1 } });
  const tells = (time: number, wfe: number): SyntheticEvent => ({
    name: 'kvm:kvm_wfx_arm64',
    time,
    tid: 7,
    fields: { vcpu_pc: 1, is_wfe: wfe },
  });
  const numbers = (name: string, tid: number, vcpu: number): SyntheticEvent => ({
    name: `kvm:${name}`,
    time: 9,
    tid,
    fields: { vcpu_id: vcpu },
  });
  const events = [wfx(1), tells(2, 1), into(3), wfx(4), tells(5, 0), into(6), wfx(7), into(8)];
  events.push(
    numbers('vgic_update_irq_pending', 7, 5),
    numbers('kvm_get_timer_map', 6, 4),
    numbers('kvm_halt_poll_ns', 7, 3),
  );
  const { pairs, pairing } = await pair(synthetic(events));
  const halts = pairing.reasons.names.filter((_, id) => pairing.reasons.halt[id]);
  assert.deepEqual([pairs.map(({ reason }) => reason), halts], [['WFx', 'WFx', 'WFx'], ['WFx']]);
  assert.deepEqual(pairing.threads, [{ tid: 7, pid: -1, vcpu: 3 }]);
});

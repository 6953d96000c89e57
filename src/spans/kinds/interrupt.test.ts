import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../../test/synthetic.ts';
import { rowOf } from '../kind.ts';
import { type Interrupt, type Interrupts, interrupt } from './interrupt.ts';

const vcpus = [10, 11];
const on = (tid: number, time: number, name: string, fields: SyntheticEvent['fields'] = {}): SyntheticEvent => ({
  name: `kvm:${name}`,
  time,
  cpu: tid,
  tid,
  fields,
});
const entry = (tid: number, time: number) => on(tid, time, 'kvm_entry', { vcpu_id: vcpus.indexOf(tid) });
const exit = (tid: number, time: number) => on(tid, time, 'kvm_exit', { exit_reason: 1, isa: 1, guest_rip: 1 });
const ipi = (tid: number, time: number, vector: number, target: number) =>
  on(tid, time, 'kvm_apic_ipi', { icr_low: vector, dest_id: target });
const accept = (tid: number, time: number, apicid: number, vec: number) =>
  on(tid, time, 'kvm_apic_accept_irq', { apicid, dm: 0, tm: 0, vec });
const inject = (tid: number, time: number, vector: number) => on(tid, time, 'kvm_inj_virq', { vector, soft: 0 });
const eoi = (tid: number, time: number, vector: number) =>
  on(tid, time, 'kvm_eoi', { apicid: vcpus.indexOf(tid), vector });

async function read(events: SyntheticEvent[], batchSize = 7): Promise<{ found: Interrupt[]; spans: Interrupts }> {
  const found: Interrupt[] = [];
  const spans = interrupt.start();
  const trace = synthetic(events, { batchSize });
  for await (const b of trace.batches((type) => spans.wants(type))) {
    spans.batch(trace, b);
    for (let k = 0; k < spans.count; k++) found.push(rowOf(interrupt, spans, k));
  }
  return { found, spans };
}

test('an IPI is told from its sender to the EOI, a timer from its acceptance', async () => {
  const { found, spans } = await read([
    entry(10, 0),
    entry(11, 0),
    eoi(10, 1, 99),
    exit(11, 100),
    ipi(11, 110, 0xfd, 0),
    accept(11, 112, 0, 0xfd),
    entry(11, 120),
    exit(10, 130),
    inject(10, 140, 0xfd),
    entry(10, 150),
    eoi(10, 190, 0xfd),
    exit(10, 200),
    accept(10, 210, 0, 0xec),
    inject(10, 215, 0xec),
    // It comes again while the guest handles it: another one.
    entry(10, 220),
    exit(10, 230),
    accept(10, 240, 0, 0xec),
    entry(10, 245),
    eoi(10, 260, 0xec),
    inject(10, 270, 0xec),
    entry(10, 280),
    eoi(10, 300, 0xec),
  ]);
  const row = { tid: 10, pid: -1, vcpu: 0, device: '' };
  assert.deepEqual(found, [
    {
      ...row,
      begin: 110,
      duration: 80,
      vector: 0xfd,
      kind: 'IPI',
      from: 1,
      sent: 2,
      waited: 28,
      entering: 10,
      handled: 40,
    },
    {
      ...row,
      begin: 210,
      duration: 50,
      vector: 0xec,
      kind: 'timer',
      from: -1,
      sent: -1,
      waited: 5,
      entering: 5,
      handled: 40,
    },
    {
      ...row,
      begin: 240,
      duration: 60,
      vector: 0xec,
      kind: 'timer',
      from: -1,
      sent: -1,
      waited: 30,
      entering: 10,
      handled: 20,
    },
  ]);
  assert.deepEqual([spans.unfinished(), spans.unaccepted()], [[], []]);
});

test('an IPI that no local APIC accepts never arrives; one that is accepted and not injected waits for a guest that does not answer', async () => {
  const { spans } = await read([
    entry(10, 0),
    entry(11, 0),
    exit(11, 100),
    ipi(11, 110, 0xfb, 7),
    ipi(11, 115, 0xfd, 0),
    accept(11, 116, 0, 0xfd),
    entry(11, 120),
    exit(10, 130),
    entry(10, 140),
    exit(10, 150),
    entry(10, 160),
  ]);
  assert.deepEqual(spans.unaccepted(), [{ from: 1, vector: 0xfb, target: 7, count: 1, last: 110 }]);
  assert.deepEqual(
    spans.unfinished().map(({ vector, stage, entries, from }) => [vector, stage, entries, from]),
    [[0xfd, 'accepted', 2, 1]],
  );
});

test('what events were lost in between is no interrupt', async () => {
  const loss = { from: 112, to: 140, cpu: 10, count: 1 };
  const { found, spans } = await read([
    entry(10, 0),
    eoi(10, 1, 99),
    accept(10, 110, 0, 0xec),
    { ...inject(10, 140, 0xec), loss },
    entry(10, 150),
    eoi(10, 190, 0xec),
  ]);
  assert.deepEqual([found, spans.straddling], [[], 1]);
});

test('interrupts are those of a plain reading, wherever batches end', async () => {
  const step = fc.record({
    what: fc.nat(6),
    tid: fc.constantFrom(10, 11),
    to: fc.nat(1),
    vector: fc.constantFrom(0xec, 0xfd),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: 'max' }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, batchSize) => {
        const events = steps.map(({ what, tid, to, vector }, n): SyntheticEvent => {
          const time = 10 * (n + 2);
          if (what === 0) return exit(tid, time);
          if (what === 1) return entry(tid, time);
          if (what === 2) return accept(tid, time, to, vector);
          if (what === 3 || what === 4) return inject(tid, time, vector);
          return what === 5 ? eoi(tid, time, vector) : accept(tid, time, vcpus.indexOf(tid), vector);
        });
        const all = [entry(10, 0), entry(11, 1), eoi(10, 2, 99), ...events];
        const { found } = await read(all, batchSize);

        // One vCPU and vector after the other, as a machine of four states.
        const expected: number[][] = [];
        for (const [v, tid] of vcpus.entries()) {
          for (const vector of [0xec, 0xfd]) {
            let now: { begin: number; accepted: boolean; injected?: number; entered?: number } | undefined;
            let next: number | undefined;
            let last = -1;
            const finish = (end: number) => {
              if (now?.injected !== undefined && now.entered !== undefined)
                expected.push([now.begin, end - now.begin, v, vector]);
              now = next === undefined ? undefined : { begin: next, accepted: true };
              next = undefined;
            };
            for (const { name, tid: of, time, fields } of all) {
              if (name === 'kvm:kvm_apic_accept_irq' && fields?.apicid === v && fields.vec === vector) {
                if (now === undefined) now = { begin: time, accepted: true };
                else if (now.injected !== undefined) next ??= time;
              }
              if (of !== tid) continue;
              if (name === 'kvm:kvm_inj_virq') {
                last = Number(fields?.vector);
                if (last !== vector) continue;
                now ??= { begin: time, accepted: false };
                now.injected ??= time;
              } else if (name === 'kvm:kvm_entry') {
                if (last === vector && now?.injected !== undefined) {
                  now.entered ??= time;
                  if (!now.accepted) finish(time);
                }
                last = -1;
              } else if (name === 'kvm:kvm_eoi' && fields?.vector === vector && now?.injected !== undefined)
                finish(time);
            }
          }
        }
        const sorted = (rows: number[][]) =>
          rows.sort((a, b) => (a.findIndex((n, i) => n !== b[i]) < 0 ? 0 : a.join() < b.join() ? -1 : 1));
        assert.deepEqual(
          sorted(found.map(({ begin, duration, vcpu, vector }) => [begin, duration, vcpu, vector])),
          sorted(expected),
        );
      },
    ),
    { numRuns: 500 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { TraceError } from './error.ts';
import { mergeTraces } from './merge.ts';
import type { Trace } from './trace.ts';

async function flat(trace: Trace): Promise<string[]> {
  const out: string[] = [];
  for await (const b of trace.batches()) {
    for (const loss of b.losses) out.push(`loss ${trace.origin + BigInt(loss.from)} ${trace.origin + BigInt(loss.to)}`);
    for (let i = 0; i < b.count; i++) {
      const type = trace.types[b.type[i] as number];
      const time = trace.origin + BigInt(b.time[i] as number);
      out.push(`${time} ${type?.name} ${b.cpu[i]} ${b.tid[i]} ${type?.reader('n')?.text(b, i)}`);
    }
  }
  return out;
}

test('merging gives every event once, in time order, with its own payload', async () => {
  const events = fc.array(
    fc.record({ gap: fc.nat(5), name: fc.constantFrom('a:x', 'a:y', 'b:z'), cpu: fc.nat(3), n: fc.nat() }),
    {
      maxLength: 40,
    },
  );
  const origin = fc.bigInt({ min: 1_700_000_000_000_000_000n, max: 1_700_000_000_000_000_020n });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(events, origin, fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 4 }),
      async (inputs) => {
        const make = () =>
          inputs.map(([list, origin, batchSize], input) => {
            let time = 0;
            const made = list.map(({ gap, name, cpu, n }): SyntheticEvent => {
              time += gap;
              return { name, time, cpu, tid: 10 * input + (n % 7), fields: { n } };
            });
            return synthetic(made, { origin, batchSize });
          });
        const single = (await Promise.all(make().map(flat))).flat();
        const expected = single
          .map((line, order) => ({ line, order }))
          .sort((a, b) => {
            const [x, y] = [BigInt(a.line.split(' ')[0] as string), BigInt(b.line.split(' ')[0] as string)];
            return x < y ? -1 : x > y ? 1 : a.order - b.order;
          });
        assert.deepEqual(
          await flat(mergeTraces(make())),
          expected.map(({ line }) => line),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('losses keep their absolute times, and threads are known from either trace', async () => {
  const event = (time: number) => ({ name: 'a:x', time, fields: { n: time } });
  const loss = { from: 1, to: 5, cpu: 0, count: 3 };
  const first = synthetic([event(1), { ...event(5), loss }], { origin: 100n, threads: [[7, 'vcpu', -1]] });
  const second = synthetic([event(2)], { origin: 90n, threads: [[7, '', 70]] });
  const merged = mergeTraces([first, second]);
  assert.deepEqual(
    (await flat(merged)).filter((line) => line.startsWith('loss')),
    ['loss 101 105'],
  );
  assert.deepEqual(merged.threads.get(7), { comm: 'vcpu', pid: 70 });
  assert.equal(merged.threads.size, 1);
});

test('clocks that do not agree are refused, with what to record', () => {
  const clock = (name: string, unit: 'ns' | 'ticks' | 'none' = 'ns') =>
    synthetic([], { clock: { name, unit, resolution: 1 } });
  const refused = (a: Trace, b: Trace) =>
    assert.throws(
      () => mergeTraces([a, b]),
      (error) => error instanceof TraceError && /trace-cmd record -C mono/.test(error.message),
    );
  refused(clock('mono'), clock('local'));
  refused(clock('mono'), clock('realtime'));
  refused(clock('relative'), clock('relative'));
  refused(clock('none', 'none'), clock('none', 'none'));
  assert.ok(mergeTraces([clock('x86-tsc', 'ticks'), clock('x86-tsc', 'ticks')]));
});

test('an offset with which QEMU traces while its threads are in the guest is refused', async () => {
  const kernel: SyntheticEvent[] = [];
  const qemu: SyntheticEvent[] = [];
  for (let n = 0; n < 2000; n++) {
    // In the guest for most of the time, in lengths that differ.
    const at = n * 100_000 + ((n * n * 7919) % 30_011);
    kernel.push({ name: 'kvm:kvm_entry', time: at, tid: 7, cpu: 0, fields: { vcpu_id: 0 } });
    kernel.push({ name: 'kvm:kvm_exit', time: at + 60_000, tid: 7, cpu: 0, fields: { exit_reason: 1, guest_rip: n } });
    qemu.push({ name: 'qemu:kvm_run_exit', time: at + 64_000, tid: 7, fields: { cpu_index: 0, reason: 2 } });
    qemu.push({ name: 'qemu:virtio_queue_notify', time: at + 5000, tid: 9 });
  }
  qemu.sort((a, b) => a.time - b.time);
  const read = async (offset: bigint) => {
    const [a, b] = [
      Object.assign(synthetic(kernel), { file: 'trace.dat' }),
      Object.assign(synthetic(qemu), { file: 'qemu.log' }),
    ];
    let events = 0;
    for await (const batch of mergeTraces([a, b], new Map([[b, { offset }]])).batches()) events += batch.count;
    return events;
  };
  for (const right of [0n, 3000n, -3000n]) assert.equal(await read(right), 8000);
  for (const wrong of [70_000n, -20_000n, 1_000_000n, -77_777_777n])
    await assert.rejects(
      read(wrong),
      /qemu\.log: of \d+ events \d+ stand where trace\.dat has their threads in the guest, so that the --offset cannot be right; expected `--align auto`/,
      `${wrong}`,
    );
});

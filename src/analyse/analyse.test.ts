import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTrace } from '../formats/detect.ts';
import { exit } from '../spans/kinds/exit.ts';
import { analyse, type Questions } from './analyse.ts';

const samples = join(import.meta.dirname, '../../samples');
const files = ['host-kvm.dat', 'kvm-and-qemu.dat', 'kvm-and-qemu.log.zst', 'qemu-leak.bin.zst'];

const questions: Questions = {
  events: true,
  exits: { by: ['reason'], slow: 10, heatmap: true },
  vcpus: { timeline: true },
  leaks: true,
  requests: { slow: 10 },
  locks: { slow: 10 },
  pairs: {
    from: { event: 'kvm_exit', filter: undefined },
    to: { event: 'kvm_entry', filter: undefined },
    by: [{ from: 'tid', to: 'tid' }],
    group: [],
  },
  count: { events: ['*'], by: ['event'] },
  wakes: { slow: 5 },
  spans: [{ kind: exit, by: ['vcpu'] }],
};

for (const file of files) {
  test(`${file}: all questions at once have the answers that each has alone`, async () => {
    const open = () => openTrace(join(samples, file));
    const { reading, ...all } = await analyse(await open(), questions);
    assert.ok(reading.events > 0);
    assert.deepEqual(Object.keys(all).sort(), Object.keys(questions).sort());
    for (const name of Object.keys(questions) as (keyof Questions)[]) {
      const alone = await analyse(await open(), { [name]: questions[name] });
      assert.deepEqual(plain(all[name as keyof typeof all]), plain(alone[name as keyof typeof alone]), name);
    }
  });
}

/** What an answer says, without functions and cycles. */
function plain(value: unknown): unknown {
  const above: unknown[] = [];
  return JSON.parse(
    JSON.stringify(value, function (this: unknown, _key, inner: unknown) {
      while (above.length > 0 && above.at(-1) !== this) above.pop();
      if (typeof inner === 'bigint') return String(inner);
      if (typeof inner !== 'object' || inner === null) return inner;
      if (above.includes(inner)) return 'above';
      above.push(inner);
      return inner;
    }),
  );
}

test('a stretch of time is asked for as the command line does', async () => {
  const trace = await openTrace(join(samples, 'host-kvm.dat'));
  const from = { value: 1_000_000_000n, absolute: false };
  const { exits, reading } = await analyse(trace, { exits: { by: ['reason'] } }, { from });
  assert.equal(reading.window.from, 1e9);
  assert.ok(exits.all.count > 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, recordingOf, type Tally } from '../../test/parts.ts';
import { pairRecordings } from '../../test/random-events.ts';
import { canJoinPairs, type PairsOptions, type PairsResult, PairsView } from './pairs.ts';

/** Rows, and pairs of one length that began at the same time, stand in any order. */
function inOrder({ rows, slow, ...rest }: PairsResult): unknown {
  const sorted = (items: readonly object[] = []) => items.map((item) => JSON.stringify(item)).sort();
  return { ...rest, rows: sorted(rows), slow: sorted(slow) };
}

const same = (name: string) => ({ from: name, to: name });
const options: fc.Arbitrary<PairsOptions> = fc
  .record({
    from: fc.constantFrom({ event: 'begin' }, { event: 'a:begin' }),
    to: fc.constantFrom({ event: 'end' }, { event: 'a:*' }, { event: 'qemu:end' }),
    by: fc.constantFrom([same('n')], [same('n'), same('text')], [same('tid')], [same('cpu'), same('n')]),
    group: fc.constantFrom([], ['text'], ['to.text', 'n'], ['event', 'prev_state'], ['text', 'to.event', 'n']),
    heatmap: fc.boolean(),
    slow: fc.constantFrom(undefined, undefined, 3, 100),
    than: fc.constantFrom(undefined, undefined, 40),
  })
  .filter(canJoinPairs);

test('pairs of the pieces of a recording, joined, are those of the whole, however they are asked for', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(pairRecordings, options, async (cut, options) => {
      const { whole, cuts, pieces, window } = await cut();
      const start = () => {
        const view = new PairsView(options);
        for (const type of whole.trace.types) view.wants(type);
        return view;
      };
      const joined = inPieces(whole, cuts, start, { window, tally, pieces });
      const once = inOneGo(whole, start, window);
      assert.deepEqual(inOrder(joined.result()), inOrder(once.result()));
      assert.deepEqual(joined.unknownFields(), once.unknownFields());
    }),
    { numRuns: 150 },
  );
  assert.ok(tally.joined > 5 * tally.refused && tally.joined > 150, JSON.stringify(tally));
});

test('so are those of real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  for (const [file, options] of [
    [
      'samples/host-kvm.dat',
      {
        from: { event: 'sched_wakeup' },
        to: { event: 'sched_switch' },
        by: [{ from: 'pid', to: 'next_pid' }],
        group: ['comm'],
        slow: 20,
      },
    ],
    [
      'samples/kvm-and-qemu.log.zst',
      {
        from: { event: 'virtqueue_pop' },
        to: { event: 'virtqueue_fill' },
        by: [same('vq'), same('elem')],
        group: ['vq', 'out_num'],
        slow: 20,
      },
    ],
    [
      'test/data/exits/boot.perf.data.zst',
      { from: { event: 'kvm_exit' }, to: { event: 'kvm_entry' }, by: [same('tid')], group: ['reason'] },
    ],
  ] as const) {
    const whole = await recordingOf(file);
    const start = () => new PairsView(options);
    const expected = inOrder(inOneGo(whole, start).result());
    for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 3)) {
      assert.deepEqual(inOrder(inPieces(whole, cuts, start, { tally }).result()), expected, `${file} ${cuts}`);
    }
  }
  assert.ok(tally.joined > tally.refused, JSON.stringify(tally));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, recordingOf, type Tally } from '../../test/parts.ts';
import { mutexRecordings } from '../../test/random-events.ts';
import type { LocksResult } from './lock-answers.ts';
import { canJoinLocks, type LocksOptions, LocksView } from './locks.ts';

/** What takes equally long stands in any order. */
function inOrder(result: LocksResult): unknown {
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map((item) => JSON.stringify(sorted(item))).sort()
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, sorted(one)]))
        : value;
  return sorted(result);
}

const options: fc.Arbitrary<LocksOptions> = fc
  .record({
    heatmap: fc.boolean(),
    holds: fc.boolean(),
    bql: fc.constantFrom([], ['0x7f0000000000']),
  })
  .filter(canJoinLocks);

test('what the pieces of a recording tell of locks, joined, is what the whole does', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(mutexRecordings, options, fc.constantFrom(1, 6, 20, 1000), async (cut, options, enough) => {
      const { whole, cuts, pieces, window } = await cut();
      for (const bounded of [false, true]) {
        const start = () => {
          const view = new LocksView(options);
          return Object.assign(view, { inMiddle: () => LocksView.prototype.inMiddle.call(view, enough) });
        };
        const stretch = {
          from: window.from,
          to: Math.max(window.from, Math.min(window.to, whole.trace.last)),
          bounded,
        };
        const joined = inPieces(whole, cuts, start, { window: stretch, tally, pieces });
        const once = inOneGo(whole, start, stretch);
        assert.deepEqual(inOrder(joined.result()), inOrder(once.result()));
        assert.deepEqual(joined.known(), once.known());
      }
    }),
    { numRuns: 80 },
  );
  // Many pieces are too short to have seen that unlocks are recorded, or to have seen who waits.
  assert.ok(3 * tally.joined > tally.refused && tally.joined > 80, JSON.stringify(tally));
});

test('so it is of real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  for (const file of ['samples/kvm-and-qemu.log.zst', 'samples/kvm-and-qemu.dat']) {
    const whole = await recordingOf(file);
    const start = () => new LocksView({ heatmap: true });
    const expected = inOrder(inOneGo(whole, start).result());
    for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 4)) {
      assert.deepEqual(inOrder(inPieces(whole, cuts, start, { tally }).result()), expected, `${file} ${cuts}`);
    }
  }
  assert.ok(tally.joined > tally.refused, JSON.stringify(tally));
});

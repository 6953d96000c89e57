import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, recordingOf, type Tally } from '../../test/parts.ts';
import { stateRecordings } from '../../test/random-events.ts';
import { Vcpus } from './vcpus.ts';

test("vCPUs' time in the pieces of a recording, joined, is that of the whole", async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(stateRecordings, fc.boolean(), async (cut, timeline) => {
      const { whole, cuts, pieces, window } = await cut();
      const start = () => new Vcpus({ timeline });
      const until = { from: window.from, to: Math.max(window.from, Math.min(window.to, whole.trace.last)) };
      const joined = inPieces(whole, cuts, start, { window: until, tally, pieces });
      assert.deepEqual(joined.result(), inOneGo(whole, start, until).result());
    }),
    { numRuns: 150 },
  );
  assert.ok(tally.joined > 2 * tally.refused && tally.joined > 150, JSON.stringify(tally));
});

test('so it is in real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  for (const file of ['samples/host-kvm.dat', 'test/data/exits/idle.perf.data.zst']) {
    const whole = await recordingOf(file);
    const window = { from: 0, to: whole.trace.last };
    const start = () => new Vcpus({ timeline: true });
    const expected = inOneGo(whole, start, window).result();
    for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 3)) {
      assert.deepEqual(inPieces(whole, cuts, start, { window, tally }).result(), expected, `${file} ${cuts}`);
    }
  }
  assert.ok(tally.joined > tally.refused, JSON.stringify(tally));
});

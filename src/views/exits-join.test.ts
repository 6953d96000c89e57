import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, recordingOf, type Tally } from '../../test/parts.ts';
import { stateRecordings, vcpuRecordings } from '../../test/random-events.ts';
import { canJoin, type Dimension, dimensions, type ExitOptions, type ExitResult, Exits } from './exits.ts';

/** Rows that are equal in what they are sorted by stand in any order. */
function inOrder({ rows, lockNames: _, ...rest }: ExitResult): unknown {
  return {
    ...rest,
    rows: rows.map((row) => ({ key: JSON.stringify(row.group), row })).sort((a, b) => (a.key < b.key ? -1 : 1)),
  };
}

const options: fc.Arbitrary<ExitOptions> = fc
  .record({
    by: fc.uniqueArray(fc.constantFrom<Dimension>(...dimensions), { minLength: 1, maxLength: 2 }),
    exclude: fc.constantFrom([], [], ['EXIT_HLT', 'cpuid']),
    heatmap: fc.constantFrom(false, false, false, true),
    breakdown: fc.boolean(),
    slow: fc.constantFrom(undefined, undefined, 1, 3, 100),
    than: fc.constantFrom(undefined, undefined, 40),
    halts: fc.boolean(),
    inGuest: fc.boolean(),
    scale: fc.constantFrom(undefined, undefined, 0.4),
    vcpus: fc.constantFrom(undefined, undefined, [0, 3]),
    pids: fc.constantFrom(undefined, undefined, undefined, [9, 11]),
  })
  .filter(canJoin);

test('exits of the pieces of a recording, joined, are those of the whole, however they are asked for', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.oneof(vcpuRecordings, stateRecordings), options, async (cut, options) => {
      // Which vCPU a thread runs can come to be known with an event that is in the same batch, or is not.
      const eventByEvent = options.vcpus !== undefined || options.pids !== undefined;
      const { whole, cuts, pieces, window } = await cut(eventByEvent ? 1 : undefined);
      const start = () => new Exits(options);
      const joined = inPieces(whole, cuts, start, { window, tally, pieces });
      assert.deepEqual(inOrder(joined.result()), inOrder(inOneGo(whole, start, window).result()));
    }),
    { numRuns: 150 },
  );
  assert.ok(tally.joined > 3 * tally.refused && tally.joined > 150, JSON.stringify(tally));
});

test('so are those of real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  for (const file of [
    'samples/host-kvm.dat',
    'test/data/exits/boot.perf.data.zst',
    'test/data/trace-dat/lost-v7.dat',
  ]) {
    const whole = await recordingOf(file);
    const start = () => new Exits({ by: ['reason', 'vcpu'], heatmap: true, breakdown: true, slow: 50, halts: true });
    const expected = inOrder(inOneGo(whole, start).result());
    for (const [cut] of fc.sample(fc.tuple(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 })), 4)) {
      assert.deepEqual(inOrder(inPieces(whole, cut, start, { tally }).result()), expected, `${file} ${cut}`);
    }
  }
  assert.ok(tally.joined > tally.refused, JSON.stringify(tally));
});

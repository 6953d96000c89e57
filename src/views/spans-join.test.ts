import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, recordingOf, type Tally } from '../../test/parts.ts';
import { mutexRecordings, stateRecordings, switchRecordings, vcpuRecordings } from '../../test/random-events.ts';
import type { SpanKind } from '../spans/kind.ts';
import { kindNamed } from '../spans/kinds.ts';
import { isGroup, type SpansOptions, type SpansResult, SpansView } from './spans.ts';

/** Rows, and spans of one length that began at the same time, stand in any order. */
function inOrder({ rows, slow, ...rest }: SpansResult): unknown {
  const sorted = (items: readonly object[] = []) => items.map((item) => JSON.stringify(item)).sort();
  return { ...rest, rows: sorted(rows), slow: sorted(slow) };
}

function asked(kind: SpanKind): fc.Arbitrary<SpansOptions> {
  const groups = Object.keys(kind.columns).filter((name) => isGroup(kind.columns[name] as SpanKind['columns'][string]));
  return fc.record({
    kind: fc.constant(kind),
    by: fc.uniqueArray(fc.constantFrom(...groups), { minLength: 1, maxLength: 3 }),
    heatmap: fc.constantFrom(false, false, false, true),
    // What was lost on all CPUs is as long, and begins at the same time, for all threads: any of them is the longest.
    slow: kind.name === 'vcpuState' ? fc.constantFrom(undefined, 1000) : fc.constantFrom(undefined, 1, 3, 100),
    than: fc.constantFrom(undefined, 40),
  });
}

/** The kinds that can be joined, and recordings that have such spans. */
const joinable = [
  ['exit', vcpuRecordings, ['samples/host-kvm.dat', 'test/data/exits/boot.perf.data.zst']],
  ['vcpuState', stateRecordings, ['samples/host-kvm.dat', 'test/data/exits/idle.perf.data.zst']],
  ['lockWait', mutexRecordings, ['samples/kvm-and-qemu.log.zst']],
  ['lockHold', mutexRecordings, ['samples/kvm-and-qemu.log.zst']],
  ['migration', switchRecordings, ['samples/host-kvm.dat', 'samples/kvm-and-qemu.dat']],
] as const;

for (const [name, recordings, files] of joinable) {
  const kind = kindNamed(name) as SpanKind;

  test(`${kind.plural} of the pieces of a recording, joined, are those of the whole`, async () => {
    const tally: Tally = { joined: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(recordings, asked(kind), async (cut, options) => {
        // That a recording has exits and entries can come to be known with an event that is in the same batch, or is not.
        const { whole, cuts, pieces, window } = await cut(name === 'vcpuState' ? 1 : undefined);
        const start = () => new SpansView(options);
        const joined = inPieces(whole, cuts, start, { window, tally, pieces });
        assert.deepEqual(inOrder(joined.result()), inOrder(inOneGo(whole, start, window).result()));
      }),
      { numRuns: 100 },
    );
    // How a halt divides hangs on whether the scheduler's events are recorded, and who has a mutex on whether unlocks are: short pieces often do not know.
    const share = name === 'vcpuState' ? 0.5 : name.startsWith('lock') ? 0.5 : 3;
    assert.ok(tally.joined > share * tally.refused && tally.joined > 70, JSON.stringify(tally));
  });

  test(`so are ${kind.plural} of real recordings`, async () => {
    const tally: Tally = { joined: 0, refused: 0 };
    for (const file of files) {
      const whole = await recordingOf(file);
      const start = () => new SpansView({ kind, heatmap: true, slow: 20 });
      const expected = inOrder(inOneGo(whole, start).result());
      for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 10)) {
        assert.deepEqual(inOrder(inPieces(whole, cuts, start, { tally }).result()), expected, `${file} ${cuts}`);
      }
    }
    assert.ok(tally.joined > tally.refused, JSON.stringify(tally));
  });
}

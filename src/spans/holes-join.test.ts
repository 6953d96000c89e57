import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, type Recording, recordingOf, type Tally } from '../../test/parts.ts';
import { cutRecordings, scheduled, stateRecordings } from '../../test/random-events.ts';
import type { Analysis, Joinable } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Trace } from '../trace/trace.ts';
import { type Foresight, type HolesPart, type WatchedTrace, watched } from './holes.ts';

type Row = readonly unknown[];

/** Writes down which holes come before which event. */
class Holes implements Analysis, Joinable<{ holes: HolesPart | undefined; rows: Row[] }> {
  readonly #whole: Recording;
  readonly #foresight: Foresight | undefined;
  #watched: WatchedTrace | undefined;
  #inMiddle = false;
  rows: Row[] = [];

  constructor(whole: Recording, foresight: Foresight | undefined) {
    this.#whole = whole;
    this.#foresight = foresight;
  }

  inMiddle(): void {
    this.#inMiddle = true;
  }

  wants(): boolean {
    return true;
  }

  batch(trace: Trace, b: EventBatch): void {
    for (const one of this.#of(trace).watch(b)) {
      for (const { from, to, cpu, unmarked } of one.losses) {
        this.rows.push([one.count > 0 ? one.time[0] : 'end', from, to, cpu, unmarked]);
      }
    }
  }

  part() {
    return { holes: this.#watched?.part(), rows: this.rows };
  }

  accepts({ holes }: { holes: HolesPart | undefined }): boolean {
    return holes === undefined || this.#of(this.#whole.trace).accepts(holes);
  }

  join(trace: Trace, { holes, rows }: { holes: HolesPart | undefined; rows: Row[] }): void {
    if (holes !== undefined) this.#of(trace).join(trace, holes);
    this.rows.push(...rows);
  }

  get foresight(): Foresight | undefined {
    return this.#watched?.foresight;
  }

  answer() {
    return { rows: this.rows, foresight: this.foresight, notes: this.#watched?.notes };
  }

  #of(trace: Trace): WatchedTrace {
    if (this.#watched === undefined) {
      this.#watched = watched(trace, this.#foresight);
      if (this.#inMiddle) this.#watched.inMiddle();
    }
    return this.#watched;
  }
}

const machines = fc.oneof(
  { weight: 4, arbitrary: cutRecordings(scheduled(true), 300) },
  { weight: 2, arbitrary: cutRecordings(scheduled(false), 300) },
  stateRecordings,
);

test('holes that nothing marks, in the pieces of a recording and between them, are those of the whole', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  let found = 0;
  await fc.assert(
    fc.asyncProperty(machines, async (cut) => {
      const { whole, cuts, pieces } = await cut();
      let foresight: Foresight | undefined;
      // Found; and then known beforehand.
      for (let reading = 0; reading < 2; reading++) {
        const start = () => new Holes(whole, foresight);
        const once = inOneGo(whole, start);
        const joined = inPieces(whole, cuts, start, { tally, pieces });
        assert.deepEqual(joined.answer(), once.answer());
        found += once.rows.filter((row) => row[4] !== undefined).length;
        foresight = once.foresight;
        if (foresight === undefined) break;
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(tally.joined > tally.refused && tally.joined > 300 && found > 300, JSON.stringify({ ...tally, found }));
});

test('so are those of real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  for (const file of ['samples/host-kvm.dat', 'samples/kvm-and-qemu.dat', 'test/data/exits/boot.perf.data.zst']) {
    const whole = await recordingOf(file);
    const start = () => new Holes(whole, undefined);
    const expected = inOneGo(whole, start).answer();
    for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 12)) {
      assert.deepEqual(inPieces(whole, cuts, start, { tally }).answer(), expected, `${file} ${cuts}`);
    }
  }
  assert.ok(tally.joined > 5 * tally.refused, JSON.stringify(tally));
});

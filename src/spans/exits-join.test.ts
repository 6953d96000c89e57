import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, type Tally } from '../../test/parts.ts';
import { vcpuRecordings } from '../../test/random-events.ts';
import type { Analysis, Joinable, Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { ExitPairing, type ExitPart, type ExitSpans, type VcpuThread } from './exits.ts';

type Options = ConstructorParameters<typeof ExitPairing>[0];
type Row = readonly (string | number)[];

/** Writes down what pairing gives. */
class Pairs implements Analysis, Joinable<{ part: ExitPart; rows: Row[] }> {
  readonly pairing: ExitPairing;
  readonly rows: Row[] = [];

  constructor(options: Options) {
    this.pairing = new ExitPairing({ inner: true, ...options });
  }

  wants(type: EventType): boolean {
    return this.pairing.wants(type);
  }

  within(window: Window): void {
    this.pairing.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#take(this.pairing.batch(trace, b));
  }

  part() {
    return { part: this.pairing.part(), rows: this.rows };
  }

  accepts({ part }: { part: ExitPart }): boolean {
    return this.pairing.accepts(part);
  }

  join(_: Trace, { part, rows }: { part: ExitPart; rows: Row[] }): void {
    const seam = this.pairing.join(part);
    this.#take(seam.spans);
    this.rows.push(...rows);
    const tids = [...seam.threads].map((t) => this.pairing.threads[t]?.tid);
    assert.deepEqual(
      tids,
      part.threads.map(({ tid }) => tid),
    );
  }

  #take(spans: ExitSpans): void {
    const { reasons, threads } = this.pairing;
    for (let k = 0; k < spans.count; k++) {
      const reason = spans.reason[k] as number;
      const { tid } = threads[spans.thread[k] as number] as VcpuThread;
      this.rows.push([
        (spans.begin[k] as number) + (spans.duration[k] as number),
        tid,
        spans.begin[k] as number,
        spans.duration[k] as number,
        reasons.names[reason] as string,
        String(reasons.halt[reason]),
        spans.cpu[k] as number,
        spans.ripLow[k] as number,
        spans.ripHigh[k] as number,
      ]);
    }
  }

  answer() {
    const { pairing } = this;
    const { threads, reasons, entered, exited } = pairing;
    const counts = pairing.result();
    const open = [...pairing.open()].map((one) => ({ ...one, reason: reasons.names[one.reason] }));
    this.#take(pairing.rest());
    return {
      counts,
      open,
      threads,
      reasons: reasons.names.map((name, id) => `${name} ${reasons.halt[id]}`).sort(),
      entered,
      exited,
      rows: [...this.rows].sort((a, b) => {
        const differing = a.findIndex((cell, n) => cell !== b[n]);
        return differing < 0 ? 0 : Number(a[differing]) - Number(b[differing]);
      }),
    };
  }
}

for (const [what, options] of [
  ['exits', {}],
  ['stretches in the guest', { inside: true }],
  ['exits that are only counted', { counting: true }],
] as const) {
  test(`${what}: pieces of a recording, joined, are what it is in one go`, async () => {
    const tally: Tally = { joined: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(vcpuRecordings, async (cut) => {
        const { whole, cuts, pieces, window } = await cut();
        const start = () => new Pairs(options);
        const joined = inPieces(whole, cuts, start, { window, tally, pieces });
        assert.deepEqual(joined.answer(), inOneGo(whole, start, window).answer());
      }),
      { numRuns: 150 },
    );
    assert.ok(tally.joined > 5 * tally.refused && tally.joined > 150, JSON.stringify(tally));
  });
}

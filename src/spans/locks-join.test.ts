import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, type Recording, recordingOf, type Tally } from '../../test/parts.ts';
import { mutexRecordings } from '../../test/random-events.ts';
import { type Analysis, isBefore, type Joinable, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { LockSpans } from './lock-spans.ts';
import { Locks, type LocksPart } from './locks.ts';

type Row = readonly unknown[];
type Part = { locks: LocksPart; rows: Row[] };

/** Writes down waits and holds, with names instead of numbers, and who had the mutex meanwhile. */
class Found implements Analysis, Joinable<Part> {
  readonly locks = new Locks();
  readonly #enough: number;
  rows: Row[] = [];
  #from = 0;

  constructor(enough: number) {
    this.#enough = enough;
  }

  inMiddle(): void {
    this.locks.inMiddle(this.#enough);
  }

  wants(type: EventType): boolean {
    return this.locks.wants(type);
  }

  within({ from }: Window): void {
    this.#from = from;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.locks.batch(trace, b);
    if (isBefore(b, this.#from)) this.locks.forgetCounts();
    else this.#take();
  }

  part(): Part {
    return { locks: this.locks.part(), rows: this.rows };
  }

  accepts({ locks }: Part): boolean {
    return this.locks.accepts(locks);
  }

  join(_: Trace, { locks, rows }: Part): void {
    this.locks.join(locks);
    this.#take();
    this.rows.push(...rows);
  }

  #take(): void {
    const { waits, holds, bare, stretches } = this.locks;
    const of = (what: string, spans: LockSpans, k: number): unknown[] => [
      what,
      this.#who(spans.thread[k] as number),
      this.#mutex(spans.mutex[k] as number),
      this.#site(spans.site[k] as number),
    ];
    const times = (spans: LockSpans, k: number) => [spans.begin[k], spans.duration[k], spans.cpu[k]];
    for (let k = 0; k < waits.count; k++) {
      const row = [...of('wait', waits, k), ...times(waits, k), waits.contended[k], waits.held[k]];
      for (let x = waits.firstStretch[k] as number; x < (waits.lastStretch[k] as number); x++) {
        const { begin, duration, since, thread, site, inner } = stretches;
        row.push(begin[x], duration[x], since[x], this.#who(thread[x] as number), this.#site(site[x] as number));
        row.push(this.#site(inner[x] as number));
      }
      this.rows.push(row);
    }
    for (let k = 0; k < holds.count; k++) this.rows.push([...of('hold', holds, k), ...times(holds, k)]);
    for (let k = 0; k < bare.count; k++) this.rows.push(of('bare', bare, k));
  }

  #who(thread: number): number | undefined {
    return this.locks.threads[thread]?.tid;
  }

  #mutex(mutex: number): string {
    const { pid, high, low } = this.locks.mutexes[mutex] as Locks['mutexes'][number];
    return `${pid} ${high} ${low}`;
  }

  #site(site: number): string {
    const { file, line } = this.locks.sites[site] ?? {};
    return `${file}:${line}`;
  }

  answer() {
    const { locks } = this;
    return {
      counts: locks.counts,
      threads: locks.threads,
      mutexes: locks.mutexes,
      sites: locks.sites,
      unlocks: locks.unlocks,
      open: [...locks.unfinished()].map((one) => JSON.stringify(one)).sort(),
      holders: locks.mutexes.map((_, m) => locks.holderOf(m)),
      rows: this.rows.map((row) => JSON.stringify(row)).sort(),
    };
  }
}

test('waits for mutexes, and holds, in the pieces of a recording, joined, are those of the whole', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(mutexRecordings, fc.constantFrom(1, 3, 6, 20, 1000), async (cut, enough) => {
      const { whole, cuts, pieces, window } = await cut();
      const start = () => new Found(enough);
      const joined = inPieces(whole, cuts, start, { window, tally, pieces });
      assert.deepEqual(joined.answer(), inOneGo(whole, start, window).answer());
    }),
    { numRuns: 200 },
  );
  assert.ok(2 * tally.joined > tally.refused && tally.joined > 150, JSON.stringify(tally));
});

test('so are those of real recordings', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  const whole: Recording = await recordingOf('samples/kvm-and-qemu.log.zst');
  for (const enough of [10, 128]) {
    const start = () => new Found(enough);
    const expected = inOneGo(whole, start).answer();
    for (const cuts of fc.sample(fc.array(fc.nat(whole.count), { minLength: 1, maxLength: 3 }), 30)) {
      assert.deepEqual(inPieces(whole, cuts, start, { tally }).answer(), expected, `${cuts}`);
    }
  }
  assert.ok(tally.joined > 3 * tally.refused, JSON.stringify(tally));
});

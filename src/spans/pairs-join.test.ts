import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo, inPieces, type Tally } from '../../test/parts.ts';
import { pairRecordings } from '../../test/random-events.ts';
import type { Analysis, Joinable, Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { type PairEnd, Pairs, type PairsPart } from './pairs.ts';

const end = (...names: string[]): PairEnd => ({
  takes: (type) => names.includes(type.name),
  keys: (type) => [type.reader('n'), type.reader('text')],
});

type Row = readonly number[];
type Part = { pairs: PairsPart; rows: Row[] };

/** Writes down what pairing gives. */
class Found implements Analysis, Joinable<Part> {
  readonly pairs: Pairs;
  rows: Row[] = [];

  constructor(of: 'cpu' | 'thread' | undefined, same: boolean) {
    const note = (_: Trace, b: EventBatch, i: number) => b.time[i] as number;
    this.pairs = new Pairs(end('a:begin', 'qemu:begin'), same ? end('a:begin', 'a:end') : end('a:end', 'qemu:end'), {
      keys: 2,
      of,
      note,
    });
  }

  inMiddle(): void {
    this.pairs.inMiddle();
  }

  wants(type: EventType): boolean {
    return this.pairs.wants(type);
  }

  within(window: Window): void {
    this.pairs.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.pairs.batch(trace, b);
    this.#take();
  }

  part(): Part {
    return { pairs: this.pairs.part(), rows: this.rows };
  }

  accepts({ pairs }: Part): boolean {
    return this.pairs.accepts(pairs);
  }

  join(_: Trace, { pairs, rows }: Part): void {
    this.pairs.join(pairs);
    this.#take();
    this.rows.push(...rows);
  }

  #take(): void {
    const { count, begin, duration, cpu, tid, note } = this.pairs.spans;
    for (let k = 0; k < count; k++) {
      const ended = (begin[k] as number) + (duration[k] as number);
      this.rows.push([ended, ...[begin, cpu, tid, note].map((column) => column[k] as number)]);
    }
  }

  answer() {
    return {
      counts: this.pairs.result(),
      open: [...this.pairs.unfinished()].map(({ entry, ...open }) => open),
      rows: this.rows.sort((a, b) => (a[0] as number) - (b[0] as number)),
    };
  }
}

test('pairs of the pieces of a recording, joined, are those of the whole', async () => {
  const tally: Tally = { joined: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(
      pairRecordings,
      fc.constantFrom('cpu' as const, 'thread' as const, undefined),
      fc.boolean(),
      async (cut, of, same) => {
        const { whole, cuts, pieces, window } = await cut();
        const start = () => new Found(of, same);
        const joined = inPieces(whole, cuts, start, { window, tally, pieces });
        assert.deepEqual(joined.answer(), inOneGo(whole, start, window).answer());
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(tally.joined > 5 * tally.refused && tally.joined > 300, JSON.stringify(tally));
});

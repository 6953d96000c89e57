import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pairRecordings, stateRecordings, vcpuRecordings } from '../../test/random-events.ts';
import { type PairEnd, Pairs } from '../spans/pairs.ts';
import type { Analysis } from '../trace/analysis.ts';
import { Exits } from './exits.ts';
import { Vcpus } from './vcpus.ts';

/** A loss on one CPU comes to light when events of others were counted. */
function spared(
  what: string,
  recordings: typeof vcpuRecordings,
  start: () => { analysis: Analysis; answer: () => unknown },
): void {
  test(`${what} of a recording whose losses come to light late, but touch nothing that was counted, are what they are where all is known before; else that is said`, async () => {
    const tally = { spared: 0, regretted: 0 };
    await fc.assert(
      fc.asyncProperty(recordings, async (cut) => {
        const { whole } = await cut();
        if (whole.losses.length === 0) return;
        let regrets = false;
        const once = start();
        const regret = () => {
          regrets = true;
        };
        whole.feedAll(once.analysis, { regret });
        const again = start();
        whole.feedAll(again.analysis, { holes: whole.losses });
        if (!regrets) assert.deepEqual(once.answer(), again.answer());
        tally[regrets ? 'regretted' : 'spared']++;
      }),
      { numRuns: 1800 },
    );
    assert.ok(tally.spared > 30 && tally.regretted > 30, JSON.stringify(tally));
  });
}

spared('Exits', vcpuRecordings, () => {
  const exits = new Exits({ by: ['reason'] });
  return { analysis: exits, answer: () => exits.result() };
});
spared('Stretches in the guest', vcpuRecordings, () => {
  const exits = new Exits({ by: ['reason'], inGuest: true });
  return { analysis: exits, answer: () => exits.result() };
});
spared('Exits, divided,', stateRecordings, () => {
  const exits = new Exits({ by: ['reason'], breakdown: true });
  return { analysis: exits, answer: () => exits.result() };
});
spared("vCPUs' times", stateRecordings, () => {
  const vcpus = new Vcpus({ timeline: true });
  return { analysis: vcpus, answer: () => vcpus.result() };
});

const end = (name: string): PairEnd => ({ takes: (type) => type.name === name, keys: (type) => [type.reader('n')] });
for (const what of ['cpu', 'thread', undefined] as const) {
  spared(`Pairs of one ${what ?? 'key'}`, pairRecordings, () => {
    const pairs = new Pairs(end('a:begin'), end('a:end'), { keys: 1, of: what });
    const found: number[][] = [];
    const analysis: Analysis = {
      wants: (type) => pairs.wants(type),
      batch: (trace, b) => {
        const { count, begin, duration } = pairs.batch(trace, b);
        for (let k = 0; k < count; k++) found.push([begin[k] as number, duration[k] as number]);
      },
    };
    return { analysis, answer: () => [pairs.result(), found] };
  });
}

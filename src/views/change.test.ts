import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, changeOf, markNews, quantileOf, rarely, ratioOf } from './change.ts';
import { spanFigures, spanRow } from './diff.ts';
import { type BlockRow, SpanBlocks } from './span-blocks.ts';

/** Mulberry32: small, and good enough for simulations. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** Ten seconds of spans, log-normal, each like the one before by how close they are: `memory` is the time (s) after which little of that is left. */
function recording(next: () => number, { factor = 1, rate = 150, memory = 0 } = {}) {
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  const blocks = new SpanBlocks();
  blocks.start(0);
  const end = 10e9;
  let level = normal();
  let time = 0;
  for (;;) {
    const gap = (-Math.log(next()) / rate) * 1e9;
    time += gap;
    if (time > end) break;
    const like = memory === 0 ? 0 : Math.exp(-gap / 1e9 / memory);
    level = like * level + Math.sqrt(1 - like * like) * normal();
    blocks.add(0, time, Math.round(factor * 50_000 * Math.exp(level)));
  }
  return spanRow(['x'], 'row', blocks.rows[0] as BlockRow, blocks.lengths(end), 1);
}

/** How often, of a hundred, the interval holds the true change, by figure; and how often p is below 0.05 (of figures that did not change). */
function coverage(runs: number, factor: number, options: { memory?: number; rate?: number }) {
  const next = random(4711);
  const held = new Map<string, number>();
  const alarms = new Map<string, number>();
  for (let run = 0; run < runs; run++) {
    const before = recording(next, options);
    const after = recording(next, { ...options, factor });
    for (const figure of spanFigures) {
      const [a, b] = [before.estimates[figure], after.estimates[figure]];
      assert.ok(a !== undefined && b !== undefined);
      const { low, high, p } = changeOf(a, b);
      const truth = figure === 'rate' ? 1 : factor;
      held.set(figure, (held.get(figure) ?? 0) + (low <= truth && truth <= high ? 100 / runs : 0));
      if (p < 0.05 !== (low > 1 || high < 1)) assert.fail('p and the interval say the same');
      alarms.set(figure, (alarms.get(figure) ?? 0) + (p < 0.05 ? 100 / runs : 0));
    }
  }
  return { held, alarms };
}

test('the interval holds the true change about 95 times of 100, where latencies are independent', () => {
  for (const [figure, held] of coverage(300, 1.3, {}).held)
    assert.ok(held >= 92 && held <= 99.5, `${figure}: ${held} %`);
});

test('the interval holds the true change nearly as often where each latency is like those before', () => {
  for (const [figure, held] of coverage(300, 1.3, { memory: 0.05 }).held)
    assert.ok(held >= 90 && held <= 99.5, `${figure}: ${held} %`);
});

test('where nothing changed, p is below 0.05 in 5 % of cases at most', () => {
  for (const [figure, alarms] of coverage(300, 1, { memory: 0.02 }).alarms)
    assert.ok(alarms <= 7, `${figure}: ${alarms} %`);
});

test('the standard error of a ratio is that of the textbook where blocks are independent', () => {
  // Neighbours differ as much as can be, so that pairs tell of no more.
  const x = [10, 30, 12, 28, 14, 26, 10, 30];
  const y = [10, 10, 10, 10, 10, 10, 10, 10];
  const estimate = ratioOf(x, y);
  assert.equal(estimate?.value, 2);
  const squares = x.reduce((sum, n) => sum + (n / 10 - 2) ** 2, 0);
  const [down, up] = estimate?.reach(2) ?? [];
  assert.ok(Math.abs((down as number) - (2 * Math.sqrt(squares / 7 / 8)) / 2) < 1e-12);
  assert.equal(down, up);
  assert.equal(estimate?.degrees, 7);
});

test('blocks that are like their neighbours make the standard error larger', () => {
  const y = Array.from({ length: 32 }, () => 10);
  const alternating = ratioOf(
    y.map((_, k) => (k % 2 === 0 ? 10 : 20)),
    y,
  );
  const inRuns = ratioOf(
    y.map((_, k) => (k % 8 < 4 ? 10 : 20)),
    y,
  );
  const ratio = (inRuns?.reach(1)[0] as number) / (alternating?.reach(1)[0] as number);
  assert.ok(ratio > 1.9, `${ratio}`);
});

test('what occurs in few blocks has no estimate', () => {
  const y = Array.from({ length: 32 }, () => 1);
  assert.equal(
    ratioOf(
      y.map((_, k) => (k < 7 ? 5 : 0)),
      y,
    ),
    undefined,
  );
  assert.notEqual(
    ratioOf(
      y.map((_, k) => (k < 8 ? 5 : 0)),
      y,
    ),
    undefined,
  );
  assert.equal(quantileOf(10, 0.5, [{ low: 9, high: 11, counts: y.map((_, k) => (k < 7 ? 5 : 0)) }], y, 1), undefined);
});

test('nobody knows how far a p99 can be off where no more than one latency lies above it', () => {
  const next = random(1);
  const few = recording(next, { rate: 14 }).estimates.p99;
  const many = recording(next, { rate: 1000 }).estimates.p99;
  assert.equal(few?.reach(2)[1], Number.POSITIVE_INFINITY);
  assert.ok((many?.reach(2)[1] as number) < 0.7);
});

test('the test of what is rare is the binomial one of SciPy', () => {
  const known: [number, number, number, number][] = [
    [0, 5, 0.5, 0.0625],
    [3, 12, 0.5, 0.03515625],
    [7, 2, 0.25, 0.002685546875],
    [0, 0, 0.5, 1],
    [4, 4, 0.9, 0.0100486987],
  ];
  for (const [first, second, share, p] of known)
    assert.ok(Math.abs(rarely(first, second, share) - p) < 1e-6, `${first} ${second}`);
});

test("changes are news by Benjamini and Hochberg's procedure, as SciPy's false_discovery_control has it", () => {
  const change = (p: number): Change => ({ ratio: 2, low: 1, high: 3, p, news: false });
  const all = [0.212, 0.001, 0.042, 0.039, 0.008, 0.041, 0.06, 0.074, 0.205, 0.216].map(change);
  markNews(all);
  assert.deepEqual(
    all.flatMap(({ p, news }) => (news ? [p] : [])),
    [0.001, 0.008],
  );
  // The last one that is low enough takes those before it along.
  const some = [0.04, 0.041, 0.045].map(change);
  markNews(some);
  assert.ok(some.every(({ news }) => news));
});

import { tailsBeyond, tExceededWith } from './student.ts';

/*
 * How far a figure of a recording may be off, and whether two recordings differ by more than that: docs/diff.md.
 */

/** Intervals hold the true change so often. */
export const confidence = 0.95;

/** Blocks in which something occurs that it takes to say how far a figure may be off. */
const fewestBlocks = 8;

/** A figure of one recording, and how far it may be off. */
export type Estimate = {
  value: number;
  /** How far below and above it the true figure may be, as logarithms of quotients, with limits `t` standard errors away. Grows with t; may be infinite. */
  reach(t: number): [down: number, up: number];
  /** Degrees of freedom of the standard error. */
  degrees: number;
};

/** How a figure differs between two recordings. */
export type Change = {
  /** After divided by before. */
  ratio: number;
  /** The confidence interval of `ratio`; NaN where it is not known. */
  low: number;
  high: number;
  /** How likely so large a difference is where nothing changed; NaN where it rests on too little to say. */
  p: number;
  /** Whether it is more than noise, all that is compared considered. */
  news: boolean;
};

/**
 * Σx / Σy over blocks of time, and how far it may be off, by how much the blocks differ: the linearised variance of a ratio
 * (Cochran, Sampling Techniques, 1977, 6.3). Blocks that follow each other may be alike, so that they tell less than their number
 * promises: pairs and fours of them are blocks, too, and the largest standard error counts (the blocking method of Flyvbjerg and
 * Petersen, J. Chem. Phys. 91, 461, 1989). Undefined where x occurs in too few blocks. `least` is the least standard error.
 */
export function ratioOf(x: ArrayLike<number>, y: ArrayLike<number>, least = 0): Estimate | undefined {
  const sum = sumOf(x, y);
  if (!(sum.value > 0) || sum.occupied < fewestBlocks) return undefined;
  const off = Math.max(sum.error, least) / sum.value;
  return { value: sum.value, reach: (t) => [t * off, t * off], degrees: sum.degrees };
}

/**
 * A quantile of durations in buckets by block, and how far it may be off: the share of durations below it is a ratio as
 * above, and the limits of that share (by its logit, which stays between 0 and 1) are carried over to durations (Woodruff, JASA 47,
 * 635, 1952; Korn and Graubard, 1998). Limits are rounded outwards to buckets, and by the clock's resolution.
 */
export function quantileOf(
  value: number,
  fraction: number,
  buckets: Iterable<{ low: number; high: number; counts: ArrayLike<number> }>,
  counts: ArrayLike<number>,
  resolution: number,
): Estimate | undefined {
  const blocks = counts.length;
  const below = new Float64Array(blocks);
  const upTo = new Float64Array(blocks);
  const edges: { low: number; high: number; rank: number }[] = [];
  let rank = 0;
  for (const bucket of buckets) {
    for (let k = 0; k < blocks; k++) {
      const n = bucket.counts[k] as number;
      rank += n;
      if (bucket.high <= value) below[k] = (below[k] as number) + n;
      if (bucket.low <= value) upTo[k] = (upTo[k] as number) + n;
    }
    edges.push({ low: bucket.low, high: bucket.high, rank });
  }
  const all = rank;
  const { error: errorBelow } = sumOf(below, counts);
  const { error: errorUpTo, degrees, occupied } = sumOf(upTo, counts);
  if (!(value > 0) || occupied < fewestBlocks) return undefined;
  const off = Math.max(errorBelow, errorUpTo) / (fraction * (1 - fraction));
  const at = (share: number) => edges.find((edge) => edge.rank >= share * all) ?? edges.at(-1);
  return {
    value,
    degrees,
    reach: (t) => {
      const odds = fraction / (1 - fraction);
      const [low, high] = [odds * Math.exp(-t * off), odds * Math.exp(t * off)].map((o) => o / (1 + o)) as [
        number,
        number,
      ];
      // Where less than one duration lies beyond, nobody knows how far away it could have been.
      const down = low * all < 1 ? 0 : (at(low)?.low ?? 0) - resolution;
      const up = (1 - high) * all < 1 ? Number.POSITIVE_INFINITY : (at(high)?.high ?? 0) + resolution;
      return [
        down > 0 ? Math.max(0, Math.log(value / down)) : Number.POSITIVE_INFINITY,
        Math.max(0, Math.log(up / value)),
      ];
    },
  };
}

/** Σx / Σy, its standard error, and in how many blocks x occurs. */
function sumOf(x: ArrayLike<number>, y: ArrayLike<number>) {
  let [xs, ys] = [Array.from(x), Array.from(y)];
  const value = total(xs) / total(ys);
  const occupied = xs.filter((n) => n > 0).length;
  let [error, degrees] = [0, Math.max(1, occupied - 1)];
  for (let level = 0; level < levels && xs.length >= fewestBlocks; level++) {
    const present = xs.filter((n) => n > 0).length;
    const spread = xs.reduce((sum, n, k) => sum + (n - value * (ys[k] as number)) ** 2, 0);
    const own = Math.sqrt((spread * xs.length) / (xs.length - 1)) / total(ys);
    if (own > error) [error, degrees] = [own, Math.max(1, present - 1)];
    [xs, ys] = [pairs(xs), pairs(ys)];
  }
  return { value, error, degrees, occupied };
}

/** Blocks, pairs of them, fours. */
const levels = 3;

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0);
}

function pairs(numbers: readonly number[]): number[] {
  return Array.from(
    { length: Math.ceil(numbers.length / 2) },
    (_, k) => (numbers[2 * k] as number) + (numbers[2 * k + 1] ?? 0),
  );
}

/**
 * How a figure changed. The limits of both recordings make those of the change (MOVER: Zou and Donner, Statistics in Medicine
 * 27, 1693, 2008), with Welch's degrees of freedom; p is that of the widest such interval that does not hold 1.
 */
export function changeOf(before: Estimate, after: Estimate): Change {
  const shift = Math.log(after.value / before.value);
  const below = (t: number) => Math.hypot(after.reach(t)[0], before.reach(t)[1]);
  const above = (t: number) => Math.hypot(after.reach(t)[1], before.reach(t)[0]);
  const degrees = welch(before, after);
  const t = tExceededWith(1 - confidence, degrees);
  const towards = shift > 0 ? below : above;
  // How many standard errors away the limit is that just reaches "no change".
  let [low, high] = [0, farthest];
  for (let n = 0; n < 50; n++) {
    const middle = (low + high) / 2;
    if (towards(middle) < Math.abs(shift)) low = middle;
    else high = middle;
  }
  return {
    ratio: Math.exp(shift),
    low: Math.exp(shift - below(t)),
    high: Math.exp(shift + above(t)),
    p: tailsBeyond(low, degrees),
    news: false,
  };
}

/** Standard errors that are looked at: beyond, no probability can be told from 0. */
const farthest = 1e6;

function welch(a: Estimate, b: Estimate): number {
  const [va, vb] = [a, b].map((one) => Math.min(...one.reach(1)) ** 2) as [number, number];
  const degrees = (va + vb) ** 2 / (va ** 2 / a.degrees + vb ** 2 / b.degrees);
  const least = Math.min(a.degrees, b.degrees);
  return Number.isFinite(degrees) ? Math.max(1, Math.floor(degrees)) : least;
}

/**
 * How likely it is that something occurs in so many blocks of one recording and so many of the other, where `share` of the time is the
 * first's, if it is as frequent in both: the binomial test of two Poisson rates (Przyborowski and Wilenski, 1940), with
 * blocks for events, since events come in bursts. Both sides.
 */
export function rarely(first: number, second: number, share: number): number {
  const all = first + second;
  let [chance, upTo, from] = [(1 - share) ** all, 0, 0];
  for (let n = 0; n <= all; n++) {
    if (n <= first) upTo += chance;
    if (n >= first) from += chance;
    chance *= ((all - n) / (n + 1)) * (share / (1 - share));
  }
  return Math.min(1, 2 * Math.min(upTo, from));
}

/**
 * Marks those changes as news that are, all of them taken together: the procedure of Benjamini and Hochberg (1995). Of what
 * it marks, 5 % is expected to be noise; where nothing changed at all, it marks something in 5 % of cases.
 */
export function markNews(changes: readonly Change[]): void {
  const sorted = [...changes].sort((a, b) => a.p - b.p);
  const last = sorted.findLastIndex(({ p }, n) => p <= ((n + 1) * (1 - confidence)) / sorted.length);
  for (const change of sorted.slice(0, last + 1)) change.news = true;
}

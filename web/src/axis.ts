import { powersOfTen } from '../../src/report/scales.ts';

/**
 * Where to mark a logarithmic axis of latencies: at the powers of ten; where fewer than two are in sight, also at
 * their halves and fifths, or at the ends.
 */
export function latencyMarks(least: number, most: number): number[] {
  const powers = powersOfTen(least, most);
  if (powers.length > 1) return powers;
  const finer = powersOfTen(least / 10, most).flatMap((power) => [power, 2 * power, 5 * power]);
  const marks = finer.filter((mark) => mark >= least && mark <= most);
  return marks.length > 1 ? marks : [least, most];
}

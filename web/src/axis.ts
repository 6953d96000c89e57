import { powersOfTen } from '../../src/report/scales.ts';
import { lengthText } from '../../src/report/units.ts';
import { printedUnits } from '../../src/trace/time-units.ts';

type Unit = 'ns' | 'cycles';

/**
 * Labels for moments on an axis, in ns: all in the unit that fits the largest, with as many decimals as tell neighbours apart:
 * `1.25 s`, `1.30 s`. Cycles are written as lengths are.
 */
export function timeLabels(times: readonly number[], unit: Unit): string[] {
  if (unit === 'cycles') return times.map(lengthText(unit));
  const largest = times.reduce((max, time) => Math.max(max, Math.abs(time)), 0);
  const step = times.length > 1 ? Math.abs((times[1] as number) - (times[0] as number)) : largest;
  const [name, size] = printedUnits.findLast(([, size]) => largest >= size) ?? ['ns', 1];
  const decimals = step > 0 ? Math.min(9, Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9))) : 0;
  return times.map((time) => (time === 0 ? '0' : `${(time / size).toFixed(decimals)} ${name}`));
}

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

import { printedUnits } from '../trace/time-units.ts';
import type { Unit } from './answers.ts';
import { lengthText } from './units.ts';

/** The powers of ten from `least` to `most`. */
export function powersOfTen(least: number, most: number): number[] {
  const powers: number[] = [];
  for (let power = 1; power <= most && power < 1e18; power *= 10) if (power >= least) powers.push(power);
  return powers;
}

/** Round moments from `from` to `to`, a step of 1, 2 or 5 times a power of ten apart that is at least `least`. */
export function timeMarks(from: number, to: number, least: number): number[] {
  if (!(to > from) || !(least > 0)) return [from];
  let step = 10 ** Math.ceil(Math.log10(least));
  for (const part of [5, 2]) {
    if (step / part >= least) {
      step /= part;
      break;
    }
  }
  const marks: number[] = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) marks.push(i * step);
  return marks;
}

/**
 * Labels for moments on an axis, counted from the beginning of the recording: all in the unit that fits the largest, with as many
 * decimals as put each within a twentieth of a step of where it is: `1.25 s`, `1.30 s`. A step is what lies between the first two where
 * nothing else is said. Cycles are written as lengths are.
 */
export function timeLabels(times: readonly number[], unit: Unit, step = stepOf(times)): string[] {
  if (unit === 'cycles') return times.map(lengthText(unit));
  const largest = times.reduce((max, time) => Math.max(max, Math.abs(time)), 0);
  const [name, size] = printedUnits.findLast(([, size]) => largest >= size) ?? ['s', 1e9];
  const off = (decimals: number) => (time: number) => Math.abs(Number((time / size).toFixed(decimals)) - time / size);
  let decimals = step > 0 ? Math.min(9, Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9))) : 0;
  while (decimals < 9 && times.some((time) => off(decimals)(time) > (0.05 * step) / size)) decimals++;
  return times.map((time) => (time === 0 ? '0 s' : `${(time / size).toFixed(decimals)} ${name}`));
}

function stepOf([first, second]: readonly number[]): number {
  return Math.abs((second ?? 0) - (first ?? 0));
}

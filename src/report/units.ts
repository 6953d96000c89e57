import { printedUnits as steps } from '../trace/time-units.ts';

/** Numbers as people read them. Nothing here knows of colours or of the terminal. */

/**
 * A length of time with four significant digits, or fewer where fewer are known, and the unit that fits: `38.25 µs`, `1.200 ms`, `512 ns`, `12,345 s`.
 * Made for columns: the table's `unit` alignment puts such values under each other.
 */
export function duration(ns: number, digits = 4): string {
  if (Number.isNaN(ns)) return '-';
  if (!Number.isFinite(ns)) return ns > 0 ? '∞' : '-∞';
  const size = Math.abs(ns);
  let step = 0;
  // What rounds up to 1000 of a unit is 1 of the next.
  while (step < 3 && size / (steps[step] as [string, number])[1] >= 1000 - 10 ** (3 - digits) / 2) step++;
  const [unit, length] = steps[step] as [string, number];
  const value = ns / length;
  if (step === 0) return `${Number.isInteger(ns) || size >= 100 ? Math.round(ns) : ns.toPrecision(3)} ns`;
  if (size / length >= 9999.5) return `${count(Math.round(value))} ${unit}`;
  return `${value.toPrecision(digits)} ${unit}`;
}

/** The same without zeros that say nothing, for sentences and axes: `1.2 ms`, `10 µs`, `1 s`. */
export function shortDuration(ns: number, digits = 4): string {
  return duration(ns, digits)
    .replace(/(\.\d*?)0+ /, '$1 ')
    .replace('. ', ' ');
}

/** A number of cycles with four significant digits and the unit that fits: `1.234 kcyc`. */
export function cycles(n: number, digits = 4): string {
  if (Number.isNaN(n)) return '-';
  const sizes: [unit: string, size: number][] = [
    ['Gcyc', 1e9],
    ['Mcyc', 1e6],
    ['kcyc', 1e3],
  ];
  const rounded = Number(n.toPrecision(digits));
  for (const [unit, size] of sizes) if (Math.abs(rounded) >= size) return `${(n / size).toPrecision(digits)} ${unit}`;
  return `${Math.round(n)} cyc`;
}

/** How lengths are written on axes and in sentences: `1.2 ms`, or `1.2 kcyc` where the clock counts cycles of unknown length. */
export function lengthText(unit: 'ns' | 'cycles'): (length: number) => string {
  return unit === 'ns' ? shortDuration : (n) => cycles(n).replace(/\.0+ /, ' ');
}

/** How lengths are written in ns, or in cycles where nobody knows how long those are: in columns, with four digits where nobody says how many are known, and in sentences. */
export type Lengths = { long: (n: number, digits?: number) => string; short: (n: number) => string };

export function lengths(unit: 'ns' | 'cycles'): Lengths {
  return { long: unit === 'ns' ? duration : cycles, short: lengthText(unit) };
}

/** A length that is known to a tenth or so, as a percentile out of a picture's cells is: `≈ 38 µs`. */
export function roughLength(unit: 'ns' | 'cycles'): (length: number) => string {
  return (length) => (Number.isNaN(length) ? '-' : `≈ ${lengthText(unit)(Number(length.toPrecision(2)))}`);
}

/** A whole number with thousands separators: `1,234,567`. */
export function count(n: number | bigint): string {
  if (typeof n === 'number' && !Number.isFinite(n)) return '-';
  const text = typeof n === 'number' ? Math.round(n).toString() : n.toString();
  // Numbers of 1e21 and more print with an exponent.
  return text.includes('e') ? text : text.replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Events per second: `12,345/s`, `12.3/s`, `0.0123/s`. */
export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return '-';
  if (perSecond >= 99.95) return `${count(perSecond)}/s`;
  return `${perSecond === 0 ? '0' : Number(perSecond.toPrecision(3))}/s`;
}

/** A share, given as a fraction of 1: `12.3 %`, `0.04 %`, `100 %`. */
export function percent(fraction: number): string {
  if (!Number.isFinite(fraction)) return '-';
  const value = fraction * 100;
  if (value === 0) return '0 %';
  if (value < 0.005) return '<0.01 %';
  if (value < 0.995) return `${value.toFixed(2)} %`;
  if (value >= 99.95) return value > 99.9999 ? '100 %' : '99.9 %';
  return `${value.toFixed(1)} %`;
}

/** A change, given as a fraction of 1: `+17 %`, `-3.2 %`, `0.0 %`. */
export function signedPercent(fraction: number): string {
  if (!Number.isFinite(fraction)) return '-';
  const size = Math.abs(fraction) * 100;
  // What is nearly all keeps its decimal: -99.9 % is a factor of 1000, -99 % one of 100.
  const text = size < 9.95 || (size >= 99 && size < 100) ? size.toFixed(1) : count(size);
  return `${Number(text) === 0 ? '' : fraction > 0 ? '+' : '-'}${text} %`;
}

/** A size in bytes: `1.5 GB`, `512 kB`, `17 bytes`. */
export function bytes(n: number): string {
  if (n < 1000) return `${n} bytes`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let value = n / 1000;
  let i = 0;
  while (value >= 999.5 && i < units.length - 1) {
    value /= 1000;
    i++;
  }
  return `${value >= 99.5 ? value.toFixed(0) : Number(value.toPrecision(3))} ${units[i]}`;
}

/** A noun with its number: `1 event`, `2 events`. */
export function plural(n: number, noun: string, many = `${noun}s`): string {
  return `${count(n)} ${n === 1 ? noun : many}`;
}

import type { Clock } from '../trace/clock.ts';
import { TraceError } from '../trace/error.ts';

/** Where the time goes back by more than this (1 s), something else begins. */
const farBack = 1_000_000_000;
/** Where it goes forward by more than this (a day), and by far more than all there was before, too. */
const farAhead = 86_400_000_000_000;
const farMore = 1000;

/** What is said of a last line without its newline. */
export function cutLine(offset: number): string {
  return `The last line, at byte ${offset}, has no end: it was left out, as it may have been cut.`;
}

/** The damage of lines with NUL bytes, such as a crash leaves, and of those with times that are out of reach. */
export function badLines(file: string, firstAt: number, nulLines: number, farStamps: number): TraceError {
  const lines = (count: number) => (count === 1 ? '1 line has' : `${count} lines have`);
  const problems: string[] = [];
  if (nulLines > 0) problems.push(`${lines(nulLines)} NUL bytes`);
  if (farStamps > 0) problems.push(`${lines(farStamps)} a time more than 2^53 ns from the first`);
  return new TraceError(file, `${problems.join(', and ')}, left out`, firstAt, 'text of one recording');
}

/** How far a time is from the newest before it, both counted from the first, where another recording begins with it; 0 where none does. */
export function leap(time: number, newest: number, unit: Clock['unit']): number {
  const ahead = time > newest + farAhead && time > newest * farMore && unit === 'ns';
  return ahead || time < newest - farBack ? time - newest : 0;
}

/** That a text holds more than one recording, and is read up to the second. */
export function leapError(file: string, by: number, unit: Clock['unit'], offset: number): TraceError {
  const length = unit === 'ns' ? `${Math.abs(by) / 1e9} s` : `${Math.abs(by)} ticks`;
  return new TraceError(
    file,
    by > 0 ? `the time goes forward by ${length}, where another recording begins` : `the time goes back by ${length}`,
    offset,
    'one recording in order of time; texts of several, or of several CPUs one after the other, have to be given as files of their own',
  );
}

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

/** Lines that cannot be what they were written as: with NUL bytes, such as a crash leaves, or with times that are out of reach. */
export class BadLines {
  readonly #file: string;
  #firstAt = 0;
  #nulLines = 0;
  #farStamps = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** Takes in one more; gives what is to be said, where nothing was yet. */
  add(offset: number, what: 'nul' | 'stamp'): TraceError {
    if (this.#nulLines + this.#farStamps === 0) this.#firstAt = offset;
    if (what === 'nul') this.#nulLines++;
    else this.#farStamps++;
    return this.#error();
  }

  /** What is to be said at the end: where the first of them was told when it was met, their number is known now. */
  conclude(damage: TraceError | undefined): TraceError | undefined {
    return this.#nulLines + this.#farStamps > 0 && damage?.offset === this.#firstAt ? this.#error() : damage;
  }

  #error(): TraceError {
    const lines = (count: number) => (count === 1 ? '1 line has' : `${count} lines have`);
    const problems: string[] = [];
    if (this.#nulLines > 0) problems.push(`${lines(this.#nulLines)} NUL bytes`);
    if (this.#farStamps > 0) problems.push(`${lines(this.#farStamps)} a time more than 2^53 ns from the first`);
    return new TraceError(this.#file, `${problems.join(', and ')}, left out`, this.#firstAt, 'text of one recording');
  }
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

import type { Trace } from '../trace/trace.ts';
import type { Unit } from '../views/figures.ts';
import type { Scope } from './columns.ts';
import { type Timed, timed } from './timed.ts';

/** What every answer's JSON says first. */
export type HeadJson<U extends Unit = Unit> = Timed<'duration'> & {
  file: string;
  format: string;
  clock: string;
  unit: U;
  origin: string;
};

/** `length` is how long the stretch is that the answer is of. */
export function headJson<U extends Unit>(
  { file, format, clock, origin }: Trace,
  { unit }: Scope<U>,
  length: number,
): HeadJson<U> {
  return { file, format, clock: clock.name, unit, origin: origin.toString(), ...timed(unit, { duration: length }) };
}

/** What the lengths in an answer are in, where nothing was converted. */
export function unitOf({ clock }: Pick<Trace, 'clock'>): Unit {
  return clock.unit === 'ticks' ? 'cycles' : 'ns';
}

/** Rows shown of one kind; there can be thousands. */
export const shownRows = 50;

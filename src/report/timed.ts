import type { Unit } from '../views/figures.ts';
import { integer } from './json.ts';

/** Lengths and moments under names that end in their unit, `total_ns` or `total_cycles`; null where there is none. */
export type Timed<Name extends string> = { [Full in `${Name}_${Unit}`]?: number | null };

/** Gives lengths and moments the names that JSON has for them. */
export function timed<const Name extends string>(unit: Unit, values: { readonly [N in Name]: number }): Timed<Name> {
  const named = Object.entries<number>(values).map(([name, value]) => [`${name}_${unit}`, integer(value)]);
  return Object.fromEntries(named) as Timed<Name>;
}

/** One of them; NaN where there is none. */
export function figure<Name extends string>(row: Timed<Name>, name: Name, unit: Unit): number {
  return row[`${name}_${unit}`] ?? Number.NaN;
}

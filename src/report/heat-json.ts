import type { Unit } from '../views/figures.ts';
import type { Heat } from '../views/heatmap.ts';
import { integer } from './json.ts';
import { type Timed, timed } from './timed.ts';

/** How many spans began in which stretch of time and took how long: a list of counts by latency for each stretch. */
export type HeatJson = Timed<'from' | 'to' | 'time_step'> & {
  [Name in `latency_edges_${Unit}`]?: (number | null)[];
} & { counts: number[][] };

/** A heat map for programs; times in `…_ns`, or the unit given. */
export function heatJson(heat: Heat, unit: Unit = 'ns'): HeatJson {
  return {
    ...timed(unit, { from: heat.from, to: heat.from + heat.step * heat.counts.length, time_step: heat.step }),
    [unit === 'ns' ? 'latency_edges_ns' : 'latency_edges_cycles']: heat.edges.map(integer),
    counts: heat.counts,
  };
}

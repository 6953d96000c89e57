import type { Unit } from '../views/figures.ts';
import type { Heat } from '../views/heatmap.ts';
import { columnsOf, type RowJson, rowJson } from './columns.ts';
import { integer } from './json.ts';

/** How many spans began in which stretch of time and took how long: a list of counts by latency for each stretch. */
export const heatColumns = columnsOf<Heat>()([
  { key: 'from', type: 'time', meaning: 'where the first stretch of time begins', of: ({ from }) => from },
  {
    key: 'to',
    type: 'time',
    meaning: 'where the last ends',
    of: ({ from, step, counts }) => from + step * counts.length,
  },
  { key: 'time_step', type: 'length', meaning: 'how long each is', of: ({ step }) => step },
  {
    key: 'latency_edges',
    type: 'length',
    meaning: 'a list: how long spans of each row are at least',
    of: ({ edges }): (number | null)[] => edges.map(integer),
  },
  {
    key: 'counts',
    type: 'object',
    meaning: 'a list for each stretch of time: how many spans began in it, by how long they took',
    of: ({ counts }): number[][] => counts,
  },
]);

export type HeatJson = RowJson<typeof heatColumns>;

/** A heat map for programs; times in `…_ns`, or the unit given. */
export function heatJson(heat: Heat, unit: Unit = 'ns'): HeatJson {
  return rowJson(heatColumns, heat, { unit, seconds: Number.NaN });
}

import { Aggregate, type StatsOptions } from './aggregate.ts';
import { HeatAggregate } from './heat.ts';
import { KeyedAggregate, KeyedCounts } from './keyed.ts';

/** Statistics of whole numbers; with `by`, of each of one or several values: `stats({ by: ['reason', 'vcpu'], unit: 'ns' })`. */
export function stats(options?: StatsOptions): Aggregate;
export function stats(options: StatsOptions & { by: string | readonly string[] }): KeyedAggregate;
export function stats(options: StatsOptions & { by?: string | readonly string[] } = {}): Aggregate | KeyedAggregate {
  const { by, ...rest } = options;
  return by === undefined ? new Aggregate(rest) : new KeyedAggregate({ by, ...rest });
}

/** Numbers of events by one or several values: `counts({ by: 'reason' })`. */
export function counts(options: { by: string | readonly string[] }): KeyedCounts {
  return new KeyedCounts(options.by);
}

/** Durations over time as a heat map. */
export function heatmap(): HeatAggregate {
  return new HeatAggregate();
}

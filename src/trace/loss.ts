/** A stretch in which the recorder says it lost events. Times are in the trace's units, from its origin. */
export type Loss = {
  /** Time of the last event known before the hole on this CPU; -Infinity where there is none. */
  from: number;
  /** Time of the first event known after it; Infinity where there is none. */
  to: number;
  /** The CPU whose buffer lost events, or -1 where it may have been any. */
  cpu: number;
  /** How many events; undefined where the recorder does not say. */
  count: number | undefined;
};

/** The clock that stamped a trace's events. Times of two traces compare only where the clocks agree. */
export type Clock = {
  /**
   * The kernel's name of the clock (`local`, `global`, `mono`, `mono_raw`, `boot`, `tai`, `uptime`, `perf`, `x86-tsc`,
   * `counter`), `realtime` for wall-clock stamps, `relative` for stamps that count from the
   * previous or first event, `none` where the input has no stamps at all, `unknown` where it does not say.
   */
  name: string;
  /** What one unit of an event's time is. `ticks` are cycles or counts of unknown length; `none` means no stamps. */
  unit: 'ns' | 'ticks' | 'none';
  /** The smallest step that the file can express, in units: 1, or 1000 for text with microseconds. */
  resolution: number;
  /** How it relates to other clocks, as far as the file says. */
  ties?: readonly ClockTie[] | undefined;
};

/** One moment on two clocks, as a recorder noted it. */
export type ClockTie = {
  /** Name of the other clock, which counts ns. */
  to: string;
  /** What to add to a time of the trace to have the time on the other clock (ns). */
  offset: bigint;
  /** Who noted it, for people: `perf's clock data`. */
  source: string;
};

/** Whether lengths of time can be had from a clock. The kernel's `counter` numbers events: like no stamps at all, it tells their order only. */
export function tellsTime({ unit, name }: Clock): boolean {
  return unit !== 'none' && name !== 'counter';
}

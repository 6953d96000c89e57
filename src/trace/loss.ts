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
  /** Why events must be missing although the recorder marks nothing; undefined where it says so itself. */
  unmarked?: Unmarked;
};

/** What cannot follow each other, so that events must be missing between; `silence` is a stretch without events like those of a recording's other such holes. */
export type Unmarked = {
  why: 'exit after exit' | 'entry after entry' | 'exit elsewhere' | 'switch after switch' | 'not scheduled' | 'silence';
  /** The thread whose event contradicts. */
  tid: number;
  /** Whether it is that thread's events that are missing, wherever it was; else they are the CPU's. */
  ofThread: boolean;
  /** Whether nothing else was recorded meanwhile, on any CPU. */
  alone: boolean;
};

import type { Clock } from './clock.ts';

/** How far a file is apart from another, as its events tell. */
export type Alignment = {
  file: string;
  clock: string;
  /** The file that it was compared with, on whose clock its times are put. */
  with: string;
  ofClock: string;
  /** What to add to its times, in units of that clock, and by how much that may be wrong. */
  unit: Clock['unit'];
  offset: bigint;
  within: number;
  /** What more to add to each unit after `since`, a time of the file: 0 where no drift shows. */
  rate: number;
  /** How many units of that clock one of its own is: other than 1 where one counts ticks and the other ns. */
  tick: number;
  /** The event that says the offset, where the other file has one. */
  by: string | undefined;
  since: bigint;
  /** Events that are in an order that can be, of those that could be in another; and between how many events of the other file. */
  agree: number;
  judged: number;
  stretches: number;
  /** How many other offsets were compared; and the share of the events that are in an order that can be with the best of them, where one could be judged. */
  tried: number;
  other: number | undefined;
};

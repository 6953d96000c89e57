import type { Window } from '../trace/analysis.ts';
import type { Loss } from '../trace/loss.ts';

/** What there is to say about how a trace was read, whatever was asked of it. */
export type Reading = {
  /** Events that the analyses were given. */
  events: number;
  /** Times of the first and last of them, from the trace's origin; NaN where there was none. */
  first: number;
  last: number;
  /** The stretch of the recording that the answer is about. */
  window: Window;
  /** Why the answer rests on a part of the input only, one sentence each; empty where it rests on all. */
  partial: string[];
  /** The holes that the recorder reported, the first `maxLosses` of them. */
  losses: Loss[];
  /** How many holes there were in all, and how many of these said how much they swallowed. */
  holes: number;
  counted: number;
  /** Events lost in the holes that say how many. */
  lost: number;
  /** Facts about the recording, one sentence each. */
  notes: string[];
};

/** Holes kept one by one; a hostile file could hold millions. */
const maxLosses = 10_000;

export function emptyReading(): Reading {
  return {
    events: 0,
    first: Number.NaN,
    last: Number.NaN,
    window: { from: 0, to: 0 },
    partial: [],
    losses: [],
    holes: 0,
    counted: 0,
    lost: 0,
    notes: [],
  };
}

export function addLoss(reading: Reading, loss: Loss): void {
  reading.holes++;
  if (loss.count !== undefined) {
    reading.counted++;
    reading.lost += loss.count;
  }
  if (reading.losses.length < maxLosses) reading.losses.push(loss);
}

import type { Alignment } from '../trace/alignment.ts';
import type { Window } from '../trace/analysis.ts';
import type { Loss, Unmarked } from '../trace/loss.ts';

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
  /** The holes, the first `maxLosses` of them. */
  losses: Loss[];
  /** How many holes the recorder marks, and how many of these say how much they swallowed. */
  holes: number;
  counted: number;
  /** Events lost in the holes that say how many. */
  lost: number;
  /** Holes that nothing marks. */
  unmarked: {
    /** How many contradictions there were, and how many silences like theirs. */
    contradictions: number;
    silences: number;
    /** The contradictions among `losses`, with the time stamps of the two events; filled when all is read. */
    places: UnmarkedPlace[];
  };
  /** Where holes came to light after what they make unsure was counted, which could not be taken back: a sentence. */
  late?: string | undefined;
  /** Facts about the recording, one sentence each. */
  notes: string[];
  /** How far files are apart whose clocks had to be found out. */
  alignments?: readonly Alignment[] | undefined;
};

/** Between which events of which thread events must be missing, `cpu` being -1 where the two are of different CPUs. */
export type UnmarkedPlace = Unmarked & { from: string; to: string; cpu: number };

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
    unmarked: { contradictions: 0, silences: 0, places: [] },
    notes: [],
  };
}

export function addLoss(reading: Reading, loss: Loss): void {
  const { unmarked } = reading;
  if (reading.losses.length < maxLosses) reading.losses.push(loss);
  if (loss.unmarked !== undefined) {
    if (loss.unmarked.why === 'silence') unmarked.silences++;
    else unmarked.contradictions++;
    return;
  }
  reading.holes++;
  if (loss.count !== undefined) {
    reading.counted++;
    reading.lost += loss.count;
  }
}

/** Takes over what there is to say of the stretch that follows. */
export function joinReading(reading: Reading, next: Reading): void {
  if (reading.events === 0) reading.first = next.first;
  if (next.events > 0) reading.last = next.last;
  reading.events += next.events;
  reading.losses.push(...next.losses.slice(0, maxLosses - reading.losses.length));
  reading.holes += next.holes;
  reading.counted += next.counted;
  reading.lost += next.lost;
  reading.unmarked.contradictions += next.unmarked.contradictions;
  reading.unmarked.silences += next.unmarked.silences;
}

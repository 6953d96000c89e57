import type { Alignment } from '../trace/alignment.ts';
import type { Reading } from '../views/reading.ts';
import { count, duration, percent, plural } from './units.ts';

/** What was found out of a file's clock, and why that is sure, as a note. */
export function alignmentNote(found: Alignment): string {
  const { agree, judged, stretches, other } = found;
  const drift = found.rate === 0 ? '' : `, with a drift of ${(found.rate * 1e6).toFixed(2)} ppm`;
  const rest = other === undefined ? 'no other comes near' : `the best of all others has ${share(other)}`;
  return (
    `${found.file}: its times (${found.clock}) are put on the clock ${found.ofClock} of ${found.with} by --align auto: ` +
    `${seconds(found.offset)} s, exact to ${duration(found.within)}${drift}. ` +
    `${count(agree)} of ${count(judged)} events are where their threads can have been, in ${plural(stretches, 'stretch', 'stretches')} (${share(agree / judged)}); ${rest}.`
  );
}

/** For who says no other notes: what comes out is events, or goes into a file. */
export function alignmentNotes({ alignments = [] }: Reading): string[] {
  return alignments.map(alignmentNote);
}

export function alignmentJson(found: Alignment): Record<string, string | number | null> {
  return {
    file: found.file,
    clock: found.clock,
    with: found.with,
    of_clock: found.ofClock,
    offset_ns: String(found.offset),
    within_ns: found.within,
    drift_ppm: found.rate * 1e6,
    since: String(found.since),
    agree: found.agree,
    judged: found.judged,
    stretches: found.stretches,
    tried: found.tried,
    other_share: found.other ?? null,
  };
}

/** A share that is all only where it is. */
function share(part: number): string {
  return part < 1 && part > 0.9995 ? 'over 99.95 %' : percent(part);
}

function seconds(ns: bigint): string {
  const digits = String(ns < 0n ? -ns : ns).padStart(10, '0');
  return `${ns < 0n ? '-' : '+'}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

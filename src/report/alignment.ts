import type { Alignment } from '../trace/alignment.ts';
import type { Reading } from '../views/reading.ts';
import { count, duration, percent, plural } from './units.ts';

/** What was found out of a file's clock, and why that is sure, as a note. */
export function alignmentNote(found: Alignment): string {
  const { agree, judged, stretches, other } = found;
  const ppm = driftOf(found) * 1e6;
  const drift = found.rate === found.tick - 1 ? '' : `, with a drift of ${ppm.toFixed(2)} ppm`;
  const rest = other === undefined ? 'no other comes near' : `the best of all others has ${share(other)}`;
  return (
    `${found.file}: its times (${found.clock}) are put on the clock ${found.ofClock} of ${found.with} by --align auto: ` +
    `${placed(found)}, ${certainty(found)}${drift}. ` +
    `${count(agree)} of ${count(judged)} events are where their threads can have been, in ${plural(stretches, 'stretch', 'stretches')} (${share(agree / judged)}); ${rest}.`
  );
}

/** What a time of the file becomes. */
function placed({ unit, tick, offset, since }: Alignment): string {
  if (tick === 1) return unit === 'ns' ? `${seconds(offset, '+')} s` : `${offset > 0n ? '+' : ''}${offset} ticks`;
  const there = since + offset;
  return unit === 'ns'
    ? `tick ${since} is ${seconds(there)} s, a tick ${tick.toPrecision(7)} ns`
    : `${seconds(since)} s is tick ${there}, a tick ${(1 / tick).toPrecision(7)} ns`;
}

function certainty({ unit, within, by }: Alignment): string {
  if (by !== undefined) return `as ${by} tells`;
  return `exact to ${unit === 'ns' ? duration(within) : plural(within, 'tick')}`;
}

/** How much quicker or slower its clock is, besides that it may count in other units. */
function driftOf({ rate, tick }: Alignment): number {
  return (1 + rate) / tick - 1;
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
    [`offset_${unitName(found)}`]: String(found.offset),
    [`within_${unitName(found)}`]: found.within,
    drift_ppm: driftOf(found) * 1e6,
    ...(found.tick === 1 ? {} : { tick: found.tick }),
    ...(found.by === undefined ? {} : { by: found.by }),
    since: String(found.since),
    agree: found.agree,
    judged: found.judged,
    stretches: found.stretches,
    tried: found.tried,
    other_share: found.other ?? null,
  };
}

function unitName({ unit }: Alignment): string {
  return unit === 'ns' ? 'ns' : 'cycles';
}

/** A share that is all only where it is. */
function share(part: number): string {
  return part < 1 && part > 0.9995 ? 'over 99.95 %' : percent(part);
}

function seconds(ns: bigint, plus = ''): string {
  const digits = String(ns < 0n ? -ns : ns).padStart(10, '0');
  return `${ns < 0n ? '-' : plus}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

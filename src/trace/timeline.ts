import type { Alignment } from './alignment.ts';
import type { Clock } from './clock.ts';
import { TraceError } from './error.ts';
import { type GuestOf, guestsAmong } from './guests.ts';
import { monotonic } from './recorders.ts';
import type { Trace } from './trace.ts';

/** How one of several traces is put on their common timeline. */
export type Placement = {
  trace: Trace;
  /** What to add to its times, in ns; and what more to each ns after `since`. */
  offset: bigint;
  rate: number;
  since: bigint;
  /** The host's trace, and its threads that are this trace's CPUs, where it is of a guest. */
  guest: GuestOf | undefined;
  alignment?: Alignment | undefined;
  /** Whether the user said how, or it was found out of events: not the files themselves. */
  said?: true;
  /** What a person should know of how it was placed, one sentence each. */
  notes: string[];
};

/** Several traces, and the clock that their timeline follows. */
export type Timeline = { clock: Clock; placements: Placement[] };

/** Clocks whose stamps of two recordings on one machine count from the same moment. */
const shared = new Set(['local', 'global', 'mono', 'mono_raw', 'boot', 'tai', 'uptime', 'perf', 'x86-tsc', 'realtime']);

/** Two notes of how far two clocks are apart that differ by more than this (ns) tell of a step of one of them. */
const step = 10_000_000n;

/** What to add to the times of a trace, in ns: the user's word, or what was found out. */
export type Shift = {
  offset: bigint;
  /** How much its clock goes astray: what more to add to each ns after `since`, a time of the trace. */
  rate?: number;
  since?: bigint;
  /** The threads of its host that are its CPUs, where it turned out to be of a guest. */
  guest?: GuestOf | undefined;
  /** Where it was found out. */
  alignment?: Alignment | undefined;
  notes?: readonly string[] | undefined;
};

/**
 * Puts traces on the timeline of the first for which no shift is given. Clocks agree where they have one name, where
 * a file ties its clock to the other's, or where a guest's times were put on its host's clock already. Throws a
 * TraceError, with the remedy, where they do not.
 */
export function timelineOf(traces: readonly Trace[], shifts: ReadonlyMap<Trace, Shift> = new Map()): Timeline {
  const { reference, places } = placesOf(traces, shifts);
  const placements = places.map((place) => {
    if (place instanceof Unplaced) throw place.error;
    return place;
  });
  for (const { trace, alignment } of placements)
    if (trace.clock.unit !== reference.clock.unit && alignment === undefined) throw disagreement(reference, trace);
  return {
    clock: { ...reference.clock, resolution: Math.max(...traces.map((trace) => trace.clock.resolution)) },
    placements,
  };
}

function lineOf({ offset, rate = 0, since = 0n }: Shift): Pick<Placement, 'offset' | 'rate' | 'since'> {
  return { offset, rate, since };
}

/** A trace that nothing ties to the others. */
export class Unplaced {
  readonly trace: Trace;
  readonly error: TraceError;
  /** Where it is of a guest that its host's recording names. */
  readonly guest: GuestOf | undefined;

  constructor(trace: Trace, error: TraceError, guest?: GuestOf) {
    this.trace = trace;
    this.error = error;
    this.guest = guest;
  }
}

/** Where each of the traces stands on the timeline of the reference, as far as files and shifts tell. */
export function placesOf(
  traces: readonly Trace[],
  shifts: ReadonlyMap<Trace, Shift>,
): { reference: Trace; places: (Placement | Unplaced)[] } {
  const guests = guestsAmong(traces);
  for (const [trace, { guest }] of shifts) if (guest !== undefined) guests.set(trace, guest);
  const reference = traces.find((trace) => !shifts.has(trace) && !guests.has(trace)) ?? (traces[0] as Trace);
  const ties = new Ties(traces);
  const places = traces.map((trace): Placement | Unplaced => {
    const guest = guests.get(trace);
    const given = shifts.get(trace);
    if (given !== undefined) {
      if (trace.clock.unit === 'none') return new Unplaced(trace, disagreement(reference, trace));
      return {
        trace,
        ...lineOf(given),
        guest,
        alignment: given.alignment,
        said: true,
        notes: [...(given.notes ?? [])],
      };
    }
    if (guest?.synchronised === false) return new Unplaced(trace, unsynchronised(trace, guest), guest);
    const from = guest?.host ?? trace;
    // What is said of a host holds for its guests, whose times are on its clock.
    const host = guest?.host === undefined ? undefined : shifts.get(guest.host);
    if (host !== undefined) return { trace, ...lineOf(host), guest, notes: [] };
    const other = guest === undefined ? otherMachine(reference, trace) : undefined;
    if (other !== undefined) return new Unplaced(trace, ofAnother(trace, other));
    const way = ties.between(from, reference);
    if (way === undefined) return new Unplaced(trace, disagreement(reference, from));
    const notes = way.notes.map((note) => `${trace.file}: ${note}`);
    if (guest !== undefined && guest.host === undefined) {
      notes.push(
        `${trace.file}: it is of a guest, and the recording of its host that names its vCPUs is not among the files.`,
      );
    }
    return { trace, ...lineOf(way), guest, notes };
  });
  return { reference, places };
}

/** That a trace was recorded on another machine, or since another boot: its clock has the same name, but counts from another moment. */
export function otherMachine(reference: Trace, trace: Trace): string | undefined {
  const [a, b] = [reference.recordedOn, trace.recordedOn];
  const differs = (x: string | undefined, y: string | undefined) => x && y && x !== y;
  if (differs(a?.host, b?.host)) return `was recorded on ${b?.host}, and ${reference.file} on ${a?.host}`;
  if (differs(a?.release, b?.release))
    return `was recorded on Linux ${b?.release}, and ${reference.file} on ${a?.release}`;
  if (reference.cpus !== undefined && trace.cpus !== undefined && reference.cpus !== trace.cpus)
    return `was recorded on a machine with ${trace.cpus} CPUs, and ${reference.file} on one with ${reference.cpus}`;
  if (otherBoot(reference.clock, trace.clock))
    return `was recorded since another boot than ${reference.file}: the wall clock tells that their clocks (${trace.clock.name}) count from other moments`;
  return undefined;
}

function ofAnother(trace: Trace, problem: string): TraceError {
  return new TraceError(
    trace.file,
    problem,
    undefined,
    `recordings of one machine and time. Of a guest and its host \`--align auto\` finds out how they belong together, \`--offset\` says it`,
  );
}

/** A wall clock is set by less than this (ns) while a machine runs. */
const longestStep = 60_000_000_000n;

function otherBoot(a: Clock, b: Clock): boolean {
  if (a.name !== b.name) return false;
  const [x, y] = [a, b].map(({ ties }) => ties?.find(({ to }) => to === 'realtime')?.offset);
  return x !== undefined && y !== undefined && absolute(x - y) > longestStep;
}

type Way = { offset: bigint; notes: string[] };

/** The clocks of the traces as a graph: what the files say of how far two are apart are its edges. */
class Ties {
  readonly #edges = new Map<string, { to: string; offset: bigint; source: string; trace: Trace }[]>();
  readonly #traces: readonly Trace[];

  constructor(traces: readonly Trace[]) {
    this.#traces = traces;
    for (const trace of traces) {
      for (const { to, offset, source } of trace.clock.ties ?? []) {
        const [a, b] = [this.#key(trace), `${to}/ns`];
        this.#add(a, { to: b, offset, source, trace });
        this.#add(b, { to: a, offset: -offset, source, trace });
      }
    }
  }

  /** What to add to times of one trace to have those of the other, and how that is known. */
  between(from: Trace, to: Trace): Way | undefined {
    const goal = this.#key(to);
    const start = this.#key(from);
    if (start === goal) return { offset: 0n, notes: [] };
    const seen = new Map<string, Way>([[start, { offset: 0n, notes: [] }]]);
    for (const [clock, way] of seen) {
      for (const edge of this.#edges.get(clock) ?? []) {
        if (seen.has(edge.to)) {
          continue;
        }
        const note = this.#note(clock, edge);
        const next = { offset: way.offset + edge.offset, notes: [...way.notes, note] };
        if (edge.to === goal) return next;
        seen.set(edge.to, next);
      }
    }
    return undefined;
  }

  /** The name of a trace's clock, the same for two where they may be compared. */
  #key(trace: Trace): string {
    const { name, unit } = trace.clock;
    if (shared.has(name) && unit !== 'none') return `${name}/${unit}`;
    // Text that does not name its clock: two outputs of one tool are most likely parts of one recording.
    if (name === 'unknown' && unit !== 'none') return `unknown/${unit}/${trace.format}`;
    return `${name}/${unit}/${this.#traces.indexOf(trace)}`;
  }

  #add(from: string, edge: { to: string; offset: bigint; source: string; trace: Trace }): void {
    const edges = this.#edges.get(from);
    if (edges === undefined) this.#edges.set(from, [edge]);
    else edges.push(edge);
  }

  #note(clock: string, edge: { to: string; offset: bigint; source: string; trace: Trace }): string {
    const [a, b] = [clock, edge.to].map((key) => key.split('/')[0] as string);
    const other = this.#edges
      .get(clock)
      ?.find((one) => one.to === edge.to && absolute(one.offset - edge.offset) > step);
    const stepped =
      other === undefined
        ? ''
        : `; ${other.source} in ${other.trace.file} says otherwise, by ${seconds(absolute(other.offset - edge.offset))}: the wall clock was stepped between`;
    return (
      `its times (${a}) are put on the clock ${b} by ${edge.source} in ${edge.trace.file}${stepped}. ` +
      'That is as exact as its two readings were close (microseconds, 0.1 ms on a slow machine), unless the wall clock was stepped between them and the end: nothing in the files would tell.'
    );
  }
}

function absolute(n: bigint): bigint {
  return n < 0n ? -n : n;
}

function seconds(ns: bigint): string {
  return `${Number(ns) / 1e9} s`;
}

function clockName(clock: Clock): string {
  if (clock.name === 'unknown') return 'not named in the file';
  if (clock.name === 'none') return 'none: it has no time stamps';
  return clock.unit === 'ticks' ? `${clock.name}, in ticks of unknown length` : clock.name;
}

function unsynchronised(trace: Trace, guest: GuestOf): TraceError {
  return new TraceError(
    trace.file,
    `is of the guest ${guest.name}, and its times were not put on the clock of its host`,
    undefined,
    `a recording of both by \`trace-cmd record … -A ${guest.name} …\` with time synchronisation (--tsync-interval). \`--align auto\` finds out how far they are apart, \`--offset\` says it`,
  );
}

function disagreement(a: Trace, b: Trace): TraceError {
  const same = a.clock.name === b.clock.name && a.clock.unit === b.clock.unit;
  const problem = same
    ? `its clock (${clockName(b.clock)}) cannot be compared with that of ${a.file}`
    : `its clock (${clockName(b.clock)}) is not that of ${a.file} (${clockName(a.clock)})`;
  return new TraceError(b.file, problem, undefined, remedy(a, b));
}

/** What to record instead, or how to find the offset, for two clocks that do not agree. */
function remedy(a: Trace, b: Trace): string {
  const again = `one clock for all: ${[...new Set([a, b].flatMap(record))].join('; ')}`;
  const counted = [a, b].every((trace) => trace.clock.unit === 'ns');
  return counted ? `${again}. \`--align auto\` finds out how far they are apart, \`--offset\` says it` : again;
}

/** How a recorder is told to use CLOCK_MONOTONIC; nothing where the trace is on it. */
function record({ clock, traits }: Trace): string[] {
  if (clock.name === 'mono' && clock.unit === 'ns') return [];
  return [monotonic[traits?.recorder ?? 'other']];
}

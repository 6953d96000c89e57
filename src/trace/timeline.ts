import type { Clock } from './clock.ts';
import { TraceError } from './error.ts';
import { type GuestOf, guestsAmong } from './guests.ts';
import type { Trace } from './trace.ts';

/** How one of several traces is put on their common timeline. */
export type Placement = {
  trace: Trace;
  /** What to add to its times, in ns. */
  offset: bigint;
  /** The host's trace, and its threads that are this trace's CPUs, where it is of a guest. */
  guest: GuestOf | undefined;
  /** What a person should know of how it was placed, one sentence each. */
  notes: string[];
};

/** Several traces, and the clock that their timeline follows. */
export type Timeline = { clock: Clock; placements: Placement[] };

/** Clocks whose stamps of two recordings on one machine count from the same moment. */
const shared = new Set(['local', 'global', 'mono', 'mono_raw', 'boot', 'tai', 'uptime', 'perf', 'x86-tsc', 'realtime']);

/** Two notes of how far two clocks are apart that differ by more than this (ns) tell of a step of one of them. */
const step = 10_000_000n;

/**
 * Puts traces on the timeline of the first for which the user gives no offset (what to add to its times, in ns). Clocks agree where they have one name, where
 * a file ties its clock to the other's, or where a guest's times were put on its host's clock already. Throws a
 * TraceError, with the remedy, where they do not.
 */
export function timelineOf(traces: readonly Trace[], offsets: ReadonlyMap<Trace, bigint> = new Map()): Timeline {
  const guests = guestsAmong(traces);
  const reference = traces.find((trace) => !offsets.has(trace) && !guests.has(trace)) ?? (traces[0] as Trace);
  const ties = new Ties(traces);
  const placements = traces.map((trace): Placement => {
    const guest = guests.get(trace);
    const given = offsets.get(trace);
    if (given !== undefined) return { trace, offset: given, guest, notes: givenNotes(trace, reference) };
    if (guest?.synchronised === false) throw unsynchronised(trace, guest);
    const from = guest?.host ?? trace;
    // What the user says of a host holds for its guests, whose times are on its clock.
    const host = guest?.host === undefined ? undefined : offsets.get(guest.host);
    if (host !== undefined) return { trace, offset: host, guest, notes: [] };
    if (guest === undefined) sameMachine(reference, trace);
    const way = ties.between(from, reference);
    if (way === undefined) throw disagreement(reference, from);
    const notes = way.notes.map((note) => `${trace.file}: ${note}`);
    if (guest !== undefined && guest.host === undefined) {
      notes.push(
        `${trace.file}: it is of a guest, and the recording of its host that names its vCPUs is not among the files.`,
      );
    }
    return { trace, offset: way.offset, guest, notes };
  });
  for (const { trace } of placements)
    if (trace.clock.unit !== reference.clock.unit) throw disagreement(reference, trace);
  return {
    clock: { ...reference.clock, resolution: Math.max(...traces.map((trace) => trace.clock.resolution)) },
    placements,
  };
}

/** Refuses what was recorded on another machine, or since another boot: its clock has the same name, but counts from another moment. */
function sameMachine(reference: Trace, trace: Trace): void {
  const [a, b] = [reference.machine, trace.machine];
  const differs = (x: string | undefined, y: string | undefined) => x && y && x !== y;
  let problem: string | undefined;
  if (differs(a?.host, b?.host)) problem = `was recorded on ${b?.host}, and ${reference.file} on ${a?.host}`;
  else if (differs(a?.release, b?.release))
    problem = `was recorded on Linux ${b?.release}, and ${reference.file} on ${a?.release}`;
  else if (reference.cpus !== undefined && trace.cpus !== undefined && reference.cpus !== trace.cpus)
    problem = `was recorded on a machine with ${trace.cpus} CPUs, and ${reference.file} on one with ${reference.cpus}`;
  else if (otherBoot(reference.clock, trace.clock))
    problem = `was recorded since another boot than ${reference.file}: the wall clock tells that their clocks (${trace.clock.name}) count from other moments`;
  if (problem === undefined) return;
  throw new TraceError(
    trace.file,
    problem,
    undefined,
    `recordings of one machine and time, or --offset '${trace.file}=1.5s', which says how they belong together`,
  );
}

/** A wall clock is set by less than this (ns) while a machine runs. */
const longestStep = 60_000_000_000n;

function otherBoot(a: Clock, b: Clock): boolean {
  if (a.name !== b.name) return false;
  const [x, y] = [a, b].map(({ ties }) => ties?.find(({ to }) => to === 'realtime')?.offset);
  return x !== undefined && y !== undefined && absolute(x - y) > longestStep;
}

function givenNotes(trace: Trace, reference: Trace): string[] {
  if (trace.clock.unit === 'none') throw disagreement(reference, trace);
  return [];
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
    `a recording of both by \`trace-cmd record … -A ${guest.name} …\` with time synchronisation (--tsync-interval), or --offset '${trace.file}=1.5s', which adds 1.5 s to its times`,
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
  return counted ? `${again}. Or say how far they are apart: ${offsetAdvice(a, b)}` : again;
}

/** How a recorder is told to use CLOCK_MONOTONIC; nothing where the trace is on it. */
function record({ clock, format }: Trace): string[] {
  if (clock.name === 'mono' && clock.unit === 'ns') return [];
  switch (format) {
    case 'perf.data':
    case 'perf script':
      return ['`perf record -k CLOCK_MONOTONIC …`'];
    case 'qemu log':
      return [
        "QEMU's simpletrace, which stamps with CLOCK_MONOTONIC, or beside QEMU's log `perf record -k CLOCK_MONOTONIC …`, which notes the wall clock, or `trace-cmd record --date …`",
      ];
    default:
      return ['`trace-cmd record -C mono …`'];
  }
}

/** clock_gettime's names. */
const clockIds: Record<string, string> = {
  mono: 'MONOTONIC',
  realtime: 'REALTIME',
  boot: 'BOOTTIME',
  mono_raw: 'MONOTONIC_RAW',
  tai: 'TAI',
};

/** An --offset, with a command that prints it where there is one. */
function offsetAdvice(a: Trace, b: Trace): string {
  const [to, from] = [clockIds[a.clock.name], clockIds[b.clock.name]];
  if (to === undefined || from === undefined || to === from) {
    return `--offset '${b.file}=1.5s' adds 1.5 s to its times`;
  }
  const now = (id: string) => `t.clock_gettime_ns(t.CLOCK_${id})`;
  return (
    `--offset '${b.file}=N', N from \`python3 -c 'import time as t; print(${now(to)} - ${now(from)})'\` ` +
    'on the machine that recorded, if neither a restart nor a change of its wall clock came between'
  );
}

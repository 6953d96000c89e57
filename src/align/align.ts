import type { Alignment } from '../trace/alignment.ts';
import { TraceError } from '../trace/error.ts';
import type { GuestOf } from '../trace/guests.ts';
import { placesOf, type Shift, Unplaced } from '../trace/timeline.ts';
import type { Trace } from '../trace/trace.ts';
import { type Evidence, evidenceOf, type Kind, type Stretches } from './evidence.ts';
import { type Fit, type Search, type Side, search } from './search.ts';

/** Fewer stretches prove nothing. */
const fewestStretches = 50;
/** A greater share of events in an order that cannot be is no proof; and the best other offset must have at least so many, and so many times as many, more. */
const mostWrong = 0.25;
const leastLead = 0.05;
const leastFactor = 4;
/** An offset that is not known any better (ns) puts events of a thread between others of another. */
const widest = 2e6;

/** Clocks that the kernel steers alike: one is as quick as the other. */
const steered = new Set(['mono', 'boot', 'tai', 'realtime']);

/**
 * What to add to the times of those of the files that nothing ties to the others, found from their events, for `mergeTraces`. `open` opens one of them
 * anew. Throws a TraceError where that is not sure.
 */
export async function alignTraces(
  traces: readonly Trace[],
  shifts: ReadonlyMap<Trace, Shift>,
  open: (trace: Trace) => Promise<Trace>,
): Promise<Map<Trace, Shift & { alignment: Alignment }>> {
  const found = new Map<Trace, Shift & { alignment: Alignment }>();
  const { reference, places } = placesOf(traces, shifts);
  const known = new Map<Trace, Promise<Evidence>>();
  const evidence = (trace: Trace) => {
    let own = known.get(trace);
    if (own === undefined) {
      own = open(trace).then(evidenceOf);
      known.set(trace, own);
    }
    return own;
  };
  // What is placed already, the reference first, and what will be.
  const resting = new Map(
    places.flatMap((place) => (place instanceof Unplaced ? [] : [[place.trace, place] as const])),
  );
  let left = places.filter((place) => place instanceof Unplaced);
  while (left.length > 0) {
    let why: TraceError | undefined;
    const before = left.length;
    for (const place of left) {
      const { trace } = place;
      if (trace.clock.unit !== 'ns' || reference.clock.unit !== 'ns') throw place.error;
      for (const other of place.guest?.host === undefined ? resting.keys() : [place.guest.host]) {
        const base = resting.get(other);
        if (base === undefined || other.clock.unit !== 'ns') continue;
        const result = alignPair(place, other, await evidence(trace), await evidence(other));
        if (result instanceof TraceError) {
          why ??= result;
          continue;
        }
        const { alignment, guest } = result;
        const { rate, since } = alignment;
        const shift = { offset: alignment.offset + base.offset, rate, since, guest, alignment };
        found.set(trace, shift);
        resting.set(trace, { trace, ...shift, notes: [] });
        break;
      }
    }
    left = left.filter(({ trace }) => !resting.has(trace));
    if (left.length === before) throw why ?? (left[0] as Unplaced).error;
  }
  return found;
}

type Pair = { alignment: Alignment; guest: GuestOf | undefined };

/** How far a trace is apart from another, as threads of one machine or as guest and host; or why that is not sure. */
function alignPair(place: Unplaced, other: Trace, moving: Evidence, resting: Evidence): Pair | TraceError {
  const { trace, guest, elsewhere } = place;
  const alike = steered.has(trace.clock.name) && steered.has(other.clock.name);
  if (guest === undefined && !elsewhere) {
    const sides = [
      ...sidesOf('user', moving, resting),
      ...sidesOf('kernel', moving, resting),
      ...vcpuSides(moving, resting, true),
      ...vcpuSides(resting, moving, false),
    ];
    if (sides.length > 0) {
      const result = verdict(trace, other, moving, resting, search(sides, alike));
      return result instanceof TraceError ? result : { alignment: result, guest: undefined };
    }
  }
  const tids = guest?.tids ?? vcpuThreads(resting);
  const sides = guestSides(tids, moving, resting);
  if (sides.length > 0) {
    const result = verdict(trace, other, moving, resting, search(sides, false));
    if (result instanceof TraceError) return elsewhere ? place.error : result;
    return { alignment: result, guest: { host: other, name: guest?.name ?? 'guest', tids, synchronised: true } };
  }
  if (elsewhere) return place.error;
  return new TraceError(
    trace.file,
    `nothing in it must stand in one order with what is in ${other.file}`,
    undefined,
    "for --align auto recordings of the same threads: sched:sched_switch, kvm:kvm_userspace_exit or system calls in the kernel's, thread ids in QEMU's",
  );
}

/** A guest's CPUs as its host's threads, where the host has one machine only. */
function vcpuThreads({ vcpus }: Evidence): (number | undefined)[] {
  const tids: (number | undefined)[] = [];
  for (const [vcpu, threads] of vcpus) if (threads.length === 1) tids[vcpu] = threads[0];
  return tids;
}

function sidesOf(kind: Kind, moving: Evidence, resting: Evidence): Side[] {
  const blur = moving.blur + resting.blur;
  const out: Side[] = [];
  for (const [tid, points] of moving.points[kind]) add(out, points, resting.walls[kind].get(tid), blur, true);
  for (const [tid, points] of resting.points[kind]) add(out, points, moving.walls[kind].get(tid), blur, false);
  return out;
}

/** What QEMU traced of vCPUs, where it does not say on which threads, and what the kernel knows of these. */
function vcpuSides(qemu: Evidence, kernel: Evidence, moving: boolean): Side[] {
  const out: Side[] = [];
  const tids = vcpuThreads(kernel);
  for (const [vcpu, points] of qemu.byVcpu) {
    const tid = tids[vcpu];
    if (tid !== undefined) add(out, points, kernel.walls.user.get(tid), qemu.blur + kernel.blur, moving);
  }
  return out;
}

function guestSides(tids: readonly (number | undefined)[], moving: Evidence, resting: Evidence): Side[] {
  const out: Side[] = [];
  tids.forEach((tid, vcpu) => {
    const points = moving.points.guest.get(vcpu);
    if (tid !== undefined && points !== undefined)
      add(out, points, resting.walls.guest.get(tid), moving.blur + resting.blur, true);
  });
  return out;
}

/** The walls are as much smaller as stamps may be wrong. */
function add(sides: Side[], points: Float64Array, walls: Stretches | undefined, blur: number, moving: boolean): void {
  if (walls === undefined) return;
  const from: number[] = [];
  const to: number[] = [];
  for (let i = 0; i < walls.starts.length; i++) {
    const [start, end] = [(walls.starts[i] as number) + blur, (walls.ends[i] as number) - blur];
    if (end <= start) continue;
    from.push(start);
    to.push(end);
  }
  if (from.length === 0) return;
  const turned = (times: ArrayLike<number>) => Float64Array.from(times, (time) => -time).reverse();
  sides.push(
    moving
      ? { moving, points, starts: Float64Array.from(from), ends: Float64Array.from(to) }
      : { moving, points: turned(points), starts: turned(to), ends: turned(from) },
  );
}

/** What was found, where it is proven; else why it is not. */
function verdict(
  trace: Trace,
  other: Trace,
  moving: Evidence,
  resting: Evidence,
  { best, other: rival, tried }: Search,
): Alignment | TraceError {
  const refuse = (problem: string) =>
    new TraceError(
      trace.file,
      `--align auto cannot tell how its clock and that of ${other.file} are apart: ${problem}`,
      undefined,
      'recordings of one run with more in common, or --offset',
    );
  if (best === undefined || best.judged === 0)
    return refuse('they have too few events of the same threads at one time');
  const { judged, wrong, stretches } = best;
  const agree = judged - wrong;
  if (wrong > judged * mostWrong)
    return refuse(
      `with the best of ${tried} offsets ${percent(wrong / judged)} of the events are where their threads cannot have been`,
    );
  if (stretches < fewestStretches) return refuse(`only ${stretches} moments say so, ${fewestStretches} are needed`);
  const rivalWrong = rival === undefined ? 1 : rival.wrong / rival.judged;
  if (rivalWrong < wrong / judged + leastLead || rivalWrong < (leastFactor * wrong) / judged)
    return refuse(
      `the best offset has ${percent(wrong / judged)} of the events where their threads cannot have been, another one ${percent(rivalWrong)}`,
    );
  if (best.to - best.from > widest)
    return refuse(`the order of events leaves ${((best.to - best.from) / 1e6).toFixed(1)} ms open`);
  return {
    file: trace.file,
    clock: trace.clock.name,
    with: other.file,
    ofClock: other.clock.name,
    ...shiftOf(best, moving, resting),
    judged,
    agree,
    stretches,
    tried,
    other: rival === undefined ? undefined : 1 - rivalWrong,
  };
}

/** A line between times from the two traces' beginnings, as what to add to absolute times. */
function shiftOf(
  { offset, rate, pivot, from, to }: Fit,
  moving: Evidence,
  resting: Evidence,
): Pick<Alignment, 'offset' | 'within' | 'rate' | 'since'> {
  // The room is not the same on both sides: the middle is as near to the truth as can be.
  const middle = Math.round(offset + (from + to) / 2);
  const half = Math.ceil((to - from) / 2) + 1;
  const since = moving.origin + BigInt(Math.round(pivot));
  return { offset: resting.origin - moving.origin + BigInt(middle), within: half, rate, since };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

import type { Alignment } from '../trace/alignment.ts';
import { TraceError } from '../trace/error.ts';
import type { GuestOf } from '../trace/guests.ts';
import { otherMachine, placesOf, type Shift, Unplaced } from '../trace/timeline.ts';
import type { Trace } from '../trace/trace.ts';
import { type Evidence, evidenceOf, inUnits, type Kind, type Stretches } from './evidence.ts';
import { type Fit, fitAt, type Search, type Side, search } from './search.ts';

/** Fewer stretches prove nothing. */
const fewestStretches = 50;
/** A greater share of events in an order that cannot be is no proof; and the best other offset must have at least so many, and so many times as many, more. */
const mostWrong = 0.25;
const leastLead = 0.05;
const leastFactor = 4;
/** An offset that is not known any better (ns) puts events of a thread between others of another. */
const widest = 2e6;

/** An offset that an event says must put hardly any events where they cannot be, and do so by accident no more often than this. */
const mostWrongSaid = 0.01;
const accident = 1e-9;
/** Offsets this near are no others; and those at which it is looked how often an event is where it can be by accident are so many times as far. */
const near = 1e6;
const accidentSteps = 7.3;
/** The length of a tick is told twice, where it differs by no more than this. */
const sameTick = 1e-5;
/** Offsets at which it is looked how often an event is where it can be by accident. */
const accidents = 64;

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
  const { places } = placesOf(traces, shifts);
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
  const resting = new Map<Trace, Line>(
    places.flatMap((place) => (place instanceof Unplaced ? [] : [[place.trace, place] as const])),
  );
  const settle = (trace: Trace, { alignment, guest }: Pair, base: Line) => {
    const shift = { ...after(alignment, base), guest, alignment };
    found.set(trace, shift);
    resting.set(trace, shift);
  };
  let left = places.filter((place) => place instanceof Unplaced);
  while (left.length > 0) {
    let why: Refused | undefined;
    const refuse = (refused: Refused) => {
      if (why === undefined || (refused.compared && !why.compared)) why = refused;
    };
    const before = left.length;
    for (const place of left) {
      const { trace, guest } = place;
      for (const other of guest?.host === undefined ? [...resting.keys()] : [guest.host]) {
        const base = resting.get(other);
        if (base === undefined) continue;
        const [own, its] = [await evidence(trace), await evidence(other)];
        const result = alignPair(trace, guest, other, own, its);
        if ('alignment' in result) {
          settle(trace, result, base);
          break;
        }
        refuse(result);
        // The guest may be the one that was named first.
        if (guest !== undefined || resting.size > 1 || otherMachine(other, trace) === undefined) continue;
        const turned = alignPair(other, undefined, trace, its, own);
        if ('alignment' in turned) {
          resting.clear();
          resting.set(trace, still);
          settle(other, turned, still);
          break;
        }
        refuse(turned);
      }
    }
    left = left.filter(({ trace }) => !resting.has(trace));
    if (left.length === before) throw why?.error ?? (left[0] as Unplaced).error;
  }
  return found;
}

type Line = Pick<Alignment, 'offset' | 'rate' | 'since'>;

const still: Line = { offset: 0n, rate: 0, since: 0n };

/** A line to a clock, and from there by another line. */
function after({ offset, rate, since }: Line, base: Line): Line {
  const moved = BigInt(Math.round(Number(since + offset - base.since) * base.rate));
  return { offset: offset + base.offset + moved, rate: rate + base.rate + rate * base.rate, since };
}

type Pair = { alignment: Alignment; guest: GuestOf | undefined };

/** Why it is not sure how far two traces are apart, and whether they could be compared at all. */
type Refused = { error: TraceError; compared: boolean };

/** How far a trace is apart from another, as threads of one machine or as guest and host; or why that is not sure. */
function alignPair(
  trace: Trace,
  guest: GuestOf | undefined,
  other: Trace,
  own: Evidence,
  resting: Evidence,
): Pair | Refused {
  const elsewhere = otherMachine(other, trace);
  const refused = (why: string, remedy = 'recordings of one run with more in common', compared = true): Refused => {
    const problem =
      elsewhere === undefined
        ? `--align auto cannot tell how its clock and that of ${other.file} are apart: ${why}`
        : `${elsewhere}, and --align auto cannot tell them for a guest and its host: ${why}`;
    return { error: new TraceError(trace.file, problem, undefined, `${remedy}, or --offset`), compared };
  };
  const tick = tickOf(trace, other, own, resting);
  if (tick === undefined)
    return refused(
      'a tick of the one is of unknown length',
      "ns in both (trace-cmd record -C mono), x86-tsc in both, or kvm:kvm_pvclock_update in the host's",
      false,
    );
  const moving = inUnits(own, tick);
  const pair: Compared = { trace, other, moving, resting, tick };
  const ticks = [trace, other].every(({ clock }) => clock.unit === 'ticks');
  const alike = ticks || (steered.has(trace.clock.name) && steered.has(other.clock.name));
  if (guest === undefined && elsewhere === undefined) {
    const sides = [
      ...sidesOf('user', moving, resting),
      ...sidesOf('kernel', moving, resting),
      ...vcpuSides(moving, resting, true),
      ...vcpuSides(resting, moving, false),
    ];
    if (sides.length > 0) {
      const result = verdict(pair, search(sides, alike));
      return typeof result === 'string' ? refused(result) : { alignment: result, guest: undefined };
    }
  }
  let why: string | undefined;
  const proven: Pair[] = [];
  for (const tids of guest === undefined ? machinesOf(resting) : [guest.tids]) {
    const sides = guestSides(tids, moving, resting);
    if (sides.length === 0) continue;
    const searched = search(sides, ticks);
    const result = (ticks ? saidByHost(pair, sides, tids, searched) : undefined) ?? verdict(pair, searched);
    if (typeof result === 'string') why ??= result;
    else
      proven.push({
        alignment: result,
        guest: { host: other, name: guest?.name ?? 'guest', tids, synchronised: true },
      });
  }
  if (proven.length === 1) return proven[0] as Pair;
  if (proven.length > 1) return refused(`it could be of ${proven.length} of its guests`);
  if (why !== undefined) return refused(why);
  return refused(
    'nothing in the one must stand in one order with what is in the other',
    "recordings of the same threads (sched:sched_switch, kvm:kvm_userspace_exit or system calls in the kernel's, thread ids in QEMU's), or of a host's kvm:kvm_entry and kvm:kvm_exit and of its guest",
    false,
  );
}

/** How many units of the other's clock one of a trace's own is, where that is known. */
function tickOf(trace: Trace, other: Trace, own: Evidence, resting: Evidence): number | undefined {
  const counters = [trace, other].filter(({ clock }) => clock.unit !== 'ns');
  if (counters.length === 0) return 1;
  // All CPUs of a host, and what of them a guest sees, count alike, where it is the TSC that they count.
  if (counters.some(({ clock }) => clock.name !== 'x86-tsc')) return undefined;
  if (counters.length === 2) return 1;
  const lengths = [...own.tickLengths.values(), ...resting.tickLengths.values()];
  const [length] = lengths;
  if (length === undefined || lengths.some((one) => Math.abs(one / length - 1) > sameTick)) return undefined;
  return trace.clock.unit === 'ns' ? 1 / length : length;
}

/** The threads that are the CPUs of each guest of a host, as far as its recording tells them apart. */
function machinesOf({ vcpus, tscOffsets }: Evidence): (number | undefined)[][] {
  const alone = vcpuThreads({ vcpus });
  if ([...vcpus.values()].every(({ length }) => length === 1)) return [alone];
  // The TSC of all CPUs of a guest is as far from the host's, and of each guest another length, as they were not made at one moment.
  const byOffset = new Map<bigint, Map<number, number[]>>();
  for (const [vcpu, threads] of vcpus)
    for (const tid of threads) {
      const offset = tscOffsets.get(tid)?.at(-1);
      if (offset === undefined) continue;
      const own = byOffset.get(offset) ?? new Map<number, number[]>();
      byOffset.set(offset, own.set(vcpu, [...(own.get(vcpu) ?? []), tid]));
    }
  return [alone, ...[...byOffset.values()].map((own) => vcpuThreads({ vcpus: own }))];
}

/** A guest's CPUs as its host's threads, where the host has one machine only. */
function vcpuThreads({ vcpus }: Pick<Evidence, 'vcpus'>): (number | undefined)[] {
  const tids: (number | undefined)[] = [];
  for (const [vcpu, threads] of vcpus) if (threads.length === 1) tids[vcpu] = threads[0];
  return tids;
}

/**
 * Where KVM tells how far the guest's TSC is from the host's (kvm_write_tsc_offset), and both count it, that is the offset to the tick: proven by the
 * entries and exits around the guest's events. Undefined where it is not said.
 */
function saidByHost(
  pair: Compared,
  sides: readonly Side[],
  tids: readonly (number | undefined)[],
  searched: Search,
): Alignment | string | undefined {
  const { moving, resting, other } = pair;
  const offsets = new Set(tids.flatMap((tid) => (tid === undefined ? [] : (resting.tscOffsets.get(tid) ?? []))));
  let fit: Fit | undefined;
  for (const offset of offsets) {
    const found = fitAt(sides, Number(moving.origin - offset - resting.origin));
    if (found.judged > 0 && (fit === undefined || found.wrong / found.judged < fit.wrong / fit.judged)) fit = found;
  }
  if (fit === undefined) return undefined;
  const { judged, wrong, stretches, offset } = fit;
  if (wrong > judged * mostWrongSaid) {
    const result = verdict(pair, searched);
    return typeof result === 'string'
      ? `kvm:kvm_write_tsc_offset in ${other.file} tells an offset of the TSC with which ${percent(wrong / judged)} of the events are where their vCPUs were outside the guest`
      : result;
  }
  let [free, all] = [0, 0];
  for (let n = 1; n <= accidents; n++) {
    const there = fitAt(sides, offset + (n % 2 === 0 ? n : -n) * near * accidentSteps);
    free += there.judged - there.wrong;
    all += there.judged;
  }
  if (all === 0 || (free / all) ** stretches > accident)
    return `the offset that kvm:kvm_write_tsc_offset in ${other.file} tells would fit by accident: the guest's events are in ${stretches} stretches between exits`;
  const { best, other: rival, tried } = searched;
  const elsewhere = best !== undefined && Math.abs(best.offset - offset) > near ? best : rival;
  return alignmentOf(pair, fit, { other: elsewhere, tried }, 'kvm:kvm_write_tsc_offset');
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

/** Two files that are compared, the moving one's times in units of the resting one. */
type Compared = { trace: Trace; other: Trace; moving: Evidence; resting: Evidence; tick: number };

/** What was found, where it is proven; else why it is not. */
function verdict(pair: Compared, searched: Search): Alignment | string {
  const { best, other: rival, tried } = searched;
  if (best === undefined || best.judged === 0) return 'they have too few events of the same threads at one time';
  const { judged, wrong, stretches } = best;
  if (wrong > judged * mostWrong)
    return `with the best of ${tried} offsets ${percent(wrong / judged)} of the events are where their threads cannot have been`;
  if (stretches < fewestStretches) return `only ${stretches} moments say so, ${fewestStretches} are needed`;
  const rivalWrong = rival === undefined ? 1 : rival.wrong / rival.judged;
  if (rivalWrong < wrong / judged + leastLead || rivalWrong < (leastFactor * wrong) / judged)
    return `the best offset has ${percent(wrong / judged)} of the events where their threads cannot have been, another one ${percent(rivalWrong)}`;
  if (best.to - best.from > widest) {
    const open = best.to - best.from;
    return `the order of events leaves ${pair.other.clock.unit === 'ns' ? `${(open / 1e6).toFixed(1)} ms` : `${Math.round(open)} ticks`} open`;
  }
  return alignmentOf(pair, best, searched, undefined);
}

function alignmentOf(
  { trace, other, moving, resting, tick }: Compared,
  fit: Fit,
  { other: rival, tried }: Pick<Search, 'other' | 'tried'>,
  by: string | undefined,
): Alignment {
  return {
    file: trace.file,
    clock: trace.clock.name,
    with: other.file,
    ofClock: other.clock.name,
    unit: other.clock.unit,
    ...shiftOf(fit, moving, resting, tick),
    tick,
    by,
    judged: fit.judged,
    agree: fit.judged - fit.wrong,
    stretches: fit.stretches,
    tried,
    other: rival === undefined ? undefined : 1 - rival.wrong / rival.judged,
  };
}

/** A line between times from the two traces' beginnings, as what to add to absolute times of the moving one, in its own units. */
function shiftOf(
  { offset, rate, pivot, from, to }: Fit,
  moving: Evidence,
  resting: Evidence,
  tick: number,
): Pick<Alignment, 'offset' | 'within' | 'rate' | 'since'> {
  // The room is not the same on both sides: the middle is as near to the truth as can be.
  const middle = offset + (from + to) / 2;
  const within = Math.ceil((to - from) / 2) + 1;
  const own = Math.round(pivot / tick);
  const since = moving.origin + BigInt(own);
  const moved = resting.origin - moving.origin + BigInt(Math.round(own * tick + middle) - own);
  return { offset: moved, within, rate: tick * (1 + rate) - 1, since };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

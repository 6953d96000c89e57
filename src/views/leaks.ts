import { type DeviceKind, type Direction, roleOf } from '../spans/device-kinds.ts';
import { type Device, type Moment, momentOf, type Queue, type Request } from '../spans/devices.ts';
import { type Requests, shapeOf } from '../spans/requests.ts';
import { Spread } from '../spans/spread.ts';
import type { Stats } from '../spans/summary.ts';
import { type Clock, tellsTime } from '../trace/clock.ts';
import type { Loss } from '../trace/loss.ts';
import type { Subject } from './conditions.ts';

/** What became of an element that was popped and not filled; docs/leaks.md says when which. */
export const verdicts = [
  'leaked',
  'lost',
  'stuck',
  'held on error',
  'unsure',
  'returned unseen',
  'in flight',
  'taken back',
  'parked',
] as const;
export type Verdict = (typeof verdicts)[number];

/** Verdicts that say that the guest waits in vain. */
export const bad: ReadonlySet<Verdict> = new Set(['leaked', 'lost', 'stuck']);

/** An element without a fill, and what is said of it. */
export type Unfinished = {
  verdict: Verdict;
  request: Request;
  /** Its queue. */
  report: QueueReport;
  /** The moment that the verdict is about: the end of the trace, a reset, a hole, or the address's next use. */
  moment: Moment;
  because: 'end' | 'reset' | 'reused' | 'hole';
  /** From its pop to that moment, in the clock's unit. */
  age: number;
  /** Whether one that was popped later was filled before that moment, where that says that this one should have been. */
  overtaken: boolean;
  /** What its queue needed for such requests, and how old one must be to be out of the question. */
  usual: Usual;
};

/** What is usual for requests like one. */
export type Usual = {
  /** How many requests that rests on, and whose: of this shape on this queue, of the device, of the whole trace. */
  count: number;
  from: 'queue' | 'device' | 'trace';
  /** The longest latency; where isolated ones were longer still, a bound of the others, to within 6 %. NaN where there is none. */
  longest: number;
  isolated: boolean;
  /** An age above this is far outside. */
  bound: number;
  /** That many fills on its queue since its pop are far outside; Infinity where that cannot be said. */
  fills: number;
};

/** One queue of the report. */
export type QueueReport = {
  queue: Queue;
  device: Device | undefined;
  kind: DeviceKind | undefined;
  role: string;
  /** From pop to fill, of all that were filled; none that straddles a hole. */
  latency: Stats;
  verdicts: Record<Verdict, number>;
};

export type LeakReport = {
  queues: QueueReport[];
  /** Every element without a fill, by verdict and then by pop. */
  elements: Unfinished[];
  totals: Record<Verdict, number>;
  /** Elements of which only the number is known, because there were too many. */
  forgotten: number;
  /** Pops and fills of which the file does not tell what they are of. */
  nameless: number;
};

/*
 * Bounds. A request is old when it is far older than any that its queue filled: the fewer of these there were, the further.
 * Floors (ns) keep what scheduling alone may cause from counting.
 */
const enough = 20;
const borrowedFactor = 10;
const floor = 10e6;
const borrowedFloor = 200e6;
/** Without anything later having finished, only a much higher age says that something hangs. */
const stuckFactor = 5;
const stuckFloor = 1e9;
/** A request that its device finished is filled at once, by the same thread, which is the only one to fill its queue. */
const returnFactor = 10;
const returnFloor = 5e6;
const returnFillFloor = 4;
const finishedFloor = 100e6;
/** Fills of the queue since the pop, beyond what any request waited for. */
const fillFactor = 2;
const fillFloor = 32;
const enoughFills = 100;
/** With so many fills, a queue is known to keep nothing, whatever its device is. */
const certain = 1000;

/** Judges every element that was popped and not filled. `clock` is the trace's. */
export function judgeLeaks(requests: Requests, clock: Clock): LeakReport {
  const open = requests.open();
  const kinds = new Map<Device, DeviceKind | undefined>();
  for (const { device } of requests.queues) if (device !== undefined) kinds.set(device, device.kind);
  const reports = new Map<Queue, QueueReport>();
  for (const queue of requests.queues) {
    const kind = queue.device && kinds.get(queue.device);
    reports.set(queue, {
      queue,
      device: queue.device,
      kind,
      role: roleOf(queue, kind),
      latency: queue.latency.result(),
      verdicts: zero(),
    });
  }
  const judge = new Judge(requests, clock, reports);
  const elements: Unfinished[] = [];
  const totals = zero();
  for (const request of [...requests.ended.filter((one) => !one.filledAfterAll), ...open]) {
    const one = judge.judge(request);
    elements.push(one);
    totals[one.verdict]++;
    (reports.get(request.queue) as QueueReport).verdicts[one.verdict]++;
  }
  elements.sort((a, b) => verdicts.indexOf(a.verdict) - verdicts.indexOf(b.verdict) || a.request.pop - b.request.pop);
  const queues = [...reports.values()].filter(({ queue }) => queue.popped + queue.filled + queue.unseenPops > 0);
  const order = new Map(requests.queues.map(({ device }, index) => [device, index] as const).reverse());
  queues.sort(
    (a, b) =>
      a.queue.qemu.pid - b.queue.qemu.pid ||
      (order.get(a.device) as number) - (order.get(b.device) as number) ||
      a.queue.number - b.queue.number ||
      a.queue.index - b.queue.index,
  );
  return {
    queues,
    elements,
    totals,
    nameless: requests.nameless,
    forgotten: queues.reduce((sum, { queue }) => sum + queue.forgotten, requests.untracked),
  };
}

function zero(): Record<Verdict, number> {
  return Object.fromEntries(verdicts.map((verdict) => [verdict, 0])) as Record<Verdict, number>;
}

function merged(spreads: Iterable<Spread | undefined>): Spread {
  const all = new Spread();
  for (const spread of spreads) if (spread !== undefined) all.merge(spread);
  return all;
}

/** How a queue treats its elements. */
type Habit = {
  /** It may keep elements for as long as it likes. */
  keeps: boolean;
  /** It takes one element at a time: nothing that is popped later is filled before. */
  inOrder: boolean;
  /** It may give elements back without a fill (unpop, detach), which is not traced. */
  unpops: boolean;
  /** What is finished on the device's other queues says that this one should be, too. */
  peersCount: boolean;
  /** Nothing tells whether elements may be kept, or given back unseen, here. */
  unknown: boolean;
};

class Judge {
  readonly #requests: Requests;
  readonly #clock: Clock;
  readonly #reports: ReadonlyMap<Queue, QueueReport>;
  readonly #usual = new Map<Queue, Map<number, Usual>>();
  readonly #byDevice = new Map<Device, Spread>();
  #all: Spread | undefined;

  constructor(requests: Requests, clock: Clock, reports: ReadonlyMap<Queue, QueueReport>) {
    this.#requests = requests;
    this.#clock = clock;
    this.#reports = reports;
  }

  judge(request: Request): Unfinished {
    const { queue, reset, reused } = request;
    const usual = this.#usualFor(request);
    const final = reset ?? reused ?? momentOf(this.#requests.seenUntil, request);
    const because = reset !== undefined ? 'reset' : reused !== undefined ? 'reused' : 'end';
    const report = this.#reports.get(queue) as QueueReport;
    const habit = habitOf(report, directionOfRequest(request));
    const say = (verdict: Verdict, moment = final, why: Unfinished['because'] = because): Unfinished => {
      const overtaken = this.#overtaken(moment, habit);
      const end = why === 'end' ? this.#requests.until : moment.time;
      return { verdict, request, report, moment, because: why, age: end - request.pop, overtaken, usual };
    };
    if (request.result < 0 && !request.answered && because !== 'reused') return say('held on error');
    if (because === 'reused' && habit.unpops) return say('returned unseen');
    if (habit.keeps && !(habit.inOrder && final.overtaken)) return say('parked');
    const hole = this.#holeIn(request, final);
    if (hole !== undefined) {
      const age = hole.time - request.pop;
      if (age <= 0 || habit.unknown || !this.#overtaken(hole, habit) || !this.#old(request, hole, usual)) {
        return say('unsure', hole, 'hole');
      }
      return because === 'reused' ? say('lost') : say('leaked', hole, 'hole');
    }
    if (because === 'reused') return say('lost');
    const overtaken = this.#overtaken(final, habit);
    if (overtaken && this.#old(request, final, usual)) {
      const many = usual.count >= certain && final.fills > usual.fills;
      return say(habit.unknown && !many ? 'unsure' : 'leaked');
    }
    // What its device finished is given back by the very next steps of the same thread.
    if (this.#finished(request, final, finishedFloor)) return say('leaked');
    if (!overtaken && this.#stuck(final.time - request.pop, usual)) return say(habit.unknown ? 'unsure' : 'stuck');
    return say(because === 'reset' ? 'taken back' : 'in flight');
  }

  /** The first hole between a request's pop and its end, and what was known of the request when it began. */
  #holeIn(request: Request, final: Moment): Moment | undefined {
    if (!Number.isNaN(request.hole)) {
      return {
        time: request.hole,
        fills: request.holeFills - request.fillsAtPop,
        overtaken: request.holeOvertaken,
        overtakenByPeer: request.holeOvertakenByPeer,
      };
    }
    // What ended before a hole became known that begins before that end.
    const hole = this.#requests.holes.find((loss: Loss) => loss.to >= request.pop && loss.from <= final.time);
    return hole === undefined ? undefined : { ...final, time: hole.from };
  }

  #overtaken(moment: Moment, habit: Habit): boolean {
    return moment.overtaken || (habit.peersCount && moment.overtakenByPeer);
  }

  #old(request: Request, moment: Moment, usual: Usual): boolean {
    const many = moment.fills > usual.fills;
    if (!tellsTime(this.#clock)) return many || this.#finished(request, moment, returnFloor);
    const age = moment.time - request.pop;
    return age > usual.bound || (many && age > usual.longest / 2) || this.#finished(request, moment, returnFloor);
  }

  /** Whether its device finished it so long before that the fill should have come. `least` is the shortest that counts (ns). */
  #finished(request: Request, moment: Moment, least: number): boolean {
    const { done, result, queue, fillsAtPop, fillsAtDone } = request;
    if (!(done < moment.time) || result < 0) return false;
    const fills = fillsAtPop + moment.fills - fillsAtDone;
    if (fills > queue.fillsSinceDone * returnFactor + returnFillFloor) return true;
    if (this.#clock.unit !== 'ns') return false;
    return moment.time - done > Math.max(least, (queue.returns?.usualMax() ?? 0) * returnFactor);
  }

  #stuck(age: number, usual: Usual): boolean {
    if (this.#clock.unit !== 'ns') return false;
    return age > Math.max(stuckFloor, usual.bound * stuckFactor);
  }

  /** What is usual for requests of this shape: their own queue's where there were enough, else the device's, else all. */
  #usualFor(request: Request): Usual {
    const { queue } = request;
    let byShape = this.#usual.get(queue);
    if (byShape === undefined) {
      byShape = new Map();
      this.#usual.set(queue, byShape);
    }
    const shape = shapeOf(request);
    let usual = byShape.get(shape);
    if (usual === undefined) {
      usual = this.#compute(queue, shape);
      byShape.set(shape, usual);
    }
    return usual;
  }

  #compute(queue: Queue, shape: number): Usual {
    const ns = this.#clock.unit === 'ns';
    const own = queue.latencies[shape];
    if (own !== undefined && own.count >= enough) {
      const longest = own.usualMax();
      const waited = queue.fillsWhileOpen[shape] as Spread;
      const fills = own.count < enoughFills ? Number.POSITIVE_INFINITY : waited.usualMax() * fillFactor + fillFloor;
      const bound = Math.max(ns ? floor : 0, longest * factor(own.count));
      return { count: own.count, from: 'queue', longest, isolated: longest < own.max, bound, fills };
    }
    const { device } = queue;
    const ofDevice = device === undefined ? merged(queue.latencies) : this.#deviceSpread(device);
    const borrowed = ofDevice.count >= enough ? ofDevice : this.#everything();
    const longest = borrowed.count === 0 ? Number.NaN : borrowed.usualMax();
    return {
      count: borrowed.count,
      from: borrowed === ofDevice ? 'device' : 'trace',
      longest,
      isolated: longest < borrowed.max,
      bound: Math.max(ns ? borrowedFloor : 0, (longest || 0) * borrowedFactor),
      fills: Number.POSITIVE_INFINITY,
    };
  }

  #deviceSpread(device: Device): Spread {
    let spread = this.#byDevice.get(device);
    if (spread === undefined) {
      spread = merged([...device.queues].flatMap((queue) => queue.latencies));
      this.#byDevice.set(device, spread);
    }
    return spread;
  }

  #everything(): Spread {
    this.#all ??= merged(this.#requests.queues.flatMap((queue) => queue.latencies));
    return this.#all;
  }
}

function habitOf({ kind, role }: QueueReport, direction: Direction): Habit {
  const habit: Habit = {
    keeps: false,
    inOrder: false,
    unpops: false,
    peersCount: direction === 'both' && kind !== 'gpu',
    unknown: false,
  };
  if (kind === 'balloon' && role === 'statistics') return { ...habit, keeps: true, unpops: true };
  if (direction === 'in' && kind !== 'rng' && kind !== 'balloon') return { ...habit, keeps: true, unpops: true };
  if (direction === 'out') {
    // A console keeps what it cannot write until the host reads on, and drops it when the port is closed.
    if (kind === 'serial') return { ...habit, keeps: true, inOrder: true, unpops: true, unknown: true };
    if (kind === undefined) return { ...habit, unpops: true, unknown: true };
  }
  return habit;
}

/** How many times as long as the longest is far outside: the more there were, the better the longest is known. */
function factor(count: number): number {
  return count >= 1000 ? 2 : count >= 200 ? 3 : 5;
}

function directionOfRequest(request: Request): Direction {
  return request.out === 0 ? 'in' : request.in === 0 ? 'out' : 'both';
}

/** What conditions can be about: how many elements have each verdict, its blanks written as `-`. */
export function leakSubjects({ totals }: LeakReport): Subject[] {
  return verdicts.map((verdict) => ({
    kind: verdict.replaceAll(' ', '-'),
    name: undefined,
    measured: { count: totals[verdict] },
  }));
}

import { type DeviceKind, type Direction, directionOf } from '../spans/device-kinds.ts';
import type { Queue } from '../spans/devices.ts';
import type { InFlightResult } from '../spans/in-flight.ts';
import type { InnerEvent } from '../spans/inner-events.ts';
import { LastWaits } from '../spans/lock-waits.ts';
import { backends } from '../spans/request-backend.ts';
import {
  type Delay,
  type Filled,
  type Later,
  operations,
  type Point,
  point,
  points,
  RequestPath,
} from '../spans/request-path.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { ThreadEvents } from '../spans/thread-events.ts';
import { threadRole, VcpuNumbers } from '../spans/thread-roles.ts';
import { type ThreadState, threadStates } from '../spans/thread-time.ts';
import { type Analysis, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { type Subject, statsSubject } from './conditions.ts';
import { measured } from './figures.ts';
import type { Heat } from './heatmap.ts';
import { judgeLeaks, type Verdict } from './leaks.ts';
import type { LockRole } from './lock-answers.ts';
import { LocksView } from './locks.ts';
import { type QueueName, queueNameOf, queueWord } from './queue-name.ts';
import type { RequestPicture } from './request-picture.ts';
import { SpanView } from './span-view.ts';

/** What makes a request slow: its own time from pop to fill, its wait from the kick to the pop, or all from its first point to the fill. */
export const ranks = ['request', 'delay', 'path'] as const;
export type Rank = (typeof ranks)[number];

export type RequestsOptions = {
  heatmap?: boolean;
  slow?: number | undefined;
  than?: number | undefined;
  rank?: Rank | undefined;
  /** Only devices of these kinds (`blk`) or addresses, and queues of these numbers. */
  devices?: readonly string[] | undefined;
  queues?: readonly number[] | undefined;
  /** Is given the same requests, for a picture that can be taken apart. */
  picture?: RequestPicture | undefined;
  /** QEMU's mutexes, where somebody follows them already: that one takes each batch first. */
  locks?: LocksView | undefined;
};

/** What requests spent between two points, those that had both and none in between. */
export type Hop = { from: Point; to: Point; stats: Stats; share: number };

/** What requests of one queue waited for until a thread of QEMU popped them, from the guest's kick on. */
export type DelayResult = {
  thread: LockRole;
  stats: Stats;
  /** Of the time of these requests from the kick to the fill. */
  share: number;
  /** Those of which it is known what the thread did meanwhile, and that. */
  told: number;
  meanwhile: Record<ThreadState, number>;
};

export type RequestQueue = {
  name: QueueName;
  direction: Direction | 'mixed' | undefined;
  popped: number;
  /** Popped and filled, both seen. */
  stats: Stats;
  operations: { operation: string; stats: Stats }[];
  inFlight: InFlightResult;
  threads: LockRole[];
  backends: Record<string, number>;
  merged: number;
  sectors: { read: number; written: number };
  hops: Hop[];
  delays: DelayResult[];
  /** Fills whose pop was not seen, and requests set aside: because events may be missing, or their address was used again. */
  unseenPops: number;
  setAside: number;
  open: number;
  /** What became of those that were popped and not filled, as `virtap leaks` judges them. */
  withoutFill: Record<Verdict, number>;
  heat: Heat | undefined;
};

/** One slow request. */
export type SlowRequest = {
  /** Its pop, and from there to the fill. */
  begin: number;
  duration: number;
  /** That by which it is slow. */
  ranked: number;
  queue: QueueName;
  elem: string;
  operation: string;
  sector: number | undefined;
  sectors: number | undefined;
  /** What the device returned, 0 for success. */
  result: number;
  merged: number;
  backend: string;
  thread: LockRole;
  /** vCPUs that kicked, and that took the interrupt. */
  kicker: LockRole | undefined;
  interrupted: LockRole | undefined;
  points: { point: Point; time: number }[];
  /** What the thread did from the kick to the pop; undefined where that is not known. */
  meanwhile: Record<ThreadState, number> | undefined;
  /** The longest wait for a lock in that time. */
  wait: { duration: number; name: string; holder: LockRole | undefined; site: string | undefined } | undefined;
  /** Its events in that time, or from the notification on where the kick is not known; offsets from there. */
  events: InnerEvent[];
  more: boolean;
};

/** A point that the recording cannot tell of, and the events that would. */
export type MissingPoint = { point: Point; events: string };

export type RequestsResult = {
  queues: RequestQueue[];
  /** Of all of these queues, and of their devices by kind. */
  all: Stats;
  kinds: { kind: DeviceKind; stats: Stats }[];
  /** From the kick to the pop, of all whose kick is known, and what that is of their time from the kick to the fill. */
  delay: { stats: Stats; share: number };
  slow: SlowRequest[] | undefined;
  over: number;
  missing: MissingPoint[];
  /** Whether the scheduler's and the mutexes' events tell what threads did. */
  evidence: { sched: boolean; locks: boolean; threads: 'known' | 'by interrupts' | 'unknown' };
  inFlight: { from: number; step: number };
  /** How long the stretch is that all this is of, in the clock's unit. */
  duration: number;
};

/** What `--fail-if` can ask about. */
export function requestSubjects({ all, kinds, queues, delay, duration }: RequestsResult): Subject[] {
  const of = (name: string | undefined, stats: Stats) =>
    statsSubject('request', name, stats, all.total, duration / 1e9);
  return [
    of(undefined, all),
    ...kinds.map(({ kind, stats }) => of(`virtio-${kind}`, stats)),
    ...queues.map(({ name, stats }) => of(queueWord(name), stats)),
    { kind: 'delay', name: undefined, measured: { ...measured(delay.stats, 0, duration / 1e9), share: delay.share } },
  ];
}

/** Queues that have a heat map and a slow log of their own. */
const maxViews = 256;
const maxThreads = 4096;
const readOperation = operations.indexOf('read');
const writeOperation = operations.indexOf('write');
/** Threads of QEMU whose events are remembered, and of each how many: from the kick to the fill. */
const rememberedThreads = 64;
const rememberedEvents = 1024;
const rememberedWaits = 256;

type Kept = {
  begin: number;
  /** That by which it is slow; and from the pop to the fill. */
  duration: number;
  length: number;
  queue: Queue;
  elem: string;
  operation: number;
  sector: number;
  sectors: number;
  result: number;
  merged: number;
  backend: number;
  tid: number;
  kicker: number;
  later: Later;
  meanwhile: Float64Array | undefined;
  wait: ReturnType<LastWaits['longest']>;
  events: InnerEvent[];
  more: boolean;
};

/** Everything that `virtap requests` answers, in one pass. */
export class RequestsView implements Analysis {
  readonly path: RequestPath;
  readonly #options: RequestsOptions;
  readonly #numbers = new VcpuNumbers();
  readonly #locks: LocksView;
  /** The same where nobody else follows them. */
  readonly #ownLocks: LocksView | undefined;
  readonly #events: ThreadEvents | undefined;
  readonly #views: SpanView<Kept>[] = [];
  /** By queue and by hop. */
  readonly #hops: (Summary | undefined)[][] = [];
  /** By queue and thread. */
  readonly #delays: Map<number, Summary>[] = [];
  readonly #waits = new Map<number, LastWaits>();
  #nextWait = 0;
  /** Whether any type so far is QEMU's, and how many were looked at. */
  #qemu = false;
  #typesSeen = 0;
  #trace: Trace | undefined;
  #window: Window | undefined;
  /** Of a stretch that ends before the recording does: the paths in the whole recording, which tell what of them it holds. */
  #whole: RequestPath | undefined;

  constructor(options: RequestsOptions = {}) {
    this.#options = options;
    this.#ownLocks = options.locks === undefined ? new LocksView() : undefined;
    this.#locks = options.locks ?? (this.#ownLocks as LocksView);
    const slow = options.slow !== undefined || options.than !== undefined;
    this.path = new RequestPath(slow ? (filled, b, i) => this.#filled(filled, b, i) : undefined, this.#locks.locks);
    if (slow) {
      this.#events = new ThreadEvents((type) => this.#locks.locks.wants(type), {
        threads: rememberedThreads,
        perThread: rememberedEvents,
        follows: (tid) => this.path.threads.follows(tid),
      });
    }
  }

  wants(type: EventType): boolean {
    const asked = [this.path.wants(type), this.#numbers.wants(type), this.#locks.wants(type)];
    return asked.includes(true) || this.#events !== undefined;
  }

  within(window: Window): void {
    this.#window = window;
    this.path.within(window);
    this.#ownLocks?.within(window);
    this.#options.picture?.within(window);
    if (window.bounded === true) this.#whole = new RequestPath();
  }

  behind(trace: Trace, b: EventBatch): void {
    this.#numbers.batch(trace, b);
    this.#ownLocks?.behind(trace, b);
    this.path.requests.behind(trace, b);
    this.#whole?.batch(trace, b);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#whole?.batch(trace, b);
    this.#numbers.batch(trace, b);
    this.#ownLocks?.batch(trace, b);
    this.#events?.batch(trace);
    this.#nextWait = 0;
    const { path } = this;
    path.batch(trace, b);
    this.#options.picture?.take(path);
    // No thread is followed before QEMU's first event.
    if (this.#hasQemu(trace)) this.#events?.advance(b, b.count);
    if (this.#events !== undefined) this.#noteWaits(b.count);
    this.#summarise();
  }

  #hasQemu({ types }: Trace): boolean {
    for (; !this.#qemu && this.#typesSeen < types.length; this.#typesSeen++)
      this.#qemu = (types[this.#typesSeen] as EventType).name.startsWith('qemu:');
    return this.#qemu;
  }

  result(): RequestsResult {
    const { path } = this;
    const { requests, inFlight } = path;
    const { from, to } = this.#within;
    const open = requests.open();
    const judged = this.#trace === undefined ? [] : judgeLeaks(requests, this.#trace.clock).queues;
    const verdictsOf = new Map(judged.map(({ queue, verdicts }) => [queue, verdicts]));
    const role = this.#roles();
    const chosen = requests.queues.filter((queue) => queue.popped > 0 && this.#isChosen(queue));
    const openOf = new Map<Queue, number>();
    for (const { queue } of open) openOf.set(queue, (openOf.get(queue) ?? 0) + 1);
    const queues = chosen.map((queue) =>
      this.#queue(queue, openOf.get(queue) ?? 0, verdictsOf.get(queue) as Record<Verdict, number>, role),
    );
    const slow = this.#slow(chosen, role);
    const merged = (some: readonly Queue[]) => {
      const sum = new Summary();
      for (const queue of some) {
        const view = this.#viewOf(queue.index);
        sum.merge(view.merged(view.summaries.keys()));
      }
      return sum.result();
    };
    const kinds = new Set(chosen.flatMap(({ device }) => device?.kind ?? []));
    return {
      queues: queues.sort((a, b) => b.stats.total - a.stats.total || b.popped - a.popped),
      all: merged(chosen),
      kinds: [...kinds].map((kind) => ({ kind, stats: merged(chosen.filter(({ device }) => device?.kind === kind)) })),
      delay: this.#delay(chosen),
      slow: slow?.kept,
      over: slow?.over ?? 0,
      missing: this.#missing(),
      evidence: { ...this.#facts.threads.evidence, threads: this.#threadsKnown() },
      inFlight: { from: inFlight.from, step: inFlight.step },
      duration: to - from,
    };
  }

  get #facts(): RequestPath {
    return this.#whole ?? this.path;
  }

  get #within(): Window {
    return this.#window ?? wholeOf(this.#trace);
  }

  #threadsKnown(): RequestsResult['evidence']['threads'] {
    if (this.#facts.inferred) return 'by interrupts';
    return this.#facts.facets.some(({ tid }) => tid >= 0) ? 'known' : 'unknown';
  }

  #summarise(): void {
    const { spans, hops, delays, facets } = this.path;
    const { from } = this.#within;
    // Spans of a queue stand apart from each other: each is one span of its view.
    for (let k = 0; k < spans.count; k++) {
      const { queue, operation } = facets[spans.facet[k] as number] as (typeof facets)[number];
      const view = this.#viewOf(queue.index);
      view.add(spans.begin[k] as number, spans.duration[k] as number, operation, from);
    }
    for (let k = 0; k < hops.count; k++) {
      const { queue } = facets[hops.facet[k] as number] as (typeof facets)[number];
      const own = listOf(this.#hops, queue.index, (): (Summary | undefined)[] => []);
      const hop = hops.hop[k] as number;
      while (own.length <= hop) own.push(undefined);
      let summary = own[hop];
      if (summary === undefined) {
        summary = new Summary();
        own[hop] = summary;
      }
      summary.add(hops.duration[k] as number);
    }
    for (let k = 0; k < delays.count; k++) {
      const { queue, tid } = facets[delays.facet[k] as number] as (typeof facets)[number];
      const own = listOf(this.#delays, queue.index, () => new Map<number, Summary>());
      let summary = own.get(tid);
      if (summary === undefined) {
        if (own.size === maxThreads) continue;
        summary = new Summary();
        own.set(tid, summary);
      }
      summary.add(delays.duration[k] as number);
    }
  }

  #viewOf(queue: number): SpanView<Kept> {
    const { heatmap, slow, than } = this.#options;
    return listOf(
      this.#views,
      queue,
      () => new SpanView<Kept>(this.#views.length < maxViews ? { heatmap, slow, than } : {}),
    );
  }

  #isChosen({ device, number }: Queue): boolean {
    const { devices, queues } = this.#options;
    if (queues !== undefined && !queues.includes(number)) return false;
    if (devices === undefined) return true;
    if (device === undefined) return false;
    const names = [device.kind, `virtio-${device.kind}`, hex64(device.high, device.low)];
    return devices.some((name) => names.includes(name));
  }

  #roles(): (tid: number) => LockRole {
    const trace = this.#trace as Trace;
    const { locks } = this.#locks;
    const { role } = this.#locks.names();
    // By thread that serves queues: its process.
    const pops = new Map(this.path.facets.map(({ tid, queue }) => [tid, queue.qemu.pid]));
    return (tid) => {
      const user = locks.find(tid);
      if (tid < 0) return { kind: 'other', tid, pid: undefined };
      if (user >= 0) return role(user);
      const thread = trace.threads.get(tid);
      const pid = Math.max(thread?.pid ?? -1, pops.get(tid) ?? -1);
      const vcpu = this.#numbers.of(tid);
      const known = threadRole(tid, pid, thread?.comm ?? '', vcpu);
      // Besides the main loop and vCPUs, only IOThreads serve queues.
      const serves = known.kind === 'other' && pid >= 0 && pops.has(tid) && !this.path.kicks.isVcpu(tid);
      return { ...(serves ? { kind: 'iothread' } : known), tid, pid: pid < 0 ? undefined : pid };
    };
  }

  #queue(
    queue: Queue,
    open: number,
    withoutFill: Record<Verdict, number>,
    role: (tid: number) => LockRole,
  ): RequestQueue {
    const { path } = this;
    const view = this.#viewOf(queue.index);
    const stats = view.merged(view.summaries.keys()).result();
    const facets = path.facets.map((facet, id) => ({ ...facet, id })).filter((facet) => facet.queue === queue);
    const hops = (this.#hops[queue.index] ?? []).flatMap((summary, hop) =>
      summary === undefined ? [] : [{ hop, stats: summary.result() }],
    );
    const whole = hops.reduce((sum, one) => sum + one.stats.total, 0);
    const delays = new Map<number, Delay>();
    for (const { id, tid } of facets) {
      const delay = path.delayOf[id];
      if (delay !== undefined) delays.set(tid, sumOf(delays.get(tid), delay));
    }
    return {
      name: queueNameOf(queue),
      direction: directionOf(queue),
      popped: queue.popped,
      stats,
      operations: view.summaries.flatMap((summary, operation) =>
        summary === undefined ? [] : [{ operation: operations[operation] as string, stats: summary.result() }],
      ),
      inFlight: path.inFlight.result(queue.index, this.#within),
      threads: [...new Set(facets.map(({ tid }) => tid))].filter((tid) => tid >= 0).map(role),
      backends: this.#backends(queue, view),
      merged: path.mergedOf[queue.index] ?? 0,
      sectors: { read: path.sectorsOf[queue.index]?.[0] ?? 0, written: path.sectorsOf[queue.index]?.[1] ?? 0 },
      hops: hops
        .map(
          (one): Hop => ({
            from: points[Math.floor(one.hop / points.length)] as Point,
            to: points[one.hop % points.length] as Point,
            stats: one.stats,
            share: one.stats.total / whole,
          }),
        )
        .sort((a, b) => points.indexOf(a.from) - points.indexOf(b.from) || points.indexOf(a.to) - points.indexOf(b.to)),
      delays: [...delays]
        .map(
          ([tid, delay]): DelayResult => ({
            thread: role(tid),
            stats: (this.#delays[queue.index]?.get(tid) ?? new Summary()).result(),
            share: delay.total / delay.whole,
            told: delay.told,
            meanwhile: named(delay.states),
          }),
        )
        .sort((a, b) => b.stats.total - a.stats.total),
      unseenPops: queue.unseenPops,
      setAside: Math.max(0, queue.popped - stats.count - Object.values(withoutFill).reduce((sum, n) => sum + n, 0)),
      open,
      withoutFill,
      heat: view.heat(),
    };
  }

  #delay(queues: readonly Queue[]): RequestsResult['delay'] {
    const sum = new Summary();
    for (const { index } of queues) for (const one of this.#delays[index]?.values() ?? []) sum.merge(one);
    let total = 0;
    let whole = 0;
    this.path.facets.forEach(({ queue }, facet) => {
      const delay = this.path.delayOf[facet];
      if (delay === undefined || !queues.includes(queue)) return;
      total += delay.total;
      whole += delay.whole;
    });
    return { stats: sum.result(), share: total / whole };
  }

  /** Who carried the requests out; only what the recording tells for sure. */
  #backends({ index }: Queue, { summaries }: SpanView<Kept>): Record<string, number> {
    const counts = this.path.backendOf[index] ?? [];
    const known = Object.fromEntries(
      backends.flatMap((name, n) => (name === '' || (counts[n] ?? 0) === 0 ? [] : [[name, counts[n] as number]])),
    );
    const { seen } = this.path.backend;
    const disk = (summaries[readOperation]?.count ?? 0) + (summaries[writeOperation]?.count ?? 0);
    const begun = this.#hops[index]?.some(
      (summary, hop) => summary !== undefined && Math.floor(hop / points.length) === point.device,
    );
    // Requests that a thread pool carried out would have been seen to be.
    if (!seen.pool || begun !== true || disk === 0) return known;
    const carried = Object.values(known).reduce((sum, n) => sum + n, 0);
    if (carried === 0) return { 'native AIO': disk };
    return carried < disk && this.#threadsKnown() === 'known'
      ? { ...known, 'without thread pool': disk - carried }
      : known;
  }

  #slow(queues: readonly Queue[], role: (tid: number) => LockRole): { kept: SlowRequest[]; over: number } | undefined {
    const { slow, than } = this.#options;
    if (slow === undefined && than === undefined) return undefined;
    const views = queues.map((queue) => this.#viewOf(queue.index).slowest).filter((slowest) => slowest !== undefined);
    const kept = views
      .flatMap((slowest) => slowest.result())
      .sort((a, b) => b.duration - a.duration || a.begin - b.begin)
      .slice(0, slow ?? Number.POSITIVE_INFINITY);
    const names = this.#locks.names();
    return {
      over: views.reduce((sum, slowest) => sum + slowest.over, 0),
      kept: kept.map(({ queue, tid, kicker, later, operation, sector, sectors, backend, meanwhile, wait, ...one }) => ({
        ...one,
        duration: one.length,
        ranked: one.duration,
        queue: queueNameOf(queue),
        operation: operations[operation] as string,
        sector: Number.isNaN(sector) ? undefined : sector,
        sectors: Number.isNaN(sectors) ? undefined : sectors,
        backend: backends[backend] as string,
        thread: role(tid),
        kicker: kicker < 0 ? undefined : role(kicker),
        interrupted: later.interrupted < 0 ? undefined : role(later.interrupted),
        points: points.flatMap((name, n) => {
          const time = later.times[n] as number;
          return Number.isNaN(time) ? [] : [{ point: name, time }];
        }),
        meanwhile: meanwhile === undefined ? undefined : named(meanwhile),
        wait:
          wait === undefined
            ? undefined
            : {
                duration: wait.duration,
                name: names.mutex(wait.mutex),
                holder: wait.holder < 0 ? undefined : names.role(wait.holder),
                site: wait.holder < 0 ? undefined : names.site(wait.site),
              },
      })),
    };
  }

  /** Keeps a request that is slow, with what its thread did before it got to it. */
  #filled(
    { request, times, kicker, merged, backend, meanwhile, facet }: Filled,
    b: EventBatch,
    i: number,
  ): Later | undefined {
    const { slowest } = this.#viewOf(request.queue.index);
    const fill = times[point.fill] as number;
    const { operation, tid } = this.path.facets[facet] as (typeof this.path.facets)[number];
    const ranked = rankOf(times, this.#options.rank ?? 'request');
    if (slowest?.admits(ranked, request.pop) !== true) return undefined;
    this.#events?.advance(b, i + 1);
    this.#noteWaits(i);
    const later: Later = { times: times.slice(), interrupted: -1 };
    const kick = times[point.kick] as number;
    const from = Number.isNaN(kick) ? (times[point.notify] as number) : kick;
    const { pop } = request;
    const between = Number.isNaN(from) || tid < 0 ? undefined : this.#events?.between(tid, from, pop);
    slowest.add({
      begin: pop,
      duration: ranked,
      length: fill - pop,
      queue: request.queue,
      elem: hex64(request.high, request.low),
      operation,
      sector: request.sector,
      sectors: request.sectors,
      result: request.result,
      merged,
      backend,
      tid,
      kicker,
      later,
      meanwhile: Number.isNaN(meanwhile[0] as number) ? undefined : meanwhile.slice(),
      wait: Number.isNaN(from) ? undefined : this.#waits.get(tid)?.longest(from, pop),
      events: between?.events ?? [],
      more: between?.more ?? false,
    });
    return later;
  }

  /** Notes the waits for locks that ended before event `end` of the batch. */
  #noteWaits(end: number): void {
    const { locks } = this.#locks;
    const { waits } = locks;
    for (; this.#nextWait < waits.count && (waits.endsAt[this.#nextWait] as number) < end; this.#nextWait++) {
      const tid = locks.threads[waits.thread[this.#nextWait] as number]?.tid ?? -1;
      if (!this.path.threads.follows(tid)) continue;
      let own = this.#waits.get(tid);
      if (own === undefined) {
        own = new LastWaits(rememberedWaits);
        this.#waits.set(tid, own);
      }
      own.add(locks, this.#nextWait);
    }
  }

  #missingOfDisks(lacks: (name: Point, events: string) => void): void {
    const { seen } = this.#facts.backend;
    lacks('device', 'qemu:virtio_blk_handle_read, qemu:virtio_blk_handle_write or qemu:virtio_scsi_cmd_req');
    lacks('submit', 'qemu:blk_co_preadv and qemu:blk_co_pwritev, or qemu:thread_pool_submit');
    lacks(
      'completion',
      seen.pool || seen.uring
        ? 'qemu:thread_pool_complete of a disk request'
        : 'qemu:thread_pool_submit and qemu:thread_pool_complete',
    );
    lacks('done', 'qemu:virtio_blk_rw_complete or qemu:virtio_scsi_cmd_resp');
  }

  #missing(): MissingPoint[] {
    const { seen, kicks, interrupts, requests } = this.#facts;
    const missing: MissingPoint[] = [];
    const lacks = (name: Point, events: string) => {
      if (seen[points.indexOf(name)] !== true) missing.push({ point: name, events });
    };
    lacks(
      'kick',
      kicks.seen
        ? 'a write of the guest that comes before qemu:virtio_queue_notify'
        : 'kvm:kvm_exit with kvm:kvm_mmio, kvm:kvm_fast_mmio or kvm:kvm_pio',
    );
    lacks('notify', 'qemu:virtio_queue_notify');
    const disks = requests.queues.some(({ device }) => device?.kind === 'blk' || device?.kind === 'scsi');
    if (disks) this.#missingOfDisks(lacks);
    lacks('guest notify', 'qemu:virtio_notify and qemu:virtio_notify_irqfd');
    lacks('interrupt', 'kvm:kvm_msi_set_irq, or kvm:kvm_set_irq');
    lacks(
      'entry',
      interrupts.seen.raise
        ? 'kvm:kvm_inj_virq (hardware that delivers interrupts itself has none)'
        : 'kvm:kvm_inj_virq and kvm:kvm_entry',
    );
    return missing;
  }
}

/** How slow a request is; NaN where that is not known of it. */
function rankOf(times: Float64Array, rank: Rank): number {
  const fill = times[point.fill] as number;
  const pop = times[point.pop] as number;
  if (rank === 'request') return fill - pop;
  if (rank === 'delay') return pop - (times[point.kick] as number);
  return fill - (times.find((time) => !Number.isNaN(time)) as number);
}

function sumOf(a: Delay | undefined, b: Delay): Delay {
  if (a === undefined) return { ...b, states: b.states.slice() };
  return {
    count: a.count + b.count,
    total: a.total + b.total,
    whole: a.whole + b.whole,
    told: a.told + b.told,
    states: a.states.map((value, s) => value + (b.states[s] as number)),
  };
}

function named(states: Float64Array): Record<ThreadState, number> {
  return Object.fromEntries(threadStates.map((state, s) => [state, states[s]])) as Record<ThreadState, number>;
}

/** Item `n` of a list without holes, made where there is none. */
function listOf<T>(list: T[], n: number, make: () => T): T {
  while (list.length <= n) list.push(make());
  return list[n] as T;
}

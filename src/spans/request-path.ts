import { type Analysis, countedFrom, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { type Queue, Request } from './devices.ts';
import { FirstSources } from './first-sources.ts';
import { InFlight } from './in-flight.ts';
import { Interrupts } from './interrupts.ts';
import { Kicks } from './kicks.ts';
import type { Locks } from './locks.ts';
import { backendRole, backends, isBackend, RequestBackend, type Role } from './request-backend.ts';
import { deferredNotice, Requests } from './requests.ts';
import { tableOf } from './table.ts';
import { ThreadTime, threadStates } from './thread-time.ts';

/**
 * The points that a request passes, in their order. `kick`: the guest leaves for QEMU to be told. `notify`: QEMU's thread begins with the queue. `device`: the
 * device begins with the request. `submit`, `completion`: the block layer's backend. `done`: the device has the answer. `guest notify`: QEMU tells the
 * guest. `interrupt`: KVM is told. `entry`: a vCPU enters the guest with the interrupt.
 */
export const points = [
  'kick',
  'notify',
  'pop',
  'device',
  'submit',
  'completion',
  'done',
  'fill',
  'guest notify',
  'interrupt',
  'entry',
] as const;
export type Point = (typeof points)[number];

export const point = {
  kick: 0,
  notify: 1,
  pop: 2,
  device: 3,
  submit: 4,
  completion: 5,
  done: 6,
  fill: 7,
  guestNotify: 8,
  interrupt: 9,
  entry: 10,
} as const;
const all = points.length;
/** Points before `guest notify`, which are known when the request is filled. */
const own = point.guestNotify;

/** What a request asks; for virtio-blk and virtio-scsi. */
export const operations = ['', 'read', 'write', 'other'] as const;

/** What requests are told apart by: queue (its index), operation (index in `operations`), thread that popped them (-1 where unknown). */
export type Facet = { queue: Queue; operation: number; tid: number };

/** Queues times operations times threads. What is beyond shares the last. */
const maxFacets = 1 << 14;
/** Requests of one queue that were filled and whose notification of the guest is awaited. */
const maxAwaiting = 1024;
/** The same while no such notification was seen at all. */
const fewAwaiting = 16;
/** So often in a row must a thread have told KVM of a queue's interrupts to be taken for the one that serves it. */
const enough = 2;
const states = threadStates.length;

/** Requests that were filled within a batch, in the order of their fills: `begin` is the pop, `facet` the index in `RequestPath.facets`. */
export class RequestSpans extends tableOf({ begin: 'f64', duration: 'f64', facet: 'i32' }) {
  append(begin: number, duration: number, facet: number): void {
    const n = this.add();
    this.begin[n] = begin;
    this.duration[n] = duration;
    this.facet[n] = facet;
  }
}

/** The hops that came to be known within a batch: each from one point of a request to the next that is known, `from point × number of points + to point`. */
export class HopSpans extends tableOf({ begin: 'f64', duration: 'f64', facet: 'i32', hop: 'i32' }) {
  append(from: number, to: number, begin: number, duration: number, facet: number): void {
    const n = this.add();
    this.begin[n] = begin;
    this.duration[n] = duration;
    this.facet[n] = facet;
    this.hop[n] = from * all + to;
  }
}

/** What is told of a request when it is filled. The arrays are used again. */
export type Filled = {
  request: Request;
  facet: number;
  /** By point: its time, NaN where it is not known. */
  times: Float64Array;
  /** Threads of the kick (a vCPU) and the notification. */
  kicker: number;
  /** How many requests it was merged with to one, 1 where with none. */
  merged: number;
  backend: number;
  /** What the thread that popped it did from the kick on until then, by state; NaN where that is not known. */
  meanwhile: Float64Array;
};

/** Later points of a request that was filled: the caller's, to be filled in. */
export type Later = { times: Float64Array; interrupted: number };

/** What the requests of one facet waited for until a thread of QEMU got to them. */
export type Delay = {
  /** Requests whose kick is known, their time from the kick to the pop, and to the fill. */
  count: number;
  total: number;
  whole: number;
  /** Those of which it is known what the thread did meanwhile, and that, by state. */
  told: number;
  states: Float64Array;
};

/** What is known of one queue besides its requests. */
class QueueState {
  /** The first kick that QEMU was not notified of yet, its thread, and what the queue's thread had done until then. */
  kick = Number.NaN;
  kicker = -1;
  readonly atKick = new Float64Array(states).fill(Number.NaN);
  /** The run of the queue's handler that is on: its kick, likewise, when it began, and by which thread; NaN where none is. */
  runKick = Number.NaN;
  runKicker = -1;
  readonly atRunKick = new Float64Array(states).fill(Number.NaN);
  notify = Number.NaN;
  notifier = -1;
  /** Whether anything was popped in it, and when it began in events of requests. */
  popped = false;
  begunAt = 0;
  /** How many runs there were, and pops. */
  runs = 0;
  pops = 0;
  /** Thread of the latest pop. */
  thread = -1;
  /** Without thread ids: the thread that told KVM of its interrupts lately, and how often in a row. */
  #server = -1;
  #serverSeen = 0;
  /** Without thread ids: how often the event before the one that it is done was a completion of a backend, and how often not. */
  #adjacent = 0;
  #apart = 0;
  /** The notification of the guest that was put off, none where there is none. */
  deferred = -1;
  /** Requests filled, and not notified: their fills, runs and pops until then. */
  readonly awaiting: Awaiting[] = [];

  /** The thread that serves the queue, as far as its interrupts tell; -1 where they do not. */
  get server(): number {
    return this.#serverSeen >= enough ? this.#server : -1;
  }

  noteServer(tid: number): void {
    this.#serverSeen = tid === this.#server ? this.#serverSeen + 1 : 1;
    this.#server = tid;
  }

  /** What is popped from now on was not there for sure when the run began. */
  endRun(): void {
    this.notify = Number.NaN;
    this.notifier = -1;
    this.popped = false;
  }

  /** Whether a completion right before (`adjacent`) is that of the queue's request: another thread's can come in between, but not most of the time. */
  believes(adjacent: boolean): boolean {
    if (adjacent) this.#adjacent++;
    else this.#apart++;
    return adjacent && this.#adjacent > this.#apart;
  }
}

type Awaiting = { fill: number; runs: number; pops: number; facet: number; later: Later | undefined };
/** What one notification of the guest is about. */
type Notice = { time: number; tid: number; raised: number; requests: Awaiting[] };

/** Whom events concern, as bits. */
const concerns = { threads: 1, requests: 2, kicks: 4, interrupts: 8 } as const;

/** Follows each request along its path. Takes all events, in their order; what ended with a batch stands in `spans` and `hops`. */
export class RequestPath implements Analysis {
  readonly requests: Requests;
  readonly inFlight = new InFlight();
  readonly threads: ThreadTime;
  readonly kicks: Kicks;
  readonly interrupts: Interrupts;
  readonly spans = new RequestSpans();
  readonly hops = new HopSpans();
  /** From the kick to the pop, of those that were filled. */
  readonly delays = new RequestSpans();
  readonly facets: Facet[] = [];
  /** By facet. */
  readonly delayOf: (Delay | undefined)[] = [];
  /** By queue: requests by backend, and those merged with others. */
  readonly backendOf: number[][] = [];
  readonly mergedOf: number[] = [];
  /** By queue: the sectors that its requests asked for, read and written. */
  readonly sectorsOf: [read: number, written: number][] = [];
  /** Points that any request had. */
  readonly seen = new Array<boolean>(all).fill(false);
  readonly backend = new RequestBackend((request, time, parts) => {
    this.#times[request.slot * own + point.submit] = time;
    this.#merged[request.slot] = parts;
  });
  /** Whether threads of QEMU are known by their interrupts only. */
  inferred = false;

  readonly #filled: ((filled: Filled, b: EventBatch, i: number) => Later | undefined) | undefined;
  readonly #roles: (Role | undefined)[] = [];
  /** By type id: which parts its events concern, as bits. */
  #concerns = new Uint8Array(64);
  readonly #sources = new FirstSources();
  #trace: Trace | undefined;
  /** Whether the trace tells when notifications through an eventfd, which may be put off, are sent. */
  #defers = false;
  #events = 0;
  /** Whether QEMU was seen to tell the guest. */
  #noticesSeen = false;
  readonly #queues: QueueState[] = [];
  /** By slot of the request: its points, the thread of its kick, and so on. */
  #times = new Float64Array(64 * own);
  #meanwhile = new Float64Array(64 * states);
  #thread = new Int32Array(64);
  #kicker = new Int32Array(64);
  #merged = new Int32Array(64);
  #backend = new Uint8Array(64);
  readonly #facetIds = new IdTable();
  readonly #facetParts = new IdTable();
  /** What was popped before is not counted. */
  #from = Number.NEGATIVE_INFINITY;
  readonly #notices: (Notice | undefined)[] = [];
  readonly #freeNotices: number[] = [];
  readonly #result: Filled;

  /**
   * `filled` is told of each request when it is filled, and gives where its later points are to be noted. `locks` are those of somebody
   * who gives them each batch first.
   */
  constructor(filled?: (filled: Filled, b: EventBatch, i: number) => Later | undefined, locks?: Locks) {
    this.#filled = filled;
    this.threads = new ThreadTime(locks);
    this.#result = {
      request: new Request(-1),
      facet: 0,
      times: new Float64Array(all),
      kicker: -1,
      merged: 1,
      backend: 0,
      meanwhile: new Float64Array(states),
    };
    this.kicks = new Kicks((queue, time, tid) => this.#kick(queue, time, tid));
    this.interrupts = new Interrupts(
      {
        raised: (id, time, tid) => this.#raised(id, time, tid),
        entered: (id, time, tid) => this.#entered(id, time, tid),
        lost: (id) => this.#forget(id),
      },
      (tid) => this.kicks.processOf(tid),
    );
    this.requests = new Requests({
      popped: (request, b, i) => this.#popped(request, b, i),
      filled: (request, b, i) => this.#fill(request, b, i),
      gone: (request, b, i) => {
        this.#leave(request, b, i);
        this.backend.drop(request);
      },
      takenBack: (request, b, i) => this.inFlight.change(request.queue.index, b.time[i] as number, -1),
      begun: (request, b, i) => this.#begun(request, b, i),
      done: (request, b, i) => this.#done(request, b, i),
      notified: (queue, what, b, i) => {
        if (what === 'queue') this.#notifiedQueue(queue, b, i);
        else this.#notifiedGuest(queue, what, b, i);
      },
      deferred: (queue, b, i) => this.#sendDeferred(queue, b, i),
    });
  }

  wants(type: EventType): boolean {
    return [this.requests, this.kicks, this.interrupts, this.threads].some((one) => one.wants(type)) || isBackend(type);
  }

  /** From when on requests count; of what was before only what is open is known, and what the devices are. */
  within(window: Window): void {
    this.requests.within(window);
    this.inFlight.from = window.from;
    this.#from = countedFrom(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    const { requests, kicks, interrupts, threads } = this;
    this.spans.count = 0;
    this.hops.count = 0;
    this.delays.count = 0;
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      const role = backendRole(type);
      this.#roles.push(role);
      if (id === this.#concerns.length) this.#concerns = grown(this.#concerns);
      this.#concerns[id] = this.#concernedBy(type, role);
      if (type.name === `qemu:${deferredNotice}`) this.#defers = true;
    }
    requests.begin(trace, b);
    if (b.losses.length > 0) this.#forgetOpen();
    kicks.begin(trace);
    interrupts.begin(trace);
    threads.begin(trace, b);
    const byType = this.#concerns;
    const { type: types } = b;
    for (let i = 0; i < b.count; i++) {
      const concerned = byType[types[i] as number] as number;
      if (concerned === 0) continue;
      // Before anything else, so that what a thread did until now is known.
      if ((concerned & concerns.threads) !== 0) threads.take(b, i);
      if ((concerned & concerns.requests) !== 0) {
        const role = this.#roles[types[i] as number];
        const taken = requests.take(b, i);
        if (role !== undefined) {
          if (this.#sources.takes(trace.types[types[i] as number] as EventType))
            this.backend.take(role, b, i, this.#events);
        } else if (taken) this.#events++;
        continue;
      }
      if ((concerned & concerns.kicks) !== 0) kicks.take(b, i);
      if ((concerned & concerns.interrupts) !== 0) interrupts.take(b, i);
    }
  }

  #concernedBy(type: EventType, role: Role | undefined): number {
    return (
      (this.threads.wants(type) ? concerns.threads : 0) |
      (role !== undefined || this.requests.wants(type) ? concerns.requests : 0) |
      (this.kicks.wants(type) ? concerns.kicks : 0) |
      (this.interrupts.wants(type) ? concerns.interrupts : 0)
    );
  }

  #stateOf(queue: Queue | number): QueueState {
    const index = typeof queue === 'number' ? queue : queue.index;
    while (this.#queues.length <= index) {
      this.#queues.push(new QueueState());
      this.backendOf.push(backends.map(() => 0));
      this.mergedOf.push(0);
      this.sectorsOf.push([0, 0]);
    }
    return this.#queues[index] as QueueState;
  }

  /** Events are missing: nothing that goes before is known to belong to what comes after. */
  #forgetOpen(): void {
    this.kicks.forget();
    for (const state of this.#queues) {
      state.kick = Number.NaN;
      state.endRun();
      state.awaiting.length = 0;
      if (state.deferred >= 0) this.#forget(state.deferred);
      state.deferred = -1;
    }
  }

  #kick(queue: number, time: number, tid: number): void {
    const state = this.#stateOf(queue);
    if (!Number.isNaN(state.kick)) return;
    state.kick = time;
    state.kicker = tid;
    if (!this.threads.until(state.thread, time, state.atKick, 0)) state.atKick.fill(Number.NaN);
  }

  /** QEMU begins with a queue; or the vCPU's thread tells that which will. */
  #notifiedQueue(queue: Queue, b: EventBatch, i: number): void {
    const state = this.#stateOf(queue);
    const tid = b.tid[i] as number;
    if (this.requests.unsureAt(b.time[i] as number)) return;
    this.kicks.notified(queue.index, queue.number, b.pid[i] as number);
    state.runs++;
    const passedOn = !state.popped && state.notifier >= 0 && tid >= 0 && state.notifier !== tid;
    if (passedOn) {
      if (Number.isNaN(state.runKick) && !Number.isNaN(state.notify)) {
        state.runKick = state.notify;
        state.runKicker = state.notifier;
      }
    } else {
      state.runKick = state.kick;
      state.runKicker = state.kicker;
      state.atRunKick.set(state.atKick);
    }
    state.kick = Number.NaN;
    state.notify = b.time[i] as number;
    state.notifier = tid;
    state.popped = false;
    state.begunAt = this.#events;
  }

  #popped(request: Request, b: EventBatch, i: number): void {
    const { slot, queue } = request;
    const time = b.time[i] as number;
    const state = this.#stateOf(queue);
    const tid = request.tid >= 0 ? request.tid : state.server;
    this.#reserve(slot);
    const at = slot * own;
    this.#times.fill(Number.NaN, at, at + own);
    this.#times[at + point.pop] = time;
    this.#thread[slot] = tid;
    this.#kicker[slot] = -1;
    this.#merged[slot] = 1;
    this.#backend[slot] = 0;
    this.#meanwhile.fill(Number.NaN, slot * states, (slot + 1) * states);
    this.inFlight.change(queue.index, time, 1);
    this.threads.follow(tid, time);
    state.thread = tid;
    state.pops++;
    const { notify, notifier, runKick } = state;
    if (Number.isNaN(notify) || (notifier >= 0 && request.tid >= 0 && notifier !== request.tid)) return;
    // Buffers that wait for input are there long before; what is popped right after a notification was waiting for that.
    if (request.out === 0 && this.#events > state.begunAt + 1) return;
    state.popped = true;
    this.#times[at + point.notify] = notify;
    if (Number.isNaN(runKick)) return;
    this.#times[at + point.kick] = runKick;
    this.#kicker[slot] = state.runKicker;
    const until = this.#meanwhile;
    if (Number.isNaN(state.atRunKick[0] as number) || !this.threads.until(tid, time, until, slot * states)) return;
    for (let s = 0; s < states; s++) {
      until[slot * states + s] = (until[slot * states + s] as number) - (state.atRunKick[s] as number);
    }
  }

  #begun(request: Request, b: EventBatch, i: number): void {
    const at = request.slot * own;
    // One that is tried again after an error is still the same request.
    if (!Number.isNaN(this.#times[at + point.device] as number)) return;
    this.#times[at + point.device] = b.time[i] as number;
    if (request.operation === '') return;
    this.backend.begun(request);
  }

  #done(request: Request, b: EventBatch, i: number): void {
    const at = request.slot * own;
    if (!Number.isNaN(this.#times[at + point.done] as number)) return;
    const time = b.time[i] as number;
    this.#times[at + point.done] = time;
    // The backend's answer resumes the request, on the same thread, and that ends with this event.
    const last = this.backend.completedBefore(b, i);
    const begun = this.#times[at + point.device] as number;
    if (last === undefined || !(last.submitted >= begun)) return;
    if ((b.tid[i] as number) < 0 && !this.#stateOf(request.queue).believes(last.events === this.#events)) return;
    if (Number.isNaN(this.#times[at + point.submit] as number)) this.#times[at + point.submit] = last.submitted;
    if ((this.#times[at + point.submit] as number) > last.time) return;
    this.#times[at + point.completion] = last.time;
    this.#backend[request.slot] = last.backend;
  }

  /** A request that was in flight is no more. */
  #leave(request: Request, b: EventBatch, i: number): void {
    if (request.reset === undefined) this.inFlight.change(request.queue.index, b.time[i] as number, -1);
  }

  #fill(request: Request, b: EventBatch, i: number): void {
    this.#leave(request, b, i);
    this.backend.drop(request);
    const { queue, slot } = request;
    const time = b.time[i] as number;
    const state = this.#stateOf(queue);
    // The guest may have queued what is popped from now on after this run began.
    if (state.popped || (b.tid[i] as number) < 0 || state.notifier === b.tid[i]) state.endRun();
    if (request.pop < this.#from) return;
    const times = this.#result.times;
    times.fill(Number.NaN);
    times.set(this.#times.subarray(slot * own, slot * own + own));
    times[point.fill] = time;
    const operation = operationOf(request);
    const facet = this.#facetOf(queue, operation, this.#thread[slot] as number);
    this.spans.append(request.pop, time - request.pop, facet);
    this.#sum(request, operation);
    this.#emit(times, facet);
    const result = this.#result;
    result.request = request;
    result.facet = facet;
    result.kicker = this.#kicker[slot] as number;
    result.merged = this.#merged[slot] as number;
    result.backend = this.#backend[slot] as number;
    result.meanwhile.set(this.#meanwhile.subarray(slot * states, (slot + 1) * states));
    this.#delay(result);
    const later = this.#filled?.(result, b, i);
    if (this.requests.unsureAt(time)) return;
    const { awaiting } = state;
    if (awaiting.length >= (this.#noticesSeen ? maxAwaiting : fewAwaiting)) awaiting.shift();
    awaiting.push({ fill: time, runs: state.runs, pops: state.pops, facet, later });
  }

  #sum({ queue, slot, sectors }: Request, operation: number): void {
    const backend = this.backendOf[queue.index] as number[];
    backend[this.#backend[slot] as number] = (backend[this.#backend[slot] as number] as number) + 1;
    if ((this.#merged[slot] as number) > 1) this.mergedOf[queue.index] = (this.mergedOf[queue.index] as number) + 1;
    const sums = this.sectorsOf[queue.index] as [number, number];
    if (Number.isNaN(sectors)) return;
    if (operation === 1) sums[0] += sectors;
    else if (operation === 2) sums[1] += sectors;
  }

  /** The hops between the points up to the fill that are known; a point whose time is out of order is none. */
  #emit(times: Float64Array, facet: number): void {
    let from = -1;
    for (let to = 0; to < own; to++) {
      const time = times[to] as number;
      if (Number.isNaN(time)) continue;
      if (from >= 0) {
        const length = time - (times[from] as number);
        if (length < 0) {
          if (to === point.fill || to === point.pop) continue;
          times[to] = Number.NaN;
          continue;
        }
        this.hops.append(from, to, times[from] as number, length, facet);
      }
      this.seen[to] = true;
      from = to;
    }
  }

  #delay({ times, facet, meanwhile }: Filled): void {
    const kick = times[point.kick] as number;
    if (Number.isNaN(kick)) return;
    const length = (times[point.pop] as number) - kick;
    if (length < 0) return;
    this.delays.append(kick, length, facet);
    while (this.delayOf.length <= facet) this.delayOf.push(undefined);
    const delay = this.delayOf[facet] ?? { count: 0, total: 0, whole: 0, told: 0, states: new Float64Array(states) };
    this.delayOf[facet] = delay;
    delay.count++;
    delay.total += length;
    delay.whole += (times[point.fill] as number) - kick;
    if (Number.isNaN(meanwhile[0] as number)) return;
    delay.told++;
    for (let s = 0; s < states; s++) delay.states[s] = (delay.states[s] as number) + (meanwhile[s] as number);
  }

  /** QEMU tells the guest of what it filled on a queue. */
  #notifiedGuest(queue: Queue, what: 'guest' | 'irqfd', b: EventBatch, i: number): void {
    this.#noticesSeen = true;
    const state = this.#stateOf(queue);
    const time = b.time[i] as number;
    const { awaiting } = state;
    if (awaiting.length === 0) return;
    const told = coveredBy(state, time, what);
    awaiting.length = 0;
    if (told.length === 0) return;
    for (const one of told) this.#hop(one, point.fill, point.guestNotify, one.fill, time);
    const id = this.#freeNotices.pop() ?? this.#notices.length;
    this.#notices[id] = { time, tid: b.tid[i] as number, raised: Number.NaN, requests: told };
    if (what === 'irqfd' && this.#defers) {
      if (state.deferred >= 0) this.#forget(state.deferred);
      state.deferred = id;
    } else this.#send(state, id, b, i);
  }

  /** The guest's interrupt is on its way. */
  #send(state: QueueState, id: number, b: EventBatch, i: number): void {
    const tid = b.tid[i] as number;
    this.interrupts.notified(id, tid >= 0 ? tid : state.server, b.pid[i] as number);
  }

  #sendDeferred(queue: Queue, b: EventBatch, i: number): void {
    const state = this.#stateOf(queue);
    if (state.deferred < 0) return;
    this.#send(state, state.deferred, b, i);
    state.deferred = -1;
  }

  #raised(id: number, time: number, tid: number): void {
    const notice = this.#notices[id] as Notice;
    notice.raised = time;
    if (notice.tid < 0) this.#learnServer(notice, time, tid);
    for (const one of notice.requests) this.#hop(one, point.guestNotify, point.interrupt, notice.time, time);
  }

  /** QEMU's events do not say their threads; but the one that tells KVM of a queue's interrupt is the one that notified. */
  #learnServer({ requests }: Notice, time: number, tid: number): void {
    const facet = this.facets[requests[0]?.facet as number];
    // An irqfd that cannot inject at once has a worker of the kernel do it.
    if (facet === undefined || tid < 0 || this.#trace?.threads.get(tid)?.comm.startsWith('kworker/') === true) return;
    const state = this.#stateOf(facet.queue);
    state.noteServer(tid);
    if (state.server < 0) return;
    this.inferred = true;
    this.threads.follow(tid, time);
  }

  #entered(id: number, time: number, tid: number): void {
    const { requests, raised } = this.#notices[id] as Notice;
    for (const one of requests) {
      this.#hop(one, point.interrupt, point.entry, raised, time);
      if (one.later !== undefined) one.later.interrupted = tid;
    }
    this.#forget(id);
  }

  #forget(id: number): void {
    this.#notices[id] = undefined;
    this.#freeNotices.push(id);
  }

  #hop({ later, facet }: Awaiting, from: number, to: number, begin: number, end: number): void {
    this.seen[to] = true;
    this.hops.append(from, to, begin, end - begin, facet);
    if (later !== undefined) later.times[to] = end;
  }

  #facetOf(queue: Queue, operation: number, tid: number): number {
    const part =
      this.#facetParts.size < maxFacets
        ? this.#facetParts.id(queue.index, operation)
        : this.#facetParts.find(queue.index, operation);
    if (part >= 0) {
      const known = this.#facetIds.find(part, tid);
      if (known >= 0) return known;
      if (this.facets.length < maxFacets) {
        this.facets.push({ queue, operation, tid });
        return this.#facetIds.id(part, tid);
      }
    }
    return maxFacets - 1;
  }

  #reserve(slot: number): void {
    if (slot < this.#kicker.length) return;
    this.#times = grown(this.#times);
    this.#meanwhile = grown(this.#meanwhile);
    this.#thread = grown(this.#thread);
    this.#kicker = grown(this.#kicker);
    this.#merged = grown(this.#merged);
    this.#backend = grown(this.#backend);
  }
}

/**
 * Which of the fills a notification of the guest is about: the latest for sure, and those shortly before it. virtio-blk's dataplane tells the
 * guest in a bottom half, before which the queue's handler may run once; others do at once. What was filled earlier, the guest
 * did not want to be told of: it was looking at the queue already.
 */
function coveredBy({ awaiting, runs, pops }: QueueState, time: number, what: 'guest' | 'irqfd'): Awaiting[] {
  let first = awaiting.length - 1;
  const latest = awaiting[first] as Awaiting;
  if (what === 'irqfd' ? runs - latest.runs > 1 : pops !== latest.pops) return [];
  // Had QEMU thought of notifying between two fills, that would have taken about as long as now.
  const pace = time - latest.fill;
  for (; first > 0; first--) {
    const one = awaiting[first - 1] as Awaiting;
    if (one.runs !== latest.runs || one.pops !== latest.pops) break;
    if ((awaiting[first] as Awaiting).fill - one.fill > pace) break;
  }
  return awaiting.slice(first);
}

/** SCSI commands that read or write blocks: READ and WRITE of 6, 10, 12 and 16 bytes (SBC-3). */
const scsiReads = new Set([0x08, 0x28, 0xa8, 0x88]);
const scsiWrites = new Set([0x0a, 0x2a, 0xaa, 0x8a]);

function operationOf({ operation, command, queue }: Request): number {
  if (operation !== '') return operation === 'read' ? 1 : 2;
  if (!Number.isNaN(command)) return scsiReads.has(command) ? 1 : scsiWrites.has(command) ? 2 : 3;
  return queue.device?.named === 'blk' ? 3 : 0;
}

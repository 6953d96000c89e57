import type { Loss } from '../trace/loss.ts';
import { momentOf, type QemuProcess, type Queue, Request } from './devices.ts';
import { Recent } from './recent.ts';

/** Requests that are open, or ended without a fill, at once; and of the latter those that are kept. */
const maxRequests = 100_000;
const maxEnded = 50_000;
/** Requests whose surroundings are kept. */
const maxNearby = 2_000;
const maxHoles = 10_000;

/** The requests that were popped and not filled: in lists by queue and of all, in the order of their pops; with what goes on around them, and the holes in which their fills may be. */
export class OpenRequests {
  /** Requests that ended without a fill, in the order of their ends. */
  readonly ended: Request[] = [];
  /** Holes in which events were lost, in order of becoming known. */
  readonly holes: Loss[] = [];
  readonly #pool: Request[] = [];
  #slots = 0;
  readonly #recent = new Recent();
  #nearbyTaken = 0;
  /** The list of all open requests begins here, with the newest. */
  #newest: Request | undefined;
  /** Until when events may be missing. */
  #unsureUntil = Number.NEGATIVE_INFINITY;
  /** Requests whose address was used again, by QEMU process and element, the latest each: a fill can still come to light. */
  readonly #reused = new Map<QemuProcess, Map<number, Request>>();

  /** One that was just popped, to be filled in and listed; undefined where there are too many. */
  begin(): Request | undefined {
    const request = this.#pool.pop() ?? (this.#slots < maxRequests ? new Request(this.#slots++) : undefined);
    if (request !== undefined) request.seq = this.#recent.count;
    return request;
  }

  /** Whether events may be missing at this time. */
  unsureAt(time: number): boolean {
    return time <= this.#unsureUntil;
  }

  /** Marks open requests whose fill may be lost. What a hole that was already known covers stays as it is. `end` is the time of the last event that was looked at. */
  addHole(loss: Loss, end: number): void {
    const last = this.holes.at(-1);
    if (this.holes.length < maxHoles || last === undefined) this.holes.push({ ...loss });
    else {
      last.from = Math.min(last.from, loss.from);
      last.to = Math.max(last.to, loss.to);
    }
    if (loss.to > this.#unsureUntil) this.#unsureUntil = loss.to;
    // Nothing is known of the time between the last event and the hole.
    const time = Math.min(end, loss.from);
    for (let request = this.#newest; request !== undefined && Number.isNaN(request.hole); request = request.older) {
      const { fills, overtaken, overtakenByPeer } = momentOf(time, request);
      request.hole = time;
      request.holeFills = request.fillsAtPop + fills;
      request.holeOvertaken = overtaken;
      request.holeOvertakenByPeer = overtakenByPeer;
    }
  }

  /** The address of a request is used again. It is counted where it was popped at `from` or later. */
  endReused(request: Request, time: number, from: number): void {
    const { qemu } = request.queue;
    request.reused = momentOf(time, request);
    this.takeNearby(request);
    this.unlist(request);
    const counts = request.pop >= from;
    if (!counts || this.ended.length >= maxEnded) {
      if (counts) request.queue.forgotten++;
      this.free(request);
      return;
    }
    this.ended.push(request);
    if (request.reset !== undefined) return;
    let reused = this.#reused.get(qemu);
    if (reused === undefined) {
      reused = new Map();
      this.#reused.set(qemu, reused);
    }
    reused.set(request.element, request);
  }

  /** Takes out the request that had this address before, and seemed lost, where it was of this queue. */
  takeLost(qemu: QemuProcess, element: number, queue: Queue): Request | undefined {
    const lost = this.#reused.get(qemu)?.get(element);
    if (lost?.queue !== queue) return undefined;
    this.#reused.get(qemu)?.delete(element);
    return lost;
  }

  note(time: number, kind: number, queue: Queue, high: number, low: number, x: number, y: number): void {
    const recent = this.#recent;
    recent.note(time, kind, queue, high, low, x, y);
    if (!recent.due || this.#nearbyTaken >= maxNearby) return;
    const { horizon } = recent;
    for (let request = this.#newest; request !== undefined && request.nearby === undefined; request = request.older) {
      if (request.seq < horizon) this.takeNearby(request);
      if (this.#nearbyTaken >= maxNearby) break;
    }
  }

  takeNearby(request: Request): void {
    if (request.nearby !== undefined || this.#nearbyTaken >= maxNearby) return;
    this.#nearbyTaken++;
    request.nearby = this.#recent.around(request);
  }

  /** Appends to the queue's list of open requests, and to that of all. */
  list(request: Request): void {
    const { queue } = request;
    request.previous = queue.newest;
    if (queue.newest === undefined) queue.oldest = request;
    else queue.newest.next = request;
    queue.newest = request;
    request.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = request;
    this.#newest = request;
    request.listed = true;
  }

  unlist(request: Request): void {
    if (!request.listed) return;
    const { queue, previous, next, older, newer } = request;
    if (previous === undefined) queue.oldest = next;
    else previous.next = next;
    if (next === undefined) queue.newest = previous;
    else next.previous = previous;
    if (older !== undefined) older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    request.previous = request.next = request.older = request.newer = undefined;
    request.listed = false;
  }

  free(request: Request): void {
    if (request.nearby !== undefined) this.#nearbyTaken--;
    request.operation = '';
    request.sector = request.sectors = request.command = request.tag = request.done = request.hole = Number.NaN;
    request.result = request.holeFills = 0;
    request.answered = request.holeOvertaken = request.holeOvertakenByPeer = false;
    request.reset = request.reused = request.nearby = undefined;
    this.#pool.push(request);
  }
}

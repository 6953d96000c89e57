import { hex64 } from '../trace/event-type.ts';
import type { NearbyEvent, Queue, Request } from './devices.ts';

/** How many events are remembered; a power of two. */
const size = 16384;
/** Of the events around a pop, how many before and after it are kept. */
const before = 4;
const after = 8;
/** How far around a pop they are looked for. */
const reach = 512;

/** What the columns x and y of an event hold, in the order of `nearbyKinds`; '' for nothing. */
const kinds = [
  ['virtqueue_pop', 'in_num', 'out_num'],
  ['virtqueue_fill', 'len', ''],
  ['virtio_queue_notify', 'n', ''],
  ['virtio_notify', '', ''],
  ['virtio_notify_irqfd', '', ''],
  ['virtio_blk_handle_read', 'sector', 'nsectors'],
  ['virtio_blk_handle_write', 'sector', 'nsectors'],
  ['virtio_blk_rw_complete', 'ret', ''],
  ['virtio_blk_req_complete', 'status', ''],
] as const;

export type NearbyKind = (typeof kinds)[number][0];
export const nearbyKinds: readonly NearbyKind[] = kinds.map(([name]) => name);

/**
 * The last few thousand events of virtqueues, as columns, so that the events around the pop of a request
 * can be told later. A request that stays open takes a copy before they are overwritten.
 */
export class Recent {
  /** Number of events noted so far. */
  count = 0;
  readonly #time = new Float64Array(size);
  readonly #kind = new Uint8Array(size);
  readonly #queue = new Int32Array(size);
  readonly #high = new Uint32Array(size);
  readonly #low = new Uint32Array(size);
  readonly #x = new Float64Array(size);
  readonly #y = new Float64Array(size);

  /** Notes one event; `high` and `low` are the element, 0 where it has none. */
  note(time: number, kind: number, queue: Queue, high: number, low: number, x: number, y: number): void {
    const at = this.count++ & (size - 1);
    this.#time[at] = time;
    this.#kind[at] = kind;
    this.#queue[at] = queue.index;
    this.#high[at] = high;
    this.#low[at] = low;
    this.#x[at] = x;
    this.#y[at] = y;
  }

  /** Whether open requests should now take copies: each time that half of them are new. */
  get due(): boolean {
    return (this.count & (size / 2 - 1)) === 0;
  }

  /** Requests popped before this count will lose their surroundings before half of them are new again. */
  get horizon(): number {
    return this.count - size / 2 + reach;
  }

  /** The events around a request's pop: those of its queue, its own ones first of all. Empty where they are gone. */
  around(request: Request): NearbyEvent[] {
    const start = Math.max(0, this.count - size, request.seq - reach);
    const end = Math.min(this.count, request.seq + reach);
    if (request.seq < start) return [];
    const earlier: NearbyEvent[] = [];
    for (let n = request.seq - 1; n >= start && earlier.length < before; n--) {
      if (this.#queue[n & (size - 1)] === request.queue.index) earlier.unshift(this.#event(n, request));
    }
    const later: NearbyEvent[] = [];
    let own = 0;
    for (let n = request.seq; n < end && later.length < after + own; n++) {
      if (this.#queue[n & (size - 1)] !== request.queue.index) continue;
      const event = this.#event(n, request);
      if (event.own) own++;
      later.push(event);
    }
    return [...earlier, ...later];
  }

  #event(n: number, request: Request): NearbyEvent {
    const at = n & (size - 1);
    const [name, x, y] = kinds[this.#kind[at] as number] as (typeof kinds)[number];
    const high = this.#high[at] as number;
    const low = this.#low[at] as number;
    const parts: string[] = [name];
    if (high !== 0 || low !== 0) parts.push(`elem ${hex64(high, low)}`);
    // What the event lacks is not known.
    const text = (value: number | undefined) => (Number.isNaN(value) ? '?' : String(value));
    if (x !== '') parts.push(`${x} ${text(this.#x[at])}`);
    if (y !== '') parts.push(`${y} ${text(this.#y[at])}`);
    const own = high === request.high && low === request.low && n >= request.seq;
    return { time: this.#time[at] as number, text: parts.join(' '), own };
  }
}

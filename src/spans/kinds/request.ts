import type { EventBatch } from '../../trace/batch.ts';
import { grown } from '../../trace/grown.ts';
import type { Trace } from '../../trace/trace.ts';
import { roleOf } from '../device-kinds.ts';
import type { Queue } from '../devices.ts';
import {
  detail,
  hex,
  length,
  number,
  type Readers,
  type RowOf,
  type SpanKind,
  type Spans,
  signed,
  text,
  time,
} from '../kind.ts';
import { backends } from '../request-backend.ts';
import { type Facet, type Filled, operations, type Point, point, points, RequestPath } from '../request-path.ts';
import { tableOf } from '../table.ts';
import { Words } from '../words.ts';
import { MadeSpans } from './made.ts';

const columns = {
  begin: time('virtqueue_pop'),
  duration: length('until virtqueue_fill'),
  tid: number('the thread of QEMU that popped it'),
  pid: number("QEMU's process"),
  device: text('virtio-blk, virtio-net, …'),
  vdev: hex('address of the device'),
  queue: number('number of the queue in its device'),
  role: text('what the queue is for: transmit'),
  operation: text('read, write or other, of virtio-blk and virtio-scsi'),
  vq: hex('address of the queue'),
  elem: hex('address of the element'),
  inNum: number('buffers that the device writes'),
  outNum: number('buffers that the device reads'),
  sector: number('the first sector, of 512 bytes, of virtio-blk'),
  sectors: number('how many'),
  result: signed('what the device returned: negative for an error'),
  merged: number('how many requests it was merged with to one, 1 where with none'),
  backend: text('who carried it out: thread pool, io_uring'),
  kick: time('when the guest kicked'),
  kicker: number('thread of the vCPU that kicked'),
  points: detail<{ [name in Point]?: number }>('when it passed which point of its path, as far as the trace tells'),
};

/** A virtqueue element in QEMU's hands, from virtqueue_pop to virtqueue_fill, as `virtap requests` follows it. */
export type Request = RowOf<typeof columns>;

class Rows extends tableOf({
  begin: 'f64',
  duration: 'f64',
  endsAt: 'i32',
  facet: 'i32',
  kicker: 'i32',
  merged: 'i32',
  backend: 'i32',
  elemLow: 'u32',
  elemHigh: 'u32',
  inNum: 'i32',
  outNum: 'i32',
  sector: 'f64',
  sectors: 'f64',
  result: 'i32',
}) {}

class Requests extends MadeSpans implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  protected readonly table = new Rows();
  /** By span and point. */
  #times = new Float64Array(64 * points.length);
  protected readonly maker = new RequestPath((filled, _, i) => {
    this.#add(filled, i);
    return undefined;
  });
  readonly #words = new Words();

  constructor() {
    super();
    const rows = this.table;
    const known = (n: number) => (Number.isNaN(n) ? -1 : n);
    const word = (of: (k: number) => string) => ({
      id: (k: number) => this.#words.id(of(k)),
      name: (id: number) => this.#words.text(id),
    });
    this.read = {
      begin: (k) => rows.begin[k] as number,
      duration: (k) => rows.duration[k] as number,
      tid: (k) => this.#facet(k).tid,
      pid: (k) => this.#pid(k),
      device: word((k) => {
        const kind = this.#queue(k).device?.kind;
        return kind === undefined ? '' : `virtio-${kind}`;
      }),
      vdev: {
        low: (k) => this.#queue(k).device?.low ?? 0,
        high: (k) => this.#queue(k).device?.high ?? 0,
        known: (k) => this.#queue(k).device !== undefined,
      },
      queue: (k) => this.#queue(k).number,
      role: word((k) => roleOf(this.#queue(k), this.#queue(k).device?.kind)),
      operation: { id: (k) => this.#facet(k).operation, name: (id) => operations[id] as string },
      vq: { low: (k) => this.#queue(k).low, high: (k) => this.#queue(k).high },
      elem: { low: (k) => rows.elemLow[k] as number, high: (k) => rows.elemHigh[k] as number },
      inNum: (k) => rows.inNum[k] as number,
      outNum: (k) => rows.outNum[k] as number,
      sector: (k) => known(rows.sector[k] as number),
      sectors: (k) => known(rows.sectors[k] as number),
      result: (k) => rows.result[k] as number,
      merged: (k) => rows.merged[k] as number,
      backend: { id: (k) => rows.backend[k] as number, name: (id) => backends[id] as string },
      kick: (k) => known(this.#times[k * points.length + point.kick] as number),
      kicker: (k) => rows.kicker[k] as number,
      points: (k) => this.#points(k),
    };
  }

  get seen(): boolean {
    return this.maker.requests.queues.some(({ directions: { in: i, out, both } }) => i + out + both > 0);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.table.count = 0;
    this.maker.batch(trace, b);
  }

  *open(): Iterable<Partial<Request> & { begin: number }> {
    for (const request of this.maker.requests.open()) {
      const { queue } = request;
      yield {
        begin: request.pop,
        tid: request.tid,
        pid: queue.qemu.pid,
        queue: queue.number,
        role: roleOf(queue, queue.device?.kind),
      };
    }
  }

  #add({ request, facet, times, kicker, merged, backend }: Filled, i: number): void {
    const rows = this.table;
    const k = rows.add();
    rows.begin[k] = request.pop;
    rows.duration[k] = (times[point.fill] as number) - request.pop;
    rows.endsAt[k] = i;
    rows.facet[k] = facet;
    rows.kicker[k] = kicker;
    rows.merged[k] = merged;
    rows.backend[k] = backend;
    rows.elemLow[k] = request.low;
    rows.elemHigh[k] = request.high;
    rows.inNum[k] = request.in;
    rows.outNum[k] = request.out;
    rows.sector[k] = request.sector;
    rows.sectors[k] = request.sectors;
    rows.result[k] = request.result;
    if ((k + 1) * points.length > this.#times.length) this.#times = grown(this.#times);
    this.#times.set(times, k * points.length);
  }

  #facet(k: number): Facet {
    return this.maker.facets[this.table.facet[k] as number] as Facet;
  }

  #queue(k: number): Queue {
    return this.#facet(k).queue;
  }

  #pid(k: number): number {
    const { pid } = this.#queue(k).qemu;
    return pid >= 0 ? pid : (this.trace?.threads.get(this.#facet(k).tid)?.pid ?? -1);
  }

  #points(k: number): { [name in Point]?: number } {
    const passed: { [name in Point]?: number } = {};
    points.forEach((name, n) => {
      const at = this.#times[k * points.length + n] as number;
      if (!Number.isNaN(at)) passed[name] = at;
    });
    return passed;
  }
}

export const request = {
  name: 'request',
  word: 'request',
  plural: 'requests',
  meaning: "a virtqueue element in QEMU's hands: virtqueue_pop → virtqueue_fill",
  needs: 'qemu:virtqueue_pop and qemu:virtqueue_fill',
  wanted: { purposes: ['requests'] },
  columns,
  by: ['device', 'queue', 'operation'],
  start: (): Spans<typeof columns> => new Requests(),
} as const satisfies SpanKind<typeof columns>;

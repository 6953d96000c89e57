import { type Analysis, countedFrom, type Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { type DeviceKind, kindOfEvent } from './device-kinds.ts';
import { type Device, momentOf, QemuProcess, type Queue, type Request } from './devices.ts';
import { OpenRequests } from './open-requests.ts';
import { type NearbyKind, nearbyKinds } from './recent.ts';
import { Spread } from './spread.ts';

/** What happens to requests, told as the events come. Requests must not be kept: they are used again. */
export type RequestListener = {
  popped(request: Request, b: EventBatch, i: number): void;
  /** Its fill, which is its own for sure: what a hole makes doubtful is told as `gone`. */
  filled(request: Request, b: EventBatch, i: number): void;
  /** It is out of sight, without a fill that is known to be its own. */
  gone(request: Request, b: EventBatch, i: number): void;
  /** A reset of its device takes it back; a fill can still follow. */
  takenBack(request: Request, b: EventBatch, i: number): void;
  /** Its device begins to work on it, or is done with it. */
  begun(request: Request, b: EventBatch, i: number): void;
  done(request: Request, b: EventBatch, i: number): void;
  /** QEMU was told of a queue (`queue`), or tells the guest of it: through an eventfd (`irqfd`), or itself. */
  notified(queue: Queue, what: 'queue' | 'guest' | 'irqfd', b: EventBatch, i: number): void;
  /** The eventfd is written to only now (QEMU since 8.2). */
  deferred(queue: Queue, b: EventBatch, i: number): void;
};

/** Bounds on what is kept, against traces that never fill. */
const maxElements = 500_000;
const maxQueues = 20_000;
const maxProcesses = 5_000;
const maxTags = 100_000;
/** Bounds on the time that emptying a ring of simpletrace records takes (ns). */
const minDrain = 2e6;
const maxDrain = 10e6;
/** Among how many processes the owner of an event without process is looked for. */
const maxSearched = 64;

/** Events that say which kind of device popped the last element, because they come right after the pop. */
const afterPop =
  /^(virtio_scsi_(cmd|tmf|an)_req|virtio_serial_handle_control_message|virtio_console_flush_buf|virtio_balloon_handle_output|virtio_gpu_cmd_.*|virtio_mem_.*_request|virtio_pmem_flush_request|virtio_iommu_(attach|detach|map|unmap))$/;
/** Events that name the device that they are about, by the field that does. */
const namesDevice = /^virtio_(blk|rng)_/;

/** What to do with an event type. */
type Handler = {
  act: (b: EventBatch, i: number, h: Handler) => void;
  /** Readers of the fields, in the order of `fields` below. */
  a: FieldReader;
  b: FieldReader;
  c: FieldReader;
  d: FieldReader;
  kind: DeviceKind | undefined;
  /** Index in `nearbyKinds`. */
  nearby: number;
};

/**
 * Elements from virtqueue_pop to virtqueue_fill. Streams: what was filled leaves only counts and
 * latencies behind; what was not is kept for `views/leaks.ts` to judge. Nothing is allocated per event.
 *
 * An element is its address in a QEMU process: malloc gives an address to one owner at a time, so a second pop of it, on
 * whichever queue, shows that the first was freed.
 */
export class Requests implements Analysis {
  readonly processes: QemuProcess[] = [];
  readonly queues: Queue[] = [];
  readonly #unfilled = new OpenRequests();
  readonly ended = this.#unfilled.ended;
  readonly holes = this.#unfilled.holes;
  /** Time of the last event that was looked at, and of the last that requests rest on: until then it is known what became of them. */
  end = Number.NaN;
  seenUntil = Number.NaN;
  /** Whether virtio_set_status was seen, so that resets are known. */
  resetsSeen = false;
  /** Events of queues and elements that were not followed, because there were too many addresses. */
  untracked = 0;
  /** Pops and fills that lack an address: what they are of is not known. */
  nameless = 0;
  /** Of each event, which source is believed: the first seen. One recording can hold an event twice. */
  readonly #sources = new Map<string, string>();
  readonly #handlers: (Handler | null | undefined)[] = [];
  #trace: Trace | undefined;
  readonly #byPid = new Map<number, QemuProcess>();
  #qemu: QemuProcess | undefined;
  #pid = Number.NaN;
  readonly #listener: RequestListener | undefined;
  #elements = 0;
  /** The last request popped by each process of QEMU, until it is filled. */
  readonly #lastPop = new Map<QemuProcess, Request>();
  /** SCSI commands by tag. One that was filled has lost its tag. */
  readonly #tags = new Map<number, Request>();

  #from = Number.NEGATIVE_INFINITY;
  #window: Window | undefined;

  constructor(listener?: RequestListener) {
    this.#listener = listener;
  }

  /** From when on requests count. Those popped before are followed, so that their fills are known as theirs, and counted nowhere. */
  within(window: Window): void {
    this.#from = countedFrom(window);
    this.#window = window;
  }

  /** The end of the recording, or of the stretch asked for: what is open is so old then. */
  get until(): number {
    return this.#window?.to ?? this.end;
  }

  wants(type: EventType): boolean {
    if (!type.name.startsWith('qemu:')) return false;
    return this.#actOf(type.name.slice(5)) !== undefined;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.begin(trace, b);
    for (let i = 0; i < b.count; i++) this.take(b, i);
  }

  /** Events behind the stretch: they tell what devices there are, and whose queues are whose. */
  behind(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    for (let i = 0; i < b.count; i++) {
      const id = b.type[i] as number;
      let handler = this.#handlers[id];
      if (handler === undefined) handler = this.#prepare(id);
      if (handler?.act === this.#named) this.#named(b, i, handler);
      else if (handler?.act === this.#notify) this.#attach(b, i, handler);
    }
  }

  /** Begins a batch whose events `take` is then given, all of them and in their order. */
  begin(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    for (const loss of b.losses) this.#unfilled.addHole(trace.traits?.looseHoles ? widened(loss) : loss, this.end);
    if (b.count > 0) this.end = b.time[b.count - 1] as number;
  }

  /** Whether the event was one that requests rest on. */
  take(b: EventBatch, i: number): boolean {
    const id = b.type[i] as number;
    let handler = this.#handlers[id];
    if (handler === undefined) handler = this.#prepare(id);
    if (handler === null) return false;
    this.seenUntil = b.time[i] as number;
    handler.act(b, i, handler);
    return true;
  }

  /** Whether events may be missing at this time. */
  unsureAt(time: number): boolean {
    return this.#unfilled.unsureAt(time);
  }

  /** The requests that are open now, the oldest first. */
  open(): Request[] {
    const open: Request[] = [];
    for (const qemu of this.processes) {
      for (const request of qemu.open) {
        if (request === undefined || request.pop < this.#from) continue;
        this.#unfilled.takeNearby(request);
        open.push(request);
      }
    }
    return open.sort((a, b) => a.pop - b.pop);
  }

  /** The events that virtqueue questions rest on: what to do with each, and the fields that it needs. */
  #actOf(name: string): [act: Handler['act'], ...fields: string[]] | undefined {
    switch (name) {
      case 'virtqueue_pop':
        return [this.#pop, 'vq', 'elem', 'in_num', 'out_num'];
      case 'virtqueue_fill':
        return [this.#fill, 'vq', 'elem', 'len'];
      case 'virtio_queue_notify':
        return [this.#notify, 'vdev', 'vq', 'n'];
      case 'virtio_notify':
      case 'virtio_notify_irqfd':
        return [this.#notify, 'vdev', 'vq'];
      case deferredNotice:
        return [this.#deferred, 'vdev', 'vq'];
      case 'virtio_set_status':
        return [this.#status, 'vdev', 'val'];
      case 'virtio_blk_handle_read':
      case 'virtio_blk_handle_write':
        return [this.#handle, 'vdev', 'req', 'sector', 'nsectors'];
      case 'virtio_blk_rw_complete':
        return [this.#complete, 'vdev', 'req', 'ret'];
      case 'virtio_blk_req_complete':
        return [this.#complete, 'vdev', 'req', 'status'];
    }
    if (namesDevice.test(name)) return [this.#named, name.startsWith('virtio_rng') ? 'rng' : 'vdev'];
    if (name === 'virtio_scsi_cmd_resp') return [this.#respond, 'tag'];
    if (afterPop.test(name)) return [this.#vote, 'tag', 'cmd'];
    return undefined;
  }

  /** Called once per event type, at its first event. */
  #prepare(id: number): Handler | null {
    const type = this.#trace?.types[id];
    const name = type?.name.startsWith('qemu:') === true ? type.name.slice(5) : '';
    const found = this.#actOf(name);
    let handler: Handler | null = null;
    if (type !== undefined && found !== undefined) {
      const source = type.recordedAs.split(':', 1)[0] as string;
      const believed = this.#sources.get(name) ?? source;
      this.#sources.set(name, believed);
      const [act, ...fields] = found;
      const readers = fields.map((field) => type.reader(field));
      // Without the addresses that it is about, an event says nothing.
      const addresses =
        act === this.#vote || act === this.#respond ? 0 : act === this.#named || act === this.#status ? 1 : 2;
      const usable = readers.slice(0, addresses).every((reader) => reader?.kind === 'int');
      if (source === believed && usable) {
        const [a = absent, b = absent, c = absent, d = absent] = readers;
        handler = { act, a, b, c, d, kind: kindOfEvent(name), nearby: nearbyKinds.indexOf(name as NearbyKind) };
      }
    }
    this.#handlers[id] = handler;
    return handler;
  }

  readonly #pop = (b: EventBatch, i: number, h: Handler): void => {
    if (this.#isNameless(b, i, h)) return;
    const qemu = this.#qemuOf(b, i, h.a, 'queue');
    const queue = this.#queueOf(qemu, h.a.high(b, i), h.a.low(b, i));
    if (queue === undefined) return;
    const high = h.b.high(b, i);
    const low = h.b.low(b, i);
    const time = b.time[i] as number;
    if (time >= this.#from) queue.popped++;
    const element = this.#elementOf(qemu, high, low);
    if (element < 0) {
      this.untracked++;
      return;
    }
    const before = qemu.open[element];
    if (before !== undefined) this.#reuse(before, b, i);
    const request = this.#unfilled.begin();
    qemu.open[element] = request;
    if (request === undefined) {
      this.untracked++;
      return;
    }
    request.queue = queue;
    request.high = high;
    request.low = low;
    request.element = element;
    request.in = h.c.number(b, i) || 0;
    request.out = h.d.number(b, i) || 0;
    request.pop = time;
    request.fillsAtPop = queue.fills;
    request.tid = b.tid[i] as number;
    queue.directions[request.out === 0 ? 'in' : request.in === 0 ? 'out' : 'both']++;
    if (this.#unfilled.unsureAt(time)) {
      request.hole = time;
      request.holeFills = queue.fills;
    }
    this.#unfilled.list(request);
    this.#lastPop.set(qemu, request);
    this.#unfilled.note(time, h.nearby, queue, high, low, request.in, request.out);
    this.#listener?.popped(request, b, i);
  };

  readonly #fill = (b: EventBatch, i: number, h: Handler): void => {
    if (this.#isNameless(b, i, h)) return;
    const qemu = this.#qemuOf(b, i, h.a, 'queue');
    const queue = this.#queueOf(qemu, h.a.high(b, i), h.a.low(b, i));
    if (queue === undefined) return;
    const high = h.b.high(b, i);
    const low = h.b.low(b, i);
    const time = b.time[i] as number;
    this.#unfilled.note(time, h.nearby, queue, high, low, h.c.number(b, i), 0);
    const element = qemu.elements.find(high, low);
    const request = element < 0 ? undefined : qemu.open[element];
    if (request === undefined || request.queue !== queue) {
      this.#fillUnseen(qemu, queue, element, request, b, i);
      return;
    }
    const waited = queue.fills - request.fillsAtPop;
    queue.fills++;
    const counts = request.pop >= this.#from;
    if (counts) queue.filled++;
    if (request.pop > queue.overtaking) {
      queue.overtaking = request.pop;
      queue.device?.progressed(queue);
    }
    if (counts && !Number.isNaN(request.hole)) queue.straddling++;
    else if (counts) queue.latency.add(Math.max(0, time - request.pop));
    if (Number.isNaN(request.hole) && request.reset === undefined && !(request.result < 0)) {
      const shape = shapeOf(request);
      let latencies = queue.latencies[shape];
      let fillsWhileOpen = queue.fillsWhileOpen[shape];
      if (latencies === undefined || fillsWhileOpen === undefined) {
        latencies = queue.latencies[shape] = new Spread();
        fillsWhileOpen = queue.fillsWhileOpen[shape] = new Spread();
      }
      latencies.add(time - request.pop);
      fillsWhileOpen.add(waited);
      if (!Number.isNaN(request.done)) {
        queue.returns ??= new Spread();
        queue.returns.add(time - request.done);
        const overtook = queue.fills - 1 - request.fillsAtDone;
        if (overtook > queue.fillsSinceDone) queue.fillsSinceDone = overtook;
      }
    }
    qemu.open[element] = undefined;
    if (this.#lastPop.get(qemu) === request) this.#lastPop.delete(qemu);
    this.#unfilled.unlist(request);
    if (Number.isNaN(request.hole)) this.#listener?.filled(request, b, i);
    else this.#listener?.gone(request, b, i);
    this.#unfilled.free(request);
  };

  /** Whether an event lacks the address of its queue or its element: it may be of any, so that it counts as lost. */
  #isNameless(b: EventBatch, i: number, { a, b: element }: Handler): boolean {
    // Only what is absent reads as 0 in both halves and as no number.
    if (element.low(b, i) !== 0 || element.high(b, i) !== 0) return false;
    if (!Number.isNaN(a.number(b, i)) && !Number.isNaN(element.number(b, i))) return false;
    const time = b.time[i] as number;
    this.nameless++;
    this.#unfilled.addHole({ from: time, to: time, cpu: -1, count: 1 }, this.end);
    return true;
  }

  /** A fill of an element that is not open on this queue. */
  #fillUnseen(
    qemu: QemuProcess,
    queue: Queue,
    element: number,
    open: Request | undefined,
    b: EventBatch,
    i: number,
  ): void {
    queue.fills++;
    // Two threads' events can stand in the wrong order, by little: the fill of the element that seemed lost.
    const lost = element < 0 ? undefined : this.#unfilled.takeLost(qemu, element, queue);
    if (lost !== undefined) {
      lost.filledAfterAll = true;
      if (lost.pop >= this.#from) queue.filled++;
      return;
    }
    if ((b.time[i] as number) >= this.#from) queue.unseenPops++;
    if (open !== undefined) {
      qemu.open[element] = undefined;
      this.#reuse(open, b, i);
    }
  }

  /** The address of an open request is used again. */
  #reuse(request: Request, b: EventBatch, i: number): void {
    this.#listener?.gone(request, b, i);
    this.#unfilled.endReused(request, b.time[i] as number, this.#from);
  }

  /** The queue that a notification is of, which tells its device and, where it is the guest's, its number. */
  #attach(b: EventBatch, i: number, h: Handler): Queue | undefined {
    const qemu = this.#qemuOf(b, i, h.b, 'queue');
    const queue = this.#queueOf(qemu, h.b.high(b, i), h.b.low(b, i));
    const n = h.c.number(b, i);
    if (queue !== undefined) qemu.attach(queue, h.a.high(b, i), h.a.low(b, i), n >= 0 && n < 65536 ? n : -1);
    return queue;
  }

  readonly #notify = (b: EventBatch, i: number, h: Handler): void => {
    const queue = this.#attach(b, i, h);
    if (queue === undefined) return;
    this.#unfilled.note(b.time[i] as number, h.nearby, queue, 0, 0, h.c.number(b, i), 0);
    this.#listener?.notified(queue, notices[h.nearby] ?? 'queue', b, i);
  };

  readonly #deferred = (b: EventBatch, i: number, h: Handler): void => {
    const queue = this.#queueOf(this.#qemuOf(b, i, h.b, 'queue'), h.b.high(b, i), h.b.low(b, i));
    if (queue !== undefined) this.#listener?.deferred(queue, b, i);
  };

  readonly #status = (b: EventBatch, i: number, h: Handler): void => {
    this.resetsSeen = true;
    if (h.b.number(b, i) !== 0) return;
    const qemu = this.#qemuOf(b, i, h.a, 'device');
    const device = qemu.device(h.a.high(b, i), h.a.low(b, i));
    const time = b.time[i] as number;
    for (const queue of device.queues) {
      for (let request = queue.oldest; request !== undefined; ) {
        const { next } = request;
        request.reset = momentOf(time, request);
        this.#unfilled.takeNearby(request);
        this.#unfilled.unlist(request);
        this.#listener?.takenBack(request, b, i);
        request = next;
      }
    }
  };

  readonly #handle = (b: EventBatch, i: number, h: Handler): void => {
    const request = this.#requestOf(b, i, h);
    if (request === undefined) return;
    request.operation = h.nearby === readKind ? 'read' : 'write';
    request.sector = h.c.number(b, i);
    request.sectors = h.d.number(b, i);
    // A request that is tried again after an error begins anew.
    request.done = Number.NaN;
    request.result = 0;
    this.#unfilled.note(
      b.time[i] as number,
      h.nearby,
      request.queue,
      request.high,
      request.low,
      request.sector,
      request.sectors,
    );
    this.#listener?.begun(request, b, i);
  };

  readonly #complete = (b: EventBatch, i: number, h: Handler): void => {
    const request = this.#requestOf(b, i, h);
    if (request === undefined) return;
    const time = b.time[i] as number;
    const code = h.c.number(b, i) | 0;
    if (h.nearby === answerKind) request.answered = true;
    else request.result = code;
    if (Number.isNaN(request.done) || h.nearby !== answerKind) {
      request.done = time;
      request.fillsAtDone = request.queue.fills;
    }
    this.#unfilled.note(time, h.nearby, request.queue, request.high, request.low, code, 0);
    this.#listener?.done(request, b, i);
  };

  /** The open request that a virtio-blk event is about: its `req` is the element. */
  #requestOf(b: EventBatch, i: number, h: Handler): Request | undefined {
    const qemu = this.#qemuOf(b, i, h.a, 'device');
    const vdevHigh = h.a.high(b, i);
    const vdevLow = h.a.low(b, i);
    const element = qemu.elements.find(h.b.high(b, i), h.b.low(b, i));
    const request = element < 0 ? undefined : qemu.open[element];
    if (request === undefined) return undefined;
    const known = request.queue.device;
    if (known === undefined || known.low !== vdevLow || known.high !== vdevHigh) {
      qemu.attach(request.queue, vdevHigh, vdevLow, -1);
    }
    if (request.queue.device !== undefined) request.queue.device.named = h.kind;
    return request;
  }

  readonly #named = (b: EventBatch, i: number, h: Handler): void => {
    const device: Device = this.#qemuOf(b, i, h.a, 'device').device(h.a.high(b, i), h.a.low(b, i));
    device.named = h.kind;
  };

  readonly #vote = (b: EventBatch, i: number, h: Handler): void => {
    const { kind } = h;
    const request = this.#lastPop.get(this.#qemuOf(b, i, absent, 'none'));
    if (request === undefined || kind === undefined || request.tid !== b.tid[i]) return;
    if (request.out === 0 || (request.in === 0) !== (kind === 'serial' || kind === 'balloon')) return;
    const { votes } = request.queue;
    votes.set(kind, (votes.get(kind) ?? 0) + 1);
    if (kind === 'scsi' && Number.isNaN(request.tag)) {
      request.tag = h.a.number(b, i);
      request.command = h.b.number(b, i);
      if (this.#tags.size >= maxTags) this.#tags.clear();
      this.#tags.set(request.tag, request);
      this.#listener?.begun(request, b, i);
    }
  };

  /** A SCSI command's answer, which names the command by the guest's tag. */
  readonly #respond = (b: EventBatch, i: number, h: Handler): void => {
    const tag = h.a.number(b, i);
    const request = this.#tags.get(tag);
    if (request === undefined || request.tag !== tag) return;
    this.#tags.delete(tag);
    request.done = b.time[i] as number;
    request.fillsAtDone = request.queue.fills;
    request.answered = true;
    this.#listener?.done(request, b, i);
  };

  /**
   * The QEMU process of an event. A trace may know the process of some threads only: what has no process belongs to
   * the one that has this queue (or device), where there is one.
   */
  #qemuOf(b: EventBatch, i: number, address: FieldReader, of: 'queue' | 'device' | 'none'): QemuProcess {
    const pid = b.pid[i] as number;
    if (pid === this.#pid && (pid >= 0 || this.processes.length === 1)) return this.#qemu as QemuProcess;
    let qemu = this.#byPid.get(pid);
    if (pid < 0 ? this.processes.length <= maxSearched : qemu === undefined) {
      const high = address.high(b, i);
      const low = address.low(b, i);
      const has = (known: QemuProcess) =>
        of === 'queue' ? known.knowsQueue(high, low) : of === 'device' && known.knowsDevice(high, low);
      if (pid < 0) {
        qemu = this.processes.find(has) ?? qemu ?? (this.processes.length === 1 ? this.processes[0] : undefined);
      } else {
        const nameless = this.#byPid.get(-1);
        if (nameless !== undefined && nameless.pid < 0 && has(nameless)) {
          nameless.pid = pid;
          qemu = nameless;
          this.#byPid.set(pid, qemu);
        }
      }
    }
    if (qemu === undefined) {
      if (this.processes.length >= maxProcesses) return this.processes[0] as QemuProcess;
      qemu = new QemuProcess(pid);
      this.processes.push(qemu);
      this.#byPid.set(pid, qemu);
    }
    this.#qemu = qemu;
    this.#pid = pid;
    return qemu;
  }

  /** The queue at an address; undefined where there are too many to follow. */
  #queueOf(qemu: QemuProcess, high: number, low: number): Queue | undefined {
    if (this.queues.length >= maxQueues && !qemu.knowsQueue(high, low)) {
      this.untracked++;
      return undefined;
    }
    const queue = qemu.queue(high, low);
    if (queue.index < 0) {
      queue.index = this.queues.length;
      this.queues.push(queue);
    }
    return queue;
  }

  #elementOf(qemu: QemuProcess, high: number, low: number): number {
    if (this.#elements >= maxElements) return qemu.elements.find(high, low);
    const before = qemu.elements.size;
    const element = qemu.elements.id(high, low);
    if (qemu.elements.size > before) {
      this.#elements++;
      qemu.open.push(undefined);
    }
    return element;
  }
}

/**
 * A hole in a simpletrace file, somewhat wider: while the writer empties a full ring, threads go on to drop, and what they
 * drop is counted by the next dropped record only.
 */
function widened(loss: Loss): Loss {
  const drain = Math.min(Math.max(loss.to - loss.from, minDrain), maxDrain);
  return { ...loss, from: loss.from - minDrain, to: loss.to + drain };
}

/** QEMU's event of a `virtio_notify_irqfd` that was put off until a batch of requests was through. */
export const deferredNotice = 'virtio_notify_irqfd_deferred_fn';

const readKind = nearbyKinds.indexOf('virtio_blk_handle_read');
const answerKind = nearbyKinds.indexOf('virtio_blk_req_complete');
/** Who is told by which event, by index in `nearbyKinds`. */
const notices = nearbyKinds.map((kind) =>
  kind === 'virtio_notify' ? 'guest' : kind === 'virtio_notify_irqfd' ? 'irqfd' : 'queue',
);

/**
 * Requests of one shape take times of one kind: on a disk, many buffers to write are a read, many to read are a
 * write, one of each is a flush or another command.
 */
export function shapeOf(request: Request): number {
  return (request.in > 1 ? 2 : request.in) * 3 + (request.out > 1 ? 2 : request.out);
}

import { IdTable } from '../trace/id-table.ts';
import { type DeviceKind, type Direction, elected, kindOfShape } from './device-kinds.ts';
import type { Spread } from './spread.ts';
import { Summary } from './summary.ts';

/*
 * A QEMU process, its virtio devices, their queues, and the requests in these. They know each other, hence one file.
 */

/** A virtio device of one QEMU process, known by the address of its VirtIODevice. */
export class Device {
  readonly high: number;
  readonly low: number;
  readonly queues = new Set<Queue>();
  /** The kind that an event named together with this very device. */
  named: DeviceKind | undefined;
  /** The queue whose latest filled request was popped last of all, and the best of the others. */
  #first: Queue | undefined;
  #second: Queue | undefined;

  constructor(high: number, low: number) {
    this.high = high;
    this.low = low;
  }

  /** What the device is, undefined where nothing tells. */
  get kind(): DeviceKind | undefined {
    return this.named ?? elected(this.queues) ?? kindOfShape(this.queues);
  }

  /** Notes that a queue's `overtaking` moved on. */
  progressed(queue: Queue): void {
    if (queue === this.#first) return;
    if (this.#first === undefined || queue.overtaking > this.#first.overtaking) {
      this.#second = this.#first;
      this.#first = queue;
    } else if (this.#second === undefined || queue.overtaking > this.#second.overtaking) this.#second = queue;
  }

  /** When the latest-popped request that was filled on another queue of the device had been popped. */
  overtakingBeside(queue: Queue): number {
    const peer = this.#first === queue ? this.#second : this.#first;
    return peer?.overtaking ?? Number.NEGATIVE_INFINITY;
  }
}

/** A virtqueue, known by its address, and what was counted on it. */
export class Queue {
  readonly qemu: QemuProcess;
  readonly high: number;
  readonly low: number;
  /** Its place among all queues of the trace. */
  index = -1;
  device: Device | undefined;
  /** Its number in the device, -1 where no event told. */
  number = -1;
  /** Elements popped, and filled after their pop was seen. */
  popped = 0;
  filled = 0;
  /** All fills. */
  fills = 0;
  /** Fills whose pop was not seen: of elements in flight when the trace began, or whose pop was lost. */
  unseenPops = 0;
  /** Fills after a hole that lies after the pop: they may belong to another request, so their latencies do not count. */
  straddling = 0;
  /** Elements that are gone from memory because there were too many to keep. */
  forgotten = 0;
  /** When the latest-popped request that was filled had been popped: what was popped earlier and is still open was overtaken. */
  overtaking = Number.NEGATIVE_INFINITY;
  /** Latencies from pop to fill of all that were filled, as they are shown; none that straddles a hole. */
  readonly latency = new Summary();
  /** Those that say what is usual, by shape of the request: not of failed ones, nor of those that a reset ended. */
  readonly latencies: (Spread | undefined)[] = [];
  /** How many of this queue's fills a request waited for until its own, by shape. */
  readonly fillsWhileOpen: (Spread | undefined)[] = [];
  /** From the device's completion (virtio_blk_rw_complete) to the fill. */
  returns: Spread | undefined;
  /** The most fills that came in between. */
  fillsSinceDone = 0;
  /** How often elements of each direction were popped. */
  readonly directions: Record<Direction, number> = { in: 0, out: 0, both: 0 };
  /** Events without a device's address that came right after a pop of this queue, by kind of device. */
  readonly votes = new Map<DeviceKind, number>();
  /** The requests popped and not ended, oldest first: a list through `previous` and `next`. */
  oldest: Request | undefined;
  newest: Request | undefined;

  constructor(qemu: QemuProcess, high: number, low: number) {
    this.qemu = qemu;
    this.high = high;
    this.low = low;
  }
}

/** One QEMU process: its queues, devices and elements by address. */
export class QemuProcess {
  /** The process, -1 where the trace does not say. */
  pid: number;
  readonly queues: Queue[] = [];
  readonly devices: Device[] = [];
  readonly elements = new IdTable();
  /** The open request of each element id. */
  readonly open: (Request | undefined)[] = [];
  readonly #queueIds = new IdTable();
  readonly #deviceIds = new IdTable();

  constructor(pid: number) {
    this.pid = pid;
  }

  knowsQueue(high: number, low: number): boolean {
    return this.#queueIds.find(high, low) >= 0;
  }

  knowsDevice(high: number, low: number): boolean {
    return this.#deviceIds.find(high, low) >= 0;
  }

  queue(high: number, low: number): Queue {
    const id = this.#queueIds.id(high, low);
    let queue = this.queues[id];
    if (queue === undefined) {
      queue = new Queue(this, high, low);
      this.queues.push(queue);
    }
    return queue;
  }

  device(high: number, low: number): Device {
    const id = this.#deviceIds.id(high, low);
    let device = this.devices[id];
    if (device === undefined) {
      device = new Device(high, low);
      this.devices.push(device);
    }
    return device;
  }

  /** Notes that a queue belongs to a device. `number` is -1 where the event does not say. */
  attach(queue: Queue, high: number, low: number, number: number): void {
    const known = queue.device;
    if (known === undefined || known.high !== high || known.low !== low) {
      const device = this.device(high, low);
      known?.queues.delete(queue);
      device.queues.add(queue);
      queue.device = device;
      device.progressed(queue);
    }
    if (number >= 0) queue.number = number;
  }
}

/** What was known about a request at a moment at which it was, or may have been, taken out of sight. */
export type Moment = {
  time: number;
  /** How many elements its queue had filled since its pop. */
  fills: number;
  /** Whether one that was popped later had been filled: on its own queue, or on another queue of its device. */
  overtaken: boolean;
  overtakenByPeer: boolean;
};

/** One event near a request's pop. */
export type NearbyEvent = {
  /** Time since the trace's origin, in its units. */
  time: number;
  /** `virtqueue_pop elem 0x… in_num 2 out_num 1`: name and what matters of its arguments. */
  text: string;
  /** Whether it is about this very element. */
  own: boolean;
};

/** An element from its pop on. These objects are used again and again: only those without a fill outlive it. */
export class Request {
  queue!: Queue;
  /** A small number that no other request has while this one is open. */
  readonly slot: number;
  /** The element's address. */
  high = 0;
  low = 0;
  /** Its number in the machine's table of elements. */
  element = 0;
  in = 0;
  out = 0;
  /** When it was popped, and how many events had been noted then. */
  pop = 0;
  seq = 0;
  /** Number of the queue's fills at its pop. */
  fillsAtPop = 0;
  /** Thread that popped it, -1 where not known. */
  tid = -1;
  operation: '' | 'read' | 'write' = '';
  sector = Number.NaN;
  sectors = Number.NaN;
  /** The SCSI command's first byte and its tag, NaN where not known. */
  command = Number.NaN;
  tag = Number.NaN;
  /** When its device finished it (`virtio_blk_rw_complete`, `virtio_blk_req_complete`), NaN before. */
  done = Number.NaN;
  /** Number of the queue's fills then. */
  fillsAtDone = 0;
  /** What the device returned: negative for an error. */
  result = 0;
  /** The device gave the request its status: it is not one to be tried again. */
  answered = false;
  /** The first hole after its pop began here (or before its pop): NaN where there is none. And what was known of it then. */
  hole = Number.NaN;
  holeFills = 0;
  holeOvertaken = false;
  holeOvertakenByPeer = false;
  /** The first reset of its device after its pop. */
  reset: Moment | undefined;
  /** Its address was popped or filled as another element. */
  reused: Moment | undefined;
  /** Its fill came to light after its address seemed to be used again. */
  filledAfterAll = false;
  nearby: NearbyEvent[] | undefined;
  /** Neighbours in the queue's list of open requests, and in that of all. */
  previous: Request | undefined;
  next: Request | undefined;
  older: Request | undefined;
  newer: Request | undefined;
  listed = false;

  constructor(slot: number) {
    this.slot = slot;
  }
}

/** What is known of a request at a moment. */
export function momentOf(time: number, { queue, fillsAtPop, pop }: Request): Moment {
  return {
    time,
    fills: queue.fills - fillsAtPop,
    overtaken: queue.overtaking > pop,
    overtakenByPeer: (queue.device?.overtakingBeside(queue) ?? Number.NEGATIVE_INFINITY) > pop,
  };
}

import { IdTable } from '../trace/id-table.ts';
import type { Request } from './requests.ts';
import type { Spread } from './spread.ts';
import { Summary } from './summary.ts';

/** What a virtio device is, as the part of its QEMU name behind `virtio-`. */
export type DeviceKind =
  | 'blk'
  | 'net'
  | 'scsi'
  | 'serial'
  | 'balloon'
  | 'rng'
  | 'gpu'
  | 'input'
  | 'sound'
  | 'crypto'
  | 'mem'
  | 'pmem'
  | 'iommu'
  | '9p';

/** Which way an element's buffers go: `in` the device writes only, `out` it reads only, `both` is a request with its answer. */
export type Direction = 'in' | 'out' | 'both';

/** Event names that only one kind of device has, by prefix. */
const kindPrefixes: readonly [prefix: string, kind: DeviceKind][] = [
  ['virtio_blk_', 'blk'],
  ['virtio_net_', 'net'],
  ['virtio_scsi_', 'scsi'],
  ['virtio_serial_', 'serial'],
  ['virtio_console_', 'serial'],
  ['virtio_balloon_', 'balloon'],
  ['virtio_rng_', 'rng'],
  ['virtio_gpu_', 'gpu'],
  ['virtio_input_', 'input'],
  ['virtio_snd_', 'sound'],
  ['virtio_crypto_', 'crypto'],
  ['virtio_mem_', 'mem'],
  ['virtio_pmem_', 'pmem'],
  ['virtio_iommu_', 'iommu'],
  ['v9fs_', '9p'],
];

/** The kind of device that an event (name without `qemu:`) tells of, or undefined. */
export function kindOfEvent(event: string): DeviceKind | undefined {
  return kindPrefixes.find(([prefix]) => event.startsWith(prefix))?.[1];
}

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
  readonly machine: Machine;
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
  readonly turns: (Spread | undefined)[] = [];
  /** From the device's completion (virtio_blk_rw_complete) to the fill. */
  returns: Spread | undefined;
  /** The most fills that came in between. */
  returnTurns = 0;
  /** How often elements of each direction were popped. */
  readonly directions: Record<Direction, number> = { in: 0, out: 0, both: 0 };
  /** Events without a device's address that came right after a pop of this queue, by kind of device. */
  readonly votes = new Map<DeviceKind, number>();
  /** The requests popped and not ended, oldest first: a list through `previous` and `next`. */
  oldest: Request | undefined;
  newest: Request | undefined;

  constructor(machine: Machine, high: number, low: number) {
    this.machine = machine;
    this.high = high;
    this.low = low;
  }
}

/** One QEMU process: its queues, devices and elements by address. */
export class Machine {
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

/**
 * Which kind most of the events that followed pops speak for. Threads interleave, so single votes may be
 * wrong: it takes three of four.
 */
function elected(queues: Iterable<Queue>): DeviceKind | undefined {
  const votes = new Map<DeviceKind, number>();
  let all = 0;
  for (const queue of queues) {
    for (const [kind, n] of queue.votes) {
      votes.set(kind, (votes.get(kind) ?? 0) + n);
      all += n;
    }
  }
  for (const [kind, n] of votes) if (n * 4 >= all * 3) return kind;
  return undefined;
}

/**
 * The kind that queue numbers and directions leave possible, where it is only one (virtio 1.2, chapter 5: net has receive queues at even
 * and transmit queues at odd numbers, then a control queue with answers; a console has the same without
 * answers, its control at 2 and 3; the balloon's statistics go out on 2; SCSI has requests from 2 on).
 */
function kindOfShape(queues: Iterable<Queue>): DeviceKind | undefined {
  const at = new Map<number, Direction | 'mixed'>();
  for (const queue of queues) {
    const direction = directionOf(queue);
    if (queue.number >= 0 && direction !== undefined) at.set(queue.number, direction);
  }
  if (at.size === 0) return undefined;
  if (at.get(2) === 'out') return 'balloon';
  const numbers = [...at.keys()].sort((a, b) => a - b);
  const last = numbers.at(-1) as number;
  const paired = (n: number) => at.get(n) === (n % 2 === 0 ? 'in' : 'out');
  if (last >= 2 && last % 2 === 0 && at.get(last) === 'both') {
    const rest = numbers.slice(0, -1);
    if (rest.length > 0 && rest.every(paired)) return 'net';
  }
  if (numbers.every(paired) && (at.has(2) || at.has(3)) && !at.has(0) && !at.has(1)) return 'serial';
  if (last >= 3 && numbers.every((n) => n >= 2 && at.get(n) === 'both')) return 'scsi';
  return undefined;
}

/** The direction that all of a queue's elements had, `mixed` where they differ. */
export function directionOf(queue: Queue): Direction | 'mixed' | undefined {
  const seen = (Object.keys(queue.directions) as Direction[]).filter((direction) => queue.directions[direction] > 0);
  return seen.length > 1 ? 'mixed' : seen[0];
}

/** What a queue is for, by its device's kind and its number; '' where that is not known. */
export function roleOf(queue: Queue, kind = queue.device?.kind): string {
  const n = queue.number;
  if (kind === undefined) return '';
  switch (kind) {
    case 'net': {
      if (n < 0) return directionRole(queue, 'receive', 'transmit', 'control');
      return n % 2 === 1 ? 'transmit' : directionOf(queue) === 'both' ? 'control' : 'receive';
    }
    case 'serial':
      if (n === 2 || n === 3) return n === 2 ? 'control receive' : 'control transmit';
      return n < 0 ? directionRole(queue, 'receive', 'transmit', '') : n % 2 === 1 ? 'transmit' : 'receive';
    case 'balloon':
      return ['inflate', 'deflate', 'statistics', 'free page hints', 'reporting'][n] ?? '';
    case 'scsi':
      return n < 0 ? directionRole(queue, 'event', '', '') : (['control', 'event'][n] ?? 'request');
    case 'blk':
    case 'rng':
    case '9p':
    case 'mem':
    case 'pmem':
      return 'request';
    case 'gpu':
      return ['control', 'cursor'][n] ?? '';
    case 'input':
      return ['event', 'status'][n] ?? '';
    case 'sound':
      return ['control', 'event', 'transmit', 'receive'][n] ?? '';
    case 'iommu':
      return ['request', 'event'][n] ?? '';
    case 'crypto':
      return '';
  }
}

function directionRole(queue: Queue, whenIn: string, whenOut: string, whenBoth: string): string {
  const direction = directionOf(queue);
  return direction === 'in' ? whenIn : direction === 'out' ? whenOut : direction === 'both' ? whenBoth : '';
}

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

/** What of a queue tells what it is for. */
type QueueShape = {
  /** Its number in the device, -1 where no event told. */
  readonly number: number;
  /** How often elements of each direction were popped. */
  readonly directions: Record<Direction, number>;
};

/**
 * Which kind most of the events that followed pops speak for. Threads interleave, so single votes may be
 * wrong: it takes three of four.
 */
export function elected(queues: Iterable<{ readonly votes: ReadonlyMap<DeviceKind, number> }>): DeviceKind | undefined {
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
export function kindOfShape(queues: Iterable<QueueShape>): DeviceKind | undefined {
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
export function directionOf(queue: QueueShape): Direction | 'mixed' | undefined {
  const seen = (Object.keys(queue.directions) as Direction[]).filter((direction) => queue.directions[direction] > 0);
  return seen.length > 1 ? 'mixed' : seen[0];
}

/** What a queue is for, by its device's kind and its number; '' where that is not known. */
export function roleOf(queue: QueueShape, kind: DeviceKind | undefined): string {
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

function directionRole(queue: QueueShape, whenIn: string, whenOut: string, whenBoth: string): string {
  const direction = directionOf(queue);
  return direction === 'in' ? whenIn : direction === 'out' ? whenOut : direction === 'both' ? whenBoth : '';
}

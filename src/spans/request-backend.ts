import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Request } from './devices.ts';
import { OpenTable } from './open-table.ts';

/** Who carried a request out below the block layer. */
export const backends = ['', 'thread pool', 'io_uring'] as const;

/** Requests handed to the device, and not yet to the block layer. */
const maxUnsubmitted = 1024;
/** Requests of thread pools followed at once. */
const maxPool = 1 << 16;
/** Threads (or, without threads, machines) whose latest completion is remembered. */
const maxCompleting = 4096;
const sectorSize = 512;

/** `events` of requests there had been before it. */
type Completed = { submitted: number; time: number; backend: number; events: number };

export type Role =
  | { what: 'submit' | 'complete'; backend: number; pool: FieldReader }
  | { what: 'block'; offset: FieldReader }
  | { what: 'merge'; vdev: FieldReader; offset: FieldReader; size: FieldReader };

/** Which thread an event is of; where the trace does not say, its process stands for all of them. */
function threadKey(b: EventBatch, i: number): number {
  const tid = b.tid[i] as number;
  return tid >= 0 ? tid : (b.pid[i] as number) | 0x80000000;
}

/** Tells which events of the block layer, and of what is below it, are about which requests of virtio-blk. */
export class RequestBackend {
  /** Kinds of events that there were. */
  readonly seen = { pool: false, uring: false };
  /** Requests that their device has begun with, and no event of the block layer was of. */
  readonly #unsubmitted: Request[] = [];
  /** Requests of thread pools and io_uring, by process and address. */
  readonly #pool = new OpenTable(3, maxPool);
  /** By thread: its latest completion in a thread pool, or of io_uring: when it was submitted and completed, and which of them. */
  readonly #completing = new IdTable();
  readonly #completed: Completed[] = [];
  readonly #submitted: (request: Request, time: number, parts: number) => void;

  /** `submitted` is told when a request goes to the block layer, and with how many others as one, itself among them. */
  constructor(submitted: (request: Request, time: number, parts: number) => void) {
    this.#submitted = submitted;
  }

  /** Its device begins with a request that reads or writes. */
  begun(request: Request): void {
    if (this.#unsubmitted.length === maxUnsubmitted) this.#unsubmitted.shift();
    this.#unsubmitted.push(request);
  }

  /** The latest completion on the thread of event `i`. */
  completedBefore(b: EventBatch, i: number): Completed | undefined {
    const thread = this.#completing.find(0, threadKey(b, i));
    return thread < 0 ? undefined : this.#completed[thread];
  }

  /** An event of the block layer, or below it; `events` is how many events of requests there were before it. */
  take(role: Role, b: EventBatch, i: number, events: number): void {
    const time = b.time[i] as number;
    switch (role.what) {
      case 'merge': {
        const offset = role.offset.number(b, i);
        const end = offset + role.size.number(b, i);
        const [high, low] = [role.vdev.high(b, i), role.vdev.low(b, i)];
        const parts = this.#unsubmitted.filter(({ queue: { device }, sector, tid }) => {
          const start = sector * sectorSize;
          const same = device?.high === high && device.low === low && (tid < 0 || tid === b.tid[i]);
          return same && start >= offset && start < end;
        });
        for (const part of parts) this.#submit(part, time, parts.length);
        return;
      }
      case 'block': {
        const offset = role.offset.number(b, i);
        const tid = b.tid[i] as number;
        const found = this.#unsubmitted.find(
          (one) => one.sector * sectorSize === offset && (one.tid < 0 || tid < 0 || one.tid === tid),
        );
        if (found !== undefined) this.#submit(found, time, 1);
        return;
      }
      case 'submit': {
        if (role.backend === 1) this.seen.pool = true;
        else this.seen.uring = true;
        const before = this.#find(role.pool, b, i);
        if (before >= 0) this.#pool.remove(before);
        this.#pool.begin[this.#pool.add()] = time;
        return;
      }
      case 'complete': {
        const known = this.#find(role.pool, b, i);
        if (known < 0) return;
        const submitted = this.#pool.begin[known] as number;
        this.#pool.remove(known);
        const thread = threadKey(b, i);
        let at = this.#completing.find(0, thread);
        if (at < 0) {
          if (this.#completing.size === maxCompleting) return;
          at = this.#completing.id(0, thread);
          this.#completed.push({ submitted: 0, time: 0, backend: 0, events: 0 });
        }
        const last = this.#completed[at] as Completed;
        last.submitted = submitted;
        last.time = time;
        last.backend = role.backend;
        last.events = events;
        return;
      }
    }
  }

  #find(address: FieldReader, b: EventBatch, i: number): number {
    const { key } = this.#pool;
    key[0] = b.pid[i] as number;
    key[1] = address.high(b, i);
    key[2] = address.low(b, i);
    return this.#pool.find();
  }

  #submit(request: Request, time: number, parts: number): void {
    this.#submitted(request, time, parts);
    this.drop(request);
  }

  /** The block layer's next event is not about this request. */
  drop(request: Request): void {
    const at = this.#unsubmitted.indexOf(request);
    if (at >= 0) this.#unsubmitted.splice(at, 1);
  }
}

const backendEvents =
  /^qemu:(thread_pool_(submit|complete)(_aio)?|luring_(co_submit|process_completion)|blk_co_(preadv|pwritev)|virtio_blk_submit_multireq)$/;

export function isBackend(type: EventType): boolean {
  return backendEvents.test(type.name);
}

export function backendRole(type: EventType): Role | undefined {
  const reader = (name: string) => type.reader(name) ?? absent;
  switch (type.name) {
    case 'qemu:thread_pool_submit':
    case 'qemu:thread_pool_submit_aio':
      return { what: 'submit', backend: 1, pool: reader('req') };
    case 'qemu:thread_pool_complete':
    case 'qemu:thread_pool_complete_aio':
      return { what: 'complete', backend: 1, pool: reader('req') };
    case 'qemu:luring_co_submit':
      return { what: 'submit', backend: 2, pool: reader('luringcb') };
    case 'qemu:luring_process_completion':
      return { what: 'complete', backend: 2, pool: type.reader('luringcb') ?? reader('aiocb') };
    case 'qemu:blk_co_preadv':
    case 'qemu:blk_co_pwritev':
      return { what: 'block', offset: reader('offset') };
    case 'qemu:virtio_blk_submit_multireq':
      return { what: 'merge', vdev: reader('vdev'), offset: reader('offset'), size: reader('size') };
    default:
      return undefined;
  }
}

import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exits.ts';

/** Addresses that the guest writes to, vCPU threads, and queues times addresses that are told apart. */
const maxAddresses = 1 << 16;
const maxThreads = 1 << 14;
const maxVotes = 1 << 16;
/** The latest writes that a notification of QEMU can be put down to. */
const recent = 8;
/** So often must a write to an address have come right before a queue's notification, until it counts as its kick. */
const enough = 2;

type Role =
  | { what: 'exit' | 'entry' }
  | {
      what: 'write';
      address: FieldReader;
      value: FieldReader;
      size: FieldReader;
      direction: FieldReader | undefined;
      outward: number;
    };

/**
 * When the guest kicked a virtqueue: its write to the queue's notify address takes the vCPU out of the guest. Which address
 * is which queue's no event says. It is learnt: the write comes right before QEMU is notified of the queue, and what a virtio device is
 * notified with is the queue's number (virtio 1.2, 4.1.5.2), where the trace tells the value (kvm_mmio and kvm_pio do, kvm_fast_mmio does not).
 */
export class Kicks {
  /** Whether there was any write of a guest, so that kicks could be learnt. */
  seen = false;
  readonly #roles: (Role | undefined)[] = [];
  readonly #threads = new IdTable();
  /** By thread: since when it is out of the guest, NaN where it is not. */
  readonly #out: number[] = [];
  readonly #addresses = new IdTable();
  /** By address: the first write to it that no notification was put down to yet; its thread and process. */
  readonly #first: number[] = [];
  readonly #tid: number[] = [];
  readonly #pid: number[] = [];
  /** The queue that it is of, -1 where none is known. */
  readonly #queue: number[] = [];
  /** The latest writes: address and value, -1 where that is not told. */
  readonly #latest = new Int32Array(recent).fill(-1);
  readonly #values = new Float64Array(recent);
  #writes = 0;
  readonly #votes = new IdTable();
  readonly #counts: number[] = [];
  /** By queue: its address, -1 where none is known, and how many votes it has. */
  readonly #addressOf: number[] = [];
  readonly #most: number[] = [];
  /** Queues, told when the guest kicks them. */
  readonly #kicked: (queue: number, time: number, tid: number) => void;

  constructor(kicked: (queue: number, time: number, tid: number) => void) {
    this.#kicked = kicked;
  }

  wants(type: EventType): boolean {
    return isExit(type) || isEntry(type) || /^kvm:kvm_(mmio|fast_mmio|pio)$/.test(type.name);
  }

  begin(trace: Trace): void {
    for (let id = this.#roles.length; id < trace.types.length; id++) {
      this.#roles.push(roleOf(trace.types[id] as EventType));
    }
  }

  take(b: EventBatch, i: number): void {
    const role = this.#roles[b.type[i] as number];
    if (role === undefined) return;
    const tid = b.tid[i] as number;
    if (role.what !== 'write') {
      const thread = this.#threadOf(tid);
      if (thread >= 0) this.#out[thread] = role.what === 'exit' ? (b.time[i] as number) : Number.NaN;
      return;
    }
    if (role.direction !== undefined && role.direction.number(b, i) !== role.outward) return;
    // A queue's number is written in two bytes, or in four with more beside it.
    const size = role.size.number(b, i);
    if (size !== 2 && size !== 4 && !Number.isNaN(size)) return;
    this.seen = true;
    const high = role.address.high(b, i);
    const low = role.address.low(b, i);
    let address = this.#addresses.find(high, low);
    if (address < 0) {
      if (this.#addresses.size === maxAddresses) return;
      address = this.#addresses.id(high, low);
      this.#first.push(Number.NaN);
      this.#tid.push(-1);
      this.#pid.push(-1);
      this.#queue.push(-1);
    }
    const at = this.#writes++ % recent;
    this.#latest[at] = address;
    const value = role.value.number(b, i);
    this.#values[at] = Number.isNaN(value) ? -1 : value % 0x10000;
    if (!Number.isNaN(this.#first[address] as number) && this.#queue[address] !== -1) return;
    // The guest stopped when it left, a little before KVM knew why.
    const out = this.#out[this.#threads.find(0, tid)] ?? Number.NaN;
    const time = Number.isNaN(out) ? (b.time[i] as number) : out;
    this.#first[address] = time;
    this.#tid[address] = tid;
    this.#pid[address] = b.pid[i] as number;
    const queue = this.#queue[address] as number;
    if (queue >= 0) this.#kicked(queue, time, tid);
  }

  /** Whether a thread runs a vCPU. */
  isVcpu(tid: number): boolean {
    return tid >= 0 && this.#threads.find(0, tid) >= 0;
  }

  /** Events were lost: what was written may have been notified. */
  forget(): void {
    this.#first.fill(Number.NaN);
  }

  /** QEMU was notified of a queue, the `number`th of its device: the kicks that it was for are over. */
  notified(queue: number, number: number, pid: number): void {
    if (!this.seen) return;
    this.#learn(queue, number, pid);
    const address = this.#addressOf[queue] ?? -1;
    if (address >= 0) this.#first[address] = Number.NaN;
  }

  #learn(queue: number, number: number, pid: number): void {
    for (let n = this.#writes - 1; n >= 0 && n >= this.#writes - recent; n--) {
      const address = this.#latest[n % recent] as number;
      const value = this.#values[n % recent] as number;
      if (value >= 0 ? value !== number : n < this.#writes - 1) continue;
      // What went before is put down to an earlier notification already.
      if (Number.isNaN(this.#first[address] as number)) continue;
      const writer = this.#pid[address] as number;
      if (writer >= 0 && pid >= 0 && writer !== pid) continue;
      this.#vote(queue, address);
      // Whatever comes of it, the write is spoken for.
      if (this.#queue[address] !== queue) this.#first[address] = Number.NaN;
      return;
    }
  }

  #vote(queue: number, address: number): void {
    let vote = this.#votes.find(queue, address);
    if (vote < 0) {
      if (this.#votes.size === maxVotes) return;
      vote = this.#votes.id(queue, address);
      this.#counts.push(0);
    }
    const count = (this.#counts[vote] as number) + 1;
    this.#counts[vote] = count;
    while (this.#addressOf.length <= queue) {
      this.#addressOf.push(-1);
      this.#most.push(0);
    }
    const known = this.#addressOf[queue] as number;
    if (known === address) {
      this.#most[queue] = count;
      return;
    }
    const rival = this.#queue[address] as number;
    if (count < enough || count <= (this.#most[queue] as number)) return;
    if (rival >= 0) {
      if ((this.#most[rival] as number) >= count) return;
      this.#addressOf[rival] = -1;
      this.#most[rival] = 0;
    }
    if (known >= 0) this.#queue[known] = -1;
    this.#addressOf[queue] = address;
    this.#most[queue] = count;
    this.#queue[address] = queue;
    // The write that it was learnt from is a kick, too.
    this.#kicked(queue, this.#first[address] as number, this.#tid[address] as number);
  }

  #threadOf(tid: number): number {
    if (tid < 0) return -1;
    const known = this.#threads.find(0, tid);
    if (known >= 0 || this.#threads.size === maxThreads) return known;
    this.#out.push(Number.NaN);
    return this.#threads.id(0, tid);
  }
}

function roleOf(type: EventType): Role | undefined {
  if (isExit(type)) return { what: 'exit' };
  if (isEntry(type)) return { what: 'entry' };
  const reader = (name: string) => type.reader(name) ?? absent;
  const write = (address: string, value: string, size: string) =>
    ({ what: 'write', address: reader(address), value: reader(value), size: reader(size) }) as const;
  switch (type.name) {
    case 'kvm:kvm_mmio':
      return { ...write('gpa', 'val', 'len'), direction: reader('type'), outward: 2 };
    case 'kvm:kvm_pio':
      return { ...write('port', 'val', 'size'), direction: reader('rw'), outward: 1 };
    case 'kvm:kvm_fast_mmio':
      return { ...write('gpa', '', ''), direction: undefined, outward: 0 };
    default:
      return undefined;
  }
}

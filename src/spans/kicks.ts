import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';

/** Addresses that guests write to, and the threads that do; vCPU threads; and queues times these, that are told apart. */
const maxAddresses = 1 << 16;
const maxThreads = 1 << 14;
const maxVotes = 1 << 16;
/** The latest writes that a notification of QEMU can be put down to. */
const recent = 8;
/** So often must a thread's write to an address have come right before a queue's notification, until it counts as its kick. */
const enough = 2;
const none = -1;

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
 * Two machines can have the same addresses, so writes are told apart by thread and address: its place, here.
 */
export class Kicks {
  /** Whether there was any write of a guest, so that kicks could be learnt. */
  seen = false;
  readonly #roles: (Role | undefined)[] = [];
  readonly #threads = new IdTable();
  /** By thread: since when it is out of the guest, NaN where it is not; and the process whose queue it was seen to kick. */
  readonly #out: number[] = [];
  readonly #process: number[] = [];
  readonly #addresses = new IdTable();
  readonly #places = new IdTable();
  /** By place: the first write that no notification was put down to yet; and its process. */
  readonly #first: number[] = [];
  readonly #pid: number[] = [];
  /** By place: the queue that it is of, none where that is not known, and how often its write came right before that one's notification. */
  readonly #queue: number[] = [];
  readonly #most: number[] = [];
  /** By queue: its places. */
  readonly #placesOf: number[][] = [];
  /** The latest writes: place and value, -1 where that is not told. */
  readonly #latest = new Int32Array(recent).fill(none);
  readonly #values = new Float64Array(recent);
  #writes = 0;
  readonly #votes = new IdTable();
  readonly #counts: number[] = [];
  /** Told when the guest kicks a queue, by which thread. */
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
    const place = this.#placeOf(tid, role.address.high(b, i), role.address.low(b, i), b.pid[i] as number);
    if (place < 0) return;
    const at = this.#writes++ % recent;
    this.#latest[at] = place;
    const value = role.value.number(b, i);
    this.#values[at] = Number.isNaN(value) ? -1 : value % 0x10000;
    const queue = this.#queue[place] as number;
    if (!Number.isNaN(this.#first[place] as number) && queue >= 0) return;
    // The guest stopped when it left, a little before KVM knew why.
    const out = this.#out[this.#threads.find(0, tid)] ?? Number.NaN;
    const time = Number.isNaN(out) ? (b.time[i] as number) : out;
    this.#first[place] = time;
    if (queue >= 0) this.#kicked(queue, time, tid);
  }

  /** Whether a thread runs a vCPU. */
  isVcpu(tid: number): boolean {
    return tid >= 0 && this.#threads.find(0, tid) >= 0;
  }

  /** The QEMU process that a vCPU's thread is of, as far as its kicks tell; -1 where they do not. */
  processOf(tid: number): number {
    return this.#process[tid < 0 ? none : this.#threads.find(0, tid)] ?? none;
  }

  /** Events were lost: what was written may have been notified. */
  forget(): void {
    this.#first.fill(Number.NaN);
  }

  /** QEMU was notified of a queue, the `number`th of its device: the kicks that it was for are over. */
  notified(queue: number, number: number, pid: number): void {
    if (!this.seen) return;
    const place = this.#candidate(queue, number, pid);
    if (place >= 0) this.#vote(queue, place, pid);
    for (const own of this.#placesOf[queue] ?? []) this.#first[own] = Number.NaN;
  }

  /** The place whose write the notification is most likely for: the queue's own, else one that is nobody's, the latest each; none where there is none. */
  #candidate(queue: number, number: number, pid: number): number {
    let best = none;
    let rank = 3;
    for (let n = this.#writes - 1; n >= 0 && n >= this.#writes - recent; n--) {
      const place = this.#latest[n % recent] as number;
      const value = this.#values[n % recent] as number;
      if (value >= 0 ? value !== number : n < this.#writes - 1) continue;
      // What went before is put down to an earlier notification already.
      if (Number.isNaN(this.#first[place] as number)) continue;
      const writer = this.#pid[place] as number;
      if (writer >= 0 && pid >= 0 && writer !== pid) continue;
      const owner = this.#queue[place] as number;
      const own = owner === queue ? 0 : owner < 0 ? 1 : 2;
      if (own >= rank) continue;
      rank = own;
      best = place;
    }
    return best;
  }

  #vote(queue: number, place: number, pid: number): void {
    let vote = this.#votes.find(queue, place);
    if (vote < 0) {
      if (this.#votes.size === maxVotes) return;
      vote = this.#votes.id(queue, place);
      this.#counts.push(0);
    }
    const count = (this.#counts[vote] as number) + 1;
    this.#counts[vote] = count;
    const owner = this.#queue[place] as number;
    if (owner === queue) {
      this.#most[place] = count;
      return;
    }
    if (count >= enough && count > (this.#most[place] as number)) {
      if (owner >= 0) this.#placesOf[owner] = (this.#placesOf[owner] as number[]).filter((one) => one !== place);
      while (this.#placesOf.length <= queue) this.#placesOf.push([]);
      (this.#placesOf[queue] as number[]).push(place);
      this.#queue[place] = queue;
      this.#most[place] = count;
      const thread = this.#threadOf(this.#places.high(place) | 0);
      if (thread >= 0) this.#process[thread] = pid;
      // The write that it was learnt from is a kick, too.
      this.#kicked(queue, this.#first[place] as number, this.#places.high(place) | 0);
    } else if (owner < 0) {
      // Whatever comes of it, the write is spoken for.
      this.#first[place] = Number.NaN;
    }
  }

  #placeOf(tid: number, high: number, low: number, pid: number): number {
    let address = this.#addresses.find(high, low);
    if (address < 0) {
      if (this.#addresses.size === maxAddresses) return none;
      address = this.#addresses.id(high, low);
    }
    const known = this.#places.find(tid, address);
    if (known >= 0 || this.#places.size === maxAddresses) return known;
    this.#first.push(Number.NaN);
    this.#pid.push(pid);
    this.#queue.push(none);
    this.#most.push(0);
    return this.#places.id(tid, address);
  }

  #threadOf(tid: number): number {
    if (tid < 0) return none;
    const known = this.#threads.find(0, tid);
    if (known >= 0 || this.#threads.size === maxThreads) return known;
    this.#out.push(Number.NaN);
    this.#process.push(none);
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

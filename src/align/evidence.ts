import { isEntry, isExit } from '../spans/exit-events.ts';
import { schedEvent } from '../spans/sched.ts';
import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader, unsigned64 } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';

/*
 * What a recording tells of which moments could be the same as those of another, whatever their clocks say. A thread of QEMU cannot trace
 * anything while it is asleep, preempted, in a system call or in KVM: in between kvm_entry and kvm_userspace_exit. No thread can do so while
 * another runs on its CPU. A guest does nothing but between its vCPUs' entries and exits. So the one recording has points, the other
 * walls, where no such point can be.
 */

/** What is compared: what QEMU traced (`user`), what the kernel traced (`kernel`), what a guest's kernel traced (`guest`). */
export type Kind = 'user' | 'kernel' | 'guest';

/** Points and walls that are kept of a file, against too large ones. */
const most = 1 << 22;
/** Offsets that KVM gave the TSC of one vCPU: at its creation, by its user's word, and where it was put right. */
const mostOffsets = 16;

/** Numbers in rising order. */
class Times {
  #column = new Float64Array(256);
  length = 0;

  add(time: number): void {
    if (this.length === this.#column.length) this.#column = grown(this.#column);
    this.#column[this.length++] = time;
  }

  get values(): Float64Array {
    return this.#column.subarray(0, this.length);
  }
}

/** Stretches of time, one after the other. */
export type Stretches = { starts: Float64Array; ends: Float64Array };

/** Stretches as they become known. */
class Open {
  readonly #starts = new Times();
  readonly #ends = new Times();
  #from = Number.NaN;

  begin(time: number): void {
    if (Number.isNaN(this.#from)) this.#from = time;
  }

  /** Gives how many stretches became known: 1 or none. */
  end(time: number): number {
    const from = this.#from;
    this.#from = Number.NaN;
    if (!(time > from)) return 0;
    this.#starts.add(from);
    this.#ends.add(time);
    return 1;
  }

  get stretches(): Stretches {
    return { starts: this.#starts.values, ends: this.#ends.values };
  }
}

/** What the kernel's events tell of one thread. */
class Thread {
  /** Not on a CPU; from entry to exit; from entry until KVM returned to QEMU; within a system call. */
  readonly off = new Open();
  readonly guest = new Open();
  readonly outside = new Open();
  readonly kvm = new Open();
  readonly call = new Open();
  returned = false;
  readonly points = new Times();
  vcpu = -1;
  /** What KVM told its guest of the TSC. */
  readonly tscOffsets = new Set<bigint>();
  tickLength = Number.NaN;
}

/** What one recording holds of points and walls. */
export type Evidence = {
  /** Its first event's time, and how long it lasts. */
  origin: bigint;
  last: number;
  /** How far a stamp may be from the moment that it is of. */
  blur: number;
  /** Points by thread; of a guest's recording by CPU. */
  points: Record<Kind, Map<number, Float64Array>>;
  /** What QEMU traced of vCPUs without saying on which thread, by the vCPU's number: it is that vCPU's. */
  byVcpu: Map<number, Float64Array>;
  /** Walls by thread. */
  walls: Record<Kind, Map<number, Stretches>>;
  /** The threads that ran vCPUs, by the vCPU's number. */
  vcpus: Map<number, number[]>;
  /** What was added to the host's TSC to have the guest's, by the thread of its vCPU; and how many ns a tick of it is. */
  tscOffsets: Map<number, bigint[]>;
  tickLengths: Map<number, number>;
};

type Role =
  | { what: 'switch'; previous: FieldReader; next: FieldReader }
  | { what: 'entry'; vcpu: FieldReader }
  | { what: 'qemu'; vcpu: FieldReader }
  | { what: 'tsc'; offset: FieldReader }
  | { what: 'tick'; factor: FieldReader; shift: FieldReader }
  | { what: 'exit' | 'returned' | 'call' | 'back' | 'other' };

function roleOf(type: EventType): Role {
  if (type.name.startsWith('qemu:')) return { what: 'qemu', vcpu: type.reader('cpu_index') ?? absent };
  if (isEntry(type)) return { what: 'entry', vcpu: type.reader('vcpu_id') ?? type.reader('vcpu') ?? absent };
  if (isExit(type)) return { what: 'exit' };
  if (type.name === 'kvm:kvm_userspace_exit') return { what: 'returned' };
  if (/^(raw_)?syscalls:sys_enter(_|$)/.test(type.name)) return { what: 'call' };
  if (/^(raw_)?syscalls:sys_exit(_|$)/.test(type.name)) return { what: 'back' };
  const field = (name: string) => type.reader(name) ?? absent;
  if (type.name === 'kvm:kvm_write_tsc_offset') return { what: 'tsc', offset: field('next_tsc_offset') };
  if (type.name === 'kvm:kvm_pvclock_update')
    return { what: 'tick', factor: field('tsc_to_system_mul'), shift: field('tsc_shift') };
  const sched = schedEvent(type);
  return sched?.what === 'switch' ? sched : { what: 'other' };
}

/** Reads a recording once for its points and walls, and closes it. */
export async function evidenceOf(trace: Trace): Promise<Evidence> {
  const gathering = new Gathering();
  for await (const batch of trace.batches()) gathering.take(trace, batch);
  const evidence = gathering.result(trace);
  await trace.close();
  return evidence;
}

class Gathering {
  readonly #roles: Role[] = [];
  readonly #threads = new Map<number, Thread>();
  readonly #qemu = new Map<number, Times>();
  readonly #vcpus = new Map<number, Times>();
  readonly #cpus = new Map<number, Times>();
  readonly #losses: Loss[] = [];
  #held = 0;

  take(trace: Trace, b: EventBatch): void {
    for (let id = this.#roles.length; id < trace.types.length; id++)
      this.#roles.push(roleOf(trace.types[id] as EventType));
    for (const loss of b.losses) if (this.#losses.length < most) this.#losses.push(loss);
    for (let i = 0; i < b.count && this.#held < most; i++) {
      const role = this.#roles[b.type[i] as number] as Role;
      const time = b.time[i] as number;
      const tid = b.tid[i] as number;
      const cpu = b.cpu[i] as number;
      if (role.what === 'switch') {
        if (cpu >= 0) this.#point(this.#cpus, cpu, time);
        this.#switched(role.previous.number(b, i), role.next.number(b, i), time);
        continue;
      }
      if (role.what === 'qemu') {
        // QEMU's own text in the kernel's recording is stamped by the kernel, on the thread that wrote it.
        const vcpu = tid < 0 ? role.vcpu.number(b, i) : Number.NaN;
        if (tid >= 0) this.#point(this.#qemu, tid, time);
        else if (vcpu >= 0) this.#point(this.#vcpus, vcpu, time);
        continue;
      }
      if (tid < 0) continue;
      if (cpu >= 0) this.#point(this.#cpus, cpu, time);
      // What is called thread 0 is one idle thread for each CPU.
      if (tid === 0) continue;
      const thread = this.#thread(tid);
      thread.points.add(time);
      this.#held++;
      switch (role.what) {
        case 'entry':
          if (thread.vcpu < 0) thread.vcpu = role.vcpu.number(b, i);
          thread.kvm.begin(time);
          this.#held += thread.outside.end(time);
          thread.guest.begin(time);
          break;
        case 'exit':
          thread.kvm.begin(time);
          this.#held += thread.guest.end(time);
          thread.outside.begin(time);
          break;
        case 'returned':
          thread.returned = true;
          this.#held += thread.kvm.end(time);
          break;
        case 'call':
          thread.call.begin(time);
          break;
        case 'back':
          this.#held += thread.call.end(time);
          break;
        case 'tsc':
          if (thread.tscOffsets.size < mostOffsets)
            thread.tscOffsets.add(BigInt.asIntN(64, unsigned64(role.offset, b, i)));
          break;
        case 'tick':
          // As the guest's pvclock reckons: ticks, shifted, times a fraction of 2^32.
          thread.tickLength = role.factor.low(b, i) * 2 ** (((role.shift.low(b, i) << 24) >> 24) - 32);
          break;
      }
    }
  }

  #switched(previous: number, next: number, time: number): void {
    if (previous > 0) this.#thread(previous).off.begin(time);
    if (next > 0) this.#held += this.#thread(next).off.end(time);
  }

  #thread(tid: number): Thread {
    let thread = this.#threads.get(tid);
    if (thread === undefined) {
      thread = new Thread();
      this.#threads.set(tid, thread);
    }
    return thread;
  }

  #point(points: Map<number, Times>, lane: number, time: number): void {
    let times = points.get(lane);
    if (times === undefined) {
      times = new Times();
      points.set(lane, times);
    }
    times.add(time);
    this.#held++;
  }

  result(trace: Trace): Evidence {
    const points = { user: values(this.#qemu), kernel: new Map<number, Float64Array>(), guest: values(this.#cpus) };
    const walls = {
      user: new Map<number, Stretches>(),
      kernel: new Map<number, Stretches>(),
      guest: new Map<number, Stretches>(),
    };
    const vcpus = new Map<number, number[]>();
    const tscOffsets = new Map<number, bigint[]>();
    const tickLengths = new Map<number, number>();
    // Where something was lost, nothing is known to be impossible.
    const losses = union(this.#losses.map(({ from, to }) => ({ starts: [from], ends: [to] })));
    for (const [tid, thread] of this.#threads) {
      if (thread.points.length > 0) points.kernel.set(tid, thread.points.values);
      const off = thread.off.stretches;
      const inside = thread.returned ? thread.kvm.stretches : thread.guest.stretches;
      const add = (to: Map<number, Stretches>, of: Stretches[]) => {
        const sound = without(union(of), losses);
        if (sound.starts.length > 0) to.set(tid, sound);
      };
      add(walls.kernel, [off]);
      add(walls.user, [off, inside, thread.call.stretches]);
      add(walls.guest, [thread.outside.stretches]);
      if (thread.vcpu >= 0) vcpus.set(thread.vcpu, [...(vcpus.get(thread.vcpu) ?? []), tid]);
      if (thread.tscOffsets.size > 0) tscOffsets.set(tid, [...thread.tscOffsets]);
      if (thread.tickLength > 0) tickLengths.set(tid, thread.tickLength);
    }
    return {
      origin: trace.origin,
      last: Math.max(0, trace.last),
      blur: trace.clock.resolution - 1,
      points,
      byVcpu: values(this.#vcpus),
      walls,
      vcpus,
      tscOffsets,
      tickLengths,
    };
  }
}

/** The same in units of another length: `unit` is how many of them one of its own is. */
export function inUnits(evidence: Evidence, unit: number): Evidence {
  if (unit === 1) return evidence;
  const scaled = (times: Float64Array) => times.map((time) => time * unit);
  const points = (all: Map<number, Float64Array>) => new Map([...all].map(([lane, times]) => [lane, scaled(times)]));
  const walls = (all: Map<number, Stretches>) =>
    new Map([...all].map(([lane, { starts, ends }]) => [lane, { starts: scaled(starts), ends: scaled(ends) }]));
  const { points: p, walls: w } = evidence;
  return {
    ...evidence,
    last: evidence.last * unit,
    blur: evidence.blur * unit,
    points: { user: points(p.user), kernel: points(p.kernel), guest: points(p.guest) },
    byVcpu: points(evidence.byVcpu),
    walls: { user: walls(w.user), kernel: walls(w.kernel), guest: walls(w.guest) },
  };
}

function values(times: ReadonlyMap<number, Times>): Map<number, Float64Array> {
  return new Map([...times].map(([lane, column]) => [lane, column.values]));
}

/** Where any of the stretches is. */
function union(several: readonly { starts: ArrayLike<number>; ends: ArrayLike<number> }[]): Stretches {
  const count = several.reduce((sum, { starts }) => sum + starts.length, 0);
  const from = new Float64Array(count);
  const to = new Float64Array(count);
  const starts = new Float64Array(count);
  let n = 0;
  for (const one of several)
    for (let i = 0; i < one.starts.length; i++, n++) {
      from[n] = one.starts[i] as number;
      to[n] = one.ends[i] as number;
    }
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (from[a] as number) - (from[b] as number),
  );
  const ends = new Float64Array(count);
  n = 0;
  for (const i of order) {
    const [start, end] = [from[i] as number, to[i] as number];
    if (n > 0 && start <= (ends[n - 1] as number)) ends[n - 1] = Math.max(end, ends[n - 1] as number);
    else {
      starts[n] = start;
      ends[n++] = end;
    }
  }
  return { starts: starts.subarray(0, n), ends: ends.subarray(0, n) };
}

/** The stretches that none of the others touches. */
function without({ starts, ends }: Stretches, others: Stretches): Stretches {
  if (others.starts.length === 0) return { starts, ends };
  const kept: number[] = [];
  let other = 0;
  for (let i = 0; i < starts.length; i++) {
    while (other < others.starts.length && (others.ends[other] as number) < (starts[i] as number)) other++;
    if (!((others.starts[other] as number) <= (ends[i] as number))) kept.push(i);
  }
  return {
    starts: Float64Array.from(kept, (i) => starts[i] as number),
    ends: Float64Array.from(kept, (i) => ends[i] as number),
  };
}

import { inflateSync } from 'node:zlib';
import { Arena } from '../../trace/arena.ts';
import { EventBatch } from '../../trace/batch.ts';
import type { Clock } from '../../trace/clock.ts';
import { TraceError } from '../../trace/error.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Loss } from '../../trace/loss.ts';
import { NameChanges } from '../../trace/name-changes.ts';
import { EventSorter } from '../../trace/sorter.ts';
import { ThreadTable, type Trace, TypeTable } from '../../trace/trace.ts';
import type { Format } from '../format.ts';
import { asTraceError, type Input } from '../input.ts';
import { qualifiedName } from '../kernel-text.ts';
import { NamesSeen } from '../names-seen.ts';
import { decodeText } from '../text-reader.ts';
import { eventNumber, type ProtoField, type ProtoKind, protoEvents } from './events.ts';
import { GenericLayout, ProtoLayout } from './layouts.ts';
import { encode, WireReader } from './wire.ts';

/*
 * Perfetto's traces: packets in protobuf's wire format, of which those with ftrace events are read. Sources: protos/perfetto/trace of Perfetto
 * (trace.proto, trace_packet.proto, ftrace/ftrace_event_bundle.proto, ftrace/ftrace_event.proto, ps/process_tree.proto).
 */

/** Fields of Trace, TracePacket, FtraceEventBundle and FtraceEvent. */
const packet = 1;
const packetField = {
  ftraceEvents: 1,
  processTree: 2,
  clockSnapshot: 6,
  sequence: 10,
  config: 33,
  stats: 35,
  sync: 36,
  compressed: 50,
} as const;
const bundleField = { cpu: 1, event: 2, lost: 3, compactSched: 4, clock: 5, descriptors: 11 } as const;
const eventField = { time: 1, pid: 2, flags: 5 } as const;

/** Magic numbers aside, a packet with one of these is Perfetto's. */
const telling: ReadonlySet<number> = new Set(Object.values(packetField));

export const perfetto: Format = {
  name: 'Perfetto',
  recognise(head) {
    // Text may begin with an empty line, which looks like a packet's tag.
    if (head[0] !== 0x0a || !head.subarray(0, 4096).some((byte) => byte < 9 || byte > 0x7e)) return false;
    const inner = new WireReader(head);
    let packets = 0;
    let told = false;
    for (let at = 0; at < head.length && packets < 64; packets++) {
      const size = packetAt(head, at);
      if (size === 'cut') break;
      if (size === undefined) return false;
      inner.begin(size.from, size.to);
      while (inner.next()) told ||= telling.has(inner.field);
      if (inner.broken) return false;
      at = size.to;
    }
    return told;
  },
  async open(input) {
    return new PerfettoTrace(input);
  },
};

/** Where the packet at `at` lies; `cut` where not all of it is there, undefined where there is none. */
function packetAt(bytes: Uint8Array, at: number): { from: number; to: number } | 'cut' | undefined {
  if (bytes[at] !== packet * 8 + 2) return undefined;
  let size = 0;
  let p = at + 1;
  for (let factor = 1; ; factor *= 128) {
    if (p >= bytes.length) return 'cut';
    const byte = bytes[p++] as number;
    size += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
    if (p - at > 6) return undefined;
  }
  return p + size > bytes.length ? 'cut' : { from: p, to: p + size };
}

const slotSize = 1 << 20;
const mostCpus = 8192;
/** Events whose payloads are longer are none. */
const longestEvent = 1 << 16;

class PerfettoTrace implements Trace {
  readonly file: string;
  readonly format = 'Perfetto';
  readonly version = 'ftrace';
  readonly clock: Clock = { name: 'boot', unit: 'ns', resolution: 1 };
  origin = 0n;
  last = Number.NEGATIVE_INFINITY;
  readonly threads: ThreadTable;
  readonly cpus: number | undefined = undefined;
  readonly notes: string[] = [];
  damage: TraceError | undefined;

  readonly #input: Input;
  readonly #table: TypeTable;
  readonly #arena: Arena;
  readonly #sorter: EventSorter;
  #wants: ((type: EventType) => boolean) | undefined;
  /** By number in FtraceEvent, and by name of those without: the type's id, -1 where nobody wants it. */
  readonly #typeOf = new Map<number, number>();
  readonly #genericOf = new Map<string, number>();

  #slot = -1;
  #at = 0;
  #limit = 0;
  #started = false;
  #settled = false;
  #originHigh = 0;
  #originLow = 0;
  #oldest = Number.POSITIVE_INFINITY;
  /** Time of the last event of the open run. */
  #lastInRun = Number.POSITIVE_INFINITY;
  /** Perfetto drains the CPUs one after the other, again and again: the pass that each was last seen in, and the newest times of the passes before. */
  readonly #passOf = new Map<number, number>();
  #pass = 0;
  #cpu = -1;
  #before = Number.NEGATIVE_INFINITY;
  #complete = Number.NEGATIVE_INFINITY;
  readonly #lastOnCpu = new Map<number, number>();
  /** Reads the names of threads in switches, of which most tell what is known. */
  readonly #namesWire = new WireReader(new Uint8Array(0));
  readonly #names: NameChanges;
  readonly #seen = new NamesSeen();
  /** Who runs on each CPU, as compact switches tell. */
  readonly #running = new Map<number, { tid: number; comm: string; prio: number }>();
  #unknownNumbers = 0;

  constructor(input: Input) {
    this.file = input.name;
    this.#input = input;
    const { meter } = input;
    this.threads = new ThreadTable(meter);
    this.#table = new TypeTable(meter);
    this.#arena = new Arena(input.slot(slotSize) + longestEvent, 0, input.room(meter.budget.payloads));
    this.#sorter = new EventSorter(this.#arena, meter.budget.waiting);
    this.#names = new NameChanges(this.threads, this.#sorter);
  }

  get types(): readonly EventType[] {
    return this.#table.all;
  }

  progress(): { read: number; size: number | undefined } {
    return { read: this.#input.read, size: this.#input.size };
  }

  close(): Promise<void> {
    return this.#input.close();
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncGenerator<EventBatch> {
    this.#wants = wants;
    let cut = false;
    try {
      let rest: Uint8Array = new Uint8Array(0);
      let offset = 0;
      for await (const chunk of this.#input.chunks()) {
        const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        let at = 0;
        while (at < bytes.length) {
          const found = packetAt(bytes, at);
          if (found === 'cut') break;
          if (found === undefined)
            throw new TraceError(this.file, `a byte 0x${bytes[at]?.toString(16)}`, offset + at, 'a packet (0x0a)');
          yield* this.#packet(bytes, found.from, found.to, offset, 0);
          at = found.to;
        }
        rest = bytes.slice(at);
        offset += at;
        this.#input.meter.part(rest.length, 'a packet', offset);
      }
      if (rest.length > 0)
        throw new TraceError(
          this.file,
          `the file ends after ${rest.length} bytes of a packet`,
          offset,
          'whole packets',
        );
    } catch (error) {
      if (!(error instanceof TraceError) && (error as NodeJS.ErrnoException).errno === undefined) throw error;
      cut = true;
      this.damage ??= asTraceError(this.file, error);
    }
    const flushed = this.#complete;
    yield* this.#take(Number.POSITIVE_INFINITY);
    this.damage ??= this.#input.meter.refused;
    if (cut) {
      const batch = new EventBatch(0);
      batch.losses = [{ from: flushed, to: Number.POSITIVE_INFINITY, cpu: -1, count: undefined }];
      yield batch;
    }
    if (this.#unknownNumbers > 0)
      this.notes.push(`${this.#unknownNumbers} kinds of events are known by their numbers in Perfetto's protos alone.`);
    if (this.#sorter.lateNote !== undefined) this.notes.push(this.#sorter.lateNote);
  }

  *#take(upTo: number): Generator<EventBatch> {
    if (!this.#settled && this.#started && upTo > Number.NEGATIVE_INFINITY) upTo -= this.#settle();
    this.#lastInRun = Number.POSITIVE_INFINITY;
    yield* this.#names.upTo(upTo);
  }

  /** The first event in the file is seldom the earliest: before anything is handed out, times are made to count from that. Gives by how much. */
  #settle(): number {
    this.#settled = true;
    const by = this.#oldest;
    if (by === 0 || !Number.isFinite(by)) return 0;
    this.#sorter.rebase(by);
    this.#names.rebase(by);
    this.#seen.rebase(by);
    this.#setOrigin(this.origin + BigInt(by));
    this.last -= by;
    this.#before -= by;
    this.#complete -= by;
    for (const [cpu, time] of this.#lastOnCpu) this.#lastOnCpu.set(cpu, time - by);
    return by;
  }

  #setOrigin(origin: bigint): void {
    this.origin = origin;
    this.#originHigh = Number(origin >> 32n);
    this.#originLow = Number(origin & 0xffffffffn);
  }

  *#packet(bytes: Uint8Array, from: number, to: number, offset: number, depth: number): Generator<EventBatch> {
    const wire = new WireReader(bytes).begin(from, to);
    while (wire.next()) {
      if (wire.wire !== 2) continue;
      if (wire.field === packetField.ftraceEvents) yield* this.#bundle(bytes, wire.from, wire.to);
      else if (wire.field === packetField.processTree) this.#processes(bytes, wire.from, wire.to);
      else if (wire.field === packetField.compressed && depth === 0) {
        const { meter } = this.#input;
        let inside: Uint8Array;
        try {
          inside = inflateSync(bytes.subarray(wire.from, wire.to), { maxOutputLength: meter.budget.part });
        } catch (error) {
          throw new TraceError(
            this.file,
            `compressed packets that break (${(error as Error).message})`,
            offset + from,
            'zlib data',
          );
        }
        meter.unfold(inside.length, offset + from);
        for (let at = 0; at < inside.length; ) {
          const found = packetAt(inside, at);
          if (found === 'cut' || found === undefined)
            throw new TraceError(this.file, 'compressed packets that are not whole', offset + from, 'whole packets');
          yield* this.#packet(inside, found.from, found.to, offset, depth + 1);
          at = found.to;
        }
      }
    }
    if (wire.broken)
      throw new TraceError(this.file, 'a packet that is none', offset + from, "fields of protobuf's wire format");
  }

  *#bundle(bytes: Uint8Array, from: number, to: number): Generator<EventBatch> {
    let cpu = -1;
    let lost = false;
    const wire = new WireReader(bytes).begin(from, to);
    while (wire.next()) {
      if (wire.field === bundleField.cpu) cpu = wire.low < mostCpus ? wire.low : -1;
      else if (wire.field === bundleField.lost && wire.low !== 0) lost = true;
      else if (wire.field === bundleField.descriptors && wire.wire === 2) this.#describe(bytes, wire.from, wire.to);
      else if (wire.field === bundleField.clock && wire.wire === 0) this.clock.name = clockNames[wire.low] ?? 'unknown';
    }
    if (wire.broken) return;
    yield* this.#beginCpu(cpu, lost);
    const inner = new WireReader(bytes);
    wire.begin(from, to);
    while (wire.next()) {
      if (wire.wire !== 2) continue;
      if (wire.field === bundleField.event) {
        if (!this.#room()) yield* this.#takeAll();
        this.#event(bytes, inner, wire.from, wire.to, cpu);
      } else if (wire.field === bundleField.compactSched) {
        for (const event of compactSched(bytes, wire.from, wire.to)) {
          if (!this.#room()) yield* this.#takeAll();
          this.#compactEvent(event, cpu);
        }
      }
    }
  }

  /** Another bundle: a pass ends where its CPU was drained in this one already. */
  *#beginCpu(cpu: number, lost: boolean): Generator<EventBatch> {
    if (cpu !== this.#cpu && this.#passOf.get(cpu) === this.#pass) {
      this.#pass++;
      this.#complete = this.#before;
      this.#before = this.last;
      yield* this.#take(this.#complete);
    }
    this.#cpu = cpu;
    this.#passOf.set(cpu, this.#pass);
    this.#lastInRun = Number.POSITIVE_INFINITY;
    if (lost) this.#lossOf.set(cpu, this.#lastOnCpu.get(cpu) ?? Number.NEGATIVE_INFINITY);
  }

  /** CPUs whose next event follows lost ones, and the time of the last before these. */
  readonly #lossOf = new Map<number, number>();

  *#takeAll(): Generator<EventBatch> {
    yield* this.#take(Number.POSITIVE_INFINITY);
    const note =
      'No pass over the CPUs ended for as long as memory lasts: events of different CPUs may be out of order.';
    if (!this.notes.includes(note)) this.notes.push(note);
  }

  /** Whether there is room for one more event, of any size. */
  #room(): boolean {
    if (this.#sorter.full) return false;
    if (this.#slot >= 0 && this.#at + longestEvent <= this.#limit) return true;
    const slot = this.#arena.acquire();
    if (slot < 0) return false;
    if (this.#slot >= 0) this.#arena.release(this.#slot);
    this.#slot = slot;
    this.#at = this.#arena.start(slot);
    this.#limit = this.#at + this.#arena.slotSize;
    this.#lastInRun = Number.POSITIVE_INFINITY;
    return true;
  }

  #event(bytes: Uint8Array, wire: WireReader, from: number, to: number, cpu: number): void {
    let [high, low, tid, number, start, end] = [0, 0, -1, -1, 0, 0];
    wire.begin(from, to);
    while (wire.next()) {
      if (wire.field === eventField.time) [high, low] = [wire.high, wire.low];
      else if (wire.field === eventField.pid) tid = wire.low | 0;
      else if (wire.wire === 2 && wire.field !== eventField.flags)
        [number, start, end] = [wire.field, wire.from, wire.to];
    }
    if (wire.broken || number < 0 || end - start > longestEvent) return;
    const type = number === eventNumber.generic ? this.#generic(bytes, start, end) : this.#type(number);
    const time = this.#append(high, low, type, cpu, tid, bytes, start, end);
    if (number === eventNumber.schedSwitch) this.#nameOf(bytes, start, end, time);
  }

  /** Gives the event's time; NaN where it can be none. */
  #append(
    high: number,
    low: number,
    type: number,
    cpu: number,
    tid: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): number {
    if (!this.#started) {
      this.#started = true;
      this.#setOrigin((BigInt(high) << 32n) | BigInt(low));
    }
    const time = (high - this.#originHigh) * 0x100000000 + (low - this.#originLow);
    if (!Number.isSafeInteger(time)) {
      this.damage ??= new TraceError(
        this.file,
        `CPU ${cpu} has a time more than 2^53 ns from the first`,
        undefined,
        'times of one recording',
      );
      return Number.NaN;
    }
    if (time > this.last) this.last = time;
    if (time < this.#oldest) this.#oldest = time;
    this.#lastOnCpu.set(cpu, time);
    const after = this.#lossOf.get(cpu);
    let loss: Loss | undefined;
    if (after !== undefined) {
      this.#lossOf.delete(cpu);
      loss = { from: Math.min(after, time), to: time, cpu, count: undefined };
    }
    if (loss !== undefined || !(time >= this.#lastInRun)) this.#sorter.begin(this.#slot, loss);
    this.#lastInRun = time;
    if (type < 0) return time;
    this.#arena.bytes.set(bytes.subarray(start, end), this.#at);
    this.#sorter.append(time, type, cpu, tid, -1, this.#at, end - start);
    this.#at += end - start;
    return time;
  }

  #compactEvent({ time, number, tid, fields, next }: CompactEvent, cpu: number): void {
    let all = fields;
    let of = tid;
    if (next !== undefined) {
      const previous = this.#running.get(cpu);
      of = previous?.tid ?? -1;
      if (previous !== undefined)
        all = [[1, previous.comm], [2, BigInt(previous.tid)], [3, BigInt(previous.prio)], ...fields];
      this.#running.set(cpu, next);
    }
    const bytes = encode(all);
    if (bytes.length > longestEvent) return;
    const [high, low] = [Number(time >> 32n), Number(time & 0xffffffffn)];
    const at = this.#append(high, low, this.#type(number), cpu, of, bytes, 0, bytes.length);
    if (next === undefined) return;
    const comm = Buffer.from(next.comm);
    this.#name(next.tid, at, comm, 0, comm.length);
  }

  /** The names of the threads of a switch. */
  #nameOf(bytes: Uint8Array, start: number, end: number, time: number): void {
    const wire = this.#namesWire;
    wire.bytes = bytes;
    wire.begin(start, end);
    let from = start;
    let to = start;
    while (wire.next()) {
      if ((wire.field === 1 || wire.field === 5) && wire.wire === 2) {
        from = wire.from;
        to = wire.to;
      } else if (wire.field === 2 || wire.field === 6) this.#name(wire.low | 0, time, bytes, from, to);
    }
  }

  /** What a thread is called at a time. */
  #name(tid: number, time: number, bytes: Uint8Array, from: number, to: number): void {
    if (!Number.isNaN(time) && this.#seen.see(tid, time, bytes, from, to))
      this.#names.name(time, tid, decodeText(bytes, from, to), -1);
  }

  /** ProcessTree: processes (1) of pid (1) and command line (3), threads (2) of tid (1), name (2) and tgid (3). */
  #processes(bytes: Uint8Array, from: number, to: number): void {
    const wire = new WireReader(bytes).begin(from, to);
    const inner = new WireReader(bytes);
    while (wire.next()) {
      if (wire.wire !== 2 || wire.field !== 2) continue;
      let [tid, pid, name] = [-1, -1, ''];
      inner.begin(wire.from, wire.to);
      while (inner.next()) {
        if (inner.field === 1) tid = inner.low | 0;
        else if (inner.field === 2 && inner.wire === 2) name = inner.text();
        else if (inner.field === 3) pid = inner.low | 0;
      }
      // It was called so when it was looked at: now, or before all events.
      const comm = Buffer.from(name);
      const isNew = name === '' || this.#seen.see(tid, this.last, comm, 0, comm.length);
      if (tid >= 0) this.#names.name(this.last, tid, isNew ? name : '', pid);
    }
  }

  /** GenericEventDescriptor: a number of FtraceEvent (1) and the message that it is there (2), a DescriptorProto. */
  #describe(bytes: Uint8Array, from: number, to: number): void {
    const wire = new WireReader(bytes).begin(from, to);
    let number = -1;
    let described: ReturnType<typeof descriptor>;
    while (wire.next()) {
      if (wire.field === 1) number = wire.low;
      else if (wire.field === 2 && wire.wire === 2) described = descriptor(bytes, wire.from, wire.to);
    }
    if (described === undefined || protoEvents.has(number) || this.#typeOf.has(number)) return;
    const { name, fields } = described;
    this.#typeOf.set(number, this.#ask(this.#table.add(fullName(name), new ProtoLayout(fields), name)));
  }

  #type(number: number): number {
    let id = this.#typeOf.get(number);
    if (id === undefined) {
      const known = protoEvents.get(number);
      if (known === undefined) this.#unknownNumbers++;
      id = this.#ask(this.#table.add(known?.name ?? `perfetto:event_${number}`, new ProtoLayout(known?.fields ?? [])));
      this.#typeOf.set(number, id);
    }
    return id;
  }

  #generic(bytes: Uint8Array, start: number, end: number): number {
    const wire = new WireReader(bytes).begin(start, end);
    let name = 'unknown';
    while (wire.next()) if (wire.field === 1 && wire.wire === 2) name = wire.text();
    let id = this.#genericOf.get(name);
    if (id === undefined) {
      id = this.#ask(this.#table.add(fullName(name), new GenericLayout(bytes, start, end), name));
      this.#genericOf.set(name, id);
    }
    return id;
  }

  #ask(type: EventType): number {
    return this.#wants === undefined || this.#wants(type) ? type.id : -1;
  }
}

function fullName(name: string): string {
  if (name.includes('/')) return name.replace('/', ':');
  return name.includes(':') ? name : qualifiedName(name, new Uint8Array(0));
}

/** FieldDescriptorProto's types. */
const describedKinds: Record<number, ProtoKind> = {
  3: 'i64',
  4: 'u64',
  5: 'i32',
  8: 'u32',
  9: 'text',
  12: 'text',
  13: 'u32',
};

/** A DescriptorProto: a name (1), and fields (2) of name (1), number (3) and type (5). */
function descriptor(bytes: Uint8Array, from: number, to: number): { name: string; fields: ProtoField[] } | undefined {
  const wire = new WireReader(bytes).begin(from, to);
  const inner = new WireReader(bytes);
  const fields: ProtoField[] = [];
  let name = '';
  while (wire.next()) {
    if (wire.wire !== 2) continue;
    if (wire.field === 1) name = wire.text();
    if (wire.field !== 2) continue;
    const field: ProtoField = { name: '', field: 0, kind: 'u64' };
    inner.begin(wire.from, wire.to);
    while (inner.next()) {
      if (inner.field === 1 && inner.wire === 2) field.name = inner.text();
      else if (inner.field === 3) field.field = inner.low;
      else if (inner.field === 5) field.kind = describedKinds[inner.low] ?? 'u64';
    }
    if (field.name !== '' && fields.length < 256) fields.push(field);
  }
  return name === '' || wire.broken ? undefined : { name, fields };
}

/** FtraceClock. */
const clockNames: Record<number, string> = { 0: 'boot', 2: 'global', 3: 'local', 4: 'mono_raw' };

type CompactEvent = {
  time: bigint;
  number: number;
  tid: number;
  fields: (readonly [number, bigint | string])[];
  next: { tid: number; comm: string; prio: number } | undefined;
};

/** CompactSched: columns of switches and wake-ups, of which times are differences and names indices into a table. */
function compactSched(bytes: Uint8Array, from: number, to: number): CompactEvent[] {
  const names: string[] = [];
  const columns = new Map<number, bigint[]>();
  const wire = new WireReader(bytes).begin(from, to);
  const inner = new WireReader(bytes);
  while (wire.next()) {
    if (wire.wire !== 2) continue;
    if (wire.field === 5) {
      names.push(wire.text());
      continue;
    }
    const column: bigint[] = columns.get(wire.field) ?? [];
    inner.begin(wire.from, wire.to);
    while (inner.packed()) column.push(BigInt.asIntN(64, (BigInt(inner.high) << 32n) | BigInt(inner.low)));
    columns.set(wire.field, column);
  }
  const events: CompactEvent[] = [];
  const at = (field: number, i: number): bigint => columns.get(field)?.[i] ?? 0n;
  let time = 0n;
  for (let i = 0; i < (columns.get(1)?.length ?? 0); i++) {
    time = BigInt.asUintN(64, time + at(1, i));
    const comm = names[Number(at(6, i))] ?? '';
    const next = { tid: Number(BigInt.asIntN(32, at(3, i))), comm, prio: Number(BigInt.asIntN(32, at(4, i))) };
    const fields = [
      [4, at(2, i)],
      [5, comm],
      [6, at(3, i)],
      [7, at(4, i)],
    ] as const;
    events.push({ time, number: eventNumber.schedSwitch, tid: -1, fields: [...fields], next });
  }
  time = 0n;
  for (let i = 0; i < (columns.get(7)?.length ?? 0); i++) {
    time = BigInt.asUintN(64, time + at(7, i));
    const fields = [
      [1, names[Number(at(11, i))] ?? ''],
      [2, at(8, i)],
      [3, at(10, i)],
      [5, at(9, i)],
    ] as const;
    events.push({ time, number: eventNumber.schedWaking, tid: -1, fields: [...fields], next: undefined });
  }
  return events.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

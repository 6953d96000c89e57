import { isReadable, openAgain, opensAgain } from './again.ts';
import type { Alignment } from './alignment.ts';
import { EventBatch } from './batch.ts';
import type { Clock } from './clock.ts';
import { TraceError } from './error.ts';
import type { EventType } from './event-type.ts';
import { GuestLayout, type GuestOf, guestName } from './guests.ts';
import { type Impossible, InGuest } from './in-guest.ts';
import type { Loss } from './loss.ts';
import { OneMachine } from './one-machine.ts';
import { type Placement, type Shift, type Timeline, timelineOf } from './timeline.ts';
import { type Thread, type Trace, TypeTable } from './trace.ts';
import { Twice } from './twice.ts';

const batchSize = 16384;

/**
 * A recording that goes on in another file does so within this time (ns); and within some times the longest silence in its first part, where
 * that has events enough to tell and the silence is not the shortest that is worth a thought.
 */
const longestGap = 60e9;
const silences = 8;
const telling = 64;
const shortestGap = 1e9;

/**
 * Several traces as one, in time order. Throws a TraceError, with the remedy, where their clocks do not agree and
 * `shifts` do not say how far they are apart (in ns, or with a drift). Payloads are not copied: a batch holds a run of events of one
 * trace. Closing it closes all. A guest's events stand on the host's threads that are its vCPUs, under names of their own.
 */
export function mergeTraces(traces: readonly Trace[], shifts: ReadonlyMap<Trace, bigint | Shift> = new Map()): Trace {
  const [first] = traces;
  if (first === undefined) throw new RangeError('no trace to merge');
  if (traces.length === 1 && shifts.size === 0) return first;
  const whole = [...shifts].map(
    ([trace, shift]) => [trace, typeof shift === 'bigint' ? { offset: shift } : shift] as const,
  );
  const merged = new MergedTrace(timelineOf(traces, new Map(whole)));
  return traces.every(isReadable) ? opensAgain(merged, () => mergeAgain(traces, new Map(whole))) : merged;
}

/** The same of traces that were read: of what they are of, opened once more. */
async function mergeAgain(traces: readonly Trace[], shifts: ReadonlyMap<Trace, Shift>): Promise<Trace> {
  const opened = new Map<Trace, Trace>();
  for (const trace of traces) opened.set(trace, (await openAgain(trace)) as Trace);
  const placed = [...shifts].map(([trace, shift]): [Trace, Shift] => [
    opened.get(trace) as Trace,
    { ...shift, guest: shift.guest && { ...shift.guest, host: shift.guest.host && opened.get(shift.guest.host) } },
  ]);
  return mergeTraces([...opened.values()], new Map(placed));
}

/** One of the traces, and how far it was taken. */
type Source = {
  /** Which of the traces it is, from 0. */
  number: number;
  trace: Trace;
  offset: bigint;
  since: bigint;
  guest: GuestOf | undefined;
  batches: AsyncIterator<EventBatch>;
  /** The batch at hand, undefined at the end; the next event in it; and its time in the merged trace. */
  batch: EventBatch | undefined;
  next: number;
  head: number;
  /** How many of its events were taken, when the last of them was, and the longest time without one. */
  taken: number;
  latest: number;
  silence: number;
  /** Whether somebody said where it belongs. */
  said: boolean;
  /** What to add to its times; and what more for each ns since its origin. */
  shift: number;
  rate: number;
  /** Its type ids to the merged ones. */
  types: (EventType | undefined)[];
};

class MergedTrace implements Trace {
  readonly file: string;
  readonly format: string;
  readonly version: string;
  readonly clock: Clock;
  origin = 0n;
  readonly #types = new TypeTable();
  readonly types = this.#types.all;
  readonly threads: ReadonlyMap<number, Thread>;
  readonly #traces: readonly Trace[];
  #twice: Twice;
  readonly #oneMachine: OneMachine;
  /** Where a user says how far clocks are apart. */
  readonly #inGuest: InGuest | undefined;
  readonly #placements: readonly Placement[];
  #sources: readonly Source[] = [];
  /** Holes in guests' traces, by trace: they make nothing unsure that the host recorded. */
  readonly #guestHoles = new Map<Trace, number>();

  constructor({ clock, placements }: Timeline) {
    const traces = placements.map((placement) => placement.trace);
    this.#traces = traces;
    this.#twice = new Twice(
      traces.length,
      clock.unit === 'ns',
      placements.some(({ said }) => said),
    );
    this.#oneMachine = new OneMachine(traces.length);
    if (placements.some(({ said, alignment }) => said && alignment === undefined))
      this.#inGuest = new InGuest(traces.length);
    this.#placements = placements;
    this.file = traces.map((trace) => trace.file).join(', ');
    this.format = [...new Set(traces.map((trace) => trace.format))].join(' + ');
    this.version = [...new Set(traces.map((trace) => trace.version).filter((version) => version !== ''))].join(' + ');
    this.clock = clock;
    // A guest's thread ids are not the host's.
    const own = placements.filter((placement) => placement.guest === undefined);
    this.threads = new MergedThreads(own.map((placement) => placement.trace.threads));
  }

  get cpus(): number | undefined {
    const own = this.#placements.filter((placement) => placement.guest === undefined);
    const known = own.map(({ trace }) => trace.cpus).filter((cpus) => cpus !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  }

  get notes(): readonly string[] {
    const notes = this.#traces.flatMap((trace) => trace.notes.map((note) => `${trace.file}: ${note}`));
    for (const { notes: placed } of this.#placements) notes.push(...placed);
    for (const [trace, holes] of this.#guestHoles) {
      notes.push(`${trace.file}: the guest's recorder lost events in ${holes === 1 ? '1 place' : `${holes} places`}.`);
    }
    // The first one's is `damage`.
    const damages = this.#traces.map((trace) => trace.damage).filter((damage) => damage !== undefined);
    return [...notes, ...damages.slice(1).map((damage) => damage.message)];
  }

  get alignments(): readonly Alignment[] {
    return this.#placements.flatMap(({ alignment }) => (alignment === undefined ? [] : [alignment]));
  }

  get damage(): TraceError | undefined {
    return this.#traces.find((trace) => trace.damage !== undefined)?.damage;
  }

  get doubtful(): boolean {
    return this.#twice.isOpen;
  }

  progress(): { read: number; size: number | undefined } {
    let read = 0;
    let size: number | undefined = 0;
    for (const trace of this.#traces) {
      const one = trace.progress();
      read += one.read;
      size = size === undefined || one.size === undefined ? undefined : size + one.size;
    }
    return { read, size };
  }

  get last(): number {
    return this.#sources.reduce(
      (last, source) => Math.max(last, placed(source, source.trace.last)),
      Number.NEGATIVE_INFINITY,
    );
  }

  async *batches(wants?: (type: EventType) => boolean): AsyncGenerator<EventBatch> {
    const sources = this.#placements.map(({ trace, offset, rate, since, guest, said }, number): Source => {
      const types: (EventType | undefined)[] = [];
      const source = {
        number,
        trace,
        offset,
        since,
        guest,
        batch: undefined,
        next: 0,
        head: Number.POSITIVE_INFINITY,
        taken: 0,
        latest: Number.NaN,
        silence: 0,
        said: said === true,
        shift: 0,
        rate,
        types,
      };
      const asks = (type: EventType) => wants?.(this.#merged(source, type)) ?? true;
      return { ...source, batches: trace.batches(asks)[Symbol.asyncIterator]() };
    });
    this.#sources = sources;
    try {
      await Promise.all(sources.map((source) => fetch(source)));
      this.#placeOrigin(sources);
      const out = new EventBatch(batchSize);
      const started = new Set<Source>();
      for (;;) {
        let source: Source | undefined;
        let bound = Number.POSITIVE_INFINITY;
        // Of equal times, the trace named first comes first.
        let inclusive = true;
        for (const candidate of sources) {
          if (candidate.batch === undefined) continue;
          if (source === undefined || candidate.head < source.head) {
            if (source !== undefined) {
              bound = source.head;
              inclusive = false;
            }
            source = candidate;
          } else if (candidate.head < bound) {
            bound = candidate.head;
            inclusive = true;
          }
        }
        if (source === undefined) return;
        if (!started.has(source)) this.#start(source, started);
        this.#take(source, bound, inclusive, out);
        yield out;
        if (source.next >= (source.batch as EventBatch).count) await fetch(source);
        if (source.batch !== undefined) continue;
        this.#oneMachine.forget(source.number);
        const same = this.#twice.end(source.number);
        if (same >= 0) throw this.#sameAs(source.number, same);
      }
    } finally {
      await Promise.all(sources.map((source) => source.batches.return?.()));
    }
  }

  /** Refuses a trace that begins long after the others are over: it is of another time, though its clock may have the same name. */
  #start(source: Source, started: Set<Source>): void {
    const before = [...started];
    started.add(source);
    if (before.length === 0 || before.some(({ batch }) => batch !== undefined) || this.clock.unit !== 'ns') return;
    const gap = source.shift - Math.max(...before.map((one) => placed(one, one.trace.last)));
    if (!(gap > shortestGap)) return;
    const others = before.map(({ trace }) => trace.file).join(', ');
    const silence = before.reduce((longest, one) => Math.max(longest, one.silence), 0);
    const tells = !source.said && before.every(({ taken, said }) => !said && taken >= telling);
    const quiet = tells && gap > silences * silence;
    if (!(gap > longestGap || quiet)) return;
    const why = gap > longestGap ? '' : `, and no silence in it is longer than ${rounded(silence)}`;
    throw new TraceError(
      source.trace.file,
      `begins ${rounded(gap)} after ${others} ends${why}, so they are not of one time`,
      undefined,
      'recordings of one time, or an --offset that says how they belong together',
    );
  }

  #misplaced({ file, other, wrong, judged }: Impossible): TraceError {
    return new TraceError(
      (this.#traces[file] as Trace).file,
      `of ${judged} events ${wrong} stand where ${(this.#traces[other] as Trace).file} has their threads in the guest, so that the --offset cannot be right`,
      undefined,
      '`--align auto`, which finds out how far they are apart, or another --offset',
    );
  }

  #sameAs(one: number, other: number): TraceError {
    const [first, second] = [Math.min(one, other), Math.max(one, other)].map((n) => this.#traces[n] as Trace);
    return new TraceError(
      (second as Trace).file,
      `holds the same events as ${(first as Trace).file}: one run that was recorded twice, or a copy, would be counted twice`,
      undefined,
      'one of the two',
    );
  }

  #ofTwoMachines(one: number, other: number): TraceError {
    const [first, second] = [Math.min(one, other), Math.max(one, other)].map((n) => this.#traces[n] as Trace);
    return new TraceError(
      (second as Trace).file,
      `tells of other threads on the same CPUs than ${(first as Trace).file} at the same time: they are of two machines, or of two boots of one`,
      undefined,
      'recordings of one machine and time, or an --offset that says how they belong together',
    );
  }

  /** The merged origin is the earliest of all that hold events, wanted or not: all shifts are whole and not negative. */
  #placeOrigin(sources: readonly Source[]): void {
    const begun = sources.filter(({ batch, trace }) => batch !== undefined || trace.last > Number.NEGATIVE_INFINITY);
    const origins = new Map(begun.map((source) => [source, placedOrigin(source)]));
    this.origin = [...origins.values()].reduce(
      (least, one) => (one < least ? one : least),
      origins.values().next().value ?? 0n,
    );
    for (const [source, origin] of origins) {
      const shift = origin - this.origin;
      if (shift > BigInt(Number.MAX_SAFE_INTEGER) / 2n) {
        throw new TraceError(
          source.trace.file,
          'begins more than 50 days after the other trace',
          undefined,
          'traces of one time, or another --offset',
        );
      }
      source.shift = Number(shift);
      source.head += source.shift;
    }
  }

  /** Moves the next events of a source, up to (`inclusive`: and at) `bound`, at least one, into the batch. */
  #take(source: Source, bound: number, inclusive: boolean, out: EventBatch): void {
    const batch = source.batch as EventBatch;
    const { types, guest, number, said } = source;
    const twice = this.#twice;
    const start = source.next;
    const end = Math.min(batch.count, start + batchSize);
    let i = start;
    let n = 0;
    let { latest, silence } = source;
    for (; i < end; i++, n++) {
      const time = placed(source, batch.time[i] as number);
      if (n > 0 && (time > bound || (time === bound && !inclusive))) break;
      if (time - latest > silence) silence = time - latest;
      latest = time;
      const id = batch.type[i] as number;
      const type = types[id] ?? this.#merged(source, source.trace.types[id] as EventType);
      out.time[n] = time;
      out.type[n] = type.id;
      if (guest === undefined) {
        const same = twice.take(number, type, batch, i, time);
        if (same >= 0) throw this.#sameAs(number, same);
        const elsewhere = said ? -1 : this.#oneMachine.take(number, type, batch, i);
        if (elsewhere >= 0) throw this.#ofTwoMachines(number, elsewhere);
        const impossible = this.#inGuest?.take(number, type, batch, i);
        if (impossible !== undefined) throw this.#misplaced(impossible);
      }
    }
    source.latest = latest;
    source.silence = silence;
    source.taken += n;
    for (const column of ['cpu', 'tid', 'pid', 'at', 'size'] as const) {
      const from = batch[column];
      const to = out[column];
      // A run is often one event long: a loop is quicker than a view of the column.
      for (let k = 0; k < n; k++) to[k] = from[start + k] as number;
    }
    out.count = n;
    out.bytes = batch.bytes;
    out.view = batch.view;
    out.losses = [];
    const losses = start === 0 ? batch.losses : [];
    if (losses.length > 0) this.#oneMachine.forget(number);
    if (guest !== undefined) {
      if (losses.length > 0)
        this.#guestHoles.set(source.trace, (this.#guestHoles.get(source.trace) ?? 0) + losses.length);
      toVcpus(out, n, guest);
    } else if (losses.length > 0) out.losses = losses.map((loss) => shiftLoss(loss, source));
    source.next = i;
    if (i < batch.count) source.head = placed(source, batch.time[i] as number);
  }

  /** A source's type in the merged table. Types of one name from two traces stay two: their payloads differ. */
  #merged({ trace, guest, types }: Pick<Source, 'trace' | 'guest' | 'types'>, type: EventType): EventType {
    let merged = types[type.id];
    if (merged === undefined) {
      merged =
        guest === undefined
          ? this.#types.add(type.name, type.layout, type.recordedAs)
          : this.#types.add(
              guestName(type.name),
              new GuestLayout(type.layout, guest.name, trace.threads),
              guestName(type.recordedAs),
            );
      types[type.id] = merged;
    }
    return merged;
  }

  async close(): Promise<void> {
    await Promise.all(this.#traces.map((trace) => trace.close()));
  }
}

/** The next batch of a source. One without events but with losses counts as standing where the last event was. */
async function fetch(source: Source): Promise<void> {
  const next = await source.batches.next();
  source.next = 0;
  source.batch = next.done === true ? undefined : next.value;
  if (source.batch !== undefined && source.batch.count > 0)
    source.head = placed(source, source.batch.time[0] as number);
  else if (source.head === Number.POSITIVE_INFINITY) source.head = source.shift;
}

/** Puts a guest's events on the threads that are its vCPUs: its CPUs and threads have numbers of its own. */
function toVcpus(out: EventBatch, count: number, { tids }: GuestOf): void {
  const { cpu, tid, pid } = out;
  for (let i = 0; i < count; i++) {
    tid[i] = tids[cpu[i] as number] ?? -1;
    cpu[i] = -1;
    pid[i] = -1;
  }
}

function shiftLoss(loss: Loss, source: Source): Loss {
  return { ...loss, from: placed(source, loss.from), to: placed(source, loss.to) };
}

/** Where on the timeline a trace's origin is, in ns. */
function placedOrigin({ trace, offset, rate, since }: Source): bigint {
  const { origin } = trace;
  return origin + offset + (rate === 0 ? 0n : BigInt(Math.round(Number(origin - since) * rate)));
}

/** A length of time in words: in whole seconds or, where it is short, in tenths or milliseconds. */
function rounded(ns: number): string {
  if (ns < 1e9) return `${Math.ceil(ns / 1e6)} ms`;
  return `${ns < 10e9 ? (ns / 1e9).toFixed(1) : Math.round(ns / 1e9)} s`;
}

/** A time of one of the traces on the timeline: a whole number. */
function placed({ shift, rate }: Source, time: number): number {
  return rate === 0 ? time + shift : time + shift + Math.round(time * rate);
}

/** The threads of several traces: what one does not say of a thread, another may. */
class MergedThreads implements ReadonlyMap<number, Thread> {
  readonly #tables: readonly ReadonlyMap<number, Thread>[];

  constructor(tables: readonly ReadonlyMap<number, Thread>[]) {
    this.#tables = tables;
  }

  get(tid: number): Thread | undefined {
    let found: Thread | undefined;
    for (const table of this.#tables) {
      const thread = table.get(tid);
      if (thread === undefined) continue;
      if (found === undefined) found = thread;
      else found = { comm: found.comm === '' ? thread.comm : found.comm, pid: found.pid < 0 ? thread.pid : found.pid };
    }
    return found;
  }

  has(tid: number): boolean {
    return this.#tables.some((table) => table.has(tid));
  }

  get size(): number {
    return this.#union().size;
  }

  keys(): MapIterator<number> {
    return this.#union().keys();
  }

  values(): MapIterator<Thread> {
    return this.#union().values();
  }

  entries(): MapIterator<[number, Thread]> {
    return this.#union().entries();
  }

  [Symbol.iterator](): MapIterator<[number, Thread]> {
    return this.entries();
  }

  forEach(callback: (value: Thread, key: number, map: ReadonlyMap<number, Thread>) => void): void {
    for (const [tid, thread] of this) callback(thread, tid, this);
  }

  #union(): Map<number, Thread> {
    const union = new Map<number, Thread>();
    for (const table of this.#tables) for (const tid of table.keys()) union.set(tid, this.get(tid) as Thread);
    return union;
  }
}

import { dirname, join } from 'node:path';
import { Arena } from '../../trace/arena.ts';
import { EventBatch } from '../../trace/batch.ts';
import { type Budget, Meter } from '../../trace/budget.ts';
import type { Clock } from '../../trace/clock.ts';
import { TraceError } from '../../trace/error.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Loss } from '../../trace/loss.ts';
import { NameChanges } from '../../trace/name-changes.ts';
import { EventSorter } from '../../trace/sorter.ts';
import { ThreadTable, type Trace, type Traits, TypeTable } from '../../trace/trace.ts';
import { earliestOf } from '../earliest.ts';
import type { OpenOptions } from '../format.ts';
import { NamesSeen } from '../names-seen.ts';
import { Repeated } from '../perf-repeated.ts';
import { Signatures } from '../trace-events.ts';
import type { ClockClass, Metadata } from './classes.ts';
import { clockOf, StreamClock } from './clocks.ts';
import { headOf, readFolder, tracesBelow } from './folder.ts';
import { StreamKind } from './kinds.ts';
import { parseMetadata } from './metadata.ts';
import { Compiler, type Node } from './nodes.ts';
import { type Packet, readPacket } from './packet.ts';
import { RunningThreads } from './running-threads.ts';
import { DataStream, type Sink, type StreamFile, type StreamTrace } from './stream.ts';
import { Walker } from './walker.ts';

/*
 * CTF 1.8 and CTF 2, in folders: what LTTng, perf data convert, babeltrace and barectf write. A folder may hold one trace, or those of a
 * session: the kernel's and user space's, and the chunks that a recording was rotated into.
 */

/** Bytes of a file in which its first packet's header must be. */
const headSize = 64 << 10;
/** Room for one event, or for what one packet says of itself. */
const longestEvent = 128 << 10;
/** What a stream has at hand, at the most and, where there are many, at the least. */
const largestShare = 256 << 10;
const least = 4 << 10;
/** Positions of bits in it are whole numbers of 32 bits. */
const largestArena = 128 << 20;

/** Damages of further streams that are told of. */
const shownDamages = 8;

/** Opens the folder of a CTF trace or session; undefined where it holds none. */
export function openCtf(path: string, options: OpenOptions, budget: Budget): Trace | undefined {
  const meter = new Meter(budget, path);
  const folders = tracesBelow(path, meter);
  if (folders.length === 0) return undefined;
  return new CtfTrace(path, folders, options, meter);
}

/** One of the traces in the folder. */
type Part = {
  metadata: Metadata;
  metadataFile: string;
  files: StreamFile[];
  packetHeader: Node | undefined;
  kinds: Map<number, StreamKind>;
};

class CtfTrace implements Trace {
  readonly file: string;
  readonly format = 'CTF';
  readonly version: string;
  readonly clock: Clock;
  readonly traits: Traits;
  readonly threads: ThreadTable;
  readonly cpus = undefined;
  readonly notes: string[] = [];
  readonly repeated = new Map<number, number>();
  readonly #repeated = new Repeated(this.repeated);
  damage: TraceError | undefined;
  origin = 0n;
  last = Number.NEGATIVE_INFINITY;

  readonly #meter: Meter;
  readonly #types: TypeTable;
  readonly #signatures: Signatures;
  readonly #parts: Part[] = [];
  readonly #streams: DataStream[] = [];
  readonly #arena: Arena;
  readonly #sink: Sink;
  readonly #size: number;
  #wants: (type: EventType) => boolean = () => true;
  #damages = 0;
  /** Whether perf wrote it: from a perf.data, with its samples that stand there twice. */
  readonly #ofPerf: boolean;

  constructor(path: string, folders: readonly string[], options: OpenOptions, meter: Meter) {
    this.file = path;
    this.#meter = meter;
    this.threads = new ThreadTable(meter);
    this.#types = new TypeTable(meter);
    this.#signatures = new Signatures(join(path, 'metadata'), options);
    for (const folder of folders) this.#addPart(folder);
    const chains = this.#chains();
    this.#ofPerf = this.#parts.some(({ metadata }) => metadata.environment.get('tracer_name') === 'perf');
    const majors = [...new Set(this.#parts.map(({ metadata }) => (metadata.major === 2 ? '2' : '1.8')))];
    const writers = [...new Set(this.#parts.map(({ metadata }) => writerOf(metadata)).filter((one) => one !== ''))];
    this.version = [majors.join(' + '), ...writers].join(', ');
    const clocks = this.#parts
      .flatMap(({ kinds }) => [...kinds.values()].map(({ clock }) => clock))
      .filter((one) => one !== undefined);
    this.#refuseStrangers(clocks);
    const { clock, absolute, notes } = clockOf(clocks);
    this.clock = clock;
    this.notes.push(...notes);
    // What virtap exported keeps that it is not known exactly where events are missing.
    const loose = this.#parts.some(({ metadata }) => metadata.environment.get('holes') === 'loose');
    this.traits = loose ? { looseHoles: true } : {};

    const { payloads, waiting } = meter.budget;
    // Two slots a stream, as they are read ahead: many streams have small ones.
    const each = Math.floor(Math.min(payloads, largestArena) / (2 * chains.length + 4));
    const longest = Math.max(least, Math.min(longestEvent, Math.floor((each * 2) / 3)));
    const slot = Math.max(least, Math.min(largestShare, each - longest));
    this.#size = chains.reduce((sum, { files }) => sum + files.reduce((one, { size }) => one + size, 0), 0);
    const room = Math.min(payloads, largestArena, 2 * this.#size + (2 * chains.length + 4) * (slot + longest));
    this.#arena = new Arena(slot, longest, room);
    const sorter = new EventSorter(this.#arena, waiting);
    this.#sink = {
      arena: this.#arena,
      sorter,
      names: new NameChanges(this.threads, sorter),
      seen: new NamesSeen(),
      meter,
      timeless: 0,
      named: false,
      threadless: false,
    };
    for (const { part, files } of chains) {
      const trace: StreamTrace = {
        afterPacket: /^lttng/.test(part.metadata.environment.get('tracer_name') ?? ''),
        pid: processOf(part.metadata),
        packetHeader: part.packetHeader,
        kindOf: (id) => kindOf(part, id),
        clockOf: ({ clock }) => (clock === undefined ? undefined : new StreamClock(clock, absolute)),
      };
      this.#streams.push(new DataStream(trace, files, this.#sink));
    }
    this.#noteWriters();
    this.damage ??= meter.refused;
  }

  get types(): readonly EventType[] {
    return this.#types.all;
  }

  progress(): { read: number; size: number | undefined } {
    return { read: this.#streams.reduce((sum, { read }) => sum + read, 0), size: this.#size };
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) await stream.close();
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const running = new RunningThreads(this.#types, this.threads, new NamesSeen());
    this.#wants = (type) => wants(type) || running.needs(type);
    const streams = this.#streams;
    const { sorter } = this.#sink;
    const losses: Loss[] = [];
    const times: bigint[] = [];
    for (const stream of streams) {
      const time = await stream.firstTime();
      if (time !== undefined) times.push(time);
    }
    this.origin = earliestOf(times) ?? 0n;
    for (const stream of streams) stream.startAt(this.origin);
    for (const stream of streams) if (!stream.ready) losses.push(...this.#end(stream));
    for (;;) {
      let least: DataStream | undefined;
      for (const stream of streams)
        if (stream.ready && (least === undefined || stream.last < least.last)) least = stream;
      yield* this.#give(least === undefined ? Number.POSITIVE_INFINITY : least.last, running);
      if (least === undefined) break;
      least.decode();
      if (least.last > this.last) this.last = least.last;
      this.damage ??= least.damage;
      if (!(await least.advance()) || sorter.full) {
        // Only times that jump get here: give events out of order rather than grow.
        yield* this.#give(Number.POSITIVE_INFINITY, running);
        if (!least.ready && !(await least.advance())) await least.giveUp();
      }
      if (!least.ready) losses.push(...this.#end(least));
    }
    if (losses.length > 0) {
      const rest = new EventBatch(0);
      rest.losses = losses;
      yield rest;
    }
    this.damage ??= this.#meter.refused;
    if (sorter.lateNote !== undefined) this.notes.push(sorter.lateNote);
    const { note } = running;
    if (note !== undefined) this.notes.push(note);
  }

  *#give(bound: number, running: RunningThreads): Generator<EventBatch> {
    for (const batch of this.#sink.names.upTo(bound)) {
      if (this.#ofPerf) this.#repeated.drop(batch);
      if (this.#sink.threadless) running.fill(batch);
      // Where they are told of elsewhere, sched_switch is not asked.
      if (this.#sink.named) yield batch;
      else yield* running.named(batch);
    }
  }

  /** Takes note of what was wrong with a stream; gives the losses after its last event. */
  #end(stream: DataStream): Loss[] {
    this.damage ??= stream.damage;
    if (stream.damage !== undefined && stream.damage !== this.damage && this.#damages++ < shownDamages)
      this.notes.push(`${stream.damage.message}.`);
    return stream.endLosses();
  }

  #addPart(folder: string): void {
    const { metadata: bytes, metadataFile, files } = readFolder(folder, this.#meter);
    const metadata = parseMetadata(bytes, metadataFile, this.#meter);
    const fail = (problem: string, expected: string) =>
      new TraceError(metadataFile, `packet header: ${problem}`, 0, expected);
    const compiler = new Compiler(metadata, this.#meter, fail);
    const packetHeader = compiler.scope(metadata.packetHeader, 'packet header', new Map());
    const kinds = new Map<number, StreamKind>();
    for (const [id, type] of metadata.streams) {
      kinds.set(
        id,
        new StreamKind(metadata, type, metadataFile, this.#meter, this.#types, this.#signatures, (one) =>
          this.#wants(one),
        ),
      );
    }
    this.#parts.push({ metadata, metadataFile, files, packetHeader, kinds });
  }

  /** A folder of several recordings is no recording: their times have nothing to do with each other. */
  #refuseStrangers(clocks: readonly ClockClass[]): void {
    const hosts = new Set(this.#parts.map(({ metadata }) => hostOf(metadata)).filter((host) => host !== undefined));
    const boots = new Set(clocks.map(({ uuid }) => uuid).filter((uuid) => uuid !== ''));
    if (this.#parts.length < 2 || (hosts.size < 2 && boots.size < 2)) return;
    const folders = this.#parts.map(({ metadataFile }) => dirname(metadataFile));
    throw new TraceError(
      this.file,
      `holds ${folders.length} traces of different machines or clocks, ${folders[0]} and ${folders[1]} among them`,
      undefined,
      'the folder of one session',
    );
  }

  /** Files that are parts of one stream follow each other: a recording that was rotated has many. */
  #chains(): { part: Part; files: StreamFile[] }[] {
    const chains = new Map<string, { part: Part; files: { file: StreamFile; begin: bigint }[] }>();
    for (const [n, part] of this.#parts.entries()) {
      for (const file of part.files) {
        const packet = this.#firstPacket(part, file);
        const { uuid } = part.metadata;
        if (packet !== undefined && packet.uuid !== '' && uuid !== '' && packet.uuid !== uuid.replaceAll('-', ''))
          this.notes.push(`${file.path} is of another trace than its metadata: its UUID is ${packet.uuid}.`);
        const id = packet?.stream;
        const key =
          packet === undefined || id === undefined || uuid === ''
            ? file.path
            : `${uuid} ${packet.kind.type.id} ${id} ${packet.cpu}`;
        const begin = packet?.begin?.value ?? 0n;
        const chain = chains.get(key);
        if (chain === undefined) chains.set(key, { part, files: [{ file, begin }] });
        else if (!sameEvents(chain.part, part))
          chains.set(`${key} ${n} ${file.path}`, { part, files: [{ file, begin }] });
        else {
          chain.files.push({ file, begin });
          // Later chunks of a trace know more events.
          if (part.metadata.events.length > chain.part.metadata.events.length) chain.part = part;
        }
      }
    }
    return [...chains.values()].map(({ part, files }) => ({
      part,
      files: files.toSorted((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0)).map(({ file }) => file),
    }));
  }

  #firstPacket(part: Part, file: StreamFile): Packet | undefined {
    const walker = new Walker();
    const bytes = headOf(file, headSize);
    walker.bytes = bytes;
    walker.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    walker.limit = bytes.length * 8;
    const packet = readPacket(walker, part.packetHeader, (id) => kindOf(part, id));
    return packet === 'short' || 'problem' in packet ? undefined : packet;
  }

  /** What a person should know of the recording. */
  #noteWriters(): void {
    const hosts = new Set<string>();
    for (const { metadata } of this.#parts) {
      const { environment } = metadata;
      const host = hostOf(metadata);
      const release = environment.get('kernel_release') ?? environment.get('release');
      if (host !== undefined) hosts.add(`Recorded on ${host}${release === undefined ? '' : ` (${release})`}.`);
    }
    this.notes.unshift(...hosts);
    if (this.#parts.length > 1) this.notes.push(`It holds ${this.#parts.length} traces.`);
  }
}

/** The class of streams that a packet names; where there is one only, it need not. */
function kindOf({ kinds }: Part, id: number | undefined): StreamKind | undefined {
  if (id !== undefined) return kinds.get(id);
  return kinds.size === 1 ? kinds.values().next().value : kinds.get(0);
}

/** Whether two chunks' metadata declare the same events, as far as both have them. */
function sameEvents(a: Part, b: Part): boolean {
  if (a === b) return true;
  const key = ({ id, stream }: { id: number; stream: number }) => `${stream} ${id}`;
  const names = new Map(a.metadata.events.map((event) => [key(event), event.name]));
  return b.metadata.events.every((event) => (names.get(key(event)) ?? event.name) === event.name);
}

function hostOf({ environment }: Metadata): string | undefined {
  return environment.get('hostname') ?? environment.get('host');
}

/** The process of a trace of one process, as LTTng writes with --buffers-pid; -1 where it is of more. */
function processOf({ environment }: Metadata): number {
  const pid = Number(environment.get('vpid') ?? -1);
  return pid > 0 && pid < 2 ** 31 ? pid : -1;
}

/** Who wrote a trace, with the version. */
function writerOf({ environment }: Metadata): string {
  const tracer = environment.get('tracer_name');
  if (tracer === undefined) return '';
  const version = ['tracer_major', 'tracer_minor', 'tracer_patchlevel']
    .map((key) => environment.get(key))
    .filter((one) => one !== undefined);
  return `${tracer}${version.length > 0 ? ` ${version.join('.')}` : ''}`;
}

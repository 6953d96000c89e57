import { escapeText } from './escape.ts';
import { ProtobufWriter } from './protobuf.ts';
import { type ExportSource, numberOf, type SpanRow, type SpanWriter, textOf } from './span-rows.ts';

/*
 * Perfetto's trace format: protos/perfetto/trace/trace_packet.proto, track_event/track_event.proto, track_descriptor.proto and
 * their kin. Numbers of fields and values are those of the schema.
 */
const trace = { packet: 1 };
const packet = { timestamp: 8, sequence: 10, trackEvent: 11, trackDescriptor: 60, sequenceFlags: 13 };
const descriptor = { uuid: 1, name: 2, process: 3, thread: 4, parent: 5 };
const event = { annotations: 4, type: 9, track: 11, categories: 22, name: 23, flows: 47 };
const annotation = { uint: 3, string: 6, name: 10 };
const begins = 1;
const ends = 2;
/** SEQ_INCREMENTAL_STATE_CLEARED: nothing before the first packet is referred to. */
const cleared = 1;
const sequence = 1;
/** Exits of a thread that are remembered, for the requests that were kicked or popped in them. */
const rememberedExits = 1024;
/** Lanes of one queue at most: requests that overlap need one each. */
const maxLanes = 256;

/**
 * Spans as tracks that ui.perfetto.dev and trace_processor open: a process for each VM, for each vCPU a track with its exits and one with its
 * states, for each virtqueue as many as it had requests at once, and for each thread one with its waits for locks. A request has a flow from
 * the exit with which the guest kicked, or in which it was popped.
 */
export function perfettoSpans(source: ExportSource): SpanWriter {
  const out = new Packets(source);
  return { rows: (rows) => out.rows(rows), end: () => out.end() };
}

class Packets {
  readonly #source: ExportSource;
  /** Uuid by what a track is for. */
  readonly #tracks = new Map<string, number>();
  /** For each queue, when each of its lanes is free again. */
  readonly #lanes = new Map<string, number[]>();
  /** The last exits of each thread, oldest first, and what flows begin in exits that have not ended. */
  readonly #exits = new Map<number, { begin: number; end: number; flow: bigint }[]>();
  readonly #waiting = new Map<number, { at: number; flow: bigint }[]>();
  #flows = 0n;
  #writer = new ProtobufWriter();
  #first = true;

  constructor(source: ExportSource) {
    this.#source = source;
  }

  rows(rows: readonly SpanRow[]): Uint8Array {
    for (const row of rows) {
      if (row.kind.name === 'exit') this.#exit(row);
      else if (row.kind.name === 'request') this.#request(row);
      else this.#own(row);
    }
    return this.end();
  }

  end(): Uint8Array {
    const bytes = this.#writer.bytes();
    this.#writer = new ProtobufWriter();
    return bytes;
  }

  /** Spans of a kind on a track of their own for each thread: of one thread they follow each other. */
  #own(row: SpanRow): void {
    const tid = numberOf(row, 'tid');
    const { kind } = row;
    const comm = this.#source.threads.get(tid)?.comm ?? '';
    const who = 'vcpu' in kind.columns ? vcpuName(row) : `${comm === '' ? 'thread' : comm} ${tid}`;
    const track = this.#track(`${kind.name} ${tid}`, `${who} ${kind.plural}`, this.#process(numberOf(row, 'pid')));
    const titles = kind.by.map((name) => textOf(row, name)).filter((text) => text !== '');
    const more: Record<string, string> = {};
    for (const [name, { type }] of Object.entries(kind.columns)) {
      if (kind.by.includes(name) || name === 'tid' || name === 'pid' || name === 'vcpu') continue;
      if (type === 'text' || type === 'hex') more[name] = textOf(row, name);
      else if (type === 'number' && numberOf(row, name) >= 0 && name !== 'cpu')
        more[name] = String(numberOf(row, name));
    }
    this.#slice(track, row, titles.length === 0 ? kind.word : titles.join(' '), [], more);
  }

  #exit(row: SpanRow): void {
    const tid = numberOf(row, 'tid');
    const track = this.#track(`exit ${tid}`, `${vcpuName(row)} exits`, this.#process(numberOf(row, 'pid')), row);
    const end = row.begin + row.duration;
    const waiting = (this.#waiting.get(tid) ?? []).filter(({ at }) => at >= row.begin && at <= end);
    this.#waiting.delete(tid);
    const own = ++this.#flows;
    const exits = this.#exits.get(tid) ?? [];
    this.#exits.set(tid, exits);
    exits.push({ begin: row.begin, end, flow: own });
    if (exits.length >= 2 * rememberedExits) exits.splice(0, rememberedExits);
    this.#slice(track, row, textOf(row, 'reason'), [own, ...waiting.map(({ flow }) => flow)]);
  }

  #request(row: SpanRow): void {
    const pid = numberOf(row, 'pid');
    const vq = textOf(row, 'vq');
    const queue = `request ${pid} ${vq}`;
    const lanes = this.#lanes.get(queue) ?? [];
    this.#lanes.set(queue, lanes);
    let lane = lanes.findIndex((free) => free <= row.begin);
    if (lane < 0) lane = Math.min(lanes.length, maxLanes - 1);
    lanes[lane] = row.begin + row.duration;
    const device = [textOf(row, 'device'), textOf(row, 'vdev')].filter((part) => part !== '').join(' ');
    const number = numberOf(row, 'queue');
    const name = device === '' ? `virtqueue ${vq}` : `${device} queue ${number < 0 ? vq : number}`;
    const track = this.#track(`${queue} ${lane}`, name, this.#process(pid));
    const operation = textOf(row, 'operation');
    const title = operation === '' || operation === 'other' ? 'request' : operation;
    this.#slice(track, row, title, this.#flowOf(row), { elem: textOf(row, 'elem') });
  }

  /** The flow from the exit that a request comes from: that exit's own, or one that it will be given when it ends. */
  #flowOf(row: SpanRow): bigint[] {
    const kicker = numberOf(row, 'kicker');
    const kick = numberOf(row, 'kick');
    const [thread, at] = kicker >= 0 && kick >= 0 ? [kicker, kick] : [numberOf(row, 'tid'), row.begin];
    if (thread < 0) return [];
    const exit = this.#exits.get(thread)?.findLast((one) => one.begin <= at);
    if (exit !== undefined && exit.end >= at) return [exit.flow];
    const flow = ++this.#flows;
    const waiting = this.#waiting.get(thread) ?? [];
    waiting.push({ at, flow });
    // Only an exit that is open can still tell that it was in it.
    if (waiting.length > 64) waiting.shift();
    this.#waiting.set(thread, waiting);
    return [flow];
  }

  #slice(
    track: number,
    row: SpanRow,
    name: string,
    flows: readonly bigint[] = [],
    more: Record<string, string> = {},
  ): void {
    this.#packet(row.begin, (inner) =>
      inner.message(packet.trackEvent, (e) => {
        e.uint(event.type, begins).uint(event.track, track).string(event.name, escapeText(name));
        e.string(event.categories, row.kind.word);
        const cpu = numberOf(row, 'cpu');
        if (cpu >= 0) e.message(event.annotations, (a) => a.uint(annotation.uint, cpu).string(annotation.name, 'cpu'));
        for (const [key, value] of Object.entries(more)) {
          e.message(event.annotations, (a) => a.string(annotation.string, value).string(annotation.name, key));
        }
        for (const flow of flows) e.fixed64(event.flows, flow);
      }),
    );
    this.#packet(row.begin + row.duration, (inner) =>
      inner.message(packet.trackEvent, (e) => e.uint(event.type, ends).uint(event.track, track)),
    );
  }

  /** The track of a VM's process; 0 where that is not known. */
  #process(pid: number): number {
    if (pid < 0) return 0;
    const known = this.#tracks.get(`process ${pid}`);
    if (known !== undefined) return known;
    const uuid = this.#newTrack(`process ${pid}`);
    const name = escapeText(this.#source.threads.get(pid)?.comm ?? 'qemu');
    this.#packet(undefined, (inner) =>
      inner.message(packet.trackDescriptor, (d) =>
        d.uint(descriptor.uuid, uuid).message(descriptor.process, (p) => p.uint(1, pid).string(6, name)),
      ),
    );
    return uuid;
  }

  #track(key: string, name: string, parent: number, thread?: SpanRow): number {
    const known = this.#tracks.get(key);
    if (known !== undefined) return known;
    const uuid = this.#newTrack(key);
    this.#packet(undefined, (inner) =>
      inner.message(packet.trackDescriptor, (d) => {
        d.uint(descriptor.uuid, uuid).string(descriptor.name, escapeText(name));
        const pid = thread === undefined ? -1 : numberOf(thread, 'pid');
        const tid = thread === undefined ? -1 : numberOf(thread, 'tid');
        if (pid >= 0 && tid >= 0) {
          d.message(descriptor.thread, (t) => t.uint(1, pid).uint(2, tid).string(5, escapeText(name)));
        } else if (parent > 0) d.uint(descriptor.parent, parent);
      }),
    );
    return uuid;
  }

  #newTrack(key: string): number {
    const uuid = this.#tracks.size + 1;
    this.#tracks.set(key, uuid);
    return uuid;
  }

  #packet(offset: number | undefined, write: (inner: ProtobufWriter) => void): void {
    this.#writer.message(trace.packet, (inner) => {
      if (offset !== undefined) inner.uint(packet.timestamp, this.#source.origin + BigInt(Math.round(offset)));
      inner.uint(packet.sequence, sequence);
      if (this.#first) inner.uint(packet.sequenceFlags, cleared);
      this.#first = false;
      write(inner);
    });
  }
}

function vcpuName(row: SpanRow): string {
  const vcpu = numberOf(row, 'vcpu');
  return vcpu < 0 ? `vCPU thread ${numberOf(row, 'tid')}` : `vCPU ${vcpu}`;
}

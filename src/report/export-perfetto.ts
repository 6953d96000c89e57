import { escapeText } from './escape.ts';
import { ProtobufWriter } from './protobuf.ts';
import type { ExportSource, SpanRow, SpanWriter } from './span-rows.ts';

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
/** Lanes of one queue at most: requests that overlap need one each. */
const maxLanes = 256;

/**
 * Spans as tracks that ui.perfetto.dev and trace_processor open: a process for each VM, a track for each vCPU with its exits (between
 * them it is in the guest), and for each virtqueue as many tracks as it had requests at once. A request that was popped within an exit has
 * a flow from it.
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
  /** The last request popped by each thread in an exit that has not ended. */
  readonly #popped = new Map<number, { begin: number; flow: bigint }[]>();
  #flows = 0n;
  #writer = new ProtobufWriter();
  #first = true;

  constructor(source: ExportSource) {
    this.#source = source;
  }

  rows(rows: readonly SpanRow[]): Uint8Array {
    for (const row of rows) {
      if (row.kind === 'exit') this.#exit(row);
      else this.#request(row);
    }
    return this.end();
  }

  end(): Uint8Array {
    const bytes = this.#writer.bytes();
    this.#writer = new ProtobufWriter();
    return bytes;
  }

  #exit(row: SpanRow): void {
    const name = row.vcpu < 0 ? `vCPU thread ${row.tid}` : `vCPU ${row.vcpu}`;
    const track = this.#track(`exit ${row.tid}`, `${name} exits`, this.#process(row.pid), row);
    const waiting = this.#popped.get(row.tid) ?? [];
    const end = row.begin + row.duration;
    const flows = waiting.filter(({ begin }) => begin >= row.begin && begin <= end).map(({ flow }) => flow);
    this.#popped.delete(row.tid);
    this.#slice(track, row, row.reason, 'exit', flows);
  }

  #request(row: SpanRow): void {
    const queue = `request ${row.pid} ${row.vq}`;
    const lanes = this.#lanes.get(queue) ?? [];
    this.#lanes.set(queue, lanes);
    let lane = lanes.findIndex((free) => free <= row.begin);
    if (lane < 0) lane = Math.min(lanes.length, maxLanes - 1);
    lanes[lane] = row.begin + row.duration;
    const track = this.#track(`${queue} ${lane}`, `virtqueue ${row.vq}`, this.#process(row.pid));
    const flow = ++this.#flows;
    if (row.tid >= 0) {
      const popped = this.#popped.get(row.tid) ?? [];
      popped.push({ begin: row.begin, flow });
      // Only an exit that is open can still tell that it was in it.
      if (popped.length > 64) popped.shift();
      this.#popped.set(row.tid, popped);
    }
    this.#slice(track, row, row.elem, 'request', row.tid >= 0 ? [flow] : []);
  }

  #slice(track: number, row: SpanRow, name: string, category: string, flows: readonly bigint[]): void {
    this.#packet(row.begin, (inner) =>
      inner.message(packet.trackEvent, (e) => {
        e.uint(event.type, begins).uint(event.track, track).string(event.name, escapeText(name));
        e.string(event.categories, category);
        if (row.cpu >= 0)
          e.message(event.annotations, (a) => a.uint(annotation.uint, row.cpu).string(annotation.name, 'cpu'));
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
        d.uint(descriptor.uuid, uuid).string(descriptor.name, name);
        if (thread !== undefined && thread.pid >= 0 && thread.tid >= 0) {
          d.message(descriptor.thread, (t) => t.uint(1, thread.pid).uint(2, thread.tid).string(5, name));
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

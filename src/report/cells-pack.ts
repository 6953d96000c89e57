import { latencyEdge } from '../views/heatmap.ts';
import type { Cells } from '../views/span-cells.ts';

/*
 * Cells as bytes for a page: column after column, each value a varint (LEB128), most of them small because they are told
 * relative to what is known already. Deflate, which the page can undo, does the rest.
 */

const timeRoom = 1024;

/** Packs cells; they come out sorted by series, time and latency. */
export function packCells(cells: Cells): Uint8Array {
  const { count, series, time, latency, spans, total, worst, worstBegin } = cells;
  const places = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    places[i] = ((series[i] as number) * timeRoom + (time[i] as number)) * timeRoom + (latency[i] as number);
  }
  const order = sorted(places);
  const writer = new VarintWriter();
  writer.put(count);
  let before = 0;
  for (const i of order) {
    const place = places[i] as number;
    writer.put(place - before);
    before = place;
  }
  for (const i of order) writer.put((spans[i] as number) - 1);
  for (const i of order) writer.put((worst[i] as number) - latencyEdge(latency[i] as number));
  // Each of the others is at least the bucket's least: the rest is what they have above it.
  for (const i of order) {
    const others = (spans[i] as number) - 1;
    if (others > 0) {
      writer.put((total[i] as number) - (worst[i] as number) - others * latencyEdge(latency[i] as number));
    }
  }
  for (const i of order) {
    writer.put(Math.max(0, (worstBegin[i] as number) - cells.from - (time[i] as number) * cells.step));
  }
  return writer.bytes();
}

/** The order of values that are whole numbers and all different: where each stands. */
function sorted(values: Float64Array): Uint32Array {
  const room = values.length;
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  // Both in one number, where it can hold them: without a comparison of ours that is several times as fast.
  if ((largest + 1) * room < Number.MAX_SAFE_INTEGER) {
    const both = values.map((value, i) => value * room + i).sort();
    return Uint32Array.from(both, (one) => one % room);
  }
  return Uint32Array.from(values, (_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
}

/** The cells that `packCells` packed. Throws a RangeError where the bytes end too early. */
export function unpackCells(bytes: Uint8Array, frame: Pick<Cells, 'from' | 'step' | 'bins'>): Cells {
  const reader = new VarintReader(bytes);
  const count = reader.take();
  if (count > bytes.length) throw new RangeError('packed cells are cut short');
  const cells: Cells = {
    ...frame,
    count,
    series: new Uint32Array(count),
    time: new Uint32Array(count),
    latency: new Uint32Array(count),
    spans: new Float64Array(count),
    total: new Float64Array(count),
    worst: new Float64Array(count),
    worstBegin: new Float64Array(count),
  };
  let place = 0;
  for (let i = 0; i < count; i++) {
    place += reader.take();
    cells.latency[i] = place % timeRoom;
    const rest = Math.floor(place / timeRoom);
    cells.time[i] = rest % timeRoom;
    cells.series[i] = Math.floor(rest / timeRoom);
  }
  for (let i = 0; i < count; i++) cells.spans[i] = reader.take() + 1;
  for (let i = 0; i < count; i++) cells.worst[i] = reader.take() + latencyEdge(cells.latency[i] as number);
  for (let i = 0; i < count; i++) {
    const others = (cells.spans[i] as number) - 1;
    const more = others > 0 ? reader.take() + others * latencyEdge(cells.latency[i] as number) : 0;
    cells.total[i] = (cells.worst[i] as number) + more;
  }
  for (let i = 0; i < count; i++) {
    cells.worstBegin[i] = reader.take() + frame.from + (cells.time[i] as number) * frame.step;
  }
  return cells;
}

/** Whole numbers from 0 to 2^53, seven bits a byte, the lowest first. */
class VarintWriter {
  #bytes = new Uint8Array(1 << 16);
  #at = 0;

  put(value: number): void {
    if (this.#at + 8 > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 128;
    this.#bytes[this.#at++] = rest;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }
}

class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError('packed cells are cut short');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
}

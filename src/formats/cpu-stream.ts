import type { Arena } from '../trace/arena.ts';
import { TraceError } from '../trace/error.ts';
import type { Loss } from '../trace/loss.ts';
import { asTraceError } from './input.ts';
import { RingBufferCpu, type RingBufferDecoder } from './ring-buffer.ts';
import { SlotReader } from './slot-reader.ts';
import type { PageSource } from './trace-dat-pages.ts';

/** One CPU of one ring buffer: reads its pages a slot at a time, and decodes them when told. */
export class CpuStream {
  /** Name of the instance, '' for the top buffer. */
  readonly buffer: string;
  readonly state: RingBufferCpu;
  /** Where bytes come from. */
  readonly source: PageSource;
  readonly decoder: RingBufferDecoder;
  /** Whether pages are at hand that are not decoded. */
  ready = false;
  /** The first thing in its data that cannot be, where there is one. What of them makes sense is read all the same. */
  damage: TraceError | undefined;
  /** Whether all was read that there is, and whether there should be more. */
  #ended = false;
  #cut = false;
  #displaced = false;
  readonly #file: string;
  readonly #reader: SlotReader;

  constructor(
    { file, buffer, cpu }: { file: string; buffer: string; cpu: number },
    arena: Arena,
    source: PageSource,
    decoder: RingBufferDecoder,
    rank: number,
  ) {
    this.#file = file;
    this.buffer = buffer;
    this.state = new RingBufferCpu(cpu, rank);
    this.source = source;
    this.decoder = decoder;
    this.#reader = new SlotReader(arena, (target, offset) => source.readInto(target, offset));
  }

  /** Time stamp of the first event at hand that makes sense, or undefined where none does. */
  firstStamp(): bigint | undefined {
    const { pos, end } = this.#reader;
    return this.ready ? this.decoder.firstStamp(pos, end) : undefined;
  }

  /** Brings the next pages to hand. False where there is no memory for them until events were handed out. */
  async advance(): Promise<boolean> {
    this.ready = false;
    if (this.#ended) return true;
    const reader = this.#reader;
    try {
      const more = await reader.next();
      if (more === 'full') return false;
      this.#ended = !more;
    } catch (error) {
      this.#ended = true;
      this.#cut = true;
      this.damage ??= asTraceError(this.#file, error);
    }
    // At the end there may be a part of a page.
    this.ready = !this.#ended || reader.pos < reader.end;
    return true;
  }

  /** Ends it where there is no memory for its pages whatever is handed out. */
  giveUp(): void {
    this.#ended = true;
    this.#cut = true;
    const problem = `no memory for the pages of CPU ${this.state.cpu}`;
    this.damage ??= new TraceError(this.#file, problem, undefined, 'fewer CPUs, or smaller pages');
  }

  /** Decodes the pages at hand into the sorter. */
  decode(): void {
    const reader = this.#reader;
    const { decoder, state } = this;
    const { holes } = this.source;
    for (let hole = holes[0]; hole !== undefined; hole = holes[0]) {
      const at = reader.end - (reader.offsetOf(reader.end) - hole.offset);
      if (at > reader.end) break;
      this.#decode(Math.max(at, reader.pos), true);
      this.damage ??= hole.damage;
      state.missed = Number.NaN;
      holes.shift();
    }
    this.#decode(reader.end, this.#ended);
    if (state.displaced && !this.#displaced) {
      this.#displaced = true;
      decoder.looseLosses.push({ from: -Infinity, to: Infinity, cpu: state.cpu, count: undefined });
    }
  }

  #decode(end: number, whole: boolean): void {
    const reader = this.#reader;
    const problem = this.decoder.decode(this.state, reader.slot, reader.pos, end, whole);
    if (problem !== undefined) {
      const at = this.source.fileOffset(reader.offsetOf(problem.at));
      this.damage ??= new TraceError(this.#file, `CPU ${this.state.cpu}: ${problem.problem}`, at, problem.expected);
    }
    reader.pos = this.decoder.rest;
  }

  /** The hole after the last event: events that the buffer lost, or that damage hides. */
  endLoss(): Loss | undefined {
    if (this.#cut) this.state.missed = Number.NaN;
    return this.state.missed === 0 ? undefined : this.state.takeLoss(Number.POSITIVE_INFINITY);
  }

  /** Bytes of its pages that were read. */
  get readSoFar(): number {
    return this.#reader.offsetOf(this.#reader.end);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

import type { Arena } from '../trace/arena.ts';
import { TraceError } from '../trace/error.ts';
import type { Loss } from '../trace/loss.ts';
import { asTraceError } from './input.ts';
import { RingBufferCpu, type RingBufferDecoder } from './ring-buffer.ts';
import { SlotReader } from './slot-reader.ts';
import type { PageSource } from './trace-dat-pages.ts';

/** One CPU of one buffer of a trace.dat: reads its pages a slot at a time, and decodes them when told. */
export class CpuStream {
  /** Name of the instance, '' for the top buffer. */
  readonly buffer: string;
  readonly state: RingBufferCpu;
  /** Where bytes come from. */
  readonly source: PageSource;
  readonly decoder: RingBufferDecoder;
  /** Whether pages are at hand that are not decoded. */
  ready = false;
  /** Why it ended before its data's end, where it did. */
  damage: TraceError | undefined;
  readonly #file: string;
  readonly #reader: SlotReader;
  readonly #arena: Arena;

  constructor(file: string, buffer: string, cpu: number, arena: Arena, source: PageSource, decoder: RingBufferDecoder) {
    this.#file = file;
    this.buffer = buffer;
    this.state = new RingBufferCpu(cpu);
    this.source = source;
    this.decoder = decoder;
    this.#arena = arena;
    this.#reader = new SlotReader(arena, (target, offset) => source.readInto(target, offset));
  }

  /** Time stamp of the first page at hand, or undefined where none is. */
  firstStamp(little: boolean): bigint | undefined {
    const { pos, end } = this.#reader;
    return this.ready && end - pos >= 8 ? this.#arena.view.getBigUint64(pos, little) : undefined;
  }

  /** Brings the next pages to hand. False where there is no memory for them until events were handed out. */
  async advance(): Promise<boolean> {
    this.ready = false;
    if (this.damage !== undefined) return true;
    try {
      const more = await this.#reader.next();
      this.ready = more === true;
      return more !== 'full';
    } catch (error) {
      this.damage = asTraceError(this.#file, error);
      return true;
    }
  }

  /** Decodes the pages at hand into the sorter. */
  decode(): void {
    const reader = this.#reader;
    const problem = this.decoder.decode(this.state, reader.slot, reader.pos, reader.end);
    if (problem !== undefined) {
      const at = this.source.fileOffset(reader.offsetOf(problem.at));
      this.damage = new TraceError(this.#file, `CPU ${this.state.cpu}: ${problem.problem}`, at, problem.expected);
    }
    reader.pos = reader.end;
  }

  /** The hole after the last event: events that the buffer lost, or that damage hides. */
  endLoss(): Loss | undefined {
    if (this.damage !== undefined) this.state.missed = Number.NaN;
    return this.state.missed === 0 ? undefined : this.state.takeLoss(Number.POSITIVE_INFINITY);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}

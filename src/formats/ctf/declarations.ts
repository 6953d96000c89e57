import type { Meter } from '../../trace/budget.ts';
import type { TraceError } from '../../trace/error.ts';
import {
  type ClockClass,
  classBytes,
  deepest,
  type EventClass,
  type FieldClass,
  largestAlign,
  type Metadata,
  type StreamClass,
} from './classes.ts';

/** Makes the error for a place in the metadata. */
export type Fail = (problem: string, at: number, expected: string) => TraceError;

/** What metadata declare so far, and the limits that hold in both of their notations. Every declared thing takes memory from a meter. */
export abstract class Declarations {
  protected uuid = '';
  protected packetHeader: FieldClass | undefined;
  protected readonly environment = new Map<string, string>();
  protected readonly clocks = new Map<string, ClockClass>();
  protected readonly streams = new Map<number, StreamClass>();
  protected readonly events: EventClass[] = [];
  readonly #meter: Meter;
  #depth = 0;

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** The error for what is wrong at `at`, or where nothing is said, with what is read now. */
  protected abstract error(problem: string, expected: string, at?: number): TraceError;

  protected metadata(major: number, little: boolean): Metadata {
    const { uuid, environment, clocks, packetHeader, streams, events } = this;
    return { major, little, uuid, environment, clocks, packetHeader, streams, events };
  }

  protected hold(): void {
    this.#meter.need(classBytes, 'declarations');
  }

  /** Reads a type, in which there may be others. */
  protected nested<T>(read: () => T): T {
    if (++this.#depth > deepest) throw this.error('types too deep in each other', `at most ${deepest} levels`);
    this.hold();
    try {
      return read();
    } finally {
      this.#depth--;
    }
  }

  protected addToEnvironment(key: string, value: unknown): void {
    if (this.environment.size < 1000) this.environment.set(key, String(value));
  }

  protected addClock(id: string, clock: ClockClass, at?: number): void {
    if (clock.frequency <= 0n || clock.frequency > 1n << 38n)
      throw this.error(`the clock ${id} has a frequency of ${clock.frequency} Hz`, '1 Hz to 2^38 Hz', at);
    this.clocks.set(id, clock);
  }

  protected addStream(stream: StreamClass, at?: number): void {
    if (this.streams.has(stream.id)) throw this.error(`stream class ${stream.id} is declared twice`, 'one', at);
    this.streams.set(stream.id, stream);
  }

  protected idOf(id: bigint, at?: number): number {
    if (id >= 0n && id <= 0xffffffffn) return Number(id);
    throw this.error(`the id ${id}`, '0 to 2^32 - 1', at);
  }

  protected intSize(bits: number, at?: number): number {
    if (bits > 0 && bits <= 4096) return bits;
    throw this.error(`an integer of ${bits} bits`, '1 to 4096 bits', at);
  }

  protected floatSize(bits: number, at?: number): 16 | 32 | 64 {
    if (bits === 16 || bits === 32 || bits === 64) return bits;
    throw this.error(`a floating-point number of ${bits} bits`, '16, 32 or 64', at);
  }

  protected alignOf(bits: number, at?: number): number {
    if (bits >= 1 && bits <= largestAlign && (bits & (bits - 1)) === 0) return bits;
    throw this.error(`an alignment of ${bits} bits`, `a power of two up to ${largestAlign}`, at);
  }

  protected arrayLength(length: number, at?: number): number {
    if (length >= 0 && length <= 2 ** 40) return length;
    throw this.error(`an array of ${length} elements`, '0 to 2^40', at);
  }
}

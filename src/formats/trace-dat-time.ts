import type { TimeConversion } from './ring-buffer.ts';
import type { ClockSample, TimeShift } from './trace-dat-options.ts';

/*
 * From the stamps of a trace.dat to its clock, as trace-cmd report does it (lib/trace-cmd/trace-input.c: timestamp_calc):
 * first to the clock of the traced machine's host (TIME_SHIFT), then from TSC ticks to ns (TSC2NSEC).
 */

/** Rebasing keeps ticks × multiplier exact: below 2^40 it is two products below 2^52. */
const rebaseAfter = 2 ** 40;
const two20 = 2 ** 20;

/** TSC ticks to nanoseconds: (ticks × mult) >> shift, in exact integers without a bigint for each event. */
export class TscConversion implements TimeConversion {
  /** Nanoseconds at tick 0. */
  readonly origin: bigint;
  readonly #start: bigint;
  readonly #mult: number;
  readonly #shift: number;
  /** Ticks that the next three belong to: their nanoseconds since the origin, and the remainder of the division. */
  #base = 0;
  #baseNs = 0;
  #remainder = 0;

  /** `start` is the absolute stamp that ticks count from; `mult` < 2^32, `shift` <= 50. */
  constructor(start: bigint, mult: number, shift: number) {
    this.#start = start;
    this.#mult = mult;
    this.#shift = shift;
    this.origin = (start * BigInt(mult)) >> BigInt(shift);
    this.#rebase(0);
  }

  convert(ticks: number): number {
    let left = ticks - this.#base;
    if (left < 0 || left >= rebaseAfter) {
      this.#rebase(ticks);
      left = 0;
    }
    const divisor = 2 ** this.#shift;
    const high = Math.floor(left / two20) * this.#mult;
    const low = (left % two20) * this.#mult;
    // high × 2^20 + low + remainder, divided by 2^shift, where the sum itself could pass 2^53.
    const part = divisor / two20;
    const whole = part >= 1 ? Math.floor(high / part) : high / part;
    const rest = part >= 1 ? high - whole * part : 0;
    return this.#baseNs + whole + Math.floor((rest * two20 + low + this.#remainder) / divisor);
  }

  #rebase(ticks: number): void {
    const product = (this.#start + BigInt(ticks)) * BigInt(this.#mult);
    this.#base = ticks;
    this.#baseNs = Number((product >> BigInt(this.#shift)) - this.origin);
    this.#remainder = Number(product & ((1n << BigInt(this.#shift)) - 1n));
  }
}

/** A guest's stamps on its host's clock, by the samples that trace-cmd took while it recorded both. */
export class ShiftConversion implements TimeConversion {
  /** The absolute stamp, on the host's clock, that results count from. */
  readonly origin: bigint;
  readonly #interpolate: boolean;
  /** By CPU. Times and offsets count from `start`, and from the first offset. */
  readonly #cpus: { times: Float64Array; offsets: Float64Array; ratios: Float64Array; shifts: Float64Array }[];
  readonly #inner: TimeConversion | undefined;
  readonly #first: number;

  /** `start` is the absolute stamp that ticks count from. */
  constructor(start: bigint, shift: TimeShift, inner?: (start: bigint) => TscConversion) {
    const first = shift.samples.find((samples) => samples.length > 0)?.[0]?.offset ?? 0n;
    this.#first = Number(first);
    this.#interpolate = shift.interpolate;
    this.#cpus = shift.samples.map((samples) => relative(samples, start, first));
    const converted = inner?.(start + first);
    this.#inner = converted;
    this.origin = converted?.origin ?? start + first;
  }

  convert(ticks: number, cpu: number): number {
    const shifted = this.#shift(ticks, cpu);
    return this.#inner === undefined ? shifted : this.#inner.convert(shifted, cpu);
  }

  #shift(ticks: number, cpu: number): number {
    const samples = this.#cpus[cpu];
    if (samples === undefined || samples.times.length === 0) return ticks - this.#first;
    const { times, offsets, ratios, shifts } = samples;
    const n = times.length;
    if (n === 1) return ticks + (offsets[0] as number);
    let low = 0;
    let high = n - 2;
    // The last sample at or before the event, but not the very last: it ends the last stretch.
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((times[middle] as number) <= ticks) low = middle;
      else high = middle - 1;
    }
    let correction = offsets[low] as number;
    if (this.#interpolate) {
      const span = (times[low + 1] as number) - (times[low] as number);
      const offset = (ticks - (times[low] as number)) * ((offsets[low + 1] as number) - (offsets[low] as number));
      correction += Math.trunc((offset + Math.trunc(span / 2)) / span);
    }
    const ratio = ratios[low] as number;
    return (ratio === 1 ? ticks : Math.floor(ticks * ratio + (shifts[low] as number))) + correction;
  }
}

function relative(samples: ClockSample[], start: bigint, first: bigint) {
  return {
    times: Float64Array.from(samples, (sample) => Number(sample.time - start)),
    offsets: Float64Array.from(samples, (sample) => Number(sample.offset - first)),
    ratios: Float64Array.from(samples, (sample) => Number(sample.scaling) / 2 ** Number(sample.fraction)),
    // What scaling makes of the start itself.
    shifts: Float64Array.from(samples, (sample) => Number(((start * sample.scaling) >> sample.fraction) - start)),
  };
}

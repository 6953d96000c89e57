import type { SampleShape } from './perf-scan.ts';

/** The times of a perf.data: ns from an origin, which is known with the first sample. */
export class PerfTimes {
  origin = 0n;
  known = false;
  readonly #view: DataView;
  readonly #little: boolean;
  /** Shared with the scan of samples, which reads times itself. */
  readonly #shape: SampleShape;
  /** What came before any sample. */
  readonly #early: { stamp: bigint; take: (time: number) => void }[] = [];

  constructor(view: DataView, little: boolean, shape: SampleShape) {
    this.#view = view;
    this.#little = little;
    this.#shape = shape;
  }

  /** The time of a stamp at this position. */
  at(position: number): number {
    const low = this.#view.getUint32(position + (this.#little ? 0 : 4), this.#little);
    const high = this.#view.getUint32(position + (this.#little ? 4 : 0), this.#little);
    return (high - this.#shape.originHigh) * 0x100000000 + (low - this.#shape.originLow);
  }

  /** Counts from the stamp at this position, the first. */
  begin(position: number): void {
    this.countFrom(this.#view.getBigUint64(position, this.#little));
    for (const { stamp, take } of this.#early.splice(0)) take(Number(stamp - this.origin));
  }

  countFrom(origin: bigint): void {
    this.known = true;
    this.origin = origin;
    this.#shape.originLow = Number(origin & 0xffffffffn);
    this.#shape.originHigh = Number(origin >> 32n);
  }

  /** Gives the time of a stamp at this position, as soon as that is known. */
  whenKnown(position: number, take: (time: number) => void): void {
    if (this.known) take(this.at(position));
    else this.#early.push({ stamp: this.#view.getBigUint64(position, this.#little), take });
  }
}

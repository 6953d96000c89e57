import { heatJson } from '../report/heat-json.ts';
import { heatmapText } from '../report/heatmap-text.ts';
import type { Json } from '../report/json.ts';
import type { Terminal } from '../report/terminal.ts';
import { HeatMap } from '../views/heatmap.ts';
import { wholeNumber } from './aggregate.ts';
import { asText, type Printable } from './printable.ts';

/** Durations over time: time across from the trace's first event on, duration up, number as colour. */
export class HeatAggregate implements Printable {
  readonly #map = new HeatMap();

  constructor() {
    this.#map.start(0);
  }

  /** Takes a duration that began at a time (`context.time`), both in ns and not negative. */
  add(time: number, duration: number): void {
    const [at, length] = [wholeNumber(time), wholeNumber(duration)];
    if (at < 0 || length < 0)
      throw new RangeError(`a heat map takes no negative ${at < 0 ? 'time' : 'duration'}: ${at < 0 ? at : length}`);
    this.#map.add(at, length);
  }

  /** Takes over the durations of another, which stays as it was. */
  merge(other: HeatAggregate): void {
    this.#map.merge(other.#map);
  }

  print(terminal: Terminal): string {
    return heatmapText(this.#map.result(), terminal, 'ns');
  }

  toString(): string {
    return asText(this);
  }

  toJSON(): { [key: string]: Json } {
    return heatJson(this.#map.result());
  }
}

import { EventBatch } from '../trace/batch.ts';
import type { Loss } from '../trace/loss.ts';
import type { EventSorter } from '../trace/sorter.ts';

/** Hands out what a sorter holds, with losses that no event of the sorter carries, each in its place in time. */
export class HandOut {
  readonly #sorter: EventSorter;
  /** Losses that are to come, and those that go with the next batch. */
  readonly #later: Loss[] = [];
  #due: Loss[];

  /** `first` are losses that go with the first batch. */
  constructor(sorter: EventSorter, first: Loss[] = []) {
    this.#sorter = sorter;
    this.#due = first;
  }

  /** Adds a loss: it goes with the first batch after all events up to `loss.to`. */
  add(loss: Loss): void {
    const { length } = this.#later;
    let at = length;
    while (at > 0 && (this.#later[at - 1] as Loss).to > loss.to) at--;
    this.#later.splice(at, 0, loss);
  }

  /** Batches of all events up to `bound`. Each is valid until the next is asked for. */
  *upTo(bound: number): Generator<EventBatch> {
    for (;;) {
      const loss = this.#later[0];
      const split = loss !== undefined && loss.to <= bound;
      const limit = split ? loss.to : bound;
      for (let batch = this.#sorter.take(limit); batch !== undefined; batch = this.#sorter.take(limit)) {
        if (this.#due.length > 0) {
          batch.losses = [...this.#due, ...batch.losses];
          this.#due = [];
        }
        yield batch;
      }
      if (!split) return;
      this.#later.shift();
      this.#due.push(loss);
    }
  }

  /** Leaves out the losses that were to go with the next batch. */
  forget(): void {
    this.#due = [];
  }

  /** Those losses, in a batch without events. */
  *settled(): Generator<EventBatch> {
    if (this.#due.length === 0) return;
    const batch = new EventBatch(0);
    batch.losses = this.#due;
    this.#due = [];
    yield batch;
  }

  /** The losses that no batch carried, in a batch without events. */
  *rest(): Generator<EventBatch> {
    const losses = [...this.#due, ...this.#later];
    if (losses.length === 0) return;
    const batch = new EventBatch(0);
    batch.losses = losses;
    yield batch;
  }
}

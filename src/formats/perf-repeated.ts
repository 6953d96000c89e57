import type { EventBatch } from '../trace/batch.ts';

/** Now and then perf writes a sample twice, identical to the nanosecond: it is given once, and counted by its type. */
export class Repeated {
  /** By type id. */
  readonly #counts: Map<number, number>;
  /** The last event of the batch before. */
  #last = { time: Number.NaN, type: -1, cpu: -1, tid: -1, payload: new Uint8Array(0) };

  constructor(counts: Map<number, number>) {
    this.#counts = counts;
  }

  /** Takes those out of a batch, in order of time, that follow one like them, also in the batch before. */
  drop(batch: EventBatch): void {
    const { time } = batch;
    let to = 0;
    for (let i = 0; i < batch.count; i++) {
      const twice =
        to > 0
          ? time[i] === time[to - 1] && sameSample(batch, i, to - 1)
          : time[i] === this.#last.time && this.#isLast(batch, i);
      if (twice) {
        const type = batch.type[i] as number;
        this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1);
        continue;
      }
      if (to !== i) {
        time[to] = time[i] as number;
        batch.type[to] = batch.type[i] as number;
        batch.cpu[to] = batch.cpu[i] as number;
        batch.tid[to] = batch.tid[i] as number;
        batch.pid[to] = batch.pid[i] as number;
        batch.at[to] = batch.at[i] as number;
        batch.size[to] = batch.size[i] as number;
      }
      to++;
    }
    batch.count = to;
    if (to > 0) this.#keep(batch, to - 1);
  }

  #isLast(b: EventBatch, i: number): boolean {
    const { type, cpu, tid, payload } = this.#last;
    if (b.type[i] !== type || b.cpu[i] !== cpu || b.tid[i] !== tid || b.size[i] !== payload.length) return false;
    return payload.length > 0 && Buffer.compare(payloadOf(b, i), payload) === 0;
  }

  #keep(b: EventBatch, i: number): void {
    this.#last = {
      time: b.time[i] as number,
      type: b.type[i] as number,
      cpu: b.cpu[i] as number,
      tid: b.tid[i] as number,
      payload: payloadOf(b, i).slice(),
    };
  }
}

function sameSample(b: EventBatch, i: number, j: number): boolean {
  if (b.type[i] !== b.type[j] || b.cpu[i] !== b.cpu[j] || b.tid[i] !== b.tid[j] || b.size[i] !== b.size[j])
    return false;
  return (b.size[i] as number) > 0 && Buffer.compare(payloadOf(b, i), payloadOf(b, j)) === 0;
}

function payloadOf(b: EventBatch, i: number): Uint8Array {
  const at = b.at[i] as number;
  return b.bytes.subarray(at, at + (b.size[i] as number));
}

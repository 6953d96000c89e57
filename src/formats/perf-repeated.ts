import type { EventBatch } from '../trace/batch.ts';

/** Now and then perf writes a sample twice, identical to the nanosecond: it is given once, and counted by its type. */
export function dropRepeated(batch: EventBatch, repeated: Map<number, number>): void {
  const { time } = batch;
  let to = 0;
  for (let i = 0; i < batch.count; i++) {
    if (i > 0 && time[i] === time[i - 1] && sameSample(batch, i, to - 1)) {
      const type = batch.type[i] as number;
      repeated.set(type, (repeated.get(type) ?? 0) + 1);
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
}

function sameSample(b: EventBatch, i: number, j: number): boolean {
  if (b.type[i] !== b.type[j] || b.cpu[i] !== b.cpu[j] || b.tid[i] !== b.tid[j] || b.size[i] !== b.size[j])
    return false;
  const size = b.size[i] as number;
  return (
    size > 0 &&
    Buffer.compare(
      b.bytes.subarray(b.at[i], (b.at[i] as number) + size),
      b.bytes.subarray(b.at[j], (b.at[j] as number) + size),
    ) === 0
  );
}

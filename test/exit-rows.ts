import { ExitRowsWriter, type RowsFacts } from '../src/serve/exit-rows.ts';
import { ExitSpans } from '../src/spans/exits.ts';

export type ExitRow = [begin: number, duration: number, thread: number, reason: number];

/** Writes exits to a file as the explorer keeps them, so many at a time. */
export function writeRows(path: string, rows: readonly ExitRow[], batch = 1000): RowsFacts {
  const writer = new ExitRowsWriter(path);
  for (let from = 0; from < rows.length; from += batch) {
    const spans = new ExitSpans();
    spans.reserve(batch);
    for (const [begin, duration, thread, reason] of rows.slice(from, from + batch)) {
      const k = spans.count++;
      spans.begin[k] = begin;
      spans.duration[k] = duration;
      spans.thread[k] = thread;
      spans.reason[k] = reason;
    }
    writer.take(spans);
  }
  writer.close();
  return writer.facts;
}

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openTrace } from '../src/formats/detect.ts';
import type { Loss } from '../src/trace/loss.ts';
import type { Trace } from '../src/trace/trace.ts';

/** A text trace as a test sees it. */
export type ReadEvent = {
  name: string;
  time: number;
  cpu: number;
  tid: number;
  pid: number;
  print: string;
  /** Every field, as text. */
  fields: Record<string, string>;
  /** Every integer field, exactly: unsigned 64 bits. */
  integers: Record<string, bigint>;
  /** The call chain, where events of its type have one. */
  chain?: string;
};

export type ReadTrace = { trace: Trace; events: ReadEvent[]; losses: Loss[]; batches: number };

/** Reads all that a text trace says; `text` is its content, or a file. */
export async function readText(text: string | Uint8Array | { file: string }): Promise<ReadTrace> {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
  try {
    const file = typeof text === 'object' && 'file' in text ? text.file : join(folder, 'trace.txt');
    if (typeof text === 'string' || text instanceof Uint8Array) writeFileSync(file, text);
    const trace = await openTrace(file);
    const read: ReadTrace = { trace, events: [], losses: [], batches: 0 };
    for await (const batch of trace.batches()) {
      read.batches++;
      read.losses.push(...batch.losses);
      for (let i = 0; i < batch.count; i++) {
        const type = trace.types[batch.type[i] as number];
        if (type === undefined) throw new RangeError('an event without a type');
        const event: ReadEvent = {
          name: type.name,
          time: batch.time[i] as number,
          cpu: batch.cpu[i] as number,
          tid: batch.tid[i] as number,
          pid: batch.pid[i] as number,
          print: type.layout.print(batch, i),
          fields: {},
          integers: {},
        };
        const { chain } = type.layout;
        if (chain !== undefined) event.chain = chain.text(batch, i);
        for (const { name } of type.fields) {
          const reader = type.reader(name);
          if (reader === undefined) throw new RangeError(`no reader of ${name}`);
          event.fields[name] = reader.text(batch, i);
          if (reader.kind === 'int' && !Number.isNaN(reader.number(batch, i)))
            event.integers[name] = (BigInt(reader.high(batch, i)) << 32n) | BigInt(reader.low(batch, i));
        }
        read.events.push(event);
      }
    }
    await trace.close();
    return read;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** How often each event occurs. */
export function counts(events: readonly ReadEvent[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { name } of events) found.set(name, (found.get(name) ?? 0) + 1);
  return found;
}

/** Counts from a file of `COUNT NAME` lines. */
export function countsFile(path: string): Map<string, number> {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return new Map(lines.map((line) => line.split(' ')).map(([count, name]) => [name as string, Number(count)]));
}

/** A file of the test data, unpacked. */
export function unpackedText(path: string): string {
  return gunzipSync(readFileSync(path)).toString('latin1');
}

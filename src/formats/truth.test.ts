import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { TraceError } from '../trace/error.ts';
import { openTrace } from './detect.ts';

/*
 * Copies that lack something never pass for whole: what a truncated one gives is in the whole, and where that is less it is said, or cannot
 * be known; and one with a stretch that was zeroed, taken out or put in gives the same as the whole, or says damage or a loss.
 * VIRTAP_SEED=n tries others, VIRTAP_MUTANTS=n more. A failure says which copy it was.
 */

const copies = Number(process.env.VIRTAP_MUTANTS ?? 30);
const firstSeed = Number(process.env.VIRTAP_SEED ?? 1);
const data = join(import.meta.dirname, '../../test/data');
const folder = mkdtempSync(join(tmpdir(), 'virtap-truth-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string) => readFileSync(join(data, name));
const whole = (text: Buffer, size: number) => text.subarray(0, text.lastIndexOf(10, size) + 1);

/** `silent`: a copy that ends where a record or line does is a whole shorter recording; `text`: only zeros can be seen in it; `nameless`: names come last in it. */
const recordings: Record<string, { bytes: () => Buffer; silent: boolean; text?: boolean; nameless?: boolean }> = {
  'trace.dat v6': { bytes: () => zstdDecompressSync(file('trace-dat/lost-v6.dat.zst')), silent: false },
  'trace.dat v7': { bytes: () => file('trace-dat/lost-v7.dat'), silent: false },
  'trace.dat v7 with probes': { bytes: () => file('trace-dat/usdt-v7.dat'), silent: false },
  'perf.data': { bytes: () => file('mutants/plain.data'), silent: false, nameless: true },
  'perf.data, -z': { bytes: () => file('mutants/compressed.data'), silent: false, nameless: true },
  'simpletrace v4': {
    bytes: () => zstdDecompressSync(file('qemu/clean-cut.bin.zst')).subarray(0, 60_000),
    silent: true,
  },
  'QEMU log': {
    bytes: () => whole(zstdDecompressSync(file('qemu-log/clean-cut.log.zst')), 40_000),
    silent: true,
    text: true,
  },
  'ftrace text': {
    bytes: () => whole(gunzipSync(file('ftrace-text/report-kernel.txt.gz')), 40_000),
    silent: true,
    text: true,
  },
  'perf script text': {
    bytes: () => whole(gunzipSync(file('perf-script/default.txt.gz')), 40_000),
    silent: true,
    text: true,
  },
};

type Seen = { events: Map<string, number>; count: number; said: string };

/** What there is in a file, each event with its time and text (CPUs of a file without its end are numbered by guess), and what is said of it. */
async function read(bytes: Uint8Array, named = true): Promise<Seen> {
  const path = join(folder, 'copy');
  writeFileSync(path, bytes);
  const seen: Seen = { events: new Map(), count: 0, said: '' };
  try {
    const trace = await openTrace(path);
    try {
      let losses = '';
      for await (const batch of trace.batches()) {
        for (const { cpu, count } of batch.losses) losses += ` loss ${cpu} ${count}`;
        for (let i = 0; i < batch.count; i++) {
          const type = trace.types[batch.type[i] as number];
          const time = trace.origin + BigInt(Math.round(batch.time[i] as number));
          const text = named ? `${type?.name} ${type?.layout.print(batch, i)}` : '';
          const key = `${time} ${batch.tid[i]} ${text}`;
          seen.events.set(key, (seen.events.get(key) ?? 0) + 1);
          seen.count++;
        }
      }
      seen.said = [losses, trace.damage?.message ?? '', ...trace.notes].join('\n').replaceAll(path, '');
    } finally {
      await trace.close();
    }
  } catch (error) {
    assert.ok(error instanceof TraceError, String(error));
    seen.said = error.message;
  }
  return seen;
}

/** Events of one that the other lacks. */
function unknownEvents(some: Seen, others: Seen): string[] {
  return [...some.events].filter(([key, n]) => n > (others.events.get(key) ?? 0)).map(([key]) => key);
}

/** Whole numbers below n, the same for the same seed (xorshift32). */
function random(seed: number): (n: number) => number {
  let state = (seed * 2654435761) | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

for (const [name, { bytes, silent, text, nameless }] of Object.entries(recordings)) {
  test(`${name}: what is cut off is missing, and nothing else`, async () => {
    const original = bytes();
    const all = await read(original, nameless !== true);
    assert.ok(all.count > 0);
    for (let n = 0; n < copies; n++) {
      const below = random(firstSeed * 1000 + n);
      const end = 1 + below(original.length - 1);
      const seen = await read(original.subarray(0, end), nameless !== true);
      const what = `${name}, the first ${end} of ${original.length} bytes`;
      assert.deepEqual(unknownEvents(seen, all).slice(0, 3), [], what);
      if (seen.count < all.count && !silent) assert.notEqual(seen.said, all.said, what);
    }
  });

  test(`${name}: a stretch that was zeroed, taken out or put in is told where it changes anything`, async () => {
    const original = bytes();
    const all = await read(original);
    for (let n = 0; n < copies; n++) {
      const below = random(firstSeed * 1000 + 500 + n);
      const at = below(original.length - 300);
      const length = 300 + below(Math.min(5000, original.length - at - 300) + 1);
      const how = text === true ? 0 : below(3);
      const middle = how === 1 ? [] : Uint8Array.from({ length }, () => (how === 0 ? 0 : below(256)));
      const rest = original.subarray(how === 2 ? at : at + length);
      const copy = Buffer.concat([original.subarray(0, at), Buffer.from(middle), rest]);
      const seen = await read(copy);
      const same = seen.count === all.count && unknownEvents(seen, all).length === 0;
      const what = `${name}, ${length} bytes at ${at} ${['zeroed', 'taken out', 'put in'][how]}, seed ${firstSeed}, copy ${n}`;
      if (!same)
        assert.notEqual(
          seen.said,
          all.said,
          `${what}: ${seen.count} of ${all.count} events, ${unknownEvents(seen, all)[0]}`,
        );
    }
  });
}

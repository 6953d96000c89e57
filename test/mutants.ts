import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openTrace } from '../src/formats/detect.ts';
import { TraceError } from '../src/trace/error.ts';
import { mutate, random } from './mutate.ts';

/*
 * Damaged recordings of every format: whatever was done to the bytes, reading ends, with events or with a TraceError
 * that names the file, and memory does not grow with what the bytes claim. A thousand of each with VIRTAP_FULL=1, as in CI;
 * VIRTAP_MUTANTS=20000 tries harder, VIRTAP_SEED=n tries others. A failure says which mutant it was.
 */

const mutants = Number(process.env.VIRTAP_MUTANTS ?? (process.env.VIRTAP_FULL === '1' ? 1000 : 200));
const firstSeed = Number(process.env.VIRTAP_SEED ?? 1);
/** What one mutant may take before it counts as a hang (ms). The slowest takes a fraction of a second. */
const timeLimit = 30_000;
/** Resident memory that no mutant may make the process need (KiB). */
const maxMemory = 1 << 20;

setFlagsFromString('--expose-gc');
/** V8 does not look for garbage of itself however large the buffers are that threads could share, which every trace has. */
const collect = runInNewContext('gc') as () => void;
/** How many mutants' buffers may wait for that. */
const atOnce = 64;

/** In memory where files can be: thousands are written. */
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'virtap-mutants-'));
after(() => rmSync(folder, { recursive: true }));

/** A small recording of test/data. */
export const file = (name: string) => readFileSync(join(import.meta.dirname, 'data', name));

/** Tests that damaged copies of recordings, by what these are called, end well. `lay` puts one where it is read from: a file, or a part of a folder. */
export function endWell(
  seeds: Record<string, () => Uint8Array>,
  lay: (path: string, mutant: Uint8Array) => void = writeFileSync,
): void {
  for (const [name, seed] of Object.entries(seeds)) {
    test(`${name}: ${mutants} damaged copies end well`, async () => {
      const original = seed();
      for (let n = 0; n < mutants; n++) {
        const mutant = mutate(original, random(firstSeed * 1_000_003 + n));
        // A name of its own: a file that is written over goes to the disk.
        const path = join(folder, `${n}`);
        lay(path, mutant);
        const what = `mutant ${n} of ${name}, VIRTAP_SEED=${firstSeed}`;
        try {
          await inTime(readAll(path), what);
        } catch (error) {
          assert.ok(error instanceof TraceError, `${what}: ${(error as Error).stack}`);
          assert.ok(error.message.startsWith(path), `${what}: ${error.message}`);
        }
        rmSync(path, { recursive: true });
        if (n % atOnce === 0) collect();
      }
      assert.ok(process.resourceUsage().maxRSS < maxMemory, `${name}: ${process.resourceUsage().maxRSS} KiB`);
    });
  }
}

/** Lays copies of a folder in which one part is damaged: its path in there. */
export function amid(sound: string, damaged: string): (path: string, mutant: Uint8Array) => void {
  const copy = mkdtempSync(join(folder, 'sound-'));
  cpSync(sound, copy, { recursive: true });
  const parts = readdirSync(copy, { recursive: true, withFileTypes: true });
  const within = parts.map((part) => ({ name: relative(copy, join(part.parentPath, part.name)), part }));
  return (path, mutant) => {
    mkdirSync(path);
    for (const { name, part } of within) {
      if (part.isDirectory()) mkdirSync(join(path, name));
      else if (name === damaged) writeFileSync(join(path, name), mutant);
      // The others are the same files under one more name.
      else linkSync(join(copy, name), join(path, name));
    }
  };
}

/** Reads a file to its end as a command would: every event's time, text and fields. */
async function readAll(path: string): Promise<void> {
  const trace = await openTrace(path);
  try {
    let last = Number.NEGATIVE_INFINITY;
    for await (const batch of trace.batches()) {
      for (let i = 0; i < batch.count; i++) {
        const time = batch.time[i] as number;
        assert.ok(time >= last, `time goes from ${last} back to ${time}`);
        last = time;
        const type = trace.types[batch.type[i] as number];
        assert.ok(type !== undefined, 'an event without a type');
        // Printing decodes all; every 16th, and what is at the edges, so that thousands of mutants take seconds.
        if ((i & 15) !== 0 && i !== batch.count - 1) continue;
        type.layout.print(batch, i);
        for (const { name } of type.fields) type.reader(name)?.text(batch, i);
      }
    }
    if (trace.damage !== undefined) throw trace.damage;
  } finally {
    await trace.close();
  }
}

async function inTime(work: Promise<void>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), timeLimit);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

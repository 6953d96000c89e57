import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { amid, endWell } from '../../test/mutants.ts';
import { perfFile, sampleRecord } from '../../test/perf-writer.ts';
import { needs } from '../../test/tools.ts';
import { openTrace } from './detect.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

const events = [{ system: 'kvm', name: 'kvm_entry', id: 7, perfId: 1n, fields: [] }];

const zero = 5_000_000_000_000n;
const samples = [true, false].map((little) =>
  sampleRecord({ little, id: 1n, pid: 1, tid: 1, cpu: 0, time: zero, payload: [7] }),
) as [Buffer, Buffer];

/** A sample, its time in µs. Identifier, process, thread, time and CPU follow its header. */
function sample(cpu: number, time: number, little = true): Buffer {
  const record = Buffer.from(samples[little ? 0 : 1]);
  const view = new DataView(record.buffer, record.byteOffset);
  view.setInt32(20, 100 + cpu, little);
  view.setBigUint64(24, zero + BigInt(time) * 1000n, little);
  view.setInt32(32, cpu, little);
  return record;
}

/** PERF_RECORD_FINISHED_INIT, which perf writes to `data` as to others. */
function begun(little: boolean): Buffer {
  const record = Buffer.alloc(8);
  const view = new DataView(record.buffer, record.byteOffset);
  view.setUint32(0, 82, little);
  view.setUint16(6, 8, little);
  return record;
}

let folders = 0;

/** Writes a folder as perf record --threads does, with the files of these samples. */
function write(parts: Buffer[][], little = true, cpus = 4): string {
  const path = join(folder, `threads-${folders++}`);
  mkdirSync(path);
  writeFileSync(join(path, 'data'), perfFile({ little, events, records: [begun(little)], threads: cpus }));
  for (const [n, records] of parts.entries()) writeFileSync(join(path, `data.${n}`), Buffer.concat(records));
  return path;
}

/** `CPU time`, in µs, of all events; and what is said of the reading. */
async function read(path: string) {
  const trace = await openTrace(path);
  const seen: string[] = [];
  const losses: unknown[] = [];
  for await (const batch of trace.batches()) {
    losses.push(...batch.losses);
    for (let i = 0; i < batch.count; i++) {
      const ns = trace.origin + BigInt(batch.time[i] as number) - zero;
      seen.push(`${batch.cpu[i]} ${ns / 1000n}`);
    }
  }
  await trace.close();
  return { seen, losses, damage: trace.damage?.message, notes: trace.notes, version: trace.version };
}

/** Many samples of CPUs that take turns, some of them idle for long. */
function many(cpus: number, count: number): { cpu: number; time: number }[] {
  const all: { cpu: number; time: number }[] = [];
  for (let time = 0; time < count; time++) all.push({ cpu: time % 977 === 0 ? cpus - 1 : time % (cpus - 1), time });
  return all;
}

for (const little of [true, false]) {
  test(`the files of perf record --threads are one recording in order of time (${little ? 'little' : 'big'} endian)`, async () => {
    const all = many(4, 90_000);
    const parts = [0, 1, 2, 3].map((cpu) =>
      all.filter((one) => one.cpu === cpu).map(({ time }) => sample(cpu, time, little)),
    );
    const path = write(parts, little);
    const { seen, damage, losses, notes, version } = await read(path);
    assert.deepEqual([damage, losses, notes, version], [undefined, [], [], 'folder']);
    assert.deepEqual(
      seen,
      all.map(({ cpu, time }) => `${cpu} ${time}`),
    );
    // The header's file stands for the folder.
    assert.deepEqual((await read(join(path, 'data'))).seen, seen);
  });
}

test('a file with the samples of several CPUs is put in order, too', async () => {
  const all = many(4, 90_000);
  // Each thread of perf reads its two buffers in turn, whole, every 3 ms.
  const parts: Buffer[][] = [[], []];
  for (let from = 0; from < 90_000; from += 3000) {
    for (const cpu of [0, 1, 2, 3])
      for (const one of all.slice(from, from + 3000)) if (one.cpu === cpu) parts[cpu >> 1]?.push(sample(cpu, one.time));
  }
  const { seen, damage, losses, notes } = await read(write(parts));
  assert.deepEqual([damage, losses, notes], [undefined, [], []]);
  assert.deepEqual(
    seen,
    all.map(({ cpu, time }) => `${cpu} ${time}`),
  );
});

test('what is missing of a folder is named', async () => {
  const parts = [[sample(0, 1)], [sample(1, 2)], [sample(2, 3)]];
  const none = write([]);
  await assert.rejects(
    read(none),
    /data: perf record --threads wrote its events to files beside it, of which there is none/,
  );
  const gap = write(parts);
  rmSync(join(gap, 'data.1'));
  await assert.rejects(read(gap), /of which data\.1 is missing; expected the folder that perf record --threads wrote/);
});

test('a file of a folder that is cut ends the reading there, and is named', async () => {
  const all = many(4, 30_000);
  const path = write(
    [0, 1, 2, 3].map((cpu) => all.filter((one) => one.cpu === cpu).map(({ time }) => sample(cpu, time))),
  );
  const { length } = sample(0, 0);
  truncateSync(join(path, 'data.1'), 100 * length + 17);
  const { seen, damage, losses } = await read(path);
  assert.match(
    damage ?? '',
    new RegExp(`data\\.1: byte ${100 * length + 17}: the file ends after 17 bytes of a record`),
  );
  // What is not cut of the others is given, and said to lack something from where that file ends.
  const last = all.filter(({ cpu }) => cpu === 1)[99]?.time as number;
  assert.deepEqual(losses, [{ from: last * 1000, to: Number.POSITIVE_INFINITY, cpu: -1, count: undefined }]);
  const before = all.filter(({ time }) => time <= last).map(({ cpu, time }) => `${cpu} ${time}`);
  assert.deepEqual(seen.slice(0, before.length), before);
});

test(
  'what perf record --threads records has the events that perf script prints',
  needs('perf', 'permission to trace'),
  async (t) => {
    const path = join(folder, 'recorded');
    try {
      execFileSync(
        'perf',
        ['record', '--threads', '-z', '-o', path, '-e', 'sched:sched_switch', '-a', 'sleep', '0.3'],
        {
          stdio: 'pipe',
        },
      );
    } catch {
      t.skip('perf cannot record here');
      return;
    }
    const script = execFileSync('perf', ['script', '-i', path, '--ns', '-F', 'cpu,time'], { stdio: 'pipe' });
    const times = [...String(script).matchAll(/\[0*(\d+)\]\s+(\d+)\.(\d{9}):/g)].map(
      ([, cpu, s, ns]) => `${cpu} ${s}${ns}`,
    );
    const trace = await openTrace(path);
    const seen: string[] = [];
    for await (const batch of trace.batches()) {
      for (let i = 0; i < batch.count; i++)
        seen.push(`${batch.cpu[i]} ${trace.origin + BigInt(batch.time[i] as number)}`);
    }
    await trace.close();
    assert.ok(times.length > 0);
    assert.deepEqual(seen.sort(), times.sort());
  },
);

/** A folder whose parts are sound. */
const sound = write([0, 1].map((cpu) => many(2, 300).map(({ time }) => sample(cpu, time))));

endWell(
  { 'perf.data folder, a part': () => Buffer.concat(many(2, 300).map(({ time }) => sample(1, time))) },
  amid(sound, 'data.1'),
);
endWell(
  { 'perf.data folder, its header': () => perfFile({ little: true, events, records: [begun(true)], threads: 2 }) },
  amid(sound, 'data'),
);

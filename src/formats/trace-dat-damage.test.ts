import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Bytes, page, record, traceDatV6, traceDatV7 } from '../../test/trace-dat.ts';
import type { Loss } from '../trace/loss.ts';
import { openTrace } from './detect.ts';

/*
 * Damaged trace.dat files: two CPUs with eight pages of five events each. The value of an event is its number on its CPU, and 100 more on
 * CPU 1; a page begins every 10 ms, its events are 1 ms apart.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

const pages = 8;
const perPage = 5;
const cpuPages = (cpu: number) =>
  Array.from({ length: pages }, (_, n) =>
    page(
      BigInt(n) * 10_000_000n + 5_000_000_000n,
      Array.from({ length: perPage }, (_, i) => ({
        delta: i === 0 ? 0 : 1_000_000,
        data: record(7, 42, n * perPage + i + 100 * cpu),
      })),
    ),
  );
const buffers = [{ name: '', cpus: [cpuPages(0), cpuPages(1)] }];
const v6 = () => traceDatV6({ buffers });
const v7 = () => traceDatV7({ buffers, codec: 'zstd', chunk: 1 });
/** The numbers of the events of some pages. */
const eventsOf = (...numbers: number[]) =>
  numbers.flatMap((n) => Array.from({ length: perPage }, (_, i) => n * perPage + i));
const all = eventsOf(0, 1, 2, 3, 4, 5, 6, 7);

type Seen = { cpu0: number[]; cpu1: number[]; losses: Loss[]; damage: string; notes: readonly string[] };

async function read(bytes: Uint8Array): Promise<Seen> {
  const path = join(folder, 'trace.dat');
  writeFileSync(path, bytes);
  const trace = await openTrace(path);
  const seen: Seen = { cpu0: [], cpu1: [], losses: [], damage: '', notes: trace.notes };
  try {
    for await (const batch of trace.batches()) {
      seen.losses.push(...batch.losses);
      for (let i = 0; i < batch.count; i++) {
        const value = trace.types[batch.type[i] as number]?.reader('value')?.number(batch, i) ?? Number.NaN;
        if (value < 100) seen.cpu0.push(value);
        else seen.cpu1.push(value - 100);
      }
    }
  } finally {
    await trace.close();
  }
  seen.damage = trace.damage?.message.replace(`${path}: `, '') ?? '';
  return seen;
}

/** Where the first page of CPU 0 begins: a time stamp, then the number of bytes. */
const firstPage = (bytes: Buffer) =>
  bytes.indexOf(
    new Bytes()
      .u64(5_000_000_000n)
      .u64(perPage * 20)
      .done(),
  );

test('the whole is read whole', async () => {
  for (const bytes of [v6(), v7(), traceDatV7({ buffers })]) {
    const { cpu0, cpu1, losses, damage } = await read(bytes);
    assert.deepEqual([cpu0, cpu1, losses, damage], [all, all, [], '']);
  }
});

test('compressed chunks go on as far as the data, whatever their number is said to be', async () => {
  const whole = v7();
  const count = whole.indexOf(new Bytes().u32(pages).done(), 4096);
  for (const told of [0, 3]) {
    const bytes = Buffer.from(whole);
    bytes.writeUInt32LE(told, count);
    const { cpu0, cpu1, losses, damage, notes } = await read(bytes);
    assert.deepEqual([cpu0, cpu1, losses, damage], [all, all, [], '']);
    assert.deepEqual(notes, [`CPU 0 has 8 compressed chunks of pages, not ${told} as the file tells: all were read.`]);
  }
  whole.writeUInt32LE(9, count);
  const { cpu0, cpu1, losses, damage } = await read(whole);
  assert.deepEqual([cpu0, cpu1], [all, all]);
  assert.match(damage, /^byte \d+: CPU 0 has 8 compressed chunks of pages; expected 9, as the file tells$/);
  assert.deepEqual(losses, [{ from: 74_000_000, to: Infinity, cpu: 0, count: undefined }]);
});

test('a chunk that does not unpack is a hole', async () => {
  const bytes = v7();
  const chunk = bytes.indexOf(new Bytes().u32(pages).done(), 4096) + 4;
  const second = chunk + 8 + bytes.readUInt32LE(chunk);
  for (const damage of [
    () => bytes.fill(0xff, second + 14, second + 24),
    // The size itself.
    () => bytes.writeUInt32LE(0x7fffffff, second),
  ]) {
    damage();
    const seen = await read(bytes);
    assert.deepEqual([seen.cpu0, seen.cpu1], [eventsOf(0, 2, 3, 4, 5, 6, 7), all]);
    const at = Number(/^byte (\d+): /.exec(seen.damage)?.[1]);
    assert.ok(at >= second && at <= second + 8, seen.damage);
    assert.deepEqual(seen.losses, [{ from: 4_000_000, to: 20_000_000, cpu: 0, count: undefined }]);
  }
});

test('a page of zeros is no empty page, but a hole', async () => {
  for (const n of [0, 3, 7]) {
    const bytes = v6();
    const at = firstPage(bytes) + n * 4096;
    bytes.fill(0, at, at + 4096);
    const { cpu0, cpu1, losses, damage } = await read(bytes);
    assert.deepEqual([cpu0, cpu1], [all.filter((value) => Math.floor(value / perPage) !== n), all]);
    assert.equal(
      damage,
      `byte ${at}: CPU 0: a page of zeros, such as a crash leaves; expected a time stamp and a size`,
    );
    const from = n === 0 ? -Infinity : n * 10_000_000 - 6_000_000;
    const to = n === 7 ? Infinity : (n + 1) * 10_000_000;
    assert.deepEqual(losses, [{ from, to, cpu: 0, count: undefined }]);
  }
});

test('a page whose size was lost is not empty', async () => {
  const bytes = v6();
  const at = firstPage(bytes) + 4096;
  bytes.writeUInt32LE(0, at + 8);
  const { cpu0, damage, losses } = await read(bytes);
  assert.deepEqual(cpu0, eventsOf(0, 2, 3, 4, 5, 6, 7));
  assert.equal(damage, `byte ${at}: CPU 0: a page whose size was lost; expected a time stamp and a size`);
  assert.equal(losses.length, 1);
});

test('zeros within a page end it, and the event before them is not believed', async () => {
  const bytes = v6();
  const at = firstPage(bytes) + 4096;
  // From the third event's payload on.
  bytes.fill(0, at + 16 + 44, at + 16 + 80);
  const { cpu0, damage, losses } = await read(bytes);
  assert.deepEqual(cpu0, [...eventsOf(0), 5, ...eventsOf(2, 3, 4, 5, 6, 7)]);
  assert.match(
    damage,
    /^byte \d+: CPU 0: an event of type 0; expected an event within the \d+ bytes left of its page$/,
  );
  assert.deepEqual(losses, [{ from: 10_000_000, to: 20_000_000, cpu: 0, count: undefined }]);
});

test('where bytes were put in or taken out, the pages behind them are found', async () => {
  const whole = v6();
  const at = firstPage(whole) + 2 * 4096 + 50;
  const put = Buffer.concat([whole.subarray(0, at), Buffer.alloc(333, 0xa5), whole.subarray(at)]);
  const taken = Buffer.concat([whole.subarray(0, at), whole.subarray(at + 333)]);
  for (const [bytes, firstOfCpu1] of [
    [put, 0],
    [taken, 1],
  ] as const) {
    const { cpu0, cpu1, damage, losses } = await read(bytes);
    // Of the page itself the first event stands; CPU 1's first page begins before where its data should.
    assert.deepEqual(cpu0, [...eventsOf(0, 1), 10, ...eventsOf(3, 4, 5, 6, 7)]);
    assert.deepEqual(cpu1, all.slice(firstOfCpu1 * perPage));
    assert.match(damage, /^byte \d+: CPU 0: an event of/);
    assert.deepEqual(
      losses.find(({ cpu }) => cpu === 0),
      { from: 20_000_000, to: 30_000_000, cpu: 0, count: undefined },
    );
  }
});

test('a page taken out or put in leaves pages in the wrong place, which says that any may be missing', async () => {
  const whole = v6();
  const at = firstPage(whole) + 2 * 4096;
  const taken = Buffer.concat([whole.subarray(0, at), whole.subarray(at + 4096)]);
  const put = Buffer.concat([whole.subarray(0, at), whole.subarray(at - 4096, at), whole.subarray(at)]);
  for (const bytes of [taken, put]) {
    const { damage, losses } = await read(bytes);
    assert.match(damage, /time goes back|the file ends|belong to no CPU/);
    assert.ok(losses.some(({ from, to }) => from === -Infinity && to === Infinity));
  }
});

test('a time far ahead is damage, and does not put what follows in the wrong', async () => {
  const bytes = v6();
  const at = firstPage(bytes) + 3 * 4096;
  bytes.writeBigUInt64LE(5_030_000_000n + (1n << 40n), at);
  const stamp = await read(bytes);
  assert.deepEqual(stamp.cpu0, eventsOf(0, 1, 2, 4, 5, 6, 7));
  assert.match(stamp.damage, /a time stamp later than that of the next page; expected pages in order of time/);

  const far = cpuPages(0);
  far[3] = page(5_030_000_000n, [
    { delta: 0, data: record(7, 42, 15) },
    { delta: 1, data: record(7, 42, 16) },
    { extend: 1n << 45n },
    { delta: 0, data: record(7, 42, 17) },
  ]);
  const extended = await read(traceDatV6({ buffers: [{ name: '', cpus: [far, cpuPages(1)] }] }));
  assert.deepEqual(extended.cpu0, [...eventsOf(0, 1, 2), 15, ...eventsOf(4, 5, 6, 7)]);
  assert.match(extended.damage, /CPU 0: a time stamp later than that of the next page/);
  assert.deepEqual(extended.losses, [{ from: 30_000_000, to: 40_000_000, cpu: 0, count: undefined }]);
});

test("a CPU's data told to be shorter than they are leave bytes that belong to none", async () => {
  for (const bytes of [v6(), traceDatV7({ buffers })]) {
    const start = firstPage(bytes);
    const entry = bytes.lastIndexOf(
      new Bytes()
        .u64(start)
        .u64(pages * 4096)
        .done(),
    );
    bytes.writeUInt32LE(5 * 4096, entry + 8);
    const { cpu0, cpu1, damage, losses } = await read(bytes);
    assert.deepEqual([cpu0, cpu1], [eventsOf(0, 1, 2, 3, 4), all]);
    const problem = `${3 * 4096} bytes behind the data of CPU 0 belong to no CPU; expected less than a page of 4096 bytes`;
    assert.equal(damage, `byte ${start + 5 * 4096}: ${problem}`);
    assert.deepEqual(losses, [{ from: -Infinity, to: Infinity, cpu: -1, count: undefined }]);
  }
});

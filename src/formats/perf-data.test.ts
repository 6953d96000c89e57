import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { commRecord, forkRecord, mmapRecord, perfFile, sampleRecord } from '../../test/perf-writer.ts';
import { readText } from '../../test/read-text.ts';
import { unsigned64 } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Thread } from '../trace/trace.ts';
import { openTrace } from './detect.ts';

const data = join(import.meta.dirname, '../../test/data/perf');
const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

function unpacked(name: string): Buffer {
  return zstdDecompressSync(readFileSync(join(data, name)));
}

type Seen = {
  lines: string[];
  losses: Loss[];
  damage: string | undefined;
  clock: string;
  version: string;
  notes: readonly string[];
  threads: [number, Thread][];
  repeated: number;
  inGuest: number;
  payloads: string;
};

/** Everything a file says, an event a line: `pid/tid [cpu] time name`. One thread and two have to agree on it. */
async function read(bytes: Uint8Array): Promise<Seen> {
  const path = join(folder, `${Math.random()}.data`);
  writeFileSync(path, bytes);
  const seen = await readWith(path, 1);
  assert.deepEqual(await readWith(path, 2), seen);
  return seen;
}

async function readWith(path: string, threads: number): Promise<Seen> {
  const trace = await openTrace(path, { threads });
  const payloads = createHash('sha1');
  const lines: string[] = [];
  const losses: Loss[] = [];
  let inGuest = 0;
  for await (const b of trace.batches()) {
    losses.push(...b.losses);
    for (let i = 0; i < b.count; i++) {
      payloads.update(b.bytes.subarray(b.at[i], (b.at[i] as number) + (b.size[i] as number)));
      const type = trace.types[b.type[i] as number];
      if (type?.recordedAs.endsWith(':G') === true) {
        inGuest++;
        continue;
      }
      const ns = String(trace.origin + BigInt(b.time[i] as number)).padStart(10, '0');
      lines.push(
        `${b.pid[i]}/${b.tid[i]} [${String(b.cpu[i]).padStart(3, '0')}] ${ns.slice(0, -9)}.${ns.slice(-9)}: ${type?.name}`,
      );
    }
  }
  await trace.close();
  let repeated = 0;
  for (const n of trace.repeated?.values() ?? []) repeated += n;
  return {
    lines,
    losses,
    damage: trace.damage?.message,
    clock: trace.clock.name,
    version: trace.version,
    notes: trace.notes,
    threads: [...trace.threads],
    repeated,
    inGuest,
    payloads: payloads.digest('hex'),
  };
}

/** perf script's lines; perf shows process and thread -1 as such, and pads with blanks. */
function golden(): string[] {
  return unpacked('idle.script.txt.zst')
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().replace(/:?\s*$/, ''));
}

test('events of a recording are those that perf script prints, in its order', async () => {
  const seen = await read(unpacked('idle.data.zst'));
  assert.deepEqual(seen.lines, golden());
  assert.equal(seen.clock, 'mono');
  assert.equal(seen.damage, undefined);
  assert.deepEqual(seen.losses, []);
  // perf report --stats counts them, perf script leaves them out.
  assert.equal(seen.inGuest, 10);
});

/** The records of a file, cut at its rounds. */
function parts(file: Buffer): { head: Buffer; records: Buffer[]; features: Buffer } {
  const start = Number(file.readBigUInt64LE(40));
  const end = start + Number(file.readBigUInt64LE(48));
  const records: Buffer[] = [];
  for (let at = start; at < end; at += file.readUInt16LE(at + 6))
    records.push(file.subarray(at, at + file.readUInt16LE(at + 6)));
  return { head: file.subarray(0, start), records, features: file.subarray(end) };
}

test('records that perf record -z compressed are the same events', async () => {
  const { head, records, features } = parts(unpacked('idle.data.zst'));
  // As perf does it: all samples and side-band of a round in one stream, cut where a record is full, in the middle of records too.
  const { createZstdCompress, constants } = await import('node:zlib');
  const stream = createZstdCompress();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const flush = () => new Promise<void>((resolve) => stream.flush(constants.ZSTD_e_flush, resolve));
  const out: Buffer[] = [];
  const wrap = async () => {
    await flush();
    const packed = Buffer.concat(chunks.splice(0));
    for (let at = 0; at < packed.length; at += 1000) {
      const piece = packed.subarray(at, at + 1000);
      const header = Buffer.alloc(8);
      header.writeUInt32LE(81, 0);
      header.writeUInt16LE(8 + piece.length, 6);
      out.push(header, piece);
    }
  };
  for (const record of records) {
    const type = record.readUInt32LE(0);
    if (type >= 64) {
      await wrap();
      out.push(record);
    } else stream.write(record);
  }
  await wrap();
  stream.destroy();
  const body = Buffer.concat(out);
  const delta = body.length - records.reduce((sum, record) => sum + record.length, 0);
  const file = Buffer.concat([head, body, features]);
  file.writeBigUInt64LE(BigInt(body.length), 48);
  shiftFeatures(file, head.length + body.length, delta);
  // Feature bit 27, COMPRESSED, is left unset: the records say so themselves.
  const seen = await read(file);
  assert.deepEqual(seen.lines, golden());
  assert.equal(seen.version, 'file, zstd');
});

/** Feature sections hold absolute offsets. */
function shiftFeatures(file: Buffer, table: number, delta: number): void {
  let at = table;
  for (let bit = 0; bit < 256; bit++) {
    if (((file[72 + (bit >> 3)] as number) & (1 << (bit & 7))) === 0) continue;
    file.writeBigUInt64LE(file.readBigUInt64LE(at) + BigInt(delta), at);
    at += 16;
  }
}

/** The recording as `perf record -o -` writes it to a pipe, with these records. */
function pipeOf(records: Buffer[]): Buffer {
  const file = unpacked('idle.data.zst');
  const { head, features } = parts(file);
  const u64 = (at: number) => Number(file.readBigUInt64LE(at));
  const out: Buffer[] = [Buffer.from(file.subarray(0, 16))];
  (out[0] as Buffer).writeBigUInt64LE(16n, 8);
  for (let at = u64(24); at < u64(24) + u64(32); at += u64(16)) {
    const attr = file.subarray(at, at + u64(16) - 16);
    const ids = head.subarray(u64(at + u64(16) - 16), u64(at + u64(16) - 16) + u64(at + u64(16) - 8));
    const record = Buffer.concat([Buffer.alloc(8), attr, ids]);
    record.writeUInt32LE(64, 0);
    record.writeUInt16LE(record.length, 6);
    out.push(record);
  }
  // Feature 1, the formats, is the first section.
  const formats = file.subarray(
    Number(features.readBigUInt64LE(0)),
    Number(features.readBigUInt64LE(0)) + Number(features.readBigUInt64LE(8)),
  );
  const header = Buffer.alloc(12);
  header.writeUInt32LE(66, 0);
  header.writeUInt16LE(12, 6);
  header.writeUInt32LE(formats.length, 8);
  out.push(header, formats, Buffer.alloc((8 - (formats.length % 8)) % 8), ...records);
  return Buffer.concat(out);
}

test('a pipe gives attributes and formats as records', async () => {
  const seen = await read(pipeOf(parts(unpacked('idle.data.zst')).records));
  assert.deepEqual(seen.lines, golden());
  assert.equal(seen.version, 'pipe');
});

test('what a pipe gave before it broke stands, and the damage is told at its byte', async () => {
  const { records } = parts(unpacked('idle.data.zst'));
  const before = pipeOf(records.slice(0, 1500));
  const whole = await read(before);
  assert.ok(whole.lines.length > 100);
  for (const [bad, what] of [
    [Buffer.alloc(64), 'a record of 0 bytes'],
    [Buffer.from('not a record at all, but some text '.repeat(1000)), 'a record of type 544501614'],
  ] as const) {
    const { lines, damage } = await read(Buffer.concat([before, bad]));
    assert.deepEqual(lines, whole.lines);
    assert.match(damage ?? '', new RegExp(`: byte ${before.length}: ${what}; expected`));
  }
});

test('losses are told to the event, with CPU and the time the hole ends', async () => {
  const truth = readFileSync(join(data, 'lost.truth.txt'), 'utf8').split('\n');
  const counts = new Map<string, number>();
  const losses: string[] = [];
  for (const line of truth) {
    const loss = /^LOST (cpu=\d+) to=(\d+) (count=\d+)$/.exec(line);
    const count = /^(\w+:\w+) (\d+)$/.exec(line);
    if (loss !== null) losses.push(`${loss[1]} ${loss[2]} ${loss[3]}`);
    else if (count !== null) counts.set(count[1] as string, Number(count[2]));
  }
  const path = join(folder, 'lost.data');
  writeFileSync(path, unpacked('lost.data.zst'));
  const trace = await openTrace(path);
  const seen = new Map<string, number>();
  const told: string[] = [];
  for await (const b of trace.batches()) {
    for (const loss of b.losses) {
      told.push(`cpu=${loss.cpu} ${trace.origin + BigInt(loss.to)} count=${loss.count}`);
      assert.ok(loss.from <= loss.to);
    }
    for (let i = 0; i < b.count; i++) {
      const name = trace.types[b.type[i] as number]?.name as string;
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  for (const [type, n] of trace.repeated ?? []) {
    const name = trace.types[type]?.name as string;
    seen.set(name, (seen.get(name) ?? 0) + n);
  }
  await trace.close();
  assert.deepEqual(new Map([...seen].sort()), new Map([...counts].sort()));
  assert.deepEqual(told.sort(), losses.sort());
});

test('where holes begin does not depend on what is asked for, whether one thread reads it or two', async () => {
  const path = join(folder, 'lost-wanted.data');
  writeFileSync(path, unpacked('lost.data.zst'));
  const holes = async (wanted: RegExp, threads: number) => {
    const trace = await openTrace(path, { threads });
    const told: string[] = [];
    for await (const b of trace.batches((type) => wanted.test(type.name)))
      for (const { from, to, cpu, count } of b.losses) told.push(`${from} ${to} ${cpu} ${count}`);
    await trace.close();
    return told.sort();
  };
  const all = await holes(/./, 1);
  assert.ok(all.length > 10);
  for (const wanted of [/kvm_exit/, /sched_switch/, /nothing/])
    for (const threads of [1, 2]) assert.deepEqual(await holes(wanted, threads), all, `${wanted} ${threads}`);
});

const probe = {
  system: 'kvm',
  name: 'kvm_mmio',
  id: 77,
  fields: [
    { declaration: 'u64 gpa', size: 8, signed: false },
    { declaration: 'int len', size: 4, signed: true },
  ],
};

for (const little of [true, false]) {
  test(`fields and times are exact in ${little ? 'little' : 'big'}-endian files`, async () => {
    const time = 0x7fff_ffff_ffff_fff0n;
    const records = [
      sampleRecord({ little, id: 5n, pid: 10, tid: 11, cpu: 3, time, payload: [77, 0xfedc_ba98_7654_3210n, -4] }),
      sampleRecord({ little, id: 5n, pid: 10, tid: 11, cpu: 3, time: time + 9n, payload: [77, 1n, 8] }),
    ];
    const path = join(folder, `endian-${little}.data`);
    writeFileSync(path, perfFile({ little, events: [{ ...probe, perfId: 5n }], records }));
    const trace = await openTrace(path);
    let count = 0;
    for await (const b of trace.batches()) {
      const type = trace.types[b.type[0] as number];
      assert.equal(type?.name, 'kvm:kvm_mmio');
      const gpa = type?.reader('gpa');
      assert.ok(gpa);
      assert.equal(unsigned64(gpa, b, 0), 0xfedc_ba98_7654_3210n);
      assert.equal(type?.reader('len')?.number(b, 0), -4);
      assert.equal(trace.origin + BigInt(b.time[1] as number), time + 9n);
      assert.deepEqual([b.pid[0], b.tid[0], b.cpu[0]], [10, 11, 3]);
      count += b.count;
    }
    await trace.close();
    assert.equal(count, 2);
  });
}

test('a sample that stands twice is given once and counted', async () => {
  const one = sampleRecord({ little: true, id: 5n, pid: 1, tid: 1, cpu: 0, time: 100n, payload: [77, 1n, 4] });
  const other = sampleRecord({ little: true, id: 5n, pid: 1, tid: 1, cpu: 0, time: 100n, payload: [77, 2n, 4] });
  const seen = await read(perfFile({ little: true, events: [{ ...probe, perfId: 5n }], records: [one, one, other] }));
  assert.equal(seen.lines.length, 2);
  assert.equal(seen.repeated, 1);
});

test("each event finds its thread's name of its time, as perf script prints it", async () => {
  for (const little of [true, false]) {
    const sample = (tid: number, cpu: number, time: bigint) =>
      sampleRecord({ little, id: 5n, pid: 1, tid, cpu, time, payload: [77, 1n, 4] });
    const comm = (tid: number, name: string, time: bigint) => commRecord({ little, pid: 1, tid, name, time });
    const round = Buffer.alloc(8);
    if (little) round.writeUInt16LE(8, 6);
    else round.writeUInt16BE(8, 6);
    little ? round.writeUInt32LE(68) : round.writeUInt32BE(68);
    // The CPUs' buffers stand one after the other: names of later times come before events of earlier ones.
    const records = [
      comm(7, 'bash', 0n),
      comm(9, 'old', 0n),
      comm(7, 'taskset', 150n),
      sample(7, 0, 140n),
      sample(7, 0, 150n),
      sample(7, 0, 170n),
      comm(7, 'qemu', 180n),
      sample(7, 0, 190n),
      sample(7, 1, 100n),
      sample(9, 1, 110n),
      // The number of a thread that ended is given to another.
      forkRecord({ little, pid: 2, tid: 9, parent: 7, time: 160n }),
      sample(9, 1, 165n),
      comm(9, 'vhost', 185n),
      sample(9, 1, 200n),
      round,
      sample(7, 0, 300n),
      comm(7, 'end', 310n),
    ];
    const path = join(folder, `names-${little}.data`);
    writeFileSync(path, perfFile({ little, events: [{ ...probe, perfId: 5n }], records }));
    for (const threads of [1, 2]) {
      const trace = await openTrace(path, { threads });
      const seen: string[] = [];
      for await (const b of trace.batches()) {
        for (let i = 0; i < b.count; i++) {
          const { comm } = trace.threads.get(b.tid[i] as number) ?? { comm: '' };
          seen.push(`${trace.origin + BigInt(b.time[i] as number)} ${comm}-${b.tid[i]}`);
        }
      }
      assert.deepEqual(seen, [
        '100 bash-7',
        '110 old-9',
        '140 bash-7',
        '150 taskset-7',
        '165 taskset-9',
        '170 taskset-7',
        '190 qemu-7',
        '200 vhost-9',
        '300 qemu-7',
      ]);
      assert.deepEqual(trace.threads.get(7), { comm: 'end', pid: 1 });
      assert.equal(trace.threads.get(9)?.comm, 'vhost');
      await trace.close();
    }
  }
});

test('what is no record is damage at its own byte, and what came before stands', async () => {
  const whole = unpacked('idle.data.zst');
  const start = Number(whole.readBigUInt64LE(40));
  let at = start;
  for (let n = 0; n < 1500; n++) at += whole.readUInt16LE(at + 6);
  whole.writeUInt32LE(0x74726163, at);
  const { lines, damage } = await read(whole);
  assert.match(damage ?? '', new RegExp(`: byte ${at}: a record of type 1953653091; expected a type of perf`));
  assert.ok(lines.length > 100, `${lines.length}`);
  const all = new Set(golden());
  assert.ok(lines.every((line) => all.has(line)));
});

test('event ids beyond all measure are refused, not kept', async () => {
  // Attributes that share one long list of ids: a small file that describes hundreds of millions.
  const whole = unpacked('idle.data.zst');
  const size = Number(whole.readBigUInt64LE(16));
  const attrs = Number(whole.readBigUInt64LE(24));
  const attr = whole.subarray(attrs, attrs + size);
  const ids = 1 << 20;
  const table = 104 + ids;
  const many = Buffer.concat([whole.subarray(0, 104), Buffer.alloc(ids), ...Array(400).fill(attr)]);
  for (let n = 0; n < 400; n++) {
    many.writeBigUInt64LE(104n, table + (n + 1) * size - 16);
    many.writeBigUInt64LE(BigInt(ids), table + (n + 1) * size - 8);
  }
  many.writeBigUInt64LE(BigInt(table), 24);
  many.writeBigUInt64LE(BigInt(400 * size), 32);
  await assert.rejects(
    read(many),
    new RegExp(`byte ${table + 7 * size}: events and their ids that take more than 37 MiB of memory`),
  );
});

test('a file cut anywhere gives what came before, and says at which byte it ends', async () => {
  const file = unpacked('idle.data.zst');
  const start = Number(file.readBigUInt64LE(40));
  const end = start + Number(file.readBigUInt64LE(48));
  for (const cut of [0, 1, 7, 50, 103, start - 1]) {
    await assert.rejects(
      read(file.subarray(0, cut)),
      (error: Error) => /: |empty/.test(error.message),
      `cut at ${cut}`,
    );
  }
  const seen = await read(file.subarray(0, end - 100001));
  assert.match(seen.damage ?? '', /byte \d+: .*expected/);
  assert.ok(seen.lines.length > 1000);
  // In the features, which follow the records: the events are known by number.
  for (const cut of [end + 8, end + 200]) {
    const { damage, lines } = await read(file.subarray(0, cut));
    assert.match(
      damage ?? '',
      /byte \d+: the (event formats|table of features) would be \d+ bytes here/,
      `cut at ${cut}`,
    );
    assert.equal(lines.length, golden().length);
    assert.match(lines[0] as string, /: tracepoint:\d+$/);
  }
  // In a feature behind the event formats: all events are there, and something is missing all the same.
  const { damage, lines } = await read(file.subarray(0, file.length - 1));
  assert.match(damage ?? '', /byte \d+: the file ends; expected a feature of \d+ bytes/);
  assert.deepEqual(lines, golden());
});

test('zstd data that breaks is told, and what came before stands', async () => {
  const records = [sampleRecord({ little: true, id: 5n, pid: 1, tid: 1, cpu: 0, time: 1n, payload: [77, 1n, 4] })];
  const packed = zstdCompressSync(records[0] as Buffer);
  const header = Buffer.alloc(8);
  header.writeUInt32LE(81, 0);
  header.writeUInt16LE(8 + 4 + 60, 6);
  const broken = Buffer.concat([header, packed.subarray(0, 4), Buffer.alloc(60, 0xff)]);
  const seen = await read(
    perfFile({ little: true, events: [{ ...probe, perfId: 5n }], records: [...records, broken] }),
  );
  assert.equal(seen.lines.length, 1);
  assert.match(seen.damage ?? '', /compressed records break/);
});

/** A file with other records. */
function withRecords(file: Buffer, change: (records: Buffer) => Buffer): Buffer {
  const from = Number(file.readBigUInt64LE(40));
  const to = from + Number(file.readBigUInt64LE(48));
  const records = change(file.subarray(from, to));
  const features = Buffer.from(file.subarray(to));
  const shift = from + records.length - to;
  // First the places of the features, {offset, size} each, then themselves.
  const sections = Number(features.readBigUInt64LE(0)) - to;
  for (let at = 0; at < sections; at += 16) {
    features.writeBigUInt64LE(features.readBigUInt64LE(at) + BigInt(shift), at);
  }
  const changed = Buffer.concat([file.subarray(0, from), records, features]);
  changed.writeBigUInt64LE(BigInt(records.length), 48);
  return changed;
}

/** A file's records several times over, each time an hour later than before. */
function overAgain(file: Buffer, times: number, between: (n: number) => Buffer = () => Buffer.alloc(0)): Buffer {
  const sampleType = file.readUInt32LE(Number(file.readBigUInt64LE(24)) + 24);
  // The identifier, the address and the thread come before the time, 8 bytes each.
  const timeAt = 8 + 8 * [16, 0, 1].filter((bit) => (sampleType & (1 << bit)) !== 0).length;
  return withRecords(file, (records) =>
    Buffer.concat(
      Array.from({ length: times }, (_, n) => {
        const copy = Buffer.from(records);
        for (let at = 0; at < copy.length; at += copy.readUInt16LE(at + 6)) {
          if (copy.readUInt32LE(at) !== 9) continue;
          copy.writeBigUInt64LE(copy.readBigUInt64LE(at + timeAt) + BigInt(n) * 3_600_000_000_000n, at + timeAt);
        }
        return Buffer.concat([copy, between(n)]);
      }),
    ),
  );
}

function count({ lines, inGuest, repeated }: Seen): number {
  return lines.length + inGuest + repeated;
}

test('a file of many pieces gives each event once, whether one thread reads it or two', async () => {
  const file = unpacked('idle.data.zst');
  const once = count(await read(file));
  // Longer than what the second thread has at hand at a time.
  const seen = await read(overAgain(file, 24));
  assert.equal(seen.damage, undefined);
  assert.equal(count(seen), 24 * once);
});

test('a record that the second thread does not know ends its reading, and no event is missing', async () => {
  const file = unpacked('idle.data.zst');
  const once = count(await read(file));
  // PERF_RECORD_TIME_CONV, which perf writes for hardware traces.
  const odd = Buffer.alloc(32);
  odd.writeUInt32LE(79, 0);
  odd.writeUInt16LE(32, 6);
  const seen = await read(overAgain(file, 5, (n) => (n === 2 ? odd : Buffer.alloc(0))));
  assert.equal(seen.damage, undefined);
  assert.equal(count(seen), 5 * once);
});

test('reading that ends early can be closed', async () => {
  const path = join(folder, 'early.data');
  writeFileSync(path, overAgain(unpacked('idle.data.zst'), 9));
  const trace = await openTrace(path, { threads: 2 });
  for await (const batch of trace.batches()) if (batch.count > 0) break;
  await trace.close();
});

test('where the time of a CPU goes far back, reading ends, with what came before both', async () => {
  const file = unpacked('idle.data.zst');
  const once = await read(file);
  const seen = await read(withRecords(file, (records) => Buffer.concat([records, records])));
  assert.match(
    seen.damage ?? '',
    /: the time of CPU \d goes back by \d+ ns, to \d+; expected the samples of a CPU in order/,
  );
  assert.deepEqual(seen.lines, once.lines.slice(0, seen.lines.length));
  assert.ok(seen.losses.some(({ to }) => to === Infinity));
});

test('a file that ends before its records do is partial, wherever it ends', async () => {
  const file = unpacked('idle.data.zst');
  const from = Number(file.readBigUInt64LE(40));
  const size = Number(file.readBigUInt64LE(48));
  const ends: number[] = [];
  for (let at = from; at < from + size; at += file.readUInt16LE(at + 6)) ends.push(at);
  for (const end of [ends[0], ends[1], ends[ends.length >> 1], ends.at(-1)] as number[]) {
    const left = from + size - end;
    const seen = await read(file.subarray(0, end));
    assert.match(
      seen.damage ?? '',
      new RegExp(`byte ${end}: the file ends; expected ${left} more bytes of records, and the event formats`),
    );
    assert.ok(seen.losses.some(({ to }) => to === Infinity));
  }
});

test("a pipe's records that end in the midst of a round are partial", async () => {
  const { records } = parts(unpacked('idle.data.zst'));
  const isRound = (record: Buffer) => record.readUInt32LE(0) === 68;
  const round = records.findIndex(isRound);
  const sample = records.findIndex((record, n) => n > round && record.readUInt32LE(0) === 9);
  const end = records.findIndex((record, n) => n > sample && isRound(record));
  assert.ok(round > 0 && sample > round && end > sample);
  assert.equal((await read(pipeOf(records.slice(0, end + 1)))).damage, undefined);
  const cut = await read(pipeOf(records.slice(0, sample + 1)));
  assert.match(cut.damage ?? '', /byte \d+: the records end in the midst of a round; expected the end of the round/);
  assert.equal(cut.losses.at(-1)?.to, Infinity);
});

test('a sample whose parts are longer than itself is damage, and so is a time out of reach', async () => {
  const sample = (time: bigint) =>
    sampleRecord({ little: true, id: 5n, pid: 1, tid: 1, cpu: 0, time, payload: [77, 1n, 4] });
  const long = sample(2n);
  // Identifier, thread, time and CPU, 8 bytes each, stand before the size of the raw data.
  long.writeUInt32LE(1000, 8 + 4 * 8);
  for (const [bad, problem] of [
    [long, /byte \d+: a sample of 64 bytes; expected at least 1044, as its parts tell/],
    [sample(1n << 60n), /a time more than 2\^53 ns from the first/],
  ] as const) {
    const records = [sample(1n), bad, sample(3n)];
    const seen = await read(perfFile({ little: true, events: [{ ...probe, perfId: 5n }], records }));
    assert.equal(seen.lines.length, 1);
    assert.match(seen.damage ?? '', problem);
  }
});

test('who recorded is said, as perf report --header-only prints it', async () => {
  const mutants = join(import.meta.dirname, '../../test/data/mutants');
  const notesOf = async (name: string) => {
    const trace = await openTrace(join(mutants, name));
    for await (const _ of trace.batches());
    await trace.close();
    return trace.notes[0];
  };
  const machine = 'Recorded on Linux vm 6.18.44-fc-v595 by perf 6.1.192: /usr/bin/perf record -B -N';
  assert.equal(
    await notesOf('plain.data'),
    `${machine} -e sched:sched_switch,sched:sched_waking -a -o p.data -- sleep 0.05.`,
  );
  // A pipe has these as records.
  assert.equal(
    await notesOf('pipe.data'),
    `${machine} -z -e sched:sched_switch -e sched:sched_waking -a -o - -- sleep 0.05.`,
  );
});

for (const little of [true, false]) {
  test(`call chains have the files of their time, and are no part of the fields (${little ? 'little' : 'big'}-endian)`, async () => {
    const id = 5n;
    const event = {
      system: 'kvm',
      name: 'kvm_fpu',
      id: 1500,
      perfId: id,
      fields: [{ declaration: 'u32 load', size: 4, signed: false }],
    };
    const kernel = 0xffff_ffff_8100_0000n;
    const inKernel = 0xffff_ffff_ffff_ff80n;
    const inUser = 0xffff_ffff_ffff_fe00n;
    const sample = (pid: number, time: bigint, chain: bigint[]) =>
      sampleRecord({ little, id, pid, tid: pid, cpu: 0, time, payload: [1500, 7], chain });
    const map = (pid: number, start: bigint, offset: bigint, name: string, time: bigint) =>
      mmapRecord({ little, pid, start, length: 0x1000n, offset, name, time });
    const records = [
      map(-1, kernel, kernel, '[kernel.kallsyms]_text', 0n),
      map(7, 0x10_0000n, 0x2000n, '/usr/bin/qemu', 0n),
      sample(7, 100n, [inKernel, kernel + 0x123n, inUser, 0x10_0010n, 0x20_0000n]),
      // Another file at the same place, later.
      map(7, 0x10_0000n, 0n, '/usr/lib/other.so', 150n),
      sample(7, 140n, [inUser, 0x10_0010n]),
      sample(7, 160n, [inUser, 0x10_0010n]),
      // A child has what its parent maps, until it runs another program.
      forkRecord({ little, pid: 8, tid: 8, parent: 7, time: 170n }),
      sample(8, 180n, [inUser, 0x10_0010n]),
      sample(8, 190n, []),
    ];
    const { events } = await readText(perfFile({ little, events: [event], records, chains: true }));
    assert.deepEqual(
      events.map(({ time, fields, chain }) => [time, fields, chain]),
      [
        [
          0,
          { load: '7' },
          'ffffffff81000123 [unknown] ([kernel.kallsyms])\n2010 [unknown] (/usr/bin/qemu)\n200000 [unknown] ([unknown])',
        ],
        [40, { load: '7' }, '2010 [unknown] (/usr/bin/qemu)'],
        [60, { load: '7' }, '10 [unknown] (/usr/lib/other.so)'],
        [80, { load: '7' }, '10 [unknown] (/usr/lib/other.so)'],
        [90, { load: '7' }, ''],
      ],
    );
  });
}

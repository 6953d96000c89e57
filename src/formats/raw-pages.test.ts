import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { format, headerPage, page, record, traceDatV6, traceDatV7 } from '../../test/trace-dat.ts';
import { mergeTraces } from '../trace/merge.ts';
import type { Trace } from '../trace/trace.ts';
import { openTrace } from './detect.ts';
import type { OpenOptions } from './format.ts';

/*
 * test/data/raw-pages: two recordings of a small KVM guest on Linux 6.18, as `cat per_cpu/cpuN/trace_pipe_raw` gave them, in sub-buffers
 * of 4 and of 16 KiB. trace.txt.zst is what the kernel itself printed of the same events.
 */

const data = join(import.meta.dirname, '../../test/data/raw-pages');
const folder = mkdtempSync(join(tmpdir(), 'virtap-raw-'));
after(() => rmSync(folder, { recursive: true }));

/** `TID CPU µs event` of each event that the kernel printed. */
function printed(file: string): string[] {
  const text = zstdDecompressSync(readFileSync(join(data, file))).toString();
  return [...text.matchAll(/^ *\S.*?-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d+): (\w+):/gm)].map(
    ([, tid, cpu, s, us, event]) => `${tid} ${Number(cpu)} ${s}${us} ${event}`,
  );
}

/** The same of a trace. The kernel rounds to µs. */
async function read(trace: Trace): Promise<string[]> {
  const events: string[] = [];
  for await (const batch of trace.batches()) {
    for (let i = 0; i < batch.count; i++) {
      const us = (trace.origin + BigInt(batch.time[i] as number) + 500n) / 1000n;
      const name = trace.types[batch.type[i] as number]?.name.replace(/.*:/, '');
      events.push(`${batch.tid[i]} ${batch.cpu[i]} ${us} ${name}`);
    }
  }
  await trace.close();
  return events;
}

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

const tree = join(data, '4k');
const rejects = (path: string, why: RegExp, options?: OpenOptions) => assert.rejects(openTrace(path, options), why);

test('what is no page is none, whatever length it tells of', async () => {
  // A time stamp, 64 bytes used, and an event or padding whose length stands in the next word.
  for (const [kind, length] of [0, 29].flatMap((kind) => [0xfffffff0, 0x80000000, 0x7fffffff].map((n) => [kind, n]))) {
    const bytes = Buffer.alloc(4096);
    bytes.writeBigUInt64LE(5n, 0);
    bytes.writeBigUInt64LE(64n, 8);
    bytes.writeUInt32LE(kind as number, 16);
    bytes.writeUInt32LE(length as number, 20);
    bytes.writeUInt16LE(7, 24);
    await rejects(write('length', bytes), /a binary of an unknown kind/);
  }
});

test('a copy of tracefs is one recording, the same as the kernel prints', async () => {
  const trace = await openTrace(tree);
  assert.deepEqual([trace.format, trace.version, trace.cpus], ['raw ring buffer', 'pages of 4 KiB', 2]);
  assert.deepEqual(trace.clock, { name: 'mono', unit: 'ns', resolution: 1 });
  assert.deepEqual(await read(trace), printed('4k/trace.txt.zst'));
  assert.equal(trace.damage, undefined);
  assert.equal(trace.threads.get(15)?.comm, 'rcu_preempt');
});

test('larger pages, packed, in one folder with formats from another', async () => {
  const trace = await openTrace(join(data, '16k'), { formats: join(tree, 'events') });
  assert.equal(trace.version, 'pages of 16 KiB');
  assert.match(trace.notes.join(), /^Which clock stamped its events is not known/);
  assert.deepEqual(await read(trace), printed('16k/trace.txt.zst'));
});

test('single files: of the copy, merged, and without a CPU in the name', async () => {
  const files = ['0', '1'].map((cpu) => join(tree, `per_cpu/cpu${cpu}/trace_pipe_raw`));
  const all = printed('4k/trace.txt.zst');
  const first = await openTrace(files[0] as string);
  assert.deepEqual(
    await read(first),
    all.filter((line) => / 0 \d+ /.test(line)),
  );
  const both = await Promise.all(files.map((file) => openTrace(file)));
  assert.deepEqual(await read(mergeTraces(both)), all);
  const nameless = await openTrace(write('pages', readFileSync(files[0] as string)), { formats: tree });
  assert.match(nameless.notes.join(), /^Which CPU its pages are of does not stand in its name/);
  assert.deepEqual(
    await read(nameless),
    all.filter((line) => / 0 \d+ /.test(line)).map((line) => line.replace(/ 0 /, ' -1 ')),
  );
});

test("a trace.dat taken apart gives the same events, by the trace.dat's own formats", async () => {
  const cpus = [
    [page(1_000n, [{ delta: 5, data: record(7, 42, 1) }], {}), page(2_000n, [{ delta: 1, data: record(9, 42, 2) }])],
    [page(1_500n, [{ delta: 7, data: record(9, 43, 3) }], { missed: 4 })],
  ];
  for (const [name, make] of [
    ['v6', traceDatV6],
    ['v7', (spec: Parameters<typeof traceDatV7>[0]) => traceDatV7({ ...spec, codec: 'zstd' })],
  ] as const) {
    // trace-cmd that is killed leaves trace.dat with the formats alone, and the pages beside it.
    const whole = make({ buffers: [{ name: '', clock: 'mono', cpus }] });
    const bare = make({ buffers: [{ name: '', clock: 'mono', cpus: [[], []] }] });
    write(`${name}/trace.dat`, bare);
    const files = cpus.map((pages, cpu) => write(`${name}/trace.dat.cpu${cpu}`, Buffer.concat(pages)));
    const expected = await read(await openTrace(write(`${name}.dat`, whole)));
    assert.equal(expected.length, 3);
    const apart = await Promise.all(files.map((file) => openTrace(file)));
    assert.match(apart[0]?.notes.join() ?? '', /was taken from .*trace\.dat\./);
    assert.equal(apart[0]?.threads.get(42)?.comm, 'a thread');
    assert.deepEqual(await read(mergeTraces(apart)), expected);
    assert.deepEqual(await read(await openTrace(join(folder, name))), expected);
  }
});

test('big-endian pages, pages of 32-bit kernels and of 64 KiB are told by what stands in them', async () => {
  for (const shape of [
    { little: false, commitSize: 8, pageSize: 4096 },
    { little: false, commitSize: 4, pageSize: 4096 },
    { little: true, commitSize: 4, pageSize: 8192 },
    { little: true, commitSize: 8, pageSize: 65536 },
  ] as const) {
    const name = JSON.stringify(shape).replace(/\W+/g, '-');
    const entry = (value: number) => ({ delta: 3, data: record(7, 42, value, shape.little) });
    const pages = [page(1_000_000n, [entry(1), entry(2)], shape), page(2_000_000n, [entry(3)], shape)];
    write(`${name}/events/sys/one/format`, format('one', 7));
    for (const told of [false, true]) {
      // header_page of another time, when pages were smaller, is no obstacle.
      if (told) write(`${name}/events/header_page`, headerPage(shape.commitSize, 4096));
      const trace = await openTrace(write(`${name}/cpu5.raw`, Buffer.concat(pages)));
      assert.equal(trace.version, `pages of ${shape.pageSize / 1024} KiB`);
      assert.deepEqual(await read(trace), ['42 5 1000 one', '42 5 1000 one', '42 5 2000 one']);
    }
  }
});

test('what the kernel counted as dropped, and the instance around the pages, are taken from the copy', async () => {
  const root = join(folder, 'copy');
  cpSync(join(tree, 'events'), join(root, 'events'), { recursive: true });
  const own = join(root, 'instances/mine');
  cpSync(join(tree, 'per_cpu'), join(own, 'per_cpu'), { recursive: true });
  writeFileSync(join(own, 'trace_clock'), 'local global counter uptime perf mono mono_raw [boot] tai x86-tsc\n');
  writeFileSync(join(own, 'saved_tgids'), '15 2\n');
  writeFileSync(join(own, 'per_cpu/cpu1/stats'), 'entries: 0\noverrun: 0\ncommit overrun: 1\ndropped events: 6\n');
  const trace = await openTrace(own);
  assert.equal(trace.clock.name, 'boot');
  assert.equal(trace.threads.get(15)?.pid, 2);
  const losses = [];
  for await (const batch of trace.batches()) losses.push(...batch.losses);
  assert.deepEqual(losses, [{ from: -Infinity, to: Infinity, cpu: 1, count: 7 }]);
  await trace.close();
});

test('pages that nothing describes are refused, with what to copy', async () => {
  const unknown = [page(8_241_000_000_000n, [{ delta: 1, data: record(65_000, 42, 1) }])];
  const path = write('alone/cpu0.raw', Buffer.concat(unknown));
  const recipe =
    /per_cpu\/cpuN\/trace_pipe_raw\), and nothing beside it tells .*cp -r \/sys\/kernel\/tracing\/events .*--formats/;
  await rejects(path, recipe);
  await rejects(dirname(path), recipe);
  await rejects(path, /1 of the first 1 events are not of the types and sizes that .*4k.events tells/, {
    formats: tree,
  });
  await rejects(path, /no such file or folder; expected a copy of tracefs/, { formats: join(folder, 'none') });
  await rejects(path, /describes no events/, { formats: mkdtempSync(join(folder, 'empty-')) });
  write('tar/events/kvm/kvm_exit/format', '');
  write('tar/cpu0.raw', Buffer.concat(unknown));
  await rejects(join(folder, 'tar'), /the formats of events are empty files, as tar/);
});

test('formats of another kernel are not taken for those of the pages', async () => {
  // The same number, another event: kvm_fpu has 4 bytes of its own, not 48.
  const other = join(folder, 'other');
  const id = /^ID: (\d+)$/m.exec(readFileSync(join(tree, 'events/kvm/kvm_fpu/format'), 'utf8'))?.[1];
  cpSync(join(tree, 'events'), join(other, 'events'), { recursive: true });
  const format = join(other, 'events/sched/sched_switch/format');
  const text = readFileSync(format, 'utf8');
  const own = /^ID: (\d+)$/m.exec(text)?.[1];
  writeFileSync(format, text.replace(`ID: ${own}`, `ID: ${id}`));
  writeFileSync(
    join(other, 'events/kvm/kvm_fpu/format'),
    readFileSync(join(tree, 'events/kvm/kvm_fpu/format'), 'utf8').replace(`ID: ${id}`, `ID: ${own}`),
  );
  const pages = join(tree, 'per_cpu/cpu0/trace_pipe_raw');
  await rejects(pages, /are those of another kernel|the formats of another kernel/, { formats: other });
});

test('folders that hold no pages, or two files for one CPU, get one sentence', async () => {
  const idle = join(folder, 'idle');
  write('idle/per_cpu/cpu0/trace_pipe_raw', '');
  await rejects(idle, /is a directory/);
  write('idle/per_cpu/cpu1/trace_pipe_raw', 'cat: trace_pipe_raw: Device or resource busy\n');
  await rejects(idle, /none holds pages of a ring buffer/);
  const pages = readFileSync(join(tree, 'per_cpu/cpu0/trace_pipe_raw'));
  write('twice/a.cpu0', pages);
  write('twice/b.cpu0', pages);
  await rejects(join(folder, 'twice'), /holds pages of CPU 0 in two files: a\.cpu0, b\.cpu0/);
});

test('other binaries are not taken for pages', async () => {
  const [one, two] = [8_241_000_500_000n, 8_241_000_000_000n].map((time) =>
    page(time, [{ delta: 1, data: record(7, 42, 1) }]),
  ) as [Buffer, Buffer];
  await rejects(write('backwards.bin', Buffer.concat([one, two])), /is a binary of an unknown kind/);
  await rejects(write('other.bin', Buffer.concat([one, Buffer.alloc(4096, 0xff)])), /is a binary of an unknown kind/);
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { Bytes, format, page, record, type TraceDatSpec, traceDatV6, traceDatV7 } from '../../test/trace-dat.ts';
import { TraceError } from '../trace/error.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { openTrace } from './detect.ts';
import { Input } from './input.ts';
import { traceDat } from './trace-dat.ts';

// test/data/trace-dat: pieces of real recordings (pages of some milliseconds, without kallsyms), and `trace-cmd report -R -t`
// of each, by trace-cmd 3.1.6. lost-*: kvm and sched with a hole. usdt-v7: QEMU's probes as uprobes, and its trace_marker lines.
const data = join(import.meta.dirname, '../../test/data/trace-dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

type Seen = {
  trace: Trace;
  /** An event a line: `tid [cpu] time event`. */
  lines: string[];
  /** Names of the events, under which they are known. */
  names: string[];
  losses: Loss[];
  /** Number of rows in each batch. */
  batches: number[];
  /** The first losses' place: how many events came before each. */
  lossAt: number[];
};

let files = 0;

async function read(bytes: Uint8Array, wants?: (name: string) => boolean, traceEvents?: string): Promise<Seen> {
  const path = join(folder, `${files++}.dat`);
  writeFileSync(path, bytes);
  const input = await Input.open(path);
  try {
    assert.ok(traceDat.recognise(input.head));
    const trace = await traceDat.open(input, { traceEvents });
    const seen: Seen = { trace, lines: [], names: [], losses: [], batches: [], lossAt: [] };
    for await (const b of trace.batches(wants && ((type) => wants(type.name)))) {
      seen.batches.push(b.count);
      seen.losses.push(...b.losses);
      for (const _ of b.losses) seen.lossAt.push(seen.lines.length);
      for (let i = 0; i < b.count; i++) {
        const type = trace.types[b.type[i] as number];
        assert.ok(type !== undefined);
        const time = trace.origin + BigInt(b.time[i] as number);
        const stamp = `${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, '0')}`;
        const cpu = String(b.cpu[i]).padStart(3, '0');
        const [system, event] = type.recordedAs.split(':') as [string, string];
        let line = `${b.tid[i]} [${cpu}] ${stamp} ${event}`;
        for (const name of compared) {
          const field = type.reader(name);
          if (field !== undefined && system !== 'ftrace' && !type.name.startsWith('qemu:')) {
            line += ` ${name}=${field.kind === 'int' ? field.number(b, i) : field.text(b, i)}`;
          }
        }
        if (type.name === 'qemu:virtqueue_pop') {
          line += ` ${['vq', 'elem', 'in_num', 'out_num'].map((name) => type.reader(name)?.text(b, i)).join(' ')}`;
        }
        seen.lines.push(line);
        seen.names.push(type.name);
      }
    }
    return seen;
  } finally {
    await input.close();
  }
}

/** Fields whose values are compared with trace-cmd's; it prints these in decimal, or as text. */
const compared = ['prev_comm', 'prev_pid', 'next_comm', 'next_pid', 'vcpu_id', 'exit_reason', 'target_cpu'];

/** Time of a line of the report, from an origin on. */
function nanoseconds(line: string | undefined, origin: bigint): number {
  return Number(BigInt(line?.split(' ')[2]?.replace('.', '') ?? '') - origin);
}

/** The lines of trace-cmd's report in the form of `Seen.lines`. */
function report(name: string): string[] {
  const text = gunzipSync(readFileSync(join(data, `${name}.report.txt.gz`))).toString('utf8');
  const lines: string[] = [];
  for (const row of text.trimEnd().split('\n')) {
    const match = /-(\d+) \[(\d+)\] ([\d.]+): (\w+): (.*)$/.exec(row);
    if (match === null) {
      lines.push(row);
      continue;
    }
    const [, tid, cpu, time, event, fields] = match as unknown as string[];
    let line = `${tid} [${cpu}] ${time} ${event}`;
    for (const field of compared) {
      const value = new RegExp(`(?:^| )${field}=(.*?)(?: \\w+=|$)`).exec(fields as string)?.[1];
      if (value !== undefined && event !== 'print') line += ` ${field}=${/^\d+$/.test(value) ? Number(value) : value}`;
    }
    const args =
      /arg1=(\S+) arg2=(\S+) arg3=(\S+) arg4=(\S+)/.exec(fields as string) ??
      /virtqueue_pop vq (\S+) elem (\S+) in_num (\S+) out_num (\S+)/.exec(fields as string);
    if (args !== null && /^virtqueue_pop|buf=virtqueue_pop/.test(`${event} ${fields}`.replace(/^print .*buf=/, ''))) {
      line += ` ${args.slice(1).join(' ')}`;
    }
    lines.push(line);
  }
  return lines;
}

test('a recording with a hole, in v6 and in v7 with zstd, is what trace-cmd reports', async () => {
  const expected = report('lost');
  const hole = expected.indexOf('CPU:0 [323 EVENTS DROPPED]');
  expected.splice(hole, 1);
  const v6 = await read(zstdDecompressSync(readFileSync(join(data, 'lost-v6.dat.zst'))));
  const v7 = await read(readFileSync(join(data, 'lost-v7.dat')));
  for (const seen of [v6, v7]) {
    assert.deepEqual(seen.lines, expected);
    const before = expected.slice(0, hole).findLast((line) => line.includes('[000]'));
    const from = nanoseconds(before, seen.trace.origin);
    assert.deepEqual(seen.losses, [{ from, to: nanoseconds(expected[hole], seen.trace.origin), cpu: 0, count: 323 }]);
    assert.deepEqual(seen.lossAt, [hole]);
    assert.equal(seen.trace.damage, undefined);
    assert.equal(seen.trace.cpus, 2);
    assert.equal(seen.trace.clock.name, 'local');
    assert.equal(seen.trace.threads.get(397)?.comm, 'CPU 0/KVM');
  }
  assert.deepEqual([v6.trace.version, v7.trace.version], ['v6', 'v7, zstd']);
});

test("QEMU's probes and trace_marker lines are QEMU's events", async () => {
  const seen = await read(readFileSync(join(data, 'usdt-v7.dat')));
  assert.deepEqual(seen.lines, report('usdt'));
  const counts = new Map<string, number>();
  for (const name of seen.names) counts.set(name, (counts.get(name) ?? 0) + 1);
  // Each event was recorded twice: by its probe and by its marker.
  assert.equal(counts.get('qemu:virtqueue_pop'), 96);
  assert.equal(counts.get('qemu:virtqueue_fill'), 96);
  assert.equal(counts.get('ftrace:print'), undefined);
  const carriers = seen.trace.types.filter((type) => type.name === 'qemu:virtqueue_pop').map((type) => type.recordedAs);
  assert.deepEqual(carriers.sort(), ['ftrace:print', 'qemu_uprobes:virtqueue_pop']);
});

/** Two CPUs and an instance; the same in every byte order and container. */
function sample(more: Partial<TraceDatSpec> = {}): TraceDatSpec {
  const { little = true, commitSize = 8, pageSize = 4096 } = more;
  const one = (stamp: bigint, tid: number, missed?: number) =>
    page(
      stamp,
      [
        { delta: 0, data: record(7, tid, 1, little) },
        { extend: 1n << 30n },
        { delta: 5, data: record(9, tid, 2, little) },
        { delta: 7, data: record(7, tid, 3, little), long: true },
      ],
      { little, commitSize, pageSize, ...(missed === undefined ? {} : { missed }) },
    );
  return {
    buffers: [
      { name: '', cpus: [[one(1000n, 42), one(3_000_000_000n, 42, 17)], [one(2000n, 1)]] },
      { name: 'inst', cpus: [[one(1500n, 5)], []] },
    ],
    ...more,
  };
}

// As trace-cmd report 3.1.6 prints it for the same bytes.
const sampleLines = [
  '42 [000] 0.000001000 one',
  '5 [000] 0.000001500 one',
  '1 [001] 0.000002000 one',
  '42 [000] 1.073742829 two',
  '42 [000] 1.073742836 one',
  '5 [000] 1.073743329 two',
  '5 [000] 1.073743336 one',
  '1 [001] 1.073743829 two',
  '1 [001] 1.073743836 one',
  '42 [000] 3.000000000 one',
  '42 [000] 4.073741829 two',
  '42 [000] 4.073741836 one',
];
const sampleLosses = [{ from: 1_073_741_836, to: 2_999_999_000, cpu: 0, count: 17 }];

test('both byte orders, both sizes of long, every compression, and instances', async () => {
  for (const little of [true, false]) {
    for (const commitSize of [4, 8] as const) {
      const spec = sample({ little, commitSize, longSize: commitSize });
      const written: [string, Buffer][] = [
        ['v6', traceDatV6(spec)],
        ['v7', traceDatV7(spec)],
        ['v7, zlib', traceDatV7({ ...spec, codec: 'zlib', chunk: 1 })],
        ['v7, zstd', traceDatV7({ ...spec, codec: 'zstd' })],
      ];
      for (const [version, bytes] of written) {
        const seen = await read(bytes);
        assert.equal(seen.trace.version, version);
        assert.deepEqual(seen.lines, sampleLines, version);
        assert.deepEqual(seen.losses, sampleLosses, version);
        assert.deepEqual(seen.lossAt, [9]);
        assert.equal(seen.trace.damage, undefined);
        assert.deepEqual(
          seen.trace.types.map((type) => type.name),
          ['sys:one', 'sys:two'],
        );
        assert.equal(seen.trace.threads.get(42)?.comm, 'a thread');
      }
    }
  }
});

test('pages may be larger than those of the machine', async () => {
  const seen = await read(traceDatV7(sample({ pageSize: 65536, codec: 'zstd', chunk: 1 })));
  assert.deepEqual(seen.lines, sampleLines);
});

test('what nobody wants is left out, and losses still come in their place', async () => {
  const seen = await read(traceDatV7(sample()), (name) => name === 'sys:two');
  assert.deepEqual(
    seen.lines,
    sampleLines.filter((line) => line.endsWith('two')),
  );
  assert.deepEqual(seen.losses, sampleLosses);
  // Behind the events up to the hole's end, before the first after it.
  assert.deepEqual(seen.lossAt, [3]);
  const none = await read(traceDatV7(sample()), () => false);
  assert.deepEqual(none.losses, sampleLosses);
});

const text = (line: string) => Buffer.from(`${line}\0`);
const tsc = new Bytes().u32(1431655765).u32(32).u64(0).done();

test('options: clock, offsets, conversions, statistics', async () => {
  const times = async (options: TraceDatSpec['options'], clock = 'mono') => {
    const spec = {
      buffers: [{ name: '', clock, cpus: [[page(987_654_321_987_654_321n, [{ delta: 0, data: record(7, 1, 1) }])]] }],
    };
    const seen = await read(traceDatV7({ ...spec, options: options ?? [] }));
    return { ...seen, first: seen.trace.origin + 0n, clock: seen.trace.clock };
  };
  const plain = await times([]);
  assert.deepEqual(plain.clock, { name: 'mono', unit: 'ns', resolution: 1 });
  assert.equal(plain.first, 987_654_321_987_654_321n);
  assert.deepEqual((await times([], 'x86-tsc')).clock, { name: 'x86-tsc', unit: 'ticks', resolution: 1 });
  const converted = await times([{ id: 14, data: tsc }], 'tsc2nsec');
  assert.deepEqual(converted.clock, { name: 'x86-tsc', unit: 'ns', resolution: 1 });
  // These three as trace-cmd report 3.1.6 prints them.
  assert.equal(converted.first, 329_218_107_252_566_043n);
  assert.equal((await times([{ id: 7, data: text('-1000000000000') }])).first, 987_653_321_987_654_321n);
  const dated = await times([{ id: 1, data: text('0x123456789') }]);
  assert.equal(dated.first, 987_659_208_705_999_321n);
  assert.equal(dated.clock.name, 'realtime');

  const facts = await times([
    { id: 5, data: text('Linux host 6.1.0 x86_64') },
    { id: 9, data: text('3.1.6 abc') },
    { id: 8, data: new Bytes().u32(64).done() },
    { id: 13, data: new Bytes().text('guest\0').u64(1).u32(2).u32(0).u32(100).u32(1).u32(101).done() },
    { id: 13, data: new Bytes().text('\0').u64(2).u32(1).u32(0).u32(102).done() },
    { id: 2, data: text('CPU: 0\nentries: 1\noverrun: 5\ncommit overrun: 2\ndropped events: 7\n') },
    { id: 4711, data: text('an option of the future') },
  ]);
  assert.equal(facts.trace.cpus, 64);
  assert.ok(facts.trace.notes.includes('Recorded on Linux host 6.1.0 x86_64 by trace-cmd 3.1.6.'));
  assert.ok(
    facts.trace.notes.includes('A guest that the file does not name was recorded with it: vCPU 0 is thread 102.'),
  );
  assert.ok(
    facts.trace.notes.includes('The guest "guest" was recorded with it: vCPU 0 is thread 100, vCPU 1 is thread 101.'),
  );
  const anywhere = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY, cpu: 0 };
  assert.deepEqual(facts.losses, [
    { ...anywhere, count: 9 },
    { ...anywhere, count: 5 },
  ]);
  // Overwritten events that a page tells of are not told twice.
  const told = { id: 2, data: text('CPU: 0\noverrun: 17\n') };
  assert.deepEqual((await read(traceDatV6(sample({ options: [told] })))).losses, sampleLosses);
});

test('an instance on another clock is left out', async () => {
  const spec = sample();
  const [top, instance] = spec.buffers;
  assert.ok(top !== undefined && instance !== undefined);
  const seen = await read(traceDatV7({ buffers: [top, { ...instance, clock: 'boot' }] }));
  assert.deepEqual(
    seen.lines,
    sampleLines.filter((line) => !line.startsWith('5 ')),
  );
  assert.ok(seen.trace.notes.some((note) => note.includes('"inst" is left out')));
});

test('an event without a format is an event of an unknown type', async () => {
  const seen = await read(traceDatV7(sample({ systems: [{ name: 'sys', formats: [format('one', 7)] }] })));
  assert.equal(seen.lines.length, 12);
  assert.equal(seen.names.filter((name) => name === 'unknown:9').length, 4);
});

test('marker texts that are not of QEMU stay ftrace:print', async () => {
  const print = format('print', 5, '\tfield:char buf[];\toffset:16;\tsize:0;\tsigned:0;');
  const mark = (line: string) => Buffer.concat([record(5, 1, 0), text(line)]);
  const entries = ['virtqueue_fill vq 0x1 elem 0x2 len 3 idx 4', 'hello', 'virtqueue_fill', 'x'].map((line) => ({
    delta: 1,
    data: mark(line),
  }));
  const seen = await read(traceDatV6({ ftrace: [print], buffers: [{ name: '', cpus: [[page(1n, entries)]] }] }));
  assert.deepEqual(seen.names, ['qemu:virtqueue_fill', 'ftrace:print', 'qemu:virtqueue_fill', 'ftrace:print']);
  const type = seen.trace.types.find((one) => one.name === 'ftrace:print');
  assert.deepEqual(
    type?.fields.map((field) => field.name),
    ['value', 'buf'],
  );
});

test('256 CPUs are merged in the order of time', async () => {
  const cpus = Array.from({ length: 256 }, (_, cpu) =>
    Array.from({ length: 3 }, (_, p) =>
      page(BigInt(p * 100_000 + cpu), [
        { delta: 0, data: record(7, cpu, 1) },
        { delta: 50_000, data: record(7, cpu, 2) },
      ]),
    ),
  );
  const seen = await read(traceDatV7({ buffers: [{ name: '', cpus }], codec: 'zstd' }));
  assert.equal(seen.lines.length, 256 * 6);
  const times = seen.lines.map((line) => Number(line.split(' ')[2]));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('files that hold no events, or not yet, get one sentence', async () => {
  const good = traceDatV7(sample());
  const patched = (at: number, bytes: Uint8Array) => {
    const copy = Buffer.from(good);
    copy.set(bytes, at);
    return copy;
  };
  const v6 = traceDatV6(sample());
  const flyrecord = v6.indexOf('flyrecord');
  const latency = Buffer.from(v6);
  latency.set(Buffer.from('latency  \0'), flyrecord);
  const cases: [Buffer, RegExp][] = [
    [patched(10, Buffer.from('8')), /byte 10: trace\.dat version "8"; expected version 6 or 7$/],
    [patched(18, Buffer.from('lzma')), /byte 18: compressed with "lzma"; expected none, zlib or zstd$/],
    [patched(25, new Uint8Array(8)), /byte 25: trace-cmd has not finished this file/],
    [latency, /byte \d+: holds the text of a latency tracer/],
    [good.subarray(0, 200), /byte 200: the file ends; expected options at byte \d+/],
    [patched(12, new Uint8Array([2])), /byte order 2; expected 0/],
  ];
  for (const [bytes, message] of cases)
    await assert.rejects(
      read(bytes),
      (error) => (error instanceof TraceError && message.test(error.message)) || assert.fail(String(error)),
    );
});

test('a file without its end gives what is there, and says what is not', async () => {
  const spec = sample();
  const v6 = traceDatV6(spec);
  const whole = { v6: v6, v7: traceDatV7(spec), 'v7, zstd': traceDatV7({ ...spec, codec: 'zstd', chunk: 1 }) };
  // Up to the top buffer's second CPU: all of CPU 0 is there.
  for (const [version, bytes] of Object.entries(whole)) {
    const marker = Buffer.from('inst\0');
    const cut = version === 'v6' ? bytes.length - 2 * 4096 - 100 : bytes.lastIndexOf(marker) - 1000;
    const seen = await read(bytes.subarray(0, cut));
    assert.match(
      seen.trace.damage?.message ?? '',
      /byte \d+: (the file ends|the data end within a page|\d+ bytes are left)/,
      version,
    );
    const expected = new Set(sampleLines);
    for (const line of seen.lines) assert.ok(expected.has(line), line);
    assert.ok(seen.lines.filter((line) => line.startsWith('42 ')).length === 6, version);
  }
  const seen = await read(v6.subarray(0, v6.length - 4040));
  assert.match(seen.trace.damage?.message ?? '', /the file ends; expected 4040 more bytes of CPU 0/);
  assert.ok(seen.losses.some((loss) => loss.to === Number.POSITIVE_INFINITY && loss.cpu === 0));
});

test('a page that cannot be is a hole, and the others go on', async () => {
  const spec = sample();
  spec.buffers[0]?.cpus[0]?.splice(1, 1, page(3_000_000_000n, [], { commit: 5000 }));
  for (const bytes of [traceDatV6(spec), traceDatV7({ ...spec, codec: 'zlib' })]) {
    const seen = await read(bytes);
    assert.deepEqual(seen.lines, sampleLines.slice(0, 9));
    assert.match(
      seen.trace.damage?.message ?? '',
      /byte \d+: CPU 0: a page that holds 5000 bytes; expected at most 4080$/,
    );
    assert.deepEqual(seen.losses, [{ from: 1_073_741_836, to: Number.POSITIVE_INFINITY, cpu: 0, count: undefined }]);
  }
});

test('compressed data that break are damage', async () => {
  const bytes = traceDatV7({ ...sample(), codec: 'zlib', chunk: 1 });
  // The first chunk of the first CPU stands on the first page boundary behind the sections.
  const chunk = bytes.indexOf(new Bytes().u32(2).done(), 4096);
  bytes.fill(0xff, chunk + 14, chunk + 24);
  const seen = await read(bytes);
  assert.match(
    seen.trace.damage?.message ?? '',
    /byte \d+: the compressed data break .*; expected 4096 bytes packed with zlib$/,
  );
  assert.equal(seen.lines.filter((line) => !line.startsWith('42 ')).length, 6);
});

test('no damage makes it crash, hang or grow', async () => {
  const spec = sample();
  const originals = [
    traceDatV6(spec),
    traceDatV7(spec),
    traceDatV7({ ...spec, codec: 'zstd', little: false }),
    traceDatV7({ ...spec, codec: 'zlib', options: [{ id: 14, data: tsc }] }),
  ];
  const patch = fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.constantFrom(new Uint8Array(8), new Uint8Array(8).fill(0xff), new Uint8Array([0xff, 0xff, 0xff, 0x7f])),
      ),
    }),
    { maxLength: 4 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: originals.length - 1 }),
      patch,
      fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      // Most of a file is padding: aim at the parts that mean something.
      fc.boolean(),
      async (which, patches, cut, dense) => {
        const bytes = Buffer.from(originals[which] as Buffer);
        const length = dense ? Math.min(bytes.length, 1500) : bytes.length;
        for (const { at, bytes: change } of patches) {
          const start = Math.floor(at * length);
          bytes.set(change.subarray(0, bytes.length - start), start);
        }
        const mutant = cut === null ? bytes : bytes.subarray(0, Math.floor(cut * bytes.length));
        if (!traceDat.recognise(mutant)) return;
        const seen = await read(mutant).catch((error: unknown) => error);
        if (seen instanceof TraceError) assert.match(seen.message, /\.dat: /);
        else if (seen instanceof Error) throw seen;
        else assert.ok((seen as Seen).lines.length < 10_000);
      },
    ),
    { numRuns: 400 },
  );
});

test('machines of hundreds of CPUs and pages of 64 KiB are read whole, packed or not, in the usual memory', async () => {
  // What packs to a thousandth is no recording.
  const ballast = randomBytes(2000);
  const spec = (cpus: number, pages: number) => ({
    pageSize: 65536,
    systems: [{ name: 'x', formats: [format('y', 100)] }],
    chunk: pages,
    buffers: [
      {
        name: '',
        cpus: Array.from({ length: cpus }, (_, cpu) =>
          Array.from({ length: pages }, (_, n) =>
            page(
              BigInt(1e9 + n * 1e6 + cpu),
              [{ delta: 10, data: Buffer.concat([record(100, 7, n * cpus + cpu), ballast]) }],
              {
                pageSize: 65536,
              },
            ),
          ),
        ),
      },
    ],
  });
  const values = async (bytes: Buffer, maxMemory?: number) => {
    const path = join(folder, 'many-cpus.dat');
    writeFileSync(path, bytes);
    const trace = await openTrace(path, maxMemory === undefined ? {} : { maxMemory });
    const found: number[] = [];
    for await (const b of trace.batches())
      for (let i = 0; i < b.count; i++)
        found.push(trace.types[b.type[i] as number]?.reader('value')?.number(b, i) as number);
    await trace.close();
    assert.equal(trace.damage, undefined);
    return found;
  };
  const numbers = (n: number) => Array.from({ length: n }, (_, k) => k);
  assert.deepEqual(await values(traceDatV6(spec(310, 1))), numbers(310));
  // Of chunks that there is no room for, what is not at hand is unpacked again.
  for (const codec of ['zstd', 'zlib'] as const)
    assert.deepEqual(await values(traceDatV7({ ...spec(100, 4), codec }), 64 << 20), numbers(400));
});

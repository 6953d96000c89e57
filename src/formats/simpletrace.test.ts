import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { TraceError } from '../trace/error.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { Input } from './input.ts';
import { qemuLog } from './qemu-log.ts';
import { simpletrace } from './simpletrace.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

const traceEvents = join(folder, 'events');
writeFileSync(
  traceEvents,
  `first(void *p, int n, uint8_t small) "p %p n %d small 0x%x"
second(const char *name, int64_t value, const char *other, bool last) "%s %"PRId64" %s %d"
third(void) ""
`,
);

/** Writes simpletrace files, as trace/simple.c does. */
class Writer {
  readonly #pieces: Buffer[] = [];
  readonly #version: number;
  readonly #little: boolean;

  constructor(version = 4, little = true) {
    this.#version = version;
    this.#little = little;
    this.u64(0xffffffffffffffffn).u64(0xf2b177cb0aa429b4n).u64(BigInt(version));
  }

  u64(value: bigint): this {
    const b = Buffer.alloc(8);
    if (this.#little) b.writeBigUInt64LE(BigInt.asUintN(64, value));
    else b.writeBigUInt64BE(BigInt.asUintN(64, value));
    this.#pieces.push(b);
    return this;
  }

  u32(value: number): this {
    const b = Buffer.alloc(4);
    if (this.#little) b.writeUInt32LE(value);
    else b.writeUInt32BE(value);
    this.#pieces.push(b);
    return this;
  }

  name(id: number, name: string): this {
    this.u64(0n).u64(BigInt(id)).u32(name.length);
    this.#pieces.push(Buffer.from(name));
    return this;
  }

  event(id: bigint | number, time: bigint, args: (bigint | string)[], pid = 77): this {
    const length = args.reduce((sum, arg) => sum + (typeof arg === 'string' ? 4 + Buffer.byteLength(arg) : 8), 24);
    if (this.#version === 4) this.u64(1n);
    this.u64(BigInt(id))
      .u64(time)
      .u32(length)
      .u32(this.#version === 2 ? 0xdead : pid);
    for (const arg of args) {
      if (typeof arg === 'bigint') this.u64(arg);
      else {
        this.u32(Buffer.byteLength(arg));
        this.#pieces.push(Buffer.from(arg));
      }
    }
    return this;
  }

  dropped(time: bigint, count: bigint): this {
    return this.event(0xfffffffffffffffen, time, [count]);
  }

  bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

async function open(bytes: Buffer, options: { traceEvents?: string } = {}): Promise<Trace> {
  const path = join(folder, `trace-${files++}`);
  writeFileSync(path, bytes);
  const input = await Input.open(path);
  assert.ok(simpletrace.recognise(input.head));
  try {
    return await simpletrace.open(input, options);
  } catch (error) {
    await input.close();
    throw error;
  }
}

/** Every event as text. */
async function read(trace: Trace, wants?: (name: string) => boolean) {
  const events: { name: string; time: number; pid: number; tid: number; cpu: number; text: string }[] = [];
  const losses: (Loss & { before: number })[] = [];
  for await (const b of trace.batches(wants === undefined ? undefined : (type) => wants(type.name))) {
    for (const loss of b.losses) losses.push({ ...loss, before: events.length });
    for (let i = 0; i < b.count; i++) {
      const type = trace.types[b.type[i] as number];
      events.push({
        name: type?.name as string,
        time: b.time[i] as number,
        pid: b.pid[i] as number,
        tid: b.tid[i] as number,
        cpu: b.cpu[i] as number,
        text: type?.layout.print(b, i) as string,
      });
    }
  }
  await trace.close();
  return { events, losses };
}

const sample = (version: number, little: boolean): Buffer => {
  const w = new Writer(version, little);
  if (version === 4) w.name(0, 'first').name(1, 'second').name(2, 'third');
  return w
    .event(0, 1000n, [0x7fff12345678n, -5n, 0xabn])
    .event(1, 1010n, ['häh?', -7_000_000_000_000n, '', 1n])
    .event(2, 1020n, [])
    .bytes();
};

for (const version of [2, 3, 4]) {
  for (const little of [true, false]) {
    test(`version ${version}, ${little ? 'little' : 'big'}-endian`, async () => {
      const trace = await open(sample(version, little), { traceEvents });
      assert.equal(trace.version, `v${version}${little ? '' : ', big-endian'}`);
      const { events } = await read(trace);
      assert.equal(trace.damage, undefined);
      assert.equal(trace.origin, 1000n);
      const pid = version === 2 ? -1 : 77;
      assert.deepEqual(
        events.map((e) => [e.name, e.time, e.pid, e.tid, e.cpu]),
        [
          ['qemu:first', 0, pid, -1, -1],
          ['qemu:second', 10, pid, -1, -1],
          ['qemu:third', 20, pid, -1, -1],
        ],
      );
      assert.equal(events[0]?.text, 'p=0x7fff12345678 n=-5 small=0xab');
      assert.equal(events[1]?.text, 'name=häh? value=-7000000000000 other= last=1');
      assert.equal(events[2]?.text, '');
    });
  }
}

test('fields behind strings are found, with their signs', async () => {
  const bytes = new Writer()
    .name(9, 'second')
    .event(9, 1n, ['a name', -7_000_000_000_000n, 'x', 1n])
    .event(9, 2n, ['', 12n, '', 0n])
    .bytes();
  const trace = await open(bytes, { traceEvents });
  const seen: unknown[] = [];
  for await (const b of trace.batches()) {
    const type = trace.types[0];
    for (let i = 0; i < b.count; i++) {
      seen.push([
        type?.reader('name')?.text(b, i),
        type?.reader('value')?.number(b, i),
        type?.reader('value')?.high(b, i),
        type?.reader('other')?.text(b, i),
        type?.reader('last')?.number(b, i),
      ]);
    }
  }
  await trace.close();
  assert.deepEqual(seen, [
    ['a name', -7_000_000_000_000, (0xffffffff - Math.floor(7e12 / 2 ** 32)) >>> 0, 'x', 1],
    ['', 12, 0, '', 0],
  ]);
});

test('the same run as QEMU itself printed it', async () => {
  const fields = async (trace: Trace): Promise<Map<string, string[]>> => {
    const byType = new Map<string, string[]>();
    for await (const b of trace.batches()) {
      for (let i = 0; i < b.count; i++) {
        const type = trace.types[b.type[i] as number];
        if (type === undefined) throw new Error('no type');
        const values = type.fields.map((f) => {
          const reader = type.reader(f.name);
          return `${f.name}=${reader?.text(b, i)} ${reader?.number(b, i)} ${reader?.high(b, i)} ${reader?.low(b, i)}`;
        });
        byType.set(type.name, [...(byType.get(type.name) ?? []), values.join(', ')]);
      }
    }
    await trace.close();
    return byType;
  };
  const data = join(import.meta.dirname, '../../test/data');
  const binary = await fields(await simpletrace.open(await Input.open(join(data, 'qemu/clean-cut.bin.zst')), {}));
  const log = await fields(await qemuLog.open(await Input.open(join(data, 'qemu-log/clean-cut.log.zst')), {}));
  assert.equal([...binary.values()].flat().length, 920);
  assert.deepEqual(new Map([...binary].sort()), new Map([...log].sort()));
});

test('events come in time order, in file order where times are equal', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(3_000_000), fc.nat(2)), { minLength: 1, maxLength: 200 }),
      async (steps) => {
        const w = new Writer().name(0, 'one').name(1, 'two').name(2, 'three');
        // Any order within less than the hold-back.
        const stamps = steps.map(([jitter], n) => n * 1_000_000 + 5_000_000 + Math.floor(jitter / 100_000) * 100_000);
        for (const [n, stamp] of stamps.entries()) w.event(steps[n]?.[1] ?? 0, BigInt(stamp), [BigInt(n)]);
        const trace = await open(w.bytes());
        const { events } = await read(trace);
        const expected = stamps.map((stamp, n) => ({ stamp, n })).sort((a, b) => a.stamp - b.stamp || a.n - b.n);
        assert.deepEqual(
          events.map((e) => [Number(trace.origin) + e.time, Number(e.text.split('=')[1])]),
          expected.map((e) => [e.stamp, e.n]),
        );
        assert.equal(trace.origin, BigInt(Math.min(...stamps)));
      },
    ),
    { numRuns: 30 },
  );
});

test('times far from zero are exact', async () => {
  const start = 0x7fffffff_fffffff0n;
  const trace = await open(
    new Writer()
      .name(0, 'e')
      .event(0, start, [])
      .event(0, start + 0x123456789n, [])
      .bytes(),
  );
  const { events } = await read(trace);
  assert.equal(trace.origin, start);
  assert.deepEqual(
    events.map((e) => e.time),
    [0, 0x123456789],
  );
});

test('names may come mid-file, change, and skip numbers', async () => {
  const bytes = new Writer()
    .name(5000, 'one')
    .event(5000, 1n, [])
    .name(70_000, 'two')
    .event(70_000, 2n, [])
    .name(5000, 'three')
    .event(5000, 3n, [])
    .name(5000, 'three')
    .event(5000, 4n, [])
    .name(1, 'x')
    .bytes();
  const trace = await open(bytes);
  const { events } = await read(trace);
  assert.deepEqual(
    events.map((e) => e.name),
    ['qemu:one', 'qemu:two', 'qemu:three', 'qemu:three'],
  );
  assert.equal(trace.damage, undefined);
});

test('a dropped record is a loss from the event before it to its own time, or to the last event a ring later', async () => {
  const bytes = new Writer()
    .name(0, 'e')
    .dropped(400n, 3n)
    .event(0, 100n, [])
    .event(0, 200n, [])
    .dropped(900n, 1000n)
    .dropped(950n, 1n)
    .event(0, 250n, [])
    .event(0, 800n, [])
    .event(0, 1000n, [])
    .dropped(1200n, 8n)
    .bytes();
  const trace = await open(bytes);
  const { losses, events } = await read(trace);
  assert.equal(events.length, 5);
  const o = Number(trace.origin);
  assert.deepEqual(losses, [
    { from: Number.NEGATIVE_INFINITY, to: 1000 - o, cpu: -1, count: 3, before: 0 },
    { from: 200 - o, to: 1000 - o, cpu: -1, count: 1000, before: 2 },
    { from: 200 - o, to: 1000 - o, cpu: -1, count: 1, before: 2 },
    { from: 1000 - o, to: 1200 - o, cpu: -1, count: 8, before: 5 },
  ]);
});

test('a loss ends about one ring of records after its dropped record', async () => {
  const w = new Writer().name(0, 'e').event(0, 0n, []).dropped(5000n, 2n);
  for (let n = 1n; n <= 50_000n; n++) w.event(0, n, []);
  const { losses, events } = await read(await open(w.bytes()));
  assert.equal(events.length, 50_001);
  const [loss] = losses;
  assert.equal(loss?.from, 0);
  // Records of 24 bytes: 262144 bytes of them, and not much more.
  assert.ok(loss !== undefined && loss.to >= Math.floor(262144 / 24) && loss.to < 262144 / 18, String(loss?.to));
});

test('dropped records without end are told as few losses', async () => {
  const w = new Writer().name(0, 'e').event(0, 1n, []);
  for (let n = 0n; n < 1000n; n++) w.dropped(10n + n, 2n);
  w.event(0, 2000n, []);
  const { losses, events } = await read(await open(w.bytes()));
  assert.equal(events.length, 2);
  assert.ok(losses.length <= 100);
  assert.equal(
    losses.reduce((sum, loss) => sum + (loss.count ?? 0), 0),
    2000,
  );
});

test('losses begin after the last event of any type', async () => {
  const bytes = new Writer()
    .name(0, 'wanted')
    .name(1, 'other')
    .event(0, 100n, [])
    .event(1, 200n, [])
    .dropped(300n, 2n)
    .event(1, 210n, [])
    .event(0, 400n, [])
    .bytes();
  const trace = await open(bytes);
  const { events, losses } = await read(trace, (name) => name === 'qemu:wanted');
  assert.deepEqual(
    events.map((e) => e.time),
    [0, 300],
  );
  assert.deepEqual(losses, [{ from: 100, to: 300, cpu: -1, count: 2, before: 1 }]);
  assert.equal(trace.types.length, 2);
});

test('an event that nobody describes shows its arguments as numbers', async () => {
  const trace = await open(new Writer().name(0, 'my_own').event(0, 1n, [255n, -1n]).bytes());
  const { events } = await read(trace);
  assert.equal(events[0]?.text, 'arg1=0xff arg2=0xffffffffffffffff');
  assert.match(trace.notes.join('\n'), /arguments of my_own have no names/);
});

test('arguments that do not fit the trace-events-all are said so, never guessed', async () => {
  const bytes = new Writer()
    .name(0, 'first')
    .name(1, 'virtqueue_flush')
    .event(0, 1n, [1n, 2n])
    .event(1, 2n, [1n, 2n])
    .event(0, 3n, [1n, 2n, 3n])
    .bytes();
  const wrong = join(folder, 'wrong');
  writeFileSync(wrong, 'first(int a, int b, int c) ""\nvirtqueue_flush(void *vq) "vq %p"\n');
  const trace = await open(bytes, { traceEvents: wrong });
  const { events } = await read(trace);
  assert.deepEqual(
    events.map((e) => [e.name, e.text]),
    [
      ['qemu:first', 'arg1=0x1 arg2=0x2'],
      ['qemu:virtqueue_flush', 'vq=0x1 count=2'],
      ['qemu:first', 'a=1 b=2 c=3'],
    ],
  );
  const notes = trace.notes.join('\n');
  assert.match(
    notes,
    /byte 116: 16 bytes of arguments of event first do not fit .*wrong: they are shown as plain numbers/,
  );
  assert.match(notes, /wrong does not fit event virtqueue_flush/);
});

test('versions 2 and 3 take names by number, and refuse a trace-events-all of another QEMU', async () => {
  const bytes = sample(3, true);
  const other = join(folder, 'other');
  writeFileSync(other, 'zero(int a) ""\none(void) ""\ntwo(void) ""\n');
  await assert.rejects(
    open(bytes, { traceEvents: other }),
    (error) =>
      error instanceof TraceError && error.offset === 24 && /event number 0 \(zero\) do not fit/.test(error.message),
  );
  // Found beside the trace, it is not used: numbers stay numbers.
  writeFileSync(join(folder, 'trace-events-all'), 'zero(int a) ""\none(void) ""\ntwo(void) ""\n');
  const trace = await open(bytes);
  const { events } = await read(trace);
  rmSync(join(folder, 'trace-events-all'));
  assert.deepEqual(
    events.map((e) => e.name),
    ['qemu:event_0', 'qemu:event_1', 'qemu:event_2'],
  );
  assert.match(trace.notes.join('\n'), /byte 24: 24 bytes of arguments of event number 0 \(zero\) do not fit/);
});

test('other versions are refused', async () => {
  for (const version of [0, 1, 5]) {
    await assert.rejects(
      open(new Writer(version).bytes()),
      (error) => error instanceof TraceError && error.offset === 16,
    );
  }
  await assert.rejects(open(new Writer().bytes().subarray(0, 20)), /the header ends after 20 bytes/);
});

test('an input cut anywhere gives the events before the cut, and says where it ends', async () => {
  const bytes = new Writer()
    .name(0, 'first')
    .event(0, 1000n, [1n, 2n, 3n])
    .dropped(1005n, 3n)
    .name(1, 'third')
    .event(1, 1010n, [])
    .event(0, 1020n, [1n, 2n, 3n])
    .bytes();
  const whole = [24, 49, 105, 145, 170, 202, 258];
  const eventsAt = (length: number) => [105, 202, 258].filter((end) => end <= length).length;
  assert.equal(bytes.length, 258);
  for (let length = 24; length <= bytes.length; length++) {
    const trace = await open(bytes.subarray(0, length), { traceEvents });
    const { events } = await read(trace);
    assert.equal(events.length, eventsAt(length), `cut at ${length}`);
    const start = whole.filter((end) => end <= length).at(-1);
    assert.equal(trace.damage?.offset, whole.includes(length) ? undefined : start, `cut at ${length}`);
  }
});

test('nonsense ends reading with the byte it stands at', async () => {
  const start = () => new Writer().name(0, 'third').event(0, 1n, []);
  const cases: [Buffer, RegExp][] = [
    [
      start()
        .u64(2n)
        .bytes()
        .fill(0, 81 + 8),
      /./,
    ],
    [Buffer.concat([start().u64(7n).bytes(), Buffer.alloc(40)]), /byte 81: a record of kind 7; expected 0/],
    [Buffer.concat([start().u64(1n).u64(99n).bytes(), Buffer.alloc(40)]), /byte 105: a length of 0/],
    [start().event(99, 2n, []).bytes(), /byte 89: event number 99; expected a number that a record before has named/],
    [start().u64(1n).u64(0n).u64(1n).u32(0x7fffffff).u32(0).bytes(), /byte 105: a length of 2147483647/],
    [
      Buffer.concat([start().u64(0n).u64(1n).u32(5_000_000).bytes(), Buffer.alloc(20)]),
      /an event's name of 5000000 bytes/,
    ],
    [start().name(3, '\x1b[31m').u64(0n).u64(0n).u64(0n).bytes(), /"\\u001b\[31m" as an event's name/],
  ];
  for (const [bytes, message] of cases) {
    const trace = await open(bytes);
    const { events } = await read(trace);
    assert.equal(events.length, 1);
    assert.match(trace.damage?.message ?? '', message);
  }
});

test('any change of any bytes is read to an end', async () => {
  const original = new Writer().name(0, 'first').name(1, 'second').name(2, 'virtqueue_pop');
  for (let n = 0n; n < 20n; n++) {
    original.event(0, 1000n + n * 10n, [n, n, n]).event(1, 1005n + n * 10n, ['name', n, 'more', 1n]);
    original.event(2, 1006n + n * 10n, [n, n, 1n, 1n]);
    if (n === 10n) original.dropped(1300n, 4n);
  }
  const bytes = original.bytes();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(bytes.length - 25), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      async (changes) => {
        const mutant = Buffer.from(bytes);
        for (const [at, value] of changes) mutant[24 + at] = value;
        const trace = await open(mutant, { traceEvents });
        const { events } = await read(trace);
        assert.ok(events.length <= 61);
      },
    ),
    { numRuns: 150 },
  );
});

test('one record whose time is far from those around it is left out, as damage', async () => {
  const times = [100n, 200n, 1n << 40n, 300n, 400n, 100n + (1n << 36n), 200n + (1n << 36n), 7n, 300n + (1n << 36n)];
  // Also where nobody wants it: it must not move the others.
  for (const wants of [undefined, (name: string) => name === 'qemu:first']) {
    const writer = new Writer().name(1, 'first').name(2, 'third');
    for (const time of times) {
      if (time === 1n << 40n || time === 7n) writer.event(2, time + 1000n, []);
      else writer.event(1, time + 1000n, [1n, 2n, 3n]);
    }
    const trace = await open(writer.bytes());
    const { events, losses } = await read(trace, wants);
    assert.deepEqual(
      events.map(({ time }) => time - (events[0]?.time ?? 0)),
      [0, 100, 200, 300, 2 ** 36, 2 ** 36 + 100, 2 ** 36 + 200],
    );
    assert.match(
      trace.damage?.message ?? '',
      /byte \d+: a time \d+(\.\d+)? s after those of the records before it; expected/,
    );
    assert.equal(losses.length, 2);
  }
});

test('where the time goes back for good, reading ends; a time out of reach is damage', async () => {
  const back = new Writer().name(1, 'third');
  for (const time of [5n, 6n, 1n, 2n]) back.event(1, time * 1_000_000_000n, []);
  const first = await open(back.bytes());
  assert.equal((await read(first)).events.length, 2);
  assert.match(
    first.damage?.message ?? '',
    /a time 5 s before those of the records before it; expected records of one run/,
  );
  const reach = new Writer().name(1, 'third');
  for (const time of [5n, 6n, 1n << 62n, 7n]) reach.event(1, time, []);
  const second = await open(reach.bytes());
  assert.equal((await read(second)).events.length, 3);
  assert.match(second.damage?.message ?? '', /a time more than 2\^53 ns from the first/);
});

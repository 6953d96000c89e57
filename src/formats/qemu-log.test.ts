import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { Input } from './input.ts';
import { qemuLog } from './qemu-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

async function open(text: string | Buffer): Promise<Trace> {
  const path = join(folder, `log-${files++}`);
  writeFileSync(path, text);
  return qemuLog.open(await Input.open(path), {});
}

async function read(trace: Trace, wants?: (name: string) => boolean) {
  const events: [name: string, time: number, tid: number, text: string][] = [];
  const losses: Loss[] = [];
  for await (const b of trace.batches(wants === undefined ? undefined : (type) => wants(type.name))) {
    losses.push(...b.losses);
    for (let i = 0; i < b.count; i++) {
      const type = trace.types[b.type[i] as number];
      events.push([type?.name as string, b.time[i] as number, b.tid[i] as number, type?.layout.print(b, i) as string]);
      assert.deepEqual([b.cpu[i], b.pid[i]], [-1, -1]);
    }
  }
  await trace.close();
  return { events, losses };
}

const recognises = (text: string): boolean => qemuLog.recognise(Buffer.from(text));

test('lines with thread and time, in time order', async () => {
  const trace = await open(
    '100@1795419397.736931:virtqueue_pop vq 0x7f7540113140 elem (nil) in_num 1 out_num 2\n' +
      '101@1795419397.736900:virtio_blk_rw_complete vdev 0x1 req 0x2 ret -5\n' +
      'libusb: error: something\n\n' +
      '100@1795419398.000000:virtio_net_announce_notify \n' +
      '101@1795419397.999999:my_own_event with 3 words\r\n',
  );
  assert.deepEqual(trace.clock, { name: 'realtime', unit: 'ns', resolution: 1000 });
  const { events } = await read(trace);
  assert.equal(trace.origin, 1795419397736900000n);
  assert.deepEqual(events, [
    ['qemu:virtio_blk_rw_complete', 0, 101, 'vdev 0x1 req 0x2 ret -5'],
    ['qemu:virtqueue_pop', 31_000, 100, 'vq 0x7f7540113140 elem (nil) in_num 1 out_num 2'],
    ['qemu:my_own_event', 263_099_000, 101, 'with 3 words'],
    ['qemu:virtio_net_announce_notify', 263_100_000, 100, ''],
  ]);
  const notes = trace.notes.join('\n');
  assert.match(notes, /1 lines are no trace events, such as "libusb: error: something"/);
  assert.match(notes, /arguments of my_own_event have no names/);
});

test('lines without time stamps have an order', async () => {
  const trace = await open(
    'virtqueue_flush vq 0x1 count 1\nhello world\nvirtio_notify vdev 0x2 vq 0x1\nvirtqueue_flush vq 0x1 count 2\n',
  );
  assert.equal(trace.clock.unit, 'none');
  const { events } = await read(trace, (name) => name !== 'qemu:virtio_notify');
  assert.deepEqual(events, [
    ['qemu:virtqueue_flush', 0, -1, 'vq 0x1 count 1'],
    ['qemu:virtqueue_flush', 2, -1, 'vq 0x1 count 2'],
  ]);
  assert.match(trace.notes.join('\n'), /no time stamps/);
});

test("QEMU 10.1's lines, whose fraction may be missing", async () => {
  const trace = await open(
    '2025-08-08T23:59:59.123456Z virtqueue_flush vq 0x1 count 1\n' +
      '2025-08-09T00:00:00Z virtqueue_flush vq 0x1 count 2\n' +
      '2025-08-09T00:00:00.5Z qemu-system-x86_64: warning: a message\n' +
      '2025-13-09T00:00:00.5Z virtqueue_flush vq 0x1 count 2\n',
  );
  const { events } = await read(trace);
  // date -u -d 2025-08-08T23:59:59 +%s
  assert.equal(trace.origin, 1754697599123456000n);
  assert.deepEqual(
    events.map((e) => [e[1], e[2]]),
    [
      [0, -1],
      [876_544_000, -1],
    ],
  );
  assert.match(trace.notes.join('\n'), /2 lines are no trace events/);
});

test('events without a stamp among others stand at the time of the line before', async () => {
  const trace = await open('1@10.000005:virtqueue_flush vq 0x1 count 1\nvirtqueue_flush vq 0x1 count 2\n');
  const { events } = await read(trace);
  assert.deepEqual(
    events.map((e) => e[1]),
    [0, 0],
  );
  assert.match(trace.notes.join('\n'), /1 events have no time stamp/);
});

test('two threads in one line: the second event is read, the first is lost', async () => {
  const trace = await open(
    '1@10.000001:virtqueue_flush vq 0x1 count 1\n' +
      '1@10.000002:virtqueue_pop vq 0x7f75402@10.000003:virtqueue_flush vq 0x1 count 2\n' +
      '0113140 elem 0x1 in_num 1 out_num 2\n' +
      'some other output 3@10.000004:virtqueue_flush vq 0x1 count 3\n',
  );
  const { events, losses } = await read(trace);
  assert.deepEqual(events, [
    ['qemu:virtqueue_flush', 0, 1, 'vq 0x1 count 1'],
    ['qemu:virtqueue_flush', 2000, -1, 'vq 0x1 count 2'],
    ['qemu:virtqueue_flush', 3000, 3, 'vq 0x1 count 3'],
  ]);
  assert.deepEqual(losses, [{ from: 1000, to: 1000, cpu: -1, count: 1 }]);
  assert.match(trace.notes.join('\n'), /1 events could not be read/);
});

test('a last line without its end is left out, even where it looks whole', async () => {
  const start = '1@10.000001:virtqueue_flush vq 0x1 count 1\n';
  // Of `count 23`, an event with a time and no name, a name.
  for (const end of ['1@10.000002:virtqueue_flush vq 0x1 count 2', '1@10.000002:', '1@10.000002:virtque', '1@10.0']) {
    for (const pack of [(text: string) => text, gzipSync, zstdCompressSync]) {
      const trace = await open(pack(`${start}${end}`));
      assert.equal((await read(trace)).events.length, 1, end);
      assert.equal(trace.damage, undefined);
      assert.deepEqual(
        trace.notes.filter((note) => !note.startsWith('arguments')),
        ['The last line, at byte 43, has no end: it was left out, as it may have been cut.'],
      );
    }
  }
  const cut = await open(`${start}1@10.000002:virtqueue_flush vq 0x1 cou`);
  assert.equal((await read(cut)).events.length, 1);
  assert.match(cut.damage?.message ?? '', /byte 81: the file ends within a line of event virtqueue_flush/);
});

test('lines with NUL bytes are no events, but a hole', async () => {
  const line = (micros: number) => `1@10.00000${micros}:virtqueue_flush vq 0x1 count ${micros}\n`;
  // Within an event, over the ends of several, and a NUL that a guest printed.
  const trace = await open(
    `${line(1)}${line(2).replace('count', '\0\0unt')}${line(3)}${'\0'.repeat(60)}ount 4\n${line(5)}boot\0\n${line(6)}`,
  );
  const { events, losses } = await read(trace);
  assert.deepEqual(
    events.map(([, time]) => time),
    [0, 2000, 4000, 5000],
  );
  assert.deepEqual(losses, [
    { from: 0, to: 2000, cpu: -1, count: undefined },
    { from: 2000, to: 4000, cpu: -1, count: undefined },
  ]);
  assert.match(
    trace.damage?.message ?? '',
    /: byte 43: 2 lines have NUL bytes, left out; expected text of one recording$/,
  );
});

test('times that are out of reach are damage, not inexact', async () => {
  const line = (seconds: number) => `1@${seconds}.000001:virtqueue_flush vq 0x1 count 1\n`;
  const trace = await open(`${line(1700000000)}${line(9700000000)}${line(1700000001)}${line(1)}`);
  const { events } = await read(trace);
  assert.deepEqual(
    events.map(([, time]) => time),
    [0, 1_000_000_000],
  );
  assert.match(trace.damage?.message ?? '', /2 lines have a time more than 2\^53 ns from the first, left out/);
});

test('lines longer than any event are passed over', async () => {
  const line = '1@10.000001:virtqueue_flush vq 0x1 count 1\n';
  const trace = await open(`${line}${'x'.repeat(3 << 20)}\n${line}`);
  assert.equal((await read(trace)).events.length, 2);
  assert.match(trace.notes.join('\n'), /1 lines are no trace events, such as "x{80}"/);
});

test('what is a log, and what is not', () => {
  assert.ok(recognises('char device redirected\n12@1795419397.736931:some_event\n'));
  assert.ok(recognises('virtqueue_flush vq 0x1 count 1\n'));
  assert.ok(recognises('2025-08-08T23:59:59.123456Z virtqueue_flush vq 0x1 count 1\n'));
  for (const other of [
    '',
    'virtqueue_flush is an event\n',
    ' qemu-system-x86-5659  [007] ....   280.971116: tracing_mark_write: virtqueue_flush vq 0x1 count 1\n',
    'CPU 0/KVM  5665 [000]   280.971121: kvm:kvm_exit: reason HLT rip 0x22da info 0 800000fd\n',
    '2025-08-08T23:59:59.123456Z systemd[1]: Started.\n',
    'user@1795419397.736931\n',
  ]) {
    assert.equal(recognises(other), false, other);
  }
});

test('any text is read to an end, with no event out of order', async () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '\n',
      '7@10.000001:',
      '7@12.999999:',
      'virtqueue_pop ',
      'vq 0x1 elem 0x2 in_num 1 out_num 1',
      '@',
      '2025-08-08T23:59:59Z ',
      '\0',
      '\r\n',
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const { events } = await read(await open(pieces.join('')));
      const times = events.map((e) => e[1]);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
    }),
    { numRuns: 150 },
  );
});

test('where the log of another run follows, or stands before an earlier one, reading ends there', async () => {
  const line = (tid: number, time: string) => `${tid}@${time}:virtqueue_flush vq 0x7f7540113140 count 1\n`;
  const first = line(100, '1795419397.736931') + line(101, '1795419397.736900') + line(100, '1795419398.000000');
  for (const [second, said] of [
    ['1795419390.000000', 'back by 8 s; expected one recording in order of time'],
    ['1796419390.000000', 'forward by 999992 s, where another recording begins'],
  ] as const) {
    const trace = await open(first + line(200, second) + line(200, '1796419391.000000'));
    const { events } = await read(trace);
    assert.deepEqual(
      events.map(([, time, tid]) => [trace.origin + BigInt(time), tid]),
      [
        [1795419397736900000n, 101],
        [1795419397736931000n, 100],
        [1795419398000000000n, 100],
      ],
    );
    const { message } = trace.damage as Error;
    assert.ok(message.includes(`byte ${first.length}: the time goes ${said}`), message);
  }
});

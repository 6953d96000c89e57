import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bytes, format, headerPage, parts } from '../../test/trace-dat.ts';
import { TraceError } from '../trace/error.ts';
import { parseTracingData } from './tracing-data.ts';

function body(version: string, little: boolean): Buffer {
  const spec = { little, buffers: [], ftrace: [format('print', 5)] };
  const all = new Bytes(little)
    .raw(new Uint8Array([0x17, 0x08, 0x44]))
    .text(`tracing${version}\0`)
    .u8(little ? 0 : 1)
    .u8(8)
    .u32(4096);
  // perf writes no thread names before version 0.6.
  for (const [id, part] of parts(spec)) if (id !== 21 || version !== '0.5') all.raw(part);
  return all.done();
}

test('the bodies of trace.dat and of perf.data', () => {
  for (const version of ['6', '0.6', '0.5']) {
    for (const little of [true, false]) {
      const bytes = body(version, little);
      const data = parseTracingData(Buffer.concat([bytes, Buffer.from('what follows')]), 'f', 1000);
      assert.equal(data.damage, undefined);
      assert.equal(data.length, bytes.length);
      assert.equal(data.little, little);
      assert.deepEqual(data.page, { commitSize: 8, dataOffset: 16, dataSize: 4080 });
      assert.deepEqual(
        [...data.formats].map(
          ([
            id,
            {
              system,
              format: { name },
            },
          ]) => `${id} ${system}:${name}`,
        ),
        ['5 ftrace:print', '7 sys:one', '9 sys:two'],
      );
      assert.equal(data.comms.get(42), version === '0.5' ? undefined : 'a thread');
    }
  }
});

test('formats that are cut are an error, what follows them is not needed', () => {
  const bytes = body('0.6', true);
  const formatsEnd = bytes.indexOf('ffff ') - 4;
  for (let cut = 0; cut < bytes.length; cut += 7) {
    const part = bytes.subarray(0, cut);
    if (cut < formatsEnd) {
      assert.throws(
        () => parseTracingData(part, 'f', 1000),
        (error) => error instanceof TraceError && (error.offset ?? 0) >= 1000 && (error.offset ?? 0) <= 1000 + cut,
      );
    } else {
      const data = parseTracingData(part, 'f', 1000);
      assert.equal(data.formats.size, 3);
      assert.match(data.damage?.message ?? '', /^f: byte \d+: \d+ bytes are left; expected /);
    }
  }
});

test('what cannot be is told with its place', () => {
  const bytes = body('6', true);
  const patched = (at: number, change: number[]) => {
    const copy = Buffer.from(bytes);
    copy.set(change, at);
    return copy;
  };
  const cases: [Buffer, RegExp][] = [
    [patched(0, [1]), /^f: byte 0: no tracing data; expected 17 08 44 "tracing"$/],
    [patched(12, [9]), /^f: byte 12: byte order 9/],
    [patched(13, [7]), /^f: byte 13: a long of 7 bytes; expected 4 or 8$/],
    [patched(14, [1]), /^f: byte 14: a page size of 4097/],
    [patched(18, [0x20]), /^f: byte 18: .*"header_page"$/],
    [patched(36, [0xff]), /^f: byte 38: \d+ bytes are left; expected header_page, \d+ bytes$/],
  ];
  for (const [change, message] of cases) assert.throws(() => parseTracingData(change, 'f', 0), { message });
});

test('a ring buffer of another kind is no error here', () => {
  const bytes = body('0.6', true);
  const at = bytes.indexOf(headerPage(8, 4096));
  bytes.write('nothing', at + 8);
  assert.equal(parseTracingData(bytes, 'f', 0).page, undefined);
});

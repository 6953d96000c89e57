import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { unzstdInto, ZstdStream } from './zstd.ts';

const data = Array.from({ length: 8 }, (_, i) =>
  Uint8Array.from({ length: 40_960 }, (_, k) => (k * (i + 1) + (k >> 7)) % 251),
);
const frames = data.map((bytes) => zstdCompressSync(bytes));

/** Whether frame `i` unpacks to what it was made of, whatever was unpacked before. */
function unpacks(i: number): boolean {
  const target = new Uint8Array(new SharedArrayBuffer(40_960));
  return unzstdInto(frames[i] as Buffer, target) === 40_960 && Buffer.compare(target, data[i] as Uint8Array) === 0;
}

test('frame after frame unpacks to what it was made of', () => {
  for (let i = 0; i < frames.length; i++) assert.ok(unpacks(i));
});

test('what is no whole frame of that size tells so, and leaves the next frames as they are', () => {
  const target = new Uint8Array(40_960);
  const first = frames[0] as Buffer;
  assert.ok(unzstdInto(first.subarray(0, 100), target) < 40_960, 'a cut frame');
  assert.ok(unpacks(1));
  assert.throws(() => unzstdInto(Buffer.from('what is no frame'), target), { code: 'ZSTD_error_prefix_unknown' });
  assert.ok(unpacks(2));
  assert.ok(unzstdInto(zstdCompressSync(new Uint8Array(50_000)), target) > 40_960, 'a frame with more in it');
  assert.ok(unpacks(3));
  assert.ok(unzstdInto(Buffer.concat([first, first]), target) > 40_960, 'two frames');
  assert.ok(unpacks(4));
  assert.equal(unzstdInto(zstdCompressSync(new Uint8Array(1000)), target), 1000, 'a frame with less in it');
  assert.ok(unpacks(5));
});

for (const own of [true, false]) {
  test(`a stream that comes in pieces unpacks piece by piece, ${own ? 'by what node:zlib keeps to itself' : 'by what it documents'}`, async () => {
    const whole = Buffer.concat(data);
    const packed = zstdCompressSync(whole);
    const stream = new ZstdStream(own);
    const target = Buffer.alloc(whole.length + 100);
    let made = 0;
    for (let at = 0; at < packed.length; at += 777) {
      let piece: Uint8Array = packed.subarray(at, at + 777);
      for (let n = 5000; n === 5000; piece = piece.subarray(piece.length - stream.left)) {
        n = await stream.unpack(piece, target.subarray(made, made + 5000));
        made += n;
      }
    }
    stream.close();
    assert.equal(Buffer.compare(target.subarray(0, made), whole), 0);
    await assert.rejects(async () => await new ZstdStream(own).unpack(Buffer.from('what is no frame'), target), {
      code: 'ZSTD_error_prefix_unknown',
    });
  });
}

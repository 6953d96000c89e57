import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventBatch } from '../trace/batch.ts';
import { QemuTextLayout } from './qemu-text.ts';
import { parseTraceEvents } from './trace-events.ts';

function layout(line: string, textAt = 0): QemuTextLayout {
  const [signature] = parseTraceEvents(Buffer.from(line), 'test');
  if (signature === undefined) throw new Error('no event');
  return new QemuTextLayout(signature, textAt);
}

/** A batch of one event. */
function batch(payload: string): EventBatch {
  const b = new EventBatch(1);
  b.count = 1;
  b.bytes = Buffer.from(payload);
  b.size[0] = b.bytes.length;
  return b;
}

/** Each field as text and number. */
function values(of: QemuTextLayout, payload: string): [text: string, number: number, high: number, low: number][] {
  const b = batch(payload);
  return of.fields.map((field) => {
    const reader = of.reader(field.name);
    if (reader === undefined) throw new Error(`no field ${field.name}`);
    return [reader.text(b, 0), reader.number(b, 0), reader.high(b, 0), reader.low(b, 0)];
  });
}

test('addresses, signs and widths', () => {
  const of = layout(
    'e(void *p, int n, unsigned u, uint64_t x, int64_t s, uint8_t c) "p %p n %d u %u x 0x%016"PRIx64" s %"PRId64" c %02x"',
  );
  assert.deepEqual(
    values(of, 'e p 0xffff888012345678 n -2 u 4294967295 x 0x00000000000000ff s -9223372036854775808 c ff'),
    [
      ['0xffff888012345678', Number('0xffff888012345678'), 0xffff8880, 0x12345678],
      ['-2', -2, 0xffffffff, 0xfffffffe],
      ['4294967295', 4294967295, 0, 0xffffffff],
      ['0xff', 255, 0, 255],
      ['-9223372036854775808', -(2 ** 63), 0x80000000, 0],
      ['0xff', 255, 0, 255],
    ],
  );
  assert.deepEqual(
    values(of, 'e p (nil) n 0 u 0 x 0x0 s 18446744073709551615 c 0').map((v) => v[0]),
    ['0x0', '0', '0', '0x0', '-1', '0x0'],
  );
});

test('an int printed in hexadecimal keeps its sign', () => {
  assert.deepEqual(values(layout('e(int type) "type 0x%x"'), 'e type 0xffffffff'), [
    ['0xffffffff', -1, 0xffffffff, 0xffffffff],
  ]);
});

test('strings with spaces, quotes and what follows them in the format', () => {
  const of = layout('e(const char *a, int flags, const char *b) "file \\"%s\\" flags 0x%x name \'%s\'"');
  assert.deepEqual(
    values(of, `e file "/a "b" flags c" flags 0x2 name 'it's one'`).map((v) => v[0]),
    ['/a "b" flags c', '0x2', "it's one"],
  );
  assert.deepEqual(
    values(
      layout('e(void *m, const char *file, int line) "taken mutex %p (%s:%d)"'),
      'e taken mutex 0x1 (../a:b (x).c:305)',
    ).map((v) => v[0]),
    ['0x1', '../a:b (x).c', '305'],
  );
  assert.deepEqual(
    values(layout('e(int n, const char *rest) "%d %s"'), 'e 5 all of it\nnot this').map((v) => v[0]),
    ['5', 'all of it'],
  );
});

test('characters, padding and stars', () => {
  assert.deepEqual(
    values(layout('e(unsigned addr, char size, int v) "addr 0x%x(%c) value %4d"'), 'e addr 0x71(b) value    7').map(
      (v) => v[0],
    ),
    ['0x71', '98', '7'],
  );
  assert.deepEqual(
    values(layout('e(int width, uint64_t v, int last) "v=0x%0*"PRIx64" last=%d"'), 'e v=0x000f last=3').map(
      (v) => v[0],
    ),
    ['0', '0xf', '3'],
  );
});

test('where the text ends early, fields are absent', () => {
  const of = layout('e(int a, void *b, const char *c) "a %d b %p c %s"');
  const absent = ['', Number.NaN, 0, 0];
  assert.deepEqual(values(of, 'e a 1'), [['1', 1, 0, 1], absent, absent]);
  assert.deepEqual(values(of, 'e'), [absent, absent, absent]);
  assert.deepEqual(values(of, 'e another text'), [absent, absent, absent]);
});

test('the text may stand anywhere in the payload, and end with a newline or NUL', () => {
  const of = layout('event(int a) "a %d"', 4);
  for (const end of ['', '\n', '\0junk', '\n\0']) {
    const b = batch(`\x01\x02\x03\x04event a 17${end}`);
    assert.equal(of.print(b, 0), 'a 17');
    assert.equal(of.reader('a')?.number(b, 0), 17);
  }
});

test('every integer comes back as printed', () => {
  const of = layout('e(uint64_t u, int64_t s, uint64_t x) "%"PRIu64" %"PRId64" 0x%"PRIx64');
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (u, s) => {
      const [first, second, third] = values(of, `e ${u} ${s} 0x${u.toString(16)}`);
      assert.deepEqual([first?.[0], second?.[0], third?.[0]], [String(u), String(s), `0x${u.toString(16)}`]);
      assert.equal((BigInt(first?.[2] as number) << 32n) | BigInt(first?.[3] as number), u);
      assert.deepEqual(third?.slice(2), first?.slice(2));
      assert.equal(first?.[1], Number(u));
      assert.equal(BigInt.asIntN(64, (BigInt(second?.[2] as number) << 32n) | BigInt(second?.[3] as number)), s);
    }),
  );
});

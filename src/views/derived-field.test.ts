import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventBatch } from '../trace/batch.ts';
import { type FieldReader, hex64 } from '../trace/event-type.ts';
import { DerivedFieldError, derivedReader, namesIn, parseDerivedField } from './derived-field.ts';

const batch = new EventBatch(1);

/** A field that holds these 64 bits, written in that base. */
const field = (value: bigint, base: 10 | 16 = 10): FieldReader => ({
  kind: 'int',
  number: () => Number(value),
  low: () => Number(value & 0xffffffffn),
  high: () => Number(value >> 32n),
  text: () => (base === 16 ? hex64(Number(value >> 32n), Number(value & 0xffffffffn)) : String(value)),
});

/** As text formats have it. */
const printed = (text: string): FieldReader => ({
  kind: 'text',
  number: () => Number.NaN,
  low: () => 0,
  high: () => 0,
  text: () => text,
});

function evaluate(text: string, fields: { [name: string]: FieldReader }): FieldReader | undefined {
  const derived = parseDerivedField(text);
  assert.ok(derived, text);
  return derivedReader(derived, (name) => fields[name]);
}

test('operators compute in 64 bits and bind as in C', () => {
  const { MAX_SAFE_INTEGER } = Number;
  const value = fc.oneof(fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, 300n), fc.constant(BigInt(MAX_SAFE_INTEGER)));
  const operations: [string, (a: bigint, b: bigint) => bigint | undefined][] = [
    ['|', (a, b) => a | b],
    ['^', (a, b) => a ^ b],
    ['&', (a, b) => a & b],
    ['+', (a, b) => a + b],
    ['-', (a, b) => a - b],
    ['*', (a, b) => a * b],
    ['/', (a, b) => (b === 0n ? undefined : a / b)],
    ['%', (a, b) => (b === 0n ? undefined : a % b)],
    ['<<', (a, b) => (b > 63n ? 0n : a << b)],
    ['>>', (a, b) => (b > 63n ? 0n : a >> b)],
  ];
  fc.assert(
    fc.property(value, fc.oneof(value, fc.bigInt(0n, 70n)), fc.constantFrom(...operations), (a, b, [sign, model]) => {
      const reader = evaluate(`a ${sign} b`, { a: field(a), b: field(b) }) as FieldReader;
      const expected = model(a, b);
      if (expected === undefined) {
        assert.ok(Number.isNaN(reader.number(batch, 0)));
        assert.equal(reader.text(batch, 0), '');
        return;
      }
      const bits = BigInt.asUintN(64, expected);
      assert.equal((BigInt(reader.high(batch, 0)) << 32n) | BigInt(reader.low(batch, 0)), bits);
      assert.equal(reader.text(batch, 0), String(BigInt.asIntN(64, bits)));
    }),
    { numRuns: 2000 },
  );
  const low = (text: string) => evaluate(text, { a: field(0x1234n) })?.low(batch, 0);
  assert.equal(low('a & 0xff00 >> 8'), 0x1234 & (0xff00 >> 8));
  assert.equal(low('a>>4&0xf'), 0x3);
  assert.equal(low('a + 2 * 3 - 1'), 0x1234 + 5);
  assert.equal(low('(a + 2) * 3'), (0x1234 + 2) * 3);
  assert.equal(low('~a & 0xff'), ~0x34 & 0xff);
  assert.equal(low('-a + 0x1235 | 1 ^ 1'), 1);
});

test('a result is written in hexadecimal where a mask or a field is', () => {
  const text = (expression: string, fields: { [name: string]: FieldReader }) =>
    evaluate(expression, fields)?.text(batch, 0);
  assert.equal(text('icr_low & 0xff', { icr_low: field(0x8fdn) }), '0xfd');
  assert.equal(text('icr_low & 255', { icr_low: field(0x8fdn) }), '253');
  assert.equal(text('gpa >> 12', { gpa: field(0xfee00300n, 16) }), '0xfee00');
  assert.equal(text('len >> 0x2', { len: field(64n) }), '16');
  assert.equal(text('a - b', { a: field(3n), b: field(5n) }), '-2');
});

test('numbers that a text format has as they were printed are numbers', () => {
  assert.equal(evaluate('vec & 0xf0', { vec: printed('236') })?.text(batch, 0), '0xe0');
  assert.equal(evaluate('gpa >> 12', { gpa: printed('0xfee00300') })?.text(batch, 0), '0xfee00');
  assert.equal(evaluate('comm & 1', { comm: printed('CPU 0/KVM') })?.text(batch, 0), '');
});

test('what is no expression is said; a name alone is none', () => {
  assert.equal(parseDerivedField('icr_low'), undefined);
  assert.equal(parseDerivedField('.pid'), undefined);
  assert.deepEqual(namesIn('a & b | .pid'), ['a', 'b', '.pid']);
  assert.deepEqual(namesIn('vec'), ['vec']);
  for (const [text, why] of [
    ['icr_low &', 'icr_low & ends where a field or a number is expected'],
    ['(a', "(a ends where ')' is expected"],
    ['a b', "a b has 'b' where an operator is expected"],
    ['a & 12z', "a & 12z has '1' where a field, a number or an operator is expected"],
    ['1 + 2', '1 + 2 names no field'],
    ['a & 0x10000000000000000', '0x10000000000000000 does not fit in 64 bits'],
    [`${'('.repeat(200)}a${')'.repeat(200)}`, '((((((((((((((((((((… is nested more than 100 deep'],
  ] as const) {
    assert.throws(() => parseDerivedField(text), new DerivedFieldError(why));
  }
  assert.equal(evaluate('a & b', { a: field(1n) }), undefined);
});

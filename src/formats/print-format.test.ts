import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { EventBatch } from '../trace/batch.ts';
import { parseKernelFormat } from './kernel-format.ts';
import { KernelLayout } from './kernel-layout.ts';

type FieldLine = [declaration: string, offset: number, size: number, signed: 0 | 1];

/** A `format` file of an event with these fields, and its layout. */
function layout(printFormat: string, fields: FieldLine[], little = true): KernelLayout {
  const lines = fields.map(([d, o, s, g]) => `\tfield:${d};\toffset:${o};\tsize:${s};\tsigned:${g};`);
  const format = parseKernelFormat(`name: sample\nID: 7\nformat:\n${lines.join('\n')}\n\nprint fmt: ${printFormat}\n`);
  assert.ok(format);
  return new KernelLayout(format, little);
}

/** What the layout prints for a payload. */
function print(of: KernelLayout, payload: Uint8Array): string {
  const batch = new EventBatch(1);
  // Positions count from the arena's start, not from the payload's.
  batch.bytes = new Uint8Array(payload.length + 5);
  batch.bytes.set(payload, 3);
  batch.view = new DataView(batch.bytes.buffer);
  batch.at[0] = 3;
  batch.size[0] = payload.length;
  batch.count = 1;
  return of.print(batch, 0);
}

function lines(file: string): string[] {
  const path = new URL(`../../test/data/print-format/${file}`, import.meta.url);
  return gunzipSync(readFileSync(path)).toString('utf8').trimEnd().split('\n');
}

/** One field of each integer type: a to h, char to unsigned long, the largest first. */
const integers: FieldLine[] = [
  ['unsigned long h', 8, 8, 0],
  ['long g', 16, 8, 1],
  ['unsigned int f', 24, 4, 0],
  ['int e', 28, 4, 1],
  ['unsigned short d', 32, 2, 0],
  ['short c', 34, 2, 1],
  ['unsigned char b', 36, 1, 0],
  ['signed char a', 37, 1, 1],
];

test('expressions and conversions give what a C compiler and its printf give', () => {
  const cases = lines('expressions.tsv.gz');
  assert.equal(cases.length, 400);
  for (const line of cases) {
    const [payload, conversion, expression, expected] = line.split('\t') as [string, string, string, string];
    assert.equal(
      print(layout(`"${conversion}", ${expression}`, integers), Buffer.from(payload, 'hex')),
      expected,
      line,
    );
  }
});

test('events of a kernel print as perf script and trace-cmd print them', () => {
  let of: KernelLayout | undefined;
  let cases = 0;
  for (const line of lines('kernel.txt.gz')) {
    if (line.startsWith('{')) {
      const format = parseKernelFormat(JSON.parse(line).format);
      assert.ok(format);
      of = new KernelLayout(format, true);
    } else {
      const split = line.indexOf(' ');
      assert.equal(print(of as KernelLayout, Buffer.from(line.slice(0, split), 'hex')), line.slice(split + 1));
      cases++;
    }
  }
  assert.ok(cases > 100);
});

test('signed fields keep their sign, as in the text that the kernel prints itself', () => {
  const exit = layout(
    '"reason %s (%d)", REC->errno < 0 ? (REC->errno == -4 ? "restart" : "error") : __print_symbolic(REC->reason, { 0, "KVM_EXIT_" "UNKNOWN" }, { 2, "KVM_EXIT_" "IO" }), REC->errno < 0 ? -REC->errno : REC->reason',
    [
      ['__u32 reason', 0, 4, 0],
      ['int errno', 4, 4, 1],
    ],
  );
  assert.equal(print(exit, new Uint8Array(Int32Array.of(2, -4).buffer)), 'reason restart (4)');
  assert.equal(print(exit, new Uint8Array(Int32Array.of(2, -11).buffer)), 'reason error (11)');
  assert.equal(print(exit, new Uint8Array(Int32Array.of(2, 0).buffer)), 'reason KVM_EXIT_IO (2)');
  assert.equal(print(exit, new Uint8Array(Int32Array.of(99, 0).buffer)), 'reason 0x63 (99)');
  const clock = layout('"tsc_shift %d", REC->tsc_shift', [['__s8 tsc_shift', 0, 1, 1]]);
  assert.equal(print(clock, Uint8Array.of(255)), 'tsc_shift -1');
});

/** 8 bytes in front, a reference to the 16 bytes behind it at 8, a char[4] at 12. */
const dynamic: FieldLine[] = [
  ['u8 raw[8]', 0, 8, 0],
  ['__data_loc u8[] buf', 8, 4, 0],
  ['char comm[4]', 12, 4, 0],
];
const dynamicPayload = Uint8Array.of(
  ...[0xfe, 0x80, 0, 0, 0, 0, 0, 1],
  ...[16, 0, 16, 0],
  ...[0x61, 0x62, 0, 0x63],
  ...[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01],
);

for (const [printFormat, expected] of [
  ['"100%%"', '100%'],
  ['"a" "b\\tc\\n"', 'ab\tc\n'],
  ['"%s|%4s|%-4s|%.1s|%*s", REC->comm, REC->comm, REC->comm, REC->comm, 3, REC->comm', 'ab|  ab|ab  |a| ab'],
  ["\"%c%c\", REC->raw[0] == 0xfe ? 'y' : 'n', '\\n'", 'y\n'],
  ['"%s", __print_hex(__get_dynamic_array(buf), 5)', '20 01 0d b8 00'],
  ['"%s", __print_hex_str(REC->raw, 3)', 'fe8000'],
  ['"%s", __print_hex(REC->raw, 100)', 'fe 80 00 00 00 00 00 01'],
  ['"%s", __print_array(__get_dynamic_array(buf), __get_dynamic_array_len(buf) / 8, 2)', '{0x120,0xb80d}'],
  ['"%s", __print_dynamic_array(buf, 8)', '{0xb80d0120,0x100000000000000}'],
  ['"%x %x", ((u16 *)__get_dynamic_array(buf))[1], REC->raw[1]', 'b80d 80'],
  ['"%d", __get_dynamic_array_len(buf)', '16'],
  ['"%s", __get_bitmask(buf)', '01000000,00000000,00000000,b80d0120'],
  ['"%s", __get_cpumask(buf)', '5,8,16,18-19,27-29,31,120'],
  ['"%*phC", 3, REC->raw', 'fe:80:00'],
  ['"%pM", REC->raw', 'fe:80:00:00:00:00'],
  ['"%pI4", __get_dynamic_array(buf)', '32.1.13.184'],
  ['"%pI6c", __get_dynamic_array(buf)', '2001:db8::1'],
  ['"%pU", __get_dynamic_array(buf)', '20010db8-0000-0000-0000-000000000001'],
  [
    '"%p %pS %p", (void *)0xffffffff81000000, (void *)0xffffffff81000000UL, 0',
    '0xffffffff81000000 0xffffffff81000000 (nil)',
  ],
  ['"%s", __print_flags(5, "|", { 1, "A" }, { 2, "B" }, { 4, "C" })', 'A|C'],
  ['"%s", __print_flags(9, "|", { 0, "NONE" }, { 1, "A" })', 'A|0x8'],
  ['"%s", __print_flags(0, "|", { 1, "A" })', ''],
  ['"%s", __print_flags(0x8000000000000001UL, "", { 0x8000000000000000UL, "H" }, { 1, "L" }, { -1, NULL })', 'HL'],
  ['"%s", __print_symbolic(3, { 1 | 2, "three" }, { 3, "again" })', 'three'],
  ['"%s", __print_symbolic(0, { UNKNOWN_MODE, "mode" }, { 5 - 4, "one" }, { })', '0x0'],
  ['"%s", __print_flags(1, "|", { 1UL << UNKNOWN_BIT, "BIT" })', 'BIT'],
  ['"%x", (((u64)(REC)->raw[1] << 32) | (REC)->raw[0]) >> 32', '80'],
  ['"%s", __print_symbolic(-1, { 0xffffffffffffffffULL, "all" })', 'all'],
  ['"%d %d", sizeof(unsigned long), __builtin_expect(!!(1), 0)', '8 1'],
  ['"%llu %llx", (u64)-1, 0x123456789abcdefULL', '18446744073709551615 123456789abcdef'],
] as const) {
  test(`prints ${printFormat}`, () => {
    const text = print(layout(printFormat, dynamic), dynamicPayload);
    assert.equal(text, expected);
  });
}

for (const printFormat of [
  '',
  '"%d"',
  '"%d", REC->missing',
  '"%d", jiffies_to_msecs(1)',
  '"%s", ({ char *s = "x"; s; })',
  '"%d", (1',
  '"%d", 1 }',
  '"unfinished',
  'no string',
  `"%d", ${'('.repeat(50_000)}`,
  `"%d", ${'-'.repeat(50_000)}1`,
  `"%d", REC->raw[0]${' + REC->raw[0]'.repeat(5000)}`,
  `"%d", ${'1 ? '.repeat(5000)}1`,
  `"${'x'.repeat(1 << 18)}"`,
]) {
  test(`prints the fields where the format is not understood: ${printFormat.slice(0, 40)}`, () => {
    const text = print(layout(printFormat, dynamic), dynamicPayload);
    assert.equal(text, 'raw=fe80000000000001 buf=20010db8000000000000000000000001 comm=ab');
  });
}

test('what a hostile format asks for stays bounded', () => {
  const wide = print(layout(`"${'%999999999d'.repeat(500)}"${', 1'.repeat(500)}`, dynamic), dynamicPayload);
  assert.equal(wide.length, 1 << 16);
  assert.equal(print(layout('"%*d", 0x7fffffff, 1', dynamic), dynamicPayload).length, 1024);
  assert.equal(print(layout('"%d %d %d", 1 / 0, 1 % 0, 1 << 99', dynamic), dynamicPayload), '0 0 8');
});

test('no payload makes printing fail', () => {
  const layouts = lines('kernel.txt.gz')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line).format as string)
    .flatMap((text) => [true, false].map((little) => new KernelLayout(parseKernelFormat(text) as never, little)));
  fc.assert(
    fc.property(fc.constantFrom(...layouts), fc.uint8Array({ maxLength: 100 }), (of, payload) => {
      assert.ok(print(of, payload).length < 4096);
    }),
    { numRuns: 2000 },
  );
});

test('no format makes compiling fail', () => {
  const pieces = [
    '"%d %s"',
    '"',
    ',',
    '(',
    ')',
    'REC->raw',
    'REC->comm',
    'REC->buf',
    '[',
    ']',
    '1',
    '0x',
    '+',
    '-',
    '?',
    ':',
    '*',
  ].concat([
    '&',
    '__print_flags(',
    '__get_str(comm)',
    '__print_hex(',
    '{',
    '}',
    '(u8)',
    "'a'",
    '~',
    '!',
    '<<',
    '\\',
    'sizeof',
    '.',
  ]);
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (words) => {
      print(layout(`"%d %s %pM", ${words.join(' ')}`, dynamic), dynamicPayload);
    }),
    { numRuns: 5000 },
  );
});

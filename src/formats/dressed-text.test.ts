import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { readText } from '../../test/read-text.ts';

const data = join(import.meta.dirname, '../../test/data');

function text(name: string, wanted: RegExp): string[] {
  const packed = readFileSync(join(data, name));
  const all = (name.endsWith('.gz') ? gunzipSync(packed) : zstdDecompressSync(packed)).toString().split('\n');
  return all.filter((line) => wanted.test(line)).slice(0, 60);
}

const said = async (lines: readonly string[], end = '\n') => {
  const { trace, events } = await readText(lines.map((line) => line + end).join(''));
  const names = [...trace.threads].map(([tid, { comm }]) => [tid, comm]);
  return [names, ...events.map(({ name, time, cpu, tid, fields }) => ({ name, time, cpu, tid, fields }))];
};

const log = text('qemu-log/clean-cut.log.zst', /^\d+@.*:[a-z_]+ /);
const forms: [string, string[]][] = [
  ['ftrace text', text('ftrace-text/trace-pipe.txt.gz', /^[^#]/)],
  ['trace-cmd report', text('ftrace-text/report-kernel.txt.gz', /^[^#]/)],
  ['perf script', text('perf-script/default.txt.gz', /\d: /)],
  ['arm64', text('vcpus/arm64.txt.zst', /\d: /)],
  ['a QEMU log', log],
  ['a QEMU log without times', log.map((line) => line.replace(/^[^:]*:/, ''))],
];

const number = (n: number) => String(123_456 + n);
const before: [string, (n: number) => string][] = [
  ['quotes of a mail', () => '> > '],
  ['bars', () => '| '],
  ['bullets', () => '  * '],
  ['the log of the kernel', (n) => `[  123.${number(n)}] `],
  ['its levels and threads', (n) => `<6>[  123.${number(n)}][ T1234] `],
  ['the journal', () => 'Nov  8 03:44:01 host kernel: '],
  ["a program's lines in the journal", () => 'Nov 28 03:44:01 host qemu-system-x86_64[1234]: '],
  ['journalctl -o short-iso', (n) => `2026-11-28T03:44:01.${number(n)}+00:00 host kernel: `],
  ['the time of day', (n) => `2026-11-28 03:44:01.${number(n).slice(3)} `],
  ['a name', () => 'kernel: '],
  ['grep -n', (n) => `${n + 1}:`],
  ['grep -Hn', (n) => `logs/trace.txt:${n + 1}:`],
  ['cat -n', (n) => `${String(n + 1).padStart(6)}\t`],
];

for (const [name, lines] of forms)
  test(`${name} is the same, whatever stands before its lines`, async () => {
    const expected = await said(lines);
    assert.ok(expected.length > 40, `${expected.length}`);
    for (const [what, prefix] of before) {
      const dressed = lines.map((line, n) => prefix(n) + line);
      assert.deepEqual(await said(dressed), expected, what);
      assert.deepEqual(await said(dressed, ' \r\n'), expected, `${what}, CR LF`);
    }
  });

for (const [name, lines] of forms)
  test(`${name} is the same as out of a web page, a terminal or an editor`, async () => {
    const expected = await said(lines);
    const ways: [string, (line: string, n: number) => string][] = [
      ['a page', (line) => line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')],
      ['numbers', (line) => line.replaceAll('<', '&#60;').replaceAll('>', '&#x3e;').replaceAll('"', '&quot;')],
      ['a quoted page', (line) => `&gt; ${line.replaceAll('<', '&lt;').replaceAll('>', '&gt;')}`],
      [
        'spaces that are not broken',
        (line) => line.replace(/ {2,}/g, (some) => `${'\u00a0'.repeat(some.length - 1)} `),
      ],
      ['colours', (line) => `\x1b[0m\x1b[1;31m${line}\x1b[0m\x1b[K`],
      ['a byte order mark', (line, n) => (n === 0 ? `\ufeff${line}` : line)],
    ];
    for (const [what, way] of ways) assert.deepEqual(await said(lines.map(way)), expected, what);
  });

test('a name before an event is not taken for a program of the log', async () => {
  const lines = ['preempt_test 20530.456690: kvm:kvm_exit: reason VMCALL rip 0x4131a0 info 0 0'];
  const dated = lines.map((line) => `2026-11-28 03:44:01 ${line}`);
  assert.deepEqual(await said([...dated, ...dated]), await said([...lines, ...lines]));
});

test("what looks like a prefix and is an event's own stays", async () => {
  const stamped = log.map((line, n) => line.replace(/^[^:]*:/, `2025-08-08T12:00:00.${number(n)}Z `));
  const [, first] = (await said(stamped)) as [unknown, { name: string; time: number }];
  assert.equal(first.name, 'qemu:bdrv_open_common');
  const kubernetes = log.map((line, n) => `2026-11-28T03:44:01.${number(n)}789Z ${line}`);
  assert.deepEqual(await said(kubernetes), await said(log));
  // QEMU's own entities, in text that has a `<`, are its own.
  const { events } = await readText(
    '100@1795419397.736931:monitor_qmp_respond mon 0x1 resp: {"a": "&gt;", "b": "<"}\n100@1795419397.736932:virtqueue_flush vq 0x7f count 1\n',
  );
  assert.equal(events[0]?.fields.json, '{"a": "&gt;", "b": "<"}');
});

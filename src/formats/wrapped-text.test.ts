import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { readText } from '../../test/read-text.ts';

const data = join(import.meta.dirname, '../../test/data');

/** Events of a recording's text, from somewhere in it. */
function lines(name: string): string[] {
  const packed = readFileSync(join(data, name));
  const text = (name.endsWith('.gz') ? gunzipSync(packed) : zstdDecompressSync(packed)).toString();
  return text
    .split('\n')
    .filter((line) => /^ *\S.*\d: /.test(line))
    .slice(10, 210);
}

/** As a mail program does it: at the last space that leaves a line no wider than this. */
function mailed(text: readonly string[], width: number, prefix = ''): string {
  const out: string[] = [];
  for (let line of text) {
    while (prefix.length + line.length > width) {
      const room = width - prefix.length;
      let space = line.lastIndexOf(' ', room);
      if (space <= line.search(/\S/)) space = line.indexOf(' ', room);
      if (space < 0) break;
      out.push(`${prefix}${line.slice(0, space)}`.trimEnd());
      line = line.slice(space + 1).trimStart();
    }
    out.push(prefix + line);
  }
  return `${out.join('\n')}\n`;
}

/** As a terminal does it; `trimmed` without the spaces at the ends of its lines. */
function cut(text: readonly string[], width: number, trimmed: boolean, prefix = '', end = '\n'): string {
  const parts = text.flatMap((line) => line.match(new RegExp(`.{1,${width}}`, 'g')) ?? ['']);
  return parts.map((part) => `${prefix}${trimmed ? part.trimEnd() : part}${end}`).join('');
}

const said = async (text: string) =>
  (await readText(text)).events.map(({ name, time, cpu, tid, fields }) => ({ name, time, cpu, tid, fields }));

const wrapped = [
  'ftrace-text/trace-pipe.txt.gz',
  'ftrace-text/report-kernel.txt.gz',
  'perf-script/default.txt.gz',
  'vcpus/arm64.txt.zst',
  'vcpus/ppc64el.txt.zst',
  'vcpus/riscv64.txt.zst',
];

for (const name of wrapped) {
  test(`${name} is the same however a mail program wrapped it`, async () => {
    const text = lines(name);
    const expected = await said(`${text.join('\n')}\n`);
    assert.ok(expected.length > 100, `${expected.length}`);
    for (const width of [72, 76, 80, 100])
      for (const prefix of ['', '> ', '>> ', '    '])
        assert.deepEqual(await said(mailed(text, width, prefix)), expected, `${width} ${prefix}`);
  });
}

test("QEMU's log is the same, with and without time stamps, where no line is whole", async () => {
  const stamped = zstdDecompressSync(readFileSync(join(data, 'qemu-log/clean-cut.log.zst')))
    .toString()
    .split('\n')
    .filter((line) => /^\d+@\S+:virtqueue_(pop|fill) /.test(line))
    .slice(0, 60);
  assert.ok(stamped.length > 40, `${stamped.length}`);
  const forms = [
    stamped,
    stamped.map((line) => line.replace(/^[^:]*:/, '')),
    stamped.map((line, n) => line.replace(/^[^:]*:/, `2025-08-08T12:00:00.${100_000 + n}Z `)),
  ];
  for (const text of forms)
    for (const width of [40, 50])
      for (const prefix of ['', '> ', '    ']) {
        const wrapped = mailed(text, width, prefix);
        assert.ok(wrapped.split('\n').length > 2 * text.length);
        assert.deepEqual(await said(wrapped), await said(`${text.join('\n')}\n`), `${width} ${prefix}${text[0]}`);
      }
  for (const text of forms)
    for (const width of [50, 60])
      for (const trimmed of [true, false])
        for (const prefix of ['', '> ']) {
          const parts = cut(text, width, trimmed, prefix);
          assert.ok(parts.split('\n').length > text.length + 2);
          assert.deepEqual(await said(parts), await said(`${text.join('\n')}\n`), `${width} ${prefix}${text[0]}`);
        }
});

test('lines that a terminal cut amid words are put together without a space, in names, too', async () => {
  for (const name of wrapped) {
    const text = lines(name);
    const expected = await said(`${text.join('\n')}\n`);
    for (const width of [56, 80, 100, 120])
      for (const trimmed of [true, false])
        assert.deepEqual(await said(cut(text, width, trimmed)), expected, `${name} ${width} ${trimmed}`);
    // Quoted in a mail, or pasted on Windows; with remarks between; and only some of them.
    for (const [prefix, end] of [
      ['> ', '\n'],
      ['    ', '\n'],
      ['', '\r\n'],
    ] as const)
      assert.deepEqual(await said(cut(text, 80, false, prefix, end)), expected, `${name} ${prefix}`);
    const remark = 'So here the guest is stuck, and this goes on for a while until it is over.';
    const remarked = text.flatMap((line, n) => (n % 9 === 4 ? ['', remark, '', line] : [line]));
    assert.deepEqual(await said(cut(remarked, 80, true)), expected, name);
    const some = text.slice(20, 23);
    for (const width of [60, 72, 80, 100, 120])
      assert.deepEqual(await said(cut(some, width, true)), await said(`${some.join('\n')}\n`), `${name} ${width}`);
  }
});

test('remarks between lines are not taken for parts of events', async () => {
  const text = lines('ftrace-text/trace-pipe.txt.gz').slice(0, 40);
  const expected = await said(`${text.join('\n')}\n`);
  const remarks = [
    'So here the guest is stuck.',
    'this goes on for a while',
    'And then it exits for no reason at all:',
    '',
  ];
  const remarked = text.map((line, i) => (i % 7 === 3 ? `${line}\n${remarks[i % remarks.length]}` : line));
  assert.deepEqual(await said(`${remarked.join('\n')}\n`), expected);
  // Wrapped as well.
  const wrapped = mailed(text, 76).split('\n');
  const heads = wrapped.map((line, i) =>
    /\[\d+\]/.test(wrapped[i + 1] ?? '') && i % 5 === 0 ? `${line}\n${remarks[i % 3]}` : line,
  );
  assert.deepEqual(await said(heads.join('\n')), expected);
});

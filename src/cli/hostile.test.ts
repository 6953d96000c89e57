import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { needs } from '../../test/tools.ts';
import { commands } from './commands.ts';

/* Recordings, file names and machines whose every name is an attack on the terminal: nothing of it may come out as it is. */

const root = join(import.meta.dirname, '../..');
const data = join(root, 'test/data/hostile');
const folder = mkdtempSync(join(tmpdir(), 'virtap-hostile-'));
after(() => rmSync(folder, { recursive: true }));

/** A window title, the clipboard, the screen cleared, C1 controls, text reversed, a line separator. */
const attack = '\x1b]0;owned\x07\x1b]52;c;QUJD\x07\x1b[2J\u009b31m\u202e\u2066\u2028\x7f';
const own = (name: string) => {
  const path = join(folder, name);
  writeFileSync(path, gunzipSync(readFileSync(join(data, `${name}.gz`))));
  return path;
};
const named = join(folder, `${attack}.dat`);
copyFileSync(join(data, 'hostile-v7.dat'), named);
const empty = join(folder, `empty${attack}`);
writeFileSync(empty, '');
const codec = join(data, 'esc-codec.dat');
const broken = [
  codec,
  join(data, 'esc-system.dat'),
  join(data, 'esc-version.dat'),
  empty,
  join(folder, `none${attack}`),
];
const rich = [own('hostile.txt'), own('hostile.log'), join(data, 'hostile-v6.dat'), named];

const tracker = join(root, 'examples/virtqueue-request-tracker.ts');
const dumper = join(folder, 'dumper.ts');
writeFileSync(
  dumper,
  `import { analyzer } from 'virtap/script'
export default analyzer(({ print }) => ({ catchall(event, { name, comm, text }) { print(name, comm, text, { comm }) } }))`,
);

/** What commands on trace files are asked for that are asked for more than their answer in each form. */
const asked: Record<string, readonly (readonly string[])[]> = {
  events: [[], ['--json'], ['--csv'], ['--fail-if', `count(event:${attack})>0`]],
  exits: [['--slow', '2', '--heatmap'], ['--json', '--slow', '2'], ['--csv'], ['--by', attack]],
  vcpus: [['--timeline'], ['--json'], ['--csv']],
  interrupts: [['--slow', '2', '--heatmap'], ['--json']],
  faults: [['--slow', '2', '--heatmap'], ['--json'], ['--by', attack]],
  wakes: [['--slow', '2', '--heatmap'], ['--json']],
  requests: [['--slow', '2', '--heatmap'], ['--json'], ['--csv'], ['--device', attack]],
  locks: [['--slow', '2'], ['--json'], ['--csv']],
  pairs: [
    ['--begin', 'kvm_exit', '--end', 'kvm_exit', '--by', 'tid', '--group', 'from.reason', '--slow', '2'],
    ['--begin', 'kvm_exit', '--end', 'kvm_exit', '--by', 'tid', '--json'],
    ['--from', attack, '--to', attack, '--by', attack],
  ],
  count: [
    ['*', '--by', 'comm,cpu & 1', '--timeline', '--hist', 'tid'],
    ['*', '--by', 'comm', '--json'],
    [attack, '--by', attack],
  ],
  diff: [[rich[0] as string], [rich[0] as string, '--json'], [rich[0] as string, '--csv']],
  report: [[], ['--json'], ['--title', attack, '-o', join(folder, `out${attack}.html`)]],
  export: [
    ['--format', 'csv'],
    ['--format', 'jsonl'],
    ['--format', 'hdr'],
    ['--to', attack],
    ['--format', 'csv', '-o', join(folder, `no${attack}`, 'x')],
  ],
  dump: [
    ['-n', '300'],
    ['-n', '300', '--json'],
    ['-n', '300', '--csv'],
    ['-e', attack],
    ['-f', `${attack}==1`],
  ],
  run: [[tracker], [dumper]],
  spans: [['exits'], ['exits', '--json'], ['exits', '--csv'], ['waits'], [attack]],
  types: [[], ['-e', attack]],
  serve: [['--port', attack]],
};

const forms = [[], ['--json'], ['--csv']];
const others = ['record', 'top', 'list', 'cleanup', 'completion', 'start'];
const onFiles = commands.filter(({ name }) => !others.includes(name));

const lines = onFiles.flatMap(({ name }) =>
  (asked[name] ?? forms).flatMap((more, n) =>
    [...rich, ...(n === 0 ? broken : [])].map((file) => [name, ...more, file]),
  ),
);
lines.push([attack], ['help', attack], ['events', `--${attack}`, codec], ['completion', attack], [codec], [named]);

/** All control characters but line ends, and what hides, reverses or separates text. */
const unsafe = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}\ufffe\uffff]/u;

/** Fails with the command line, and a few characters before what must not be there. */
function assertSafe(text: string, what: string): void {
  const found = unsafe.exec(text);
  if (found === null) return;
  const line = text.slice(0, found.index).lastIndexOf('\n$ ');
  const near = JSON.stringify(text.slice(Math.max(0, found.index - 80), found.index + 20));
  assert.fail(`${what}: ${text.slice(line, text.indexOf('\n', line + 1))}: ${near}`);
}

function decoded(bytes: Buffer): string {
  // What is no UTF-8 must not come out either.
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}

const driver = join(root, 'test/many-lines.ts');

test('no control character of a recording or a name comes out, into a pipe', () => {
  const { stdout, stderr } = spawnSync(process.execPath, [driver], {
    input: JSON.stringify(lines),
    maxBuffer: 1 << 30,
    env: { ...process.env, COLUMNS: '' },
  });
  const [out, error] = [decoded(stdout), decoded(stderr)];
  assert.equal(out.match(/^\$ /gm)?.length, lines.length, error.slice(-2000));
  assert.doesNotMatch(error, /unexpectedly/);
  assertSafe(out, 'standard output');
  assertSafe(error, 'standard error');
  // It was there, and is told.
  for (const text of [out, error]) assert.match(text, /\\x1b\]/);
  assert.match(out, /\\u202e/);
});

test('nor into a terminal, where only our own styles do', () => {
  const few = lines.filter(
    (line) => !line.some((one) => /^--(json|csv|to|from|title)$/.test(one)) && line[0] !== 'dump',
  );
  const list = join(folder, 'lines.json');
  writeFileSync(list, JSON.stringify(few));
  const { stdout } = spawnSync(
    'script',
    ['-qec', `${process.execPath} ${driver} < ${list}`, join(folder, 'typescript')],
    {
      maxBuffer: 1 << 30,
      env: { ...process.env, COLUMNS: '', TERM: 'xterm-256color', NO_COLOR: undefined, CI: undefined },
    },
  );
  const text = decoded(stdout).replaceAll('\r\n', '\n');
  assert.ok((text.match(/^\$ /gm)?.length ?? 0) >= few.length);
  const ours = /\x1b\[(?:[0-9;]*m|K)|\r/g;
  assert.ok((text.match(ours)?.length ?? 0) > 100);
  assertSafe(text.replace(ours, ''), 'terminal');
});

test('nor of the name that somebody gave their machine', { ...needs('permission to trace') }, async () => {
  const program = join(folder, 'qemu-system-x86_64');
  copyFileSync('/bin/sh', program);
  const machine = spawn(program, ['-c', 'read line', 'sh', '-name', `guest=${attack}\nvirtap: all is well`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  try {
    const pid = String(machine.pid);
    const live = [
      ['list'],
      ['list', '--json'],
      ['list', '--csv'],
      ['list', pid],
      ['exits', '--live', '--vm', 'nosuch'],
      ['exits', '--live', '-p', pid, '--for', '100ms'],
      ['events', '--live', '-p', pid, '--for', '100ms'],
      ['locks', '--live', '-p', pid, '--for', '100ms'],
      ['record', '-p', pid, '--for', '100ms', '-o', join(folder, `rec${attack}.dat`)],
    ];
    const { stdout, stderr } = spawnSync(process.execPath, [driver], { input: JSON.stringify(live) });
    const [out, error] = [decoded(stdout), decoded(stderr)];
    assertSafe(out, 'standard output');
    assertSafe(error, 'standard error');
    assert.doesNotMatch(out + error, /^virtap: all is well/m);
    assert.match(out, /\\x1b\]/);
    assert.match(error, /\\x1b\]/);
  } finally {
    machine.kill('SIGKILL');
  }
});

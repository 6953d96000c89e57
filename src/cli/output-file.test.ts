import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import { lacking } from '../../test/tools.ts';
import { virtap } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const host = join(root, 'samples/host-kvm.dat');
const main = join(import.meta.dirname, 'main.ts');
const scratch = mkdtempSync(join(tmpdir(), 'virtap-output-'));
after(() => rmSync(scratch, { recursive: true }));
let folders = 0;

/** An empty folder. */
function folder(): string {
  const path = join(scratch, String(folders++));
  mkdirSync(path);
  return path;
}

/** `virtap record` looks first whether it may. */
const records = lacking('permission to trace') === undefined;

/** Every way to name a file that is written. */
const writers: [name: string, args: (file: string) => string[]][] = [
  ['export to CSV', (file) => ['export', '--format', 'csv', '-o', file]],
  ['export to HdrHistogram', (file) => ['export', '--format', 'hdr', '-o', file]],
  ['export to Parquet', (file) => ['export', '--format', 'parquet', '-o', file]],
  ['report', (file) => ['report', '-o', file]],
  ['report --svg', (file) => ['report', '--svg', file]],
  ['report --png', (file) => ['report', '--png', file]],
];

/** Runs command lines, and gives what each says on standard error. */
const say = (lines: readonly (readonly string[])[]) => lines.map((line) => virtap(...line).stderr);

test('nothing is written over what is read, whatever its name', () => {
  const at = folder();
  const file = join(at, 'a.dat');
  copyFileSync(host, file);
  symlinkSync(file, join(at, 'link'));
  symlinkSync('link', join(at, 'link2'));
  linkSync(file, join(at, 'hard'));
  const other = join(at, 'events');
  writeFileSync(other, 'foo(int a) "%d"\n');
  const lines = writers.flatMap(([, args]) => [
    ...['a.dat', 'link', 'link2', 'hard', `../${basename(at)}/a.dat`].map((target) => [
      ...args(join(at, target)),
      '--force',
      host,
      file,
    ]),
    [...args(other), '--force', '--trace-events', other, file],
  ]);
  if (records) lines.push(['record', '--force', '--trace-events', other, '-o', other]);
  const said = say(lines);
  assert.equal(said.length, lines.length);
  for (const [n, text] of said.entries()) assert.match(text, /is read by this very command/, lines[n]?.join(' '));
  assert.deepEqual(readFileSync(file), readFileSync(host));
  assert.equal(readFileSync(other, 'utf8'), 'foo(int a) "%d"\n');
  // Standard input and standard output are files, too.
  const bytes = openSync(file, 'r+');
  for (const args of [
    ['export', '--format', 'csv', '-o', file, '-'],
    ['dump', file],
  ]) {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], {
      stdio: [bytes, bytes, 'pipe'],
      encoding: 'utf8',
    });
    assert.equal(status, 2);
    assert.match(stderr, /is read by this very command|is where standard output goes/);
  }
  assert.deepEqual(readFileSync(file), readFileSync(host));
});

test('a recording is written over only with --force, and anything else without', () => {
  const at = folder();
  for (const recording of [host, join(root, 'samples/qemu-leak.bin.zst')]) {
    for (const [n] of writers.entries()) copyFileSync(recording, join(at, String(n)));
    copyFileSync(recording, join(at, 'record'));
    const lines = writers.map(([, args], n) => [...args(join(at, String(n))), host]);
    if (records) lines.push(['record', '-o', join(at, 'record')]);
    for (const text of say(lines)) assert.match(text, /^virtap: .* is a recording: --force writes over it\n$/);
    for (const name of readdirSync(at)) assert.deepEqual(readFileSync(join(at, name)), readFileSync(recording));
  }
  rmSync(join(at, 'record'));
  for (const [n] of writers.entries()) chmodSync(join(at, String(n)), 0o640);
  say(writers.map(([, args], n) => [...args(join(at, String(n))), '--force', host]));
  const written = writers.map((_, n) => readFileSync(join(at, String(n))));
  for (const bytes of written) assert.notDeepEqual(bytes, readFileSync(join(root, 'samples/qemu-leak.bin.zst')));
  const again = say(writers.map(([, args], n) => [...args(join(at, String(n))), host]));
  for (const text of again) assert.doesNotMatch(text, /recording/);
  for (const [n] of writers.entries()) {
    assert.deepEqual(readFileSync(join(at, String(n))), written[n]);
    assert.equal(statSync(join(at, String(n))).mode & 0o777, 0o640);
  }
  assert.equal(readdirSync(at).length, writers.length);
});

test('a disk that is full is an error', () => {
  const said = say(writers.map(([, args]) => [...args('/dev/full'), host]));
  assert.equal(said.length, writers.length);
  for (const text of said) assert.match(text, /^virtap: cannot write \/dev\/full: the disk is full\n$/);
  const { status } = virtap('export', '--format', 'csv', '-o', '/dev/full', host);
  assert.equal(status, 2);
});

test('what is printed is checked to its end, too', () => {
  const commands = [
    ['dump', host],
    ['exits', '--json', host],
    ['events', host],
    ['export', '--format', 'csv', host],
    ['export', '--format', 'parquet', host],
    ['export', '--format', 'csv', '-o', '/dev/stdout', host],
    ['--help'],
    ['completion', 'bash'],
  ];
  for (const args of commands) {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
    });
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, /^virtap: cannot write standard output: the disk is full\n$/);
  }
});

test('a link is written through, also to what is not there yet, and a pipe is written as it is', {
  timeout: 60_000,
}, async () => {
  const at = folder();
  symlinkSync('there', join(at, 'link'));
  assert.equal(virtap('export', '--format', 'csv', '-o', join(at, 'link'), host).status, 0);
  const expected = virtap('export', '--format', 'csv', host).stdout;
  assert.equal(readFileSync(join(at, 'there'), 'utf8'), expected);
  assert.deepEqual(readdirSync(at).sort(), ['link', 'there']);
  assert.equal(virtap('export', '--format', 'csv', '-o', '/dev/stdout', host).stdout, expected);

  const pipe = join(at, 'pipe');
  spawnSync('mkfifo', [pipe]);
  const writing = spawn(process.execPath, [main, 'export', '--format', 'csv', '-o', pipe, host]);
  const read = spawnSync('cat', [pipe], { encoding: 'utf8', maxBuffer: 64 << 20 });
  const [status] = await once(writing, 'exit');
  assert.equal(status, 0);
  assert.equal(read.stdout, expected);
});

test('what cannot be written is said in a sentence, and leaves nothing', () => {
  const at = folder();
  symlinkSync('loop', join(at, 'loop'));
  for (const [file, why] of [
    [join(at, 'no/such'), /there is no such directory/],
    [at, /it is a directory/],
    [join(at, 'loop'), /its links lead in a circle/],
    [join(host, 'x'), /a part of its path is no directory/],
    [join(at, 'x'.repeat(300)), /the name is too long/],
  ] as const) {
    for (const text of say(writers.map(([, args]) => [...args(file), host]))) {
      assert.match(text, /^virtap: cannot write .*\n$/);
      assert.match(text, why);
    }
  }
  assert.deepEqual(readdirSync(at), ['loop']);
  // A trace without spans leaves what was there.
  const before = join(at, 'before');
  writeFileSync(before, 'as it was');
  const bare = join(at, 'bare.txt');
  writeFileSync(bare, '# tracer: nop\n#\n   a-7 [000] d..1. 1.000001: sched_waking: comm=a pid=7 prio=120\n');
  assert.equal(virtap('export', '--format', 'csv', '-o', before, bare).status, 2);
  assert.equal(readFileSync(before, 'utf8'), 'as it was');
});

/** Starts an export of a pipe that does not end, and waits until it is under way. */
async function underWay(at: string, file: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [main, 'export', '--format', 'csv', '-o', join(at, 'out'), file], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  while (child.exitCode === null && !readdirSync(at).some((name) => name.endsWith('.part'))) await sleep(20);
  return child;
}

test('a signal that ends it leaves nothing, and what was there as it was', { timeout: 60_000 }, async () => {
  const pipe = join(folder(), 'pipe');
  spawnSync('mkfifo', [pipe]);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const at = folder();
    writeFileSync(join(at, 'out'), 'as it was');
    // Held open by us: the recording goes on.
    const writer = openSync(pipe, 'r+');
    writeFileSync(
      writer,
      zstdDecompressSync(readFileSync(join(root, 'samples/kvm-and-qemu.log.zst'))).subarray(0, 4096),
    );
    const child = await underWay(at, pipe);
    child.kill(signal);
    const [status] = await once(child, 'exit');
    assert.equal(status, { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]);
    assert.deepEqual(readdirSync(at), ['out']);
    assert.equal(readFileSync(join(at, 'out'), 'utf8'), 'as it was');
  }
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync, zstdDecompressSync } from 'node:zlib';
import { needs } from '../../test/tools.ts';
import { virtap } from '../../test/virtap.ts';
import { commands } from './commands.ts';

const data = join(import.meta.dirname, '../../test/data');
const main = join(import.meta.dirname, 'main.ts');
const env = { ...process.env, NO_COLOR: '1', COLUMNS: '', LC_ALL: 'C.UTF-8' };
const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

function start(...args: string[]): { child: ChildProcess; output: Promise<string>[] } {
  const child = spawn(process.execPath, [main, ...args], { env });
  const output = [child.stdout, child.stderr].map(async (stream) => {
    let text = '';
    for await (const chunk of stream) text += chunk;
    return text;
  });
  return { child, output };
}

const idle = join(data, 'perf/idle.data.zst');
const again = join(folder, 'again.data.zst');
copyFileSync(idle, again);
const usdt = join(data, 'trace-dat/usdt-v7.dat');

test('what is no trace gets one sentence and status 2, from every command', () => {
  const inputs: [content: Buffer | string, sentence: RegExp][] = [
    ['', /byte 0: is empty; expected perf\.data, trace\.dat/],
    [gzipSync(''), /is empty \(unpacked from gzip\)/],
    [Buffer.from('\x7fELF\x02\x01\x01'), /byte 0: is an ELF binary; expected/],
    ['SQLite format 3\0', /is an SQLite database/],
    ['{"traceEvents": []}', /is JSON text/],
    ['hello\nworld\n', /is text without a line that virtap knows/],
    [Buffer.from([1, 2, 3, 0, 5]), /is a binary of an unknown kind/],
    [gzipSync(gzipSync('x')), /is compressed with gzip once more/],
  ];
  inputs.forEach(([content, sentence], n) => {
    const file = join(folder, `input${n}`);
    writeFileSync(file, content);
    const { status, stdout, stderr } = virtap('events', file);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^virtap: .*\n$/);
    assert.match(stderr, sentence);
  });
  const empty = join(folder, 'input0');
  const required: Record<string, string[]> = {
    count: ['kvm_exit'],
    pairs: ['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid'],
    export: ['--format', 'csv'],
    diff: [idle],
    spans: ['exits'],
    run: [join(import.meta.dirname, '../../examples/virtqueue-request-tracker.ts')],
  };
  for (const { name } of commands.filter(
    ({ name }) => !['completion', 'start', 'record', 'list', 'top', 'cleanup'].includes(name),
  )) {
    for (const [file, sentence] of [
      [empty, /is empty/],
      [folder, /is a directory; expected a trace file/],
      [join(folder, 'nosuch'), /no such file/],
      ['/dev/null', name === 'serve' ? /is no file; expected one that can be read again/ : /is empty/],
    ] as const) {
      const { status, stdout, stderr } = virtap(name, ...(required[name] ?? []), file);
      assert.deepEqual([status, stdout], [2, ''], `${name} ${file}`);
      assert.match(stderr, sentence);
    }
  }
});

test('text without a line that can be read is not said to lack time stamps', () => {
  const file = join(folder, 'raw.txt');
  writeFileSync(file, '# tracer: nop\n#\n4069 1 22994193609948 type: 372\n4070 0 22994193743036 type: 372\n');
  for (const command of ['exits', 'vcpus', 'leaks', 'locks', 'dump']) {
    const { status, stdout, stderr } = virtap(command, file);
    assert.deepEqual([status, stdout], [2, ''], command);
    assert.match(
      stderr,
      /^virtap: \S+: holds no event\nNote: The text was printed with the trace option raw, .*\nNote: 2 lines are no event that virtap can read, .*\n$/,
    );
  }
  const timeless = join(folder, 'timeless.log');
  writeFileSync(timeless, 'virtqueue_fill vq 0x1 elem 0x2 len 3 idx 0\n'.repeat(3));
  assert.match(virtap('vcpus', timeless).stderr, /have no time stamps/);
});

test('a recording with one of kvm_exit and kvm_entry alone says nothing of when vCPUs were in the guest', () => {
  for (const [file, lacking] of [
    ['entries-only.txt', 'kvm_exit'],
    ['exit-only.txt', 'kvm_entry'],
  ] as const) {
    const { status, stdout, stderr } = virtap('vcpus', join(data, 'pasted', file));
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, new RegExp(`there is no ${lacking} in it, so nobody knows when its vCPUs were in the guest`));
  }
});

test('a stretch of time begins and ends at the same place for every command', () => {
  // The first kvm_exit comes 1.8 ms after the first event.
  const first = (...args: string[]) =>
    JSON.parse(virtap('dump', '--json', '-n', '1', ...args).stdout).events[0].time_ns;
  const begin = first('--event', 'kvm_exit', idle);
  assert.ok(begin > 100_000);
  assert.equal(first('--event', 'kvm_exit', '--from', `${begin}ns`, idle), begin);
  assert.ok(first('--event', 'kvm_exit', '--from', `${begin + 1}ns`, idle) > begin);
  for (const [args, sentence] of [
    [['--from', '2s', '--to', '1s'], /^virtap: the stretch of time ends before it begins\n$/],
    [
      ['--from', '1000s'],
      /there is nothing in that stretch of time; the trace begins at \d+\.\d{9} and ends at \d+\.\d{9}\n$/,
    ],
    [['--to', '0'], /there is nothing in that stretch of time/],
  ] as const) {
    for (const command of ['events', 'exits']) {
      const { status, stdout, stderr } = virtap(command, ...args, idle);
      assert.deepEqual([status, stdout], [2, ''], command);
      assert.match(stderr, sentence);
    }
  }
  const tsc = join(data, 'ftrace-text/trace-tsc.txt.gz');
  assert.match(
    virtap('exits', '--from', '1s', tsc).stderr,
    /its clock counts cycles; expected time stamps as it has them/,
  );
  const stamps = JSON.parse(virtap('exits', '--json', tsc).stdout);
  const later = String(BigInt(stamps.origin) + BigInt(stamps.duration_cycles) / 2n);
  const half = JSON.parse(virtap('exits', '--json', '--from', later, tsc).stdout);
  assert.ok(half.unpaired.exits > 0 && half.unpaired.exits < stamps.unpaired.exits);
});

test('a file that is given twice is refused, whatever its name', () => {
  const { status, stdout, stderr } = virtap('exits', idle, join(data, '../data/perf/idle.data.zst'));
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /idle\.data\.zst is given twice\n$/);
  // A copy is known by its events, also where an offset shifts them: before any of them is given out.
  const folder = mkdtempSync(join(tmpdir(), 'virtap-twice-'));
  try {
    const copy = join(folder, 'copy.data.zst');
    copyFileSync(idle, copy);
    for (const [command = '', ...args] of [
      ['exits'],
      ['dump'],
      ['export', '--format', 'ftrace'],
      ['exits', '--offset', 'copy.data.zst=5s'],
      ['dump', '--offset', 'copy.data.zst=5s'],
    ]) {
      const { status, stdout, stderr } = virtap(command, idle, copy, ...args);
      assert.deepEqual([status, stdout], [2, ''], command);
      assert.match(stderr, /copy\.data\.zst: holds the same events as .*idle\.data\.zst/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('mistyped commands, options, events and fields get suggestions', () => {
  const says = (args: string[], sentence: RegExp) => {
    const { status, stdout, stderr } = virtap(...args);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, sentence);
  };
  says(['evnets'], /^virtap: there is no command evnets; did you mean events\?/);
  says([idle], /^virtap: no command given; to see what is in it: virtap events /);
  says(['dump', '--evnet', 'x', idle], /unknown option '--evnet' \(Did you mean --event\?\)/);
  says(['dump', '-e', 'kvm_exti', idle], /no event in .* is called kvm_exti; did you mean kvm:kvm_exit\?/);
  says(['dump', '-f', 'vcup==1', idle], /no event here has a field vcup; did you mean vcpu/);
  says(['dump', '--head', '0', idle], /Expected a whole number, 1 or more/);
  says(['dump', '--json', '--csv', idle], /cannot be used with/);
  says(['dump', '--from', '3 lightyears', idle], /Expected a length of time/);
  says(['dump', '--offset', 'idle', idle], /Expected FILE=TIME: /);
  says(['dump', '--offset', 'nosuch=1s', idle], /--offset names nosuch, which is not among the files/);
  says(['events'], /missing required argument/);
});

test('every command has help with examples', () => {
  for (const { name } of commands.filter(({ hidden }) => hidden !== true)) {
    const { status, stdout } = virtap('help', name);
    assert.equal(status, 0);
    assert.match(stdout, /Examples:\n {2}\S/, name);
  }
  assert.match(virtap('--version').stdout, /^\d+\.\d+\.\d+\n$/);
});

test('dump gives the events that perf script gives, in its order and to the nanosecond', () => {
  const { stdout, stderr } = virtap('dump', idle);
  const mine = stdout
    .trimEnd()
    .split('\n')
    .map((line) => /-(\d+) \[(\d+)\] (\d+\.\d{9}): (\w+:\w+):/.exec(line)?.slice(1).join(' '));
  const script = zstdDecompressSync(readFileSync(join(data, 'perf/idle.script.txt.zst'))).toString();
  const theirs = [...script.matchAll(/\/(\d+) \[(\d+)\] (\d+\.\d{9}): (\w+:\w+):/g)].map((match) =>
    match.slice(1).join(' '),
  );
  // perf script leaves out ten of the host's events that came while the CPU was a guest's; one is of a dead thread, whose id is -1.
  let from = 0;
  for (const line of theirs) {
    from = mine.indexOf(line, from) + 1;
    assert.ok(from > 0, line);
  }
  assert.ok(theirs.length > 6900 && mine.length - theirs.length === 11);
  assert.equal(stderr, '');
});

test('events counts what perf script counts, and says which commands answer', () => {
  const { status, stdout } = virtap('events', '--json', idle);
  assert.equal(status, 0);
  const answer = JSON.parse(stdout);
  const script = zstdDecompressSync(readFileSync(join(data, 'perf/idle.script.txt.zst'))).toString();
  const theirs: Record<string, number> = {};
  for (const [, name] of script.matchAll(/\d: (\w+:\w+):/g)) theirs[name as string] = (theirs[name as string] ?? 0) + 1;
  const mine = Object.fromEntries(
    answer.types.map(({ name, count }: { name: string; count: number }) => [name, count]),
  );
  assert.deepEqual(Object.fromEntries(Object.entries(mine).filter(([name]) => !name.endsWith(':G'))), theirs);
  assert.equal(answer.format, 'perf.data');
  assert.deepEqual(
    answer.machines[0].vcpus.map(({ vcpu }: { vcpu: number }) => vcpu),
    [0, 1],
  );
  const can = Object.fromEntries(
    answer.answers.map(({ command, answer }: Record<string, string>) => [command, answer]),
  );
  assert.deepEqual([can.exits, can.leaks, can.dump], ['partly', 'no', 'yes']);
});

test('dump picks by event, filter, time and number, and merges files', () => {
  const lines = (...args: string[]) =>
    virtap('dump', ...args)
      .stdout.split('\n')
      .filter((line) => line !== '');
  const halts = lines('--filter', 'vcpu==1 && reason==HLT', idle);
  assert.ok(halts.length > 0);
  for (const line of halts) assert.match(line, /kvm:kvm_exit: vcpu 1 reason hlt /);
  assert.equal(lines('-e', 'kvm_*', '-n', '5', idle).length, 5);
  const all = lines('-e', 'kvm_entry', idle);
  const first = all[10]?.match(/ (\d+\.\d{9}):/)?.[1] as string;
  const last = all[20]?.match(/ (\d+\.\d{9}):/)?.[1] as string;
  assert.deepEqual(lines('-e', 'kvm_entry', '--from', first, '--to', last, idle), all.slice(10, 21));
  const copied = virtap('dump', '-e', 'kvm_entry', idle, again);
  assert.equal(copied.status, 2);
  assert.match(copied.stderr, /holds the same events as .*would be counted twice/);
  const folder = mkdtempSync(join(tmpdir(), 'virtap-dump-'));
  try {
    const other = join(folder, 'other.txt');
    const stamps = [0, 10, 20].map((n) => all[n]?.match(/ (\d+\.\d{9}):/)?.[1] as string);
    writeFileSync(
      other,
      stamps.map((stamp) => ` CPU 0/KVM-99 [000] d..1. ${stamp}: kvm_entry: vcpu 0, rip 0x1\n`).join(''),
    );
    const both = lines('-e', 'kvm_entry', idle, other, '--offset', `${other}=0ns`);
    const times = both.map((line) => line.match(/ (\d+\.\d{9}):/)?.[1] as string);
    assert.equal(both.length, all.length + stamps.length);
    assert.deepEqual(times, times.toSorted());
    for (const line of all) assert.ok(both.includes(line));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('dump --json is one document, with 64-bit values as strings', () => {
  const answer = JSON.parse(virtap('dump', '--json', '-e', 'kvm_exit', '-n', '3', idle).stdout);
  assert.equal(answer.events.length, 3);
  const [exit] = answer.events;
  assert.equal(exit.event, 'kvm:kvm_exit');
  assert.equal(typeof exit.fields.vcpu_id, 'number');
  assert.match(exit.fields.guest_rip, /^0x[0-9a-f]+$/);
  assert.ok(Number.isInteger(exit.time_ns));
  assert.equal(answer.partial, false);
  const none = JSON.parse(virtap('dump', '--json', '-f', 'tid==1 && tid==2', idle).stdout);
  assert.deepEqual(none.events, []);
  const [header, row] = virtap('dump', '--csv', '-n', '1', usdt).stdout.split('\n');
  assert.equal(header, 'time,cpu,pid,tid,comm,event,text');
  assert.match(row as string, /^\d+\.\d{9},\d+,/);
});

test('of events whose description is not in the file, nobody can tell which they are: what to record is no answer', () => {
  // perf.data's features, but for the formats (1) and the names of events (12): a section each, in the order of their bits.
  const bytes = zstdDecompressSync(readFileSync(idle));
  const table = Number(bytes.readBigUInt64LE(40) + bytes.readBigUInt64LE(48));
  const features = Array.from({ length: 256 }, (_, n) => n).filter(
    (n) => ((bytes[72 + (n >> 3)] as number) >> (n & 7)) & 1,
  );
  const sections = features.map((_, n) => Buffer.from(bytes.subarray(table + 16 * n, table + 16 * n + 16)));
  let kept = 0;
  features.forEach((feature, n) => {
    if (feature === 1 || feature === 12)
      bytes[72 + (feature >> 3)] = (bytes[72 + (feature >> 3)] as number) & ~(1 << (feature & 7));
    else sections[n]?.copy(bytes, table + 16 * kept++);
  });
  const file = join(folder, 'undescribed.data');
  writeFileSync(file, bytes);
  for (const command of ['exits', 'vcpus', 'leaks', 'requests', 'locks', 'spans exits', 'report']) {
    const { status, stdout, stderr } = virtap(...command.split(' '), file);
    assert.deepEqual([status, stdout], [2, ''], command);
    assert.match(stderr, /whether there is any .* in it cannot be told: it holds no format of tracepoint:\d+/, command);
    assert.doesNotMatch(stderr, /trace-cmd record -e|there is no/, command);
  }
  const { events, answers } = JSON.parse(virtap('events', '--json', file).stdout);
  assert.ok(events > 1000);
  for (const { command, why, record } of answers) {
    if (command !== 'dump') assert.deepEqual([/cannot be told/.test(why), record], [true, []]);
  }
});

test('a damaged file is answered as far as it goes, and said to be partial', () => {
  const whole = zstdDecompressSync(readFileSync(idle));
  const file = join(folder, 'cut.data');
  writeFileSync(file, whole.subarray(0, Math.floor(whole.length * 0.6)));
  const { status, stdout } = virtap('events', '--json', file);
  assert.equal(status, 0);
  const answer = JSON.parse(stdout);
  assert.equal(answer.partial, true);
  assert.match(answer.why[0], /cut\.data: byte \d+/);
  assert.ok(answer.events > 1000);
  assert.match(virtap('events', file).stdout, /^Partial: /m);
});

test('a reader that goes away ends it quietly', async () => {
  // More than fits into a pipe.
  const child = spawn(process.execPath, [main, 'dump', idle], { env });
  const errors: string[] = [];
  child.stderr.on('data', (chunk) => errors.push(String(chunk)));
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [status] = await once(child, 'exit');
  assert.deepEqual([status, errors], [0, []]);
});

test('Ctrl-C on a pipe that goes on: what was learnt, said to be partial', async () => {
  const trace = zstdDecompressSync(readFileSync(join(data, 'leaks/c2-stale.bin.zst')));
  const { child, output } = start('dump', '-');
  child.stdin?.write(trace.subarray(0, 1 << 20));
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  child.kill('SIGINT');
  const [status] = await once(child, 'exit');
  const [, stderr] = await Promise.all(output);
  assert.equal(status, 0);
  assert.match(stderr as string, /^Partial: interrupted after .*; what follows was not read\.$/m);
});

test('completion is valid for bash, and completes commands, options and choices', needs('bash'), () => {
  const script = virtap('completion', 'bash').stdout;
  const complete = (...words: string[]) => {
    const line = `${script}\nCOMP_WORDS=(virtap ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _virtap; echo "\${COMPREPLY[@]}"`;
    const { status, stdout } = spawnSync('bash', ['--norc', '-c', line], { encoding: 'utf8' });
    assert.equal(status, 0);
    return stdout.trim();
  };
  assert.equal(complete('eve'), 'events');
  assert.equal(complete('dump', '--fil'), '--filter');
  assert.equal(complete('exits', '--color', 'a'), 'auto always');
  assert.equal(complete('completion', 'f'), 'fish');
  for (const shell of ['zsh', 'fish']) {
    // Both shells take a quote or a colon in a summary only behind a backslash.
    const other = virtap('completion', shell).stdout.replaceAll("'\\''", "'").replaceAll('\\', '');
    for (const { name, summary, hidden } of commands)
      if (hidden !== true) assert.ok(other.includes(name) && other.includes(summary));
  }
});

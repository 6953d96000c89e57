import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { needs } from '../../test/tools.ts';
import { virtap as run } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const both = join(root, 'samples/kvm-and-qemu.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const lost = join(root, 'test/data/trace-dat/lost-v7.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-export-'));
after(() => rmSync(folder, { recursive: true }));

function virtap(...args: string[]): string {
  const { status, stdout, stderr } = run(...args);
  assert.ok(status === 0 || status === 3, stderr);
  return stdout;
}

/** An answer as JSON, without what tells one file from another. */
function answer(command: string, file: string): unknown {
  const { file: _, format, version, clock, ...rest } = JSON.parse(virtap(command, '--json', file));
  return rest;
}

/** How many events of each name `dump` prints, of these events. */
function dumped(file: string, ...selection: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of virtap('dump', '--csv', ...selection, file)
    .trimEnd()
    .split('\n')
    .slice(1)) {
    const name = line.split(',')[5] as string;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

for (const form of ['ftrace', 'perf-script']) {
  test(`--to ${form} is read back with the same exits`, () => {
    const to = join(folder, `${form}.txt`);
    virtap('export', '--format', form, '-o', to, kvm);
    assert.deepEqual(answer('exits', to), answer('exits', kvm));
    assert.deepEqual(dumped(to), dumped(kvm));
  });

  test(`--to ${form} keeps QEMU's events, and what was lost`, () => {
    const qemu = join(folder, `${form}-qemu.txt`);
    virtap('export', '--format', form, '-o', qemu, both);
    assert.deepEqual(dumped(qemu), dumped(both));
    const holes = join(folder, `${form}-lost.txt`);
    virtap('export', '--format', form, '-o', holes, lost);
    assert.deepEqual(dumped(holes), dumped(lost));
    assert.match(virtap('events', holes), /^ {2}lost +323 events/m);
  });
}

test('perf reads as little of a thread as there is; ftrace text needs all of it', () => {
  const to = join(folder, 'leak.txt');
  virtap('export', '--format', 'perf-script', '-o', to, leak);
  assert.deepEqual(dumped(to), dumped(leak));
  const { status, stderr } = run('export', '--format', 'ftrace', leak);
  assert.equal(status, 2);
  assert.match(stderr, /is of no known thread, which ftrace text has in each line: use --to perf-script/);
});

/** How many events of each name babeltrace2 reads. */
function babeltrace(path: string): Map<string, number> {
  const text = execFileSync('babeltrace2', ['--names=none', path], {
    encoding: 'utf8',
    maxBuffer: 256 << 20,
    stdio: 'pipe',
  });
  const counts = new Map<string, number>();
  for (const [, name] of text.matchAll(/^\[[\d:.]+\] \([^)]*\) ([\w:]+): \{/gm))
    counts.set(name as string, (counts.get(name as string) ?? 0) + 1);
  return counts;
}

test('--to ctf is what babeltrace2 reads, to the event', needs('babeltrace2'), () => {
  for (const [n, file] of [kvm, both, leak].entries()) {
    const to = join(folder, `${n}.ctf`);
    virtap('export', '--format', 'ctf', '-o', to, file);
    assert.deepEqual([...babeltrace(to)].sort(), [...dumped(file)].sort());
  }
  const exits = join(folder, 'exits.ctf');
  const selection = ['-e', 'kvm_exit', '-f', 'vcpu == 1 && reason == hlt'];
  virtap('export', '--format', 'ctf', ...selection, '-o', exits, kvm);
  assert.deepEqual(babeltrace(exits), dumped(kvm, ...selection));
  const first = execFileSync('babeltrace2', ['--clock-seconds', exits], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  }).split('\n', 1)[0];
  // As `virtap dump` and `trace-cmd report -N` print it: rip 0xffffffffaa017a0a, hlt is 0x78.
  assert.match(
    first ?? '',
    /^\[1382\.385195529\] .*kvm:kvm_exit: \{ cpu_id = 1 \}, \{ tid = 1381, pid = -1, procname = "CPU 1\/KVM" \}/,
  );
  assert.match(first ?? '', /exit_reason = (0x78|120),.* guest_rip = 0xFFFFFFFFAA017A0A/);
});

test('--to ctf is read back with the same exits', () => {
  const to = join(folder, 'read-back.ctf');
  virtap('export', '--format', 'ctf', '-o', to, kvm);
  assert.deepEqual(answer('exits', to), answer('exits', kvm));
});

test('events that were lost are discarded events in CTF', needs('babeltrace2'), () => {
  const to = join(folder, 'lost.ctf');
  virtap('export', '--format', 'ctf', '-o', to, lost);
  const { stdout, stderr } = spawnSync('babeltrace2', [to], { encoding: 'utf8', maxBuffer: 64 << 20 });
  assert.match(stdout + stderr, /discarded 323 events between/);
});

test(
  'CTF of events around holes of which is not known where they are is in order of time',
  needs('babeltrace2'),
  () => {
    const dropped = join(root, 'test/data/leaks/f-dropped.bin.zst');
    const to = join(folder, 'dropped.ctf');
    virtap('export', '--to', 'ctf', '-o', to, dropped);
    // Which stops where times go back.
    assert.deepEqual([...babeltrace(to)].sort(), [...dumped(dropped)].sort());
    const verdicts = (file: string) => JSON.parse(virtap('leaks', '--json', file)).queues;
    assert.deepEqual(verdicts(to), verdicts(dropped));
  },
);

test('ftrace text has the thread of an event that perf knows none of: the kernel wrote it down', () => {
  const to = join(folder, 'gone.txt');
  const idle = join(root, 'test/data/exits/idle.perf.data.zst');
  virtap('export', '--to', 'ftrace', '-o', to, idle);
  assert.deepEqual(dumped(to), dumped(idle));
  assert.match(readFileSync(to, 'latin1'), /worker-329 .* sched_switch: prev_comm=worker prev_pid=329 /);
});

test('times in cycles are refused where the form has none', () => {
  const tsc = join(root, 'test/data/ftrace-text/trace-tsc.txt.gz');
  const text = join(folder, 'cycles.txt');
  for (const form of ['ctf', 'perf-script'])
    assert.match(
      run('export', '--to', form, '-o', join(folder, `cycles-${form}`), tsc).stderr,
      /counts cycles of unknown length, and .* times in n?s.*: use --to ftrace/,
    );
  virtap('export', '--to', 'ftrace', '-o', text, tsc);
  assert.deepEqual(answer('exits', text), answer('exits', tsc));
});

test('a CTF folder appears when it is whole, in place of nothing', () => {
  const to = join(folder, 'full');
  virtap('export', '--format', 'ctf', '-o', to, '-e', 'kvm_msr', kvm);
  assert.deepEqual(readdirSync(to).sort(), ['cpu_0', 'cpu_1', 'metadata']);
  assert.equal(readFileSync(join(to, 'metadata'), 'latin1').slice(0, 13), '/* CTF 1.8 */');
  const again = run('export', '--format', 'ctf', '-o', to, kvm);
  assert.deepEqual([again.status, again.stderr], [2, `virtap: cannot write ${to}: the folder is not empty\n`]);
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  assert.match(run('export', '--format', 'ctf', '-o', file, kvm).stderr, /a CTF trace is a folder, and this is none/);
  const none = join(folder, 'none');
  const { status, stderr } = run('export', '--format', 'ctf', '-e', 'kvm_exot', '-o', none, kvm);
  assert.equal(status, 2);
  assert.match(stderr, /no event in .* is called kvm_exot; did you mean kvm:kvm_exit/);
  assert.equal(existsSync(none), false);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
  );
});

test('options that belong to the other kind of form are refused', () => {
  assert.match(
    run('export', '--format', 'csv', '-e', 'kvm_exit', kvm).stderr,
    /--event goes with --format ftrace, perf-script, ctf/,
  );
  assert.match(
    run('export', '--format', 'ftrace', '--spans', 'exits', kvm).stderr,
    /--spans goes with --format perfetto/,
  );
  assert.match(run('export', '--format', 'ctf', kvm).stderr, /a CTF trace is a folder: name it with -o/);
});

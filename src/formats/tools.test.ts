import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../../test/guest.ts';
import { counts, readText } from '../../test/read-text.ts';
import { needs } from '../../test/tools.ts';

/*
 * The tools on this machine against virtap: what they record now, and what they say of it, whatever their versions.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-tools-'));
after(() => rmSync(folder, { recursive: true }));

/** Runs a tool to its end and gives what it printed. */
function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'latin1', maxBuffer: 256 << 20 });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** Counts of `system:event` in lines of text, by a pattern with the name in its group. */
function countNames(text: string, pattern: RegExp): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, name] of text.matchAll(pattern)) found.set(name as string, (found.get(name as string) ?? 0) + 1);
  return found;
}

const sorted = (map: Map<string, number>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

for (const [how, options] of [
  ['plain', []],
  ['compressed', ['-z']],
  ['on the clock mono', ['-k', 'CLOCK_MONOTONIC']],
] as const) {
  test(`perf.data as this machine's perf writes it, ${how}: every event that perf script prints`, {
    ...needs('perf', 'permission to trace'),
  }, async () => {
    const file = join(folder, `${how}.data`);
    const events = ['-e', 'sched:sched_switch', '-e', 'sched:sched_wakeup', '-e', 'sched:sched_waking'];
    run('perf', 'record', '-q', '-B', '-N', '-a', ...options, ...events, '-o', file, '--', 'sleep', '0.2');
    const printed = run('perf', 'script', '-i', file, '-F', 'event,trace');
    const text = countNames(printed, /^\s*(sched:\w+):/gm);
    assert.ok(text.size >= 2, printed.slice(0, 400));
    const read = await readText({ file });
    assert.equal(read.trace.damage, undefined);
    // Now and then perf writes a sample twice: perf script prints it twice, virtap gives it once.
    const all = counts(read.events);
    for (const { name, id } of read.trace.types)
      all.set(name, (all.get(name) ?? 0) + (read.trace.repeated?.get(id) ?? 0));
    assert.deepEqual(sorted(all), sorted(text));
    assert.equal(read.trace.clock.name, how === 'on the clock mono' ? 'mono' : 'perf');
  });
}

test("perf script's own text of a recording has the same events as the recording", {
  ...needs('perf', 'permission to trace'),
}, async () => {
  const file = join(folder, 'text.data');
  run('perf', 'record', '-q', '-B', '-N', '-a', '-e', 'sched:sched_switch', '-o', file, '--', 'sleep', '0.1');
  const binary = await readText({ file });
  const text = await readText(run('perf', 'script', '-i', file, '--ns'));
  assert.ok(binary.events.length > 0);
  assert.equal(text.events.length, binary.events.length);
  const facts = (read: typeof text) =>
    read.events.map(({ name, time, cpu, tid, fields }) => [
      name,
      read.trace.origin + BigInt(time),
      cpu,
      tid,
      fields.prev_pid,
      fields.next_pid,
      fields.next_comm,
    ]);
  assert.deepEqual(facts(text), facts(binary));
});

test('trace.dat: what trace-cmd report prints of it', { ...needs('trace-cmd') }, async () => {
  const data = join(import.meta.dirname, '..', '..', 'test', 'data', 'trace-dat');
  for (const name of ['usdt-v7.dat', 'lost-v7.dat']) {
    const file = join(data, name);
    const printed = run('trace-cmd', 'report', '-i', file);
    const lines = printed.split('\n').filter((line) => /^.{16,}\s\d+\.\d{6,9}: +\S+:/.test(line));
    const read = await readText({ file });
    assert.ok(lines.length > 100, printed.slice(0, 400));
    assert.equal(read.events.length, lines.length, name);
  }
});

test("QEMU's log as this machine's QEMU writes it: every line", { ...needs('QEMU') }, async () => {
  const log = join(folder, 'qemu.log');
  const machine = ['-M', 'q35', '-accel', 'tcg', '-display', 'none', '-nodefaults', '-serial', 'none'];
  const disk = join(folder, 'disk');
  writeFileSync(disk, new Uint8Array(1 << 20));
  const blk = ['-drive', `file=${disk},if=none,id=d,format=raw`, '-device', 'virtio-blk-pci,drive=d'];
  const traced = ['-trace', 'virtio_*', '-trace', 'virtqueue_*', '-trace', 'qemu_mutex_*', '-msg', 'timestamp=on'];
  // SeaBIOS reads the disk's first sector, finds nothing to start, and the machine is told to quit then.
  const arguments_ = [...machine, ...blk, ...traced, '-D', log, '-no-reboot', '-monitor', 'stdio'];
  const qemu = spawn('qemu-system-x86_64', arguments_, { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(qemu, 'exit');
  try {
    const has = (name: string) => existsSync(log) && readFileSync(log, 'latin1').includes(name);
    await until('a request in the log', () => qemu.exitCode !== null || has(':virtqueue_fill '));
    qemu.stdin.end('quit\n');
    await ended;
    assert.equal(qemu.exitCode, 0);
  } finally {
    qemu.kill('SIGKILL');
  }
  const text = readFileSync(log, 'latin1');
  const printed = countNames(text, /^\d+@\d+\.\d{6}:(\w+) /gm);
  assert.ok((printed.get('virtqueue_pop') ?? 0) > 0, text.slice(0, 400));
  const read = await readText({ file: log });
  const found = new Map([...counts(read.events)].map(([name, n]) => [name.replace('qemu:', ''), n]));
  assert.deepEqual(sorted(found), sorted(printed));
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { Guest, guestAddress, guestPort, until } from '../../test/guest.ts';
import { counts, type ReadEvent, readText } from '../../test/read-text.ts';
import { isRecording, main, start, tracing, virtap } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';

/*
 * Recording a real QEMU under KVM. Truths: the guest does a known number of things, and trace-cmd reads the file.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-record-'));
after(() => rmSync(folder, { recursive: true }));

const machine = needs('QEMU', 'KVM', 'permission to trace');
const kernel = needs('permission to trace');

/** What trace-cmd counts in a file, by the event's name without its system. */
function countedByTraceCmd(file: string): [string, number][] {
  const { stdout } = spawnSync('trace-cmd', ['report', '-N', file], { encoding: 'latin1', maxBuffer: 256 << 20 });
  const found = new Map<string, number>();
  for (const [, name] of stdout.matchAll(/^.{16}-\S+ +\[\d+\] +[\d.]+: (\w+):/gm)) {
    found.set(name as string, (found.get(name as string) ?? 0) + 1);
  }
  return [...found].sort();
}

/** Events that came into an instance so far. */
function eventsIn(instance: string): number {
  const cpus = readdirSync(join(instance, 'per_cpu'));
  const stats = cpus.map((cpu) => readFileSync(join(instance, 'per_cpu', cpu, 'stats'), 'utf8'));
  return stats
    .join('')
    .matchAll(/^(?:entries|read events): (\d+)$/gm)
    .reduce((sum, [, n]) => sum + Number(n), 0);
}

/** Bytes in the files of a recording's CPUs while it is made. */
function sizeOfParts(file: string, pid: number | undefined): number {
  const parts = readdirSync(folder).filter((name) => name.startsWith(`${basename(file)}.virtap-${pid}.cpu`));
  return parts.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

const withoutSystem = (events: readonly ReadEvent[]) =>
  [...counts(events)].map(([name, n]) => [name.replace(/^.*:/, ''), n]).sort();

test('one machine is recorded by name, each access of its guest once, as trace-cmd reads it, and nothing stays switched on', {
  ...needs('QEMU', 'KVM', 'permission to trace', 'trace-cmd'),
}, async () => {
  const file = join(folder, 'one.dat');
  const name = 'a guest, of $(ours) %s';
  const guest = Guest.kvm(folder, 3000, name);
  const other = Guest.kvm(folder, 3000, 'other');
  try {
    await Promise.all([guest.ready(), other.ready()]);
    // Names are exact, and may hold commas: --vm splits there, so the machine is named by its process.
    const { child, instance, ended } = start('record', '-p', String(guest.pid), '-o', file);
    await isRecording(instance);
    assert.match(readFileSync(`${instance}/trace_clock`, 'utf8'), /\[mono\]/);
    guest.begin();
    other.begin();
    await Promise.all([guest.ended, other.ended]);
    child.kill('SIGINT');
    const { status, stderr } = await ended;
    assert.equal(status, 0, stderr);
    const { trace, events, losses } = await readText({ file });
    assert.equal(trace.damage, undefined);
    assert.equal(trace.clock.name, 'mono');
    assert.deepEqual(losses, []);
    const pio = events.filter((e) => e.name === 'kvm:kvm_pio' && e.integers.port === BigInt(guestPort));
    const mmio = events.filter((e) => e.name === 'kvm:kvm_mmio' && e.integers.gpa === BigInt(guestAddress));
    // Twice that many, had the other machine been recorded, too.
    assert.deepEqual([pio.length, mmio.length], [3000, 3000]);
    assert.equal(trace.threads.get(pio[0]?.tid as number)?.comm, 'CPU 0/KVM');
    assert.deepEqual(withoutSystem(events), countedByTraceCmd(file));
    assert.match(stderr, new RegExp(`^${events.length.toLocaleString('en')} events of `));
    assert.match(stderr, /a guest, of \$\(ours\) %s \(\d+\)/);
    assert.ok(!existsSync(instance));
    assert.deepEqual(
      readdirSync(folder).filter((entry) => entry.startsWith('one.dat.')),
      [],
    );
  } finally {
    guest.end();
    other.end();
  }
});

test('--vm takes a name or a uuid; one that fits nothing, or no machine at all, is said', machine, async () => {
  const uuid = '5f8a5b0e-7d0b-4b57-9d5c-0d6f0f6c7a11';
  const guest = Guest.kvm(folder, 1, 'by-name', ['-uuid', uuid]);
  try {
    await guest.ready();
    for (const id of ['by-name', uuid]) {
      const { status, stderr } = await virtap(
        'record',
        '--vm',
        id,
        '--for',
        '20ms',
        '--force',
        '-o',
        join(folder, 'name.dat'),
      );
      assert.equal(status, 0, stderr);
      assert.match(stderr, new RegExp(`of by-name \\(${guest.pid}\\)`));
    }
    const { status, stderr } = await virtap('record', '--vm', 'nobody', '-o', join(folder, 'none.dat'));
    assert.equal(status, 2);
    assert.match(stderr, /^virtap: no running virtual machine is called nobody; these run: .*by-name/);
    assert.ok(!existsSync(join(folder, 'none.dat')));
  } finally {
    guest.end();
  }
});

test('a command is recorded for as long as it runs, and its status is passed on', kernel, async () => {
  const file = join(folder, 'command.dat');
  const { status, stdout, stderr } = await virtap(
    ...['record', '-e', 'sched_switch', '--for', '600h', '-o', file, '--'],
    ...['sh', '-c', 'sleep 0.05; echo out; exit 7'],
  );
  // A timer of Node that is given so much fires at once, and says so.
  assert.deepEqual([status, stdout], [7, 'out\n'], stderr);
  assert.doesNotMatch(stderr, /Warning/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { events } = await readText({ file });
  assert.deepEqual([...counts(events).keys()], ['sched:sched_switch']);
  const missing = await virtap('record', '-e', 'sched_switch', '--force', '-o', file, '--', './no such command');
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /^virtap: cannot run \.\/no such command: there is no such command/);
});

test('two recorders at once do not disturb each other, nor a tracer of another instance', kernel, async () => {
  const own = `${tracing}/instances/virtap-test-of-ours`;
  spawnSync('mkdir', [own]);
  try {
    spawnSync('sh', ['-c', `echo sched:sched_waking > ${own}/set_event`]);
    const args = (name: string, event: string) => ['record', '--all', '-e', event, '-o', join(folder, name)];
    const a = start(...args('a.dat', 'sched_switch'));
    const b = start(...args('b.dat', 'sched_wakeup'));
    await Promise.all([isRecording(a.instance), isRecording(b.instance)]);
    a.child.kill('SIGTERM');
    assert.equal((await a.ended).status, 0);
    await isRecording(b.instance);
    b.child.kill('SIGINT');
    assert.equal((await b.ended).status, 0);
    for (const [name, event] of [
      ['a.dat', 'sched:sched_switch'],
      ['b.dat', 'sched:sched_wakeup'],
    ] as const) {
      const { events } = await readText({ file: join(folder, name) });
      assert.deepEqual([...counts(events).keys()], [event]);
    }
    assert.equal(readFileSync(`${own}/set_event`, 'utf8'), 'sched:sched_waking\n');
    // Not one of ours, in spite of its name.
    assert.equal((await virtap('cleanup')).status, 0);
    assert.ok(existsSync(own));
  } finally {
    spawnSync('rmdir', [own]);
  }
});

test('killed at any moment, it leaves a file that can be read, and nothing switched on', {
  ...needs('permission to trace', 'trace-cmd'),
}, async () => {
  for (const moment of ['at once', 'events are there', 'events are in its files'] as const) {
    const file = join(folder, `killed ${moment}.dat`);
    const { child, instance, ended } = start('record', '--all', '-e', 'sched', '-o', file);
    await isRecording(instance);
    if (moment === 'events are there') await until('events', () => eventsIn(instance) > 0);
    if (moment === 'events are in its files') await until('pages', () => sizeOfParts(file, child.pid) > 0);
    child.kill('SIGKILL');
    await ended;
    await until('the removal of the instance', () => !existsSync(instance));
    await until('the file', () => existsSync(file));
    const { trace, events } = await readText({ file });
    assert.equal(trace.damage, undefined);
    if (moment === 'events are in its files') assert.ok(events.length > 0);
    assert.deepEqual(withoutSystem(events), countedByTraceCmd(file));
    assert.deepEqual(
      readdirSync(folder).filter((entry) => entry.startsWith(`killed ${moment}.dat.`)),
      [],
    );
  }
});

test('when QEMU dies, the recording ends by itself, with all that it did', machine, async () => {
  const file = join(folder, 'died.dat');
  const guest = Guest.kvm(folder, 60000);
  try {
    await guest.ready();
    const { instance, ended } = start('record', '-p', String(guest.pid), '-o', file);
    await isRecording(instance);
    guest.begin();
    // Each of the guest's rounds makes several.
    await until('events', () => eventsIn(instance) > 1000);
    guest.end();
    const { status, stderr } = await ended;
    assert.equal(status, 0, stderr);
    assert.ok(!existsSync(instance));
    const { trace, events } = await readText({ file });
    assert.equal(trace.damage, undefined);
    assert.ok((counts(events).get('kvm:kvm_pio') ?? 0) > 0);
  } finally {
    guest.end();
  }
});

test('on a full disk, it ends with one sentence, and what was written can be read', {
  ...needs('permission to trace', 'namespaces of its own'),
}, async () => {
  const copy = join(folder, 'full.dat');
  const mount = join(folder, 'small');
  const load = 'for i in $(seq 40); do dd if=/dev/zero of=/dev/null bs=1 count=10000 2>/dev/null; done';
  // In a mount namespace of its own, which ends with the shell.
  const script = `mkdir ${mount} && mount -t tmpfs -o size=6m none ${mount} || exit 99
    "$@" record -e raw_syscalls -o ${mount}/trace.dat -- sh -c '${load}'
    status=$?; ls ${mount}; cp ${mount}/trace.dat ${copy}; exit $status`;
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', process.execPath, main], {
    encoding: 'utf8',
  });
  assert.equal(status, 1, stderr);
  assert.match(stderr, /^virtap: recording ended early: cannot write \S+: the disk is full; .*\n$/m);
  assert.equal(stdout, 'trace.dat\n');
  const { trace, events } = await readText({ file: copy });
  assert.equal(trace.damage, undefined);
  assert.ok(events.length > 10000);
});

test('losses are counted to the event, and the file tells of each', kernel, async () => {
  const file = join(folder, 'lost.dat');
  const { status, stderr } = await virtap(
    ...['record', '-e', 'raw_syscalls', '-b', '64K', '-o', file, '--'],
    ...['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=200000', 'status=none'],
  );
  assert.equal(status, 0, stderr);
  const { losses } = await readText({ file });
  const lost = losses.reduce((sum, loss) => sum + (loss.count as number), 0);
  assert.ok(lost > 0);
  assert.match(stderr, new RegExp(` ${lost.toLocaleString('en')} lost`));
});

test('without permission, one sentence says what is missing', kernel, () => {
  const nobody = { uid: 65534, gid: 65534, encoding: 'utf8', cwd: '/' } as const;
  chmodSync(folder, 0o755);
  const run = (...args: string[]) => spawnSync(process.execPath, [main, ...args], nobody);
  for (const args of [['record'], ['record', '--all'], ['cleanup']]) {
    const { status, stderr } = run(...args);
    assert.equal(status, 2);
    assert.match(stderr, /^virtap: no permission for \/sys\/kernel\/tracing: only root may; run it with sudo\n$/);
  }
});

test('what cannot be is said before anything is switched on', kernel, async () => {
  const says = async (args: string[], sentence: RegExp) => {
    const { instance, ended } = start('record', ...args);
    const { status, stderr } = await ended;
    assert.equal(status, 2);
    assert.match(stderr, sentence);
    assert.ok(!existsSync(instance));
  };
  await says(
    ['--all', '-o', '/nowhere/trace.dat'],
    /^virtap: cannot write \/nowhere\/trace\.dat: there is no such directory\n$/,
  );
  await says(['--all', '-o', '/dev/null'], /^virtap: \/dev\/null is no file: a trace\.dat needs one\n$/);
  await says(['--all', '-e', 'kvm:nosuch'], /^virtap: this kernel has no event kvm:nosuch/);
  await says(['-p', '999999999'], /^virtap: there is no process 999999999/);
  await says(['--for', '5'], /Expected a length of time with a unit/);
});

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../../test/guest.ts';
import { counts, readText } from '../../test/read-text.ts';
import { isRecording, start, tracing, virtap } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';
import { buildProbes, ProbeProgram } from '../../test/usdt/build.ts';

/*
 * QEMU's SystemTap probes, in a program with the same. Truth: what the program does, and prints.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-usdt-'));
after(() => rmSync(folder, { recursive: true }));
const able = needs('a C compiler', "SystemTap's headers", 'permission to trace');

/** virtap on the program, from before it does something until after; gives the addresses that it printed, too. */
async function onProgram(optimisation: string, args: string[], { remove = false } = {}) {
  const file = buildProbes(folder, optimisation);
  const program = new ProbeProgram(file, 2000, 1500);
  try {
    await program.ready();
    // As after an upgrade: the file that runs has no name any more.
    if (remove) rmSync(file);
    const { child, instance, ended } = start(...args, '-p', String(program.pid));
    await isRecording(instance);
    const truth = await program.go();
    child.kill('SIGINT');
    const run = await ended;
    assert.doesNotMatch(readFileSync(`${tracing}/uprobe_events`, 'utf8'), new RegExp(`qemu_virtap_${child.pid}/`));
    return { ...run, truth, pid: program.pid };
  } finally {
    program.end();
  }
}

for (const optimisation of ['-O0', '-O2']) {
  test(`probes are recorded with every argument, compiled with ${optimisation}`, able, async () => {
    const file = join(folder, `usdt${optimisation}.dat`);
    const args = ['record', '--for-leaks', '--for-locks', '-e', 'qemu:runstate_set', '-o', file];
    const { status, stderr, truth, pid } = await onProgram(optimisation, args);
    assert.equal(status, 0, stderr);
    const { trace, events: all } = await readText({ file });
    assert.equal(trace.damage, undefined);
    const events = all.filter(({ name }) => !name.startsWith('sched:'));
    assert.deepEqual(Object.fromEntries(counts(events)), {
      'qemu:virtio_set_status': 1,
      'qemu:qemu_mutex_lock': 2000,
      'qemu:qemu_mutex_locked': 2000,
      'qemu:qemu_mutex_unlock': 2000,
      'qemu:virtio_queue_notify': 2000,
      'qemu:virtqueue_pop': 2000,
      'qemu:virtio_blk_rw_complete': 2000,
      'qemu:virtqueue_fill': 1999,
      'qemu:runstate_set': 2,
    });
    const first = (name: string) => events.find((event) => event.name === `qemu:${name}`)?.fields;
    assert.deepEqual(first('virtqueue_pop'), {
      vq: truth.vq,
      elem: `0x${(BigInt(truth.vq as string) + 0x3000n).toString(16)}`,
      in_num: '1',
      out_num: '2',
    });
    assert.equal(first('virtio_blk_rw_complete')?.ret, '-5');
    assert.deepEqual(first('qemu_mutex_lock'), { mutex: truth.mutex, file: '../util/main-loop.c', line: '305' });
    assert.deepEqual(first('virtio_set_status'), { vdev: truth.vdev, val: '15' });
    const states = events.filter((event) => event.name === 'qemu:runstate_set').map((event) => event.print);
    assert.deepEqual(states, [
      'current_state=-1 current_state_str=running new_state=9 new_state_str=paused "é"',
      'current_state=-3 current_state_str=running new_state=2147483647 new_state_str=paused "é"',
    ]);
    assert.ok(events.every((event) => event.tid === pid));
  });
}

test('a leak is found in a running program, by its own element, also where its file was deleted', able, async () => {
  const { status, stdout, stderr, truth, pid } = await onProgram('-O2', ['leaks', '--live', '--plain'], {
    remove: true,
  });
  assert.equal(stdout, `${pid} ${truth.leaked}\n`, stderr);
  assert.equal(status, 3);
});

test("a script of one's own runs on a running program, as SystemTap's do, and requests are timed", able, async () => {
  const script = join(folder, 'count.ts');
  writeFileSync(
    script,
    `import { analyzer } from 'virtap/script';
    export default analyzer(({ print }) => {
      const open = new Set();
      return {
        virtqueue_pop({ elem }) { open.add(elem); },
        virtqueue_fill({ elem }) { open.delete(elem); },
        end() { for (const elem of open) print(elem); },
      };
    });`,
  );
  const ran = await onProgram('-O2', ['run', script, '--live']);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(ran.stdout, `${ran.truth.leaked}\n`);
  const { status, stdout, stderr } = await onProgram('-O2', ['requests', '--live', '--json']);
  assert.equal(status, 0, stderr);
  assert.equal(JSON.parse(stdout).queues[0].count, 1999);
});

test('locks are measured in a running program', able, async () => {
  const { status, stdout, stderr, truth } = await onProgram('-O2', ['locks', '--live', '--json']);
  assert.equal(status, 0, stderr);
  const [mutex] = JSON.parse(stdout).mutexes;
  assert.deepEqual([mutex.mutex, mutex.acquisitions, mutex.contended], [truth.mutex, 2000, 0]);
});

test('killed, it leaves no probe behind', able, async () => {
  const program = new ProbeProgram(buildProbes(folder), 1, 0);
  try {
    await program.ready();
    const { child, instance, ended } = start('leaks', '--live', '-p', String(program.pid));
    await isRecording(instance);
    const mine = new RegExp(`qemu_virtap_${child.pid}/virtqueue_pop `);
    const defined = () => readFileSync(`${tracing}/uprobe_events`, 'utf8');
    assert.match(defined(), mine);
    child.kill('SIGKILL');
    await ended;
    await until('the removal of the probes', () => !mine.test(defined()));
  } finally {
    program.end();
  }
});

test(
  'a machine whose QEMU has no probes is told of, with what to do instead',
  needs('permission to trace'),
  async () => {
    for (const command of [
      ['record', '--for-leaks'],
      ['leaks', '--live'],
      ['locks', '--live'],
    ]) {
      const { status, stderr } = await virtap(...command, '-p', String(process.pid));
      assert.equal(status, 2);
      assert.match(
        stderr,
        /^virtap: .*this QEMU was built without SystemTap probes.* -trace '(virtqueue|qemu_mutex)_\*'/,
      );
    }
  },
);

test('virtap list shows the probes as QEMU declares them', needs('a C compiler', "SystemTap's headers"), async () => {
  const program = new ProbeProgram(buildProbes(folder), 1, 0);
  try {
    await program.ready();
    const { status, stdout } = await virtap('list', String(program.pid));
    assert.equal(status, 0);
    assert.equal(
      stdout,
      `${join(folder, 'probes-O2')}: 9 events
  qemu_mutex_lock(void *mutex, const char *file, const int line)
  qemu_mutex_locked(void *mutex, const char *file, const int line)
  qemu_mutex_unlock(void *mutex, const char *file, const int line)
  runstate_set(int current_state, const char *current_state_str, int new_state, const char *new_state_str)  at 2 places
  virtio_blk_rw_complete(void *vdev, void *req, int ret)
  virtio_queue_notify(void *vdev, int n, void *vq)
  virtio_set_status(void *vdev, uint8_t val)
  virtqueue_fill(void *vq, const void *elem, unsigned int len, unsigned int idx)
  virtqueue_pop(void *vq, void *elem, unsigned int in_num, unsigned int out_num)
`,
    );
    const json = await virtap('list', String(program.pid), '-e', 'virtqueue_*', '--json');
    assert.deepEqual(
      JSON.parse(json.stdout).events.map((event: { name: string }) => event.name),
      ['virtqueue_fill', 'virtqueue_pop'],
    );
  } finally {
    program.end();
  }
});

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Guest, until } from '../../test/guest.ts';
import { start, virtap } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';
import { type Monitor, openMonitor } from '../live/qmp.ts';

/*
 * QEMU without probes (Debian's), driven through its monitor. Truth: the guest reads a known number of sectors, one by one, after its
 * firmware has read the first.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-qmp-'));
after(() => rmSync(folder, { recursive: true }));
const able = needs('QEMU', 'permission to trace');
const reads = 400;

/** A guest with two monitors: one for virtap, and one to look through. */
async function guest(name: string, more: string[] = [], count = reads) {
  const sockets = [join(folder, `${name}.qmp`), join(folder, `${name}.look`)] as const;
  const qmp = sockets.flatMap((path) => ['-qmp', `unix:${path},server=on,wait=off`]);
  const machine = Guest.disk(folder, count, [...qmp, '-msg', 'timestamp=on', ...more]);
  await machine.ready();
  const look = await openMonitor({ socket: sockets[1] });
  return { machine, look, socket: sockets[0] };
}

async function switchedOn(look: Monitor): Promise<string[]> {
  const states = (await look.execute('trace-event-get-state', { name: '*' })) as { name: string; state: string }[];
  return states.filter(({ state }) => state === 'enabled').map(({ name }) => name);
}

const logs = () => readdirSync(tmpdir()).filter((name) => name.startsWith('virtap-log-'));

async function untilOn(look: Monitor): Promise<void> {
  let on: string[] = [];
  // The last one that is switched on.
  for (let n = 0; n < 500 && !on.includes('virtqueue_pop'); n++) {
    on = await switchedOn(look);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(on.includes('virtqueue_fill') && on.includes('virtqueue_pop'), String(on));
}

test('requests of a running QEMU are seen through its monitor, each once, until the guest is over', able, async () => {
  const before = logs();
  const { machine, look } = await guest('all');
  try {
    const { ended } = start('leaks', '--live', '-p', String(machine.pid), '--for', '600h', '--json');
    await untilOn(look);
    machine.begin();
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 0, stderr);
    const { queues } = JSON.parse(stdout);
    assert.deepEqual(
      queues.map(({ device, popped, filled }: Record<string, unknown>) => [device, popped, filled]),
      [['virtio-blk', reads + 1, reads + 1]],
    );
    assert.deepEqual(logs(), before);
  } finally {
    look.close();
    machine.end();
  }
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`after ${signal}, QEMU is as it was before`, able, async () => {
    const before = logs();
    const { machine, look } = await guest(signal);
    try {
      await look.execute('trace-event-set-state', { name: 'virtio_notify', enable: true });
      const on = await switchedOn(look);
      const { child, ended } = start('leaks', '--live', '-p', String(machine.pid));
      await untilOn(look);
      child.kill(signal);
      const { stderr } = await ended;
      // Nothing was popped.
      if (signal === 'SIGINT') assert.match(stderr, /holds no event/);
      for (let n = 0; n < 500 && (await switchedOn(look)).length !== on.length; n++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.deepEqual(await switchedOn(look), on);
      await until('the removal of the log', () => logs().length === before.length);
    } finally {
      look.close();
      machine.end();
    }
  });
}

test(
  "QEMU's own count of elements in use goes with the answer; its own log (-D) is read where there is one",
  able,
  async () => {
    const log = join(folder, 'own.log');
    const { machine, look } = await guest('own', ['-D', log, '-d', 'guest_errors'], 65_535);
    try {
      const { child, ended } = start('leaks', '--live', '-p', String(machine.pid), '--json');
      await untilOn(look);
      machine.begin();
      await until('requests in the log', () => existsSync(log) && statSync(log).size > 100_000);
      await look.execute('stop');
      child.kill('SIGINT');
      const { status, stdout, stderr } = await ended;
      assert.equal(status, 0, stderr);
      const { queues, notes } = JSON.parse(stdout);
      assert.ok(queues[0].popped > 0);
      assert.equal(queues[0].popped, queues[0].filled);
      assert.ok(notes.includes('QEMU itself counts no element in use, on any of its 1 virtqueues.'), String(notes));
      assert.deepEqual(await switchedOn(look), []);
    } finally {
      look.close();
      machine.end();
    }
  },
);

test('a monitor that another program holds is not taken over', able, async () => {
  const { machine, look, socket } = await guest('held');
  const holder = connect(socket);
  try {
    await new Promise((resolve) => holder.once('data', resolve));
    const { status, stderr } = await virtap('leaks', '--live', '-p', String(machine.pid));
    assert.equal(status, 2);
    assert.match(stderr, /^virtap: QEMU's monitor \S+held\.qmp: it does not greet: another program holds it\n$/);
  } finally {
    holder.destroy();
    look.close();
    machine.end();
  }
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findMachines, goneCheck, qemuNames } from './machines.ts';

const proc = mkdtempSync(join(tmpdir(), 'virtap-proc-'));
after(() => rmSync(proc, { recursive: true }));

/** A process as /proc shows it. */
function fake(
  pid: number,
  exe: string | undefined,
  cmdline: string[],
  threads: Record<number, string>,
  fds: string[] = [],
) {
  const folder = join(proc, String(pid));
  mkdirSync(join(folder, 'fd'), { recursive: true });
  if (exe !== undefined) symlinkSync(exe, join(folder, 'exe'));
  writeFileSync(join(folder, 'cmdline'), cmdline.map((arg) => `${arg}\0`).join(''));
  writeFileSync(join(folder, 'comm'), `${threads[pid] ?? ''}\n`);
  for (const [n, target] of fds.entries()) symlinkSync(target, join(folder, 'fd', String(n)));
  for (const [tid, comm] of Object.entries(threads)) {
    mkdirSync(join(folder, 'task', tid), { recursive: true });
    writeFileSync(join(folder, 'task', tid, 'comm'), `${comm}\n`);
  }
}

test('QEMU is found by its program, others by their VM, with names, vCPU threads and the kernel threads for them', () => {
  fake(1, '/sbin/init', ['init'], { 1: 'init' }, ['/dev/null', 'socket:[1]']);
  fake(
    20,
    '/usr/bin/qemu-system-x86_64 (deleted)',
    ['/usr/bin/qemu-system-x86_64', '-name', 'guest=we,,b,debug-threads=on', '-uuid', 'u-1'],
    { 20: 'qemu-system-x86', 22: 'CPU 1/KVM', 21: 'CPU 0/KVM', 23: 'IO iothread0' },
  );
  fake(30, '/usr/bin/firecracker', ['firecracker', '--id', 'x'], { 30: 'firecracker', 31: 'fc_vcpu 0' }, [
    'anon_inode:kvm-vm',
  ]);
  fake(40, undefined, [], { 40: 'vhost-20' });
  fake(41, undefined, [], { 41: 'kworker/0:1' });
  assert.deepEqual(findMachines(proc), [
    {
      pid: 20,
      name: 'we,b',
      uuid: 'u-1',
      program: 'qemu-system-x86_64',
      vcpus: [
        { vcpu: 0, tid: 21 },
        { vcpu: 1, tid: 22 },
      ],
      tids: [20, 21, 22, 23, 40],
    },
    { pid: 30, name: 'firecracker', uuid: undefined, program: 'firecracker', vcpus: [], tids: [30, 31] },
  ]);
});

test("a guest's name is what QEMU takes it for", () => {
  const name = (...args: string[]) => qemuNames(['qemu', ...args]).name;
  assert.equal(name('-name', 'plain'), 'plain');
  assert.equal(name('-name', 'plain,process=x'), 'plain');
  assert.equal(name('-name', 'debug-threads=on,guest=a'), 'a');
  assert.equal(name('--name', 'guest=a,,,,b'), 'a,,b');
  assert.equal(name('-name', 'debug-threads=on'), undefined);
  assert.equal(name('-name'), undefined);
  assert.equal(name(), undefined);
});

test('a process is gone when it has ended, also where that was before anybody looked', async () => {
  const child = spawn('sleep', ['1000']);
  const pid = child.pid as number;
  const watched = goneCheck([pid]);
  const both = goneCheck([pid, process.pid]);
  assert.equal(watched(), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(watched(), true);
  assert.equal(both(), false);
  assert.equal(goneCheck([pid])(), true);
});

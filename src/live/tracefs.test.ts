import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { main } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';

/*
 * A machine where nobody has mounted tracefs: a mount namespace without it, which ends with its shell.
 */

const able = needs('permission to trace', 'namespaces of its own');
const folder = mkdtempSync(join(tmpdir(), 'virtap-tracefs-'));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));

/** Runs virtap where tracefs is not mounted; `first` is done there before, and `as` is a program to run it by. */
function unmounted(args: string[], { first = ':', as = '' } = {}) {
  const gone = 'for at in /sys/kernel/debug /sys/kernel/tracing; do while umount -l $at 2>/dev/null; do :; done; done';
  const where = 'awk \'$3 == "tracefs" { print $2 }\' /proc/self/mounts >&2';
  const script = `${gone}; ${first}; ${as} "$@"; status=$?; ${where}; exit $status`;
  const line = ['-m', 'sh', '-c', script, 'sh', process.execPath, main, ...args];
  const { status, stdout, stderr } = spawnSync('unshare', line, { encoding: 'utf8', cwd: folder });
  return { status, stdout, stderr };
}

test('where tracefs is not mounted, whatever traces mounts it', able, () => {
  const recorded = unmounted(['record', '-e', 'sched_switch', '-o', join(folder, 'a.dat'), '--', 'true']);
  assert.equal(recorded.status, 0, recorded.stderr);
  assert.match(recorded.stderr, /^[\d,]+ events? of .*, none lost\n\/sys\/kernel\/tracing\n$/);
  const live = unmounted(['events', '--live', '--pid', String(process.pid), '--for', '600ms', '--json']);
  assert.match(live.stderr, /\/sys\/kernel\/tracing\n$/);
  const types = unmounted(['types', '--kernel', '-e', 'sched:sched_pi_setprio']);
  assert.equal(types.status, 0, types.stderr);
});

test('where somebody mounted it elsewhere, it is used there', able, () => {
  const place = join(folder, 'a place');
  mkdirSync(place);
  const { status, stderr } = unmounted(['types', '--kernel', '-e', 'sched:sched_pi_setprio'], {
    first: `mount -t tracefs nodev '${place}'`,
  });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, `${place.replace(' ', '\\040')}\n`);
});

test('a kernel that has no tracefs but within debugfs gives it from there', able, () => {
  const refusing = join(folder, 'bin');
  mkdirSync(refusing);
  writeFileSync(
    join(refusing, 'mount'),
    '#!/bin/sh\ncase "$*" in *tracefs*) exit 32 ;; *) exec /bin/mount "$@" ;; esac\n',
    { mode: 0o755 },
  );
  const { status, stderr } = unmounted(['types', '--kernel', '-e', 'sched:sched_pi_setprio'], {
    first: `PATH=${refusing}:$PATH`,
  });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '/sys/kernel/debug/tracing\n');
});

test('where it may not be mounted, one sentence has the command that does it', able, () => {
  const bounded = 'setpriv --bounding-set -sys_admin --inh-caps -sys_admin';
  for (const args of [
    ['record', '--all'],
    ['events', '--live', '--pid', '1'],
    ['types', '--kernel'],
  ]) {
    const root = unmounted(args, { as: bounded });
    assert.equal(root.status, 2);
    assert.match(
      root.stderr,
      /^virtap: tracefs is not mounted, and mounting it failed \(mount: .*permission denied.*\); as root, on the host itself: mount -t tracefs nodev \/sys\/kernel\/tracing; a container .*\n$/,
    );
    const nobody = unmounted(args, { as: 'setpriv --reuid 65534 --regid 65534 --clear-groups' });
    assert.deepEqual(nobody, {
      status: 2,
      stdout: '',
      stderr:
        'virtap: tracefs is not mounted: run virtap with sudo, which mounts it, or first: sudo mount -t tracefs nodev /sys/kernel/tracing\n',
    });
  }
});

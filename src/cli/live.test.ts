import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Guest, guestPort } from '../../test/guest.ts';
import { isRecording, start, virtap } from '../../test/recording.ts';
import { needs } from '../../test/tools.ts';

/*
 * Commands on a running machine. Truth: the guest does a known number of things.
 */

const folder = mkdtempSync(join(tmpdir(), 'virtap-live-'));
after(() => rmSync(folder, { recursive: true }));
const machine = needs('QEMU', 'KVM', 'permission to trace');

/** Runs virtap on a guest of so many rounds, until it is over, and Ctrl-C then. */
async function onGuest(rounds: number, ...args: string[]) {
  const guest = Guest.kvm(folder, rounds);
  try {
    await guest.ready();
    const { child, instance, ended } = start(...args, '--live', '--pid', String(guest.pid));
    await isRecording(instance);
    guest.begin();
    await guest.ended;
    child.kill('SIGINT');
    const run = await ended;
    assert.ok(!existsSync(instance));
    return run;
  } finally {
    guest.end();
  }
}

test('what a running machine does is counted to the event, and printed at Ctrl-C', machine, async () => {
  const { status, stdout, stderr } = await onGuest(5000, 'events', '--json', '--for', '600h');
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /Warning/);
  const { types, lost, clock, file } = JSON.parse(stdout);
  const counted = new Map(types.map((type: { name: string; count: number }) => [type.name, type.count]));
  assert.equal(counted.get('kvm:kvm_mmio'), 5000);
  // And the one that ends the guest.
  assert.equal(counted.get('kvm:kvm_pio'), 5001);
  assert.deepEqual([lost, clock], [0, 'mono']);
  assert.match(file, /^virtap-test \(\d+\)$/);
});

test('only what a command needs is switched on, and pairs are found as they come', machine, async () => {
  const args = ['--begin', `kvm_pio if port == ${guestPort}`, '--end', 'kvm_mmio', '--by', 'tid', '--json'];
  const { status, stdout, stderr } = await onGuest(5000, 'pairs', ...args);
  assert.equal(status, 0, stderr);
  assert.equal(JSON.parse(stdout).totals.count, 5000);
});

test('events are printed as they happen, with the names of threads', machine, async () => {
  const { status, stdout, stderr } = await onGuest(300, 'dump', '-e', 'kvm_mmio');
  assert.equal(status, 0, stderr);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 300);
  for (const line of lines)
    assert.match(line, /^ *CPU 0\/KVM-\d+ \[\d+\] [\d.]+: kvm:kvm_mmio: mmio write len 1 gpa 0xa0000 /);
});

test('--interval prints how things stand, and --for ends it', machine, async () => {
  const guest = Guest.kvm(folder, 1);
  try {
    await guest.ready();
    const args = ['--live', '--pid', String(guest.pid), '--interval', '100ms', '--for', '1500ms'];
    const { status, stdout, stderr } = await virtap('events', ...args);
    assert.equal(status, 0, stderr);
    const answers = stdout.match(/^ {2}format +live$/gm) ?? [];
    assert.ok(answers.length >= 3, stdout);
    for (const command of ['vcpus', 'exits']) {
      const nothing = await virtap(command, ...args);
      assert.equal(nothing.status, 2, nothing.stdout);
      assert.match(
        nothing.stderr,
        /^(virtap: virtap-test \(\d+\): none of its vCPUs left its guest in this time\n){2,}$/,
      );
    }
  } finally {
    guest.end();
  }
});

test('options that do not go together are said', async () => {
  const says = async (args: string[], sentence: RegExp) => {
    const { status, stderr } = await virtap(...args);
    assert.equal(status, 2);
    assert.match(stderr, sentence);
  };
  await says(['exits', '--live', 'trace.dat'], /^virtap: --live looks at running machines: leave out trace\.dat\n$/);
  await says(['exits', '--interval', '5s', 'trace.dat'], /^virtap: --interval goes with --live\n$/);
  await says(['exits'], /^virtap: missing required argument 'file' \(or --live\)\n$/);
});

test("a script gets a machine's events as they happen, and pairs of them", machine, async () => {
  const script = join(folder, 'script.ts');
  writeFileSync(
    script,
    `import { analyzer, stats } from 'virtap/script';
export default analyzer(({ print, pair }) => {
  const times = stats({ by: ['vcpu', 'vm'] });
  let writes = 0;
  pair({ from: 'kvm_pio', to: 'kvm_mmio', by: 'tid' }, ({ duration }, { vcpu, vm }) => times.at(vcpu, vm).add(duration));
  return {
    kvm_mmio({ gpa, type }) { if (gpa === '0xa0000' && type === 2) writes++ },
    end() { for (const [keys, { count }] of times) print(writes, count, ...keys) },
  };
});
`,
  );
  const { status, stdout, stderr } = await onGuest(2000, 'run', script);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^2000 2000 0 \d+\n$/);
  const all = await virtap('run', script, '--live', '--vm', 'no-such-machine');
  assert.deepEqual([all.status, all.stdout], [2, '']);
});

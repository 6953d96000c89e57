import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const host = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const folder = mkdtempSync(join(tmpdir(), 'virtap-report-'));
after(() => rmSync(folder, { recursive: true }));

test('the report in the terminal begins with the verdicts, the worst first, and has what each command prints', () => {
  const { status, stdout } = virtap('report', leak);
  assert.equal(status, 0);
  assert.match(stdout, /^bad {3}42 elements leaked on virtio-blk 0x56112e1233c0 queues 0 and 1 \(25 \+ 17\)\.\n/);
  for (const command of ['leaks', 'requests']) {
    const own = virtap(command, leak).stdout.split('\n').slice(0, 6).join('\n');
    assert.ok(stdout.includes(own), command);
  }
});

test('--json is one document of the very answers of the commands', () => {
  const all = JSON.parse(virtap('report', '--json', leak).stdout);
  assert.deepEqual(Object.keys(all), ['recording', 'verdicts', 'leaks', 'requests']);
  assert.deepEqual(all.leaks, JSON.parse(virtap('leaks', '--json', leak).stdout));
  assert.deepEqual(all.recording, JSON.parse(virtap('events', '--json', leak).stdout));
});

test('how long vCPUs were held outside the guest is one figure, of the report and of vcpus', () => {
  // By the table of virtap vcpus, whose states two vCPUs' 11.98 s divide into: 24.8 % guest and 21.2 % halted.
  const vcpus = virtap('vcpus', host).stdout;
  assert.match(vcpus, /^held outside the guest +6\.472 s +54\.0 % /m);
  const { stdout } = virtap('report', '--json', host);
  const { verdicts, vcpus: own } = JSON.parse(stdout) as {
    verdicts: { text: string }[];
    vcpus: { held_outside_guest: { share: number }; vcpus: { wall_ns: number; states: Record<string, number> }[] };
  };
  assert.ok(verdicts.some(({ text }) => text.startsWith('2 vCPUs were held outside the guest for 54.0 % of the time')));
  const wall = own.vcpus.reduce((sum, { wall_ns }) => sum + wall_ns, 0);
  const rest = own.vcpus.reduce((sum, { states }) => sum + (states.guest ?? 0) + (states.halted ?? 0), 0);
  assert.ok(Math.abs(own.held_outside_guest.share - (1 - rest / wall)) < 1e-6);
});

test('the heat map alone is of the exits, or else of the requests', () => {
  for (const [trace, what, legend] of [
    [host, 'VM exits by time and duration', 'exits per cell'],
    [leak, 'virtio requests by time and duration', 'requests per cell'],
  ] as const) {
    const [svg, png] = [join(folder, 'heat.svg'), join(folder, 'heat.png')];
    const { status, stderr } = virtap('report', '--svg', svg, '--png', png, '--title', 'a <title>', trace);
    assert.equal(status, 0, stderr);
    const text = readFileSync(svg, 'utf8');
    assert.ok(text.includes(what) && text.includes(`>${legend}<`) && text.includes('a &lt;title&gt;'));
    assert.deepEqual([...readFileSync(png).subarray(0, 4)], [137, 80, 78, 71]);
  }
});

test('what cannot be shown or written is said in a sentence', () => {
  const bare = join(folder, 'bare.txt');
  writeFileSync(
    bare,
    '# tracer: nop\n#\n   a-7 [000] d..1. 1.000001: sched_waking: comm=a pid=7 prio=120 target_cpu=000\n',
  );
  for (const [args, why] of [
    [[bare], /has nothing that a report could show/],
    [['-o', join(folder, 'no/such.html'), host], /^virtap: cannot write .*no\/such\.html: there is no such directory/],
    [['--open', host], /--open opens the page that -o writes/],
  ] as const) {
    const { status, stderr } = virtap('report', ...args);
    assert.equal(status, 2);
    assert.match(stderr, why);
  }
});

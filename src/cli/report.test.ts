import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const host = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const folder = mkdtempSync(join(tmpdir(), 'virtap-report-'));
after(() => rmSync(folder, { recursive: true }));

function virtap(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return { status, stdout, stderr };
}

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
    [['-o', join(folder, 'no/such.html'), host], /^virtap: cannot write .*no\/such\.html: ENOENT/],
    [['--open', host], /--open opens the page that -o writes/],
  ] as const) {
    const { status, stderr } = virtap('report', ...args);
    assert.equal(status, 2);
    assert.match(stderr, why);
  }
});

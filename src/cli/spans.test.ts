import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const log = join(root, 'samples/kvm-and-qemu.log.zst');

const main = join(import.meta.dirname, 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'virtap-spans-'));
after(() => rmSync(folder, { recursive: true }));

const json = (...args: string[]) => JSON.parse(virtap(...args, '--json').stdout) as Record<string, never>;
type Row = { [column: string]: string | number | boolean };

test('exits have the figures of virtap exits, whatever they are grouped by', () => {
  const { rows: expected } = json('exits', kvm) as unknown as { rows: Row[] };
  const { rows, totals } = json('spans', 'exits', kvm) as unknown as { rows: Row[]; totals: Row };
  const figures = ['count', 'total_ns', 'min_ns', 'avg_ns', 'max_ns', 'stddev_ns', 'p50_ns', 'p99_ns'];
  const of = (all: Row[]) =>
    all
      .map((row) => [row.reason, ...figures.map((name) => row[name])])
      .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
  assert.deepEqual(of(rows), of(expected));
  const { rows: byTwo } = json('spans', 'exits', '--by', 'vcpu,halt', kvm) as unknown as { rows: Row[] };
  assert.deepEqual(byTwo.map(({ vcpu, halt }) => `${vcpu} ${halt}`).sort(), ['0 false', '0 true', '1 false', '1 true']);
  assert.equal(
    byTwo.reduce((sum, { count }) => sum + Number(count), 0),
    totals.count,
  );
});

test('the time of all states of a vCPU is its wall time', () => {
  const { vcpus } = json('vcpus', kvm) as unknown as { vcpus: { vcpu: number; states: Row }[] };
  const { rows } = json('spans', 'states', '--by', 'vcpu,state', kvm) as unknown as { rows: Row[] };
  for (const { vcpu, states } of vcpus) {
    for (const [state, time] of Object.entries(states)) {
      if (time === 0) continue;
      assert.equal(rows.find((row) => row.vcpu === vcpu && row.state === state)?.total_ns, time, state);
    }
  }
});

test('a heat map, the longest, and CSV', () => {
  const { slow, heatmap, totals } = json('spans', 'waits', '--slow', '3', '--heatmap', log) as unknown as {
    slow: Row[];
    heatmap: { counts: number[][] };
    totals: Row;
  };
  assert.equal(slow.length, 3);
  assert.equal(slow[0]?.duration_ns, totals.max_ns);
  assert.match(String(slow[0]?.mutex), /^0x/);
  assert.equal(
    heatmap.counts.flat().reduce((a, b) => a + b, 0),
    totals.count,
  );
  const [header, ...lines] = virtap('spans', 'waits', '--by', 'contended', '--csv', log).stdout.trim().split('\n');
  assert.match(header as string, /^contended,count,rate_per_s,total_ns,/);
  assert.equal(lines.length, 2);
});

test('conditions are about the kind, and about its groups', () => {
  const failing = (condition: string) => virtap('spans', 'waits', '--fail-if', condition, log).status;
  assert.equal(failing('count(wait)>1'), 3);
  assert.equal(failing('count(wait)>1000000000'), 0);
  assert.equal(failing('count(wait:util/main-loop.c:318)>0'), 3);
});

/** The events of one thread as ftrace text. */
function text(name: string, ...events: [time: string, event: string][]): string {
  const path = join(folder, name);
  const line = ([time, event]: [string, string]) => `       CPU 0/KVM-101     [000] d..1.  ${time}: ${event}\n`;
  writeFileSync(path, `# tracer: nop\n#\n${events.map(line).join('')}`);
  return path;
}

test('without exits there are no states: nobody knows when a vCPU was in the guest', () => {
  const entries = text(
    'entries.txt',
    ['1.000000', 'kvm_entry: vcpu 0, rip 0x1'],
    ['1.000010', 'kvm_entry: vcpu 0, rip 0x1'],
  );
  const { status, stderr } = virtap('spans', 'states', entries);
  assert.equal(status, 2);
  assert.match(stderr, /there is no state in it; it takes kvm:kvm_exit and kvm:kvm_entry/);
  assert.match(virtap('export', '--format', 'csv', '--spans', 'states', entries).stderr, /no states to export/);
});

test('where there is nothing, what was lost is said, and which stretch it is about', () => {
  const lossy = join(root, 'test/data/mutants/late-loss.txt');
  assert.match(virtap('spans', 'exits', lossy).stderr, /no exit begins and ends in it .*\nLost: 4 events in 1 hole/);
  assert.match(virtap('report', lossy).stderr, /for exits: none of them can be timed, .*Lost: 4 events in 1 hole/);
  const exit = (n: number): [string, string][] => [
    [`${n}.000000`, 'kvm_exit: reason HLT rip 0x1 info 0 0'],
    [`${n}.000010`, 'kvm_entry: vcpu 0, rip 0x1'],
  ];
  const two = text('two.txt', ...exit(1), ...exit(2));
  assert.match(
    virtap('spans', 'exits', two, '--from', '1000005us').stdout,
    /No exit from 2\.000005000 to 2\.000010000 \(5\.000 µs\); the recording holds more than this\./,
  );
  // Recordings with holes are read twice: what was opened for the first time is closed.
  const collects =
    'let once; process.on("beforeExit", () => { if (!once) { once = true; gc(); setTimeout(() => {}, 100); } })';
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--import', `data:text/javascript,${encodeURIComponent(collects)}`, main, 'diff', lossy, kvm],
    { encoding: 'utf8' },
  );
  assert.doesNotMatch(stderr, /garbage/);
  assert.match(stdout, /late-loss/);
});

test('a wait says for how much of it another thread had the mutex: all together as virtap locks counts', () => {
  const { totals } = json('locks', log) as unknown as { totals: { held_by_others: Row; contended: number } };
  const lines = virtap('export', '--format', 'jsonl', '--spans', 'waits', log).stdout.trim().split('\n');
  const waits = lines.map((line) => JSON.parse(line) as Row);
  assert.equal(
    waits.reduce((sum, wait) => sum + Number(wait.held_by_others_ns), 0),
    totals.held_by_others.total_ns,
  );
  assert.equal(waits.filter((wait) => Number(wait.held_by_others_ns) > 0).length, totals.contended);
  assert.match(virtap('spans', 'waits', '--slow', '1', log).stdout, /heldByOthers\n.* 0 ns/);
});

test('what is not there is named', () => {
  assert.match(virtap('spans', 'exist', kvm).stderr, /no kind of span called exist; did you mean exits\?/);
  assert.match(
    virtap('spans', 'exits', '--by', 'raeson', kvm).stderr,
    /no column raeson to group by; did you mean reason\?/,
  );
  assert.match(virtap('spans', 'requests', kvm).stderr, /there is no request in it; it takes qemu:virtqueue_pop/);
  assert.match(virtap('spans').stdout, /^exits\n {2}a vCPU out of the guest/);
});

test('of a pipe, which cannot be read twice, a hole that comes to light late is counted across, and that is said', () => {
  const input = readFileSync(join(root, 'test/data/mutants/late-loss.txt'));
  const piped = (...args: string[]) => spawnSync(process.execPath, [main, ...args, '-'], { encoding: 'utf8', input });
  const late = /Holes came to light after the events that they make unsure, and standard input cannot be read twice/;
  for (const command of ['exits', 'vcpus', 'spans exits', 'export --format csv']) {
    const { stdout, stderr } = piped(...command.split(' '));
    assert.match(stdout + stderr, late, command);
  }
  assert.match(JSON.parse(piped('exits', '--json').stdout).notes.join(), late);
  // A file is read again instead; and nothing ended before a hole that is told in time.
  assert.doesNotMatch(virtap('exits', join(root, 'test/data/mutants/late-loss.txt')).stdout, late);
  const intime = readFileSync(kvm);
  assert.doesNotMatch(
    spawnSync(process.execPath, [main, 'exits', '-'], { encoding: 'utf8', input: intime }).stdout,
    late,
  );
});

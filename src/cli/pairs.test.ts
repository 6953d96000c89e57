import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-pairs-'));
after(() => rmSync(folder, { recursive: true }));

const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '120' } }, 'pairs', ...args);

/** ftrace's text of writes to a port and entries: two writes to 0x3f8 take 30 and 50 µs, one to 0x80 takes 20 and one does not end. */
const text = join(folder, 'pio.txt');
const line = (vcpu: number, µs: number, event: string) =>
  `       CPU ${vcpu}/KVM-10${vcpu}     [00${vcpu}] d..1.  1.${String(µs).padStart(6, '0')}: ${event}`;
const pio = (port: string) => `kvm_pio: pio_write at ${port} size 1 count 1 val 0x41 `;
writeFileSync(
  text,
  `# tracer: nop\n#\n${[
    line(0, 100, pio('0x3f8')),
    line(1, 110, pio('0x3f8')),
    line(0, 130, 'kvm_entry: vcpu 0, rip 0xfff0'),
    line(1, 160, 'kvm_entry: vcpu 1, rip 0xfff0'),
    line(0, 200, pio('0x80')),
    line(0, 220, 'kvm_entry: vcpu 0, rip 0xfff0'),
    line(0, 230, 'kvm_entry: vcpu 0, rip 0xfff0'),
    line(1, 300, pio('0x3f8')),
    line(1, 400, pio('0x80')),
  ].join('\n')}\n`,
);
const pioPairs = ['--begin', 'kvm_pio', '--end', 'kvm_entry', '--by', 'tid', text];

test('the text has groups, the slow log, what has not ended and what could not be paired', () => {
  const { status, stdout, stderr } = ask(...pioPairs, '--group', 'port', '--slow', '1');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^ {2}3 pairs from kvm_pio to kvm_entry by tid in 300\.0 µs$/m);
  assert.match(stdout, /^0x3f8 +2 .* 80\.00 µs +80\.0 % +30\.00 µs +40\.00 µs +50\.00 µs/m);
  assert.match(stdout, /^0x80 +1 .* 20\.00 µs +20\.0 %/m);
  assert.match(stdout, /^all +3 .* 100\.0 µs/m);
  assert.match(
    stdout,
    /^Slow pairs, the 1 slowest of 3\n\n1\.000110000 {2}CPU 1\/KVM 101 {2}CPU 1 {2}0x3f8 {2}50\.00 µs\n {6}\+0 ns {2}kvm:kvm_pio {4}pio_write at 0x3f8 .*\n {2}\+50\.00 µs {2}kvm:kvm_entry {2}vcpu 1, rip 0xfff0$/m,
  );
  assert.match(
    stdout,
    /^Not ended: 1\n.*\n1\.000400000 +0 ns {2}CPU 1\/KVM 101 {2}CPU 1 {2}kvm:kvm_pio pio_write at 0x80/m,
  );
  assert.match(stdout, /^1 times kvm_pio came again before kvm_entry did: the later one counts\.$/m);
  assert.match(stdout, /^1 times kvm_entry came without kvm_pio before it\.$/m);
});

test('either event may have a condition', () => {
  const of = (from: string, to: string) =>
    JSON.parse(ask('--from', from, '--to', to, '--by', 'tid', text, '--json').stdout).totals.total_ns;
  assert.equal(of('kvm_pio if port == 0x3f8', 'kvm_entry'), 80_000);
  assert.equal(of('kvm_pio if port == 0x3f8', 'kvm_entry if vcpu_id == 1'), 50_000);
  assert.equal(of('kvm_pi? if port != 0x3f8', '*entry'), 20_000);
});

test('JSON has groups as objects, both events of slow pairs, and counts of what was not paired', () => {
  const { stdout } = ask(...pioPairs, '--group', 'port,vcpu', '--slow', '2', '--heatmap', '--json');
  const answer = JSON.parse(stdout);
  assert.deepEqual(
    answer.rows.map((row: { group: object; count: number; total_ns: number }) => [row.group, row.count, row.total_ns]),
    [
      [{ port: '0x3f8', vcpu: '1' }, 1, 50_000],
      [{ port: '0x3f8', vcpu: '0' }, 1, 30_000],
      [{ port: '0x80', vcpu: '0' }, 1, 20_000],
    ],
  );
  assert.deepEqual([answer.from, answer.to, answer.by], ['kvm_pio', 'kvm_entry', ['tid']]);
  assert.deepEqual([answer.slow[0].duration_ns, answer.slow[0].time], [50_000, '1.000110000']);
  assert.equal(answer.slow[0].to.event, 'kvm:kvm_entry');
  const { begins, ends, pairs, began_again, ends_first, open_at_end } = answer.unpaired;
  assert.deepEqual([begins, ends, pairs, began_again, ends_first, open_at_end], [5, 4, 3, 1, 1, 1]);
  assert.equal(answer.unfinished[0].from.event, 'kvm:kvm_pio');
  assert.equal(
    answer.heatmap.counts.flat().reduce((sum: number, n: number) => sum + n, 0),
    3,
  );
});

test('--breakdown says whether the threads ran, or that it cannot be told', () => {
  const exits = ['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid', '--breakdown', kvm];
  const { stdout } = ask(...exits, '--group', 'reason', '--slow', '1');
  assert.match(stdout, /^Where the time went\nreason +total +running +preempted +blocked\n/m);
  assert.match(stdout, /^interrupt +2\.213 s +7\.0 % +93\.0 % +-$/m);
  assert.match(stdout, /interrupt {2}90\.61 ms\n {2}446\.7 µs running, 90\.16 ms preempted\n/);
  const { totals, rows } = JSON.parse(ask(...exits, '--json').stdout);
  const { running, preempted, blocked, unknown } = totals.states;
  assert.equal(running + preempted + blocked + unknown, totals.total_ns);
  assert.deepEqual(rows[0].states, totals.states);
  assert.match(ask(...pioPairs, '--breakdown').stdout, /^That cannot be told: there is no sched:sched_switch/m);
});

test('CSV has a column for each group', () => {
  const { stdout } = ask(...pioPairs, '--group', 'port', '--csv');
  const [head, ...rows] = stdout.trimEnd().split('\n');
  assert.match(head as string, /^port,count,/);
  assert.deepEqual(
    rows.map((row) => row.split(',').slice(0, 2)),
    [
      ['0x3f8', '2'],
      ['0x80', '1'],
    ],
  );
});

test('names that the trace does not have are said, with what was meant', () => {
  const cases: [args: string[], stderr: RegExp][] = [
    [
      ['--begin', 'kvm_exti', '--end', 'kvm_entry', '--by', 'tid'],
      /no event in .* is called kvm_exti; did you mean .*kvm_exit/,
    ],
    [
      ['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'vpcu_id'],
      /kvm_exit has no field vpcu_id.*there are .*exit_reason/,
    ],
    [['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid', '--group', 'prot'], /has no field prot/],
    [['--begin', 'kvm_exit if x ==', '--end', 'kvm_entry', '--by', 'tid'], /argument 'kvm_exit if x ==' is invalid/],
    [['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', ''], /Expected one to eight fields/],
    [['--begin', 'kvm_exit', '--by', 'tid'], /required option '--end <event>'/],
    [['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'vcpu_id', '--breakdown'], /--by must have tid/],
  ];
  for (const [args, expected] of cases) {
    const { status, stdout, stderr } = ask(...args, kvm);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, expected);
  }
});

test('where nothing pairs, a sentence says why', () => {
  const none = (...args: string[]) => ask(...args, text).stdout;
  assert.match(
    none('--begin', 'kvm_pio', '--end', 'kvm_entry', '--by', 'port=vcpu_id'),
    /There are 5 events to begin with and 4 to end with, but no two that follow each other are equal in port=vcpu_id\./,
  );
  assert.match(
    none('--begin', 'kvm_pio if port == 7', '--end', 'kvm_entry', '--by', 'tid'),
    /There are 0 events to begin with and 4 to end with: nothing to pair\./,
  );
});

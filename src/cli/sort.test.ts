import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const log = join(root, 'samples/kvm-and-qemu.log.zst');
const pair = ['--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid'];

type Row = { [key: string]: unknown };

/** Command lines whose rows stand under a key of their JSON, and what conditions call one. */
const tables: [args: string[], rows: string, kind: string][] = [
  [['events', kvm], 'types', 'event'],
  [['exits', kvm], 'rows', 'exit'],
  [['vcpus', kvm], 'vcpus', 'vcpu'],
  [['leaks', leak, '--all'], 'queues', 'queue'],
  [['leaks', leak, '--all'], 'elements', 'element'],
  [['requests', leak], 'queues', 'request'],
  [['locks', log], 'mutexes', 'mutex'],
  [['pairs', kvm, ...pair, '--group', 'exit_reason'], 'rows', 'pair'],
  [['spans', 'exits', kvm], 'rows', 'exit'],
];

/** They name things: there is no most of them. */
const ids = new Set(['pid', 'vm', 'vcpu', 'tid', 'queue']);
/** Moments come in order of time. */
const isMoment = (key: string) => /^(begin|end|pop|done)_ns$/.test(key);

function rowsOf(args: readonly string[], under: string): Row[] {
  const { stdout, stderr } = virtap(...args, '--json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout)[under];
}

test('every table is sorted by every number that its JSON has', () => {
  for (const [args, under] of tables) {
    const rows = rowsOf(args, under);
    const keys = Object.keys(rows[0] as Row).filter((key) => rows.some((row) => typeof row[key] === 'number'));
    assert.ok(keys.length > 0, args.join(' '));
    for (const key of keys) {
      const values = rowsOf([...args, '--sort', key], under).map((row) => row[key]);
      const numbers = values.filter((value) => typeof value === 'number');
      const up = ids.has(key) || isMoment(key);
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => (up ? a - b : b - a)),
        `${args.join(' ')} --sort ${key}`,
      );
      // What has no value comes last.
      assert.ok(values.slice(numbers.length).every((value) => typeof value !== 'number'));
    }
  }
});

test('a table is sorted by the titles of its columns, by words, and by a number within an object', () => {
  const cases: [args: string[], under: string, of: (row: Row) => unknown][] = [
    [['exits', kvm, '--sort', 'p99.9'], 'rows', (row) => row.p999_ns],
    [['exits', kvm, '--sort', 'p99_ns'], 'rows', (row) => row.p99_ns],
    [['locks', log, '--sort', 'acquired'], 'mutexes', (row) => row.acquisitions],
    [['locks', log, '--sort', 'max-hold'], 'mutexes', (row) => (row.hold as Row).max_ns],
    [['locks', log, '--sort', 'hold.max_ns'], 'mutexes', (row) => (row.hold as Row).max_ns],
    [['vcpus', kvm, '--sort', 'preempted'], 'vcpus', (row) => (row.states as Row).preempted],
    [['requests', leak, '--sort', 'most'], 'queues', (row) => (row.in_flight as Row).max],
  ];
  for (const [args, under, of] of cases) {
    const values = rowsOf(args, under).map((row) => of(row) as number | null);
    const numbers = values.filter((value) => value !== null);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => b - a),
      args.join(' '),
    );
  }
  const reasons = rowsOf(['exits', kvm, '--sort', 'reason'], 'rows').map(({ reason }) => reason as string);
  assert.deepEqual(reasons, reasons.toSorted());
  const devices = rowsOf(['leaks', leak, '--sort', 'device'], 'queues').map(({ device }) => device as string);
  assert.deepEqual(devices, devices.toSorted());
  // The call sites and threads of each mutex are sorted, too.
  const [bql] = rowsOf(['locks', log, '--sort', 'acquired'], 'mutexes') as { sites: Row[] }[];
  const acquired = bql?.sites.map(({ acquisitions }) => acquisitions as number) ?? [];
  assert.deepEqual(
    acquired,
    acquired.toSorted((a, b) => b - a),
  );
});

test('a column that there is not is refused, and a near one named', () => {
  for (const [args, stderr] of [
    [['locks', log, '--sort', 'aquired'], /There is no column aquired; did you mean acquired\?/],
    [['vcpus', kvm, '--sort', 'wall_n'], /did you mean wall/],
    [['locks', log, '--sort', 'hold.size'], /--sort hold\.size: no row has a number called so/],
  ] as const) {
    const result = virtap(...args);
    assert.deepEqual([result.status, result.stdout], [2, ''], args.join(' '));
    assert.match(result.stderr, stderr);
  }
});

test('a condition can be about every number that the JSON of a row has', () => {
  for (const [args, under, kind] of tables) {
    const rows = rowsOf(args, under);
    const keys = Object.keys(rows[0] as Row).filter(
      (key) => !ids.has(key) && !isMoment(key) && rows.some((row) => typeof row[key] === 'number'),
    );
    const conditions = keys.map((key) => `${key}(${kind})>=0`);
    const { status, stderr } = virtap(...args, ...conditions.flatMap((condition) => ['--fail-if', condition]));
    assert.equal(status, 3, `${args.join(' ')}: ${stderr}`);
    const told = stderr.split('\n').filter((line) => line !== '');
    assert.deepEqual(
      told.map((line) => line.replace(/^virtap: (.*): it is .*$/, '$1')),
      conditions,
    );
  }
});

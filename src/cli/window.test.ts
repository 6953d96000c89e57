import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

/*
 * A stretch of a recording, by --from and --to: what is counted in it, and what holds in it because the recording as a whole knows it.
 */

const sample = (name: string) => join(import.meta.dirname, '../../samples', name);
const host = sample('host-kvm.dat');
const log = sample('kvm-and-qemu.log.zst');
const leak = sample('qemu-leak.bin.zst');

// biome-ignore lint/suspicious/noExplicitAny: the shape is that of each command's JSON
function json(...args: string[]): any {
  const { stdout, stderr } = virtap(...args, '--json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout);
}

/** Consecutive stretches that cut a recording into parts, none of them with an event at its bounds. */
function parts(...cuts: number[]): string[][] {
  return [...cuts, Number.POSITIVE_INFINITY].map((to, n) => {
    const from = n === 0 ? [] : ['--from', `${cuts[n - 1]}ms`];
    return Number.isFinite(to) ? [...from, '--to', `${to}ms`] : from;
  });
}

test('each exit belongs to the stretch in which it begins, and no stretch knows less than the recording', () => {
  const whole = json('exits', host, '--breakdown');
  const pieces = parts(700, 2300, 2350, 5000).map((range) => json('exits', host, '--breakdown', ...range));
  const sum = (of: (piece: typeof whole) => number) => pieces.reduce((all, piece) => all + of(piece), 0);
  assert.equal(
    sum(({ unpaired }) => unpaired.exits),
    whole.unpaired.exits,
  );
  // What is open at the end of one is neither counted there nor in the next.
  assert.equal(
    sum(({ totals, unpaired }) => totals.all.count + unpaired.open_at_end),
    whole.unpaired.exits,
  );
  for (const piece of pieces) assert.deepEqual(piece.not_told_apart, whole.not_told_apart);
});

test("vCPUs' time in stretches adds up to that in the whole: what each does when one begins is known from before", () => {
  type Row = { vcpu: number; wall_ns: number; exits: number; states: Record<string, number> };
  const figures = ({ wall_ns: wall, exits, states }: Row) => [
    wall,
    exits,
    ...['guest', 'qemu', 'preempted', 'blocked'].map((state) => states[state] ?? 0),
    // Whether a halt's beginning was polling may come to light behind the stretch.
    (states.kvm ?? 0) + (states.halted ?? 0),
  ];
  const whole = json('vcpus', host);
  const pieces = parts(700, 2300, 2301, 5000).map((range) => json('vcpus', host, ...range));
  for (const row of whole.vcpus as Row[]) {
    const own = pieces.map(({ vcpus }) => figures((vcpus as Row[]).find(({ vcpu }) => vcpu === row.vcpu) as Row));
    assert.deepEqual(
      own.reduce((a, b) => a.map((figure, n) => figure + (b[n] as number))),
      figures(row),
    );
  }
  for (const piece of pieces) assert.deepEqual(piece.not_told_apart, whole.not_told_apart);
  // In this millisecond no event of the first tells where it is: the one before does.
  assert.equal((pieces[2].vcpus as Row[])[0]?.wall_ns, 1e6);
});

test('the BQL is the BQL in every stretch, and threads are who they are', () => {
  type Mutex = { name: string; mutex: string; acquisitions: number; threads: { role: string; tid: number }[] };
  const whole = json('locks', log);
  const names = new Map((whole.mutexes as Mutex[]).map(({ name, mutex }) => [mutex, name]));
  const roles = new Map(
    (whole.mutexes as Mutex[]).flatMap(({ threads }) => threads.map(({ tid, role }) => [tid, role])),
  );
  let acquired = 0;
  for (const range of parts(200, 210, 800, 1600)) {
    const { mutexes } = json('locks', log, ...range) as { mutexes: Mutex[] };
    assert.ok(mutexes.length > 0);
    for (const { name, mutex, acquisitions, threads } of mutexes) {
      assert.equal(name, names.get(mutex));
      for (const { tid, role } of threads) assert.equal(role, roles.get(tid));
      acquired += acquisitions;
    }
  }
  assert.equal(
    acquired,
    (whole.mutexes as Mutex[]).reduce((sum, { acquisitions }) => sum + acquisitions, 0),
  );
});

test('requests and elements belong to the stretch of their pop; devices are called the same in each', () => {
  type Queue = {
    vq: string;
    device: string;
    vdev: string;
    queue: number;
    role: string;
    popped: number;
    filled: number;
  };
  const name = ({ device, vdev, queue, role }: Queue) => `${device} ${vdev} ${queue} ${role}`;
  const whole = json('leaks', leak).queues as Queue[];
  const popped = new Map<string, number>();
  for (const range of parts(5000, 5700, 7600)) {
    for (const queue of json('leaks', leak, ...range).queues as Queue[]) {
      assert.equal(name(queue), name(whole.find(({ vq }) => vq === queue.vq) as Queue));
      assert.ok(queue.popped > 0);
      popped.set(queue.vq, (popped.get(queue.vq) ?? 0) + queue.popped);
    }
  }
  for (const { vq, popped: all } of whole) assert.equal(popped.get(vq), all);
  const missing = json('requests', leak).missing;
  assert.deepEqual(json('requests', leak, '--from', '5s', '--to', '5700ms').missing, missing);
});

test('a span of any kind belongs to the stretch in which it begins; a state that lasts already begins with it', () => {
  for (const [kind, file, ...cuts] of [
    ['exits', sample('kvm-and-qemu.dat'), 700, 1003],
    ['states', sample('kvm-and-qemu.dat'), 700, 1003],
    ['waits', log, 700, 1003],
    ['holds', log, 700, 1003],
    ['requests', leak, 5000, 7600],
  ] as const) {
    const whole = json('spans', kind, file);
    const pieces = parts(...cuts).map((range) => json('spans', kind, file, ...range));
    const sum = (of: (piece: typeof whole) => number) => pieces.reduce((all, piece) => all + of(piece), 0);
    if (kind === 'states') {
      assert.equal(
        sum(({ totals }) => totals.total_ns),
        whole.totals.total_ns,
      );
      continue;
    }
    // What ends behind its stretch is open there, and in the next nobody's.
    assert.equal(
      sum(({ totals, open_count: open }) => totals.count + open),
      whole.totals.count + whole.open_count,
      kind,
    );
    for (const { totals } of pieces) assert.ok(totals.count < whole.totals.count, kind);
  }
});

test('virtap export and scripts give the spans of a stretch that the commands count', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' }).stdout;
  const [from, to] = ['1000ms', '1500ms'];
  const { totals } = json('spans', 'states', host, '--from', from, '--to', to);
  const lines = run('export', '--format', 'csv', '--spans', 'states', '--from', from, '--to', to, host).trim();
  assert.equal(lines.split('\n').length - 1, totals.count);
  const folder = mkdtempSync(join(tmpdir(), 'virtap-window-'));
  try {
    const script = join(folder, 'states.ts');
    writeFileSync(
      script,
      `import { analyzer } from 'virtap/script';
      export default analyzer(({ print }) => {
        let [states, total, events, least] = [0, 0, 0, Infinity];
        return {
          vcpuState({ begin, duration }) { states++; total += duration; least = Math.min(least, begin) },
          kvm_entry(_, { time }) { events++; least = Math.min(least, time) },
          end() { print(states, total, events, least) },
        };
      });`,
    );
    const [states, total, events, least] = run('run', script, host, '--from', from, '--to', to).trim().split(/\s+/);
    assert.deepEqual([Number(states), Number(total)], [totals.count, totals.total_ns]);
    const { types } = json('events', host, '--from', from, '--to', to) as { types: { name: string; count: number }[] };
    assert.equal(Number(events), types.find(({ name }) => name === 'kvm:kvm_entry')?.count);
    // The first vCPU's state lasts already.
    assert.equal(Number(least), 1e9);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('in a stretch without an event, what vCPUs do goes on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-window-'));
  try {
    const idle = join(folder, 'idle.txt');
    const line = (time: string, event: string) => `       CPU 0/KVM-101     [000] d..1.  ${time}: ${event}\n`;
    const exit = 'kvm_exit: reason HLT rip 0x1 info 0 0';
    const entry = 'kvm_entry: vcpu 0, rip 0x1';
    writeFileSync(
      idle,
      `# tracer: nop\n#\n${line('1.000000', entry)}${line('1.000100', exit)}${line('2.000000', entry)}${line('2.000100', exit)}`,
    );
    const range = ['--from', '500ms', '--to', '600ms'];
    const { vcpus } = json('vcpus', idle, ...range) as { vcpus: { wall_ns: number; exits: number }[] };
    assert.deepEqual([vcpus.length, vcpus[0]?.wall_ns, vcpus[0]?.exits], [1, 100e6, 0]);
    const { totals } = json('spans', 'states', idle, ...range);
    assert.deepEqual([totals.count, totals.total_ns], [1, 100e6]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a stretch in which nothing of a kind happened is an answer; what the recording holds is said of the whole', () => {
  const main = join(import.meta.dirname, 'main.ts');
  const ask = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
  // In its first 10 µs there is one event of the scheduler, and so there is in 1 ns of QEMU's recordings.
  for (const [file, to, ...commands] of [
    [host, '10us', 'exits', 'vcpus', 'spans exits', 'spans states', 'spans migrations', 'report'],
    [leak, '1ns', 'leaks', 'requests', 'spans requests', 'report'],
    [log, '1ns', 'locks', 'locks --mutex BQL', 'spans waits', 'report'],
  ] as const) {
    for (const command of commands) {
      const { status, stdout, stderr } = ask(...command.split(' '), file, '--from', '0s', '--to', to);
      assert.deepEqual([status, stderr], [0, ''], command);
      assert.match(stdout, /^(No|At no) .* from \d+\.\d{9} to \d+\.\d{9} \(/m, command);
      assert.doesNotMatch(stdout, /NaN|To record|^good /m, command);
      assert.equal(typeof json(...command.split(' '), file, '--from', '0s', '--to', to), 'object');
    }
    type Answer = { command: string; answer: string };
    const can = (...range: string[]) =>
      (json('events', file, ...range).answers as Answer[]).map(({ command, answer }) => `${command}: ${answer}`);
    assert.deepEqual(can('--from', '0s', '--to', to), can());
  }
  const { totals } = json('exits', host, '--from', '0s', '--to', '10us');
  assert.deepEqual([totals.all.count, totals.all.rate_per_s, totals.all.total_ns], [0, 0, 0]);
  for (const range of [['--from', '0s', '--to', '10us']]) {
    const { status, stdout, stderr } = ask('export', '--format', 'csv', host, ...range);
    assert.deepEqual([status, stdout.trimEnd().split('\n').length], [0, 1]);
    assert.match(stderr, /no exits and .* from 1382\.004307030 to 1382\.004317030 \(10\.00 µs\)/);
  }
  const folder = mkdtempSync(join(tmpdir(), 'virtap-window-'));
  const script = join(folder, 'count.ts');
  try {
    writeFileSync(
      script,
      `import { analyzer } from 'virtap/script';
      export default analyzer(({ print }) => {
        let n = 0;
        return { exit() { n++ }, kvm_exit() { n++ }, end() { print(n) } };
      });`,
    );
    const { status, stdout, stderr } = ask('run', script, host, '--from', '0s', '--to', '10us');
    assert.deepEqual([status, stdout, stderr], [0, '0\n', '']);
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.equal(ask('dump', host, '--event', 'kvm_exit', '--from', '0s', '--to', '10us').status, 0);
  assert.equal(
    ask('pairs', host, '--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid', '--to', '10us').status,
    0,
  );
  // What the recording itself has not is refused in a stretch of it, too.
  const refused = ask('requests', host, '--from', '0s', '--to', '10us');
  assert.match(refused.stderr, /has no virtqueue_pop and no virtqueue_fill event/);
  assert.equal(refused.status, 2);
});

test('rates are over the stretch, whichever command is asked', () => {
  // The events of this stretch do not reach its bounds.
  const range = ['--from', '1000ms', '--to', '1007ms'];
  type Type = { name: string; count: number; rate_per_s: number };
  const events = json('events', host, ...range) as { duration_ns: number; types: Type[] };
  const exits = json('exits', host, ...range);
  const { count, rate_per_s: rate } = events.types.find(({ name }) => name === 'kvm:kvm_exit') as Type;
  assert.deepEqual([events.duration_ns, exits.duration_ns], [7e6, 7e6]);
  assert.ok(Math.abs(rate - count / 7e-3) < 1e-2);
  const { all } = exits.totals;
  assert.ok(Math.abs(all.rate_per_s - all.count / 7e-3) < 1e-2);
});

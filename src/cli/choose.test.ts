import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

/* What people used to perf and trace-cmd try first: choosing exits and events, files and stretches of time. */

const host = join(import.meta.dirname, '../../samples/host-kvm.dat');

function printed(...args: string[]): string {
  const { status, stdout, stderr } = virtap(...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

type Row = { reason: string; count: number; total_ns: number };
const rows = (...args: string[]) => (JSON.parse(printed('exits', '--json', ...args, host)) as { rows: Row[] }).rows;

/** Each line of the dump: its thread, CPU, event and text. */
function lines(...args: string[]): { tid: string; cpu: number; event: string; line: string }[] {
  return printed('dump', ...args, host)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, tid, cpu, event] = /-(\d+) \[(\d+)\] [\d.]+: (\S+): /.exec(line) as string[] as [
        string,
        string,
        string,
        string,
      ];
      return { tid, cpu: Number(cpu), event, line };
    });
}

test('exits of some reasons are those of the whole, and the header says which', () => {
  const all = rows();
  const wanted = ['io', 'npf'];
  const picked = rows('--reason', 'EXIT_IO,npf');
  const figures = (of: Row[]) => of.map(({ reason, count, total_ns: total }) => [reason, count, total]);
  assert.deepEqual(figures(picked), figures(all.filter(({ reason }) => wanted.includes(reason))));
  const text = printed('exits', '--reason', 'io', '--slow', '5', host);
  assert.match(text, /^ {2}472 of 11,914 exits in 5\.989 s, vCPU 0, 1; chosen: reason io$/m);
  assert.equal(text.match(/^1\d+\.\d{9} .* io /gm)?.length, 5);
  assert.match(printed('exits', '--reason', 'io,nosuch', host), /^No exit had the reason nosuch\.$/m);
});

test('exits of a CPU are those that began there', () => {
  const began = new Map<string, number>();
  const counts = new Map<number, number>();
  for (const { tid, cpu, event } of lines('--event', 'kvm_exit,kvm_entry')) {
    if (event === 'kvm:kvm_exit') began.set(tid, cpu);
    else if (began.has(tid)) {
      const on = began.get(tid) as number;
      counts.set(on, (counts.get(on) ?? 0) + 1);
      began.delete(tid);
    }
  }
  assert.ok(counts.size > 1);
  for (const [cpu, count] of counts) {
    assert.equal(
      rows('--cpu', String(cpu)).reduce((sum, row) => sum + row.count, 0),
      count,
    );
  }
});

test('events of a CPU or a vCPU, the first or last of them, and some of their fields', () => {
  const all = lines('--event', 'kvm_exit');
  const text = (of: { line: string }[]) => of.map(({ line }) => line);
  assert.deepEqual(text(lines('-e', 'kvm_exit', '--cpu', '1')), text(all.filter(({ cpu }) => cpu === 1)));
  assert.deepEqual(
    text(lines('-e', 'kvm_exit', '--vcpu', '0')),
    text(all.filter(({ line }) => line.includes(': vcpu 0 '))),
  );
  assert.deepEqual(text(lines('-e', 'kvm_exit', '--tail', '7')), text(all.slice(-7)));
  const { length } = all;
  assert.equal(lines('-e', 'kvm_exit', '--tail', String(length + 3)).length, length);

  const fields = printed('dump', '-e', 'kvm_exit', '-F', 'cpu,vcpu,reason,guest_rip', '--head', '50', host).trimEnd();
  assert.deepEqual(
    fields.split('\n'),
    all.slice(0, 50).map(({ cpu, line }) => {
      const [, vcpu, reason, rip] = /vcpu (\d) reason (\S+) rip (\S+)/.exec(line) as string[];
      return `${cpu} ${vcpu} ${reason} ${rip}`;
    }),
  );
  const { stderr } = virtap('dump', '-e', 'kvm_exit', '-F', 'exit_reson', '-n', '1', host);
  assert.match(stderr, /no event here has a field exit_reson; did you mean exit_reason\?/);
  assert.match(virtap('dump', '--vcpu', '9', host).stderr, /there is no event that was selected/);
});

test('a file by -i, a stretch of time by --time, no colours by --no-color', () => {
  assert.equal(printed('exits', '-i', host), printed('exits', host));
  const between = printed('exits', '--from', '1s', '--to', '2500ms', host);
  assert.equal(printed('exits', '--time', '1s,2.5s', host), between);
  assert.equal(printed('exits', '--time', '1383.004307030,1384.504307030', host), between);
  // 5.988754473 s in all.
  assert.equal(
    printed('exits', '--time', '10%-20%', host),
    printed('exits', '--from', '598875447ns', '--to', '1197750895ns', host),
  );
  assert.equal(printed('exits', '--color', 'always', '--no-color', host), printed('exits', host));
  for (const wrong of [',', '1s', '20%-10%', '1s,2s,3s', '0%-101%'])
    assert.match(virtap('exits', '--time', wrong, host).stderr, /Expected two moments/, wrong);
  assert.match(virtap('exits', '--time', '10%-20%', '-').stderr, /needs files that can be read twice/);
});

test('an option that is not there names the one that is', () => {
  for (const [words, hint] of [
    ['exits --limit 5', '--slow NUMBER'],
    ['exits -F comm', 'dump --fields'],
    ['vcpus --reason io', 'virtap exits --reason'],
    ['leaks --since 1s', '--from TIME'],
    ['exits --key count', '--sort'],
  ] as const) {
    const { status, stderr } = virtap(...words.split(' '), host);
    assert.equal(status, 2);
    assert.match(stderr, new RegExp(`^virtap: unknown option '-[^']*': .*${hint}`), words);
  }
});

test('--from and --to are times in every command; what they named in pairs and export before is still understood, and said', () => {
  const pair = ['pairs', '--begin', 'kvm_exit', '--end', 'kvm_entry', '--json'];
  const part = printed(...pair, '--from', '1s', '--to', '2s', host);
  assert.equal(printed(...pair, '--by', 'tid', '--time', '1s,2s', host), part);
  const old = virtap(
    'pairs',
    '--from',
    'kvm_exit',
    '--to',
    'kvm_entry',
    '--since',
    '1s',
    '--until',
    '2s',
    '--json',
    host,
  );
  assert.equal(old.stdout, part);
  for (const word of ['--begin', '--end', '--from now', '--to now'])
    assert.match(old.stderr, new RegExp(`${word}$`, 'm'));

  const rows = printed('export', '--format', 'csv', '--time', '1s,1.1s', host);
  assert.equal(virtap('export', '--to', 'csv', '--since', '1s', '--until', '1.1s', host).stdout, rows);
  const file = join(mkdtempSync(join(tmpdir(), 'virtap-choose-')), 'x.csv');
  printed('export', '-o', file, '--from', '1s', '--to', '1.1s', host);
  assert.equal(readFileSync(file, 'utf8'), rows);
  rmSync(dirname(file), { recursive: true });
  assert.match(virtap('export', host).stderr, /what is to be written\? Say --format perfetto/);
  assert.match(virtap('pairs', '--begin', 'kvm_exit', host).stderr, /required option '--end <event>' not specified/);
});

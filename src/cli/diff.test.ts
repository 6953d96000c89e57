import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtap, virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const busy = join(root, 'samples/host-kvm.dat');
const quiet = join(root, 'samples/kvm-and-qemu.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-diff-'));
after(() => rmSync(folder, { recursive: true }));
const log = join(root, 'samples/kvm-and-qemu.log.zst');
const leak = join(root, 'samples/qemu-leak.bin.zst');

const diff = (args: readonly string[], columns = '') => virtapIn({ env: { COLUMNS: columns } }, 'diff', ...args);

test('what changed stands first, with both values and the interval; noise is a range; it fits the terminal', () => {
  for (const columns of ['80', '200']) {
    const { status, stdout, stderr } = diff([quiet, busy], columns);
    assert.deepEqual([status, stderr], [0, '']);
    const table = stdout.split('\n\n')[1] as string;
    assert.match(
      table,
      /^What changed: \d+ of \d+ comparisons\nreason +figure +before +after +change +95 % interval$/m,
    );
    assert.match(table, /^interrupt +time\/s +21\.69 ms +369\.5 ms +×17 +×9\.0…×32$/m);
    for (const line of stdout.split('\n'))
      assert.ok(line.length <= Number(columns) || /^Note|^Not told/.test(line), line);
    assert.match(stdout, /^npf .* [-+][\d.]+…\+[\d.]+ %|×/m);
    assert.equal(/^interrupt .* 21\.69 ms → 369\.5 ms/m.test(stdout), columns === '200');
  }
  assert.match(diff([busy, busy]).stdout, /^Nothing changed by more than noise, in \d+ comparisons\.$/m);
});

test('JSON and CSV have the same figures as the text, and all of them', () => {
  const answer = JSON.parse(diff([quiet, busy, '--json']).stdout);
  assert.deepEqual([answer.what, answer.before.file, answer.after.vcpus], ['exits', quiet, 2]);
  const interrupt = answer.rows.find(({ reason }: { reason: string }) => reason === 'interrupt');
  assert.deepEqual([interrupt.before.count, interrupt.after.count, interrupt.after.avg_ns], [223, 1163, 1902523]);
  assert.deepEqual(
    [interrupt.changes.avg.news, interrupt.changes.avg.ratio > 10, interrupt.changes.avg.low > 5],
    [true, true, true],
  );
  const lines = diff([quiet, busy, '--csv']).stdout.trimEnd().split('\n');
  assert.equal(lines[0], 'reason,kind,figure,before,after,ratio,low,high,p,news');
  assert.equal(lines.length, 1 + 5 * answer.rows.length);
  assert.ok(lines.some((line) => line.startsWith('interrupt,row,avg_ns,')));
});

test('what is compared follows from the files; where that is not clear, a sentence says what to do', () => {
  assert.match(diff(['--what', 'locks', log, log]).stdout, /^before .* 6,282 waits and holds +in 1\.735 s$/m);
  assert.match(diff([leak, leak]).stdout, /^before .* 15,834 requests +in 18\.97 s$/m);
  assert.match(diff(['--what', 'vcpus', quiet, busy]).stdout, /^preempted +share .* ×\d/m);
  const cases: [string[], RegExp][] = [
    [[log, busy], /there is nothing to compare: .*log\.zst holds requests and locks, .*host-kvm\.dat holds exits/],
    [[log, log], /both recordings hold requests and locks: say which to compare, --what requests\|locks/],
    [[leak, busy], /qemu-leak\.bin\.zst holds requests, .*host-kvm\.dat holds exits/],
    [['--what', 'exits', busy, leak], /qemu-leak.* there is no kvm_exit in it.*trace-cmd record/s],
    [['--what', 'requests', leak, busy], /host-kvm\.dat: has no virtqueue_pop and no virtqueue_fill/],
    [['--what', 'locks', log, busy], /host-kvm\.dat: there is no qemu_mutex_lock/],
    [['--what', 'hops', busy, busy], /Allowed choices are/],
    [['--from', '1382.5', busy, busy], /--from is a time stamp.*expected a length from the first event/],
    [[busy], /missing required argument 'after'/],
    [[busy, busy, busy], /too many arguments/],
    [['-', '-'], /standard input.* only once/],
    [[busy, 'nosuch'], /nosuch: no such file/],
    [['--from', '100s', busy, busy], /there is nothing in that stretch of time; the trace begins at 1382\.004307030/],
  ];
  for (const [args, sentence] of cases) {
    const { status, stdout, stderr } = diff(args);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, sentence);
  }
});

test('a time range is of each recording from its first event on', () => {
  const answer = JSON.parse(diff(['--from', '1s', '--to', '1500ms', busy, busy, '--json']).stdout);
  assert.equal(answer.before.duration_ns, 5e8);
  assert.ok(answer.before.count > 500);
});

test('conditions are on changes that are more than noise', () => {
  const cases: [string[], status: number, stderr: RegExp][] = [
    [
      ['--fail-if', 'change(avg(exit:interrupt)) > 100%'],
      3,
      /^virtap: change\(avg\(exit:interrupt\)\) > 100%: it is \+989 %$/m,
    ],
    [['--fail-if', 'change(rate(exit:npf))>1%', '--fail-if', 'change(rate(exit:npf))<-1%'], 0, /^$/],
    [['--what', 'vcpus', '--fail-if', 'change(share(preempted))>50%'], 3, /change\(share\(preempted\)\)/],
    [['--fail-if', 'avg(exit)>1us'], 2, /expected change\(FIGURE\(WHAT\)\) > 10%/],
    [['--fail-if', 'change(avg(exit))>1us'], 2, /a change is a percentage, 10% or -5%, not 1us/],
    [['--fail-if', 'change(avg(exit:nosuch))>1%'], 2, /cannot be judged/],
    [['--fail-if', 'change(max(exit))>1%'], 2, /exit has no max; it has total, rate, avg, p50, p99/],
  ];
  for (const [args, status, stderr] of cases) {
    const result = diff([quiet, busy, ...args]);
    assert.equal(result.status, status, args.join(' '));
    assert.match(result.stderr, stderr);
  }
});

test('exits that cannot be timed are compared by how often they occur', () => {
  const trace = join(import.meta.dirname, '../../test/data/pasted/exit-only.txt');
  const answer = JSON.parse(diff(['--json', trace, trace]).stdout);
  assert.deepEqual(
    answer.rows.map((row: { reason: string; before: object }) => [row.reason, row.before]),
    [
      ['EPT_VIOLATION', { count: 1, rate_per_s: 4629.63 }],
      ['EPT_MISCONFIG', { count: 1, rate_per_s: 4629.63 }],
      ['without halts', { count: 2, rate_per_s: 9259.26 }],
      ['HLT', { count: 2, rate_per_s: 9259.26 }],
    ],
  );
  assert.match(
    diff([trace, trace]).stdout,
    /there is no kvm_entry in it, so that only how often exits occur can be compared/,
  );
  assert.match(diff(['--fail-if', 'change(p99(exit))>10%', trace, trace]).stderr, /exit has no p99; it has rate/);
});

test('spans of any kind are compared by the columns that group them, and conditions call them by their values', () => {
  const { stdout } = diff(['--what', 'states', quiet, busy, '--json']);
  const { what, rows } = JSON.parse(stdout) as {
    what: string;
    rows: { state: string; kind: string; before: { total_ns: number } | null; after: { total_ns: number } | null }[];
  };
  assert.equal(what, 'states');
  const { vcpus } = JSON.parse(virtap('vcpus', '--json', busy).stdout) as {
    vcpus: { states: Record<string, number> }[];
  };
  const preempted = vcpus.reduce((sum, { states }) => sum + (states.preempted ?? 0), 0);
  assert.equal(rows.find(({ state }) => state === 'preempted')?.after?.total_ns, preempted);
  const failing = (condition: string) => diff(['--what', 'states', quiet, busy, '--fail-if', condition]).status;
  assert.equal(failing('change(total(state:preempted))>10%'), 3);
  assert.equal(failing('change(total(state:preempted))<-10%'), 0);
});

test('of recordings that are too short to say anything for sure, the figures are shown without an interval', () => {
  const record = (name: string, held: number) => {
    const line = (us: number, event: string) => ` CPU 0/KVM-7 [000] d..1. 1.${String(us).padStart(6, '0')}: ${event}`;
    const lines = [0, 1, 2].flatMap((n) => [
      line(100 * n, 'kvm_entry: vcpu 0, rip 0xffffffff81000000'),
      line(100 * n + 50, 'kvm_exit: vcpu 0 reason npf rip 0xffffffff81000000 info 0 0'),
      line(100 * n + 50 + held, 'kvm_entry: vcpu 0, rip 0xffffffff81000000'),
    ]);
    const path = join(folder, name);
    writeFileSync(path, `# tracer: nop\n#\n${lines.join('\n')}\n`);
    return path;
  };
  const files = [record('short-before.txt', 10), record('short-after.txt', 30)];
  const text = diff(['--what', 'exits', ...files]);
  assert.equal(text.status, 0, text.stderr);
  assert.match(
    text.stdout,
    /^Nothing can be said with confidence: .*The figures stand below without\s+an\s+interval\.$/ms,
  );
  assert.match(text.stdout, /^npf .*10\.00 µs → 30\.00 µs +\+200 % \?/m);
  assert.match(text.stdout, /\?: it rests on too little to say/);
  const { rows } = JSON.parse(diff(['--json', '--what', 'exits', ...files]).stdout) as {
    rows: { reason: string; changes: Record<string, unknown> }[];
  };
  const unsure = { ratio: 3, low: null, high: null, p: null, news: false };
  assert.deepEqual(rows.find(({ reason }) => reason === 'npf')?.changes.avg, unsure);
  assert.match(diff(['--csv', '--what', 'exits', ...files]).stdout, /^npf,row,avg_ns,10000,30000,3,,,,false$/m);
});

test('rows are sorted by a figure, by its change, by a number of the JSON, or by their names', () => {
  const rows = (sort: string) => JSON.parse(diff([quiet, busy, '--json', '--sort', sort]).stdout).rows;
  const down = (values: (number | undefined)[]) => {
    const known = values.filter((value) => value !== undefined && value !== null);
    assert.deepEqual(
      known,
      known.toSorted((a, b) => b - a),
    );
    assert.ok(known.length > 3);
  };
  down(rows('avg').map(({ after }: { after: { avg_ns: number } | null }) => after?.avg_ns));
  down(rows('p99-change').map(({ changes }: { changes: { p99?: { ratio: number } } }) => changes.p99?.ratio));
  down(rows('before.count').map(({ before }: { before: { count: number } | null }) => before?.count));
  const reasons = rows('reason').map(({ reason }: { reason: string }) => reason);
  assert.deepEqual(
    reasons,
    reasons.toSorted((a: string, b: string) => a.localeCompare(b, 'en')),
  );
  assert.match(diff([quiet, busy, '--sort', 'p99-chang']).stderr, /did you mean p99-change/);
});

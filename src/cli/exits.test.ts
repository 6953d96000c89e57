import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const data = join(import.meta.dirname, '../../test/data');
const boot = join(data, 'exits/boot.perf.data.zst');
const idle = join(data, 'exits/idle.perf.data.zst');
const pasted = join(data, 'pasted');
const folder = mkdtempSync(join(tmpdir(), 'virtap-exits-'));
after(() => rmSync(folder, { recursive: true }));

const exits = (args: readonly string[], env = {}) => virtapIn({ env }, 'exits', ...args);

/** A file of ftrace's text, one line an event: `exit 1.000010 0 HLT`, `entry 1.000030 0`. */
function ftrace(name: string, events: string[]): string {
  const path = join(folder, name);
  const lines = events.map((event) => {
    const [what, time, vcpu, reason] = event.split(' ') as [string, string, string, string | undefined];
    const head = `       CPU ${vcpu}/KVM-10${vcpu}     [00${vcpu}] d..1.  ${time}:`;
    if (what === 'entry') return `${head} kvm_entry: vcpu ${vcpu}, rip 0xfff0`;
    if (what === 'pio') return `${head} kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41 `;
    const info = 'info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000';
    return `${head} kvm_exit: vcpu ${vcpu} reason ${reason} rip 0xfff${vcpu} ${info}`;
  });
  writeFileSync(path, `# tracer: nop\n#\n${lines.join('\n')}\n`);
  return path;
}

test('JSON has the documented shape, times as integers', () => {
  const { status, stdout, stderr } = exits(['--json', '--heatmap', '--slow', '2', idle]);
  assert.deepEqual([status, stderr], [0, '']);
  const answer = JSON.parse(stdout);
  assert.deepEqual(
    answer.rows.map((row: { reason: string; count: number }) => [row.reason, row.count]),
    [
      ['hlt', 127],
      ['msr', 358],
      ['interrupt', 43],
      ['vintr', 29],
    ],
  );
  for (const row of answer.rows) {
    for (const key of ['total', 'min', 'avg', 'max', 'stddev', 'p50', 'p90', 'p99', 'p999']) {
      assert.ok(Number.isSafeInteger(row[`${key}_ns`]), key);
    }
    assert.equal(row.halt, row.reason === 'hlt');
  }
  assert.equal(answer.totals.without_halts.count, 430);
  assert.equal(answer.unpaired.exits, 559);
  assert.equal(answer.unpaired.open_at_end, 2);
  assert.deepEqual(answer.losses, []);
  assert.equal(answer.slow[0].time, '161.078348343');
  assert.equal(answer.slow[0].events[0].event, 'sched:sched_switch');
  const { heatmap } = answer;
  assert.equal(
    heatmap.counts.flat().reduce((sum: number, n: number) => sum + n, 0),
    430,
  );
  assert.equal(heatmap.counts[0].length, heatmap.latency_edges_ns.length - 1);
  assert.equal(heatmap.to_ns - heatmap.from_ns, heatmap.time_step_ns * heatmap.counts.length);
});

test('--sort, --exclude and --csv', () => {
  const { stdout } = exits(['--csv', '--sort', 'count', '--exclude', 'hlt,io', boot]);
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));
  assert.deepEqual(rows[0]?.slice(0, 6), ['reason', 'halt', 'count', 'rate_per_s', 'total_ns', 'min_ns']);
  assert.deepEqual(
    rows.slice(1, 4).map((row) => row.slice(0, 3)),
    [
      ['cpuid', 'false', '17496'],
      ['msr', 'false', '14845'],
      ['npf', 'false', '6090'],
    ],
  );
  assert.ok(!rows.some(([reason]) => reason === 'hlt' || reason === 'io'));
});

test('the table in a terminal of 80 columns is no wider', () => {
  const { stdout } = exits([boot], { COLUMNS: '80' });
  // The note of who recorded is as long as the command line that it quotes.
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80 || line.startsWith('Note: Recorded on '), line);
  assert.match(stdout, /stddev/);
  assert.match(stdout, /^without halts +67,634 /m);
  assert.match(stdout, /^hlt +4,710 /m);
});

test('exits before the first kvm_entry and after the last are accounted for', () => {
  const trace = ftrace('mid.txt', [
    'exit 1.000010 0 HLT',
    'entry 1.000030 0',
    'exit 1.000040 0 EXIT_NPF',
    'pio 1.000041 0',
    'entry 1.000050 0',
    'entry 1.000060 0',
    'exit 1.000070 0 npf',
    'exit 1.000080 0 npf',
    'entry 1.000095 0',
    'exit 1.000099 0 npf',
  ]);
  const { unpaired, rows } = JSON.parse(exits(['--json', '--sort', 'name', trace]).stdout);
  assert.deepEqual(unpaired, {
    exits: 5,
    entries: 4,
    pairs: 3,
    exit_then_exit: 0,
    open_at_end: 1,
    // An exit after an exit: events are missing between.
    straddling_loss: 1,
    migrated_across_loss: 0,
    entry_first: 0,
    entry_without_exit: 1,
    before_first_entry: 1,
  });
  assert.deepEqual(
    rows.map((row: { reason: string; total_ns: number }) => [row.reason, row.total_ns]),
    [
      ['HLT', 20_000],
      ['npf', 25_000],
    ],
  );
  const { stdout } = exits([trace]);
  assert.match(stdout, /^1 exit before the first kvm_entry of the thread; perf kvm stat does not count such\.$/m);
  const slow = exits(['--than', '9us', trace]).stdout;
  assert.match(slow, /^Exits longer than 9 µs: 2; halts left out/m);
  assert.match(slow, /^1\.000040000 {2}vCPU 0 \(thread 100\) {2}CPU 0 {2}npf {2}10\.00 µs {2}rip 0xfff0$/m);
  assert.match(slow, /^ {2}\+1\.000 µs +kvm:kvm_pio +pio_write at 0x3f8 size 1 count 1 val 0x41$/m);
});

test('without kvm_entry exits are counted, and the remedy is named', () => {
  const trace = ftrace('exits-only.txt', ['exit 1.000000 0 HLT', 'exit 1.500000 0 HLT', 'exit 2.000000 0 MSR_WRITE']);
  const { status, stdout } = exits([trace]);
  assert.equal(status, 0);
  assert.match(stdout, /^HLT +2 +2\/s +66\.7 %$/m);
  assert.match(stdout, /no kvm_entry.*\n {2}sudo virtap record .*\n {2}trace-cmd record .*kvm_entry/);
  const { rows, totals, not_timed } = JSON.parse(exits(['--json', trace]).stdout);
  assert.deepEqual([rows[0].reason, rows[0].count, rows[0].total_ns], ['HLT', 2, null]);
  assert.deepEqual([totals.all.count, totals.without_halts.count, totals.halts.count], [3, 1, 2]);
  assert.equal(not_timed, 'there is no kvm_entry in it');
});

test('without kvm_entry, what asks for counts is answered, and what asks for times is refused by name', () => {
  const trace = join(pasted, 'exit-only.txt');
  const rips = exits(['--csv', '--by', 'rip', trace]).stdout.trimEnd().split('\n').slice(1);
  assert.deepEqual(
    rips.map((row) => row.split(',').slice(0, 3).join()),
    ['0xffffffff8b632f49,false,1', '0xffffffff8b360413,false,1', '0xffffffff8c3f2e2f,true,2'],
  );
  const gate = exits(['--fail-if', 'count(exit:EPT_MISCONFIG)>0', trace]);
  assert.deepEqual([gate.status, gate.stderr], [3, 'virtap: count(exit:EPT_MISCONFIG)>0: it is 1\n']);
  assert.equal(exits(['--fail-if', 'count(exit:EPT_MISCONFIG)>1', trace]).status, 0);
  const p99 = exits(['--fail-if', 'p99(exit)>1us', trace]);
  assert.deepEqual(
    [p99.status, p99.stderr],
    [2, 'virtap: --fail-if p99(exit)>1us: exit has no p99; it has count, rate\n'],
  );
  for (const asked of [['--slow', '2'], ['--heatmap'], ['--than', '1us'], ['--breakdown'], ['--sort', 'p99']]) {
    const { status, stdout, stderr } = exits([...asked, trace]);
    assert.deepEqual([status, stdout], [2, ''], asked[0]);
    assert.ok(
      stderr.endsWith(
        `can be counted, but not timed, which ${asked[0] === '--sort' ? '--sort p99' : asked[0]} needs\n`,
      ),
      stderr,
    );
  }
  const none = exits(['--exclude', 'hlt,ept_violation,ept_misconfig', trace]);
  assert.match(none.stdout, /^All reasons are excluded\.$/m);
});

test('without kvm_exit there is nothing to answer: what it holds, and what to record', () => {
  const trace = ftrace('none.txt', ['entry 1.000000 0']);
  const { status, stdout, stderr } = exits([trace]);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(
    stderr,
    /there is no kvm_exit in it\. It holds kvm:kvm_entry\. To record exits:\n {2}sudo virtap record .*\n {2}trace-cmd record/,
  );
});

test('what is left after filters may be nothing', () => {
  const { status, stdout } = exits(['--vcpu', '7', idle]);
  assert.equal(status, 0);
  assert.match(stdout, /None of them is of the kind asked for\. There are exits of .*vCPU 0, 1/);
});

test('a time range takes part of the exits', () => {
  const part = JSON.parse(exits(['--json', '--from', '5s', '--to', '10s', idle]).stdout);
  const whole = JSON.parse(exits(['--json', idle]).stdout);
  assert.ok(part.unpaired.pairs > 0 && part.unpaired.pairs < whole.unpaired.pairs);
  assert.ok(part.duration_ns <= 5e9);
});

test('options that cannot be met are refused in one sentence', () => {
  for (const [args, message] of [
    [['--by', 'prt', idle], /There is no prt; did you mean port/],
    [['--by', 'vcpu,reason,port', idle], /Expected one thing to group by, or two/],
    [['--sort', 'size', idle], /There is no column size\. There is count, rate, total/],
    [['--than', '5', idle], /length of time with a unit/],
    [['--tsc-mhz', '2000', idle], /--tsc-mhz is for traces with the clock x86-tsc/],
    [[join(folder, 'no such file')], /no such file/],
  ] as const) {
    const { status, stdout, stderr } = exits([...args]);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, message);
  }
});

test('vCPUs of several VMs are told apart, also where the trace does not say which process a thread is of', () => {
  const file = join(folder, 'two-vms.txt');
  const line = (tid: number, n: number, text: string) => ` qemu-${tid}     [00${tid % 2}] d..1.  1.00000${n}: ${text}`;
  const out = 'kvm_exit: vcpu 0 reason npf rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0';
  const lines = [
    line(10, 1, out),
    line(10, 2, 'kvm_entry: vcpu 0'),
    line(21, 3, out),
    line(21, 5, 'kvm_entry: vcpu 0'),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const { stdout } = exits(['--by', 'vcpu', file]);
  assert.match(stdout, /^0 \(thread 10\) +1 .*\n?/m);
  assert.match(stdout, /^0 \(thread 21\) +1 /m);
  assert.match(stdout, /vCPU 0 \(thread 10\), 0 \(thread 21\)$/m);
  // By its number alone, each of them is meant.
  const gate = exits(['--by', 'vcpu', '--fail-if', 'max(exit:0)>1500ns', file]);
  assert.deepEqual([gate.status, gate.stderr], [3, 'virtap: max(exit:0)>1500ns: it is 2 µs\n']);
});

test('without threads, what happened within exits is refused by name', () => {
  const file = join(pasted, 'perf-script-no-tid.txt');
  const { status, stderr } = exits(['--by', 'port', file]);
  assert.deepEqual([status, /which --by port needs\n$/.test(stderr)], [2, true]);
  assert.match(exits([file]).stdout, /^VMCALL +1 /m);
});

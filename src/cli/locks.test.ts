import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const sample = join(root, 'samples/kvm-and-qemu.log.zst');
const folder = mkdtempSync(join(tmpdir(), 'virtap-locks-'));
after(() => rmSync(folder, { recursive: true }));

const locks = (args: readonly string[], env = {}) => virtapIn({ env: { COLUMNS: '100', ...env } }, 'locks', ...args);

/** A log of QEMU's: `10 2000 locked util/main-loop.c:318` is what thread 10 did after 2000 µs, with mutex 0x10 unless another is named. */
function log(
  name: string,
  lines: string[],
  head = (tid: string, time: string) => `${tid}@1700000000.${time}:`,
): string {
  const words = { lock: 'waiting on', locked: 'taken', unlock: 'released' } as const;
  const text = lines.map((line) => {
    const [tid, time, what, site, mutex = '0x10'] = line.split(' ') as [string, string, string, string, string?];
    const start = head(tid, time.padStart(6, '0'));
    if (!(what in words)) return `${start}${what} cpu_index ${site}, reason 2`;
    return `${start}qemu_mutex_${what} ${words[what as keyof typeof words]} mutex ${mutex} (../../${site})`;
  });
  const path = join(folder, name);
  writeFileSync(path, `${text.join('\n')}\n`);
  return path;
}

/**
 * vCPU 0 (thread 11) waits for 800 µs of 1000: 640 behind the main loop (thread 10), for 100 behind the RCU thread (12). Then it has
 * the mutex when the log ends, and vCPU 1 waits for that.
 */
const behindMain = [
  '10 0 lock util/main-loop.c:318',
  '10 1 locked util/main-loop.c:318',
  '11 10 kvm_run_exit 0',
  '11 10 lock system/physmem.c:2748',
  '13 20 kvm_run_exit 1',
  '13 20 lock a.c:7 0x20',
  '13 22 locked a.c:7 0x20',
  '13 24 unlock a.c:8 0x20',
  '10 30 lock util/qemu-timer.c:547 0x30',
  '10 33 locked util/qemu-timer.c:547 0x30',
  '10 34 unlock util/qemu-timer.c:549 0x30',
  '10 650 unlock util/main-loop.c:326',
  '12 660 lock util/rcu.c:269',
  '12 660 locked util/rcu.c:269',
  '12 760 unlock util/rcu.c:271',
  '11 810 locked system/physmem.c:2748',
  '13 910 lock system/physmem.c:2748',
  '11 1010 lock a.c:7 0x20',
];

test('two sentences say what the BQL costs the vCPUs, and behind whom; tables say the same by place and thread', () => {
  const file = log('behind-main.log', behindMain);
  const { status, stdout, stderr } = locks([file]);
  assert.deepEqual([status, stderr], [0, '']);
  // vCPU 0 is seen for 1000 µs, vCPU 1 for 990; only what ended is waiting time: 740 µs behind others, of 800.
  assert.match(stdout, /^vCPUs spent 37\.2 % of their time waiting for the BQL while another thread held it\.$/m);
  assert.match(
    stdout,
    /^Of that 86\.5 % behind the main loop \(at util\/qemu-timer\.c:547\), 13\.5 % behind the RCU thread \(at\nutil\/rcu\.c:269\)\.\nBesides, 3\.0 % passed between its being let go and its being there\.$/m,
  );
  assert.match(stdout, /^ {2}5 acquisitions of 3 mutexes by 4 threads in 1\.010 ms$/m);
  assert.match(stdout, /^BQL +3 +1 +33\.3 % +740\.0 µs /m);
  assert.match(stdout, /^0x20 +1 +0 +0 % +- /m);
  assert.match(stdout, /^util\/main-loop\.c:318 +1 +0 +(0 % +)?- .*649\.0 µs/m);
  assert.match(stdout, /^vCPU 0 +1 +1 +100 % +740\.0 µs /m);
  assert.match(stdout, /^main loop +util\/main-loop\.c:318 +util\/qemu-timer\.c:547 +1 +640\.0 µs +86\.5 %$/m);
  assert.match(stdout, /^RCU thread +util\/rcu\.c:269 +1 +100\.0 µs +13\.5 %$/m);
  assert.match(stdout, /^Besides, 1\.000 µs went into taking it 2 times while it was free, /m);
  assert.match(stdout, /; 60\.00 µs passed between its being let go and its being there\.$/m);
});

test('taking a mutex that is free is no waiting: not in the headline, not for --fail-if, not in the table of holders', () => {
  // 1,000 µs of a vCPU, of which taking a free BQL takes 500; nobody else has it meanwhile.
  const free = log('free.log', [
    '10 0 lock util/main-loop.c:318',
    '10 5 locked util/main-loop.c:318',
    '10 10 unlock util/main-loop.c:320',
    '11 20 lock system/physmem.c:2748',
    '11 520 locked system/physmem.c:2748',
    '11 530 unlock system/physmem.c:2760',
    '11 1020 lock a.c:7 0x20',
  ]);
  const { status, stdout } = locks([free, '--fail-if', 'share(vcpu-wait:BQL)>0%', '--fail-if', 'total(wait:BQL)>0ns']);
  assert.equal(status, 0);
  assert.match(stdout, /^At no time did vCPUs wait for the BQL while another thread held it\.$/m);
  assert.match(stdout, /^Besides, 50\.0 % went into taking it 1 time while it was free, 500 µs: what that costs/m);
  assert.doesNotMatch(stdout, /Who held/);
  assert.equal(locks([free, '--fail-if', 'max(uncontended:BQL)>=500us']).status, 3);
  const [bql] = (JSON.parse(locks([free, '--json']).stdout) as { mutexes: Record<string, never>[] }).mutexes;
  const { wait, held_by_others: held, uncontended, vcpus } = bql as Record<string, Record<string, unknown>>;
  assert.deepEqual([wait?.total_ns, held?.count, uncontended?.total_ns, uncontended?.max_ns], [505e3, 0, 505e3, 500e3]);
  assert.deepEqual([vcpus?.share, vcpus?.held_by_others_share], [0.5, 0]);
});

test('who holds a mutex cannot be told where none is seen to be let go, which no condition passes', () => {
  const file = log(
    'no-unlock.log',
    behindMain.filter((line) => !line.includes('unlock')),
  );
  const { stdout } = locks([file]);
  assert.match(stdout, /^No qemu_mutex_unlock is in the recording, so it cannot be told/m);
  assert.doesNotMatch(stdout, /Who held/);
  const judged = locks([file, '--fail-if', 'share(vcpu-wait:BQL)>5%']);
  assert.equal(judged.status, 2);
  assert.match(judged.stderr, /nothing here is called vcpu-wait/);
  const { mutexes } = JSON.parse(locks([file, '--json']).stdout) as { mutexes: Record<string, unknown>[] };
  assert.deepEqual([mutexes[0]?.contended, mutexes[0]?.held_by_others_ns], [null, null]);
});

test('text and JSON join holders by one rule: thread, where it locked, and where it was', () => {
  const rows = [...locks([sample], { COLUMNS: '200' }).stdout.matchAll(/^\S.* {2,}(\d+) +[\d.]+ [mµ]?s +[\d.]+ %$/gm)];
  const { mutexes } = JSON.parse(locks([sample, '--json']).stdout) as {
    mutexes: { name: string; behind: { waits: number }[] }[];
  };
  const bql = mutexes.find(({ name }) => name === 'BQL');
  assert.deepEqual(
    rows.map(([, waits]) => Number(waits)),
    bql?.behind.map(({ waits }) => waits),
  );
});

test('waits and holds that are not over are listed, and who has what is waited for', () => {
  const { stdout } = locks([log('open.log', behindMain)]);
  assert.match(stdout, /^Still waiting: 2$/m);
  assert.match(
    stdout,
    /^ {2}1700000000\.000910000 {2}vCPU 1 has waited 100\.0 µs for BQL at system\/physmem\.c:2748, held by vCPU 0 \(system\/physmem\.c:2748\) since 1700000000\.000810000$/m,
  );
  assert.match(
    stdout,
    /^Still held: 1\n {2}1700000000\.000810000 {2}vCPU 0 has held BQL for 200\.0 µs, locked at system/m,
  );
});

test('the slow log names holders with their place, for how long, and since when', () => {
  const { stdout } = locks([log('slow.log', behindMain), '--slow', '1'], { COLUMNS: '110' });
  assert.match(stdout, /^Slow waits, the 1 slowest of 5\nEach from lock to locked, /m);
  assert.match(
    stdout,
    /^1700000000\.000010000 {2}vCPU 0 \(thread 11\) {2}BQL {2}800\.0 µs {2}at system\/physmem\.c:2748\n {2}held 640\.0 µs {2}main loop {3}util\/main-loop\.c:318 {2}was at util\/qemu-timer\.c:547, had it for 9 µs before\n {2}held 100\.0 µs {2}RCU thread {2}util\/rcu\.c:269$/m,
  );
  const { stdout: holds } = locks([log('holds.log', behindMain), '--than', '200us', '--holds', '--mutex', 'bql']);
  assert.match(
    holds,
    /^Holds of the BQL longer than 200 µs: 1\n\n1700000000\.000001000 {2}main loop \(thread 10\) {2}BQL {2}649\.0 µs/m,
  );
});

test('JSON has the documented shape', () => {
  const { status, stdout } = locks([log('json.log', behindMain), '--json', '--slow', '1', '--heatmap']);
  assert.equal(status, 0);
  const answer = JSON.parse(stdout);
  assert.equal(answer.mutexes.length, 3);
  const [bql] = answer.mutexes;
  assert.deepEqual([bql.name, bql.mutex, bql.acquisitions, bql.contended], ['BQL', '0x10', 3, 1]);
  assert.deepEqual([bql.wait.count, bql.wait.total_ns, bql.wait.max_ns], [3, 801_000, 800_000]);
  assert.deepEqual([bql.hold.count, bql.hold.total_ns], [2, 749_000]);
  assert.deepEqual(
    bql.sites.map((site: { site: string; wait: { total_ns: number } }) => [site.site, site.wait.total_ns]),
    [
      ['system/physmem.c:2748', 800_000],
      ['util/main-loop.c:318', 1000],
      ['util/rcu.c:269', 0],
    ],
  );
  assert.deepEqual(
    bql.threads.map((thread: { role: string; vcpu?: number; tid: number }) => [thread.role, thread.vcpu, thread.tid]),
    [
      ['vcpu', 0, 11],
      ['main loop', undefined, 10],
      ['rcu', undefined, 12],
    ],
  );
  assert.deepEqual(bql.vcpus.behind[0], {
    role: 'main loop',
    tid: 10,
    pid: null,
    site: 'util/main-loop.c:318',
    inner_site: 'util/qemu-timer.c:547',
    waits: 1,
    total_ns: 640_000,
  });
  const { wait_ns, time_ns, held_by_others_ns } = bql.vcpus;
  assert.deepEqual([wait_ns, time_ns, held_by_others_ns], [800_000, 1_990_000, 740_000]);
  assert.equal(answer.slow[0].duration_ns, 800_000);
  assert.equal(answer.slow[0].holders[0].total_ns, 640_000);
  assert.equal(answer.unfinished.length, 3);
  assert.equal(answer.heatmap.of, 'wait');
});

test('CSV has a line for each mutex and call site', () => {
  const { stdout } = locks([sample, '--csv']);
  const [head = '', ...rows] = stdout.trimEnd().split('\n');
  const names = head.split(',');
  const column = (name: string) => rows.map((row) => row.split(',')[names.indexOf(name)]);
  assert.equal(
    column('acquisitions').reduce((sum, n) => sum + Number(n), 0),
    3236,
  );
  assert.ok(column('name').includes('BQL'));
  assert.ok(names.includes('wait_p99_ns') && names.includes('hold_total_ns'));
});

test('what cannot be told is refused, with what to record', () => {
  const u64 = (...values: bigint[]) => Buffer.from(BigUint64Array.from(values).buffer);
  const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
  const text = (word: string) => Buffer.concat([u32(word.length), Buffer.from(word)]);
  const simple = join(folder, 'trace.bin');
  const args = Buffer.concat([u64(0x10n), text('a.c'), u64(7n)]);
  writeFileSync(
    simple,
    Buffer.concat([
      u64(0xffff_ffff_ffff_ffffn, 0xf2b1_77cb_0aa4_29b4n, 4n),
      u64(0n, 0n),
      text('qemu_mutex_locked'),
      u64(1n, 0n, 1000n),
      u32(24 + args.length, 77),
      args,
    ]),
  );
  const cases: [file: string, stderr: RegExp][] = [
    [simple, /do not say which thread .*\(simpletrace records the process only\)\. To record locks/],
    [log('bare.log', behindMain, () => ''), /do not say which thread they are of/],
    [join(root, 'samples/qemu-leak.bin.zst'), /there is no qemu_mutex_lock, .* in it \(it holds events of qemu\)/],
    [log('part.log', ['1 1 lock a.c:1', '1 2 unlock a.c:1']), /there is no qemu_mutex_locked in it/],
  ];
  for (const [file, expected] of cases) {
    const { status, stdout, stderr } = locks([file]);
    assert.deepEqual([status, stdout], [2, ''], file);
    assert.match(stderr, expected);
    assert.match(stderr, /\n {2}qemu-system-x86_64 .*-trace 'qemu_mutex_\*'\n/);
  }
});

test('mutexes that the trace does not have are named', () => {
  const file = log('no-bql.log', ['1 1 locked a.c:1', '1 2 unlock a.c:2']);
  const cases: [args: string[], stderr: RegExp][] = [
    [[file, '--mutex', '0x999'], /no mutex is called 0x999/],
    [[file, '--mutex', 'bql'], /no mutex is recognised as the BQL; --bql names it/],
    [[file, '--bql', '0x999'], /no mutex has the address 0x999/],
    [[file, '--mutex', 'foo'], /Expected BQL, or addresses/],
  ];
  for (const [args, expected] of cases) {
    const { status, stdout, stderr } = locks(args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, expected);
  }
  const { stdout } = locks([file]);
  assert.match(stdout, /^0x10 +1 /m);
  assert.match(stdout, /^No mutex is recognised as the BQL, .* --bql ADDRESS\nnames it; /m);
  const { stdout: named } = locks([file, '--bql', '0X10']);
  assert.match(named, /^BQL +1 /m);
  assert.match(named, /^No thread is known to be a vCPU, so /m);
});

test('text from the trace reaches the terminal escaped', () => {
  const { stdout } = locks([
    log('hostile.log', ['1 1 locked \x1b[31mx.c:1', '1 2 unlock \x1b[31mx.c:2']),
    '-m',
    '0x10',
  ]);
  assert.ok(!stdout.includes('\x1b'));
  assert.match(stdout, /x\.c:1/);
});

test('on a narrow terminal columns are left out and named', () => {
  const { stdout } = locks([sample], { COLUMNS: '80' });
  const tables = stdout.slice(0, stdout.indexOf('Still held'));
  for (const line of tables.split('\n')) assert.ok(line.length <= 80, line);
  assert.match(stdout, /^not shown for want of width: share, avg wait, p99 wait, when free, avg hold, p99\nhold$/m);
});

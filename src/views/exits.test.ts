import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import type { Stats } from '../spans/summary.ts';
import type { Trace } from '../trace/trace.ts';
import { type ExitOptions, type ExitResult, Exits } from './exits.ts';

const data = new URL('../../test/data/exits/', import.meta.url);

async function read(trace: Trace, options: Partial<ExitOptions> = {}): Promise<ExitResult> {
  const exits = new Exits({ by: ['reason'], ...options });
  for await (const b of trace.batches((type) => exits.wants(type))) exits.batch(trace, b);
  await trace.close();
  return exits.result();
}

const recording = async (name: string, options: Partial<ExitOptions> = {}) =>
  read(await openTrace(new URL(name, data).pathname), options);

type Reported = { count: number; min: string; max: string; mean: string; error: number; share: number };

/** The table that `perf kvm stat report` prints; times in µs as printed. */
function kvmstat(name: string): { rows: Map<string, Reported>; count: number; total: string } {
  const text = readFileSync(new URL(name, data), 'utf8');
  const rows = new Map<string, Reported>();
  for (const match of text.matchAll(
    /^ *(\S.*?) +(\d+) +[\d.]+% +([\d.]+)% +([\d.]+)us +([\d.]+)us +([\d.]+)us \( \+- +([\d.]+)% \)$/gm,
  )) {
    const [, reason, count, share, min, max, mean, error] = match as unknown as string[];
    rows.set(reason as string, {
      count: Number(count),
      min: min as string,
      max: max as string,
      mean: mean as string,
      error: Number(error),
      share: Number(share),
    });
  }
  const [, count, total] = /Total Samples:(\d+), Total events handled time:([\d.]+)us/.exec(
    text,
  ) as unknown as string[];
  return { rows, count: Number(count), total: total as string };
}

const µs = (ns: number) => (ns / 1000).toFixed(2);

/** Each reason's figures must be those that perf prints. `minima` false: perf prints 0.00 in their place. */
function assertAsPerf(actual: [reason: string, stats: Stats][], report: string, minima = true): void {
  const expected = kvmstat(report);
  assert.deepEqual(new Set(actual.map(([reason]) => reason)), new Set(expected.rows.keys()));
  const total = actual.reduce((sum, [, stats]) => sum + stats.total, 0);
  for (const [reason, stats] of actual) {
    const row = expected.rows.get(reason) as Reported;
    assert.equal(stats.count, row.count, `${reason}: count`);
    if (minima) assert.equal(µs(stats.min), row.min, `${reason}: min`);
    assert.equal(µs(stats.max), row.max, `${reason}: max`);
    assert.equal(µs(stats.mean), row.mean, `${reason}: avg`);
    assert.ok(Math.abs((stats.total / total) * 100 - row.share) <= 0.00501, `${reason}: share`);
    // perf's ± is the standard error of the mean, of the sample deviation.
    if (stats.count > 1) {
      const error = (stats.stddev / Math.sqrt(stats.count) / stats.mean) * 100;
      assert.ok(Math.abs(error - row.error) <= 0.00501, `${reason}: stddev`);
    }
  }
  assert.equal(
    actual.reduce((sum, [, stats]) => sum + stats.count, 0),
    expected.count,
  );
  assert.equal(µs(total), expected.total);
}

test('statistics by reason are those of perf kvm stat', async () => {
  for (const name of ['boot', 'idle']) {
    const { rows } = await recording(`${name}.perf.data.zst`);
    const report = name === 'boot' ? 'boot.kvmstat-sample.txt' : 'idle.kvmstat.txt';
    assertAsPerf(
      rows.map(({ group, all }) => [group.reason as string, all]),
      report,
    );
  }
});

test('by vCPU and reason too, and with one vCPU chosen', async () => {
  const { rows } = await recording('boot.perf.data.zst', { by: ['vcpu', 'reason'] });
  for (const vcpu of [0, 1]) {
    const own = rows.filter(({ group }) => group.vcpu?.number === vcpu);
    const report = `boot.kvmstat-vcpu${vcpu}.txt`;
    assertAsPerf(
      own.map(({ group, all }) => [group.reason as string, all]),
      report,
      false,
    );
    const chosen = await recording('boot.perf.data.zst', { vcpus: [vcpu] });
    assertAsPerf(
      chosen.rows.map(({ group, all }) => [group.reason as string, all]),
      report,
      false,
    );
  }
});

test('exits by port are as many as the accesses that perf counts', async () => {
  const { rows } = await recording('boot.perf.data.zst', { by: ['port'] });
  const expected = new Map(
    [...kvmstat('boot.kvmstat-ioport.txt').rows].map(([port, { count }]) => [port, count] as const),
  );
  const found = new Map(
    rows
      .filter(({ group }) => group.port?.value !== undefined)
      .map(({ group, all }) => [
        `${group.port?.value}:${group.port?.direction === 'read' ? 'PIN' : 'POUT'}`,
        all.count,
      ]),
  );
  assert.deepEqual(found, expected);
});

test('the slowest exits, and what happened in them, are those in perf script’s text', async () => {
  const expected = JSON.parse(readFileSync(new URL('idle.slowest.json', data), 'utf8')) as {
    tid: number;
    cpu: number;
    reason: string;
    rip: string;
    duration_ns: number;
    events: [number, string][];
  }[];
  const { slow, over } = await recording('idle.perf.data.zst', { slow: 3 });
  assert.deepEqual(
    slow?.map((exit) => ({
      tid: exit.vcpu.tid,
      cpu: exit.cpu,
      reason: exit.reason,
      rip: exit.rip,
      duration_ns: exit.duration,
      events: exit.events.map(({ offset, name }) => [offset, name]),
    })),
    expected.map(({ tid, cpu, reason, rip, duration_ns, events }) => ({ tid, cpu, reason, rip, duration_ns, events })),
  );
  assert.equal(over, 358 + 43 + 29);
});

test('halts stand apart, and together with the rest they are all', async () => {
  const { all, busy, halts, rows } = await recording('idle.perf.data.zst', { by: ['vcpu'] });
  assert.equal(halts.count, 127);
  assert.equal(busy.count, 557 - 127);
  assert.equal(all.count, 557);
  assert.equal(busy.total + halts.total, all.total);
  assert.equal(
    rows.reduce((sum, row) => sum + (row.halts?.count ?? 0), 0),
    127,
  );
});

test('the heat map holds every exit that is no halt, unless asked for them', async () => {
  const without = await recording('idle.perf.data.zst', { heatmap: true });
  assert.equal(without.heat?.total, 430);
  const both = await recording('idle.perf.data.zst', { heatmap: true, halts: true });
  assert.equal(both.heat?.total, 557);
});

test('reasons are left out in any spelling; one that is not there is named', async () => {
  const result = await recording('idle.perf.data.zst', { exclude: ['EXIT_HLT', 'MSR', 'nothing'], slow: 1 });
  assert.deepEqual(new Set(result.rows.map(({ group }) => group.reason)), new Set(['interrupt', 'vintr']));
  assert.deepEqual(result.unknownReasons, ['nothing']);
  assert.equal(result.slow?.[0]?.reason, 'interrupt');
});

const exit = (time: number, tid: number, reason: number, fields = {}): SyntheticEvent => ({
  name: 'kvm:kvm_exit',
  time,
  tid,
  cpu: 0,
  fields: { exit_reason: reason, isa: 1, guest_rip: 0xffffffff81000000n + BigInt(reason), ...fields },
});
const entry = (time: number, tid: number, vcpu: number): SyntheticEvent => ({
  name: 'kvm:kvm_entry',
  time,
  tid,
  cpu: 0,
  fields: { vcpu_id: vcpu },
});
const access = (time: number, tid: number, name: string, fields: Record<string, number>): SyntheticEvent => ({
  name,
  time,
  tid,
  cpu: 0,
  fields,
});

test('what an exit is grouped by is the first such event within it', async () => {
  const events = [
    access(1, 7, 'kvm:kvm_pio', { port: 0x10, rw: 1 }),
    exit(10, 7, 30),
    access(11, 8, 'kvm:kvm_pio', { port: 0x20, rw: 1 }),
    access(12, 7, 'kvm:kvm_pio', { port: 0x3f8, rw: 0 }),
    access(13, 7, 'kvm:kvm_pio', { port: 0x3f9, rw: 1 }),
    entry(15, 7, 0),
    exit(20, 7, 48),
    entry(21, 7, 0),
    exit(30, 7, 49),
    access(31, 7, 'kvm:kvm_mmio', { gpa: 0xfee000b0, type: 0 }),
    access(32, 7, 'kvm:kvm_userspace_exit', { reason: 6, errno: 0 }),
    entry(33, 7, 0),
    exit(40, 7, 49),
    access(41, 7, 'kvm:kvm_mmio', { gpa: 0xfee000b0, type: 2 }),
    access(42, 7, 'kvm:kvm_userspace_exit', { reason: 0, errno: -4 }),
    entry(44, 7, 0),
    exit(50, 7, 32),
    access(51, 7, 'kvm:kvm_msr', { ecx: 0x6e0, write: 1 }),
    entry(55, 7, 0),
  ];
  const by = async (dimension: 'port' | 'gpa' | 'msr' | 'userspace') => {
    const { rows } = await read(synthetic(events, { batchSize: 4 }), { by: [dimension] });
    return Object.fromEntries(
      rows.map(({ group, all }) => {
        const label = group[dimension];
        return [[label?.value, label?.direction].filter((part) => part !== undefined).join(' '), all.total];
      }),
    );
  };
  assert.deepEqual(await by('port'), { '0x3f8 read': 5, '': 13 });
  assert.deepEqual(await by('gpa'), { '0xfee000b0 read': 3, '0xfee000b0 write': 4, '': 11 });
  assert.deepEqual(await by('msr'), { '0x6e0 write': 5, '': 13 });
  assert.deepEqual(await by('userspace'), { KVM_EXIT_MMIO: 3, restart: 4, '': 11 });
});

test('by rip, all 64 bits count', async () => {
  const events = [exit(1, 7, 1), entry(3, 7, 0), exit(4, 7, 0x101), entry(7, 7, 0), exit(8, 7, 1), entry(9, 7, 0)];
  const { rows } = await read(synthetic(events), { by: ['rip'] });
  assert.deepEqual(
    rows.map(({ group, all }) => [group.rip, all.count]),
    [
      ['0xffffffff81000001', 2],
      ['0xffffffff81000101', 1],
    ],
  );
});

test('more rips than are told apart are counted together', async () => {
  const events: SyntheticEvent[] = [];
  for (let i = 0; i < 5000; i++) events.push(exit(i * 10, 7, i), entry(i * 10 + 5, 7, 0));
  const { rows, all } = await read(synthetic(events, { batchSize: 1000 }), { by: ['rip'] });
  assert.equal(rows.length, 4097);
  assert.equal(rows.find(({ group }) => group.rip === 'others')?.all.count, 5000 - 4096);
  assert.equal(all.count, 5000);
});

test('VMs are told apart by process, and a vCPU whose thread was replaced is one vCPU', async () => {
  const events = [
    { ...exit(1, 7, 10), pid: 100 },
    { ...entry(3, 7, 0), pid: 100 },
    { ...exit(4, 8, 10), pid: 200 },
    { ...entry(7, 8, 0), pid: 200 },
    { ...exit(8, 9, 10), pid: 100 },
    { ...entry(20, 9, 0), pid: 100 },
  ];
  const byVcpu = await read(synthetic(events), { by: ['vcpu'] });
  assert.deepEqual(
    byVcpu.rows.map(({ group, all }) => [group.vcpu, all.total]),
    [
      [{ tid: 7, vm: 100, number: 0 }, 14],
      [{ tid: 8, vm: 200, number: 0 }, 3],
    ],
  );
  const byVm = await read(synthetic(events), { by: ['vm'], pids: [100] });
  assert.deepEqual(
    byVm.rows.map(({ group, all }) => [group.vm, all.count]),
    [[100, 2]],
  );
  assert.deepEqual(byVm.vms, { known: true, count: 2 });
});

test('without processes, one VM is taken for granted only where vCPU numbers allow it', async () => {
  const two = [exit(1, 7, 10), entry(3, 7, 0), exit(4, 8, 10), entry(7, 8, 1)];
  assert.deepEqual((await read(synthetic(two), { by: ['vm'] })).vms, { known: false, assumedOne: true });
  const same = [exit(1, 7, 10), entry(3, 7, 0), exit(4, 8, 10), entry(7, 8, 0)];
  assert.deepEqual((await read(synthetic(same), { by: ['vcpu'] })).rows.length, 2);
  assert.deepEqual((await read(synthetic(same), { by: ['vm'] })).vms, { known: false, assumedOne: false });
});

test('processes and numbers that only the thread table knows', async () => {
  const events = [exit(1, 7, 10), { ...entry(3, 7, 0), fields: { rip: 1 } }];
  const { vcpus } = await read(synthetic(events, { threads: [[7, 'CPU 3/KVM', 77]] }));
  assert.deepEqual(vcpus, [{ tid: 7, vm: 77, number: 3 }]);
});

test('cycles stay cycles unless their length is given', async () => {
  const clock = { name: 'x86-tsc', unit: 'ticks', resolution: 1 } as const;
  const events = [exit(0, 7, 10), entry(3000, 7, 0)];
  const raw = await read(synthetic(events, { clock }));
  assert.deepEqual([raw.unit, raw.all.total, raw.duration], ['cycles', 3000, 3000]);
  const converted = await read(synthetic(events, { clock }), { scale: 1000 / 2000, heatmap: true, slow: 1 });
  assert.deepEqual([converted.unit, converted.all.total, converted.duration], ['ns', 1500, 1500]);
  assert.equal(converted.slow?.[0]?.duration, 1500);
});

/** How often, by what they have in common; that nothing else is told. */
function counted({ rows, untimed, all }: ExitResult): unknown[] {
  for (const row of rows) assert.deepEqual([row.all.total, row.all.p99, row.parts], [NaN, NaN, undefined]);
  assert.equal(
    all.count,
    rows.reduce((sum, row) => sum + row.all.count, 0),
  );
  return [untimed, ...rows.map(({ group, all, halts }) => [Object.values(group)[0], all.count, halts?.count ?? 0])];
}

test('exits without entries are counted by anything, and chosen from', async () => {
  const pio = (time: number, tid: number, port: number): SyntheticEvent => ({
    name: 'kvm:kvm_pio',
    time,
    tid,
    fields: { port, rw: 1 },
  });
  const events = [exit(1, 7, 10), pio(2, 7, 0x3f8), exit(3, 7, 12), exit(4, 8, 10), exit(5, 7, 10), pio(6, 7, 0x60)];
  assert.deepEqual(counted(await read(synthetic(events))), ['entries', ['CPUID', 3, 0], ['HLT', 1, 1]]);
  assert.deepEqual(counted(await read(synthetic(events), { exclude: ['hlt'] })), ['entries', ['CPUID', 3, 0]]);
  assert.deepEqual(counted(await read(synthetic(events), { pids: [8] })), ['entries', ['CPUID', 1, 0]]);
  const ports = await read(synthetic(events), { by: ['port'] });
  assert.deepEqual(
    ports.rows.map(({ group, all }) => [group.port?.value, all.count]),
    [
      [undefined, 2],
      ['0x3f8', 1],
      ['0x60', 1],
    ],
  );
  const all = await read(synthetic(events), { exclude: ['hlt', 'cpuid'] });
  assert.deepEqual([all.rows, all.allExcluded], [[], true]);
});

test('a clock that numbers events, and none at all, give counts and no lengths', async () => {
  const events = [exit(1, 7, 10), entry(2, 7, 0), exit(3, 7, 12), entry(4, 7, 0), exit(5, 7, 10)];
  for (const clock of [
    { name: 'counter', unit: 'ticks', resolution: 1 },
    { name: 'none', unit: 'none', resolution: 1 },
  ] as const) {
    const result = await read(synthetic(events, { clock }), { heatmap: true, slow: 3 });
    assert.deepEqual(counted(result), ['times', ['CPUID', 2, 0], ['HLT', 1, 1]]);
    assert.deepEqual([result.duration, result.open], [NaN, []]);
  }
});

test('without threads, exits are counted by reason and by the number of the vCPU where the event has it', async () => {
  const numbered = (time: number, vcpu: number): SyntheticEvent => ({
    ...exit(time, -1, 10),
    fields: { exit_reason: 10, isa: 1, vcpu_id: vcpu },
  });
  const events = [numbered(1, 0), entry(2, -1, 0), numbered(3, 1), numbered(4, 0)];
  assert.deepEqual(counted(await read(synthetic(events))), ['threads', ['CPUID', 3, 0]]);
  const { rows } = await read(synthetic(events), { by: ['vcpu'] });
  assert.deepEqual(
    rows.map(({ group, all }) => [group.vcpu?.number, group.vcpu?.tid, all.count]),
    [
      [0, -1, 2],
      [1, -1, 1],
    ],
  );
});

/** Its rows: reason, whether they are halts, how many, and the total in µs. */
async function pastedRows(file: string): Promise<unknown[]> {
  const { rows } = await read(await openTrace(new URL(`../pasted/${file}`, data).pathname));
  return rows.map(({ group, all, halts }) => [group.reason, halts !== undefined, all.count, all.total / 1000]);
}

test('arm64: WFE and WFI, of one name, are told apart', async () => {
  assert.deepEqual(await pastedRows('arm64-wfe.txt'), [
    ['WFx', true, 1, 412],
    ['WFx', false, 3, 156],
  ]);
});

test('LoongArch: a later event names the privileged instruction that the guest was left for, and does not begin another exit', async () => {
  // Made by hand from arch/loongarch/kvm/trace.h, exit.c and vcpu.c; the names are those of perf's kvm-stat.c.
  assert.deepEqual(await pastedRows('loongarch.txt'), [
    ['IDLE', true, 1, 40],
    ['Mem Read', false, 1, 30],
    ['CPUCFG', false, 1, 8],
  ]);
  const left = (time: number, reason: number): SyntheticEvent => ({
    name: 'kvm:kvm_exit',
    time,
    tid: 7,
    fields: { pc: 1, reason },
  });
  const word = (time: number, inst_word: number): SyntheticEvent => ({
    name: 'kvm:kvm_exit_gspr',
    time,
    tid: 7,
    fields: { inst_word },
  });
  const into = (time: number): SyntheticEvent => ({ name: 'kvm:kvm_reenter', time, tid: 7, fields: { pc: 1 } });
  const words = [0x00006c2d, 0x04000420, 0x06480000, 0x06488000, 0x06000000, 0x12345678];
  const events = words.flatMap((one, n) => [left(10 * n, 22), word(10 * n + 1, one), into(10 * n + 5)]);
  const { rows, counts } = await read(synthetic([...events, left(90, 0), into(91), left(92, 23), into(93)]));
  assert.deepEqual(rows.map(({ group, halts }) => [group.reason, halts !== undefined]).sort(), [
    ['CACHE', false],
    ['CPUCFG', false],
    ['CSR', false],
    ['Hypercall', false],
    ['IDLE', true],
    ['IOCSR', false],
    ['Interrupt', false],
    ['Others', false],
  ]);
  assert.deepEqual([counts.exits, counts.pairs, counts.exitThenExit], [8, 8, 0]);
});

test('ppc: a guest that cedes halts; a trap has one name in text and in numbers', async () => {
  const traps: [trap: number, ceded: number][] = [
    [0, 1],
    [0, 0],
    [0xea0, 0],
  ];
  const events = traps.flatMap(([trap, ceded], n): SyntheticEvent[] => [
    { name: 'kvm_hv:kvm_guest_exit', time: 10 * n, tid: 7, fields: { vcpu_id: 0, trap, ceded } },
    { name: 'kvm_hv:kvm_guest_enter', time: 10 * n + 2 + n, tid: 7, fields: { vcpu_id: 0 } },
  ]);
  const { rows, halts } = await read(synthetic(events));
  assert.deepEqual(
    rows.map(({ group, all, halts }) => [group.reason, halts !== undefined, all.total]),
    [
      ['RETURN_TO_HOST', true, 2],
      ['RETURN_TO_HOST', false, 3],
      ['H_VIRT', false, 4],
    ],
  );
  assert.equal(halts.total, 2);
  const text = await pastedRows('ppc64el-ceded.txt');
  // From the file: four pairs of `trap=0x0 … ceded=1`.
  assert.deepEqual(
    text.filter((row) => (row as unknown[])[1]).map((row) => (row as unknown[]).slice(0, 3)),
    [['RETURN_TO_HOST', true, 4]],
  );
});

test('riscv: WFI, a virtual instruction fault of its own, is a halt; a page fault tells its address', async () => {
  const causes: [scause: number, stval: number, htval: bigint][] = [
    [22, 0x10500073, 0n],
    [22, 0x12000073, 0n],
    [23, 0x1002, 0x200004001n],
    [20, 0, 0n],
  ];
  const events = causes.flatMap(([scause, stval, htval], n): SyntheticEvent[] => [
    { name: 'kvm:kvm_exit', time: 10 * n, tid: 7, fields: { sepc: 1, scause, stval, htval, htinst: 0 } },
    { name: 'kvm:kvm_entry', time: 10 * n + 5, tid: 7, fields: { vcpu_pc: 1 } },
  ]);
  const byReason = await read(synthetic(events));
  assert.deepEqual(
    byReason.rows.map(({ group, halts }) => [group.reason, halts?.count]),
    [
      ['VIRTUAL_INST_FAULT', 1],
      ['VIRTUAL_INST_FAULT', undefined],
      ['STORE_GUEST_PAGE_FAULT', undefined],
      ['INST_GUEST_PAGE_FAULT', undefined],
    ],
  );
  const { rows } = await read(synthetic(events), { by: ['gpa'] });
  assert.deepEqual(
    rows.map(({ group, all }) => [group.gpa?.value, group.gpa?.direction, all.count]),
    [
      [undefined, undefined, 2],
      ['0x800010006', 'write', 1],
      ['0x0', 'read', 1],
    ],
  );
});

test('arm64: a guest fault tells the page, and MMIO after it the address', async () => {
  const out = (time: number): SyntheticEvent => ({
    name: 'kvm:kvm_exit',
    time,
    tid: 7,
    fields: { ret: 2, esr_ec: 0x24 },
  });
  const fault = (time: number, ipa: number, hsr: number): SyntheticEvent => ({
    name: 'kvm:kvm_guest_fault',
    time,
    tid: 7,
    fields: { vcpu_pc: 1, hsr, hxfar: 1, ipa },
  });
  const mmio: SyntheticEvent = { name: 'kvm:kvm_mmio', time: 8, tid: 7, fields: { type: 1, gpa: 0x9000018 } };
  const into = (time: number): SyntheticEvent => ({ name: 'kvm:kvm_entry', time, tid: 7, fields: { vcpu_pc: 1 } });
  const events = [out(1), fault(2, 0x40001000, 0x93540047), into(3), out(4), fault(5, 0x40002000, 0x93400007), into(6)];
  events.push(
    out(7),
    fault(7, 0x9000000, 0x93400007),
    mmio,
    into(9),
    out(10),
    fault(11, 0x40000000, 0x82000045),
    into(12),
  );
  const { rows } = await read(synthetic(events), { by: ['gpa'] });
  assert.deepEqual(
    rows.map(({ group }) => [group.gpa?.value, group.gpa?.direction]),
    [
      ['0x40001000', 'write'],
      ['0x40002000', 'read'],
      ['0x9000018', 'read'],
      ['0x40000000', 'read'],
    ],
  );
});

test("what libtraceevent's plugin writes before events of other architectures does not hide their reasons", async () => {
  for (const name of ['arm64-trace-cmd-report', 'riscv64-trace-cmd-report', 'riscv64-perf-script']) {
    const plain = await pastedRows(`${name}-plugin.clean.txt`);
    assert.ok(plain.length >= 2 && plain.every((row) => (row as unknown[])[0] !== 'unknown'));
    assert.deepEqual(await pastedRows(`${name}-plugin.txt`), plain);
  }
});

test('on arm64 perf times the guest: --in-guest equals its table, and the exits are as many', async () => {
  const { rows, counts, inGuest } = await recording('arm64.perf.data.zst', { inGuest: true });
  assert.equal(inGuest, true);
  assertAsPerf(
    rows.map(({ group, all }) => [group.reason as string, all]),
    'arm64.kvmstat.txt',
  );
  // The guest's WFI ends a stretch in the guest: it is no halt before it.
  assert.ok(rows.every(({ halts }) => halts === undefined));
  assert.equal(counts.pairs, 44_897);
  assert.equal((await recording('arm64.perf.data.zst')).counts.exits, counts.exits);
});

test('a stretch in the guest lasts from the last kvm_entry to the kvm_exit, and none is made of an exit alone', async () => {
  const at = (time: number, name: string, fields: Record<string, number> = {}): SyntheticEvent => ({
    name: `kvm:kvm_${name}`,
    time,
    tid: 7,
    cpu: 0,
    fields,
  });
  const hlt = { exit_reason: 0x78, isa: 2 };
  const events = [
    at(5, 'exit', hlt),
    at(10, 'entry', { vcpu_id: 0 }),
    at(40, 'exit', hlt),
    at(100, 'entry', { vcpu_id: 0 }),
    // KVM's fast path goes back in without a kvm_exit.
    at(150, 'entry', { vcpu_id: 0 }),
    at(170, 'exit', hlt),
    at(200, 'entry', { vcpu_id: 0 }),
  ];
  for (const batchSize of [1, 3, 100]) {
    const { rows, counts } = await read(synthetic(events, { batchSize }), { inGuest: true });
    assert.deepEqual(
      rows.map(({ group, all }) => [group.reason, all.count, all.total, all.min, all.max]),
      [['hlt', 2, 50, 20, 30]],
    );
    assert.deepEqual(
      [counts.exits, counts.pairs, counts.exitThenExit, counts.entryWithoutExit, counts.openAtEnd],
      [3, 2, 1, 1, 0],
    );
  }
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readText } from '../../test/read-text.ts';
import { Reasons, reasonDecoder } from '../spans/exit-reasons.ts';

const pasted = (name: string) => ({ file: join(import.meta.dirname, '../../test/data/pasted', name) });

/** What each event is and says. */
async function said(
  text: Parameters<typeof readText>[0],
): Promise<[events: [name: string, print: string][], notes: readonly string[]]> {
  const { trace, events } = await readText(text);
  return [events.map(({ name, print }) => [name.replace(/^\w+:/, ''), print]), trace.notes];
}

const joined = (n: number) =>
  `${n === 1 ? '1 line is' : `${n} lines are`} the rest of the line before, as mail programs wrap them: joined again.`;

test('lines that a mail program wrapped inside the arguments are joined again', async () => {
  assert.deepEqual(await said(pasted('wrapped-in-args.txt')), [
    [
      ['kvm_entry', 'PC: 0x0000000080528a6c'],
      ['kvm_exit', 'TRAP: HSR_EC: 0x0018 (SYS64), PC: 0x0000000080528a90'],
      ['kvm_entry', 'PC: 0x0000000080528a90'],
    ],
    [joined(3)],
  ]);
  assert.deepEqual(await said(pasted('wrapped-in-args-vmx.txt')), [
    [
      ['kvm_entry', 'vcpu 0, rip 0xfffff802057fee67'],
      ['kvm_exit', 'reason EPT_VIOLATION rip 0xfffff802057fee67 info 683 800000d1'],
      ['kvm_entry', 'vcpu 0, rip 0xfffff802057fee67'],
    ],
    [joined(3)],
  ]);
  // Quoted, over three lines, where optional fields begin; and with remarks between, which stay out.
  const quoted = [
    '> qemu-100   [001] d..1.    10.000001: kvm_exit: vcpu 0 reason',
    '> EPT_VIOLATION rip 0x1018 info1 0x0000000000000781',
    '> info2 0x0 intr_info 0x0 error_code 0x3',
    'this is where it hangs',
    '> qemu-100   [001] d..1.    10.000002: sched_switch: prev_comm=a b prev_pid=100 prev_prio=120 prev_state=S ==>',
    '> next_comm=c next_pid=7 next_prio=120',
    '> qemu-100   [001] d..1.    10.000003: some_event: first=1 second=0x2 and more text to fill a line',
    '> third=3',
  ];
  assert.deepEqual(await said(`${quoted.join('\n')}\n`), [
    [
      [
        'kvm_exit',
        'vcpu 0 reason EPT_VIOLATION rip 0x1018 info1 0x0000000000000781 info2 0x0 intr_info 0x0 error_code 0x3',
      ],
      [
        'sched_switch',
        'prev_comm=a b prev_pid=100 prev_prio=120 prev_state=S ==> next_comm=c next_pid=7 next_prio=120',
      ],
      ['some_event', 'first=1 second=0x2 and more text to fill a line third=3'],
    ],
    [
      `1 line is no event that virtap can read, the first at byte ${quoted.slice(0, 3).join('\n').length + 1} ("this is where it hangs"): left out.`,
      joined(4),
    ],
  ]);
});

test('lines that were wrapped after the time stamp are joined again', async () => {
  const { events, trace } = await readText(pasted('wrapped-mail.txt'));
  assert.deepEqual(
    events.map(({ name }) => name),
    ['ftrace:print', 'kvm:kvm_exit', 'kvm:kvm_entry', 'kvm:kvm_exit', 'kvm:kvm_entry'],
  );
  assert.deepEqual(trace.notes, [joined(5)]);
  const perf = await readText(pasted('wrapped-perf-script.txt'));
  assert.deepEqual(
    [perf.trace.format, perf.events.map(({ name, tid, cpu, print }) => [name, tid, cpu, print]), perf.trace.origin],
    ['perf script', [['kvm:kvm_userspace_exit', 83801, 90, 'reason KVM_EXIT_UNKNOWN (0)']], 10892345982869000n],
  );
});

test('an event may have several forms in one text: none decides for the others', async () => {
  for (const file of ['two-kernels-in-one.txt', 'shortened-exit.txt']) {
    const { events } = await readText(pasted(file));
    const reasons = events.filter(({ name }) => name === 'kvm:kvm_exit').map(({ fields }) => fields.exit_reason);
    assert.deepEqual(
      reasons,
      file.startsWith('two') ? ['CPUID', 'HLT'] : ['EXTERNAL_INTERRUPT', 'EPT_VIOLATION', 'HLT'],
    );
  }
  // Of another architecture, and of no form at all, in any order.
  const head = (n: number) => `qemu-100   [001] d..1.    10.00000${n}:`;
  const forms = [
    'kvm_exit: something else a=5',
    'kvm_exit: TRAP: HSR_EC: 0x0018 (SYS64), PC: 0x80528a90',
    'kvm_exit: reason HLT rip 0x1 info 0 0',
    'kvm_exit: TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0x80528a90',
    'kvm_exit: something else a=6',
  ];
  const { events } = await readText(`${forms.map((form, n) => `${head(n)} ${form}`).join('\n')}\n`);
  assert.deepEqual(
    events.map(({ fields }) => [fields.exit_reason, fields.esr_ec_name, fields.a]),
    [
      [undefined, undefined, '5'],
      [undefined, 'SYS64', undefined],
      ['HLT', undefined, undefined],
      [undefined, 'DABT_LOW', undefined],
      [undefined, undefined, '6'],
    ],
  );
});

test('forms of an event that nobody knows are told apart by their fields, and no row of exits is without a name', async () => {
  const forms = [
    'kvm_exit: exit_reason=120 isa=2 guest_rip=0xff info1=0 info2=0',
    'kvm_entry: vcpu_id=0 rip=0x1',
    'kvm_exit: reason=CPUID rip=0xff',
    'kvm_entry: vcpu=0',
    'kvm_exit: exit_reason: EXIT_NPF',
    'kvm_entry:',
    'kvm_exit: something else a=5',
    'kvm_entry:',
    // What libtraceevent complains of may stand apart from the event.
    'kvm_exit: <CANT FIND FIELD exit_reason> IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0xffff800010a1b2c4',
    `kvm_entry: CAN'T FIND FIELD "vcpu_id"<CANT FIND FIELD rip> PC: 0xffff800010a1b2c8`,
  ].map((form, n) => `qemu-100   [001] d..1.    10.0000${10 + n}: ${form}\n`);
  const { trace, events } = await readText(forms.join(''));
  const reasons = new Reasons();
  const seen: string[] = [];
  for (const { name, fields } of events) if (name === 'kvm:kvm_exit') seen.push(Object.keys(fields).join());
  assert.deepEqual(seen, [
    'exit_reason,isa,guest_rip,info1,info2',
    'reason,rip',
    'exit_reason',
    'a',
    'ret,esr_ec,esr_ec_name,vcpu_pc',
  ]);
  const names = trace.types.filter(({ name }) => name === 'kvm:kvm_exit').map((type) => reasonDecoder(type, reasons));
  assert.equal(names.length, 5);
  // What an exit lacks has no number of its own.
  assert.equal(reasons.names[reasons.id('')], 'unknown');
});

test('numbers are what the printer meant, in columns and behind signs', async () => {
  const head = 'qemu-100   [001] d..1.    10.000001:';
  const { events } = await readText(
    [
      'kvm_timer_save_state: CTL: 0x000005 CVAL:       0x6344dfd6 arch_timer_ctx_index: 1',
      'kvm_timer_save_state: CTL: 00000000 CVAL:                0 arch_timer_ctx_index: 0',
      'kvm_try_async_get_page: gva = 0x7f00, gfn = 0x12',
      'kvm_emulate_insn: 0:401000 (prot32)',
      // Where libtraceevent cannot follow the kernel's form, numbers are decimal.
      'kvm_mmu_get_page: [FAILED TO PARSE] mmu_valid_gen=0x0 gfn=1048574 role=122881',
    ]
      .map((text) => `${head} ${text}\n`)
      .join(''),
  );
  assert.deepEqual(
    events.map(({ integers }) => integers),
    [
      { CTL: 5n, CVAL: 0x6344dfd6n, arch_timer_ctx_index: 1n },
      { CTL: 0n, CVAL: 0n, arch_timer_ctx_index: 0n },
      { gva: 0x7f00n, gfn: 0x12n },
      { csbase: 0n, rip: 0x401000n, failed: 0n },
      { mmu_valid_gen: 0n, gfn: 1048574n, role: 122881n },
    ],
  );
});

test('the frames of a stack trace belong to the event that announces them', async () => {
  assert.deepEqual(await said(pasted('stacktrace.txt')), [
    [
      ['kvm_mmio', 'mmio write len 4 gpa 0xc0004014 val 0x0'],
      ['kernel_stack', '=> write_mmio => vcpu_enter_guest'],
    ],
    [],
  ]);
});

/** What a text that lacks something still tells. */
async function rest(text: Parameters<typeof readText>[0]): Promise<unknown> {
  const { trace, events } = await readText(text);
  return [
    trace.format,
    trace.clock.unit,
    events.map(({ name, tid, cpu }) => [name, tid, cpu]),
    trace.notes.map((note) => note.replace(/[:,;] .*/, '')),
  ];
}

const noTimes = 'The text has no time stamps';
const noThreads = 'The text does not say which threads its events are of';

test('text without times, threads or CPUs is read as far as it goes, and what it lacks is said', async () => {
  assert.deepEqual(await rest(pasted('no-times.txt')), [
    'kernel text',
    'none',
    [
      ['kvm:kvm_exit', 1234, 1],
      ['kvm:kvm_entry', 1234, 1],
      ['kvm:kvm_exit', 1234, 1],
    ],
    [noTimes],
  ]);
  assert.deepEqual(await rest(pasted('perf-script-no-tid.txt')), [
    'kernel text',
    'ns',
    [
      ['kvm:kvm_exit', -1, -1],
      ['kvm:kvm_entry', -1, -1],
    ],
    [noThreads],
  ]);
  const event = 'kvm:kvm_fpu: load\n';
  const one = (text: string) => rest(`some words about kvm_exit: it is an event\n${text}`);
  const left = '1 line is no event that virtap can read';
  for (const [text, unit, tid, cpu, notes] of [
    [`[001] 21133.030726:     ${event}`, 'ns', -1, 1, [noThreads]],
    [`21133.030726123:     ${event}`, 'ns', -1, -1, [noThreads]],
    [`    ${event}`, 'none', -1, -1, [noTimes, noThreads]],
    [`> qemu-kvm-77 21133.030726: ${event}`, 'ns', 77, -1, []],
    [`qemu kvm 77/78 ${event}`, 'none', 78, -1, [noTimes]],
    [`qemu kvm 78 [003] ${event}`, 'none', 78, 3, [noTimes]],
    [`qemu-kvm-77 [003] d..1. kvm_fpu: load\n`, 'none', 77, 3, [noTimes]],
    ['kvm_exit: reason HLT rip 0x1 info 0 0\n', 'none', -1, -1, [noTimes, noThreads]],
  ] as const)
    assert.deepEqual(await one(text), [
      'kernel text',
      unit,
      [[text.includes('exit') ? 'kvm:kvm_exit' : 'kvm:kvm_fpu', tid, cpu]],
      [...notes, left],
    ]);
  const named = await readText(
    '<...>-5 [001] kvm_fpu: load\nCPU 0/KVM-77 [001] kvm_fpu: load\nqemu kvm 78 [001] kvm_fpu: load\n',
  );
  assert.deepEqual(
    [5, 77, 78].map((tid) => named.trace.threads.get(tid)?.comm),
    ['', 'CPU 0/KVM', 'qemu kvm'],
  );
  // However many spaces there are, it takes no time to see that this is no event.
  const spaces = `${'x '.repeat(40)}${' '.repeat(300)}] kvm_exit: reason HLT rip 0x1 info 0 0\n`;
  await assert.rejects(rest(spaces.repeat(150)), /text without a line/);
  await assert.rejects(rest('We saw kvm_exit: it was slow\nkvm_exit: nothing of the kind\n'), /text without a line/);
});

test("lines of QEMU's log may be indented, quoted and wrapped", async () => {
  const dump = async (name: string) => {
    const { trace, events } = await readText(pasted(name));
    return [trace.origin, ...events.map(({ name, tid, time, print }) => [name.slice(5), tid, time, print])];
  };
  assert.deepEqual(await dump('indented-qemu-log.log'), [
    1647341556924605000n,
    ['kvm_run_exit', 15268, 0, 'cpu_index 0, reason 2'],
    ['kvm_run_exit', 15268, 3736000, 'cpu_index 0, reason 8'],
  ]);
  assert.deepEqual(await dump('quoted-qemu-log.log'), [
    1595480025714133000n,
    ['virtio_queue_notify', 31900, 0, 'vdev 0x633000019640 n 0 vq 0x7fe20b13d800'],
    ['virtio_notify', 31900, 253000, 'vdev 0x633000019640 vq 0x7fe20b13d800'],
  ]);
  assert.deepEqual(await dump('quoted-qemu-log-notime.log'), [
    0n,
    ['virtqueue_pop', -1, 0, 'vq 0x5d04109b0ce8 elem 0x5d041024f560 in_num 0 out_num 1'],
    ['virtqueue_fill', -1, 1, 'vq 0x5d04109b0ce8 elem 0x5d041024f560 len 0 idx 0'],
  ]);
  const wrapped = [
    '> 31900@1595480025.714133:virtqueue_pop vq 0x5d04109b0ce8 elem',
    '> 0x5d041024f560 in_num 0',
    '> out_num 1',
    'and then it says',
    '31900@1595480025.714139:not_known_anywhere with=arguments of_some=0x77',
    'more=8',
    '31900@1595480025.714140:virtio_notify vdev 0x633000019640 vq 0x7fe20b13d800',
    '0x77 is the end',
  ];
  const { trace, events } = await readText(`${wrapped.join('\n')}\n`);
  assert.deepEqual(
    events.map(({ print }) => print),
    [
      'vq 0x5d04109b0ce8 elem 0x5d041024f560 in_num 0 out_num 1',
      'with=arguments of_some=0x77 more=8',
      'vdev 0x633000019640 vq 0x7fe20b13d800',
    ],
  );
  assert.equal(events[1]?.integers.of_some, 0x77n);
  assert.deepEqual(
    trace.notes.toSorted(),
    ['2 lines are no trace events, such as "and then it says"', joined(3)].toSorted(),
  );
});

test('wrapped text of QEMU in trace_marker is joined, and a call chain of perf script is none', async () => {
  const head = 'qemu-system-x86-5659  [007] ....   280.971116: tracing_mark_write:';
  const { events, trace } = await readText(
    `${head} virtqueue_pop vq 0x5d04109b0ce8 elem\n0x5d041024f560 in_num 0 out_num 1\n${head} some text of a program\nand more\n`,
  );
  assert.deepEqual(
    events.map(({ name, print }) => [name, print]),
    [
      ['qemu:virtqueue_pop', 'vq 0x5d04109b0ce8 elem 0x5d041024f560 in_num 0 out_num 1'],
      ['ftrace:print', 'some text of a program'],
    ],
  );
  assert.equal(trace.notes.at(-1), joined(1));
  const chain = 'qemu 100 [001] 1.000001: kvm:kvm_fpu: load\n\tffffffff810a kvm_fpu+0x1 ([kernel.kallsyms])\n\n';
  const chained = await readText(chain);
  assert.deepEqual([chained.trace.notes, chained.events[0]?.print], [[], 'load']);
});

test('two recordings in one text, days apart, are not taken for one', async () => {
  const line = (time: string, text: string) => ` qemu-100 [001] d..1. ${time}: ${text}\n`;
  const first = line('10.000001', 'kvm_entry: vcpu 0') + line('10.000007', 'kvm_exit: reason HLT rip 0x1 info 0 0');
  const { trace, events } = await readText(first + line('1400895.000017', 'kvm_entry: vcpu 0'));
  assert.equal(events.length, 2);
  assert.match(
    trace.damage?.message ?? '',
    /the time goes forward by 1400885\.00001 s, where another recording begins; expected one recording .* files of their own/,
  );
  // What is traced may be rare.
  const nightly = [1, 72_000, 144_000, 400_000].map((second) => line(`${second}.000000`, 'kvm_entry: vcpu 0'));
  const rare = await readText(nightly.join(''));
  assert.deepEqual([rare.events.length, rare.trace.damage], [4, undefined]);
});

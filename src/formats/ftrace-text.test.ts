import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { counts, countsFile, readText, unpackedText } from '../../test/read-text.ts';
import { openTrace } from './detect.ts';

const data = join(import.meta.dirname, '../../test/data/ftrace-text');
const file = (name: string) => ({ file: join(data, name) });

const bare = (found: Map<string, number>) => new Map([...found].map(([name, n]) => [name.replace(/^\w+:/, ''), n]));
const sorted = (found: Map<string, number>) => [...found].sort();

test('every form of trace-cmd report gives the same events at the same times', async () => {
  const expected = sorted(countsFile(join(data, 'report.counts.txt')));
  const exact = await readText(file('report-nanoseconds.txt.gz'));
  assert.deepEqual(exact.trace.clock, { name: 'unknown', unit: 'ns', resolution: 1 });
  assert.deepEqual(sorted(bare(counts(exact.events))), expected);
  for (const form of ['plain', 'kernel', 'raw', 'latency']) {
    const { trace, events, losses } = await readText(file(`report-${form}.txt.gz`));
    assert.equal(trace.format, 'ftrace text');
    assert.equal(trace.version, 'trace-cmd report');
    assert.equal(trace.cpus, 2);
    assert.deepEqual(trace.clock, { name: 'unknown', unit: 'ns', resolution: 1000 });
    assert.deepEqual(trace.notes, []);
    assert.deepEqual(
      events.map(({ name, cpu, tid, pid }) => [name, cpu, tid, pid]),
      exact.events.map(({ name, cpu, tid, pid }) => [name, cpu, tid, pid]),
      form,
    );
    for (const [i, { time }] of events.entries()) {
      const other = exact.events[i]?.time ?? Number.NaN;
      assert.ok(Math.abs(time + Number(trace.origin - exact.trace.origin) - other) <= 500, `${form} ${i}`);
    }
    // CPU:0 [323 EVENTS DROPPED] stands between 348.507454 and 348.512679.
    assert.deepEqual(
      losses.map((loss) => [Number(trace.origin) + loss.from, Number(trace.origin) + loss.to, loss.cpu, loss.count]),
      [[348507454000, 348512679000, 0, 323]],
    );
  }
});

test('a thread that gets another name has it from then on', async () => {
  const lines = ['100: bash', '101: bash', '102: taskset', '103: taskset', '104: qemu-system-x86'].map((line) => {
    const [us, comm] = line.split(': ') as [string, string];
    return `${comm.padStart(16)}-1357  [000] .....    12.000${us}: sched_wakeup: comm=x pid=1 prio=120 target_cpu=000\n`;
  });
  const path = join(mkdtempSync(join(tmpdir(), 'virtap-names-')), 'trace.txt');
  writeFileSync(path, `# tracer: nop\n${lines.join('')}`);
  const trace = await openTrace(path);
  const seen: string[] = [];
  for await (const b of trace.batches())
    for (let i = 0; i < b.count; i++) seen.push(trace.threads.get(b.tid[i] as number)?.comm ?? '');
  await trace.close();
  rmSync(dirname(path), { recursive: true });
  assert.deepEqual(seen, ['bash', 'bash', 'taskset', 'taskset', 'qemu-system-x86']);
});

test('fields are the same whichever form they were printed in', async () => {
  const raw = (await readText(file('report-raw.txt.gz'))).events;
  for (const form of ['plain', 'kernel']) {
    const { events } = await readText(file(`report-${form}.txt.gz`));
    let compared = 0;
    for (const [i, event] of events.entries()) {
      for (const [field, value] of Object.entries(event.integers)) {
        const expected = raw[i]?.integers[field];
        if (expected === undefined) continue;
        assert.equal(value, expected, `${form} ${event.print} ${field}`);
        compared++;
      }
    }
    assert.ok(compared > 1100, `${form}: ${compared}`);
  }
  const exit = raw.find((event) => event.name === 'kvm:kvm_exit');
  assert.equal(exit?.fields.isa, '2');
});

test('a buffer that overran says so, for all of it and for each CPU', async () => {
  const { trace, events, losses } = await readText(file('trace-overrun.txt.gz'));
  assert.equal(trace.version, 'trace');
  assert.equal(trace.cpus, 2);
  const first = events.find((event) => event.cpu === 0)?.time;
  assert.deepEqual(losses, [
    { from: -Infinity, to: 0, cpu: -1, count: 197802 },
    { from: -Infinity, to: first, cpu: 0, count: undefined },
  ]);
  assert.match(trace.notes[0] ?? '', /of 201156 events it kept the last 3354/);
});

test('clocks that do not count time are ticks, and the note says what to record', async () => {
  const { trace, events } = await readText(file('trace-tsc.txt.gz'));
  assert.deepEqual(trace.clock, { name: 'unknown', unit: 'ticks', resolution: 1 });
  assert.equal(trace.origin, 2881272312806n);
  assert.equal(events.length, 81);
  assert.match(trace.notes[0] ?? '', /-C mono/);
});

test('tracefs without irq-info, and trace_pipe', async () => {
  const plain = await readText(file('trace-no-irq-info.txt.gz'));
  assert.equal(plain.events.length, 40 - 6 + 81);
  assert.deepEqual(plain.trace.notes, []);
  assert.equal(plain.trace.threads.get(931)?.comm, 'CPU 0/KVM');
  const pipe = await readText(file('trace-pipe.txt.gz'));
  assert.equal(pipe.events.length, 40 + 81);
  assert.equal(pipe.trace.cpus, undefined);
});

test('QEMU in a kernel trace: probes and trace_marker lines are the same events', async () => {
  const { trace, events } = await readText(file('qemu-probes-and-markers.txt.gz'));
  assert.equal(trace.threads.get(26828)?.comm, 'CPU 0/TCG');
  const carriers = new Set(trace.types.filter((type) => type.name === 'qemu:virtqueue_pop').map((t) => t.recordedAs));
  assert.deepEqual(carriers, new Set(['uprobes:virtqueue_pop', 'ftrace:print']));
  const pops = events.filter((event) => event.name === 'qemu:virtqueue_pop');
  // The probe comes first, then the marker of the same pop.
  assert.deepEqual(pops[0]?.integers, {
    vq: 0x7f42008921d8n,
    elem: 0x5596211fb4a0n,
    in_num: 2n,
    out_num: 1n,
  });
  assert.deepEqual(pops[1]?.integers, pops[0]?.integers);
});

/** Lines of all kinds, one event each, and what they say: by hand from the tools' sources. */
const lines: [text: string, name: string, cpu: number, tid: number, pid: number, comm: string, time: bigint][] = [
  // record-tgid, with and without the process known.
  [
    '       CPU 0/KVM-966     (    961) [001] d..1.  1144.323531: kvm_entry: vcpu 0, rip 0xfff0',
    'kvm:kvm_entry',
    1,
    966,
    961,
    'CPU 0/KVM',
    1144323531000n,
  ],
  [
    '           <...>-977     (-------) [000] ....  1144.323531: kvm_fpu: load',
    'kvm:kvm_fpu',
    0,
    977,
    -1,
    '',
    1144323531000n,
  ],
  // Old kernels: four flags.
  [
    'qemu-system-x86-5665  [000] d..1   280.971122: kvm_entry: vcpu 0',
    'kvm:kvm_entry',
    0,
    5665,
    -1,
    'qemu-system-x86',
    280971122000n,
  ],
  // trace-cmd 3.3: flags, which a long bare time follows at once; and raw, flags as a number.
  ['            bash-883   [001] d..2.1497753754345: kvm_fpu: load', 'kvm:kvm_fpu', 1, 883, -1, 'bash', 1497753754345n],
  [
    '            bash-883   [001] d..21.1497753754345: kvm_fpu: load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1497753754345n,
  ],
  [
    '            bash-883   [001] .....  1293.124356: kvm_fpu:              load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1293124356000n,
  ],
  [
    '            bash-883   [001]-0x1  1293.124356: kvm_fpu:              load=1',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1293124356000n,
  ],
  [
    '            bash-883   [001]-0x01486602695099: kvm_fpu:              load=1',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1486602695099n,
  ],
  // trace-cmd report of boot, x86-tsc and counter clocks: no space before the time.
  [
    '            bash-883   [001]1486602695099: kvm_fpu:              load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1486602695099n,
  ],
  ['            bash-883   [001]          42: kvm_fpu:              load', 'kvm:kvm_fpu', 1, 883, -1, 'bash', 42n],
  [
    '            bash-883   [001]18446744073709551615: kvm_fpu:   load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    18446744073709551615n,
  ],
  [
    '            bash-883   [001]1795419727169496123: kvm_fpu:   load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    1795419727169496123n,
  ],
  // --ts-diff.
  [
    '            bash-883   [001]   557.520602: (+114)   kvm_fpu:              load',
    'kvm:kvm_fpu',
    1,
    883,
    -1,
    'bash',
    557520602000n,
  ],
  // Names with dashes, brackets, colons and digits.
  [
    ' memfd:sealed-91-11540 [001]  4048.249458: kvm_fpu: load',
    'kvm:kvm_fpu',
    1,
    11540,
    -1,
    'memfd:sealed-91',
    4048249458000n,
  ],
  ['         a[1] -b-12    [001]  4048.249458: kvm_fpu: load', 'kvm:kvm_fpu', 1, 12, -1, 'a[1] -b', 4048249458000n],
  // A mail's quote signs, and the name of one of several buffers.
  [
    '> >        CPU 0/KVM-966     [001]  4048.249458: kvm_fpu: load',
    'kvm:kvm_fpu',
    1,
    966,
    -1,
    'CPU 0/KVM',
    4048249458000n,
  ],
  [
    '  trace-a.dat:        CPU 0/KVM-966     [001]  4048.249458: kvm_fpu: load',
    'kvm:kvm_fpu',
    1,
    966,
    -1,
    'CPU 0/KVM',
    4048249458000n,
  ],
  // The latency format, by the kernel and by trace-cmd.
  ['CPU 0/KV-966       1d..1.   12us : kvm_fpu: load', 'kvm:kvm_fpu', 1, 966, -1, 'CPU 0/KV', 12000n],
  ['CPU 0/KV-966       1.....   1234567us!: kvm_fpu: load', 'kvm:kvm_fpu', 1, 966, -1, 'CPU 0/KV', 1234567000n],
  ['CPU 0/KV-966      11d..1.1486602695099: kvm_fpu: load', 'kvm:kvm_fpu', 11, 966, -1, 'CPU 0/KV', 1486602695099n],
  // Other kinds of event.
  [
    '            bash-883     [001] .....  1.000000: sys_ioctl(fd: d, cmd: ae80, arg: 0)',
    'syscalls:sys_enter_ioctl',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: sys_ioctl -> 0xfffffffffffffffc',
    'syscalls:sys_exit_ioctl',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: vfs_read <-ksys_read',
    'ftrace:function',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: <stack trace>',
    'ftrace:kernel_stack',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: tracing_mark_write: hello',
    'ftrace:print',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: print:   tracing_mark_write: hello',
    'ftrace:print',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: print:   tracing_mark_write: virtio_set_status vdev 0x5596 val 15',
    'qemu:virtio_set_status',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] DBZff  1.000000: virtio_set_status_1: (0x5595f8e28a41) arg1=0x5596 arg2=0',
    'qemu:virtio_set_status',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: p_vfs_0: (vfs_read+0x0/0x70 [kvm]) si=0x18b082000',
    'kprobes:p_vfs_0',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
  [
    '            bash-883     [001] .....  1.000000: my_own_event: x=1',
    'unknown:my_own_event',
    1,
    883,
    -1,
    'bash',
    1000000000n,
  ],
];

test('lines of every kind', async () => {
  for (const [text, name, cpu, tid, pid, comm, time] of lines) {
    const { trace, events } = await readText(`${text}\n`);
    const [event] = events;
    assert.deepEqual([event?.name, event?.cpu, event?.tid, event?.pid], [name, cpu, tid, pid], text);
    assert.equal(trace.threads.get(tid)?.comm, comm, text);
    assert.equal(trace.origin, time, text);
    assert.equal(event?.time, 0, text);
  }
});

test('clock names by the form of the time', async () => {
  const clock = async (start: string) =>
    (await readText(`            bash-8   [001]${start}: kvm_fpu: load\n`)).trace.clock;
  assert.deepEqual(await clock('  1.000000'), { name: 'unknown', unit: 'ns', resolution: 1000 });
  assert.deepEqual(await clock('  1.000000001'), { name: 'unknown', unit: 'ns', resolution: 1 });
  assert.deepEqual(await clock('1486602695099'), { name: 'unknown', unit: 'ticks', resolution: 1 });
  assert.deepEqual(await clock('1795419727169496123'), { name: 'tai', unit: 'ns', resolution: 1 });
  const latency = await readText('bash-8       1d..1.   12us : kvm_fpu: load\n');
  assert.deepEqual(latency.trace.clock, { name: 'relative', unit: 'ns', resolution: 1000 });
});

test('glued flags and time are told apart by the line before', async () => {
  const times = async (...tokens: string[]) => {
    const { trace, events } = await readText(tokens.map((t) => `   bash-8   [001]${t}: kvm_fpu: load=1\n`).join(''));
    return events.map((event) => trace.origin + BigInt(event.time));
  };
  assert.deepEqual(await times('-0x01486602695099', '-0x11486602695100', '-0x151486602695101'), [
    1486602695099n,
    1486602695100n,
    1486602695101n,
  ]);
});

test('an unknown name never replaces a known one', async () => {
  const line = (comm: string, seconds: number) =>
    `${comm.padStart(16)}-8     [001] .....  ${seconds}.000000: kvm_fpu: load\n`;
  const { trace } = await readText(line('CPU 0/KVM', 1) + line('<...>', 2));
  assert.equal(trace.threads.get(8)?.comm, 'CPU 0/KVM');
});

test('losses: on a CPU, without a number, and where they come together', async () => {
  const line = (cpu: number, micros: number) =>
    `   bash-8     [00${cpu}] .....  1.${String(micros).padStart(6, '0')}: kvm_fpu: load\n`;
  const { losses } = await readText(
    `${line(0, 1)}${line(1, 2)}CPU:0 [LOST 12 EVENTS]\nCPU:1 [LOST EVENTS]\n${line(0, 5)}${line(1, 6)}` +
      `CPU:1 [7 EVENTS DROPPED]\nCPU:1 [LOST 3 EVENTS]\n${line(1, 9)}CPU:0 [EVENTS DROPPED]\n`,
  );
  assert.deepEqual(losses, [
    { from: 0, to: 4000, cpu: 0, count: 12 },
    { from: 1000, to: 4000, cpu: 1, count: undefined },
    { from: 5000, to: 8000, cpu: 1, count: 10 },
    { from: 4000, to: Infinity, cpu: 0, count: undefined },
  ]);
});

test('the event after a loss is the first of its batch', async () => {
  const line = (micros: number) => `   bash-8     [000] .....  1.${String(micros).padStart(6, '0')}: kvm_fpu: load\n`;
  const { batches, events } = await readText(`${line(1)}${line(2)}CPU:0 [LOST 12 EVENTS]\n${line(5)}`);
  assert.deepEqual([batches, events.length], [2, 3]);
});

test('lines a little out of order are put right', async () => {
  const line = (micros: number) => `   bash-8     [001] .....  1.${String(micros).padStart(6, '0')}: kvm_fpu: load\n`;
  const { trace, events } = await readText([5, 1, 3, 9000, 2, 9001].map(line).join(''));
  assert.deepEqual(
    events.map((event) => event.time),
    [-4000, -3000, -2000, 0, 8995000, 8996000],
  );
  assert.deepEqual(trace.notes, []);
});

test('where the time goes far back, another recording begins: it is not mixed with the first', async () => {
  const line = (seconds: number) => `   bash-8     [001] .....  ${seconds}.000000: kvm_fpu: load\n`;
  const { trace, events } = await readText([5, 6, 7, 6, 5, 9].map(line).join(''));
  assert.equal(events.length, 4);
  assert.match(String(trace.damage?.message), /byte 204: the time goes back by 2 s; expected one recording/);
});

test('lines with NUL bytes are no events, but a hole', async () => {
  const line = (micros: number, text = 'load') => `   bash-8     [001] .....  1.00000${micros}: kvm_fpu: ${text}\n`;
  const torn = `${line(4).slice(0, 20)}${'\0'.repeat(70)}oad\n`;
  const { trace, events, losses } = await readText(
    `${line(1)}${line(2)}${line(3, 'lo\0d')}${torn}${line(6)}${line(7)}`,
  );
  assert.deepEqual(
    events.map(({ time }) => time),
    [0, 1000, 5000, 6000],
  );
  assert.deepEqual(losses, [{ from: 1000, to: 5000, cpu: -1, count: undefined }]);
  assert.match(String(trace.damage?.message), /byte 102: 2 lines have NUL bytes, left out; expected text/);
});

test('a time that is out of reach is damage, not inexact', async () => {
  const line = (seconds: number) => `   bash-8     [001] .....  ${seconds}.000000: kvm_fpu: load\n`;
  const { trace, events, losses } = await readText(`${line(1)}${line(99_999_999)}${line(2)}`);
  assert.deepEqual(
    events.map(({ time }) => time),
    [0, 1_000_000_000],
  );
  assert.deepEqual(losses, [{ from: 0, to: 1_000_000_000, cpu: -1, count: undefined }]);
  assert.match(String(trace.damage?.message), /byte 51: 1 line has a time more than 2\^53 ns from the first, left out/);
});

test('what is no event is left out and counted', async () => {
  const event = '       CPU 0/KVM-966     [001] d..1.  1144.323531: kvm_entry: vcpu 0, rip 0xfff0\n';
  const { trace, events } = await readText(
    `$ cat trace\n[   12.345678] kvm: a warning\n${event} => vcpu_enter_guest\n\n${event}       CPU 0/KVM-966     [001] d..1.  1144.32`,
  );
  assert.equal(events.length, 2);
  assert.equal(trace.damage, undefined);
  assert.match(trace.notes[0] ?? '', /^The last line, at byte \d+, has no end/);
  assert.match(trace.notes[1] ?? '', /^2 lines are no event .* the first at byte 0 \("\$ cat trace"\)/);
});

test('lines of any length', async () => {
  const event = (text: string) => `   bash-8     [001] .....  1.000000: my_event: text=${text}\n`;
  const { trace, events } = await readText(
    event('a') + event('x'.repeat(3 << 20)) + event('b') + event('y'.repeat(40000)),
  );
  assert.deepEqual(
    events.map((e) => e.print.length),
    [6, 6, 40005],
  );
  assert.match(trace.notes.join(), /1 lines of more than 65536 bytes were left out/);
});

test('a header alone is a trace without events', async () => {
  const { trace, events } = await readText('# tracer: nop\n#\n# entries-in-buffer/entries-written: 0/0   #P:4\n');
  assert.deepEqual([events.length, trace.cpus, trace.version], [0, 4, 'trace']);
});

test('a damaged text is read as far as it is one, and nothing breaks', async () => {
  const sources = ['report-plain.txt.gz', 'report-raw.txt.gz', 'qemu-probes-and-markers.txt.gz'].map((name) =>
    Buffer.from(unpackedText(join(data, name)).split('\n').slice(0, 60).join('\n'), 'latin1'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...sources),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      async (source, changes, cut) => {
        const bytes = Buffer.from(source.subarray(0, (cut % source.length) + 1));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        await readText(bytes).catch((error) => assert.match(String(error), /^TraceError: .*: byte 0: is /));
      },
    ),
    { numRuns: 300 },
  );
});

test('a clock that numbers events is told from one that counts cycles', async () => {
  const text = (stamps: number[]) =>
    stamps.map((stamp) => ` qemu-100 [001] d..1. ${stamp}: kvm_entry: vcpu 0\n`).join('');
  const clock = async (...stamps: number[]) => (await readText(text(stamps))).trace.clock.name;
  assert.equal(await clock(4, 5, 7, 8, 30), 'counter');
  // Two are enough: cycles so few apart there are not.
  assert.equal(await clock(4, 5), 'counter');
  assert.equal(await clock(4), 'unknown');
  // Cycles; ticks of 10 ms, of which many events have the same.
  assert.equal(await clock(2_000_000, 2_000_900, 2_004_000, 2_004_700), 'unknown');
  assert.equal(await clock(4, 4, 4, 5, 5, 5), 'unknown');
  // Who wrote it down may say.
  const said = async (name: string) => (await readText(`# ${name}\n${text([4, 4, 90])}`)).trace.clock.name;
  assert.deepEqual([await said('clock: counter'), await said('trace_clock: x86-tsc')], ['counter', 'unknown']);
});

test('the latency format with the option verbose has all of an event, and the microseconds of its clock', async () => {
  // Linux 6.18, with options latency-format and verbose.
  const { events, trace } = await readText(
    '# tracer: nop\n#\n' +
      '      MainThread   10195   0 1 00000002 00000004 [648c064d6] 35.997ms (+0.010ms): sched_switch: prev_comm=MainThread prev_pid=10195 prev_prio=130 prev_state=R ==> next_comm=tsc next_pid=10055 next_prio=120\n' +
      '       CPU 0/KVM    9752   1 53 00000002 00000005 [648c064e0] 36.007ms (!105.005ms): sched_waking: comm=ksoftirqd/1 pid=22 prio=120 target_cpu=001\n',
  );
  assert.deepEqual(
    events.map(({ name, time, tid, cpu }) => [name, trace.origin + BigInt(time), tid, cpu]),
    [
      ['sched:sched_switch', 26990372054000n, 10195, 0],
      ['sched:sched_waking', 26990372064000n, 9752, 1],
    ],
  );
  assert.equal(trace.threads.get(9752)?.comm, 'CPU 0/KVM');
  assert.equal(events[1]?.fields.pid, '22');
});

test('events without anything before them (nocontext-info) are counted; without names (raw, hex) they cannot be', async () => {
  const header = '# tracer: nop\n#\n# entries-in-buffer/entries-written: 2/2   #P:2\n#\n';
  const bare = await readText(`${header}kvm_entry: vcpu 0, rip 0x7c00\nkvm_exit: reason CPUID rip 0x7c02 info 0 0\n`);
  assert.deepEqual(
    bare.events.map(({ name }) => name),
    ['kvm:kvm_entry', 'kvm:kvm_exit'],
  );
  for (const lines of ['10192 1 26990371260419 type: 375\n', '000027d0 00000001 0000188c2f7dc803 type: 375\n']) {
    const { events, trace } = await readText(header + lines.repeat(3));
    assert.equal(events.length, 0);
    assert.match(trace.notes.join('\n'), /printed with the trace option raw, hex or bin.*echo 0 > options\/raw/);
  }
});

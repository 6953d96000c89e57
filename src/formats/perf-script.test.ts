import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { counts, countsFile, readText, unpackedText } from '../../test/read-text.ts';

const data = join(import.meta.dirname, '../../test/data/perf-script');
const file = (name: string) => ({ file: join(data, `${name}.txt.gz`) });

test('every choice of columns gives the same events', async () => {
  const expected = [...countsFile(join(data, 'counts.txt'))].sort();
  const exact = await readText(file('nanoseconds'));
  assert.deepEqual(exact.trace.clock, { name: 'unknown', unit: 'ns', resolution: 1 });
  for (const form of ['default', 'nanoseconds', 'process-and-thread', 'no-cpu', 'no-comm', 'period', 'header']) {
    const { trace, events } = await readText(file(form));
    assert.equal(trace.format, 'perf script');
    assert.deepEqual([...counts(events)].sort(), expected, form);
    assert.deepEqual(trace.notes, [], form);
    const process = form === 'process-and-thread' || form === 'period';
    assert.deepEqual(
      events.map(({ name, cpu, tid, pid, fields }) => [name, cpu, tid, pid < 0, fields]),
      exact.events.map(({ name, cpu, tid, fields }) => [name, form === 'no-cpu' ? -1 : cpu, tid, !process, fields]),
      form,
    );
    if (process) assert.equal(events.find((event) => event.tid === 1254)?.pid, 1250);
    assert.equal(trace.threads.get(1254)?.comm, form === 'no-comm' ? '' : 'CPU 0/KVM', form);
  }
});

test('the header names the clock and the CPUs', async () => {
  const { trace } = await readText(file('header'));
  assert.deepEqual(trace.clock, { name: 'mono', unit: 'ns', resolution: 1000 });
  assert.equal(trace.cpus, 2);
  const text = unpackedText(join(data, 'header.txt.gz')).replace(/^# clockid.*\n/gm, '');
  assert.equal((await readText(text)).trace.clock.name, 'perf');
});

test('lost events that perf prints are losses', async () => {
  const { trace, events, losses } = await readText(file('lost'));
  assert.deepEqual(
    losses.map(({ from, to, cpu, count }) => [from, to, cpu, count]),
    // From 878.297766 to 878.311502 and from 878.315813 to 878.320309; the excerpt begins at 878.294257.
    [
      [3509000, 17245000, 1, 2],
      [21556000, 26052000, 1, 226],
    ],
  );
  assert.equal(trace.origin, 878294257000n);
  assert.ok(events.every((event) => /^kvm:/.test(event.name)));
});

test('lines of every kind', async () => {
  const lines: [text: string, name: string, cpu: number, tid: number, pid: number, print: string][] = [
    ['       CPU 0/KVM  1254 [001]  1295.189175: kvm:kvm_fpu: load', 'kvm:kvm_fpu', 1, 1254, -1, 'load'],
    ['     my 1 app-2  1254 [127]  1295.189175: kvm:kvm_fpu: load', 'kvm:kvm_fpu', 127, 1254, -1, 'load'],
    // With -F +misc: the mode of the sample.
    ['       CPU 0/KVM  1254 [001] K     1295.189175: kvm:kvm_fpu: load', 'kvm:kvm_fpu', 1, 1254, -1, 'load'],
    ['       CPU 0/KVM  1254 Sp     1295.189175: kvm:kvm_fpu: load', 'kvm:kvm_fpu', -1, 1254, -1, 'load'],
    ['             :-1  1250/-1    [000]  1304.580825:     kvm:kvm_fpu: load', 'kvm:kvm_fpu', 0, -1, 1250, 'load'],
    [
      '     qemu:ubuntu  9043 532063.849365:       4771 cache-references:  ffffffff8117d22b [unknown]',
      'cache-references',
      -1,
      9043,
      -1,
      'ffffffff8117d22b [unknown]',
    ],
    [
      ' qemu-system-x86 27158 [001]  5324.201810:   qemu_uprobes:virtio_set_status: (56205a06ca41) arg1=0x562063cccd30 arg2=0',
      'qemu:virtio_set_status',
      1,
      27158,
      -1,
      'vdev=0x562063cccd30 val=0',
    ],
    [
      ' qemu-system-x86 27158 [001]  5324.201810:   sdt_qemu:virtqueue_pop_3: (56205a06ca41) arg1=140 arg2=93 arg3=1 arg4=2',
      'qemu:virtqueue_pop',
      1,
      27158,
      -1,
      'vq=0x8c elem=0x5d in_num=1 out_num=2',
    ],
    ['       CPU 0/KVM  1254 [001]  1295.189175: kvm:kvm_fpu:G: load', 'kvm:kvm_fpu', 1, 1254, -1, 'load'],
    [
      '       CPU 0/KVM  1254 [001]  1295.189175: syscalls:sys_enter_ioctl: fd: 0x0000000d, cmd: 0x0000ae80, arg: 0x00000000',
      'syscalls:sys_enter_ioctl',
      1,
      1254,
      -1,
      'fd: 0x0000000d, cmd: 0x0000ae80, arg: 0x00000000',
    ],
  ];
  for (const [text, ...expected] of lines) {
    const [event] = (await readText(`${text}\n`)).events;
    assert.deepEqual([event?.name, event?.cpu, event?.tid, event?.pid, event?.print], expected, text);
  }
});

test('call chains belong to their event', async () => {
  const { trace, events } = await readText(
    [
      'CPU 0/KVM  1254 [001]  1295.189175: kvm:kvm_exit: vcpu 0 reason npf rip 0xfff0 info1 0x1 info2 0x2 intr_info 0x00000000 error_code 0x00000000',
      '\tffffffffc0a4 svm_vcpu_run+0x1a4 ([kvm_amd])',
      '            7f8187e0000 __ioctl+0x7 (/usr/lib/libc.so.6)',
      '\t[unknown] ([unknown])',
      '',
      'CPU 0/KVM  1254 [001]  1295.189178: kvm:kvm_entry: vcpu 0, rip 0xfff0',
      '',
    ].join('\n'),
  );
  assert.deepEqual(
    events.map(({ name, time }) => [name, time]),
    [
      ['kvm:kvm_exit', 0],
      ['kvm:kvm_entry', 3000],
    ],
  );
  assert.deepEqual(trace.notes, []);
  assert.deepEqual(
    events.map(({ print, chain }) => [print.slice(-12), chain]),
    [
      [
        'e 0x00000000',
        'ffffffffc0a4 svm_vcpu_run+0x1a4 ([kvm_amd])\n7f8187e0000 __ioctl+0x7 (/usr/lib/libc.so.6)\n[unknown] ([unknown])',
      ],
      ['0, rip 0xfff0'.slice(-12), ''],
    ],
  );
  // What stands in the chain is none of the event's fields.
  assert.equal(events[0]?.fields.error_code, '0x0');
});

test('call chains stay with their events, wherever the file is cut into pieces to read it', async () => {
  const chain = (n: number) =>
    Array.from({ length: 1 + (n % 40) }, (_, k) => `ffffffff81${n}${k} f${n}+0x${k} ([kernel])`);
  const count = 30_000;
  let text = '';
  for (let n = 0; n < count; n++)
    text += `CPU 0/KVM  1254 [001]  ${1000 + n}.000000: kvm:kvm_fpu: load\n${chain(n)
      .map((frame) => `\t${frame}\n`)
      .join('')}\n`;
  const { events } = await readText(text);
  assert.equal(events.length, count);
  for (const [n, { print, chain: read }] of events.entries())
    if (print !== 'load' || read !== chain(n).join('\n'))
      assert.deepEqual([n, print, read], [n, 'load', chain(n).join('\n')]);
});

test('times from the first event on are relative', async () => {
  const { trace } = await readText('CPU 0/KVM  1254 [001]     0.000000: kvm:kvm_fpu: load\n');
  assert.equal(trace.clock.name, 'relative');
});

test('times between events are no times', async () => {
  const times = ['0.000000', '0.000494', '0.000061', '0.000125', '0.000374', '0.000026', '0.000027', '0.000010'];
  const { trace } = await readText(
    times.map((time) => `CPU 0/KVM  1254 [001]     ${time}: kvm:kvm_fpu: load\n`).join(''),
  );
  assert.match(trace.notes.join(), /--deltatime/);
});

test('a damaged text is read as far as it is one, and nothing breaks', async () => {
  const source = Buffer.from(unpackedText(join(data, 'header.txt.gz')).slice(-8000), 'latin1');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      async (changes, cut) => {
        const bytes = Buffer.from(source.subarray(0, (cut % source.length) + 1));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        await readText(bytes).catch((error) => assert.match(String(error), /^TraceError: .*: byte 0: is /));
      },
    ),
    // The example is a few bytes in which a page of a ring buffer could be seen.
    {
      numRuns: 200,
      examples: [
        [
          [
            [1673851031, 0],
            [0, 0],
          ],
          396496770,
        ],
      ],
    },
  );
});

/** A line as perf script prints it with these columns, of which some may be missing. */
function lineOf(
  columns: string[],
  comm: string,
  tid: string,
  cpu: string,
  time: string,
  event: string,
  fields: string,
) {
  const text: Record<string, string> = { comm, tid, cpu, time, event, fields };
  return `${columns.map((column) => text[column] as string).join(' ')}\n`;
}

/** The same halt, and another thread's switch, with these columns. */
function textOf(columns: string[]): string {
  const l = (...parts: [string, string, string, string, string, string]) => lineOf(columns, ...parts);
  return (
    l(
      '     migration/0',
      '    16',
      '[000]',
      '  816.537803159:',
      '                sched:sched_switch:',
      'prev_comm=migration/0 prev_pid=16 prev_prio=0 prev_state=S ==> next_comm=CPU 0/KVM next_pid=751 next_prio=120',
    ) +
    l(
      '       CPU 0/KVM',
      '   751',
      '[000]',
      '  816.548498782:',
      '                kvm:kvm_exit:',
      'vcpu 0 reason hlt rip 0xffffffffa8418b5e info1 0x0 info2 0x0 intr_info 0x00000000 error_code 0x00000000',
    ) +
    l(
      '       CPU 0/KVM',
      '   751',
      '[000]',
      '  817.000000001:',
      '                kvm:kvm_entry:',
      'vcpu 0, rip 0xffffffffa8418b5f',
    )
  );
}

test('without thread ids the times are those that stand there, whatever threads are called', async () => {
  for (const columns of [
    ['comm', 'time', 'event', 'fields'],
    ['comm', 'cpu', 'time', 'event', 'fields'],
    ['time', 'event', 'fields'],
  ]) {
    const { trace, events } = await readText(textOf(columns));
    assert.equal(trace.origin, 816_537_803_159n, String(columns));
    assert.deepEqual(
      events.map(({ name, tid }) => [name, tid]),
      [
        ['sched:sched_switch', -1],
        ['kvm:kvm_exit', -1],
        ['kvm:kvm_entry', -1],
      ],
      String(columns),
    );
  }
});

test('columns that are missing are named, with the option that prints them', async () => {
  const { trace } = await readText(textOf(['comm', 'tid', 'cpu', 'time', 'event']));
  assert.match(String(trace.notes), /Fields were not printed with the events: .*perf script -F \+trace prints them/);
  for (const columns of [
    ['comm', 'tid', 'cpu', 'time', 'fields'],
    ['tid', 'cpu', 'time', 'fields'],
    ['time', 'fields'],
  ])
    await assert.rejects(
      readText(textOf(columns)),
      /is perf script text without the names of events, which perf script -F \+event prints/,
      String(columns),
    );
});

test('ids that are those of processes are not taken for threads', async () => {
  const line = (time: number, vcpu: number, event: string) =>
    `       CPU ${vcpu}/KVM  1370 [00${vcpu}]  1382.00000000${time}: kvm:${event}\n`;
  const ids = 'vcpu 0 reason hlt rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0';
  const text =
    line(1, 0, `kvm_exit: ${ids}`) +
    line(2, 1, `kvm_exit: ${ids.replace('vcpu 0', 'vcpu 1')}`) +
    line(3, 0, 'kvm_entry: vcpu 0, rip 0x1') +
    line(4, 1, 'kvm_entry: vcpu 1, rip 0x1');
  const { trace, events } = await readText(text);
  assert.deepEqual(
    events.map(({ tid, pid }) => [tid, pid]),
    [1, 2, 3, 4].map(() => [-1, 1370]),
  );
  assert.match(String(trace.notes), /those of processes \(perf script -F pid\).*-F \+tid tells it/);
  // A vCPU's own thread is a thread.
  const threads = text.replaceAll('CPU 1/KVM  1370', 'CPU 1/KVM  1371');
  assert.deepEqual(
    (await readText(threads)).events.map(({ tid, pid }) => [tid, pid]),
    [1370, 1371, 1370, 1371].map((tid) => [tid, -1]),
  );
});

test('a time of day beside the time is passed over: perf script -F +tod', async () => {
  const line = (tod: string) =>
    `       CPU 0/KVM   746 [001] ${tod}   816.757837:                 kvm:kvm_entry: vcpu 0, rip 0xfff0\n`;
  for (const tod of ['2026-11-23 07:34:13.757837', '2026-11-23 07:34:13.757837123', 'K 2026-11-23 07:34:13.757837']) {
    const { trace, events } = await readText(line(tod));
    assert.equal(trace.format, 'perf script');
    assert.deepEqual(
      events.map(({ name, cpu, tid }) => [name, cpu, tid]),
      [['kvm:kvm_entry', 1, 746]],
      tod,
    );
    assert.equal(trace.threads.get(746)?.comm, 'CPU 0/KVM');
    assert.equal(trace.origin, 816_757_837_000n);
  }
});

test('times between events are none: nothing is timed by them', async () => {
  const text = Array.from(
    { length: 20 },
    (_, n) =>
      `       CPU 0/KVM   746 [001]     0.0000${String((n * 17) % 40).padStart(2, '0')}: kvm:kvm_${n % 2 === 0 ? 'entry: vcpu 0, rip 0xfff0' : 'exit: vcpu 0 reason hlt rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0'}\n`,
  ).join('');
  const { trace, events } = await readText(text);
  assert.deepEqual(trace.clock, { name: 'none', unit: 'none', resolution: 1 });
  assert.match(trace.notes.join(), /--deltatime.*nothing can be timed/);
  assert.deepEqual(
    events.map(({ name }) => name),
    Array.from({ length: 20 }, (_, n) => `kvm:kvm_${n % 2 === 0 ? 'entry' : 'exit'}`),
  );
});

test('a thread alone before the event is one: perf script -F tid,event,trace', async () => {
  for (const id of ['745', '744/745']) {
    const { trace, events } = await readText(`  ${id}                 kvm:kvm_entry: vcpu 0, rip 0xfff0\n`);
    assert.equal(trace.clock.unit, 'none');
    assert.deepEqual(
      events.map(({ name, tid }) => [name, tid]),
      [['kvm:kvm_entry', 745]],
    );
    assert.doesNotMatch(trace.notes.join(), /which threads/);
  }
});

test('columns that perf script -F leaves out are not made up: a name alone, a thread alone', async () => {
  const lines = ['kvm:kvm_entry: vcpu 0, rip 0x7c00', 'kvm:kvm_exit: reason CPUID rip 0x7c02 info 0 0'];
  // perf 6.1: -F comm,event,trace; -F tid,event,trace; -F period,event,trace.
  for (const [before, tid] of [
    ['       CPU 0/KVM     ', -1],
    ['            perf     ', -1],
    [' 1231     ', 1231],
    ['   16     ', 16],
    ['         1     ', -1],
  ] as const) {
    const { events, trace } = await readText(lines.map((line) => `${before}${line}\n`).join(''));
    assert.deepEqual(
      events.map((event) => [event.name, event.tid]),
      [
        ['kvm:kvm_entry', tid],
        ['kvm:kvm_exit', tid],
      ],
      before,
    );
    assert.equal(/does not say which threads/.test(trace.notes.join()), tid < 0);
  }
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { endWell } from '../../test/mutants.ts';
import { type ReadEvent, readText } from '../../test/read-text.ts';
import { openTrace } from './detect.ts';

/** What happened: seconds of the time, its µs, who ran, how long the function took, and the function or the event. */
const happened: [us: number, thread: string, duration: string, what: string][] = [
  [774520, 'CPU 0/K-751', '', '/* kvm_entry: vcpu 0, rip 0xffffffff81000000 */'],
  [
    774522,
    'CPU 0/K-751',
    '',
    '/* kvm_exit: vcpu 0 reason hlt rip 0x1000 info1 0x0 info2 0x0 intr_info 0x00000000 error_code 0x00000000 */',
  ],
  [774524, 'CPU 0/K-751', '', 'svm_handle_exit [kvm_amd]() {'],
  [774525, 'CPU 0/K-751', '  0.701 us', '  kvm_rip_read.isra.0();'],
  [774525, 'CPU 0/K-751', '', '  /* kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge) */'],
  [
    774526,
    'CPU 0/K-751',
    '',
    '  /* sched_switch: prev_comm=CPU 0/KVM prev_pid=751 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120 */',
  ],
  [
    884526,
    '<idle>-0',
    '',
    '/* sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=CPU 0/KVM next_pid=751 next_prio=120 */',
  ],
  [884627, 'CPU 0/K-751', '@ 110103.1 us', '} /* svm_handle_exit [kvm_amd] */'],
  [884630, 'CPU 0/K-751', '', '/* kvm_entry: vcpu 0, rip 0xffffffff81000001 */'],
  [884640, 'CPU 0/K-751', '', '/* hello from a program */'],
];

const names = [
  'kvm:kvm_entry',
  'kvm:kvm_exit',
  'ftrace:funcgraph_entry',
  'ftrace:funcgraph_entry',
  'kvm:kvm_apic_accept_irq',
  'sched:sched_switch',
  'sched:sched_switch',
  'ftrace:funcgraph_exit',
  'kvm:kvm_entry',
  'ftrace:print',
];

type Options = { abstime?: boolean; cpu?: boolean; proc?: boolean; overhead?: boolean; tail?: boolean; irq?: boolean };

/** The text as the kernel prints it with these options (print_graph_prologue and what follows it). */
function textOf(options: Options): string {
  const lines = ['# tracer: function_graph', '#', '# CPU  DURATION                  FUNCTION CALLS', '# |     |   |'];
  let before = '';
  for (const [us, thread, duration, what] of happened) {
    if (before !== '' && before !== thread && options.cpu !== false) {
      const rule = ' ------------------------------------------';
      lines.push(rule, ` 0)  ${before.padStart(12)}  =>  ${thread.padStart(10)}   `, rule, '');
    }
    before = thread;
    let line = '';
    if (options.abstime) line += `  360.${us} |  `;
    if (options.cpu !== false) line += ' 0) ';
    if (options.proc) line += ` ${thread.padStart(12).padEnd(14)} | `;
    if (options.irq) line += ' d..1. |';
    const shown = options.overhead === false ? duration.replace('@ ', '') : duration;
    line += ` ${shown.padEnd(13)} |  `;
    lines.push(line + (options.tail === false ? what.replace(/\} .*/, '}') : what));
  }
  return `${lines.join('\n')}\n`;
}

const seen = ({ name, time, cpu, tid }: ReadEvent) => [name, time, cpu, tid];

test('events in comments and functions are events, with the times and threads of every choice of options', async () => {
  for (const options of [{}, { overhead: false }, { tail: false }, { irq: true }] as Options[]) {
    const { trace, events } = await readText(textOf({ abstime: true, proc: true, ...options }));
    assert.equal(trace.format, 'function graph');
    assert.equal(trace.origin, 360_774_520_000n);
    assert.deepEqual(trace.clock, { name: 'unknown', unit: 'ns', resolution: 1000 });
    assert.deepEqual(
      events.map(seen),
      happened.map(([us, thread], n) => [names[n], (us - 774520) * 1000, 0, thread.startsWith('CPU') ? 751 : 0]),
      JSON.stringify(options),
    );
    assert.deepEqual(trace.notes, ["The tracer cuts threads' names to 7 characters."]);
    assert.equal(events[1]?.fields.exit_reason, 'hlt');
    assert.equal(events[4]?.print, 'apicid 0 vec 236 (Fixed|edge)');
    assert.equal(events[9]?.print, 'hello from a program');
    assert.equal(trace.threads.get(751)?.comm, 'CPU 0/K');
  }
});

test('a function has its name and its duration', async () => {
  const { events } = await readText(textOf({ abstime: true, proc: true }));
  const functions = events.filter(({ name }) => name.startsWith('ftrace:funcgraph'));
  assert.deepEqual(
    functions.map(({ fields }) => fields),
    [
      { func: 'svm_handle_exit [kvm_amd]', duration: '' },
      { func: 'kvm_rip_read.isra.0', duration: '701' },
      { func: 'svm_handle_exit [kvm_amd]', duration: '110103100' },
    ],
  );
  assert.deepEqual(
    functions.map(({ print }) => print.replace(/\s+/g, ' ')),
    [
      'svm_handle_exit [kvm_amd]() {',
      '0.701 us | kvm_rip_read.isra.0();',
      '110103.1 us | } /* svm_handle_exit [kvm_amd] */',
    ],
  );
});

test('without the threads in each line, they are those of the switches between; without times, that is said', async () => {
  const { trace, events } = await readText(textOf({}));
  assert.deepEqual(trace.clock, { name: 'none', unit: 'none', resolution: 1 });
  assert.deepEqual(
    events.map(({ name, tid }) => [name, tid]),
    happened.map(([, thread], n) => [names[n], thread.startsWith('CPU') ? 751 : 0]),
  );
  assert.match(String(trace.notes), /no times: .*funcgraph-abstime.*funcgraph-proc/);
  const unknown = await readText(textOf({ cpu: false }));
  assert.deepEqual(
    unknown.events.map(({ name, cpu, tid }) => [name, cpu, tid]),
    names.map((name) => [name, -1, -1]),
  );
  assert.match(String(unknown.trace.notes), /does not say which threads/);
});

test('trace_pipe has no header, and interrupts and losses stand between', async () => {
  const text = textOf({ abstime: true, proc: true })
    .replace(/^#.*\n/gm, '')
    .split('\n');
  text.splice(3, 0, '  360.774524 |   0)  CPU 0/K-751  |   ==========> |', 'CPU:0 [LOST 17 EVENTS]');
  const { trace, events, losses } = await readText(text.join('\n'));
  assert.equal(trace.format, 'function graph');
  assert.deepEqual(
    events.map(({ name }) => name),
    names,
  );
  assert.deepEqual(losses, [{ from: 4000, to: 5000, cpu: 0, count: 17 }]);
});

test('newer kernels print arguments and what a function gave', async () => {
  const line = (what: string) => `  360.774524 |   1)  CPU 0/K-751  |   0.5 us      |  ${what}\n`;
  const { events } = await readText(
    line('kvm_vcpu_kick(vcpu=0xffff888100000000);') +
      line('kvm_can_do(); /* ret=0x1 */') +
      line('} /* kvm_run ret=0x0 */') +
      line('kvm_run() { /* <-kvm_vcpu_ioctl+0x1/0x2 */'),
  );
  assert.deepEqual(
    events.map(({ cpu, fields }) => [cpu, fields]),
    ['kvm_vcpu_kick', 'kvm_can_do', 'kvm_run', 'kvm_run'].map((func) => [1, { func, duration: '500' }]),
  );
});

endWell({
  'function graph text': () => Buffer.from(textOf({ abstime: true, proc: true })),
  'function graph text without times': () => Buffer.from(textOf({})),
});

test('threads have the names of their time, where switches between them tell', async () => {
  const text = `# tracer: function_graph
#
#     TIME        CPU  DURATION                  FUNCTION CALLS
#      |          |     |   |                     |   |   |   |
  360.774520 |   0)               |  /* kvm_entry: vcpu 0, rip 0x1 */
 ------------------------------------------
 0)   qemu-751    =>    <idle>-0   
 ------------------------------------------

  360.774530 |   0)               |  /* kvm_entry: vcpu 0, rip 0x2 */
 ------------------------------------------
 0)    <idle>-0    =>   qemu-751   
 ------------------------------------------

  360.774540 |   0)               |  /* kvm_entry: vcpu 0, rip 0x3 */
 ------------------------------------------
 0)   CPU 0/K-751    =>    <idle>-0   
 ------------------------------------------

  360.774550 |   0)               |  /* kvm_entry: vcpu 0, rip 0x4 */
 ------------------------------------------
 0)    <idle>-0    =>   CPU 0/K-751   
 ------------------------------------------

  360.774560 |   0)               |  /* kvm_entry: vcpu 0, rip 0x5 */
`;
  const folder = mkdtempSync(join(tmpdir(), 'virtap-graph-'));
  try {
    writeFileSync(join(folder, 'trace'), text);
    const trace = await openTrace(join(folder, 'trace'));
    const named: unknown[] = [];
    for await (const b of trace.batches())
      for (let i = 0; i < b.count; i++) named.push([b.time[i], b.tid[i], trace.threads.get(b.tid[i] as number)?.comm]);
    await trace.close();
    assert.deepEqual(named, [
      [0, 751, 'qemu'],
      [10_000, 0, '<idle>'],
      [20_000, 751, 'qemu'],
      [30_000, 0, '<idle>'],
      [40_000, 751, 'CPU 0/K'],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

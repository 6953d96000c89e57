import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { openTrace } from '../formats/detect.ts';
import { type KernelFormat, parseKernelFormat } from '../formats/kernel-format.ts';
import { KernelLayout } from '../formats/kernel-layout.ts';
import { EventBatch } from '../trace/batch.ts';
import { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { argumentsOf } from './arguments.ts';
import type { Handlers, Tools } from './index.ts';
import { ScriptError } from './script-error.ts';
import { ScriptRun } from './script-run.ts';
import { Setup } from './setup.ts';

const data = join(import.meta.dirname, '../../test/data');

type SetupFunction = (tools: Tools) => Handlers;

/** Runs scripts over a trace; gives what they printed, a line each, and whatever was thrown. */
async function run(
  trace: Trace,
  ...setups: SetupFunction[]
): Promise<{ lines: string[]; error: unknown; run: ScriptRun }> {
  const lines: string[] = [];
  const host = { print: (values: readonly unknown[]) => void lines.push(values.join(' ')), args: ['a'] };
  const scripts = setups.map((setup, n) => ({ file: `script${n}.ts`, setup }));
  const analysis = new ScriptRun(trace, new Setup(scripts, host));
  let error: unknown;
  let last = 0;
  try {
    await analysis.begin();
    for await (const batch of trace.batches((type) => analysis.wants(type))) {
      last = batch.time[batch.count - 1] ?? last;
      analysis.batch(trace, batch);
      if (analysis.enough) break;
    }
    await analysis.end({ last, window: { from: 0, to: last } });
  } catch (thrown) {
    error = thrown;
  }
  return { lines, error, run: analysis };
}

const pop = (time: number, elem: number | bigint, more: Partial<SyntheticEvent> = {}): SyntheticEvent => ({
  name: 'qemu:virtqueue_pop',
  time,
  tid: 7,
  fields: { vq: 0x7f0000000010n, elem, in_num: 1, out_num: 2 },
  ...more,
});

test('handlers get arguments by name, and time, thread, process and CPU', async () => {
  const trace = synthetic([pop(5, 0xffff_8000_1234_5678n, { cpu: 3, pid: 70 })], {
    origin: 9_000_000_001n,
    threads: [[7, 'CPU 0/KVM', 70]],
  });
  const { lines, error } = await run(trace, ({ print, args }) => ({
    virtqueue_pop({ vq, elem, in_num, out_num }, { time, ns, stamp, event, cpu, tid, pid, comm, vcpu, vm }) {
      print(vq, elem, in_num, out_num, ...args);
      print(time, ns, stamp, event, cpu, tid, pid, comm, vcpu, vm);
    },
  }));
  assert.equal(error, undefined);
  assert.deepEqual(lines, [
    '0x7f0000000010 0xffff800012345678 1 2 a',
    '5 9000000006 9.000000006 qemu:virtqueue_pop 3 7 70 CPU 0/KVM 0 70',
  ]);
});

test('integers arrive exactly, whatever their size', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), { minLength: 1 }), async (values) => {
      const events = values.map((value, n) => ({
        name: 'x:number',
        time: n,
        // An event that no format declares: a number as long as it is exact.
        fields: { value },
      }));
      const got: unknown[] = [];
      await run(synthetic(events), () => ({ 'x:number': ({ value }) => got.push(value) }));
      assert.deepEqual(
        got.map((value) => BigInt.asUintN(64, BigInt(value as number))),
        values.map((value) => BigInt.asUintN(64, value)),
      );
      for (const value of got) assert.ok(typeof value === 'bigint' || Number.isSafeInteger(value));
    }),
  );
});

test('a handler is called for the events that its name means: with and without system, by pattern; catchall for the rest', async () => {
  const names = ['kvm:kvm_exit', 'kvm:kvm_entry', 'guest/kvm:kvm_exit', 'qemu:kvm_x', 'sched:sched_switch'];
  const trace = synthetic(names.map((name, time) => ({ name, time, tid: 1, fields: { f: time } })));
  const { lines } = await run(trace, ({ print }) => ({
    kvm_exit: (_, { event }) => print('short', event),
    'kvm:kvm_entry': (_, { event }) => print('full', event),
    'kvm_*': (_, { event }) => print('pattern', event),
    catchall: (args, { event }) => print('catchall', event, args.f),
  }));
  assert.deepEqual(lines, [
    'short kvm:kvm_exit',
    'pattern kvm:kvm_exit',
    'full kvm:kvm_entry',
    'pattern kvm:kvm_entry',
    'catchall guest/kvm:kvm_exit 2',
    'pattern qemu:kvm_x',
    'catchall sched:sched_switch 4',
  ]);
});

test('only events with a handler are asked for, and entries into the guest, which name the vCPU', async () => {
  const wanted = new Set<string>();
  const trace = synthetic([
    { name: 'kvm:kvm_entry', time: 0, tid: 5, pid: 4, fields: { vcpu_id: 3 } },
    { name: 'sched:sched_switch', time: 1, tid: 5, pid: 4, fields: { next_pid: 0 } },
    { name: 'kvm:kvm_pio', time: 2, tid: 5, fields: { port: 1 } },
    { name: 'sched:sched_switch', time: 3, tid: 6, pid: 6, fields: { next_pid: 0 } },
  ]);
  const { batches } = trace;
  trace.batches = (wants) =>
    batches.call(trace, (type) => {
      const answer = wants?.(type) === true;
      if (answer) wanted.add(type.name);
      return answer;
    });
  const { lines } = await run(trace, ({ print }) => ({ sched_switch: (_, { vcpu, vm }) => print(vcpu, vm) }));
  assert.deepEqual(lines, ['3 4', '-1 -1']);
  assert.deepEqual([...wanted], ['kvm:kvm_entry', 'sched:sched_switch']);
});

test('several scripts see each event in the order of the command line', async () => {
  const script: SetupFunction = ({ print }) => ({
    begin: () => print('begin'),
    virtqueue_pop: ({ elem }) => print(elem),
    end: async () => print('end'),
  });
  const { lines } = await run(synthetic([pop(1, 1), pop(2, 2)]), script, script);
  assert.deepEqual(lines, ['begin', 'begin', '0x1', '0x1', '0x2', '0x2', 'end', 'end']);
});

test('timers are called at multiples of their period, before the event that makes them due, in order of time', async () => {
  const { lines } = await run(synthetic([pop(250, 1), pop(1050, 2), pop(1200, 3)]), ({ print, every }) => {
    every('300ns', ({ time, stamp }) => print('300', time, stamp));
    every('0.5us', ({ time }) => print('500', time));
    return { virtqueue_pop: (_, { time }) => print('event', time) };
  });
  assert.deepEqual(lines, [
    'event 250',
    '300 300 0.000000300',
    '500 500',
    '300 600 0.000000600',
    '300 900 0.000000900',
    '500 1000',
    'event 1050',
    '300 1200 0.000001200',
    'event 1200',
  ]);
});

test('a leap of the clock does not call timers for years', async () => {
  let ticks = 0;
  await run(synthetic([pop(0, 1), pop(2 ** 53, 2)]), ({ every }) => {
    every('1ms', () => {
      ticks++;
    });
    return { virtqueue_pop() {} };
  });
  assert.ok(ticks > 0 && ticks < 200_000, String(ticks));
});

test('lost events are told of, before the events behind the hole', async () => {
  const loss = { from: 1, to: 9, cpu: 2, count: 40 };
  const { lines } = await run(synthetic([pop(1, 1), pop(9, 2, { loss })]), ({ print }) => ({
    virtqueue_pop: ({ elem }) => print(elem),
    lost: ({ from, to, cpu, count }) => print('lost', from, to, cpu, count),
  }));
  assert.deepEqual(lines, ['0x1', 'lost 1 9 2 40', '0x2']);
});

test('stop ends the reading after the event, and end is called', async () => {
  const { lines } = await run(synthetic([pop(1, 1), pop(2, 2)]), ({ print, stop }) => ({
    virtqueue_pop({ elem }) {
      print(elem);
      stop();
    },
    end: () => print('end'),
  }));
  assert.deepEqual(lines, ['0x1', 'end']);
});

test('a field that an event lacks is an error that names the event, its time and the fields that it has', async () => {
  const { error, lines } = await run(synthetic([pop(1, 1), pop(2_000_000_000, 2)]), ({ print }) => ({
    virtqueue_pop(args, { time }) {
      print(time);
      // @ts-expect-error: an editor says so before.
      if (time > 1) print(args.elme);
    },
  }));
  assert.ok(error instanceof ScriptError);
  assert.match(
    error.message,
    /^script0\.ts: qemu:virtqueue_pop has no field elme; it has vq, elem, in_num, out_num \(in qemu:virtqueue_pop at 2\.000000000\)$/,
  );
  assert.deepEqual(lines, ['1', '2000000000']);
});

test('what an event of another version has is undefined where this one lacks it', async () => {
  const { lines, error } = await run(
    synthetic([{ name: 'kvm:kvm_exit', time: 1, tid: 1, fields: { exit_reason: 120, guest_rip: 1n, isa: 2 } }]),
    ({ print }) => ({ kvm_exit: ({ reason, requests, vcpu_id }) => print(reason, String(requests), String(vcpu_id)) }),
  );
  assert.deepEqual([lines, error], [['hlt undefined undefined'], undefined]);
});

test('arguments cannot be written, and print as their fields', async () => {
  const { error } = await run(synthetic([pop(1, 1)]), () => ({
    virtqueue_pop(args) {
      assert.deepEqual({ ...args }, { vq: '0x7f0000000010', elem: '0x1', in_num: 1, out_num: 2 });
      assert.equal(JSON.stringify(args), '{"vq":"0x7f0000000010","elem":"0x1","in_num":1,"out_num":2}');
      (args as { elem: string }).elem = '0x2';
    },
  }));
  assert.match((error as Error).message, /Cannot set property elem/);
});

test('handlers that cannot work are refused with a sentence', async () => {
  const refuses = (setup: SetupFunction, sentence: RegExp, unit: 'ns' | 'ticks' = 'ns') => {
    const trace = synthetic([], { clock: { name: 'x86-tsc', unit, resolution: 1 } });
    assert.throws(() => new ScriptRun(trace, new Setup([{ file: 's.ts', setup }], { print() {}, args: [] })), sentence);
  };
  refuses(() => 3 as unknown as Handlers, /gives no handlers; expected an object/);
  refuses(() => ({}), /it has no handlers/);
  refuses(() => ({ kvm_exit: 3 }) as unknown as Handlers, /kvm_exit is no function/);
  refuses(() => ({ kvm_exit: async () => {} }), /kvm_exit is async, and only begin and end can be/);
  const timer =
    (period: '1s'): SetupFunction =>
    ({ every }) => {
      every(period, () => {});
      return { kvm_exit() {} };
    };
  refuses(timer('1s'), /there is no every\('1s'\): .* count cycles of unknown length/, 'ticks');
  refuses(timer('soon' as '1s'), /every\('soon'\): expected a period with its unit/);
});

test("QEMU's events that a recording holds twice are given once", async () => {
  const file = join(data, 'ftrace-text/qemu-probes-and-markers.txt.gz');
  const lines = gunzipSync(readFileSync(file)).toString().split('\n');
  const asProbes = lines.filter((line) => line.includes(': virtqueue_pop: ')).length;
  const asText = lines.filter((line) => line.includes('tracing_mark_write: virtqueue_pop ')).length;
  assert.deepEqual([asProbes, asText], [17, 17]);
  let pops = 0;
  const trace = await openTrace(file);
  await run(trace, () => ({
    virtqueue_pop() {
      pops++;
    },
  }));
  await trace.close();
  assert.equal(pops, 17);
});

test('span handlers are called right after the event that ends the span, with its context', async () => {
  const entry = (time: number): SyntheticEvent => ({
    name: 'kvm:kvm_entry',
    time,
    tid: 5,
    pid: 4,
    fields: { vcpu_id: 3 },
  });
  const exit = (time: number): SyntheticEvent => ({
    name: 'kvm:kvm_exit',
    time,
    tid: 5,
    pid: 4,
    fields: { exit_reason: 120, isa: 2, guest_rip: 16n },
  });
  const story = [entry(0), exit(10), entry(14), pop(15, 1), exit(20), entry(29)];
  const script: SetupFunction = ({ print, pair }) => {
    pair({ from: 'kvm_exit', to: 'kvm_entry', by: 'tid' }, (span, { time }) =>
      print('pair', span.duration, span.from.reason, span.to.vcpu_id, time),
    );
    return {
      exit: ({ reason, begin, duration, vcpu, vm }, { time }) => print('exit', reason, begin, duration, vcpu, vm, time),
      kvm_entry: (_, { time }) => print('entry', time),
      virtqueue_pop: (_, { time }) => print('pop', time),
    };
  };
  const { lines, error, run: analysis } = await run(synthetic(story), script);
  assert.equal(error, undefined);
  assert.deepEqual(lines, [
    'entry 0',
    'entry 14',
    'pair 4 hlt 3 14',
    'exit hlt 10 4 3 4 14',
    'pop 15',
    'entry 29',
    'pair 9 hlt 3 29',
    'exit hlt 20 9 3 4 29',
  ]);
  assert.deepEqual(analysis.unused(), [{ file: 'script0.ts', events: [], spans: [], all: false }]);
});

test('what spans lack is told, and an error in their handlers names the span and its event', async () => {
  const { run: analysis } = await run(synthetic([pop(1, 1)]), () => ({ exit() {}, lockWait() {} }));
  assert.deepEqual(analysis.unused(), [
    {
      file: 'script0.ts',
      events: [],
      spans: [
        { name: 'exit', needs: 'kvm:kvm_exit and kvm:kvm_entry' },
        { name: 'lockWait', needs: 'qemu:qemu_mutex_lock, qemu_mutex_locked and qemu_mutex_unlock, with threads' },
      ],
      all: true,
    },
  ]);
  const fill: SyntheticEvent = { name: 'qemu:virtqueue_fill', time: 9, fields: { vq: 0x7f0000000010n, elem: 1n } };
  const { error } = await run(synthetic([pop(1, 1), fill]), () => ({
    request() {
      throw new Error('boo');
    },
  }));
  assert.equal((error as Error).message, 'script0.ts: Error: boo (in request, for qemu:virtqueue_fill at 0.000000009)');
});

test("a system call's argument has its own type's bits, whatever the kernel passes them in", async () => {
  const format = parseKernelFormat(
    'name: sys_enter_x\nID: 9\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n' +
      '\tfield:int dfd;\toffset:8;\tsize:8;\tsigned:0;\n\tfield:unsigned int cmd;\toffset:16;\tsize:8;\tsigned:0;\n' +
      '\tfield:const char * name;\toffset:24;\tsize:8;\tsigned:0;\n\tfield:size_t count;\toffset:32;\tsize:8;\tsigned:0;\n\n' +
      'print fmt: "dfd: 0x%08lx, cmd: 0x%08lx, name: 0x%08lx, count: %lu", REC->dfd, REC->cmd, REC->name, REC->count\n',
  );
  const type = new EventType(0, 'syscalls:sys_enter_x', new KernelLayout(format as KernelFormat, true), '');
  const b = new EventBatch(1);
  b.view = new DataView(new ArrayBuffer(40));
  b.bytes = new Uint8Array(b.view.buffer);
  b.size[0] = 40;
  b.view.setBigUint64(8, 0xffff_ff9cn, true);
  b.view.setBigUint64(16, 0xffff_ffff_c008_ae67n, true);
  b.view.setBigUint64(24, 0x7ffd_0000_1234n, true);
  b.view.setBigUint64(32, 2n ** 60n, true);
  const args = argumentsOf(type, { b, i: 0 });
  // AT_FDCWD, KVM_IRQ_LINE_STATUS as ioctl's 32 bits, a pointer, and a count that no number holds.
  assert.deepEqual({ ...args }, { dfd: -100, cmd: 0xc008ae67, name: '0x7ffd00001234', count: 2n ** 60n });
});

test('a running machine is asked for what has a handler, and no more', () => {
  const wanted = (setup: SetupFunction) => new Setup([{ file: 's.ts', setup }], { print() {}, args: [] }).wanted();
  assert.deepEqual(
    wanted(() => ({ kvm_pio() {}, 'qemu:virtio_*'() {}, end() {} })),
    { patterns: ['kvm_pio', 'qemu:virtio_*'], purposes: [], optional: true },
  );
  const spans: SetupFunction = ({ pair }) => {
    pair({ from: 'kvm_pio', to: 'kvm_mmio', by: 'tid' }, () => {});
    return { exit() {}, lockWait() {}, kvm_pio() {} };
  };
  assert.deepEqual(wanted(spans), {
    patterns: ['kvm_pio', 'kvm_mmio', 'kvm:kvm_exit', 'kvm:kvm_entry'],
    purposes: ['locks'],
  });
  assert.deepEqual(
    wanted(() => ({ catchall() {} })),
    { patterns: [], purposes: ['exits', 'leaks', 'requests'], optional: true },
  );
});

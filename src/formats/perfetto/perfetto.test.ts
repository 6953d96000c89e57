import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { endWell } from '../../../test/mutants.ts';
import {
  bundle,
  entry,
  event,
  minusOne,
  start,
  switched,
  perfettoTrace as trace,
} from '../../../test/perfetto-writer.ts';
import { readText } from '../../../test/read-text.ts';
import { ProtobufWriter } from '../../report/protobuf.ts';
import { openTrace } from '../detect.ts';

const expected = [
  ['kvm:kvm_entry', 0, 0, 42],
  ['kvm:kvm_exit', 1000, 0, 42],
  ['kvm:kvm_mmio', 1500, 0, 42],
  ['kvm:kvm_entry', 2000, 0, 42],
  ['kvm:kvm_exit', 3000, 0, 42],
  ['kvm:kvm_halt_poll_ns', 3500, 0, 42],
  ['sched:sched_switch', 4000, 0, 42],
  ['hyp:hyp_enter', 8000, 1, 0],
  ['hyp:host_hcall', 8100, 1, 0],
  ['hyp:hyp_exit', 8200, 1, 0],
  ['sched:sched_switch', 10_500, 1, 0],
  ['kvm:kvm_entry', 11_000, 1, 42],
  ['hyp:hyp_exit', 19_000, 0, 0],
];

test('events of all CPUs are given in order, with their fields', async () => {
  const { trace: read, events, losses } = await readText(trace());
  assert.deepEqual(
    [read.format, read.clock.name, read.origin, read.damage, losses],
    ['Perfetto', 'boot', start + 1000n, undefined, []],
  );
  assert.deepEqual(
    events.map(({ name, time, cpu, tid }) => [name, time, cpu, tid]),
    expected,
  );
  assert.deepEqual(events[1]?.fields, { esr_ec: '36', ret: '2', vcpu_pc: '0xffff800010000004' });
  assert.deepEqual(events[2]?.integers, { gpa: 0x900_0000n, len: 4n, type: 1n, val: minusOne });
  assert.deepEqual(events[5]?.fields, { grow: '1', new: '-1', name: 'halt' });
  assert.equal(events[6]?.fields.next_comm, 'swapper/0');
  assert.equal(read.threads.get(42)?.comm, 'CPU 0/KVM');
});

test('the exits are those of the same run as text', () => {
  const text = `# tracer: nop
       CPU 0/KVM-42 [000] 7000.000001000: kvm_entry: PC: 0xffff800010000000
       CPU 0/KVM-42 [000] 7000.000002000: kvm_exit: TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0xffff800010000004
       CPU 0/KVM-42 [000] 7000.000003000: kvm_entry: PC: 0xffff800010000000
       CPU 0/KVM-42 [000] 7000.000004000: kvm_exit: TRAP: HSR_EC: 0x0001 (WFx), PC: 0xffff800010000004
       CPU 0/KVM-42 [000] 7000.000005000: sched_switch: prev_comm=CPU 0/KVM prev_pid=42 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120
          <idle>-0  [001] 7000.000011500: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=S ==> next_comm=CPU 0/KVM next_pid=42 next_prio=120
       CPU 0/KVM-42 [001] 7000.000012000: kvm_entry: PC: 0xffff800010000000
          <idle>-0  [000] 7000.000020000: hyp_exit: 
`;
  const folder = mkdtempSync(join(tmpdir(), 'virtap-perfetto-'));
  try {
    const answers = [text, trace()].map((content) => {
      const path = join(folder, 'trace');
      writeFileSync(path, content);
      const main = join(import.meta.dirname, '../../cli/main.ts');
      const { totals, rows, open } = JSON.parse(
        String(execFileSync(process.execPath, [main, 'exits', '--json', path], { stdio: 'pipe' })),
      );
      return { totals, rows, open };
    });
    assert.equal(answers[0]?.rows.length, 2);
    assert.deepEqual(answers[1], answers[0]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('compressed packets are the same', async () => {
  const out = new ProtobufWriter();
  const packed = deflateSync(trace());
  out.message(1, (p) => p.uint(10, 1).string(3, 'x'));
  const header = out.bytes();
  const inner = Buffer.concat([varints(50 * 8 + 2, packed.length), packed]);
  const { events } = await readText(Buffer.concat([header, varints(10, inner.length), inner]));
  assert.deepEqual(
    events.map(({ name, time, cpu, tid }) => [name, time, cpu, tid]),
    expected,
  );
});

function varints(...values: number[]): Buffer {
  const bytes: number[] = [];
  for (const value of values) {
    let rest = value;
    for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

test('compact switches and wake-ups are those events, with who ran before where that is known', async () => {
  const packed = (field: number, ...values: number[]) => {
    const body = varints(...values);
    return Buffer.concat([varints(field * 8 + 2, body.length), body]);
  };
  const time = new ProtobufWriter().uint(0, start).bytes().subarray(1);
  const times = (field: number, ...rest: number[]) => {
    const body = Buffer.concat([time, varints(...rest)]);
    return Buffer.concat([varints(field * 8 + 2, body.length), body]);
  };
  const name = (text: string) => Buffer.concat([varints(5 * 8 + 2, text.length), Buffer.from(text)]);
  const compact = Buffer.concat([
    name('CPU 0/KVM'),
    name('bash'),
    times(1, 1000),
    packed(2, 1, 0),
    packed(3, 42, 7),
    packed(4, 120, 100),
    packed(6, 0, 1),
    times(7),
    packed(8, 7),
    packed(9, 3),
    packed(10, 100),
    packed(11, 1),
  ]);
  const inBundle = Buffer.concat([varints(8, 0, 4 * 8 + 2, compact.length), compact]);
  const inPacket = Buffer.concat([varints(10, inBundle.length), inBundle, varints(80, 1)]);
  const { events, trace: read } = await readText(Buffer.concat([varints(10, inPacket.length), inPacket]));
  assert.deepEqual(
    events.map(({ name: called, time: at, tid, fields }) => [
      called,
      at,
      tid,
      fields.prev_pid ?? fields.pid,
      fields.next_comm ?? fields.comm,
    ]),
    [
      ['sched:sched_switch', 0, -1, '', 'CPU 0/KVM'],
      ['sched:sched_waking', 0, -1, '7', 'bash'],
      ['sched:sched_switch', 1000, 42, '42', 'bash'],
    ],
  );
  assert.equal(events[2]?.fields.prev_comm, 'CPU 0/KVM');
  assert.equal(read.threads.get(7)?.comm, 'bash');
});

test('events that the trace itself describes have their names and fields', async () => {
  const described = bundle(0, (w) => {
    w.message(11, (d) =>
      d.uint(1, 70_000).message(2, (m) => {
        m.string(1, 'kvm_pio');
        m.message(2, (f) => f.string(1, 'rw').uint(3, 1).uint(5, 13));
        m.message(2, (f) => f.string(1, 'who').uint(3, 2).uint(5, 9));
      }),
    );
    event(w, 100, 5, 70_000, (m) => m.uint(1, 1).string(2, 'it'));
  });
  const { events } = await readText(described);
  assert.deepEqual(
    events.map(({ name, fields }) => [name, fields]),
    [['kvm:kvm_pio', { rw: '1', who: 'it' }]],
  );
});

test('what Perfetto says was lost is a loss; a file that is cut is partial', async () => {
  const lost = bundle(0, (w) => entry(w.uint(3, 1), 30_000, 42));
  const { losses } = await readText(Buffer.concat([trace(), lost]));
  assert.deepEqual(losses, [{ from: 19_000, to: 29_000, cpu: 0, count: undefined }]);
  const whole = trace();
  const { trace: read, events } = await readText(whole.subarray(0, whole.length - 3));
  assert.match(read.damage?.message ?? '', /the file ends after \d+ bytes of a packet; expected whole packets/);
  assert.equal(events.length, expected.length - 1);
});

endWell({
  'a Perfetto trace': trace,
  'a Perfetto trace that is compressed': () => {
    const packed = deflateSync(trace());
    const inner = Buffer.concat([varints(80, 1, 50 * 8 + 2, packed.length), packed]);
    return Buffer.concat([varints(10, inner.length), inner]);
  },
});

test('threads have the names of their time, as switches tell them, whichever CPU was drained first', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-perfetto-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'trace');
  writeFileSync(
    path,
    Buffer.concat([
      bundle(1, (w) => {
        switched(w, 4000, ['swapper/1', 0], ['CPU 0/KVM', 42]);
        entry(w, 5000, 42);
      }),
      bundle(0, (w) => {
        switched(w, 1000, ['swapper/0', 0], ['qemu', 42]);
        entry(w, 2000, 42);
        switched(w, 3000, ['qemu', 42], ['other', 7]);
      }),
    ]),
  );
  const named: [time: number, comm: string | undefined][] = [];
  const read = await openTrace(path);
  for await (const b of read.batches())
    for (let i = 0; i < b.count; i++) named.push([b.time[i] as number, read.threads.get(b.tid[i] as number)?.comm]);
  await read.close();
  assert.deepEqual(
    named.filter(([, comm]) => comm !== undefined && !comm.startsWith('swapper')),
    [
      [1000, 'qemu'],
      [2000, 'qemu'],
      [4000, 'CPU 0/KVM'],
    ],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BitWriter, ctfFolder, lttngMetadata, lttngPacket, type WrittenEvent } from '../../../test/ctf-writer.ts';
import { openTrace } from '../detect.ts';

/** Each event, as a line: with the name that its thread has then. */
async function read(path: string, wanted?: string): Promise<string[]> {
  const trace = await openTrace(path);
  const lines: string[] = [];
  for await (const b of trace.batches(({ name }) => wanted === undefined || name === wanted)) {
    for (let i = 0; i < b.count; i++) {
      const type = trace.types[b.type[i] as number];
      assert.ok(type !== undefined);
      if (wanted !== undefined && type.name !== wanted) continue;
      const tid = b.tid[i] as number;
      const comm = trace.threads.get(tid)?.comm ?? '?';
      const time = Number(trace.origin) + (b.time[i] as number);
      lines.push(`${time} ${b.cpu[i]} ${comm}-${tid}/${b.pid[i]} ${type.name} ${type.layout.print(b, i)}`.trim());
    }
  }
  assert.equal(trace.damage, undefined);
  await trace.close();
  return lines;
}

/** Classes of events: what is in one made of a number, as TSDL, bits and text. */
const classes: {
  id: number;
  tsdl: string;
  write: (n: number) => (out: BitWriter) => void;
  text: (n: number) => string;
}[] = [
  {
    id: 0,
    tsdl: 'uint32_t _a; uint64_t _b;',
    write: (n) => (out) => void out.int(n, 32).int(2 ** 40 + n, 64),
    text: (n) => `a=${n} b=${2 ** 40 + n}`,
  },
  { id: 1, tsdl: '', write: () => () => {}, text: () => '' },
  {
    id: 2,
    tsdl: 'string _s; uint32_t _a; string _t;',
    write: (n) => (out) =>
      void out
        .text('x'.repeat(n % 300))
        .int(n, 32)
        .text('é'),
    text: (n) => `s=${'x'.repeat(n % 300)} a=${n} t=é`,
  },
  {
    id: 3,
    tsdl: 'uint8_t __v_length; uint32_t _v[ __v_length ]; uint32_t _a;',
    write: (n) => (out) => {
      out.int(n % 200, 8);
      for (let k = 0; k < n % 200; k++) out.int(k, 32);
      out.int(n, 32);
    },
    text: (n) => `v=[${Array.from({ length: n % 200 }, (_, k) => k).join(', ')}] a=${n}`,
  },
  // Of no whole bytes, and what is selected by a value: nothing that can be passed over by bytes.
  { id: 4, tsdl: 'uint5_t _bits;', write: (n) => (out) => void out.int(n % 32, 5, 1), text: (n) => `bits=${n % 32}` },
  {
    id: 70000,
    tsdl: 'enum : uint8_t { one = 1, two = 2 } _tag; variant <_tag> { uint8_t one; string two; } _v;',
    write: (n) => (out) => void (n % 2 === 0 ? out.int(1, 8).int(n % 256, 8) : out.int(2, 8).text('text')),
    text: (n) => (n % 2 === 0 ? `tag=one v=${n % 256}` : 'tag=two v=text'),
  },
];
const events = classes
  .map(({ id, tsdl }) => `event { name = "e${id}"; id = ${id}; stream_id = 0; fields := struct { ${tsdl} }; };`)
  .join('\n');

/** What every event has besides: contexts as TSDL, and what is in one of a thread. */
const contexts = [
  { tsdl: undefined, write: () => {} },
  { tsdl: 'int32_t _tid; int32_t _pid;', write: (out: BitWriter, tid: number) => void out.int(tid, 32).int(7, 32) },
  {
    tsdl: 'int32_t _pid; integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _procname[17]; int32_t _tid;',
    write: (out: BitWriter, tid: number) => void out.int(7, 32).chars(`task ${tid}`, 17).int(tid, 32),
  },
  {
    tsdl: 'int32_t _tid; string _procname; int32_t _pid;',
    write: (out: BitWriter, tid: number) => void out.int(tid, 32).text(`task ${tid}`).int(7, 32),
  },
];

for (const little of [true, false]) {
  test(`events of any length, in packets and streams of any length, are those that were written (${little ? 'little' : 'big'}-endian)`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(...contexts),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 999 }), fc.nat({ max: 2 ** 28 })), {
          minLength: 1,
          maxLength: 1200,
          size: 'max',
        }),
        fc.integer({ min: 1, max: 400 }),
        async (cpus, context, written, inPacket) => {
          const files: Record<string, string | Uint8Array> = {
            metadata: lttngMetadata({ little, events, ...(context.tsdl && { context: context.tsdl }) }),
          };
          const expected: string[] = [];
          const byCpu: WrittenEvent[][] = Array.from({ length: cpus }, () => []);
          const times: number[][] = byCpu.map(() => []);
          let time = 1000;
          for (const [kind, n, delta] of written) {
            time += 1 + Math.min(delta, 2 ** 27 - 2);
            const one = classes[kind] as (typeof classes)[number];
            const cpu = n % cpus;
            const tid = 100 + (n % 5);
            byCpu[cpu]?.push({
              id: one.id,
              time: one.id < 31 ? time % 2 ** 27 : time,
              fields: (out) => {
                context.write(out, tid);
                one.write(n)(out);
              },
            });
            times[cpu]?.push(time);
            const named = context.tsdl?.includes('procname');
            const whose = context.tsdl === undefined ? '?--1/-1' : `${named ? `task ${tid}` : '?'}-${tid}/7`;
            expected.push(`${time} ${cpu} ${whose} lttng:e${one.id} ${one.text(n)}`.trim());
          }
          for (const [cpu, own] of byCpu.entries()) {
            const packets: Buffer[] = [];
            for (let from = 0; from < own.length; from += inPacket) {
              const begin = times[cpu]?.[from] as number;
              const last = own.slice(from, from + inPacket);
              // Between two events of one CPU more may lie than the 27 bits of a time can tell: then all of it is written.
              for (const [k, event] of last.entries()) {
                const at = times[cpu]?.[from + k] as number;
                const before = times[cpu]?.[from + k - 1] ?? begin;
                if (event.id < 31 && k > 0 && at - before >= 2 ** 27) {
                  last.splice(k);
                  break;
                }
              }
              packets.push(
                lttngPacket(
                  { cpu, begin, end: begin, sequence: packets.length, padding: from % 13, events: last },
                  little,
                ),
              );
              from -= inPacket - last.length;
            }
            files[`channel_${cpu}`] = Buffer.concat(packets);
          }
          const path = ctfFolder(files);
          assert.deepEqual(await read(path), expected);
          // What nobody wants is passed over, and changes nothing.
          assert.deepEqual(
            await read(path, 'lttng:e3'),
            expected.filter((line) => line.includes(' lttng:e3 ')),
          );
        },
      ),
      { numRuns: 12 },
    );
  });
}

const comm = 'integer { size = 8; align = 8; signed = 1; encoding = UTF8; }';

test('threads have the names of their time: by the context of each event, wherever it was read first', async () => {
  const metadata = lttngMetadata({
    context: `int32_t _tid; int32_t _pid; ${comm} _procname[17];`,
    events: 'event { name = "e"; id = 0; stream_id = 0; fields := struct { uint8_t _n; }; };',
  });
  const channel = (cpu: number, written: [time: number, tid: number, comm: string][]) =>
    lttngPacket({
      cpu,
      begin: 1,
      end: 1000,
      events: written.map(([time, tid, name], n) => ({
        id: 0,
        time,
        fields: (out) => void out.int(tid, 32).int(7, 32).chars(name, 17).int(n, 8),
      })),
    });
  const path = ctfFolder({
    metadata,
    channel_0: channel(0, [
      [10, 5, 'qemu'],
      [30, 5, 'CPU 0/KVM'],
      [70, 5, 'CPU 0/KVM'],
      [90, 0, 'swapper/0'],
    ]),
    // The thread moves to this CPU under its first name and back, and ends with a third.
    channel_1: channel(1, [
      [20, 5, 'qemu'],
      [25, 5, 'CPU 0/KVM'],
      [60, 0, 'swapper/1'],
      [80, 5, 'ended'],
    ]),
  });
  assert.deepEqual(await read(path), [
    '10 0 qemu-5/7 lttng:e n=0',
    '20 1 qemu-5/7 lttng:e n=0',
    '25 1 CPU 0/KVM-5/7 lttng:e n=1',
    '30 0 CPU 0/KVM-5/7 lttng:e n=1',
    '60 1 swapper/1-0/7 lttng:e n=2',
    '70 0 CPU 0/KVM-5/7 lttng:e n=2',
    '80 1 ended-5/7 lttng:e n=3',
    '90 0 swapper/0-0/7 lttng:e n=3',
  ]);
});

test('threads have the names of their time: by sched_switch, where no context tells', async () => {
  const events = `event { name = "e"; id = 0; stream_id = 0; fields := struct { uint8_t _n; }; };
event { name = "sched_switch"; id = 1; stream_id = 0; fields := struct {
  ${comm} _prev_comm[16]; int32_t _prev_tid; ${comm} _next_comm[16]; int32_t _next_tid; }; };`;
  const switched = (from: string, previous: number, to: string, next: number) => (out: BitWriter) =>
    void out.chars(from, 16).int(previous, 32).chars(to, 16).int(next, 32);
  const n = (value: number) => (out: BitWriter) => void out.int(value, 8);
  const path = ctfFolder({
    metadata: lttngMetadata({ events }),
    channel_0: lttngPacket({
      cpu: 0,
      begin: 1,
      end: 1000,
      events: [
        { id: 0, time: 1, fields: n(1) },
        { id: 1, time: 2, fields: switched('qemu', 5, 'swapper/0', 0) },
        { id: 1, time: 3, fields: switched('swapper/0', 0, 'qemu', 5) },
        { id: 0, time: 4, fields: n(4) },
        { id: 1, time: 5, fields: switched('CPU 0/KVM', 5, 'other', 6) },
        { id: 0, time: 6, fields: n(6) },
        { id: 1, time: 7, fields: switched('other', 6, 'CPU 0/KVM', 5) },
        { id: 0, time: 8, fields: n(8) },
      ],
    }),
  });
  assert.deepEqual(
    (await read(path)).map((line) => line.replace(/ (lttng|sched):(\w+).*/, ' $2')),
    [
      '1 0 qemu-5/-1 e',
      '2 0 qemu-5/-1 sched_switch',
      '3 0 ?-0/-1 sched_switch',
      '4 0 qemu-5/-1 e',
      '5 0 CPU 0/KVM-5/-1 sched_switch',
      '6 0 other-6/-1 e',
      '7 0 other-6/-1 sched_switch',
      '8 0 CPU 0/KVM-5/-1 e',
    ],
  );
});

const perfFields =
  'integer { size = 32; align = 1; signed = true; } perf_tid; integer { size = 32; align = 1; signed = true; } perf_pid;';
const perfMetadata = `/* CTF 1.8 */
trace { major = 1; minor = 8; byte_order = le; packet.header := struct { integer { size = 32; align = 8; } stream_id; }; };
env { tracer_name = "perf"; domain = "kernel"; };
clock { name = perf_clock; freq = 1000000000; offset = 0; };
stream {
  id = 0;
  event.header := struct {
    integer { size = 32; align = 8; } id;
    integer { size = 64; align = 8; map = clock.perf_clock.value; } timestamp;
  } align(8);
  packet.context := struct { integer { size = 32; align = 8; } cpu_id; };
};
event { id = 0; stream_id = 0; name = "kvm:kvm_entry"; fields := struct { ${perfFields} integer { size = 32; align = 1; } vcpu_id; } align(1); };
event { id = 1; stream_id = 0; name = "perf_comm"; fields := struct { integer { size = 32; align = 1; } pid; integer { size = 32; align = 1; } tid; string comm; } align(1); };
event { id = 2; stream_id = 0; name = "perf_fork"; fields := struct { integer { size = 32; align = 1; } pid; integer { size = 32; align = 1; } ppid; integer { size = 32; align = 1; } tid; integer { size = 32; align = 1; } ptid; } align(1); };`;
const perfStream = (cpu: number, write: (out: BitWriter) => void) => {
  const out = new BitWriter(true).int(0, 32).int(cpu, 32);
  write(out);
  return out.done();
};
const entered = (out: BitWriter, time: number, tid: number, vcpu: number) =>
  void out.int(0, 32).int(time, 64).int(tid, 32).int(7, 32).int(vcpu, 32);
const called = (out: BitWriter, time: number, tid: number, name: string) =>
  void out.int(1, 32).int(time, 64).int(7, 32).int(tid, 32).text(name);

test("threads have the names of their time: by perf's notes of names, which stand in any stream", async () => {
  const path = ctfFolder({
    metadata: perfMetadata,
    perf_stream_0: perfStream(0, (out) => {
      called(out, 0, 8, 'qemu');
      entered(out, 5000, 8, 0);
      entered(out, 7000, 8, 0);
      entered(out, 9000, 8, 0);
    }),
    perf_stream_1: perfStream(1, (out) => {
      called(out, 6000, 8, 'CPU 0/KVM');
      out.int(2, 32).int(7500, 64).int(7, 32).int(7, 32).int(9, 32).int(8, 32);
      called(out, 8000, 8, 'ended');
      entered(out, 8500, 9, 1);
    }),
  });
  assert.deepEqual(await read(path), [
    '5000 0 qemu-8/7 kvm:kvm_entry vcpu_id=0',
    '7000 0 CPU 0/KVM-8/7 kvm:kvm_entry vcpu_id=0',
    '8500 1 CPU 0/KVM-9/7 kvm:kvm_entry vcpu_id=1',
    '9000 0 ended-8/7 kvm:kvm_entry vcpu_id=0',
  ]);
});

test('a sample that perf wrote twice counts once, as in the perf.data that it was converted from', async () => {
  const path = ctfFolder({
    metadata: perfMetadata,
    perf_stream_0: perfStream(0, (out) => {
      entered(out, 5000, 8, 0);
      entered(out, 5000, 8, 0);
      entered(out, 5000, 8, 1);
      entered(out, 6000, 8, 0);
    }),
  });
  assert.deepEqual(await read(path), [
    '5000 0 ?-8/7 kvm:kvm_entry vcpu_id=0',
    '5000 0 ?-8/7 kvm:kvm_entry vcpu_id=1',
    '6000 0 ?-8/7 kvm:kvm_entry vcpu_id=0',
  ]);
  const trace = await openTrace(path);
  for await (const _ of trace.batches());
  assert.deepEqual([...(trace.repeated ?? [])], [[0, 1]]);
  await trace.close();
});

for (const little of [true, false]) {
  test(`perf's CTF as babeltrace2 writes it again has the same threads and CPUs (${little ? 'little' : 'big'}-endian)`, async () => {
    // Underscores before all names that are not the specification's, and numbers of classes in 64 bits.
    const metadata = perfMetadata
      .replace('byte_order = le', `byte_order = ${little ? 'le' : 'be'}`)
      .replace('integer { size = 32; align = 8; } id;', 'integer { size = 64; align = 8; } id;')
      .replace(/ (perf_tid|perf_pid|vcpu_id|comm|tid|pid|ppid|ptid|cpu_id);/g, ' _$1;');
    const out = new BitWriter(little).int(0, 32).int(3, 32);
    const class64 = (id: number | bigint, time: number) => out.int(id, 64).int(time, 64);
    class64(1, 0).int(7, 32).int(8, 32).text('CPU 0/KVM');
    for (const time of [5000, 6000, 7000])
      class64(0, time)
        .int(8, 32)
        .int(7, 32)
        .int(time / 1000, 32);
    const path = ctfFolder({ metadata, perf_stream_0: out.done() });
    assert.deepEqual(await read(path), [
      '5000 3 CPU 0/KVM-8/7 kvm:kvm_entry vcpu_id=5',
      '6000 3 CPU 0/KVM-8/7 kvm:kvm_entry vcpu_id=6',
      '7000 3 CPU 0/KVM-8/7 kvm:kvm_entry vcpu_id=7',
    ]);
    // A number that is none of a class's.
    class64(1n << 32n, 8000)
      .int(8, 32)
      .int(7, 32)
      .int(1, 32);
    const trace = await openTrace(ctfFolder({ metadata, perf_stream_0: out.done() }));
    let count = 0;
    for await (const b of trace.batches()) count += b.count;
    assert.equal(count, 3);
    assert.match(trace.damage?.message ?? '', /an event of class/);
    await trace.close();
  });
}

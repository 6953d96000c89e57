import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyTypeText, jsonMetadata, jsonStream, tsdlMetadata, tsdlStream } from '../../../test/ctf-types.ts';
import { BitWriter, ctfFolder, inPackets, lttngMetadata, lttngPacket, uuidBytes } from '../../../test/ctf-writer.ts';
import type { Loss } from '../../trace/loss.ts';
import { openTrace } from '../detect.ts';

/** What a reader gives of each event. */
type Read = { name: string; time: number; cpu: number; tid: number; pid: number; text: string };

async function read(path: string) {
  const trace = await openTrace(path);
  const events: Read[] = [];
  const losses: Loss[] = [];
  for await (const b of trace.batches()) {
    losses.push(...b.losses);
    for (let i = 0; i < b.count; i++) {
      const type = trace.types[b.type[i] as number];
      assert.ok(type !== undefined);
      events.push({
        name: type.name,
        time: b.time[i] as number,
        cpu: b.cpu[i] as number,
        tid: b.tid[i] as number,
        pid: b.pid[i] as number,
        text: type.layout.print(b, i),
      });
    }
  }
  await trace.close();
  return { trace, events, losses };
}

const kvm = `
event { name = "kvm_x86_entry"; id = 0; stream_id = 0; fields := struct { uint32_t _vcpu_id; }; };
event { name = "kvm_x86_exit"; id = 1; stream_id = 0; fields := struct {
  uint32_t _exit_reason; integer { size = 64; align = 8; signed = 0; base = 16; } _guest_rip; uint32_t _isa;
}; };
event { name = "sched_switch"; id = 40; stream_id = 0; fields := struct {
  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _prev_comm[16]; int32_t _prev_tid; int32_t _prev_prio;
  integer { size = 64; align = 8; signed = 1; } _prev_state;
  integer { size = 8; align = 8; signed = 1; encoding = UTF8; } _next_comm[16]; int32_t _next_tid; int32_t _next_prio;
}; };`;

const entry = (vcpu: number) => (out: BitWriter) => void out.int(vcpu, 32);
const exit = (reason: number, rip: bigint) => (out: BitWriter) => void out.int(reason, 32).int(rip, 64).int(1, 32);
const switched = (from: [string, number], to: [string, number]) => (out: BitWriter) =>
  void out.chars(from[0], 16).int(from[1], 32).int(100, 32).int(1, 64).chars(to[0], 16).int(to[1], 32).int(120, 32);
const on = (tid: number, pid: number, rest: (out: BitWriter) => void) => (out: BitWriter) => {
  rest(out.int(tid, 32).int(pid, 32));
};

for (const little of [true, false]) {
  const order = little ? 'little' : 'big';
  test(`an LTTng kernel trace in ${order}-endian order is the kernel's events, with threads from its context`, async () => {
    const metadata = lttngMetadata({ little, events: kvm, context: 'int32_t _tid; int32_t _pid;' });
    for (const form of [metadata, inPackets(metadata, little)]) {
      const path = ctfFolder({
        metadata: form,
        channel0_1: lttngPacket(
          {
            cpu: 1,
            begin: 1000,
            end: 9000,
            padding: 100,
            events: [
              { id: 0, time: 1000, fields: on(11, 10, entry(3)) },
              { id: 1, time: 2500, fields: on(11, 10, exit(10, 0xffffffff81234567n)) },
              { id: 40, time: 9000, fields: on(11, 10, switched(['CPU 3/KVM', 11], ['swapper/1', 0])) },
            ],
          },
          little,
        ),
      });
      const { trace, events, losses } = await read(path);
      assert.equal(trace.damage, undefined);
      assert.equal(trace.clock.name, 'mono');
      assert.equal(trace.clock.ties?.[0]?.offset, 1500000000000000000n);
      assert.equal(trace.origin, 1000n);
      assert.deepEqual(losses, []);
      assert.deepEqual(events, [
        { name: 'kvm:kvm_entry', time: 0, cpu: 1, tid: 11, pid: 10, text: 'vcpu_id=3' },
        {
          name: 'kvm:kvm_exit',
          time: 1500,
          cpu: 1,
          tid: 11,
          pid: 10,
          text: 'exit_reason=10 guest_rip=0xffffffff81234567 isa=1',
        },
        {
          name: 'sched:sched_switch',
          time: 8000,
          cpu: 1,
          tid: 11,
          pid: 10,
          text: 'prev_comm=CPU 3/KVM prev_pid=11 prev_prio=100 prev_state=1 next_comm=swapper/1 next_pid=0 next_prio=120',
        },
      ]);
      assert.equal(trace.threads.get(11)?.comm, 'CPU 3/KVM');
    }
  });
}

test('without a context, the thread is the one that sched_switch says runs on the CPU', async () => {
  const path = ctfFolder({
    metadata: lttngMetadata({ events: kvm }),
    a_0: lttngPacket({
      cpu: 0,
      begin: 10,
      end: 60,
      events: [
        { id: 0, time: 10, fields: entry(0) },
        { id: 40, time: 20, fields: switched(['first', 5], ['second', 6]) },
        { id: 0, time: 30, fields: entry(1) },
      ],
    }),
    a_1: lttngPacket({ cpu: 1, begin: 15, end: 60, events: [{ id: 0, time: 25, fields: entry(2) }] }),
  });
  const { trace, events } = await read(path);
  assert.deepEqual(
    events.map(({ time, cpu, tid }) => [time, cpu, tid]),
    [
      [0, 0, 5],
      [10, 0, 5],
      [15, 1, -1],
      [20, 0, 6],
    ],
  );
  assert.match(trace.notes.join('\n'), /known from sched_switch/);
});

test('a session without threads is said to lack them', async () => {
  const path = ctfFolder({
    metadata: lttngMetadata({ events: kvm }),
    a_0: lttngPacket({ cpu: 0, begin: 10, end: 60, events: [{ id: 0, time: 10, fields: entry(0) }] }),
  });
  const { trace } = await read(path);
  assert.match(trace.notes.join('\n'), /do not say which thread they are of.*lttng add-context -k -t tid/);
});

test('times of 27 bits wrap, from one packet to the next, too', async () => {
  const period = 2 ** 27;
  const times = [period - 5, period + 3, 2 * period + 1, 2 * period + 90];
  const path = ctfFolder({
    metadata: lttngMetadata({ events: kvm }),
    a_0: Buffer.concat([
      lttngPacket({
        cpu: 0,
        begin: period - 10,
        end: 2 * period + 1,
        events: times.slice(0, 3).map((time) => ({ id: 0, time: time % period, fields: entry(0) })),
      }),
      lttngPacket({
        cpu: 0,
        begin: 2 * period + 50,
        end: 2 * period + 90,
        sequence: 1,
        events: [{ id: 0, time: 90, fields: entry(0) }],
      }),
    ]),
  });
  const { trace, events } = await read(path);
  assert.deepEqual(
    events.map(({ time }) => Number(trace.origin) + time),
    times,
  );
});

test("what LTTng's buffers discarded is missing between two packets; other recorders' within one", async () => {
  const stream = Buffer.concat(
    [0, 7].map((discarded, sequence) =>
      lttngPacket({
        cpu: 0,
        begin: 100 + sequence * 100,
        end: 150 + sequence * 100,
        sequence,
        discarded: sequence === 0 ? 7 : discarded,
        events: [110, 140].map((time) => ({ id: 0, time: time + sequence * 100, fields: entry(0) })),
      }),
    ),
  );
  const lttng = await read(ctfFolder({ metadata: lttngMetadata({ events: kvm }), a_0: stream }));
  assert.deepEqual(lttng.losses, [{ from: 30, to: 100, cpu: 0, count: 7 }]);
  const other = await read(ctfFolder({ metadata: lttngMetadata({ events: kvm, environment: {} }), a_0: stream }));
  assert.deepEqual(other.losses, [{ from: Number.NEGATIVE_INFINITY, to: 40, cpu: 0, count: 7 }]);
});

test('packets that are missing by their numbers are a loss from the last event before to the first after', async () => {
  const stream = Buffer.concat(
    [4, 5, 8].map((sequence) =>
      lttngPacket({
        cpu: 2,
        begin: sequence * 100,
        end: sequence * 100 + 50,
        sequence,
        events: [{ id: 0, time: sequence * 100 + 10, fields: entry(0) }],
      }),
    ),
  );
  const { losses } = await read(ctfFolder({ metadata: lttngMetadata({ events: kvm }), a_0: stream }));
  assert.deepEqual(losses, [{ from: 100, to: 400, cpu: 2, count: undefined }]);
});

test('the chunks of a rotated session are one recording, and user space goes with the kernel', async () => {
  const chunk = (sequence: number, discarded: number) =>
    lttngPacket({
      cpu: 0,
      begin: 100 * sequence,
      end: 100 * sequence + 50,
      sequence,
      discarded,
      stream: 9,
      events: [{ id: 0, time: 100 * sequence + 1, fields: entry(sequence) }],
    });
  const kernel = lttngMetadata({ events: kvm });
  const ust = lttngMetadata({
    events:
      'event { name = "qemu:virtqueue_pop"; id = 0; stream_id = 0; fields := struct { unsigned long _vq; unsigned long _elem; }; };',
    context: 'int32_t _vtid;',
    environment: { domain: 'ust', tracer_name: 'lttng-ust' },
  }).replaceAll('2a6422d0', '2a6422d1');
  const user = lttngPacket({
    cpu: 0,
    begin: 150,
    end: 160,
    events: [{ id: 0, time: 155, fields: (out) => void out.int(77, 32).int(1, 64).int(2, 64) }],
  });
  user[7] = 0xd1;
  const path = ctfFolder({
    'archives/one-1/kernel/metadata': kernel,
    'archives/one-1/kernel/channel0_0': chunk(1, 3),
    'archives/two-2/kernel/metadata': kernel,
    'archives/two-2/kernel/channel0_0': chunk(2, 3),
    'archives/two-2/kernel/index/channel0_0.idx': '',
    'archives/two-2/ust/uid/0/64-bit/metadata': ust,
    'archives/two-2/ust/uid/0/64-bit/channel0_0': user,
  });
  const { trace, events, losses } = await read(path);
  assert.equal(trace.damage, undefined);
  assert.deepEqual(
    events.map(({ name, time, tid }) => [name, time, tid]),
    [
      ['kvm:kvm_entry', 0, -1],
      ['qemu:virtqueue_pop', 54, 77],
      ['kvm:kvm_entry', 100, -1],
    ],
  );
  // The counter goes on in the second chunk: nothing was lost in it.
  assert.deepEqual(losses, [{ from: 0, to: 100, cpu: 0, count: 3 }]);
});

test('what cannot be read is an error with file, place and expectation, after the events before it', async () => {
  const good = lttngPacket({ cpu: 0, begin: 10, end: 20, events: [{ id: 0, time: 10, fields: entry(0) }] });
  const metadata = lttngMetadata({ events: kvm });
  const damaged = async (stream: Uint8Array) => {
    const { trace, events } = await read(ctfFolder({ metadata, a_0: stream }));
    return [events.length, trace.damage?.message.replace(/^.*a_0: /, '')];
  };
  const strange = lttngPacket({
    cpu: 0,
    begin: 10,
    end: 20,
    events: [
      { id: 0, time: 10, fields: entry(0) },
      { id: 9, time: 11, fields: entry(0) },
    ],
  });
  assert.deepEqual(await damaged(strange), [1, 'byte 92: an event of class 9; expected an event as declared']);
  assert.deepEqual(await damaged(good.subarray(0, good.length - 2)), [
    0,
    `byte 0: a packet of ${good.length} bytes; expected at most ${good.length - 2} bytes, the rest of the file`,
  ]);
  const magic = Buffer.from(Buffer.concat([good, good]));
  magic[good.length] = 0;
  assert.deepEqual(await damaged(magic), [
    1,
    `byte ${good.length}: the magic number 0xc1fc1f00; expected a packet, 0xc1fc1fc1`,
  ]);
  await assert.rejects(read(ctfFolder({ metadata: 'trace { major = 1; ]', a_0: good })), {
    message: /metadata: byte 19: "]" stands there; expected a name$/,
  });
});

for (const little of [true, false]) {
  test(`every type of TSDL and of CTF 2 is read, ${little ? 'little' : 'big'}-endian`, async () => {
    const tsdl = await read(ctfFolder({ metadata: tsdlMetadata(little), stream: tsdlStream(little) }));
    assert.equal(tsdl.trace.damage, undefined);
    assert.deepEqual(
      tsdl.events.map(({ name, text }) => [name, text]),
      [['ctf:every', everyTypeText.tsdl]],
    );
    const json = await read(ctfFolder({ metadata: jsonMetadata(little), stream: jsonStream(little) }));
    assert.equal(json.trace.damage, undefined);
    assert.deepEqual(
      json.events.map(({ name, text }) => [name, text]),
      [['ctf:every', everyTypeText.json]],
    );
  });
}

test('what is missing or wrong in the metadata of CTF 2 is named as it stands there', async () => {
  const good = jsonMetadata(true);
  for (const [bad, says] of [
    ['', /the byte order none; expected "little-endian" or "big-endian"/],
    ['"byte-order":99999999999999999999', /the byte order 99999999999999999999; expected/],
    ['"byte-order":{"a":1}', /the byte order an object; expected/],
  ] as const) {
    const metadata = good.replace(/"byte-order":"[a-z-]+"/, bad).replace(/,,|,(?=\})/g, (found) => found.slice(1));
    assert.notEqual(metadata, good);
    await assert.rejects(read(ctfFolder({ metadata, stream: jsonStream(true) })), { message: says });
  }
});

test('a stream that is shorter than its index says is damaged, and what follows is lost', async () => {
  const packet = (sequence: number) =>
    lttngPacket({
      cpu: 0,
      begin: sequence,
      end: sequence,
      sequence,
      events: [{ id: 0, time: sequence, fields: entry(0) }],
    });
  const first = packet(1);
  const index = Buffer.alloc(16 + 2 * 56);
  index.writeUInt32BE(0xc1f1dcc1);
  index.writeUInt32BE(1, 4);
  index.writeUInt32BE(56, 12);
  for (const n of [0, 1]) {
    index.writeBigUInt64BE(BigInt(n * first.length), 16 + n * 56);
    index.writeBigUInt64BE(BigInt(first.length * 8), 24 + n * 56);
  }
  const metadata = lttngMetadata({ events: kvm });
  const whole = await read(ctfFolder({ metadata, a_0: Buffer.concat([first, packet(2)]), 'index/a_0.idx': index }));
  assert.equal(whole.trace.damage, undefined);
  const cut = await read(ctfFolder({ metadata, a_0: first, 'index/a_0.idx': index }));
  assert.match(
    cut.trace.damage?.message ?? '',
    new RegExp(
      `a_0: byte ${first.length}: the file has ${first.length} bytes; expected ${2 * first.length} bytes, by its index$`,
    ),
  );
  assert.deepEqual(cut.losses, [{ from: 0, to: Number.POSITIVE_INFINITY, cpu: 0, count: undefined }]);
});

test('a clock of another frequency gives exact ns; streams on several clocks are put together by their offsets', async () => {
  const clocks = `
clock { name = slow; freq = 3; offset_s = 1000; };
clock { name = fast; freq = 1000000000; offset_s = 1000; offset = 500; };
typealias integer { size = 64; align = 8; map = clock.slow.value; } := slow_t;
typealias integer { size = 64; align = 8; map = clock.fast.value; } := fast_t;`;
  const metadata = `/* CTF 1.8 */
trace { major = 1; minor = 8; byte_order = le; packet.header := struct { integer { size = 8; } stream_id; }; };
${clocks}
stream { id = 1; event.header := struct { slow_t timestamp; }; };
stream { id = 2; event.header := struct { fast_t timestamp; }; };
event { name = s; stream_id = 1; };
event { name = f; stream_id = 2; };`;
  const stream = (id: number, times: bigint[]) => {
    const out = new BitWriter(true).int(id, 8);
    for (const time of times) out.int(time, 64);
    return out.done();
  };
  const slow = stream(1, [1n, 2n, 3n, 15_000_001n]);
  const alone = await read(
    ctfFolder({ metadata: metadata.replace(/stream \{ id = 2.*\n/, '').replace(/event \{ name = f.*/, ''), slow }),
  );
  assert.equal(alone.trace.origin, 333333333n);
  assert.deepEqual(
    alone.events.map(({ time }) => alone.trace.origin + BigInt(time)),
    [333333333n, 666666666n, 1000000000n, 5000000333333333n],
  );
  const both = await read(
    ctfFolder({ metadata, slow: stream(1, [1n, 3n]), fast: stream(2, [400_000_000n, 2_000_000_000n]) }),
  );
  assert.equal(both.trace.clock.name, 'realtime');
  assert.deepEqual(
    both.events.map(({ name, time }) => [name, both.trace.origin + BigInt(time)]),
    [
      ['ctf:s', 1000333333333n],
      ['ctf:f', 1000400000500n],
      ['ctf:s', 1001000000000n],
      ['ctf:f', 1002000000500n],
    ],
  );
  assert.match(both.trace.notes.join(' '), /several clocks \(slow, fast\)/);
});

test('what would take too much memory is refused', async () => {
  const head = '/* CTF 1.8 */ trace { major = 1; minor = 8; byte_order = le; }; typealias integer { size = 8; } := u8;';
  const doubled = Array.from({ length: 40 }, (_, n) => `struct s${n + 1} { struct s${n} a; struct s${n} b; };`).join(
    ' ',
  );
  const bombs = {
    'fields of events that take more than 37 MiB': `${head} struct s0 { u8 a; }; ${doubled} event { name = x; fields := struct { struct s40 y; }; };`,
    'types too deep': `${head} event { name = x; fields := ${'struct { '.repeat(9999)}`,
    'a text of': `${head} env { a = "${'\\\\'.repeat(1e6)}"; };`,
    'a fragment of': `\x1e{"type":"preamble","version":2}\x1e${'['.repeat(2e6)}`,
  };
  for (const [problem, metadata] of Object.entries(bombs)) {
    await assert.rejects(read(ctfFolder({ metadata, stream: 'x' })), (error: Error) => {
      assert.equal(error.name, 'TraceError');
      assert.ok(error.message.includes(problem), error.message);
      return true;
    });
  }
});

test('zeros behind the events of a packet that was not ended are no events', async () => {
  const metadata = lttngMetadata({ events: kvm }).replace('uint27_clock_t timestamp', 'uint64_clock_t timestamp');
  const out = new BitWriter(true).int(0xc1fc1fc1, 32).bytes(uuidBytes).int(0, 32).int(0, 64);
  out.int(816_000_000_000, 64).int(0, 64).int(-1, 64).int(-1, 64).int(0, 64).int(0, 64).int(0, 32);
  for (const time of [816_000_000_500, 816_000_000_700]) out.int(0, 8).int(time, 64).int(3, 32);
  out.bytes(new Uint8Array(500));
  const { trace, events } = await read(ctfFolder({ metadata, a_0: out.done() }));
  assert.deepEqual(
    events.map(({ time, text }) => [time, text]),
    [
      [0, 'vcpu_id=3'],
      [200, 'vcpu_id=3'],
    ],
  );
  assert.match(
    trace.damage?.message ?? '',
    /a_0: byte 0: a packet that its writer did not end; expected at most \d+ bytes/,
  );
});

test("perf's CTF has perf's threads and their names, and QEMU's probes under QEMU's names", async () => {
  const perf =
    'integer { size = 32; align = 1; signed = true; } perf_tid; integer { size = 32; align = 1; signed = true; } perf_pid;';
  const metadata = `/* CTF 1.8 */
trace { major = 1; minor = 8; byte_order = le; };
env { tracer_name = "perf"; domain = "kernel"; };
clock { name = perf_clock; freq = 1000000000; offset = 0; };
stream {
  event.header := struct {
    integer { size = 32; align = 8; } id;
    integer { size = 64; align = 8; map = clock.perf_clock.value; } timestamp;
  } align(8);
};
event { id = 0; name = "kvm:kvm_entry"; fields := struct { ${perf} integer { size = 32; align = 1; } vcpu_id; } align(1); };
event { id = 1; name = "perf_comm"; fields := struct { integer { size = 32; align = 1; } pid; integer { size = 32; align = 1; } tid; string comm; } align(1); };
event { id = 2; name = "qemu_uprobes:virtqueue_pop_1"; fields := struct { ${perf}
  integer { size = 64; align = 1; base = 16; } __probe_ip; integer { size = 64; align = 1; base = 16; } arg1; integer { size = 64; align = 1; base = 16; } arg2;
} align(1); };`;
  const out = new BitWriter(true);
  out.int(1, 32).int(0, 64).int(7, 32).int(8, 32).text('old');
  out.int(0, 32).int(5000, 64).int(8, 32).int(7, 32).int(1, 32);
  out.int(1, 32).int(6000, 64).int(7, 32).int(8, 32).text('CPU 1/KVM');
  out.int(2, 32).int(7000, 64).int(9, 32).int(7, 32).int(0xabc, 64).int(0x7f0000001000, 64).int(0x55, 64);
  const { trace, events } = await read(ctfFolder({ metadata, perf_stream_0: out.done() }));
  assert.equal(trace.damage, undefined);
  assert.deepEqual(events, [
    { name: 'kvm:kvm_entry', time: 0, cpu: -1, tid: 8, pid: 7, text: 'vcpu_id=1' },
    { name: 'qemu:virtqueue_pop', time: 2000, cpu: -1, tid: 9, pid: 7, text: 'vq=0x7f0000001000 elem=0x55' },
  ]);
  assert.deepEqual(trace.threads.get(8), { comm: 'CPU 1/KVM', pid: 7 });
  assert.equal(trace.types.length, 2);
});

test('snapshots that overlap give each event once, and a later one may know more events', async () => {
  const packet = (sequence: number, id: number) =>
    lttngPacket({
      cpu: 0,
      begin: sequence * 100,
      end: sequence * 100,
      sequence,
      events: [{ id, time: sequence * 100, fields: entry(sequence) }],
    });
  const more = 'event { name = "kvm_x86_later"; id = 2; stream_id = 0; fields := struct { uint32_t _n; }; };';
  const path = ctfFolder({
    'snapshot-1/kernel/metadata': lttngMetadata({ events: kvm }),
    'snapshot-1/kernel/a_0': Buffer.concat([packet(1, 0), packet(2, 0)]),
    'snapshot-2/kernel/metadata': lttngMetadata({ events: kvm + more }),
    'snapshot-2/kernel/a_0': Buffer.concat([packet(2, 0), packet(3, 2)]),
  });
  const { trace, events, losses } = await read(path);
  assert.equal(trace.damage, undefined);
  assert.deepEqual(losses, []);
  assert.deepEqual(
    events.map(({ name, time }) => [name, time]),
    [
      ['kvm:kvm_entry', 0],
      ['kvm:kvm_entry', 100],
      ['kvm:kvm_later', 200],
    ],
  );
});

test("the bytes of LTTng's kvm_mmio are the kernel's number", async () => {
  const mmio = `event { name = "kvm_mmio"; id = 0; stream_id = 0; fields := struct {
    uint32_t _type; uint32_t _len; uint64_t _gpa; uint32_t __val_length;
    integer { size = 8; align = 8; signed = 0; base = 16; } _val[ __val_length ];
  }; };`;
  const bytes = [0x78, 0x56, 0x34, 0xf2];
  const path = ctfFolder({
    metadata: lttngMetadata({ events: mmio }),
    a_0: lttngPacket({
      cpu: 0,
      begin: 1,
      end: 1,
      events: [
        { id: 0, time: 1, fields: (out) => void out.int(2, 32).int(4, 32).int(0xfee000b0, 64).int(4, 32).bytes(bytes) },
      ],
    }),
  });
  const { events } = await read(path);
  assert.deepEqual(
    events.map(({ name, text }) => [name, text]),
    [['kvm:kvm_mmio', 'type=2 len=4 gpa=4276093104 val=0xf2345678']],
  );
});

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { jsonMetadata, jsonStream, tsdlMetadata, tsdlStream } from '../ctf-types.ts';
import { type BitWriter, inPackets, lttngMetadata, lttngPacket } from '../ctf-writer.ts';
import { perfFile, sampleRecord } from '../perf-writer.ts';
import { perfettoTrace } from '../perfetto-writer.ts';
import { Bytes, headerPage, page, type TraceDatSpec, traceDatV6, traceDatV7 } from '../trace-dat.ts';

const data = join(import.meta.dirname, '..', 'data');
const file = (name: string): Buffer => readFileSync(join(data, name));

/** A recording: the bytes of its file, or of each file of its folder by name. */
export type Recording = Uint8Array | ReadonlyMap<string, Uint8Array>;

/** A recording to begin from. */
export type Seed = {
  recording: Recording;
  /** Undamaged: a copy of it that is cut short must answer a beginning of what it answers. */
  sound: boolean;
};

/** Writes a recording to a path, in the place of what is there. */
export function lay(path: string, recording: Recording): void {
  rmSync(path, { recursive: true, force: true });
  if (recording instanceof Uint8Array) {
    writeFileSync(path, recording);
    return;
  }
  for (const [name, bytes] of recording) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
}

/** Small files that cost much, as they may: they are rarely tried. */
const costly = new Set(['attributes.data', 'ids.data', 'instances.dat', 'names.dat', 'nested.gz']);
/** Bytes of those that are tried most. */
const mostOfSmall = 9 << 10;

/** Small recordings of every format and of every way to write one, inputs made to do harm among them; and others, larger or costly. */
export function seeds(): { small: Seed[]; large: Seed[] } {
  const small: Seed[] = [];
  const large: Seed[] = [];
  const add = (recording: Recording, sound: boolean, name = '') => {
    const few = sizeOf(recording) > mostOfSmall || costly.has(name);
    (few ? large : small).push({ recording, sound });
  };
  for (const one of [...texts(), ...qemu(), ...traceDats(), ...perfs(), ...ctfs(), perfettoTrace()]) add(one, true);
  for (const folder of ['pasted', 'mutants', 'hostile']) {
    for (const name of readdirSync(join(data, folder))) {
      // Perf's are among the whole ones.
      if (!/^(plain|compressed|pipe)\.data$|\.md$/.test(name)) add(file(join(folder, name)), false, name);
    }
  }
  return { small, large };
}

export function sizeOf(recording: Recording): number {
  if (recording instanceof Uint8Array) return recording.length;
  return recording.values().reduce((sum, { length }) => sum + length, 0);
}

const functionGraph = `# tracer: function_graph
  360.774520 |   0)  CPU 0/K-751  |               |  /* kvm_entry: vcpu 0, rip 0x1000 */
  360.774522 |   0)  CPU 0/K-751  |               |  /* kvm_exit: vcpu 0 reason hlt rip 0x1000 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0 */
  360.774524 |   0)  CPU 0/K-751  |               |    svm_handle_exit [kvm_amd]() {
  360.774525 |   0)  CPU 0/K-751  |   0.701 us    |      kvm_rip_read();
  360.774627 |   0)  CPU 0/K-751  | ! 103.1 us    |    } /* svm_handle_exit [kvm_amd] */
  360.774630 |   0)  CPU 0/K-751  |               |  /* kvm_entry: vcpu 0, rip 0x1001 */
`;

/** Halts, port I/O and a switch of threads, in the words of ftrace, and QEMU's probes of a request and a lock. */
const ftrace = `# tracer: nop
#                                _-----=> irqs-off/BH-disabled
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
       CPU 0/KVM-751     [000] d.... 360.774520: kvm_entry: vcpu 0, rip 0xffffffff81000000
       CPU 0/KVM-751     [000] d.... 360.774530: kvm_exit: vcpu 0 reason io rip 0xffffffff81000002 info1 0x000000000c0330c8 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000
       CPU 0/KVM-751     [000] ..... 360.774531: kvm_pio: pio_write at 0xc050 size 2 count 1 val 0x0
  qemu-system-x86-740    [001] ..... 360.774540: virtio_queue_notify: (0x55d1) vdev=0x55d100 n=0 vq=0x7f10
  qemu-system-x86-740    [001] ..... 360.774541: qemu_mutex_lock: (0x55d1) mutex=0x55d0 file="../util/async.c" line=717
  qemu-system-x86-740    [001] ..... 360.774542: qemu_mutex_locked: (0x55d1) mutex=0x55d0 file="../util/async.c" line=717
  qemu-system-x86-740    [001] ..... 360.774543: virtqueue_pop: (0x55d1) vq=0x7f10 elem=0x7f20 in_num=1 out_num=2
  qemu-system-x86-740    [001] ..... 360.774544: virtio_blk_handle_read: (0x55d1) vdev=0x55d100 req=0x7f20 sector=8 nsectors=8
       CPU 0/KVM-751     [000] d.... 360.774550: sched_switch: prev_comm=CPU 0/KVM prev_pid=751 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120
  qemu-system-x86-740    [001] ..... 360.774560: virtqueue_fill: (0x55d1) vq=0x7f10 elem=0x7f20 len=4096 idx=0
  qemu-system-x86-740    [001] ..... 360.774561: virtio_notify: (0x55d1) vdev=0x55d100 vq=0x7f10
  qemu-system-x86-740    [001] ..... 360.774562: qemu_mutex_unlock: (0x55d1) mutex=0x55d0 file="../util/async.c" line=730
          <idle>-0       [000] d.... 360.774570: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=CPU 0/KVM next_pid=751 next_prio=120
       CPU 0/KVM-751     [000] d.... 360.774580: kvm_entry: vcpu 0, rip 0xffffffff81000004
       CPU 0/KVM-751     [000] d.... 360.774590: kvm_exit: vcpu 0 reason hlt rip 0xffffffff81000006 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0
       CPU 0/KVM-751     [000] d.... 360.774600: kvm_entry: vcpu 0, rip 0xffffffff81000008
`;

function texts(): Buffer[] {
  const part = (name: string, size: number) => {
    const whole = gunzipSync(file(name)).subarray(0, size);
    return whole.subarray(0, whole.lastIndexOf(0x0a) + 1);
  };
  return [
    Buffer.from(functionGraph),
    Buffer.from(ftrace),
    gzipSync(ftrace),
    zstdCompressSync(Buffer.from(ftrace)),
    part('ftrace-text/report-kernel.txt.gz', 3 << 10),
    part('ftrace-text/report-raw.txt.gz', 3 << 10),
    part('ftrace-text/report-latency.txt.gz', 3 << 10),
    part('ftrace-text/qemu-probes-and-markers.txt.gz', 6 << 10),
    part('ftrace-text/trace-overrun.txt.gz', 6 << 10),
    part('ftrace-text/trace-tsc.txt.gz', 3 << 10),
    part('perf-script/lost.txt.gz', 3 << 10),
    part('perf-script/process-and-thread.txt.gz', 3 << 10),
  ];
}

function qemu(): Buffer[] {
  const log = zstdDecompressSync(file('qemu-log/clean-cut.log.zst')).subarray(0, 8 << 10);
  const lines = log.subarray(0, log.lastIndexOf(0x0a) + 1);
  const bare = Buffer.from(
    lines
      .toString()
      .replace(/^\d+@[\d.]+:/gm, '')
      .slice(0, 2 << 10),
  );
  const iso = Buffer.from(lines.toString().replace(/^(\d+)@[\d.]+:/gm, '2026-01-02T03:04:05.678901Z '));
  const mutexes = zstdDecompressSync(file('scripts/mutex.bin.zst'));
  const simple = zstdDecompressSync(file('qemu/clean-cut.bin.zst'));
  return [
    lines,
    lines.subarray(0, 2 << 10),
    gzipSync(lines),
    zstdCompressSync(lines),
    bare.subarray(0, bare.lastIndexOf(0x0a) + 1),
    iso,
    simple.subarray(0, 8 << 10),
    simple.subarray(0, 3 << 10),
    mutexes.subarray(0, 6 << 10),
    zstdCompressSync(simple.subarray(0, 8 << 10)),
    gzipSync(simple.subarray(0, 8 << 10)),
  ];
}

type Field = readonly [declaration: string, size: number, signed?: 1];

/** Events as kernels describe them, fields in order from byte 8 on. */
const kernel: Record<string, { id: number; system: string; fields: readonly Field[]; print: string }> = {
  kvm_entry: {
    id: 11,
    system: 'kvm',
    fields: [
      ['unsigned int vcpu_id', 4],
      ['bool immediate_exit', 4],
      ['unsigned long rip', 8],
    ],
    print: '"vcpu %u, rip 0x%lx", REC->vcpu_id, REC->rip',
  },
  kvm_exit: {
    id: 10,
    system: 'kvm',
    fields: [
      ['unsigned int exit_reason', 4],
      ['u32 isa', 4],
      ['unsigned long guest_rip', 8],
      ['u64 info1', 8],
      ['u64 info2', 8],
      ['u32 intr_info', 4],
      ['u32 error_code', 4],
      ['unsigned int vcpu_id', 4],
    ],
    print:
      '"vcpu %u reason %s%s%s rip 0x%lx info1 0x%016llx", REC->vcpu_id, (REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 12, "HLT" }, { 30, "IO_INSTRUCTION" }) : __print_symbolic(REC->exit_reason, { 0x078, "hlt" }, { 0x07b, "io" }), (REC->isa == 1 && REC->exit_reason & ~0xffff) ? " " : "", "", REC->guest_rip, REC->info1',
  },
  sched_switch: {
    id: 12,
    system: 'sched',
    fields: [
      ['char prev_comm[16]', 16],
      ['pid_t prev_pid', 4, 1],
      ['int prev_prio', 4, 1],
      ['long prev_state', 8, 1],
      ['char next_comm[16]', 16],
      ['pid_t next_pid', 4, 1],
      ['int next_prio', 4, 1],
    ],
    print:
      '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s ==> next_comm=%s next_pid=%d next_prio=%d", REC->prev_comm, REC->prev_pid, REC->prev_prio, __print_flags(REC->prev_state, "|", { 0x1, "S" }, { 0x2, "D" }), REC->next_comm, REC->next_pid, REC->next_prio',
  },
  virtqueue_pop: {
    id: 13,
    system: 'qemu',
    fields: [
      ['unsigned long __probe_ip', 8],
      ['u64 vq', 8],
      ['u64 elem', 8],
      ['u32 in_num', 4],
      ['u32 out_num', 4],
    ],
    print: '"(%lx) vq=0x%Lx elem=0x%Lx", REC->__probe_ip, REC->vq, REC->elem',
  },
  virtqueue_fill: {
    id: 14,
    system: 'qemu',
    fields: [
      ['unsigned long __probe_ip', 8],
      ['u64 vq', 8],
      ['u64 elem', 8],
      ['u32 len', 4],
      ['u32 idx', 4],
    ],
    print: '"(%lx) vq=0x%Lx elem=0x%Lx", REC->__probe_ip, REC->vq, REC->elem',
  },
};

type Happening = { event: string; tid: number; at: number; values: readonly (number | bigint | string)[] };

/** What happens in them, at µs. */
const happenings: readonly Happening[] = [
  { event: 'kvm_entry', tid: 751, at: 1, values: [0, 0, 0x1000n] },
  { event: 'kvm_exit', tid: 751, at: 5, values: [0x7b, 2, 0x1002n, 0xc0330c8n, 0n, 0, 0, 0] },
  { event: 'virtqueue_pop', tid: 740, at: 6, values: [0x55d1n, 0x7f10n, 0x7f20n, 1, 2] },
  { event: 'kvm_entry', tid: 751, at: 9, values: [0, 0, 0x1004n] },
  { event: 'kvm_exit', tid: 751, at: 12, values: [0x78, 2, 0x1006n, 0n, 0n, 0, 0, 0] },
  { event: 'sched_switch', tid: 751, at: 13, values: ['CPU 0/KVM', 751, 120, 1n, 'swapper/0', 0, 120] },
  { event: 'virtqueue_fill', tid: 740, at: 20, values: [0x55d1n, 0x7f10n, 0x7f20n, 4096, 0] },
  { event: 'sched_switch', tid: 0, at: 40, values: ['swapper/0', 0, 120, 0n, 'CPU 0/KVM', 751, 120] },
  { event: 'kvm_entry', tid: 751, at: 44, values: [0, 0, 0x1008n] },
  { event: 'kvm_exit', tid: 751, at: 60, values: [12, 1, 0x100an, 0n, 0n, 0x80000030, 0, 0] },
];

function traceDats(): Recording[] {
  const formats = (name: string): string => {
    const { id, fields, print } = kernel[name] as (typeof kernel)[string];
    let offset = 8;
    const lines = fields.map(([declaration, size, signed = 0]) => {
      const line = `\tfield:${declaration};\toffset:${offset};\tsize:${size};\tsigned:${signed};`;
      offset += size;
      return line;
    });
    const common = [
      ['unsigned short common_type', 0, 2, 0],
      ['unsigned char common_flags', 2, 1, 0],
      ['unsigned char common_preempt_count', 3, 1, 0],
      ['int common_pid', 4, 4, 1],
    ].map(
      ([declaration, at, size, signed]) => `\tfield:${declaration};\toffset:${at};\tsize:${size};\tsigned:${signed};`,
    );
    return `name: ${name}\nID: ${id}\nformat:\n${common.join('\n')}\n\n${lines.join('\n')}\n\nprint fmt: ${print}\n`;
  };
  const payload = ({ event, tid, values }: Happening, little: boolean): Buffer => {
    const { id, fields } = kernel[event] as (typeof kernel)[string];
    const out = new Bytes(little).u16(id).u8(0).u8(0).u32(tid);
    for (const [n, value] of values.entries()) {
      const size = fields[n]?.[1] ?? 4;
      if (typeof value === 'string') out.raw(Buffer.concat([Buffer.from(value), Buffer.alloc(size)]).subarray(0, size));
      else if (size === 8) out.u64(value);
      else out.u32(Number(value));
    }
    return out.done();
  };
  const pages = (little: boolean, pageSize: number, tids: (tid: number) => boolean) => {
    let last = 0;
    const entries = happenings
      .filter(({ tid }) => tids(tid))
      .map((one) => {
        const delta = (one.at - last) * 1000;
        last = one.at;
        return { delta, data: payload(one, little) };
      });
    return [
      page(7_000_000_000n, entries.slice(0, 4), { little, pageSize }),
      page(
        7_000_000_000n + BigInt(last) * 1000n,
        entries.slice(4).map((one) => ({ ...one, delta: 900 })),
        { little, pageSize, missed: 3 },
      ),
    ];
  };
  const spec = (more: Partial<TraceDatSpec> = {}): TraceDatSpec => {
    const { little = true, pageSize = 1024 } = more;
    const systems = ['kvm', 'sched', 'qemu'].map((name) => ({
      name,
      formats: Object.keys(kernel)
        .filter((event) => kernel[event]?.system === name)
        .map(formats),
    }));
    return {
      systems,
      cmdlines: '740 qemu-system-x86\n751 CPU 0/KVM\n',
      buffers: [
        {
          name: '',
          clock: 'mono',
          cpus: [pages(little, pageSize, (tid) => tid !== 740), pages(little, pageSize, (tid) => tid === 740)],
        },
      ],
      pageSize,
      ...more,
    };
  };
  return [
    traceDatV6(spec()),
    traceDatV6(spec({ little: false })),
    traceDatV7(spec()),
    traceDatV7(spec({ codec: 'zlib' })),
    traceDatV7(spec({ codec: 'zstd' })),
    traceDatV7(spec({ codec: 'zstd', pageSize: 4096, chunk: 1 })),
    new Map([
      ...Object.keys(kernel).map((name): [string, Uint8Array] => [
        `events/${kernel[name]?.system}/${name}/format`,
        Buffer.from(formats(name)),
      ]),
      ['events/header_page', Buffer.from(headerPage(8, 4096))],
      ...spec({ pageSize: 4096 }).buffers.flatMap(({ cpus }) =>
        cpus.map((all, cpu): [string, Uint8Array] => [`per_cpu/cpu${cpu}/trace_pipe_raw`, Buffer.concat(all)]),
      ),
    ]),
    Buffer.concat(pages(true, 4096, () => true)),
    zstdCompressSync(traceDatV7(spec())),
    gzipSync(traceDatV6(spec())),
    file('trace-dat/usdt-v7.dat'),
    file('trace-dat/lost-v7.dat'),
    zstdDecompressSync(file('trace-dat/lost-v6.dat.zst')),
  ];
}

function perfs(): Recording[] {
  const perf = (little: boolean, threads?: number, parts = happenings) => {
    const names = Object.keys(kernel);
    const events = names.map((name, n) => {
      const { id, system, fields } = kernel[name] as (typeof kernel)[string];
      return {
        system,
        name,
        id,
        perfId: BigInt(n + 1),
        fields: fields.map(([declaration, size, signed]) => ({ declaration, size, signed: signed === 1 })),
      };
    });
    const samples = parts.map(({ event, tid, at, values }) => {
      const { id, fields } = kernel[event] as (typeof kernel)[string];
      const words = values.flatMap((value, n): (number | bigint)[] => {
        const size = fields[n]?.[1] ?? 4;
        if (typeof value !== 'string') return [size === 8 ? BigInt(value) : value];
        const text = Buffer.concat([Buffer.from(value), Buffer.alloc(size)]);
        return [0, 4, 8, 12].map((place) => text.readUInt32LE(place));
      });
      return sampleRecord({
        little,
        id: BigInt(names.indexOf(event) + 1),
        pid: 740,
        tid,
        cpu: tid === 740 ? 1 : 0,
        time: 7_000_000_000n + BigInt(at) * 1000n,
        payload: [id, ...words],
      });
    });
    return { samples, file: (records: Buffer[]) => perfFile({ little, events, records, ...(threads && { threads }) }) };
  };
  const plain = perf(true);
  const big = perf(false);
  const folder = perf(true, 2);
  const begun = Buffer.from([82, 0, 0, 0, 0, 0, 8, 0]);
  return [
    plain.file(plain.samples),
    big.file(big.samples),
    zstdCompressSync(plain.file(plain.samples)),
    new Map([
      ['data', folder.file([begun])],
      ['data.0', Buffer.concat(folder.samples.slice(0, 6))],
      ['data.1', Buffer.concat(folder.samples.slice(6))],
    ]),
    file('mutants/plain.data'),
    file('mutants/compressed.data'),
    file('mutants/pipe.data'),
  ];
}

/** A kernel's CTF trace as LTTng writes it, its metadata as text and in packets; and traces with an event of every type. */
function ctfs(): Recording[] {
  const events = `
event { name = "kvm_x86_entry"; id = 0; stream_id = 0; fields := struct { uint32_t _vcpu_id; }; };
event { name = "kvm_x86_exit"; id = 1; stream_id = 0; fields := struct { uint32_t _exit_reason; uint64_t _guest_rip; uint32_t _isa; }; };
event { name = "lttng_text"; id = 31; stream_id = 0; fields := struct { string _text; uint8_t _n; uint64_t _list[_n]; }; };`;
  const metadata = lttngMetadata({ events, context: 'int32_t _tid; int32_t _pid;' });
  const fields = (id: number) => (out: BitWriter) => {
    out.int(5, 32).int(4, 32);
    if (id === 0) out.int(1, 32);
    else if (id === 1) out.int(12, 32).int(0x1000, 64).int(1, 32);
    else out.text('some text').int(2, 8).int(1, 64).int(2, 64);
  };
  const packets = (cpu: number) =>
    Buffer.concat(
      [0, 1, 2].map((sequence) =>
        lttngPacket({
          cpu,
          begin: sequence * 1000,
          end: sequence * 1000 + 900,
          sequence,
          discarded: sequence,
          padding: 20,
          events: [0, 1, 0, 31, 1, 0].map((id, n) => ({
            id,
            time: sequence * 1000 + 100 * n + cpu,
            fields: fields(id),
          })),
        }),
      ),
    );
  const streams: [string, Uint8Array][] = [
    ['channel_0', packets(0)],
    ['channel_1', packets(1)],
  ];
  const every = Buffer.concat(Array.from({ length: 5 }, () => tsdlStream(true)));
  return [
    new Map([['metadata', Buffer.from(metadata)], ...streams]),
    new Map([['metadata', inPackets(metadata)], ...streams]),
    new Map<string, Uint8Array>([
      ['metadata', Buffer.from(tsdlMetadata(true))],
      ['stream', every],
    ]),
    new Map<string, Uint8Array>([
      ['metadata', Buffer.from(jsonMetadata(true))],
      ['stream', jsonStream(true)],
    ]),
  ];
}

/** A file as its contents and how they are packed, so that mutants can be of what is inside. */
export function unpacked(bytes: Uint8Array): { inside: Uint8Array; pack: (inside: Uint8Array) => Uint8Array } {
  const limit = { maxOutputLength: 1 << 20 };
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return { inside: gunzipSync(bytes, limit), pack: gzipSync };
    if (bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd)
      return { inside: zstdDecompressSync(bytes, limit), pack: zstdCompressSync };
  } catch {
    // It is mutated as it is.
  }
  return { inside: bytes, pack: (inside) => inside };
}

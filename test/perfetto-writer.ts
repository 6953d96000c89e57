import { ProtobufWriter } from '../src/report/protobuf.ts';

type Write = (w: ProtobufWriter) => void;
export const start = 7_000_000_000_000n;

/** A FtraceEvent: its time in ns from the start, its thread, and its message. */
export function event(w: ProtobufWriter, ns: number, tid: number, number: number, message: Write): void {
  w.message(2, (e) =>
    e
      .uint(1, start + BigInt(ns))
      .uint(2, tid)
      .message(number, message),
  );
}

/** A Trace of bundles of ftrace events, each of a CPU. */
export function bundle(cpu: number, write: Write): Uint8Array {
  const out = new ProtobufWriter();
  out.message(1, (p) => p.message(1, (b) => write(b.uint(1, cpu))).uint(10, 1));
  return out.bytes();
}

export const minusOne = 0xffff_ffff_ffff_ffffn;
export const entry = (w: ProtobufWriter, ns: number, tid: number) =>
  event(w, ns, tid, 376, (m) => m.uint(1, 0xffff_8000_1000_0000n));
const exit = (w: ProtobufWriter, ns: number, tid: number, ec: number) =>
  event(w, ns, tid, 377, (m) => m.uint(1, ec).uint(2, 2).uint(3, 0xffff_8000_1000_0004n));
export const switched = (w: ProtobufWriter, ns: number, [from, prev]: [string, number], [to, next]: [string, number]) =>
  event(w, ns, prev, 4, (m) =>
    m.string(1, from).uint(2, prev).uint(3, 120).uint(4, 1).string(5, to).uint(6, next).uint(7, 120),
  );
const generic = (m: ProtobufWriter, name: string, fields: [string, number, string | bigint][]) => {
  m.string(1, name);
  for (const [field, kind, value] of fields)
    m.message(2, (f) =>
      typeof value === 'string' ? f.string(1, field).string(kind, value) : f.string(1, field).uint(kind, value),
    );
};

/** Two CPUs, drained in turn; a vCPU's exits, a switch, pKVM's events, and one whose message Perfetto does not know. */
export function perfettoTrace(): Uint8Array {
  return Buffer.concat([
    bundle(1, (w) => {
      event(w, 9000, 0, 476, () => {});
      event(w, 9100, 0, 478, (m) => m.uint(1, 3).uint(2, 0));
      event(w, 9200, 0, 477, () => {});
    }),
    bundle(0, (w) => {
      entry(w, 1000, 42);
      exit(w, 2000, 42, 0x24);
      event(w, 2500, 42, 384, (m) => m.uint(1, 0x900_0000n).uint(2, 4).uint(3, 1).uint(4, minusOne));
      entry(w, 3000, 42);
      exit(w, 4000, 42, 1);
      event(w, 4500, 42, 327, (m) =>
        generic(m, 'kvm_halt_poll_ns', [
          ['grow', 5, 1n],
          ['new', 4, minusOne],
          ['name', 3, 'halt'],
        ]),
      );
      switched(w, 5000, ['CPU 0/KVM', 42], ['swapper/0', 0]);
    }),
    bundle(1, (w) => {
      switched(w, 11_500, ['swapper/1', 0], ['CPU 0/KVM', 42]);
      entry(w, 12_000, 42);
    }),
    bundle(0, (w) => event(w, 20_000, 0, 477, () => {})),
  ]);
}

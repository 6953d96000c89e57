import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

import { perfettoTrace } from '../perfetto-writer.ts';

const data = join(import.meta.dirname, '..', 'data');
const file = (name: string): Buffer => readFileSync(join(data, name));
const log = (): Buffer => zstdDecompressSync(file('qemu-log/clean-cut.log.zst')).subarray(0, 8 << 10);

/** An input to begin from. */
export type Seed = {
  bytes: Buffer;
  /** Undefined where it is damaged from the start; otherwise a cut copy must answer a beginning of what it answers. */
  sound: boolean;
};

const functionGraph = `# tracer: function_graph
  360.774520 |   0)  CPU 0/K-751  |               |  /* kvm_entry: vcpu 0, rip 0x1000 */
  360.774522 |   0)  CPU 0/K-751  |               |  /* kvm_exit: vcpu 0 reason hlt rip 0x1000 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0 */
  360.774524 |   0)  CPU 0/K-751  |               |    svm_handle_exit [kvm_amd]() {
  360.774525 |   0)  CPU 0/K-751  |   0.701 us    |      kvm_rip_read();
  360.774627 |   0)  CPU 0/K-751  | ! 103.1 us    |    } /* svm_handle_exit [kvm_amd] */
  360.774630 |   0)  CPU 0/K-751  |               |  /* kvm_entry: vcpu 0, rip 0x1001 */
`;

/** Small recordings of every format, and inputs made to do harm. */
export function seeds(): Seed[] {
  const sound: Buffer[] = [
    zstdDecompressSync(file('qemu/clean-cut.bin.zst')).subarray(0, 8 << 10),
    log(),
    gzipSync(log()),
    zstdCompressSync(log()),
    zstdDecompressSync(file('trace-dat/lost-v6.dat.zst')),
    file('trace-dat/lost-v7.dat'),
    file('trace-dat/usdt-v7.dat'),
    file('mutants/plain.data'),
    file('mutants/compressed.data'),
    file('mutants/pipe.data'),
    gunzipSync(file('ftrace-text/report-kernel.txt.gz')).subarray(0, 6 << 10),
    gunzipSync(file('ftrace-text/qemu-probes-and-markers.txt.gz')).subarray(0, 6 << 10),
    gunzipSync(file('ftrace-text/trace-overrun.txt.gz')).subarray(0, 6 << 10),
    gunzipSync(file('perf-script/lost.txt.gz')).subarray(0, 6 << 10),
    Buffer.from(perfettoTrace()),
    Buffer.from(functionGraph),
  ];
  const hostile = readdirSync(join(data, 'mutants')).filter((name) => !/^(plain|compressed|pipe)\.data$/.test(name));
  return [
    ...sound.map((bytes) => ({ bytes, sound: true })),
    ...hostile.map((name) => ({ bytes: file(join('mutants', name)), sound: false })),
  ];
}

/** A seed as its contents and how they are packed, so that mutants can be of what is inside. */
export function unpacked(bytes: Buffer): { inside: Buffer; pack: (inside: Buffer) => Buffer } {
  const limit = { maxOutputLength: 1 << 20 };
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return { inside: gunzipSync(bytes, limit), pack: gzipSync };
    if (bytes.length > 4 && bytes.readUInt32LE(0) === 0xfd2fb528)
      return { inside: zstdDecompressSync(bytes, limit), pack: zstdCompressSync };
  } catch {
    // It is mutated as it is.
  }
  return { inside: bytes, pack: (inside) => inside };
}

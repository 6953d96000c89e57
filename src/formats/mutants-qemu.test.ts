import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { endWell, file } from '../../test/mutants.ts';

const cutLog = () => zstdDecompressSync(file('qemu-log/clean-cut.log.zst')).subarray(0, 8 << 10);

endWell({
  'simpletrace v4': () => zstdDecompressSync(file('qemu/clean-cut.bin.zst')).subarray(0, 8 << 10),
  'simpletrace v3': () => withVersion(zstdDecompressSync(file('qemu/clean-cut.bin.zst')).subarray(0, 8 << 10), 3),
  'QEMU log': cutLog,
  'gzip of a QEMU log': () => gzipSync(cutLog()),
  'zstd of a QEMU log': () => zstdCompressSync(cutLog()),
});

/** A simpletrace file of an older version, as far as reading its header goes: the records need not make sense. */
function withVersion(bytes: Uint8Array, version: number): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeBigUInt64LE(BigInt(version), 16);
  return copy;
}

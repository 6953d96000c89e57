import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openTrace } from './detect.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-detect-'));
after(() => rmSync(folder, { recursive: true }));

/** A page of trace_pipe_raw: time stamp, how many bytes there are, and events of 16 bytes. */
function page(time: bigint, bytes: number): Buffer {
  const out = Buffer.alloc(4096);
  out.writeBigUInt64LE(time, 0);
  out.writeBigUInt64LE(BigInt(bytes), 8);
  for (let at = 16; at < 16 + bytes; at += 16) out.writeUInt32LE(3, at);
  return out;
}

test('raw pages of a ring buffer are named, with the way to make a trace.dat of them', async () => {
  const path = join(folder, 'cpu0.raw');
  const raw =
    /holds pages of a CPU's ring buffer \(per_cpu\/cpuN\/trace_pipe_raw\).*`trace-cmd restore -c -o head\.dat`/;
  writeFileSync(
    path,
    Buffer.concat([page(8_241_000_000_000n, 4064), page(8_241_000_500_000n, 4064), page(8_241_001_000_000n, 32)]),
  );
  await assert.rejects(openTrace(path), raw);
  // Pages out of order, or more bytes than a page has, are something else.
  writeFileSync(path, Buffer.concat([page(8_241_000_500_000n, 4064), page(8_241_000_000_000n, 4064)]));
  await assert.rejects(openTrace(path), /is a binary of an unknown kind/);
  writeFileSync(path, Buffer.concat([page(8_241_000_500_000n, 32), Buffer.alloc(4096, 0xff)]));
  await assert.rejects(openTrace(path), /is a binary of an unknown kind/);
});

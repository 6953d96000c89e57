import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Input } from './input.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
after(() => rmSync(folder, { recursive: true }));

async function bytesOf(stored: Uint8Array): Promise<Buffer> {
  const path = join(folder, `${Math.random()}`);
  writeFileSync(path, stored);
  const input = await Input.open(path);
  const parts: Uint8Array[] = [];
  try {
    for await (const chunk of input.chunks()) parts.push(chunk.slice());
  } finally {
    await input.close();
  }
  return Buffer.concat(parts);
}

/** Several megabytes that do not compress to nothing. */
const content = Buffer.from(
  Array.from({ length: 300_000 }, (_, n) => `line ${(n * 2654435761) % 4294967296}\n`).join(''),
);

for (const [name, pack] of [
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const) {
  test(`${name}: a file of one member, and one of several, gives all its bytes`, async () => {
    assert.ok(content.equals(await bytesOf(pack(content))));
    const cuts = [0, 1000, 1_500_000, content.length];
    const members = cuts.slice(1).map((end, n) => pack(content.subarray(cuts[n], end)));
    assert.ok(content.equals(await bytesOf(Buffer.concat(members))));
  });

  test(`${name}: a file cut in the middle says so, with the file's name`, async () => {
    const packed = pack(content);
    await assert.rejects(bytesOf(packed.subarray(0, packed.length >> 1)), new RegExp(`${name} data ends or breaks`));
  });
}

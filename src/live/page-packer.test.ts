import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readText } from '../../test/read-text.ts';
import { needs } from '../../test/tools.ts';
import { page, record, traceDatV6 } from '../../test/trace-dat.ts';
import { PagePacker } from './page-packer.ts';

/** What happens on one CPU: pages with so many events each, before some of which events were lost. */
const pages = fc.array(
  fc.record({
    events: fc.integer({ min: 0, max: 150 }),
    missed: fc.option(fc.oneof(fc.integer({ min: 1, max: 1e6 }), fc.constant('some' as const)), { nil: undefined }),
    gap: fc.bigInt({ min: 0n, max: 1n << 40n }),
  }),
  { maxLength: 20 },
);

/** The pages as the kernel would give them. */
function kernelPages(of: { events: number; missed: number | 'some' | undefined; gap: bigint }[]): Buffer[] {
  let time = 1n << 50n;
  let value = 0;
  return of.map(({ events, missed, gap }) => {
    time += gap;
    const entries = Array.from({ length: events }, (_, i) => ({
      delta: i === 0 ? 0 : 7,
      data: record(7, 42, value++),
    }));
    const bytes = page(time, entries, missed === undefined || events === 0 ? {} : { missed });
    time += 7n * BigInt(events);
    return bytes;
  });
}

/** The pages as they stand in a file, written a few at a time. */
function packed(kernel: Buffer[]): Buffer[] {
  const packer = new PagePacker(4096, 4);
  const out: Buffer[] = [];
  let full = 0;
  const write = () => {
    const bytes = Buffer.from(packer.pages());
    out.length = full;
    for (let at = 0; at < bytes.length; at += 4096) out.push(bytes.subarray(at, at + 4096));
    full += packer.fullSize / 4096;
    packer.dropFull();
  };
  kernel.forEach((one, n) => {
    packer.add(one);
    if (packer.isFull || n % 3 === 0) write();
  });
  write();
  return out;
}

test('events, times and losses are the same in packed pages, which are fewer', async () => {
  await fc.assert(
    fc.asyncProperty(pages, async (of) => {
      const kernel = kernelPages(of);
      const result = packed(kernel);
      assert.ok(result.length <= kernel.length);
      // Times would count from an empty page, if it were the first.
      const filled = kernel.filter((_, n) => (of[n]?.events ?? 0) > 0);
      const plain = await readText(traceDatV6({ buffers: [{ name: '', clock: 'mono', cpus: [filled] }] }));
      const dense = await readText(traceDatV6({ buffers: [{ name: '', clock: 'mono', cpus: [result] }] }));
      assert.deepEqual(dense.events, plain.events);
      assert.deepEqual(dense.losses, plain.losses);
      assert.equal(dense.trace.damage, undefined);
    }),
    { numRuns: 50 },
  );
});

test('pages that are nearly empty go into one, which trace-cmd reads as virtap does', needs('trace-cmd'), async () => {
  const kernel = kernelPages(Array.from({ length: 40 }, () => ({ events: 2, missed: undefined, gap: 123_456_789n })));
  const result = packed(kernel);
  assert.equal(result.length, 1);
  const folder = mkdtempSync(join(tmpdir(), 'virtap-packer-'));
  try {
    const file = join(folder, 'trace.dat');
    writeFileSync(file, traceDatV6({ buffers: [{ name: '', clock: 'mono', cpus: [result] }] }));
    const { stdout } = spawnSync('trace-cmd', ['report', '-t', file], { encoding: 'utf8' });
    const theirs = [...stdout.matchAll(/(\d+)\.(\d{9}): one: +value=(\w+)/g)].map(([, s, ns, value]) => [
      BigInt(`${s}${ns}`),
      Number(value),
    ]);
    const { trace, events } = await readText({ file });
    assert.equal(events.length, 80);
    assert.deepEqual(
      theirs,
      events.map((event) => [trace.origin + BigInt(event.time), Number(event.fields.value)]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTrace } from '../src/formats/detect.ts';
import { generate, kinds } from './generate.ts';

for (const kind of kinds) {
  test(`a generated ${kind} holds as many events as were written, in time order, and no losses`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
    try {
      const file = join(folder, kind);
      const written = await generate(kind, 50_000, file);
      const trace = await openTrace(file);
      let count = 0;
      let last = Number.NEGATIVE_INFINITY;
      for await (const batch of trace.batches()) {
        assert.deepEqual(batch.losses, []);
        assert.ok((batch.time[0] as number) >= last);
        count += batch.count;
        last = batch.time[batch.count - 1] as number;
      }
      assert.equal(trace.damage, undefined);
      assert.ok(written >= 50_000);
      assert.equal(count, written);
      await trace.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

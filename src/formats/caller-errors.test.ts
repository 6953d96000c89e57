import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { jsonMetadata, jsonStream, tsdlMetadata, tsdlStream } from '../../test/ctf-types.ts';
import { ctfFolder } from '../../test/ctf-writer.ts';
import { perfFile, sampleRecord } from '../../test/perf-writer.ts';
import { perfettoTrace } from '../../test/perfetto-writer.ts';
import { openTrace } from './detect.ts';
import { asTraceError } from './input.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-callers-'));
after(() => rmSync(folder, { recursive: true }));
const data = (name: string) => join(import.meta.dirname, '../../test/data', name);

/** A recording of every format and of every way to read one. */
const recordings = {
  'simpletrace, compressed': data('qemu/clean-cut.bin.zst'),
  'QEMU log': data('qemu-log/clean-cut.log.zst'),
  'trace.dat v6': data('trace-dat/lost-v6.dat.zst'),
  'trace.dat v7': data('trace-dat/lost-v7.dat'),
  'perf.data': data('mutants/plain.data'),
  'perf.data -z': data('mutants/compressed.data'),
  'perf.data from a pipe': data('mutants/pipe.data'),
  'ftrace text': data('ftrace-text/report-kernel.txt.gz'),
  'perf script text': data('perf-script/default.txt.gz'),
  'kernel text without times': data('pasted/no-times.txt'),
  'function graph': made(
    'graph.txt',
    '  360.774520 |   0)  CPU 0/K-751  |               |  /* kvm_entry: vcpu 0, rip 0x1000 */\n',
  ),
  Perfetto: made('trace.pftrace', perfettoTrace()),
  'CTF 1.8': ctfFolder({ metadata: tsdlMetadata(true), stream: tsdlStream(true) }),
  'CTF 2': ctfFolder({ metadata: jsonMetadata(true), stream: jsonStream(true) }),
  'a folder of perf record --threads': perfFolder(),
  'raw pages of a ring buffer': data('raw-pages/4k'),
};

/** A file with these bytes. */
function made(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

function perfFolder(): string {
  const path = join(folder, 'threads');
  mkdirSync(path);
  const events = [{ system: 'kvm', name: 'kvm_entry', id: 7, perfId: 1n, fields: [] }];
  // PERF_RECORD_FINISHED_INIT
  const begun = Buffer.from([82, 0, 0, 0, 0, 0, 8, 0]);
  const sample = { little: true, id: 1n, pid: 1, tid: 1, cpu: 0, time: 5n, payload: [7] };
  writeFileSync(join(path, 'data'), perfFile({ little: true, events, records: [begun], threads: 1 }));
  writeFileSync(join(path, 'data.0'), sampleRecord(sample));
  return path;
}

for (const [name, file] of Object.entries(recordings)) {
  test(`${name}: an error of the caller's own choice of events is his, and no damage of the file`, async () => {
    const bug = new TypeError("Cannot read properties of undefined (reading 'name')");
    const trace = await openTrace(file);
    await assert.rejects(
      async () => {
        for await (const _ of trace.batches(() => {
          throw bug;
        }));
      },
      (error) => error === bug,
    );
    assert.equal(trace.damage, undefined);
    await trace.close();
  });
}

test('with a second thread, too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-'));
  const file = join(folder, 'perf.data');
  writeFileSync(file, zstdDecompressSync(readFileSync(data('exits/idle.perf.data.zst'))));
  const bug = new RangeError('Invalid array length');
  const trace = await openTrace(file, { threads: 2 });
  await assert.rejects(
    async () => {
      for await (const _ of trace.batches(() => {
        throw bug;
      }));
    },
    (error) => error === bug,
  );
  await trace.close();
  rmSync(folder, { recursive: true });
});

test('only what the operating system or a decompressor says is an error of the input', () => {
  const missing = Object.assign(new Error("ENOENT: no such file or directory, open 'x'"), {
    errno: -2,
    code: 'ENOENT',
  });
  assert.equal(asTraceError('x', missing).message, 'x: no such file');
  const packed = Object.assign(new Error('incorrect data check'), { errno: -3, code: 'Z_DATA_ERROR' });
  assert.equal(asTraceError('x', packed).message, 'x: incorrect data check');
  for (const bug of [
    new TypeError('x is not a function'),
    new RangeError('Offset is outside the bounds of the DataView'),
    'text',
  ]) {
    assert.throws(
      () => asTraceError('x', bug),
      (error) => error === bug,
    );
  }
});

import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { finishRecording, RecordingFile, type RecordingState } from './recording-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-file-'));
after(() => rmSync(folder, { recursive: true }));

const pageSize = 4096;
const trailer = { comms: new Map([[42, 'a thread']]), stats: [] };

/** A recording of three CPUs in parts, with so many pages each; each page holds its own number. */
function recorded(name: string, pages: number[]): RecordingState {
  const file = join(folder, name);
  const header = Buffer.from('the header');
  const state = {
    file,
    part: `${file}.part`,
    headerSize: header.length,
    pageSize,
    cpus: pages.length,
    clock: '[mono]',
    version: 'virtap',
  };
  const recording = new RecordingFile(state, header);
  pages.forEach((count, cpu) => {
    for (let n = 0; n < count; n++) recording.write(cpu, Buffer.alloc(pageSize, cpu * 100 + n), pageSize);
  });
  recording.close();
  return state;
}

function contents(state: RecordingState, { offsets, sizes }: { offsets: number[]; sizes: number[] }): number[][] {
  const bytes = readFileSync(state.file);
  assert.equal(bytes.subarray(0, state.headerSize).toString(), 'the header');
  return offsets.map((offset, cpu) => {
    const pages = bytes.subarray(offset, offset + (sizes[cpu] as number));
    return Array.from({ length: pages.length / pageSize }, (_, n) => pages[n * pageSize] as number);
  });
}

test('a recording and its parts are for their owner alone, whatever the umask', () => {
  for (const umask of [0, 0o277]) {
    const before = process.umask(umask);
    try {
      const state = recorded(`private-${umask}.dat`, [1, 1]);
      const mode = (path: string) => statSync(path).mode & 0o777;
      const parts = [state.part, `${state.part}.cpu0`, `${state.part}.cpu1`];
      assert.deepEqual(parts.map(mode), [0o600, 0o600, 0o600]);
      finishRecording(state, trailer, () => {});
      assert.equal(mode(state.file), 0o600);
    } finally {
      process.umask(before);
    }
  }
});

test('wherever it was interrupted, moving the pages goes on from there', () => {
  const counts = [70, 0, 130];
  const expected = counts.map((count, cpu) => Array.from({ length: count }, (_, n) => (cpu * 100 + n) & 0xff));
  for (const left of [130, 129, 100, 64, 1, 0]) {
    const state = recorded(`moved-${left}.dat`, counts);
    let noted: RecordingState | undefined;
    // The end comes right after where the pages go was written down.
    assert.throws(() =>
      finishRecording(state, trailer, (one) => {
        noted = one;
        throw new Error('the end');
      }),
    );
    const { moving } = noted as RecordingState;
    assert.ok(moving !== undefined);
    assert.deepEqual(
      moving.sizes,
      counts.map((count) => count * pageSize),
    );
    // Or after some of the last CPU's pages were moved.
    const part = `${state.part}.cpu2`;
    const bytes = readFileSync(part);
    const target = openSync(state.part, 'r+');
    writeSync(
      target,
      bytes,
      left * pageSize,
      bytes.length - left * pageSize,
      (moving.offsets[2] as number) + left * pageSize,
    );
    truncateSync(part, left * pageSize);
    finishRecording(noted as RecordingState, trailer, () => {});
    assert.deepEqual(contents(state, moving), expected);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith(`moved-${left}.dat.`)),
      [],
    );
  }
});

test('a page that was cut is left out, and nothing that is in the way is written over', () => {
  const state = recorded('cut.dat', [3]);
  truncateSync(`${state.part}.cpu0`, 2 * pageSize + 100);
  let moving: RecordingState['moving'];
  finishRecording(state, trailer, (one) => {
    moving = one.moving;
  });
  assert.deepEqual(contents(state, moving as NonNullable<typeof moving>), [[0, 1]]);
  copyFileSync(state.file, `${state.file}.part`);
  const size = statSync(`${state.file}.part`).size;
  assert.throws(() => recorded('cut.dat', [1]), /cannot write .*cut\.dat: a part of another recording is in its way/);
  assert.equal(statSync(`${state.file}.part`).size, size);
});

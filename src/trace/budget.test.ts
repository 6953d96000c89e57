import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/* Small files that ask for much: each is answered, or refused in a sentence, in 300 MB and in time. */

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'virtap-budget-'));
after(() => rmSync(folder, { recursive: true }));

const mutant = (name: string) => join(root, 'test/data/mutants', name);

/** A file of these bytes. */
function made(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** `virtap events` on a file, with how much memory it needed (KiB). */
function events(path: string, options: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const report = join(folder, 'memory.cjs');
  const most = join(folder, 'most');
  writeFileSync(
    report,
    `process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(most)}, String(process.resourceUsage().maxRSS)));`,
  );
  const args = ['-r', report, join(root, 'src/cli/main.ts'), 'events', path, ...options];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000, env: { ...process.env, ...env } });
  return { ...run, memory: Number(readFileSync(most, 'utf8')) };
}

/** One event, then a line that never ends. */
function longLine(bytes: number): Uint8Array {
  const event = '1@1700000000.000000:virtqueue_pop vq 0x1 elem 0x2 in_num 1 out_num 1\n';
  return Buffer.concat([Buffer.from(event), Buffer.alloc(bytes, 'A')]);
}

const cases: Record<string, { path: () => string; says: RegExp }> = {
  'a section that unfolds to 267 MB': {
    path: () => mutant('names.dat'),
    says: /byte 1071: a section of 267386880 bytes; expected at most 37 MiB/,
  },
  'one event id a byte': {
    path: () => mutant('ids.data'),
    says: /small parts that unfold to more than \d+ MiB; expected less, or a larger --max-memory/,
  },
  '800 buffers with the same data': { path: () => mutant('instances.dat'), says: /expected 1 more bytes of CPU 0/ },
  'a line of 100 MB': {
    path: () => made('line.log.zst', zstdCompressSync(longLine(100 << 20))),
    says: /byte 69: a line of more than \d+ bytes; expected lines of text/,
  },
};

for (const [name, { path, says }] of Object.entries(cases)) {
  test(`${name}: a sentence, in 300 MB`, () => {
    const { stdout, stderr, memory, signal } = events(path());
    assert.equal(signal, null);
    assert.match(stdout.replace(/\s+/g, ' ') + stderr, says);
    assert.doesNotMatch(stderr, /\n\s+at /);
    assert.ok(memory < 300 << 10, `${memory} KiB`);
  });
}

test('what was read until a limit is answered', () => {
  const { stdout, status } = events(made('line.log.zst', zstdCompressSync(longLine(100 << 20))));
  assert.equal(status, 0);
  assert.match(stdout, /qemu:virtqueue_pop +1\n/);
});

test('attributes between samples take time in proportion to their number', () => {
  const { stdout, status } = events(mutant('attributes.data'));
  assert.equal(status, 0);
  assert.match(stdout, /events +40,960 of /);
});

test('--max-memory lets a trusted file have more', () => {
  const path = made('line.log.zst', zstdCompressSync(longLine(30 << 20)));
  assert.match(events(path).stdout, /a line of more than/);
  assert.doesNotMatch(events(path, ['--max-memory', '1G']).stdout, /a line of more than/);
  assert.match(events(path, ['--max-memory', '1']).stderr, /Expected a size with a unit, 100M or more/);
});

test('a temporary folder that is not there is said, not thrown', () => {
  const whole = zstdDecompressSync(readFileSync(join(root, 'test/data/trace-dat/lost-v6.dat.zst')));
  const { stderr, status } = events(made('packed.dat.zst', zstdCompressSync(whole)), [], {
    TMPDIR: join(folder, 'gone'),
  });
  assert.equal(status, 2);
  assert.match(stderr, /packed\.dat\.zst: has to be unpacked to a temporary file first.*no such file.*TMPDIR/);
});

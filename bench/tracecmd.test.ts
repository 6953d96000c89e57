import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { needs } from '../test/tools.ts';

const root = join(import.meta.dirname, '..');

test("tracecmd.c finds the exits that virtap finds, with libtracecmd's API", needs("libtracecmd's headers"), () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
  try {
    const program = join(folder, 'tracecmd');
    const flags = spawnSync('pkg-config', ['--cflags', '--libs', 'libtracecmd'], { encoding: 'utf8' }).stdout.trim();
    const source = join(root, 'bench/tracecmd.c');
    const built = spawnSync('cc', ['-Wall', '-Werror', '-o', program, source, ...flags.split(/\s+/)], {
      encoding: 'utf8',
    });
    assert.deepEqual([built.status, built.stderr], [0, '']);
    const sample = join(root, 'samples/host-kvm.dat');
    const output = spawnSync(program, [sample], { encoding: 'utf8' }).stdout;
    const args = [join(root, 'src/cli/main.ts'), 'exits', '--json', sample];
    const { rows } = JSON.parse(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout) as {
      rows: { count: number; total_ns: number; min_ns: number; max_ns: number }[];
    };
    const found = rows.map(({ count, total_ns, min_ns, max_ns }) => `${count} ${total_ns} ${min_ns} ${max_ns}`);
    assert.deepEqual([...output.matchAll(/^exit \d+ (.*)$/gm)].map(([, row]) => row).sort(), found.sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
});

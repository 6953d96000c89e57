import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { needs } from '../../test/tools.ts';
import { buildProbes } from '../../test/usdt/build.ts';
import { readProbes } from './usdt.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-usdt-'));
after(() => rmSync(folder, { recursive: true }));

/** What binutils finds. */
function byReadelf(program: string): { provider: string; name: string; pc: number; args: string }[] {
  const text = execFileSync('readelf', ['-n', '-W', program], { encoding: 'utf8', maxBuffer: 64 << 20 });
  const pattern = /Provider: (\S*)\s+Name: (\S*)\s+Location: (0x[\da-f]+),.*\n\s+Arguments: ?(.*)/g;
  return [...text.matchAll(pattern)].map(([, provider = '', name = '', pc, args = '']) => ({
    provider,
    name,
    pc: Number(pc),
    args,
  }));
}

test('probes are those that readelf finds, at the bytes that are there', {
  ...needs('a C compiler', "SystemTap's headers", 'readelf'),
}, () => {
  const programs = [buildProbes(folder, '-O0'), buildProbes(folder, '-O2')];
  // A QEMU with the dtrace backend, where there is one.
  if (process.env.VIRTAP_QEMU !== undefined) programs.push(process.env.VIRTAP_QEMU);
  for (const program of programs) {
    const truth = byReadelf(program);
    assert.ok(truth.length >= 10);
    const probes = readProbes(program);
    assert.deepEqual(
      probes.map(({ provider, name, args }) => ({ provider, name, args })),
      truth.map(({ provider, name, args }) => ({ provider, name, args })),
    );
    const bytes = readFileSync(program);
    for (const probe of probes) {
      // A probe is a nop until somebody listens.
      assert.equal(bytes[probe.offset], 0x90, probe.name);
      assert.ok(probe.semaphore !== undefined);
    }
  }
});

test(
  'what is no program, or a damaged one, is an error and not a hang',
  needs('a C compiler', "SystemTap's headers"),
  () => {
    const file = join(folder, 'damaged');
    writeFileSync(file, 'no program');
    assert.throws(() => readProbes(file));
    const whole = readFileSync(buildProbes(folder));
    const from = whole.indexOf('stapsdt') - 16;
    for (let n = 0; n < 400; n++) {
      const bytes = Buffer.from(whole);
      // Headers and notes, byte by byte.
      const at = n < 64 ? n : from + ((n * 7) % 800);
      bytes[at] = 0xff;
      writeFileSync(file, bytes);
      try {
        for (const { offset } of readProbes(file)) assert.ok(offset >= 0);
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }
  },
);

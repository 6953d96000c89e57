import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const dat = join(root, 'samples/kvm-and-qemu.dat');
const log = join(root, 'samples/kvm-and-qemu.log.zst');

function virtap(args: string[], input?: Buffer): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    encoding: 'utf8',
    input,
    env: { ...process.env, NO_COLOR: '1', COLUMNS: '100', LANG: 'C.UTF-8' },
    maxBuffer: 64 << 20,
  });
}

/** What clock_gettime read on both clocks on the machine that recorded, right before and after the run; its readings were 5.5 µs apart. */
const truth = -1_795_418_437_072_120_231n;

test('--align auto finds the offset that the clocks were read to have, and says so in JSON and as a note', () => {
  const { stdout, status } = virtap(['vcpus', dat, log, '--align', 'auto', '--json']);
  assert.equal(status, 0);
  const { alignments, notes } = JSON.parse(stdout);
  assert.equal(alignments.length, 1);
  const [found] = alignments;
  assert.equal(found.file, log);
  assert.equal(found.drift_ppm, 0);
  const error = BigInt(found.offset_ns) - truth;
  assert.ok(Math.abs(Number(error)) <= found.within_ns, `${error} of ±${found.within_ns}`);
  assert.ok(found.within_ns < 10_000);
  assert.equal(found.agree, found.judged);
  assert.ok(found.stretches > 1000 && found.other_share < 0.8);
  assert.match(notes.join(), /put on the clock mono of .* by --align auto: -1795418437\.0721/);
});

test('a refusal offers --align auto in a short sentence', () => {
  const { stderr, status } = virtap(['exits', dat, log]);
  assert.equal(status, 2);
  assert.match(stderr, /`--align auto` finds out how far they are apart, `--offset` says it\n$/);
});

test('an --offset goes before what could be found out, and standard input cannot be read twice', () => {
  const given = virtap(['exits', dat, log, '--align', 'auto', '--offset', `${log}=${truth}`, '--json']);
  assert.equal(given.status, 0);
  assert.equal(JSON.parse(given.stdout).alignments, undefined);
  const piped = virtap(['exits', dat, '-', '--align', 'auto'], readFileSync(log));
  assert.equal(piped.status, 2);
  assert.match(piped.stderr, /--align auto reads the files twice, so none can be standard input or a pipe/);
});

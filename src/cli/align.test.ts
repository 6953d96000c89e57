import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const dat = join(root, 'samples/kvm-and-qemu.dat');
const log = join(root, 'samples/kvm-and-qemu.log.zst');

const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '100' } }, ...args);

/** What clock_gettime read on both clocks on the machine that recorded, right before and after the run; its readings were 5.5 µs apart. */
const truth = -1_795_418_437_072_120_231n;

test('--align auto finds the offset that the clocks were read to have, and says so in JSON and as a note', () => {
  const { stdout, status } = ask('vcpus', dat, log, '--align', 'auto', '--json');
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
  const { stderr, status } = ask('exits', dat, log);
  assert.equal(status, 2);
  assert.match(stderr, /`--align auto` finds out how far they are apart, `--offset` says it\n$/);
});

test('an --offset goes before what could be found out, and standard input cannot be read twice', () => {
  const given = ask('exits', dat, log, '--align', 'auto', '--offset', `${log}=${truth}`, '--json');
  assert.equal(given.status, 0);
  assert.equal(JSON.parse(given.stdout).alignments, undefined);
  const main = join(import.meta.dirname, 'main.ts');
  const line = [main, 'exits', dat, '-', '--align', 'auto'];
  const piped = spawnSync(process.execPath, line, { input: readFileSync(log), encoding: 'utf8' });
  assert.equal(piped.status, 2);
  assert.match(piped.stderr, /--align auto reads the files twice, so none can be standard input or a pipe/);
});

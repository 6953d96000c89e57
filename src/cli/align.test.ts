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

/**
 * A KVM host and a guest that was traced within it, each with trace-cmd -C x86-tsc: the host's entries, exits and offsets of the TSC, the guest's
 * interrupts and switches. `trace-cmd report -N` of the host has `kvm_write_tsc_offset: vcpu=0 … next=18446744053027472847`.
 */
const tscHost = join(root, 'test/data/trace-dat/tsc-host.dat.zst');
const tscGuest = join(root, 'test/data/trace-dat/tsc-guest.dat.zst');

/** How many of the guest's events lie between an entry and an exit of its only vCPU, and how many elsewhere. */
function places(files: readonly string[]): { inside: number; outside: number } {
  const { stdout } = ask('dump', ...files, '--align', 'auto');
  let inGuest = false;
  const count = { inside: 0, outside: 0 };
  for (const [, event] of stdout.matchAll(/^.*?\d: (\S+): /gm)) {
    if (event === 'kvm:kvm_entry') inGuest = true;
    else if (event === 'kvm:kvm_exit') inGuest = false;
    else if (event?.startsWith('guest/')) count[inGuest ? 'inside' : 'outside']++;
  }
  return count;
}

test("a real guest's events lie between its vCPU's entries and exits, by the offset that KVM wrote for its TSC", () => {
  for (const files of [
    [tscHost, tscGuest],
    [tscGuest, tscHost],
  ]) {
    const asked = ask('exits', ...files, '--align', 'auto', '--json');
    assert.equal(asked.status, 0, asked.stderr);
    const [found] = JSON.parse(asked.stdout).alignments;
    assert.deepEqual(
      [found.file, found.with, found.by, found.offset_cycles],
      [tscGuest, tscHost, 'kvm:kvm_write_tsc_offset', String((1n << 64n) - 18446744053027472847n)],
    );
    // As many as `trace-cmd report` counts in the guest's file.
    assert.deepEqual(places(files), { inside: 1250, outside: 0 });
  }
  assert.match(ask('exits', tscHost, tscGuest).stderr, /`--align auto` finds out how they belong together/);
});

test('a real guest that counts ticks finds its place in the ns of its host, which KVM told how long a tick is', () => {
  // Recorded as the two above, but with trace-cmd -C mono on the host.
  const files = ['ns-host', 'tick-guest'].map((name) => join(root, `test/data/trace-dat/${name}.dat.zst`));
  const [found] = JSON.parse(ask('exits', ...files, '--align', 'auto', '--json').stdout).alignments;
  // The guest's kernel said at boot: `tsc: Detected 2596.106 MHz processor`.
  assert.ok(Math.abs(1000 / found.tick - 2596.106) < 0.01, `${found.tick}`);
  assert.ok(found.within_ns < 50_000, `${found.within_ns}`);
  const { inside, outside } = places(files);
  assert.ok(inside >= 1370 && outside <= 1, `${inside} inside, ${outside} outside`);
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

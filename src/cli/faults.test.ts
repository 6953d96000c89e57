import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-faults-'));
after(() => rmSync(folder, { recursive: true }));
const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '120' } }, 'faults', ...args);

/** ftrace's text of a guest of VMX: events of one vCPU, 5 µs apart. */
function recording(name: string, events: readonly string[]): string {
  const lines = events.map(
    (event, n) => `       CPU 1/KVM-101     [001] d..1.  1.${String(5 * n + 100).padStart(6, '0')}: ${event}`,
  );
  const file = join(folder, name);
  writeFileSync(file, `# tracer: nop\n#\n${lines.join('\n')}\n`);
  return file;
}
const exit = (reason: string, rip: string) =>
  `kvm_exit: vcpu 1 reason ${reason} rip ${rip} info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0`;
const faulting = (rip: string, address: string, error: string) =>
  `kvm_page_fault: vcpu 1 rip ${rip} address ${address} error_code ${error}`;
const entry = 'kvm_entry: vcpu 1, rip 0x1000';

test('faults are told by what they were, and by what the guest wanted', () => {
  const file = recording('kinds.txt', [
    entry,
    // A read, a write, a fetch of pages that are not there; then of one that was touched before.
    ...[
      ['0x1000', '0x0000000000005000', '0x1'],
      ['0x1004', '0x0000000000006000', '0x2'],
      ['0x7000', '0x0000000000007000', '0x4'],
      ['0x1008', '0x0000000000005008', '0x2'],
      // A page that is there and may only be read.
      ['0x100c', '0x0000000000008000', '0x2a'],
    ].flatMap(([rip, address, error]) => [
      exit('EPT_VIOLATION', rip as string),
      faulting(rip as string, address as string, error as string),
      entry,
    ]),
    exit('EPT_MISCONFIG', '0x1010'),
    'kvm_mmio: mmio write len 4 gpa 0xfee00300 val 0x1',
    entry,
  ]);
  const { rows } = JSON.parse(ask('--by', 'what,access,address', '--json', file).stdout);
  assert.deepEqual(
    rows
      .map((row: { what: string; access: string | null; address: string }) => [row.what, row.access, row.address])
      .sort(),
    [
      ['again', 'write', '0x5008'],
      ['first touch', 'execute', '0x7000'],
      ['first touch', 'read', '0x5000'],
      ['first touch', 'write', '0x6000'],
      ['mmio', null, '0xfee00300'],
      ['write protection', 'write', '0x8000'],
    ],
  );
});

test('a vCPU that faults again and again at one rip and one address gets no further', () => {
  const again = [exit('EPT_VIOLATION', '0xfff0'), faulting('0xfff0', '0x0000000000009000', '0x2'), entry];
  const file = recording('stuck.txt', [entry, ...again, ...again, ...again, ...again, ...again]);
  const { stdout, status } = ask(file);
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^No progress\nvCPU 1 left the guest 5 times in a row at one rip and one address, for 70 µs\.$/m,
  );
  assert.match(stdout, / 1 +5 +EPT_VIOLATION +0xfff0 +0x9000$/m);
  assert.equal(ask(file, '--fail-if', 'count(no-progress)>4').status, 3);
  const [stall] = JSON.parse(ask(file, '--json').stdout).no_progress;
  assert.deepEqual([stall.vcpu, stall.count, stall.rip, stall.address], [1, 5, '0xfff0', '0x9000']);
});

test('two faults are enough where the vCPU does nothing else in the recording', () => {
  const again = [exit('EPT_VIOLATION', '0xfff0'), faulting('0xfff0', '0x0000000000009000', '0x2'), entry];
  assert.match(
    ask(recording('piece.txt', [entry, ...again, ...again])).stdout,
    /^vCPU 1 left the guest 2 times in a row/m,
  );
  const other = [exit('CPUID', '0x1000'), entry];
  assert.doesNotMatch(ask(recording('more.txt', [entry, ...again, ...again, ...other])).stdout, /No progress/);
});

test('so does one that leaves for any other reason a thousand times; not one that polls a device, or sleeps', () => {
  const many = (reason: string, n: number) => Array.from({ length: n }, () => [exit(reason, '0x2000'), entry]).flat();
  const interrupted = ask(recording('spin.txt', [entry, ...many('EXTERNAL_INTERRUPT', 1000)])).stdout;
  assert.match(interrupted, /^vCPU 1 left the guest 1,000 times in a row at one rip, for /m);
  for (const events of [
    many('EXTERNAL_INTERRUPT', 999),
    many('HLT', 1200),
    [...many('CPUID', 600), exit('MSR_WRITE', '0x3000'), entry, ...many('CPUID', 600)],
    Array.from({ length: 20 }, () => [
      exit('EPT_MISCONFIG', '0x2000'),
      'kvm_mmio: mmio read len 4 gpa 0xfed000f0 val 0x1',
      entry,
    ]).flat(),
  ]) {
    const { stdout } = ask(recording('fine.txt', [entry, ...events]));
    assert.doesNotMatch(stdout, /No progress/);
  }
});

test('of a recording, counts by address are those of awk, sort and uniq over what trace-cmd prints', () => {
  // trace-cmd report samples/host-kvm.dat | awk '/kvm_page_fault:/…' | sort | uniq -c; the last fault has not ended.
  const { rows, no_progress } = JSON.parse(ask('--by', 'what', '--json', kvm).stdout);
  const count = Object.fromEntries(rows.map((row: { what: string; count: number }) => [row.what, row.count]));
  assert.equal(
    rows.reduce((sum: number, row: { count: number }) => sum + row.count, 0),
    1022,
  );
  assert.ok(count.mmio > 1000);
  assert.deepEqual(no_progress, []);
});

test('a recording without faults is refused, with how to record them', () => {
  const { status, stderr } = ask(join(root, 'samples/qemu-leak.bin.zst'));
  assert.equal(status, 2);
  assert.match(stderr, /there is no fault in it; it takes kvm:kvm_exit.*\n[\s\S]*To record them:/);
});

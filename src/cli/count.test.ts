import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtapIn } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const folder = mkdtempSync(join(tmpdir(), 'virtap-count-'));
after(() => rmSync(folder, { recursive: true }));

const ask = (...args: string[]) => virtapIn({ env: { COLUMNS: '100' } }, 'count', ...args);
const pairsOf = (...args: string[]) =>
  ask(...args, '--csv')
    .stdout.trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').slice(0, 2).join(' '));

/** The same events as text. */
const text = join(folder, 'irq.txt');
const line = (µs: number, event: string) =>
  `       CPU 0/KVM-100     [000] d..1.  1.${String(µs).padStart(6, '0')}: ${event}`;
writeFileSync(
  text,
  `# tracer: nop\n#\n${[
    line(100, 'kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)'),
    line(200, 'kvm_apic_accept_irq: apicid 1 vec 251 (Fixed|edge)'),
    line(300, 'kvm_apic_accept_irq: apicid 1 vec 253 (Fixed|edge)'),
    line(400, 'kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41 '),
  ].join('\n')}\n`,
);

test('counts are those of awk, sort and uniq over what trace-cmd prints', () => {
  // trace-cmd report samples/host-kvm.dat | awk '/kvm_exit:/{…print $(i+1)}' | sort | uniq -c | sort -rn
  assert.deepEqual(pairsOf('kvm_exit', '--by', 'reason', kvm), [
    'cpuid 4967',
    'msr 2693',
    'interrupt 1163',
    'npf 1023',
    'vintr 707',
    'hlt 689',
    'io 472',
    'write_cr4 200',
  ]);
  // … awk '/kvm_page_fault:/{…print substr(address, 3, length - 5)}' | sort | uniq -c
  const pages = pairsOf('kvm_page_fault', '--by', 'fault_address >> 12', kvm);
  assert.deepEqual(pages.slice(0, 4), ['0xfed00 564', '0xfebfb 165', '0xfebfc 84', '0xfebf8 66']);
  assert.equal(pages.length, 10);
  // … awk '/kvm_apic_accept_irq:/{…printf "0x%x\n", vec - vec % 16}' | sort | uniq -c
  assert.deepEqual(pairsOf('kvm_apic_accept_irq', '--by', 'vec & 0xf0', kvm), ['0xe0 1609', '0xf0 504', '0x20 242']);
});

test('fields of text formats are computed with as well; several events, patterns and filters as elsewhere', () => {
  assert.deepEqual(pairsOf('kvm_apic_accept_irq', '--by', 'vec & 0xf0', text), ['0xf0 2', '0xe0 1']);
  assert.deepEqual(pairsOf('kvm_*', text), ['kvm:kvm_apic_accept_irq 3', 'kvm:kvm_pio 1']);
  assert.deepEqual(pairsOf('kvm_pio,kvm_apic*', '--filter', 'vec > 236 || port', '--by', 'event,port', text), [
    'kvm:kvm_apic_accept_irq ',
    'kvm:kvm_pio 0x3f8',
  ]);
  assert.deepEqual(pairsOf('kvm_apic_accept_irq', '--from', '50us', '--by', 'apicid', text), ['0x1 2']);
});

test('the text has the first of the table, the rest as one row, and all', () => {
  const { status, stdout, stderr } = ask('kvm_apic_accept_irq', '--by', 'vec', '--top', '1', '--timeline', text);
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^ {2}3 events: kvm_apic_accept_irq in 300\.0 µs, 10,000\/s$/m);
  assert.match(stdout, /^236 +1 +33\.3 % +3,333\/s\n2 more +2 +66\.7 % +6,667\/s\nall +3 +10,000\/s$/m);
  assert.match(stdout, /^Over time\n236 │%*@/m);
});

test('a histogram has buckets of powers of two', () => {
  const { stdout } = ask('kvm_apic_accept_irq', '--hist', 'apicid', text);
  assert.match(stdout, /^apicid by size\nvalue +count +share *\n +0 +1 +33\.3 % .*\n +1 +2 +66\.7 % /m);
  assert.match(stdout, /^3 numbers from 0 to 1, 0\.666667 on average\.$/m);
  assert.equal(
    ask('kvm_apic_accept_irq', '--hist', 'vec', text, '--csv').stdout,
    'from,below,count,share\n128,256,3,1\n',
  );
  assert.match(ask('kvm_exit', '--hist', 'comm', kvm).stdout, /^None of them has a number there\.$/m);
});

test('JSON has the fields of each row as an object', () => {
  const answer = JSON.parse(ask('kvm_*', '--by', 'port,vec', '--timeline', '--hist', 'vec', text, '--json').stdout);
  assert.deepEqual([answer.events, answer.by, answer.count, answer.values], [['kvm_*'], ['port', 'vec'], 4, 4]);
  const row = answer.rows.find(({ group }: { group: { vec: string | null } }) => group.vec === '236');
  assert.deepEqual([row.group, row.count], [{ port: null, vec: '236' }, 1]);
  assert.equal(
    answer.rows.flatMap((row: { over: number[] }) => row.over).reduce((sum: number, n: number) => sum + n, 0),
    4,
  );
  assert.deepEqual([answer.timeline.from_ns, answer.histogram.least, answer.histogram.without], [0, '236', 1]);
});

test('conditions are about all events, and about each row', () => {
  assert.equal(ask('kvm_apic*', '--by', 'vec', '--fail-if', 'count(event)>2', text).status, 3);
  assert.equal(ask('kvm_apic*', '--by', 'vec', '--fail-if', 'count(event:251)>1', text).status, 0);
});

test('names that the trace does not have are said', () => {
  for (const [args, why] of [
    [['kvm_exti', kvm], /no event in .* is called kvm_exti; did you mean kvm:?k?v?m?_?e?x?i?t?/],
    [['kvm_exit,kvm_nothing', kvm], /no event in .* is called kvm_nothing/],
    [['kvm_exit', '--by', 'guest_rop', kvm], /none of these events has a field guest_rop; did you mean guest_rip/],
    [['kvm_exit', '--by', 'guest_rip & ', kvm], /ends where a field or a number is expected/],
    [['kvm_exit', '--by', 'guest_rop >> 12', kvm], /none of these events has a field guest_rop/],
  ] as const) {
    const { status, stderr, stdout } = ask(...args);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, why);
  }
});

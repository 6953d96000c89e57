import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

/* Events whose fields lack a value, or are not there: what is not known prints as `?` or is left out, whatever asks for it. */

const folder = mkdtempSync(join(tmpdir(), 'virtap-absent-'));
after(() => rmSync(folder, { recursive: true }));

const text = (name: string, lines: readonly string[]) => {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
};

/** A vCPU's exits with what happens in them, each payload once whole and then cut behind every word of it. */
const payloads = [
  'kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41',
  'kvm_mmio: mmio write len 4 gpa 0xfebd1000 val 0x1',
  'kvm_msr: msr_write 6e0 = 0x1234',
  'kvm_cpuid: func 1 idx 0 rax 0 rbx 0 rcx 0 rdx 0, cpuid entry found',
  'kvm_page_fault: vcpu 0 rip 0x1 address 0x1000 error_code 0x14',
  'kvm_userspace_exit: reason KVM_EXIT_IO (2)',
  'kvm_inj_virq: IRQ 0xec',
  'kvm_msi_set_irq: dst 0 vec 37 (Fixed|physical|edge)',
  'kvm_vcpu_wakeup: wait time 1000 ns, polling valid',
  'sched_switch: prev_comm=CPU 0/KVM prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=bash next_pid=5 next_prio=120',
  'sched_waking: comm=CPU 0/KVM pid=1 prio=120 target_cpu=000',
  'sched_switch: prev_comm=bash prev_pid=5 prev_prio=120 prev_state=R ==> next_comm=CPU 0/KVM next_pid=1 next_prio=120',
];
const cuts = (payload: string) => {
  const words = payload.split(/(?<=[ =])/);
  return words.map((_, n) => words.slice(0, words.length - n).join(''));
};
let micros = 0;
const at = () => String(++micros * 7).padStart(6, '0');
const kernel = text(
  'kernel.txt',
  payloads.flatMap((payload) =>
    cuts(payload).flatMap((cut) => [
      `a-1 [000] ..... 1.${at()}: kvm_exit: vcpu 0 reason io rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0`,
      `a-1 [000] ..... 1.${at()}: ${cut}`,
      `a-1 [000] ..... 1.${at()}: kvm_entry: vcpu 0, rip 0x1`,
    ]),
  ),
);
const exits = text(
  'exits.txt',
  cuts('kvm_exit: vcpu 0 reason io rip 0x1 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0').flatMap((cut) =>
    cuts('kvm_entry: vcpu 0, rip 0x1').flatMap((entry) => [
      `a-1 [000] ..... 1.${at()}: ${cut}`,
      `a-1 [000] ..... 1.${at()}: ${entry}`,
    ]),
  ),
);
const request = (elem: number, left: readonly number[]) => {
  const hex = `0x7f${elem}000`;
  return [
    `virtio_queue_notify vdev 0x10 n 0 vq 0x20`,
    `virtqueue_pop vq 0x20 elem ${hex} in_num 1 out_num 2`,
    `virtio_blk_handle_read vdev 0x10 req ${hex} sector 8 nsectors 16`,
    `virtio_blk_rw_complete vdev 0x10 req ${hex} ret 0`,
    `virtio_blk_req_complete vdev 0x10 req ${hex} status 0`,
    `virtqueue_fill vq 0x20 elem ${hex} len 1 idx 0`,
    `virtio_notify vdev 0x10 vq 0x20`,
  ].map((event, n) => {
    const words = event.split(' ');
    return `7@1700000000.${at()}:${words.slice(0, Math.max(1, words.length - (left[n] ?? 0))).join(' ')}`;
  });
};
const qemu = text('qemu.log', [
  // Sound ones, and elements that are never filled and of which less and less is told.
  ...Array.from({ length: 30 }, (_, n) => request(100 + n, [])).flat(),
  ...Array.from({ length: 8 }, (_, n) =>
    request(200 + n, [0, 0, n, n, n]).filter((line) => !/_fill|_notify /.test(line)),
  ).flat(),
  ...Array.from({ length: 60 }, (_, n) => request(300 + n, [])).flat(),
  ...Array.from({ length: 8 }, (_, n) => request(400 + n, [n, n, n, n, n, n, n])).flat(),
  ...cuts('qemu_mutex_lock waiting on mutex 0x30 (../util/main-loop.c:305)').map(
    (cut) => `7@1700000000.${at()}:${cut}`,
  ),
  ...cuts('qemu_mutex_locked taken mutex 0x30 (../util/main-loop.c:305)').map((cut) => `7@1700000000.${at()}:${cut}`),
]);

const asked = [
  ['events', '--json'],
  ['exits', '--slow', '200', '--breakdown'],
  ['exits', '--slow', '200', '--json'],
  ['exits', '--slow', '200', '--csv'],
  ...['port', 'gpa', 'msr', 'vcpu', 'rip', 'userspace'].flatMap((by) => [
    ['exits', '--by', by],
    ['exits', '--by', by, '--json'],
  ]),
  ['vcpus', '--timeline'],
  ['vcpus', '--json'],
  ['leaks'],
  ['leaks', '--json'],
  ['leaks', '--csv'],
  ['requests', '--slow', '20'],
  ['requests', '--json'],
  ['locks', '--slow', '5'],
  ['locks', '--json'],
  ['pairs', '--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid', '--group', 'from.exit_reason', '--slow', '99'],
  ['pairs', '--begin', 'virtqueue_pop', '--end', 'virtqueue_fill', '--by', 'elem', '--slow', '9', '--json'],
  ['report'],
  ['report', '--json'],
  ['dump'],
  ['dump', '--json'],
  ['dump', '--csv'],
  ['export', '--format', 'csv'],
  ['export', '--format', 'jsonl'],
];
const lines = asked.flatMap((command) => [kernel, exits, qemu].map((file) => [...command, file]));

/** What each printed, on both streams, behind its command line. */
const said = new Map(
  lines.map((line) => {
    const { stdout, stderr } = virtap(...line);
    return [line.join(' '), stdout + stderr];
  }),
);
const out = [...said.values()].join('\n');

test('a field of any name has its value in JSON', () => {
  const file = text('names.txt', ['a-1 [000] d.... 1.000001: foo: __proto__=5 constructor=3']);
  assert.match(virtap('dump', file, '--json').stdout, /"fields":\{"__proto__":5,"constructor":3\}/);
});

test('nothing prints as NaN, undefined or Infinity', () => {
  for (const [line, text] of said) {
    const found = /^.*(NaN|undefined|Infinity|\[object ).*$/m.exec(text);
    assert.equal(found, null, `${line}: ${found?.[0]}`);
  }
});

test('what is absent is said to be unknown', () => {
  assert.match(out, /out \(S\), next is \? \(\?\)/);
  assert.match(out, /virtio_blk_handle_read elem 0x7f20\d000 sector 8 nsectors \?/);
  assert.match(out, /virtio_blk_handle_read elem 0x7f20\d000 sector \? nsectors \?/);
});

test('pops and fills without an address are of no element, and leave no verdict about others', () => {
  const leaks = said.get(`leaks ${qemu}`)?.replace(/\s+/g, ' ') ?? '';
  assert.match(leaks, /\d+ virtqueue events lack the address of the queue or the element: left out/);
  assert.doesNotMatch(leaks, /elem 0x0\b/);
});

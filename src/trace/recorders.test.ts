import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { qemuOf, recordLines } from './recorders.ts';

/** A trace with events of these names, all of one thread. */
async function binary(names: [name: string, ...fields: string[]][], comm = ''): Promise<string> {
  const events = names.map(
    ([name, ...fields], time): SyntheticEvent => ({
      name,
      time,
      tid: 5,
      fields: Object.fromEntries(fields.map((field) => [field, 1])),
    }),
  );
  const trace = synthetic(events, { threads: [[5, comm, 5]] });
  for await (const _ of trace.batches());
  return qemuOf(trace);
}

test('the QEMU that is to record is the one of the architecture that was recorded', async () => {
  assert.equal(await binary([['kvm:kvm_exit', 'ret', 'esr_ec', 'vcpu_pc']]), 'qemu-system-aarch64');
  assert.equal(await binary([['kvm:vgic_update_irq_pending']]), 'qemu-system-aarch64');
  assert.equal(await binary([['kvm:kvm_exit', 'sepc', 'scause']]), 'qemu-system-riscv64');
  assert.equal(await binary([['kvm_hv:kvm_guest_exit', 'trap']]), 'qemu-system-ppc64');
  assert.equal(await binary([['kvm:kvm_s390_sie_exit']]), 'qemu-system-s390x');
  assert.equal(await binary([['kvm:kvm_exit', 'exit_reason', 'isa']]), 'qemu-system-x86_64');
  assert.equal(await binary([['sched:sched_switch']], 'qemu-system-aar'), 'qemu-system-aarch64');
  assert.equal(await binary([['sched:sched_switch']], 'qemu-system-x86'), 'qemu-system-x86_64');
  assert.match(recordLines('locks', 'qemu-system-riscv64')[0] as string, /^qemu-system-riscv64 -name vm/);
  assert.ok(recordLines('kernel').every((line) => !line.includes('QEMU')));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import type { Trace } from '../trace/trace.ts';
import { Inventory } from './inventory.ts';
import { questions } from './questions.ts';

async function inventory(trace: Trace) {
  const analysis = new Inventory();
  for await (const batch of trace.batches()) analysis.batch(trace, batch);
  return analysis.view(trace);
}

const kvm: SyntheticEvent[] = [
  { name: 'kvm:kvm_entry', time: 10, cpu: 1, tid: 101, fields: { vcpu_id: 0 } },
  { name: 'kvm:kvm_exit', time: 20, cpu: 1, tid: 101, fields: { vcpu_id: 0 } },
  { name: 'kvm:kvm_entry', time: 30, cpu: 3, tid: 102, pid: 100, fields: { vcpu_id: 1 } },
  { name: 'kvm:kvm_entry', time: 40, cpu: 3, tid: 201, pid: 200, fields: {} },
  { name: 'sched:sched_switch', time: 50, cpu: 3, tid: 0 },
  { name: 'qemu:virtqueue_pop', time: 60, pid: 300 },
  // What a corrupt file may hold.
  { name: 'sched:sched_switch', time: 70, cpu: 3, tid: 2 ** 31 - 1 },
];

test('machines and their vCPUs are found from entries, exits and QEMU events', async () => {
  const view = await inventory(
    synthetic(kvm, {
      threads: [
        [100, 'qemu-system-x86', 100],
        [101, 'CPU 0/KVM', 100],
        [201, 'CPU 5/KVM', 200],
      ],
    }),
  );
  assert.deepEqual(
    view.machines.map(({ pid, comm, qemuEvents, vcpus }) => [
      pid,
      comm,
      qemuEvents,
      vcpus.map(({ vcpu, tid }) => `${vcpu}:${tid}`),
    ]),
    [
      [100, 'qemu-system-x86', 0, ['0:101', '1:102']],
      [200, '', 0, ['5:201']],
      [300, '', 1, []],
    ],
  );
  assert.deepEqual([view.first, view.last, view.events, view.cpusSeen], [10, 70, 7, [1, 3]]);
  assert.deepEqual(
    view.types.map(({ name, count }) => `${name} ${count}`),
    ['kvm:kvm_entry 3', 'sched:sched_switch 2', 'kvm:kvm_exit 1', 'qemu:virtqueue_pop 1'],
  );
  assert.deepEqual(
    view.processes.map(({ pid, events }) => [pid, events]),
    [
      [100, 3],
      [-1, 1],
      [200, 1],
      [300, 1],
    ],
  );
});

test('what a trace can answer follows from the events in it', async () => {
  const asked = async (...names: string[]) => {
    const view = await inventory(synthetic(names.map((name, time) => ({ name, time, tid: 7 }))));
    return Object.fromEntries(questions(view).map(({ command, answer }) => [command, answer]));
  };
  assert.deepEqual(await asked(), { exits: 'no', vcpus: 'no', leaks: 'no', requests: 'no', locks: 'no', dump: 'no' });
  assert.deepEqual(await asked('kvm:kvm_exit'), {
    exits: 'partly',
    vcpus: 'no',
    leaks: 'no',
    requests: 'no',
    locks: 'no',
    dump: 'yes',
  });
  assert.deepEqual(await asked('kvm:kvm_exit', 'kvm:kvm_entry'), {
    exits: 'partly',
    vcpus: 'partly',
    leaks: 'no',
    requests: 'no',
    locks: 'no',
    dump: 'yes',
  });
  assert.equal(
    (await asked('kvm:kvm_exit', 'kvm:kvm_entry', 'sched:sched_switch', 'kvm:kvm_userspace_exit')).exits,
    'yes',
  );
  const locks = ['lock', 'locked', 'unlock'].map((what, time) => ({ name: `qemu:qemu_mutex_${what}`, time }));
  const about = async (events: typeof locks) =>
    questions(await inventory(synthetic(events))).find(({ command }) => command === 'locks');
  assert.equal((await about(locks))?.why, 'its events do not say which thread they are of.');
  assert.equal((await about(locks.map((event) => ({ ...event, tid: 5 }))))?.answer, 'yes');
  assert.equal((await asked('qemu:virtqueue_pop', 'qemu:virtqueue_fill')).leaks, 'partly');
  assert.equal((await asked('qemu:virtqueue_pop', 'qemu:virtqueue_fill')).requests, 'partly');
  const path = ['virtqueue_pop', 'virtqueue_fill', 'virtio_queue_notify'].map((name) => `qemu:${name}`);
  assert.equal((await asked(...path, 'kvm:kvm_exit', 'kvm:kvm_msi_set_irq')).requests, 'yes');
  assert.equal(
    (await asked('qemu:virtqueue_pop', 'qemu:virtqueue_fill', 'qemu:virtio_set_status', 'qemu:virtio_notify')).leaks,
    'yes',
  );
});

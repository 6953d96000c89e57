import { tellsTime } from '../trace/clock.ts';
import { type Need, recordLines } from '../trace/recorders.ts';
import { untellable } from '../trace/undescribed.ts';
import type { InventoryView } from './inventory.ts';

/** Whether a command of virtap can answer from a trace, and what to record where it cannot. */
export type Question = {
  command: string;
  /** `partly`: it answers, but something was not recorded that would tell more. */
  answer: 'yes' | 'partly' | 'no';
  /** What the command tells where it can answer; what is missing where it cannot. One sentence. */
  why: string;
  /** Command lines that record what is missing. */
  record: string[];
};

type Lacking = Omit<Question, 'record'> & { record?: Need | undefined; lacking?: readonly string[] };

/** What each command of virtap can learn from a trace. */
export function questions(inventory: InventoryView): Question[] {
  const lttng = /lttng/.test(inventory.version);
  return questionsOf(inventory).map((one) => {
    // What to record is no answer where it may have been recorded, and the file lacks its description.
    const untold =
      one.lacking === undefined ? undefined : untellable(inventory.holds, `any ${list(one.lacking, 'or')}`);
    const {
      record,
      lacking: _,
      ...question
    } = untold === undefined ? one : { ...one, why: `${untold}.`, record: undefined };
    return {
      ...question,
      record: record === undefined ? [] : recordLines(record, inventory.qemu, lttng),
    };
  });
}

function questionsOf(inventory: InventoryView): Lacking[] {
  const lacks = (names: readonly string[]) => names.filter((name) => !inventory.holds.has(name));
  return [
    exits(inventory, lacks),
    vcpus(inventory, lacks),
    leaks(lacks),
    requests(inventory, lacks),
    locks(inventory, lacks),
    dump(inventory),
  ];
}

function exits(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Lacking {
  const command = 'exits';
  if (!inventory.hasExits) {
    const missing = ['kvm:kvm_exit', ...(inventory.hasEntries ? [] : ['kvm:kvm_entry'])];
    return {
      command,
      answer: 'no',
      why: `there is no ${list(missing, 'or')} in it.`,
      lacking: missing,
      record: 'kernel',
    };
  }
  const lacking = !tellsTime(inventory.clock)
    ? noTimes(inventory)
    : !inventory.hasVcpuThreads
      ? 'its events do not say which thread they are of'
      : inventory.hasEntries
        ? undefined
        : 'there is no kvm:kvm_entry in it';
  if (lacking !== undefined) {
    const why = `how often vCPUs left the guest, and why; not for how long, as ${lacking}.`;
    return { command, answer: 'partly', why, record: 'kernel' };
  }
  const inside = lacks(['sched:sched_switch', 'kvm:kvm_userspace_exit']);
  if (inside.length === 0) return { command, answer: 'yes', why: 'how long vCPUs were out of the guest, and why.' };
  return {
    command,
    answer: 'partly',
    why: `how long vCPUs were out of the guest, and why; without ${list(inside, 'and')} not all that happened meanwhile.`,
    record: 'kernel',
  };
}

function vcpus(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Lacking {
  const command = 'vcpus';
  const missing = [...(inventory.hasExits ? [] : ['kvm:kvm_exit']), ...(inventory.hasEntries ? [] : ['kvm:kvm_entry'])];
  if (missing.length > 0) {
    return {
      command,
      answer: 'no',
      why: `there is no ${list(missing, 'or')} in it.`,
      lacking: missing,
      record: 'kernel',
    };
  }
  if (inventory.clock.unit !== 'ns') {
    const why = tellsTime(inventory.clock) ? 'its clock counts cycles.' : `${noTimes(inventory)}.`;
    return { command, answer: 'no', why, record: 'kernel' };
  }
  if (!inventory.hasVcpuThreads)
    return { command, answer: 'no', why: 'its events do not say which thread they are of.', record: 'kernel' };
  const why = "how vCPUs' time divides: guest, KVM, QEMU, preempted, halted";
  const inside = lacks(['sched:sched_switch', 'sched:sched_waking', 'kvm:kvm_userspace_exit']);
  if (inside.length === 0) return { command, answer: 'yes', why: `${why}.` };
  return {
    command,
    answer: 'partly',
    why: `${why}; without ${list(inside, 'and')} not all of these are told apart.`,
    record: 'kernel',
  };
}

function requests(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Lacking {
  const command = 'requests';
  const missing = lacks(['qemu:virtqueue_pop', 'qemu:virtqueue_fill']);
  if (missing.length > 0) {
    return {
      command,
      answer: 'no',
      why: `there is no ${list(missing, 'or')} in it.`,
      lacking: missing,
      record: 'queues',
    };
  }
  if (!tellsTime(inventory.clock)) {
    return { command, answer: 'no', why: `${noTimes(inventory)}.`, record: 'queues' };
  }
  const why = 'how long virtio requests take, and where on their path';
  // The ends of the path are KVM's: in the same recording, or in one beside it.
  const ends = [
    ...(inventory.hasExits ? [] : ['kvm:kvm_exit']),
    ...lacks(['qemu:virtio_queue_notify', 'kvm:kvm_msi_set_irq']),
  ];
  if (ends.length === 0) return { command, answer: 'yes', why: `${why}.` };
  const beside = lacks(['qemu:virtio_queue_notify']).length > 0 ? 'queues' : 'kernel';
  return { command, answer: 'partly', why: `${why}; without ${list(ends, 'and')} not all of that.`, record: beside };
}

function leaks(lacks: (names: readonly string[]) => string[]): Lacking {
  const command = 'leaks';
  const missing = lacks(['qemu:virtqueue_pop', 'qemu:virtqueue_fill']);
  if (missing.length > 0) {
    // Fills alone tell nothing; pops alone are all open, which says as little.
    return {
      command,
      answer: 'no',
      why: `there is no ${list(missing, 'or')} in it.`,
      lacking: missing,
      record: 'queues',
    };
  }
  const why = 'which virtqueue elements QEMU took and never gave back';
  if (lacks(['qemu:virtio_set_status']).length > 0) {
    return {
      command,
      answer: 'partly',
      why: `${why}; without qemu:virtio_set_status resets are not seen.`,
      record: 'queues',
    };
  }
  if (lacks(['qemu:virtio_queue_notify']).length > 0 && lacks(['qemu:virtio_notify']).length > 0) {
    return {
      command,
      answer: 'partly',
      why: `${why}; without qemu:virtio_queue_notify queues have no device and number.`,
      record: 'queues',
    };
  }
  return { command, answer: 'yes', why: `${why}.` };
}

function locks(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Lacking {
  const command = 'locks';
  const missing = lacks(['qemu:qemu_mutex_lock', 'qemu:qemu_mutex_locked', 'qemu:qemu_mutex_unlock']);
  if (missing.length > 0)
    return {
      command,
      answer: 'no',
      why: `there is no ${list(missing, 'or')} in it.`,
      lacking: missing,
      record: 'locks',
    };
  if (!inventory.hasQemuThreads)
    return { command, answer: 'no', why: 'its events do not say which thread they are of.', record: 'locks' };
  if (inventory.clock.unit !== 'ns')
    return { command, answer: 'no', why: 'its events have no times in nanoseconds.', record: 'locks' };
  return { command, answer: 'yes', why: 'who waits for which mutex of QEMU, and behind whom.' };
}

function dump(inventory: InventoryView): Lacking {
  const command = 'dump';
  if (inventory.holds.size === 0) return { command, answer: 'no', why: 'there are no events in it.' };
  return { command, answer: 'yes', why: 'the events as text.' };
}

/** Why a clock tells no lengths of time. */
function noTimes({ clock }: InventoryView): string {
  return clock.unit === 'none' ? 'its events have no time stamps' : 'its clock, counter, numbers events';
}

function list(names: readonly string[], word: 'and' | 'or'): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

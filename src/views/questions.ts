import { tellsTime } from '../trace/clock.ts';
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

const tracePoints = '-e kvm -e sched:sched_switch -e sched:sched_wakeup -e sched:sched_waking';
const perfPoints = "-e 'kvm:*' -e sched:sched_switch -e sched:sched_wakeup -e sched:sched_waking";

const recordKernel = [
  'sudo virtap record --for 10s',
  `trace-cmd record -C mono ${tracePoints} sleep 10`,
  `perf record -a -k CLOCK_MONOTONIC ${perfPoints} -- sleep 10`,
];

/** `-trace file=` is where the log backend writes too, and then the time stamps must be asked for. The others are for the monitor of a running QEMU. */
export const recordQemu = [
  "qemu-system-x86_64 … -trace 'virtqueue_*' -trace 'virtio_*' -trace file=qemu.trace -msg timestamp=on",
  '(qemu) trace-event virtqueue_* on',
  '(qemu) trace-event virtio_* on',
  'sudo virtap record --for-leaks --for 10s   (a QEMU with SystemTap probes)',
];

/** QEMU's SystemTap probes can be recorded in every build that has them; its log names threads up to version 10.0. */
export const recordLocks = [
  "qemu-system-x86_64 -name vm,debug-threads=on … -msg timestamp=on -D qemu.log -trace 'qemu_mutex_*'",
  '(QEMU up to 10.0 names its threads there)',
  'sudo virtap record --for-locks --for 10s   (a QEMU with SystemTap probes)',
];

/** For whom LTTng is at hand: what it takes for exits, and for QEMU's events where QEMU was built with its backend. */
const recordLttng = [
  "lttng create; lttng enable-event -k 'kvm_*,sched_switch,sched_wakeup,sched_waking'; lttng add-context -k -t tid -t pid; lttng start; sleep 10; lttng destroy",
];
const recordLttngQemu = [
  "lttng create; lttng enable-event -u 'qemu:*'; lttng add-context -u -t vtid -t vpid; lttng start; sleep 10; lttng destroy   (a QEMU with --enable-trace-backends=ust)",
];

/** What each command of virtap can learn from a trace. */
export function questions(inventory: InventoryView): Question[] {
  const all = questionsOf(inventory);
  if (!/lttng/.test(inventory.version)) return all;
  return all.map((question) => {
    if (question.record.length === 0) return question;
    const qemu = question.record !== recordKernel;
    return { ...question, record: [...(qemu ? recordLttngQemu : recordLttng), ...question.record] };
  });
}

function questionsOf(inventory: InventoryView): Question[] {
  const seen = new Set(inventory.types.map((type) => type.name));
  const lacks = (names: readonly string[]) => names.filter((name) => !seen.has(name));
  return [
    exits(inventory, lacks),
    vcpus(inventory, lacks),
    leaks(lacks),
    requests(inventory, lacks),
    locks(inventory, lacks),
    dump(inventory),
  ];
}

function exits(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Question {
  const command = 'exits';
  if (!inventory.hasExits) {
    const missing = ['kvm:kvm_exit', ...(inventory.hasEntries ? [] : ['kvm:kvm_entry'])];
    return { command, answer: 'no', why: `there is no ${list(missing, 'or')} in it.`, record: recordKernel };
  }
  const lacking = !tellsTime(inventory.clock)
    ? noTimes(inventory)
    : !hasVcpuThreads(inventory)
      ? 'its events do not say which thread they are of'
      : inventory.hasEntries
        ? undefined
        : 'there is no kvm:kvm_entry in it';
  if (lacking !== undefined) {
    const why = `how often vCPUs left the guest, and why; not for how long, as ${lacking}.`;
    return { command, answer: 'partly', why, record: recordKernel };
  }
  const inside = lacks(['sched:sched_switch', 'kvm:kvm_userspace_exit']);
  if (inside.length === 0)
    return { command, answer: 'yes', why: 'how long vCPUs were out of the guest, and why.', record: [] };
  return {
    command,
    answer: 'partly',
    why: `how long vCPUs were out of the guest, and why; without ${list(inside, 'and')} not all that happened meanwhile.`,
    record: recordKernel,
  };
}

/** Whether exits and entries say which thread they are of. */
function hasVcpuThreads({ machines }: InventoryView): boolean {
  return machines.some(({ vcpus }) => vcpus.length > 0);
}

function vcpus(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Question {
  const command = 'vcpus';
  const missing = [...(inventory.hasExits ? [] : ['kvm:kvm_exit']), ...(inventory.hasEntries ? [] : ['kvm:kvm_entry'])];
  if (missing.length > 0) {
    return { command, answer: 'no', why: `there is no ${list(missing, 'or')} in it.`, record: recordKernel };
  }
  if (inventory.clock.unit !== 'ns') {
    const why = tellsTime(inventory.clock) ? 'its clock counts cycles.' : `${noTimes(inventory)}.`;
    return { command, answer: 'no', why, record: recordKernel };
  }
  if (!hasVcpuThreads(inventory))
    return { command, answer: 'no', why: 'its events do not say which thread they are of.', record: recordKernel };
  const why = "how vCPUs' time divides: guest, KVM, QEMU, preempted, halted";
  const inside = lacks(['sched:sched_switch', 'sched:sched_waking', 'kvm:kvm_userspace_exit']);
  if (inside.length === 0) return { command, answer: 'yes', why: `${why}.`, record: [] };
  return {
    command,
    answer: 'partly',
    why: `${why}; without ${list(inside, 'and')} not all of these are told apart.`,
    record: recordKernel,
  };
}

function requests(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Question {
  const command = 'requests';
  const missing = lacks(['qemu:virtqueue_pop', 'qemu:virtqueue_fill']);
  if (missing.length > 0) {
    return { command, answer: 'no', why: `there is no ${list(missing, 'or')} in it.`, record: recordQemu };
  }
  if (!tellsTime(inventory.clock)) {
    return { command, answer: 'no', why: `${noTimes(inventory)}.`, record: recordQemu };
  }
  const why = 'how long virtio requests take, and where on their path';
  // The ends of the path are KVM's: in the same recording, or in one beside it.
  const ends = [
    ...(inventory.hasExits ? [] : ['kvm:kvm_exit']),
    ...lacks(['qemu:virtio_queue_notify', 'kvm:kvm_msi_set_irq']),
  ];
  if (ends.length === 0) return { command, answer: 'yes', why: `${why}.`, record: [] };
  const beside = lacks(['qemu:virtio_queue_notify']).length > 0 ? recordQemu : recordKernel;
  return { command, answer: 'partly', why: `${why}; without ${list(ends, 'and')} not all of that.`, record: beside };
}

function leaks(lacks: (names: readonly string[]) => string[]): Question {
  const command = 'leaks';
  const missing = lacks(['qemu:virtqueue_pop', 'qemu:virtqueue_fill']);
  if (missing.length > 0) {
    // Fills alone tell nothing; pops alone are all open, which says as little.
    return { command, answer: 'no', why: `there is no ${list(missing, 'or')} in it.`, record: recordQemu };
  }
  const why = 'which virtqueue elements QEMU took and never gave back';
  if (lacks(['qemu:virtio_set_status']).length > 0) {
    return {
      command,
      answer: 'partly',
      why: `${why}; without qemu:virtio_set_status resets are not seen.`,
      record: recordQemu,
    };
  }
  if (lacks(['qemu:virtio_queue_notify']).length > 0 && lacks(['qemu:virtio_notify']).length > 0) {
    return {
      command,
      answer: 'partly',
      why: `${why}; without qemu:virtio_queue_notify queues have no device and number.`,
      record: recordQemu,
    };
  }
  return { command, answer: 'yes', why: `${why}.`, record: [] };
}

function locks(inventory: InventoryView, lacks: (names: readonly string[]) => string[]): Question {
  const command = 'locks';
  const missing = lacks(['qemu:qemu_mutex_lock', 'qemu:qemu_mutex_locked', 'qemu:qemu_mutex_unlock']);
  if (missing.length > 0)
    return { command, answer: 'no', why: `there is no ${list(missing, 'or')} in it.`, record: recordLocks };
  if (!inventory.hasQemuThreads)
    return { command, answer: 'no', why: 'its events do not say which thread they are of.', record: recordLocks };
  if (inventory.clock.unit !== 'ns')
    return { command, answer: 'no', why: 'its events have no times in nanoseconds.', record: recordLocks };
  return { command, answer: 'yes', why: 'who waits for which mutex of QEMU, and behind whom.', record: [] };
}

function dump(inventory: InventoryView): Question {
  const command = 'dump';
  if (inventory.events === 0) return { command, answer: 'no', why: 'there are no events in it.', record: [] };
  return { command, answer: 'yes', why: 'the events as text.', record: [] };
}

/** Why a clock tells no lengths of time. */
function noTimes({ clock }: InventoryView): string {
  return clock.unit === 'none' ? 'its events have no time stamps' : 'its clock, counter, numbers events';
}

function list(names: readonly string[], word: 'and' | 'or'): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

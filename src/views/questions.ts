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

/** What a command needs of a trace, and what it tells from it. */
type Asking = {
  command: string;
  /** Without the full stop. */
  tells: string;
  /** What records all that it needs. */
  record: Need;
  /** The events without which it tells nothing. */
  needs: readonly string[];
  /** Why it cannot tell anything for another reason. */
  cannot?(inventory: InventoryView): string | undefined;
  /** What it tells where that is not all, and what records the rest, where that is something else; `lacks` picks those events that there are none of. */
  partly?(inventory: InventoryView, lacks: Lacks): { why: string; record?: Need } | undefined;
};

type Lacks = (names: readonly string[]) => string[];

const exit = 'kvm:kvm_exit';
const entry = 'kvm:kvm_entry';
const noThreads = 'its events do not say which thread they are of';
const popAndFill = ['qemu:virtqueue_pop', 'qemu:virtqueue_fill'];

const askings: readonly Asking[] = [
  {
    command: 'exits',
    tells: 'how long vCPUs were out of the guest, and why',
    record: 'kernel',
    needs: [exit],
    partly(inventory, lacks) {
      const untimed = !tellsTime(inventory.clock)
        ? noTimes(inventory)
        : !inventory.hasVcpuThreads
          ? noThreads
          : inventory.hasEntries
            ? undefined
            : `there is no ${entry} in it`;
      if (untimed !== undefined)
        return { why: `how often vCPUs left the guest, and why; not for how long, as ${untimed}` };
      const inside = lacks(['sched:sched_switch', 'kvm:kvm_userspace_exit']);
      return without(inside, this.tells, 'not all that happened meanwhile');
    },
  },
  {
    command: 'vcpus',
    tells: "how vCPUs' time divides: guest, KVM, QEMU, preempted, halted",
    record: 'kernel',
    needs: [exit, entry],
    cannot(inventory) {
      if (inventory.clock.unit !== 'ns')
        return tellsTime(inventory.clock) ? 'its clock counts cycles' : noTimes(inventory);
      return inventory.hasVcpuThreads ? undefined : noThreads;
    },
    partly(_, lacks) {
      const inside = lacks(['sched:sched_switch', 'sched:sched_waking', 'kvm:kvm_userspace_exit']);
      return without(inside, this.tells, 'not all of these are told apart');
    },
  },
  {
    command: 'leaks',
    tells: 'which virtqueue elements QEMU took and never gave back',
    record: 'queues',
    // Fills alone tell nothing; pops alone are all open, which says as little.
    needs: popAndFill,
    partly(_, lacks) {
      const names = lacks(['qemu:virtio_queue_notify', 'qemu:virtio_notify']);
      return (
        without(lacks(['qemu:virtio_set_status']), this.tells, 'resets are not seen') ??
        without(names.length < 2 ? [] : names.slice(0, 1), this.tells, 'queues have no device and number')
      );
    },
  },
  {
    command: 'requests',
    tells: 'how long virtio requests take, and where on their path',
    record: 'queues',
    needs: popAndFill,
    cannot: (inventory) => (tellsTime(inventory.clock) ? undefined : noTimes(inventory)),
    partly(_, lacks) {
      // The ends of the path are KVM's: in the same recording, or in one beside it.
      const notify = 'qemu:virtio_queue_notify';
      const ends = lacks([exit, notify, 'kvm:kvm_msi_set_irq']);
      const record = ends.includes(notify) ? 'queues' : 'kernel';
      return without(ends, this.tells, 'not all of that', record);
    },
  },
  {
    command: 'locks',
    tells: 'who waits for which mutex of QEMU, and behind whom',
    record: 'locks',
    needs: ['qemu:qemu_mutex_lock', 'qemu:qemu_mutex_locked', 'qemu:qemu_mutex_unlock'],
    cannot(inventory) {
      if (!inventory.hasQemuThreads) return noThreads;
      return inventory.clock.unit === 'ns' ? undefined : 'its events have no times in nanoseconds';
    },
  },
];

/** What each command of virtap can learn from a trace. */
export function questions(inventory: InventoryView): Question[] {
  const found = askings.map((asking) => questionOf(asking, inventory));
  const any = inventory.holds.size > 0;
  const why = any ? 'the events as text.' : 'there are no events in it.';
  return [...found, { command: 'dump', answer: any ? 'yes' : 'no', why, record: [] }];
}

function questionOf(asking: Asking, inventory: InventoryView): Question {
  const { command, tells, needs } = asking;
  const holds = (name: string) =>
    name === exit ? inventory.hasExits : name === entry ? inventory.hasEntries : inventory.holds.has(name);
  const lacks: Lacks = (names) => names.filter((name) => !holds(name));
  const answer = (is: Question['answer'], why: string, need?: Need): Question => {
    const lttng = /lttng/.test(inventory.version);
    const record = need === undefined ? [] : recordLines(need, inventory.qemu, lttng);
    return { command, answer: is, why: `${why}.`, record };
  };
  // Exits whose entries lack as well can be counted; where both lack, both are named.
  const missing = lacks(needs).length === 0 ? [] : lacks(needs.includes(exit) ? [exit, entry] : needs);
  if (missing.length > 0) {
    // What to record is no answer where it may have been recorded, and the file lacks its description.
    const untold = untellable(inventory.holds, `any ${list(missing, 'or')}`);
    if (untold !== undefined) return answer('no', untold);
    return answer('no', `there is no ${list(missing, 'or')} in it`, asking.record);
  }
  const cannot = asking.cannot?.(inventory);
  if (cannot !== undefined) return answer('no', cannot, asking.record);
  const part = asking.partly?.(inventory, lacks);
  if (part !== undefined) return answer('partly', part.why, part.record ?? asking.record);
  return answer('yes', tells);
}

/** What is told without these events, where there are any; `less` says what that is not. */
function without(
  lacking: readonly string[],
  tells: string,
  less: string,
  record?: Need,
): { why: string; record?: Need } | undefined {
  if (lacking.length === 0) return undefined;
  return { why: `${tells}; without ${list(lacking, 'and')} ${less}`, ...(record === undefined ? {} : { record }) };
}

/** Why a clock tells no lengths of time. */
function noTimes({ clock }: InventoryView): string {
  return clock.unit === 'none' ? 'its events have no time stamps' : 'its clock, counter, numbers events';
}

function list(names: readonly string[], word: 'and' | 'or'): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}

import type { Trace } from './trace.ts';

/*
 * How each recorder is told to record what virtap needs. Whoever says how to record takes the command lines from here.
 */

type Tool = 'virtap' | 'trace-cmd' | 'perf' | 'qemu' | 'lttng';

const sched = '-e sched:sched_switch -e sched:sched_wakeup -e sched:sched_waking';
const lttngOf = (events: string, contexts: string) =>
  `lttng create; lttng enable-event ${events}; lttng add-context ${contexts}; lttng start; sleep 10; lttng destroy`;
const lttngQemu = `${lttngOf("-u 'qemu:*'", '-u -t vtid -t vpid')}   (a QEMU with --enable-trace-backends=ust)`;

/** By need and tool, the likeliest first. */
const lines = {
  /** Exits and entries alone. */
  exits: {
    virtap: ['sudo virtap record --for 10s'],
    'trace-cmd': ['trace-cmd record -e kvm:kvm_entry -e kvm:kvm_exit sleep 10'],
    perf: ['perf record -a -e kvm:kvm_entry -e kvm:kvm_exit -- sleep 10'],
  },
  /** And what happened between them. */
  kernel: {
    virtap: ['sudo virtap record --for 10s'],
    'trace-cmd': [`trace-cmd record -C mono -e kvm ${sched} sleep 10`],
    perf: [`perf record -a -k CLOCK_MONOTONIC -e 'kvm:*' ${sched} -- sleep 10`],
    lttng: [lttngOf("-k 'kvm_*,sched_switch,sched_wakeup,sched_waking'", '-k -t tid -t pid')],
  },
  /** And why halted vCPUs wake. */
  wakes: {
    virtap: ['sudo virtap record --for-wakes --for 10s'],
    'trace-cmd': [`trace-cmd record -C mono -e kvm ${sched} sleep 10`],
    perf: [`perf record -a -k CLOCK_MONOTONIC -e 'kvm:*' ${sched} -- sleep 10`],
  },
  /** And the way of interrupts. */
  interrupts: {
    virtap: ['sudo virtap record --for-interrupts --for 10s'],
    'trace-cmd': [`trace-cmd record -C mono -e kvm ${sched} sleep 10`],
    perf: [`perf record -a -k CLOCK_MONOTONIC -e 'kvm:*' ${sched} -- sleep 10`],
  },
  /**
   * Virtqueues. `-trace file=` is where the log backend writes too, and then the time stamps must be asked for. The others are for the
   * monitor of a running QEMU.
   */
  queues: {
    qemu: [
      "QEMU … -trace 'virtqueue_*' -trace 'virtio_*' -trace file=qemu.trace -msg timestamp=on",
      '(qemu) trace-event virtqueue_* on',
      '(qemu) trace-event virtio_* on',
    ],
    virtap: ['sudo virtap record --for-leaks --for 10s   (a QEMU with SystemTap probes)'],
    lttng: [lttngQemu],
  },
  /** QEMU's mutexes. Its SystemTap probes can be recorded in every build that has them; its log names threads up to version 10.0. */
  locks: {
    qemu: [
      "QEMU -name vm,debug-threads=on … -msg timestamp=on -D qemu.log -trace 'qemu_mutex_*'",
      '(QEMU up to 10.0 names its threads there)',
    ],
    virtap: ['sudo virtap record --for-locks --for 10s   (a QEMU with SystemTap probes)'],
    lttng: [lttngQemu],
  },
} as const satisfies Record<string, Partial<Record<Tool, readonly string[]>>>;

/** Where nothing tells the architecture, the likeliest. */
const anyQemu = 'qemu-system-x86_64';

/** What a recording is to answer. */
export type Need = keyof typeof lines;

/** Command lines that record what is needed, for every tool that most people have, `qemu` being QEMU's binary; for LTTng's users those of LTTng come first. */
export function recordLines(need: Need, qemu = anyQemu, lttng = false): string[] {
  const { lttng: own = [], ...others }: Partial<Record<Tool, readonly string[]>> = lines[need];
  const all = [...(lttng ? own : []), ...Object.values(others).flat()];
  return all.map((line) => line.replace(/^QEMU /, `${qemu} `));
}

/** Whether a trace has events of arm64 hosts. */
export function isArm64(trace: Pick<Trace, 'types' | 'threads'>): boolean {
  return qemuOf(trace) === 'qemu-system-aarch64';
}

/** Events that only one architecture has, and fields of its `kvm_exit`. */
const ofArchitecture: readonly [qemu: string, events: RegExp, field: string][] = [
  [
    'aarch64',
    /^kvm:(kvm_arm_|kvm_get_timer_map$|kvm_timer_|kvm_wfx_arm64$|kvm_hvc_arm64$|kvm_guest_fault$|vgic_)/,
    'esr_ec',
  ],
  ['riscv64', /^kvm:kvm_riscv_/, 'scause'],
  ['ppc64', /^kvm_(hv|pr|booke):/, ''],
  ['s390x', /^kvm(-s390)?:kvm_s390_/, ''],
  ['loongarch64', /^kvm:kvm_(exit_gspr|exit_idle|exit_cache|vpid_change)$/, ''],
];

/** What QEMU is called on the machine that recorded, as far as events and threads tell: x86's where they do not. */
export function qemuOf({ types, threads }: Pick<Trace, 'types' | 'threads'>): string {
  for (const [name, events, field] of ofArchitecture) {
    const is = types.some(
      (type) =>
        events.test(type.name) || (field !== '' && type.name === 'kvm:kvm_exit' && type.reader(field) !== undefined),
    );
    if (is) return `qemu-system-${name}`;
  }
  // The kernel keeps the first 15 bytes of a thread's name.
  for (const { comm } of threads.values())
    for (const [name] of ofArchitecture)
      if (comm.startsWith(`qemu-system-${name.slice(0, 3)}`)) return `qemu-system-${name}`;
  return anyQemu;
}

/** What makes recorders stamp events with a clock that counts time. */
export const clockOptions = {
  'trace-cmd': '-C mono',
  perf: '-k mono',
  qemu: '-msg timestamp=on',
} as const;

/** The same, for where there are no times: `record with -C mono (trace-cmd) or -k mono (perf)`. */
export const recordTimes = `record with ${clockOptions['trace-cmd']} (trace-cmd) or ${clockOptions.perf} (perf)`;

/** How a recorder is told to use CLOCK_MONOTONIC, or what to use beside it, by `Traits.recorder`. */
export const monotonic = {
  perf: '`perf record -k CLOCK_MONOTONIC …`',
  'qemu log': "QEMU's simpletrace, or `perf record -k CLOCK_MONOTONIC …` beside the log",
  other: `\`trace-cmd record ${clockOptions['trace-cmd']} …\``,
} as const;

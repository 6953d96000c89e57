import { LiveError } from './live-error.ts';
import { eventsOf, systemsOf } from './tracefs.ts';

/** What a recording can be for: each names the events that its commands learn from. */
export const purposes = ['exits', 'leaks', 'requests', 'locks', 'wakes', 'interrupts'] as const;
export type Purpose = (typeof purposes)[number];

/** Which events of a running machine: what they are for, and which others. */
export type LiveEvents = {
  purposes?: readonly Purpose[];
  patterns?: readonly string[];
  /** Purposes and patterns that are left out where a machine cannot serve them, rather than refused; of patterns one must be served. */
  optional?: true;
};

/** What is recorded where nobody says what for: QEMU's locks come too often for that. */
export const usualEvents: LiveEvents = { purposes: ['exits', 'leaks', 'requests'], optional: true };

/** They tell when threads run. */
export const schedEvents = ['sched:sched_switch', 'sched:sched_waking', 'sched:sched_wakeup', 'sched:sched_wakeup_new'];

/*
 * Left out of the kvm events are those that come in great numbers and tell little of an exit: MMU notifiers, emulated
 * instructions, end-of-interrupt, the cpuid that every kvm_exit with that reason has.
 */
const exitEvents = [
  ...['exit', 'entry', 'userspace_exit', 'fpu', 'vcpu_wakeup', 'halt_poll_ns', 'pio', 'mmio', 'fast_mmio', 'msr'],
  ...['hypercall', 'page_fault', 'guest_fault', 'inj_virq', 'inj_exception', 'set_irq', 'msi_set_irq', 'irq_line'],
  ...['apic_accept_irq', 'nested_vmexit', 'nested_vmenter', 'pv_tlb_flush', 'wfx_arm64', 'handle_sys_reg'],
]
  .map((name) => `kvm:kvm_${name}`)
  .concat(schedEvents);

/** What tells beside those why a halted vCPU was woken. */
const wakeEvents = ['kvm_apic_ipi', 'kvm_apicv_accept_irq', 'kvm_timer_update_irq', 'vgic_update_irq_pending'].map(
  (name) => `kvm:${name}`,
);

/** What tells beside those of the way of interrupts. */
const interruptEvents = ['eoi', 'wait_lapic_expire', 'hv_timer_state', 'ioapic_set_irq', 'ack_irq', 'irq_line'].map(
  (name) => `kvm:kvm_${name}`,
);

/** The kernel's events by purpose. */
const kernelEvents: Record<Purpose, readonly string[]> = {
  exits: exitEvents,
  requests: exitEvents,
  wakes: [...exitEvents, ...wakeEvents],
  interrupts: [...exitEvents, ...wakeEvents, ...interruptEvents],
  leaks: [],
  // Whether who has a mutex runs.
  locks: schedEvents,
};

/** QEMU's events by purpose, as patterns; a `!` leaves out. */
const leakEvents = [
  ...['virtqueue_pop', 'virtqueue_fill', 'virtio_*'],
  // Of these there are many, and none that tells of an element.
  ...['!virtio_mmio_*', '!virtio_pci_*', '!virtio_iommu_*', '!virtio_gpu_*'],
];
const qemuEvents: Record<Purpose, readonly string[]> = {
  exits: [],
  wakes: [],
  interrupts: [],
  leaks: leakEvents,
  requests: [
    ...leakEvents,
    ...['thread_pool_submit*', 'thread_pool_complete*', 'luring_co_submit', 'luring_process_completion'],
    ...['blk_co_preadv', 'blk_co_pwritev', 'kvm_run_exit'],
  ],
  locks: ['qemu_mutex_lock', 'qemu_mutex_locked', 'qemu_mutex_unlock', 'kvm_run_exit'],
};

/** Whether a purpose is about QEMU's events: without them there is nothing to learn. */
export function needsQemu(purpose: Purpose): boolean {
  return qemuEvents[purpose].length > 0;
}

/** The kernel's events of these purposes that this kernel has. Throws a LiveError where it lacks those that the purpose is about. */
export function eventsFor(tracefs: string, wanted: readonly Purpose[]): string[] {
  const events = new Set(wanted.flatMap((purpose) => kernelEvents[purpose]));
  if (events.size === 0) return [];
  const has = new Set(
    ['kvm', 'sched'].flatMap((system) => eventsOf(tracefs, system).map((name) => `${system}:${name}`)),
  );
  if (!has.has('kvm:kvm_exit')) {
    throw new LiveError('the kernel has no kvm events: is the module kvm loaded? (modprobe kvm)');
  }
  return [...events].filter((event) => has.has(event));
}

/** Those of QEMU's events, by name, that are for these purposes. */
export function qemuEventsFor(names: Iterable<string>, wanted: readonly Purpose[]): string[] {
  const takes = wanted.map((purpose) => {
    const left = qemuEvents[purpose]
      .filter((pattern) => pattern.startsWith('!'))
      .map((pattern) => wildcard(pattern.slice(1)));
    const taken = qemuEvents[purpose].filter((pattern) => !pattern.startsWith('!')).map(wildcard);
    return (name: string) => taken.some((match) => match(name)) && !left.some((match) => match(name));
  });
  return [...names].filter((name) => takes.some((take) => take(name)));
}

/** Those of QEMU's events that a pattern names: `virtqueue_pop`, `qemu:virtio_*`, `qemu`. */
export function matchQemuEvents(names: Iterable<string>, pattern: string): string[] {
  const colon = pattern.indexOf(':');
  if (colon >= 0 && !wildcard(pattern.slice(0, colon))('qemu')) return [];
  return [...names].filter(pattern === 'qemu' ? () => true : wildcard(pattern.slice(colon + 1)));
}

/**
 * The kernel's events that a pattern names: `kvm:kvm_exit`, `kvm_exit`, `kvm:*`, `kvm`. `*` stands for any characters,
 * a name without a system for every event or system of that name.
 */
export function matchEvents(tracefs: string, pattern: string): string[] {
  const colon = pattern.indexOf(':');
  const system = colon < 0 ? '*' : pattern.slice(0, colon);
  const event = pattern.slice(colon + 1);
  const found: string[] = [];
  for (const name of systemsOf(tracefs).filter(wildcard(system))) {
    // As trace-cmd takes it, `-e kvm` is all of the system.
    const whole = colon < 0 && name === pattern;
    found.push(
      ...eventsOf(tracefs, name)
        .filter(whole ? () => true : wildcard(event))
        .map((e) => `${name}:${e}`),
    );
  }
  // The tracer's own events (ftrace:*) are not switched on this way.
  return found.filter((name) => !name.startsWith('ftrace:'));
}

function wildcard(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[^\w-]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('.*')}$`);
  return (name) => expression.test(name);
}

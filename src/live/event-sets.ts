import { LiveError } from './live-error.ts';
import { eventsOf, systemsOf } from './tracefs.ts';

/** What a recording can be for: each names the kernel's events that its commands learn from. */
export const purposes = ['exits'] as const;
export type Purpose = (typeof purposes)[number];

/*
 * Left out of the kvm events are those that come in great numbers and tell little of an exit: MMU notifiers, emulated
 * instructions, end-of-interrupt, the cpuid that every kvm_exit with that reason has.
 */
const kernelEvents: Record<Purpose, readonly string[]> = {
  exits: [
    ...['exit', 'entry', 'userspace_exit', 'fpu', 'vcpu_wakeup', 'halt_poll_ns', 'pio', 'mmio', 'fast_mmio', 'msr'],
    ...['hypercall', 'page_fault', 'guest_fault', 'inj_virq', 'inj_exception', 'set_irq', 'irq_line'],
    ...['apic_accept_irq', 'nested_vmexit', 'nested_vmenter', 'pv_tlb_flush', 'wfx_arm64', 'handle_sys_reg'],
  ]
    .map((name) => `kvm:kvm_${name}`)
    .concat(['sched:sched_switch', 'sched:sched_waking', 'sched:sched_wakeup', 'sched:sched_wakeup_new']),
};

/** The events of these purposes that this kernel has. Throws a LiveError where it lacks those that the purpose is about. */
export function eventsFor(tracefs: string, wanted: readonly Purpose[]): string[] {
  const has = new Set([
    ...eventsOf(tracefs, 'kvm').map((e) => `kvm:${e}`),
    ...eventsOf(tracefs, 'sched').map((e) => `sched:${e}`),
  ]);
  if (!has.has('kvm:kvm_exit')) {
    throw new LiveError('the kernel has no kvm events: is the module kvm loaded? (modprobe kvm)');
  }
  return [...new Set(wanted.flatMap((purpose) => kernelEvents[purpose]))].filter((event) => has.has(event));
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

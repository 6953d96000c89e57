import type { EventType } from '../trace/event-type.ts';
import { isSwitch } from './sched.ts';

/** Events with which a vCPU thread leaves the guest, per architecture: x86, arm64, riscv, LoongArch, MIPS; s390; ppc; LTTng's name. */
const exitEvents =
  /^(kvm:kvm_exit|kvm:kvm_s390_sie_exit|kvm:kvm_x86_exit|kvm_(hv|pr|booke):kvm_(guest_)?exit|lttng:kvm_x86_exit)$/;
/** Events with which it goes back in. */
const entryEvents =
  /^(kvm:kvm_entry|kvm:kvm_s390_sie_enter|kvm:kvm_x86_entry|kvm:kvm_enter|kvm:kvm_reenter|kvm_hv:kvm_guest_enter|lttng:kvm_x86_entry)$/;

export function isExit(type: EventType): boolean {
  return exitEvents.test(type.name);
}

export function isEntry(type: EventType): boolean {
  return entryEvents.test(type.name);
}

/** arm64: whether the WFx that the guest was left for is a WFE, with which it does not sleep. */
export const wfx = 'kvm:kvm_wfx_arm64';
/** Events of the vCPU's own thread with its number, where exits and entries lack it. */
const numbering = /^kvm:kvm_(halt_poll_ns|get_timer_map)$/;

/** Whether an event of a thread that runs a vCPU says which. Other threads can have it, too. */
export function isNumbering(type: EventType): boolean {
  return numbering.test(type.name);
}

/** LoongArch: what the privileged instruction is that the guest was left for. */
export const gspr = 'kvm:kvm_exit_gspr';
/** LoongArch: that it was one with which the guest sleeps. */
export const idle = 'kvm:kvm_exit_idle';

export function isHint(type: EventType): boolean {
  return type.name === wfx || type.name === gspr || type.name === idle || isNumbering(type);
}

/** What an event is to the pairing of exits. */
export const roles = { other: 1, exit: 2, entry: 3, hint: 4, change: 5 } as const;

export function roleOf(type: EventType): number {
  if (isExit(type)) return roles.exit;
  if (isEntry(type)) return roles.entry;
  if (isHint(type)) return roles.hint;
  return isSwitch(type) ? roles.change : roles.other;
}

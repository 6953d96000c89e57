import { type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Untold } from '../views/vcpus.ts';
import type { Rgb } from './terminal.ts';

/** Time by state, in ns; a state that the trace cannot tell apart is absent. */
export type StatesJson = { [state: string]: number };

/** What the trace cannot tell apart: `state` stands in another, for want of the events named. */
export type UntoldJson = { state: string; stands_in: string; lacking: string }[];

/** What a state is called for people, its letter where there are no colours, and its colour (Okabe and Ito's, safe for the colour-blind). */
export const stateLooks: Record<VcpuState, { name: string; letter: string; color: Rgb }> = {
  guest: { name: 'in the guest', letter: 'g', color: [0, 158, 115] },
  kvm: { name: 'in KVM', letter: 'k', color: [86, 180, 233] },
  qemu: { name: 'in QEMU', letter: 'q', color: [0, 114, 178] },
  lock: { name: 'waiting for a QEMU lock', letter: 'L', color: [213, 94, 0] },
  blocked: { name: 'blocked otherwise in QEMU', letter: 'b', color: [204, 121, 167] },
  preempted: { name: 'preempted', letter: 'P', color: [230, 159, 0] },
  halted: { name: 'halted', letter: '.', color: [90, 90, 90] },
  unsure: { name: 'unsure: events were lost', letter: '?', color: [240, 228, 66] },
};

/** States that stand in an answer: all that the trace can tell, and `unsure` where there is some. */
export function toldStates(divisions: readonly Record<VcpuState, number>[], untold: readonly Untold[]): VcpuState[] {
  return vcpuStates.filter(
    (state) =>
      divisions.some((of) => of[state] > 0) || (state !== 'unsure' && !untold.some((one) => one.state === state)),
  );
}

/** Which state the trace cannot tell apart, and which events would tell. */
export function untoldLine({ state, within, lacking }: Untold): string {
  const what =
    state in stateLooks
      ? `${stateLooks[state as VcpuState].name}`
      : state === 'waking'
        ? 'waiting for a CPU after waking'
        : state;
  const where = within in stateLooks ? `"${stateLooks[within as VcpuState].name}"` : within;
  return `Not told apart: ${what}. It stands in ${where}: there is no ${lacking}.`;
}

export function untoldJson(untold: readonly Untold[]): UntoldJson {
  return untold.map(({ state, within, lacking }) => ({ state, stands_in: within, lacking }));
}

import { number } from '../kind.ts';
import type { Vcpu } from '../vcpu.ts';

/** Whose span it is, of kinds whose spans are vCPUs'. */
export const vcpuColumns = {
  tid: number("the vCPU's thread"),
  pid: number("the VM's process"),
  vcpu: number("the vCPU's number in its VM"),
};

/** How these are read: `of` gives the thread of span `k`, of which `vcpu` says what is known by now. */
export function vcpuReaders(of: (k: number) => number, vcpu: (thread: number) => Vcpu) {
  return {
    tid: { of, value: (thread: number) => vcpu(thread).tid },
    pid: { of, value: (thread: number) => vcpu(thread).vm ?? -1 },
    vcpu: { of, value: (thread: number) => vcpu(thread).number ?? -1 },
  };
}

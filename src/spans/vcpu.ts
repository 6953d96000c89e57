import type { Trace } from '../trace/trace.ts';
import type { VcpuThread } from './exits.ts';

/** A thread that ran a vCPU, as far as the trace tells. */
export type Vcpu = {
  tid: number;
  /** Process id of the VM, undefined where the trace does not say. */
  vm: number | undefined;
  /** Number in the VM, undefined where the trace does not say. */
  number: number | undefined;
};

export function vcpuOf(thread: VcpuThread, trace: Trace | undefined): Vcpu {
  const known = trace?.threads.get(thread.tid);
  const vm = thread.pid >= 0 ? thread.pid : (known?.pid ?? -1);
  // QEMU names its threads where it was started with `-name …,debug-threads=on`; libvirt does.
  const named = /^CPU (\d+)\/KVM$/.exec(known?.comm ?? '')?.[1];
  const number = thread.vcpu >= 0 ? thread.vcpu : named === undefined ? undefined : Number(named);
  return { tid: thread.tid, vm: vm >= 0 ? vm : undefined, number };
}

/** Which vCPUs are asked for: those with these numbers, and those of the VMs of these processes or with these threads. */
export type VcpuChoice = { vcpus?: readonly number[] | undefined; pids?: readonly number[] | undefined };

export function isChosen({ tid, vm, number }: Vcpu, { vcpus, pids }: VcpuChoice): boolean {
  return (
    (vcpus === undefined || (number !== undefined && vcpus.includes(number))) &&
    (pids === undefined || pids.includes(tid) || (vm !== undefined && pids.includes(vm)))
  );
}

/** By VM, then vCPU. */
export function inOrder<T>(items: readonly T[], vcpuOf: (item: T) => Vcpu): T[] {
  const key = ({ vm, number, tid }: Vcpu) => [vm ?? -1, number ?? -1, tid] as const;
  return [...items].sort((x, y) => {
    const [a, b] = [key(vcpuOf(x)), key(vcpuOf(y))];
    return a.reduce((order, part, i) => order || part - (b[i] as number), 0);
  });
}

/** Whether a vCPU's number alone does not say which it is: there are several VMs, known or seen by one number on several threads. */
export function numbersRepeat(vcpus: Iterable<Vcpu>): boolean {
  const vms = new Set<number | undefined>();
  const threads = new Map<number, number>();
  for (const { vm, number, tid } of vcpus) {
    vms.add(vm);
    if (number === undefined) continue;
    if (vm === undefined && (threads.get(number) ?? tid) !== tid) return true;
    threads.set(number, tid);
  }
  return vms.size > 1;
}

/** What a vCPU is called; `repeat` as `numbersRepeat` says: then with the VM's process, or with its own thread. */
export function vcpuName({ vm, number, tid }: Vcpu, repeat: boolean): string {
  if (number === undefined) return tid < 0 ? 'unknown' : `thread ${tid}`;
  if (!repeat) return String(number);
  return vm === undefined ? `${number} (thread ${tid})` : `${vm}/${number}`;
}

/** A name that holds one of `vcpuName` as it were if numbers did not repeat: what somebody asks for by the number alone. */
export function withoutVm(name: string): string {
  return name.replace(/(^|,)(\d+)\/(?=\d+(,|$))/, '$1').replace(/(\d+) \(thread \d+\)/, '$1');
}

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A running virtual machine: a process that has one. */
export type Machine = {
  pid: number;
  /** As the command line says (`-name`), or the program's name. Whatever its owner chose: untrusted. */
  name: string;
  uuid: string | undefined;
  /** Name of its program, `qemu-system-x86_64`. */
  program: string;
  /** The thread of each vCPU, where thread names tell it (QEMU's `-name …,debug-threads=on`; libvirt asks for it). */
  vcpus: { vcpu: number; tid: number }[];
  /** All its threads, and the kernel's threads that work for it. */
  tids: number[];
};

const qemuProgram = /^(qemu-system-[\w.-]+|qemu-kvm|kvm)$/;
/** The kernel's threads that work for a process: `vhost-1234`, `kvm-pit/1234`. */
const helperThread = /^(?:vhost-|kvm-pit\/)(\d+)(?:-\d+)?$/;
const vcpuThread = /^CPU (\d+)\/(?:KVM|TCG|HVF|WHPX|MTTCG)/;

/** The virtual machines that run on this host: QEMU processes, and others that hold a VM of /dev/kvm. */
export function findMachines(proc = '/proc'): Machine[] {
  const machines = new Map<number, Machine>();
  const helpers: [owner: number, tid: number][] = [];
  for (const entry of readdirSync(proc)) {
    if (!/^\d+$/.test(entry)) continue;
    const folder = join(proc, entry);
    // A process can end at any moment between two looks at it.
    try {
      const exe = programOf(folder);
      if (exe === undefined) {
        const owner = helperThread.exec(readText(join(folder, 'comm')).trim());
        if (owner !== null) helpers.push([Number(owner[1]), Number(entry)]);
      } else if (qemuProgram.test(exe) || holdsMachine(folder)) {
        machines.set(Number(entry), machineOf(folder, Number(entry), exe));
      }
    } catch {}
  }
  for (const [owner, tid] of helpers) machines.get(owner)?.tids.push(tid);
  return [...machines.values()].sort((a, b) => a.pid - b.pid);
}

/** The threads of one process; none where there is no such process. */
export function threadsOf(pid: number, proc = '/proc'): number[] {
  try {
    return readdirSync(join(proc, String(pid), 'task')).map(Number);
  } catch {
    return [];
  }
}

/** When a process began, in the kernel's ticks since boot; undefined where it is gone, or dead and only not yet buried. */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Tells whether none of these processes is left. One that is gone by now already is gone, whoever gets its number later. */
export function goneCheck(pids: readonly number[]): () => boolean {
  const started = pids.map(startOf);
  return () => pids.every((pid, n) => started[n] === undefined || startOf(pid) !== started[n]);
}

/** The process of a thread; undefined where it is gone. */
export function processOf(tid: number, proc = '/proc'): number | undefined {
  try {
    return Number(/^Tgid:\s*(\d+)$/m.exec(readText(join(proc, String(tid), 'status')))?.[1]);
  } catch {
    return undefined;
  }
}

/** A thread's name, or undefined where it is gone. */
export function commOf(tid: number, proc = '/proc'): string | undefined {
  try {
    return readText(join(proc, String(tid), 'comm')).replace(/\n$/, '');
  } catch {
    return undefined;
  }
}

/** The name of a process's program, also where it was deleted or upgraded; undefined of kernel threads. */
function programOf(folder: string): string | undefined {
  try {
    return basename(readlinkSync(join(folder, 'exe')).replace(/ \(deleted\)$/, ''));
  } catch {
    return undefined;
  }
}

/** Whether a process has a virtual machine open: so do Firecracker, crosvm and other programs that use KVM. */
function holdsMachine(folder: string): boolean {
  const fds = join(folder, 'fd');
  for (const fd of readdirSync(fds)) {
    try {
      if (readlinkSync(join(fds, fd)) === 'anon_inode:kvm-vm') return true;
    } catch {}
  }
  return false;
}

function machineOf(folder: string, pid: number, program: string): Machine {
  const tids = readdirSync(join(folder, 'task')).map(Number);
  const vcpus: Machine['vcpus'] = [];
  for (const tid of tids) {
    const match = vcpuThread.exec(commOf(tid, join(folder, 'task')) ?? '');
    if (match !== null) vcpus.push({ vcpu: Number(match[1]), tid });
  }
  vcpus.sort((a, b) => a.vcpu - b.vcpu);
  const { name, uuid } = qemuNames(readText(join(folder, 'cmdline')).split('\0'));
  return { pid, name: name ?? program, uuid, program, vcpus, tids };
}

/** What a QEMU command line calls its guest: `-name guest=x,debug-threads=on`, `-name x`, `-uuid u`. In names, `,,` is a comma. */
export function qemuNames(args: readonly string[]): { name: string | undefined; uuid: string | undefined } {
  const value = (option: string) => {
    const at = args.findIndex((arg) => arg === `-${option}` || arg === `--${option}`);
    return at < 0 ? undefined : args[at + 1];
  };
  // No argument holds a NUL.
  const parts = value('name')
    ?.replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
  const guest = parts?.find((part) => part.startsWith('guest='))?.slice('guest='.length);
  const first = parts?.[0]?.includes('=') === true ? undefined : parts?.[0];
  return { name: guest || first || undefined, uuid: value('uuid') };
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

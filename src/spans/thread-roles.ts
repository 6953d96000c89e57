import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** What a thread is to QEMU. */
export type ThreadRole = {
  kind: 'vcpu' | 'main loop' | 'iothread' | 'worker' | 'rcu' | 'other';
  /** Number of the vCPU, undefined where the trace does not say, and for other threads. */
  vcpu?: number | undefined;
  /** Name of the IOThread. */
  name?: string | undefined;
};

/** Fields that tell the vCPU of the thread that an event is of. (qemu:kvm_vcpu_ioctl does not: the main loop makes such calls, too.) */
const tellVcpu = new Map<string, string>(
  Object.entries<string>({
    'qemu:kvm_run_exit': 'cpu_index',
    'kvm:kvm_entry': 'vcpu_id',
  }),
);
const maxThreads = 1 << 16;

/** Learns which threads run vCPUs, from events that say it. */
export class VcpuNumbers {
  readonly #numbers = new Map<number, number>();
  /** By type id; null in types that do not tell. */
  readonly #readers: (FieldReader | null)[] = [];

  wants(type: EventType): boolean {
    return tellVcpu.has(type.name);
  }

  batch(trace: Trace, b: EventBatch): void {
    for (let id = this.#readers.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      const field = tellVcpu.get(type.name);
      this.#readers.push(field === undefined ? null : (type.reader(field) ?? absent));
    }
    for (let i = 0; i < b.count; i++) {
      const reader = this.#readers[b.type[i] as number] as FieldReader | null;
      if (reader === null) continue;
      const tid = b.tid[i] as number;
      if (tid < 0 || this.#numbers.has(tid) || this.#numbers.size === maxThreads) continue;
      const number = reader.number(b, i);
      if (number >= 0) this.#numbers.set(tid, number);
    }
  }

  part(): ReadonlyMap<number, number> {
    return this.#numbers;
  }

  join(later: ReadonlyMap<number, number>): void {
    for (const [tid, number] of later) {
      if (!this.#numbers.has(tid) && this.#numbers.size < maxThreads) this.#numbers.set(tid, number);
    }
  }

  of(tid: number): number | undefined {
    return this.#numbers.get(tid);
  }
}

/** The role that QEMU's name for a thread tells (`-name …,debug-threads=on`; libvirt asks for it): util/qemu-thread-posix.c and its callers. */
function roleByName(comm: string): ThreadRole | undefined {
  const vcpu = /^CPU (\d+)\//.exec(comm);
  if (vcpu !== null) return { kind: 'vcpu', vcpu: Number(vcpu[1]) };
  if (/^ALL CPUs\//.test(comm)) return { kind: 'vcpu' };
  if (/^IO /.test(comm)) return { kind: 'iothread', name: comm.slice(3) };
  if (/^(worker|thread-pool)$/.test(comm)) return { kind: 'worker' };
  if (comm === 'call_rcu') return { kind: 'rcu' };
  return undefined;
}

const mainLoopFile = /(^|\/)util\/main-loop\.c$/;
/** Where vCPU threads, and only they once the main loop is known, take the BQL. */
const vcpuFile = /(^|\/)(accel\/|target\/|(softmmu|system)\/(cpus|physmem)\.c$)/;
const rcuFile = /(^|\/)util\/rcu\.c$/;
/** Where the main loop and the vCPUs sleep without the BQL, and take it again. */
const condFile = /(^|\/)cpus-common\.c$/;
const poolFile = /(^|\/)util\/thread-pool\.c$/;
const ioFile = /(^|\/)(util\/(async|aio-posix|aio-wait|fdmon-\w+)\.c|iothread\.c|block\/[\w-]+\.c)$/;

/** What is known of where a thread locks: files of the call sites of the BQL, and of any mutex. */
export type LockFiles = { bql: ReadonlySet<string>; any: ReadonlySet<string> };

/** The role that a thread's call sites tell, where names do not. */
function roleBySites({ bql, any }: LockFiles): ThreadRole {
  const has = (files: ReadonlySet<string>, pattern: RegExp) => [...files].some((file) => pattern.test(file));
  if (has(any, mainLoopFile)) return { kind: 'main loop' };
  if (has(bql, rcuFile)) return { kind: 'rcu' };
  if (has(bql, vcpuFile) || has(any, /(^|\/)accel\/tcg\//)) return { kind: 'vcpu' };
  if (bql.size > 0) return { kind: 'other' };
  if (has(any, poolFile)) return has(any, ioFile) ? { kind: 'iothread' } : { kind: 'worker' };
  return { kind: has(any, ioFile) ? 'iothread' : 'other' };
}

/** The role of a thread by all that is known of it: its name, its vCPU, its process (-1 where the trace does not say), its call sites. */
export function threadRole(
  tid: number,
  pid: number,
  comm: string,
  vcpu: number | undefined,
  sites?: LockFiles,
): ThreadRole {
  const named = roleByName(comm);
  if (named !== undefined) return named;
  if (vcpu !== undefined) return { kind: 'vcpu', vcpu };
  // The main loop runs on a process's first thread.
  if (pid === tid) return { kind: 'main loop' };
  return sites === undefined ? { kind: 'other' } : roleBySites(sites);
}

/** Whether a mutex that is locked in this file may be the big QEMU lock: it is taken here, and hardly any other is. */
export function maybeBql(file: string): boolean {
  return [mainLoopFile, vcpuFile, rcuFile, condFile].some((pattern) => pattern.test(file));
}

/** Whether these files are those of the big QEMU lock: the main loop takes it, and the vCPUs' loops do. */
export function isBql(files: Iterable<string>): boolean {
  let main = false;
  let vcpu = false;
  for (const file of files) {
    main ||= mainLoopFile.test(file);
    vcpu ||= vcpuFile.test(file);
  }
  return main && vcpu;
}

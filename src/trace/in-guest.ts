import type { EventBatch } from './batch.ts';
import type { EventType } from './event-type.ts';

/*
 * Where somebody says how far the clocks of QEMU's recording and the kernel's are apart, it shows whether that can be: a thread of QEMU traces
 * nothing while it is in the guest, from its kvm_entry to its kvm_exit.
 */

/** Events of QEMU of threads that run vCPUs, after which it is decided, each time anew; and the share of them that cannot be where they are. */
const looks = [256, 1024, 4096];
const tooMany = 0.1;

const entry = /^kvm:kvm_(x86_)?entry$/;
const exit = /^kvm:kvm_(x86_)?exit$/;
const roles = { none: 0, entry: 1, exit: 2, qemu: 3 } as const;

/** A thread that runs a vCPU: which file tells, whether it is in the guest, and how many of QEMU's events there were since, by file. */
type Vcpu = { file: number; inside: boolean; since: number[] };

export type Impossible = { file: number; other: number; wrong: number; judged: number };

export class InGuest {
  readonly #roles: number[] = [];
  readonly #vcpus = new Map<number, Vcpu>();
  /** By file of QEMU's events. */
  readonly #judged: number[];
  readonly #wrong: number[];
  readonly #looks: number[];

  constructor(files: number) {
    this.#judged = new Array<number>(files).fill(0);
    this.#wrong = new Array<number>(files).fill(0);
    this.#looks = new Array<number>(files).fill(0);
  }

  /** Takes event `i` of a batch of a file, in order of time; tells where by now too many of QEMU's events are where they cannot be. */
  take(file: number, type: EventType, b: EventBatch, i: number): Impossible | undefined {
    let role = this.#roles[type.id];
    if (role === undefined) {
      role = entry.test(type.name) ? roles.entry : exit.test(type.name) ? roles.exit : roles.none;
      if (type.name.startsWith('qemu:')) role = roles.qemu;
      this.#roles[type.id] = role;
    }
    const tid = b.tid[i] as number;
    if (role === roles.none || tid < 0) return undefined;
    const vcpu = this.#vcpus.get(tid);
    if (role !== roles.qemu) {
      if (vcpu === undefined) this.#vcpus.set(tid, { file, inside: role === roles.entry, since: [] });
      else if (vcpu.file === file) this.#pass(vcpu, role === roles.entry);
      return undefined;
    }
    if (vcpu === undefined || vcpu.file === file || (this.#looks[file] as number) === looks.length) return undefined;
    // What was in the guest is known with the exit: had that been lost, the thread would not have been.
    if (vcpu.inside) vcpu.since[file] = (vcpu.since[file] ?? 0) + 1;
    else this.#judged[file] = (this.#judged[file] as number) + 1;
    const [judged, wrong] = [this.#judged[file] as number, this.#wrong[file] as number];
    const look = this.#looks[file] as number;
    if (judged < (looks[look] ?? Number.POSITIVE_INFINITY)) return undefined;
    this.#looks[file] = look + 1;
    return wrong > judged * tooMany ? { file, other: vcpu.file, wrong, judged } : undefined;
  }

  /** A vCPU enters the guest, or leaves it. */
  #pass(vcpu: Vcpu, enters: boolean): void {
    if (!enters && vcpu.inside)
      vcpu.since.forEach((count, file) => {
        this.#wrong[file] = (this.#wrong[file] as number) + count;
        this.#judged[file] = (this.#judged[file] as number) + count;
      });
    vcpu.since.length = 0;
    vcpu.inside = enters;
  }
}

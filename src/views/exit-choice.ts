import { reasonFromText } from '../spans/exit-reasons.ts';
import type { ExitPairing, ExitPart, ExitSpans, VcpuThread } from '../spans/exits.ts';
import { isChosen, type VcpuChoice, vcpuOf } from '../spans/vcpu.ts';
import type { Trace } from '../trace/trace.ts';

/** Which exits are asked for; all where nothing is said. */
export type ExitChoiceOptions = VcpuChoice & {
  /** Reasons to take, and reasons to leave out, in any spelling. */
  reasons?: readonly string[];
  exclude?: readonly string[];
  /** Host CPUs on which the guest was left. */
  cpus?: readonly number[] | undefined;
};

/** Tells the exits that are asked for from the others. Of a thread it is decided once, with what is known then. */
export class ExitChoice {
  /** What is known of threads' processes. */
  trace: Trace | undefined;
  readonly asked: ExitChoiceOptions;
  readonly #pairing: ExitPairing;
  readonly #only: ReadonlySet<string>;
  readonly #exclude: ReadonlySet<string>;
  readonly #cpus: ReadonlySet<number> | undefined;
  /** By reason id: whether it is left out; and by thread: 1 taken, 2 left out, 0 not decided. */
  readonly #leftOut: boolean[] = [];
  readonly #threads: number[] = [];

  constructor(pairing: ExitPairing, { reasons = [], exclude = [], cpus, vcpus, pids }: ExitChoiceOptions) {
    this.#pairing = pairing;
    this.asked = { reasons, exclude, cpus, vcpus, pids };
    this.#only = new Set(reasons.map(foldReason));
    this.#exclude = new Set(exclude.map(foldReason));
    this.#cpus = cpus === undefined ? undefined : new Set(cpus);
  }

  /** Takes the others out of a table. */
  filter(spans: ExitSpans): void {
    const { vcpus, pids, cpus } = this.asked;
    const all = vcpus === undefined && pids === undefined && cpus === undefined;
    if (all && this.#exclude.size === 0 && this.#only.size === 0) return;
    spans.filter((k) => this.takes(spans.reason[k] as number, spans.thread[k] as number, spans.cpu[k] as number));
  }

  /** Whether exits of this reason, thread and CPU are asked for. */
  takes(reason: number, thread: number, cpu: number): boolean {
    const { names } = this.#pairing.reasons;
    for (let id = this.#leftOut.length; id < names.length; id++) {
      const name = foldReason(names[id] as string);
      this.#leftOut.push(this.#exclude.has(name) || (this.#only.size > 0 && !this.#only.has(name)));
    }
    if (this.#leftOut[reason] === true) return false;
    if (this.#cpus?.has(cpu) === false) return false;
    const known = this.#threads[thread] ?? 0;
    if (known > 0) return known === 1;
    const chosen = this.#isChosen(this.#pairing.threads[thread] as VcpuThread);
    this.#decide(thread, chosen ? 1 : 2);
    return chosen;
  }

  /** Whether all of the reasons that there are, are to be left out. */
  get leavesNone(): boolean {
    const names = [...this.#names()];
    return names.length > 0 && names.every((name) => this.#exclude.has(name));
  }

  /** Reasons that were named and are not there. */
  get unknownReasons(): string[] {
    const names = this.#names();
    const { reasons = [], exclude = [] } = this.asked;
    return [...reasons, ...exclude].filter((name) => !names.has(foldReason(name)));
  }

  /** What was decided of threads: for the one that read the part before. */
  part(): readonly number[] {
    return this.#threads;
  }

  /** Whether what is known of threads here, there, or of both decides alike which are asked for. */
  accepts(choice: readonly number[], { threads, ahead }: ExitPart): boolean {
    const { vcpus, pids } = this.asked;
    if (vcpus === undefined && pids === undefined) return true;
    return threads.every((theirs, n) => {
      const t = this.#pairing.find(theirs.tid);
      const own = this.#pairing.threads[t] ?? theirs;
      const told = { ...own, ...withMore(own, ahead.get(theirs.tid) ?? own) };
      const both = { ...own, ...withMore(told, theirs) };
      const here = this.#threads[t] ?? 0;
      const decisions = here > 0 ? [here] : [own, told, both].map((thread) => (this.#isChosen(thread) ? 1 : 2));
      const there = choice[n] ?? 0;
      if (there > 0) decisions.push(there);
      return new Set(decisions).size === 1;
    });
  }

  /** Takes over what was decided; `threads` are that part's threads here. */
  join(choice: readonly number[], threads: Int32Array): void {
    choice.forEach((decision, theirs) => {
      if (decision > 0) this.#decide(threads[theirs] as number, decision);
    });
  }

  #decide(thread: number, decision: number): void {
    while (this.#threads.length <= thread) this.#threads.push(0);
    this.#threads[thread] = decision;
  }

  #isChosen(thread: VcpuThread): boolean {
    return isChosen(vcpuOf(thread, this.trace), this.asked);
  }

  #names(): Set<string> {
    return new Set(this.#pairing.reasons.names.map(foldReason));
  }
}

/** Whether two names mean the same exit reason. */
export function sameReason(a: string, b: string): boolean {
  return foldReason(a) === foldReason(b);
}

/** `EXIT_NPF`, `NPF` and `npf` are the same to who types them. */
function foldReason(name: string): string {
  return reasonFromText(name).toLowerCase();
}

/** What is known of a thread, and what more another knows. */
function withMore(known: Omit<VcpuThread, 'tid'>, other: Omit<VcpuThread, 'tid'>): Omit<VcpuThread, 'tid'> {
  return {
    pid: known.pid >= 0 ? known.pid : other.pid,
    vcpu: known.vcpu >= 0 ? known.vcpu : other.vcpu,
  };
}

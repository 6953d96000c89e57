import { ExitPairing, type ExitPart } from '../spans/exits.ts';
import { inOrder, isChosen, type Vcpu, type VcpuChoice, vcpuOf } from '../spans/vcpu.ts';
import {
  type DividedTime,
  type Evidence,
  type VcpuState,
  VcpuTime,
  type VcpuTimePart,
  vcpuStates,
} from '../spans/vcpu-time.ts';
import { type Analysis, type Joinable, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from './conditions.ts';

export type VcpuOptions = VcpuChoice & {
  timeline?: boolean;
  /** Exits that were asked for slow ones and the same timeline: their division is taken. They take each batch first. */
  exits?: { readonly pairing: ExitPairing; readonly time: VcpuTime | undefined } | undefined;
};

/** What one vCPU thread did with its time. */
export type VcpuRow = Omit<DividedTime, 'thread' | 'cells'> & {
  vcpu: Vcpu;
  wall: number;
  /** The state that took most of each stretch of the timeline; undefined where the thread was not there. */
  timeline: (VcpuState | undefined)[] | undefined;
  /** Its exit that was not over at the end of the stretch. */
  open: { reason: string; age: number } | undefined;
};

/** A state that the trace cannot tell apart, the state that its time stands in, and the events that would tell. */
export type Untold = { state: string; within: string; lacking: string };

export type VcpusResult = {
  rows: VcpuRow[];
  /** How many vCPU threads the trace has, those that were not asked for included. */
  threads: number;
  untold: Untold[];
  /** Threads that had the CPU while vCPUs were preempted, the first most; tid 0 is no thread: the CPU was idle, waking up. */
  others: { tid: number; comm: string; time: number }[];
  timeline: { from: number; step: number } | undefined;
  /** How long the stretch is that all this is of. */
  duration: number;
};

const shownOthers = 5;

/** What `Vcpus` learnt of a stretch of a recording, as plain data. */
export type VcpusPart = { pairing: ExitPart; time: VcpuTimePart };

/** Everything that `virtap vcpus` answers, in one pass. */
export class Vcpus implements Analysis, Joinable<VcpusPart> {
  readonly pairing: ExitPairing;
  readonly #time: VcpuTime;
  /** Whether nobody else feeds these. */
  readonly #own: boolean;
  readonly options: VcpuOptions;
  #trace: Trace | undefined;
  #window: Window | undefined;

  constructor(options: VcpuOptions = {}) {
    this.options = options;
    const { exits } = options;
    this.#own = exits?.time === undefined;
    this.pairing = exits?.time === undefined ? new ExitPairing() : exits.pairing;
    this.#time = exits?.time ?? new VcpuTime(this.pairing, { timeline: options.timeline === true });
  }

  wants(type: EventType): boolean {
    return [this.pairing.wants(type), this.#time.wants(type)].includes(true);
  }

  within(window: Window): void {
    this.#window = window;
    if (!this.#own) return;
    this.pairing.within(window);
    this.#time.within(window);
  }

  behind(trace: Trace, b: EventBatch): void {
    if (this.#own) this.#time.behind(trace, b);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    if (!this.#own) return;
    this.pairing.batch(trace, b);
    this.#time.batch(trace, b);
  }

  inMiddle(): void {
    if (this.#own) this.#time.inMiddle();
  }

  /** What looks at another's exits has nothing of its own to join. */
  part(): VcpusPart {
    return { pairing: this.pairing.part(), time: this.#time.part() };
  }

  accepts({ pairing, time }: VcpusPart): boolean {
    return !this.#own || (this.pairing.accepts(pairing) && this.#time.accepts(time, pairing.threads));
  }

  join(trace: Trace, { pairing, time }: VcpusPart): void {
    this.#trace = trace;
    if (this.#own) this.#time.join(trace, time, this.pairing.join(pairing).threads);
  }

  result(): VcpusResult {
    const time = this.#time;
    const { from, to } = this.#window ?? wholeOf(this.#trace);
    const { timeline } = this.options;
    const open = new Map([...this.pairing.open()].map((one) => [one.thread, one]));
    const rows = time.finish(to).map(({ thread, cells, ...divided }): VcpuRow => {
      const exit = open.get(thread);
      return {
        ...divided,
        vcpu: vcpuOf(this.pairing.threads[thread] as { tid: number; pid: number; vcpu: number }, this.#trace),
        wall: divided.end - divided.begin,
        timeline: cells === undefined ? undefined : dominating(cells, Math.ceil((to - from) / time.step)),
        open:
          exit === undefined
            ? undefined
            : { reason: this.pairing.reasons.names[exit.reason] as string, age: to - exit.begin },
      };
    });
    return {
      rows: inOrder(rows, (row) => row.vcpu).filter(({ vcpu }) => isChosen(vcpu, this.options)),
      threads: rows.length,
      untold: untold(time.evidence),
      others: [...time.others]
        .sort(([, a], [, b]) => b - a)
        .slice(0, shownOthers)
        .map(([tid, spent]) => ({ tid, comm: this.#trace?.threads.get(tid)?.comm ?? '', time: spent })),
      timeline: timeline === true ? { from: time.from, step: time.step } : undefined,
      duration: to - from,
    };
  }
}

/**
 * How long vCPUs were held outside the guest: neither in it nor halted. Of an exit by a halt only the sleep (and the polling before it) is
 * halted; what KVM needs around it, and the wait for a CPU after it, hold the vCPU up.
 */
export function heldOutside(rows: readonly Pick<VcpuRow, 'states' | 'wall'>[]): { total: number; share: number } {
  const held = vcpuStates.filter((state) => state !== 'guest' && state !== 'halted' && state !== 'unsure');
  const total = rows.reduce((sum, row) => sum + held.reduce((time, state) => time + row.states[state], 0), 0);
  return { total, share: total / rows.reduce((sum, { wall }) => sum + wall, 0) };
}

function dominating(cells: Float64Array, used: number): (VcpuState | undefined)[] {
  const states = vcpuStates.length;
  return Array.from({ length: Math.min(used, cells.length / states) }, (_, bin) => {
    const of = cells.subarray(bin * states, (bin + 1) * states);
    let most = 0;
    for (let s = 1; s < states; s++) if ((of[s] as number) > (of[most] as number)) most = s;
    return (of[most] as number) > 0 ? vcpuStates[most] : undefined;
  });
}

/** Which states the events of a trace cannot tell apart. */
export function untold({ sched, wakes, userspace, locks, haltLength }: Evidence): Untold[] {
  const lines: Untold[] = [];
  const add = (state: VcpuState | 'halt polling' | 'waking', within: string, lacking: string) =>
    lines.push({ state, within, lacking });
  if (!userspace) add('qemu', 'kvm', 'kvm:kvm_userspace_exit');
  if (!locks)
    add(
      'lock',
      userspace ? (sched ? 'blocked' : 'qemu') : 'kvm',
      'qemu:qemu_mutex_lock, qemu:qemu_mutex_locked and qemu:qemu_mutex_unlock',
    );
  if (!userspace || !sched)
    add('blocked', userspace ? 'qemu' : 'kvm', sched ? 'kvm:kvm_userspace_exit' : 'sched:sched_switch');
  if (!sched) add('preempted', 'the state in which it happened', 'sched:sched_switch');
  else if (!wakes) add('waking', 'the sleep before it', 'sched:sched_waking');
  if (!haltLength) add('halt polling', sched ? 'kvm' : 'halted', 'kvm:kvm_vcpu_wakeup');
  return lines;
}

/** What conditions call a vCPU. */
export function vcpuWord({ number, tid }: Vcpu): string {
  return String(number ?? `thread ${tid}`);
}

/** What conditions can be about: each state that the trace tells, of all vCPUs and of each. */
export function vcpuSubjects({ rows, untold: lacking }: VcpusResult): Subject[] {
  const told = vcpuStates.filter((state) => !lacking.some((one) => one.state === state));
  const sum = (of: readonly VcpuRow[], figure: (row: VcpuRow) => number) =>
    of.reduce((total, row) => total + figure(row), 0);
  return told.flatMap((state) => {
    const subject = (name: string | undefined, of: readonly VcpuRow[]): Subject => {
      const total = sum(of, (row) => row.states[state]);
      const max = of.reduce((most, row) => Math.max(most, row.longest[state]?.duration ?? 0), 0);
      return { kind: state, name, measured: { total, share: total / sum(of, (row) => row.wall), max } };
    };
    return [subject(undefined, rows), ...rows.map((row) => subject(vcpuWord(row.vcpu), [row]))];
  });
}

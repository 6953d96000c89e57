/** A CPU of which nothing was seen yet, in a stretch that begins in the middle: what it runs may be known from before. No tid is so small. */
export const unseen = -0x80000000;

/** The first kvm event of a thread in a stretch, which may contradict what the thread did before it. */
export type ThreadHead = {
  tid: number;
  exits: boolean;
  name: string;
  isa: number;
  cpu: number;
  time: number;
  /** Whether the thread was switched out in the stretch before. */
  left: boolean;
};

/** What stood on a CPU until it was switched for the first time in a stretch. */
type CpuHead = {
  tid: number;
  /** It was not one thread alone. */
  mixed: boolean;
  /** That the thread was scheduled there was taken for granted in what came after. */
  presumed: boolean;
  /** Events after the first that would have contradicted, had another thread been there. */
  steps: number;
};

/** What hangs on what was before a stretch that begins in the middle of a recording. */
export type SeamPart = {
  threads: readonly ThreadHead[];
  /** Events were lost: what threads did before tells nothing of what they did later. */
  lost: boolean;
  cpus: ReadonlyMap<number, CpuHead>;
  /** Nothing of the scheduler's seems to be recorded: nobody looked who has the CPUs. */
  unscheduled: boolean;
  /** Threads that left the guest twice and were not seen to enter it. */
  unentered: ReadonlySet<number>;
  /** Time of the first event that is looked at; NaN where there is none. */
  first: number;
  /** The longest time in which there was none, of those that are not usual. */
  longest: number;
};

/** So many exits and entries without any sched_switch, and none is waited for. */
const maxUnscheduled = 1024;

/** Keeps what hangs on what was before, while a stretch is read. */
export class HoleSeam {
  readonly threads: ThreadHead[] = [];
  lost = false;
  readonly cpus = new Map<number, CpuHead>();
  unscheduled = false;
  readonly unentered = new Set<number>();
  first = Number.NaN;
  longest = 0;
  #switched = false;
  #early = 0;

  part(): SeamPart {
    const { threads, lost, cpus, unscheduled, unentered, first, longest } = this;
    return { threads, lost, cpus, unscheduled, unentered, first, longest };
  }

  /** After each event, and the last one's time. */
  passed(last: number, time: number): void {
    if (Number.isNaN(this.first)) this.first = time;
    if (time - last >= this.longest) this.longest = time - last;
  }

  /** A thread's exit or entry on a CPU that was not switched so far. Gives what `running` is to say of the CPU from now on. */
  own(cpu: number, tid: number): number {
    const head = this.cpus.get(cpu);
    if (head === undefined) this.cpus.set(cpu, { tid, mixed: false, presumed: this.#switched, steps: 0 });
    else if (head.tid === tid) head.steps++;
    else head.mixed = true;
    this.#early++;
    return this.#switched ? tid : unseen;
  }

  /** Whether it is time to take the recording for one without the scheduler's events. */
  get givesUp(): boolean {
    if (this.#switched || this.#early < maxUnscheduled) return false;
    this.unscheduled = true;
    return true;
  }

  /** The first switch on a CPU, away from a thread. */
  switch(cpu: number, previous: number): void {
    const head = this.cpus.get(cpu);
    if (head === undefined) this.cpus.set(cpu, { tid: previous, mixed: false, presumed: false, steps: 0 });
    else if (head.tid === previous) head.steps++;
    else head.mixed = true;
  }

  /** After the first switch of all: the threads that were seen on CPUs are taken to be there. */
  presume(running: Int32Array): void {
    if (this.#switched) return;
    this.#switched = true;
    for (const [cpu, head] of this.cpus) {
      if (running[cpu] !== unseen) continue;
      head.presumed = !head.mixed;
      running[cpu] = head.mixed ? -1 : head.tid;
    }
  }
}

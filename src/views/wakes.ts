import { cellOf } from '../spans/kind.ts';
import { type Halts, halt, type PollWindow } from '../spans/kinds/halt.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { tableOf } from '../spans/table.ts';
import { inOrder, isChosen, type Vcpu, type VcpuChoice } from '../spans/vcpu.ts';
import { wholeOf } from '../trace/analysis.ts';
import type { Subject } from './conditions.ts';
import { measured } from './figures.ts';
import type { Heat } from './heatmap.ts';
import { KindView } from './kind-view.ts';
import { SpanGroups } from './span-groups.ts';
import { SpanView } from './span-view.ts';

export type WakesOptions = VcpuChoice & {
  heatmap?: boolean | undefined;
  slow?: number | undefined;
  than?: number | undefined;
};

/** What is told of several halts together; times in the clock's unit. */
export type HaltSums = {
  /** From kvm_exit to kvm_entry. */
  halted: Stats;
  /** How long the threads slept, of those that did. */
  slept: Stats;
  /** From the waking to the CPU. */
  latency: Stats;
  /** Halts that polling ended before the thread slept, and those in which it was in vain; and the time it took. Of what KVM tells of. */
  useful: { count: number; time: number };
  wasted: { count: number; time: number };
  /** Halts that slept, of which nothing tells whether KVM polled before. */
  unsure: number;
};

export type WakeCause = HaltSums & { cause: string };
export type Waker = HaltSums & { cause: string; waker: string; vector: number };
export type WokenVcpu = HaltSums & { vcpu: Vcpu; window: PollWindow | undefined };

/** A wake-up that took long. */
export type LateWake = {
  /** The waking, and how long until the thread had a CPU. */
  begin: number;
  duration: number;
  vcpu: Vcpu;
  cause: string;
  waker: string;
  vector: number;
  slept: number;
};

export type WakesResult = {
  causes: WakeCause[];
  wakers: Waker[];
  vcpus: WokenVcpu[];
  all: HaltSums;
  /** Wake-up latencies over time. */
  heat: Heat | undefined;
  slow: LateWake[] | undefined;
  over: number;
  /** Halts that have not ended, the oldest first. */
  open: { begin: number; age: number; vcpu: Vcpu }[];
  /** What of the events was seen that tell of the sleep, of polling, and of what was sent. */
  told: { sched: boolean; wakeup: boolean; interrupts: boolean };
  /** Whether the recording holds any event that a halt can begin or end with. */
  seen: boolean;
  duration: number;
};

/** What conditions can be about: all halts, and those of each cause; and the wake-ups of these. */
export function wakeSubjects({ all, causes, duration }: WakesResult): Subject[] {
  const of = (name: string | undefined, { halted, latency }: HaltSums): Subject[] => [
    { kind: 'halt', name, measured: measured(halted, all.halted.total, duration / 1e9) },
    { kind: 'latency', name, measured: measured(latency, all.latency.total, duration / 1e9) },
  ];
  return [...of(undefined, all), ...causes.flatMap((row) => of(row.cause, row))];
}

/** Groups told apart; the rest is one. */
const maxGroups = 4096;

/** The sums of one group. */
class Sums {
  readonly halted = new Summary();
  readonly slept = new Summary();
  readonly latency = new Summary();
  readonly useful = { count: 0, time: 0 };
  readonly wasted = { count: 0, time: 0 };
  unsure = 0;

  merge(other: Sums): this {
    for (const name of ['halted', 'slept', 'latency'] as const) this[name].merge(other[name]);
    for (const name of ['useful', 'wasted'] as const) {
      this[name].count += other[name].count;
      this[name].time += other[name].time;
    }
    this.unsure += other.unsure;
    return this;
  }

  result(): HaltSums {
    const { halted, slept, latency, useful, wasted } = this;
    return {
      halted: halted.result(),
      slept: slept.result(),
      latency: latency.result(),
      useful: { ...useful },
      wasted: { ...wasted },
      unsure: this.unsure,
    };
  }
}

class Wakings extends tableOf({ begin: 'f64', duration: 'f64' }) {}

/** Everything that `virtap wakes` answers, in one pass. */
export class WakesView extends KindView<Halts> {
  readonly #options: WakesOptions;
  readonly #groups = new SpanGroups(this.spans, ['cause', 'waker', 'vector', 'tid'], maxGroups);
  /** By group, and by vCPU thread. */
  readonly #sums: (Sums | undefined)[] = [];
  readonly #byThread: (Sums | undefined)[] = [];
  /** From the waking to the CPU, of the halts that ended with a batch. */
  readonly #woken = new Wakings();
  readonly #view: SpanView<LateWake & { thread: number; causeId: number }>;

  constructor(options: WakesOptions = {}) {
    super(halt, halt.start());
    this.#options = options;
    this.#view = new SpanView(options);
  }

  protected override take(): void {
    this.#woken.count = 0;
    for (let k = 0; k < this.spans.count; k++) this.#takeOne(k);
    this.#view.draw(this.#woken, this.window?.from ?? 0);
  }

  result(): WakesResult {
    const causes = new Map<string, Sums>();
    const wakers = new Map<string, { cells: readonly unknown[]; sums: Sums }>();
    const all = new Sums();
    for (const { cells = ['others', '', -1, -1], groups } of this.#groups.rows()) {
      for (const group of groups) {
        const sums = this.#sums[group];
        if (sums === undefined) continue;
        const [cause, waker, vector] = cells as [string, string, number];
        all.merge(sums);
        causes.set(cause, (causes.get(cause) ?? new Sums()).merge(sums));
        const key = JSON.stringify([cause, waker, vector]);
        const row = wakers.get(key);
        if (row === undefined) wakers.set(key, { cells: [cause, waker, vector], sums: new Sums().merge(sums) });
        else row.sums.merge(sums);
      }
    }
    const windows = new Map([...this.spans.windows()].map(({ thread, ...window }) => [thread, window]));
    const vcpus = this.#byThread.flatMap((sums, thread): WokenVcpu[] =>
      sums === undefined ? [] : [{ vcpu: this.spans.vcpu(thread), window: windows.get(thread), ...sums.result() }],
    );
    const { from, to } = this.window ?? wholeOf(this.trace);
    const byTime = (a: HaltSums, b: HaltSums) => b.halted.total - a.halted.total;
    return {
      causes: [...causes].map(([cause, sums]) => ({ cause, ...sums.result() })).sort(byTime),
      wakers: [...wakers.values()]
        .map(({ cells: [cause, waker, vector], sums }) => ({
          cause: cause as string,
          waker: waker as string,
          vector: vector as number,
          ...sums.result(),
        }))
        .sort(byTime),
      vcpus: inOrder(vcpus, ({ vcpu }) => vcpu),
      all: all.result(),
      heat: this.#view.heat(),
      slow: this.#view.slowest?.result().map(({ thread, causeId, ...late }) => ({
        ...late,
        // As far as it is known by now.
        vcpu: this.spans.vcpu(thread),
        cause: causeId < 0 ? '' : this.spans.read.cause.name(causeId),
      })),
      over: this.#view.slowest?.over ?? 0,
      open: [...this.spans.open()]
        .map(({ begin, tid = -1, pid = -1, vcpu = -1 }) => ({
          begin,
          age: to - begin,
          vcpu: { tid, vm: pid < 0 ? undefined : pid, number: vcpu < 0 ? undefined : vcpu },
        }))
        .filter(({ begin, vcpu }) => begin >= from && isChosen(vcpu, this.#options)),
      told: this.spans.told,
      seen: this.seen,
      duration: to - from,
    };
  }

  #takeOne(k: number): void {
    const { spans, read } = this.spans;
    const thread = spans.thread[k] as number;
    if (!isChosen(this.spans.vcpu(thread), this.#options)) return;
    const slept = spans.slept[k] as number;
    const latency = spans.latency[k] as number;
    const polled = spans.polled[k] as number;
    for (const [table, at] of [
      [this.#sums, this.#groups.of(k)],
      [this.#byThread, thread],
    ] as const) {
      table[at] ??= new Sums();
      const sums = table[at];
      sums.halted.add(spans.duration[k] as number);
      if (slept > 0) sums.slept.add(slept);
      if (latency >= 0) sums.latency.add(latency);
      if (polled < 0) {
        if (slept > 0) sums.unsure++;
        continue;
      }
      const poll = latency < 0 && slept <= 0 ? sums.useful : sums.wasted;
      if (polled > 0) poll.count++;
      poll.time += polled;
    }
    if (latency < 0) return;
    const woken = spans.woken[k] as number;
    const n = this.#woken.add();
    this.#woken.begin[n] = woken;
    this.#woken.duration[n] = latency;
    if (this.#view.slowest?.admits(latency, woken) !== true) return;
    this.#view.slowest.add({
      begin: woken,
      duration: latency,
      thread,
      causeId: read.cause.id(k),
      vcpu: this.spans.vcpu(thread),
      cause: '',
      waker: cellOf(read.waker, k) as string,
      vector: spans.vector[k] as number,
      slept,
    });
  }
}

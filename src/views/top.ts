import { ExitPairing } from '../spans/exits.ts';
import { Requests } from '../spans/requests.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { inOrder, type Vcpu, vcpuOf } from '../spans/vcpu.ts';
import { type VcpuState, VcpuTime, vcpuStates } from '../spans/vcpu-time.ts';
import type { Analysis } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { Heat } from './heatmap.ts';
import { addLoss, emptyReading } from './reading.ts';

/** One vCPU in an interval. */
export type TopVcpu = {
  vcpu: Vcpu;
  /** How its time divided, as shares of the interval. */
  shares: Record<VcpuState, number>;
  /** The exit that it has not come back from, with its age (ns). */
  out: { reason: string; age: number } | undefined;
};

/** Elements of a virtqueue that were popped and not filled. */
export type TopQueue = {
  pid: number;
  /** `blk`, undefined where nothing tells. */
  kind: string | undefined;
  /** The queue's number in its device, -1 where no event told. */
  number: number;
  /** Elements popped in the interval. */
  popped: number;
  open: number;
  /** Age of the oldest (ns); NaN where none is open. */
  oldest: number;
};

/** What happened since the last look. */
export type TopView = {
  /** Length of the interval (ns), and time since the first look. */
  interval: number;
  elapsed: number;
  exits: number;
  /** By reason, halts marked. */
  reasons: { name: string; halt: boolean; stats: Stats }[];
  vcpus: TopVcpu[];
  queues: TopQueue[];
  /** Event types by how often they came, most first. */
  events: { name: string; count: number }[];
  /** Exits but halts over the last intervals, a column each. */
  heat: Heat;
  /** Events lost in the interval, and in all; NaN where the kernel does not say how many. */
  lost: number;
  lostInAll: number;
};

/** Intervals of which the heat map keeps a column. */
const heatColumns = 100;
/** Powers of two from 2^0 to 2^44 ns, the buckets of a column. */
const octaves = 45;

/** What `virtap top` shows: exits, vCPUs and queues, by intervals. */
export class Top implements Analysis {
  readonly #pairing = new ExitPairing();
  readonly #time = new VcpuTime(this.#pairing);
  readonly #requests = new Requests();
  /** By reason, of the interval. */
  #reasons: (Summary | undefined)[] = [];
  #events: number[] = [];
  readonly #heat: number[][] = [];
  #losses = emptyReading();
  #lostInAll = 0;
  #trace: Trace | undefined;
  /** What was known of each thread's and queue's past at the last look. */
  readonly #before = new Map<number, Record<VcpuState, number>>();
  readonly #poppedBefore = new Map<number, number>();
  #began = Number.NaN;
  #looked = Number.NaN;

  wants(type: EventType): boolean {
    return [this.#pairing, this.#time, this.#requests].map((part) => part.wants(type)).includes(true);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    const spans = this.#pairing.batch(trace, b);
    this.#time.batch(trace, b);
    this.#requests.batch(trace, b);
    for (const loss of b.losses) addLoss(this.#losses, loss);
    const events = this.#events;
    for (let i = 0; i < b.count; i++) {
      const type = b.type[i] as number;
      events[type] = (events[type] ?? 0) + 1;
    }
    for (let k = 0; k < spans.count; k++) {
      const reason = spans.reason[k] as number;
      let summary = this.#reasons[reason];
      if (summary === undefined) {
        summary = new Summary();
        this.#reasons[reason] = summary;
      }
      summary.add(spans.duration[k] as number);
    }
  }

  /** What happened since the last call; `now` is the time, from the trace's origin (ns). */
  look(now: number): TopView {
    if (Number.isNaN(this.#began)) this.#began = this.#looked = 0;
    const interval = now - this.#looked;
    this.#looked = now;
    const { names, halt } = this.#pairing.reasons;
    const busy = new Summary();
    const reasons: TopView['reasons'] = [];
    this.#reasons.forEach((summary, reason) => {
      if (summary === undefined) return;
      if (halt[reason] !== true) busy.merge(summary);
      reasons.push({ name: names[reason] as string, halt: halt[reason] === true, stats: summary.result() });
    });
    this.#reasons = [];
    const events = this.#events
      .map((count, type) => ({ name: this.#trace?.types[type]?.name ?? '', count }))
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.count - a.count);
    this.#events = [];
    const { lost, holes, counted } = this.#losses;
    this.#losses = emptyReading();
    const lostNow = counted < holes ? Number.NaN : lost;
    this.#lostInAll += lostNow;
    return {
      interval,
      elapsed: now - this.#began,
      exits: reasons.reduce((sum, { stats }) => sum + stats.count, 0),
      reasons,
      vcpus: this.#vcpus(now, interval),
      queues: this.#queues(now),
      events,
      heat: this.#heatWith(busy, interval),
      lost: lostNow,
      lostInAll: this.#lostInAll,
    };
  }

  #vcpus(now: number, interval: number): TopVcpu[] {
    const { pairing, time } = { pairing: this.#pairing, time: this.#time };
    const open = new Map([...pairing.open()].map((one) => [one.thread, one]));
    const vcpus = time.finish(this.#trace?.last ?? 0).map(({ thread, states }): TopVcpu => {
      const before = this.#before.get(thread);
      this.#before.set(thread, states);
      const spent = (state: VcpuState) => states[state] - (before?.[state] ?? 0);
      const all = vcpuStates.reduce((sum, state) => sum + spent(state), 0);
      const exit = open.get(thread);
      const reason = exit === undefined ? undefined : (pairing.reasons.names[exit.reason] as string);
      // A vCPU without events has stayed where it was.
      const shares = Object.fromEntries(
        vcpuStates.map((state) => [state, all > 0 ? spent(state) / all : Number.NaN]),
      ) as Record<VcpuState, number>;
      return {
        vcpu: vcpuOf(pairing.threads[thread] as { tid: number; pid: number; vcpu: number }, this.#trace),
        shares,
        // One that has just left is on its way back; what is out for long is worth a look.
        out:
          exit === undefined || reason === undefined || now - exit.begin < interval / 10
            ? undefined
            : { reason, age: now - exit.begin },
      };
    });
    return inOrder(vcpus, ({ vcpu }) => vcpu);
  }

  #queues(now: number): TopQueue[] {
    return this.#requests.queues
      .map((queue): TopQueue => {
        let open = 0;
        for (let request = queue.oldest; request !== undefined; request = request.next) open++;
        const popped = queue.popped - (this.#poppedBefore.get(queue.index) ?? 0);
        this.#poppedBefore.set(queue.index, queue.popped);
        return {
          pid: queue.qemu.pid,
          kind: queue.device?.kind,
          number: queue.number,
          popped,
          open,
          oldest: queue.oldest === undefined ? Number.NaN : now - queue.oldest.pop,
        };
      })
      .filter(({ popped, open }) => popped > 0 || open > 0);
  }

  /** The heat map with one more column at its end. */
  #heatWith(busy: Summary, interval: number): Heat {
    this.#heat.push(busy.octaves().slice(0, octaves));
    if (this.#heat.length > heatColumns) this.#heat.shift();
    const counts = this.#heat;
    const used = Array.from({ length: octaves }, (_, o) => o).filter((o) =>
      counts.some((column) => (column[o] as number) > 0),
    );
    const low = used[0] ?? 0;
    const high = used.at(-1) ?? 0;
    return {
      from: 0,
      step: interval,
      edges: Array.from({ length: high - low + 2 }, (_, i) => (low + i === 0 ? 0 : 2 ** (low + i - 1))),
      // Columns for what was before the first look, so that the newest is always at the right.
      counts: [
        ...Array.from({ length: heatColumns - counts.length }, () => new Array<number>(high - low + 1).fill(0)),
        ...counts.map((column) => column.slice(low, high + 1)),
      ],
      total: counts.reduce((sum, column) => sum + column.reduce((a, b) => a + b, 0), 0),
    };
  }
}

import type { EventBatch } from '../trace/batch.ts';
import { grown } from '../trace/grown.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { TidTable } from './tid-table.ts';

/** Stretches remembered of one CPU or thread; and of each, where there are this many in all, as some thousand CPUs could have. */
const maxStretches = 4096;
const maxInAll = 1 << 16;
const leastStretches = 16;
/** Threads whose leaving is remembered. */
const maxThreads = 1 << 16;

/** What a table learnt of a stretch of a recording: for one that learnt of what was before. */
export type LossPart = {
  /** What came to be known in the stretch, in that order. */
  told: readonly Loss[];
  /** When threads were switched out last; undefined where no sched_switch was seen. */
  left: ReadonlyMap<number, number> | undefined;
  /** More came than is remembered one by one. */
  tooMany: boolean;
};

/** The stretches in which events were lost: a span that straddles one may have ended with an event that nobody saw. */
export class LossTable {
  /** Whether there was any. */
  some = false;
  /** All; those of CPUs; those of no known CPU; by CPU; and those of single threads. */
  readonly #all = new Intervals();
  readonly #cpus = new Intervals();
  readonly #anywhere = new Intervals();
  readonly #byThread = new Map<number, Intervals>();
  readonly #threads = new Intervals();
  /** Where holes of single threads begin and end, in order. */
  readonly #edges: number[] = [];
  readonly #byCpu = new Map<number, Intervals>();
  #asked = false;
  /** When threads were switched out last. Undefined where nothing tells: no sched_switch was seen, or too many threads were. */
  #left: LastTimes | undefined;
  #tooMany = false;
  /** Whether its owner says what it took for granted, and until when that ended; and the time of the last event taken. */
  readonly #granting: boolean;
  #granted = Number.NEGATIVE_INFINITY;
  #taken = Number.NEGATIVE_INFINITY;
  /** Those that came to be known with batches, in that order, as long as they are few; and how many there are in all. */
  readonly #told: Loss[] = [];
  #count = 0;

  /**
   * `granting` is for who calls `grant`. A loss comes to light late, after events of other CPUs: what it makes wrong of what was counted then, is known to nobody else, and another
   * reading has to make it right.
   */
  constructor(granting = false) {
    this.#granting = granting;
  }

  /**
   * Takes note of what became known with a batch; gives what is new. Where an earlier reading found all losses, they are known from the
   * first batch on, and later only silences are new.
   */
  take(trace: Trace, b: EventBatch): readonly Loss[] {
    if (!this.#asked) {
      this.#asked = true;
      if (trace.holes !== undefined) {
        for (const loss of trace.holes) this.add(loss);
        return trace.holes;
      }
    }
    const fresh = trace.holes === undefined ? b.losses : b.losses.filter(({ unmarked }) => unmarked?.why === 'silence');
    for (const loss of fresh) {
      if (trace.holes === undefined && this.#touches(loss)) trace.regret?.();
      this.#tell(loss);
    }
    if (b.count > 0) this.#taken = b.time[b.count - 1] as number;
    return fresh;
  }

  /**
   * Takes note that something is counted that lasted until then, and may have been on any CPU. What was on one CPU all the time need not be told: no event of that one comes
   * between the beginning of a loss there and the loss itself.
   */
  grant(until: number): void {
    if (until > this.#granted) this.#granted = until;
  }

  /** Whether a loss, had it been known, could have changed what was counted. */
  #touches({ from, cpu, unmarked }: Loss): boolean {
    const anywhere = !this.#granting || cpu < 0 || unmarked !== undefined;
    return from < (anywhere ? this.#taken : this.#granted);
  }

  /** How many came to be known with batches. */
  get told(): number {
    return this.#told.length;
  }

  /** What it learnt. */
  part(): LossPart {
    return { told: this.#told, left: this.#left?.all(), tooMany: this.#tooMany || this.#told.length > maxStretches };
  }

  /** Whether a table that began with an event at `time`, after what this one knows, learnt what it would have learnt here. */
  accepts({ told, left, tooMany }: LossPart, time: number): boolean {
    if (tooMany || this.#tooMany || (this.#left?.size ?? 0) + (left?.size ?? 0) > maxThreads) return false;
    // What this one knows of the time behind its own, that one did not.
    if (this.#told.length > maxStretches || this.#told.some(({ to }) => to > time)) return false;
    if (told.length === 0) return true;
    // Where stretches were put together for want of room, it matters in which order they came.
    const sources = this.#byCpu.size + this.#byThread.size + told.length;
    return this.#count + told.length <= Math.min(maxStretches, maxInAll / (sources + 1));
  }

  /** Takes over one of `LossPart.told`. */
  join(loss: Loss): void {
    this.#tell(loss);
  }

  /** Takes over when a thread was switched out last, as `leftAt` gave it. */
  joinLeft(tid: number, left: number): void {
    if (Number.isNaN(left)) return;
    this.#left ??= new LastTimes();
    if (left > Number.NEGATIVE_INFINITY) this.#left.set(tid, left);
  }

  #tell(loss: Loss): void {
    this.add(loss);
    if (this.#told.length <= maxStretches) this.#told.push(loss);
  }

  add({ from, to, cpu, unmarked }: Loss): void {
    this.some = true;
    this.#count++;
    this.#all.add(from, to);
    if (unmarked?.ofThread === true) {
      intervalsOf(this.#byThread, unmarked.tid).add(from, to, this.#room);
      this.#threads.add(from, to);
      for (const edge of [from, to]) this.#edges.splice(after(this.#edges, edge), 0, edge);
      return;
    }
    this.#cpus.add(from, to);
    if (cpu < 0) this.#anywhere.add(from, to);
    else intervalsOf(this.#byCpu, cpu).add(from, to, this.#room);
  }

  get #room(): number {
    const share = Math.floor(maxInAll / (this.#byCpu.size + this.#byThread.size + 1));
    return Math.max(leastStretches, Math.min(maxStretches, share));
  }

  /** Whether events may have been lost between `from` and `to` on one of these CPUs (-1: it may be any). */
  straddle(from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (cpu1 < 0 || cpu2 < 0) return this.#all.find(from, to) !== undefined;
    return this.#onCpus(from, to, cpu1, cpu2);
  }

  #onCpus(from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (cpu1 < 0 || cpu2 < 0) return this.#cpus.find(from, to) !== undefined;
    return (
      this.#anywhere.find(from, to) !== undefined ||
      this.#byCpu.get(cpu1)?.find(from, to) !== undefined ||
      (cpu2 !== cpu1 && this.#byCpu.get(cpu2)?.find(from, to) !== undefined)
    );
  }

  /** Takes note that a thread was switched out (sched_switch). */
  left(tid: number, time: number): void {
    if (this.#tooMany) return;
    this.#left ??= new LastTimes();
    if (this.#left.set(tid, time) <= maxThreads) return;
    this.#tooMany = true;
    this.#left = undefined;
  }

  /** Whether sched_switch tells when threads leave their CPUs. */
  get switches(): boolean {
    return this.#left !== undefined;
  }

  /** When a thread was switched out last: -Infinity where it was not, NaN where nothing tells. */
  leftAt(tid: number): number {
    return this.#left === undefined ? Number.NaN : this.#left.of(tid);
  }

  /**
   * Whether events may have been lost between two events of one thread, the later of which is the latest seen, where the thread was: on
   * the CPUs of the two; but on any where it was switched out in between, or nothing tells of that. What only another thread is known to lack
   * may be this one's, too, where the recorder lost more: unless both events are of that very time.
   */
  straddleOf(tid: number, from: number, to: number, cpu1: number, cpu2: number): boolean {
    return (
      this.#byThread.get(tid)?.find(from, to) !== undefined ||
      this.#reaches(from, to) ||
      this.#onCpus(from, to, this.#stays(tid, from) ? cpu1 : -1, cpu2)
    );
  }

  /** Whether a thread is known to have been on its CPU ever since. */
  #stays(tid: number, since: number): boolean {
    return tid >= 0 && this.#left !== undefined && this.#left.of(tid) < since;
  }

  /** Whether a hole of a single thread begins or ends between two times. */
  #reaches(from: number, to: number): boolean {
    return (this.#edges[after(this.#edges, from)] ?? Number.POSITIVE_INFINITY) < to;
  }

  /** The first stretch between `from` and `to` in which events of a thread may have been lost that was on this CPU (-1: on any), cut to these; undefined where there is none. */
  within(tid: number, from: number, to: number, cpu: number): [from: number, to: number] | undefined {
    const places = cpu < 0 ? [this.#cpus] : [this.#anywhere, this.#byCpu.get(cpu)];
    let first: [number, number] | undefined;
    const others = this.#reaches(from, to) ? this.#threads : undefined;
    for (const intervals of [this.#byThread.get(tid), others, ...places]) {
      const one = intervals?.cut(from, to);
      if (one !== undefined && (first === undefined || one[0] < first[0])) first = one;
    }
    return first;
  }
}

/** The latest time of each thread. */
class LastTimes {
  readonly #threads = new TidTable();
  readonly #tids: number[] = [];
  #times = new Float64Array(64);

  get size(): number {
    return this.#tids.length;
  }

  /** Gives of how many threads there is one. */
  set(tid: number, time: number): number {
    let t = this.#threads.find(tid);
    if (t < 0) {
      t = this.#tids.push(tid) - 1;
      this.#threads.set(tid, t);
      if (t === this.#times.length) this.#times = grown(this.#times);
    }
    this.#times[t] = time;
    return this.#tids.length;
  }

  /** -Infinity where there is none. */
  of(tid: number): number {
    const t = this.#threads.find(tid);
    return t < 0 ? Number.NEGATIVE_INFINITY : (this.#times[t] as number);
  }

  all(): ReadonlyMap<number, number> {
    return new Map(this.#tids.map((tid, t) => [tid, this.#times[t] as number]));
  }
}

/** Where the first of ascending numbers stands that is greater. */
function after(numbers: readonly number[], value: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function intervalsOf(table: Map<number, Intervals>, key: number): Intervals {
  let intervals = table.get(key);
  if (intervals === undefined) {
    intervals = new Intervals();
    table.set(key, intervals);
  }
  return intervals;
}

/** Stretches of time that do not overlap, in order. */
class Intervals {
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  /** Adds one; keeps at most `room`. */
  add(from: number, to: number, room = maxStretches): void {
    let first = this.#to.length;
    while (first > 0 && (this.#to[first - 1] as number) > from) first--;
    let last = first;
    while (last < this.#from.length && (this.#from[last] as number) < to) last++;
    if (last > first) {
      from = Math.min(from, this.#from[first] as number);
      to = Math.max(to, this.#to[last - 1] as number);
    }
    this.#from.splice(first, last - first, from);
    this.#to.splice(first, last - first, to);
    if (this.#to.length <= room) return;
    // One wide stretch for the older half: it can set aside a span too many, but memory stays flat.
    const half = this.#to.length >> 1;
    this.#from.splice(1, half - 1);
    this.#to.splice(0, half - 1);
  }

  /** Where the first stretch that overlaps `from` to `to` stands; undefined where none does. */
  find(from: number, to: number): number | undefined {
    const at = after(this.#to, from);
    return (this.#from[at] ?? Number.POSITIVE_INFINITY) < to ? at : undefined;
  }

  cut(from: number, to: number): [from: number, to: number] | undefined {
    const at = this.find(from, to);
    return at === undefined
      ? undefined
      : [Math.max(from, this.#from[at] as number), Math.min(to, this.#to[at] as number)];
  }
}

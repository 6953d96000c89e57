import type { Arena } from './arena.ts';
import { EventBatch } from './batch.ts';
import type { Loss } from './loss.ts';

/** Events handed out at a time: enough to make per-batch work vanish, small enough to stay in cache. */
const batchSize = 16384;

/**
 * Puts events in time order. Readers append events run by run (a run is in time order and its payloads
 * lie in one arena slot); `take` merges the runs up to a bound into batches. Equal times keep the order in which they were appended.
 *
 * An arena slot is released once all of its events were taken and the batch that refers to them is done with.
 */
export class EventSorter {
  /** Columns of the events not yet taken, by order of appending. Hot readers write them directly after `reserve`. */
  time = new Float64Array(batchSize);
  type = new Uint32Array(batchSize);
  cpu = new Int32Array(batchSize);
  tid = new Int32Array(batchSize);
  pid = new Int32Array(batchSize);
  at = new Uint32Array(batchSize);
  size = new Uint32Array(batchSize);
  /** Number of events appended; hot readers advance it. */
  count = 0;
  /** Events that were appended too late to be put in their places. */
  late = 0;
  #newestTaken = Number.NEGATIVE_INFINITY;

  readonly #arena: Arena;
  readonly #batch = new EventBatch(batchSize);
  #runs: Run[] = [];
  /** Runs with events left, a binary heap by (time of next event, run number). */
  readonly #heap: Run[] = [];
  #runNumber = 0;
  #open: Run | undefined;
  /** Losses of runs that got no event: the next run takes them. */
  #carried: Loss[] = [];
  /** Runs that were used up by the batch now out; their slots go when it is done with. */
  readonly #used: Run[] = [];

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Number of events appended and not yet taken. */
  get pending(): number {
    let n = 0;
    for (const run of this.#runs) n += (run === this.#open ? this.count : run.end) - run.next;
    return n;
  }

  /** Makes room for `n` more events in the columns. Columns may be replaced: fetch them again after this. */
  reserve(n: number): void {
    if (this.count + n <= this.time.length) return;
    this.#compact();
    let capacity = this.time.length;
    // Grow unless half is free after compaction, so that compaction stays rare.
    while (this.count + n > capacity || this.count > capacity / 2) capacity *= 2;
    if (capacity === this.time.length) return;
    this.time = enlarge(this.time, new Float64Array(capacity));
    this.type = enlarge(this.type, new Uint32Array(capacity));
    this.cpu = enlarge(this.cpu, new Int32Array(capacity));
    this.tid = enlarge(this.tid, new Int32Array(capacity));
    this.pid = enlarge(this.pid, new Int32Array(capacity));
    this.at = enlarge(this.at, new Uint32Array(capacity));
    this.size = enlarge(this.size, new Uint32Array(capacity));
  }

  /**
   * Begins a run: events appended from here on are in time order and lie in `slot`, which the run holds.
   * `loss` is a hole right before the run's first event. Begin a new run whenever time goes back.
   */
  begin(slot: number, loss?: Loss): void {
    this.end();
    this.#arena.hold(slot);
    const losses = this.#carried;
    if (loss !== undefined) losses.push(loss);
    this.#carried = [];
    const run: Run = { number: this.#runNumber++, next: this.count, end: this.count, slot, losses, head: 0 };
    this.#open = run;
    this.#runs.push(run);
  }

  /** Appends one event to the open run. */
  append(time: number, type: number, cpu: number, tid: number, pid: number, at: number, size: number): void {
    if (this.count === this.time.length) this.reserve(1);
    const n = this.count++;
    this.time[n] = time;
    this.type[n] = type;
    this.cpu[n] = cpu;
    this.tid[n] = tid;
    this.pid[n] = pid;
    this.at[n] = at;
    this.size[n] = size;
  }

  /** Ends the open run, so that `take` sees it. */
  end(): void {
    const run = this.#open;
    if (run === undefined) return;
    this.#open = undefined;
    run.end = this.count;
    if (run.end > run.next) {
      run.head = this.time[run.next] as number;
      this.#push(run);
    } else {
      this.#runs.pop();
      this.#carried = run.losses;
      this.#arena.release(run.slot);
    }
  }

  /** What `late` means for the answer, as a note of the trace; undefined where nothing was late. */
  get lateNote(): string | undefined {
    if (this.late === 0) return undefined;
    const events = this.late === 1 ? '1 event stands' : `${this.late} events stand`;
    return `${events} too far behind later ones in the file to be put in order: taken as being of the same time as these.`;
  }

  /**
   * The next events in time order whose time is at most `upTo`, or undefined where there are none.
   * Call it until it gives undefined. The batch is valid until the next call. Losses that no event followed
   * come with an empty batch when `upTo` is Infinity.
   */
  take(upTo: number): EventBatch | undefined {
    this.end();
    this.#releaseUsed();
    const batch = this.#batch;
    const heap = this.#heap;
    const losses: Loss[] = [];
    const { time, type, cpu, tid, pid, at, size } = this;
    const outTime = batch.time;
    const outType = batch.type;
    const outCpu = batch.cpu;
    const outTid = batch.tid;
    const outPid = batch.pid;
    const outAt = batch.at;
    const outSize = batch.size;
    let n = 0;
    while (n < batchSize) {
      const run = heap[0];
      if (run === undefined || run.head > upTo) break;
      if (run.losses.length > 0) {
        if (n > 0) break;
        losses.push(...run.losses);
        run.losses.length = 0;
      }
      // Copy from this run as long as it stays ahead of the second in the heap.
      let other = heap[1];
      if (heap.length > 2 && before(heap[2] as Run, other as Run)) other = heap[2];
      let bound = upTo;
      let inclusive = true;
      if (other !== undefined && other.head <= upTo) {
        bound = other.head;
        inclusive = run.number < other.number;
      }
      let i = run.next;
      const end = Math.min(run.end, i + batchSize - n);
      let t = run.head;
      do {
        outTime[n] = t;
        outType[n] = type[i] as number;
        outCpu[n] = cpu[i] as number;
        outTid[n] = tid[i] as number;
        outPid[n] = pid[i] as number;
        outAt[n] = at[i] as number;
        outSize[n] = size[i] as number;
        n++;
        i++;
        if (i >= end) break;
        t = time[i] as number;
      } while (t < bound || (inclusive && t === bound));
      run.next = i;
      if (i === run.end) {
        this.#pop();
        this.#used.push(run);
      } else {
        run.head = time[i] as number;
        this.#sink();
      }
    }
    if (n === 0) {
      // Losses after the last event of all still have to be told.
      if (upTo !== Number.POSITIVE_INFINITY || this.#carried.length === 0) return undefined;
      losses.push(...this.#carried);
      this.#carried = [];
    }
    batch.count = n;
    this.#keepOrder(batch);
    batch.losses = losses;
    batch.bytes = this.#arena.bytes;
    batch.view = this.#arena.view;
    return batch;
  }

  /** Events appended after later ones were taken stand at the time of these: durations never become negative. */
  #keepOrder(batch: EventBatch): void {
    const { time, count } = batch;
    if (count === 0) return;
    const floor = this.#newestTaken;
    for (let i = 0; i < count && (time[i] as number) < floor; i++) {
      time[i] = floor;
      this.late++;
    }
    this.#newestTaken = time[count - 1] as number;
  }

  #releaseUsed(): void {
    if (this.#used.length === 0) return;
    for (const run of this.#used) this.#arena.release(run.slot);
    this.#used.length = 0;
    if (this.#heap.length === 0 && this.#open === undefined) {
      this.#runs.length = 0;
      this.count = 0;
    }
  }

  /** Moves what is left of each run to the front of the columns. */
  #compact(): void {
    const runs = this.#runs.filter((run) => run === this.#open || run.next < run.end);
    let to = 0;
    for (const run of runs) {
      const end = run === this.#open ? this.count : run.end;
      const length = end - run.next;
      if (to !== run.next) {
        this.time.copyWithin(to, run.next, end);
        this.type.copyWithin(to, run.next, end);
        this.cpu.copyWithin(to, run.next, end);
        this.tid.copyWithin(to, run.next, end);
        this.pid.copyWithin(to, run.next, end);
        this.at.copyWithin(to, run.next, end);
        this.size.copyWithin(to, run.next, end);
      }
      run.next = to;
      to += length;
      run.end = to;
    }
    this.#runs = runs;
    this.count = to;
  }

  #push(run: Run): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(run);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Run;
      if (before(above, run)) break;
      heap[i] = above;
      heap[parent] = run;
      i = parent;
    }
  }

  #pop(): void {
    const last = this.#heap.pop() as Run;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink();
  }

  /** Puts the heap in order again after its first run changed. */
  #sink(): void {
    const heap = this.#heap;
    const run = heap[0] as Run;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      let below = heap[child];
      if (below === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, below)) {
        below = right;
        child++;
      }
      if (before(run, below)) break;
      heap[i] = below;
      i = child;
    }
    heap[i] = run;
  }
}

type Run = {
  number: number;
  /** Index of its next event in the columns, and the index after its last. */
  next: number;
  end: number;
  slot: number;
  losses: Loss[];
  /** Time of its next event. */
  head: number;
};

function before(a: Run, b: Run): boolean {
  return a.head < b.head || (a.head === b.head && a.number < b.number);
}

function enlarge<T extends Float64Array | Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from as never);
  return to;
}

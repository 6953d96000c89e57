import { type Arena, reserve } from './arena.ts';
import { EventBatch } from './batch.ts';
import type { Loss } from './loss.ts';
import { Rows, rowAt, rowBytes, rowCpu, rowPid, rowSize, rowTid, rowType } from './rows.ts';

/** Events handed out at a time: enough to make per-batch work vanish, small enough to stay in cache. */
const batchSize = 16384;
/** Rows, and events handed out, that there is room for in any case: a process that opens many small files pays for what it reserves. */
const leastRows = 1024;
/** Rows merged in one go, so that the loop's function has been called often, and is compiled well, before much has gone by. */
const slice = 1024;
/** Rows that a processor's cache holds. */
const cacheRows = 1 << 17;

/**
 * Puts events in time order. Readers append events run by run (a run is in time order and its payloads
 * lie in one arena slot); `take` merges the runs up to a bound into batches. Equal times keep the order in which they were appended.
 *
 * An arena slot is released once all of its events were taken and the batch that refers to them is done with.
 */
export class EventSorter {
  /** The events not yet taken, by order of appending. Hot readers write them directly after `reserve`. */
  rows = new Rows(reserve(leastRows * rowBytes));
  /** Number of events appended; hot readers advance it. */
  count = 0;
  /** Events that were appended too late to be put in their places. */
  late = 0;
  #newestTaken = Number.NEGATIVE_INFINITY;

  readonly #arena: Arena;
  #batch = new EventBatch(0);
  #runs: Run[] = [];
  /** Runs with events left, a binary heap by (time of next event, run number). */
  readonly #heap: Run[] = [];
  #runNumber = 0;
  #open: Run | undefined;
  /** Losses of runs that got no event: the next run takes them. */
  #carried: Loss[] = [];
  /** Runs that were used up by the batch now out; their slots go when it is done with. */
  readonly #used: Run[] = [];
  readonly #most: number;
  /** Rows that were taken and still stand there. */
  #taken = 0;

  /** Of events of one time, those of runs with a lower rank come first, then those of runs that began first. */
  rank = 0;

  /** `most` is how many events may wait before it is `full`. */
  constructor(arena: Arena, most = Number.POSITIVE_INFINITY) {
    this.#arena = arena;
    this.#most = most;
  }

  /** Whether so many events wait that some have to be taken before more come. */
  get full(): boolean {
    return this.pending >= this.#most;
  }

  /** Number of events appended and not yet taken. */
  get pending(): number {
    return this.count - this.#taken;
  }

  /** Makes room for `n` more events. `rows` may be replaced: fetch it again after this. */
  reserve(n: number): void {
    if (this.count + n <= this.rows.capacity) return;
    this.#compact();
    let { capacity } = this.rows;
    // Grow unless half is free after compaction, so that compaction stays rare.
    while (this.count + n > capacity || (this.count > capacity / 2 && capacity < (4 / 3) * this.#most)) capacity *= 2;
    if (capacity === this.rows.capacity) return;
    // What no longer stays in the cache anyway is reserved once, to be copied once: what is not touched takes no memory.
    if (capacity > cacheRows && this.#most < Infinity) capacity = Math.max(capacity, Math.ceil((4 / 3) * this.#most));
    const rows = new Rows(reserve(capacity * rowBytes));
    rows.times.set(this.rows.times);
    this.rows = rows;
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
    const run: Run = {
      number: this.rank * runsOfRank + this.#runNumber++,
      next: this.count,
      end: this.count,
      slot,
      losses,
      head: 0,
    };
    this.#open = run;
    this.#runs.push(run);
  }

  /** Appends one event to the open run. */
  append(time: number, type: number, cpu: number, tid: number, pid: number, at: number, size: number): void {
    if (this.count === this.rows.capacity) this.reserve(1);
    const { times, words } = this.rows;
    const row = this.count++ * 8;
    times[row >> 1] = time;
    words[row + rowType] = type;
    words[row + rowCpu] = cpu;
    words[row + rowTid] = tid;
    words[row + rowPid] = pid;
    words[row + rowAt] = at;
    words[row + rowSize] = size;
  }

  /** Changes what the event appended last is, and how long its payload: there was more of it. */
  amend(type: number, size: number): void {
    const row = (this.count - 1) * 8;
    this.rows.words[row + rowType] = type;
    this.rows.words[row + rowSize] = size;
  }

  /** Appends rows `from` to `to` of others to the open run. */
  appendRows(rows: Rows, from: number, to: number): void {
    this.reserve(to - from);
    this.rows.words.set(rows.words.subarray(from * 8, to * 8), this.count * 8);
    this.count += to - from;
  }

  /** Makes all times count from a moment that is `by` later. To be called before anything is taken. */
  rebase(by: number): void {
    this.end();
    const { times } = this.rows;
    const losses = new Set(this.#carried);
    for (const run of this.#runs) {
      for (let row = run.next; row < run.end; row++) times[row * 4] = (times[row * 4] as number) - by;
      run.head -= by;
      for (const loss of run.losses) losses.add(loss);
    }
    for (const loss of losses) {
      loss.from -= by;
      loss.to -= by;
    }
  }

  /** Ends the open run, so that `take` sees it. */
  end(): void {
    const run = this.#open;
    if (run === undefined) return;
    this.#open = undefined;
    run.end = this.count;
    if (run.end > run.next) {
      run.head = this.rows.times[run.next * 4] as number;
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
    const room = Math.min(batchSize, this.rows.capacity);
    if (this.#batch.capacity < Math.min(room, this.pending)) this.#batch = new EventBatch(room);
    const batch = this.#batch;
    const heap = this.#heap;
    const losses: Loss[] = [];
    let n = 0;
    while (n < batchSize) {
      const run = heap[0];
      if (run === undefined || run.head > upTo) break;
      if (run.losses.length > 0) {
        if (n > 0) break;
        losses.push(...run.losses);
        run.losses.length = 0;
      }
      const limit = Math.min(batchSize, n + slice);
      const second = this.#lesser(1, 2);
      const other = heap[second];
      const third = heap[this.#lesser(3 - second, this.#lesser(2 * second + 1, 2 * second + 2))];
      if (other === undefined || other.head > upTo) {
        n = this.#copy(run, n, limit, upTo, true);
      } else if (other.losses.length > 0 || (third !== undefined && third.head === run.head)) {
        n = this.#copy(run, n, limit, other.head, run.number < other.number);
      } else {
        const toThird = third !== undefined && third.head <= upTo;
        n = this.#merge(run, other, n, limit, toThird ? third.head : upTo, !toThird);
        this.#moved(second);
      }
      this.#moved(0);
    }
    if (n === 0) {
      // Losses after the last event of all still have to be told.
      if (upTo !== Number.POSITIVE_INFINITY || this.#carried.length === 0) return undefined;
      losses.push(...this.#carried);
      this.#carried = [];
    }
    batch.count = n;
    this.#taken += n;
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

  /** Copies rows of a run to the batch, from its place `n` until `limit`, up to a time. Returns how far the batch is filled. */
  #copy(run: Run, n: number, limit: number, bound: number, inclusive: boolean): number {
    const { times } = this.rows;
    const end = Math.min(run.end, run.next + limit - n);
    let i = run.next;
    do i++;
    while (i < end && ((times[i * 4] as number) < bound || (inclusive && times[i * 4] === bound)));
    fill(this.#batch, n, this.rows, run.next, i);
    n += i - run.next;
    run.next = i;
    return n;
  }

  /** The same for the rows of two runs, merged. */
  #merge(a: Run, b: Run, n: number, limit: number, bound: number, inclusive: boolean): number {
    // Of equal times, the earlier run's comes first.
    return a.number < b.number
      ? merge(this.#batch, n, limit, this.rows, a, b, bound, inclusive)
      : merge(this.#batch, n, limit, this.rows, b, a, bound, inclusive);
  }

  /** The index of the run that comes first, of two places in the heap. */
  #lesser(i: number, j: number): number {
    const heap = this.#heap;
    const [a, b] = [heap[i], heap[j]];
    return b === undefined || (a !== undefined && before(a, b)) ? i : j;
  }

  #releaseUsed(): void {
    if (this.#used.length === 0) return;
    for (const run of this.#used) this.#arena.release(run.slot);
    this.#used.length = 0;
    if (this.#heap.length === 0 && this.#open === undefined) {
      this.#runs.length = 0;
      this.count = 0;
      this.#taken = 0;
    }
  }

  /** Moves what is left of each run to the front of the rows. */
  #compact(): void {
    const runs = this.#runs.filter((run) => run === this.#open || run.next < run.end);
    let to = 0;
    for (const run of runs) {
      const end = run === this.#open ? this.count : run.end;
      const length = end - run.next;
      if (to !== run.next) this.rows.times.copyWithin(to * 4, run.next * 4, end * 4);
      run.next = to;
      to += length;
      run.end = to;
    }
    this.#runs = runs;
    this.count = to;
    this.#taken = 0;
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

  /** Puts the heap in order again after rows of the run at this place were taken; those below it are in order. */
  #moved(place: number): void {
    const heap = this.#heap;
    let run = heap[place] as Run;
    if (run.next === run.end) {
      this.#used.push(run);
      const last = heap.pop() as Run;
      if (last === run) return;
      run = last;
    } else run.head = this.rows.times[run.next * 4] as number;
    let i = place;
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

/** More runs than there are in any file. */
const runsOfRank = 2 ** 32;

type Run = {
  /** In order of rank, then of their beginnings. */
  number: number;
  /** Index of its next row, and the index after its last. */
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

/** Copies rows to a batch, from its place `n` on. */
function fill(batch: EventBatch, n: number, rows: Rows, from: number, to: number): void {
  const { time, type, cpu, tid, pid, at, size } = batch;
  const { times, words } = rows;
  for (let row = from * 8; row < to * 8; row += 8, n++) {
    time[n] = times[row >> 1] as number;
    type[n] = words[row + rowType] as number;
    cpu[n] = words[row + rowCpu] as number;
    tid[n] = words[row + rowTid] as number;
    pid[n] = words[row + rowPid] as number;
    at[n] = words[row + rowAt] as number;
    size[n] = words[row + rowSize] as number;
  }
}

/** Merges the rows of two runs into a batch, from its place `n` until `limit`, up to a time; of equal times, a's come first. */
function merge(
  batch: EventBatch,
  n: number,
  limit: number,
  rows: Rows,
  a: Run,
  b: Run,
  bound: number,
  inclusive: boolean,
): number {
  const { time, type, cpu, tid, pid, at, size } = batch;
  const { times, words } = rows;
  // Places of the next rows, and their times.
  let i = a.next * 8;
  let j = b.next * 8;
  const endOfA = a.end * 8;
  const endOfB = b.end * 8;
  let timeA = times[i >> 1] as number;
  let timeB = times[j >> 1] as number;
  for (let ended = false; n < limit && !ended; n++) {
    let row = i;
    let t = timeA;
    if (timeA <= timeB) {
      if (t >= bound && !(inclusive && t === bound)) break;
      i += 8;
      if (i === endOfA) ended = true;
      else timeA = times[i >> 1] as number;
    } else {
      row = j;
      t = timeB;
      if (t >= bound && !(inclusive && t === bound)) break;
      j += 8;
      if (j === endOfB) ended = true;
      else timeB = times[j >> 1] as number;
    }
    time[n] = t;
    type[n] = words[row + rowType] as number;
    cpu[n] = words[row + rowCpu] as number;
    tid[n] = words[row + rowTid] as number;
    pid[n] = words[row + rowPid] as number;
    at[n] = words[row + rowAt] as number;
    size[n] = words[row + rowSize] as number;
  }
  a.next = i / 8;
  b.next = j / 8;
  return n;
}

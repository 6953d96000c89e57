import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { startThread } from '../own/thread.ts';
import { type Foresight, type HolesPart, WatchedTrace } from '../spans/holes.ts';
import { type Source, sourceOf } from '../trace/again.ts';
import type { Analysis } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { Divisible } from '../trace/divisible.ts';
import { addLoss, joinReading, type Reading } from '../views/reading.ts';
import { followsThreads, type JoinableAnalysis, type Question, questionOf } from './joined.ts';
import type { Moment } from './moment.ts';

/*
 * A large recording is read by as many threads as there are processors, a stretch each; this thread reads the first, and joins what the others
 * learnt to what it did. Where stretches cannot be joined, all is read in one go.
 */

/** What another thread is to do. */
export type StretchOrder = {
  source: Source;
  stretch: unknown;
  questions: readonly Question[];
  foresight: Foresight | undefined;
  from: Moment | undefined;
  /** Bytes that were read, by the stretch's number. */
  progress: Float64Array;
  number: number;
};

/** What it learnt. */
export type StretchAnswer = { parts: unknown[]; holes: HolesPart; trace: unknown; reading: Reading };

/** A thread has to have so many bytes to read: its start, and what V8 has to compile once more, take as long as some 200 MB of that. */
const worthwhile = 256 << 20;
/** More threads, of which each takes some 25 MB, would need more memory than a reading may; and more than anybody has a use for. */
const usualThreads = 7;
const mostThreads = 64;

/**
 * Where it matters how a vCPU's time divides, each stretch keeps what other threads did until its end, as they may be vCPUs: of more bytes than this, it
 * would be too much to join.
 */
const mostFollowed = 640 << 20;

/** The stretches of a recording that others read. */
export class Stretches {
  readonly #trace: WatchedTrace;
  readonly #divisible: Divisible;
  readonly #analyses: readonly JoinableAnalysis[];
  readonly #workers: Worker[] = [];
  readonly #answers: Promise<StretchAnswer | undefined>[] = [];
  readonly #progress: Float64Array;

  private constructor(trace: WatchedTrace, divisible: Divisible, analyses: readonly JoinableAnalysis[], most: number) {
    this.#trace = trace;
    this.#divisible = divisible;
    this.#analyses = analyses;
    this.#progress = new Float64Array(new SharedArrayBuffer(8 * most));
  }

  /**
   * Gives all but the first stretch of what was not read yet to other threads; undefined where this one reads all. To be called while the first batch is
   * out. `threads` is how many there are to be, where somebody says.
   */
  static begin(
    trace: object,
    analyses: readonly Analysis[],
    threads: number | undefined,
    from: Moment | undefined,
  ): Stretches | undefined {
    if (threads === 1 || analyses.length === 0 || !(trace instanceof WatchedTrace)) return undefined;
    const source = sourceOf(trace);
    const { divisible } = trace;
    if (source === undefined || divisible === undefined) return undefined;
    const questions = analyses.map(questionOf).filter((question) => question !== undefined);
    if (questions.length < analyses.length) return undefined;
    const { read, size = 0 } = trace.progress();
    const pays = Math.min(usualThreads, availableParallelism(), Math.floor((size - read) / worthwhile));
    const n = Math.min(mostThreads, threads ?? pays);
    if (n < 2 || (questions.some(followsThreads) && (size - read) / n > mostFollowed)) return undefined;
    const stretches = new Stretches(trace, divisible, analyses as readonly JoinableAnalysis[], n);
    const order = { source, questions, foresight: trace.known, from };
    const orders = divisible.divide(n, () => stretches.#read());
    for (const stretch of orders) stretches.#start({ ...order, stretch });
    return orders.length > 0 ? stretches : undefined;
  }

  #start(order: Omit<StretchOrder, 'progress' | 'number'>): void {
    const number = this.#workers.length;
    const worker = startThread('stretch-reader', { ...order, progress: this.#progress, number } satisfies StretchOrder);
    this.#workers.push(worker);
    const answer = new Promise<StretchAnswer | undefined>((resolve, reject) => {
      worker.once('message', resolve);
      // An error of Node.js' own is that there is no more memory, or no more threads: an error without a code is a bug.
      worker.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === undefined) reject(error);
        else resolve(undefined);
      });
      worker.once('exit', () => resolve(undefined));
    });
    // Whoever awaits it sees the error; until then it is not unhandled.
    answer.catch(() => {});
    this.#answers.push(answer);
  }

  /** Bytes that were read elsewhere. */
  #read(): number {
    return this.#progress.reduce((sum, read) => sum + read, 0);
  }

  /**
   * Joins what the others learnt, once this thread is through with its own stretch. False where that cannot be: then nothing that is known is of use.
   * `wait` gives undefined where the reading is to end now; then this does.
   */
  async join(
    reading: Reading,
    wait: <T>(promise: Promise<T>) => Promise<T | undefined>,
  ): Promise<'joined' | 'refused' | 'stopped'> {
    for (const pending of this.#answers) {
      const waited = await wait(pending.then((answer) => ({ answer })));
      if (waited === undefined) return 'stopped';
      const { answer } = waited;
      if (answer === undefined || !this.#accepts(answer)) return 'refused';
      this.#divisible.join(answer.trace);
      this.#trace.join(this.#trace, answer.holes);
      this.#analyses.forEach((analysis, i) => {
        analysis.join(this.#trace, answer.parts[i]);
      });
      joinReading(reading, answer.reading);
    }
    const rest = this.#divisible.rest();
    if (rest !== undefined) this.#feed(rest, reading);
    return 'joined';
  }

  /** Losses that only the end of all tells of. */
  #feed(rest: EventBatch, reading: Reading): void {
    for (const batch of this.#trace.watch(rest)) {
      for (const loss of batch.losses) addLoss(reading, loss);
      for (const analysis of this.#analyses) analysis.batch(this.#trace, batch);
    }
  }

  #accepts({ trace, holes, parts }: StretchAnswer): boolean {
    return (
      this.#divisible.accepts(trace) &&
      this.#trace.accepts(holes) &&
      this.#analyses.every((analysis, i) => analysis.accepts(parts[i]))
    );
  }

  /** Ends the other threads. */
  end(): void {
    this.#progress.fill(0);
    for (const worker of this.#workers) void worker.terminate();
  }
}

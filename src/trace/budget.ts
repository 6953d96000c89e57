import { TraceError } from './error.ts';

/** Bytes of memory that a reading may need where the user says nothing; Node.js with virtap loaded takes some 70 MiB of them. */
export const usualMemory = 300 << 20;

/** Bytes that may come of one byte read. Real recordings compress to a twentieth or fiftieth; zlib cannot do better than this. */
const mostUnfolded = 1000;
/** Bytes that may come of nothing. */
const freeUnfolded = 64 << 20;

/**
 * What one reading, of however many files, may take: no input, however it was made, gets more memory than this, or more time than in
 * proportion to its bytes. Every reader takes from it through the `Meter` of its file.
 */
export class Budget {
  /** Bytes of memory in all. */
  readonly memory: number;
  /** Bytes of what headers say and of what is named: event formats, attributes, buffers, types, threads. */
  readonly facts: number;
  /** Payloads of events that wait for their turn, in bytes, and how many events these are. */
  readonly payloads: number;
  readonly waiting: number;
  /** Bytes of the pages of all CPUs' ring buffers that are at hand at once: of machines with very many CPUs, more than other events wait in. */
  readonly pages: number;
  /** Bytes of one part of a header, such as all event formats of a trace.dat. */
  readonly part: number;
  /** Bytes of one line of text: longer ones are passed over up to here, and end the reading there. */
  readonly line: number;
  #held = 0;

  constructor(memory: number = usualMemory) {
    this.memory = memory;
    this.facts = memory / 8;
    this.payloads = memory / 4;
    this.pages = memory / 3;
    this.waiting = Math.floor(memory / 200);
    this.part = memory / 8;
    this.line = memory / 16;
  }

  /** Takes memory for facts. False where there is not so much left. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.facts) return false;
    this.#held += bytes;
    return true;
  }
}

/** One file's share of a reading's budget: tells where the file asked for more. */
export class Meter {
  readonly budget: Budget;
  /** Why something of the file was left out: the first limit that it met. */
  refused: TraceError | undefined;
  readonly #file: string;
  #read = 0;
  #unfolded = 0;

  constructor(budget: Budget, file: string) {
    this.budget = budget;
    this.#file = file;
  }

  /** Takes memory for something that the file names (`what`, a plural) at `offset`. False where there is not so much left. */
  hold(bytes: number, what: string, offset?: number): boolean {
    if (this.budget.take(bytes)) return true;
    this.refused ??= this.error(
      `${what} that take more than ${mebi(this.budget.facts)} of memory, with all else that it names`,
      offset,
    );
    return false;
  }

  /** As `hold`, but throws the TraceError: for what the reading cannot go on without. */
  need(bytes: number, what: string, offset?: number): void {
    if (!this.hold(bytes, what, offset)) throw this.refused;
  }

  /** Counts bytes of the file that were read. */
  read(bytes: number): void {
    this.#read += bytes;
  }

  /**
   * Counts bytes that came of unpacking, or of looking at a part of a header, which a file may name again and again. Throws a TraceError
   * where they are out of all proportion to what was read.
   */
  unfold(bytes: number, offset?: number): void {
    this.#unfolded += bytes;
    const most = ((freeUnfolded + mostUnfolded * this.#read) * this.budget.memory) / usualMemory;
    if (this.#unfolded <= most) return;
    this.refused = this.error(`small parts that unfold to more than ${mebi(most)}`, offset);
    throw this.refused;
  }

  /** Refuses a part of a header (`what`) that is larger than any real one. */
  part(bytes: number, what: string, offset?: number): void {
    if (bytes > this.budget.part)
      throw this.error(`${what} of ${bytes} bytes`, offset, `at most ${mebi(this.budget.part)}`);
  }

  /** A limit that the file met. */
  error(problem: string, offset?: number, expected = 'less'): TraceError {
    const remedy = `or a larger --max-memory than ${mebi(this.budget.memory)} if you trust the file`;
    return new TraceError(this.#file, problem, offset, `${expected}, ${remedy}`);
  }
}

function mebi(bytes: number): string {
  return `${Math.floor(bytes / (1 << 20))} MiB`;
}

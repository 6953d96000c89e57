import type { EventBatch } from './batch.ts';

/**
 * A recording of which stretches can be read beside each other, each by a trace of its own. Whoever opens one with what `divide` gives of it
 * (`OpenOptions.stretch`) gets its events alone: those that reading in one go gives between those of its neighbours, with the same times, losses
 * and names.
 */
export interface Divisible {
  /**
   * Cuts what was not read yet into `n` stretches, or fewer: this trace goes on with the first, and ends where the second begins. Gives what the others
   * are opened with, as plain data; nothing where it cannot be cut. To be called while the first batch is out.
   * `beside` tells how many bytes were read of the others.
   */
  divide(n: number, beside: () => number): readonly unknown[];
  /** Of a stretch that was read to its end: what the others must know of it, as plain data. */
  part(): unknown;
  /** Whether a stretch begins where the one before ended, and what was taken for granted of it was so. Where it was not, all is to be read in one go. */
  accepts(part: unknown): boolean;
  /** Takes over what was learnt of the recording in the stretch that follows. */
  join(part: unknown): void;
  /** What is only known at the end of all stretches: losses. */
  rest(): EventBatch | undefined;
}

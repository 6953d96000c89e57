import type { Budget } from '../trace/budget.ts';
import type { Trace } from '../trace/trace.ts';
import type { Input } from './input.ts';

/** What the user may say about an input. */
export type OpenOptions = {
  /** Path of QEMU's trace-events-all, where it is not beside the trace or at its usual place. */
  traceEvents?: string | undefined;
  /** A copy of tracefs' folder `events`, or a trace.dat of the same kernel, for raw pages of ring buffers that lack one beside them. */
  formats?: string | undefined;
  /** 1 reads on the calling thread, 2 on a second one too where the format can. Left out, large files are read with both. */
  threads?: number | undefined;
  /** Of a recording that can be divided: opens one stretch of it, as `Divisible.divide` describes it. */
  stretch?: unknown;
  /** Bytes of memory that reading may need, 300 MiB where it is left out: for files that are trusted and need more. */
  maxMemory?: number | undefined;
  /** Told, in a sentence, when an input is so large that unpacking it to a temporary file takes a while and much of the disk. */
  tell?: ((sentence: string) => void) | undefined;
  /** The same as what is left of a reading of several files. */
  budget?: Budget | undefined;
};

/** A trace format: recognises itself by content, and opens. One line in detect.ts adds one. */
export type Format = {
  name: string;
  /** Whether an input that begins like this (up to 64 KiB of it) is of this format. */
  recognise(head: Uint8Array): boolean;
  open(input: Input, options: OpenOptions): Promise<Trace>;
};

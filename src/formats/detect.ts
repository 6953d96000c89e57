import type { Trace } from '../trace/trace.ts';
import type { Input } from './input.ts';

/** What the user may say about an input. */
export type OpenOptions = {
  /** Path of QEMU's trace-events-all, where it is not beside the trace or at its usual place. */
  traceEvents?: string | undefined;
};

/** A trace format: recognises itself by content, and opens. One line in `formats` below adds one. */
export type Format = {
  name: string;
  /** Whether an input that begins like this (up to 64 KiB of it) is of this format. */
  recognise(head: Uint8Array): boolean;
  open(input: Input, options: OpenOptions): Promise<Trace>;
};

/** One span as a row of an export. Times are of the trace's clock, in ns unless it counts ticks. */
export type SpanRow = {
  kind: 'exit' | 'request';
  /** From the trace's origin, a whole number. */
  begin: number;
  duration: number;
  /** The thread that it began on, its process and CPU; -1 where not known. */
  tid: number;
  pid: number;
  cpu: number;
  /** Exits: the vCPU, -1 where not known, and the reason. */
  vcpu: number;
  reason: string;
  /** Requests: queue and element, `0x…`. */
  vq: string;
  elem: string;
};

/** Writes rows in one of the forms of `virtap export`. */
export interface SpanWriter {
  /** Takes rows in the order of their ends; what has to be written now. */
  rows(rows: readonly SpanRow[]): Uint8Array | string;
  /** What is left to write. */
  end(): Uint8Array | string;
}

/** What a writer knows of the trace. Its threads and origin are known once there are rows. */
export type ExportSource = {
  readonly origin: bigint;
  readonly clock: { name: string; unit: 'ns' | 'ticks' | 'none' };
  readonly threads: ReadonlyMap<number, { comm: string; pid: number }>;
};

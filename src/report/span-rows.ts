/** What can be exported. */
export const spanKinds = ['exits', 'states', 'requests', 'waits'] as const;
export type SpanKind = (typeof spanKinds)[number];

/** One span as a row of an export. Times are of the trace's clock, in ns unless it counts ticks. */
export type SpanRow = {
  kind: 'exit' | 'state' | 'request' | 'wait';
  /** From the trace's origin, a whole number. */
  begin: number;
  duration: number;
  /** The thread that it began on, its process and CPU; -1 where not known. */
  tid: number;
  pid: number;
  cpu: number;
  /** Exits and states: the vCPU, -1 where not known. Exits: the reason; states: which. */
  vcpu: number;
  reason: string;
  state: string;
  /** Requests: device, `virtio-blk 0x…`, '' where not known; number of the queue, -1 likewise; what is asked; queue and element, `0x…`. */
  device: string;
  queue: number;
  operation: string;
  vq: string;
  elem: string;
  /** Requests: when the guest kicked, NaN where not known, and on which thread. */
  kick: number;
  kicker: number;
  /** Waits: the mutex, `0x…`, where it was asked for, and the thread that had it the longest meanwhile, -1 where none was seen to. */
  mutex: string;
  site: string;
  holder: number;
};

/** A row of which nothing is known. */
export const blankRow: SpanRow = {
  kind: 'exit',
  begin: 0,
  duration: 0,
  tid: -1,
  pid: -1,
  cpu: -1,
  vcpu: -1,
  reason: '',
  state: '',
  device: '',
  queue: -1,
  operation: '',
  vq: '',
  elem: '',
  kick: Number.NaN,
  kicker: -1,
  mutex: '',
  site: '',
  holder: -1,
};

/** The columns of tables of rows, in their order. */
export const spanColumns = [
  'kind',
  'time',
  'begin',
  'duration',
  'cpu',
  'tid',
  'pid',
  'vcpu',
  'reason',
  'state',
  'device',
  'queue',
  'operation',
  'vq',
  'elem',
  'mutex',
  'site',
  'holder',
] as const;

/** Writes rows in one of the forms of `virtap export`. */
export interface SpanWriter {
  /** Takes rows in the order of their ends (those of states may come later); what has to be written now. */
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

/*
 * The answers as programs read them (docs/json.md), as far as pages and verdicts use them. The objects are those that `--json`
 * prints: figures stand under names that end in the unit, `total_ns` or `total_cycles`.
 */

export type Unit = 'ns' | 'cycles';

/** A row of statistics; `figure` reads one with its unit. */
export type StatsJson = { count: number; rate_per_s: number | null; share: number | null } & Record<string, unknown>;

export type VcpuJson = { vm: number | null; vcpu: number | null; tid: number };

export type LossesJson = {
  partial: boolean;
  why?: string[];
  lost: number;
  holes: number;
  /** Holes that nothing marks. */
  unmarked?: number;
  losses: { from_ns: number | null; to_ns: number | null; cpu: number | null; count: number | null }[];
  notes?: string[];
};

export type EventsJson = LossesJson & {
  file: string;
  format: string;
  version: string;
  clock: string;
  clock_unit: 'ns' | 'ticks' | 'none';
  origin: string;
  first_ns: number | null;
  duration_ns: number | null;
  events: number;
  cpus: number | null;
  cpus_seen: number[];
  types: { name: string; count: number; rate: number | null }[];
  processes: { pid: number | null; comm: string; threads: number; events: number }[];
  machines: {
    pid: number | null;
    comm: string;
    qemu_events: number;
    vcpus: { vcpu: number | null; tid: number; comm: string; events: number }[];
  }[];
  answers: { command: string; answer: 'yes' | 'partly' | 'no'; why: string; record: string[] }[];
};

export type ExitRowJson = StatsJson & { reason: string; halt: boolean; share_without_halts: number | null };

export type InnerEventJson = {
  event: string;
  cpu: number | null;
  effect?: string;
  brief?: string;
  text: string;
} & Record<string, unknown>;

export type SlowExitJson = VcpuJson & {
  time: string;
  cpu: number | null;
  reason: string;
  rip: string;
  events: InnerEventJson[];
  omitted: number;
  states?: Record<string, number>;
  lock_wait?: {
    name: string;
    wait_ns: number;
    holder: { tid: number; role: string; vcpu: number | null } | null;
    site: string | null;
  };
} & Record<string, unknown>;

export type ExitsJson = LossesJson & {
  file: string;
  unit: Unit;
  origin: string;
  vcpus: VcpuJson[];
  totals: { all: StatsJson; without_halts: StatsJson; halts: StatsJson };
  rows: ExitRowJson[];
  unpaired: Record<string, number>;
  slow?: SlowExitJson[];
  over_threshold?: number;
} & Record<string, unknown>;

export type QueueJson = {
  pid: number | null;
  device: string | null;
  vdev: string | null;
  queue: number | null;
  role: string | null;
  vq: string;
  popped: number;
  filled: number;
  p50_ns: number | null;
  p99_ns: number | null;
  max_ns: number | null;
} & Record<string, unknown>;

export type ElementJson = {
  verdict: string;
  pid: number | null;
  device: string | null;
  vdev: string | null;
  queue: number | null;
  role: string | null;
  vq: string;
  elem: string;
  pop_ns: number | null;
  popped_at: string | null;
  age_ns: number | null;
  why: string;
  operation?: string;
  sector?: number;
  sectors?: number;
  events?: { after_pop_ns: number | null; event: string; own: boolean }[];
};

export type LeaksJson = LossesJson & {
  file: string;
  totals: Record<string, number>;
  queues: QueueJson[];
  elements: ElementJson[];
};

/** Time by state, in ns; a state that the trace cannot tell apart is absent. */
export type StatesJson = Record<string, number>;

export type VcpuRowJson = VcpuJson & {
  wall_ns: number;
  exits: number;
  states: StatesJson;
  longest: Record<string, { begin_ns: number; duration_ns: number }>;
  open_exit: { reason: string; age_ns: number } | null;
  timeline?: (string | null)[];
};

export type VcpusJson = LossesJson & {
  file: string;
  vcpus: VcpuRowJson[];
  timeline?: { from_ns: number; time_step_ns: number };
  held_outside_guest: { total_ns: number; share: number | null };
  not_told_apart: { state: string; stands_in: string; lacking: string }[];
  ran_instead: { tid: number; comm: string; time_ns: number }[];
};

export type RoleJson = { role: string; vcpu?: number | null; name?: string; tid: number; pid: number | null };

export type LockGroupJson = {
  acquisitions: number;
  /** null where no mutex is seen to be let go. */
  contended: number | null;
  held_by_others: StatsJson;
  uncontended: StatsJson;
  wait: StatsJson;
  hold: StatsJson;
};

export type HolderJson = RoleJson & {
  site: string | null;
  inner_site: string | null;
  total_ns: number;
};

export type MutexJson = LockGroupJson & {
  name: string;
  mutex: string;
  pid: number | null;
  held_by_others_ns: number | null;
  vcpus: {
    wait_ns: number;
    time_ns: number | null;
    held_by_others_ns: number | null;
    held_by_others_share: number | null;
    uncontended: StatsJson;
    share: number | null;
    behind: HolderJson[];
  };
  sites: (LockGroupJson & { site: string })[];
  threads: (LockGroupJson & RoleJson)[];
  behind: (HolderJson & { waits: number })[];
};

export type SlowLockJson = RoleJson & {
  time: string;
  duration_ns: number;
  mutex: string;
  site: string | null;
  holders: HolderJson[];
  events: { offset_ns: number; event: string; text: string }[];
  events_of: number | null;
};

export type LocksJson = LossesJson & { file: string; mutexes: MutexJson[]; slow?: SlowLockJson[] };

export type QueueNameJson = {
  pid: number | null;
  device: string | null;
  vdev: string | null;
  queue: number | null;
  role: string | null;
  vq: string;
};

/** A thread by what it is for; its id where that is known. */
export type ThreadJson = { role: string; vcpu?: number | null; name?: string; tid: number | null };

export type HopJson = StatsJson & { from: string; to: string };

export type RequestQueueJson = QueueNameJson &
  StatsJson & {
    popped: number;
    in_flight: { mean: number | null; max: number; means: (number | null)[]; maxima: number[] } & Record<
      string,
      unknown
    >;
    threads: ThreadJson[];
    hops: HopJson[];
  };

export type SlowRequestJson = QueueNameJson & {
  time: string;
  elem: string;
  operation: string | null;
  sector: number | null;
  sectors: number | null;
  result: number;
  merged: number;
  thread: ThreadJson;
  kicked_by: ThreadJson | null;
  interrupts: ThreadJson | null;
  path: ({ point: string } & Record<string, unknown>)[];
  meanwhile?: StatesJson;
  lock_wait?: { name: string; holder: ThreadJson | null; site: string | null } & Record<string, unknown>;
  events: ({ event: string; text: string; effect?: string } & Record<string, unknown>)[];
} & Record<string, unknown>;

export type RequestsJson = LossesJson & {
  file: string;
  unit: Unit;
  origin: string;
  totals: StatsJson;
  delay: StatsJson;
  queues: RequestQueueJson[];
  over_threshold?: number;
  slow?: SlowRequestJson[];
  missing: { point: string; events: string }[];
} & Record<string, unknown>;

/** A figure of a row, `total` for `total_ns`; NaN where there is none. */
export function figure(row: Record<string, unknown>, name: string, unit: Unit): number {
  const value = row[`${name}_${unit}`];
  return typeof value === 'number' ? value : Number.NaN;
}

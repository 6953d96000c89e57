import type { ThreadState } from '../spans/thread-time.ts';
import type { StatsJson, Unit } from '../views/figures.ts';
import type { Verdict } from '../views/leaks.ts';
import type { Timed } from './timed.ts';

/*
 * The answers as programs read them (docs/json.md): the very types of the objects that `--json` prints, and that pages and verdicts
 * read. Figures stand under names that end in the unit, `total_ns` or `total_cycles`; `figure` of timed.ts reads one.
 */

export type { StatsJson, Unit };

/** Statistics as a part of those of a whole. */
export type SharedStatsJson = StatsJson & { share: number | null };

/** How many spans began in which stretch of time and took how long: a list of counts by latency for each stretch. */
export type HeatJson = Timed<'from' | 'to' | 'time_step'> & {
  [Name in `latency_edges_${Unit}`]?: (number | null)[];
} & { counts: number[][] };

/** What the trace cannot tell apart: `state` stands in another, for want of the events named. */
export type UntoldJson = { state: string; stands_in: string; lacking: string }[];

export type VcpuJson = { vm: number | null; vcpu: number | null; tid: number };

export type LossesJson = {
  partial: boolean;
  why?: string[];
  lost: number;
  holes: number;
  /** Holes that nothing marks. */
  unmarked?: number;
  losses: {
    from_ns: number | null;
    to_ns: number | null;
    cpu: number | null;
    count: number | null;
    unmarked?: string;
    tid?: number;
  }[];
  notes?: string[];
  /** How far files are apart whose clocks had to be found out. */
  alignments?: Record<string, string | number | null>[];
};

export type EventsJson = LossesJson & {
  file: string;
  format: string;
  version: string;
  clock: string;
  clock_unit: 'ns' | 'ticks' | 'none';
  resolution: number;
  clock_ties?: { to: string; offset_ns: string; source: string }[];
  origin: string;
  first_ns: number | null;
  duration_ns: number | null;
  duration_ticks?: number | null;
  events: number;
  /** Events that stand twice in the file, identical to the nanosecond: they count once. */
  repeated?: number;
  cpus: number | null;
  cpus_seen: number[];
  types: {
    name: string;
    count: number;
    rate_per_s: number | null;
    /** The former name of `rate_per_s`; goes with the next version. */
    rate: number | null;
    recorded_as?: { name: string; count: number }[];
  }[];
  processes: { pid: number | null; comm: string; threads: number; events: number }[];
  machines: {
    pid: number | null;
    comm: string;
    qemu_events: number;
    vcpus: { vcpu: number | null; tid: number; comm: string; events: number }[];
  }[];
  answers: { command: string; answer: 'yes' | 'partly' | 'no'; why: string; record: string[] }[];
};

/** The statistics of a group; what it is grouped by stands under its own names. */
export type ExitRowJson = SharedStatsJson & {
  share_without_halts: number | null;
  reason?: string | null;
  halt?: boolean;
  without_halts?: SharedStatsJson;
  halts?: SharedStatsJson;
  states?: StatesJson;
} & {
  [Name in 'vm' | 'vcpu' | 'tid' | 'port' | 'gpa' | 'msr' | 'direction' | 'rip' | 'userspace']?: string | number | null;
};

export type LockWaitJson = {
  name: string;
  wait_ns: number;
  holder: { tid: number; role: string; vcpu: number | null } | null;
  site: string | null;
};

export type InnerEventJson = Timed<'offset'> & {
  event: string;
  cpu: number | null;
  effect?: string;
  brief?: string;
  text: string;
};

export type SlowExitJson = VcpuJson &
  Timed<'begin' | 'duration'> & {
    time: string;
    cpu: number | null;
    reason: string;
    rip: string;
    events: InnerEventJson[];
    omitted: number;
    states?: StatesJson;
    /** How much of its time in KVM the thread was asleep, without a halt. */
    asleep_in_kvm_ns?: number;
    lock_wait?: LockWaitJson;
  };

export type ExitsJson = LossesJson &
  Timed<'duration'> & {
    file: string;
    format: string;
    clock: string;
    unit: Unit;
    origin: string;
    vcpus: VcpuJson[];
    by: string[];
    /** With --in-guest: times are those in the guest that the exits ended. */
    in_guest?: true;
    /** Why nothing has a duration, where that is so. */
    not_timed?: string;
    totals: { all: SharedStatsJson; without_halts: SharedStatsJson; halts: SharedStatsJson };
    rows: ExitRowJson[];
    unpaired: { [why: string]: number };
    open: (VcpuJson & Timed<'begin' | 'age'> & { reason: string })[];
    not_told_apart?: UntoldJson;
    over_threshold?: number;
    slow?: SlowExitJson[];
    heatmap?: HeatJson & { halts: boolean };
  };

export type QueueNameJson = {
  pid: number | null;
  device: string | null;
  vdev: string | null;
  queue: number | null;
  role: string | null;
  vq: string;
};

export type QueueJson = QueueNameJson & {
  popped: number;
  filled: number;
  filled_without_pop: number;
  across_holes: number;
  not_followed?: number;
  min_ns: number | null;
  avg_ns: number | null;
  p50_ns: number | null;
  p99_ns: number | null;
  max_ns: number | null;
} & VerdictsJson;

export type ElementJson = QueueNameJson & {
  verdict: Verdict;
  elem: string;
  in_num: number;
  out_num: number;
  pop_ns: number | null;
  popped_at: string | null;
  age_ns: number | null;
  until: string;
  fills_since: number;
  operation: string | undefined;
  sector: number | undefined;
  sectors: number | undefined;
  scsi_command: number | undefined;
  scsi_tag: number | undefined;
  done_ns: number | null | undefined;
  result: number | undefined;
  why: string;
  events: { after_pop_ns: number | null; event: string; own: boolean }[] | undefined;
};

/** A verdict as a name: `held_on_error`. */
type VerdictName<Text extends string> = Text extends `${infer First} ${infer Rest}`
  ? `${First}_${VerdictName<Rest>}`
  : Text;

/** How many elements have which verdict. */
export type VerdictsJson = { [Name in Verdict as VerdictName<Name>]: number };

export type LeaksJson = LossesJson & {
  file: string;
  format: string;
  clock: string;
  unit: Unit | 'none';
  origin: string;
  totals: VerdictsJson;
  queues: QueueJson[];
  elements: ElementJson[];
};

/** Time by state, in ns; a state that the trace cannot tell apart is absent. */
export type StatesJson = { [state: string]: number };

export type VcpuRowJson = VcpuJson & {
  begin_ns: number;
  end_ns: number;
  wall_ns: number;
  exits: number;
  states: StatesJson;
  halt_polling_ns: number | null;
  asleep_in_kvm_ns: number;
  longest: { [state: string]: { begin_ns: number; duration_ns: number } };
  open_exit: { reason: string; age_ns: number } | null;
  timeline: (string | null)[] | undefined;
};

export type VcpusJson = LossesJson & {
  file: string;
  format: string;
  clock: string;
  origin: string;
  vcpus: VcpuRowJson[];
  timeline: { from_ns: number; time_step_ns: number } | undefined;
  held_outside_guest: { total_ns: number; share: number | null };
  not_told_apart: UntoldJson;
  ran_instead: { tid: number; comm: string; time_ns: number }[];
};

export type RoleJson = { role: string; vcpu?: number | null; name?: string; tid: number; pid: number | null };

export type LockGroupJson = {
  acquisitions: number;
  /** null where no mutex is seen to be let go. */
  contended: number | null;
  contended_share: number | null;
  held_by_others: StatsJson;
  uncontended: StatsJson;
  wait: StatsJson;
  hold: StatsJson;
};

/** What a thread did meanwhile, where the scheduler's events tell. */
export type RanJson = { running_ns?: number | null; preempted_ns?: number | null; blocked_ns?: number | null };

export type BehindJson = RoleJson &
  RanJson & { site: string | null; inner_site: string | null; waits: number; total_ns: number };

/** Who held the mutex in a slow wait. */
export type HolderJson = RoleJson &
  RanJson & {
    site: string | null;
    inner_site: string | null;
    times: number;
    total_ns: number;
    offset_ns: number;
    since_ns: number | null;
  };

export type MutexJson = LockGroupJson & {
  name: string;
  mutex: string;
  pid: number | null;
  nested: number;
  after_condition: number;
  try_lock: number;
  held_by_others_ns: number | null;
  vcpus: {
    wait_ns: number;
    time_ns: number | null;
    held_by_others_ns: number | null;
    share: number | null;
    held_by_others_share: number | null;
    uncontended: StatsJson;
    behind: BehindJson[];
  };
  sites: (LockGroupJson & { site: string })[];
  threads: (LockGroupJson & RoleJson)[];
  behind: BehindJson[];
};

export type SlowLockJson = RoleJson &
  RanJson & {
    time: string;
    begin_ns: number;
    duration_ns: number;
    cpu: number | null;
    mutex: string;
    site: string | null;
    holders: HolderJson[];
    omitted_holders: number;
    events_of: number | null;
    events: { offset_ns: number; event: string; effect?: string; text: string }[];
  };

export type UnfinishedLockJson = RoleJson & {
  kind: 'wait' | 'hold';
  time: string;
  begin_ns: number;
  age_ns: number;
  mutex: string;
  site: string | null;
  holder?: RoleJson & { since_ns: number | null; site: string | null };
};

export type LocksJson = LossesJson & {
  file: string;
  format: string;
  clock: string;
  unit: 'ns';
  origin: string;
  duration_ns: number;
  threads: RoleJson[];
  totals: LockGroupJson;
  mutexes: MutexJson[];
  unpaired: { [why: string]: number };
  slow_of?: 'wait' | 'hold';
  over_threshold?: number;
  missed?: number;
  slow?: SlowLockJson[];
  unfinished: UnfinishedLockJson[];
  heatmap?: HeatJson & { of: 'wait' | 'hold' };
};

/** A thread by what it is for; its id where that is known. */
export type ThreadJson = {
  tid: number | null;
  role: string;
  vcpu?: number | null | undefined;
  name?: string | undefined;
};

export type HopJson = SharedStatsJson & { from: string; to: string };

export type ThreadStatesJson = Timed<ThreadState>;

export type RequestQueueJson = QueueNameJson &
  StatsJson & {
    popped: number;
    in_flight: Timed<'from' | 'time_step'> & {
      mean: number | null;
      max: number;
      means: (number | null)[];
      maxima: number[];
    };
    open: number;
    without_fill: VerdictsJson;
    fills_without_pop: number;
    set_aside: number;
    operations: (StatsJson & { operation: string | null })[];
    threads: ThreadJson[];
    backends: { [backend: string]: number };
    merged: number;
    bytes: { read: number; written: number };
    hops: HopJson[];
    delays: (SharedStatsJson & { thread: ThreadJson; told: number; meanwhile: ThreadStatesJson })[];
    heatmap?: HeatJson;
  };

export type SlowRequestJson = QueueNameJson &
  Timed<'begin' | 'duration' | 'delay' | 'path'> & {
    time: string;
    elem: string;
    operation: string | null;
    sector: number | null;
    sectors: number | null;
    result: number;
    merged: number;
    backend: string | null;
    thread: ThreadJson;
    kicked_by: ThreadJson | null;
    interrupts: ThreadJson | null;
    path: (Timed<'time'> & { point: string })[];
    meanwhile?: ThreadStatesJson;
    lock_wait?: Timed<'wait'> & { name: string; holder: ThreadJson | null; site: string | null };
    events: (Timed<'offset'> & { event: string; text: string; effect: string | undefined })[];
  };

export type RequestsJson = LossesJson &
  Timed<'duration'> & {
    file: string;
    format: string;
    clock: string;
    unit: Unit;
    origin: string;
    totals: StatsJson & { without_fill: VerdictsJson };
    delay: SharedStatsJson;
    queues: RequestQueueJson[];
    over_threshold?: number;
    /** What it was called before; for this version only. */
    over?: number;
    slow?: SlowRequestJson[];
    missing: { point: string; events: string }[];
  };

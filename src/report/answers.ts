import type { StatsJson, Unit } from '../views/figures.ts';
import type { HeadJson } from './answer.ts';
import type { RowJson } from './columns.ts';
import type { machineColumns, processColumns, questionColumns, typeColumns } from './events-columns.ts';
import type { exitColumns, GroupJson, openExitColumns, slowExitColumns, TotalJson } from './exits-columns.ts';
import type { HeatJson } from './heat-json.ts';
import type { ElementJson } from './leak-elements.ts';
import type { QueueJson } from './leaks-columns.ts';
import type { HolderJson, LockGroupJson, mutexColumns, openLockColumns, SlowLockJson } from './locks-columns.ts';
import type { QueueNameJson, VerdictsJson } from './queue-keys.ts';
import type {
  delayTotal,
  missingColumns,
  requestQueueColumns,
  slowRequestColumns,
  ThreadJson,
  ThreadStatesJson,
} from './requests-columns.ts';
import type { RoleJson } from './roles.ts';
import type { VcpuJson } from './vcpu-keys.ts';
import type { StatesJson, UntoldJson } from './vcpu-states.ts';
import type { otherColumns, VcpuRowJson } from './vcpus-columns.ts';

/*
 * The answers as programs read them (docs/json.md): the very types of the objects that `--json` prints, and that pages and verdicts
 * read. Figures stand under names that end in the unit, `total_ns` or `total_cycles`; `figure` of timed.ts reads one.
 */

export type {
  ElementJson,
  HeatJson,
  HolderJson,
  QueueJson,
  QueueNameJson,
  RoleJson,
  SlowLockJson,
  StatesJson,
  StatsJson,
  ThreadJson,
  ThreadStatesJson,
  Unit,
  UntoldJson,
  VcpuJson,
  VcpuRowJson,
  VerdictsJson,
};

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
  types: RowJson<typeof typeColumns>[];
  processes: RowJson<typeof processColumns>[];
  machines: RowJson<typeof machineColumns>[];
  answers: RowJson<typeof questionColumns>[];
};

/** The statistics of a group; what it is grouped by stands under its own names. */
export type ExitRowJson = GroupJson & RowJson<typeof exitColumns>;

export type SlowExitJson = RowJson<typeof slowExitColumns>;

export type ExitsJson = LossesJson &
  HeadJson & {
    vcpus: VcpuJson[];
    by: string[];
    /** With --in-guest: times are those in the guest that the exits ended. */
    in_guest?: true;
    /** Why nothing has a duration, where that is so. */
    not_timed?: string;
    totals: { all: TotalJson; without_halts: TotalJson; halts: TotalJson };
    rows: ExitRowJson[];
    unpaired: { [why: string]: number };
    open: RowJson<typeof openExitColumns>[];
    not_told_apart?: UntoldJson;
    over_threshold?: number;
    slow?: SlowExitJson[];
    heatmap?: HeatJson & { halts: boolean };
  };

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

export type VcpusJson = LossesJson & {
  file: string;
  format: string;
  clock: string;
  origin: string;
  vcpus: VcpuRowJson[];
  timeline: { from_ns: number; time_step_ns: number } | undefined;
  held_outside_guest: { total_ns: number; share: number | null };
  not_told_apart: UntoldJson;
  ran_instead: RowJson<typeof otherColumns, 'ns'>[];
};

export type MutexJson = RowJson<typeof mutexColumns, 'ns'>;

export type LocksJson = LossesJson &
  HeadJson<'ns'> & {
    threads: RoleJson[];
    totals: LockGroupJson;
    mutexes: MutexJson[];
    unpaired: { [why: string]: number };
    slow_of?: 'wait' | 'hold';
    over_threshold?: number;
    missed?: number;
    slow?: SlowLockJson[];
    unfinished: RowJson<typeof openLockColumns, 'ns'>[];
    heatmap?: HeatJson & { of: 'wait' | 'hold' };
  };

export type RequestQueueJson = RowJson<typeof requestQueueColumns>;

export type SlowRequestJson = RowJson<typeof slowRequestColumns>;

export type RequestsJson = LossesJson &
  HeadJson & {
    totals: StatsJson & { without_fill: VerdictsJson };
    delay: RowJson<typeof delayTotal>;
    queues: RequestQueueJson[];
    over_threshold?: number;
    /** What it was called before; for this version only. */
    over?: number;
    slow?: SlowRequestJson[];
    missing: RowJson<typeof missingColumns>[];
  };

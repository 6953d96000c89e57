import type { InnerEvent } from '../spans/inner-events.ts';
import type { LockCounts } from '../spans/lock-machine.ts';
import type { RunParts } from '../spans/run-history.ts';
import type { Stats } from '../spans/summary.ts';
import type { ThreadRole } from '../spans/thread-roles.ts';
import type { Subject } from './conditions.ts';
import { measured } from './figures.ts';
import type { Heat } from './heatmap.ts';

/** A thread as people know it. */
export type LockRole = ThreadRole & { tid: number; pid: number | undefined };

/** Acquisitions that have something in common. */
export type LockGroup = {
  acquisitions: number;
  /** Waits during which another thread held the mutex. */
  contended: number;
  /** How long that was, of each of these. */
  heldUp: Stats;
  /** Acquisitions of a free mutex, from lock to locked: what that takes in this recording, its tracing included. */
  uncontended: Stats;
  /** All of them, from lock to locked: what another thread held the mutex, handing it over, and what it takes to have a free one. */
  wait: Stats;
  hold: Stats;
};

/** Who held a mutex while others waited for it. */
export type Behind = {
  role: LockRole;
  /** Where it had locked it, undefined where that was before the trace began; and where it had locked another one last. */
  site: string | undefined;
  inner: string | undefined;
  /** Time that others waited meanwhile, summed over those who waited, and how many waits had to do with it. */
  total: number;
  waits: number;
  /** What the holder did in that time, as far as the scheduler's events tell; undefined where they tell nothing. */
  ran: RunParts | undefined;
};

export type MutexResult = LockGroup & {
  /** `BQL`, or the address. */
  name: string;
  mutex: string;
  pid: number | undefined;
  nested: number;
  condition: number;
  tryLock: number;
  /** Where there are very many, the further ones are `others`. */
  sites: (LockGroup & { site: string })[];
  threads: (LockGroup & { role: LockRole })[];
  /** Most time first; where there are very many, some are in `held` only. */
  behind: Behind[];
  /** Time of all waits that another thread held the mutex. */
  held: number;
  /**
   * Of the vCPUs' waits for it: their time, that of the vCPUs themselves (NaN where none is known), how much of the former others held it,
   * and who; and their acquisitions of it while it was free.
   */
  vcpus: { wait: number; time: number; held: number; behind: Behind[]; uncontended: Stats };
};

/** A thread that held a mutex during a wait, having locked it at one place. */
export type Holder = Omit<Behind, 'waits'> & {
  /** How often, and when first: from the trace's origin. */
  times: number;
  first: number;
  /** When it had taken the mutex then; -Infinity where that was before the trace began. */
  since: number;
};

/** A slow wait, or a slow hold. */
export type SlowLock = {
  begin: number;
  duration: number;
  cpu: number;
  role: LockRole;
  name: string;
  site: string | undefined;
  /** Who held the mutex meanwhile, by thread and call site, most time first: of a wait only. */
  behind: Holder[];
  /** How many more there were. */
  omitted: number;
  /** What the thread did that held it for most of the wait; or that which holds it. Offsets from `begin`. */
  events: InnerEvent[];
  of: LockRole | undefined;
  more: boolean;
  /** What its own thread did meanwhile. */
  ran: RunParts | undefined;
};

/** A wait or hold that is not over at the end of the recording, or of the stretch asked for; its duration is counted to that end. */
export type UnfinishedLock = {
  kind: 'wait' | 'hold';
  begin: number;
  duration: number;
  role: LockRole;
  name: string;
  site: string | undefined;
  /** Who holds the mutex that is waited for. */
  holder: { role: LockRole; since: number; site: string | undefined } | undefined;
};

export type LocksResult = {
  mutexes: MutexResult[];
  all: LockGroup;
  roles: LockRole[];
  heat: Heat | undefined;
  slow: SlowLock[] | undefined;
  over: number;
  /** Waits or holds of the BQL that are in neither because they came before it could be told from others: where only the BQL is asked for. */
  missed: number;
  unfinished: UnfinishedLock[];
  counts: LockCounts;
  /** Whether it is known which mutex is the BQL, though it may not be among `mutexes`. */
  bqlKnown: boolean;
  /** Whether it is told who held a mutex while others waited: not where no mutex is seen to be let go. */
  holdersTold: boolean;
  /** How long the stretch is that all this is of, in ns. */
  duration: number;
};

/** Names for indices into `Locks.threads`, `mutexes` and `sites`; no site has none. */
export type LockNames = {
  role: (thread: number) => LockRole;
  mutex: (mutex: number) => string;
  site: (site: number) => string | undefined;
};

/**
 * What conditions can be about: the time that others held what was waited for, what taking a free mutex took, and holds, of all
 * mutexes and of each; and how much of the vCPUs' time they waited for one that others held.
 */
export function lockSubjects({ all, mutexes, duration, holdersTold }: LocksResult): Subject[] {
  const seconds = duration / 1e9;
  const of = (name: string | undefined, group: LockGroup): Subject[] => [
    ...(holdersTold
      ? [
          { kind: 'wait', name, measured: measured(group.heldUp, all.heldUp.total, seconds) },
          { kind: 'uncontended', name, measured: measured(group.uncontended, all.uncontended.total, seconds) },
        ]
      : []),
    { kind: 'hold', name, measured: measured(group.hold, all.hold.total, seconds) },
  ];
  return [
    ...of(undefined, all),
    ...mutexes.flatMap((mutex) => [
      ...of(mutex.name, mutex),
      ...(holdersTold
        ? [
            {
              kind: 'vcpu-wait',
              name: mutex.name,
              measured: { total: mutex.vcpus.held, share: mutex.vcpus.held / mutex.vcpus.time },
            },
          ]
        : []),
    ]),
  ];
}

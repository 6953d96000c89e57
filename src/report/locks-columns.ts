import type { Stats } from '../spans/summary.ts';
import { percentileDigits } from '../spans/summary.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from '../views/conditions.ts';
import type { StatsJson } from '../views/figures.ts';
import type {
  Behind,
  Holder,
  LockGroup,
  LocksResult,
  MutexResult,
  SlowLock,
  UnfinishedLock,
} from '../views/lock-answers.ts';
import type { Reading } from '../views/reading.ts';
import { beginKeys, cpuKey } from './begin-keys.ts';
import { rowSubjects, sortRows } from './column-names.ts';
import {
  type Column,
  columnsOf,
  figureCsv,
  forPeople,
  type RowJson,
  rowJson,
  type Scope,
  scopeOf,
  statsJson,
} from './columns.ts';
import { type InnerEventJson, innerJson } from './inner-events.ts';
import { roleName } from './names.ts';
import { type RoleJson, ranKeys, roleJson, roleKeys } from './roles.ts';
import { count, duration } from './units.ts';

/** What a command needs to say of the locks in one trace. */
export type LocksAnswer = {
  trace: Trace;
  result: LocksResult;
  reading: Reading;
  /** Whether the heat map and the slow log are of holds. */
  holds: boolean;
  than: number | undefined;
  /** Names or addresses of the mutexes to tell of in detail; the BQL where it is empty. */
  chosen: readonly string[];
};

/** What the columns of locks need to know of the answer. */
export type LockScope = Scope<'ns'> & {
  trace: Pick<Trace, 'origin' | 'clock'>;
  /** Whether there are mutexes of several processes. */
  several: boolean;
};

export function lockScope({ trace, result }: Pick<LocksAnswer, 'trace' | 'result'>): LockScope {
  const several = new Set(result.mutexes.map(({ pid }) => pid)).size > 1;
  return { ...scopeOf('ns', result.duration), trace, several };
}

const figureOf = (
  title: string,
  stats: (group: LockGroup) => Stats,
  figure: 'mean' | 'p99' | 'max',
  more: { name: string; priority: number },
): Column<LockGroup, LockScope> & { json: false } =>
  forPeople({
    title,
    type: 'length',
    of: (group) => stats(group)[figure],
    digits: (group) => (figure === 'p99' ? percentileDigits(stats(group).count) : 4),
    ...more,
  });

const heldUp = ({ heldUp }: LockGroup) => heldUp;
const hold = ({ hold }: LockGroup) => hold;
const totalText = ({ count, total }: Stats) => (count === 0 ? '-' : duration(total));

/** A set of acquisitions, behind what names it. */
export const lockColumns = columnsOf<LockGroup, LockScope>()([
  {
    key: 'acquisitions',
    type: 'number',
    title: 'acquired',
    meaning: 'how often the mutex was taken',
    of: ({ acquisitions }) => acquisitions,
  },
  {
    key: 'contended',
    type: 'number',
    title: 'contended',
    meaning: 'waits during which another thread held it; null where no mutex is seen to be let go',
    of: ({ contended }): number | null => contended,
  },
  {
    key: 'contended_share',
    type: 'share',
    title: 'share',
    priority: 4,
    meaning: 'of the acquisitions',
    of: ({ contended, acquisitions }): number | null => contended / acquisitions,
    csv: false,
  },
  {
    key: 'held_by_others',
    type: 'object',
    meaning: 'the figures of how long another thread held it during waits: what tables call waited',
    of: ({ heldUp }, scope): StatsJson => statsJson(heldUp, scope),
  },
  {
    key: 'uncontended',
    type: 'object',
    meaning: 'of acquisitions of a free mutex, from lock to locked',
    of: ({ uncontended }, scope): StatsJson => statsJson(uncontended, scope),
  },
  {
    key: 'wait',
    type: 'object',
    meaning:
      'of all acquisitions, from lock to locked: what others held it, its being handed over, and what taking a free one takes',
    of: ({ wait }, scope): StatsJson => statsJson(wait, scope),
  },
  {
    key: 'hold',
    type: 'object',
    meaning: 'of how long it was held',
    of: ({ hold }, scope): StatsJson => statsJson(hold, scope),
  },
  forPeople({
    title: 'waited',
    type: 'length',
    of: ({ heldUp }) => heldUp.total,
    text: ({ heldUp }) => totalText(heldUp),
  }),
  figureOf('avg', heldUp, 'mean', { name: 'avg wait', priority: 7 }),
  figureOf('p99', heldUp, 'p99', { name: 'p99 wait', priority: 3 }),
  figureOf('max', heldUp, 'max', { name: 'max wait', priority: 1 }),
  forPeople({
    title: 'when free',
    type: 'length',
    priority: 6,
    of: ({ uncontended }) => uncontended.p50,
    digits: ({ uncontended }) => percentileDigits(uncontended.count),
  }),
  forPeople({ title: 'held', type: 'length', of: ({ hold }) => hold.total, text: ({ hold }) => totalText(hold) }),
  figureOf('avg', hold, 'mean', { name: 'avg hold', priority: 8 }),
  figureOf('p99', hold, 'p99', { name: 'p99 hold', priority: 5 }),
  figureOf('max', hold, 'max', { name: 'max hold', priority: 2 }),
  ...figureCsv<LockGroup, LockScope>('wait', ({ wait }) => wait),
  ...figureCsv<LockGroup, LockScope>('hold', hold),
  ...figureCsv<LockGroup, LockScope>('held_by_others', heldUp),
  ...figureCsv<LockGroup, LockScope>('uncontended', ({ uncontended }) => uncontended),
]);

export type LockGroupJson = RowJson<typeof lockColumns, 'ns'>;

/** By call site. */
export type SiteRow = MutexResult['sites'][number];
export const siteColumns = columnsOf<SiteRow, LockScope>()([
  {
    key: 'site',
    type: 'text',
    title: 'call site',
    shrink: 22,
    keep: 'end',
    meaning: 'where it is locked',
    of: ({ site }) => site,
  },
  ...lockColumns,
]);

/** By thread. */
export type ThreadRow = MutexResult['threads'][number];
export const lockThreadColumns = columnsOf<ThreadRow, LockScope>()([
  ...roleKeys<ThreadRow, LockScope>(({ role }) => role),
  forPeople({ title: 'thread', type: 'text', shrink: 17, of: ({ role }) => roleName(role) }),
  ...lockColumns,
]);

/** The columns that say where who held a mutex had locked it. */
const heldAt = <Row extends { site?: string | undefined; inner?: string | undefined }, S extends Scope>() =>
  columnsOf<Row, S>()([
    {
      key: 'site',
      type: 'text',
      meaning: 'where it had locked it; null before the trace began',
      of: ({ site }): string | null => site ?? null,
    },
    {
      key: 'inner_site',
      type: 'text',
      meaning: 'where it had locked another one last',
      of: ({ inner }): string | null => inner ?? null,
    },
  ]);

/** Who held it while others waited, or, without a role, all others that did. */
export type BehindRow = Pick<Behind, 'total'> & Partial<Behind>;
export type BehindScope = LockScope & {
  /** What shares are of. */
  held: number;
  /** Whether it is known of any what it did meanwhile. */
  ran: boolean;
};

export const behindColumns = columnsOf<BehindRow, BehindScope>()([
  forPeople({
    title: 'thread',
    type: 'text',
    shrink: 17,
    of: ({ role }) => (role === undefined ? 'others' : roleName(role)),
  }),
  forPeople({
    title: 'locked at',
    type: 'text',
    shrink: 18,
    keep: 'end',
    of: ({ role, site }) => (role === undefined ? '' : (site ?? 'before the trace began')),
  }),
  forPeople({ title: 'was at', type: 'text', shrink: 16, keep: 'end', priority: 2, of: ({ inner }) => inner }),
  ...heldAt<BehindRow, BehindScope>(),
  {
    key: 'waits',
    type: 'number',
    title: 'waits',
    priority: 1,
    meaning: 'how many waits had to do with it',
    of: ({ waits }) => waits ?? 0,
    text: ({ waits }) => (waits === undefined ? '' : count(waits)),
  },
  {
    key: 'total',
    type: 'length',
    title: 'waited for',
    meaning: 'how long others waited meanwhile, of all who waited',
    of: ({ total }) => total,
  },
  forPeople({ title: 'share', type: 'share', of: ({ total }, { held }) => total / held }),
  ...ranKeys<BehindRow, BehindScope>(({ ran }) => ran),
  ...(['preempted', 'blocked'] as const).map((state, n) =>
    forPeople<BehindRow, BehindScope>({
      title: state,
      type: 'length',
      priority: 3 + n,
      of: ({ ran }) => ran?.[state],
      text: ({ role, ran }) => (role === undefined ? '' : duration(ran?.[state] ?? Number.NaN)),
      when: ({ ran }) => ran,
    }),
  ),
]);

export type BehindJson = RoleJson & RowJson<typeof behindColumns, 'ns'>;

function behindJson(all: readonly Behind[], scope: LockScope): BehindJson[] {
  const within = { ...scope, held: Number.NaN, ran: false };
  return all.map((one) => ({ ...roleJson(one.role), ...rowJson(behindColumns, one, within) }));
}

/** What waiting for a mutex cost the vCPUs. */
const vcpuColumns = columnsOf<MutexResult['vcpus'], LockScope>()([
  { key: 'wait', type: 'length', meaning: 'how long vCPUs waited for it, from lock to locked', of: ({ wait }) => wait },
  {
    key: 'time',
    type: 'length',
    meaning: 'the time of the vCPUs; null where none is known',
    of: ({ time }): number | null => time,
  },
  {
    key: 'held_by_others',
    type: 'length',
    meaning: 'how much of the waits another thread held it',
    of: ({ held }): number | null => held,
  },
  {
    key: 'share',
    type: 'share',
    meaning: 'the waits, of the time',
    of: ({ wait, time }): number | null => wait / time,
  },
  {
    key: 'held_by_others_share',
    type: 'share',
    meaning: 'what others held it, of the time',
    of: ({ held, time }): number | null => held / time,
  },
  {
    key: 'uncontended',
    type: 'object',
    meaning: 'the figures of taking it free',
    of: ({ uncontended }, scope): StatsJson => statsJson(uncontended, scope),
  },
  {
    key: 'behind',
    type: 'object',
    meaning: 'who held it',
    of: ({ behind }, scope): BehindJson[] => behindJson(behind, scope),
  },
]);

/** A mutex; or all together, for people. */
export type MutexRow = LockGroup & { name: string } & Partial<MutexResult>;
export const mutexTitle: Column<MutexRow, LockScope> = forPeople({
  title: 'mutex',
  type: 'text',
  shrink: 14,
  of: ({ name, pid }, { several }) => mutexName({ name, pid }, several),
});

export function mutexName({ name, pid }: { name: string; pid?: number | undefined }, several: boolean): string {
  return several && pid !== undefined ? `${pid} ${name}` : name;
}

export const mutexColumns = columnsOf<MutexResult, LockScope>()([
  { key: 'name', type: 'text', meaning: '`BQL`, or its address', of: ({ name }) => name },
  { key: 'mutex', type: 'text', meaning: 'its address', of: ({ mutex }) => mutex },
  { key: 'pid', type: 'number', isId: true, meaning: 'its process', of: ({ pid }): number | null => pid ?? null },
  ...lockColumns,
  {
    key: 'nested',
    type: 'number',
    meaning: 'acquisitions while the thread had it already',
    of: ({ nested }) => nested,
  },
  {
    key: 'after_condition',
    type: 'number',
    meaning: 'acquisitions after waiting on a condition variable',
    of: ({ condition }) => condition,
  },
  { key: 'try_lock', type: 'number', meaning: 'acquisitions by try-lock', of: ({ tryLock }) => tryLock },
  {
    key: 'held_by_others',
    type: 'length',
    meaning: 'time of all waits that another thread held it',
    of: ({ held }): number | null => held,
  },
  {
    key: 'vcpus',
    type: 'object',
    meaning: 'what it cost the vCPUs',
    of: ({ vcpus }, scope): RowJson<typeof vcpuColumns, 'ns'> => rowJson(vcpuColumns, vcpus, scope),
  },
  {
    key: 'sites',
    type: 'object',
    meaning: 'the same by call site',
    of: ({ sites }, scope): RowJson<typeof siteColumns, 'ns'>[] => sites.map((row) => rowJson(siteColumns, row, scope)),
  },
  {
    key: 'threads',
    type: 'object',
    meaning: 'the same by thread',
    of: ({ threads }, scope): RowJson<typeof lockThreadColumns, 'ns'>[] =>
      threads.map((row) => rowJson(lockThreadColumns, row, scope)),
  },
  {
    key: 'behind',
    type: 'object',
    meaning: 'who held it while others waited',
    of: ({ behind }, scope): BehindJson[] => behindJson(behind, scope),
  },
]);

/** The mutexes, and in each the call sites and threads, in the order that was asked for; as far as they have the column. */
export function sortedLocks(trace: LocksAnswer['trace'], result: LocksResult, sort: string | undefined): LocksResult {
  const scope = lockScope({ trace, result });
  const ordered = result.mutexes.map((mutex) => ({
    ...mutex,
    sites: sortRows(siteColumns, mutex.sites, sort, scope, ({ site }) => [site]),
    threads: sortRows(lockThreadColumns, mutex.threads, sort, scope, ({ role }) => [roleName(role)]),
  }));
  return { ...result, mutexes: sortRows(mutexColumns, ordered, sort, scope, ({ name }) => [name]) };
}

/** What conditions can be about in the rows, besides waits and holds: mutexes, and the call sites and threads of all of them. */
export function lockRows(answer: LocksAnswer): Subject[] {
  const scope = lockScope(answer);
  const { mutexes } = answer.result;
  return [
    ...rowSubjects('mutex', mutexColumns, mutexes, scope, ({ name }) => name),
    ...mutexes.flatMap(({ sites, threads }) => [
      ...rowSubjects('site', siteColumns, sites, scope, ({ site }) => site),
      ...rowSubjects('thread', lockThreadColumns, threads, scope, ({ role }) => roleName(role)),
    ]),
  ];
}

/** Rows of CSV: a call site of a mutex. */
export type MutexSite = SiteRow & Pick<MutexResult, 'name' | 'mutex' | 'pid'>;
export const mutexSiteColumns: readonly Column<MutexSite, LockScope>[] = [
  { key: 'mutex', type: 'text', meaning: 'its address', of: ({ mutex }) => mutex },
  { key: 'name', type: 'text', meaning: '`BQL`, or its address', of: ({ name }) => name },
  { key: 'pid', type: 'number', isId: true, meaning: 'its process', of: ({ pid }) => pid },
  ...siteColumns,
];

/** Who held the mutex in a slow wait. */
export const holderColumns = columnsOf<Holder & { wait: SlowLock }, LockScope>()([
  ...roleKeys<Holder, LockScope>(({ role }) => role),
  ...heldAt<Holder, LockScope>(),
  { key: 'times', type: 'number', meaning: 'how often it had it in that wait', of: ({ times }) => times },
  { key: 'total', type: 'length', meaning: 'for how long', of: ({ total }) => total },
  {
    key: 'offset',
    type: 'length',
    meaning: 'when first, since the wait began',
    of: ({ first, wait }) => first - wait.begin,
  },
  {
    key: 'since',
    type: 'time',
    meaning: 'when it had taken it then; null before the trace began',
    of: ({ since }): number | null => since,
  },
  ...ranKeys<Holder, LockScope>(({ ran }) => ran),
]);

export type HolderJson = RowJson<typeof holderColumns, 'ns'>;

export const slowLockColumns = columnsOf<SlowLock, LockScope>()([
  ...beginKeys<SlowLock, LockScope>('time stamp of its beginning'),
  { key: 'duration', type: 'length', meaning: 'how long it took', of: ({ duration }) => duration },
  ...roleKeys<SlowLock, LockScope>(({ role }) => role),
  ...cpuKey<SlowLock, LockScope>('CPU on which it began'),
  { key: 'mutex', type: 'text', meaning: 'name of the mutex', of: ({ name }) => name },
  { key: 'site', type: 'text', meaning: 'where it is locked', of: ({ site }): string | null => site ?? null },
  ...ranKeys<SlowLock, LockScope>(({ ran }) => ran),
  {
    key: 'holders',
    type: 'object',
    meaning: 'who held the mutex meanwhile',
    of: (wait, scope): HolderJson[] => wait.behind.map((holder) => rowJson(holderColumns, { ...holder, wait }, scope)),
  },
  {
    key: 'omitted_holders',
    type: 'number',
    meaning: 'holders that are not in `holders`',
    of: ({ omitted }) => omitted,
  },
  {
    key: 'events_of',
    type: 'number',
    isId: true,
    meaning: 'the thread that `events` are of',
    of: ({ of }): number | null => of?.tid ?? null,
  },
  {
    key: 'events',
    type: 'object',
    meaning: 'what the thread did that held the mutex for most of the wait, or that holds it',
    of: ({ events }, scope): InnerEventJson<'ns'>[] => innerJson(events, scope),
  },
]);

export type SlowLockJson = RowJson<typeof slowLockColumns, 'ns'>;

export const openLockColumns = columnsOf<UnfinishedLock, LockScope>()([
  { key: 'kind', type: 'text', meaning: '`wait` or `hold`', of: ({ kind }) => kind },
  ...beginKeys<UnfinishedLock, LockScope>('time stamp of its beginning'),
  { key: 'age', type: 'length', meaning: 'how long ago, at the end', of: ({ duration }) => duration },
  ...roleKeys<UnfinishedLock, LockScope>(({ role }) => role),
  { key: 'mutex', type: 'text', meaning: 'name of the mutex', of: ({ name }) => name },
  { key: 'site', type: 'text', meaning: 'where it is locked', of: ({ site }): string | null => site ?? null },
  {
    key: 'holder',
    type: 'object',
    meaning: 'of a wait, who has the mutex: `{role, tid, …, since_ns, site}`',
    of: ({ holder }): (RoleJson & { since_ns: number | null; site: string | null }) | undefined =>
      holder && {
        ...roleJson(holder.role),
        since_ns: Number.isFinite(holder.since) ? Math.round(holder.since) : null,
        site: holder.site ?? null,
      },
  },
]);

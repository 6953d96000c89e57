import type { Stats } from '../spans/summary.ts';
import { percentileDigits } from '../spans/summary.ts';
import { type ThreadState, threadStates } from '../spans/thread-time.ts';
import type { Trace } from '../trace/trace.ts';
import type { Subject } from '../views/conditions.ts';
import { type Verdict, verdicts } from '../views/leaks.ts';
import type { LockRole } from '../views/lock-answers.ts';
import { queueWord } from '../views/queue-name.ts';
import type { Reading } from '../views/reading.ts';
import type { DelayResult, Hop, Rank, RequestQueue, RequestsResult, SlowRequest } from '../views/requests.ts';
import { unitOf } from './answer.ts';
import { beginKeys } from './begin-keys.ts';
import { rowSubjects, sortRows } from './column-names.ts';
import {
  type Column,
  columnsOf,
  figureColumns,
  forPeople,
  forPrograms,
  type RowJson,
  rowJson,
  type Scope,
  scopeOf,
} from './columns.ts';
import { type HeatJson, heatJson } from './heat-json.ts';
import { type InnerEventJson, innerJson } from './inner-events.ts';
import { deviceName, queueName, threadName } from './names.ts';
import { queueKeys, type VerdictsJson, verdictsJson } from './queue-keys.ts';
import { type Timed, timed } from './timed.ts';
import { count } from './units.ts';

/** What `virtap requests` needs to say of one trace. */
export type RequestsAnswer = {
  trace: Trace;
  result: RequestsResult;
  reading: Reading;
  sort: string;
  than: number | undefined;
  rank: Rank;
};

export type RequestScope = Scope & {
  trace: Pick<Trace, 'origin' | 'clock'>;
  inFlight: RequestsResult['inFlight'];
  /** The time of all requests. */
  total: number;
  /** Whether there are queues of several processes. */
  several: boolean;
  rank: Rank;
};

export function requestScope({ trace, result, rank }: Pick<RequestsAnswer, 'trace' | 'result' | 'rank'>): RequestScope {
  return {
    ...scopeOf(unitOf(trace), trace.clock.unit === 'ns' ? result.duration : Number.NaN),
    trace,
    inFlight: result.inFlight,
    total: result.queues.reduce((sum, { stats }) => sum + stats.total, 0),
    several: new Set(result.queues.map(({ name }) => name.pid)).size > 1,
    rank,
  };
}

/** Queues in the order that was asked for. */
export function ordered({ result, trace, sort, rank }: Omit<RequestsAnswer, 'reading' | 'than'>): RequestQueue[] {
  const rows = result.queues.map((queue) => ({ queue }));
  const names = ({ queue: { name } }: QueueRow) => [deviceName(name), queueName(name)];
  return sortRows(requestQueueColumns, rows, sort, requestScope({ trace, result, rank }), names).map(
    ({ queue }) => queue,
  );
}

/** What conditions can be about in the rows, besides the figures of statistics. */
export function requestRows(answer: RequestsAnswer): Subject[] {
  const rows = answer.result.queues.map((queue) => ({ queue }));
  return rowSubjects('request', requestQueueColumns, rows, requestScope(answer), ({ queue }) => queueWord(queue.name));
}

/** The verdicts on what was popped and not filled, of all these queues. */
export function withoutFill(queues: readonly RequestQueue[]): Record<Verdict, number> {
  const sum = (verdict: Verdict) => queues.reduce((total, queue) => total + queue.withoutFill[verdict], 0);
  return Object.fromEntries(verdicts.map((verdict) => [verdict, sum(verdict)])) as Record<Verdict, number>;
}

/** Bytes of a sector of virtio-blk's. */
export const sectorSize = 512;

/** A thread by what it is for; its id where that is known. */
const threadColumns = columnsOf<LockRole>()([
  {
    key: 'tid',
    type: 'number',
    isId: true,
    meaning: 'the thread',
    of: ({ tid }): number | null => (tid < 0 ? null : tid),
  },
  { key: 'role', type: 'text', meaning: 'what it is for', of: ({ kind }) => kind },
  {
    key: 'vcpu',
    type: 'number',
    isId: true,
    meaning: 'number of the vCPU',
    of: ({ vcpu }): number | undefined => vcpu,
  },
  { key: 'name', type: 'text', meaning: 'its name, where known', of: ({ name }): string | undefined => name },
]);

export type ThreadJson = RowJson<typeof threadColumns>;

const threadJson = (role: LockRole, scope: RequestScope): ThreadJson => rowJson(threadColumns, role, scope);

export type ThreadStatesJson = Timed<ThreadState>;

export const hopColumns = columnsOf<Hop, RequestScope>()([
  { key: 'from', type: 'text', meaning: 'the point that it begins with', of: ({ from }) => from, csv: false },
  { key: 'to', type: 'text', meaning: 'the next that a request had', of: ({ to }) => to, csv: false },
  {
    key: 'share',
    type: 'share',
    meaning: 'of the time of all hops',
    of: ({ share }): number | null => share,
    csv: false,
  },
  forPeople({ title: 'from → to', type: 'text', of: ({ from, to }) => `${from} → ${to}` }),
  ...figureColumns<Hop, RequestScope>(
    ({ stats }) => stats,
    ({ share }) => share,
  ).map((column) => (column.type === 'rate' ? forPrograms(column) : column)),
]);

export type HopJson = RowJson<typeof hopColumns>;

/** What a thread was at, as a column is called and as a sentence says it. */
export const stateNames: Record<ThreadState, [column: string, words: string]> = {
  running: ['running', 'running'],
  runnable: ['no CPU', 'ready to run, without a CPU'],
  asleep: ['asleep', 'asleep, not woken yet'],
  lock: ['lock', 'waiting for a lock'],
  unknown: ['not known', 'at what is not known'],
};

/** What requests waited for until a thread of QEMU got to them. */
export type DelayRow = DelayResult & { queue: RequestQueue };
export type DelayScope = RequestScope & { states: readonly ThreadState[] };
const delayFigure = (
  title: string,
  figure: 'mean' | 'p99' | 'max',
  priority?: number,
): Column<DelayRow, DelayScope> & { json: false } =>
  forPeople({
    title,
    type: 'length',
    of: ({ stats }) => stats[figure],
    digits: ({ stats }) => (figure === 'p99' ? percentileDigits(stats.count) : 4),
    ...(priority === undefined ? {} : { priority }),
  });

export const delayColumns = columnsOf<DelayRow, DelayScope>()([
  {
    key: 'thread',
    type: 'object',
    title: 'thread',
    meaning: 'who popped them',
    of: ({ thread }, scope): ThreadJson => threadJson(thread, scope),
    text: ({ thread }) => threadName(thread),
  },
  {
    key: 'share',
    type: 'share',
    meaning: 'of their time from the kick to the fill',
    of: ({ share }): number | null => share,
  },
  forPeople({
    title: 'device',
    type: 'text',
    priority: 5,
    of: ({ queue }, { several }) => deviceName(queue.name, several),
  }),
  forPeople({ title: 'queue', type: 'text', of: ({ queue }) => queueName(queue.name) }),
  forPeople({ title: 'requests', type: 'number', priority: 7, of: ({ stats }) => stats.count }),
  ...figureColumns<DelayRow, DelayScope>(({ stats }) => stats).map(forPrograms),
  delayFigure('avg', 'mean'),
  delayFigure('p99', 'p99', 6),
  delayFigure('max', 'max', 4),
  forPeople({ title: 'share', type: 'share', of: ({ share }) => share, style: () => 'strong' }),
  {
    key: 'told',
    type: 'number',
    meaning: 'of how many it is known what the thread did meanwhile',
    of: ({ told }) => told,
  },
  {
    key: 'meanwhile',
    type: 'object',
    meaning: 'what it did in that time: `{running_ns, runnable_ns, asleep_ns, lock_ns, unknown_ns}`',
    of: ({ meanwhile }, { unit }): ThreadStatesJson => timed(unit, meanwhile),
  },
  ...threadStates.map((state) =>
    forPeople<DelayRow, DelayScope>({
      title: stateNames[state][0],
      type: 'share',
      priority: 1,
      of: ({ meanwhile }) => meanwhile[state] / Object.values(meanwhile).reduce((sum, time) => sum + time, 0),
      when: ({ states }) => states.includes(state),
    }),
  ),
]);

export type DelayJson = RowJson<typeof delayColumns>;

/** A queue; or, for people, the operations of one below it. */
export type QueueRow = { queue: RequestQueue; operation?: { operation: string; stats: Stats } };
const own = ({ queue, operation }: QueueRow): Stats => (operation ?? queue).stats;

/** What the requests of a queue that do one thing took. */
const operationColumns = columnsOf<RequestQueue['operations'][number], RequestScope>()([
  {
    key: 'operation',
    type: 'text',
    meaning: '`read`, `write`, …',
    of: ({ operation }): string | null => operation || null,
  },
  ...figureColumns<RequestQueue['operations'][number], RequestScope>(({ stats }) => stats),
]);

/** How many were open, over time. */
type InFlightJson = Timed<'from' | 'time_step'> & {
  mean: number | null;
  max: number;
  means: (number | null)[];
  maxima: number[];
};

const six = (value: number): number | null => (Number.isFinite(value) ? Number(value.toPrecision(6)) : null);

export const requestQueueColumns = columnsOf<QueueRow, RequestScope>()([
  ...queueKeys<QueueRow, RequestScope>(({ queue }) => queue.name),
  forPeople({
    title: 'device',
    type: 'text',
    of: ({ queue, operation }, { several }) => (operation === undefined ? deviceName(queue.name, several) : ''),
  }),
  forPeople({
    title: 'queue',
    type: 'text',
    of: ({ queue, operation }) => (operation === undefined ? queueName(queue.name) : `  ${operation.operation}`),
  }),
  { key: 'popped', type: 'number', meaning: 'requests that QEMU took', of: ({ queue }) => queue.popped, csv: false },
  forPeople({
    title: 'in flight',
    type: 'number',
    priority: 4,
    of: ({ queue, operation }) => (operation === undefined ? queue.inFlight.mean : undefined),
    text: ({ queue, operation }) => (operation === undefined ? inFlightText(queue.inFlight.mean) : ''),
  }),
  forPeople({
    title: 'most',
    type: 'number',
    priority: 3,
    of: ({ queue, operation }) => (operation === undefined ? queue.inFlight.max : undefined),
    text: ({ queue, operation }) => (operation === undefined ? count(queue.inFlight.max) : ''),
  }),
  ...figureColumns<QueueRow, RequestScope>(own, (row, { total }) => own(row).total / total),
  {
    key: 'in_flight',
    type: 'object',
    meaning: 'how many were open: `mean`, `max`, and their course in steps of `time_step_ns` from `from_ns` on',
    of: ({ queue: { inFlight: of } }, { inFlight, unit }): InFlightJson => ({
      mean: six(of.mean),
      max: of.max,
      ...timed(unit, { from: inFlight.from, time_step: inFlight.step }),
      means: of.means.map(six),
      maxima: of.maxima,
    }),
  },
  {
    key: 'open',
    type: 'number',
    meaning: 'popped and not filled at the end',
    of: ({ queue }) => queue.open,
    csv: false,
  },
  {
    key: 'without_fill',
    type: 'object',
    meaning: 'popped and not filled, by the verdicts of `virtap leaks`',
    of: ({ queue }): VerdictsJson => verdictsJson(queue.withoutFill),
  },
  {
    key: 'fills_without_pop',
    type: 'number',
    meaning: 'fills whose pop was not seen',
    of: ({ queue }) => queue.unseenPops,
    csv: false,
  },
  {
    key: 'set_aside',
    type: 'number',
    meaning: 'requests that events may be missing from',
    of: ({ queue }) => queue.setAside,
    csv: false,
  },
  {
    key: 'operations',
    type: 'object',
    meaning: 'the same by what they do',
    of: ({ queue }, scope): RowJson<typeof operationColumns>[] =>
      queue.operations.map((one) => rowJson(operationColumns, one, scope)),
  },
  {
    key: 'threads',
    type: 'object',
    meaning: 'who popped them',
    of: ({ queue }, scope): ThreadJson[] => queue.threads.map((role) => threadJson(role, scope)),
  },
  {
    key: 'backends',
    type: 'object',
    meaning: 'how many by what did them: `{thread-pool: 12}`',
    of: ({ queue }) => queue.backends,
  },
  {
    key: 'merged',
    type: 'number',
    meaning: 'requests that were merged into one of the backend',
    of: ({ queue }) => queue.merged,
    csv: false,
  },
  {
    key: 'bytes',
    type: 'object',
    meaning: '`{read, written}`',
    of: ({ queue: { sectors } }) => ({ read: sectors.read * sectorSize, written: sectors.written * sectorSize }),
  },
  {
    key: 'hops',
    type: 'object',
    meaning: 'from one point of the path to the next',
    of: ({ queue }, scope): HopJson[] => queue.hops.map((hop) => rowJson(hopColumns, hop, scope)),
  },
  {
    key: 'delays',
    type: 'object',
    meaning: 'from the kick until a thread of QEMU popped them, by thread',
    of: ({ queue }, scope): DelayJson[] =>
      queue.delays.map((delay) => rowJson(delayColumns, { ...delay, queue }, { ...scope, states: [] })),
  },
  {
    key: 'heatmap',
    type: 'object',
    meaning: 'with `--heatmap`',
    of: ({ queue }, { unit }): HeatJson | undefined => queue.heat && heatJson(queue.heat, unit),
  },
]);

/** Numbers of requests: `0.17`, `15`. */
function inFlightText(mean: number): string {
  return mean >= 99.95 ? count(mean) : mean === 0 ? '0' : String(Number(mean.toPrecision(2)));
}

/** Rows of CSV: a queue, and below it its hops. */
export type QueueHop = { queue: RequestQueue; hop: Hop | undefined };
export const queueHopColumns: readonly Column<QueueHop, RequestScope>[] = [
  ...queueKeys<QueueHop, RequestScope>(({ queue }) => queue.name),
  {
    key: 'hop',
    type: 'text',
    meaning: 'from one point of the path to the next; none of the whole request',
    of: ({ hop }) => (hop === undefined ? '' : `${hop.from} → ${hop.to}`),
  },
  { key: 'share', type: 'share', meaning: 'of the time of all hops', of: ({ hop }) => hop?.share },
  ...figureColumns<QueueHop, RequestScope>(({ queue, hop }) => (hop ?? queue).stats),
];

/** How long all requests whose kick is known waited from that to their pop. */
export const delayTotal = columnsOf<RequestsResult['delay'], RequestScope>()([
  {
    key: 'share',
    type: 'share',
    meaning: 'of their time from the kick to the fill',
    of: ({ share }): number | null => share,
  },
  ...figureColumns<RequestsResult['delay'], RequestScope>(({ stats }) => stats),
]);

const pointColumns = columnsOf<SlowRequest['points'][number], RequestScope>()([
  { key: 'point', type: 'text', meaning: 'which', of: ({ point }) => point },
  { key: 'time', type: 'time', meaning: 'when', of: ({ time }) => time },
]);

type WaitJson = Timed<'wait'> & { name: string; holder: ThreadJson | null; site: string | null };

export const slowRequestColumns = columnsOf<SlowRequest, RequestScope>()([
  ...beginKeys<SlowRequest, RequestScope>('time stamp of the pop'),
  { key: 'duration', type: 'length', meaning: 'from the pop to the fill', of: ({ duration }) => duration },
  {
    key: 'delay',
    type: 'length',
    meaning: 'with `--rank delay`, from the kick to the pop',
    of: ({ ranked }, { rank }): number | undefined => (rank === 'delay' ? ranked : undefined),
  },
  {
    key: 'path',
    type: 'length',
    meaning: 'with `--rank path`, from its first point to the fill',
    of: ({ ranked }, { rank }): number | undefined => (rank === 'path' ? ranked : undefined),
  },
  ...queueKeys<SlowRequest, RequestScope>(({ queue }) => queue),
  { key: 'elem', type: 'text', meaning: 'address of its element', of: ({ elem }) => elem },
  {
    key: 'operation',
    type: 'text',
    meaning: '`read`, `write`, …',
    of: ({ operation }): string | null => operation || null,
  },
  {
    key: 'sector',
    type: 'number',
    meaning: 'the first, of 512 bytes',
    of: ({ sector }): number | null => sector ?? null,
  },
  { key: 'sectors', type: 'number', meaning: 'how many', of: ({ sectors }): number | null => sectors ?? null },
  { key: 'result', type: 'number', meaning: 'what the device returned, 0 for success', of: ({ result }) => result },
  { key: 'merged', type: 'number', meaning: 'how many were merged with it', of: ({ merged }) => merged },
  { key: 'backend', type: 'text', meaning: 'what did it', of: ({ backend }): string | null => backend || null },
  {
    key: 'thread',
    type: 'object',
    meaning: 'who popped it',
    of: ({ thread }, scope): ThreadJson => threadJson(thread, scope),
  },
  {
    key: 'kicked_by',
    type: 'object',
    meaning: 'the vCPU that kicked',
    of: ({ kicker }, scope): ThreadJson | null => (kicker === undefined ? null : threadJson(kicker, scope)),
  },
  {
    key: 'interrupts',
    type: 'object',
    meaning: 'the vCPU that took the interrupt',
    of: ({ interrupted }, scope): ThreadJson | null =>
      interrupted === undefined ? null : threadJson(interrupted, scope),
  },
  {
    key: 'path',
    type: 'object',
    meaning: 'its points: `[{point, time_ns}]`',
    of: ({ points }, scope): RowJson<typeof pointColumns>[] =>
      points.map((point) => rowJson(pointColumns, point, scope)),
  },
  {
    key: 'meanwhile',
    type: 'object',
    meaning: 'what its thread did from the kick to the pop',
    of: ({ meanwhile }, { unit }): ThreadStatesJson | undefined => meanwhile && timed(unit, meanwhile),
  },
  {
    key: 'lock_wait',
    type: 'object',
    meaning: 'the longest wait for a lock in that time: `{name, wait_ns, holder, site}`',
    of: ({ wait }, scope): WaitJson | undefined =>
      wait && {
        name: wait.name,
        ...timed(scope.unit, { wait: wait.duration }),
        holder: wait.holder === undefined ? null : threadJson(wait.holder, scope),
        site: wait.site ?? null,
      },
  },
  {
    key: 'events',
    type: 'object',
    meaning: 'its events in that time',
    of: ({ events }, scope): InnerEventJson[] => innerJson(events, scope),
  },
]);

export const missingColumns = columnsOf<RequestsResult['missing'][number]>()([
  { key: 'point', type: 'text', meaning: 'a point that the recording cannot tell of', of: ({ point }) => point },
  { key: 'events', type: 'text', meaning: 'the events that would', of: ({ events }) => events },
]);

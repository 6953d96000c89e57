import { tellsTime } from '../trace/clock.ts';
import type { Trace } from '../trace/trace.ts';
import type { Figure } from '../views/figures.ts';
import { digitsOf } from '../views/figures.ts';
import { bad, type LeakReport, type QueueReport, type Verdict, verdicts } from '../views/leaks.ts';
import { type QueueName, queueNameOf } from '../views/queue-name.ts';
import type { Reading } from '../views/reading.ts';
import type { Column } from './columns.ts';
import { columnsOf, forPeople, type RowJson, type Scope, scopeOf } from './columns.ts';
import { deviceName, queueName } from './names.ts';
import { queueKeys, type VerdictsJson, verdictKey } from './queue-keys.ts';
import type { Style } from './terminal.ts';
import { count, shortDuration } from './units.ts';

/** What of a trace the report needs. */
export type Source = Pick<Trace, 'file' | 'format' | 'origin' | 'clock'>;

/** What `virtap leaks` has to say of one trace; with `all`, also of the elements that nothing is wrong with. */
export type LeaksAnswer = { trace: Source; reading: Reading; result: LeakReport; all: boolean };

/** A length of time in the trace's clock. */
export function ageText({ clock }: Source): (age: number, digits?: number) => string {
  if (clock.unit === 'ns') return shortDuration;
  return clock.unit === 'ticks' && tellsTime(clock) ? (age) => `${count(age)} ticks` : () => '-';
}

/** Times have values in JSON only where they are in ns. */
export type LeakScope = Scope<'ns'> & {
  trace: Source;
  /** Whether there are queues of several processes, any pop was unseen, and anything has a time. */
  several: boolean;
  unseen: boolean;
  timed: boolean;
  /** Verdicts that tables have. */
  told: readonly Verdict[];
};

export function leakScope({ queues, totals }: Pick<LeakReport, 'queues' | 'totals'>, trace: Source): LeakScope {
  return {
    ...scopeOf('ns', Number.NaN),
    trace,
    several: new Set(queues.map(({ queue }) => queue.qemu.pid)).size > 1,
    unseen: queues.some(({ queue }) => queue.unseenPops > 0),
    timed: trace.clock.unit !== 'none',
    told: verdicts.filter((verdict) => verdict === 'leaked' || totals[verdict] > 0),
  };
}

const styles: Partial<Record<Verdict, Style>> = { leaked: 'bad', lost: 'bad', stuck: 'bad', unsure: 'warn' };

export const nameOf = ({ queue, kind, role }: QueueReport): QueueName => ({ ...queueNameOf(queue), kind, role });
export const inNs = (value: number, { trace }: LeakScope): number | null => (trace.clock.unit === 'ns' ? value : null);

/** A latency of a queue; tables have those with a title. */
const latency = <const K extends Figure>(
  key: K,
  of: (report: QueueReport) => number,
  meaning: string,
  layout: { title: string; priority: number } | object = {},
) => ({
  key,
  type: 'length' as const,
  meaning,
  of: (report: QueueReport, scope: LeakScope) => inNs(of(report), scope),
  text: (report: QueueReport, { trace }: LeakScope) =>
    report.latency.count === 0 ? '-' : ageText(trace)(of(report), digitsOf(key, report.latency.count)),
  when: ({ timed }: LeakScope) => timed,
  ...layout,
});

type VerdictColumn = Column<QueueReport, LeakScope> & { key: keyof VerdictsJson; of(report: QueueReport): number };

export const leakQueueColumns = columnsOf<QueueReport, LeakScope>()([
  ...queueKeys<QueueReport, LeakScope>(nameOf),
  forPeople({
    title: 'pid',
    type: 'number',
    isId: true,
    of: (report) => nameOf(report).pid,
    text: (report) => pidText(nameOf(report)),
    when: ({ several }) => several,
  }),
  forPeople({ title: 'device', type: 'text', of: (report) => deviceName(nameOf(report)) }),
  forPeople({ title: 'queue', type: 'text', of: (report) => queueName(nameOf(report)) }),
  {
    key: 'popped',
    type: 'number',
    title: 'popped',
    meaning: 'elements that QEMU took',
    of: ({ queue }) => queue.popped,
  },
  {
    key: 'filled',
    type: 'number',
    title: 'filled',
    meaning: 'elements that it gave back, after their pop was seen',
    of: ({ queue }) => queue.filled,
  },
  {
    key: 'filled_without_pop',
    type: 'number',
    title: 'pop unseen',
    priority: 3,
    meaning: 'fills whose pop was not seen',
    of: ({ queue }) => queue.unseenPops,
    text: ({ queue }) => numberText(queue.unseenPops),
    when: ({ unseen }) => unseen,
  },
  {
    key: 'across_holes',
    type: 'number',
    meaning: 'fills after a hole that lies after the pop',
    of: ({ queue }) => queue.straddling,
  },
  {
    key: 'not_followed',
    type: 'number',
    meaning: 'elements beyond those that can be followed; where there are',
    of: ({ queue }): number | undefined => (queue.forgotten > 0 ? queue.forgotten : undefined),
  },
  latency('min', ({ latency }) => latency.min, 'the shortest time from pop to fill'),
  latency('avg', ({ latency }) => latency.mean, 'on average'),
  latency('p50', ({ latency }) => latency.p50, 'the median', { title: 'median', priority: 4 }),
  latency('p99', ({ latency }) => latency.p99, '99 % are no longer', { title: 'p99', priority: 5 }),
  latency('max', ({ latency }) => latency.max, 'the longest', { title: 'longest', priority: 2 }),
  ...verdicts.map(
    (verdict): VerdictColumn => ({
      key: verdictKey(verdict),
      type: 'number',
      title: verdict,
      priority: bad.has(verdict) ? 0 : 1,
      meaning: `elements that are ${verdict}`,
      of: ({ verdicts: of }) => of[verdict],
      text: ({ verdicts: of }) => numberText(of[verdict]),
      style: ({ verdicts: of }) => (of[verdict] > 0 ? styles[verdict] : undefined),
      when: ({ told }) => told.includes(verdict),
    }),
  ),
]);

export type QueueJson = RowJson<typeof leakQueueColumns, 'ns'>;

function numberText(n: number): string {
  return n === 0 ? '-' : count(n);
}

/** The process, `-` where the trace does not say it. */
export function pidText({ pid }: QueueName): string {
  return pid === undefined ? '-' : String(pid);
}

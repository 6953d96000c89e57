import type { NearbyEvent } from '../spans/devices.ts';
import { hex64 } from '../trace/event-type.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Figure } from '../views/figures.ts';
import { digitsOf } from '../views/figures.ts';
import { bad, type LeakReport, type QueueReport, type Unfinished, type Verdict, verdicts } from '../views/leaks.ts';
import { type QueueName, queueNameOf } from '../views/queue-name.ts';
import type { Column } from './columns.ts';
import { columnsOf, forPeople, type RowJson, rowJson, type Scope, scopeOf } from './columns.ts';
import { ageText, askedBriefly, askedText, type Source, whySentence } from './leaks-why.ts';
import { deviceName, queueName } from './names.ts';
import { queueKeys, type VerdictsJson, verdictKey } from './queue-keys.ts';
import type { Style } from './terminal.ts';
import { count } from './units.ts';

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
    several: new Set(queues.map(({ queue }) => queue.machine.pid)).size > 1,
    unseen: queues.some(({ queue }) => queue.unseenPops > 0),
    timed: trace.clock.unit !== 'none',
    told: verdicts.filter((verdict) => verdict === 'leaked' || totals[verdict] > 0),
  };
}

const styles: Partial<Record<Verdict, Style>> = { leaked: 'bad', lost: 'bad', stuck: 'bad', unsure: 'warn' };

export const nameOf = ({ queue, kind, role }: QueueReport): QueueName => ({ ...queueNameOf(queue), kind, role });
const inNs = (value: number, { trace }: LeakScope): number | null => (trace.clock.unit === 'ns' ? value : null);

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

export type ElementScope = LeakScope & {
  /** Whether it is known of any what it asked for. */
  asked: boolean;
};

export function elementScope(elements: readonly Unfinished[], trace: Source): ElementScope {
  return {
    ...leakScope({ queues: elements.map(({ report }) => report), totals: noVerdicts }, trace),
    asked: elements.some((one) => askedText(one) !== ''),
  };
}

const noVerdicts = Object.fromEntries(verdicts.map((verdict) => [verdict, 0])) as LeakReport['totals'];

/** The moment at which an element was judged. */
const untilText: Record<Unfinished['because'], string> = {
  end: 'the end',
  reset: 'a reset',
  hole: 'a loss',
  reused: 'reuse',
};

/** One event near an element's pop. */
const nearbyColumns = columnsOf<NearbyEvent & { pop: number }, LeakScope>()([
  {
    key: 'after_pop',
    type: 'length',
    meaning: 'how long after the pop',
    of: ({ time, pop }, scope): number | null => inNs(time - pop, scope),
  },
  { key: 'event', type: 'text', meaning: 'what happened', of: ({ text }) => text },
  { key: 'own', type: 'flag', meaning: "whether it is the element's own", of: ({ own }) => own },
]);

const known = (value: number): number | undefined => (Number.isNaN(value) ? undefined : value);

export const elementColumns = columnsOf<Unfinished, ElementScope>()([
  { key: 'verdict', type: 'text', meaning: 'what became of it: docs/leaks.md', of: ({ verdict }) => verdict },
  ...queueKeys<Unfinished, ElementScope>(({ report }) => nameOf(report)),
  forPeople({
    title: 'pid',
    type: 'number',
    of: ({ report }) => nameOf(report).pid,
    text: ({ report }) => pidText(nameOf(report)),
    when: ({ several }) => several,
  }),
  {
    key: 'elem',
    type: 'text',
    title: 'elem',
    meaning: 'its address',
    of: ({ request }) => hex64(request.high, request.low),
  },
  forPeople({ title: 'device', type: 'text', priority: 1, of: ({ report }) => deviceName(nameOf(report)) }),
  forPeople({ title: 'queue', type: 'text', of: ({ report }) => queueName(nameOf(report)) }),
  {
    key: 'in_num',
    type: 'number',
    meaning: 'buffers that the device writes',
    of: ({ request }) => request.in,
    csv: false,
  },
  { key: 'out_num', type: 'number', meaning: 'buffers that it reads', of: ({ request }) => request.out, csv: false },
  {
    key: 'pop',
    type: 'time',
    title: 'popped at',
    priority: 2,
    meaning: 'when QEMU took it',
    of: ({ request }, scope): number | null => inNs(request.pop, scope),
    text: ({ request }, { trace }) => timestamp(trace.origin, request.pop, trace.clock.unit),
    when: ({ timed }) => timed,
  },
  {
    key: 'popped_at',
    type: 'text',
    meaning: 'the same as an absolute time of the clock, in its unit',
    of: ({ request }, { trace }): string | null =>
      trace.clock.unit === 'none' ? null : (trace.origin + BigInt(Math.round(request.pop))).toString(),
    csv: false,
  },
  {
    key: 'age',
    type: 'length',
    title: 'open for',
    meaning: 'from its pop to the moment of the verdict',
    of: ({ age }, scope): number | null => inNs(Math.max(0, age), scope),
    text: ({ age }, { trace }) => ageText(trace)(Math.max(0, age)),
    when: ({ timed }) => timed,
  },
  {
    key: 'until',
    type: 'text',
    title: 'until',
    priority: 3,
    meaning: 'that moment: `end`, `reset`, `hole` or `reused`',
    of: ({ because }) => because,
    text: ({ because }) => untilText[because],
  },
  {
    key: 'fills_since',
    type: 'number',
    meaning: 'fills of its queue since its pop',
    of: ({ moment }) => moment.fills,
    csv: false,
  },
  forPeople({ title: 'asked for', type: 'text', of: (one) => askedBriefly(one), when: ({ asked }) => asked }),
  {
    key: 'operation',
    type: 'text',
    meaning: '`read`, `write`, …',
    of: ({ request }): string | undefined => request.operation || undefined,
  },
  {
    key: 'sector',
    type: 'number',
    meaning: 'the first, of 512 bytes',
    of: ({ request }): number | undefined => known(request.sector),
  },
  {
    key: 'sectors',
    type: 'number',
    meaning: 'how many',
    of: ({ request }): number | undefined => known(request.sectors),
  },
  {
    key: 'scsi_command',
    type: 'number',
    meaning: 'of virtio-scsi',
    of: ({ request }): number | undefined => known(request.command),
    csv: false,
  },
  {
    key: 'scsi_tag',
    type: 'number',
    meaning: 'of virtio-scsi',
    of: ({ request }): number | undefined => known(request.tag),
    csv: false,
  },
  {
    key: 'done',
    type: 'time',
    meaning: 'when its device had finished it; where it had',
    of: ({ request }, scope): number | null | undefined =>
      Number.isNaN(request.done) ? undefined : inNs(request.done, scope),
    csv: false,
  },
  {
    key: 'result',
    type: 'number',
    meaning: 'what the device returned then, 0 for success',
    of: ({ request }): number | undefined => (Number.isNaN(request.done) ? undefined : request.result),
    csv: false,
  },
  {
    key: 'why',
    type: 'text',
    meaning: 'why it has this verdict, as a sentence',
    of: (one, { trace }) => whySentence(one, trace),
  },
  {
    key: 'events',
    type: 'object',
    meaning: 'what happened on its queue around its pop: `[{after_pop_ns, event, own}]`',
    of: ({ request }, scope): RowJson<typeof nearbyColumns, 'ns'>[] | undefined =>
      request.nearby?.map((event) => rowJson(nearbyColumns, { ...event, pop: request.pop }, scope)),
  },
]);

export type ElementJson = RowJson<typeof elementColumns, 'ns'>;

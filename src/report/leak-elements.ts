import type { NearbyEvent } from '../spans/devices.ts';
import { hex64 } from '../trace/event-type.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { LeakReport, Unfinished } from '../views/leaks.ts';
import { verdicts } from '../views/leaks.ts';
import type { RowJson } from './columns.ts';
import { columnsOf, forPeople, rowJson } from './columns.ts';
import type { LeakScope, Source } from './leaks-columns.ts';
import { ageText, inNs, leakScope, nameOf, pidText } from './leaks-columns.ts';
import { askedBriefly, askedText, whySentence } from './leaks-why.ts';
import { deviceName, queueName } from './names.ts';
import { queueKeys } from './queue-keys.ts';
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
    isId: true,
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

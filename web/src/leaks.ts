import type { ElementJson, LeaksJson, QueueJson, VerdictsJson } from '../../src/report/answers.ts';
import { leakQueueColumns } from '../../src/report/leaks-columns.ts';
import { count, duration, plural, shortDuration } from '../../src/report/units.ts';
import { declared } from './columns.ts';
import { el } from './dom.ts';
import { inner, innerTable, pagePart, slowEntry } from './parts.ts';
import { type Column, Table } from './table.ts';

/** Every verdict, the worst first, by its name in the answer. */
const verdicts: readonly (keyof VerdictsJson)[] = [
  'leaked',
  'lost',
  'stuck',
  'held_on_error',
  'unsure',
  'returned_unseen',
  'in_flight',
  'taken_back',
  'parked',
];
const bad = new Set(['leaked', 'lost', 'stuck']);
/** Elements told one by one. */
const listed = 200;

/** The section on virtqueue elements without a fill. */
export function leaksPart(answer: LeaksJson): HTMLElement {
  const told = verdicts.filter((verdict) => verdict === 'leaked' || answer.totals[verdict] > 0);
  const reading = { unit: 'ns' as const, samples: (queue: QueueJson) => queue.filled };
  const table = new Table<QueueJson>('Virtqueues', [
    { title: 'device', cell: deviceName, key: deviceName },
    { title: 'queue', cell: queueName, key: queueName },
    ...declared(leakQueueColumns, ['popped', 'filled', 'median', 'p99', 'longest'], reading),
    ...told.map((verdict): Column<QueueJson> => {
      const of = (queue: QueueJson) => queue[verdict];
      return {
        title: verdict.replaceAll('_', ' '),
        number: true,
        cell: (queue) =>
          of(queue) === 0
            ? '–'
            : bad.has(verdict)
              ? el('strong', { class: 'bad' }, count(of(queue)))
              : count(of(queue)),
        key: of,
      };
    }),
  ]);
  table.show(answer.queues);
  const { elements } = answer;
  return pagePart(
    'leaks',
    'Virtqueue elements',
    el('p', {}, 'What QEMU popped from each queue and filled, and what became of the rest.'),
    table.element,
    ...(elements.length === 0 ? [] : [el('h3', {}, 'Elements that the guest waits for in vain')]),
    ...elements.slice(0, listed).map((element, i) => elementPart(element, i === 0)),
    ...(elements.length > listed
      ? [
          el(
            'p',
            { class: 'faint' },
            `… and ${plural(elements.length - listed, 'element')} more, which virtap leaks --json lists.`,
          ),
        ]
      : []),
  );
}

/** `virtio-blk 0x…`. */
export function deviceName({ device, vdev }: Pick<QueueJson, 'device' | 'vdev'>): string {
  return `${device ?? 'unknown device'}${vdev === null ? '' : ` ${vdev}`}`;
}

/** `0 request`. */
export function queueName({ queue, vq, role }: Pick<QueueJson, 'queue' | 'vq' | 'role'>): string {
  return `${queue ?? `at ${vq}`}${role === null ? '' : ` ${role}`}`;
}

function elementPart(element: ElementJson, open: boolean): HTMLElement {
  const asked =
    element.operation === undefined
      ? ''
      : `${element.operation} of ${plural(element.sectors ?? 0, 'sector')} from sector ${element.sector}`;
  return slowEntry(
    open,
    [
      el('strong', { class: 'bad' }, element.verdict),
      el('span', {}, `elem ${element.elem}`),
      el('span', {}, `${deviceName(element)} queue ${element.queue ?? '?'}`),
      element.age_ns === null ? undefined : el('span', { class: 'length' }, `open ${shortDuration(element.age_ns)}`),
      asked === '' ? undefined : el('span', { class: 'faint' }, asked),
    ],
    inner(
      el('p', {}, element.why),
      element.events === undefined || element.events.length === 0
        ? undefined
        : innerTable('events', 'Events of its queue around its pop', [
            ...element.events.map(({ after_pop_ns: after, event, own }) =>
              el(
                'tr',
                { class: own ? 'own' : 'faint' },
                el(
                  'th',
                  { scope: 'row', class: 'number' },
                  after === null ? '' : `${after < 0 ? '−' : '+'}${duration(Math.abs(after))}`,
                ),
                el('td', { class: 'text' }, event),
              ),
            ),
          ]),
    ),
  );
}

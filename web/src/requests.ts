import type {
  ElementJson,
  QueueNameJson,
  RequestQueueJson,
  RequestsJson,
  SlowRequestJson,
  StatsJson,
  ThreadStatesJson,
  Unit,
} from '../../src/report/answers.ts';
import type { RequestsSection } from '../../src/report/page-data.ts';
import { requestQueueColumns } from '../../src/report/requests-columns.ts';
import { timeLabels } from '../../src/report/scales.ts';
import { figure } from '../../src/report/timed.ts';
import { count, cycles, duration, lengthText, percent, plural, roughLength } from '../../src/report/units.ts';
import { points } from '../../src/spans/request-path.ts';
import type { ThreadState } from '../../src/spans/thread-time.ts';
import { declared } from './columns.ts';
import { el, scrollTo, svg } from './dom.ts';
import { deviceName, queueName } from './leaks.ts';
import { roleOf } from './locks.ts';
import { inner, innerTable, pagePart, slowEntry } from './parts.ts';
import type { Figures, Picture } from './picture.ts';
import { PicturePanel } from './picture-panel.ts';
import type { State } from './state.ts';
import { type Column, Table } from './table.ts';

/** Queues drawn, and events told of a slow request. */
const drawn = 12;
const listedEvents = 40;

/** How long requests take, where on their path, and how many are open. */
export function requestsPart(
  { answer }: RequestsSection,
  picture: Picture,
  lost: readonly ElementJson[],
  signal: AbortSignal,
): HTMLElement {
  const busy = answer.queues.filter(({ in_flight: { max } }) => max > 0);
  const paths = answer.queues.filter(({ hops }) => hops.length > 1);
  const slow = el('div');
  const title = el('h3', { id: 'slow-requests', tabindex: -1 }, 'Slow requests');
  const map = heatmap(answer, picture, signal, slow, title);
  return pagePart(
    'requests',
    'Requests',
    el('p', {}, 'How long virtio requests take, from QEMU’s virtqueue_pop to virtqueue_fill, by queue.'),
    ...map,
    queueTable(answer),
    ...(busy.length === 0 ? [] : [inFlight(answer, busy.slice(0, drawn), lost)]),
    ...(paths.length === 0 ? [] : [pathBars(answer, paths.slice(0, drawn))]),
    title,
    slow,
    ...answer.missing.map(({ point, events }) =>
      el('p', { class: 'faint' }, `Not told: the point ${point}. There is no ${events}.`),
    ),
  );
}

/** The heat map, the figures of what is picked in it, and those of the slow requests that are in that. */
function heatmap(
  answer: RequestsJson,
  picture: Picture,
  signal: AbortSignal,
  slow: HTMLElement,
  title: HTMLElement,
): HTMLElement[] {
  const { unit } = answer;
  if (picture.last === 0) return [];
  const figures = pickedTable(picture, unit);
  const panel = new PicturePanel(picture, {
    prefix: 'requests.',
    origin: BigInt(answer.origin),
    signal,
    changed: ({ filter, region }) => {
      const picked = region !== undefined || filter.values.some((value) => value !== undefined);
      figures.element.hidden = !picked;
      figures.show([...picture.figuresBy(0, filter, region)].sort(([, a], [, b]) => b.total - a.total));
      const all = answer.slow ?? [];
      const own = all.filter((request) => isIn(request, panel.state, picture, unit));
      const told = picked
        ? `${count(own.length)} of the ${plural(all.length, 'slowest request')} are of what is picked; virtap requests --than lists more.`
        : `The ${plural(all.length, 'slowest request')} of ${count(answer.totals.count)}.`;
      slow.replaceChildren(
        el('p', { class: 'faint' }, told),
        ...own.map((request, i) => slowRequest(request, unit, i === 0)),
      );
    },
    opened: () => scrollTo(title),
  });
  panel.show();
  return [...panel.parts, figures.element];
}

/** The figures of what is picked, as the picture's cells tell them. */
function pickedTable({ frame }: Picture, unit: Unit): Table<[queue: number, figures: Figures]> {
  const name = (queue: number) => frame.dimensions[0]?.values[queue] ?? '';
  const length = (title: string, of: (figures: Figures) => number, text = longs(unit)): Column<[number, Figures]> => ({
    title,
    number: true,
    cell: ([, figures]) => text(of(figures)),
    key: ([, figures]) => of(figures),
  });
  return new Table<[number, Figures]>('Requests picked in the heat map', [
    { title: 'picked', cell: ([queue]) => name(queue), key: ([queue]) => name(queue) },
    { title: 'count', number: true, cell: ([, { count: n }]) => count(n), key: ([, { count: n }]) => n },
    length('total', ({ total }) => total),
    length('avg', ({ total, count: n }) => total / n),
    length('max', ({ max }) => max),
    length('p50', ({ p50 }) => p50, roughLength(unit)),
    length('p99', ({ p99 }) => p99, roughLength(unit)),
  ]);
}

function isIn(request: SlowRequestJson, { filter, region }: State, { frame }: Picture, unit: Unit): boolean {
  const [queue, operation] = frame.dimensions.map(({ values }, d) => values[filter.values[d] ?? -1]);
  const begin = figure(request, 'begin', unit);
  const length = figure(request, 'duration', unit);
  return (
    (queue === undefined || queue.endsWith(`${deviceName(request)} queue ${queueName(request)}`)) &&
    (operation === undefined || operation === (request.operation ?? 'not told')) &&
    (region === undefined ||
      (begin >= region.from && begin < region.to && length >= region.least && length < region.most))
  );
}

function longs(unit: Unit): (length: number, digits?: number) => string {
  return unit === 'ns' ? duration : cycles;
}

/** Numbers of requests: `0.17`, `15`. */
function several(n: number): string {
  return n >= 99.95 ? count(n) : n === 0 ? '0' : n < 0.001 ? '<0.001' : String(Number(n.toPrecision(2)));
}

function queueTable({ queues, unit, totals }: RequestsJson): HTMLElement {
  const whole = figure(totals, 'total', unit);
  const reading = { unit, samples: (queue: RequestQueueJson) => queue.count };
  const table = new Table<RequestQueueJson>(
    'Requests by queue',
    [
      { title: 'device', cell: deviceName, key: deviceName },
      { title: 'queue', cell: queueName, key: queueName },
      ...declared(requestQueueColumns, ['count', 'rate', 'total'], reading),
      {
        title: 'share',
        number: true,
        cell: (queue) => (whole > 0 ? percent(figure(queue, 'total', unit) / whole) : ''),
        key: (queue) => figure(queue, 'total', unit),
      },
      ...declared(requestQueueColumns, ['avg', 'max', 'p50', 'p99'], reading),
      {
        title: 'in flight',
        number: true,
        cell: ({ in_flight: { mean } }) => several(mean ?? 0),
        key: ({ in_flight: { mean } }) => mean ?? 0,
      },
      {
        title: 'most',
        number: true,
        cell: ({ in_flight: { max } }) => count(max),
        key: ({ in_flight: { max } }) => max,
      },
    ],
    'Find a queue',
  );
  table.show(queues);
  return table.element;
}

/** Rows, one a queue, over one axis of time: how many of its elements QEMU had, and when those were popped that it never gave back. */
function inFlight(
  answer: RequestsJson,
  queues: readonly RequestQueueJson[],
  lost: readonly ElementJson[],
): HTMLElement {
  const { unit } = answer;
  const [first] = queues as [RequestQueueJson];
  const from = figure(first.in_flight, 'from', unit);
  const step = figure(first.in_flight, 'time_step', unit);
  const bins = Math.max(1, ...queues.map(({ in_flight: { maxima } }) => maxima.length));
  const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => from + share * bins * step);
  return el(
    'div',
    { class: 'timelines' },
    el('h3', {}, 'Elements in flight over time'),
    el(
      'ul',
      { class: 'states', 'aria-hidden': 'true' },
      el('li', { class: 'in-flight-most' }, 'most at once'),
      el('li', { class: 'in-flight-mean' }, 'on average'),
      ...(lost.length === 0 ? [] : [el('li', { class: 'in-flight-lost' }, 'never given back (marks: popped then)')]),
    ),
    ...queues.map((queue) => {
      const own = lost.filter((element) => sameQueue(element, queue) && element.pop_ns !== null);
      return course(
        queue,
        own.map(({ pop_ns: pop }) => ((pop as number) - from) / step).sort((a, b) => a - b),
        bins,
      );
    }),
    el(
      'div',
      { class: 'vcpu-row wide axis faint' },
      el('span', {}),
      el('span', {}, ...timeLabels(marks, unit).map((label) => el('span', {}, label))),
    ),
  );
}

function sameQueue(a: Pick<QueueNameJson, 'pid' | 'vq' | 'vdev' | 'queue'>, b: QueueNameJson): boolean {
  return a.pid === b.pid && a.vq === b.vq && a.vdev === b.vdev && a.queue === b.queue;
}

/** One queue: an area of the most at once, one of the mean, a line of what is lost. `lost` is in bins, from the first. */
function course(queue: RequestQueueJson, lost: readonly number[], bins: number): HTMLElement {
  const { max, mean, means, maxima } = queue.in_flight;
  const high = 100;
  const y = (n: number) => (high * (1 - n / max)).toFixed(1);
  const area = (values: readonly (number | null)[]) =>
    `M0 ${high}${values.map((n, bin) => `V${y(n ?? 0)}H${bin + 1}`).join('')}V${high}z`;
  const told =
    `${deviceName(queue)} queue ${queueName(queue)}: ${several(mean ?? 0)} in flight on average, at most ${count(max)}` +
    (lost.length === 0 ? '' : `; ${plural(lost.length, 'element')} of it never given back`);
  const picture = svg('svg', {
    viewBox: `0 0 ${bins} ${high}`,
    preserveAspectRatio: 'none',
    class: 'course',
    role: 'img',
  });
  picture.append(
    svg('title', {}, told),
    svg('path', { d: area(maxima), class: 'in-flight-most' }),
    svg('path', { d: area(means), class: 'in-flight-mean' }),
  );
  if (lost.length > 0) {
    const steps = lost.map((at, n) => `H${Math.max(0, at).toFixed(2)}V${y(n + 1)}`).join('');
    picture.append(
      svg('path', { d: `M0 ${high}${steps}H${bins}`, class: 'in-flight-lost' }),
      svg('path', {
        d: lost.map((at) => `M${Math.max(0, at).toFixed(2)} ${high}v-12`).join(''),
        class: 'in-flight-lost',
      }),
    );
  }
  return el(
    'div',
    { class: 'vcpu-row wide' },
    el(
      'span',
      {},
      deviceName(queue),
      el('br'),
      el('span', { class: 'faint' }, `queue ${queueName(queue)}, ≤ ${count(max)}`),
    ),
    picture,
  );
}

/** Where the requests of each queue spent their time. */
function pathBars({ unit }: RequestsJson, queues: readonly RequestQueueJson[]): HTMLElement {
  const begins = points.filter((point) => queues.some(({ hops }) => hops.some(({ from }) => from === point)));
  return el(
    'div',
    { class: 'timelines' },
    el('h3', {}, 'Where their time goes'),
    el(
      'ul',
      { class: 'states', 'aria-hidden': 'true' },
      ...begins.map((point) => el('li', { class: hopClass(point) }, `from ${point}`)),
    ),
    ...queues.map((queue) => {
      const whole = queue.hops.reduce((sum, hop) => sum + figure(hop, 'total', unit), 0);
      const share = (hop: StatsJson) => figure(hop, 'total', unit) / whole;
      const text = queue.hops.map((hop) => `${hop.from} to ${hop.to} ${percent(share(hop))}`).join(', ');
      const picture = svg('svg', { viewBox: '0 0 1000 1', preserveAspectRatio: 'none', class: 'bar', role: 'img' });
      picture.append(svg('title', {}, `${deviceName(queue)} queue ${queueName(queue)}: ${text}`));
      let x = 0;
      for (const hop of queue.hops) {
        const width = share(hop) * 1000;
        const part = svg('rect', { x: x.toFixed(2), width: width.toFixed(2), height: 1, class: hopClass(hop.from) });
        part.append(
          svg(
            'title',
            {},
            `${hop.from} → ${hop.to}: ${percent(share(hop))}, ${longs(unit)(figure(hop, 'avg', unit))} on average`,
          ),
        );
        picture.append(part);
        x += width;
      }
      return el(
        'div',
        { class: 'vcpu-row wide' },
        el('span', {}, deviceName(queue), el('br'), el('span', { class: 'faint' }, `queue ${queueName(queue)}`)),
        picture,
      );
    }),
  );
}

function hopClass(from: string): string {
  return `hop-${(points as readonly string[]).indexOf(from)}`;
}

/** One slow request: a line, and when opened its path as a waterfall. */
function slowRequest(request: SlowRequestJson, unit: Unit, open: boolean): HTMLElement {
  const long = longs(unit);
  return slowEntry(
    open,
    [
      el('span', { class: 'time' }, request.time),
      el('strong', {}, request.operation ?? 'request'),
      el('span', { class: 'length' }, long(figure(request, 'duration', unit))),
      el('span', {}, `${deviceName(request)} queue ${request.queue ?? '?'}`),
      request.sectors === null
        ? undefined
        : el('span', { class: 'faint' }, `${plural(request.sectors, 'sector')} from ${request.sector ?? '?'}`),
      request.result === 0 ? undefined : el('strong', { class: 'bad' }, `error ${request.result}`),
    ],
    inner(
      waterfall(request, unit),
      ...facts(request, unit).map((fact) => el('p', {}, fact)),
      ...(request.events.length === 0 ? [] : events(request, unit)),
    ),
  );
}

/** Each hop as a bar where it lies in the request, with its length beside it. */
function waterfall({ path }: SlowRequestJson, unit: Unit): HTMLElement {
  const time = (n: number) => figure(path[n] as SlowRequestJson['path'][number], 'time', unit);
  const begin = time(0);
  const whole = Math.max(1, time(path.length - 1) - begin);
  const width = 1000;
  return innerTable('waterfall', 'The path of this request', [
    ...path.slice(1).map(({ point }, n) => {
      const from = path[n]?.point as string;
      const picture = svg('svg', {
        viewBox: `0 0 ${width} 1`,
        preserveAspectRatio: 'none',
        class: 'bar',
        'aria-hidden': 'true',
      });
      const x = ((time(n) - begin) / whole) * width;
      const long = Math.max(2, ((time(n + 1) - time(n)) / whole) * width);
      picture.append(
        svg('rect', { width, height: 1, class: 'track' }),
        svg('rect', {
          x: Math.min(x, width - 2).toFixed(1),
          width: long.toFixed(1),
          height: 1,
          class: hopClass(from),
        }),
      );
      return el(
        'tr',
        {},
        el('th', { scope: 'row' }, `${from} → ${point}`),
        el('td', { class: 'number' }, longs(unit)(time(n + 1) - time(n))),
        el('td', { class: 'picture' }, picture),
      );
    }),
  ]);
}

/** What else there is to say of a request, a sentence each. */
function facts(
  { thread, kicked_by: kicker, interrupts, merged, meanwhile, lock_wait: wait }: SlowRequestJson,
  unit: Unit,
): string[] {
  const found: string[] = [];
  const who = [
    kicker === null ? '' : `kicked by ${roleOf(kicker)}`,
    thread.tid === null ? '' : `popped by ${roleOf(thread)}`,
    interrupts === null ? '' : `its interrupt went to ${roleOf(interrupts)}`,
    merged > 1 ? `merged with ${plural(merged - 1, 'other')}` : '',
  ].filter((part) => part !== '');
  if (who.length > 0) found.push(`${sentence(who.join(', '))}.`);
  const told = meanwhile === undefined ? [] : states(meanwhile, unit);
  if (told.length > 0) found.push(`From the kick to the pop, that thread: ${told.join(', ')}.`);
  if (wait !== undefined) {
    const holder = wait.holder === null ? '' : `, which ${roleOf(wait.holder)} held`;
    found.push(
      `It waited ${lengthText(unit)(figure(wait, 'wait', unit))} for ${wait.name === 'BQL' ? 'the BQL' : wait.name}${holder}${wait.site === null ? '' : ` at ${wait.site}`}.`,
    );
  }
  return found;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const stateNames: [state: ThreadState, words: string][] = [
  ['running', 'running'],
  ['runnable', 'ready to run without a CPU'],
  ['lock', 'waiting for a lock'],
  ['asleep', 'asleep'],
  ['unknown', 'not known'],
];

function states(meanwhile: ThreadStatesJson, unit: Unit): string[] {
  return stateNames
    .map(([state, words]) => [figure(meanwhile, state, unit), words] as const)
    .filter(([time]) => time > 0)
    .map(([time, words]) => `${longs(unit)(time)} ${words}`);
}

function events({ events: all, path }: SlowRequestJson, unit: Unit): HTMLElement[] {
  const since = path[0]?.point === 'kick' ? 'kick' : 'notification';
  const shown = all.slice(-listedEvents);
  const last = shown.length < all.length ? `, the last ${shown.length} of them` : '';
  const title = `What that thread did from the ${since} to the pop${last}`;
  const table = innerTable('events', title, [
    ...shown.map((event) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row', class: 'number' }, `+${longs(unit)(figure(event, 'offset', unit))}`),
        el('td', {}, event.event),
        el('td', { class: 'text' }, event.text),
      ),
    ),
  ]);
  return [el('p', { class: 'faint' }, `${title}:`), table];
}

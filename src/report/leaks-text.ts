import { getSystemErrorName } from 'node:util';
import { percentileDigits } from '../spans/summary.ts';
import { tellsTime } from '../trace/clock.ts';
import { hex64 } from '../trace/event-type.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { bad, type LeakReport, type QueueReport, type Unfinished, type Verdict, verdicts } from '../views/leaks.ts';
import type { Reading } from '../views/reading.ts';
import type { LeaksJson, VerdictsJson } from './answers.ts';
import { csv } from './csv.ts';
import { noneText } from './empty-stretch.ts';
import { ns } from './json.ts';
import { remarks, remarksJson } from './remarks.ts';
import { type Cell, type Column, table } from './table.ts';
import { type Style, type Terminal, wrap } from './terminal.ts';
import { count, plural, shortDuration } from './units.ts';

/** Elements of one verdict listed in text; JSON and --plain have all. */
const shown = 100;
/** Of those, how many are told in full: why, and the events around their pop. The others are a line each. */
const shownWhole = 3;

/** What of a trace the report needs. */
type Source = Pick<Trace, 'file' | 'format' | 'origin' | 'clock'>;

const styles: Partial<Record<Verdict, Style>> = { leaked: 'bad', lost: 'bad', stuck: 'bad', unsure: 'warn' };

/** Everything that `virtap leaks` says of a trace, as text; `all` adds the elements that nothing is wrong with. */
export function leaksText(
  report: LeakReport,
  reading: Reading,
  trace: Source,
  all: boolean,
  terminal: Terminal,
): string {
  const parts = [
    report.queues.length === 0
      ? noneText('no element was popped', { trace, reading })
      : queueTable(report, trace, terminal),
  ];
  for (const verdict of verdicts) {
    const elements = report.elements.filter((one) => one.verdict === verdict);
    if (elements.length === 0 || !(all || bad.has(verdict))) continue;
    const lines = [terminal.style('heading', `${verdict}: ${plural(elements.length, 'element')}`)];
    for (const one of elements.slice(0, shownWhole))
      lines.push(...elementLines(one, trace, bad.has(verdict), terminal));
    const others = elements.slice(shownWhole, shown);
    if (others.length > 0) lines.push('', briefTable(others, trace, terminal));
    if (elements.length > shown) {
      lines.push(terminal.style('dim', `… and ${count(elements.length - shown)} more (--json and --plain list all)`));
    }
    parts.push(`${lines.join('\n')}\n`);
  }
  parts.push(closing(report, terminal) + remarks(reading, terminal, unsureSentence(report)));
  return parts.filter((part) => part !== '').join('\n');
}

function queueTable(report: LeakReport, trace: Source, terminal: Terminal): string {
  const some = (verdict: Verdict) => verdict === 'leaked' || report.totals[verdict] > 0;
  const told = verdicts.filter(some);
  const timed = trace.clock.unit !== 'none';
  const pids = new Set(report.queues.map(({ queue }) => queue.machine.pid)).size > 1;
  const unseen = report.queues.some(({ queue }) => queue.unseenPops > 0);
  const columns: Column[] = [
    ...(pids ? [{ title: 'pid', align: 'right' } as const] : []),
    { title: 'device' },
    { title: 'queue' },
    { title: 'popped', align: 'right' },
    { title: 'filled', align: 'right' },
    ...(unseen ? [{ title: 'pop unseen', align: 'right', priority: 3 } as const] : []),
    ...(timed
      ? ([
          { title: 'median', align: 'unit', priority: 4 },
          { title: 'p99', align: 'unit', priority: 5 },
          { title: 'longest', align: 'unit', priority: 2 },
        ] as const)
      : []),
    ...told.map((verdict): Column => ({ title: verdict, align: 'right', priority: bad.has(verdict) ? 0 : 1 })),
  ];
  const age = ageText(trace);
  const latency = ({ latency: { count: n } }: QueueReport, value: number, digits = percentileDigits(n)) =>
    n === 0 ? '-' : age(value, digits);
  const rows = report.queues.map((one): Cell[] => {
    const { queue, verdicts: of } = one;
    return [
      ...(pids ? [pidText(queue.machine.pid)] : []),
      deviceName(one),
      queueName(one),
      count(queue.popped),
      count(queue.filled),
      ...(unseen ? [number(queue.unseenPops)] : []),
      ...(timed
        ? [latency(one, one.latency.p50), latency(one, one.latency.p99), latency(one, one.latency.max, 4)]
        : []),
      ...told.map((verdict): Cell => {
        const text = number(of[verdict]);
        const style = of[verdict] > 0 ? styles[verdict] : undefined;
        return style === undefined ? text : { text, style };
      }),
    ];
  });
  return table(columns, rows, terminal);
}

function number(n: number): string {
  return n === 0 ? '-' : count(n);
}

function elementLines(one: Unfinished, trace: Source, nearby: boolean, terminal: Terminal): string[] {
  const { request } = one;
  const { machine } = request.queue;
  const asked = askedText(one);
  const process = machine.pid < 0 ? '' : `, process ${machine.pid}`;
  const when =
    trace.clock.unit === 'none' ? '' : `, popped at ${timestamp(trace.origin, request.pop, trace.clock.unit)}`;
  const lines = [
    `${terminal.style('strong', `elem ${hex64(request.high, request.low)}`)}  ${place(one)}${process}${when}${asked === '' ? '' : `: ${asked}`}`,
    wrap(whySentence(one, trace), terminal.tableWidth, 4).join('\n'),
  ];
  if (nearby && request.nearby !== undefined) {
    const age = ageText(trace);
    for (const event of request.nearby) {
      const offset = event.time - request.pop;
      const at = trace.clock.unit === 'none' ? '' : `${offset < 0 ? '-' : '+'}${age(Math.abs(offset))}`.padStart(12);
      const line = `    ${at}  ${event.text}`;
      lines.push(event.own ? line : terminal.style('dim', line));
    }
  }
  return lines;
}

/** Elements a line each: what tells them apart. Why is as for those before them. */
function briefTable(elements: readonly Unfinished[], trace: Source, terminal: Terminal): string {
  const timed = trace.clock.unit !== 'none';
  const asked = elements.some((one) => askedText(one) !== '');
  const pids = new Set(elements.map(({ request }) => request.queue.machine.pid)).size > 1;
  const age = ageText(trace);
  const columns: Column[] = [
    ...(pids ? [{ title: 'pid', align: 'right' } as const] : []),
    { title: 'elem' },
    { title: 'device', priority: 1 },
    { title: 'queue' },
    ...(timed
      ? ([
          { title: 'popped at', priority: 2 },
          { title: 'open for', align: 'unit' },
        ] as const)
      : []),
    { title: 'until', priority: 3 },
    ...(asked ? [{ title: 'asked for' } as const] : []),
  ];
  const rows = elements.map((one): Cell[] => {
    const { request } = one;
    return [
      ...(pids ? [pidText(request.queue.machine.pid)] : []),
      hex64(request.high, request.low),
      deviceName(one.report),
      queueName(one.report),
      ...(timed ? [timestamp(trace.origin, request.pop, trace.clock.unit), age(Math.max(0, one.age))] : []),
      untilText[one.because],
      ...(asked ? [askedBriefly(one)] : []),
    ];
  });
  return table(columns, rows, terminal).trimEnd();
}

/** The moment at which an element was judged. */
const untilText: Record<Unfinished['because'], string> = {
  end: 'the end',
  reset: 'a reset',
  hole: 'a loss',
  reused: 'reuse',
};

function closing(report: LeakReport, terminal: Terminal): string {
  const { totals } = report;
  const popped = report.queues.reduce((sum, { queue }) => sum + queue.popped, 0);
  const found = verdictsText(totals, [...bad]);
  const rest = verdictsText(
    totals,
    verdicts.filter((verdict) => !bad.has(verdict)),
  );
  const others = rest === '' ? '' : ` Of the others without a fill: ${rest}.`;
  const nameless =
    report.nameless === 0
      ? ''
      : ` ${plural(report.nameless, 'virtqueue event')} ${report.nameless === 1 ? 'lacks' : 'lack'} the address of the queue or the element: left out, and what was open then is unsure.`;
  const forgotten =
    report.forgotten === 0
      ? ''
      : ` ${plural(report.forgotten, 'more element')} could not be followed: there were too many.`;
  if (found === '') {
    const clean = `No element was leaked, lost or stuck, of ${count(popped)} that were popped.`;
    return `${terminal.style('good', clean)}${others}${forgotten}${nameless}\n`;
  }
  return `${terminal.style('bad', `${found}, of ${count(popped)} elements that were popped.`)}${others}${forgotten}${nameless}\n`;
}

function unsureSentence(report: LeakReport): string {
  const straddling = report.queues.reduce((sum, { queue }) => sum + queue.straddling, 0);
  return (
    `Nothing that a lost fill could explain is called leaked: ${plural(report.totals.unsure, 'element')} unsure, ` +
    `and ${plural(straddling, 'latency', 'latencies')} across the holes left out.`
  );
}

/** `virtio-blk 0x5611…`. */
function deviceName(report: QueueReport): string {
  const address = report.device === undefined ? '' : ` ${hex64(report.device.high, report.device.low)}`;
  return `${kindName(report) ?? 'unknown device'}${address}`;
}

function kindName({ kind }: QueueReport): string | undefined {
  return kind === undefined ? undefined : `virtio-${kind}`;
}

/** `1 transmit`, or the queue's address where its number is not known. */
function queueName({ queue, role }: QueueReport): string {
  const name = queue.number < 0 ? `at ${hex64(queue.high, queue.low)}` : String(queue.number);
  return role === '' ? name : `${name} ${role}`;
}

function place({ report }: Unfinished): string {
  return `${deviceName(report)} queue ${queueName(report)}`;
}

function pidText(pid: number): string {
  return pid < 0 ? '-' : String(pid);
}

/** A length of time in the trace's clock. */
function ageText({ clock }: Source): (age: number, digits?: number) => string {
  if (clock.unit === 'ns') return shortDuration;
  return clock.unit === 'ticks' && tellsTime(clock) ? (age) => `${count(age)} ticks` : () => '-';
}

/** A bound of which only two digits are known, rounded up. */
function roughly(bound: number, trace: Source): string {
  const digit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, bound))) - 1);
  return ageText(trace)(Math.ceil(bound / digit) * digit);
}

/** What a request asked for, where that is known. */
function askedText({ request }: Unfinished): string {
  const { operation, sector, sectors, command, tag } = request;
  if (operation !== '') {
    const many = Number.isNaN(sectors) ? '' : ` of ${plural(sectors, 'sector')}`;
    return `${operation}${many}${Number.isNaN(sector) ? '' : ` from sector ${sector}`}`;
  }
  if (!Number.isNaN(command)) {
    return `SCSI command 0x${command.toString(16)}${Number.isNaN(tag) ? '' : `, tag 0x${tag.toString(16)}`}`;
  }
  return '';
}

/** The same for a narrow column: `read 8 at 67160`, in sectors. */
function askedBriefly(one: Unfinished): string {
  const { operation, sector, sectors } = one.request;
  if (operation === '') return askedText(one);
  const [many, where] = [sectors, sector].map((value) => (Number.isNaN(value) ? '?' : value));
  return `${operation} ${many} at ${where}`;
}

/** Why an element has its verdict, as a sentence. */
function whySentence(one: Unfinished, trace: Source): string {
  const { verdict, request, usual, moment, because, report } = one;
  const age = ageText(trace);
  const timed = trace.clock.unit !== 'none';
  const until = {
    end: 'when the trace ends',
    reset: 'when its device was reset',
    hole: 'when events began to be lost',
    reused: 'when its address was used again',
  }[because];
  const open = timed ? `Open for ${age(Math.max(0, one.age))} ${until}` : `Open ${until}`;
  const whose = { queue: 'its queue', device: 'its device', trace: 'this trace' }[usual.from];
  const normal =
    timed && usual.count > 0
      ? `${whose} filled ${count(usual.count)} such requests, ${usual.isolated ? `all but isolated ones within about ${roughly(usual.longest, trace)}` : `each within ${age(usual.longest)}`}`
      : '';
  const finished =
    request.done < moment.time && request.result >= 0
      ? `its device had finished it${timed ? ` ${age(request.done - request.pop)} after its pop` : ''}`
      : '';
  const meanwhile = `${plural(moment.fills, 'element')} of its queue ${moment.fills === 1 ? 'was' : 'were'} filled meanwhile`;
  switch (verdict) {
    case 'leaked': {
      const later = one.overtaken
        ? moment.overtaken
          ? `${meanwhile}, later ones among them`
          : 'later ones on another queue of its device were filled'
        : 'nothing was popped later';
      return `${[open, normal, later, finished].filter((part) => part !== '').join('; ')}.`;
    }
    case 'lost':
      return `Popped again${timed ? ` ${age(one.age)} later` : ''} at the same address without a fill between: QEMU freed it, and the guest never got it back${finished === '' ? '' : `; ${finished}`}.`;
    case 'stuck':
      return `${open}; nothing popped later on its device was filled, so its storage or its thread hangs, or it leaked: the trace cannot tell.`;
    case 'held on error': {
      const error = systemError(request.result);
      const after = timed ? ` ${age(request.done - request.pop)} after its pop` : '';
      return `Its device failed it with ${error}${after} and keeps it, as rerror=stop and werror=stop ask for${because === 'reset' ? ', until its device was reset' : ''}.`;
    }
    case 'unsure':
      if (because === 'hole') return 'Events were lost between its pop and its end: its fill may be among them.';
      return `${open}, as old as a leak, but this queue may keep elements or give them back unseen${report.kind === undefined ? ': nothing tells what device it belongs to' : ''}.`;
    case 'returned unseen':
      return `Its address was used again${timed ? ` ${age(one.age)} after its pop` : ''}: such a queue gives elements back without a fill (unpop, detach), which is not traced.`;
    case 'in flight':
      return `${open}${normal === '' ? '' : `; ${normal}`}.`;
    case 'taken back':
      return `${open}, which took it back${normal === '' ? '' : `; ${normal}`}.`;
    case 'parked':
      return `Its queue keeps such buffers until it has a use for them${because === 'reset' ? '; its device was reset meanwhile' : ''}.`;
  }
}

function systemError(result: number): string {
  try {
    return `error ${result} (${getSystemErrorName(result)})`;
  } catch {
    return `error ${result}`;
  }
}

/** `pid elem` lines of what leaked or was lost, for scripts; the pid is `-` where the trace does not say. */
export function leaksPlain(report: LeakReport): string {
  return report.elements
    .filter(({ verdict }) => verdict === 'leaked' || verdict === 'lost')
    .map(({ request }) => `${pidText(request.queue.machine.pid)} ${hex64(request.high, request.low)}\n`)
    .join('');
}

/** How many elements have each verdict, for programs. */
export function verdictsJson(counts: Record<Verdict, number>): VerdictsJson {
  const named = verdicts.map((verdict) => [verdict.replaceAll(' ', '_'), counts[verdict]]);
  return Object.fromEntries(named) as VerdictsJson;
}

/** How many elements have each verdict, for people: `42 leaked, 1 parked`, of those that there are. */
export function verdictsText(counts: Record<Verdict, number>, of: readonly Verdict[] = verdicts): string {
  return of.flatMap((verdict) => (counts[verdict] > 0 ? [`${count(counts[verdict])} ${verdict}`] : [])).join(', ');
}

/** The same as an object for JSON. Times are from the trace's beginning unless they say otherwise. */
export function leaksJson(report: LeakReport, reading: Reading, trace: Source, all: boolean): LeaksJson {
  const time = (value: number) => (trace.clock.unit === 'ns' ? ns(value) : null);
  const whole = (value: number) => (Number.isNaN(value) ? undefined : value);
  return {
    file: trace.file,
    format: trace.format,
    clock: trace.clock.name,
    unit: trace.clock.unit === 'ticks' ? 'cycles' : trace.clock.unit,
    origin: trace.origin.toString(),
    totals: verdictsJson(report.totals),
    queues: report.queues.map((one) => ({
      ...where(one),
      popped: one.queue.popped,
      filled: one.queue.filled,
      filled_without_pop: one.queue.unseenPops,
      across_holes: one.queue.straddling,
      ...(one.queue.forgotten > 0 ? { not_followed: one.queue.forgotten } : {}),
      min_ns: time(one.latency.min),
      avg_ns: time(one.latency.mean),
      p50_ns: time(one.latency.p50),
      p99_ns: time(one.latency.p99),
      max_ns: time(one.latency.max),
      ...verdictsJson(one.verdicts),
    })),
    elements: report.elements
      .filter(({ verdict }) => all || bad.has(verdict))
      .map((one) => {
        const { request } = one;
        return {
          verdict: one.verdict,
          ...where(one.report),
          elem: hex64(request.high, request.low),
          in_num: request.in,
          out_num: request.out,
          pop_ns: time(request.pop),
          popped_at: trace.clock.unit === 'none' ? null : (trace.origin + BigInt(Math.round(request.pop))).toString(),
          age_ns: time(Math.max(0, one.age)),
          until: one.because,
          fills_since: one.moment.fills,
          operation: request.operation === '' ? undefined : request.operation,
          sector: whole(request.sector),
          sectors: whole(request.sectors),
          scsi_command: whole(request.command),
          scsi_tag: whole(request.tag),
          done_ns: Number.isNaN(request.done) ? undefined : time(request.done),
          result: Number.isNaN(request.done) ? undefined : request.result,
          why: whySentence(one, trace),
          events: request.nearby?.map((event) => ({
            after_pop_ns: time(event.time - request.pop),
            event: event.text,
            own: event.own,
          })),
        };
      }),
    ...remarksJson(reading),
  };
}

function where(report: QueueReport) {
  const { queue, device } = report;
  return {
    pid: queue.machine.pid < 0 ? null : queue.machine.pid,
    device: kindName(report) ?? null,
    vdev: device === undefined ? null : hex64(device.high, device.low),
    queue: queue.number < 0 ? null : queue.number,
    role: report.role === '' ? null : report.role,
    vq: hex64(queue.high, queue.low),
  };
}

/** The elements as CSV, one a row. */
export function leaksCsv(report: LeakReport, trace: Source, all: boolean): string {
  const time = (value: number) => (trace.clock.unit === 'ns' ? Math.round(value) : undefined);
  const header = 'verdict,pid,device,vdev,queue,role,vq,elem,pop_ns,age_ns,until,operation,sector,sectors,why'.split(
    ',',
  );
  const rows = report.elements
    .filter(({ verdict }) => all || bad.has(verdict))
    .map((one) => {
      const { pid, device, vdev, queue, role, vq } = where(one.report);
      const { request } = one;
      return [
        one.verdict,
        pid ?? undefined,
        device ?? undefined,
        vdev ?? undefined,
        queue ?? undefined,
        role ?? undefined,
        vq,
        hex64(request.high, request.low),
        time(request.pop),
        time(Math.max(0, one.age)),
        one.because,
        request.operation,
        request.sector,
        request.sectors,
        whySentence(one, trace),
      ];
    });
  return csv(header, rows);
}

import { numbersRepeat } from '../spans/vcpu.ts';
import type {
  ElementJson,
  EventsJson,
  ExitsJson,
  LeaksJson,
  LocksJson,
  RequestsJson,
  SlowExitJson,
  SlowRequestJson,
  VcpuRowJson,
  VcpusJson,
} from './answers.ts';
import { escapeText } from './escape.ts';
import type { Answered, Verdict } from './page-data.ts';
import type { Style, Terminal } from './terminal.ts';
import { figure } from './timed.ts';
import { count, duration, percent, plural, shortDuration } from './units.ts';

/** A vCPU that was held this long is worth a warning, in ns. */
const longHold = 10e6;

/** Shares of a vCPU's time without a CPU, and waiting for the BQL while another thread held it, that are worth a warning. */
const muchPreempted = 0.02;
const muchWaited = 0.02;
/** A request that took this long, in ns, and a share of requests' time until a thread got to them. */
const longRequest = 100e6;
const muchDelayed = 0.25;

const order: Verdict['level'][] = ['bad', 'warn', 'note', 'good'];

/** What a recording shows, in plain sentences, the worst first. They are made of the answers' own figures. */
export function verdicts(recording: EventsJson, sections: readonly Answered[]): Verdict[] {
  const vcpus = sections.find((section) => section.kind === 'vcpus')?.answer;
  const all = sections.flatMap((section) => sectionVerdicts(section, vcpus));
  all.push(...lossVerdicts(recording, sections));
  // As of a stretch in which nothing happened.
  const [first] = sections;
  if (all.length === 0 && first !== undefined)
    all.push({ level: 'note', text: 'Nothing here is worth a verdict.', evidence: first.kind });
  return all.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

function sectionVerdicts(section: Answered, vcpus: VcpusJson | undefined): Verdict[] {
  switch (section.kind) {
    case 'leaks':
      return leaksVerdicts(section.answer);
    case 'requests':
      return requestsVerdicts(section.answer);
    case 'exits':
      return exitsVerdicts(section.answer, vcpus?.held_outside_guest.share ?? undefined);
    case 'vcpus':
      return vcpusVerdicts(section.answer);
    case 'locks':
      return locksVerdicts(section.answer, section.summary);
  }
}

/** The verdicts as lines for a terminal. */
export function verdictsText(all: readonly Verdict[], terminal: Terminal): string {
  return all.map(({ level, text }) => `${terminal.style(styles[level], level.padEnd(4))}  ${text}\n`).join('');
}

const styles: Record<Verdict['level'], Style> = { bad: 'bad', warn: 'warn', note: 'dim', good: 'good' };

function leaksVerdicts({ totals, elements, queues }: LeaksJson): Verdict[] {
  const found: Verdict[] = [];
  for (const verdict of ['leaked', 'lost', 'stuck'] as const) {
    const places = new Map<string, { device: string; queues: Map<string, number> }>();
    for (const element of elements.filter((one) => one.verdict === verdict)) {
      const device = deviceName(element);
      const place = places.get(device) ?? { device, queues: new Map<string, number>() };
      places.set(device, place);
      const queue = element.queue === null ? '?' : String(element.queue);
      place.queues.set(queue, (place.queues.get(queue) ?? 0) + 1);
    }
    for (const { device, queues: of } of places.values()) {
      const n = [...of.values()].reduce((a, b) => a + b, 0);
      const names = [...of].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
      const each = names.length > 1 ? ` (${names.map(([, m]) => count(m)).join(' + ')})` : '';
      const what = { leaked: 'leaked on', lost: 'lost on', stuck: 'stuck on' }[verdict];
      found.push({
        level: 'bad',
        text: `${plural(n, 'element')} ${what} ${device} queue${names.length > 1 ? 's' : ''} ${list(names.map(([q]) => q))}${each}.`,
        evidence: 'leaks',
      });
    }
  }
  const popped = queues.reduce((sum, queue) => sum + queue.popped, 0);
  const held = totals.held_on_error ?? 0;
  if (held > 0) {
    found.push({
      level: 'bad',
      text: `${plural(held, 'request')} failed and ${held === 1 ? 'is' : 'are'} held by the device, as rerror=stop and werror=stop ask for: the VM waits for a person.`,
      evidence: 'leaks',
    });
  }
  if (found.length === 0 && popped > 0) {
    found.push({
      level: 'good',
      text: `No virtqueue element was leaked, lost or stuck, of ${count(popped)} that QEMU popped.`,
      evidence: 'leaks',
    });
  }
  return found;
}

/** What the slowest request waited for, where that is known, and how much of all was waiting for a thread. */
function requestsVerdicts({ unit, delay, slow, totals }: RequestsJson): Verdict[] {
  const found: Verdict[] = [];
  if (unit !== 'ns' || totals.count === 0) return found;
  if (delay.count > 0 && delay.share !== null) {
    found.push({
      level: delay.share >= muchDelayed ? 'warn' : 'note',
      text: `${plural(delay.count, 'request')} spent ${percent(delay.share)} of their time waiting until a thread of QEMU got to them, from the guest's kick on.`,
      evidence: 'requests',
    });
  }
  const [slowest] = slow ?? [];
  if (slowest !== undefined) {
    const { operation } = slowest;
    const what = operation === 'read' || operation === 'write' ? `a ${operation}` : 'one';
    const length = figure(slowest, 'duration', unit);
    const hop = longestHop(slowest);
    const where = hop === undefined ? '' : `, ${percent(hop.length / length)} of that from ${hop.from} to ${hop.to}`;
    found.push({
      level: length >= longRequest ? 'warn' : 'note',
      text: `The longest request: ${what} on ${deviceName(slowest)} queue ${slowest.queue ?? '?'}, ${shortDuration(length)} from pop to fill at ${slowest.time}${where}.`,
      evidence: 'slow-requests',
    });
  }
  return found;
}

/** Where a request spent the most time between its pop and its fill. */
function longestHop({ path }: SlowRequestJson): { from: string; to: string; length: number } | undefined {
  const inside = path.slice(
    path.findIndex(({ point }) => point === 'pop'),
    path.findIndex(({ point }) => point === 'fill') + 1,
  );
  const hops = inside.slice(1).map((end, n) => {
    const begin = inside[n] as SlowRequestJson['path'][number];
    return { from: begin.point, to: end.point, length: figure(end, 'time', 'ns') - figure(begin, 'time', 'ns') };
  });
  return hops.length < 2 ? undefined : hops.reduce((a, b) => (b.length > a.length ? b : a));
}

function deviceName({ device, vdev }: Pick<ElementJson, 'device' | 'vdev'>): string {
  return `${device ?? 'an unknown device'}${vdev === null ? '' : ` ${vdev}`}`;
}

/** `held`: the share of their time that the vCPUs were held outside the guest, as `virtap vcpus` has it. */
function exitsVerdicts(answer: ExitsJson, held: number | undefined): Verdict[] {
  const { unit, totals, vcpus, rows } = answer;
  const total = figure(totals.without_halts, 'total', unit);
  const reasons = rows.filter((row) => !row.halt).sort((a, b) => figure(b, 'total', unit) - figure(a, 'total', unit));
  const found: Verdict[] = [];
  const [most] = reasons;
  if (most !== undefined && unit === 'ns') {
    const who = vcpus.length === 1 ? 'The vCPU was' : `${count(vcpus.length)} vCPUs were`;
    const share = most.share_without_halts;
    found.push({
      level: 'note',
      text: `${held === undefined ? '' : `${who} held outside the guest for ${percent(held)} of the time, halted time not counted. `}${plural(totals.without_halts.count, 'exit')}, halts left out, took ${duration(total)} in all${share === null || reasons.length === 1 ? '' : `, ${percent(share)} of it for ${escapeText(most.reason ?? '')}`}.`,
      evidence: 'exits',
    });
  }
  const [slowest] = answer.slow ?? [];
  if (slowest !== undefined && unit === 'ns') found.push(slowestVerdict(slowest, unit));
  return found;
}

/** Who was kept from running, where that is worth a word. */
function vcpusVerdicts({ vcpus, ran_instead: others }: VcpusJson): Verdict[] {
  const shareOf = ({ wall_ns: wall, states }: VcpuRowJson) => (states.preempted ?? 0) / wall;
  const worst = vcpus.reduce((a, b) => (shareOf(b) > shareOf(a) ? b : a), vcpus[0] as VcpuRowJson);
  if (vcpus.length === 0 || shareOf(worst) < muchPreempted) return [];
  const [first] = others.filter(({ tid }) => tid !== 0);
  const behind = first === undefined ? '' : `, mostly behind ${escapeText(first.comm)} (${first.tid})`;
  const repeat = numbersRepeat(
    vcpus.map(({ vm, vcpu, tid }) => ({ vm: vm ?? undefined, number: vcpu ?? undefined, tid })),
  );
  const of = repeat ? ` (thread ${worst.tid})` : '';
  const who = worst.vcpu === null ? `Thread ${worst.tid}` : `vCPU ${worst.vcpu}${of}`;
  return [
    {
      level: 'warn',
      text: `${who} could run and had no CPU for ${percent(shareOf(worst))} of its time${behind}.`,
      evidence: 'vcpus',
    },
  ];
}

function locksVerdicts({ mutexes }: LocksJson, summary: string): Verdict[] {
  if (summary === '') return [];
  const bql = mutexes.find(({ name }) => name === 'BQL');
  const level = (bql?.vcpus.held_by_others_share ?? 0) >= muchWaited ? 'warn' : 'note';
  return [{ level, text: summary.replaceAll('\n', ' '), evidence: 'locks' }];
}

function slowestVerdict(exit: SlowExitJson, unit: 'ns'): Verdict {
  const length = figure(exit, 'duration', unit);
  const who = exit.vcpu === null ? `thread ${exit.tid}` : `vCPU ${exit.vcpu}`;
  const off = timeOff(exit, unit);
  const meanwhile = off > length / 10 ? `; its thread was off the CPU for ${shortDuration(off)} of that` : '';
  return {
    level: length >= longHold ? 'warn' : 'note',
    text: `The longest hold-up: ${who} for ${shortDuration(length)} (${escapeText(exit.reason)}) at ${exit.time}${meanwhile}.`,
    evidence: 'slow-exits',
  };
}

/** How long the thread was switched out within an exit, as far as the events kept of it tell. */
function timeOff(exit: SlowExitJson, unit: 'ns' | 'cycles'): number {
  let off = 0;
  let since = Number.NaN;
  for (const event of exit.events) {
    const at = figure(event, 'offset', unit);
    if (event.effect === 'switched out') since = at;
    else if (event.effect === 'switched in' && !Number.isNaN(since)) {
      off += at - since;
      since = Number.NaN;
    }
  }
  return off;
}

function lossVerdicts(recording: EventsJson, sections: readonly Answered[]): Verdict[] {
  const found: Verdict[] = [];
  const unmarked = recording.unmarked ?? 0;
  if (recording.holes > 0 || unmarked > 0) {
    const exits = sections.find((section) => section.kind === 'exits');
    const leaks = sections.find((section) => section.kind === 'leaks');
    const aside = [
      ...(exits === undefined ? [] : [[exits.answer.unpaired.straddling_loss ?? 0, 'exit'] as const]),
      ...(leaks === undefined ? [] : [[leaks.answer.totals.unsure ?? 0, 'element'] as const]),
    ].filter(([n]) => n > 0);
    const what = recording.lost > 0 ? `${count(recording.lost)} events` : 'Events';
    const unsure =
      aside.length === 0
        ? ''
        : ` ${aside.map(([n, noun]) => plural(n, noun)).join(' and ')} set aside because of that.`;
    const marked = `${what} were lost while recording, in ${plural(recording.holes, 'hole')}`;
    const missing = `${plural(unmarked, 'hole')} that nothing marks: what follows contradicts what came before`;
    found.push({
      level: 'warn',
      text: `${unmarked === 0 ? marked : recording.holes === 0 ? `Events are missing, in ${missing}` : `${marked}, and in ${missing}`}.${unsure}`,
      evidence: 'recording',
    });
  }
  for (const why of recording.why ?? []) {
    found.push({
      level: 'warn',
      text: `This rests on a part of the recording: ${escapeText(why)}`,
      evidence: 'recording',
    });
  }
  return found;
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

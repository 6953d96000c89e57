import type { EventsJson } from '../../src/report/answers.ts';
import { typeColumns } from '../../src/report/events-columns.ts';
import { count, duration, plural } from '../../src/report/units.ts';
import { declared } from './columns.ts';
import { el } from './dom.ts';
import { pagePart } from './parts.ts';
import { Table } from './table.ts';

/** What was recorded, what was lost, and what the recording cannot answer. */
export function recordingPart(recording: EventsJson): HTMLElement {
  const facts: [string, string][] = [
    ['file', recording.file],
    ['format', `${recording.format} ${recording.version}`.trim()],
    ['clock', recording.clock],
    ...(recording.duration_ns === null ? [] : [['duration', duration(recording.duration_ns)] as [string, string]]),
    ['events', `${count(recording.events)} of ${plural(recording.types.length, 'type')}`],
    ['lost', lost(recording)],
    ...(recording.cpus_seen.length === 0 ? [] : [['CPUs', count(recording.cpus_seen.length)] as [string, string]]),
    ...recording.machines.map((machine): [string, string] => [
      machine.pid === null ? 'QEMU' : `QEMU ${machine.pid}`,
      [
        machine.comm,
        machine.vcpus.length === 0
          ? ''
          : `vCPUs ${machine.vcpus.map(({ vcpu, tid }) => `${vcpu ?? '?'} (${tid})`).join(', ')}`,
        machine.qemu_events === 0 ? '' : `${count(machine.qemu_events)} events of its own`,
      ]
        .filter((part) => part !== '')
        .join('; '),
    ]),
  ];
  const types = new Table<EventsJson['types'][number]>('Events by type', [
    ...declared<EventsJson['types'][number]>(typeColumns, ['event', 'count', 'rate'], { unit: 'ns' }),
  ]);
  types.show(recording.types);
  const missing = recording.answers.filter(({ answer, record }) => answer === 'no' || record.length > 0);
  return pagePart(
    'recording',
    'The recording',
    el('dl', {}, ...facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
    ...[...(recording.why ?? []), ...(recording.notes ?? [])].map((note) => el('p', {}, note)),
    ...(missing.length === 0
      ? []
      : [
          el('h3', {}, 'What to record next time'),
          ...missing.flatMap(({ command, why, record }) => [
            el('p', {}, `For ${command}: ${why}`),
            ...record.map((line) => el('code', { class: 'command', tabindex: 0 }, line)),
          ]),
        ]),
    el('h3', {}, 'Events'),
    types.element,
  );
}

function lost({ holes, lost: n, losses, unmarked = 0 }: EventsJson): string {
  if (unmarked > 0) return `events in ${plural(holes + unmarked, 'hole')}, ${unmarked} of which nothing marks`;
  if (holes === 0) return 'nothing that the recording tells of';
  const cpus = new Set(losses.map(({ cpu }) => cpu).filter((cpu) => cpu !== null));
  const where = cpus.size === 0 ? '' : ` on ${plural(cpus.size, 'CPU')}`;
  const counted = losses.every((loss) => loss.count !== null);
  return `${n > 0 ? `${count(n)} events` : 'events'} in ${plural(holes, 'hole')}${where}${counted ? '' : ', not all of them counted'}`;
}

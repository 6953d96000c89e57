import type { HolderJson, LocksJson, MutexJson, RoleJson, SlowLockJson, ThreadJson } from '../../src/report/answers.ts';
import { behindColumns, lockColumns } from '../../src/report/locks-columns.ts';
import { figure } from '../../src/report/timed.ts';
import { duration, percent } from '../../src/report/units.ts';
import { percentileDigits } from '../../src/spans/summary.ts';
import { declared } from './columns.ts';
import { el } from './dom.ts';
import { inner, innerTable, pagePart, slowEntry } from './parts.ts';
import { Table } from './table.ts';

/** Holders listed, and events of a slow wait. */
const listed = 12;
const listedEvents = 40;

/** Who waits for which mutex, and behind whom. */
export function locksPart(answer: LocksJson, summary: string): HTMLElement {
  const table = new Table<MutexJson>(
    'Mutexes',
    [
      { title: 'mutex', cell: ({ name }) => name, key: ({ name }) => name },
      ...declared<MutexJson>(lockColumns, ['acquired', 'contended'], { unit: 'ns' }),
      {
        title: 'when free',
        number: true,
        cell: ({ uncontended }) => duration(figure(uncontended, 'p50', 'ns'), percentileDigits(uncontended.count)),
        key: ({ uncontended }) => figure(uncontended, 'p50', 'ns'),
      },
      ...(['held_by_others', 'hold'] as const).flatMap((kind) =>
        (['total', 'p99', 'max'] as const).map((name) => ({
          title:
            name === 'total' ? (kind === 'hold' ? 'held' : 'waited') : `${name} ${kind === 'hold' ? 'hold' : 'wait'}`,
          number: true,
          cell: (mutex: MutexJson) =>
            duration(figure(mutex[kind], name, 'ns'), name === 'p99' ? percentileDigits(mutex[kind].count) : 4),
          key: (mutex: MutexJson) => figure(mutex[kind], name, 'ns'),
        })),
      ),
    ],
    'Find a mutex',
  );
  table.show(answer.mutexes);
  const bql = answer.mutexes.filter(({ name }) => name === 'BQL');
  return pagePart(
    'locks',
    'Locks',
    ...summary.split('\n').map((line) => el('p', {}, line)),
    table.element,
    ...bql.flatMap((mutex) => [
      el('h3', {}, 'The BQL by call site'),
      sites(mutex),
      ...(mutex.behind.length === 0 ? [] : [el('h3', {}, 'Who held it while others waited'), behind(mutex)]),
    ]),
    ...(answer.slow === undefined || answer.slow.length === 0 ? [] : [el('h3', {}, 'Slow waits')]),
    ...(answer.slow ?? []).map((wait, i) => slowWait(wait, i === 0)),
  );
}

/** A thread by what it is for. */
export function roleOf({ role, vcpu, name, tid }: ThreadJson | RoleJson): string {
  if (role === 'vcpu') return vcpu === undefined || vcpu === null ? `vCPU thread ${tid}` : `vCPU ${vcpu}`;
  if (role === 'iothread') return `IOThread ${name ?? tid}`;
  if (role === 'other' || role === 'worker') return `${role === 'worker' ? 'worker' : 'thread'} ${tid}`;
  return role === 'rcu' ? 'RCU thread' : role;
}

function sites(mutex: MutexJson): HTMLElement {
  const table = new Table<MutexJson['sites'][number]>('The BQL by call site', [
    { title: 'call site', cell: ({ site }) => site, key: ({ site }) => site },
    ...declared<MutexJson['sites'][number]>(lockColumns, ['acquired'], { unit: 'ns' }),
    {
      title: 'waited',
      number: true,
      cell: ({ held_by_others: wait }) => duration(figure(wait, 'total', 'ns')),
      key: ({ held_by_others: wait }) => figure(wait, 'total', 'ns'),
    },
    {
      title: 'held',
      number: true,
      cell: ({ hold }) => duration(figure(hold, 'total', 'ns')),
      key: ({ hold }) => figure(hold, 'total', 'ns'),
    },
  ]);
  table.show(mutex.sites.slice(0, listed));
  return table.element;
}

function behind(mutex: MutexJson): HTMLElement {
  const whole = mutex.held_by_others_ns ?? Number.NaN;
  const table = new Table<MutexJson['behind'][number]>('Who held the BQL while others waited', [
    { title: 'thread', cell: roleOf, key: roleOf },
    { title: 'locked at', cell: ({ site }) => site ?? 'before the trace began' },
    { title: 'was at', cell: ({ inner_site: inner }) => inner ?? '' },
    ...declared<MutexJson['behind'][number]>(behindColumns, ['waits', 'waited for'], { unit: 'ns' }),
    { title: 'share', number: true, cell: ({ total_ns: n }) => percent(n / whole) },
  ]);
  table.show(mutex.behind.slice(0, listed));
  return table.element;
}

function slowWait(wait: SlowLockJson, open: boolean): HTMLElement {
  return slowEntry(
    open,
    [
      el('span', { class: 'time' }, wait.time),
      el('strong', {}, wait.mutex),
      el('span', { class: 'length' }, duration(wait.duration_ns)),
      el('span', {}, roleOf(wait)),
      el('span', { class: 'faint' }, `at ${wait.site ?? '?'}`),
    ],
    inner(
      ...(wait.holders.length === 0
        ? [el('p', {}, 'Nobody was seen to hold it meanwhile.')]
        : wait.holders.slice(0, listed).map((one) => el('p', {}, holder(one)))),
      wait.events.length === 0
        ? undefined
        : innerTable('events', 'What the thread did that held it', [
            ...wait.events
              .slice(-listedEvents)
              .map(({ offset_ns: offset, event, text }) =>
                el(
                  'tr',
                  {},
                  el('th', { scope: 'row', class: 'number' }, `+${duration(offset)}`),
                  el('td', {}, event),
                  el('td', { class: 'text' }, text),
                ),
              ),
          ]),
    ),
  );
}

function holder({ site, inner_site: inner, total_ns: total, ...role }: HolderJson): string {
  const where = site === null ? '' : `, locked at ${site}`;
  return `Held for ${duration(total)} by ${roleOf(role)}${where}${inner === null ? '' : `, was at ${inner}`}.`;
}
